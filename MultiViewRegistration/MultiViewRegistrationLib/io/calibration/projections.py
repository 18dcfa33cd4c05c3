"""Projection geometries of the Reconstruction Toolkit (XML), of xReg (HDF5), and of XMALab and Autoscoper (MayaCam 1.0 and 2.0)."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError, naming
from ...geometry import rigid
from ...geometry.camera import check_size
from ..files import parse_numbers, printable
from ..hdf5 import Hdf5, opened
from .calibrated import CalibratedView, CalibrationOptions, from_matrix, from_parts
from .matrices import MAX_VIEWS

RTK_ROOT = "RTKThreeDCircularGeometry"
PARAMETERS = (
    "SourceToIsocenterDistance",
    "SourceToDetectorDistance",
    "GantryAngle",
    "SourceOffsetX",
    "SourceOffsetY",
    "ProjectionOffsetX",
    "ProjectionOffsetY",
    "InPlaneAngle",
    "OutOfPlaneAngle",
)
RTK_NOTE = (
    "The world is RTK's fixed frame, in which the CT was scanned: y along the axis of rotation."
)
AGREE = 1e-4  # of a matrix's largest number: what is printed, and old versions' digits


def read_rtk(root: Element, file: str, options: CalibrationOptions) -> list[CalibratedView]:
    """Return a view for each projection, by its number from 0.

    RTK's matrix takes its world, in mm, to mm on the detector, and its third number is minus the
    depth (RTK's documentation, "3D circular projection geometry"); a pixel (column, row) lies at
    origin + spacing * (column, row). So `size`, `detector_spacing_mm` and `detector_origin_mm` are
    required: they are those of the image of projections.

    Missing parameters of a projection are taken from the geometry, or 0.

    Raises
    ------
    InputError
        For a projection that has neither a matrix nor parameters, or both and they disagree; for
        parallel beams, and for a detector that is a cylinder.
    """
    sx, sy = options.require("detector_spacing_mm", file)
    ox, oy = options.require("detector_origin_mm", file)
    size = options.require("size", file)
    pixel_from_mm = np.linalg.inv([[sx, 0, ox], [0, sy, oy], [0, 0, 1]])
    if _numbers(root, "RadiusCylindricalDetector", file, 1)[0] != 0:
        raise InputError(
            f"{file} has a cylindrical detector, expected a flat one; resample its images."
        )
    shared = {key: _numbers(root, key, file, 1)[0] for key in PARAMETERS}
    views = []
    for i, projection in enumerate(root.findall("Projection")):
        name = f"projection {i}"
        matrix = -pixel_from_mm @ _matrix(projection, shared, f"{file}: {name}")
        views.append(from_matrix(file, name, matrix, size, signed=True, notes=(RTK_NOTE,)))
    if not views:
        raise InputError(f"{file} has no projection, expected one or more; export it again.")
    return views


def _matrix(projection: Element, shared: dict[str, float], where: str) -> np.ndarray:
    own = [key for key in PARAMETERS if projection.find(key) is not None]
    values = {**shared, **{key: _numbers(projection, key, where, 1)[0] for key in own}}
    finite = values["SourceToDetectorDistance"] > 0 and values["SourceToIsocenterDistance"] > 0
    by_parameters = matrix_of(**values) if finite else None
    if projection.find("Matrix") is None:
        if by_parameters is None:
            raise InputError(
                f"{where} has no source at a finite distance, expected SourceToIsocenterDistance "
                "and SourceToDetectorDistance above 0; parallel beams are no camera's."
            )
        return by_parameters
    matrix = np.reshape(_numbers(projection, "Matrix", where, 12), (3, 4))
    if (
        by_parameters is not None
        and np.abs(matrix - by_parameters).max() > AGREE * np.abs(by_parameters).max()
    ):
        raise InputError(
            f"{where} has a Matrix that its angles and distances do not give, expected one "
            "geometry; remove what is wrong of the two."
        )
    return matrix


def matrix_of(
    *,
    SourceToIsocenterDistance: float,
    SourceToDetectorDistance: float,
    GantryAngle: float = 0,
    SourceOffsetX: float = 0,
    SourceOffsetY: float = 0,
    ProjectionOffsetX: float = 0,
    ProjectionOffsetY: float = 0,
    InPlaneAngle: float = 0,
    OutOfPlaneAngle: float = 0,
) -> np.ndarray:
    """Return RTK's matrix (3, 4) of these parameters, by their names in the file; degrees and mm.

    Turn the world by Rz(-in plane) Rx(-out of plane) Ry(-gantry), move the source to x = y = 0,
    project with the source at z = source to isocentre, move the detector.
    """
    angles = np.radians([InPlaneAngle, OutOfPlaneAngle, GantryAngle])
    R = (
        rigid.exp_so3([0, 0, -angles[0]])
        @ rigid.exp_so3([-angles[1], 0, 0])
        @ rigid.exp_so3([0, -angles[2], 0])
    )
    turned = np.c_[R, (-SourceOffsetX, -SourceOffsetY, -SourceToIsocenterDistance)]
    x = SourceOffsetX - ProjectionOffsetX
    y = SourceOffsetY - ProjectionOffsetY
    onto = np.array(
        [[-SourceToDetectorDistance, 0, x], [0, -SourceToDetectorDistance, y], [0, 0, 1]]
    )
    return onto @ turned


def _numbers(parent: Element, key: str, where: str, count: int) -> list[float]:
    """Return the numbers in the child `key`; zeros where there is none."""
    child = parent.find(key)
    numbers = [0.0] * count if child is None else parse_numbers(child.text or "", count)
    if numbers is None:
        raise InputError(
            f"{where}: {key} is not {count} finite number{'s' * (count > 1)}, expected that; "
            "export it again."
        )
    return numbers


XREG_LAYOUT = "xReg's projection data"
#: The sign of the depth in each of xReg's camera frames.
DEPTHS = {"origin-at-focal-pt-det-pos-z": 1.0, "origin-at-focal-pt-det-neg-z": -1.0}
MAX_SIZE_PX = 1e6  # pixels


def read_xreg(path: Path) -> list[CalibratedView]:
    """Return a view for each proj-000, proj-001, ..., or the one camera model of the file.

    A group "cam" has `intrinsic` (3x3) and `extrinsic` (4x4, mm, camera from world), `num-cols`,
    `num-rows` and `cam-coord-frame-type` (xReg, lib/file_formats/xregH5CamModelIO.cpp). The pixel
    is intrinsic @ (extrinsic @ x) with integer pixel centres; in the frame that xReg prefers z runs
    toward the source, so projected points have a negative one. Nothing is left open.

    Raises
    ------
    InputError
        Where h5py is missing, or a data set is, or is of another shape; for the frame with its
        origin on the detector, whose rows run up.
    """
    with opened(path, XREG_LAYOUT) as file:
        cameras = {
            name: f"{name}/cam/" for name in sorted(file.names("")) if name.startswith("proj-")
        }
        if not cameras and file.has("intrinsic"):
            cameras = {"camera": ""}
        if not cameras:
            raise InputError(
                f"{printable(path)} has neither proj-000 nor a camera model, expected xReg's "
                "projection data; name the file that has it."
            )
        return [_xreg_view(file, name, group) for name, group in list(cameras.items())[:MAX_VIEWS]]


def _xreg_view(file: Hdf5, name: str, group: str) -> CalibratedView:
    """Return the view in a group.

    Parameters
    ----------
    group
        Where it is, "" or with a slash at its end.
    """
    frames = " or ".join(DEPTHS)
    frame = file.text(f"{group}cam-coord-frame-type", frames)
    if frame not in DEPTHS:
        file.refuse(
            f"{group}cam-coord-frame-type",
            f'is "{printable(frame)[:40]}"',
            frames,
            "save it with one of these",
        )
    intrinsic = file.matrix(f"{group}intrinsic", (3, 3), "3x3 numbers, in pixels")
    pose = file.rigid(f"{group}extrinsic")
    lengths = (f"{group}num-cols", f"{group}num-rows")
    size = tuple(int(file.number(key, "a number of pixels", 1, MAX_SIZE_PX)) for key in lengths)
    notes = ("The world is that of the file's extrinsic.",)
    return from_matrix(
        file.name,
        printable(name),
        DEPTHS[frame] * intrinsic @ pose[:3],
        size,
        signed=True,
        notes=notes,
    )


#: The headings of 2.0, in this order, with the rows and numbers a row below each.
SECTIONS = {
    "image size": (1, 2),
    "camera matrix": (3, 3),
    "rotation": (3, 3),
    "translation": (3, 1),
}
DEFAULT_SIZE = 1024  # where a file of 1.0 has 0
#: OpenCV's camera in Maya's, which looks along its -z with y up.
_MAYA_FROM_OPENCV = np.diag([1.0, -1, -1])
NOTE_1 = (
    "Of a MayaCam 1.0 file the principal point is taken as 1 at the first column, and 1 at the "
    "lowest row, as Autoscoper reads it. The world is the calibration object's."
)


def is_mayacam(text: str) -> bool:
    """Return whether a text is a MayaCam file.

    One of 2.0, or the five lines of three numbers of 1.0.
    """
    return text.lstrip().lower().startswith("image size") or _rows_of_1(text) is not None


def read_mayacam(
    text: str, file: str, name: str, options: CalibrationOptions
) -> list[CalibratedView]:
    """Return the one view of a file; for one of 1.0 see `_read_1`.

    Rotation and translation take the world to a camera that is OpenCV's: x along columns, y down
    rows, z to the detector; the first pixel's centre is (0, 0). Autoscoper turns that into its own
    on reading: it mirrors the principal point at (rows - 1) - cy and turns the camera by half about
    x (libautoscoper/src/Camera.cpp, loadMayaCam2). "image size" is width, then height: its
    documentation says the reverse, its code and XMALab's files do not.

    The world is the calibration object's. Requires `unit`.
    """
    if (rows := _rows_of_1(text)) is not None:
        return [_read_1(rows, file, name, options)]
    parts = _parts(text, file)
    pose = rigid.from_rotation_translation(
        parts["rotation"], options.scale(file) * parts["translation"][:, 0]
    )
    with naming(file):
        size = check_size(parts["image size"][0])
    notes = ("The world is the calibration object's.",)
    return [from_parts(file, name, parts["camera matrix"], pose, size, notes=notes)]


def _rows_of_1(text: str) -> np.ndarray | None:
    """Return the numbers (5, 3) of a file of 1.0."""
    rows = [parse_numbers(line, 3) for line in text.splitlines() if line.strip()]
    return np.array(rows) if len(rows) == 5 and None not in rows else None


def _parts(text: str, file: str) -> dict[str, np.ndarray]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and parse_numbers(lines[0]):
        raise InputError(
            f"{file} begins with numbers, as MayaCam 1.0 does, expected five lines of three; "
            "export it again."
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
                f"{file}: {heading} is not {rows} line{'s' * (rows > 1)} of {columns}, expected "
                "numbers with commas between; export it again."
            )
        parts[heading] = np.array(block)
    if lines:
        raise InputError(
            f'{file} goes on with "{lines[0][:30]}" after the translation, expected the end; give one camera a file.'
        )
    return parts


def _read_1(rows: np.ndarray, file: str, name: str, options: CalibrationOptions) -> CalibratedView:
    """Return the view of a file of `rows` (5, 3).

    By lines: the camera's place; its turns about its own x, y and z axes in degrees, z first, then
    y, then x; the place of Maya's film plane, which follows from the rest; u0, v0 and -f, in
    pixels; the film's scale and the image's columns and rows, 1024 where 0. u0 counts columns from
    1 at the left, v0 rows from 1 at the bottom (libautoscoper/src/Camera.cpp, loadMayaCam1; that
    the last line has columns first is its code's word against its documentation's).
    """
    place, turns, _, (u0, v0, z), (_, *size) = rows
    if z >= 0:
        raise InputError(
            f"{file}: line 4 has {z:g} as its third number, expected a focal length in pixels "
            "below 0, as MayaCam 1.0 has it; export it again."
        )
    with naming(f"{file}: line 5"):
        columns_rows = check_size([number or DEFAULT_SIZE for number in size])
    intrinsics = np.array([[-z, 0, u0 - 1], [0, -z, columns_rows[1] - v0], [0, 0, 1]])
    about_x, about_y, about_z = (
        rigid.exp_so3(np.radians(angle) * axis) for angle, axis in zip(turns, np.eye(3))
    )
    world_from_camera = rigid.from_rotation_translation(
        about_z @ about_y @ about_x @ _MAYA_FROM_OPENCV, options.scale(file) * place
    )
    return from_parts(
        file, name, intrinsics, rigid.inverse(world_from_camera), columns_rows, notes=(NOTE_1,)
    )
