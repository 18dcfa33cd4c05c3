"""By how much likelier an X-ray is with some of the bone moved."""

from __future__ import annotations

import numpy as np

from ..rendering import cpu

#: Weights of the pixels beside, at and beside a pixel.
BLUR = (0.25, 0.5, 0.25)


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


@cpu.part
def _add(row: np.ndarray, other: np.ndarray, times: float) -> None:
    """Add so many times another row to a row, (columns,) each: in a loop of its own, which is fast."""
    factor = np.float32(times)
    for column in range(len(row)):
        row[column] += factor * other[column]


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
    weight = weight.astype(np.float32)
    pull = pull.astype(np.float32)
    here = np.zeros((rows, columns), np.float32)
    for n in range(len(mass)):
        _put(here, pixels[n, 0], pixels[n, 1], -mass[n])
    change = np.empty((rows, columns), np.float32)
    smooth = np.zeros((rows, columns), np.float32)
    row = np.empty(columns, np.float32)
    sums = np.empty(
        columns + 2 * window, np.float32
    )  # of the window's rows, and 0 beside the image
    found = np.zeros((2, len(steps)))
    for k in range(len(steps)):
        change[:] = here
        for n in range(len(mass)):
            column = pixels[n, 0] + share[n] * steps[k, 0]
            _put(change, column, pixels[n, 1] + share[n] * steps[k, 1], mass[n])
        for r in range(1, rows - 1):
            row[:] = 0
            smooth[r] = 0
            for side, times in enumerate(BLUR):
                _add(row, change[r + side - 1], times)
            inside = smooth[r, 1 : columns - 1]
            for side, times in enumerate(BLUR):
                _add(inside, row[side : columns - 2 + side], times)
        sums[:] = 0
        for r in range(-window, rows):
            if r + window < rows:
                _add(sums[window : window + columns], smooth[r + window], 1)
            if r > window:
                _add(sums[window : window + columns], smooth[r - window - 1], -1)
            if r >= 0:
                row[:] = smooth[r]
                for side in range(2 * window + 1):
                    _add(row, sums[side : side + columns], -1 / (2 * window + 1) ** 2)
                likelier = np.float32(0)
                information = np.float32(0)
                for c in range(columns):
                    likelier += pull[r, c] * row[c]
                    information += weight[r, c] * row[c] * row[c]
                found[0, k] += likelier - information / 2
                found[1, k] += information
    return found
