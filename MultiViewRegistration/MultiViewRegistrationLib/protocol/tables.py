"""What the registrations of a protocol come to: rates with their intervals, quantiles, and how well what was said agrees with what is true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..assessment import protocol
from ..assessment.prediction import WRONG_MM
from ..assessment.protocol import SUCCESS_MM, SuccessRate
from ..evaluation_tables import table
from .conditions import INTERVALS, REACH_MM

#: Capture ranges are told in steps of this, and where there are so many registrations in each.
STEP_MM, FEWEST = 10.0, 5
#: Bands of the probability of a wrong answer.
BANDS = (0, 0.005, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1)

Rows = Sequence[dict]


def mtre(rows: Rows) -> np.ndarray:
    """(n,) mm; infinite where there was no answer."""
    return np.array([row["mtre_mm"] if row["failed"] is None else np.inf for row in rows], float)


def share(hits: np.ndarray, of: np.ndarray) -> str:
    """"3 of 200 (1.5 %, 0.5 to 4.3)", with Wilson's 95 % interval."""
    rate = SuccessRate(int(np.count_nonzero(np.asarray(hits) & of)), int(np.count_nonzero(of)))
    if not rate.total:
        return "none"
    low, high = rate.interval
    return f"{rate.successes} of {rate.total} ({100 * rate.rate:.1f} %, {100 * low:.1f} to {100 * high:.1f})"


def by_condition(rows: Rows) -> str:
    """Success, capture range and errors of each condition, all CTs together."""
    body = []
    for (part, name), group in grouped(rows, "part", "condition"):
        mm = mtre(group)
        near = np.array([row.get("start_mm", np.inf) <= STEP_MM for row in group])
        right = mm[mm <= WRONG_MM]
        body.append((part, name, len(group), share(mm < SUCCESS_MM, np.ones(len(mm), bool)), share(mm < SUCCESS_MM, near), capture(group),
                     *quantiles(mm), f"{np.median(right):.3f}" if len(right) else "none", _seconds(group)))
    return table(("registered", "condition", "runs", f"under {SUCCESS_MM:g} mm", f"of starts up to {STEP_MM:g} mm", "capture range mm",
                  "median mTRE mm", "95th percentile mm", f"median of those up to {WRONG_MM:g} mm", "s"), body)


def by_start(rows: Rows) -> str:
    """Success by the start's mTRE, of what has no error in its geometry."""
    edges = np.linspace(0, REACH_MM, INTERVALS + 1)
    sound = [row for row in rows if row["error"] is None and "start_mm" in row]
    groups = [(f"{part}, {'plain' if group == 'geometry' else 'with nuisances'}, "
               f"{views} view{'s' * (views > 1)}", [row for row in each])
              for (part, group, views), each in grouped(sound, "part", "group", "views")]
    body = []
    for name, group in groups:
        rates = protocol.success_by_interval([row["start_mm"] for row in group], mtre(group), edges)
        body.append((name, len(group), *(f"{rate.successes} of {rate.total}" if rate.total else "" for rate in rates)))
    return table(("registered", "runs", *(f"{low:g} to {high:g} mm" for low, high in pairwise(edges))), body)


def capture(rows: Rows) -> str:
    edges = np.arange(0, REACH_MM + STEP_MM / 2, STEP_MM)
    started = [row for row in rows if "start_mm" in row]
    starts = np.array([row["start_mm"] for row in started])
    if not len(starts) or min(np.histogram(starts, edges)[0]) < FEWEST:
        return "too few starts"
    return f"{protocol.capture_range(starts, mtre(started), edges):.0f}"


def quantiles(mm: np.ndarray) -> tuple[str, str]:
    """Median and 95th percentile; what gave no answer is beyond all others."""
    told = (float(np.quantile(mm, q, method="higher")) for q in (0.5, 0.95))
    return tuple(f"{value:.3f}" if np.isfinite(value) else "no answer" for value in told)


def trust(rows: Rows) -> str:
    """What the assessment is worth: of all, and of those whose geometry is right or said to be uncertain."""
    body = []
    for name, group in _kinds(rows):
        mm, verdict = mtre(group), np.array([row.get("verdict") for row in group])
        accepted, rejected = verdict == "accept", verdict == "reject"
        body.append((name, len(group), share(mm > WRONG_MM, accepted), share(accepted, mm > WRONG_MM), share(rejected, mm < SUCCESS_MM),
                     share(accepted, mm < SUCCESS_MM)))
    return table(("results", "number", "wrong of the accepted", "accepted of the wrong", f"rejected of those under {SUCCESS_MM:g} mm",
                  f"accepted of those under {SUCCESS_MM:g} mm"), body)


def predictions(rows: Rows) -> str:
    """How well the probability and the bounds hold, where the model says any."""
    body = []
    for name, group in _kinds([row for row in rows if row.get("wrong") is not None]):
        mm, wrong = mtre(group), np.array([row["wrong"] for row in group])
        upper, every = np.array([row["upper95_mm"] for row in group]), np.ones(len(group), bool)
        body.append((name, len(group), int((mm > WRONG_MM).sum()), *(f"{protocol.auroc(wrong, mm > limit):.3f}" for limit in (WRONG_MM, SUCCESS_MM)),
                     share(mm <= upper, every), share(mm <= upper, mm <= WRONG_MM)))
    return table(("results", "number", f"above {WRONG_MM:g} mm", f"AUROC > {WRONG_MM:g} mm", f"AUROC > {SUCCESS_MM:g} mm",
                  "mTRE within the 95 % bound", "the same of the right"), body)


def reliability(rows: Rows) -> list[tuple[float, float, float, SuccessRate]]:
    """(least, largest, mean said, found wrong) of each band of BANDS that has results."""
    rows = [row for row in rows if row.get("wrong") is not None]
    said, wrong = np.array([row["wrong"] for row in rows]), mtre(rows) > WRONG_MM
    bands = []
    for low, high in pairwise(BANDS):
        held = (said >= low) & ((said < high) | (high == 1))
        if held.any():
            bands.append((low, high, float(said[held].mean()), SuccessRate(int(wrong[held].sum()), int(held.sum()))))
    return bands


def grouped(rows: Rows, *keys: str) -> Iterator[tuple[tuple, list[dict]]]:
    """Rows with the same values of these keys, in the order in which they first come by the list of conditions, not of the runs."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    yield from groups.items()


def _kinds(rows: Rows) -> list[tuple[str, list[dict]]]:
    kinds = [("all", rows), ("geometry right or said to be uncertain", [row for row in rows if _sound(row)])]
    kinds += [(f"the same, {part}", [row for row in rows if _sound(row) and row["part"] == part]) for part in ("body", "bone")]
    kinds += [("geometry wrong and taken as exact", [row for row in rows if not _sound(row)])]
    return [(name, group) for name, group in kinds if group]


def _sound(row: dict) -> bool:
    return row["error"] is None or row["error"].startswith("encoder")


def _seconds(rows: Rows) -> str:
    seconds = [row["register_s"] for row in rows if row["failed"] is None]
    return f"{np.median(seconds):.2f}" if seconds else "none"
