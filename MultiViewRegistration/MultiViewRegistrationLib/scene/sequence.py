"""The sequence of a session: tracked here or opened as it was tracked before, and played."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..io.fields import shown
from .frame_images import FileImages
from .loading import of_files
from .player import Played, Player
from .registration import Registration
from .tracking import PACES, Tracking, frames_of
from .worker import TURN, Worker

if TYPE_CHECKING:
    from .session import Session


class Sequence:
    """What a session tracks and plays.   player: None without a sequence.   message: why the tracking failed, a sentence; "" else.

    ended: how the last tracking ended, "done", "failed" or "cancelled"; "" before it has.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.player: Player | None = None
        self.tracking: Tracking | None = None
        self.message, self.ended = "", ""

    def track(self, start: str = "given", pace: str = "thorough") -> None:
        """Begin to track the X-rays' frames from the first one on. InputError where that cannot be.

        start: of the first frame, one of `session.STARTS`.   pace: one of PACES.
        """
        if pace not in PACES:
            raise InputError(f'Track: found the pace "{pace}", expected one of {", ".join(PACES)}.')
        session = self._session
        session.refuse_more()
        self.close()
        images = frames_of(session)
        case = session.case(placed=session.is_placed(start))
        session.history.note(session.history.unnoted if session.history.entries else "before")
        self.message = self.ended = ""
        self.tracking = Tracking(case, images, session.ready(), start, pace)

    def cancel(self) -> None:
        """Make an end of the tracking; the frames that are done stay."""
        if self.tracking is not None:
            self.tracking.worker.cancel()

    def open(self, played: Played) -> None:
        """Play a sequence that was tracked before. InputError while another is being tracked."""
        self._session.refuse_more()
        self.close()
        history = self._session.history
        history.note(history.unnoted if history.entries else "before")
        self.player = Player(self._session, played)
        self.player.go(0)

    def close(self) -> None:
        """Put everything back as it was before the sequence was played."""
        self.message = self.ended = ""
        if self.player is not None:
            player, self.player = self.player, None
            if self._session.registration.scene is not None:
                player.close()

    def poll(self, wait: float = TURN) -> bool:
        """Take the frames that have come, and show what is due; whether a tracking has ended, or another frame is shown that stays."""
        ended = self.tracking is not None and self._look_at_tracking()
        changed = self.player is not None and self._session.under_way is None and self.player.tick(wait)
        return ended or (changed and not self.player.playing and self.tracking is None)

    def _look_at_tracking(self) -> bool:
        """Whether it has just ended."""
        tracking = self.tracking
        tracking.poll()
        self._take(tracking)
        if tracking.worker.state == "running":
            return False
        self.tracking, self.message, self.ended = None, tracking.worker.message, tracking.worker.state
        return True

    def _take(self, tracking: Tracking) -> None:
        """Show the newest frame, if any has come."""
        track = tracking.track
        if track is None or not track.frames:
            return
        if self.player is None:
            views = [view.name for view in track.sequence.first.views]
            self.player = Player(self._session, Played(track.sequence.first.name, track.frames, len(track.sequence), views,
                                                       tracking.images, track))
        self.player.show_newest()

    @property
    def workers(self) -> list[Worker]:
        """Those at work."""
        at_work = [self.tracking and self.tracking.worker, self.player and self.player.under_way]
        return [worker for worker in at_work if worker is not None]


def read_track(path: str | os.PathLike) -> ReadTrack:
    """Reads a track.json, or the one in a folder, with its case, in any thread. InputError for what is wrong in either.

    Warns where the case's files are others than those that were tracked.
    """
    from ..io.sequence import FrameSequence
    from ..track_files import StoredTrack

    track = StoredTrack.read(path)
    files = track.files()
    if files.own_cases:
        sequence = FrameSequence.of_cases(files.cases)
    else:
        sequence = FrameSequence.of_images(files.cases[0], files.images)
    case = sequence.first
    names = [view.name for view in case.views]
    if track.views and not set(track.views) <= set(names):
        raise InputError(f"{shown(Path(path).name)}: has the views {', '.join(map(shown, track.views))}, but its case has "
                         f"{', '.join(names)}, expected the same; put the case back, or track it again.")
    if track.inputs and case.inputs != track.inputs:
        warnings.warn(f"{case.name}: its files are not those that were tracked; the poses may not fit them.", stacklevel=2)
    return ReadTrack(track, files, of_files(case, files.file(0)))


class ReadTrack:
    """A track.json with its case, on the way into a scene.   case: the `io.case.Case` of its first frame."""

    def __init__(self, track, files, load: Callable) -> None:
        self._track, self._files, self._load = track, files, load
        self.case = load.case

    def __call__(self, scene) -> Registration:
        """The registration that it becomes there; `play` then plays it."""
        return self._load(scene)

    def play(self, session: Session) -> None:
        """Open the sequence in the session of that registration."""
        track = self._track
        names = track.views or [view.name for view in self.case.views]
        valid = {view.name: view.xray.valid for view in self.case.views if view.name in names}
        session.sequence.open(Played(track.name, track.frames, track.count, names, FileImages(self._files, valid), track))
