"""What is edited of one X-ray beside its geometry: the image, its mask, and how well the geometry is known."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...imaging.view import SharedUnknowns
from ...mrml.case import shared_unknowns_of
from ...mrml.image import change_image, set_mask, thumbnail
from ...mrml.nodes import segmentations
from ...mrml.xray import XRayView
from ..geometry import DEG, READ_OFF, reference_of
from ..translation import _
from .form import QUIET, Button, Choice, Control, Entry, Option, Picture, Switch, Text, row
from .number import Number
from .options import node_options
from .section import Presenter

INTENSITIES = {"linear": _("detected intensity (bone dark)"), "log": _("line integrals (bone bright)")}
PICTURE_HEIGHT_PX = 120


class EditorPresenter(Presenter):
    """Edits the X-ray that is selected in the `XRaysPresenter` it belongs to; `form()` is only called with one."""

    def __init__(self, xrays) -> None:
        self._xrays = xrays
        super().__init__(xrays.host)

    @property
    def view(self) -> XRayView | None:
        """The X-ray that is selected, None without one."""
        return self._xrays.selected


class ImagePresenter(EditorPresenter):
    """How the picture of an X-ray is made from the image that it came as, and what part of it is used."""

    TITLE = _("Image")

    def reset(self) -> None:
        self._pictured: tuple[object, np.ndarray | None] = (None, None)

    def form(self) -> list[Control]:
        view, source, masks = self.view, self.view.source, segmentations(self.registration.scene)
        content, there = view.content, source is not None
        hint = _("{name}, {columns} \u00d7 {rows} pixels").format(
            name=source.GetName() if there else _("(its volume is gone)"), columns=view.size[0], rows=view.size[1]
        )
        mask = Choice(
            "mask",
            _("Mask"),
            self.set_mask,
            value=view.mask.GetID() if view.mask is not None else "",
            options=node_options(_("none: the X-ray's field"), masks),
            tip=_("Use only what the segments of a segmentation cover."),
        )
        draw = Button(
            "draw",
            _("Draw mask..."),
            lambda: self.host.draw_mask(self.view),
            tip=_("Open a mask of what is used now in the Segment Editor: erase what is not to be used."),
        )
        return [
            Text("source", hint, tone=QUIET),
            *([Picture("picture", rgb=self._picture(), height=PICTURE_HEIGHT_PX)] if self.host.in_slicer else []),
            *self._frames(),
            Choice(
                "intensity",
                _("Values"),
                lambda value: change_image(self.view, intensity=value),
                value=content.get("intensity", "linear"),
                options=tuple(Option(*item) for item in INTENSITIES.items()),
                enabled=there,
                tip=_("What the grey values of the stored image are."),
            ),
            Switch(
                "inverted",
                _("Inverted grey scale"),
                lambda on: change_image(self.view, inverted=bool(on)),
                on=bool(content.get("inverted")),
                enabled=there,
                tip=_("The stored grey scale has been turned round: bone must be bright in the picture."),
            ),
            Switch(
                "flipped",
                _("Mirror left and right"),
                lambda on: change_image(self.view, flipped=bool(on)),
                on=bool(content.get("flipped")),
                enabled=there,
                tip=_("Where the image is stored the other way round than the geometry says."),
            ),
            *([mask] if masks else []),
            *([draw] if self.host.in_slicer else []),
        ]

    def _picture(self) -> np.ndarray | None:
        """A small picture, as the X-ray's view shows it, made again only where that has changed."""
        node = self.view.node
        parts = [node.GetImageData(), node.GetDisplayNode()]
        key = node.GetID(), *(part and part.GetMTime() for part in parts)
        if key != self._pictured[0]:
            self._pictured = key, thumbnail(self.view, 2 * PICTURE_HEIGHT_PX) if all(parts) else None
        return self._pictured[1]

    def _frames(self) -> list[Control]:
        """Of a run which frame is registered."""
        view = self.view
        image = view.source and view.source.GetImageData()
        last, frame = image.GetDimensions()[2] - 1 if image else 0, view.content.get("frame") or 0
        number = Number(_("Frame"), 0, last, _(" of {last}").format(last=last), whole=True)

        if last <= 0:
            return []
        return [
            row(
                "frames",
                Entry(
                    "frame",
                    _("Frame"),
                    lambda text: self.show_frame(number.read(text)),
                    text=str(frame),
                    number=number,
                    of=view.node.GetID(),
                ),
                Button(
                    "frame_back", _("Frame before"), partial(self.show_frame, frame - 1), icon="back", enabled=frame > 0
                ),
                Button(
                    "frame_on", _("Next frame"), partial(self.show_frame, frame + 1), icon="on", enabled=frame < last
                ),
            )
        ]

    def show_frame(self, frame: int) -> None:
        """Register another frame, counted from 0."""
        change_image(self.view, frame=frame)

    def set_mask(self, node_id: str) -> None:
        """Use only what a segmentation covers, by the ID of its node."""
        set_mask(self.view, self.registration.scene.GetNodeByID(node_id) if node_id else None)


EXACTLY, ABOUT, UNKNOWN = "exactly", "about", "unknown"
KNOWN = (Option(EXACTLY, _("exactly (calibrated)")), Option(ABOUT, _("about")), Option(UNKNOWN, _("not at all")))
#: What of the geometry is known exactly, about or not at all: key in a view's content, labels, the usual deviation, range and unit.
DEVIATIONS = (
    ("rotation_sd_deg", _("Angles known"), READ_OFF[0], Number(_("Certainty of the angles"), 0.01, 180, DEG)),
    ("translation_sd_mm", _("Place known"), READ_OFF[1], Number(_("Certainty of the place"), 0.01, 1000, " mm")),
)


class CertaintyPresenter(EditorPresenter):
    """Angles and place of an X-ray relative to the first one: known exactly, about, or not at all."""

    TITLE = _("Certainty")

    def form(self) -> list[Control]:
        view, reference = self.view, reference_of(self.registration)
        if reference is None or reference == view:
            hint = _("This X-ray is the reference: the certainty of every other X-ray is relative to it.")
            return [Text("certainty_hint", hint, tone=QUIET)]
        deviations, controls = [view.content.get(key, 0.0) for key, *_rest in DEVIATIONS], []
        for (key, label, usual, number), deviation in zip(DEVIATIONS, deviations, strict=True):
            known = UNKNOWN if deviation is None else ABOUT if deviation > 0 else EXACTLY
            set_known = partial(self.set_known, key, usual)
            controls.append(Choice(f"{key}_known", label, set_known, value=known, options=KNOWN))
            if known == ABOUT:
                action, text = partial(self.set_deviation, key, number), number.write_bare(deviation)
                controls.append(Entry(key, "\u00b1", action, text=text, number=number, of=view.node.GetID()))
        alone = deviations == [None, None] and shared_unknowns_of(self.registration) == SharedUnknowns()
        hint = (
            _("This X-ray is registered alone; its geometry relative to {reference} is found with it.")
            if alone
            else _("Relative to {reference}, the first X-ray that is used.")
        )
        return [*controls, Text("certainty_hint", hint.format(reference=reference.name), tone=QUIET)]

    def set_known(self, key: str, usual: float, known: str) -> None:
        """How well angles or place are known.   usual: the deviation of what is known about."""
        self.view.change(**{key: {EXACTLY: 0.0, ABOUT: usual, UNKNOWN: None}[known]})

    def set_deviation(self, key: str, number: Number, text: str) -> None:
        """The standard deviation of what is known about. InputError for what is wrong in it."""
        self.view.change(**{key: number.read(text)})
