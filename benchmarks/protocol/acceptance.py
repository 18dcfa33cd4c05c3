"""What the verdict has to reach on a protocol's rows.

These numbers were fixed before the runs that are judged by them.

Each person is judged by the model that was fitted to the others. Wrong is an mTRE above WRONG_MM,
right one below SUCCESS_MM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from MultiViewRegistrationLib.assessment.prediction import WRONG_MM
from MultiViewRegistrationLib.studies.statistics import SUCCESS_MM, SuccessRate, grouped, table

from ..statistics import auroc, share
from .conditions import CONDITIONS, STATED

#: Accepts of bodies, none of them wrong.
MIN_ACCEPTS = 1500
#: Area under the ROC curve of the failure probability: with calibrated cameras, and of each
#: condition whose fault an image can show.
MIN_AUROC, MIN_AUROC_OF_CONDITION = 0.99, 0.95
#: A condition with fewer wrong or other results than this has its wrong ones held against all with
#: calibrated cameras that are not.
MIN_OF_A_KIND = 5
#: Rejected of the right results; accepted of the right results with calibrated cameras.
MAX_REJECTED, MIN_ACCEPTED = 0.03, 0.80
#: How often the 95 % bound holds, in each condition: these must not lie beyond the 95 % interval of
#: what is found.
BOUND_HOLDS = 0.90, 0.99
#: A fault that images hardly show: a wrong principal point moves the CT and leaves them nearly
#: alike. What cameras leave open that are as uncertain as the case says is told as a risk, and
#: never accepted: whether it comes true is chance.
NOT_SHOWN, CHANCE = ("principal point",), STATED

Rows = Sequence[dict]


class Judged(NamedTuple):
    """A number that has to be reached, as text, what was found, and whether it is reached.

    None where there are no such results.
    """

    what: str
    wanted: str
    found: str
    reached: bool | None


def mtre(rows: Rows) -> np.ndarray:
    """(n,) mm; infinite where there was no answer."""
    return np.array([row["mtre_mm"] if row["failed"] is None else np.inf for row in rows], float)


def is_sound(row: dict) -> bool:
    """Whether CT and geometry are right, or as uncertain as the case says."""
    return row["error"] is None or row["error"] in STATED


def is_predicted(row: dict) -> bool:
    """Whether there is a predicted error."""
    return row.get("failure_probability") is not None


def judge(rows: Rows) -> list[Judged]:
    """Hold the rows of a protocol, see `runs.measured`, against these numbers.

    Persons and conditions apart, and bodies and bones.
    """
    bodies, bones = ([row for row in rows if row["part"] == part] for part in ("body", "bone"))
    persons = grouped(bodies, lambda row: (row["ct"],))
    judged = [
        _accepts(bodies),
        *(_wrong_accepts(f"{name}: wrong of the accepted", group) for (name,), group in persons),
        _rejects("rejected of the right", bodies),
        *(_rejects(f"{name}: rejected of the right", group) for (name,), group in persons),
        _accepted("accepted of the right with calibrated cameras", bodies),
        *(
            _accepted(f"{name}: accepted of the right with calibrated cameras", group)
            for (name,), group in persons
        ),
        _auroc("AUROC with calibrated cameras", bodies),
        *(_auroc(f"{name}: AUROC with calibrated cameras", group) for (name,), group in persons),
        _auroc("bones: AUROC with calibrated cameras", bones),
        _wrong_accepts("bones: wrong of the accepted", bones),
    ]
    order = list(dict.fromkeys((each.part, each.name) for each in CONDITIONS))
    calibrated = [row for row in bodies if row["error"] is None]
    for part, name in order:
        group = [row for row in rows if (row["part"], row["condition"]) == (part, name)]
        if group:
            label = f"{part}, {name}"
            judged.append(_wrong_accepts(f"{label}: wrong of the accepted", group))
            judged.append(_bound(f"{label}: within the 95 % bound", group))
            if part == "body" and group[0]["error"] not in (*NOT_SHOWN, *CHANCE):
                judged.append(_auroc_of_condition(f"{label}: AUROC", group, calibrated))
    return judged


def judged_table(rows: Rows) -> str:
    """The same as a Markdown table."""
    words = {True: "yes", False: "**no**", None: ""}
    body = [(each.what, each.wanted, each.found, words[each.reached]) for each in judge(rows)]
    return table(("of all results", "to reach", "found", "reached"), body)


def _is(rows: Rows, verdict: str) -> np.ndarray:
    return np.array([row.get("verdict") == verdict for row in rows], bool)


def _accepts(rows: Rows) -> Judged:
    accepted = _is(rows, "accept")
    wrong = int((accepted & (mtre(rows) > WRONG_MM)).sum())
    found = f"{wrong} of {accepted.sum()}"
    return Judged(
        "wrong of the accepted",
        f"0 of {MIN_ACCEPTS} or more",
        found,
        bool(accepted.sum() >= MIN_ACCEPTS and not wrong),
    )


def _wrong_accepts(what: str, rows: Rows) -> Judged:
    wrong = mtre(rows) > WRONG_MM
    accepted = _is(rows, "accept")
    return Judged(what, "0", share(wrong, accepted), bool(not (wrong & accepted).any()))


def _rejects(what: str, rows: Rows) -> Judged:
    right = mtre(rows) < SUCCESS_MM
    rate = SuccessRate.of(_is(rows, "reject"), right)
    reached = rate.rate <= MAX_REJECTED if rate.total else None
    return Judged(
        what, f"at most {100 * MAX_REJECTED:g} %", share(_is(rows, "reject"), right), reached
    )


def _accepted(what: str, rows: Rows) -> Judged:
    right = np.array([row["error"] is None for row in rows], bool) & (mtre(rows) < SUCCESS_MM)
    rate = SuccessRate.of(_is(rows, "accept"), right)
    reached = rate.rate >= MIN_ACCEPTED if rate.total else None
    return Judged(
        what, f"{100 * MIN_ACCEPTED:g} % or more", share(_is(rows, "accept"), right), reached
    )


def _area(rows: Rows) -> tuple[float, str]:
    wrong = mtre(rows) > WRONG_MM
    area = auroc([row["failure_probability"] for row in rows], wrong)
    return area, f"{area:.3f} ({wrong.sum()} wrong, {(~wrong).sum()} not)" if np.isfinite(
        area
    ) else "no two kinds"


def _auroc(what: str, rows: Rows) -> Judged:
    area, found = _area([row for row in rows if is_predicted(row) and row["error"] is None])
    return Judged(
        what,
        f"{MIN_AUROC:g} or more",
        found,
        bool(area >= MIN_AUROC) if np.isfinite(area) else None,
    )


def _auroc_of_condition(what: str, rows: Rows, calibrated: Rows) -> Judged:
    rows = [row for row in rows if is_predicted(row)]
    wrong = mtre(rows) > WRONG_MM
    if min(wrong.sum(), (~wrong).sum()) < MIN_OF_A_KIND:
        wrong_rows = [row for row, is_wrong in zip(rows, wrong, strict=True) if is_wrong]
        others = [row for row in calibrated if is_predicted(row) and row["mtre_mm"] <= WRONG_MM]
        area, found = _area([*wrong_rows, *others])
    else:
        area, found = _area(rows)
    reached = bool(area >= MIN_AUROC_OF_CONDITION) if np.isfinite(area) else None
    return Judged(what, f"{MIN_AUROC_OF_CONDITION:g} or more", found, reached)


def _bound(what: str, rows: Rows) -> Judged:
    """Judge bounds where they are told: where the views agree."""
    rows = [row for row in rows if is_predicted(row) and row.get("agree", True)]
    within = mtre(rows) <= [row["upper95_mm"] for row in rows]
    low, high = BOUND_HOLDS
    reached = None
    if len(rows):
        found_low, found_high = SuccessRate.of(within).interval
        reached = bool(found_low <= high and found_high >= low)
    return Judged(what, f"{100 * low:g} to {100 * high:g} %", share(within), reached)
