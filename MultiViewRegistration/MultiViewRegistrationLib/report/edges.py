"""Lines along a DRR's contour and inner edges, and the local contrast that they are measured against."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

TINY = np.float32(1e-30)
HALF_WIDTH = 1.0
"""Half the width of a line in pixels of the picture."""


def contour(image: np.ndarray, level: float) -> np.ndarray:
    """Line where `image` passes `level`."""
    inside = ndimage.gaussian_filter((image > level).astype(np.float32), 1.0)
    row, column = np.gradient(inside)
    return _line(inside - 0.5, np.hypot(row, column))


def inner_edges(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Lines along the edges within the mask `inside`, of thin bone as of thick.

    An edge is where the gradient is greatest along its own direction (Canny, PAMI 8:679-698, 1986): there the
    second derivative in that direction passes zero (Lindeberg, IJCV 30:117-154, 1998). Weak edges count where
    they continue a strong one.
    """
    side = max(image.shape)
    blur = side / 300
    within = ndimage.binary_erosion(inside, iterations=round(3 * blur), border_value=1)
    if not within.any():
        return np.zeros(image.shape, np.float32)
    y, x = (ndimage.gaussian_filter(image, blur, order=order) for order in ((1, 0), (0, 1)))
    yy, xy, xx = (ndimage.gaussian_filter(image, blur, order=order) for order in ((2, 0), (1, 1), (0, 2)))
    gradient = np.hypot(x, y)
    second = (x * x * xx + 2 * x * y * xy + y * y * yy) / np.maximum(gradient**2, TINY)
    row, column = np.gradient(second)
    # Of a blurred step this is 1; ripples on a slope have far less and are no edges.
    sharpness = -(x * column + y * row) * blur**2 / np.maximum(gradient**2, TINY)

    strength = gradient / local_contrast(image, inside, side // 6)
    weak, strong = np.maximum(np.percentile(strength[within], (75, 93)), 0.05 * strength[within].max())
    line = _line(second, np.hypot(row, column))
    candidate = within & (line > 0) & (sharpness > 0.1) & (strength > weak)
    return np.where(_continuing(candidate, strength > strong, shortest=side // 18), line, 0)


def _line(value: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Opacity by the distance from the zero crossing of `value`, which is value / slope to first order."""
    return np.clip(HALF_WIDTH + 0.5 - np.abs(value) / np.maximum(slope, 1e-9), 0, 1).astype(np.float32)


def _continuing(candidate: np.ndarray, strong: np.ndarray, shortest: int) -> np.ndarray:
    """The connected pieces of `candidate` that hold a strong pixel and are no specks."""
    label, count = ndimage.label(candidate, structure=np.ones((3, 3)))
    index = np.arange(count + 1)
    size = ndimage.sum_labels(candidate, label, index)
    keep = (ndimage.sum_labels(strong & candidate, label, index) > 0) & (size >= 2 * HALF_WIDTH * shortest)
    keep[0] = False
    return keep[label]


def local_moments(image: np.ndarray, mask: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (rows, columns) of the masked pixels within about `window` pixels."""
    share = np.maximum(_blurred(mask.astype(np.float32), window), 1e-3)
    # Without its overall mean first, float32 loses the variance of a bright image.
    offset = np.float32(image[mask].mean()) if mask.any() else np.float32(0)
    centred = np.where(mask, image - offset, np.float32(0))
    mean = _blurred(centred, window) / share
    square = _blurred(centred**2, window) / share
    return mean + offset, np.sqrt(np.maximum(square - mean**2, 0))


def local_contrast(image: np.ndarray, mask: np.ndarray, window: int) -> np.ndarray:
    """Local standard deviation (rows, columns), at least a quarter of the typical: flat areas are noise."""
    _, spread = local_moments(image, mask, window)
    return np.maximum(spread, _least(spread, mask))


def normalised(image: np.ndarray, mask: np.ndarray, window: int) -> np.ndarray:
    """(image - local mean) / local contrast, zero off the mask."""
    mean, spread = local_moments(image, mask, window)
    return np.where(mask, (image - mean) / np.maximum(spread, _least(spread, mask)), 0)


def _least(spread: np.ndarray, mask: np.ndarray) -> float:
    return max(0.25 * float(np.median(spread[mask])), 1e-6) if mask.any() else 1.0


def _blurred(image: np.ndarray, window: int) -> np.ndarray:
    """Two box filters: nearly a Gaussian, at a cost that does not grow with the window."""
    half = max(window // 2, 1)
    return ndimage.uniform_filter(ndimage.uniform_filter(image, half, mode="constant"), half, mode="constant")
