"""The pose of known points from rays on which they lie, of any number of cameras together, without a start.

In coordinates x = (X, Y, Z) of a camera and with m = (X, Y) / Z a point's normalised image position, X - m_x Z and
Y - m_y Z are 0 at the true pose. In the world that is A (R x_ct + t) + b = 0, with A (2, 3) and b (2,) known for each
position: linear in R and t, in mm across the ray at the point's depth (Lu, Hager and Mjolsness, IEEE TPAMI 22(6), 2000).
It makes no difference which camera a row belongs to, so one view or several, coplanar points or not, are one problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import rigid
from .camera import Camera

PLACED_MM = 2.0
"""How well a landmark is placed: residuals well above this lose their weight."""
FAR_MM = 1000.0
"""Where a point behind its source is taken to be."""
SAMPLE = 4
"""Positions that determine a pose: three leave up to eight answers."""
SAMPLES = 64
"""With 30 % mismatches, 15 samples of 4 without one are to be expected among so many."""
REFINED = 5
ITERATIONS = 12
#: Poses that differ by less than this at the centre of the landmarks are one answer.
SAME_DEG, SAME_MM = 2.0, 2.0


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions of n landmarks in images: one row for each landmark and view.

    points: (n, 3) CT mm.   landmark: (n,) which landmark a row is of.   pixels: (n, 2).   cameras: n.
    """

    points: np.ndarray
    landmark: np.ndarray
    pixels: np.ndarray
    cameras: Sequence[Camera]

    @cached_property
    def camera_from_world(self) -> np.ndarray:
        """(n, 4, 4) of each position's camera."""
        return np.stack([camera.camera_from_world for camera in self.cameras])

    @cached_property
    def centre(self) -> np.ndarray:
        """(3,) CT mm: a point amid the landmarks, wherever a few wrong ones lie."""
        return np.median(self.points, axis=0)

    @cached_property
    def radius(self) -> float:
        """Their median distance in mm from it, by which an angle weighs."""
        return float(max(np.median(np.linalg.norm(self.points - self.centre, axis=1)), 1.0))

    def in_cameras(self, poses: np.ndarray) -> np.ndarray:
        """(..., n, 3) mm: the points in the frame of the camera that sees each, for poses (..., 4, 4)."""
        world = rigid.transform_points(poses[..., None, :, :], self.points)
        return rigid.transform_points(self.camera_from_world, world)

    def offsets(self, poses: np.ndarray) -> np.ndarray:
        """(..., n, 2) mm from the ray at each point's depth."""
        x = self.in_cameras(poses)
        return x[..., :2] - self.normalised * x[..., 2:]

    def distances(self, poses: np.ndarray) -> np.ndarray:
        """(..., n) mm from the ray at each point's depth; infinite for a point behind its source."""
        return np.where(self.in_cameras(poses)[..., 2] > 0, np.linalg.norm(self.offsets(poses), axis=-1), np.inf)

    @cached_property
    def normalised(self) -> np.ndarray:
        """(n, 2) the pixels as (X, Y) / Z in the cameras' frames, mirrored images or not."""
        homogeneous = np.concatenate([self.pixels, np.ones((len(self.pixels), 1))], axis=1)
        return np.stack([np.linalg.solve(c.intrinsics, h) for c, h in zip(self.cameras, homogeneous)])[:, :2]

    def equations(self) -> tuple[np.ndarray, np.ndarray]:
        """A (n, 2, 3) and b (n, 2) with A @ x_world + b = 0 for a point x_world on its ray, in mm."""
        m = self.normalised
        across = np.concatenate([np.broadcast_to(np.eye(2), (len(m), 2, 2)), -m[..., None]], axis=2)
        return across @ self.camera_from_world[:, :3, :3], np.einsum(
            "nij,nj->ni", across, self.camera_from_world[:, :3, 3]
        )


def robust_poses(positions: Positions, seed: int = 0) -> list[np.ndarray]:
    """Distinct poses (4, 4) world_from_ct, that with the lowest robust cost first; usually one stands out.

    Poses of all positions and of random samples of four are scored over all positions by Cauchy's robust cost; the
    best ones are refined by it
    over all (RANSAC with local optimisation: Fischler and Bolles 1981, Chum et al. 2003). The same seed gives the same poses.

    Parameters
    ----------
    positions : four or more, of three landmarks that are not on one line.
    """
    whole = np.arange(len(positions.points))[None]
    samples = _samples(positions.landmark, np.random.default_rng(seed))
    poses = np.concatenate([_solved(positions, rows) for rows in (whole, samples)])
    chosen = distinct(positions, poses[np.argsort(_cost(positions, poses), kind="stable")])
    found = np.stack([refined(positions, pose, loss="cauchy") for pose in chosen])
    return distinct(positions, found[np.argsort(_cost(positions, found), kind="stable")])


