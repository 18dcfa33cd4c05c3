"""The bar above the views: what lies over the X-rays, and what is seen beside them."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.presenters.overlays import OVERLAYS
from ..session.translation import _

#: Of each overlay mode.
ICONS = {
    "blend": "mdi-circle-opacity",
    "flicker": "mdi-swap-horizontal",
    "checkerboard": "mdi-checkerboard",
    "edges": "mdi-vector-polyline",
    "colours": "mdi-set-center",
    "difference": "mdi-minus-box-outline",
    "off": "mdi-eye-off-outline",
}


def build(application) -> None:
    """Make it."""
    views = application.views
    with html.Div(classes="mv-bar", role="toolbar", aria_label=_("Views")):
        with v.VBtnToggle(
            model_value=("overlay.mode",),
            update_modelValue=(views.choose_overlay, "[$event]"),
            mandatory=True,
            density="compact",
            variant="text",
            color="primary",
            divided=True,
        ):
            for mode, (name, legend) in OVERLAYS.items():
                v.VBtn(
                    name,
                    value=mode,
                    prepend_icon=ICONS[mode],
                    size="small",
                    title=legend or name,
                    aria_label=_("Overlay: {name}").format(name=name),
                )
        v.VSlider(
            v_show="overlay.mode === 'blend'",
            model_value=("overlay.opacity",),
            update_modelValue=(views.blend, "[$event]"),
            min=0,
            max=1,
            step=0.05,
            classes="mv-opacity",
            aria_label=_("Share of the DRR"),
            title=_("X-ray alone … DRR alone"),
        )
        html.Div(classes="mv-spring")
        v.VBtn(
            _("Slices"),
            prepend_icon="mdi-view-week-outline",
            click=views.toggle_slices,
            size="small",
            variant="text",
            color=("views.slices ? 'primary' : ''",),
            title=_("Show slices of the CT beside the 3D view"),
        )
