"""Poses that the CT is put at before a registration, and which X-rays show it there."""

from __future__ import annotations

import numpy as np
import slicer

from ..errors import InputError
from ..geometry import rigid
from ..io.cameras import sees
from .by_hand import centre_in_ct
from .frames import lps_from_ras, transform_to_lps
from .registration import Registration


def copy_pose(registration: Registration, transform) -> None:
    """Put the CT where a transform node puts things, its parents included. InputError where that is no rigid motion."""
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            f"{transform.GetName()}: is not a linear transform, expected one that turns and shifts; choose another."
        )
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    transform.GetMatrixTransformToWorld(matrix)
    registration.world_from_ct = rigid.check_rigid(
        transform_to_lps(slicer.util.arrayFromVTKMatrix(matrix)), transform.GetName()
    )


def centre_ct(registration: Registration) -> None:
    """Put the middle of the CT's bone where the central rays of the X-rays meet, the CT's axes along the world's.

    InputError without a usable CT, or an X-ray with a geometry.
    """
    from ..registration.ranges import default_pose_at_isocentre

    cameras = [view.camera for view in registration.xrays if view.used and view.placed]
    if not cameras:
        raise InputError(
            "X-rays: none that is used has a geometry, expected one that says where its beam goes; enter it."
        )
    registration.world_from_ct = default_pose_at_isocentre(cameras, centre_in_ct(registration))


def blind(registration: Registration) -> list[str]:
    """The names of the X-rays, of those that are used and have a geometry, that do not show the CT where it is now."""
    ct = registration.ct
    if ct is None or ct.GetImageData() is None:
        return []
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    ct.GetIJKToRASMatrix(matrix)
    world_from_index = registration.world_from_ct @ lps_from_ras(slicer.util.arrayFromVTKMatrix(matrix))
    low, high = np.full(3, -0.5), np.array(ct.GetImageData().GetDimensions()) - 0.5
    centre = rigid.transform_points(world_from_index, (low + high) / 2)
    views = [view for view in registration.xrays if view.used and view.placed]
    return [
        view.name
        for view in views
        if not (_shows(view.camera, centre) or sees(view.camera, world_from_index, low, high))
    ]  # the latter takes milliseconds


def seen(registration: Registration) -> bool:
    """Whether any X-ray that is used and has a geometry shows the CT where it is now."""
    return len(blind(registration)) < sum(view.used and view.placed for view in registration.xrays)


def _shows(camera, point: np.ndarray) -> bool:
    """Whether a world point falls on a camera's image."""
    size = np.array(camera.size)
    return bool(camera.depth(point) > 0 and (np.abs(camera.project(point) - (size - 1) / 2) < size / 2).all())