def refined(positions: Positions, pose: np.ndarray, loss: str = "linear") -> np.ndarray:
    """The pose (4, 4) with the least reprojection error, from one nearby.

    The error is that in the image, taken to mm at the depth where each point lies at first: with the depth left free, noise would draw the
    points to the source.

    Parameters
    ----------
    pose : (4, 4), the one nearby.
    loss : as in scipy.optimize.least_squares, on the scale of PLACED_MM.
    """
    from scipy.optimize import least_squares  # slow to import, and only landmarks and votes need it

    m, depth = positions.normalised, positions.in_cameras(pose)[:, 2:]
    pivot = rigid.transform_points(pose, positions.centre)

    def moved(twist: np.ndarray) -> np.ndarray:
        turn = rigid.exp_so3(twist[:3] / positions.radius)
        return rigid.about(pivot, rigid.from_rotation_translation(turn, twist[3:])) @ pose

    def residuals(twist: np.ndarray) -> np.ndarray:
        x = positions.in_cameras(moved(twist))
        return ((x[:, :2] / np.maximum(x[:, 2:], 1.0) - m) * depth).ravel()

    return moved(least_squares(residuals, np.zeros(6), loss=loss, f_scale=PLACED_MM, xtol=1e-10).x)


def _samples(landmark: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(up to SAMPLES, SAMPLE) rows, of three landmarks or more each."""
    drawn = np.sort(np.argsort(rng.random((16 * SAMPLES, len(landmark))), axis=1)[:, :SAMPLE], axis=1)
    kinds = np.sort(landmark[drawn], axis=1)
    drawn = drawn[(np.diff(kinds, axis=1) > 0).sum(axis=1) >= 2]
    _, first = np.unique(drawn, axis=0, return_index=True)
    return drawn[np.sort(first)[:SAMPLES]]


def _solved(positions: Positions, rows: np.ndarray) -> np.ndarray:
    """(N, 4, 4): poses of the samples `rows` (S, k), from the 24 rotations of the cube each.

    Gauss-Newton on rotation and translation; the start's translation is the best one for its rotation. A little of
    the diagonal is added to the normal equations, as a sample may leave a direction undetermined.
    """
    from scipy.spatial.transform import Rotation  # slow to import, too

    A, b = (part[rows][:, None] for part in positions.equations())  # (S, 1, k, 2, 3) and (S, 1, k, 2)
    centre, radius = positions.centre, positions.radius
    points = (positions.points - centre)[rows][:, None]
    poses = len(rows), 24
    flat_A = np.broadcast_to(A, (*poses, *A.shape[2:])).reshape(*poses, -1, 3)

    def across(points: np.ndarray) -> np.ndarray:
        """(S, 24, 2 k) mm from the rays."""
        return ((A @ points[..., None])[..., 0] + b).reshape(*poses, -1)

    R = np.broadcast_to(Rotation.create_group("O").as_matrix(), (*poses, 3, 3))
    t = _least_squares_step(flat_A, across(_turned(R, points)), 1e-9)
    for _ in range(ITERATIONS):
        turned = _turned(R, points)
        turn = (-A @ rigid.hat(turned / radius)).reshape(*poses, -1, 3)
        step = _least_squares_step(np.concatenate([turn, flat_A], axis=-1), across(turned + t[:, :, None]), 1e-3)
        R = rigid.exp_so3(step[..., :3] / radius) @ R
        t = t + step[..., 3:]
    return rigid.from_rotation_translation(R, t - rigid.rotate(R, centre)).reshape(-1, 4, 4)


def _turned(R: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, 24, k, 3) from rotations (S, 24, 3, 3) and points (S, 1, k, 3)."""
    return points @ np.swapaxes(R, -1, -2)


def _least_squares_step(J: np.ndarray, e: np.ndarray, damping: float) -> np.ndarray:
    """(..., p): by how much to change the parameters of residuals e (..., n) with derivatives J (..., n, p)."""
    transposed = np.swapaxes(J, -1, -2)
    return -np.linalg.solve(transposed @ J + damping * np.eye(J.shape[-1]), transposed @ e[..., None])[..., 0]


def _cost(positions: Positions, poses: np.ndarray) -> np.ndarray:
    """(N,) Cauchy's cost of poses (N, 4, 4)."""
    return np.log1p((positions.distances(poses).clip(max=FAR_MM) / PLACED_MM) ** 2).sum(axis=-1)


def distinct(positions: Positions, poses: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """The first REFINED poses in their order, without those that are nearly the same as an earlier one."""
    to_centre = rigid.from_rotation_translation(np.eye(3), positions.centre)
    kept: list[np.ndarray] = []
    for pose in np.asarray(poses) @ to_centre:
        if all(
            np.degrees(rigid.rotation_distance(pose, other)) > SAME_DEG
            or rigid.translation_distance(pose, other) > SAME_MM
            for other in kept
        ):
            kept.append(pose)
        if len(kept) == REFINED:
            break
    return [pose @ rigid.inverse(to_centre) for pose in kept]
