"""Rows of registrations, as `trial.measured` makes them: chosen, grouped, and counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..statistics import SuccessRate
from .conditions import CONDITIONS

Rows = Sequence[dict]

_ORDER = {(each.part, each.name): number for number, each in enumerate(CONDITIONS)}


def mtre(rows: Rows) -> np.ndarray:
    """(n,) mm; infinite where there was no answer."""
    return np.array([row["mtre_mm"] if row["failed"] is None else np.inf for row in rows], float)


def column(rows: Rows, key: str) -> np.ndarray:
    """(n,) numbers; NaN where there is none."""
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], float)


def verdicts(rows: Rows) -> np.ndarray:
    """(n,) words; "" where there was no answer."""
    return np.array([row.get("verdict") or "" for row in rows])


def is_sound(row: dict) -> bool:
    """Whether the geometry is as it was said, or as uncertain as it was said."""
    return row["error"] is None or row["error"].startswith("encoder")


def grouped(rows: Rows, *keys: str) -> list[tuple[tuple, list[dict]]]:
    """Rows with the same values of these keys, by the order of the conditions."""
    groups: dict[tuple, list[dict]] = {}
    for row in sorted(rows, key=lambda row: (_ORDER.get((row["part"], row["condition"]), len(_ORDER)), row["number"])):
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.items())


def rate(hits: np.ndarray, of: np.ndarray) -> SuccessRate:
    """How many of those in `of` (n,) bool are in `hits` (n,) bool."""
    return SuccessRate(int(np.count_nonzero(np.asarray(hits) & of)), int(np.count_nonzero(of)))


def share(hits: np.ndarray, of: np.ndarray) -> str:
    """ "3 of 200 (1.5 %, 0.5 to 4.3)", with Wilson's 95 % interval."""
    found = rate(hits, of)
    if not found.total:
        return "none"
    low, high = found.interval
    return f"{found.successes} of {found.total} ({100 * found.rate:.1f} %, {100 * low:.1f} to {100 * high:.1f})"


def quantile(mm: np.ndarray, q: float) -> str:
    """What gave no answer is beyond all others."""
    if not len(mm):
        return "none"
    value = float(np.quantile(mm, q, method="higher"))
    return f"{value:.3f}" if np.isfinite(value) else "no answer"
