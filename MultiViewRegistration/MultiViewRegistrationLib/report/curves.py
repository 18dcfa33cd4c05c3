"""Plots of a registration: its convergence, step by step, its errors at the targets, and maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..translation import _
from .plot import WIDTH, Axis, Line, line_plot, svg_file

if TYPE_CHECKING:
    from ..registration.pipeline import LevelTrace
    from .result import Result

#: Pixels that a plot is wide in a section.
PLOT_PX = 360
HERE = ("#757d86", None, None)

Curves = list[tuple[str, list[tuple[int, float]]]]


def plot(
    title: str,
    across: str,
    up: str,
    curves: Curves,
    *,
    log: bool = False,
    here: float | None = None,
) -> str:
    """Return an SVG of curves over steps or frames, with their names below it.

    Parameters
    ----------
    across, up
        What is along the axes, with units.
    log
        Whether what is up goes by its logarithm.
    here
        Where a line is drawn.
    """
    lines = []
    for name, points in curves:
        lines.append(Line(name, [x for x, _y in points], [y for _x, y in points]))
    if here is not None:
        values = [value for line in lines for value in line.y]
        lines.append(Line("", [here, here], [min(values), max(values)], HERE))
    axes = Axis(across), Axis(up, "log" if log else "linear")
    return svg_file([line_plot(lines, title, *axes)], scale=PLOT_PX / WIDTH)


def cost(result: Result) -> Curves:
    """Return the name of each level of a `result.Result`'s refinement and, by the step's number, the cost in % of the level's first."""
    return _by_level(result, lambda level, step: 100 * step.cost / (level.steps[0].cost or 1.0))


def movement(result: Result) -> Curves:
    """Return the `cost` curves with how far each step moved a point of the anatomy, mm."""
    return _by_level(result, lambda level, step: step.moved_mm)


def similarity(result: Result) -> Curves:
    """Return the name of each view and, by the step's number, its similarity.

    Each level has its own, with its own resolution and windows.
    """
    from ..registration.cameras import uncalibrated_view_indices

    steps = _steps(result)
    alone = uncalibrated_view_indices(result.case.views, result.case.shared_unknowns)
    names = [
        view.name for nth, view in enumerate(result.views) if nth not in alone
    ]  # the others have no part in the steps
    return [
        (name, [(number, step.similarity[nth]) for number, step in enumerate(steps, start=1)])
        for nth, name in enumerate(names)
        if steps
    ]


def predicted(result: Result) -> Curves:
    """Return the error to expect at the targets after each step, mm, root mean square, and what it stays below in 95 of 100 results.

    That of the pose found, to which the way that was still to go is added in squares. Nothing where
    nothing was predicted.
    """
    from ..geometry import rigid

    assessment = result.assessment
    steps = _steps(result)
    if assessment is None or result.predicted_tre_mm is None or not steps:
        return []
    targets = assessment.targets
    likely = result.predicted_tre_mm
    end = rigid.transform_points(result.world_from_ct, targets)
    differences = [rigid.transform_points(step.world_from_ct, targets) - end for step in steps]
    to_go = [np.sqrt(np.mean(np.sum(difference**2, axis=1))) for difference in differences]
    return [
        (name, [(number, float(np.hypot(mm, further))) for number, mm in enumerate(to_go, start=1)])
        for name, further in (
            (_("expected"), likely.mean),
            (_("below, in 95 of 100"), likely.upper95),
        )
        if further is not None
    ]


def errors_at_targets(result: Result) -> list[float]:
    """Return the mm at each of the case's targets against its truth.

    Empty where either is missing.
    """
    from ..assessment.metrics import target_errors

    case = result.case
    if case.targets is None or case.truth_world_from_ct is None:
        return []
    return target_errors(result.world_from_ct, case.truth_world_from_ct, case.targets).tolist()


def predicted_at_targets(result: Result) -> list[tuple[float, float]]:
    """Return the mm to expect at each of the case's targets, and what it stays below in 95 of 100 results; empty without targets."""
    from ..geometry import rigid

    if result.case.targets is None or result.assessment is None:
        return []
    return result.assessment.at_targets(
        rigid.transform_points(result.world_from_ct, result.case.targets)
    )


def maps(result: Result) -> list[tuple[str, str, np.ndarray]]:
    """Return a map of where each view disagrees; empty where nothing was assessed.

    It has the view's name, how far off the targets may be as seen from it, "" where that is not
    known, and the picture, uint8 (rows, columns, 3).
    """
    from .overlays import tile_map

    assessment = result.assessment
    if assessment is None or assessment.features is None:
        return []
    xrays = {view.name: view.xray for view in result.views}
    within = _(
        "targets within {across:.1f} mm across the beam and {along:.1f} mm along it, in 95 of 100 "
        "results"
    )
    within = within if assessment.bounds_known else ""
    return [
        (
            split.name,
            within.format(across=split.in_plane_mm, along=split.depth_mm),
            tile_map(xrays[split.name], assessment.features.tiles(nth)),
        )
        for nth, split in enumerate(assessment.splits)
    ]


def _steps(result: Result) -> list:
    return [step for level in result.refinement.levels for step in level.steps]


def _by_level(result: Result, value: Callable[[LevelTrace, Any], float]) -> Curves:
    curves = []
    number = 0
    for level in result.refinement.levels:
        points = []
        for step in level.steps:
            number += 1
            points.append((number, float(value(level, step))))
        if points:
            curves.append((level.name, points))
    return curves
