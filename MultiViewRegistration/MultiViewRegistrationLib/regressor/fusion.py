"""One pose from what several views say of it, how certain it is, and which other poses are worth a try.

Each view is first asked alone; then all together, from the nominal pose and from each view's own answer, by the method of Levenberg and
Marquardt on the summed cost. A view whose own answer is farther from that of all together than it can be wrong contradicts them: then the
view is left out without which the others agree best. Of two views that disagree nobody knows which is right: both answers are candidates,
beside that of both together.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from ..geometry import rigid
from .evidence import Evidence, Guess, motion, moved

#: A view agrees with a pose within this squared distance of six normal numbers, made so wide as predictions have heavier tails.
AGREE = 3 * float(chi2.ppf(0.999, 6))
#: Two poses nearer than this, an angle counting at RADIUS_MM, are one candidate.
SAME_MM, RADIUS_MM = 3.0, 60.0
#: The starts of a view alone: the nominal pose, and that turned by so much either way about each axis of the world.
TURN_DEG = 30.0
#: Iterations from all starts, and then from the best ones; and the step that ends them, an angle counting at RADIUS_MM.
FIRST_ITERATIONS, MOST_STARTS, ITERATIONS, TOLERANCE_MM = 5, 2, 40, 0.05
#: The matrix of the equations gets this share of its diagonal more, ten times as much after a step that led up, a tenth after one down.
DAMPING = 1e-3
#: A direction is taken to be known no better and no worse than this, in rad and in mm.
LEAST_SD, LARGEST_SD = np.repeat([1e-4, 1e-2], 3), np.repeat([3.0, 1e3], 3)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pose world_from_ct (4, 4), and what is known of it.

    covariance: (6, 6) of the motion (omega, v) from it to the truth about the anatomy's centroid, rad and mm, world axes.
    views: which views it is from.   agree: whether no two of them contradict each other.   cost: of those views together.
    """

    world_from_ct: np.ndarray
    covariance: np.ndarray
    views: tuple[int, ...]
    agree: bool
    cost: float

    def expected_mm(self, radius_mm: float = RADIUS_MM) -> float:
        """Root mean square error of points on a sphere about the centroid, as the covariance has it."""
        turn, shift = np.trace(self.covariance[:3, :3]), np.trace(self.covariance[3:, 3:])
        return float(np.sqrt(2 / 3 * radius_mm**2 * turn + shift))

    def squared_error(self, true: np.ndarray, centroid: np.ndarray) -> float:
        """Squared distance of the true pose (4, 4) in standard deviations, chi squared with 6 degrees of freedom; centroid: (3,) CT mm."""
        delta = motion(self.world_from_ct, true, centroid)
        return float(delta @ np.linalg.solve(self.covariance, delta))


def fuse(
    views: Sequence[Evidence],
    centroid: np.ndarray,
    world_from_ct: np.ndarray,
    slack: Sequence[np.ndarray | None] | None = None,
) -> list[Candidate]:
    """Distinct poses for a refinement to start from, the most credible one first.

    views: what each says, one or more.   centroid: (3,) CT mm.   world_from_ct: (4, 4), the nominal pose, from which to start.
    slack: for each view the covariance (6, 6) that `geometry_slack` gives, where its camera is not known exactly against that of the
        first one; None for a view whose camera is. Such a view counts as its own answer, made that much less certain.

    First comes what the views that agree say together; then, where some do not, what all say together; then each view's own answer, the
    most certain first.
    """
    starts = _starts(world_from_ct, centroid)
    alone = [_best([view], starts, centroid, (number,)) for number, view in enumerate(views)]
    if len(views) == 1:
        return alone
    slack = slack or [None] * len(views)
    views = [
        view if more is None else Guess(own.world_from_ct, own.covariance + more, centroid)
        for view, own, more in zip(views, alone, slack, strict=True)
    ]
    alone = [
        own if more is None else replace(own, covariance=own.covariance + more)
        for own, more in zip(alone, slack, strict=True)
    ]
    starts = np.stack([world_from_ct] + [own.world_from_ct for own in alone])

    def together(numbers: tuple[int, ...]) -> tuple[float, Candidate]:
        """How far the farthest of these views is from what they say together, and that."""
        joint = _best([views[n] for n in numbers], starts, centroid, numbers)
        far = max(alone[n].squared_error(joint.world_from_ct, centroid) for n in numbers)
        return far, replace(joint, agree=far <= AGREE)

    found = [together(tuple(range(len(views))))[1]]
    while not found[0].agree and len(found[0].views) > 2:
        fewer = itertools.combinations(found[0].views, len(found[0].views) - 1)
        found.insert(0, min((together(numbers) for numbers in fewer), key=lambda pair: pair[0])[1])
    return distinct(found + sorted(alone, key=Candidate.expected_mm), centroid)


