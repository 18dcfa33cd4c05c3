"""A tracked C-arm: transforms between named frames, of Plus or of Slicer, and the camera's intrinsics."""

from __future__ import annotations

from collections import deque
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..fields import shown
from .calibrated import Calibrated, Given, check_magnitude, first_pixel_at_0, from_parts, pose_in_mm

KIND = "a Plus configuration"
ROOT = "PlusConfiguration"


def tracked_view(file: str, name: str, world_from_carm: np.ndarray, carm_from_camera: np.ndarray, given: Given) -> Calibrated:
    """The view of a C-arm whose marker is tracked.

    world_from_carm: (4, 4) the marker's pose in the tracker's reference at the moment of the X-ray.
    carm_from_camera: (4, 4) of the camera on the marker, from its calibration; the camera as OpenCV's: at the source, x along columns, y
        down rows, z to the detector.

    Both in one unit and one choice of axes. Asks for `intrinsics`, `unit`, `axes` and `first_pixel`.
    """
    intrinsics = first_pixel_at_0(given, file, KIND) @ given.need("intrinsics", file, KIND)
    try:
        world_from_camera = rigid.check_rigid(world_from_carm, "world_from_carm") @ rigid.check_rigid(carm_from_camera, "carm_from_camera")
    except InputError as error:
        raise InputError(f"{file}: {name}: {error}") from None
    pose = pose_in_mm(rigid.inverse(world_from_camera), given, file, KIND)
    return from_parts(file, name, intrinsics, pose, given.size)


def read_plus(root: Element, file: str, given: Given) -> list[Calibrated]:
    """The one view of a Plus configuration: its CoordinateDefinitions have <Transform From="A" To="B" Matrix="16 numbers by rows"/>,
    x_B = Matrix @ x_A, and a chain of them must lead from `camera_frame` to `world_frame`, both of which are asked for."""
    camera, world = given.need("camera_frame", file, KIND), given.need("world_frame", file, KIND)
    frames: dict[str, dict[str, np.ndarray]] = {}
    for transform in root.iterfind(".//CoordinateDefinitions/Transform"):
        source, target = transform.get("From", ""), transform.get("To", "")
        matrix = _rigid(transform.get("Matrix", ""), f"{file}: the transform from {shown(source)} to {shown(target)}")
        frames.setdefault(source, {})[target] = matrix
        frames.setdefault(target, {})[source] = rigid.inverse(matrix)
    for key, frame in (("camera_frame", camera), ("world_frame", world)):
        if frame not in frames:
            known = ", ".join(map(shown, sorted(frames))) or "none"
            raise InputError(f'{file} has no transform of {key} "{shown(frame)}", expected one of its frames ({known}); correct the name.')
    world_from_camera = _chain(frames, camera, world)
    if world_from_camera is None:
        raise InputError(f'{file} has no chain of transforms from "{shown(camera)}" to "{shown(world)}", expected one; add the missing one.')
    return [tracked_view(file, camera, world_from_camera, np.eye(4), given)]


def _chain(frames: dict[str, dict[str, np.ndarray]], source: str, target: str) -> np.ndarray | None:
    """target from source (4, 4), by the fewest transforms."""
    found, waiting = {source: np.eye(4)}, deque([source])
    while waiting:
        frame = waiting.popleft()
        for other, matrix in frames[frame].items():
            if other not in found:
                found[other] = matrix @ found[frame]
                waiting.append(other)
    return found.get(target)


def _rigid(text: str, name: str) -> np.ndarray:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != 16:
        raise InputError(f"{name} has no Matrix of 16 numbers, expected 4 rows of 4; correct it.")
    check_magnitude(numbers, name)
    return rigid.check_rigid(np.reshape(numbers, (4, 4)), name)
