"""X-ray images as an ideal pinhole would have taken them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import map_coordinates

from ..geometry.distortion import Distortion
from .xray import RawImage

ROWS_AT_ONCE = 32


def undistorted(raw: RawImage, intrinsics: np.ndarray, distortion: Distortion) -> RawImage:
    """The image without its distortion, on the same grid of pixels and with the same intrinsics (3, 3).

    Linear between pixels. What the image as it was taken does not show is NaN, and so left out of what is valid.
    """
    is_open = None if raw.open is None else undistorted_mask(raw.open, intrinsics, distortion)
    return replace(raw, values=_resampled(raw.values, intrinsics, distortion, np.nan), open=is_open)


def undistorted_mask(used: np.ndarray, intrinsics: np.ndarray, distortion: Distortion) -> np.ndarray:
    """A mask (rows, columns), drawn on the image as it was taken, on the undistorted one: True where all pixels between which that one's
    are interpolated are True."""
    return _resampled(used.astype(np.float32), intrinsics, distortion, 0.0) > 1 - 1e-3


def _resampled(image: np.ndarray, intrinsics: np.ndarray, distortion: Distortion, outside: float) -> np.ndarray:
    """The image (rows, columns) at where each pixel of the undistorted one comes from, float32; a few rows at a time, as the formula
    takes several times the memory of an image."""
    rows, columns = image.shape
    result = np.empty(image.shape, np.float32)
    for top in range(0, rows, ROWS_AT_ONCE):
        part = result[top : top + ROWS_AT_ONCE]
        v, u = np.indices(part.shape)
        pixels = distortion.distort_pixels(intrinsics, np.stack([u, v + top], -1))
        map_coordinates(image, (pixels[..., 1], pixels[..., 0]), part, order=1, cval=outside)
    return result
