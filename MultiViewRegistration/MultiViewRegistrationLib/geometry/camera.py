"""The pinhole camera of an X-ray view (Hartley and Zisserman, "Multiple View Geometry", 2nd ed., ch. 6).

`machines.SlotScanCamera` is that of a slot scan. What both have is what callers may rely on: every
ray x(z) = s + z q begins at a source s and has a direction q that are linear in the pixel, z being
the depth in mm. `Distortion` is that of an image before it is one of a pinhole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import rigid

MIN_ROW_LENGTH = 1e-15
"""Share of a projection matrix's largest number; a row whose first three numbers are shorter is a
rounding error, not a camera."""


@dataclass(frozen=True, eq=False)
class Camera:
    """OpenCV pinhole: origin at the source, x along columns, y down the rows, z from source to detector.

    A world point X (mm) falls on pixel (u, v), (0, 0) being the centre of the top-left one:
    depth * (u, v, 1) = intrinsics @ (R X + t), [R | t] the upper rows of camera_from_world.

    The arrays are copied and read-only.

    Parameters
    ----------
    intrinsics
        (3, 3) [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] in pixels; fy > 0; fx < 0 if the image is
        stored mirrored, as seen from the detector.
    camera_from_world
        (4, 4) rigid, mm.
    size
        (columns, rows) of the image.

    Raises
    ------
    InputError
        Names the field that is wrong.
    """

    intrinsics: np.ndarray
    camera_from_world: np.ndarray
    size: tuple[int, int]

    fan_axes: ClassVar[int] = 2
    """Axes of the image along which rays spread: both of a pinhole, a slot scan's columns alone."""
    is_slot_scan: ClassVar[bool] = False

    def __post_init__(self) -> None:
        intrinsics = _check_intrinsics(self.intrinsics)
        camera_from_world = rigid.check_rigid(self.camera_from_world, "camera_from_world")
        for array in (intrinsics, camera_from_world):
            array.flags.writeable = False
        object.__setattr__(self, "intrinsics", intrinsics)
        object.__setattr__(self, "camera_from_world", camera_from_world)
        object.__setattr__(self, "size", check_size(self.size))

    @classmethod
    def from_projection_matrix(
        cls, projection_matrix: Any, size: tuple[int, int], in_front: ArrayLike | None = None
    ) -> Camera:
        """Return the camera of a 3x4 matrix from world mm to pixels, whatever its scale and sign.

        P and -P project alike, yet belong to two cameras: one source, opposite views, one image
        mirrored. RQ decomposition of the left 3x3 by Gram-Schmidt from the last row up (Hartley and
        Zisserman, 6.2.4).

        Parameters
        ----------
        projection_matrix
            (3, 4).
        size
            (columns, rows).
        in_front
            (3,), a world point known to lie before the source: it gets a positive depth, and fx < 0
            for a mirrored image. Without it fx > 0.

        Raises
        ------
        InputError
            If the matrix is not 3x4, not finite or singular in its left 3x3 (no source at a finite
            distance), or if in_front lies beside the source.
        """
        P = rigid.check_numbers(projection_matrix, (3, 4), "projection_matrix")
        P = P / max(np.abs(P).max(), np.finfo(float).tiny)
        lengths = np.linalg.norm(P[:, :3], axis=1)
        if lengths.min() < MIN_ROW_LENGTH or abs(np.linalg.det(P[:, :3] / lengths[:, None])) < 1e-9:
            raise InputError(
                "projection_matrix: left 3x3 part is singular, expected the matrix of a point "
                "source from world mm to pixels; is it complete and in the right order?"
            )
        P = P / lengths[2] * _sign(P, in_front)
        z = P[2, :3]
        y = P[1, :3] - P[1, :3] @ z * z
        y = rigid.unit(y)
        R = np.stack([np.cross(y, z), y, z])
        K = np.triu(P[:, :3] @ R.T)
        K[2, 2] = 1
        return cls(K, rigid.from_rotation_translation(R, np.linalg.solve(K, P[:, 3])), size)

    def to_json(self) -> dict[str, Any]:
        """Return the camera as "camera" of a case.json."""
        return {
            "intrinsics": self.intrinsics.tolist(),
            "camera_from_world": self.camera_from_world.tolist(),
            "size": list(self.size),
        }

    @property
    def projection_matrix(self) -> np.ndarray:
        """(3, 4), from world mm to pixels; the third row gives the depth in mm."""
        return self.intrinsics @ self.camera_from_world[:3]

    @cached_property
    def world_from_camera(self) -> np.ndarray:
        """(4, 4), mm."""
        return rigid.inverse(self.camera_from_world)

    @cached_property
    def source(self) -> np.ndarray:
        """X-ray source (3,) in world mm; of a slot scan, that of the middle row."""
        return rigid.inverse(self.camera_from_world)[:3, 3]

    @property
    def source_step(self) -> np.ndarray:
        """(3,) world mm by which the source moves from one row to the next: 0 of a pinhole."""
        return np.zeros(3)

    def sources(self, pixels: ArrayLike) -> np.ndarray:
        """Return world points (..., 3) in mm where the rays of pixels (..., 2) begin."""
        return np.broadcast_to(self.source, (*np.shape(pixels)[:-1], 3))

    @cached_property
    def ray_matrix(self) -> np.ndarray:
        """(3, 3): the ray through pixel (u, v) is its source + z ray_matrix @ (u, v, 1), z being the depth in mm; world."""
        return self.camera_from_world[:3, :3].T @ np.linalg.inv(self.intrinsics)

    @property
    def principal_point(self) -> np.ndarray:
        """Pixel (u, v) where the z axis meets the detector at a right angle."""
        return self.intrinsics[:2, 2]

    @property
    def focal_px(self) -> float:
        """The distance from source to detector in pixels.

        In rows of a pinhole, in columns of a slot scan.
        """
        axis = self.fan_axes - 1
        return float(abs(self.intrinsics[axis, axis]))

    def project(self, points: ArrayLike) -> np.ndarray:
        """Return pixels (..., 2) of world points (..., 3) in mm, also of those behind the source (see depth)."""
        forms = self.linear_forms
        numbers = np.asarray(points, float) @ forms[:, :3].T + forms[:, 3]
        return numbers[..., :2] / numbers[..., 2:]

    def jacobians(self, points: np.ndarray) -> np.ndarray:
        """Return the derivative (..., 2, 6) of the pixels of world points (..., 3).

        By the points, and by (log scale of the fan, principal point u, v in pixels); of a slot scan
        by (log scale of the fan, its centre u in pixels, log scale of the rows about the principal
        point's).
        """
        a, b, c, d = self.linear_forms
        pixels = self.project(points)
        by_point = np.stack([a, b]) - pixels[..., None] * np.stack([c, d])
        depths = np.stack([points @ form[:3] + form[3] for form in (c, d)], axis=-1)
        away = pixels - self.principal_point
        by_intrinsics = np.zeros((*pixels.shape, 3))
        by_intrinsics[..., : self.fan_axes, 0] = away[..., : self.fan_axes]
        by_intrinsics[..., 0, 1] = 1
        by_intrinsics[..., 1, 2] = away[..., 1] if self.is_slot_scan else 1
        return np.concatenate([by_point[..., :3] / depths[..., None], by_intrinsics], axis=-1)

    def depth(self, points: ArrayLike) -> np.ndarray:
        """Return distances (...) in mm of world points (..., 3) from the source along z.

        Negative behind it.
        """
        return (
            np.asarray(points, float) @ self.camera_from_world[2, :3] + self.camera_from_world[2, 3]
        )

    def ray_directions(self, pixels: ArrayLike) -> np.ndarray:
        """Return unit vectors (..., 3) in the world, from the sources through pixels (..., 2)."""
        directions = self._rays(pixels)
        return rigid.unit(directions)

    @property
    def middle(self) -> np.ndarray:
        """(2,): the middle of the image in pixels."""
        return (np.array(self.size) - 1) / 2

    @property
    def middle_ray(self) -> np.ndarray:
        """Unit vector (3,) in the world, from the source through the middle of the image."""
        return self.ray_directions(self.middle)

    def at_depth(self, pixels: ArrayLike, depth_mm: ArrayLike) -> np.ndarray:
        """Return world points (..., 3) in mm that project on pixels (..., 2), at depths (...) from the source along z."""
        depths = np.asarray(depth_mm, float)[..., None]
        return self.sources(pixels) + depths * self._rays(pixels)

    def _rays(self, pixels: ArrayLike) -> np.ndarray:
        """Return the rays (..., 3) of pixels (..., 2), a mm of depth long."""
        pixels = np.asarray(pixels, float)
        homogeneous = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1)
        return homogeneous @ self.ray_matrix.T

    def plane_at(self, depth_mm: float) -> np.ndarray:
        """Return the homography (3, 3) from pixels to the plane at a depth in mm along z.

        Pixel (u, v) shows the world point plane_at(depth_mm) @ (u, v, 1) of that plane.
        """
        plane = depth_mm * self.ray_matrix
        plane[:, 1] += self.source_step
        plane[:, 2] += self.sources(np.zeros(2))
        return plane

    @property
    def corners(self) -> np.ndarray:
        """(4, 2): the outer corners of the image in pixels, clockwise from the top left."""
        columns, rows = np.array(self.size) - 0.5
        return np.array([(-0.5, -0.5), (columns, -0.5), (columns, rows), (-0.5, rows)])

    def pixel_mm(self, points: ArrayLike) -> np.ndarray:
        """Return the size (..., 2) of a pixel, mm across columns and down rows, at the depths of world points (..., 3)."""
        return self.depth(points)[..., None] / np.abs(np.diag(self.intrinsics)[:2])

    @property
    def linear_forms(self) -> np.ndarray:
        """(4, 4), rows a, b, c, d: a world point X = (x, 1) falls on u = aX / cX, v = bX / dX at the depth cX in mm; d = c of a pinhole."""
        return self.projection_matrix[[0, 1, 2, 2]]

    @property
    def field_planes(self) -> np.ndarray:
        """(5, 4): the image shows the world points X = (x, 1) with field_planes @ X <= 0.

        Before the source, within the four sides.
        """
        a, b, c, d = self.linear_forms
        columns, rows = self.size
        return np.array(
            [-c, -(a + 0.5 * c), a - (columns - 0.5) * c, -(b + 0.5 * d), b - (rows - 0.5) * d]
        )

    def same_as(self, other: Camera) -> bool:
        """Return whether both project alike, but for rounding."""
        return type(self) is type(other) and np.allclose(self.linear_forms, other.linear_forms)

    def corrected(self, scale: float, shift_px: np.ndarray, step_scale: float = 1.0) -> Camera:
        """Return the camera with its detector `scale` times as far from the source and its principal point moved.

        Parameters
        ----------
        shift_px
            (2,) pixels by which the principal point moves.
        step_scale
            By which a slot scan's rows are nearer to each other; a pinhole has none.
        """
        intrinsics = self.intrinsics.copy()
        axes = self.fan_axes
        intrinsics[:axes, :axes] *= scale
        intrinsics[:2, 2] += shift_px
        return replace(self, intrinsics=intrinsics)

    def pooled(self, factor: int) -> Camera:
        """Return the camera of the image averaged over blocks of factor x factor pixels, incomplete blocks left out.

        Pixel centres are integers, so u' = (u + 0.5) / factor - 0.5.
        """
        scale = 1 / factor
        shift = 0.5 / factor - 0.5
        pixels = np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]])
        columns, rows = self.size
        return replace(
            self, intrinsics=pixels @ self.intrinsics, size=(columns // factor, rows // factor)
        )

    def cropped(self, left: int, top: int, columns: int, rows: int) -> Camera:
        """Return the camera of the part of the image whose top-left pixel is (left, top)."""
        intrinsics = self.intrinsics.copy()
        intrinsics[:2, 2] -= left, top
        intrinsics.flags.writeable = False
        # Without the checks of `replace`, which take longer than a small image.
        part = object.__new__(type(self))
        for each in fields(self):
            object.__setattr__(part, each.name, getattr(self, each.name))
        object.__setattr__(part, "intrinsics", intrinsics)
        object.__setattr__(part, "size", (int(columns), int(rows)))
        return part


def check_size(size: ArrayLike) -> tuple[int, int]:
    """Return the image size (columns, rows) as integers.

    Raises
    ------
    InputError
        If they are not two whole numbers above 0.
    """
    columns, rows = rigid.check_numbers(size, (2,), "size")
    if columns < 1 or rows < 1 or columns % 1 or rows % 1:
        raise InputError(
            f"size: found {columns:g} columns, {rows:g} rows, expected whole numbers above 0."
        )
    return int(columns), int(rows)


def _check_intrinsics(intrinsics: ArrayLike) -> np.ndarray:
    K = rigid.check_numbers(intrinsics, (3, 3), "intrinsics")
    if np.abs(np.tril(K, -1)).max() > 1e-9 * np.abs(K).max() or abs(K[2, 2] - 1) > 1e-9:
        raise InputError(
            "intrinsics: expected zeros below the diagonal and 1 in the lower right corner; "
            "divide by that corner, or give the projection matrix instead."
        )
    if K[0, 0] == 0 or K[1, 1] <= 0:
        raise InputError(
            f"intrinsics: found fx = {K[0, 0]:g} and fy = {K[1, 1]:g}, expected fx other than 0 "
            "and fy > 0; for a camera turned upside down change camera_from_world, not fy."
        )
    K = np.triu(K)
    K[2, 2] = 1
    return K


def _sign(P: np.ndarray, in_front: ArrayLike | None) -> float:
    """Return +1 or -1, so that sign * P has positive depth at in_front or, without it, is not mirrored."""
    if in_front is None:
        return np.sign(np.linalg.det(P[:, :3]))
    depth = P[2] @ np.append(rigid.check_numbers(in_front, (3,), "in_front"), 1)
    if depth == 0:
        raise InputError(
            "in_front: lies beside the source, expected a point between source and detector."
        )
    return np.sign(depth)


COUNTS = (4, 5, 8, 12, 14)
MAX_STEPS = 100
CONVERGED = 1e-12  # of the tangent of the angle to the axis: a billionth of a pixel


@dataclass(frozen=True, eq=False)
class Distortion:
    """Lens distortion: maps normalised coordinates of an ideal pinhole, (x, y) = (X / Z, Y / Z).

    With r2 = x^2 + y^2 and c = (1 + k1 r2 + k2 r2^2 + k3 r2^3) / (1 + k4 r2 + k5 r2^2 + k6 r2^3):

        x' = x c + 2 p1 x y + p2 (r2 + 2 x^2) + s1 r2 + s2 r2^2
        y' = y c + p1 (r2 + 2 y^2) + 2 p2 x y + s3 r2 + s4 r2^2

    (OpenCV's calib3d, "Detailed Description"). The pixel is intrinsics @ (x', y', 1), with the
    intrinsics of the same camera.

    Parameters
    ----------
    coefficients
        (k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4]]]), in OpenCV's order; the tilt that may
        follow must be 0.

    Raises
    ------
    InputError
        For another number of coefficients, or non-finite ones.
    """

    coefficients: np.ndarray

    def __post_init__(self) -> None:
        count = np.size(self.coefficients)
        if count not in COUNTS:
            raise InputError(
                f"distortion: found {count} coefficients, expected 4, 5, 8 or 12 in OpenCV's "
                "order, k1, k2, p1, p2, k3, ...; add zeros or take away what is 0."
            )
        numbers = rigid.check_numbers(np.ravel(self.coefficients), (count,), "distortion")
        if numbers[12:].any():
            raise InputError(
                f"distortion: found a tilted sensor ({numbers[12]:g}, {numbers[13]:g}), expected "
                "none, which X-ray detectors do not have; calibrate without the tilt."
            )
        numbers = numbers[:12]
        numbers.flags.writeable = False
        object.__setattr__(self, "coefficients", numbers)

    def distort(self, points: ArrayLike) -> np.ndarray:
        """Return distorted points (..., 2) of ideal ones (..., 2), both normalised."""
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = np.pad(
            self.coefficients, (0, 12 - len(self.coefficients))
        )
        x, y = np.moveaxis(np.asarray(points, float), -1, 0)
        r2 = x * x + y * y
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        return np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + r2 * s2),
                y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + r2 * (s3 + r2 * s4),
            ],
            -1,
        )

    def undistort(self, points: ArrayLike) -> np.ndarray:
        """Return ideal points (..., 2) of distorted ones (..., 2), both normalised.

        Raises
        ------
        InputError
            Beginning with "distortion", if it does not converge: a distortion so strong has no
            inverse.
        """
        ideal = inverted(self.distort, points)
        if ideal is None:
            raise InputError(
                "distortion: cannot be undone at a point of the image, expected coefficients of a "
                "lens that shows each point once; correct them."
            )
        return ideal

    def distort_pixels(self, intrinsics: np.ndarray, pixels: ArrayLike) -> np.ndarray:
        """Map pixels (..., 2) of the undistorted image to pixels of the original one."""
        return _through(self.distort, intrinsics, pixels)

    def undistort_pixels(self, intrinsics: np.ndarray, pixels: ArrayLike) -> np.ndarray:
        """Map pixels (..., 2) of the original image to pixels of the undistorted one."""
        return _through(self.undistort, intrinsics, pixels)


