"""A DRR in the greys of its X-ray: as bright and as rich in contrast, and the same while the CT moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Of the values that are compared: less than all, so that a screw or a speck decides nothing.
PERCENTILES = (1.0, 99.0)
MIN_PIXELS = 100
#: By what share of a window's width it may be off before other greys are better.
TOLERANCE = 0.2


@dataclass(frozen=True)
class ToneMatch:
    """Two values of a DRR, and those of the X-ray that look like them; both are line integrals, of unlike gain and offset."""

    drr: tuple[float, float]
    xray: tuple[float, float]

    @classmethod
    def of(cls, line_integrals: np.ndarray, valid: np.ndarray, drr: np.ndarray) -> ToneMatch | None:
        """From an X-ray and a DRR of the same shape, NaN where it says nothing; None where they have hardly anything in common."""
        both = valid & np.isfinite(drr)
        if np.count_nonzero(both) < MIN_PIXELS:
            return None
        return cls(_spread(drr[both]), _spread(line_integrals[both]))

    @classmethod
    def alone(cls, drr: np.ndarray, window: tuple[float, float]) -> ToneMatch:
        """Of a DRR that fills a window (low, high) of the X-ray by itself."""
        shown = drr[np.isfinite(drr)]
        return cls(_spread(shown) if shown.size else (0.0, 1.0), window)

    def window(self, low: float, high: float) -> tuple[float, float]:
        """The DRR's window that goes with the X-ray's."""
        return self.drr[0] + (low - self.xray[0]) * self._gain, self.drr[0] + (high - self.xray[0]) * self._gain

    def as_xray(self, drr: np.ndarray) -> np.ndarray:
        """A DRR in the line integrals of the X-ray that look like it."""
        return self.xray[0] + (drr - self.drr[0]) / self._gain

    def suits(self, other: ToneMatch, low: float, high: float) -> bool:
        """Whether the other's window is much like this one's, for an X-ray's window."""
        here, there = np.array(self.window(low, high)), np.array(other.window(low, high))
        return bool(np.abs(here - there).max() <= TOLERANCE * (there[1] - there[0]))

    @property
    def _gain(self) -> float:
        """By how much more the DRR changes than the X-ray."""
        return (self.drr[1] - self.drr[0]) / (self.xray[1] - self.xray[0])


def _spread(values: np.ndarray) -> tuple[float, float]:
    low, high = map(float, np.percentile(values, PERCENTILES))
    return low, max(high, low + 1e-3)
