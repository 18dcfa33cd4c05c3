"""The protocol's tables: how often, from how far and how exactly registrations succeed, and what verdicts and predictions are worth.

Rows are those of `runs.measured`.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

from MultiViewRegistrationLib import __version__
from MultiViewRegistrationLib.assessment.records import WRONG_MM
from MultiViewRegistrationLib.studies import statistics
from MultiViewRegistrationLib.studies.statistics import (
    SUCCESS_MM,
    SuccessRate,
    capture_range,
    median,
    percent,
    success_by_interval,
    table,
    table_of,
)

from ..statistics import auroc, quantile, share
from .acceptance import Rows, is_predicted, is_sound, judged_table, mtre, verdict_is
from .conditions import CONDITIONS, INTERVALS, MAX_START_ERROR_MM, STATED
from .runs import reassessed

#: Capture ranges are in steps of this; each step needs so many registrations.
STEP_MM, MIN_PER_STEP = 10.0, 5
#: What the nuisances are held against.
CLEAN = "2 views, 90 degrees"
#: Bands of the probability of a wrong answer.
BANDS = (0, 0.005, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1)
VERDICTS = ("accept", "check", "reject")
UNDER, ABOVE = f"under {SUCCESS_MM:g} mm", f"above {WRONG_MM:g} mm"

_ORDER = {(each.part, each.name): number for number, each in enumerate(CONDITIONS)}


def page(every: list[dict]) -> str:
    """All tables, by the program's present model."""
    rows = reassessed([row for row in every if "skipped" not in row])
    reasons = Counter(row["skipped"] for row in every if "skipped" in row)
    skipped = (f"; {count} could not be simulated ({why})" for why, count in reasons.items())
    return "\n\n".join(
        [
            f"**{len(every)} registrations are done**{''.join(skipped)}; judged by version {__version__}.",
            "## Against what it has to reach",
            "Fixed before these registrations were done (`benchmarks/protocol/acceptance.py`); right "
            f"is an mTRE under {SUCCESS_MM:g} mm, wrong one above {WRONG_MM:g} mm. Shares have their "
            "95 % Wilson intervals.",
            judged_table(rows),
            "## Success and errors",
            f"Under {SUCCESS_MM:g} mm: share of registrations whose final mTRE is, with its 95 % "
            "Wilson interval; one without an answer is a failure. Capture range: up to where each "
            f"{STEP_MM:g} mm of the start's mTRE succeed in at least 95 %, where each has "
            f"{MIN_PER_STEP} starts or more. Seconds: of the registration, median, on a machine that "
            "does other things, too.",
            success_by_condition(rows),
            f"Under {SUCCESS_MM:g} mm by the start's mTRE:",
            success_by_start(rows),
            "What a nuisance costs, beside the same pose and cameras without it, where both answers "
            f"are within {WRONG_MM:g} mm:",
            cost_of_nuisances(rows),
            "## Verdicts",
            f"Wrong is an mTRE above {WRONG_MM:g} mm.",
            verdicts_by_kind(rows),
            verdicts_by_condition(rows),
            "## Likely causes",
            "Of what was done to a case, which cause was named, and how far from the error it would "
            "move the CT, median of the named.",
            causes(rows),
            "## Predicted error",
            predictions(rows),
            reliability_table(rows),
            "Along the first view's beam and across it, of answers that are right across it, by the "
            "95 % intervals of each result:",
            along_the_beam(rows),
            "## Uncertain geometry",
            "How far further cameras are off against the first, about and at the "
            "isocentre, as they were given and as they were corrected: medians of the right answers.",
            corrections(rows),
            "## Failures",
            "All wrong answers whose geometry is right, or as uncertain as the case says:",
            failures(rows),
        ]
    )


