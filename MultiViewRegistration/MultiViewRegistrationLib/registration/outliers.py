"""What an X-ray shows and the CT does not hold, instruments above all: told by the residuals at a pose that is nearly right.

Cauchy's weights keep such pixels from pulling at the pose by themselves. But their values go into the windows of local normalisation of all
pixels about them, which are then a little wrong everywhere along an instrument's edge. Only without them the others are what they would be.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .objective import Objective, Projection

#: A pixel is an outlier if the normalised intensities differ by so much in the root mean square of the pixels up to WINDOW from it, which
#: is a correlation of a half; with it go those up to GROWN from it.
OUTLYING, WINDOW, GROWN = 1.0, 2, 2
#: A smaller share of outliers does no harm worth another descent: noise and a CT's own errors make up to a fiftieth.
LEAST_SHARE = 0.05


def outliers(objective: Objective, projections: Sequence[Projection]) -> list[np.ndarray] | None:
    """By view, bool (rows, columns), at the pose that was linearised last, whose projections these are; None where they are too few to
    matter. The objective has to compare intensities.
    """
    found = [
        _outlying(next(objective.residuals(n, projection, derivative=False)).residual[0], objective.masks[n])
        for n, projection in enumerate(projections)
    ]
    share = sum(np.count_nonzero(each & (mask > 0)) for each, mask in zip(found, objective.masks, strict=True))
    if share < LEAST_SHARE * sum(np.count_nonzero(mask) for mask in objective.masks):
        return None
    return [ndimage.maximum_filter(each, 2 * GROWN + 1) for each in found]


def _outlying(residual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """residual, mask: (rows, columns), the latter 1 or 0."""
    side = 2 * WINDOW + 1
    squares, pixels = (ndimage.uniform_filter(each, side) for each in (residual**2 * mask, mask))
    return squares > OUTLYING**2 * np.maximum(pixels, 1 / side**2)
