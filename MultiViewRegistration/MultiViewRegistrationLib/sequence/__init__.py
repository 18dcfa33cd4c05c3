"""Tracking a structure through the frames of a sequence, at one of PACES."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Effort for a tracked frame.

    Attributes
    ----------
    tolerance_mm
        The smallest step at the finest resolution.
    assessed
        With an assessment; without one the verdict is at best "check".
    """

    tolerance_mm: float
    assessed: bool


PACES = {
    "thorough": Pace(0.05, True),
    "quick": Pace(0.3, False),
}
