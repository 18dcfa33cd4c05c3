"""Covariance of a registered pose and of its targets, from the noise of the images and the uncertainty of the cameras.

The pose and the free camera corrections minimise a sum over pixels plus the prior of the corrections.
Near the minimum a change g of the gradient moves them by H^-1 g, where H is the Hessian of all views
(`Tiles.hessians`) and the prior, with weight W. Hence

    covariance = H^-1 (G + W S W) H^-1,        G = sum over tiles of g_t g_t^T,    S = diag(sd^2) of the corrections

(sandwich estimator of Huber, Proc. 5th Berkeley Symposium, 1967, with clusters as in Liang and Zeger,
Biometrika 73, 1986). Neighbouring residuals are correlated, so that treating pixels as independent is
overconfident; tiles several normalisation windows wide are independent. The second term is the
cameras' share: the difference between the true and the most likely cameras. Corrections are
marginalised: the pose's block is taken from the covariance, not from its inverse.

The covariance covers noise, and differences between CT and X-ray that vary from tile to tile. It does
not cover another minimum, nor a wrong angle assumed to be exact (`features`).

Uncertainty of the cameras that is not solved for, above all of a principal point, moves the minimum
without changing the images. Pose and free corrections x respond to such an error c by -H_xx^-1 H_xc c,
so that

    camera covariance = K S K^T,        K = H_xx^-1 H_xc

(considered parameters: Schmidt, Advances in Control Systems 3, 1966). Only the ratio of the two
Hessians matters, so that the Gauss-Newton approximation suffices.

Errors of pose and cameras are correlated: a combination that displaces the bone in 3D and leaves the
images unchanged is not visible. Therefore the joint covariance of (x, c) is stored; the position of
targets in a view (`PoseUncertainty.in_view`) is known much better than in 3D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..registration.cameras import CameraCorrections, independent_residuals
from ..registration.tiles import TiledFit

#: Standard deviations within which 95 % of normal errors are.
SDS_95 = 1.96
#: Standard deviation (rad, mm) of directions that the images do not show at all.
UNSEEN_SD = 1e3
#: Smaller curvatures of a Hessian with unit diagonal are rounding errors.
UNSEEN = 1e-8
#: Smallest curvature as a fraction of the Gauss-Newton curvature: less is chance.
MIN_CURVATURE = 0.01
#: Standard deviations of the displacement and of the size of the CT in one view, when these are
#: tested.
PLACE_SD_DEG = 5.0
PLACE_SD_MM = 15.0
SIZE_SD = 0.05
#: Another size is more likely than a motion if it explains this fraction of what that explains.
SIZE_PREFERRED = 0.5


@dataclass(frozen=True, eq=False)
class PoseUncertainty:
    """The uncertainty of a pose.

    Attributes
    ----------
    joint
        (6 + N, 6 + N) covariance of the error of the pose (omega rad, v mm) about `pivot`, `x -> x +
        omega x (x - pivot) + v`, and of all N camera corrections; (6, 6) for the pose alone.
    pivot
        (3,) world mm.
    """

    joint: np.ndarray
    pivot: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """(6, 6) covariance of the error of the pose."""
        return self.joint[:6, :6]

    def __add__(self, other: PoseUncertainty | None) -> PoseUncertainty:
        """Return the uncertainty of the sum of two independent errors about the same pivot."""
        return self if other is None else PoseUncertainty(self.joint + other.joint, self.pivot)

    def times(self, factor: float) -> PoseUncertainty:
        """Return the uncertainty of errors multiplied by a factor."""
        return PoseUncertainty(self.joint * factor**2, self.pivot)

    def at(self, points: np.ndarray) -> TargetUncertainty:
        """Return the uncertainty of targets (N, 3), world mm."""
        return TargetUncertainty(
            np.asarray(points, float), target_jacobians(points, self.pivot), self.covariance
        )

    def in_view(
        self, points: np.ndarray, camera: Camera, by_cameras: np.ndarray
    ) -> TargetUncertainty:
        """Return the uncertainty of projected targets (N, 3), world mm, in mm perpendicular to the beam at each target.

        Parameters
        ----------
        by_cameras
            (9, N) Jacobian of the camera of the view with respect to the corrections,
            `cameras.CameraCorrections.seen`.
        """
        pixels = camera.jacobians(points)
        moved = pixels[..., :3] @ target_jacobians(points, self.pivot)
        corrected = np.concatenate([moved, pixels[..., 3:]], axis=-1) @ by_cameras
        seen = np.concatenate([moved, corrected], axis=-1)
        return TargetUncertainty(points, seen * camera.pixel_mm(points)[..., None], self.joint)

    def least_certain_rotation(self) -> tuple[float, np.ndarray]:
        """Return the standard deviation in rad and the world axis (3,) of the least certain rotation.

        For a long bone this is usually the rotation about its shaft.
        """
        variances, axes = np.linalg.eigh(self.covariance[:3, :3])
        return float(np.sqrt(max(variances[-1], 0.0))), axes[:, -1]


def chi_square_quantile(probability: float | np.ndarray, freedom: float) -> np.ndarray:
    """Return the quantile of a chi-square distribution at a probability; scipy.stats is slow to import."""
    return 2 * scipy.special.gammaincinv(freedom / 2, probability)


class ScaledChiSquare(NamedTuple):
    """Distribution of a mean square of errors, mm^2: `spread` times a chi-square variable with `freedom` degrees of freedom."""

    spread: float
    freedom: float

    def quantiles_mm(self, count: int) -> np.ndarray:
        """Return `count` equally likely root mean squares, mm."""
        return np.sqrt(
            self.spread * chi_square_quantile((np.arange(count) + 0.5) / count, self.freedom)
        )

    def probability_beyond(self, mm: float) -> float:
        """Return the probability of a root mean square above `mm`."""
        if not self.spread:
            return 0.0
        return float(scipy.special.gammaincc(self.freedom / 2, mm**2 / (2 * self.spread)))


class LogNormal(NamedTuple):
    """Log-normal distribution of an error, by mean and standard deviation of its logarithm (mm)."""

    mean: float
    sd: float

    def below(self, log_mm: np.ndarray | float) -> np.ndarray:
        """Return the probability of an error below exp(log_mm)."""
        return scipy.special.ndtr((log_mm - self.mean) / self.sd)

    def below_with(self, others_mm: np.ndarray, mm: np.ndarray) -> np.ndarray:
        """Return the probability of a total error below `mm` with equally likely independent errors (n,), whose squares add up."""
        rest = np.sqrt(np.maximum(mm[..., None] ** 2 - others_mm**2, 1e-300))
        return self.below(np.log(rest)).mean(axis=-1)


@dataclass(frozen=True, eq=False)
class TargetUncertainty:
    """Uncertainty of the N targets of a pose.

    Attributes
    ----------
    points
        (N, 3) world mm.
    jacobians
        (N, 3, 6), see `target_jacobians`; (N, 2, 6 + N) for their projection in a view.
    errors
        Covariance of the variables of the Jacobians, (6, 6) for the error of the pose.
    """

    points: np.ndarray
    jacobians: np.ndarray
    errors: np.ndarray

    @property
    def covariances(self) -> np.ndarray:
        """Covariance (N, 3, 3) of the error of each target, mm^2."""
        return self.jacobians @ self.errors @ np.swapaxes(self.jacobians, -1, -2)

    @property
    def rms_mm(self) -> float:
        """Root of the expected mean square error of the targets."""
        return float(np.sqrt(self._moments()[0]))

    @property
    def mean_mm(self) -> float:
        """Expected root mean square TRE."""
        spread, freedom = self.distribution
        return float(
            np.sqrt(2 * spread)
            * np.exp(scipy.special.gammaln((freedom + 1) / 2) - scipy.special.gammaln(freedom / 2))
        )

    def bound_mm(self, probability: float = 0.95) -> float:
        """Return a quantile of the root mean square TRE, mm; it also bounds the mean TRE, which is never larger."""
        spread, freedom = self.distribution
        return float(np.sqrt(spread * chi_square_quantile(probability, freedom)))

    @property
    def distribution(self) -> ScaledChiSquare:
        """Distribution of the mean square error of the targets, matched in mean and variance (Satterthwaite, Biometrics 2, 1946)."""
        mean, variance = self._moments()
        if not mean > 0:
            return ScaledChiSquare(0.0, 1.0)
        return ScaledChiSquare(variance / (2 * mean), 2 * mean**2 / variance)

    def split(self, camera: Camera) -> tuple[float, float]:
        """Return the standard deviation along a view's rays (depth) and across them (in plane), mm.

        It is the root mean square over the targets.
        """
        rays = rigid.unit(self.points - camera.sources(camera.project(self.points)))
        covariances = self.covariances
        depth = np.einsum("ni,nij,nj->n", rays, covariances, rays)
        total = np.trace(covariances, axis1=1, axis2=2)
        return float(np.sqrt(depth.mean())), float(np.sqrt(np.maximum(total - depth, 0).mean()))

    def _moments(self) -> tuple[float, float]:
        """Return mean tr C and variance 2 tr C^2 of the mean square error, a quadratic form M of the pose error; C = M Sigma."""
        form = np.einsum("nki,nkj->ij", self.jacobians, self.jacobians) / len(self.jacobians)
        product = form @ self.errors
        return float(np.trace(product)), float(2 * np.trace(product @ product))


class ViewSplit(NamedTuple):
    """95 % bounds of the target error along the beam of a view and across it, mm."""

    name: str
    depth_mm: float
    in_plane_mm: float


def target_jacobians(points: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Return the shift (N, 3, 6) of points (N, 3) by a small (omega, v) about the pivot, all world: [-hat(x - pivot), I]."""
    points = np.asarray(points, float)
    return np.concatenate(
        [-rigid.hat(points - pivot), np.broadcast_to(np.eye(3), (len(points), 3, 3))], axis=-1
    )