def inverted(distort: Callable[[np.ndarray], np.ndarray], points: ArrayLike) -> np.ndarray | None:
    """Return ideal points (..., 2) of distorted ones (..., 2); None where the distortion has no inverse.

    Iterates x <- x + points - distort(x) until it stands still.
    """
    ideal = np.array(points, float)
    with np.errstate(all="ignore"):
        for _ in range(MAX_STEPS):
            step = points - distort(ideal)
            ideal = ideal + step
            if not np.isfinite(step).all():
                return None
            if not step.size or np.abs(step).max() < CONVERGED:
                return ideal
    return None


def _through(
    change: Callable[[np.ndarray], np.ndarray], intrinsics: np.ndarray, pixels: ArrayLike
) -> np.ndarray:
    K = np.asarray(intrinsics, float)
    pixels = np.asarray(pixels, float)
    normalised = (pixels - K[:2, 2]) @ np.linalg.inv(K[:2, :2]).T
    return change(normalised) @ K[:2, :2].T + K[:2, 2]


class EqualAngles:
    """A fan whose columns are at equal angles, as a detector bent about the source has them.

    What a `Distortion` is to a lens.

    Its pixels, u = fx angle + cx, are those of a flat detector, u = fx tan(angle) + cx, once this
    is undone.
    """

    def distort_pixels(self, intrinsics: np.ndarray, pixels: ArrayLike) -> np.ndarray:
        """Map pixels (..., 2) of the flat image to pixels of the original one."""
        return _across(np.arctan, intrinsics, pixels)

    def undistort_pixels(self, intrinsics: np.ndarray, pixels: ArrayLike) -> np.ndarray:
        """Map pixels (..., 2) of the original image to pixels of the flat one."""
        return _across(np.tan, intrinsics, pixels)


def _across(
    change: Callable[[np.ndarray], np.ndarray], intrinsics: np.ndarray, pixels: ArrayLike
) -> np.ndarray:
    pixels = np.array(pixels, float)
    fx = intrinsics[0, 0]
    cx = intrinsics[0, 2]
    pixels[..., 0] = cx + fx * change((pixels[..., 0] - cx) / fx)
    return pixels
