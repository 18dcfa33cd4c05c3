"""By how much likelier an X-ray is with some of the bone moved.

Bone about a place moves wholly near it and less and less towards its rim: in shells, of which each
moves as a whole, by its share.
"""

from __future__ import annotations

import numpy as np

from ..rendering import cpu


@cpu.part
def _add_between(
    row: np.ndarray, upper: np.ndarray, lower: np.ndarray, across: float, down: float
) -> None:
    """Add to a row, (columns,), what two others, (columns + 1,) each, are between their pixels.

    By shares of a pixel across and down.
    """
    right = np.float32(across)
    low = np.float32(down)
    for c in range(len(row)):
        above = upper[c + 1] + right * (upper[c] - upper[c + 1])
        below = lower[c + 1] + right * (lower[c] - lower[c + 1])
        row[c] += above + low * (below - above)


@cpu.fast_kernel
def moved_detail(
    shells: np.ndarray, steps: np.ndarray, weight: np.ndarray, pull: np.ndarray
) -> np.ndarray:
    """Return by how much likelier an X-ray is with shells of bone moved in it, and the information about that.

    Parameters
    ----------
    shells
        (S, rows, columns) float32, the detail of each; number s takes part in (s + 1) / S of a motion.
    steps
        (K, 2) motions, pixels.
    weight, pull
        (rows, columns) float32: a change c of the detail makes the X-ray likelier by the sum of
        pull c - weight c^2 / 2, and the information is that of weight c^2.

    Returns
    -------
    ndarray
        (2, K).
    """
    count, rows, columns = shells.shape
    rim = int(np.ceil(np.abs(steps).max())) + 1
    framed = np.zeros((count, rows + 2 * rim, columns + 2 * rim), np.float32)
    here = np.zeros((rows, columns), np.float32)
    for s in range(count):
        framed[s, rim : rim + rows, rim : rim + columns] = shells[s]
        here += shells[s]
    row = np.empty(columns, np.float32)
    found = np.zeros((2, len(steps)))
    for k in range(len(steps)):
        for r in range(rows):
            row[:] = -here[r]
            for s in range(count):
                across = steps[k, 0] * (s + 1) / count
                down = steps[k, 1] * (s + 1) / count
                left = int(np.floor(across))
                top = int(np.floor(down))
                upper = framed[s, rim + r - top, rim - left - 1 :]
                lower = framed[s, rim + r - top - 1, rim - left - 1 :]
                _add_between(row, upper, lower, across - left, down - top)
            likelier = np.float32(0)
            information = np.float32(0)
            for c in range(columns):
                likelier += pull[r, c] * row[c]
                information += weight[r, c] * row[c] * row[c]
            found[0, k] += likelier - information / 2
            found[1, k] += information
    return found
