"""MayaCam 1.0 and 2.0 files of XMALab and Autoscoper."""

from __future__ import annotations

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..json_reader import MAX_NUMBER, parse_numbers
from .calibrated import CalibratedView, CalibrationOptions, from_parts

#: The headings of 2.0, in this order, with the rows and numbers a row below each.
SECTIONS = {"image size": (1, 2), "camera matrix": (3, 3), "rotation": (3, 3), "translation": (3, 1)}
DEFAULT_SIZE = 1024  # where a file of 1.0 has 0
#: OpenCV's camera in Maya's, which looks along its -z with y up.
_MAYA_FROM_OPENCV = np.diag([1.0, -1, -1])
NOTE_1 = (
    "Of a MayaCam 1.0 file the principal point is taken as 1 at the first column, and 1 at the lowest row, as Autoscoper reads it. The "
    "world is the calibration object's."
)


def is_mayacam(text: str) -> bool:
    """Whether it is one of 2.0, or has the five lines of three numbers of 1.0."""
    return text.lstrip().lower().startswith("image size") or _rows_of_1(text) is not None


def read_mayacam(text: str, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """The one view of a file; for one of 1.0 see `_read_1`.

    Rotation and translation take the world to a camera that is OpenCV's: x along columns, y down rows, z to the detector; the first
    pixel's centre is (0, 0). Autoscoper turns that into its own on reading: it mirrors the principal point at (rows - 1) - cy and turns
    the camera by half about x (libautoscoper/src/Camera.cpp, loadMayaCam2). "image size" is width, then height: its documentation says
    the reverse, its code and XMALab's files do not.

    The world is the calibration object's. Asks for `unit`.
    """
    if (rows := _rows_of_1(text)) is not None:
        return [_read_1(rows, file, name, options)]
    parts = _parts(text, file)
    pose = rigid.from_rotation_translation(parts["rotation"], options.scale(file) * parts["translation"][:, 0])
    size = _size(parts["image size"][0], f"{file}: image size")
    notes = ("The world is the calibration object's.",)
    return [from_parts(file, name, parts["camera matrix"], pose, size, notes=notes)]


def _rows_of_1(text: str) -> np.ndarray | None:
    """The numbers (5, 3) of a file of 1.0."""
    rows = [parse_numbers(line, 3) for line in text.splitlines() if line.strip()]
    return np.array(rows) if len(rows) == 5 and None not in rows else None


def _size(size: np.ndarray, where: str) -> tuple[int, int]:
    if (size < 1).any() or (size % 1).any() or (size > MAX_NUMBER).any():
        raise InputError(f"{where} is {size[0]:g}, {size[1]:g}, expected whole numbers above 0; correct it.")
    return int(size[0]), int(size[1])


def _parts(text: str, file: str) -> dict[str, np.ndarray]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and parse_numbers(lines[0]):
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
        block = [parse_numbers(line, columns) for line in lines[:rows]]
        del lines[:rows]
        if len(block) != rows or None in block:
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


def _read_1(rows: np.ndarray, file: str, name: str, options: CalibrationOptions) -> CalibratedView:
    """The view of a file of `rows` (5, 3).

    By lines: the camera's place; its turns about its own x, y and z axes in degrees, z first, then y, then x; the place of Maya's film
    plane, which follows from the rest; u0, v0 and -f, in pixels; the film's scale and the image's columns and rows, 1024 where 0. u0
    counts columns from 1 at the left, v0 rows from 1 at the bottom (libautoscoper/src/Camera.cpp, loadMayaCam1; that the last line has
    columns first is its code's word against its documentation's).
    """
    place, turns, _, (u0, v0, z), (_, *size) = rows
    if z >= 0:
        raise InputError(
            f"{file}: line 4 has {z:g} as its third number, expected a focal length in pixels below 0, as MayaCam 1.0 has it; "
            "export it again."
        )
    columns_rows = _size(np.array([number or DEFAULT_SIZE for number in size]), f"{file}: line 5, the image size,")
    intrinsics = np.array([[-z, 0, u0 - 1], [0, -z, columns_rows[1] - v0], [0, 0, 1]])
    about_x, about_y, about_z = (rigid.exp_so3(np.radians(angle) * axis) for angle, axis in zip(turns, np.eye(3)))
    world_from_camera = rigid.from_rotation_translation(
        about_z @ about_y @ about_x @ _MAYA_FROM_OPENCV, options.scale(file) * place
    )
    return from_parts(file, name, intrinsics, rigid.inverse(world_from_camera), columns_rows, notes=(NOTE_1,))
