"""Fuse the predictions of views into the CT's pose, as normal equations: votes and poses alike.

Motions are twists (omega, v) about the anatomy's centre c, in the world's axes: x -> c + exp(omega)
(x - c) + v, rad and mm.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..registration.optimizer import RADIUS_MM, distance

#: Votes nearer than this share of their scale count as if they were so far: a median has no
#: derivative where it hits one.
NEAR = 0.2
#: Points are kept so far before the source, in mm.
MIN_DEPTH_MM = 10.0
#: A pose farther than this from another, in standard deviations, loses weight with the distance
#: (Huber, Ann. Math. Stat. 35, 1964).
HUBER_DISTANCE = 3.5
#: A view agrees with a pose within the squared distance of this share of six normal numbers, so
#: much wider as predictions have heavier tails.
AGREEING_SHARE = 0.999
WIDER = 3
#: Two poses nearer than this, an angle counting at RADIUS_MM, are one candidate.
SAME_MM = 3.0
#: The starts of a view alone: the nominal pose, and that turned by so much either way about each
#: axis of the world.
TURN_DEG = 30.0
#: Iterations from all starts, and then from the best ones; and the step that ends them, an angle
#: counting at RADIUS_MM.
FIRST_ITERATIONS = 5
MAX_STARTS = 2
ITERATIONS = 40
TOLERANCE_MM = 0.05
BY_MM = np.repeat([RADIUS_MM, 1.0], 3)
#: The matrix of the equations gets this share of its diagonal more, ten times as much after a step
#: that led up, a tenth after one down.
DAMPING = 1e-3
#: A direction is taken to be known no better and no worse than this, in rad and in mm.
MIN_SD = np.repeat([1e-4, 1e-2], 3)
MAX_SD = np.repeat([3.0, 1e3], 3)


class NormalEquations(NamedTuple):
    """At poses (S, 4, 4): the cost (S,), and the matrix (S, 6, 6) and right side (S, 6) of the equations for a step to its minimum."""

    cost: np.ndarray
    matrix: np.ndarray
    right: np.ndarray


class Evidence(Protocol):
    """The evidence of one view about the pose."""

    def at(self, poses: np.ndarray) -> NormalEquations:
        """Return the cost of poses world_from_ct (S, 4, 4), a negative log-likelihood up to a constant, linearised for a step from each."""
        ...


@dataclass(frozen=True, eq=False)
class LandmarkVotes:
    """Votes of several observers for the image positions of fixed CT points, with a Laplace distribution each.

    cost = worth / (2 K observers) sum |vote - projection| / scale,

    which is minimised by iteratively reweighted least squares (Weiszfeld, Tohoku Math. J. 43,
    1937). One wrong vote in three does little.

    Attributes
    ----------
    camera
        Of the image.
    landmarks
        (K, 3) CT mm.
    centroid
        (3,) CT mm, of the anatomy.
    positions
        (2, K, observers) pixels, in the image or not.
    scales
        (K, observers) pixels, above 0.
    worth
        The equivalent number of independent votes. The votes of a network on one image err
        together.
    """

    camera: Camera
    landmarks: np.ndarray
    centroid: np.ndarray
    positions: np.ndarray
    scales: np.ndarray
    worth: float

    def at(self, poses: np.ndarray) -> NormalEquations:
        """Return the cost of poses (S, 4, 4), linearised for a step from each."""
        pixels, by_motion = self._projected(poses)
        scales = self.scales.astype(np.float32)
        pixels = np.moveaxis(pixels, -1, 1).astype(np.float32)
        off = self.positions.astype(np.float32) - pixels[..., None]  # (S, 2, K, observers)
        distance = np.sqrt(off[:, 0] ** 2 + off[:, 1] ** 2)
        weight = 1 / (scales * np.maximum(distance, np.float32(NEAR) * scales))
        pull = np.moveaxis((weight[:, None] * off).sum(axis=-1), 1, -1).reshape(len(poses), 1, -1)
        rows = by_motion.reshape(len(poses), -1, 6)
        matrix = np.swapaxes(rows, -1, -2) @ (
            np.repeat(weight.sum(axis=-1), 2, axis=-1)[..., None] * rows
        )
        # 2: what a median in the plane knows less than a mean, of Laplace's distribution
        share = self.worth / (2 * self.scales.size)
        return NormalEquations(
            share * (distance / scales).sum(axis=(1, 2)),
            share * matrix,
            share * (pull @ rows)[:, 0],
        )

    def joined(self, others: Sequence[LandmarkVotes]) -> LandmarkVotes:
        """Return the votes together with those of augmentations of the same X-ray, by cameras of the same source.

        Their errors depend, so they count as one.
        """
        positions = [self.positions]
        scales = [self.scales]
        for other in others:
            turn = self.camera.camera_from_world[:3, :3] @ other.camera.camera_from_world[:3, :3].T
            here_from_there = self.camera.intrinsics @ turn @ np.linalg.inv(other.camera.intrinsics)
            here = np.tensordot(here_from_there, [*other.positions, np.ones_like(other.scales)], 1)
            positions.append(here[:2] / here[2])
            scales.append(
                other.scales * self.camera.intrinsics[1, 1] / other.camera.intrinsics[1, 1]
            )
        return replace(
            self,
            positions=np.concatenate(positions, axis=-1),
            scales=np.concatenate(scales, axis=-1),
        )

    def _projected(self, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (S, K, 2) of the landmarks, and their derivatives (S, K, 2, 6) by the motion."""
        camera = self.camera
        world = rigid.transform_points(poses[:, None], self.landmarks)
        behind = np.maximum(MIN_DEPTH_MM - camera.depth(world), 0)[..., None]
        before = world + behind * camera.camera_from_world[2, :3]
        by_point = camera.jacobians(before)[..., :3]
        lever = world - rigid.transform_points(poses, self.centroid)[:, None]
        by_motion = np.concatenate([-by_point @ rigid.hat(lever), by_point], axis=-1)
        return camera.project(before), by_motion


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """A pose world_from_ct (4, 4) and its covariance (6, 6), of the motion from it to the truth.

    cost = rho(d) with d^2 = delta^T covariance^-1 delta, delta the motion from the pose in question
    to this one: rotation vector and shift of the centroid (3,) CT mm. rho(d) = d^2 / 2 up to
    HUBER_DISTANCE, and a straight line from there on.
    """

    world_from_ct: np.ndarray
    covariance: np.ndarray
    centroid: np.ndarray

    def at(self, poses: np.ndarray) -> NormalEquations:
        """Return the cost of poses (S, 4, 4), linearised for a step from each."""
        delta = rigid.motion(poses, self.world_from_ct, self.centroid)
        information = np.linalg.inv(self.covariance)
        distance = np.sqrt(np.einsum("si,ij,sj->s", delta, information, delta))
        far = np.maximum(distance / HUBER_DISTANCE, 1)
        cost = np.where(far > 1, HUBER_DISTANCE * (distance - HUBER_DISTANCE / 2), distance**2 / 2)
        by_motion = _difference_by_motion(delta)
        weighted = np.swapaxes(by_motion, -1, -2) @ information / far[:, None, None]
        return NormalEquations(cost, weighted @ by_motion, np.einsum("sij,sj->si", weighted, delta))


