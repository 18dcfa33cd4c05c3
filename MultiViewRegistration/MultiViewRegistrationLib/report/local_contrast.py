"""Local mean and contrast over the usable pixels: makes X-ray and DRR look alike, whatever their units."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


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
