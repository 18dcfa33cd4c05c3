"""The cameras of a case, settled by what only the images and the CT tell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.epipolar import closest_point
from .view_record import ViewRecord

PARALLEL = (
    0.015  # 1 - cos(10 degrees): nearer to parallel than that, where two rays meet means nothing
)
#: Of three planes with normals of length 1, the determinant below which they meet in no point;
#: voxels by which planes may miss one.
PARALLEL_PLANES, TOUCHING = 1e-12, 1e-7
#: An assumption: a mask leaves out what did not fit at an earlier pose.
LEFT_OUT = "What did not fit at an earlier pose, and its mask leaves out, is none of the CT."


def settle(
    records: Sequence[ViewRecord], sizes: Sequence[tuple[int, int]], ct_centre: np.ndarray | None
) -> list[Camera]:
    """Return the camera of each view, for images of `sizes` (columns, rows) and a CT at `ct_centre` (3,), world mm.

    Without a start pose `ct_centre` is None, and the views' meeting_point stands for it.

    P and -P are one projection, so the sign of a matrix as written says something only together
    with a point that the image shows. If that has a positive depth (third row), a negative
    determinant of the left 3x3 means a mirrored image; if both are negative the whole matrix has
    the other sign; a negative depth alone has the point behind the source.
    """
    cameras = [record.camera(size) for record, size in zip(records, sizes)]
    point = meeting_point(cameras) if ct_centre is None else ct_centre
    what = "the point where the views meet" if ct_centre is None else "the CT at its start pose"
    return [_before(point, what, record, camera) for record, camera in zip(records, cameras)]


def _before(point: np.ndarray | None, what: str, record: ViewRecord, plain: Camera) -> Camera:
    """Return the camera that has `point`, which is `what`, before its source.

    `plain` is the one not mirrored.
    """
    P, advice = record.geometry, ""
    if isinstance(P, np.ndarray):
        negative = np.linalg.slogdet(P[:, :3] / np.abs(P).max())[0] < 0
        if point is None and negative:
            raise InputError(
                f"{record.geometry_field} has a negative determinant and may be that of a mirrored "
                "image, expected a way to tell; add world_from_ct, or multiply it by -1 if the "
                "image is not mirrored."
            )
        if point is not None and negative and plain.depth(point) < 0:
            return Camera.from_projection_matrix(P, plain.size, in_front=point)
        advice = ", or multiply the matrix of a mirrored image by -1 so that depths are positive"
    if point is not None and plain.depth(point) <= 0:
        raise InputError(
            f"{record.geometry_field} has {what} behind the X-ray source, expected it between "
            f"source and detector; correct it or world_from_ct{advice}."
        )
    return plain


def meeting_point(cameras: list[Camera]) -> np.ndarray | None:
    """Return the point (3,) in world mm nearest to all views, None for a single view and where the lines are nearly parallel.

    It has the least squared distances to one line a view, from the source through the middle of the
    image.
    """
    directions = np.stack(
        [camera.ray_directions((np.array(camera.size) - 1) / 2) for camera in cameras]
    )
    if len(cameras) - np.linalg.eigvalsh(directions.T @ directions)[-1] < PARALLEL:
        return None
    return closest_point(np.stack([camera.source for camera in cameras]), directions)[0]


def sees(camera: Camera, world_from_index: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    """Return whether any point of the box from `low` to `high` (3,), in voxel indices, falls on the camera's image.

    What both have in common is convex and bounded: where there is anything, it has a corner, in
    which three of their planes meet.
    """
    outside = camera.field_planes @ world_from_index  # @ (i, j, k, 1) <= 0 within the field
    outside /= np.linalg.norm(outside[:, :3], axis=1, keepdims=True)
    if (outside @ [*(low + high) / 2, 1.0] <= 0).all():
        return True
    box = np.vstack([np.c_[-np.eye(3), low], np.c_[np.eye(3), -high]])
    planes = np.vstack([outside, box])
    meeting = planes[np.array(list(combinations(range(len(planes)), 3)))]
    meeting = meeting[np.abs(np.linalg.det(meeting[..., :3])) > PARALLEL_PLANES]
    corners = np.linalg.solve(meeting[..., :3], -meeting[..., 3:])[..., 0]
    within = corners @ planes[:, :3].T + planes[:, 3] <= TOUCHING
    return bool(within.all(axis=1).any())
