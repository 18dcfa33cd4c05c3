"""Autoscoper's tracked poses (.tra): a line for each frame, with a matrix for each volume.

Its program, autoscoper/src/ui/AutoscoperMainWindow.cpp, save_tracking_results, is what there is of a specification.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..calibration.sources import read_bytes, text_of
from ..fields import LARGEST_NUMBER, shown
from ..files import write_atomically

_BETWEEN = re.compile(r"[,\s]+")
EXPECTED = "16 numbers a volume in each line, a matrix by rows or by columns"


def read_tra(path: str | os.PathLike, frame: int, volume: int, volumes: int, unit_mm: float) -> np.ndarray:
    """The pose (4, 4) of a volume in one frame: Autoscoper's frame of the volume to the world, mm.

    frame: from 0.   volume, volumes: which of how many the trial has; a file may also have one alone.   unit_mm: of the file's lengths.

    Matrices by rows, Autoscoper's default, and by columns are told apart by their 0, 0, 0, 1. InputError where the frame was not tracked
    (NaN), for x, y, z and three angles, whose unit the file does not say, and for anything else.
    """
    name = shown(path)
    lines = [line for line in text_of(read_bytes(Path(path)), name).splitlines() if line.strip()]
    if not 0 <= frame < len(lines):
        raise InputError(
            f"{name}: frame {frame} is asked for, but the file has {len(lines)} lines, expected one for each frame; give the "
            "tracking of this trial."
        )
    words = [word for word in _BETWEEN.split(lines[frame].strip()) if word]
    if len(words) in (6, 6 * volumes):
        raise InputError(
            f"{name}: has x, y, z and angles, of which it does not say the unit, expected {EXPECTED}; save the tracking as "
            "matrices."
        )
    if len(words) not in (16, 16 * volumes):
        raise InputError(
            f"{name}: line {frame + 1} has {len(words)} numbers, expected {EXPECTED}; save the tracking again."
        )
    first = 16 * volume if len(words) > 16 else 0
    try:
        numbers = np.array(words[first : first + 16], float)
    except ValueError:
        raise InputError(
            f"{name}: line {frame + 1} has something else than numbers, expected {EXPECTED}; save the tracking again."
        ) from None
    if np.isnan(numbers).all():
        raise InputError(f"{name}: frame {frame} was not tracked, expected a pose; choose another frame.")
    if not (np.abs(numbers) <= LARGEST_NUMBER).all():
        raise InputError(
            f"{name}: line {frame + 1} has numbers that are not finite or beyond {LARGEST_NUMBER:g}, expected {EXPECTED}; "
            "save the tracking again."
        )
    pose = _by_rows(numbers.reshape(4, 4), name)
    pose[:3, 3] *= unit_mm
    return rigid.check_rigid(pose, f"{name}: line {frame + 1}")


def write_tra(path: str | os.PathLike, poses: Sequence[np.ndarray | None], unit_mm: float = 1.0) -> None:
    """Write the poses (4, 4) of a volume, `world_from_autoscoper` in mm, one for each frame, None where there is none.

    As Autoscoper saves and opens it by default: a matrix by rows in each line, commas between, lengths in the trial's unit, which has
    `unit_mm` mm.
    """
    lines = []
    for pose in poses:
        matrix = np.full((4, 4), np.nan) if pose is None else np.array(pose, float)
        matrix[:3, 3] /= unit_mm
        lines.append(",".join("NaN" if np.isnan(number) else repr(float(number)) for number in matrix.ravel()))
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def autoscoper_from_ct(shape: tuple[int, int, int], voxel_mm: Sequence[float]) -> np.ndarray:
    """(4, 4): Autoscoper's frame of a volume from ours, whose voxel (0, 0, 0) is the origin and whose axes are those of the file.

    shape: (nk, nj, ni).   voxel_mm: along i, j, k.

    Its x runs along i, y against j, z against k, and the volume fills 0 to its width, 0 to its height, and minus its depth to 0
    (VolumeDescription.cpp, RayCaster_kernels.cu): turned by half about x, with the origin at the corner of the last row of the first slice.
    """
    x, y, z = voxel_mm
    matrix = np.diag([1.0, -1.0, -1.0, 1.0])
    matrix[:3, 3] = 0.5 * x, (shape[1] - 0.5) * y, -0.5 * z
    return matrix


def _by_rows(matrix: np.ndarray, name: str) -> np.ndarray:
    rows, columns = ((last == (0, 0, 0, 1)).all() for last in (matrix[3], matrix[:, 3]))
    if rows == columns:
        raise InputError(
            f"{name}: does not tell whether its matrices are by rows or by columns, expected 0, 0, 0, 1 at the end of one of "
            "them; save the tracking again."
        )
    return np.array(matrix if rows else matrix.T)
