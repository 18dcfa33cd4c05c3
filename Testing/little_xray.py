"""A small radiograph, for tests of what is done with images."""

from __future__ import annotations

import numpy as np

SHAPE = (60, 80)


def intensity(seed: int = 0) -> np.ndarray:
    """uint16 SHAPE: detected intensity behind a soft body with a few thin bones, which are dark."""
    rows, columns = np.indices(SHAPE)
    body = 2 * np.exp(-((rows - 30) ** 2 / 500 + (columns - 40) ** 2 / 900))
    bones = sum(0.7 * np.exp(-((columns - column) ** 2) / 2.0) for column in (15, 30, 47 + seed, 62))
    return (40_000 * np.exp(-body - bones) + 200 * np.random.default_rng(seed).normal(size=SHAPE)).astype(np.uint16)
