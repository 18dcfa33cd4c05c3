"""A tracked sequence shown in its registration's scene, frame after frame: each X-ray's image, and the CT where it was found there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakSet

import numpy as np

from ..errors import InputError
from ..mrml.fingerprint import of_geometry
from ..mrml.loading import camera_content
from ..mrml.registration import Registration
from ..mrml.xray import FRAME, STILL, XRayView
from . import saved_sequence
from .background_task import POLL_WAIT_S, Worker
from .inputs import Inputs
from .tracking import FileImages, FrameImage, SliceImages

if TYPE_CHECKING:
    from ..sequence.tracker import Tracked

#: Frames a second that may be asked for, and how many are shown at first. A slow machine shows fewer, and leaves none out.
RATES, RATE = (1, 2, 5, 10, 20), 5


@dataclass(eq=False)
class Played:
    """A sequence and what was found in it.

    frames: those that are done, in order, from the first; more may come.   count: how many the sequence has.
    views: the names of the X-rays, in the order of a frame's cameras and similarities.
    track: the `track_files.Track` or `StoredTrack` that has them.
    """

    name: str
    frames: list[Tracked]
    count: int
    views: list[str]
    images: FileImages | SliceImages
    track: object

    def content(self, folder: Path | None) -> dict:
        """That of a track.json in a folder; of one that will move where there is none."""
        from ..sequence.track_files import StoredTrack

        if isinstance(self.track, StoredTrack):
            return {**self.track.to_json(folder, self.images.files), "views": self.views}
        return replace(self.track, frames=list(self.frames)).to_json(folder)


class Player:
    """Goes to frames, and plays them. `tick` is called from a timer; images are read in a thread, one frame ahead.

    number: of the frame that is shown, None before the first.   playing, rate, loop: whether, at how many frames a second, and whether it
    begins anew at the end.   problem: why the X-rays do not show it, a sentence; "" where they do.
    """

    _open: ClassVar[WeakSet[Player]] = WeakSet()

    def __init__(self, inputs: Inputs, played: Played) -> None:
        self._inputs, self.played = inputs, played
        self.number: int | None = None
        self.playing, self.rate, self.loop, self.problem = False, RATE, False, ""
        self._asked: int | None = None
        self._newest, self._put = True, None
        self._due = 0.0
        self._read: tuple[int, Worker] | None = None
        self._before = {
            view.node.GetID(): inputs.xray(view) for view in inputs.registration.xrays if view.name in played.views
        }
        saved_sequence.keep_before(inputs.registration, played.views)
        self._open.add(self)

    @classmethod
    def plays(cls, registration: Registration) -> bool:
        """Whether any plays in a registration, of whatever session."""
        return any(player._inputs.registration == registration for player in cls._open)

    @property
    def last(self) -> int:
        """The number of the last frame that is done; -1 without any."""
        return len(self.played.frames) - 1

    @property
    def wanted(self) -> int:
        """The number of the frame that is asked for, of the one that is shown where none is; 0 before the first."""
        return (self.number if self._asked is None else self._asked) or 0

    @property
    def frame(self) -> Tracked | None:
        """What was found in the frame that is shown."""
        return None if self.number is None else self.played.frames[self.number]

    @property
    def under_way(self) -> Worker | None:
        """What reads images just now."""
        return self._read[1] if self._read is not None and self._read[1].state == "running" else None

    # What a person does

    def go(self, number: int) -> None:
        """Show a frame, the nearest there is, as soon as its images are read; playing ends."""
        number = min(max(int(number), 0), self.last)
        self.playing, self._asked, self._newest = False, number if number >= 0 else None, number == self.last

    def step(self, by: int) -> None:
        """Go so many frames on, or back."""
        self.go(self.wanted + by)

    def play(self) -> None:
        """Play from the frame that is shown; from the first one where that is the last."""
        self.playing, self._due, self._newest, self._put = True, monotonic(), False, None
        if self.number == self.last:
            self._asked = 0

    def pause(self) -> None:
        """Stay at the frame that is shown."""
        self.playing, self._asked = False, None

    def show_newest(self) -> None:
        """Show the frame that came last, as while they are tracked, unless a person has gone to another one, or plays."""
        if self._newest and self.number != self.last:
            self._asked = self.last

    def close(self) -> None:
        """Put X-rays, cameras and CT back as they were before."""
        self.pause()
        self._open.discard(self)
        saved_sequence.put_back(self._inputs, self._before)
        saved_sequence.forget(self._inputs.registration)

    # What follows

    def tick(self, wait: float = POLL_WAIT_S) -> bool:
        """Show what is due; whether anything has changed.   wait: as `Worker.poll`."""
        if self._read is not None:
            self._read[1].poll(wait if self._read[1].state == "running" else 0)
        changed = False
        if self.playing and self._put is not None and not self._at(self._put):  # somebody moves the CT
            self.playing, changed = False, True
        wanted = self._asked
        if wanted is None and self.playing and monotonic() >= self._due:
            wanted = self._next()
            if wanted is None:
                self.playing, changed = False, True
        ready = self._read is not None and self._read[1].state != "running"
        if wanted is not None and ready and self._read[0] == wanted:
            self._show(wanted, self._read[1])
            self._read, ready, wanted, changed = None, False, None, True
        ahead = wanted if wanted is not None else self._next() if self.playing else None
        if ahead is not None and (self._read is None or (ready and self._read[0] != ahead)):
            images = self.played.images
            self._read = ahead, Worker(lambda tell: images.read(ahead))
        return changed

    def _next(self) -> int | None:
        """The frame after the one that is shown; None at the end."""
        number = 0 if self.number is None else self.number + 1
        return number if number <= self.last else 0 if self.loop and self.last > 0 else None

    def _show(self, number: int, read: Worker) -> None:
        self.number, self._asked = number, None
        self._due = max(self._due + 1 / self.rate, monotonic())
        self.problem = read.message
        views = {view.name: view for view in self._inputs.registration.xrays if view.name in self.played.views}
        if read.state == "done":
            for name, view in views.items():
                _show_image(view, read.result[name], self._inputs)
        frame = self.played.frames[number]
        for name, camera in zip(self.played.views, frame.cameras, strict=False):
            if name in views:
                _correct(views[name], camera)
        if frame.world_from_ct is not None:
            self._inputs.registration.world_from_ct = frame.world_from_ct
        self._put = self._inputs.registration.world_from_ct
        saved_sequence.keep_number(self._inputs.registration, number)

    @property
    def at_frame(self) -> bool:
        """Whether the CT lies where it was found in the frame that is shown."""
        frame = self.frame
        return frame is not None and frame.world_from_ct is not None and self._at(frame.world_from_ct)

    def _at(self, pose: np.ndarray) -> bool:
        return np.allclose(pose, self._inputs.registration.world_from_ct, rtol=0, atol=1e-6)


def _show_image(view: XRayView, image: FrameImage, inputs: Inputs) -> None:
    shown = [view.node.GetNodeReference(role) for role in (FRAME, STILL)]
    if (
        view.source in shown and view.size == image.xray.valid.shape[::-1]
    ):  # the image has not been replaced by another one
        image.show(view, inputs)


def _correct(view: XRayView, camera) -> None:
    """Have a view the camera in which a frame's pose holds."""
    try:
        given = view.geometry.plain_camera(view.size)
    except InputError:  # it was taken away meanwhile
        return
    same = np.allclose(given.projection_matrix, camera.projection_matrix, rtol=1e-9)
    corrected = None if same else {**camera_content(camera), "of": of_geometry(view)}
    if view.content.get("corrected") != corrected:
        view.change(corrected=corrected)
        view.place()
