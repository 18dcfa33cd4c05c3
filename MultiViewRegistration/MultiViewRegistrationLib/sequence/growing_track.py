"""Files of a track in progress."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic

from ..errors import InputError
from .track_files import StoredTrack, Track
from .tracker import Tracked

#: Folder of the frames so far, while a folder holds an earlier track of more frames.
UNFINISHED = "unfinished"
#: Writing the frames so far takes at most this share of the time.
WRITING_SHARE = 0.1


class GrowingTrack:
    """Writer of a track in progress: frames are written as they are finished.

    An earlier track with more frames in the folder is kept until this track has as many frames;
    until then, finished frames are in the subfolder UNFINISHED.
    """

    def __init__(self, track: Track, folder: str | os.PathLike, unit: str) -> None:
        self._track = track
        self._folder = Path(folder)
        self._unit = unit
        self._due = 0.0
        self._earlier = 0
        with suppress(InputError):  # no track yet
            self._earlier = len(StoredTrack.read(folder).frames)

    def add(self, frame: Tracked) -> None:
        """Add a finished frame, and write all finished frames unless they were written recently."""
        self._track.frames.append(frame)
        began = monotonic()
        if began >= self._due:
            self.save()
            self._due = monotonic() + (monotonic() - began) / WRITING_SHARE

    def save(self, pictures: Mapping[str, bytes] | None = None) -> Path:
        """Write the finished frames and return their folder, see `Track.save`."""
        unfinished = self._folder / UNFINISHED
        folder = self._folder
        if len(self._track.frames) < min(self._earlier, len(self._track.sequence)):
            folder = unfinished
        self._track.save(folder, self._unit, pictures)
        if folder is self._folder and self._earlier:
            shutil.rmtree(unfinished, ignore_errors=True)
        return folder
