"""The X-ray as the page gets it, once: 16 bits a pixel, so that brightness and contrast are the page's own affair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer

from ...mrml.xray import XRayView

#: Pixels along the longest side from which on the page gets blocks of pixels instead.
LONGEST = 2048
#: Codes of values; 0 is left for what shows nothing.
FIRST, LAST = 1, 65535


@dataclass(frozen=True, eq=False)
class Film:
    """An X-ray and its scale.

    codes: uint16 (rows, columns), each for `pooled` x `pooled` pixels of the X-ray; 0 where it is black whatever the window.
    low, high: the line integrals of the codes FIRST and LAST.
    """

    codes: np.ndarray
    pooled: int
    low: float
    high: float

    @classmethod
    def of(cls, view: XRayView) -> Film:
        """Of an X-ray with an image."""
        values, display = slicer.util.arrayFromVolume(view.node)[0], view.node.GetDisplayNode()
        pooled = -(-max(values.shape) // LONGEST)
        if pooled > 1:
            rows, columns = (side // pooled for side in values.shape)
            values = (
                values[: rows * pooled, : columns * pooled].reshape(rows, pooled, columns, pooled).mean(axis=(1, 3))
            )
        shown = np.ones(values.shape, bool)
        if display.GetApplyThreshold():  # collimator blades
            shown = (values >= display.GetLowerThreshold()) & (values <= display.GetUpperThreshold())
        low, high = (float(values[shown].min()), float(values[shown].max())) if shown.any() else (0.0, 1.0)
        return cls(coded(np.where(shown, values, np.nan), low, high), pooled, low, max(high, low + 1e-3))


def coded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Line integrals as codes, uint16 of the same shape; 0 where they are NaN, the first or the last code beyond the ends of the scale."""
    scaled = FIRST + (values - low) * ((LAST - FIRST) / max(high - low, 1e-3))
    return np.where(np.isnan(scaled), 0, np.clip(np.rint(scaled), FIRST, LAST)).astype(np.uint16)
