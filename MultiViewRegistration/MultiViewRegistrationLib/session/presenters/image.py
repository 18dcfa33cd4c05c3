"""The image of an X-ray: frame, grey values, orientation, mask."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...mrml.image import change_image, set_mask
from ...mrml.nodes import segmentations
from ..translation import _
from .editor import EditorPresenter
from .number import Number
from .options import Option

INTENSITIES = {"linear": _("detected intensity (bone dark)"), "log": _("line integrals (bone bright)")}
#: Instead of the ID of a mask's node.
NO_MASK = ""
SWITCHES = ("inverted", "flipped")


@dataclass(frozen=True)
class ImageShown:
    """source: what the picture is made from.   last_frame: 0 for a single image.   mask: the ID of its node.

    editable: whether the image is still there.
    """

    source: str = ""
    frame: int = 0
    last_frame: int = 0
    intensity: str = "linear"
    intensities: list[Option] = field(default_factory=list)
    inverted: bool = False
    flipped: bool = False
    mask: str = NO_MASK
    masks: list[Option] = field(default_factory=list)
    editable: bool = False


class ImagePresenter(EditorPresenter):
    """How the picture of an X-ray is made from the image that it came as, and what part of it is used."""

    TITLE = _("Image")

    def shown(self) -> ImageShown:
        view = self.view
        if view is None:
            return ImageShown()
        content, source = view.content, view.source
        image = source and source.GetImageData()
        masks = segmentations(self.registration.scene)
        return ImageShown(
            source=_("{name}, {columns} \u00d7 {rows} pixels").format(
                name=source.GetName() if source else _("(its volume is gone)"), columns=view.size[0], rows=view.size[1]
            ),
            frame=content.get("frame") or 0,
            last_frame=image.GetDimensions()[2] - 1 if image else 0,
            intensity=content.get("intensity", "linear"),
            intensities=[Option(*item) for item in INTENSITIES.items()],
            **{switch: bool(content.get(switch)) for switch in SWITCHES},
            mask=view.mask.GetID() if view.mask is not None else NO_MASK,
            masks=[
                Option(NO_MASK, _("the X-ray's field")),
                *(Option(node.GetID(), node.GetName()) for node in masks),
            ],
            editable=source is not None,
        )

    def frame_number(self) -> Number:
        """The frame, counted from 0."""
        last = self.shown().last_frame
        return Number(_("Frame"), 0, last, _(" of {last}").format(last=last), whole=True)

    def set_frame(self, text: str) -> None:
        """Show another frame. InputError for what is none."""
        change_image(self.view, frame=self.frame_number().read(text))

    def step_frame(self, by: int) -> None:
        """Show the next frame, or the one before, where there is one."""
        shown = self.shown()
        if 0 <= shown.frame + by <= shown.last_frame:
            change_image(self.view, frame=shown.frame + by)

    def set_intensity(self, intensity: str) -> None:
        """What the values of the image are, one of INTENSITIES."""
        if intensity in INTENSITIES:
            change_image(self.view, intensity=intensity)

    def switch(self, name: str, on: bool) -> None:
        """Invert the grey scale, or mirror the image: one of SWITCHES."""
        if name in SWITCHES:
            change_image(self.view, **{name: bool(on)})

    def set_mask(self, node_id: str) -> None:
        """Use only what a segmentation covers, by the ID of its node."""
        set_mask(self.view, self.registration.scene.GetNodeByID(node_id) if node_id else None)
