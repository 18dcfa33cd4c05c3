"""Whether bone is bright or dark in an X-ray image that does not say."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .field import find_field

SEARCH_SIZE = 256
FINE, COARSE = 1.0, 4.0  # pixels at that size: the width of a cortex, and of its surroundings
LEAST_SKEWNESS = 0.05


def bone_is_bright(values: np.ndarray) -> bool | None:
    """True, False, or None where the image does not tell.

    values: (rows, columns), finite, on any monotone scale.

    Cortices, wires, screws and contrast agent are thin and dense; hardly anything is thin and less dense than
    what surrounds it. So the skewness of the image's fine detail, each divided by the local standard
    deviation, has bone's sign. The division makes it the same for intensities and for their logarithm. On 33
    real and simulated radiographs, as intensities and as logarithms, it was never wrong and silent on 9 %; on
    their quarters, many without bone, wrong on 4 % and silent on 50 %.
    """
    low, high = values.min(), values.max()
    if high == low:
        return None
    scaled = (values - low) / (high - low)
    valid = find_field(-np.log(scaled + 1e-3)) & find_field(-np.log(1 - scaled + 1e-3))
    factor = -(-max(values.shape) // SEARCH_SIZE)
    rows, columns = (size // factor for size in values.shape)
    crop, blocks = np.s_[: rows * factor, : columns * factor], (rows, factor, columns, factor)
    small = scaled[crop].reshape(blocks).mean((1, 3))
    inside = valid[crop].reshape(blocks).all((1, 3))
    inside = ndimage.binary_erosion(inside, iterations=5, border_value=1)
    if inside.sum() < 1000:
        return None

    weight = inside.astype(np.float64)

    def mean(image: np.ndarray, sigma: float) -> np.ndarray:
        return ndimage.gaussian_filter(image * weight, sigma) / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-3)

    detail = mean(small, FINE) - mean(small, COARSE)
    detail /= np.sqrt(mean(detail**2, COARSE) + (1e-3 * np.ptp(small[inside])) ** 2)
    detail = detail[inside]
    skewness = float(np.mean(detail**3) / np.mean(detail**2) ** 1.5)
    return None if abs(skewness) < LEAST_SKEWNESS else skewness > 0
