"""Tracked C-arms: Plus configurations and recordings, and ITK transform files."""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..json_reader import decode, printable, read_text
from ..transforms import read_transform, turned
from .calibrated import (
    CalibratedView,
    CalibrationOptions,
    check_magnitude,
    from_parts,
    pose_in_lps_mm,
    with_first_pixel_at_0,
)
from .text_files import CALIBRATION, xml_root


def tracked_view(
    file: str, name: str, world_from_carm: np.ndarray, carm_from_camera: np.ndarray, options: CalibrationOptions
) -> CalibratedView:
    """The view of a C-arm whose marker is tracked.

    Both in one unit and one choice of axes. Asks for `intrinsics`, `unit`, `axes` and `first_pixel`.

    Parameters
    ----------
    world_from_carm
        (4, 4) the marker's pose in the tracker's reference at the moment of the X-ray.
    carm_from_camera
        (4, 4) of the camera on the marker, from its calibration; the camera as OpenCV's: at the source, x along
        columns, y down rows, z to the detector.
    """
    intrinsics = with_first_pixel_at_0(options, file) @ options.require("intrinsics", file)
    try:
        world_from_camera = rigid.check_rigid(world_from_carm, "world_from_carm") @ rigid.check_rigid(
            carm_from_camera, "carm_from_camera"
        )
    except InputError as error:
        raise InputError(f"{file}: {name}: {error}") from None
    pose = pose_in_lps_mm(rigid.inverse(world_from_camera), options, file)
    return from_parts(file, name, intrinsics, pose, options.size)


TEXT = b"#Insight Transform File"
GROUP, HEAD = b"TransformGroup", 1 << 16  # of ITK's HDF5, and where it stands
CAMERA_ITSELF = "none"


def is_transform(data: bytes) -> bool:
    """Whether it is the beginning of one, as text or HDF5."""
    return data.startswith(TEXT) or GROUP in data[:HEAD]


def read_tracked(path: Path, options: CalibrationOptions) -> list[CalibratedView]:
    """The one view of a transform from the C-arm's marker to the tracker's reference, which is the world.

    Asks for `direction`; `axes`: "ras" where Slicer saved it, whose scene is RAS, so that the camera's axes are those that it has there, as
    with Plus; `fixed_transforms`, the transform file from the camera to the marker, of the same direction and axes, or "none" where the
    transform is the camera's own; and for `intrinsics` and `first_pixel`. Lengths are mm.
    """
    file = printable(path)
    world_from_carm = _pose(path, file, options)
    fixed = os.fspath(options.require("fixed_transforms", file))
    carm_from_camera = np.eye(4) if fixed == CAMERA_ITSELF else _pose(Path(fixed), file, options)
    return [tracked_view(file, printable(path.stem), world_from_carm, carm_from_camera, replace(options, unit="mm"))]


def _pose(path: Path, file: str, options: CalibrationOptions) -> np.ndarray:
    matrix = read_transform(path)
    if options.require("direction", file) == "resampling":
        matrix = rigid.inverse(matrix)
    return turned(matrix) if options.require("axes", file) == "ras" else matrix


ROOT = "PlusConfiguration"
MAX_HEADER_BYTES = 16 << 20

#: Transforms (4, 4) by frame and frame: x_target = frames[source][target] @ x_source, both ways round.
Frames = dict[str, dict[str, np.ndarray]]

_FIELD = re.compile(r"Seq_Frame(\d+)_(\w+?)Transform(Status)?\s*:?=\s*(.*)")
_NAME = re.compile(r"(?<=.)To(?=[A-Z0-9])")


def is_sequence(data: bytes) -> bool:
    """Whether it is a MetaImage or NRRD with a sequence's fields."""
    return data.startswith((b"ObjectType", b"NRRD")) and b"\nSeq_Frame" in data


def header_of(path: Path) -> bytes:
    """The text at the head of a MetaImage or NRRD, whose pixels may be large; nothing for other files."""
    header = b""
    try:
        with path.open("rb") as stream:
            for line in iter(lambda: stream.readline(MAX_HEADER_BYTES), b""):
                header += line
                if not header.startswith((b"ObjectType", b"NRRD")) or len(header) > MAX_HEADER_BYTES:
                    return b""
                if line.startswith(b"ElementDataFile") or not line.strip():
                    break
    except OSError:
        return b""
    return header


def read_plus(content: Element | bytes, file: str, options: CalibrationOptions) -> list[CalibratedView]:
    """The views of a configuration (its root element) or a recording (its header).

    Of a configuration it is one: a chain of its transforms leads from `camera_frame` to `world_frame`; both are asked for.
    """
    if isinstance(content, bytes):
        return _read_recording(content, file, options)
    return [_view(frames_of(content, file), file, "", options)]


