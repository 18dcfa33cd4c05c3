"""X-ray images as an ideal pinhole would have taken them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import map_coordinates

from ..geometry.distortion import Distortion
from .xray import RawImage


def undistorted(raw: RawImage, intrinsics: np.ndarray, distortion: Distortion) -> RawImage:
    """The image without its distortion, on the same grid of pixels and with the same intrinsics (3, 3).

    Linear between pixels. What the image as it was taken does not show is NaN, and so left out of what is valid.
    """
    rows_columns = _sources(raw.values.shape, intrinsics, distortion)
    return replace(raw, values=map_coordinates(raw.values, rows_columns, np.float32, order=1, cval=np.nan))


def undistorted_mask(used: np.ndarray, intrinsics: np.ndarray, distortion: Distortion) -> np.ndarray:
    """A mask (rows, columns), drawn on the image as it was taken, on the undistorted one: True where all pixels between which that one's
    are interpolated are True."""
    rows_columns = _sources(used.shape, intrinsics, distortion)
    return map_coordinates(used.astype(np.float32), rows_columns, order=1, cval=0.0) > 1 - 1e-3


def _sources(shape: tuple[int, int], intrinsics: np.ndarray, distortion: Distortion) -> np.ndarray:
    """(2, rows, columns): row and column of the image as it was taken, for each pixel of the undistorted one."""
    rows, columns = np.indices(shape)
    pixels = distortion.distort_pixels(intrinsics, np.stack([columns, rows], -1))
    return np.stack([pixels[..., 1], pixels[..., 0]])
