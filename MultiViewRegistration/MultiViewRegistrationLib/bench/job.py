"""What a part of the benchmark consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .rows import Row

Tell = Callable[[float], object]
"""Told the share of a job that is done."""
Curves = dict[str, dict[str, list[tuple[float, float]]]]
"""Points (x, y) by figure and line."""


@dataclass(frozen=True)
class Measured:
    """What a job found: rows, and points for the page's figures."""

    rows: list[Row]
    curves: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One piece of a part that can be run alone.

    part: "render", ...   rows: names of the rows that it gives.   seconds: about how long it takes on two cores.
    run: measures; called with `Tell`.   of: the part of the processor that it does on a card, "" for the processor's own.
    """

    part: str
    rows: tuple[str, ...]
    seconds: float
    run: Callable[[Tell], Measured]
    of: str = ""

    @property
    def key(self) -> str:
        """Names the job among all others."""
        return f"{self.part}: {self.rows[0]}"