class CameraResponse(NamedTuple):
    """Curvature of the cost at a minimum by pose, free and considered camera corrections.

    Attributes
    ----------
    hessians
        (p, p) Gauss-Newton Hessian of half the cost, by view.
    total
        (p, p) their sum and the prior of the free corrections.
    solved
        Number of the p parameters that are solved for, the six of the pose included.
    sd
        (p - solved,) standard deviations of the considered corrections.
    """

    hessians: list[np.ndarray]
    total: np.ndarray
    solved: int
    sd: np.ndarray

    def shift_by(self, sd: np.ndarray) -> np.ndarray:
        """Return the gradient (solved, p - solved) of the solved parameters due to considered errors of these sizes."""
        return self.total[: self.solved, self.solved :] * sd

    def view_gradient_covariance(self, view: int) -> np.ndarray:
        """Return the covariance (6, 6) of a view's gradient at the minimum of all views, which moves with the considered errors."""
        of_view = self.hessians[view]
        known = self.total[: self.solved, : self.solved]
        response = sandwich(known, known) @ self.shift_by(self.sd)
        left = of_view[:6, self.solved :] * self.sd - of_view[:6, : self.solved] @ response
        return left @ left.T


@dataclass(frozen=True, eq=False)
class Minimum(TiledFit):
    """Fit at a minimum of the cost at the finest level, and the uncertainty that follows from its curvature.

    Attributes
    ----------
    unknowns
        Corrections of the views. Corrected cameras are the most likely ones: their corrections are 0.
    """

    unknowns: CameraCorrections

    @property
    def noise(self) -> PoseUncertainty:
        """Error due to noise."""
        pairs = zip(self.split.views, self.split.gradients, strict=True)
        ways = self.ways()
        gradients = np.stack([ways[view].T @ gradient for view, gradient in pairs]) / self.pixels
        meat = gradient_covariance(gradients, gradients.shape[1])
        return self._known(sandwich(self.curvature, meat))

    @property
    def by_view(self) -> list[PoseUncertainty]:
        """Error due to noise if only one view is used, with its camera fixed, by view."""
        found = []
        for view, (_, hessian) in enumerate(self.fit.by_view):
            tiles = self.split.views == view
            total = self.split.hessians[:, :6, :6][tiles].sum(axis=0)
            bread = at_least(total, hessian[:6, :6] * self.pixels)
            meat = gradient_covariance(self.split.gradients[:, :6][tiles], 6)
            found.append(PoseUncertainty(sandwich(bread, meat), self.objective.pivot))
        return found

    @property
    def curvature(self) -> np.ndarray:
        """Hessian (6 + n, 6 + n) of half the cost and the prior, by pose and free corrections."""
        _, gauss_newton = self._system()
        hessians = self.split.hessians
        ways = enumerate(self.ways())
        total = sum(way.T @ hessians[self.split.views == i].sum(axis=0) @ way for i, way in ways)
        hessian = total / self.pixels
        hessian[6:, 6:] += np.diag(self._prior)
        return at_least(hessian, gauss_newton)

    @property
    def response(self) -> CameraResponse:
        """Response to errors of the cameras."""
        pairs = zip(self.ways(considered=True), self.fit.by_view, strict=True)
        hessians = [way.T @ hessian @ way for way, (_, hessian) in pairs]
        total = sum(hessians)
        solved = 6 + self.unknowns.free.size
        total[6:solved, 6:solved] += np.diag(self._prior)
        return CameraResponse(hessians, total, solved, self.unknowns.sd[self.unknowns.considered])

    def ways(self, *, considered: bool = False) -> list[np.ndarray]:
        """Return the derivatives of each view by pose and free corrections, or also by considered ones."""
        objective = self.objective
        return self.unknowns.jacobians(
            objective.views, [objective.pivot], len(self.fit.gradient), considered=considered
        )

    def cameras(self, sd: np.ndarray) -> PoseUncertainty | None:
        """Return the additional uncertainty due to the cameras; None for exact ones.

        Parameters
        ----------
        sd
            (OWN views + 6,) standard deviations of all corrections, not smaller than those of the
            registration.
        """
        free = self.unknowns.free
        considered = self.unknowns.considered
        joint = np.zeros((6 + sd.size, 6 + sd.size))
        if free.size:
            known = np.where(np.isfinite(sd[free]), sd[free], 0)
            meat = np.diag([*np.zeros(6), *(self._prior * known) ** 2])
            joint += self.unknowns.spread(sandwich(self.curvature, meat))
        if considered.size:
            response = self.response
            inverse, unseen = inverted(response.total[: response.solved, : response.solved])
            moved = -inverse @ response.shift_by(sd[considered])
            both = np.vstack([moved, np.diag(sd[considered])])
            joint += self.unknowns.spread(both @ both.T) + self.unknowns.spread(unseen)
        return PoseUncertainty(joint, self.objective.pivot) if joint[:6, :6].any() else None

    def as_if_solved(self) -> tuple[PoseUncertainty, PoseUncertainty]:
        """Return the uncertainty due to noise and due to cameras as if the cameras were solved for with the pose.

        The correction that a Newton step would make is an error, too.
        """
        gradient, _ = self._system()
        inverse, _ = inverted(self.curvature)
        step = inverse @ gradient
        return self.noise, self._known(np.outer(step, step)) + self.cameras(self.unknowns.sd)

    @property
    def _prior(self) -> np.ndarray:
        return self.unknowns.precision(self.objective, self.fit)

    def _system(self) -> tuple[np.ndarray, np.ndarray]:
        unknowns = self.unknowns
        return unknowns.system(self.objective, self.objective.pivot[None], self.fit, unknowns.none)

    def _known(self, errors: np.ndarray) -> PoseUncertainty:
        return PoseUncertainty(self.unknowns.spread(errors), self.objective.pivot)


