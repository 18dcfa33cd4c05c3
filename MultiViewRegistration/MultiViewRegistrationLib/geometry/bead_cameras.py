"""Cameras from points of known place: bundle adjustment over all images, and how well it is known.

Triggs et al., "Bundle adjustment: a modern synthesis" (2000): reprojection errors over their
standard deviations, with Cauchy's loss, by the pose of each camera and by intrinsics that are
known, free, or shared by all images. SciPy finds the least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from . import rigid
from .camera import Camera

#: Pixels by which a place is uncertain beside its own standard deviation: what no fit knows.
FLOOR_PX = 0.03
#: Standard deviations at which a residual counts half as much.
CAUCHY = 3.0
#: SciPy's losses: the first from afar, where Cauchy's has no slope.
ROUGH = "soft_l1"
FINE = "cauchy"
MAX_STEPS = 40
#: Share of the cost below which a step's gain ends a fit, and one by which beads are named.
SETTLED = 1e-9
ROUGHLY_SETTLED = 1e-4
#: Mm about the middle of the model for which a camera's error is told.
NEAR_MM = 80.0
#: In place of what nothing determines, so that there is a covariance.
LEAST_INFORMATION = 1e-9
#: Numbers of a pose, and with them those of intrinsics: logarithm of the distance, column and row
#: of the principal point.
POSE = 6
ALL = 9


@dataclass(frozen=True, eq=False)
class Observation:
    """Points of known place in one image.

    Attributes
    ----------
    points
        (n, 3) in the model's frame, mm.
    pixels
        (n, 2) where the image shows them.
    sd_px
        (n,) standard deviation of each along each axis.
    """

    points: np.ndarray
    pixels: np.ndarray
    sd_px: np.ndarray


@dataclass(frozen=True)
class Intrinsics:
    """How well principal point and distance are known before: their standard deviations.

    Attributes
    ----------
    principal_point_sd_px
        Along each axis; 0 for known.
    distance_sd_percent
        Of the distance from source to detector; 0 for known.
    shared
        Whether all images have the same.
    """

    principal_point_sd_px: float
    distance_sd_percent: float
    shared: bool = False

    @property
    def known(self) -> bool:
        """Whether nothing is to be found."""
        return self.principal_point_sd_px == 0 and self.distance_sd_percent == 0

    @property
    def weights(self) -> np.ndarray:
        """(3,) of the logarithm of the distance, of column and row: one over their standard deviation."""
        sd = np.array([self.distance_sd_percent / 100, *2 * [self.principal_point_sd_px]])
        return 1 / np.maximum(sd, 1e-9)


KNOWN = Intrinsics(0.0, 0.0)


def free_intrinsics(size: tuple[int, int], *, shared: bool = False) -> Intrinsics:
    """Return intrinsics of which little is known: within a tenth of the image, and a third."""
    return Intrinsics(0.1 * max(size), 33.0, shared)


@dataclass(frozen=True, eq=False)
class Bundle:
    """Cameras that fit what the images show.

    Attributes
    ----------
    problem
        What was fitted, as it is at the fit.
    residuals
        (n, 2) px of each image, projected less seen.
    weights
        (n,) of each image, 1 for what fits and less for what does not.
    covariance
        Of all parameters: the pose of each camera, as a twist about the middle of its points
        (radians, then mm), then intrinsics, of all cameras or of each.
    """

    problem: _Problem
    residuals: list[np.ndarray]
    weights: list[np.ndarray]
    covariance: np.ndarray

    @property
    def cameras(self) -> list[Camera]:
        """In the model's frame."""
        return self.problem.start

    @property
    def rms_px(self) -> list[float]:
        """Weighted rms distance of each image."""
        return [
            float(np.sqrt(np.sum(w * np.square(r).sum(axis=1)) / np.sum(w)))
            for r, w in zip(self.residuals, self.weights, strict=True)
        ]

    def covariance_of(self, number: int) -> np.ndarray:
        """Return the covariance (9, 9) of one camera: its pose about the middle of its points, and its intrinsics, of known ones 0."""
        columns = self.problem.columns_of(number)
        covariance = np.zeros((ALL, ALL))
        own = slice(len(columns))
        covariance[own, own] = self.covariance[np.ix_(columns, columns)]
        return covariance

    def places(self, number: int) -> np.ndarray:
        """Return points (26, 3) of the model's frame, NEAR_MM about the middle of what an image shows."""
        grid = rigid.grid_points(*3 * [(-1, 0, 1)])
        away = grid[np.any(grid != 0, axis=1)]
        away = rigid.unit(away)
        return self.problem.seen[number].points.mean(axis=0) + NEAR_MM * away

    def sd_px(self, number: int) -> float:
        """Return the rms standard deviation in px of where a camera shows points within NEAR_MM of the model."""
        J = derivatives(self.cameras[number], self.places(number), self.problem.pivot(number))
        shown = J @ self.covariance_of(number) @ J.T
        return float(np.sqrt(2 * shown.diagonal().mean()))

    def equivalent(self, number: int) -> dict[str, float]:
        """Return the standard deviations of a camera as a case.json has them.

        A pose that makes up for wrong intrinsics is no error of what the image shows near the model.
        So they are those of the pose alone that moves points within NEAR_MM as much as all
        together do; what no pose explains is put down to the principal point.
        """
        points = self.places(number)
        camera = self.cameras[number]
        origin = rigid.transform_points(camera.camera_from_world, np.zeros(3))
        J = derivatives(camera, points, self.problem.pivot(number))
        shown = J @ self.covariance_of(number) @ J.T
        pose = derivatives(camera, points, origin)[:, :POSE]
        inverse = np.linalg.pinv(pose)
        moved = inverse @ shown @ inverse.T
        left = np.eye(len(pose)) - pose @ inverse
        rest = (left @ shown @ left.T).diagonal().mean()
        rotation = moved.diagonal()[:3].mean()
        translation = moved.diagonal()[3:].mean()
        return {
            "rotation_sd_deg": float(np.degrees(np.sqrt(rotation))),
            "translation_sd_mm": float(np.sqrt(translation)),
            "principal_point_sd_px": float(np.sqrt(max(rest, 0.0))),
            "distance_sd_percent": 0.0,
        }


