"""MayaCam 1.0 files, five lines of three numbers, of the older XROMM programs and of Autoscoper."""

from __future__ import annotations

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from .calibrated import Calibrated, Given, from_parts

KIND = "a MayaCam 1.0 file"
DEFAULT_SIZE = 1024  # where the file has 0
#: OpenCV's camera in Maya's, which looks along its -z with y up.
_MAYA_FROM_OPENCV = np.diag([1.0, -1, -1])
NOTE = (
    "Of a MayaCam 1.0 file the principal point is taken as 1 at the first column, and 1 at the lowest row, as Autoscoper reads it. The "
    "world is the calibration object's."
)


def read_mayacam1(rows: np.ndarray, file: str, name: str, given: Given) -> list[Calibrated]:
    """The one view of a file of `rows` (5, 3).

    By lines: the camera's place; its turns about its own x, y and z axes in degrees, z first, then y, then x; the place of Maya's film
    plane, which follows from the rest; u0, v0 and -f, in pixels; the film's scale and the image's columns and rows, 1024 where 0. u0
    counts columns from 1 at the left, v0 rows from 1 at the bottom (libautoscoper/src/Camera.cpp, loadMayaCam1; that the last line has
    columns first is its code's word against its documentation's).

    Asks for `unit`. InputError where the focal length is not that of a camera that looks along -z, or the size is none.
    """
    place, turns, _, (u0, v0, z), (_, columns, rows_) = rows
    scale = given.scale(file, KIND)
    if z >= 0:
        raise InputError(
            f"{file}: line 4 has {z:g} as its third number, expected a focal length in pixels below 0, as MayaCam 1.0 has it; "
            "export it again."
        )
    size = tuple(DEFAULT_SIZE if number == 0 else number for number in (columns, rows_))
    if not all(number >= 1 and number % 1 == 0 for number in size):
        raise InputError(
            f"{file}: line 5 has the image size {columns:g}, {rows_:g}, expected whole numbers above 0; correct it."
        )
    intrinsics = np.array([[-z, 0, u0 - 1], [0, -z, size[1] - v0], [0, 0, 1]])
    world_from_camera = rigid.from_rotation_translation(_turned(turns) @ _MAYA_FROM_OPENCV, scale * place)
    return [from_parts(file, name, intrinsics, rigid.inverse(world_from_camera), tuple(map(int, size)), notes=(NOTE,))]


def _turned(degrees: np.ndarray) -> np.ndarray:
    """(3, 3): about z, then about the new y, then about the new x."""
    x, y, z = (rigid.exp_so3(np.radians(angle) * axis) for angle, axis in zip(degrees, np.eye(3)))
    return z @ y @ x
