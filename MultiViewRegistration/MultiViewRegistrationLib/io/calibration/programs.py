"""Calibrations that other programs write.

Projection geometries of the Reconstruction Toolkit (XML), of xReg (HDF5), and of XMALab and
Autoscoper (MayaCam 1.0 and 2.0); tracked C-arms: Plus configurations and recordings, and ITK
transform files.
"""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError, naming
from ...geometry import rigid
from ...geometry.camera import check_size
from ..files import decode, parse_numbers, printable, read_text
from ..hdf5 import Hdf5, in_child, opened
from ..transforms import read_transform, turned
from .calibrated import (
    CALIBRATION,
    CalibratedView,
    CalibrationOptions,
    from_matrix,
    from_parts,
    xml_root,
)
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
    cameras = in_child(f"{__name__}:xreg_cameras", path, XREG_LAYOUT)
    notes = ("The world is that of the file's extrinsic.",)
    file = printable(path)
    return [
        from_matrix(file, name, np.array(matrix), tuple(size), signed=True, notes=notes)
        for name, matrix, size in cameras
    ]


def xreg_cameras(path: str, layout: str) -> list[tuple[str, list, tuple[int, int]]]:
    """Return name, projection matrix (3, 4) and size of each camera of a file, in a child process."""
    with opened(path, layout) as file:
        groups = {
            name: f"{name}/cam/" for name in sorted(file.names("")) if name.startswith("proj-")
        }
        if not groups and file.has("intrinsic"):
            groups = {"camera": ""}
        if not groups:
            raise InputError(
                f"{printable(path)} has neither proj-000 nor a camera model, expected xReg's "
                "projection data; name the file that has it."
            )
        return [
            (printable(name), *_xreg_camera(file, group))
            for name, group in list(groups.items())[:MAX_VIEWS]
        ]


def _xreg_camera(file: Hdf5, group: str) -> tuple[list, tuple[int, int]]:
    """Return projection matrix (3, 4) and size of the camera in a group.

    Parameters
    ----------
    group
        Its path, "" or with a slash at its end.
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
    columns, rows = (
        int(file.number(f"{group}{key}", "a number of pixels", 1, MAX_SIZE_PX))
        for key in ("num-cols", "num-rows")
    )
    return (DEPTHS[frame] * intrinsic @ pose[:3]).tolist(), (columns, rows)


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
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [parse_numbers(line, 3) for line in lines] if len(lines) == 5 else [None]
    return None if None in rows else np.array(rows)


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


TRANSFORM_TEXT = b"#Insight Transform File"
# of ITK's HDF5, and where it stands
GROUP = b"TransformGroup"
HEAD = 1 << 16
CAMERA_ITSELF = "none"
PLUS_ROOT = "PlusConfiguration"
MAX_HEADER_BYTES = 16 << 20

#: Transforms (4, 4) by frame and frame: x_target = frames[source][target] @ x_source, both ways
#: round.
Frames = dict[str, dict[str, np.ndarray]]

_FIELD = re.compile(r"Seq_Frame(\d+)_(\w+?)To(?=[A-Z0-9])(\w+?)Transform(Status)?\s*:?=\s*(.*)")


def tracked_view(
    file: str, name: str, world_from_camera: np.ndarray, options: CalibrationOptions
) -> CalibratedView:
    """Return the view of a camera whose pose (4, 4) is known, in the required unit and axes, beside `intrinsics` and `first_pixel`.

    The camera is OpenCV's: at the source, x along columns, y down rows, z to the detector.
    """
    intrinsics = options.pixels_at_0(file) @ options.require("intrinsics", file)
    pose = options.pose_in_lps_mm(rigid.inverse(world_from_camera), file)
    return from_parts(file, name, intrinsics, pose, options.size)


def is_transform(data: bytes) -> bool:
    """Return whether the data is the beginning of an ITK transform file, as text or HDF5."""
    return data.startswith(TRANSFORM_TEXT) or GROUP in data[:HEAD]


def read_tracked(path: Path, options: CalibrationOptions) -> list[CalibratedView]:
    """Return the one view of a transform from the C-arm's marker to the tracker's reference, which is the world.

    Requires `direction`; `axes`: "ras" where Slicer saved it, whose scene is RAS, so that the
    camera's axes are those that it has there, as with Plus; `fixed_transforms`, the transform file
    from the camera to the marker, of the same direction and axes, or "none" where the transform is
    the camera's own; and for `intrinsics` and `first_pixel`. Lengths are mm.
    """
    file = printable(path)
    pose = _pose(path, file, options)
    fixed = os.fspath(options.require("fixed_transforms", file))
    if fixed != CAMERA_ITSELF:
        pose = pose @ _pose(Path(fixed), file, options)
    return [tracked_view(file, printable(path.stem), pose, replace(options, unit="mm"))]


def _pose(path: Path, file: str, options: CalibrationOptions) -> np.ndarray:
    matrix = read_transform(path)
    if options.require("direction", file) == "resampling":
        matrix = rigid.inverse(matrix)
    return turned(matrix) if options.require("axes", file) == "ras" else matrix


def is_sequence(data: bytes) -> bool:
    """Return whether a file is a MetaImage or NRRD with a sequence's fields."""
    return data.startswith((b"ObjectType", b"NRRD")) and b"\nSeq_Frame" in data


