"""Levenberg-Marquardt on the pose of the CT, and on what is not known of the cameras; the distinct minima of several descents."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..rendering import threads
from .cameras import LEVER_MM, CameraCorrections
from .objective import EvaluationPoint, Objective, PoseFit, TrialEvaluation

#: Two poses are one answer if they lie nearer than SAME_MM, an angle counting at RADIUS_MM.
SAME_MM, RADIUS_MM = 3.0, 60.0


@dataclass(frozen=True)
class Step:
    """One accepted step: the pose after it, its cost, how far a point at LEVER_MM from the pivot moved at most, each view's local NCC."""

    world_from_ct: np.ndarray
    cost: float
    moved_mm: float
    similarity: tuple[float, ...]


class DescentStart(NamedTuple):
    """Where a descent starts: the pose (4, 4), the numbers of the starts it stands for, and the cameras' corrections; None for none."""

    world_from_ct: np.ndarray
    origins: frozenset[int] = frozenset()
    corrections: np.ndarray | None = None


@dataclass(frozen=True)
class Descent:
    """Where a descent at one resolution ended, which is a start for the next one.

    corrections: of the cameras.   fit, steps: there, and those that were accepted.   origins: the numbers of the starts that led here.
    n_descents: how many descents ended here, see `cluster_minima`.
    """

    world_from_ct: np.ndarray
    corrections: np.ndarray
    fit: PoseFit
    steps: list[Step]
    origins: frozenset[int] = frozenset()
    n_descents: int = 1


def moved(world_from_ct: np.ndarray, twist: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """The pose after the CT turned by twist[:3] (rad) about `pivot` (world mm) and shifted by twist[3:] (mm)."""
    return rigid.about(pivot, rigid.from_rotation_translation(rigid.exp_so3(twist[:3]), twist[3:])) @ world_from_ct


def levenberg_marquardt(
    objective: Objective,
    start: DescentStart | Descent,
    unknowns: CameraCorrections,
    iterations: int,
    tolerance_mm: float,
    on_step: Callable[[Step], object],
) -> Generator[EvaluationPoint, TrialEvaluation, Descent]:
    """Levenberg-Marquardt with Marquardt's scaling (SIAM J. Appl. Math. 11, 1963).

    A generator that yields each point where it wants the objective evaluated and is sent the evaluation, so that several descents can share
    a batch. It ends when a step moves less than `tolerance_mm`, when no damping lowers the cost, or after `iterations` steps.
    """
    given, steps = [view.camera for view in objective.views], []
    damping, pose = 1e-3, start.world_from_ct
    corrections = unknowns.none if start.corrections is None else start.corrections
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
        steps.append(Step(pose, here.cost, size, here.similarity))
        on_step(steps[-1])
        if size < tolerance_mm:
            break
    return Descent(pose, corrections, here, steps, start.origins)


def minimise(
    objective: Objective,
    world_from_ct: np.ndarray,
    iterations: int,
    tolerance_mm: float,
    unknowns: CameraCorrections | None = None,
) -> Descent:
    """Run one descent about the objective's own pivot, see `descend`."""
    return descend(objective, [DescentStart(world_from_ct)], iterations, tolerance_mm, unknowns=unknowns)[0]


def descend(
    objective: Objective,
    starts: Sequence[DescentStart | Descent],
    iterations: int,
    tolerance_mm: float,
    centroid: np.ndarray | None = None,
    unknowns: CameraCorrections | None = None,
    on_step: Callable[[Step], object] = lambda step: None,
) -> list[Descent]:
    """Run a descent from each start, side by side: a thread for each, or step by step in one batch (`evaluate_together`).

    Parameters
    ----------
    iterations, tolerance_mm : the most steps, and the size of the last one.
    centroid : (3,) CT mm, about which each pose turns; None: about the objective's pivot, for one start.
    unknowns : what is not known of the cameras; all is exact by default.
    on_step : called after each step of a single descent; not called for several, which run in other threads.
    """
    objectives = [objective]
    if centroid is not None:  # an objective remembers which pixels count: each descent needs its own
        objectives = [objective.with_pivot(rigid.transform_points(start.world_from_ct, centroid)) for start in starts]
    unknowns = unknowns or CameraCorrections.exact(objective.views)
    tell = on_step if len(starts) == 1 else lambda step: None
    descents = [
        levenberg_marquardt(own, start, unknowns, iterations, tolerance_mm, tell)
        for own, start in zip(objectives, starts, strict=True)
    ]
    ends: list = [None] * len(descents)

    def advance(number: int, evaluation: TrialEvaluation | None) -> EvaluationPoint | None:
        try:
            return next(descents[number]) if evaluation is None else descents[number].send(evaluation)
        except StopIteration as end:
            ends[number] = end.value
            return None

    def run(number: int) -> None:
        point = advance(number, None)
        while point is not None:
            point = advance(number, objectives[number].evaluate(point))

    together = objective.evaluate_together
    if together is None and len(starts) > 1:
        threads.run([partial(run, number) for number in range(len(descents))])
        return ends
    following = {number: advance(number, None) for number in range(len(descents))}
    while points := {number: point for number, point in following.items() if point is not None}:
        if together is None:
            evaluations = [objectives[number].evaluate(point) for number, point in points.items()]
        else:
            evaluations = together([objectives[number] for number in points], list(points.values()))
        following = {number: advance(number, one) for number, one in zip(points, evaluations, strict=True)}
    return ends


def distance(pose: np.ndarray, other: np.ndarray, centroid: np.ndarray) -> float:
    """How far apart two poses of the CT are: mm between the centres, and an angle counting at RADIUS_MM."""
    to_centroid = rigid.from_rotation_translation(np.eye(3), centroid)
    return float(rigid.geodesic_distance(pose @ to_centroid, other @ to_centroid, RADIUS_MM))


def cluster_minima(minima: Sequence[Descent], descents: Sequence[Descent], centroid: np.ndarray) -> list[Descent]:
    """Add descents to distinct minima: those within SAME_MM of each other are one, of which the best is kept. Most evidence first."""
    minima = list(minima)
    for descent in descents:
        near = (n for n, a in enumerate(minima) if distance(a.world_from_ct, descent.world_from_ct, centroid) < SAME_MM)
        same = next(near, None)
        if same is None:
            minima.append(replace(descent, n_descents=1))
        else:
            old = minima[same]
            best = max(old, descent, key=lambda each: each.fit.evidence)
            minima[same] = replace(best, origins=old.origins | descent.origins, n_descents=old.n_descents + 1)
    return sorted(minima, key=lambda minimum: -minimum.fit.evidence)
