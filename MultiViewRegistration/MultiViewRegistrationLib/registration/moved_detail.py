"""By how much likelier an X-ray is with some of the bone moved."""

from __future__ import annotations

import numpy as np

from ..rendering import cpu
from .similarity import box_sum


@cpu.part
def _put(image: np.ndarray, column: float, row: float, value: float) -> None:
    """Add a value to the four pixels about a place."""
    left = int(np.floor(column))
    top = int(np.floor(row))
    if left < 0 or top < 0 or left + 1 >= image.shape[1] or top + 1 >= image.shape[0]:
        return
    right_share = column - left
    lower_share = row - top
    image[top, left] += (1 - right_share) * (1 - lower_share) * value
    image[top, left + 1] += right_share * (1 - lower_share) * value
    image[top + 1, left] += (1 - right_share) * lower_share * value
    image[top + 1, left + 1] += right_share * lower_share * value


@cpu.fast_kernel
def moved_detail(
    pixels: np.ndarray,
    mass: np.ndarray,
    share: np.ndarray,
    steps: np.ndarray,
    weight: np.ndarray,
    pull: np.ndarray,
    window: int,
) -> np.ndarray:
    """Return by how much likelier an X-ray is with voxels moved in it, and the information about that.

    Parameters
    ----------
    pixels, mass, share
        (N, 2), (N,) and (N,): where voxels are projected to, their line integrals times pixels, and
        which share of a motion they take part in.
    steps
        (K, 2) motions, pixels.
    weight, pull
        (rows, columns): a change c of the detail makes the X-ray likelier by the sum of
        pull c - weight c^2 / 2, and the information is that of weight c^2. Detail is what differs
        from the mean of the window with this radius.

    Returns
    -------
    ndarray
        (2, K).
    """
    rows, columns = weight.shape
    here = np.zeros((rows, columns), np.float32)
    for n in range(len(mass)):
        _put(here, pixels[n, 0], pixels[n, 1], -mass[n])
    change = np.empty((rows, columns), np.float32)
    smooth = np.zeros((rows, columns), np.float32)
    mean = np.empty((rows, columns), np.float32)
    area = np.float32((2 * window + 1) ** 2)
    found = np.zeros((2, len(steps)))
    for k in range(len(steps)):
        change[:] = here
        for n in range(len(mass)):
            column = pixels[n, 0] + share[n] * steps[k, 0]
            _put(change, column, pixels[n, 1] + share[n] * steps[k, 1], mass[n])
        for r in range(rows):
            for c in range(1, columns - 1):
                mean[r, c] = (change[r, c - 1] + change[r, c + 1]) / 4 + change[r, c] / 2
            mean[r, 0] = 0
            mean[r, columns - 1] = 0
        for r in range(1, rows - 1):
            for c in range(columns):
                smooth[r, c] = (mean[r - 1, c] + mean[r + 1, c]) / 4 + mean[r, c] / 2
        box_sum(smooth, window, mean)
        for r in range(rows):
            for c in range(columns):
                detail = smooth[r, c] - mean[r, c] / area
                found[0, k] += pull[r, c] * detail - weight[r, c] * detail**2 / 2
                found[1, k] += weight[r, c] * detail**2
    return found
