"""How another tracked structure moves against the one that is played: its curves, its table, its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..imaging.ct import CT
from ..io.json_reader import printable
from .player import Played


@dataclass(frozen=True, eq=False)
class Motion:
    """fixed, moving: the structures' names.   count: of all frames.   motion: a `tracking.relative.Relative` of each that has both poses.

    curves: what is plotted, see `motion_files.curves`.
    poses: (4, 4) world_from_ct of the moving structure in each frame, None where it was lost or rejected.
    structure: reads its CT, in any thread; InputError where that is not there any more.
    """

    fixed: str
    moving: str
    count: int
    motion: list
    curves: list[tuple[str, str, list[tuple[str, list[float]]]]]
    poses: list[np.ndarray | None]
    structure: Callable[[], CT]

    @property
    def title(self) -> str:
        return f"{self.moving} against {self.fixed}"

    @property
    def rows(self) -> list[tuple[int, float, float]]:
        """Of each frame its number, the turn in degrees, and the shift of the moving centroid in mm, since the first of them."""
        return [
            (each.number, float(np.linalg.norm(each.rotation_deg)), float(np.linalg.norm(each.shift_mm)))
            for each in self.motion
        ]

    @property
    def left_out(self) -> str:
        """How many frames are in neither, a sentence; "" for none."""
        missing = self.count - len(self.motion)
        told = "1 frame is" if missing == 1 else f"{missing} frames are"
        return f"{told} left out: one of the two was lost or rejected there, or was not tracked." if missing else ""

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write motion.csv and motion.html."""
        from ..sequence.motion_files import write_files

        write_files(folder, self.motion, self.fixed, self.moving, self.count)
        return [Path(folder) / name for name in ("motion.csv", "motion.html")]


def motion_of(path: str | os.PathLike, played: Played) -> Motion:
    """The motion of the structure in a track.json, or in a folder that holds one, against the one that is played.

    InputError for what is no such file, for tracks of other frames, and where no two frames have both poses.
    """
    from ..sequence.motion_files import curves, motion_against
    from ..sequence.track_files import StoredTrack

    moving = StoredTrack.read(path)
    fixed = [None] * played.count
    for frame in played.frames:
        fixed[frame.number] = frame.world_from_ct if frame.kept else None
    motion = motion_against(fixed, moving, f"{played.name}, which is played", printable(Path(path).name))
    stored = isinstance(played.track, StoredTrack)
    beside = [played.track.folder, *(case.resolve().parent for case in played.images.files.cases)] if stored else []
    return Motion(
        played.name, moving.name, played.count, motion, curves(motion), moving.poses, lambda: moving.structure(beside)
    )
