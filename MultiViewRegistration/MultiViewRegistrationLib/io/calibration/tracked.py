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
from ..files import decode, parse_numbers, printable, read_text
from ..transforms import read_transform, turned
from .calibrated import CALIBRATION, CalibratedView, CalibrationOptions, from_parts, xml_root

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
    header = b""
    try:
        with path.open("rb") as stream:
            for line in iter(lambda: stream.readline(MAX_HEADER_BYTES), b""):
                header += line
                if (
                    not header.startswith((b"ObjectType", b"NRRD"))
                    or len(header) > MAX_HEADER_BYTES
                ):
                    return b""
                if line.startswith(b"ElementDataFile") or not line.strip():
                    break
    except OSError:
        return b""
    return header


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