def failures(rows: Rows) -> str:
    """Wrong answers to what was sound, from the nearest start on."""
    wrong = [row for row, mm in zip(rows, mtre(rows), strict=True) if mm > WRONG_MM]
    lines = []
    for row in sorted(filter(is_sound, wrong), key=lambda row: row.get("start_mm", 0.0)):
        end = row["failed"] or f"{row['mtre_mm']:.2f}"
        about = row["number"], row["ct"], row["part"], row["condition"]
        lines.append((*about, f"{row['start_mm']:.1f}", end, row.get("verdict", "none")))
    head = ("number", "CT", "registered", "condition", "start mTRE mm", "final mTRE mm", "verdict")
    return table(head, lines)


def column(rows: Rows, key: str) -> np.ndarray:
    """(n,) numbers; NaN where there is none."""
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], float)


def predicted(rows: Rows) -> list[dict]:
    """The rows with a predicted error."""
    return [row for row in rows if is_predicted(row)]


def grouped(rows: Rows, *keys: str) -> list[tuple[tuple, list[dict]]]:
    """Rows with the same values of these keys, by the order of the conditions."""
    ordered = sorted(
        rows,
        key=lambda row: (_ORDER.get((row["part"], row["condition"]), len(_ORDER)), row["number"]),
    )
    return statistics.grouped(ordered, lambda row: tuple(row[key] for key in keys))


def success_by_condition(rows: Rows) -> str:
    """Success, capture range and errors of each condition, all CTs together."""

    def near(group):
        return [row for row in group if row.get("start_mm", np.inf) <= STEP_MM]

    return table_of(
        grouped(rows, "part", "condition"),
        ("registered", "condition"),
        {
            "runs": len,
            UNDER: lambda group: share(mtre(group) < SUCCESS_MM),
            f"of starts up to {STEP_MM:g} mm": lambda group: share(mtre(near(group)) < SUCCESS_MM),
            "capture range mm": capture,
            "median mTRE mm": lambda group: quantile(mtre(group), 0.5),
            "95th percentile": lambda group: quantile(mtre(group), 0.95),
            f"median, starts up to {STEP_MM:g} mm": lambda group: quantile(mtre(near(group)), 0.5),
            "their 95th percentile": lambda group: quantile(mtre(near(group)), 0.95),
            "s": lambda group: median(
                [row["register_s"] for row in group if row["failed"] is None], 2
            ),
        },
    )


def success_by_start(rows: Rows) -> str:
    """Success by the start's mTRE, of what has no error in its geometry."""
    edges = np.linspace(0, MAX_START_ERROR_MM, INTERVALS + 1)
    sound = [row for row in rows if row["error"] is None and "start_mm" in row]
    body = []
    for (part, group, views), each in grouped(sound, "part", "group", "views"):
        rates = success_by_interval(column(each, "start_mm"), mtre(each), edges)
        kind = "plain" if group == "geometry" else "with nuisances"
        cells = (f"{rate.successes} of {rate.total}" if rate.total else "" for rate in rates)
        body.append((f"{part}, {kind}, {_views(views)}", len(each), *cells))
    return table(
        ("registered", "runs", *(f"{low:g} to {high:g} mm" for low, high in pairwise(edges))), body
    )


def cost_of_nuisances(rows: Rows) -> str:
    """The cost of each nuisance alone.

    Its registrations beside those of the same pose and cameras without it.
    """
    alone = [
        row for row in rows if row["group"] == "nuisance" and len(row.get("nuisances", ())) == 1
    ]
    pairs = [(key, beside_clean(group, rows)) for key, group in grouped(alone, "part", "condition")]
    columns = {
        "pairs": lambda pair: len(pair[0]),
        "median mTRE without mm": lambda pair: median(pair[1], 3),
        "with mm": lambda pair: median(pair[0], 3),
        "ratio": lambda pair: f"{np.median(pair[0]) / np.median(pair[1]):.2f}",
    }
    pairs = [(key, pair) for key, pair in pairs if len(pair[0])]
    return table_of(pairs, ("registered", "nuisance"), columns)


