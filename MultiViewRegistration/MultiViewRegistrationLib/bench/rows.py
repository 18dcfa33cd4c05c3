"""A row of the benchmark: ours beside a peer's, measured in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np


@dataclass(frozen=True)
class Row:
    """One comparison. All times are wall-clock.

    ours, peer: medians over the repeats.   ratio: peer / ours, larger is better for us; None where there is nothing to divide.
    repeats: (ours, the peer's).   spread: least and largest ratio (over all pairs where the two did not repeat equally often).
    ours_range, peer_range: least and largest value.
    peer_at_least: the peer had not got there when its time was over; `peer` is that time, so the ratio is a lower bound.
    failed: why the row does not count, such as two images that do not agree; "" where it does.
    note: what a reader needs to judge the row.
    """

    name: str
    unit: str
    ours: float | None
    peer: float | None
    peer_name: str
    ratio: float | None
    repeats: tuple[int, int]
    spread: tuple[float, float] | None
    ours_range: tuple[float, float] | None = None
    peer_range: tuple[float, float] | None = None
    peer_at_least: bool = False
    failed: str = ""
    note: str = ""

    def to_json(self) -> dict:
        """Plain data; the contract's fields first."""
        return asdict(self)


def compared(
    name: str,
    unit: str,
    ours: Sequence[float],
    peer: Sequence[float],
    peer_name: str,
    *,
    paired: bool = False,
    peer_at_least: bool = False,
    failed: str = "",
    note: str = "",
) -> Row:
    """The row of measured values; either side may be empty, where it was not or could not be measured.

    paired: repeat i of ours was measured next to repeat i of the peer, so that their ratios are compared one by one.
    """
    ours_array, peer_array = np.asarray(ours, float), np.asarray(peer, float)
    ratio = spread = None
    if ours_array.size and peer_array.size:
        ratio = float(np.median(peer_array) / np.median(ours_array))
        ratios = peer_array / ours_array if paired else (peer_array[:, None] / ours_array).ravel()
        spread = _range(ratios)
    return Row(
        name,
        unit,
        _median(ours_array),
        _median(peer_array),
        peer_name,
        ratio,
        (ours_array.size, peer_array.size),
        spread,
        _range(ours_array),
        _range(peer_array),
        peer_at_least,
        failed,
        note,
    )


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


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if values.size else None


def _range(values: np.ndarray) -> tuple[float, float] | None:
    return (float(values.min()), float(values.max())) if values.size else None
