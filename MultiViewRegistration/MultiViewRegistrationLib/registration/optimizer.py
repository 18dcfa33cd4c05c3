"""Levenberg-Marquardt on the pose of the CT, and on what is not known of the cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from .objective import Evaluation, Objective
from .unknowns import LEVER_MM, Unknowns


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


class Minimum(NamedTuple):
    """Where a descent ended: the pose (4, 4), the cameras' corrections, and the fit there."""

    world_from_ct: np.ndarray
    corrections: np.ndarray
    fit: Evaluation


def minimise(
    objective: Objective, world_from_ct: np.ndarray, *, iterations: int, tolerance_mm: float,
    on_step: Callable[[Step], None] = lambda step: None, unknowns: Unknowns | None = None, corrections: np.ndarray | None = None,
) -> Minimum:
    """Minimise the objective by Levenberg-Marquardt with Marquardt's scaling (SIAM J. Appl. Math. 11, 1963).

    unknowns, corrections: what is not known of the cameras, and the corrections to start with; exact, none by default.

    Stops when a step moves less than `tolerance_mm`, when no damping lowers the cost, or after `iterations` steps.
    """
    unknowns = unknowns or Unknowns.exact(objective.views)
    given = [view.camera for view in objective.views]
    damping, pose, corrections = 1e-3, world_from_ct, unknowns.none if corrections is None else corrections
    cameras = unknowns.cameras(corrections, given)
    here = objective.linearise(objective.project(pose, cameras, intrinsics=unknowns.intrinsics))
    for _ in range(iterations):
        gradient, hessian = unknowns.system(objective, here, corrections)
        scale = np.diag(np.diag(hessian))
        while damping < 1e6:
            step = -np.linalg.solve(hessian + damping * scale + 1e-12 * np.eye(len(gradient)), gradient)
            trial, trial_corrections = moved(pose, step[:6], objective.pivot), unknowns.moved(corrections, step[6:])
            size = max(float(np.linalg.norm(step[3:6]) + LEVER_MM * np.linalg.norm(step[:3])), unknowns.size(step[6:]))
            cameras = unknowns.cameras(trial_corrections, given)
            projections = objective.project(trial, cameras, intrinsics=unknowns.intrinsics)
            growth = unknowns.growth(objective, here, corrections, trial_corrections)
            better = objective.cost(projections) * growth < here.cost
            if better or size < tolerance_mm:
                break
            damping *= 8
        if damping >= 1e6 or not better:
            break
        pose, corrections, damping = trial, trial_corrections, max(damping / 5, 1e-6)
        here = objective.linearise(projections)
        on_step(Step(pose, here.cost, size, here.similarity))
        if size < tolerance_mm:
            break
    return Minimum(pose, corrections, here)