def derivatives(camera: Camera, points: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Return (2 n, 9): by how much the pixels of points (n, 3) change with a camera.

    Parameters
    ----------
    pivot
        (3,) in the camera's frame, mm, about which its pose turns.

    Notes
    -----
    The columns are a twist of camera_from_world about the pivot, the logarithm of the distance from
    source to detector, and column and row of the principal point.
    """
    J = camera.jacobians(points)
    of_place = J[..., :3] @ camera.camera_from_world[:3, :3].T
    away = rigid.transform_points(camera.camera_from_world, points) - pivot
    turn = of_place @ -rigid.hat(away)
    return np.concatenate([turn, of_place, J[..., 3:]], axis=2).reshape(-1, ALL)


def changed(camera: Camera, step: np.ndarray, pivot: np.ndarray) -> Camera:
    """Return a camera after a change (9,), as `derivatives` has it."""
    pose = rigid.moved(camera.camera_from_world, step[:6], pivot)
    return replace(camera.corrected(np.exp(step[6]), step[7:9]), camera_from_world=pose)


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is fitted, and the cameras with which it begins.

    Its numbers are a change of each camera's pose, as `derivatives` has it, and of the intrinsics,
    those of all cameras or of each.
    """

    seen: list[Observation]
    start: list[Camera]
    intrinsics: Intrinsics

    @cached_property
    def prior(self) -> np.ndarray:
        """(k,) of the changes of intrinsics: one over their standard deviations."""
        if self.intrinsics.known:
            return np.zeros(0)
        return np.tile(self.intrinsics.weights, 1 if self.intrinsics.shared else len(self.seen))

    @property
    def first(self) -> int:
        """The first number of intrinsics."""
        return POSE * len(self.seen)

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self.first + len(self.prior)

    def columns_of(self, number: int) -> np.ndarray:
        """Return (9,), or (6,) for known intrinsics: which parameters are those of a camera."""
        first = self.first + (0 if self.intrinsics.shared else 3 * number)
        own = [] if self.intrinsics.known else range(first, first + 3)
        return np.array([*range(POSE * number, POSE * (number + 1)), *own])

    def pivot(self, number: int) -> np.ndarray:
        """Return the middle (3,) of an image's points, in the frame of the camera with which it began."""
        middle = self.seen[number].points.mean(axis=0)
        return rigid.transform_points(self.start[number].camera_from_world, middle)

    def cameras(self, numbers: np.ndarray) -> list[Camera]:
        """Return the cameras after a change."""
        found = []
        for number, camera in enumerate(self.start):
            own = np.zeros(ALL)
            columns = self.columns_of(number)
            own[: len(columns)] = numbers[columns]
            found.append(changed(camera, own, self.pivot(number)))
        return found

    def residuals(self, numbers: np.ndarray) -> np.ndarray:
        """Return (m + k,): how far points are from where they are seen, and intrinsics from the start, in standard deviations.

        Infinite of a point behind the source: SciPy takes a smaller step then.
        """
        parts = []
        for camera, seen in zip(self.cameras(numbers), self.seen, strict=True):
            off = camera.project(seen.points) - seen.pixels
            off[camera.depth(seen.points) <= 0] = np.inf
            parts.append((off / _sd(seen)).ravel())
        return np.concatenate([*parts, self.prior * numbers[self.first :]])

    def jacobian(self, numbers: np.ndarray) -> np.ndarray:
        """Return the derivatives (m + k, p) of the residuals."""
        rows = []
        for number, (camera, seen) in enumerate(zip(self.cameras(numbers), self.seen, strict=True)):
            columns = self.columns_of(number)
            turn, shift = np.split(numbers[columns[:POSE]], 2)
            J = derivatives(camera, seen.points, self.pivot(number) + shift)
            J[:, :3] = J[:, :3] @ rigid.left_jacobian(turn)
            own = np.zeros((len(J), self.count))
            own[:, columns] = J[:, : len(columns)] / np.repeat(_sd(seen), 2, axis=0)
            rows.append(own)
        rows.append(np.diag([*np.zeros(self.first), *self.prior])[self.first :])
        return np.concatenate(rows)

    @cached_property
    def of_points(self) -> np.ndarray:
        """(m, p), the derivatives of the points' residuals at the start."""
        return self.jacobian(np.zeros(self.count))[: -len(self.prior) or None]

    def information(self, weights: np.ndarray) -> np.ndarray:
        """Return the inverse (p, p) of the covariance for weights (m,) of the points' residuals."""
        J = self.of_points
        information = J.T @ (weights[:, None] * J) + LEAST_INFORMATION * np.eye(self.count)
        return information + np.diag([*np.zeros(self.first), *self.prior**2])

    @property
    def freedom(self) -> float:
        """How many numbers the points determine."""
        J = self.of_points
        return float(np.trace(np.linalg.solve(self.information(np.ones(len(J))), J.T @ J)))


def _sd(seen: Observation) -> np.ndarray:
    return np.hypot(seen.sd_px, FLOOR_PX)[:, None]


def bundle(
    seen: Sequence[Observation], cameras: Sequence[Camera], intrinsics: Intrinsics
) -> Bundle:
    """Return the cameras of least robust reprojection error, from ones nearby.

    Parameters
    ----------
    seen
        What each image shows.
    cameras
        Where to begin, one for each image; their intrinsics are those that `intrinsics` is about.
    """
    problem = _Problem(list(seen), list(cameras), intrinsics)
    if intrinsics.shared and not intrinsics.known:
        K = np.mean([camera.intrinsics for camera in cameras], axis=0)
        problem = replace(problem, start=[replace(camera, intrinsics=K) for camera in cameras])
    near = _fitted(problem, np.zeros(problem.count), ROUGH, SETTLED)
    cameras = problem.cameras(_fitted(problem, near, FINE, SETTLED))
    return _with_uncertainty(replace(problem, start=cameras))


def _fitted(problem: _Problem, numbers: np.ndarray, loss: str, settled: float) -> np.ndarray:
    """Return the numbers that fit best, from ones nearby."""
    from scipy.optimize import least_squares  # slow to import

    return least_squares(
        problem.residuals,
        numbers,
        problem.jacobian,
        x_scale="jac",
        loss=loss,
        f_scale=CAUCHY,
        ftol=settled,
        max_nfev=MAX_STEPS,
    ).x


def _with_uncertainty(problem: _Problem) -> Bundle:
    """Return the cameras with which a problem begins, which are those that fit best."""
    pairs = list(zip(problem.start, problem.seen, strict=True))
    residuals = [camera.project(seen.points) - seen.pixels for camera, seen in pairs]
    standard = [off / _sd(seen) for off, seen in zip(residuals, problem.seen, strict=True)]
    weights = [_cauchy(each) for each in standard]
    both = np.repeat(np.concatenate(weights), 2)
    freedom = max(both.sum() - problem.freedom, 1.0)
    # By how much residuals are larger than their standard deviations say.
    scale = max(1.0, np.sum(both * np.concatenate(standard).ravel() ** 2) / freedom)
    # The prior is not made wider by them.
    covariance = np.linalg.inv(problem.information(both / scale))
    return Bundle(problem, residuals, weights, covariance)


def _cauchy(residuals: np.ndarray) -> np.ndarray:
    """Return the weights (n,) of points whose residuals (n, 2) are in standard deviations."""
    return 1 / (1 + np.square(residuals).sum(axis=1) / CAUCHY**2)


def fitted_pose(seen: Observation, camera: Camera, *, free_intrinsics: bool) -> Camera:
    """Return about the camera that fits what one image shows, from one nearby.

    Parameters
    ----------
    free_intrinsics
        Whether they may change, or the pose alone.
    """
    size = camera.size
    known = Intrinsics(0.03 * max(size), 15.0) if free_intrinsics else KNOWN
    problem = _Problem([seen], [camera], known)
    numbers = _fitted(problem, np.zeros(problem.count), ROUGH, ROUGHLY_SETTLED)
    return problem.cameras(numbers)[0]
