"""What the benchmark measures and keeps: a row sets ours beside a peer, a job gives rows, a record keeps what a job gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from ..studies.tables import table

Curves = dict[str, dict[str, list]]
"""Points [x, y] by figure and line."""
HEAD = ("", "ours", "peer", "", "ratio", "least to largest", "repeats", "")
RIGHT = (1, 2, 4)


@dataclass(frozen=True)
class Row:
    """One comparison. All times are wall-clock.

    Parameters
    ----------
    ours, peer : medians over the repeats, None where there are none.
    ratio : peer / ours, larger is better for us; None where there is nothing to divide.
    repeats : how often each was measured, [ours, the peer's].
    spread : least and largest ratio, over all pairs where the two did not repeat equally often.
    ours_range, peer_range : least and largest value.
    peer_at_least : whether the peer ran out of time; `peer` is that time then, and the ratio a lower bound.
    failed : why the row does not count, such as two images that do not agree; "" where it does.
    note : what a reader needs to judge the row.
    """

    name: str
    unit: str
    ours: float | None
    peer: float | None
    peer_name: str
    ratio: float | None
    repeats: list[int]
    spread: list[float] | None
    ours_range: list[float] | None = None
    peer_range: list[float] | None = None
    peer_at_least: bool = False
    failed: str = ""
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """The cells under HEAD."""
        at_least = "≥ " * self.peer_at_least
        ratio = "–" if self.ratio is None else f"{at_least}{number(self.ratio)}"
        return (
            self.name,
            "–" if self.ours is None else f"{number(self.ours)} {self.unit}",
            "–" if self.peer is None else f"{at_least}{number(self.peer)} {self.unit}",
            self.peer_name,
            "failed" if self.failed else ratio,
            "–" if self.spread is None else " to ".join(map(number, self.spread)),
            "/".join(map(str, self.repeats)),
            self.failed or self.note,
        )


@dataclass(frozen=True)
class Measured:
    """What a job found: rows, and points for the page's figures."""

    rows: list[Row]
    curves: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One piece of the benchmark that can be run alone.

    Parameters
    ----------
    part : "render", ...
    rows : names of the rows that it gives.
    seconds : about how long it takes on two cores.
    run : measures; it is called with a function to which it tells the share that is done.
    """

    part: str
    rows: tuple[str, ...]
    seconds: float
    run: Callable[[Callable[[float], object]], Measured]


@dataclass(frozen=True)
class Record:
    """What a job found last, when, and on which machine (`machine.machine`)."""

    part: str
    when: str
    machine: dict
    rows: list[Row]
    curves: Curves


def compared(
    name: str, unit: str, ours: Sequence[float], peer: Sequence[float], peer_name: str, *, paired: bool = False, **more
) -> Row:
    """The row of measured values; either side may be empty, where it was not or could not be measured.

    Parameters
    ----------
    paired : whether repeat i of ours was measured next to repeat i of the peer, so that ratios are taken one by one.
    more : further fields of the row.
    """
    ours, peer = np.asarray(ours, float), np.asarray(peer, float)
    ratio, ratios = None, np.array([])
    if ours.size and peer.size:
        ratio = float(np.median(peer) / np.median(ours))
        ratios = peer / ours if paired else (peer[:, None] / ours).ravel()
    medians = [float(np.median(values)) if values.size else None for values in (ours, peer)]
    spread, *ranges = (
        [float(values.min()), float(values.max())] if values.size else None for values in (ratios, ours, peer)
    )
    return Row(name, unit, *medians, peer_name, ratio, [ours.size, peer.size], spread, *ranges, **more)


def alternated(works: Sequence[Callable[[], object]], repeats: int, factor: float = 1e3) -> list[list[float]]:
    """The seconds times `factor` that each work took, each `repeats` times, in turns, so that a busy moment hits all of them.

    Every work is done once before the clock starts.
    """
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, spent in zip(works, times, strict=True):
            began = perf_counter()
            work()
            spent.append(factor * (perf_counter() - began))
    return times


def number(value: float) -> str:
    """Three digits, without an exponent."""
    digits = 3 if abs(value) < 0.995 else 2 if value < 9.95 else 1 if value < 99.5 else 0
    return f"{value:.{digits}f}"


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table for a Markdown page."""
    return table(HEAD, [row.cells() for row in rows], RIGHT)


def terminal(rows: Sequence[Row]) -> str:
    """The rows as a table for a terminal, without the notes; failures are told below."""
    lines = [HEAD[:-1], *(row.cells()[:-1] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = []
    for line in lines:
        cells = zip(line, widths, strict=True)
        told.append(
            "  ".join(
                cell.rjust(width) if column in RIGHT else cell.ljust(width)
                for column, (cell, width) in enumerate(cells)
            ).rstrip()
        )
    return "\n".join([*told, *(f"{row.name}: {row.failed}." for row in rows if row.failed)])
