"""Letters, numbers and lines burned into an X-ray image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

MOST_ANNOTATED = 0.02  # of the field
LEAST_PIXELS = 6
LEAST_CONTRAST = 0.25  # to what is around, as a share of the image's own contrast
FLOOR = 0.03  # of direct exposure, added so that the few photons behind metal are no contrast


def find_annotations(line_integrals: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Burned-in letters, numbers and lines: bool (rows, columns), True on them and two pixels around.

    line_integrals: (rows, columns), finite, in nepers or near it; field: bool, where to look. Annotations are
    thin strokes in the very largest or smallest value, thinner than a fiftieth of the image; an image that
    has much of that value (saturated air, clipped bone) is left alone.
    """
    transmission = np.exp(-line_integrals)
    every = max(1, np.count_nonzero(field) // 100_000)
    density = -np.log(transmission / np.percentile(transmission[field][::every], 99) + FLOOR)
    inside = density[field]
    contrast = np.ptp(np.percentile(inside[::every], [0.5, 99.5]))
    thickest = 2 * (max(density.shape) // 100) + 1
    found = np.zeros(density.shape, bool)
    for extreme in (inside.min(), inside.max()):
        painted = (density == extreme) & field
        if np.count_nonzero(painted) < MOST_ANNOTATED * len(inside):
            alike = np.abs(density - extreme) < LEAST_CONTRAST * contrast
            found |= painted & ~ndimage.maximum_filter(ndimage.minimum_filter(alike, thickest), thickest)
    grown = ndimage.binary_dilation(found, iterations=2) & field
    labels, _ = ndimage.label(grown)
    strokes = np.bincount(labels[found], minlength=labels.max() + 1) >= LEAST_PIXELS  # the others are noise
    return grown & strokes[labels]
