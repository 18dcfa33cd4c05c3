"""MayaCam 1.0 and 2.0 files of XMALab and Autoscoper."""

from __future__ import annotations

import re

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from .calibrated import CalibratedView, CalibrationOptions, from_parts

#: The headings, in this order, with the rows and numbers a row below each.
SECTIONS = {"image size": (1, 2), "camera matrix": (3, 3), "rotation": (3, 3), "translation": (3, 1)}


def is_mayacam(text: str) -> bool:
    """Whether it is one of 2.0, or has the five lines of three numbers of 1.0."""
    return text.lstrip().lower().startswith("image size") or _of_1(text) is not None


def read_mayacam(text: str, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """The one view of a file; for one of 1.0 see `read_mayacam1`.

    Rotation and translation take the world to a camera that is OpenCV's: x along columns, y down rows, z to the detector; the first
    pixel's centre is (0, 0). Autoscoper turns that into its own on reading: it mirrors the principal point at (rows - 1) - cy and turns
    the camera by half about x (libautoscoper/src/Camera.cpp, loadMayaCam2). "image size" is width, then height: its documentation says
    the reverse, its code and XMALab's files do not.

    The world is the calibration object's. Asks for `unit`.
    """
    if (rows := _of_1(text)) is not None:
        return read_mayacam1(rows, file, name, options)
    parts = _parts(text, file)
    scale = options.scale(file)
    pose = rigid.from_rotation_translation(parts["rotation"], scale * parts["translation"][:, 0])
    size = tuple(parts["image size"][0].tolist())
    return [
        from_parts(
            file,
            name,
            parts["camera matrix"],
            pose,
            _whole(size, file),
            notes=("The world is the calibration object's.",),
        )
    ]


def _of_1(text: str) -> np.ndarray | None:
    """The numbers (5, 3) of a file of 1.0."""
    rows = [_numbers(line) for line in map(str.strip, text.splitlines()) if line]
    return np.array(rows) if [len(row or ()) for row in rows] == [3] * 5 else None


def _whole(size: tuple[float, float], file: str) -> tuple[int, int]:
    if not all(number >= 1 and number % 1 == 0 for number in size):
        raise InputError(f"{file}: image size is {size[0]:g}, {size[1]:g}, expected whole numbers above 0; correct it.")
    return int(size[0]), int(size[1])


def _parts(text: str, file: str) -> dict[str, np.ndarray]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _numbers(lines[0] if lines else "") is not None:
        raise InputError(
            f"{file} begins with numbers, as MayaCam 1.0 does, expected five lines of three; export it again."
        )
    parts = {}
    for heading, (rows, columns) in SECTIONS.items():
        found = lines.pop(0) if lines else "the end of the file"
        if found.lower() != heading:
            raise InputError(
                f'{file} has "{found[:30]}" where "{heading}" belongs, expected MayaCam 2.0 ({", ".join(SECTIONS)}); '
                "export it again."
            )
        block = [_numbers(line) for line in lines[:rows]]
        del lines[:rows]
        if [len(row or ()) for row in block] != [columns] * rows:
            raise InputError(
                f"{file}: {heading} is not {rows} line{'s' * (rows > 1)} of {columns}, expected numbers with commas between; "
                "export it again."
            )
        parts[heading] = np.array(block)
    if lines:
        raise InputError(
            f'{file} goes on with "{lines[0][:30]}" after the translation, expected the end; give one camera a file.'
        )
    return parts


def _numbers(line: str) -> list[float] | None:
    try:
        numbers = [float(word) for word in re.split(r"[,\s]+", line.strip(", "))]
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


DEFAULT_SIZE = 1024  # where the file has 0
#: OpenCV's camera in Maya's, which looks along its -z with y up.
_MAYA_FROM_OPENCV = np.diag([1.0, -1, -1])
NOTE = (
    "Of a MayaCam 1.0 file the principal point is taken as 1 at the first column, and 1 at the lowest row, as Autoscoper reads it. The "
    "world is the calibration object's."
)


def read_mayacam1(rows: np.ndarray, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """The one view of a file of `rows` (5, 3).

    By lines: the camera's place; its turns about its own x, y and z axes in degrees, z first, then y, then x; the place of Maya's film
    plane, which follows from the rest; u0, v0 and -f, in pixels; the film's scale and the image's columns and rows, 1024 where 0. u0
    counts columns from 1 at the left, v0 rows from 1 at the bottom (libautoscoper/src/Camera.cpp, loadMayaCam1; that the last line has
    columns first is its code's word against its documentation's).

    Asks for `unit`.

    Raises
    ------
    InputError
        Where the focal length is not that of a camera that looks along -z, or the size is none.
    """
    place, turns, _, (u0, v0, z), (_, columns, rows_) = rows
    scale = options.scale(file)
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
