"""An evaluation as a Markdown page."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

import numpy as np

from .. import __version__
from ..rendering.threads import available_threads
from . import statistics as protocol
from .evaluation import WITHIN_DEG, WITHIN_MM, CaseOutcome, Evaluation, Run
from .evaluation_method import INTERVAL_MM
from .evaluation_tables import errors_by_name, grouped, relative_geometry, said, side_by_side, table

#: Before "refinement", in what was timed.
_WORK = {"given": "the", "search": "search and", "regressor": "regressor, fusion and", "auto": "regressor, search and"}


def page(evaluation: Evaluation, about: str = "", title: str = "Accuracy", pictures: str = "pictures") -> str:
    """The tables, each with what a reader needs to judge them.

    about: what the cases are, in Markdown.   pictures: the folder of the evaluation's pictures, as seen from the page.
    """
    known = [case for case in evaluation.cases if case.runs]
    unknown = [case for case in evaluation.cases if case.agreement]
    parts = [_head(evaluation, title), about, relative_geometry(evaluation.cases)]
    if known:
        parts += [
            _accuracy(known, evaluation),
            errors_by_name(known),
            said(known),
            _single_views([case for case in known if case.views == 1]),
            "" if evaluation.start == "given" else _gaps(known),
            _failures(known, pictures),
        ]
    if unknown:
        parts += [_agreement(unknown, evaluation), _motion(evaluation)]
    parts.append(_not_evaluated(evaluation))
    return "\n\n".join(part for part in parts if part) + "\n"


def pages(
    evaluations: Sequence[Evaluation], about: str = "", title: str = "Accuracy", pictures: str = "pictures"
) -> str:
    """The page of one evaluation, or those of several ways to start the same cases, with them side by side before."""
    if len(evaluations) == 1:
        return page(evaluations[0], about, title, pictures)
    each = [page(evaluation, "", f"{title}: start {evaluation.start}", pictures) for evaluation in evaluations]
    return "\n\n".join(part for part in [f"# {title}", about, side_by_side(evaluations), *each] if part)


def _head(evaluation: Evaluation, title: str) -> str:
    machine = f"{platform.machine()} with {available_threads()} threads, "
    shared = "" if not evaluation.shared else " Processes shared the cases, and the threads (docs/cohorts.md)."
    return (
        f"# {title}\n\n"
        "Written by `mvreg evaluate`; do not edit by hand. "
        f"{date.today().isoformat()}, version {__version__}, {machine}"
        f"Python {platform.python_version()}, numba {version('numba')}, seed {evaluation.seed}. "
        f"Refinement: {_refinement(evaluation)}. "
        f"Times are wall-clock seconds of {_WORK[evaluation.start]} refinement alone, images loaded and CT "
        f"made ready, on a machine that does other things, too.{shared}"
    )


def _refinement(evaluation: Evaluation) -> str:
    if evaluation.torch_device is None:
        return f"`{evaluation.refinement}`" + (f" on {evaluation.device}" if evaluation.device else "")
    return (
        f"`{evaluation.refinement}`, a published one (docs/method.md), by PyTorch {version('torch')} "
        f"on {evaluation.torch_device}"
    )


def _accuracy(cases: Sequence[CaseOutcome], evaluation: Evaluation) -> str:
    edges = np.arange(0, evaluation.reach_mm + INTERVAL_MM / 2, INTERVAL_MM)
    rows = []
    for name, group in grouped(cases):
        runs = [run for case in group for run in case.runs]
        final = np.array([run.mtre_mm for run in runs])
        answered = [run for run in runs if run.errors]
        rate = protocol.success_rate(final)
        capture = protocol.capture_range(np.array([run.start_mtre_mm for run in runs]), final, edges)
        projection = [run.errors.mpd_mm for run in answered if run.errors.mpd_mm is not None]
        seconds = [run.seconds for run in answered]
        third = f"{capture:.0f}" if len(runs) >= len(edges) - 1 else "too few starts"
        if evaluation.start != "given" and answered:
            third = f"{np.median([run.candidates for run in answered]):.0f}"
        rows.append(
            (
                name,
                len(group),
                len(runs),
                f"{100 * rate.rate:.1f} % ({100 * rate.interval[0]:.1f} to {100 * rate.interval[1]:.1f})",
                third,
                *(f"{value:.3f}" for value in (np.nanmedian(final), np.nanpercentile(final, 95), np.nanmax(final))),
                f"{np.median(projection):.3f}" if projection else "unknown",
                f"{np.median(seconds):.2f} ({np.percentile(seconds, 95):.2f})",
            )
            if answered
            else (name, len(group), len(runs), "0 %", *["none"] * 6)
        )
    how, third_name = _how(evaluation)
    return (
        f"## Against a known truth\n\n{how} "
        "Success: final mTRE under 1 mm, with its 95 % Wilson interval. A group is the cases whose names differ by a running number only. "
        "Seconds: median, and 95th percentile.\n\n"
        + table(
            (
                "group",
                "cases",
                "runs",
                "success",
                third_name,
                "median mTRE mm",
                "95th percentile mm",
                "worst mm",
                "median mPD mm",
                "s",
            ),
            rows,
        )
        + _several_views([run for case in cases if case.views > 1 for run in case.runs])
    )


def _not_evaluated(evaluation: Evaluation) -> str:
    if not evaluation.failed:
        return ""
    rows = [(each.case, " ".join(each.error.split())) for each in evaluation.failed]
    return "## Not evaluated\n\nThese cases could not be evaluated; no table above counts them.\n\n" + table(
        ("case", "why"), rows
    )


def _how(evaluation: Evaluation) -> tuple[str, str]:
    """How registrations start, and what the column after their success tells."""
    if evaluation.searched:
        beside = "A regressor was asked, and beside it searched" if evaluation.start == "auto" else "Searched for"
        return (
            f"{beside} within {_range(evaluation)} (total angle, and distance of the centroid of the bone) of poses that are spread "
            "evenly over the same range about the truth. Poses: how many were scored (median).",
            "poses",
        )
    if evaluation.start == "regressor":
        return (
            "Started from what a regressor said of the views, once a case. Poses: how many were scored beside (median).",
            "poses",
        )
    return (
        f"Starts with an mTRE uniform from 0 to {evaluation.reach_mm:g} mm (van de Kraats et al. 2005). Capture range: the start mTRE "
        "up to which every 2 mm interval succeeds in at least 95 %.",
        "capture range mm",
    )


def _range(evaluation: Evaluation) -> str:
    reach = evaluation.search
    return f"{reach.rotation_deg:g} degrees and {reach.translation_mm:g} mm" if reach else "each case's own range"


def _gaps(cases: Sequence[CaseOutcome]) -> str:
    """How far the next answer was from being as good, for right and for wrong answers."""
    runs = [run for case in cases for run in case.runs if run.errors]
    rows = []
    for name, chosen in (
        ("right", [run for run in runs if run.mtre_mm < protocol.SUCCESS_MM]),
        ("wrong", [run for run in runs if run.mtre_mm >= protocol.SUCCESS_MM]),
    ):
        gaps = [run.gap for run in chosen if run.gap is not None]
        if chosen:
            told = (f"{value:.2f}" for value in np.percentile(gaps, (0, 5, 50))) if gaps else ["-"] * 3
            rows.append((name, len(chosen), len(chosen) - len(gaps), *told))
    return (
        "## Gap to the next answer\n\nThe evidence of the chosen answer over that of the next different one: near 1 the two cannot be told "
        "apart.\n\n" + table(("answers", "number", "no other found", "least gap", "5th percentile", "median"), rows)
    )


def _several_views(runs: Sequence[Run]) -> str:
    if not runs:
        return ""
    final = np.array([run.mtre_mm for run in runs])
    rate = protocol.success_rate(final)
    return (
        f"\n\nTwo or more views, all groups together: {rate.successes} of {rate.total} under 1 mm "
        f"({100 * rate.rate:.2f} %, {100 * rate.interval[0]:.2f} to {100 * rate.interval[1]:.2f}), "
        f"median {np.nanmedian(final):.3f} mm, worst {np.nanmax(final):.3f} mm; "
        f"{np.median([run.seconds for run in runs if run.errors]):.2f} s (median)."
    )


def _single_views(cases: Sequence[CaseOutcome]) -> str:
    if not cases:
        return ""
    rows = []
    for name, group in grouped(cases):
        runs = [run for case in group for run in case.runs if run.errors]
        rows.append(
            (
                name,
                len(runs),
                *(
                    f"{np.median(values):.3f} ({np.max(values):.3f})"
                    for values in ([run.errors.in_plane_mm for run in runs], [run.errors.depth_mm for run in runs])
                ),
            )
        )
    return (
        "## One view alone\n\nOne view hardly sees how far away the bone is: most of its error lies along the beam. "
        "Median over the runs, and the worst.\n\n"
        + table(("group", "runs", "in-plane error mm", "depth error mm"), rows)
    )


def _failures(cases: Sequence[CaseOutcome], pictures: str) -> str:
    rows = [
        (
            case.name,
            f"{run.start_mtre_mm:.1f}",
            f"{run.mtre_mm:.2f}" if run.errors else "no answer: the X-rays show too little of the CT",
            f"{run.gap:.2f}" if run.gap else "",
        )
        for case in cases
        for run in case.runs
        if not run.mtre_mm < protocol.SUCCESS_MM
    ]
    if not rows:
        return "No registration ended 1 mm or more from the truth."
    seen = [
        f"{case.name}, {run.mtre_mm:.1f} mm off:\n\n![{case.name}]({pictures}/{run.picture})"
        for case in cases
        for run in case.runs
        if run.picture
    ]
    told = "Contours of the CT over each view: above at the pose that was found, below at the true one." if seen else ""
    return "\n\n".join(
        ["## Failures", table(("case", "start mTRE mm", "final mTRE mm", "next answer's gap"), rows), told, *seen]
    )


def _agreement(cases: Sequence[CaseOutcome], evaluation: Evaluation) -> str:
    degrees, distance = evaluation.off
    rows = []
    for case in cases:
        rotation, away = np.array(case.agreement.rotation_deg), np.array(case.agreement.distance_mm)
        near = case.agreement.agreeing
        rows.append(
            (
                case.name,
                f"{near.sum()} of {near.size}",
                f"{away[near].max(initial=0):.3f}",
                f"{rotation[near].max(initial=0):.2f}",
                f"{np.median(case.agreement.seconds):.2f}",
            )
        )
    how = (
        f"{evaluation.starts} {_begun(evaluation)}, each {degrees:g} degrees and {distance:g} mm from where the case's own start leads. "
        f"They agree if they end within {WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees of their robust mean."
    )
    if evaluation.start == "regressor":
        how = (
            f"Started from what a regressor said of the views. It agrees if it ends within {WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees "
            "of where the case's own start leads."
        )
    return (
        f"## Real radiographs without a truth\n\n{how} Agreement is no accuracy: a bias that all share does not show.\n\n"
        + table(("case", "agree", "farthest of them mm", "farthest of them degrees", "median s"), rows)
    )


def _begun(evaluation: Evaluation) -> str:
    if evaluation.start == "auto":
        return f"answers of a regressor with searches through {_range(evaluation)} beside it"
    return f"searches through {_range(evaluation)}" if evaluation.searched else "starts"


def _motion(evaluation: Evaluation) -> str:
    if not evaluation.motions:
        return ""
    rows = [
        (
            o.first,
            o.second,
            o.view,
            o.motion.patches,
            "({:.2f}, {:.2f})".format(*o.motion.tracked_px),
            "({:.2f}, {:.2f})".format(*o.motion.error_px),
            f"{np.hypot(*o.motion.error_px):.2f}",
        )
        for o in evaluation.motions
    ]
    return (
        "## Motion from image to image\n\nPatches on the bone's end are tracked from one image to the next of the same camera, without "
        "any registration; the two registered poses predict their motion. Medians in pixels (column, row). Where another bone lies over "
        "this one in the image, the patches follow that one, too, and the check says little; patches are "
        "lost where the bone moved farther than the tracker searches.\n\n"
        + table(("first", "second", "view", "patches", "tracked", "predicted minus tracked", "length"), rows)
    )
