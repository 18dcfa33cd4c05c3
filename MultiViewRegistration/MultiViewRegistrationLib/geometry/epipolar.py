"""Link the pixels of one view to the others.

The epipolar line, and the point that pixels of several views agree on.

Hartley and Zisserman, "Multiple View Geometry in Computer Vision", 2nd ed., chapters 9 and 12.
There lines are infinite; here only what lies before both sources can have been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import rigid
from .camera import Camera

#: Rays that all lie within this angle of each other do not determine the depth of a point.
PARALLEL_DEG = 1.0
#: Points of a ray that a slot scan shows bent: the lines between them are a tenth of a pixel off
#: where it bends by 100.
BENT_POINTS = 33


class Triangulation(NamedTuple):
    """A point (3,) in world mm; the largest of its distances from the rays (mm), and of its projections from the pixels."""

    point: np.ndarray
    residual_mm: float
    residual_px: float


def epipolar_line(camera_from: Camera, camera_to: Camera, pixel: ArrayLike) -> np.ndarray | None:
    """Return the epipolar line: the ray of a pixel of one view as another view sees it.

    A curve in a slot scan.

    Parameters
    ----------
    pixel
        (u, v) in the image of `camera_from`.

    Returns
    -------
    ndarray or None
        (n, 2), points of the line in pixels of `camera_to`, that nearest to the source of
        `camera_from` first: both ends, or more where a slot scan shows the ray bent. None where no
        part of the ray lies before both sources and within the image of `camera_to`, to the outer
        edges of its pixels, and for pinholes that share their source: there a ray is a point.
    """
    forms = camera_to.linear_forms
    pixel = np.asarray(pixel, float)
    # The ray at depth z of its own camera has the forms begin + z along: at first the epipole, at
    # last the vanishing point (9.1).
    source = np.append(camera_from.sources(pixel), 1)
    ray = camera_from.ray_matrix @ np.append(pixel, 1)
    begin = forms @ source
    along = forms[:, :3] @ ray
    if np.linalg.norm(begin) <= 1e-12 * np.linalg.norm(forms[:, 3]):
        return None
    # Each side of the image is a plane: linear in z, and 0 or more on the inner side of what lies
    # before the source.
    sides = -camera_to.field_planes[1:]
    near = 0.0
    far = np.inf
    for at_begin, change in zip(sides @ source, sides[:, :3] @ ray):
        if change > 0:
            near = max(near, -at_begin / change)
        elif change < 0:
            far = min(far, -at_begin / change)
        elif at_begin < 0:
            return None
    if not near < far:
        return None
    if np.isinf(far):
        vanishing = along.copy()
        if not along[3]:  # within a row of a slot scan
            vanishing[[1, 3]] = begin[[1, 3]]
        points = np.stack([begin + near * along, vanishing])
    else:
        bent = along[2] and along[1] and not along[3]
        points = begin + np.linspace(near, far, BENT_POINTS if bent else 2)[:, None] * along
    return points[:, :2] / points[:, 2:]


def closest_point(
    sources: np.ndarray, directions: np.ndarray, origin_weight: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Find the point with the least sum of squared distances from rays.

    Parameters
    ----------
    sources
        (n, 3), a point of each ray, world mm.
    directions
        (n, 3), unit vectors.
    origin_weight
        Weight of the distance from the world's origin, a ray having 1; it decides what parallel
        rays leave open.

    Returns
    -------
    point
        (3,) world mm.
    across
        (n, 3, 3), the projection onto the plane square to each ray.
    """
    across = np.eye(3) - directions[:, :, None] * directions[:, None]
    normal = across.sum(axis=0) + origin_weight * np.eye(3)
    return np.linalg.solve(normal, np.einsum("nij,nj->i", across, sources)), across


def triangulate(cameras: Sequence[Camera], pixels: ArrayLike) -> Triangulation:
    """Find the point with the least sum of squared distances from the rays through one pixel of each of n cameras.

    Parameters
    ----------
    pixels
        (n, 2).

    Raises
    ------
    InputError
        For fewer than two rays, rays within a degree of each other, and a point behind a source.
    """
    pixels = rigid.check_numbers(pixels, (len(cameras), 2), "pixels")
    if len(cameras) < 2:
        raise InputError(
            f"pixels: found {len(cameras)}, expected those of two or more views, as one leaves the "
            "depth open; add another."
        )
    directions = np.stack([camera.ray_directions(pixel) for camera, pixel in zip(cameras, pixels)])
    sources = np.stack([camera.sources(pixel) for camera, pixel in zip(cameras, pixels)])
    cosines = np.abs(directions @ directions.T)
    if cosines.min() > np.cos(np.radians(PARALLEL_DEG)):
        raise InputError(
            f"pixels: found rays within {PARALLEL_DEG:g} degree of each other, expected views from "
            "different sides, as these leave the depth open; choose another view."
        )
    point, across = closest_point(sources, directions)
    behind = [number for number, camera in enumerate(cameras, start=1) if camera.depth(point) <= 0]
    if behind:
        raise InputError(
            f"pixels: the rays come nearest to each other behind the source of view {behind[0]}, "
            "expected pixels that show one point; check that they do, and the geometry of the "
            "views."
        )
    distances = np.linalg.norm(np.einsum("nij,nj->ni", across, point - sources), axis=1)
    projected = np.stack([camera.project(point) for camera in cameras])
    return Triangulation(
        point, float(distances.max()), float(np.linalg.norm(projected - pixels, axis=1).max())
    )


def default_pose_at_isocentre(cameras: list[Camera], centroid: np.ndarray) -> np.ndarray:
    """Return a pose (4, 4) for a CT without a start.

    Its axes along the world's, its centroid where the central rays meet.

    Parameters
    ----------
    centroid
        (3,) CT mm. Of one view alone, where its central ray passes the world's origin, the
        isocentre of a C-arm.
    """
    # The origin, with little weight, decides what the rays leave open.
    sources = np.stack([camera.source for camera in cameras])
    axes = np.stack([camera.camera_from_world[2, :3] for camera in cameras])
    meeting, _ = closest_point(sources, axes, origin_weight=1e-6)
    return rigid.translation(meeting - centroid)