def distinct(candidates: Sequence[Candidate], centroid: np.ndarray, same_mm: float = SAME_MM) -> list[Candidate]:
    """The candidates in their order, without those that are nearly the same as an earlier one."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if all(_apart_mm(candidate.world_from_ct, other.world_from_ct, centroid) > same_mm for other in kept):
            kept.append(candidate)
    return kept


def geometry_slack(
    rotation_sd_deg: float | None,
    translation_sd_mm: float | None,
    centroid: np.ndarray,
    world_from_ct: np.ndarray,
) -> np.ndarray | None:
    """Covariance (6, 6) of where the CT seems to be through a camera that is known so well: see `View`; None for one known exactly.

    centroid: (3,) CT mm, at the pose world_from_ct (4, 4). The camera turns about the world's origin. Where nobody knows (None) the view
    says next to nothing.
    """
    if rotation_sd_deg == 0 and translation_sd_mm == 0:
        return None
    turn = LARGEST_SD[0] if rotation_sd_deg is None else np.radians(rotation_sd_deg)
    shift = LARGEST_SD[3] if translation_sd_mm is None else translation_sd_mm
    by_turn = np.concatenate([np.eye(3), -rigid.hat(rigid.transform_points(world_from_ct, centroid))])
    covariance = turn**2 * by_turn @ by_turn.T
    covariance[3:, 3:] += shift**2 * np.eye(3)
    return covariance


def descend(
    views: Sequence[Evidence],
    poses: np.ndarray,
    centroid: np.ndarray,
    iterations: int = ITERATIONS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The minima of the summed cost that the method of Levenberg and Marquardt reaches from poses (S, 4, 4).

    Returns poses (S, 4, 4), costs (S,) and the matrices (S, 6, 6) of the equations there.
    """
    damping = np.full(len(poses), DAMPING)
    now = _summed(views, poses)
    for _ in range(iterations):
        diagonal = np.einsum("sii->si", now[1])
        step = np.linalg.solve(now[1] + (damping[:, None] * diagonal)[:, None] * np.eye(6), now[2][..., None])[..., 0]
        tried = moved(poses, step, centroid)
        there = _summed(views, tried)
        down = there[0] <= now[0]
        damping = np.where(down, np.maximum(damping / 10, 1e-9), damping * 10)
        poses = np.where(down[:, None, None], tried, poses)
        now = tuple(np.where(down.reshape(-1, *[1] * (b.ndim - 1)), a, b) for a, b in zip(there, now, strict=True))
        if (np.linalg.norm(step * np.repeat([RADIUS_MM, 1], 3), axis=1) < TOLERANCE_MM).all():
            break
    return poses, now[0], now[1]


def _summed(views: Sequence[Evidence], poses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    said = [view.at(poses) for view in views]
    floor = np.diag(LARGEST_SD**-2.0)
    return sum(n.cost for n in said), sum(n.matrix for n in said) + floor, sum(n.right for n in said)


def _best(views: Sequence[Evidence], starts: np.ndarray, centroid: np.ndarray, numbers: tuple[int, ...]) -> Candidate:
    if len(starts) > MOST_STARTS:
        poses, costs, _ = descend(views, starts, centroid, FIRST_ITERATIONS)
        starts = poses[np.argsort(costs)[:MOST_STARTS]]
    poses, costs, matrices = descend(views, starts, centroid)
    best = int(np.argmin(costs))
    covariance = np.linalg.inv(matrices[best]) + np.diag(LEAST_SD**2)
    return Candidate(poses[best], covariance, numbers, agree=True, cost=float(costs[best]))


def _starts(world_from_ct: np.ndarray, centroid: np.ndarray) -> np.ndarray:
    """(7, 4, 4)."""
    turns = [np.zeros(6)] + [
        sign * np.radians(TURN_DEG) * np.eye(6)[axis] for axis, sign in itertools.product(range(3), (1, -1))
    ]
    return moved(np.broadcast_to(world_from_ct, (7, 4, 4)), np.stack(turns), centroid)


def _apart_mm(pose: np.ndarray, other: np.ndarray, centroid: np.ndarray) -> float:
    delta = motion(pose, other, centroid)
    return float(np.hypot(RADIUS_MM * np.linalg.norm(delta[:3]), np.linalg.norm(delta[3:])))
