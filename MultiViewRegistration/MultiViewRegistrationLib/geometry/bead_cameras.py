"""Cameras from points of known place: bundle adjustment over all images, and how well it is known.

Triggs et al., "Bundle adjustment: a modern synthesis" (2000): reprojection errors over their
standard deviations, Cauchy's weights, Levenberg and Marquardt's method on the pose of each camera
and on intrinsics that are known, free, or shared by all images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import rigid
from .camera import Camera

#: Pixels by which a place is uncertain beside its own standard deviation: what no fit knows.
FLOOR_PX = 0.03
#: Standard deviations at which a residual counts half as much.
CAUCHY = 3.0
MAX_STEPS = 40
#: Share of the cost below which a step's gain ends a fit, and one by which beads are named.
SETTLED = 1e-9
ROUGHLY_SETTLED = 1e-4
#: Mm about the middle of the model for which a camera's error is told.
NEAR_MM = 80.0
BOOTSTRAPS = 200
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
        """(3,) of the logarithm of the distance, of column and row: one over their variance."""
        sd = np.array([self.distance_sd_percent / 100, *2 * [self.principal_point_sd_px]])
        return 1 / np.maximum(sd, 1e-9) ** 2


KNOWN = Intrinsics(0.0, 0.0)


def free_intrinsics(size: tuple[int, int], *, shared: bool = False) -> Intrinsics:
    """Return intrinsics of which little is known: within a tenth of the image, and a third."""
    return Intrinsics(0.1 * max(size), 33.0, shared)


@dataclass(frozen=True, eq=False)
class Bundle:
    """Cameras that fit what the images show.

    Attributes
    ----------
    cameras
        In the model's frame.
    seen
        What was fitted.
    residuals
        (n, 2) px of each image, projected less seen.
    weights
        (n,) of each image, 1 for what fits and less for what does not.
    covariance
        Of all parameters: the pose of each camera, as a twist about the middle of its points
        (radians, then mm), then intrinsics, of all cameras or of each.
    scale
        By how much residuals are larger than their standard deviations say, at least 1.
    """

    cameras: list[Camera]
    seen: list[Observation]
    residuals: list[np.ndarray]
    weights: list[np.ndarray]
    covariance: np.ndarray
    scale: float
    problem: _Problem

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
        grid = np.stack(np.meshgrid(*3 * [(-1, 0, 1)], indexing="ij"), axis=-1).reshape(-1, 3)
        away = grid[np.any(grid != 0, axis=1)]
        away = away / np.linalg.norm(away, axis=1, keepdims=True)
        return self.seen[number].points.mean(axis=0) + NEAR_MM * away

    def sd_px(self, number: int) -> float:
        """Return the rms standard deviation in px of where a camera shows points within NEAR_MM of the model."""
        J = derivatives(self.cameras[number], self.places(number), self.problem.pivot(number))
        shown = J @ self.covariance_of(number) @ J.T
        return float(np.sqrt(2 * shown.diagonal().mean()))

    def bootstrap_sd_px(self, number: int, seed: int = 0) -> float:
        """Return what `sd_px` is by residuals drawn again at random (Efron, 1979), each with one step of the fit."""
        rng = np.random.default_rng(seed)
        at = self.problem.at(self.cameras)
        freedom = max(at.residuals.size - at.freedom, 1)
        drawn_from = at.residuals.ravel() * np.sqrt(at.residuals.size / freedom)
        w = np.repeat(np.concatenate(self.weights), 2)
        solve = np.linalg.solve(at.normal(w), at.J.T * w)
        draws = rng.choice(drawn_from, (BOOTSTRAPS, drawn_from.size))
        steps = draws @ solve.T
        J = derivatives(self.cameras[number], self.places(number), self.problem.pivot(number))
        columns = self.problem.columns_of(number)
        shown = steps[:, columns] @ J[:, : len(columns)].T
        return float(np.sqrt(2 * np.mean(shown**2)))

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
    x = rigid.transform_points(camera.camera_from_world, points)
    K = camera.intrinsics
    z = x[:, 2]
    pixels = x @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    of_place = np.zeros((len(x), 2, 3))
    of_place[:, 0, 0] = K[0, 0] / z
    of_place[:, 0, 1] = K[0, 1] / z
    of_place[:, 1, 1] = K[1, 1] / z
    of_place[:, :, 2] = -(pixels - camera.principal_point) / z[:, None]
    turn = of_place @ -rigid.hat(x - pivot)
    distance = (pixels - camera.principal_point)[..., None]
    centre = np.broadcast_to(np.eye(2), (len(x), 2, 2))
    return np.concatenate([turn, of_place, distance, centre], axis=2).reshape(-1, ALL)


def changed(camera: Camera, step: np.ndarray, pivot: np.ndarray) -> Camera:
    """Return a camera after a change (9,), as `derivatives` has it."""
    turn = rigid.from_rotation_translation(rigid.exp_so3(step[:3]), step[3:6])
    K = camera.intrinsics.copy()
    K[:2, :2] *= np.exp(step[6])
    K[:2, 2] += step[7:9]
    return replace(
        camera, intrinsics=K, camera_from_world=rigid.about(pivot, turn) @ camera.camera_from_world
    )


@dataclass(frozen=True, eq=False)
class _Linear:
    """A bundle about one estimate: residuals (m,), their derivatives (m, p), both over their standard deviations, and the prior."""

    residuals: np.ndarray
    J: np.ndarray
    prior: np.ndarray
    off: np.ndarray

    @property
    def freedom(self) -> float:
        """How many parameters the residuals determine."""
        inverse = np.linalg.inv(self.normal(np.ones(len(self.residuals))))
        return float(np.trace(inverse @ (self.J.T @ self.J)))

    def normal(self, weights: np.ndarray) -> np.ndarray:
        """Return the normal equations' matrix (p, p) for weights (m,)."""
        return self.J.T @ (weights[:, None] * self.J) + np.diag(self.prior)


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is fitted, and the cameras with which it began."""

    seen: list[Observation]
    start: list[Camera]
    intrinsics: Intrinsics

    @property
    def count(self) -> int:
        """Parameters of all."""
        if self.intrinsics.known:
            return POSE * len(self.seen)
        return POSE * len(self.seen) + 3 * (1 if self.intrinsics.shared else len(self.seen))

    def columns_of(self, number: int) -> np.ndarray:
        """Return (9,), or (6,) for known intrinsics: which parameters are those of a camera."""
        first = POSE * len(self.seen) + (0 if self.intrinsics.shared else 3 * number)
        own = [] if self.intrinsics.known else range(first, first + 3)
        return np.array([*range(POSE * number, POSE * (number + 1)), *own])

    def pivot(self, number: int) -> np.ndarray:
        """Return the middle (3,) of an image's points, in the frame of the camera with which it began."""
        middle = self.seen[number].points.mean(axis=0)
        return rigid.transform_points(self.start[number].camera_from_world, middle)

    def moved(self, cameras: list[Camera], step: np.ndarray) -> list[Camera]:
        """Return the cameras after a step (p,)."""
        found = []
        for number, camera in enumerate(cameras):
            own = np.zeros(ALL)
            columns = self.columns_of(number)
            own[: len(columns)] = step[columns]
            found.append(changed(camera, own, self.pivot(number)))
        return found

    def at(self, cameras: list[Camera]) -> _Linear:
        """Return the problem about these cameras."""
        residuals = []
        rows = []
        for number, (camera, seen) in enumerate(zip(cameras, self.seen, strict=True)):
            sd = np.repeat(np.hypot(seen.sd_px, FLOOR_PX), 2)
            residuals.append((camera.project(seen.points) - seen.pixels).ravel() / sd)
            columns = self.columns_of(number)
            own = np.zeros((len(sd), self.count))
            J = derivatives(camera, seen.points, self.pivot(number))
            own[:, columns] = J[:, : len(columns)]
            rows.append(own / sd[:, None])
        prior = np.full(self.count, 1e-9)
        off = np.zeros(self.count)
        if not self.intrinsics.known:
            for number, (camera, start) in enumerate(zip(cameras, self.start, strict=True)):
                own = self.columns_of(number)[POSE:]
                prior[own] = self.intrinsics.weights
                scale = np.log(camera.intrinsics[1, 1] / start.intrinsics[1, 1])
                off[own] = [scale, *(camera.principal_point - start.principal_point)]
        return _Linear(np.concatenate(residuals), np.concatenate(rows), prior, off)


