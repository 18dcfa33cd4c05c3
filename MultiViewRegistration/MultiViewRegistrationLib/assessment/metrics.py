"""Registration errors, each under the name and by the definition of the literature.

Throughout, `estimated` and `true` are poses `world_from_ct` (4, 4) and `targets` are points (N, 3) in CT mm.

van de Kraats et al., Standardized evaluation methodology for 2-D-3-D registration, IEEE TMI 24(9):1177-1189,
2005.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera

PixelSize = tuple[float, float]
"""Size of a pixel on the detector in mm, (column, row). A camera matrix does not tell it."""


def target_error_vectors(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Estimated minus true position of each target in world mm, (N, 3)."""
    return rigid.transform_points(estimated, targets) - rigid.transform_points(true, targets)


def target_errors(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """TRE: 3D distance in mm between estimated and true position of each target, (N,)."""
    return np.linalg.norm(target_error_vectors(estimated, true, targets), axis=-1)


def mtre(estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> float:
    """mTRE: mean over the targets of their 3D distance, mm."""
    return float(target_errors(estimated, true, targets).mean())


def projection_distances_px(camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Estimated minus true projection of each target in pixels, (N, 2) as (column, row)."""
    return camera.project(rigid.transform_points(estimated, targets)) - camera.project(
        rigid.transform_points(true, targets)
    )


def mpd_px(camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> float:
    """Mean projection distance in pixels, for images whose pixel size nobody knows."""
    return float(np.linalg.norm(projection_distances_px(camera, estimated, true, targets), axis=-1).mean())


def mpd(camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray, pixel_mm: PixelSize) -> float:
    """mPD: mean distance on the detector between estimated and true projection of the targets, mm."""
    distances = projection_distances_px(camera, estimated, true, targets) * np.asarray(pixel_mm)
    return float(np.linalg.norm(distances, axis=-1).mean())


def mrpd(camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> float:
    """mRPD: mean 3D distance, mm, from each true target to the ray through its estimated projection.

    The ray starts at the source. Unlike mTRE it forgives an error along the ray, which a single view hardly
    sees.
    """
    rays = camera.ray_directions(camera.project(rigid.transform_points(estimated, targets)))
    from_source = rigid.transform_points(true, targets) - camera.source
    return float(np.linalg.norm(np.cross(from_source, rays), axis=-1).mean())


class Geodesics(NamedTuple):
    """How far apart two poses are, without targets."""

    rotation_deg: float
    """Angle of the rotation between them."""
    translation_mm: float
    """Distance between the two positions of the centre."""
    double_mm: float
    """sqrt((radius * angle)^2 + translation^2), the double geodesic of DiffPose (arXiv 2312.06358)."""


def geodesics(estimated: np.ndarray, true: np.ndarray, centre_ct: np.ndarray, radius_mm: float) -> Geodesics:
    """Distances between two poses.

    `centre_ct` (3,): the point in CT mm whose displacement counts. A CT's own origin often lies far outside
    the body, and there a small rotation is a large translation. `radius_mm` turns the angle into mm;
    DiffPose takes half the source-detector distance.
    """
    to_centre = rigid.from_rotation_translation(np.eye(3), np.asarray(centre_ct, float))
    a, b = estimated @ to_centre, true @ to_centre
    return Geodesics(
        float(np.degrees(rigid.rotation_distance(a, b))),
        float(rigid.translation_distance(a, b)),
        float(rigid.geodesic_distance(a, b, radius_mm)),
    )


def diffpose_score(
    camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray, pixel_mm: float
) -> float:
    """What the evaluation code of DiffPose and its successors prints as "mTRE", only to compare with them.

    Targets are projected by the estimated and by the true pose, lifted to points x on the detector plane in
    mm, and carried into the CT frame each by its own pose; the mean distance is multiplied by the pixel
    size once more: `pixel_mm * mean |ct_from_camera_est x_est - ct_from_camera_true x_true|`. It says
    little about the target error. `pixel_mm` is the edge of the square pixel, 0.194 in those papers.
    """
    source_to_detector_mm = camera.intrinsics[1, 1] * pixel_mm

    def detector_points_ct(world_from_ct: np.ndarray) -> np.ndarray:
        pixels = camera.project(rigid.transform_points(world_from_ct, targets))
        homogeneous = np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], axis=-1)
        on_detector = source_to_detector_mm * homogeneous @ np.linalg.inv(camera.intrinsics).T
        return rigid.transform_points(rigid.inverse(camera.camera_from_world @ world_from_ct), on_detector)

    distances = np.linalg.norm(detector_points_ct(estimated) - detector_points_ct(true), axis=-1)
    return float(pixel_mm * distances.mean())


class ErrorSplit(NamedTuple):
    """Target errors as one view sees them, per target, mm."""

    depth_mm: np.ndarray
    """(N,) along the ray to the true target, positive away from the source: what the view hardly sees."""
    in_plane_mm: np.ndarray
    """(N,) length of the rest, at right angles to that ray."""


def split_by_view(camera: Camera, estimated: np.ndarray, true: np.ndarray, targets: np.ndarray) -> ErrorSplit:
    """Split each target's error vector into the view's depth and in-plane parts."""
    error = target_error_vectors(estimated, true, targets)
    from_source = rigid.transform_points(true, targets) - camera.source
    ray = from_source / np.linalg.norm(from_source, axis=-1, keepdims=True)
    depth = np.sum(error * ray, axis=-1)
    return ErrorSplit(depth, np.linalg.norm(error - depth[:, None] * ray, axis=-1))


@dataclass(frozen=True)
class Errors:
    """All errors of one registration; distances in the image are means over targets and views.

    depth_mm, in_plane_mm: means over the targets of their error along the first view's beam, and across it.
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
    """All errors of a registration over one or more views.

    `pixels_mm` has one entry for each camera. Where one is None (a PNG, for one, does not tell), what needs a
    pixel size, `mpd_mm` and `diffpose_score`, is None. `translation_mm` is that of the targets' centroid.
    """
    targets = np.atleast_2d(np.asarray(targets, float))
    pose = (estimated, true, targets)
    tre = target_errors(*pose)
    known = [(camera, size) for camera, size in zip(cameras, pixels_mm, strict=True) if size is not None]
    complete = len(known) == len(cameras)
    distance = geodesics(estimated, true, targets.mean(axis=0), radius_mm=0.0)
    split = split_by_view(cameras[0], *pose)
    return Errors(
        mtre_mm=float(tre.mean()),
        max_tre_mm=float(tre.max()),
        mpd_px=float(np.mean([mpd_px(camera, *pose) for camera in cameras])),
        mpd_mm=float(np.mean([mpd(camera, *pose, size) for camera, size in known])) if complete else None,
        mrpd_mm=float(np.mean([mrpd(camera, *pose) for camera in cameras])),
        diffpose_score=(
            float(np.mean([diffpose_score(camera, *pose, size[1]) for camera, size in known])) if complete else None
        ),
        depth_mm=float(np.abs(split.depth_mm).mean()),
        in_plane_mm=float(split.in_plane_mm.mean()),
        rotation_deg=distance.rotation_deg,
        translation_mm=distance.translation_mm,
    )
