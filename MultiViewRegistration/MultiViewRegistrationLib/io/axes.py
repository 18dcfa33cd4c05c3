"""LPS and RAS: the same millimetres, with x and y the other way round."""

from __future__ import annotations

import numpy as np

AXES = ("lps", "ras")
DIRECTIONS = ("forward", "resampling")

_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


def turned(target_from_source: np.ndarray) -> np.ndarray:
    """The same rigid transform (4, 4) with the axes of both its frames turned from LPS to RAS, or back."""
    return _TURN @ target_from_source @ _TURN
