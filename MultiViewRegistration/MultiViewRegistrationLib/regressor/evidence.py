"""What one view's prediction says of the CT's pose, as normal equations: so that votes and poses are fused alike.

Motions are twists (omega, v) about the anatomy's centre c, in the world's axes: x -> c + exp(omega) (x - c) + v, rad and mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera

#: Votes nearer than this share of their scale count as if they were so far: the median of votes has no derivative where it hits one.
NEAR = 0.2
#: Points are kept so far before the source, in mm.
NEAREST_MM = 10.0
#: A pose farther than this from another, in standard deviations, loses weight with the distance (Huber, Ann. Math. Stat. 35, 1964).
USUAL_DISTANCE = 3.5


class Normal(NamedTuple):
    """At poses (S, 4, 4): the cost (S,), and the matrix (S, 6, 6) and right side (S, 6) of the equations for a step to its minimum."""

    cost: np.ndarray
    matrix: np.ndarray
    right: np.ndarray


class Evidence(Protocol):
    """What one view says."""

    def at(self, poses: np.ndarray) -> Normal:
        """The cost of poses world_from_ct (S, 4, 4), a negative log-likelihood up to a constant, linearised for a step from each."""
        ...


@dataclass(frozen=True, eq=False)
class Votes:
    """Where in an image each of several observers believes fixed points of the CT to be, with a Laplace distribution each:

        cost = worth / (2 K observers) sum |vote - projection| / scale,

    which is minimised by iteratively reweighted least squares (Weiszfeld, Tohoku Math. J. 43, 1937). One wrong vote in three does little.

    camera: of the image.   landmarks: (K, 3) CT mm.   centroid: (3,) CT mm, of the anatomy.
    positions: (K, observers, 2) pixels, in the image or not.   scales: (K, observers) pixels, above 0.
    worth: how many votes that err independently tell as much. The votes of a network on one image err together.
    """

    camera: Camera
    landmarks: np.ndarray
    centroid: np.ndarray
    positions: np.ndarray
    scales: np.ndarray
    worth: float

    def at(self, poses: np.ndarray) -> Normal:
        pixels, by_motion = self._projected(poses)
        x, y = (
            here - there[..., None]
            for here, there in zip(self._positions, np.moveaxis(pixels.astype(np.float32), -1, 0), strict=True)
        )
        distance = np.sqrt(x * x + y * y)
        weight = self._inverse_scales / np.maximum(distance, self._least)
        cost = np.einsum("sko,ko->s", distance, self._inverse_scales)
        pull = np.stack([(weight * x).sum(axis=-1), (weight * y).sum(axis=-1)], axis=-1)
        rows = by_motion.reshape(len(poses), -1, 6)
        matrix = np.swapaxes(rows, -1, -2) @ (np.repeat(weight.sum(axis=-1), 2, axis=-1)[..., None] * rows)
        share = self.worth / (
            2 * self.scales.size
        )  # 2: what a median in the plane knows less than a mean, of Laplace's distribution
        return Normal(share * cost, share * matrix, share * (pull.reshape(len(poses), 1, -1) @ rows)[:, 0])

    def joined(self, others: Sequence[Votes]) -> Votes:
        """With the votes of other looks at the same X-ray, by cameras of the same source: they err together, and tell no more than one."""
        carried = [other._carried(self.camera) for other in others]
        return replace(
            self,
            positions=np.concatenate([self.positions, *(positions for positions, _ in carried)], axis=1),
            scales=np.concatenate([self.scales, *(scales for _, scales in carried)], axis=1),
        )

    def _carried(self, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """Positions and scales in the image of another camera of the same source."""
        turn = camera.camera_from_world[:3, :3] @ self.camera.camera_from_world[:3, :3].T
        there_from_here = camera.intrinsics @ turn @ np.linalg.inv(self.camera.intrinsics)
        there = rigid.rotate(
            there_from_here, np.concatenate([self.positions, np.ones_like(self.positions[..., :1])], axis=-1)
        )
        return there[..., :2] / there[..., 2:], self.scales * camera.intrinsics[1, 1] / self.camera.intrinsics[1, 1]

    def _projected(self, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (S, K, 2) of the landmarks, and their derivatives (S, K, 2, 6) by the motion."""
        R = self.camera.camera_from_world[:3, :3]
        world = rigid.transform_points(poses[:, None], self.landmarks)
        x = rigid.transform_points(self.camera.camera_from_world, world)
        depth = np.maximum(x[..., 2:], NEAREST_MM)
        ray = np.concatenate([x[..., :2] / depth, np.ones_like(depth)], axis=-1)
        K = self.camera.intrinsics[:2]
        by_point = (K[:, :2] @ R[:2] - (ray[..., :2] @ K[:, :2].T)[..., None] * R[2]) / depth[..., None]
        lever = world - rigid.transform_points(poses, self.centroid)[:, None]
        return ray @ K.T, np.concatenate([-by_point @ rigid.hat(lever), by_point], axis=-1)

    @cached_property
    def _positions(self) -> np.ndarray:
        """(2, K, observers): of each coordinate, as they lie together."""
        return np.ascontiguousarray(np.moveaxis(self.positions, -1, 0), np.float32)

    @cached_property
    def _inverse_scales(self) -> np.ndarray:
        return np.asarray(1 / self.scales, np.float32)

    @cached_property
    def _least(self) -> np.ndarray:
        return np.asarray(NEAR * self.scales, np.float32)


