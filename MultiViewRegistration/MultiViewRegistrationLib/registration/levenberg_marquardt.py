"""Levenberg and Marquardt's method with Marquardt's scaling (SIAM J. Appl. Math. 11, 1963).

The only one of registrations: on poses of bodies, and on corrections of cameras.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import numpy as np

from .objective import TrialEvaluation
from .problem import Problem, State

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
