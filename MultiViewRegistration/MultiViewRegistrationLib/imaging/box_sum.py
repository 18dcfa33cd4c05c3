"""Sums over windows in time that does not depend on their size."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(nogil=True, fastmath=True, cache=True)
def box_sum(image, radius, out):
    """Sum of `image` over the square window of `radius` pixels about each pixel, cut off at the border. `out` may be `image`."""
    rows, columns = image.shape
    across = np.empty((rows, columns), np.float32)
    for r in range(rows):
        total = 0.0
        for c in range(min(radius, columns)):
            total += image[r, c]
        for c in range(columns):
            if c + radius < columns:
                total += image[r, c + radius]
            if c - radius - 1 >= 0:
                total -= image[r, c - radius - 1]
            across[r, c] = total
    column = np.zeros(columns)
    for r in range(min(radius, rows)):
        for c in range(columns):
            column[c] += across[r, c]
    for r in range(rows):
        if r + radius < rows:
            for c in range(columns):
                column[c] += across[r + radius, c]
        if r - radius - 1 >= 0:
            for c in range(columns):
                column[c] -= across[r - radius - 1, c]
        for c in range(columns):
            out[r, c] = column[c]
