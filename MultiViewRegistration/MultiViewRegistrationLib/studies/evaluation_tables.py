"""Tables of an evaluation as Markdown: the ways to start beside each other, and what a regressor alone is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..regressor.model_store import NEAR_MM
from . import statistics as protocol
from .evaluation import CaseOutcome, Evaluation, Run


def side_by_side(evaluations: Sequence[Evaluation]) -> str:
    """Success and time of several ways to start, on the same cases with truth; "" where there are none."""
    rows = [
        (
            name,
            evaluation.start,
            len(runs),
            f"{100 * rate.rate:.1f} % ({100 * rate.interval[0]:.1f} to {100 * rate.interval[1]:.1f})",
            *_errors([run.mtre_mm for run in runs]),
            *_seconds(runs),
        )
        for name in dict.fromkeys(case.group for evaluation in evaluations for case in evaluation.cases if case.runs)
        for evaluation in evaluations
        for runs in [[run for case in evaluation.cases if case.group == name for run in case.runs]]
        if runs
        for rate in [protocol.success_rate(np.array([run.mtre_mm for run in runs]))]
    ]
    if not rows:
        return ""
    return (
        "## Side by side\n\nThe same cases; a regressor says the same each time, so that each is registered once. Success: final mTRE "
        "under 1 mm, with its 95 % Wilson interval.\n\n"
        + table(
            (
                "group",
                "start",
                "runs",
                "success",
                "median mTRE mm",
                "95th percentile mm",
                "median s",
                "95th percentile s",
            ),
            rows,
        )
    )


def said(cases: Sequence[CaseOutcome]) -> str:
    """What the regressor said before any refinement, and which of its poses won; "" where none was asked."""
    rows = []
    for name, group in grouped(cases):
        runs = [run for case in group for run in case.runs if run.said_mtre_mm is not None]
        if runs:
            error = np.array([run.said_mtre_mm for run in runs])
            taken = Counter(run.taken for run in runs).most_common()
            rows.append(
                (
                    name,
                    len(runs),
                    *_errors(error),
                    f"{100 * np.mean(error <= NEAR_MM):.1f} %",
                    f"{np.median([run.expected_mm for run in runs]):.1f}",
                    f"{1000 * np.median([run.asked for run in runs]):.0f}",
                    ", ".join(f"{words} {count}" for words, count in taken),
                )
            )
    if not rows:
        return ""
    return (
        "## The regressor before any refinement\n\nThe mTRE of its most credible pose, the root mean square error that it expected "
        "itself (of points 60 mm from the centre, median), the time that it took (median), and from which of its poses the answers came."
        "\n\n"
        + table(
            (
                "group",
                "runs",
                "median mTRE mm",
                "95th percentile mm",
                f"within {NEAR_MM:g} mm",
                "expected mm",
                "ms",
                "taken",
            ),
            rows,
        )
    )


def errors_by_name(cases: Sequence[CaseOutcome]) -> str:
    """The errors under the names of the literature, medians over all answers, misses among them; "" where there are none."""
    rows = []
    for name, group in grouped(cases):
        errors = [run.errors for case in group for run in case.runs if run.errors]
        if errors:
            columns = (
                [getattr(each, key) for each in errors] for key in ("mtre_mm", "mpd_mm", "mrpd_mm", "diffpose_score")
            )
            rows.append(
                (
                    name,
                    len(errors),
                    *("unknown" if None in values else f"{np.median(values):.3f}" for values in columns),
                )
            )
    if not rows:
        return ""
    return (
        "## Errors by their names\n\nMedians over all answers, misses among them. mTRE, mPD and mRPD as in van de Kraats et al. (2005), "
        "means over targets and views; mPD on the detector. The DiffPose score is what that paper's released code prints as mTRE, for "
        "comparison with it only (docs/frames.md). Unknown: without a pixel size.\n\n"
        + table(("group", "answers", "mTRE mm", "mPD mm", "mRPD mm", "DiffPose score"), rows)
    )


def relative_geometry(cases: Sequence[CaseOutcome]) -> str:
    """How cases with several views say that their cameras are known relative to each other; "" where none says anything."""
    several = [case for case in cases if case.views > 1]
    said = {
        kind: [case.name for case in several if case.relative_geometry == kind]
        for kind in ("truth", "estimated", "calibrated")
    }
    if not any(said.values()):
        return ""
    words = {
        "truth": "from the true poses of the anatomy, which leaks: errors are smaller than they could be without the truth",
        "estimated": "estimated without the truth",
        "calibrated": "calibrated",
    }
    silent = len(several) - sum(map(len, said.values()))
    told = [f"{words[kind]} ({', '.join(names)})" for kind, names in said.items() if names]
    return (
        "How the views are known relative to each other: "
        + "; ".join(told)
        + (f"; not told by {silent} case{'s' * (silent != 1)}" if silent else "")
        + "."
    )


def _errors(error: Sequence[float]) -> tuple[str, str]:
    known = np.asarray(error)[np.isfinite(error)]
    return tuple(f"{np.percentile(known, percent):.2f}" for percent in (50, 95)) if known.size else ("none", "none")


def _seconds(runs: Sequence[Run]) -> tuple[str, str]:
    seconds = [run.seconds for run in runs if run.errors]
    return tuple(f"{np.percentile(seconds, percent):.2f}" for percent in (50, 95)) if seconds else ("none", "none")


def grouped(cases: Iterable[CaseOutcome]) -> list[tuple[str, list[CaseOutcome]]]:
    """The cases of each group, in the order of their first."""
    groups: dict[str, list[CaseOutcome]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    return list(groups.items())


def table(head: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
