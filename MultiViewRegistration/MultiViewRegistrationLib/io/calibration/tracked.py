"""A tracked C-arm: the pose of its marker, the camera's on the marker, and the camera's intrinsics."""

from __future__ import annotations

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from .calibrated import Calibrated, Given, first_pixel_at_0, from_parts, pose_in_mm

KIND = "a tracked C-arm"


def tracked_view(
    file: str, name: str, world_from_carm: np.ndarray, carm_from_camera: np.ndarray, given: Given
) -> Calibrated:
    """The view of a C-arm whose marker is tracked.

    world_from_carm: (4, 4) the marker's pose in the tracker's reference at the moment of the X-ray.
    carm_from_camera: (4, 4) of the camera on the marker, from its calibration; the camera as OpenCV's: at the source, x along columns, y
        down rows, z to the detector.

    Both in one unit and one choice of axes. Asks for `intrinsics`, `unit`, `axes` and `first_pixel`.
    """
    intrinsics = first_pixel_at_0(given, file, KIND) @ given.need("intrinsics", file, KIND)
    try:
        world_from_camera = rigid.check_rigid(world_from_carm, "world_from_carm") @ rigid.check_rigid(
            carm_from_camera, "carm_from_camera"
        )
    except InputError as error:
        raise InputError(f"{file}: {name}: {error}") from None
    pose = pose_in_mm(rigid.inverse(world_from_camera), given, file, KIND)
    return from_parts(file, name, intrinsics, pose, given.size)
