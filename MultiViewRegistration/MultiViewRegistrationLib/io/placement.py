"""How X-rays and CT lie to each other: which way a projection looks, and what cameras and start poses cannot be true."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..errors import InputError, warn
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.epipolar import closest_point, default_pose_at_isocentre
from ..imaging.body import Body
from ..imaging.ct import CT
from ..imaging.xray import View, XRay
from .transforms import LPS_FROM_RAS
from .view_record import ViewRecord

PARALLEL = (
    0.015  # 1 - cos(10 degrees): nearer to parallel than that, where two rays meet means nothing
)
#: A source within the CT and nearer to its middle than this, in what was taken as mm, is in another
#: unit, so many mm long.
NOT_MM = {10.0: ("metres", 1000), 250.0: ("centimetres", 10)}


def resolve_projection_signs(
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
    P = record.geometry
    advice = ""
    if isinstance(P, np.ndarray):
        negative = np.linalg.slogdet(P[:, :3] / np.abs(P).max())[0] < 0
        if point is None and negative:
            raise InputError(
                f"{record.geometry_field} has a negative determinant and may be that of a mirrored "
                "image, expected a way to tell; add world_from_ct, or give camera in its place, with "
                "fx below 0 if the image is as seen from the detector."
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
    directions = np.stack([camera.middle_ray for camera in cameras])
    if len(cameras) - np.linalg.eigvalsh(directions.T @ directions)[-1] < PARALLEL:
        return None
    return closest_point(np.stack([camera.source for camera in cameras]), directions)[0]


def sees(camera: Camera, world_from_index: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    """Return whether any point of the box from `low` to `high` (3,), in voxel indices, falls on the camera's image."""
    outside = camera.field_planes @ world_from_index  # @ (i, j, k, 1) <= 0 within the field
    outside /= np.linalg.norm(outside[:, :3], axis=1, keepdims=True)
    if (outside @ [*(low + high) / 2, 1.0] <= 0).all():
        return True
    from scipy.optimize import linprog  # slow to import

    bounds = np.stack([low, high], axis=1)
    return bool(linprog(np.zeros(3), outside[:, :3], -outside[:, 3], bounds=bounds).success)


def ct_box(ct: CT) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest (i, j, k) of the CT, or of what its mask selects, at the voxels' outer faces."""
    low = np.zeros(3)
    high = np.array(ct.volume.size) - 1.0
    if ct.mask is not None:
        for i, axes in enumerate(((0, 1), (0, 2), (1, 2))):
            low[i], high[i] = np.flatnonzero(ct.mask.any(axes))[[0, -1]]
    return low - 0.5, high + 0.5


def check_sources(
    files: list[ViewRecord], xrays: list[XRay], ct: CT, world_from_ct: np.ndarray | None
) -> None:
    """Refuse cameras whose source lies within the CT, as a matrix for metres has it.

    Without a start pose the CT is taken to lie where the central rays meet.
    """
    cameras = [file.camera(xray.valid.shape[::-1]) for file, xray in zip(files, xrays, strict=True)]
    centroid = ct.centroid()
    pose = default_pose_at_isocentre(cameras, centroid) if world_from_ct is None else world_from_ct
    index_from_world = ct.volume.index_from_ct @ rigid.inverse(pose)
    size = np.array(ct.volume.size)
    for file, camera in zip(files, cameras, strict=True):
        index = rigid.transform_points(index_from_world, camera.source)
        if not ((index > -0.5) & (index < size - 0.5)).all():
            continue
        away = float(np.linalg.norm(camera.source - rigid.transform_points(pose, centroid)))
        unit, factor = next((unit for limit, unit in NOT_MM.items() if away < limit), ("", 0))
        is_matrix = file.kind == "projection_matrix"
        how = (
            f"divide its first three columns by {factor}"
            if is_matrix
            else f"multiply its distances by {factor}"
        )
        raise InputError(
            f"{file.geometry_field}: puts the X-ray source inside the CT, {away:.2g} mm from its "
            "middle, expected a camera in millimetres with the CT between source and detector; "
            f"{f'if it is in {unit}, {how}' if unit else 'correct it or world_from_ct'}."
        )


def check_starts(
    begin: str, bodies: Sequence[Body], files: list[ViewRecord], views: list[View]
) -> None:
    """Refuse start poses of further bodies as `check_start` does; `begin` begins its sentences."""
    cameras = [view.camera for view in views]
    for body in bodies[1:]:
        if body.world_from_ct is not None:
            where = f'{begin}structure "{body.name}"'
            check_start(where, files, cameras, body.ct, body.world_from_ct)


def check_start(
    where: str, files: list[ViewRecord], cameras: list[Camera], ct: CT, world_from_ct: np.ndarray
) -> None:
    """Refuse a start pose (4, 4) at which no X-ray shows the CT."""
    low, high = ct_box(ct)

    def seen(pose: np.ndarray) -> list[bool]:
        world_from_index = pose @ ct.volume.ct_from_index
        return [sees(camera, world_from_index, low, high) for camera in cameras]

    shown = seen(world_from_ct)
    if not any(shown):
        in_ras = "if the CT's matrix is in RAS, as nibabel's affine is, put it into LPS: np.diag([-1, -1, 1, 1]) @ affine; else "
        raise InputError(
            f"{where}: world_from_ct has the CT outside every view, expected a start pose at "
            f"which images show it; {in_ras if any(seen(world_from_ct @ LPS_FROM_RAS)) else ''}correct it or the geometry of "
            "the views."
        )
    for view, sees_ct in zip(files, shown):
        if not sees_ct:
            warn(
                f"{where}: {view.field} does not show the CT at the start pose world_from_ct; "
                "check its geometry."
            )


def refuse_copies(where: str, files: list[ViewRecord], xrays: list[XRay]) -> None:
    """Refuse two views with the same image."""
    for (first, one), (second, other) in combinations(zip(files, xrays), 2):
        if np.array_equal(one.line_integrals, other.line_integrals):
            raise InputError(
                f"{where}: {second.field} has the same image as {first.field}, expected another "
                "for each; choose its own, or leave it out."
            )