def moved(poses: np.ndarray, motions: np.ndarray, centroid: np.ndarray) -> np.ndarray:
    """Return the poses (..., 4, 4) after motions (..., 6) about where the centroid (3,) CT mm is."""
    return rigid.moved(poses, motions, rigid.transform_points(poses, centroid))


def _difference_by_motion(delta: np.ndarray) -> np.ndarray:
    """Return (S, 6, 6), minus the derivative of `rigid.motion(poses, others)` by a motion of the poses.

    log(exp(phi) exp(-epsilon)) = phi - Jr^-1(phi) epsilon, the inverse right Jacobian of SO(3)
    (Sola et al., arXiv 1812.01537, eq. 144), which is the left one of -phi.
    """
    result = np.tile(np.eye(6), (len(delta), 1, 1))
    result[:, :3, :3] = np.linalg.inv(rigid.left_jacobian(-delta[:, :3]))
    return result


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pose world_from_ct (4, 4), and its certainty.

    Attributes
    ----------
    covariance
        (6, 6) of the motion (omega, v) from it to the truth about the anatomy's centroid, rad and
        mm, world axes.
    views
        Which views it is from.
    agree
        Whether no two of them contradict each other.
    """

    world_from_ct: np.ndarray
    covariance: np.ndarray
    views: tuple[int, ...]
    agree: bool = True

    def expected_mm(self) -> float:
        """Return the root mean square error of points on a sphere of RADIUS_MM about the centroid, as the covariance has it."""
        turn = np.trace(self.covariance[:3, :3])
        shift = np.trace(self.covariance[3:, 3:])
        return float(np.sqrt(2 / 3 * RADIUS_MM**2 * turn + shift))

    def squared_error(self, true: np.ndarray, centroid: np.ndarray) -> float:
        """Return the squared distance of the true pose (4, 4) in standard deviations, chi squared with 6 degrees of freedom.

        Parameters
        ----------
        centroid
            (3,) CT mm.
        """
        delta = rigid.motion(self.world_from_ct, true, centroid)
        return float(delta @ np.linalg.solve(self.covariance, delta))


def fuse(
    views: Sequence[Evidence],
    centroid: np.ndarray,
    world_from_ct: np.ndarray,
    slack: Sequence[np.ndarray | None] = (),
) -> list[Candidate]:
    """Return distinct poses for a refinement to start from, the most credible one first.

    First comes what the views that agree say together; then, where some do not, what all say
    together; then each view's own answer, the most certain first.

    Parameters
    ----------
    views
        The evidence of each, one or more.
    centroid
        (3,) CT mm.
    world_from_ct
        (4, 4), the nominal pose, from which to start.
    slack
        For each view the covariance (6, 6) that `geometry_covariance` gives, where its camera is
        not known exactly against that of the first one; None for a view whose camera is. Such a
        view counts as its own answer, made that much less certain.
    """
    views = list(views)
    starts = _starts(world_from_ct, centroid)
    alone = [_best([view], starts, centroid, (number,)) for number, view in enumerate(views)]
    if len(views) == 1:
        return alone
    for n, more in enumerate(slack):
        if more is not None:
            alone[n] = replace(alone[n], covariance=alone[n].covariance + more)
            views[n] = PoseEstimate(alone[n].world_from_ct, alone[n].covariance, centroid)
    starts = np.stack([world_from_ct] + [own.world_from_ct for own in alone])

    def together(numbers: tuple[int, ...]) -> tuple[float, Candidate]:
        """Return the largest squared distance of a view's pose from the common one, and the common candidate."""
        joint = _best([views[n] for n in numbers], starts, centroid, numbers)
        far = max(alone[n].squared_error(joint.world_from_ct, centroid) for n in numbers)
        return far, replace(
            joint, agree=bool(far <= WIDER * 2 * scipy.special.gammaincinv(6 / 2, AGREEING_SHARE))
        )

    found = [together(tuple(range(len(views))))[1]]
    while not found[0].agree and len(found[0].views) > 2:
        fewer = itertools.combinations(found[0].views, len(found[0].views) - 1)
        found.insert(0, min((together(numbers) for numbers in fewer), key=lambda pair: pair[0])[1])
    return distinct(found + sorted(alone, key=Candidate.expected_mm), centroid)


