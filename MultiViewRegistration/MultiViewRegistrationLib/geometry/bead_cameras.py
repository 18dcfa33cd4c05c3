"""Cameras from points of known place: bundle adjustment over all images, and how well it is known.

Triggs et al., "Bundle adjustment: a modern synthesis" (2000): reprojection errors over their
standard deviations, Cauchy's weights, Levenberg and Marquardt's method on the pose of each camera,
on intrinsics that are known, free, or shared by all images, and on points that are known roughly.
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
SETTLED, ROUGHLY_SETTLED = 1e-9, 1e-4
#: Mm about the middle of the model for which a camera's error is told.
NEAR_MM = 80.0
BOOTSTRAPS = 200
#: Numbers of a pose, and with them those of intrinsics: logarithm of the distance, column and row
#: of the principal point.
POSE, ALL = 6, 9
#: Weight, per mm^2, by which a model of rough shape stays where it was on the whole.
CHOSEN = 1e6


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
    numbers
        (n,) of the points in the model, where its shape is known roughly.
    """

    points: np.ndarray
    pixels: np.ndarray
    sd_px: np.ndarray
    numbers: np.ndarray | None = None


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


@dataclass(frozen=True, eq=False)
class RoughShape:
    """A model of which each point is known roughly.

    Attributes
    ----------
    points
        (m, 3) mm.
    sd_mm
        Standard deviation of each along each axis.
    scale_sd
        Of how large the whole is, as a share, None where the points alone tell it.
    """

    points: np.ndarray
    sd_mm: float
    scale_sd: float | None = None


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
        (radians, then mm), then intrinsics, of all cameras or of each, then the model's points.
    scale
        By how much residuals are larger than their standard deviations say, at least 1.
    points
        (m, 3) of a model whose shape was known roughly, none of another.
    """

    cameras: list[Camera]
    seen: list[Observation]
    residuals: list[np.ndarray]
    weights: list[np.ndarray]
    covariance: np.ndarray
    scale: float
    problem: _Problem
    points: np.ndarray

    @property
    def rms_px(self) -> list[float]:
        """Weighted rms distance of each image."""
        return [
            float(np.sqrt(np.sum(w * np.square(r).sum(axis=1)) / np.sum(w)))
            for r, w in zip(self.residuals, self.weights, strict=True)
        ]

    @property
    def point_sd_mm(self) -> float:
        """Standard deviation along each axis of the least known point of a model of rough shape, but for its scale."""
        first, away = self.problem.first_point, self.points - self.points.mean(axis=0)
        grown = (away / np.linalg.norm(away)).ravel()
        in_proportion = np.eye(away.size) - np.outer(grown, grown)
        variance = in_proportion @ self.covariance[first:, first:] @ in_proportion
        return float(np.sqrt(variance.diagonal().reshape(-1, 3).mean(axis=1).max()))

    def covariance_of(self, number: int) -> np.ndarray:
        """Return the covariance (9, 9) of one camera: its pose about the middle of its points, and its intrinsics."""
        columns = self.problem.columns_of(number)
        return self.covariance[np.ix_(columns, columns)]

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
        at = self.problem.at(self.cameras, self.points)
        freedom = max(at.residuals.size - at.freedom, 1)
        drawn_from = at.residuals.ravel() * np.sqrt(at.residuals.size / freedom)
        w = np.repeat(np.concatenate(self.weights), 2)
        solve = np.linalg.solve(at.normal(w), at.J.T * w)
        draws = rng.choice(drawn_from, (BOOTSTRAPS, drawn_from.size))
        steps = draws @ solve.T
        J = derivatives(self.cameras[number], self.places(number), self.problem.pivot(number))
        shown = steps[:, self.problem.columns_of(number)] @ J.T
        return float(np.sqrt(2 * np.mean(shown**2)))

    def equivalent(self, number: int) -> dict[str, float]:
        """Return the standard deviations of a camera as a case.json has them.

        A pose that makes up for wrong intrinsics is no error of what the image shows near the model.
        So they are those of the pose alone that moves points within NEAR_MM as much as all
        together do; what no pose explains is put down to the principal point.
        """
        points, camera = self.places(number), self.cameras[number]
        origin = rigid.transform_points(camera.camera_from_world, np.zeros(3))
        J = derivatives(camera, points, self.problem.pivot(number))
        shown = J @ self.covariance_of(number) @ J.T
        pose = derivatives(camera, points, origin)[:, :POSE]
        inverse = np.linalg.pinv(pose)
        moved = inverse @ shown @ inverse.T
        left = np.eye(len(pose)) - pose @ inverse
        rest = (left @ shown @ left.T).diagonal().mean()
        rotation, translation = moved.diagonal()[:3].mean(), moved.diagonal()[3:].mean()
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
    K, z = camera.intrinsics, x[:, 2]
    pixels = x @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    of_place = np.zeros((len(x), 2, 3))
    of_place[:, 0, 0], of_place[:, 0, 1], of_place[:, 1, 1] = K[0, 0] / z, K[0, 1] / z, K[1, 1] / z
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
    shape: RoughShape | None = None

    @property
    def first_point(self) -> int:
        """Parameters before those of the model's points."""
        images = len(self.seen)
        own = 0 if self.intrinsics.known else 3 if self.intrinsics.shared else 3 * images
        return POSE * images + own

    @property
    def count(self) -> int:
        """Parameters of all."""
        return self.first_point + (0 if self.shape is None else self.shape.points.size)

    def columns_of(self, number: int) -> np.ndarray:
        """Return (9,), or (6,) for known intrinsics: which parameters are those of a camera."""
        first = POSE * len(self.seen) + (0 if self.intrinsics.shared else 3 * number)
        own = [] if self.intrinsics.known else range(first, first + 3)
        return np.array([*range(POSE * number, POSE * (number + 1)), *own])

    def pivot(self, number: int) -> np.ndarray:
        """Return the middle (3,) of an image's points, in the frame of the camera with which it began."""
        middle = self.seen[number].points.mean(axis=0)
        return rigid.transform_points(self.start[number].camera_from_world, middle)

    def points_after(self, points: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the model's points (m, 3) after a step (p,)."""
        return points if self.shape is None else points + step[self.first_point :].reshape(-1, 3)

    def points_of(self, number: int, points: np.ndarray) -> np.ndarray:
        """Return the points (n, 3) that an image shows, of the model's (m, 3)."""
        seen = self.seen[number]
        return seen.points if seen.numbers is None else points[seen.numbers]

    def moved(self, cameras: list[Camera], step: np.ndarray) -> list[Camera]:
        """Return the cameras after a step (p,)."""
        found = []
        for number, camera in enumerate(cameras):
            own = np.zeros(ALL)
            columns = self.columns_of(number)
            own[: len(columns)] = step[columns]
            found.append(changed(camera, own, self.pivot(number)))
        return found

    def at(self, cameras: list[Camera], model: np.ndarray) -> _Linear:
        """Return the problem about these cameras and points (m, 3) of the model."""
        residuals, rows = [], []
        for number, (camera, seen) in enumerate(zip(cameras, self.seen, strict=True)):
            points = self.points_of(number, model)
            sd = np.repeat(np.hypot(seen.sd_px, FLOOR_PX), 2)
            residuals.append((camera.project(points) - seen.pixels).ravel() / sd)
            columns = self.columns_of(number)
            own = np.zeros((len(sd), self.count))
            J = derivatives(camera, points, self.pivot(number))
            own[:, columns] = J[:, : len(columns)]
            if seen.numbers is not None:
                # A point that moves in the model moves as a twist's translation does in the camera.
                along = J[:, 3:POSE] @ camera.camera_from_world[:3, :3]
                for row, point in enumerate(seen.numbers):
                    first = self.first_point + 3 * point
                    own[2 * row : 2 * row + 2, first : first + 3] = along[2 * row : 2 * row + 2]
            rows.append(own / sd[:, None])
        prior, off = np.full(self.count, 1e-9), np.zeros(self.count)
        if self.shape is not None:
            prior[self.first_point :] = self.shape.sd_mm**-2
            off[self.first_point :] = (model - self.shape.points).ravel()
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
    shape: RoughShape | None = None,
    settled: float = SETTLED,
) -> Bundle:
    """Return the cameras of least robust reprojection error, from ones nearby.

    Parameters
    ----------
    seen
        What each image shows.
    cameras
        Where to begin, one for each image; their intrinsics are those that `intrinsics` is about.
    shape
        Of the model, where it is found with the cameras; what is seen has its numbers then. No
        image shows how large it is, nor where it lies: on the whole it stays where it was.
    settled
        Share of the cost below which a step's gain is the last.
    """
    problem = _Problem(list(seen), list(cameras), intrinsics, shape)
    if intrinsics.shared and not intrinsics.known:
        K = np.mean([camera.intrinsics for camera in cameras], axis=0)
        problem = replace(problem, start=[replace(camera, intrinsics=K) for camera in cameras])
    now, points = problem.start, np.empty((0, 3)) if shape is None else shape.points
    at, damping = problem.at(now, points), 1e-4
    for _ in range(MAX_STEPS):
        weights = np.repeat(_cauchy(at.residuals), 2)
        normal = at.normal(weights)
        gradient = at.J.T @ (weights * at.residuals) + at.prior * at.off
        scaled = normal + damping * np.diag(normal.diagonal())
        step = -np.linalg.solve(scaled, gradient)
        trial, moved = problem.moved(now, step), problem.points_after(points, step)
        behind = any(
            (camera.depth(problem.points_of(number, moved)) <= 0).any()
            for number, camera in enumerate(trial)
        )
        at_trial = at if behind else problem.at(trial, moved)
        gain = _cost(at) - _cost(at_trial)
        if gain > 0:
            now, points, at, damping = trial, moved, at_trial, max(damping / 10, 1e-9)
            if gain < settled * (1 + _cost(at)):
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    return _with_uncertainty(problem, now, points, at)


