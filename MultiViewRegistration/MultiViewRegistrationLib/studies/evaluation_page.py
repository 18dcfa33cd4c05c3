"""An evaluation as a Markdown page."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.metadata import version
from itertools import chain, product

import numpy as np

from .. import __version__
from ..assessment.prediction import WRONG_MM
from ..errors import UNUSABLE
from ..regressor.model_store import NEAR_MM
from ..rendering.devices import available_threads
from .evaluation import (
    INTERVAL_MM,
    SEARCH_STARTS,
    WITHIN_DEG,
    WITHIN_MM,
    Evaluation,
    Row,
    agreeing,
    group_name,
    is_right,
)
from .statistics import (
    SUCCESS_MM,
    SuccessRate,
    capture_range,
    grouped,
    median,
    percent,
    table,
    table_of,
)

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

#: What else is told of a bone, with decimals.
_OF_BONES = {"predicted_upper95_mm": 2, "moved_mm": 1, "seconds": 2}

Rows = Sequence[Row]


def pages(
    evaluations: Sequence[Evaluation],
    description: str = "",
    title: str = "Accuracy",
    pictures: str = "pictures",
) -> str:
    """Return the page of one evaluation, or those of several ways to start the same cases after a comparison side by side.

    Parameters
    ----------
    description
        What the cases are, in Markdown.
    pictures
        The folder of the evaluations' pictures, as seen from the page.
    """
    if len(evaluations) == 1:
        return page(evaluations[0], description, title, pictures)
    each = [
        page(evaluation, "", f"{title}: start {evaluation.setup.start}", pictures)
        for evaluation in evaluations
    ]
    return _joined([f"# {title}", description, _side_by_side(evaluations), *each])


def page(
    evaluation: Evaluation,
    description: str = "",
    title: str = "Accuracy",
    pictures: str = "pictures",
) -> str:
    """Return the tables of one evaluation, each with what a reader needs to judge them."""
    known = [case for case in evaluation.cases if case["runs"]]
    unknown = [case for case in evaluation.cases if case["agreement"]]
    parts = [_head(evaluation, title), description, _relative_geometry(evaluation.cases)]
    if known:
        parts += [_accuracy(known, evaluation), _regressor(known), _one_view(known)]
        parts += [
            _gaps(_runs(known)) if evaluation.setup.start != "given" else "",
            _failures(known, pictures),
        ]
    if unknown:
        parts.append(_agreement(unknown, evaluation))
    parts.append(_bones(evaluation.cases))
    if evaluation.failed:
        intro = "## Not evaluated\n\nThese cases could not be evaluated; no table above counts them.\n\n"
        parts.append(
            intro
            + table(("case", "why"), [(each["case"], each["error"]) for each in evaluation.failed])
        )
    return _joined(parts) + "\n"


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(filter(None, parts))


def _head(evaluation: Evaluation, title: str) -> str:
    method = evaluation.setup.method
    seed = evaluation.setup.seed
    device = method.compute_device.display_name
    refinement = f"`{method.name}`" + (f" on {device}" if device else "")
    if method.torch_device:
        refinement += f", not the program's own (docs/method.md), by PyTorch {version('torch')} on {method.torch_device}"
    shared = (
        " Processes shared the cases, and the threads (docs/cohorts.md)."
        if evaluation.shared
        else ""
    )
    return (
        f"# {title}\n\nWritten by `mvreg evaluate`; do not edit by hand. "
        f"{date.today().isoformat()}, version {__version__}, {platform.machine()} with "
        f"{available_threads()} threads, Python {platform.python_version()}, numba "
        f"{version('numba')}, seed {seed}. Refinement: {refinement}. Times are wall-clock seconds "
        f"of {_BEFORE[evaluation.setup.start]} refinement alone, images loaded and CT made ready, "
        f"on a machine that does other things, too.{shared}"
    )


def _relative_geometry(cases: Rows) -> str:
    """Return the source of the views' relative geometry in cases with several views.

    "" where none gives it.
    """
    several = [case for case in cases if case["views"] > 1]
    names = {
        kind: [case["name"] for case in several if case["relative_geometry"] == kind]
        for kind in _GEOMETRY
    }
    if not any(names.values()):
        return ""
    silent = len(several) - sum(map(len, names.values()))
    intro = [f"{_GEOMETRY[kind]} ({', '.join(each)})" for kind, each in names.items() if each]
    intro += [f"not stated by {silent} case{'s' * (silent != 1)}"] if silent else []
    return f"How the views are known relative to each other: {'; '.join(intro)}."


def _accuracy(cases: Rows, evaluation: Evaluation) -> str:
    setup = evaluation.setup
    edges = np.arange(0, setup.max_start_error_mm + INTERVAL_MM / 2, INTERVAL_MM)

    def captured(group: Rows) -> str:
        runs = _runs(group)
        if len(runs) < len(edges) - 1:
            return "too few starts"
        final = [run["errors"]["mtre_mm"] if run["errors"] else np.inf for run in runs]
        return f"{capture_range([run['start_mtre_mm'] for run in runs], final, edges):.0f}"

    if setup.start == "given":
        third: dict[str, Callable] = {"capture range mm": captured}
    else:
        third = {"poses": lambda group: median([run["candidates"] for run in _answered(group)], 0)}
    columns = {
        "cases": len,
        **_SUCCESS,
        **third,
        **_ERRORS,
        "worst mm": _of_errors("mtre_mm", np.max),
        "median mPD mm": _of_errors("mpd_mm"),
        "median mRPD mm": _of_errors("mrpd_mm"),
        "DiffPose score": _of_errors("diffpose_score"),
        "s": _seconds,
    }
    return (
        f"## Against a known truth\n\n{_how(evaluation)} "
        f"Success: final mTRE under {SUCCESS_MM:g} mm, with its 95 % Wilson interval. A group is "
        "the cases whose names differ by a running number only. Errors are of all answers, misses "
        "among them: mTRE, mPD and mRPD as in van de Kraats et al. (2005), means over targets and "
        "views; mPD on the detector, unknown without a pixel size. The DiffPose score is what "
        "that paper's released code prints as mTRE, for comparison with it only (docs/frames.md). "
        "Seconds: median, and 95th percentile.\n\n"
        + table_of(_by_group(cases), ["group"], columns)
        + _several_views([case for case in cases if case["views"] > 1])
    )


def _how(evaluation: Evaluation) -> str:
    """Describe the starts of the registrations."""
    setup = evaluation.setup
    if setup.start in SEARCH_STARTS:
        beside = (
            "A regressor predicted, and beside it searched"
            if setup.start == "auto"
            else "Searched for"
        )
        return (
            f"{beside} within {_range(evaluation)} (total angle, and distance of the centroid of "
            "the bone) of poses that are spread evenly over the same range about the truth. "
            "Poses: how many were scored (median)."
        )
    if setup.start == "regressor":
        return "Started from what a regressor predicts from the views, once a case. Poses: how many were scored beside (median)."
    return (
        f"Starts with an mTRE uniform from 0 to {setup.max_start_error_mm:g} mm (van de Kraats et "
        "al. 2005). Capture range: the start mTRE up to which every 2 mm interval succeeds in at "
        "least 95 %."
    )


def _range(evaluation: Evaluation) -> str:
    search = evaluation.setup.search
    return "{:g} degrees and {:g} mm".format(*search) if search else "each case's own range"


def _several_views(cases: Rows) -> str:
    rate = _success(_runs(cases))
    if not rate.total:
        return ""
    return (
        f"\n\nTwo or more views, all groups together: {rate.successes} of {rate.total} under "
        f"{SUCCESS_MM:g} mm, {percent(rate)}, median {_of_errors('mtre_mm')(cases)} mm, worst "
        f"{_of_errors('mtre_mm', np.max)(cases)} mm; "
        f"{median([run['seconds'] for run in _answered(cases)], 2)} s (median)."
    )


def _side_by_side(evaluations: Sequence[Evaluation]) -> str:
    """Return success and time of several ways to start, on the same cases with truth.

    "" where there are none.
    """
    every = chain(*(evaluation.cases for evaluation in evaluations))
    names = dict.fromkeys(group_name(case) for case in every if case["runs"])
    groups = []
    for name, evaluation in product(names, evaluations):
        cases = [case for case in evaluation.cases if group_name(case) == name]
        groups.append(((name, evaluation.setup.start), cases))
    intro = (
        "## Side by side\n\nThe same cases; a regressor predicts the same each time, so that each "
        f"is registered once. Success: final mTRE under {SUCCESS_MM:g} mm, with its 95 % Wilson "
        "interval. Seconds: median, and 95th percentile.\n\n"
    )
    return (
        intro + table_of(groups, ["group", "start"], {**_SUCCESS, **_ERRORS, "s": _seconds})
        if names
        else ""
    )


def _regressor(cases: Rows) -> str:
    """Return the regressor's predictions before refinement, and the selected ones.

    "" without a regressor.
    """

    def of(group: Rows, name: str) -> np.ndarray:
        return np.array([run[name] for run in _runs(group) if run["initial_mtre_mm"] is not None])

    columns = {
        "runs": lambda group: len(of(group, "initial_mtre_mm")),
        "median mTRE mm": lambda group: median(of(group, "initial_mtre_mm"), 2),
        "95th percentile mm": lambda group: (
            f"{np.percentile(of(group, 'initial_mtre_mm'), 95):.2f}"
        ),
        f"within {NEAR_MM:g} mm": lambda group: (
            f"{100 * np.mean(of(group, 'initial_mtre_mm') <= NEAR_MM):.1f} %"
        ),
        "expected mm": lambda group: median(of(group, "expected_mm"), 1),
        "ms": lambda group: median(1000 * of(group, "regressor_seconds"), 0),
        "selected": lambda group: ", ".join(
            f"{name} {count}"
            for name, count in Counter(of(group, "selected_start").tolist()).most_common()
        ),
    }
    groups = [(key, group) for key, group in _by_group(cases) if len(of(group, "initial_mtre_mm"))]
    intro = (
        "## The regressor before any refinement\n\nThe mTRE of its most credible pose, the root "
        "mean square error that it expected itself (of points 60 mm from the centre, median), the "
        "time that it took (median), and from which of its poses the answers came.\n\n"
    )
    return intro + table_of(groups, ["group"], columns) if groups else ""


def _one_view(cases: Rows) -> str:
    def of(name: str) -> Callable[[Rows], str]:
        return lambda group: f"{_of_errors(name)(group)} ({_of_errors(name, np.max)(group)})"

    columns = {
        "runs": lambda group: len(_answered(group)),
        "in-plane error mm": of("in_plane_mm"),
        "depth error mm": of("depth_mm"),
    }
    groups = _by_group(case for case in cases if case["views"] == 1)
    intro = (
        "## One view alone\n\nOne view shows little of how far away the bone is: most of its error "
        "lies along the beam. Median over the runs, and the worst.\n\n"
    )
    return intro + table_of(groups, ["group"], columns) if groups else ""


def _gaps(runs: Rows) -> str:
    """Return the evidence ratio to the alternative, for correct and for wrong registrations."""
    rows = []
    for (name,), group in sorted(
        grouped((run for run in runs if run["errors"]), lambda run: (_kind(run),))
    ):
        gaps = [run["evidence_ratio"] for run in group if run["evidence_ratio"] is not None]
        least = [f"{value:.2f}" for value in np.percentile(gaps, (0, 5, 50))] if gaps else ["-"] * 3
        rows.append((name, len(group), len(group) - len(gaps), *least))
    return (
        "## Gap to the next answer\n\nThe evidence of the chosen answer over that of the next "
        "different one: near 1 the two cannot be distinguished.\n\n"
        + table(
            ("answers", "number", "no other found", "least gap", "5th percentile", "median"), rows
        )
    )


def _kind(run: Row) -> str:
    return "right" if is_right(run) else "wrong"


def _failures(cases: Rows, pictures: str) -> str:
    missed = [(case["name"], run) for case in cases for run in case["runs"] if not is_right(run)]
    if not missed:
        return f"No registration ended {SUCCESS_MM:g} mm or more from the truth."
    rows = []
    seen = []
    for name, run in missed:
        errors = run["errors"]
        gap = run["evidence_ratio"]
        found = (
            f"{errors['mtre_mm']:.2f}"
            if errors
            else "no answer: the X-rays show too little of the CT"
        )
        rows.append((name, f"{run['start_mtre_mm']:.1f}", found, f"{gap:.2f}" if gap else ""))
        if run["picture"]:
            seen.append(
                f"{name}, {errors['mtre_mm']:.1f} mm off:\n\n![{name}]({pictures}/{run['picture']})"
            )
    if seen:
        seen.insert(
            0,
            "Contours of the CT over each view: above at the pose that was found, below at the "
            "true one.",
        )
    return _joined(
        [
            "## Failures",
            table(("case", "start mTRE mm", "final mTRE mm", "next answer's gap"), rows),
            *seen,
        ]
    )


def _agreement(cases: Rows, evaluation: Evaluation) -> str:
    rows = []
    for case in cases:
        agreement = case["agreement"]
        near = agreeing(agreement)
        mm, degrees = (
            np.max(np.array(agreement[key])[near], initial=0)
            for key in ("distance_mm", "rotation_deg")
        )
        seconds = median(agreement["seconds"], 2)
        rows.append(
            (case["name"], f"{near.sum()} of {near.size}", f"{mm:.3f}", f"{degrees:.2f}", seconds)
        )
    setup = evaluation.setup
    begun = {
        "given": "starts",
        "search": f"searches through {_range(evaluation)}",
        "auto": f"proposals of a regressor with searches through {_range(evaluation)} beside it",
    }
    if setup.start == "regressor":
        how = (
            "Started from what a regressor predicts from the views. It agrees if it ends within "
            f"{WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees of where the case's own start leads."
        )
    else:
        how = "{} {}, each {:g} degrees and {:g} mm from where the case's own start leads. ".format(
            setup.starts, begun[setup.start], *setup.perturb
        )
        how += f"They agree if they end within {WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees of their robust mean."
    return (
        f"## Real radiographs without a truth\n\n{how} Agreement is no accuracy: a bias that all "
        "share does not show.\n\n"
        + table(
            ("case", "agree", "farthest of them mm", "farthest of them degrees", "median s"), rows
        )
    )


def _bones(cases: Rows) -> str:
    """Return a row for each structure of each case; "" where no case has any."""
    rows = []
    found = [(each["name"], row) for each in cases for row in each.get("structures", ())]
    for (case, name), group in grouped(found, lambda each: (each[0], each[1]["name"])):
        runs = [row for _, row in group]
        mtre = [row["errors"]["mtre_mm"] for row in runs if row["errors"]]
        kept = [row for row in runs if row["errors"] and row["verdict"] not in UNUSABLE]
        wrong = sum(row["errors"]["mtre_mm"] > WRONG_MM for row in kept)
        verdicts = Counter(row["verdict"] or "not registered" for row in runs)
        errors = (
            [f"{np.median(mtre):.3f}", f"{max(mtre):.3f}", str(wrong)]
            if mtre
            else ["truth unknown", "", ""]
        )
        rows.append(
            (
                case,
                name,
                len(runs),
                ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())),
                *errors,
                *(_median_of(runs, key, digits) for key, digits in _OF_BONES.items()),
            )
        )
    intro = (
        "## Bones\n\nEach from the pose of the whole CT, at its own pose; mTRE over its surface. "
        f"Wrong, but kept: more than {WRONG_MM:g} mm off, and neither rejected nor not shown. 95 % bound: as "
        "predicted; moved: its centre, from the pose of the whole CT. Medians, and the seconds of "
        "all bones together.\n\n"
    )
    head = (
        "case",
        "bone",
        "runs",
        "verdicts",
        "mTRE mm",
        "worst mm",
        "wrong, but kept",
        "95 % bound mm",
        "moved mm",
        "s",
    )
    return intro + table(head, rows) if rows else ""


def _median_of(rows: Rows, key: str, digits: int) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    return median(values, digits) if values else ""


def _by_group(cases: Iterable[Row]) -> list[tuple[tuple, list[Row]]]:
    return grouped(cases, lambda case: (group_name(case),))


def _runs(cases: Rows) -> list[Row]:
    return list(chain(*(case["runs"] for case in cases)))


def _answered(cases: Rows) -> list[Row]:
    return [run for run in _runs(cases) if run["errors"]]


def _success(runs: Rows) -> SuccessRate:
    return SuccessRate.of([is_right(run) for run in runs])


def _of_errors(name: str, statistic: Callable = np.median) -> Callable[[Rows], str]:
    """Return the table entry for an error of all registrations of a group."""

    def cell(cases: Rows) -> str:
        answers = _answered(cases)
        values = [run["errors"][name] for run in answers if run["errors"][name] is not None]
        if values:
            return f"{statistic(values):.3f}"
        return "unknown" if answers else "none"

    return cell


def _seconds(cases: Rows) -> str:
    seconds = [run["seconds"] for run in _answered(cases)]
    return f"{np.median(seconds):.2f} ({np.percentile(seconds, 95):.2f})" if seconds else "none"


_SUCCESS: dict[str, Callable] = {
    "runs": lambda group: len(_runs(group)),
    "success": lambda group: percent(_success(_runs(group))),
}
_ERRORS: dict[str, Callable] = {
    "median mTRE mm": _of_errors("mtre_mm"),
    "95th percentile mm": _of_errors("mtre_mm", lambda mm: np.percentile(mm, 95)),
}
