"""The one way in which an X-ray, real or made, becomes what a network sees."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from ..imaging.box_sum import box_sum

#: Pixels to each side over which brightness and contrast are evened out, in an image of 64; the noise floor, in deviations of the image.
WINDOW, FLOOR = 10, 0.2
#: Standard deviations beyond which a value is cut off, so that metal does not decide about the contrast of all else.
CUT = 2.5
#: Beyond this the local value is cut off.
LARGEST = 4.0


@nb.njit(nogil=True, cache=True)
def radius_of(rows):
    """Of the window in an image of so many rows, in pixels."""
    return max(1, (WINDOW * rows + 32) // 64)


@nb.njit(nogil=True, fastmath=True, cache=True)
def standardise(line, valid, work, out):
    """Locally normalised log image: gain, offset, slow shading, scatter and the scale of its logarithm do not count.

        x = (line - mean) / sd over the valid pixels, cut off at +-2.5 and again;   out = (x - mean_w x) / sqrt(var_w x + FLOOR^2)

    over the valid pixels of a square window w; 0, the neutral value, where not valid.

    line: (rows, columns) float32.   valid: (rows, columns) uint8.   work: (4, rows, columns) float32.   out: (rows, columns) float32.
    """
    rows, columns = line.shape
    radius = radius_of(rows)
    low, high = -1e30, 1e30
    mean, inverse_sd = 0.0, 0.0
    for _ in range(2):
        count, total, squares = 0, 0.0, 0.0
        for r in range(rows):
            for c in range(columns):
                value = min(max(line[r, c], low), high) * valid[r, c]
                count += valid[r, c]
                total += value
                squares += value * value
        mean = total / max(count, 1)
        sd = math.sqrt(max(squares / max(count, 1) - mean * mean, 1e-12))
        inverse_sd = 1.0 / sd
        low, high = mean - CUT * sd, mean + CUT * sd
    values, weights, firsts, seconds = work[0], work[1], work[2], work[3]
    for r in range(rows):
        for c in range(columns):
            weight = np.float32(valid[r, c])
            value = np.float32((min(max(line[r, c], low), high) - mean) * inverse_sd) * weight
            values[r, c] = value
            weights[r, c] = weight
            firsts[r, c] = value
            seconds[r, c] = value * value
    box_sum(weights, radius, weights)
    box_sum(firsts, radius, firsts)
    box_sum(seconds, radius, seconds)
    for r in range(rows):
        for c in range(columns):
            share = 1.0 / max(weights[r, c], 1.0)
            local = firsts[r, c] * share
            variance = max(seconds[r, c] * share - local * local, 0.0)
            value = (values[r, c] - local) / math.sqrt(variance + FLOOR * FLOOR)
            out[r, c] = min(max(value, -LARGEST), LARGEST) * valid[r, c]