def distinct(candidates: Sequence[Candidate], centroid: np.ndarray) -> list[Candidate]:
    """Return the candidates in their order, without those that are nearly the same as an earlier one."""
    kept: list[Candidate] = []
    for candidate in candidates:
        here = candidate.world_from_ct
        if all(distance(here, other.world_from_ct, centroid) > SAME_MM for other in kept):
            kept.append(candidate)
    return kept


def geometry_covariance(
    rotation_sd_deg: float | None,
    translation_sd_mm: float | None,
    centroid: np.ndarray,
    world_from_ct: np.ndarray,
) -> np.ndarray | None:
    """Return the covariance (6, 6) of where the CT seems to be through a camera that is known so well; None for one known exactly.

    The camera turns about the world's origin.

    Parameters
    ----------
    rotation_sd_deg, translation_sd_mm
        See `View`. Where unknown (None), the view counts next to nothing.
    centroid
        (3,) CT mm.
    world_from_ct
        (4, 4), where the CT is.
    """
    if rotation_sd_deg == 0 and translation_sd_mm == 0:
        return None
    turn = MAX_SD[0] if rotation_sd_deg is None else np.radians(rotation_sd_deg)
    shift = MAX_SD[3] if translation_sd_mm is None else translation_sd_mm
    by_turn = np.concatenate(
        [np.eye(3), -rigid.hat(rigid.transform_points(world_from_ct, centroid))]
    )
    covariance = turn**2 * by_turn @ by_turn.T
    covariance[3:, 3:] += shift**2 * np.eye(3)
    return covariance


