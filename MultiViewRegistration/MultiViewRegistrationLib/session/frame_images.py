"""The X-rays of a sequence's frames: read one frame at a time, in any thread, and shown in the main thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import slicer

from ..errors import InputError
from ..imaging.xray import RawImage, XRay, to_line_integrals
from ..io.case import image_of, mask_of
from ..io.case_file import ViewFile
from ..io.sequence import FrameFiles
from ..mrml.case import any_voxels, raw_of
from ..mrml.loading import greys_of, name_of, stored
from ..mrml.products import product
from ..mrml.xray import FRAME, SOURCE, XRayView
from .inputs import Inputs


@dataclass(frozen=True, eq=False)
class FrameImage:
    """A view's image in a frame.

    raw: as the file has it, None where the scene has it already.   settings: the entries of `XRayView.content` that go with it.
    name: of the image, for people.
    """

    xray: XRay
    settings: dict
    raw: RawImage | None = None
    name: str = ""

    def show(self, view: XRayView, inputs: Inputs) -> None:
        """Have a view show it from now on; brightness and contrast stay, so that nothing flashes."""
        if self.raw is not None:
            volume = _volume_for_frames(view)
            volume.SetName(self.name)
            slicer.util.updateVolumeFromArray(volume, stored(self.raw))
        content = view.content
        if any(content.get(key) != value for key, value in self.settings.items()):
            view.change(**self.settings)
        slicer.util.updateVolumeFromArray(view.node, self.xray.line_integrals[None])
        inputs.know_xray(view, self.xray)


def _volume_for_frames(view: XRayView):
    """The volume that stands in for the view's source while frames are shown; the source stays as it is."""
    volume = view.node.GetNodeReference(FRAME)
    if volume is None:
        source = view.source
        volume = product(view.node, FRAME, "vtkMRMLScalarVolumeNode", "", hidden=True)
        if source is not None:
            volume.CopyOrientation(source)
        view.node.SetNodeReferenceID(SOURCE, volume.GetID())
    return volume


class FileImages:
    """Of files.

    valid: bool (rows, columns) by the name of each view that is shown: what of it is used. Frames with a case.json of their own have
    their own fields and masks.
    """

    def __init__(self, files: FrameFiles, valid: Mapping[str, np.ndarray]) -> None:
        self.files, self._valid = files, dict(valid)
        self.names = files.names

    def read(self, number: int) -> dict[str, FrameImage]:
        """The images of a frame, by view. InputError where one cannot be read, or shows nothing."""
        entries = {view.name: view for view in self.files.file(number).views}
        lost = next((name for name in self._valid if name not in entries), None)
        if lost:
            raise InputError(
                f"{self.names[number]}: has no view {lost}, expected the views of the first frame; correct its case."
            )
        return {name: self._image(entries[name], valid) for name, valid in self._valid.items()}

    def _image(self, entry: ViewFile, valid: np.ndarray) -> FrameImage:
        raw = image_of(entry)
        try:
            if raw.values.shape != valid.shape:
                (rows, columns), (expected_rows, expected_columns) = raw.values.shape, valid.shape
                raise InputError(
                    f"has {columns} columns and {rows} rows, expected {expected_columns} and {expected_rows} as in the first "
                    "frame."
                )
            settings = greys_of(entry, raw)
            xray = to_line_integrals(
                raw, settings["intensity"], settings["inverted"], valid=None if self.files.own_cases else valid
            )
        except InputError as error:
            raise InputError(f"{entry.image.path.name}: {error}") from None
        if self.files.own_cases and entry.mask is not None:
            xray = replace(xray, valid=xray.valid & mask_of(entry))
        name = name_of(entry.image.path) + ("" if entry.frame is None else f", frame {entry.frame}")
        return FrameImage(replace(xray, pixel_mm=entry.geometry.pixel_mm or xray.pixel_mm), settings, raw, name)


class SliceImages:
    """Of volumes in the scene that have a slice for each frame, from the one on that each view shows.

    views: with their sources, and the `XRay` of each as it is.   files: None, as a file is of no use without the scene.
    """

    files = None

    def __init__(self, views: Mapping[str, tuple[XRayView, XRay]]) -> None:
        self._stacks = {
            name: (any_voxels(view.source), view.content, xray.valid) for name, (view, xray) in views.items()
        }
        count = min(len(stack) - (content.get("frame") or 0) for stack, content, _ in self._stacks.values())
        first = next(content.get("frame") or 0 for _, content, _ in self._stacks.values())
        self.names = [f"frame {first + number}" for number in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> dict[str, FrameImage]:
        """As `FileImages.read`."""
        return {name: self._image(name, number, *stack) for name, stack in self._stacks.items()}

    def _image(self, name: str, number: int, stack: np.ndarray, content: dict, valid: np.ndarray) -> FrameImage:
        frame = (content.get("frame") or 0) + number
        try:
            raw = raw_of(stack[frame], content)
            xray = to_line_integrals(
                raw, content.get("intensity", "linear"), content.get("inverted", False), valid=valid
            )
        except InputError as error:
            raise InputError(f"{name}, frame {frame}: {error}") from None
        return FrameImage(xray, {"frame": frame})
