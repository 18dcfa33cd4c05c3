"""The image of an X-ray: frame, grey values, orientation, mask."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.translation import _
from .elements import NumberField
from .xray_form import XRayForm


class ImageForm(XRayForm):
    """How the picture of an X-ray is made from the image that it came as, and what part of it is used."""

    NAME = "image"

    def build(self) -> None:
        presenter, acting = self.presenter, self.acting
        html.Div("{{ xrays.image.source }}", classes="mv-fact")
        NumberField(
            v_if="xrays.image.last_frame > 0",
            label=_("Frame"),
            min=0,
            max=("xrays.image.last_frame",),
            classes="mt-2",
            suffix=("`/ ${xrays.image.last_frame}`",),
            model_value=("xrays.image.frame",),
            change=(acting(presenter.set_frame), "[$event.target.value]"),
        )
        v.VSelect(
            label=_("Values"),
            items=("xrays.image.intensities",),
            model_value=("xrays.image.intensity",),
            classes="mt-2",
            update_modelValue=(acting(presenter.set_intensity), "[$event]"),
        )
        for name, label in (("inverted", _("Inverted grey scale")), ("flipped", _("Mirror left and right"))):
            v.VCheckbox(
                label=label,
                model_value=(f"xrays.image.{name}",),
                update_modelValue=(acting(presenter.switch), f"['{name}', $event]"),
            )
        v.VSelect(
            v_if="xrays.image.masks.length > 1",
            label=_("Use only what is within"),
            items=("xrays.image.masks",),
            model_value=("xrays.image.mask",),
            update_modelValue=(acting(presenter.set_mask), "[$event]"),
        )