def _read_recording(header: bytes, file: str, options: CalibrationOptions) -> list[CalibratedView]:
    """A view for each frame of a recording that has been tracked ("frame 0", ...): its fields are Seq_Frame0000_AToBTransform, 16 numbers
    by rows, x_B = M x_A, with a status that is OK (Plus's user manual, "Sequence file").

    The camera's pose on what is tracked comes from a configuration, `fixed_transforms`, which is asked for where the recording does not
    know `camera_frame`. Frames in which a transform that is needed was not tracked are left out; InputError where none is left.
    """
    recorded = _recorded(decode(header, file, CALIBRATION), file)
    fixed: Frames = {}
    if options.camera_frame and not any(options.camera_frame in frames for frames in recorded.values()):
        path = Path(options.require("fixed_transforms", file))
        fixed = frames_of(xml_root(read_text(path, CALIBRATION), printable(path)), printable(path))
    camera, world = options.require("camera_frame", file), options.require("world_frame", file)
    whole = {number: _joined(fixed, frames) for number, frames in sorted(recorded.items())}
    tracked = {number: frames for number, frames in whole.items() if _chain(frames, camera, world) is not None}
    if not tracked:
        names = ", ".join(map(printable, sorted({name for frames in whole.values() for name in frames}))) or "none"
        raise InputError(
            f'{file} has no frame in which "{printable(camera)}" was tracked to "{printable(world)}", expected one (it tells of '
            f"{names}); correct the names."
        )
    return [_view(frames, file, f"frame {number}", options) for number, frames in tracked.items()]


def frames_of(root: Element, file: str) -> Frames:
    """The transforms <Transform From="A" To="B" Matrix="16 numbers by rows"/> of a configuration's CoordinateDefinitions."""
    frames: Frames = {}
    for transform in root.iterfind(".//CoordinateDefinitions/Transform"):
        _add(frames, transform.get("From", ""), transform.get("To", ""), transform.get("Matrix", ""), file)
    return frames


def _recorded(header: str, file: str) -> dict[int, Frames]:
    """The transforms of each frame whose status is OK or missing."""
    fields: dict[tuple[int, str], dict[str | None, str]] = {}
    for match in _FIELD.finditer(header):
        fields.setdefault((int(match[1]), match[2]), {})[match[3]] = match[4].strip()
    recorded: dict[int, Frames] = {}
    for (number, name), values in fields.items():
        frames = recorded.setdefault(number, {})
        ends = _NAME.split(name)
        if len(ends) == 2 and None in values and values.get("Status", "OK").upper() == "OK":
            _add(frames, *ends, values[None], f"{file}: frame {number}")
    return recorded


def _add(frames: Frames, source: str, target: str, numbers: str, where: str) -> None:
    matrix = _rigid(numbers, f"{where}: the transform from {printable(source)} to {printable(target)}")
    frames.setdefault(source, {})[target] = matrix
    frames.setdefault(target, {})[source] = rigid.inverse(matrix)


def _joined(*parts: Frames) -> Frames:
    return {
        name: {target: matrix for part in parts for target, matrix in part.get(name, {}).items()}
        for part in parts
        for name in part
    }


def _view(frames: Frames, file: str, name: str, options: CalibrationOptions) -> CalibratedView:
    camera, world = options.require("camera_frame", file), options.require("world_frame", file)
    for key, frame in (("camera_frame", camera), ("world_frame", world)):
        if frame not in frames:
            known = ", ".join(map(printable, sorted(frames))) or "none"
            raise InputError(
                f'{file} has no transform of {key} "{printable(frame)}", expected one of its frames ({known}); correct the name.'
            )
    world_from_camera = _chain(frames, camera, world)
    if world_from_camera is None:
        raise InputError(
            f'{file} has no chain of transforms from "{printable(camera)}" to "{printable(world)}", expected one; add what is '
            "missing."
        )
    return tracked_view(file, name or camera, world_from_camera, np.eye(4), options)


def _chain(frames: Frames, source: str, target: str) -> np.ndarray | None:
    """target from source (4, 4), by the fewest transforms."""
    found, waiting = {source: np.eye(4)}, deque([source])
    while waiting:
        frame = waiting.popleft()
        for other, matrix in frames.get(frame, {}).items():
            if other not in found:
                found[other] = matrix @ found[frame]
                waiting.append(other)
    return found.get(target) if target in frames else None


def _rigid(text: str, name: str) -> np.ndarray:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != 16:
        raise InputError(f"{name} has no matrix of 16 numbers, expected 4 rows of 4; correct it.")
    check_magnitude(numbers, name)
    return rigid.check_rigid(np.reshape(numbers, (4, 4)), name)
