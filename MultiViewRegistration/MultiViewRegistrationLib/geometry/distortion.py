"""What bends an image: a lens or image intensifier, as OpenCV writes it, and a detector bent about the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import rigid

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
        ideal = inverted(self.distort, points, CONVERGED)
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


def inverted(
    distort: Callable[[np.ndarray], np.ndarray], points: ArrayLike, converged: float
) -> np.ndarray | None:
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
            if not step.size or np.abs(step).max() < converged:
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
