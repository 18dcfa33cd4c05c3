"""The images of a sequence's frames: in files, or as slices of volumes in the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..imaging.xray import RawImage, XRay, count_frames, to_line_integrals
from ..io.case import image_of, mask_of
from ..io.case_file import CaseFile
from ..io.sequence import FrameFiles
from ..io.view_record import ViewRecord
from ..translation import _
from .case import any_voxels, raw_of
from .registration import Registration
from .xray import XRayView
from .xray_record import XRayRecord, greys_of, name_of


@dataclass(frozen=True, eq=False)
class FrameImage:
    """A view's image in a frame.

    Attributes
    ----------
    raw
        As the file has it, None where the scene has it already.
    settings
        The fields of the view's record that go with it.
    name
        Of the image, for people.
    """

    xray: XRay
    settings: dict
    raw: RawImage | None = None
    name: str = ""


class FileImages:
    """The images of frames in files.

    Parameters
    ----------
    valid
        Bool (rows, columns) by the name of each view that is shown: what of it is used. Frames with
        a case.json of their own have their own fields and masks.
    """

    def __init__(self, files: FrameFiles, valid: Mapping[str, np.ndarray]) -> None:
        self.files = files
        self._valid = dict(valid)
        self.names = files.names

    def read(self, number: int) -> dict[str, FrameImage]:
        """Return the images of a frame, by view.

        Raises
        ------
        InputError
            Where one cannot be read, or shows nothing.
        """
        entries = {view.name: view for view in self.files.file(number).views}
        lost = next((name for name in self._valid if name not in entries), None)
        if lost:
            raise InputError(
                _(
                    "{frame}: has no view {view}, expected the views of the first frame; correct "
                    "its case."
                ),
                frame=self.names[number],
                view=lost,
            )
        return {name: self._image(entries[name], valid) for name, valid in self._valid.items()}

    def _image(self, entry: ViewRecord, valid: np.ndarray) -> FrameImage:
        raw = image_of(entry)
        try:
            if raw.values.shape != valid.shape:
                raise InputError(
                    _(
                        "has {size[1]} columns and {size[0]} rows, expected {first[1]} and "
                        "{first[0]} as in the first frame."
                    ),
                    size=raw.values.shape,
                    first=valid.shape,
                )
            settings = greys_of(raw, entry.intensity)
            xray = to_line_integrals(
                raw,
                settings["intensity"],
                settings["inverted"],
                valid=None if self.files.own_cases else valid,
            )
        except InputError as error:
            raise InputError(f"{entry.image_path.name}: {error}") from None
        if self.files.own_cases and entry.mask is not None:
            xray = replace(xray, valid=xray.valid & mask_of(entry))
        name = name_of(entry.image_path) + ("" if entry.frame is None else f", frame {entry.frame}")
        return FrameImage(
            replace(xray, pixel_mm=entry.pixel_mm or xray.pixel_mm), settings, raw, name
        )


class SliceImages:
    """The frames of volumes in the scene with a slice for each, from the one that each view shows.

    Parameters
    ----------
    views
        With their sources, and the `XRay` of each as it is.

    Attributes
    ----------
    files
        None, as a file is of no use without the scene.
    """

    files = None

    def __init__(self, views: Mapping[str, tuple[XRayView, XRay]]) -> None:
        self._stacks = {}
        for name, (view, xray) in views.items():
            self._stacks[name] = any_voxels(view.source), view.record, xray.valid
        count = min(len(stack) - record.shown_frame for stack, record, _ in self._stacks.values())
        first = next(record.shown_frame for _, record, _ in self._stacks.values())
        self.names = [f"frame {first + number}" for number in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> dict[str, FrameImage]:
        """Return the images of a frame, by view, as `FileImages.read`."""
        return {name: self._image(name, number, *stack) for name, stack in self._stacks.items()}

    def _image(
        self, name: str, number: int, stack: np.ndarray, record: XRayRecord, valid: np.ndarray
    ) -> FrameImage:
        frame = record.shown_frame + number
        try:
            raw = raw_of(stack[frame], record)
            xray = to_line_integrals(raw, record.intensity, record.inverted, valid=valid)
        except InputError as error:
            raise InputError(f"{name}, frame {frame}: {error}") from None
        return FrameImage(xray, {"frame": frame})


def frames_in(registration: Registration) -> int:
    """Return the number of frames of the used X-rays in the scene itself, each from the one on that it shows."""
    sources = [(view.source, view.record.shown_frame) for view in registration.used_xrays]
    return min(
        (_slices(source) - frame if source is not None else 1 for source, frame in sources),
        default=0,
    )


def how_many(path: Path) -> int:
    """Return the number of frames of a case.json's X-rays from its own on, in any thread.

    1 for still images.

    InputError as `CaseFile.read`.
    """
    file = CaseFile.read(path)
    return min(count_frames(view.image_path) - (view.frame or 0) for view in file.views)


def _slices(volume: Any) -> int:
    image = volume.GetImageData()
    return image.GetDimensions()[2] if image is not None else 0
