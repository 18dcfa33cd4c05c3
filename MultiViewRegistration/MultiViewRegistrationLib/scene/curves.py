"""How a registration came to its pose, step by step, and how far off it is at the targets: numbers for plots."""

from __future__ import annotations


def cost(result) -> list[tuple[str, list[tuple[int, float]]]]:
    """Of each level of a `result.Result`'s refinement its name and, by the step's number, the cost in % of the level's first."""
    return _by_level(result, lambda level, step: 100 * step.cost / (level.steps[0].cost or 1.0))


def movement(result) -> list[tuple[str, list[tuple[int, float]]]]:
    """The same with how far each step moved a point of the anatomy, mm."""
    return _by_level(result, lambda level, step: step.moved_mm)


def errors_at_targets(result) -> list[float]:
    """mm at each of the case's targets against its truth; empty where it lacks either."""
    from ..assessment.metrics import target_errors

    case = result.case
    if case.targets is None or case.truth_world_from_ct is None:
        return []
    return target_errors(result.world_from_ct, case.truth_world_from_ct, case.targets).tolist()


def _by_level(result, value) -> list[tuple[str, list[tuple[int, float]]]]:
    curves, number = [], 0
    for level in result.refinement.levels:
        points = []
        for step in level.steps:
            number += 1
            points.append((number, float(value(level, step))))
        if points:
            curves.append((level.name, points))
    return curves