def _with_uncertainty(
    problem: _Problem, cameras: list[Camera], points: np.ndarray, at: _Linear
) -> Bundle:
    weights = _cauchy(at.residuals)
    both = np.repeat(weights, 2)
    freedom = max(both.sum() - at.freedom, 1.0)
    scale = max(1.0, float(np.sqrt(np.sum(both * at.residuals**2) / freedom)))
    residuals, split, first = [], [], 0
    for number, (camera, seen) in enumerate(zip(cameras, problem.seen, strict=True)):
        shown = camera.project(problem.points_of(number, points))
        residuals.append(shown - seen.pixels)
        split.append(weights[first : first + len(seen.points)])
        first += len(seen.points)
    # The prior is not made wider by residuals that are larger than expected.
    inside = at.J.T @ (both[:, None] * at.J) / scale**2 + np.diag(at.prior)
    if problem.shape is not None:
        # Where the whole model lies is a choice, and no uncertainty.
        away = points - points.mean(axis=0)
        turns = np.concatenate([-rigid.hat(away), np.tile(np.eye(3), (len(away), 1, 1))], axis=2)
        modes = np.linalg.qr(turns.reshape(-1, 6))[0]
        of_points = inside[problem.first_point :, problem.first_point :]
        of_points += CHOSEN * modes @ modes.T
        if problem.shape.scale_sd is not None:
            grown = away.ravel() / np.sum(away**2)
            of_points += np.outer(grown, grown) / problem.shape.scale_sd**2
    covariance = np.linalg.inv(inside)
    return Bundle(cameras, problem.seen, residuals, split, covariance, scale, problem, points)


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
