"""Levenberg-Marquardt on the pose of the CT, and on what is not known of the cameras."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..rendering import threads
from .cameras import LEVER_MM, CameraCorrections
from .objective import EvaluationPoint, Objective, PoseFit, TrialEvaluation


@dataclass(frozen=True)
class Step:
    """One accepted step: the pose after it, its cost, how far a point at LEVER_MM from the pivot moved at most, each view's local NCC."""

    world_from_ct: np.ndarray
    cost: float
    moved_mm: float
    similarity: tuple[float, ...]


def moved(world_from_ct: np.ndarray, twist: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """The pose after the CT turned by twist[:3] (rad) about `pivot` (world mm) and shifted by twist[3:] (mm)."""
    return rigid.about(pivot, rigid.from_rotation_translation(rigid.exp_so3(twist[:3]), twist[3:])) @ world_from_ct


class Optimum(NamedTuple):
    """Where a descent ended: the pose (4, 4), the cameras' corrections, and the fit there."""

    world_from_ct: np.ndarray
    corrections: np.ndarray
    fit: PoseFit


def levenberg_marquardt(
    objective: Objective,
    world_from_ct: np.ndarray,
    *,
    iterations: int,
    tolerance_mm: float,
    on_step: Callable[[Step], None] = lambda step: None,
    unknowns: CameraCorrections | None = None,
    corrections: np.ndarray | None = None,
) -> Generator[EvaluationPoint, TrialEvaluation, Optimum]:
    """Levenberg-Marquardt with Marquardt's scaling (SIAM J. Appl. Math. 11, 1963).

    A generator that yields each point where it wants the objective evaluated and is sent the evaluation, so that several descents can share
    a batch. It ends when a step moves less than `tolerance_mm`, when no damping lowers the cost, or after `iterations` steps.

    Parameters
    ----------
    world_from_ct : (4, 4), the pose to start from.
    iterations, tolerance_mm : the most steps, and the size of the last one.
    on_step : called after each accepted step.
    unknowns : what is not known of the cameras; all is exact by default.
    corrections : the cameras' corrections to start from, none by default.
    """
    unknowns = unknowns or CameraCorrections.exact(objective.views)
    given = [view.camera for view in objective.views]
    damping, pose, corrections = 1e-3, world_from_ct, unknowns.none if corrections is None else corrections
    evaluation = yield EvaluationPoint(pose, unknowns.cameras(corrections, given), unknowns.intrinsics)
    here = evaluation.linearise()
    for _ in range(iterations):
        gradient, hessian = unknowns.system(objective, here, corrections)
        scale = np.diag(np.diag(hessian))
        while damping < 1e6:
            step = -np.linalg.solve(hessian + damping * scale + 1e-12 * np.eye(len(gradient)), gradient)
            trial, trial_corrections = moved(pose, step[:6], objective.pivot), unknowns.moved(corrections, step[6:])
            size = max(float(np.linalg.norm(step[3:6]) + LEVER_MM * np.linalg.norm(step[:3])), unknowns.size(step[6:]))
            evaluation = yield EvaluationPoint(trial, unknowns.cameras(trial_corrections, given), unknowns.intrinsics)
            prior_ratio = unknowns.prior_ratio(objective, here, corrections, trial_corrections)
            better = evaluation.cost() * prior_ratio < here.cost
            if better or size < tolerance_mm:
                break
            damping *= 8
        if damping >= 1e6 or not better:
            break
        pose, corrections, damping = trial, trial_corrections, max(damping / 5, 1e-6)
        here = evaluation.linearise()
        on_step(Step(pose, here.cost, size, here.similarity))
        if size < tolerance_mm:
            break
    return Optimum(pose, corrections, here)


def minimise(objective: Objective, world_from_ct: np.ndarray, **options) -> Optimum:
    """Run one descent; `options` are those of `levenberg_marquardt`."""
    return run_descents([objective], [levenberg_marquardt(objective, world_from_ct, **options)])[0]


def run_descents(
    objectives: list[Objective], descents: list[Generator[EvaluationPoint, TrialEvaluation, Optimum]]
) -> list[Optimum]:
    """Run descents side by side, each on its own objective: a thread for each, or step by step in one batch (`evaluate_together`)."""
    ends: list = [None] * len(descents)

    def advance(number: int, evaluation: TrialEvaluation | None) -> EvaluationPoint | None:
        try:
            return descents[number].send(evaluation)
        except StopIteration as end:
            ends[number] = end.value
            return None

    def run(number: int) -> None:
        point = advance(number, None)
        while point is not None:
            point = advance(number, objectives[number].evaluate(point))

    if not objectives or objectives[0].evaluate_together is None:
        threads.run([partial(run, number) for number in range(len(descents))])
        return ends
    points = {number: advance(number, None) for number in range(len(descents))}
    while points:
        evaluations = objectives[0].evaluate_together([objectives[number] for number in points], list(points.values()))
        following = {number: advance(number, one) for number, one in zip(points, evaluations, strict=True)}
        points = {number: point for number, point in following.items() if point is not None}
    return ends