def bundle(
    seen: Sequence[Observation],
    cameras: Sequence[Camera],
    intrinsics: Intrinsics,
    settled: float = SETTLED,
) -> Bundle:
    """Return the cameras of least robust reprojection error, from ones nearby.

    Parameters
    ----------
    seen
        What each image shows.
    cameras
        Where to begin, one for each image; their intrinsics are those that `intrinsics` is about.
    settled
        Share of the cost below which a step's gain is the last.
    """
    problem = _Problem(list(seen), list(cameras), intrinsics)
    if intrinsics.shared and not intrinsics.known:
        K = np.mean([camera.intrinsics for camera in cameras], axis=0)
        problem = replace(problem, start=[replace(camera, intrinsics=K) for camera in cameras])
    now = problem.start
    at = problem.at(now)
    damping = 1e-4
    for _ in range(MAX_STEPS):
        weights = np.repeat(_cauchy(at.residuals), 2)
        normal = at.normal(weights)
        gradient = at.J.T @ (weights * at.residuals) + at.prior * at.off
        scaled = normal + damping * np.diag(normal.diagonal())
        step = -np.linalg.solve(scaled, gradient)
        trial = problem.moved(now, step)
        pairs = zip(trial, seen, strict=True)
        behind = any((camera.depth(one.points) <= 0).any() for camera, one in pairs)
        at_trial = at if behind else problem.at(trial)
        gain = _cost(at) - _cost(at_trial)
        if gain > 0:
            now = trial
            at = at_trial
            damping = max(damping / 10, 1e-9)
            if gain < settled * (1 + _cost(at)):
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    return _with_uncertainty(problem, now, at)


