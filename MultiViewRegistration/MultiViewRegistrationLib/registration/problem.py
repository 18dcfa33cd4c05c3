"""Poses of bodies and corrections of cameras, which `levenberg_marquardt` solves for together.

One body or several, before a fixed rest of the CT or one that moves, with exact cameras or not: what
is held fixed is no part of the problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..geometry import rigid
from ..geometry.rigid import moved
from .cameras import LEVER_MM, CameraCorrections, independent_residuals, prior_share
from .objective import Comparison, EvaluationPoint, TrialEvaluation

#: Standard deviations of the relative motion of neighbours, about each axis and along it: between
#: vertebrae 1.5 to 7.9 degrees are usual.
MOTION_SD_DEG = 5.0
MOTION_SD_MM = 3.0
PRECISION = np.repeat([1 / np.radians(MOTION_SD_DEG) ** 2, 1 / MOTION_SD_MM**2], 3)
#: The logarithm by which priors make a cost worse is cut off here: its power is still a number.
MOST_WORSE = 500.0


class State(NamedTuple):
    """Poses (B, 4, 4) world_from_ct of the bodies, and the cameras' corrections."""

    poses: np.ndarray
    corrections: np.ndarray


class Tie(NamedTuple):
    """Two neighbours, by number, and the point (3,) CT mm between them about which they move against each other."""

    one: int
    other: int
    joint: np.ndarray


class Problem:
    """Poses of bodies and the free corrections of cameras, each state evaluated once.

    Parameters
    ----------
    objective
        What compares the views with the bodies.
    unknowns
        The corrections.
    ties
        Soft priors on how neighbours move against each other; they decide only what the X-rays
        leave open.
    near_mm
        Steps are as long as the curvature that is there has it (`PoseFit.sharpness`), and after
        steps of such a size as what they changed shows: of a shorter one that is chance, of a
        longer one far from the minimum. None for Gauss and Newton's.
    """

    def __init__(
        self,
        objective: Comparison,
        unknowns: CameraCorrections,
        ties: Sequence[Tie] = (),
        near_mm: tuple[float, float] | None = None,
    ) -> None:
        self._objective = objective
        self._unknowns = unknowns
        self._ties = ties
        self._given = [view.camera for view in objective.views]
        self.near_mm = near_mm

    def point(self, state: State) -> EvaluationPoint:
        """Return where the objective is evaluated."""
        cameras = self._unknowns.cameras(state.corrections, self._given)
        return EvaluationPoint(state.poses, cameras, self._unknowns.intrinsics)

    def evaluate(self, state: State) -> TrialEvaluation:
        """Return what `cost` and `linearise` need of a state."""
        return self._objective.evaluate(self.point(state))

    def linearise(
        self, state: State, evaluation: TrialEvaluation
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        """Accept a state, select the pixels that are compared there, and return its fit, and the normal equations with the priors."""
        self._fit = fit = evaluation.linearise()
        self._before = self._unlikely(state)
        objective = self._objective
        pivots = objective.pivots(state.poses)
        gradient, hessian = self._unknowns.system(
            objective, pivots, fit, state.corrections, second_order=bool(self.near_mm)
        )
        share = prior_share(fit, objective.settings)
        add_prior(self._ties, state.poses, pivots, share, gradient, hessian)
        return fit, gradient, hessian

    def cost(self, state: State, evaluation: TrialEvaluation) -> float:
        """Return the cost over the pixels that were selected last, times by how much the priors make it worse."""
        residuals = independent_residuals(self._fit, self._objective.settings)
        worse = (self._unlikely(state) - self._before) / residuals
        return evaluation.cost() * float(np.exp(min(worse, MOST_WORSE)))

    def moved(self, state: State, step: np.ndarray) -> State:
        """Return the state after a step of the poses and of the free corrections."""
        twists, corrections = np.split(step, [6 * len(state.poses)])
        pivots = self._objective.pivots(state.poses)
        return State(
            moved(state.poses, twists.reshape(-1, 6), pivots),
            self._unknowns.moved(state.corrections, corrections),
        )

    def size_mm(self, step: np.ndarray) -> float:
        """Return how far the step moves a camera, or any body that a view shows, at most, an angle at LEVER_MM."""
        twists, corrections = np.split(step, [6 * len(self._fit.known)])
        turns, shifts = np.linalg.norm(twists.reshape(-1, 2, 3), axis=2).T
        lengths = shifts + LEVER_MM * turns
        return max(
            float(lengths.max(initial=0.0, where=self._fit.known)),
            self._unknowns.size(corrections),
        )

    def _unlikely(self, state: State) -> float:
        """Return minus twice the logarithm of the priors."""
        return prior_cost(self._ties, state.poses) + self._unknowns.unlikely(state.corrections)


def relative_motions(ties: Sequence[Tie], poses: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return the motion (T, 6) of `other` against `one` of each tie, along the world's axes.

    A motion is a rotation vector, rad, and the shift of the joint, mm.
    """
    if not ties:
        return np.empty((0, 6))
    ones, others = (
        np.array([poses[number] for number in numbers])
        for numbers in list(zip(*ties, strict=True))[:2]
    )
    joints = np.array([tie.joint for tie in ties])
    turns = rigid.log_so3(others[:, :3, :3] @ np.swapaxes(ones[:, :3, :3], 1, 2))
    return np.concatenate(
        [turns, rigid.transform_points(others, joints) - rigid.transform_points(ones, joints)],
        axis=1,
    )


def add_prior(
    ties: Sequence[Tie],
    poses: np.ndarray,
    pivots: np.ndarray,
    share: float,
    gradient: np.ndarray,
    hessian: np.ndarray,
) -> None:
    """Add the prior on the neighbours' motions, of this share, to the normal equations by twists about pivots (B, 3)."""
    for tie, motion in zip(ties, relative_motions(ties, poses), strict=True):
        jacobian = np.zeros((6, 12))
        for n, (b, sign) in enumerate(((tie.one, -1.0), (tie.other, 1.0))):
            lever = rigid.transform_points(poses[b], tie.joint) - pivots[b]
            jacobian[:3, 6 * n : 6 * n + 3] = jacobian[3:, 6 * n + 3 : 6 * n + 6] = sign * np.eye(3)
            jacobian[3:, 6 * n : 6 * n + 3] = -sign * rigid.hat(lever)
        index = np.r_[6 * tie.one : 6 * tie.one + 6, 6 * tie.other : 6 * tie.other + 6]
        gradient[index] += share * jacobian.T @ (PRECISION * motion)
        hessian[np.ix_(index, index)] += share * (jacobian.T * PRECISION) @ jacobian


def prior_cost(ties: Sequence[Tie], poses: Sequence[np.ndarray] | np.ndarray) -> float:
    """Return the sum of the squared motions between neighbours, weighted by PRECISION."""
    if not ties:
        return 0.0
    return float(np.sum(PRECISION * relative_motions(ties, poses) ** 2))
