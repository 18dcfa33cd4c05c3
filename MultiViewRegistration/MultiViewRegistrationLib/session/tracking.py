"""The frames of a sequence: their images, and tracking them in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..imaging.xray import RawImage, XRay, count_frames, to_line_integrals
from ..io.case import Case, image_of, mask_of
from ..io.case_file import CaseFile
from ..io.files import printable
from ..io.sequence import FrameFiles
from ..io.view_record import ViewRecord
from ..jobs import ProgressRecord, TimeLeft, left_in_words
from ..mrml.case import any_voxels, raw_of
from ..mrml.image import show_frame
from ..mrml.loading import greys_of, name_of
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from ..mrml.xray_record import XRayRecord
from .inputs import PREPARING, Inputs
from .registering import API_START
from .tasks import Task
from .translation import _

if TYPE_CHECKING:
    from ..io.sequence import Frame
    from ..registration.pipeline import Progress
    from ..sequence.track_files import Track
    from ..sequence.tracker import Frames


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

    def show(self, view: XRayView, inputs: Inputs) -> None:
        """Have a view show the image from now on.

        Brightness and contrast stay, so that nothing flashes.
        """
        show_frame(view, self.xray, self.settings, self.raw, self.name)
        inputs.cache_xray(view, self.xray)


class FileImages:
    """The images of frames in files.

    Parameters
    ----------
    valid
        Bool (rows, columns) by the name of each view that is shown: what of it is used. Frames with
        a case.json of their own have their own fields and masks.
    """

    def __init__(self, files: FrameFiles, valid: Mapping[str, np.ndarray]) -> None:
        self.files, self._valid = files, dict(valid)
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
                ).format(frame=self.names[number], view=lost)
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
                    ).format(size=raw.values.shape, first=valid.shape)
                )
            settings = greys_of(entry, raw)
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
        self._stacks = {
            name: (any_voxels(view.source), view.record, xray.valid)
            for name, (view, xray) in views.items()
        }
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


PACES = ("thorough", "quick")
#: Line integrals of one image may differ by so much from those of the same in memory, but for a
#: constant.
IMAGE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class SceneSequence:
    """A sequence of images in the scene, as `io.sequence.FrameSequence`.

    The cameras are those of the first frame.
    """

    first: Case
    images: SliceImages
    files: None = None
    truths: dict[int, np.ndarray] = field(default_factory=dict)
    structure_truths: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images.names)

    @property
    def names(self) -> list[str]:
        """The names of the frames."""
        return self.images.names

    def load(self, number: int) -> Frame:
        """Return the `io.sequence.Frame`, from 0.

        Raises
        ------
        InputError
            Where an image cannot be used.
        """
        from ..io.sequence import Frame

        if number == 0:
            return Frame(self.first.views, self.first.world_from_ct)
        images = self.images.read(number)
        return Frame([replace(view, xray=images[view.name].xray) for view in self.first.views])


class Tracking:
    """Frames are followed one after another, from the case and the pose that the scene has now, until the last one or `cancel`.

    Parameters
    ----------
    images
        Of the frames.

    Attributes
    ----------
    track
        The `track_files.Track`, whose frames grow; None while the first is prepared.
    task
        Does it.
    """

    def __init__(
        self,
        case: Case,
        images: SliceImages | FrameFiles | Path,
        ready: Callable,
        start: str,
        pace: str,
    ) -> None:
        self._case, self._ready, self._start, self._pace = (
            case,
            ready,
            API_START.get(start, start),
            pace,
        )
        self._given = images
        self.track: Track | None = None
        self.images: FileImages | SliceImages | None = None
        self.step = ProgressRecord(0.0, _("preparing"))
        self._time_left = TimeLeft()
        self.left = ""
        self.task = Task(self._run)

    def poll(self) -> None:
        """Take how far it is."""
        progress = self.task.poll(0)
        if progress is not None:
            self.step, self.left = (
                progress,
                left_in_words(self._time_left.seconds(progress.fraction)),
            )

    def _run(self, on_progress: Callable) -> None:
        from ..sequence.run import follow
        from ..sequence.track_files import Track

        anatomy = self._ready(lambda progress: on_progress(ProgressRecord(0.0, PREPARING)))
        sequence, self.images = self._sequence()
        track = self.track = Track(sequence, anatomy, self._pace, self._start)
        frames, count = track.frames, len(sequence)

        def registering(progress: Progress) -> bool:
            return on_progress(
                ProgressRecord((len(frames) + progress.fraction) / count, progress.stage)
            )

        for frame in follow(sequence, anatomy, self._start, self._pace, progress=registering):
            frames.append(frame)
            if (
                on_progress(
                    ProgressRecord(
                        len(frames) / count,
                        _("{done} of {count} frames are done").format(
                            done=len(frames), count=count
                        ),
                    )
                )
                is False
            ):
                return

    def _sequence(self) -> tuple[Frames, FileImages | SliceImages]:
        if isinstance(self._given, SliceImages):
            return SceneSequence(self._case, self._given), self._given
        from ..io.case import hashes
        from ..io.sequence import FrameSequence

        files = (
            self._given
            if isinstance(self._given, FrameFiles)
            else FrameFiles.of_images(self._given)
        )
        case = replace(self._case, inputs=hashes(files.file(0))[0])
        sequence = FrameSequence(case, files)
        for here, there in zip(case.views, sequence.read(0).views, strict=True):
            difference = (here.xray.line_integrals - there.xray.line_integrals)[here.xray.valid]
            if np.ptp(difference) > IMAGE_TOLERANCE or not here.camera.same_as(there.camera):
                raise InputError(
                    _(
                        "{name}: its image or geometry is not that of {case} any more, expected "
                        "the same, as the other frames have them from there; open the case again."
                    ).format(name=here.name, case=printable(files.cases[0].name))
                )
        return sequence, FileImages(files, {view.name: view.xray.valid for view in case.views})


def frames_of(inputs: Inputs) -> SliceImages | Path:
    """Return the images of the used X-rays' frames.

    Raises
    ------
    InputError
        Where they are still images.
    """
    views = inputs.registration.used_xrays
    if frames_in(inputs.registration) > 1:
        turning = next((view.name for view in views if view.record.header.frames), None)
        if turning:
            raise InputError(
                _(
                    "Track: the C-arm of {name} turns from frame to frame, expected one geometry "
                    "for all frames; make a case.json, and open that."
                ).format(name=turning)
            )
        return SliceImages({view.name: (view, inputs.xray(view)) for view in views})
    if inputs.case_path is None:
        raise InputError(
            _(
                "Track: the X-rays have one frame each, expected multi-frame images; add such "
                "X-rays, or open a case.json that names them."
            )
        )
    return inputs.case_path


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