@dataclass(frozen=True, eq=False)
class Guess:
    """A pose world_from_ct (4, 4) and its covariance (6, 6), of the motion from it to the truth.

    cost = rho(d^2) with d^2 = delta^T covariance^-1 delta / 2, delta the motion from the pose in question to this one: rotation vector
    and shift of the centroid (3,) CT mm.
    """

    world_from_ct: np.ndarray
    covariance: np.ndarray
    centroid: np.ndarray

    def at(self, poses: np.ndarray) -> Normal:
        delta = motion(poses, self.world_from_ct, self.centroid)
        information = np.linalg.inv(self.covariance)
        distance = np.sqrt(np.einsum("si,ij,sj->s", delta, information, delta))
        far = np.maximum(distance / USUAL_DISTANCE, 1)
        cost = np.where(far > 1, USUAL_DISTANCE * (distance - USUAL_DISTANCE / 2), distance**2 / 2)
        by_motion = _difference_by_motion(delta)
        weighted = np.swapaxes(by_motion, -1, -2) @ information / far[:, None, None]
        return Normal(cost, weighted @ by_motion, np.einsum("sij,sj->si", weighted, delta))


def motion(poses: np.ndarray, others: np.ndarray, centroid: np.ndarray) -> np.ndarray:
    """The motions (..., 6) that take poses (..., 4, 4) to others (..., 4, 4): the inverse of `moved`."""
    turn = others[..., :3, :3] @ np.swapaxes(poses[..., :3, :3], -1, -2)
    shift = rigid.transform_points(others, centroid) - rigid.transform_points(poses, centroid)
    return np.concatenate([rigid.log_so3(turn), shift], axis=-1)


def moved(poses: np.ndarray, motions: np.ndarray, centroid: np.ndarray) -> np.ndarray:
    """The poses (..., 4, 4) after motions (..., 6) about where the centroid (3,) CT mm is."""
    step = rigid.from_rotation_translation(rigid.exp_so3(motions[..., :3]), motions[..., 3:])
    return rigid.about(rigid.transform_points(poses, centroid), step) @ poses


def _difference_by_motion(delta: np.ndarray) -> np.ndarray:
    """(S, 6, 6): minus the derivative of `motion(poses, others)` by a motion of the poses.

    log(exp(phi) exp(-epsilon)) = phi - Jr^-1(phi) epsilon, the inverse right Jacobian of SO(3) (Sola et al., arXiv 1812.01537, eq. 144).
    """
    phi = delta[:, :3]
    angle = np.maximum(np.linalg.norm(phi, axis=1), 1e-4)[:, None, None]
    W = rigid.hat(phi)
    result = np.zeros((len(delta), 6, 6))
    result[:, :3, :3] = np.eye(3) + W / 2 + (1 - angle / 2 / np.tan(angle / 2)) / angle**2 * (W @ W)
    result[:, 3:, 3:] = np.eye(3)
    return result
