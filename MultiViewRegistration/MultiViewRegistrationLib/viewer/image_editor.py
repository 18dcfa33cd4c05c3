"""The image of an X-ray: frame, grey values, orientation, mask."""

from __future__ import annotations

import slicer
from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..mrml.image import change_image
from ..mrml.mask import set_mask
from .elements import NumberField
from .xray_editor import XRayEditor, number

INTENSITIES = {"linear": "detected intensity (bone dark)", "log": "line integrals (bone bright)"}
NONE = ""


class ImageEditor(XRayEditor):
    """How the picture of an X-ray is made from the image that it came as, and what part of it is used."""

    NAME, TITLE = "image", "Image"

    def build(self) -> None:
        html.Div("{{ xrays.image.source }}", classes="mv-fact")
        NumberField(
            v_if="xrays.image.frames > 1",
            label="Frame",
            min=0,
            max=("xrays.image.frames - 1",),
            classes="mt-2",
            suffix=("`of ${xrays.image.frames - 1}`",),
            model_value=("xrays.image.frame",),
            change=(self.set_frame, "[$event.target.value]"),
        )
        v.VSelect(
            label="Values",
            items=("xrays.image.intensities",),
            model_value=("xrays.image.intensity",),
            classes="mt-2",
            update_modelValue=(self.set_intensity, "[$event]"),
        )
        v.VCheckbox(
            label="Inverted grey scale",
            model_value=("xrays.image.inverted",),
            update_modelValue=(self.set_inverted, "[$event]"),
        )
        v.VCheckbox(
            label="Mirror left and right",
            model_value=("xrays.image.flipped",),
            update_modelValue=(self.set_flipped, "[$event]"),
        )
        v.VSelect(
            v_if="xrays.image.masks.length > 1",
            label="Use only what is within",
            items=("xrays.image.masks",),
            model_value=("xrays.image.mask",),
            update_modelValue=(self.set_mask, "[$event]"),
        )

    def content(self) -> dict:
        view = self.view
        if view is None:
            return {
                "source": "",
                "frames": 1,
                "frame": 0,
                "intensity": "linear",
                "intensities": [],
                "inverted": False,
                "flipped": False,
                "mask": NONE,
                "masks": [],
            }
        content, source = view.content, view.source
        image = source and source.GetImageData()
        masks = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", self.registration.scene)
        return {
            "source": f"{source.GetName() if source else '(its volume is gone)'}, {view.size[0]} × {view.size[1]} pixels",
            "frames": image.GetDimensions()[2] if image else 1,
            "frame": content.get("frame") or 0,
            "intensity": content.get("intensity", "linear"),
            "intensities": [{"value": value, "title": title} for value, title in INTENSITIES.items()],
            "inverted": bool(content.get("inverted")),
            "flipped": bool(content.get("flipped")),
            "mask": view.mask.GetID() if view.mask is not None else NONE,
            "masks": [
                {"value": NONE, "title": "the X-ray's field"},
                *({"value": node.GetID(), "title": node.GetName()} for node in masks),
            ],
        }

    def _change(self, **settings) -> None:
        with self.application.acting():
            change_image(self.view, **settings)

    def set_frame(self, frame) -> None:
        """Show another frame, counted from 0; the nearest that there is."""
        with self.application.acting():
            last = self.content()["frames"] - 1
            change_image(self.view, frame=int(min(max(number(frame, "Frame"), 0), last)))

    def set_intensity(self, intensity: str) -> None:
        """What the values of the image are, one of INTENSITIES."""
        if intensity in INTENSITIES:
            self._change(intensity=intensity)

    def set_inverted(self, on: bool) -> None:
        """Whether the grey scale is turned round."""
        self._change(inverted=bool(on))

    def set_flipped(self, on: bool) -> None:
        """Whether the image is mirrored against how it is stored."""
        self._change(flipped=bool(on))

    def set_mask(self, node_id: str) -> None:
        """Use only what a segmentation covers, by the ID of its node."""
        with self.application.acting():
            set_mask(self.view, self.application.scene.GetNodeByID(node_id) if node_id else None)
