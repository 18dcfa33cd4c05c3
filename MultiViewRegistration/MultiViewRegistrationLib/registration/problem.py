"""Poses of bodies and corrections of cameras, and Levenberg-Marquardt, which solves for them together.

One body or several, before a fixed rest of the CT or one that moves, with exact cameras or not: what
is held fixed is no part of the problem.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

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


@dataclass(eq=False)
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

    _objective: Comparison
    _unknowns: CameraCorrections
    _ties: Sequence[Tie] = ()
    near_mm: tuple[float, float] | None = None

    def point(self, state: State) -> EvaluationPoint:
        """Return where the objective is evaluated."""
        given = [view.camera for view in self._objective.views]
        cameras = self._unknowns.cameras(state.corrections, given)
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
            float(lengths.max(initial=0.0, where=self._fit.known)), self._unknowns.size(corrections)
        )

    def _unlikely(self, state: State) -> float:
        """Return minus twice the logarithm of the priors."""
        return prior_cost(self._ties, state.poses) + self._unknowns.unlikely(state.corrections)


def beside_neighbours(
    poses: Sequence[np.ndarray], lost: Collection[int], ties: Sequence[Tie]
) -> list[np.ndarray]:
    """Return poses (4, 4) of bodies, those that are lost, not all, as the nearest other one along the ties has its own.

    Where one after another has moved, the last lie far from where the whole has them.
    """
    placed = {n: pose for n, pose in enumerate(poses) if n not in lost}
    ways = [(tie.one, tie.other) for tie in ties]
    ways += [way[::-1] for way in ways]
    while len(placed) < len(poses):
        placed |= {b: placed[a] for a, b in ways if a in placed and b not in placed}
    return [placed[n] for n in range(len(poses))]


def relative_motions(ties: Sequence[Tie], poses: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return the motion (T, 6) of `other` against `one` of each tie, along the world's axes.

    A motion is a rotation vector, rad, and the shift of the joint, mm.
    """
    if not ties:
        return np.empty((0, 6))
    ones = np.array([poses[tie.one] for tie in ties])
    others = np.array([poses[tie.other] for tie in ties])
    joints = np.array([tie.joint for tie in ties])
    return rigid.motion(ones, others, joints)


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


End = TypeVar("End")

#: The damping at first, at least, and where it gives up.
DAMPING = 1e-3
LEAST_DAMPING = 1e-6
MOST_DAMPING = 1e6
#: Added to the diagonal.
NEVER_SINGULAR = 1e-12
#: A step that makes the cost larger is tried again with the curvature that was expected, and at
#: least so much damping.
REFUSED_DAMPING = 1e-2
#: The curvature that a step shows along itself counts as no less than this share of what was
#: expected.
LEAST_CURVATURE = 0.2


def descending(
    problem: Problem,
    state: State,
    iterations: int,
    tolerance_mm: float,
    on_step: Callable[[State, Any, float], object],
) -> Generator[State, TrialEvaluation, tuple[State, Any]]:
    """Descend, and return the last state and its fit.

    A generator that yields each state where it wants the problem evaluated and is sent the
    evaluation, so that several descents can share a batch. It ends when a step is smaller than
    `tolerance_mm`, when no damping lowers the cost, or after `iterations` steps.

    Parameters
    ----------
    on_step
        Called with state, fit and size after each step; the last one is that after which it returns
        False.
    """
    damping = DAMPING
    last: tuple[np.ndarray, np.ndarray] | None = None
    evaluation = yield state
    fit, gradient, hessian = problem.linearise(state, evaluation)
    # Each body's curvature by itself, that of a single one with the cameras'.
    block = len(gradient) if len(state.poses) == 1 else 6
    for _ in range(iterations):
        diagonal = np.diag(hessian)
        # A bone that no view shows and nothing ties has zeros.
        scale = np.diag(np.where(diagonal == 0, 1.0, diagonal))
        curved = hessian
        if last is not None:
            curved = with_curvature(curved, last[0], gradient - last[1], block)
        better = False
        while damping < MOST_DAMPING:
            damped = curved + damping * scale + NEVER_SINGULAR * np.eye(len(scale))
            step = -np.linalg.solve(damped, gradient)
            trial = problem.moved(state, step)
            size_mm = problem.size_mm(step)
            evaluation = yield trial
            better = problem.cost(trial, evaluation) < fit.cost
            if better or size_mm < tolerance_mm:
                break
            curved = hessian
            damping = max(8 * damping, REFUSED_DAMPING)
        if not better:
            break
        damping = max(damping / 5, LEAST_DAMPING)
        near = problem.near_mm is not None and problem.near_mm[0] < size_mm < problem.near_mm[1]
        last = (step, gradient) if near else None
        state = trial
        fit, gradient, hessian = problem.linearise(state, evaluation)
        if on_step(state, fit, size_mm) is False or size_mm < tolerance_mm:
            break
    return state, fit


def minimised(
    problem: Problem,
    state: State,
    iterations: int,
    tolerance_mm: float,
    on_step: Callable[[State, Any, float], object],
) -> tuple[State, Any]:
    """Run one descent, see `descending`."""
    return finished(problem, descending(problem, state, iterations, tolerance_mm, on_step))


def finished(problem: Problem, descent: Generator[State, TrialEvaluation, End]) -> End:
    """Return what a descent ends with that evaluates its problem alone."""
    try:
        trial = next(descent)
        while True:
            trial = descent.send(problem.evaluate(trial))
    except StopIteration as end:
        return end.value


def with_curvature(
    hessian: np.ndarray, step: np.ndarray, change: np.ndarray, block: int
) -> np.ndarray:
    """Return a Hessian (n, n), each block of it with the curvature that the last step showed along it.

    Where the residuals' second derivatives, which Gauss and Newton leave out, make a minimum less
    sharp in some directions than in others, steps are too short along these. Hybrid of Gauss-Newton
    and BFGS (Al-Baali and Fletcher, J. Oper. Res. Soc. 36, 1985), damped as by Powell (Lect. Notes
    Math. 630, 1978).

    Parameters
    ----------
    step, change
        (n,) the last step, and by how much it changed the gradient.
    """
    curved = hessian.copy()
    expected = hessian @ step
    for first in range(0, len(step), block):
        own = slice(first, first + block)
        inside = hessian[own, own]
        if step[own].any() and inside.any():
            by_others = expected[own] - inside @ step[own]
            curved[own, own] = _bent(inside, step[own], change[own] - by_others)
    values = np.linalg.eigvalsh(curved)
    return curved if values[0] > -1e-9 * values[-1] else hessian  # 0 of a bone that no view shows


def _bent(hessian: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    along = hessian @ step
    expected = float(step @ along)
    found = float(step @ change)
    least = LEAST_CURVATURE * expected
    if found < least:
        share = (expected - least) / (expected - found)
        change = share * change + (1 - share) * along
        found = least
    return hessian + np.outer(change, change) / found - np.outer(along, along) / expected
