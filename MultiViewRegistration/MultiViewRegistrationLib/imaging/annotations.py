"""Letters, numbers and lines burned into an X-ray image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

MOST_ANNOTATED = 0.02  # of the field
LEAST_PIXELS = 6
LEAST_CONTRAST = 0.2  # to what is around, as a share of the image's own contrast


def find_annotations(line_integrals: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Burned-in letters, numbers and lines: bool (rows, columns), True on them and two pixels around.

    line_integrals: (rows, columns), on any scale; field: bool, where to look. Annotations are thin strokes in the very largest or
    smallest value, next to something else; an image that has much of that value (saturated air, clipped bone) is left alone.
    """
    found = np.zeros(line_integrals.shape, bool)
    reach = 2 * (max(line_integrals.shape) // 100) + 1
    inside = line_integrals[field]
    contrast = np.ptp(np.percentile(inside[:: max(1, len(inside) // 100_000)], [0.5, 99.5]))
    for extreme in (inside.min(), inside.max()):
        painted = line_integrals == extreme
        if not 0 < np.count_nonzero(painted & field) < MOST_ANNOTATED * len(inside):
            continue
        share = ndimage.uniform_filter((~painted).astype(np.float32), reach)
        around = ndimage.uniform_filter(np.where(painted, 0, line_integrals).astype(np.float32), reach) / np.maximum(share, 1e-3)
        found |= painted & field & (share > 0.3) & (np.abs(around - extreme) > LEAST_CONTRAST * contrast)
    grown = ndimage.binary_dilation(found, iterations=2) & field
    labels, _ = ndimage.label(grown)
    strokes = np.bincount(labels[found], minlength=labels.max() + 1) >= LEAST_PIXELS  # the others are noise
    return grown & strokes[labels]
