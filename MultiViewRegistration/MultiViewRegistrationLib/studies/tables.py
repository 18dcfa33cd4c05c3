"""The Markdown tables of all studies and benchmarks, and what their cells say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .statistics import SuccessRate

Item = TypeVar("Item")


def table(head: Sequence[str], rows: Iterable[Sequence], right: Sequence[int] = ()) -> str:
    """A table in Markdown.

    Parameters
    ----------
    head : names of the columns.
    rows : cells of each row.
    right : indices of the columns that are aligned to the right.
    """
    line = ["---:" if column in right else "---" for column in range(len(head))]
    cells = ([" ".join(str(cell).replace("|", "\\|").split()) for cell in row] for row in (head, line, *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def table_of(groups: Iterable[tuple[Sequence, Any]], keys: Sequence[str], columns: dict[str, Callable]) -> str:
    """A table with a row for each group: the values of its keys, and what each column's function says of it."""
    rows = [[*values, *(cell(group) for cell in columns.values())] for values, group in groups]
    return table([*keys, *columns], rows)


def grouped(items: Iterable[Item], key: Callable[[Item], tuple]) -> list[tuple[tuple, list[Item]]]:
    """The items of each key, in the order of their first."""
    groups: dict[tuple, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def percent(rate: SuccessRate) -> str:
    """ "1.5 % (0.5 to 4.3)", with Wilson's 95 % interval."""
    low, high = rate.interval
    return f"{100 * rate.rate:.1f} % ({100 * low:.1f} to {100 * high:.1f})" if rate.total else "none"


def share(hits: ArrayLike, of: np.ndarray | None = None) -> str:
    """ "3 of 200 (1.5 %, 0.5 to 4.3)": of those in `of` (n,) bool, by default all, how many are in `hits` (n,) bool."""
    rate = SuccessRate.of(hits, of)
    if not rate.total:
        return "none"
    low, high = rate.interval
    return f"{rate.successes} of {rate.total} ({100 * rate.rate:.1f} %, {100 * low:.1f} to {100 * high:.1f})"


def quantile(values: np.ndarray, q: float, digits: int = 3) -> str:
    """A quantile that is one of the values; registrations without a result, infinite, lie beyond all others."""
    if not len(values):
        return "none"
    value = float(np.quantile(values, q, method="higher"))
    return f"{value:.{digits}f}" if np.isfinite(value) else "no answer"
