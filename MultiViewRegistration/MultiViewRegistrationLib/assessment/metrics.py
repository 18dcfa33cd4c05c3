"""Registration errors, each by its definition in the literature, and the targets at which they are measured.

`estimated` and `true` are poses `world_from_ct` (4, 4), and `targets` are points (N, 3) in CT mm.

References
----------
van de Kraats et al., Standardized evaluation methodology for 2-D-3-D registration, IEEE TMI
24(9):1177-1189, 2005.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.field import nearest
from ..imaging.xray import View

if TYPE_CHECKING:  # a panel opens before numba is installed
    from ..registration.prepared_ct import PreparedCT

PixelSize = tuple[float, float]
"""Size of a pixel on the detector in mm, (column, row). A camera matrix does not tell it."""
#: Largest number of points that represent all bone, and smallest number of points that all views show.
MAX_TARGETS = 300
MIN_TARGETS = 10


class TargetPoints(NamedTuple):
    """Points to which errors refer.

    Attributes
    ----------
    points
        (N, 3), CT mm.
    kind
        Key of `TARGET_KINDS`.
    """

    points: np.ndarray
    kind: str

    def __str__(self) -> str:
        return TARGET_KINDS[self.kind]


#: Kinds of target points, in words.
TARGET_KINDS = {
    "targets": "the case's targets",
    "visible bone": "the bone in all X-rays",
    "bone": "the bone of the CT",
    "corners": "the corners of the body",
}


def target_points(
    anatomy: PreparedCT, views: Sequence[View], pose: np.ndarray, targets: np.ndarray | None = None
) -> TargetPoints:
    """Return the points to which errors of a pose refer.

    Parameters
    ----------
    targets
        (N, 3) targets of the user, CT mm. By default bone that all views show at the pose (4, 4), or
        else all bone of the CT, or else the corners of the body.
    """
    if targets is not None:
        return TargetPoints(targets, "targets")
    bone = anatomy.bone_points()
    if len(bone) < MIN_TARGETS:
        return TargetPoints(anatomy.corners(), "corners")
    visible = default_targets(anatomy, views, pose)
    return TargetPoints(visible, "visible bone") if len(visible) else TargetPoints(bone, "bone")


def default_targets(
    anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray
) -> np.ndarray:
    """Return points (N, 3), CT mm, of bone that all views show at a pose; (0, 3) if there is hardly any."""
    points = shown_bone(anatomy, views, world_from_ct)
    return rigid.some_of(points, MAX_TARGETS) if len(points) >= MIN_TARGETS else points[:0]


def shown_bone(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> np.ndarray:
    """Return the points (N, 3), CT mm, of bone that all views show at a pose."""
    points = anatomy.bone_points()
    return points[in_field(views, rigid.transform_points(world_from_ct, points)).all(axis=0)]


def in_field(views: Sequence[View], points: np.ndarray) -> np.ndarray:
    """Return (views, N) bool, which world points (N, 3) fall on a valid pixel of each view."""
    inside = np.zeros((len(views), len(points)), bool)
    for i, view in enumerate(views):
        before = view.camera.depth(points) > 0
        inside[i, before] = nearest(view.xray.valid, view.camera.project(points[before]))
    return inside


def _displacements(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the estimated minus true position of each target in world mm, (N, 3)."""
    return rigid.transform_points(estimated, targets) - rigid.transform_points(true, targets)