def descend(
    views: Sequence[Evidence], poses: np.ndarray, centroid: np.ndarray, iterations: int = ITERATIONS
) -> tuple[np.ndarray, NormalEquations]:
    """Return the minima (S, 4, 4) of the summed cost that the method of Levenberg and Marquardt reaches from poses (S, 4, 4)."""
    damping = np.full(len(poses), DAMPING)
    poses = np.array(poses)
    now = _summed(views, poses)
    for _ in range(iterations):
        diagonal = np.einsum("sii->si", now.matrix)
        damped = now.matrix + (damping[:, None] * diagonal)[:, None] * np.eye(6)
        step = np.linalg.solve(damped, now.right[..., None])[..., 0]
        tried = moved(poses, step, centroid)
        there = _summed(views, tried)
        down = there.cost <= now.cost
        damping = np.where(down, np.maximum(damping / 10, 1e-9), damping * 10)
        for kept, found in zip([poses, *now], [tried, *there], strict=True):
            kept[down] = found[down]
        if (np.linalg.norm(step * BY_MM, axis=-1) < TOLERANCE_MM).all():
            break
    return poses, now


def _summed(views: Sequence[Evidence], poses: np.ndarray) -> NormalEquations:
    cost, matrix, right = (
        np.sum(parts, axis=0) for parts in zip(*(view.at(poses) for view in views), strict=True)
    )
    return NormalEquations(cost, matrix + np.diag(MAX_SD**-2.0), right)


def _best(
    views: Sequence[Evidence], starts: np.ndarray, centroid: np.ndarray, numbers: tuple[int, ...]
) -> Candidate:
    if len(starts) > MAX_STARTS:
        poses, equations = descend(views, starts, centroid, FIRST_ITERATIONS)
        starts = poses[np.argsort(equations.cost)[:MAX_STARTS]]
    poses, equations = descend(views, starts, centroid)
    best = int(np.argmin(equations.cost))
    return Candidate(
        poses[best], np.linalg.inv(equations.matrix[best]) + np.diag(MIN_SD**2), numbers
    )


def _starts(world_from_ct: np.ndarray, centroid: np.ndarray) -> np.ndarray:
    """Return the starts (7, 4, 4)."""
    turns = np.radians(TURN_DEG) * np.eye(6)[:3]
    turns = np.concatenate([np.zeros((1, 6)), np.stack([turns, -turns], axis=1).reshape(6, 6)])
    return moved(np.broadcast_to(world_from_ct, (7, 4, 4)), turns, centroid)