def header_of(path: Path) -> bytes:
    """Return the text at the head of a MetaImage or NRRD, whose pixels may be large.

    Nothing for other files.
    """
    lines: list[bytes] = []
    left = MAX_HEADER_BYTES
    try:
        with path.open("rb") as stream:
            if not stream.read(HEAD).startswith((b"ObjectType", b"NRRD")):
                return b""
            stream.seek(0)
            for line in iter(lambda: stream.readline(MAX_HEADER_BYTES), b""):
                lines.append(line)
                left -= len(line)
                if left < 0:
                    return b""
                if line.startswith(b"ElementDataFile") or not line.strip():
                    break
    except OSError:
        return b""
    return b"".join(lines)


def read_plus(
    content: Element | bytes, file: str, options: CalibrationOptions
) -> list[CalibratedView]:
    """Return the views of a configuration (its root element) or a recording (its header).

    Of a configuration it is one: a chain of its transforms leads from `camera_frame` to
    `world_frame`; both are required.

    Of a recording it is one for each frame that has been tracked ("frame 0", ...): its fields are
    Seq_Frame0000_AToBTransform, 16 numbers by rows, x_B = M x_A, with a status that is OK (Plus's
    user manual, "Sequence file"). The camera's pose on what is tracked comes from a configuration,
    `fixed_transforms`, which is required where the recording does not know `camera_frame`. Frames
    in which a transform that is needed was not tracked are left out; InputError where none is left.
    """
    recorded: dict[int, Frames] = {0: {}}
    fixed: Frames = {}
    if isinstance(content, bytes):
        recorded = _recorded(decode(content, file, CALIBRATION), file)
        if options.camera_frame and not any(
            options.camera_frame in frames for frames in recorded.values()
        ):
            path = Path(options.require("fixed_transforms", file))
            fixed = _frames_of(
                xml_root(read_text(path, CALIBRATION), printable(path)), printable(path)
            )
    else:
        fixed = _frames_of(content, file)
    camera = options.require("camera_frame", file)
    world = options.require("world_frame", file)
    views = []
    for number, frames in sorted(recorded.items()):
        pose = _chain(_joined(fixed, frames), camera, world)
        name = f"frame {number}" if isinstance(content, bytes) else camera
        if pose is not None:
            views.append(tracked_view(file, name, pose, options))
    if not views:
        known = set(fixed).union(*recorded.values())
        raise InputError(
            f'{file} has no chain of tracked transforms from camera_frame "{printable(camera)}" to world_frame '
            f'"{printable(world)}", expected one (it has {", ".join(map(printable, sorted(known))) or "none"}); '
            "correct the names, or add what is missing."
        )
    return views


def _frames_of(root: Element, file: str) -> Frames:
    """Return the transforms <Transform From="A" To="B" Matrix="16 numbers by rows"/> of a configuration's CoordinateDefinitions."""
    frames: Frames = {}
    for transform in root.iterfind(".//CoordinateDefinitions/Transform"):
        _add(
            frames,
            transform.get("From", ""),
            transform.get("To", ""),
            transform.get("Matrix", ""),
            file,
        )
    return frames


def _recorded(header: str, file: str) -> dict[int, Frames]:
    """Return the transforms of each frame whose status is OK or missing."""
    fields = [match.groups() for match in _FIELD.finditer(header)]
    lost = {
        tuple(key) for *key, status, value in fields if status and value.strip().upper() != "OK"
    }
    recorded: dict[int, Frames] = {}
    for number, source, target, status, value in fields:
        frames = recorded.setdefault(int(number), {})
        if not status and (number, source, target) not in lost:
            _add(frames, source, target, value, f"{file}: frame {int(number)}")
    return recorded


def _add(frames: Frames, source: str, target: str, text: str, where: str) -> None:
    name = f"{where}: the transform from {printable(source)} to {printable(target)}"
    numbers = parse_numbers(text, 16)
    if numbers is None:
        raise InputError(f"{name} has no matrix of 16 numbers, expected 4 rows of 4; correct it.")
    matrix = rigid.check_rigid(np.reshape(numbers, (4, 4)), name)
    frames.setdefault(source, {})[target] = matrix
    frames.setdefault(target, {})[source] = rigid.inverse(matrix)


def _joined(first: Frames, second: Frames) -> Frames:
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in (*first, *second)}


def _chain(frames: Frames, source: str, target: str) -> np.ndarray | None:
    """Return the transform (4, 4) to `target` from `source`, by the fewest steps."""
    found = {source: np.eye(4)}
    waiting = deque([source])
    while waiting:
        frame = waiting.popleft()
        for other, matrix in frames.get(frame, {}).items():
            if other not in found:
                found[other] = matrix @ found[frame]
                waiting.append(other)
    return found.get(target) if target in frames else None