class Disagreement(NamedTuple):
    """Change with which the views would fit better.

    Attributes
    ----------
    share
        Fraction by which the cost would fall.
    mm
        Root mean square motion of the targets, and growth for another size.
    view
        Index of the view in which the CT is displaced; None for another size.
    """

    share: float
    mm: float
    view: int | None


def disagreement(here: Minimum, points: np.ndarray) -> Disagreement:
    """Return how much better the views would fit with the CT displaced in one of them, or of another size.

    This compares Newton steps of pose, cameras and one of these unknowns with a step without it. A
    change of size, equivalent to a change of the detector distances, has one parameter instead of
    the six of a motion: it is preferred if it explains half as much.

    Parameters
    ----------
    here
        Fit in which the cameras explain as much as their uncertainty allows.
    points
        (N, 3) targets, world mm.
    """
    fit = here.fit
    split = here.split
    unknowns = here.unknowns
    ways = here.ways(considered=True)
    known = unknowns.sd[np.concatenate([unknowns.free, unknowns.considered])]
    unit = fit.cost / independent_residuals(fit, here.objective.settings)
    hessians = [
        at_least(split.hessians[split.views == i].sum(axis=0) / here.pixels, hessian)
        for i, (_, hessian) in enumerate(fit.by_view)
    ]

    def newton(further: Sequence[np.ndarray], sds: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the fraction by which the cost falls, and the step.

        Parameters
        ----------
        further
            (9, m) derivatives by m further unknowns, by view.
        sds
            (m,) their standard deviations.
        """
        both = [np.hstack(pair) for pair in zip(ways, further, strict=True)]
        hessian = sum(way.T @ each @ way for way, each in zip(both, hessians, strict=True))
        hessian[6:, 6:] += unit * np.diag(np.concatenate([known, sds]) ** -2.0)
        gradient = sum(way.T @ each for way, (each, _) in zip(both, fit.by_view, strict=True))
        step = -np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        return float(-gradient @ step) / fit.cost, step

    views = range(len(ways))
    place = np.eye(9, 6)
    # The rows of a slot scan are apart by a distance of their own.
    scale = [
        np.isin(range(9), [6, 8] if view.camera.is_slot_scan else [6])[:, None] * 1.0
        for view in here.objective.views
    ]
    explained, _ = newton([np.zeros((9, 0))] * len(ways), np.zeros(0))
    place_sd = np.repeat([np.radians(PLACE_SD_DEG), PLACE_SD_MM], 3)
    moved = {k: newton([place * (i == k) for i in views], place_sd) for k in views[1:]}
    view = max(moved, key=lambda k: moved[k][0])
    drop, step = moved[view]
    sized, grown = newton(scale, np.array([SIZE_SD]))
    by_size = sized - explained >= SIZE_PREFERRED * (drop - explained)
    if by_size:
        drop = sized
        step = grown
    shift_mm = rms_length(target_jacobians(points, here.objective.pivot) @ step[:6])
    growth_mm = by_size * abs(float(step[-1])) * rms_length(points - points.mean(axis=0))
    return Disagreement(drop - explained, shift_mm + growth_mm, None if by_size else view)


def root_mean_square(lengths: np.ndarray) -> float:
    """Return the root mean square of lengths (N,)."""
    return float(np.sqrt(np.mean(np.square(lengths))))


def rms_length(vectors: np.ndarray) -> float:
    """Return the root mean square of the lengths of vectors (N, n)."""
    return root_mean_square(np.linalg.norm(vectors, axis=-1))


def at_least(hessian: np.ndarray, gauss_newton: np.ndarray) -> np.ndarray:
    """Return the Hessian (n, n) with at least MIN_CURVATURE of the Gauss-Newton curvature in every direction."""
    units = _units(gauss_newton)
    # Directions that are not visible must not stop the decomposition.
    plain = gauss_newton / units + 1e-9 * np.eye(len(units))
    values, axes = scipy.linalg.eigh(hessian / units, plain)
    back = plain @ axes
    return back * np.maximum(values, MIN_CURVATURE) @ back.T * units


def _units(hessian: np.ndarray) -> np.ndarray:
    """Return the matrix by which a Hessian (n, n) is divided for a unit diagonal."""
    scale = np.sqrt(np.maximum(np.diag(hessian), 1e-300))
    return np.outer(scale, scale)


def gradient_covariance(gradients: np.ndarray, parameters: int) -> np.ndarray:
    """Return the covariance (n, n) of the sum of the gradients (T, n) of independent tiles.

    The factor T / (T - p) corrects for residuals that are smaller at a minimum over p parameters.
    """
    clusters = len(gradients)
    return gradients.T @ gradients * (clusters / max(clusters - parameters, 1))


def sandwich(bread: np.ndarray, meat: np.ndarray) -> np.ndarray:
    """Return bread^-1 meat bread^-1 (n, n); directions without curvature get UNSEEN_SD."""
    inverse, unseen = inverted(bread)
    return inverse @ meat @ inverse + unseen


def inverted(bread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse (n, n) of a Hessian in the directions with curvature, and the covariance (n, n) of the others."""
    units = _units(bread)
    values, axes = np.linalg.eigh(bread / units)
    seen = values > UNSEEN
    inverse = (axes[:, seen] / values[seen]) @ axes[:, seen].T / units
    unseen = axes[:, ~seen] / np.linalg.norm(axes[:, ~seen], axis=0)
    return inverse, UNSEEN_SD**2 * unseen @ unseen.T
