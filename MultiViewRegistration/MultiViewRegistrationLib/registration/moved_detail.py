"""By how much likelier an X-ray is with some of the bone moved.

Bone about a place moves wholly near it and less and less towards its rim: in shells, of which each
moves as a whole, by its share.
"""

from __future__ import annotations

import numpy as np

from ..rendering import cpu


@cpu.part
def _add(row: np.ndarray, other: np.ndarray, times: float) -> None:
    """Add so many times another row to a row, (columns,) each: in a loop of its own, which is fast."""
    factor = np.float32(times)
    for column in range(len(row)):
        row[column] += factor * other[column]


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
    here = np.zeros((rows, columns), np.float32)
    for s in range(count):
        for r in range(rows):
            _add(here[r], shells[s, r], 1)
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
                for above in range(2):
                    source = r - top - above
                    if source < 0 or source >= rows:
                        continue
                    of_row = 1 - abs(down - top - above)
                    for beside in range(2):
                        shift = left + beside
                        share = of_row * (1 - abs(across - shift))
                        if shift >= 0:
                            _add(row[shift:], shells[s, source, : columns - shift], share)
                        else:
                            _add(row[:shift], shells[s, source, -shift:], share)
            likelier = np.float32(0)
            information = np.float32(0)
            for c in range(columns):
                likelier += pull[r, c] * row[c]
                information += weight[r, c] * row[c] * row[c]
            found[0, k] += likelier - information / 2
            found[1, k] += information
    return found
