"""How well the geometry of an X-ray is known."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.presenters.certainty import ABOUT, DEVIATIONS
from ..session.translation import _
from .elements import NumberField
from .xray_form import XRayForm

LABELS = {"rotation_sd_deg": _("Angles known"), "translation_sd_mm": _("Place known")}


class CertaintyForm(XRayForm):
    """A box and a field for the angles, and for the place."""

    NAME = "certainty"

    def build(self) -> None:
        html.Div("{{ xrays.certainty.hint }}", classes="mv-fact")
        for key, label in LABELS.items():
            with html.Div(classes="mv-grid2"):
                v.VSelect(
                    label=label,
                    items=("xrays.certainty.known",),
                    model_value=(f"xrays.certainty.{key}.known",),
                    update_modelValue=(self.acting(self.presenter.set_known), f"['{key}', $event]"),
                    disabled=("xrays.certainty.reference",),
                )
                NumberField(
                    v_if=f"xrays.certainty.{key}.known === '{ABOUT}'",
                    label=_("Standard deviation"),
                    suffix=DEVIATIONS[key].unit.strip(),
                    min=0,
                    step=0.5,
                    model_value=(f"xrays.certainty.{key}.deviation",),
                    disabled=("xrays.certainty.reference",),
                    change=(self.acting(self.presenter.set_deviation), f"['{key}', $event.target.value]"),
                )
