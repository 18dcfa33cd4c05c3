"""Levenberg-Marquardt on the pose of the CT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..geometry import rigid
from .objective import Evaluation, Objective

#: Lever arm in mm that turns an angle into a length when the size of a step is told.
LEVER_MM = 100.0


@dataclass(frozen=True)
class Step:
    """One accepted step: the pose after it, its cost, and how far a point at LEVER_MM from the pivot moved at most."""

    world_from_ct: np.ndarray
    cost: float
    moved_mm: float


def moved(world_from_ct: np.ndarray, twist: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """The pose after the CT turned by twist[:3] (rad) about `pivot` (world mm) and shifted by twist[3:] (mm)."""
    return rigid.about(pivot, rigid.from_rotation_translation(rigid.exp_so3(twist[:3]), twist[3:])) @ world_from_ct


def minimise(
    objective: Objective, world_from_ct: np.ndarray, *, iterations: int, tolerance_mm: float,
    on_step: Callable[[Step], None] = lambda step: None,
) -> tuple[np.ndarray, Evaluation]:
    """Minimise the objective by Levenberg-Marquardt with Marquardt's scaling (SIAM J. Appl. Math. 11, 1963).

    Stops when a step moves less than `tolerance_mm`, when no damping lowers the cost, or after `iterations` steps.
    Returns the pose and its linearisation.
    """
    damping, pose = 1e-3, world_from_ct
    here = objective.linearise(objective.project(pose))
    for _ in range(iterations):
        scale = np.diag(np.diag(here.hessian))
        while damping < 1e6:
            twist = -np.linalg.solve(here.hessian + damping * scale + 1e-12 * np.eye(6), here.gradient)
            size = float(np.linalg.norm(twist[3:]) + LEVER_MM * np.linalg.norm(twist[:3]))
            trial = moved(pose, twist, objective.pivot)
            projections = objective.project(trial)
            better = objective.cost(projections) < here.cost
            if better or size < tolerance_mm:
                break
            damping *= 8
        if damping >= 1e6 or not better:
            break
        pose, damping, here = trial, max(damping / 5, 1e-6), objective.linearise(projections)
        on_step(Step(pose, here.cost, size))
        if size < tolerance_mm:
            break
    return pose, here