def target_errors(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the TRE (N,): 3D distance in mm between estimated and true position of each target."""
    return np.linalg.norm(_displacements(estimated, true, targets), axis=-1)


def mtre(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> float:
    """Return the mTRE: mean over the targets of their 3D distance, mm."""
    return float(target_errors(estimated, true, targets).mean())


def mpd(
    camera: Camera,
    estimated: np.ndarray,
    true: np.ndarray,
    targets: np.ndarray,
    pixel_mm: PixelSize = (1.0, 1.0),
) -> float:
    """Return the mPD: mean distance on the detector between estimated and true projection of the targets, mm; by default pixels."""
    here, there = (
        camera.project(rigid.transform_points(pose, targets)) for pose in (estimated, true)
    )
    return float(np.linalg.norm((here - there) * np.asarray(pixel_mm), axis=-1).mean())


def mrpd(camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> float:
    """Return the mRPD: mean 3D distance, mm, from each true target to the ray through its estimated projection.

    The ray starts at the source. Unlike mTRE it forgives an error along the ray, which a single
    view hardly sees.
    """
    pixels = camera.project(rigid.transform_points(estimated, targets))
    rays = camera.ray_directions(pixels)
    from_source = rigid.transform_points(true, targets) - camera.sources(pixels)
    return float(np.linalg.norm(np.cross(from_source, rays), axis=-1).mean())


def diffpose_score(
    camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray, pixel_mm: float
) -> float:
    """Return what the evaluation code of DiffPose and its successors prints as "mTRE", only to compare with them.

    Targets are projected by the estimated and by the true pose, lifted to points x on the detector
    plane in mm, and carried into the CT frame each by its own pose; the mean distance is multiplied
    by the pixel size once more: `pixel_mm * mean |ct_from_camera_est x_est - ct_from_camera_true
    x_true|`. It says little about the target error. `pixel_mm` is the edge of the square pixel,
    0.194 in those papers.
    """
    source_to_detector_mm = camera.intrinsics[1, 1] * pixel_mm

    def detector_points_ct(world_from_ct: np.ndarray) -> np.ndarray:
        pixels = camera.project(rigid.transform_points(world_from_ct, targets))
        homogeneous = np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], axis=-1)
        on_detector = source_to_detector_mm * homogeneous @ np.linalg.inv(camera.intrinsics).T
        return rigid.transform_points(
            rigid.inverse(camera.camera_from_world @ world_from_ct), on_detector
        )

    distances = np.linalg.norm(detector_points_ct(estimated) - detector_points_ct(true), axis=-1)
    return float(pixel_mm * distances.mean())


class ErrorSplit(NamedTuple):
    """Target errors as one view sees them, per target, mm."""

    depth_mm: np.ndarray
    """(N,) along the ray to the true target, positive away from the source: what the view hardly
    sees."""
    in_plane_mm: np.ndarray
    """(N,) length of the rest, at right angles to that ray."""


def split_by_view(
    camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray
) -> ErrorSplit:
    """Split each target's error vector into the view's depth and in-plane parts."""
    error = _displacements(estimated, true, targets)
    points = rigid.transform_points(true, targets)
    ray = rigid.unit(points - camera.sources(camera.project(points)))
    depth = np.sum(error * ray, axis=-1)
    return ErrorSplit(depth, np.linalg.norm(error - depth[:, None] * ray, axis=-1))


@dataclass(frozen=True)
class Errors:
    """Errors of one registration; distances in the image are means over targets and views.

    Attributes
    ----------
    depth_mm, in_plane_mm
        Mean error of the targets along the first view's beam, and across it.
    """

    mtre_mm: float
    max_tre_mm: float
    mpd_px: float
    mpd_mm: float | None
    mrpd_mm: float
    diffpose_score: float | None
    depth_mm: float
    in_plane_mm: float
    rotation_deg: float
    translation_mm: float


def errors(
    cameras: Sequence[Camera],
    estimated: np.ndarray,
    true: np.ndarray,
    targets: np.ndarray,
    pixels_mm: Sequence[PixelSize | None],
) -> Errors:
    """Return the errors of a registration over one or more views.

    Parameters
    ----------
    pixels_mm
        Pixel size of each view; None if unknown, as in a PNG. Then `mpd_mm` and `diffpose_score`
        are None; the latter also for a slot scan.
    """
    targets = np.atleast_2d(np.asarray(targets, float))
    pose = (estimated, true, targets)
    tre = target_errors(*pose)
    known = [
        (camera, size) for camera, size in zip(cameras, pixels_mm, strict=True) if size is not None
    ]
    complete = len(known) == len(cameras)
    translation_mm, rotation_deg = rigid.pose_difference(estimated, true, targets.mean(axis=0))
    split = split_by_view(cameras[0], *pose)
    return Errors(
        mtre_mm=float(tre.mean()),
        max_tre_mm=float(tre.max()),
        mpd_px=float(np.mean([mpd(camera, *pose) for camera in cameras])),
        mpd_mm=float(np.mean([mpd(camera, *pose, size) for camera, size in known]))
        if complete
        else None,
        mrpd_mm=float(np.mean([mrpd(camera, *pose) for camera in cameras])),
        diffpose_score=(
            float(np.mean([diffpose_score(camera, *pose, size[1]) for camera, size in known]))
            if complete and not any(camera.is_slot_scan for camera in cameras)
            else None
        ),
        depth_mm=float(np.abs(split.depth_mm).mean()),
        in_plane_mm=float(split.in_plane_mm.mean()),
        rotation_deg=rotation_deg,
        translation_mm=translation_mm,
    )
