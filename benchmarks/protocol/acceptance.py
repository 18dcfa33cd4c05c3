"""What the verdict has to reach on a protocol's rows.

These numbers were fixed before the runs that are judged by them.

Each person is judged by the model that was fitted to the others. Wrong is an mTRE above WRONG_MM,
right one below SUCCESS_MM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from MultiViewRegistrationLib.assessment.records import WRONG_MM
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
    of_persons = [("", bodies)]
    of_persons += [(f"{name}: ", own) for (name,), own in grouped(bodies, lambda row: (row["ct"],))]
    judged = [_accepts(bodies)]
    judged += [_wrong_accepts(f"{who}wrong of the accepted", own) for who, own in of_persons[1:]]
    judged += [_rejects(f"{who}rejected of the right", own) for who, own in of_persons]
    judged += [
        _accepted(f"{who}accepted of the right with calibrated cameras", own)
        for who, own in of_persons
    ]
    judged += [
        _auroc(f"{who}AUROC with calibrated cameras", own)
        for who, own in (*of_persons, ("bones: ", bones))
    ]
    judged.append(_wrong_accepts("bones: wrong of the accepted", bones))
    calibrated = [row for row in bodies if row["error"] is None]
    for part, name in dict.fromkeys((each.part, each.name) for each in CONDITIONS):
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


def verdict_is(rows: Rows, verdict: str) -> np.ndarray:
    """(n,) bool"""
    return np.array([row.get("verdict") == verdict for row in rows], bool)


def _share(what, wanted, hits, of, is_reached):
    """What share of some (n,) bool has to be reached."""
    rate = SuccessRate.of(hits, of)
    return Judged(what, wanted, share(hits, of), is_reached(rate) if rate.total else None)


def _accepts(rows):
    return _share(
        "wrong of the accepted",
        f"0 of {MIN_ACCEPTS} or more",
        mtre(rows) > WRONG_MM,
        verdict_is(rows, "accept"),
        lambda rate: rate.total >= MIN_ACCEPTS and not rate.successes,
    )


def _wrong_accepts(what, rows):
    wrong, accepted = mtre(rows) > WRONG_MM, verdict_is(rows, "accept")
    return _share(what, "0", wrong, accepted, lambda rate: not rate.successes)


def _rejects(what, rows):
    rejected, right = verdict_is(rows, "reject"), mtre(rows) < SUCCESS_MM
    wanted = f"at most {100 * MAX_REJECTED:g} %"
    return _share(what, wanted, rejected, right, lambda rate: rate.rate <= MAX_REJECTED)


def _accepted(what, rows):
    rows = [row for row in rows if row["error"] is None]
    accepted, right = verdict_is(rows, "accept"), mtre(rows) < SUCCESS_MM
    wanted = f"{100 * MIN_ACCEPTED:g} % or more"
    return _share(what, wanted, accepted, right, lambda rate: rate.rate >= MIN_ACCEPTED)


def _bound(what, rows):
    """Judge bounds where they are told: where the views agree."""
    rows = [row for row in rows if is_predicted(row) and row.get("agree", True)]
    within = mtre(rows) <= np.array([row["upper95_mm"] for row in rows], float)
    low, high = BOUND_HOLDS

    def is_reached(rate):
        found_low, found_high = rate.interval
        return found_low <= high and found_high >= low

    wanted = f"{100 * low:g} to {100 * high:g} %"
    return _share(what, wanted, within, np.ones(len(rows), bool), is_reached)


def _auroc(what, rows):
    """Of those with calibrated cameras."""
    return _area(what, [row for row in rows if row["error"] is None], MIN_AUROC)


def _auroc_of_condition(what, rows, calibrated):
    rows = [row for row in rows if is_predicted(row)]
    wrong = mtre(rows) > WRONG_MM
    if min(wrong.sum(), (~wrong).sum()) < MIN_OF_A_KIND:
        rows = [row for row, is_wrong in zip(rows, wrong, strict=True) if is_wrong]
        rows += [row for row in calibrated if is_predicted(row) and row["mtre_mm"] <= WRONG_MM]
    return _area(what, rows, MIN_AUROC_OF_CONDITION)


def _area(what, rows, wanted):
    """Of the failure probability, where it is predicted."""
    rows = [row for row in rows if is_predicted(row)]
    wrong = mtre(rows) > WRONG_MM
    area = auroc([row["failure_probability"] for row in rows], wrong)
    if np.isnan(area):
        return Judged(what, f"{wanted:g} or more", "no two kinds", None)
    found = f"{area:.3f} ({wrong.sum()} wrong, {(~wrong).sum()} not)"
    return Judged(what, f"{wanted:g} or more", found, area >= wanted)