def _with_uncertainty(problem: _Problem, cameras: list[Camera], at: _Linear) -> Bundle:
    weights = _cauchy(at.residuals)
    both = np.repeat(weights, 2)
    freedom = max(both.sum() - at.freedom, 1.0)
    scale = max(1.0, float(np.sqrt(np.sum(both * at.residuals**2) / freedom)))
    residuals = []
    split = []
    first = 0
    for camera, seen in zip(cameras, problem.seen, strict=True):
        residuals.append(camera.project(seen.points) - seen.pixels)
        split.append(weights[first : first + len(seen.points)])
        first += len(seen.points)
    # The prior is not made wider by residuals that are larger than expected.
    inside = at.J.T @ (both[:, None] * at.J) / scale**2 + np.diag(at.prior)
    covariance = np.linalg.inv(inside)
    return Bundle(cameras, problem.seen, residuals, split, covariance, scale, problem)


def _cauchy(residuals: np.ndarray) -> np.ndarray:
    """Return the weights (n,) of points whose residuals (2 n,) are in standard deviations."""
    squared = np.square(residuals).reshape(-1, 2).sum(axis=1)
    return 1 / (1 + squared / CAUCHY**2)


def _cost(at: _Linear) -> float:
    squared = np.square(at.residuals).reshape(-1, 2).sum(axis=1)
    return float(np.sum(CAUCHY**2 * np.log1p(squared / CAUCHY**2)) + np.sum(at.prior * at.off**2))


def fitted_pose(seen: Observation, camera: Camera, *, free_intrinsics: bool) -> Camera:
    """Return about the camera that fits what one image shows, from one nearby.

    Parameters
    ----------
    free_intrinsics
        Whether they may change, or the pose alone.
    """
    size = camera.size
    known = Intrinsics(0.03 * max(size), 15.0) if free_intrinsics else KNOWN
    return bundle([seen], [camera], known, settled=ROUGHLY_SETTLED).cameras[0]
