"""What is registered, as a list: every condition with every CT, in an order of which any beginning holds some of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: At least so many registrations, however many CTs there are.
MIN_REGISTRATIONS = 2000
#: Start mTREs are drawn evenly from so many intervals up to this.
MAX_START_ERROR_MM, INTERVALS = 40.0, 8

PARTS = ("body", "bone")
#: Views and the angle between the first and the others, degrees.
GEOMETRIES = ((1, 0), (2, 15), (2, 30), (2, 45), (2, 60), (2, 90), (3, 30), (3, 60), (3, 90))
NUISANCES = (
    "blades",
    "shutters",
    "round field",
    "saturated",
    "text",
    "tools",
    "wires",
    "rods",
    "prosthesis",
    "contrast",
    "cast",
    "table",
    "scatter",
    "weak",
    "motion",
    "neighbours",
)
#: One of each of these at once.
TOGETHER = (
    ("wires", "rods", "prosthesis"),
    ("blades", "shutters", "round field"),
    ("text",),
    ("tools",),
    ("contrast", "cast", "table", "saturated"),
    ("scatter", "weak"),
    ("motion", "neighbours"),
)
#: See `geometry_errors.GEOMETRY_ERRORS`.
ERRORS = ("encoder 1", "encoder 2", "turned", "scaled", "flipped")


@dataclass(frozen=True)
class Condition:
    """part: the whole body is registered, or one bone of it among the others.   apart_deg: angle between the first view and the others.

    together: one of each of TOGETHER, drawn for each registration, beside the nuisances.   error: of the geometry, one of ERRORS.
    """

    name: str
    part: str
    views: int = 2
    apart_deg: float = 90
    nuisances: tuple[str, ...] = ()
    together: bool = False
    error: str | None = None

    @property
    def group(self) -> str:
        """Which table it is in."""
        return "geometry error" if self.error else "nuisance" if self.nuisances or self.together else "geometry"


@dataclass(frozen=True)
class Trial:
    """One registration of the list.   ct: number of the CT.   interval: of INTERVALS, from which its start is drawn.   repeat: how many
    of this condition and CT come before it."""

    number: int
    condition: Condition
    ct: int
    interval: int
    repeat: int


def _of(part: str) -> list[Condition]:
    geometries = [
        Condition(f"{views} view{'s' * (views > 1)}" + (f", {apart} degrees" if views > 1 else ""), part, views, apart)
        for views, apart in GEOMETRIES
    ]
    alone = [Condition(name, part, nuisances=(name,)) for name in NUISANCES if name != "neighbours" or part == "bone"]
    together = [
        Condition(f"all at once, {views} views, {apart} degrees", part, views, apart, together=True)
        for views, apart in ((2, 90), (2, 45), (3, 90))
    ]
    errors = [Condition(name, part, error=name) for name in ERRORS]
    with_tools = Condition("encoder 1, tools", part, nuisances=("tools",), error="encoder 1")
    return [
        *geometries,
        *alone,
        *together,
        *errors,
        Condition("encoder 1, 3 views", part, 3, 60, error="encoder 1"),
        with_tools,
    ]


CONDITIONS = tuple(condition for part in PARTS for condition in _of(part))
#: For a second simulator, whose X-rays take seconds each.
BODIES = tuple(condition for condition in CONDITIONS if condition.part == "body")


def trials(
    cts: int, conditions: Sequence[Condition] = CONDITIONS, least: int = MIN_REGISTRATIONS, seed: int = 0
) -> list[Trial]:
    """The list for so many CTs: as often the whole of conditions and CTs as makes `least`, each time in an order of its own.

    Starts go through the intervals in turn, each condition beginning with another.
    """
    each = [(n, condition, ct) for n, condition in enumerate(conditions) for ct in range(cts)]
    listed: list[Trial] = []
    for repeat in range(-(-least // len(each))):
        order = np.random.default_rng([seed, repeat]).permutation(len(each))
        for n, condition, ct in (each[index] for index in order):
            interval = (n + (INTERVALS // 2) * ct + 3 * repeat) % INTERVALS  # 3 and 8 have no common divisor
            listed.append(Trial(len(listed), condition, ct, interval, repeat))
    return listed
