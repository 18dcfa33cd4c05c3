"""The bar above the views: what lies over the X-rays, and what is seen beside them."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

#: Each overlay mode's name and icon, and what its colours say.
OVERLAYS = {
    "blend": ("Blend", "mdi-circle-opacity", "The CT rendered as an X-ray (DRR), in the X-ray's greys."),
    "flicker": ("Flicker", "mdi-swap-horizontal", "X-ray and DRR by turns: nothing must jump."),
    "checkerboard": (
        "Checkerboard",
        "mdi-checkerboard",
        "Tiles of X-ray and DRR by turns: bone must run on from tile to tile.",
    ),
    "edges": (
        "Edges",
        "mdi-vector-polyline",
        "Orange: edges of the CT's bones, or of the structure that is registered.",
    ),
    "colours": ("Two colours", "mdi-set-center", "X-ray in orange, DRR in blue: grey where they agree."),
    "difference": (
        "Difference",
        "mdi-minus-box-outline",
        "Orange: the X-ray is brighter; blue: the DRR is brighter; dark: they agree.",
    ),
    "off": ("X-ray", "mdi-eye-off-outline", "The X-ray alone."),
}


def build(application) -> None:
    """Make it."""
    views = application.views
    with html.Div(classes="mv-bar", role="toolbar", aria_label="Views"):
        with v.VBtnToggle(
            model_value=("overlay.mode",),
            update_modelValue=(views.set_mode, "[$event]"),
            mandatory=True,
            density="compact",
            variant="text",
            color="primary",
            divided=True,
        ):
            for mode, (name, icon, tip) in OVERLAYS.items():
                v.VBtn(name, value=mode, prepend_icon=icon, size="small", title=tip, aria_label=f"Overlay: {name}")
        v.VSlider(
            v_show="overlay.mode === 'blend'",
            model_value=("overlay.opacity",),
            update_modelValue=(views.set_opacity, "[$event]"),
            min=0,
            max=1,
            step=0.05,
            classes="mv-opacity",
            aria_label="Share of the DRR",
            title="X-ray alone … DRR alone",
        )
        html.Div(classes="mv-spring")
        v.VBtn(
            "Slices",
            prepend_icon="mdi-view-week-outline",
            click=views.toggle_slices,
            size="small",
            variant="text",
            color=("views.slices ? 'primary' : ''",),
            title="Show slices of the CT beside the 3D view",
        )
