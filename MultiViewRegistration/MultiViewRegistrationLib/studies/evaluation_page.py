"""An evaluation as a Markdown page."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version

import numpy as np

from .. import __version__
from ..regressor.model_store import NEAR_MM
from ..rendering.threads import available_threads
from .evaluation import INTERVAL_MM, WITHIN_DEG, WITHIN_MM, CaseOutcome, Evaluation, RegistrationRecord
from .statistics import SUCCESS_MM, SuccessRate, capture_range
from .tables import grouped, percent, table, table_of

#: What was timed before the refinement.
_BEFORE = {
    "given": "the",
    "search": "search and",
    "regressor": "regressor, fusion and",
    "auto": "regressor, search and",
}
_GEOMETRY = {
    "truth": "from the true poses of the anatomy, which leaks: errors are smaller than they could be without the truth",
    "estimated": "estimated without the truth",
    "calibrated": "calibrated",
}

Runs = Sequence[RegistrationRecord]


def pages(
    evaluations: Sequence[Evaluation], description: str = "", title: str = "Accuracy", pictures: str = "pictures"
) -> str:
    """The page of one evaluation, or those of several ways to start the same cases, with them side by side before.

    Parameters
    ----------
    description : what the cases are, in Markdown.
    pictures : the folder of the evaluations' pictures, as seen from the page.
    """
    if len(evaluations) == 1:
        return page(evaluations[0], description, title, pictures)
    each = [page(evaluation, "", f"{title}: start {evaluation.setup.start}", pictures) for evaluation in evaluations]
    return "\n\n".join(part for part in [f"# {title}", description, _side_by_side(evaluations), *each] if part)


def page(evaluation: Evaluation, description: str = "", title: str = "Accuracy", pictures: str = "pictures") -> str:
    """The tables of one evaluation, each with what a reader needs to judge them."""
    known = [case for case in evaluation.cases if case.runs]
    unknown = [case for case in evaluation.cases if case.agreement]
    parts = [_head(evaluation, title), description, _relative_geometry(evaluation.cases)]
    if known:
        searched = evaluation.setup.start != "given"
        parts += [_accuracy(known, evaluation), _regressor(known), _one_view(known)]
        parts += [_gaps(_runs(known)) if searched else "", _failures(known, pictures)]
    if unknown:
        parts += [_agreement(unknown, evaluation), _motion(evaluation)]
    if evaluation.failed:
        intro = "## Not evaluated\n\nThese cases could not be evaluated; no table above counts them.\n\n"
        parts.append(intro + table(("case", "why"), [(each.case, each.error) for each in evaluation.failed]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(evaluation: Evaluation, title: str) -> str:
    method, seed = evaluation.setup.method, evaluation.setup.seed
    refinement = f"`{method.name}`" + (
        f" on {method.compute_device.display_name}" if method.compute_device.display_name else ""
    )
    if method.torch_device:
        refinement += f", a published one (docs/method.md), by PyTorch {version('torch')} on {method.torch_device}"
    shared = " Processes shared the cases, and the threads (docs/cohorts.md)." if evaluation.shared else ""
    return (
        f"# {title}\n\nWritten by `mvreg evaluate`; do not edit by hand. "
        f"{date.today().isoformat()}, version {__version__}, {platform.machine()} with {available_threads()} threads, "
        f"Python {platform.python_version()}, numba {version('numba')}, seed {seed}. Refinement: {refinement}. "
        f"Times are wall-clock seconds of {_BEFORE[evaluation.setup.start]} refinement alone, images loaded and CT "
        f"made ready, on a machine that does other things, too.{shared}"
    )


def _relative_geometry(cases: Sequence[CaseOutcome]) -> str:
    """How cases with several views say that their cameras are known relative to each other; "" where none says anything."""
    several = [case for case in cases if case.views > 1]
    names = {kind: [case.name for case in several if case.relative_geometry == kind] for kind in _GEOMETRY}
    if not any(names.values()):
        return ""
    silent = len(several) - sum(map(len, names.values()))
    intro = [f"{_GEOMETRY[kind]} ({', '.join(each)})" for kind, each in names.items() if each]
    intro += [f"not told by {silent} case{'s' * (silent != 1)}"] if silent else []
    return f"How the views are known relative to each other: {'; '.join(intro)}."


def _accuracy(cases: Sequence[CaseOutcome], evaluation: Evaluation) -> str:
    setup = evaluation.setup
    edges = np.arange(0, setup.max_start_error_mm + INTERVAL_MM / 2, INTERVAL_MM)

    def captured(group: Sequence[CaseOutcome]) -> str:
        runs = _runs(group)
        if len(runs) < len(edges) - 1:
            return "too few starts"
        return f"{capture_range([run.start_mtre_mm for run in runs], [run.mtre_mm for run in runs], edges):.0f}"

    def poses(group: Sequence[CaseOutcome]) -> str:
        return _median([run.candidates for run in _answered(group)], 0)

    third = {"capture range mm": captured} if setup.start == "given" else {"poses": poses}
    columns = {
        "cases": len,
        "runs": lambda group: len(_runs(group)),
        "success": lambda group: percent(_success(_runs(group))),
        **third,
        "median mTRE mm": _of_errors(np.median, "mtre_mm"),
        "95th percentile mm": _of_errors(lambda mm: np.percentile(mm, 95), "mtre_mm"),
        "worst mm": _of_errors(np.max, "mtre_mm"),
        "median mPD mm": _of_errors(np.median, "mpd_mm"),
        "median mRPD mm": _of_errors(np.median, "mrpd_mm"),
        "DiffPose score": _of_errors(np.median, "diffpose_score"),
        "s": lambda group: _seconds(_answered(group)),
    }
    return (
        f"## Against a known truth\n\n{_how(evaluation)} "
        f"Success: final mTRE under {SUCCESS_MM:g} mm, with its 95 % Wilson interval. A group is the cases whose names differ by a running "
        "number only. Errors are of all answers, misses among them: mTRE, mPD and mRPD as in van de Kraats et al. (2005), means over "
        "targets and views; mPD on the detector, unknown without a pixel size. The DiffPose score is what that paper's released code "
        "prints as mTRE, for comparison with it only (docs/frames.md). Seconds: median, and 95th percentile.\n\n"
        + table_of(_by_group(cases), ["group"], columns)
        + _several_views([case for case in cases if case.views > 1])
    )


def _how(evaluation: Evaluation) -> str:
    """How registrations start."""
    setup = evaluation.setup
    if setup.searched:
        beside = "A regressor was asked, and beside it searched" if setup.start == "auto" else "Searched for"
        return (
            f"{beside} within {_range(evaluation)} (total angle, and distance of the centroid of the bone) of poses that are spread "
            "evenly over the same range about the truth. Poses: how many were scored (median)."
        )
    if setup.start == "regressor":
        return "Started from what a regressor predicts from the views, once a case. Poses: how many were scored beside (median)."
    return (
        f"Starts with an mTRE uniform from 0 to {setup.max_start_error_mm:g} mm (van de Kraats et al. 2005). Capture range: the start "
        "mTRE up to which every 2 mm interval succeeds in at least 95 %."
    )


def _range(evaluation: Evaluation) -> str:
    search = evaluation.setup.search
    return "{:g} degrees and {:g} mm".format(*search) if search else "each case's own range"


def _several_views(cases: Sequence[CaseOutcome]) -> str:
    rate = _success(_runs(cases))
    if not rate.total:
        return ""
    median, worst = (_of_errors(statistic, "mtre_mm")(cases) for statistic in (np.median, np.max))
    return (
        f"\n\nTwo or more views, all groups together: {rate.successes} of {rate.total} under {SUCCESS_MM:g} mm, {percent(rate)}, "
        f"median {median} mm, worst {worst} mm; {_median([run.seconds for run in _answered(cases)], 2)} s (median)."
    )


def _side_by_side(evaluations: Sequence[Evaluation]) -> str:
    """Success and time of several ways to start, on the same cases with truth; "" where there are none."""
    names = dict.fromkeys(case.group for evaluation in evaluations for case in evaluation.cases if case.runs)
    groups = [
        ((name, evaluation.setup.start), [case for case in evaluation.cases if case.group == name])
        for name in names
        for evaluation in evaluations
    ]
    columns = {
        "runs": lambda group: len(_runs(group)),
        "success": lambda group: percent(_success(_runs(group))),
        "median mTRE mm": _of_errors(np.median, "mtre_mm"),
        "95th percentile mm": _of_errors(lambda mm: np.percentile(mm, 95), "mtre_mm"),
        "s": lambda group: _seconds(_answered(group)),
    }
    intro = (
        "## Side by side\n\nThe same cases; a regressor predicts the same each time, so that each is registered once. Success: final "
        f"mTRE under {SUCCESS_MM:g} mm, with its 95 % Wilson interval. Seconds: median, and 95th percentile.\n\n"
    )
    return intro + table_of(groups, ["group", "start"], columns) if names else ""


def _regressor(cases: Sequence[CaseOutcome]) -> str:
    """What the regressor predicted before any refinement, and which of its poses won; "" where none was asked."""

    def of(group: Sequence[CaseOutcome], name: str) -> np.ndarray:
        return np.array([getattr(run, name) for run in _runs(group) if run.initial_mtre_mm is not None])

    columns = {
        "runs": lambda group: len(of(group, "initial_mtre_mm")),
        "median mTRE mm": lambda group: _median(of(group, "initial_mtre_mm"), 2),
        "95th percentile mm": lambda group: f"{np.percentile(of(group, 'initial_mtre_mm'), 95):.2f}",
        f"within {NEAR_MM:g} mm": lambda group: f"{100 * np.mean(of(group, 'initial_mtre_mm') <= NEAR_MM):.1f} %",
        "expected mm": lambda group: _median(of(group, "expected_mm"), 1),
        "ms": lambda group: _median(1000 * of(group, "regressor_seconds"), 0),
        "selected": lambda group: ", ".join(
            f"{name} {count}" for name, count in Counter(of(group, "selected_start").tolist()).most_common()
        ),
    }
    groups = [(key, group) for key, group in _by_group(cases) if len(of(group, "initial_mtre_mm"))]
    intro = (
        "## The regressor before any refinement\n\nThe mTRE of its most credible pose, the root mean square error that it expected "
        "itself (of points 60 mm from the centre, median), the time that it took (median), and from which of its poses the answers "
        "came.\n\n"
    )
    return intro + table_of(groups, ["group"], columns) if groups else ""


def _one_view(cases: Sequence[CaseOutcome]) -> str:
    def of(name: str) -> Callable[[Sequence[CaseOutcome]], str]:
        return lambda group: f"{_of_errors(np.median, name)(group)} ({_of_errors(np.max, name)(group)})"

    columns = {
        "runs": lambda group: len(_answered(group)),
        "in-plane error mm": of("in_plane_mm"),
        "depth error mm": of("depth_mm"),
    }
    groups = _by_group(case for case in cases if case.views == 1)
    intro = (
        "## One view alone\n\nOne view hardly sees how far away the bone is: most of its error lies along the beam. "
        "Median over the runs, and the worst.\n\n"
    )
    return intro + table_of(groups, ["group"], columns) if groups else ""


def _gaps(runs: Runs) -> str:
    """How far the next answer was from being as good, for right and for wrong answers."""
    answers = grouped((run for run in runs if run.errors), lambda run: ("right" if _is_right(run) else "wrong",))
    gaps = {name: [run.evidence_ratio for run in group if run.evidence_ratio is not None] for (name,), group in answers}
    rows = [
        (name, len(group), len(group) - len(gaps[name]), *_percentiles(gaps[name]))
        for (name,), group in sorted(answers, key=lambda each: each[0])
    ]
    return (
        "## Gap to the next answer\n\nThe evidence of the chosen answer over that of the next different one: near 1 the two cannot be "
        "told apart.\n\n"
        + table(("answers", "number", "no other found", "least gap", "5th percentile", "median"), rows)
    )


def _percentiles(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in np.percentile(values, (0, 5, 50))] if values else ["-"] * 3


def _failures(cases: Sequence[CaseOutcome], pictures: str) -> str:
    missed = [(case, run) for case in cases for run in case.runs if not _is_right(run)]
    if not missed:
        return f"No registration ended {SUCCESS_MM:g} mm or more from the truth."
    rows = [
        (
            case.name,
            f"{run.start_mtre_mm:.1f}",
            f"{run.mtre_mm:.2f}" if run.errors else "no answer: the X-rays show too little of the CT",
            f"{run.evidence_ratio:.2f}" if run.evidence_ratio else "",
        )
        for case, run in missed
    ]
    seen = [
        f"{case.name}, {run.mtre_mm:.1f} mm off:\n\n![{case.name}]({pictures}/{run.picture})"
        for case, run in missed
        if run.picture
    ]
    intro = (
        ["Contours of the CT over each view: above at the pose that was found, below at the true one."] if seen else []
    )
    listed = table(("case", "start mTRE mm", "final mTRE mm", "next answer's gap"), rows)
    return "\n\n".join(["## Failures", listed, *intro, *seen])


def _agreement(cases: Sequence[CaseOutcome], evaluation: Evaluation) -> str:
    rows = []
    for case in cases:
        agreement, near = case.agreement, case.agreement.agreeing
        mm, degrees = (np.max(np.array(of)[near], initial=0) for of in (agreement.distance_mm, agreement.rotation_deg))
        agreeing = f"{near.sum()} of {near.size}"
        rows.append((case.name, agreeing, f"{mm:.3f}", f"{degrees:.2f}", _median(agreement.seconds, 2)))
    setup = evaluation.setup
    begun = {
        "given": "starts",
        "search": f"searches through {_range(evaluation)}",
        "auto": f"proposals of a regressor with searches through {_range(evaluation)} beside it",
    }
    if setup.start == "regressor":
        how = (
            f"Started from what a regressor predicts from the views. It agrees if it ends within {WITHIN_MM:g} mm and "
            f"{WITHIN_DEG:g} degrees of where the case's own start leads."
        )
    else:
        how = "{} {}, each {:g} degrees and {:g} mm from where the case's own start leads. ".format(
            setup.starts, begun[setup.start], *setup.perturb
        )
        how += f"They agree if they end within {WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees of their robust mean."
    return (
        f"## Real radiographs without a truth\n\n{how} Agreement is no accuracy: a bias that all share does not show.\n\n"
        + table(("case", "agree", "farthest of them mm", "farthest of them degrees", "median s"), rows)
    )


def _motion(evaluation: Evaluation) -> str:
    if not evaluation.motions:
        return ""
    rows = [
        (
            each.first,
            each.second,
            each.view,
            each.motion.patches,
            "({:.2f}, {:.2f})".format(*each.motion.tracked_px),
            "({:.2f}, {:.2f})".format(*each.motion.error_px),
            f"{np.hypot(*each.motion.error_px):.2f}",
        )
        for each in evaluation.motions
    ]
    return (
        "## Motion from image to image\n\nPatches on the bone's end are tracked from one image to the next of the same camera, without "
        "any registration; the two registered poses predict their motion. Medians in pixels (column, row). Where another bone lies over "
        "this one in the image, the patches follow that one, too, and the check says little; patches are "
        "lost where the bone moved farther than the tracker searches.\n\n"
        + table(("first", "second", "view", "patches", "tracked", "predicted minus tracked", "length"), rows)
    )


def _by_group(cases: Sequence[CaseOutcome]) -> list[tuple[tuple, list[CaseOutcome]]]:
    return grouped(cases, lambda case: (case.group,))


def _runs(cases: Sequence[CaseOutcome]) -> list[RegistrationRecord]:
    return [run for case in cases for run in case.runs]


def _answered(cases: Sequence[CaseOutcome]) -> list[RegistrationRecord]:
    return [run for run in _runs(cases) if run.errors]


def _is_right(run: RegistrationRecord) -> bool:
    return run.mtre_mm < SUCCESS_MM


def _success(runs: Runs) -> SuccessRate:
    return SuccessRate.of([_is_right(run) for run in runs])


def _of_errors(statistic: Callable[[list[float]], float], name: str) -> Callable[[Sequence[CaseOutcome]], str]:
    """What a table says of an error of all answers of a group."""

    def cell(cases: Sequence[CaseOutcome]) -> str:
        values = [getattr(run.errors, name) for run in _answered(cases)]
        values = [value for value in values if value is not None]
        return f"{statistic(values):.3f}" if values else "unknown" if _answered(cases) else "none"

    return cell


def _seconds(runs: Runs) -> str:
    seconds = [run.seconds for run in runs]
    return f"{np.median(seconds):.2f} ({np.percentile(seconds, 95):.2f})" if seconds else "none"


def _median(values: Sequence[float], digits: int) -> str:
    return f"{np.median(values):.{digits}f}" if len(values) else "none"
