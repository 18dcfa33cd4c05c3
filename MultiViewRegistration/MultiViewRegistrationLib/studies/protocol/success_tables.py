"""How often, from how far and how exactly the protocol's registrations succeed, as Markdown tables."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ...assessment.prediction import WRONG_MM
from .. import statistics as protocol
from ..evaluation_tables import table
from ..statistics import SUCCESS_MM
from .conditions import INTERVALS, REACH_MM
from .rows import Rows, column, grouped, mtre, quantile, share

#: Capture ranges are told in steps of this, and where there are so many registrations in each.
STEP_MM, FEWEST = 10.0, 5
#: What the nuisances are held against.
CLEAN = "2 views, 90 degrees"


def by_condition(rows: Rows) -> str:
    """Success, capture range and errors of each condition, all CTs together."""
    body = []
    for (part, name), group in grouped(rows, "part", "condition"):
        mm, start = mtre(group), column(group, "start_mm")
        good = mm < SUCCESS_MM
        body.append(
            (
                part,
                name,
                len(group),
                share(good, np.ones(len(mm), bool)),
                share(good, start <= STEP_MM),
                capture(group),
                quantile(mm, 0.5),
                quantile(mm, 0.95),
                quantile(mm[start <= STEP_MM], 0.5),
                quantile(mm[start <= STEP_MM], 0.95),
                _median(column(group, "register_s")),
            )
        )
    near = f"starts up to {STEP_MM:g} mm"
    return table(
        (
            "registered",
            "condition",
            "runs",
            f"under {SUCCESS_MM:g} mm",
            f"of {near}",
            "capture range mm",
            "median mTRE mm",
            "95th percentile",
            f"median, {near}",
            "95th percentile",
            "s",
        ),
        body,
    )


def by_start(rows: Rows) -> str:
    """Success by the start's mTRE, of what has no error in its geometry."""
    edges = np.linspace(0, REACH_MM, INTERVALS + 1)
    sound = [row for row in rows if row["error"] is None and "start_mm" in row]
    body = []
    for (part, group, views), each in grouped(sound, "part", "group", "views"):
        rates = protocol.success_by_interval(column(each, "start_mm"), mtre(each), edges)
        kind = "plain" if group == "geometry" else "with nuisances"
        body.append(
            (
                f"{part}, {kind}, {views} view{'s' * (views > 1)}",
                len(each),
                *(f"{rate.successes} of {rate.total}" if rate.total else "" for rate in rates),
            )
        )
    return table(("registered", "runs", *(f"{low:g} to {high:g} mm" for low, high in pairwise(edges))), body)


def against_clean(rows: Rows) -> str:
    """What each nuisance alone costs: its registrations beside those of the same pose and cameras without it."""
    body = []
    for (part, name), group in grouped(
        [row for row in rows if row["group"] == "nuisance" and len(row.get("nuisances", ())) == 1], "part", "condition"
    ):
        put, without = beside_clean(group, rows)
        if len(put):
            put, without, pairs = np.median(put), np.median(without), len(put)
            body.append((part, name, pairs, f"{without:.3f}", f"{put:.3f}", f"{put / without:.2f}"))
    return (
        table(("registered", "nuisance", "pairs", "median mTRE without mm", "with mm", "ratio"), body) if body else ""
    )


def beside_clean(chosen: Rows, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The mTREs of the chosen and of what is CLEAN at the same pose with the same cameras, of the pairs in which both found the answer."""
    plain = {_scene(row): row for row in rows if row["condition"] == CLEAN}
    pairs = [(row, plain[_scene(row)]) for row in chosen if _scene(row) in plain]
    mm = np.array([mtre(pair) for pair in pairs]).reshape(-1, 2)
    return tuple(mm[(mm <= WRONG_MM).all(axis=1)].T)


def capture(rows: Rows) -> str:
    """Of a condition, mm, or that there are too few starts to tell."""
    edges = np.arange(0, REACH_MM + STEP_MM / 2, STEP_MM)
    started = [row for row in rows if "start_mm" in row]
    starts = column(started, "start_mm")
    if not len(starts) or min(np.histogram(starts, edges)[0]) < FEWEST:
        return "too few starts"
    return f"{protocol.capture_range(starts, mtre(started), edges):.0f}"


def _scene(row: dict) -> tuple:
    return row["ct"], row["part"], row["views"], row["apart_deg"], row["repeat"]


def _median(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    return f"{np.median(values):.2f}" if len(values) else "none"