def beside_clean(chosen: Rows, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The mTREs of the chosen and of what is CLEAN at the same pose with the same cameras, of the pairs in which both found the answer."""

    def scene(row):
        return row["ct"], row["part"], row["views"], row["apart_deg"], row["repeat"]

    plain = {scene(row): row for row in rows if row["condition"] == CLEAN}
    pairs = [(row, plain[scene(row)]) for row in chosen if scene(row) in plain]
    mm = np.array([mtre(pair) for pair in pairs]).reshape(-1, 2)
    return tuple(mm[(mm <= WRONG_MM).all(axis=1)].T)


def capture(rows: Rows) -> str:
    """The capture range of a condition, mm, or that there are too few starts."""
    edges = np.arange(0, MAX_START_ERROR_MM + STEP_MM / 2, STEP_MM)
    started = [row for row in rows if "start_mm" in row]
    starts = column(started, "start_mm")
    if not len(starts) or min(np.histogram(starts, edges)[0]) < MIN_PER_STEP:
        return "too few starts"
    return f"{capture_range(starts, mtre(started), edges):.0f}"


def verdicts_by_kind(rows: Rows) -> str:
    """Wrong accepts and wrong rejects."""

    def of_right(verdict):
        return lambda group: share(verdict_is(group, verdict), mtre(group) < SUCCESS_MM)

    columns = {
        "number": len,
        "wrong of the accepted": lambda group: share(
            mtre(group) > WRONG_MM, verdict_is(group, "accept")
        ),
        "accepted of the wrong": lambda group: share(
            verdict_is(group, "accept"), mtre(group) > WRONG_MM
        ),
        f"rejected of those {UNDER}": of_right("reject"),
        f"accepted of those {UNDER}": of_right("accept"),
    }
    return table_of(_kinds(rows), ("results",), columns)


def verdicts_by_condition(rows: Rows) -> str:
    """The numbers of accept, check and reject of each condition, by error."""

    def counts(low, high):
        def cell(group):
            band = (mtre(group) >= low) & ((mtre(group) < high) | (high == np.inf))
            return " / ".join(str((band & verdict_is(group, each)).sum()) for each in VERDICTS)

        return cell

    above = np.nextafter(WRONG_MM, np.inf)
    columns = {
        f"{UNDER}: {' / '.join(VERDICTS)}": counts(0, SUCCESS_MM),
        f"to {WRONG_MM:g} mm": counts(SUCCESS_MM, above),
        ABOVE: counts(above, np.inf),
    }
    return table_of(grouped(rows, "part", "condition"), ("registered", "condition"), columns)


def causes(rows: Rows) -> str:
    """The named causes of each condition with a fault, and of all others together."""

    def named(group):
        counted = Counter(row["cause"]["cause"] if row.get("cause") else "none" for row in group)
        return ", ".join(f"{cause} {count}" for cause, count in counted.most_common())

    def beside(group):
        told = [(row["cause"], row["mtre_mm"]) for row in group if row.get("cause")]
        off = [abs(cause["moved_mm"] - mm) for cause, mm in told if cause["predicts"]]
        return median(off, 2) if off else ""

    faulty: list[dict] = []
    others: list[dict] = []
    for row in rows:
        if row["part"] == "body":
            (faulty if row["error"] or row["condition"] == "motion" else others).append(row)
    groups = [*grouped(faulty, "condition"), *([(("all others",), others)] if others else [])]
    columns = {
        "runs": len,
        ABOVE: lambda group: int((mtre(group) > WRONG_MM).sum()),
        "named": named,
        "from the error mm": beside,
    }
    return table_of(groups, ("condition",), columns)


def predictions(rows: Rows) -> str:
    """The detection of wrong registrations by the probability, and the coverage of the bound, where the model gives them."""

    def within(group):
        return mtre(group) <= column(group, "upper95_mm")

    columns = {
        "number": len,
        ABOVE: lambda group: int((mtre(group) > WRONG_MM).sum()),
        f"AUROC > {WRONG_MM:g} mm": lambda group: _auroc(group, WRONG_MM),
        f"AUROC > {SUCCESS_MM:g} mm": lambda group: _auroc(group, SUCCESS_MM),
        "mTRE within the 95 % bound": lambda group: share(within(group)),
        "the same of the right": lambda group: share(within(group), mtre(group) <= WRONG_MM),
    }
    return table_of(_kinds(predicted(rows)), ("results",), columns)


def reliability_table(rows: Rows) -> str:
    """Mean predicted and share found wrong of each band of BANDS that has results."""
    rows = predicted(rows)
    probability, wrong = column(rows, "failure_probability"), mtre(rows) > WRONG_MM
    body = []
    for low, high in pairwise(BANDS):
        within = (probability >= low) & ((probability < high) | (high == 1))
        if within.any():
            mean, found = probability[within].mean(), SuccessRate.of(wrong, within)
            band = f"{100 * low:g} to {100 * high:g} %"
            body.append((band, f"{100 * mean:.1f} %", found.total, percent(found)))
    return table(("predicted", "mean", "results", "wrong"), body)


def along_the_beam(rows: Rows) -> str:
    """The intervals along and across the first view's beam, by the number of views, of answers that are right across it."""
    answered = [row for row in rows if row["failed"] is None and row.get("depth95_mm") is not None]
    right = [row for row in answered if is_sound(row) and row["in_plane_mm"] <= WRONG_MM]

    def within(name):
        return lambda group: share(column(group, f"{name}_mm") <= column(group, f"{name}95_mm"))

    columns = {
        "results": len,
        "depth error, median mm": lambda group: median(column(group, "depth_mm"), 2),
        "within its interval": within("depth"),
        "across, median mm": lambda group: median(column(group, "in_plane_mm"), 2),
        "across within its interval": within("in_plane"),
    }
    return table_of(grouped(right, "part", "views"), ("registered", "views"), columns)


def corrections(rows: Rows) -> str:
    """The cameras' errors against the first view, as given and as corrected, of correct registrations."""

    def right(group):
        return [row for row, mm in zip(group, mtre(group), strict=True) if mm <= WRONG_MM]

    def off(which, form):
        return lambda group: form.format(
            *np.median([row["camera_off"][which] for row in right(group)], axis=0)
        )

    columns = {
        "runs": len,
        f"within {WRONG_MM:g} mm": lambda group: len(right(group)),
        "given off by degrees / mm": off(0, "{:.2f} / {:.1f}"),
        "corrected, off by": off(1, "{:.3f} / {:.2f}"),
    }
    uncertain = grouped([row for row in rows if row["error"] in STATED], "part", "condition")
    told = [(key, group) for key, group in uncertain if right(group)]
    return table_of(told, ("registered", "condition"), columns)


def _kinds(rows):
    """All rows, and then apart: of sound bodies by views, by angle and by person; bones.

    And what is wrong.
    """
    kinds = [("all", rows)]
    sound = [row for row in rows if is_sound(row)]
    bodies, bones = ([row for row in sound if row["part"] == part] for part in ("body", "bone"))
    kinds.append(("sound: right, or as uncertain as the case says", sound))
    for (views, angle), group in statistics.grouped(sorted(bodies, key=_angle), _angle):
        kinds.append((f"sound, body, {_views(views)}, {angle} degrees", group))
    by_person = sorted(bodies, key=lambda row: row["ct"])
    for (name,), group in statistics.grouped(by_person, lambda row: (row["ct"],)):
        kinds.append((f"sound, body, {name}", group))
    for count in (1, 2, 3):
        group = [row for row in bones if row["views"] == count]
        kinds.append((f"sound, bone, {_views(count)}", group))
    kinds.append(("geometry or CT wrong", [row for row in rows if not is_sound(row)]))
    return [((name,), group) for name, group in kinds if group]


def _angle(row):
    return row["views"], row["apart_deg"]


def _auroc(rows, limit_mm):
    area = auroc(column(rows, "failure_probability"), mtre(rows) > limit_mm)
    return f"{area:.3f}" if np.isfinite(area) else "no two kinds"


def _views(count):
    return f"{count} view{'s' * (count > 1)}"
