"""The covariance of a registered pose and its targets that the images' noise explains, in closed form.

The pose and the free camera corrections minimise a sum over pixels plus the corrections' prior.
Near the minimum a change g of the gradient moves them by H^-1 g, H being the Hessian of all views
(`Tiles.hessians`) with the prior's weight W. So

    covariance = H^-1 (G + W S W) H^-1,        G = sum over tiles of g_t g_t^T,    S = diag(sd^2) of the corrections

(the sandwich of Huber, Proc. 5th Berkeley Symposium, 1967, with clusters as in Liang and Zeger,
Biometrika 73, 1986): neighbouring residuals are alike, so that to count pixels as independent is
overconfident, while tiles several windows of normalisation wide differ by chance. The second term,
the cameras' share, is by how much the true cameras differ from the likeliest ones. Corrections are
marginalised: the pose's block is taken of the covariance, not of its inverse.

It covers noise, and differences between CT and X-ray from tile to tile. It does not cover a second
minimum, nor a wrong angle taken as exact: `features` are for those.

What is known of the cameras but not solved for, a principal point above all, moves the minimum
where no image shows it. Pose and free corrections x answer such an error c with -H_xx^-1 H_xc c, so
that

    camera covariance = K S K^T,        K = H_xx^-1 H_xc

(considered parameters: Schmidt, Advances in Control Systems 3, 1966). Only the ratio of the two
Hessians counts, so Gauss and Newton's do.

Errors of pose and cameras go together: what moves the bone in 3D and leaves the images as they
are is seen in none of them. So the covariance is kept of all of them, (x, c), in which c is off by
as much as it is unknown and x by -K c; where targets appear in a view (`PoseUncertainty.in_view`)
is known far better than where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View
from ..registration.cameras import CameraCorrections, independent_residuals
from ..registration.tiles import TiledFit

#: Standard deviations that hold 95 % of a normal error.
SDS_95 = 1.96
#: Directions in which nothing at all is seen get this standard deviation (rad, mm) instead of none.
UNSEEN_SD = 1e3
#: Curvatures of a Hessian with ones on its diagonal below this are rounding.
UNSEEN = 1e-8
#: No direction counts as flatter than this share of what Gauss and Newton give it: less is chance.
LEAST_CURVATURE = 0.01
#: By so much the CT may lie elsewhere in one view, where it is asked whether it does, and be
#: larger: standard deviations.
PLACE_SD_DEG = 5.0
PLACE_SD_MM = 15.0
SIZE_SD = 0.05
#: Another size is likelier than a motion where it explains this share of what that does.
SIZE_PREFERRED = 0.5


@dataclass(frozen=True, eq=False)
class PoseUncertainty:
    """The uncertainty of a pose.

    Attributes
    ----------
    joint
        (6 + N, 6 + N) of the pose's error (omega rad, v mm) about `pivot`: `x -> x + omega x (x -
        pivot) + v`, and of those of all N corrections of the cameras; (6, 6) of the pose alone.
    pivot
        (3,) world mm.
    """

    joint: np.ndarray
    pivot: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """(6, 6), of the pose's error."""
        return self.joint[:6, :6]

    def __add__(self, other: PoseUncertainty | None) -> PoseUncertainty:
        """Return the uncertainty of the sum of two independent errors about the same pivot."""
        return self if other is None else PoseUncertainty(self.joint + other.joint, self.pivot)

    def times(self, factor: float) -> PoseUncertainty:
        """Return the uncertainty of errors so many times as large."""
        return PoseUncertainty(self.joint * factor**2, self.pivot)

    def at(self, points: np.ndarray) -> TargetUncertainty:
        """Return the uncertainty of targets (N, 3), world mm."""
        return TargetUncertainty(
            np.asarray(points, float), target_jacobians(points, self.pivot), self.covariance
        )

    def in_view(
        self, points: np.ndarray, camera: Camera, by_cameras: np.ndarray
    ) -> TargetUncertainty:
        """Return the uncertainty of where targets (N, 3), world mm, appear in a view, mm across its beam at each target.

        Parameters
        ----------
        by_cameras
            (9, N) of the view, `cameras.CameraCorrections.seen`.
        """
        pixels = camera.jacobians(points)
        moved = pixels[..., :3] @ target_jacobians(points, self.pivot)
        corrected = np.concatenate([moved, pixels[..., 3:]], axis=-1) @ by_cameras
        seen = np.concatenate([moved, corrected], axis=-1)
        return TargetUncertainty(points, seen * camera.pixel_mm(points)[..., None], self.joint)

    def least_certain_rotation(self) -> tuple[float, np.ndarray]:
        """Return the standard deviation in rad and the world axis (3,) of the rotation that the images show least.

        For a long bone it is that about its shaft.
        """
        variances, axes = np.linalg.eigh(self.covariance[:3, :3])
        return float(np.sqrt(max(variances[-1], 0.0))), axes[:, -1]


def chi_square_quantile(share: float | np.ndarray, freedom: float) -> np.ndarray:
    """Return what a chi-square variable of `freedom` degrees stays below with probability `share`.

    scipy.stats, slow to import, does the same.
    """
    return 2 * scipy.special.gammaincinv(freedom / 2, share)


class ScaledChiSquare(NamedTuple):
    """The distribution of a mean square of errors, mm^2.

    `spread` times a chi-square variable of so many degrees of freedom.
    """

    spread: float
    freedom: float

    def quantiles_mm(self, count: int) -> np.ndarray:
        """Return root mean squares (count,) of equal probability."""
        return np.sqrt(
            self.spread * chi_square_quantile((np.arange(count) + 0.5) / count, self.freedom)
        )

    def probability_beyond(self, mm: float) -> float:
        """Return the probability of a root mean square above mm."""
        if not self.spread:
            return 0.0
        return float(scipy.special.gammaincc(self.freedom / 2, mm**2 / (2 * self.spread)))


class LogNormal(NamedTuple):
    """The distribution of an error, by mean and deviation of its logarithm (mm)."""

    mean: float
    sd: float

    def below(self, log_mm: np.ndarray | float) -> np.ndarray:
        """Return the probability of a smaller error, by the logarithm of that."""
        return scipy.special.ndtr((log_mm - self.mean) / self.sd)

    def below_with(self, others_mm: np.ndarray, mm: np.ndarray) -> np.ndarray:
        """Return the probability of a smaller error with one of equally likely others (n,) beside it.

        They are independent, so that their squares add up.
        """
        rest = np.sqrt(np.maximum(mm[..., None] ** 2 - others_mm**2, 1e-300))
        return self.below(np.log(rest)).mean(axis=-1)


@dataclass(frozen=True, eq=False)
class TargetUncertainty:
    """The uncertainty of the N targets of a pose.

    Attributes
    ----------
    points
        (N, 3) world mm.
    jacobians
        (N, 3, 6), see `target_jacobians`; (N, 2, 6 + N) of where they appear in a view.
    errors
        The covariance of what they are by, (6, 6) of the pose's error.
    """

    points: np.ndarray
    jacobians: np.ndarray
    errors: np.ndarray

    @property
    def covariances(self) -> np.ndarray:
        """The covariance (N, 3, 3) of each target's error, mm^2."""
        return self.jacobians @ self.errors @ np.swapaxes(self.jacobians, -1, -2)

    @property
    def rms_mm(self) -> float:
        """Root of the expected mean square of the targets' errors."""
        return float(np.sqrt(self._moments()[0]))

    @property
    def mean_mm(self) -> float:
        """Expected TRE, all targets together."""
        spread, freedom = self.distribution
        return float(
            np.sqrt(2 * spread)
            * np.exp(scipy.special.gammaln((freedom + 1) / 2) - scipy.special.gammaln(freedom / 2))
        )

    def bound_mm(self, share: float = 0.95) -> float:
        """Return what the TRE of the targets, root mean square, stays below in so many registrations; their mean is no more."""
        spread, freedom = self.distribution
        return float(np.sqrt(spread * chi_square_quantile(share, freedom)))

    @property
    def distribution(self) -> ScaledChiSquare:
        """The distribution of the mean square of the targets' errors, that with the same mean and variance.

        Satterthwaite, Biometrics 2, 1946.
        """
        mean, variance = self._moments()
        if not mean > 0:
            return ScaledChiSquare(0.0, 1.0)
        return ScaledChiSquare(variance / (2 * mean), 2 * mean**2 / variance)

    def split(self, camera: Camera) -> tuple[float, float]:
        """Return the standard deviation along a view's rays (depth) and in all across them (in plane), mm.

        It is the root mean square over the targets.
        """
        rays = rigid.unit(self.points - camera.sources(camera.project(self.points)))
        covariances = self.covariances
        depth = np.einsum("ni,nij,nj->n", rays, covariances, rays)
        total = np.trace(covariances, axis1=1, axis2=2)
        return float(np.sqrt(depth.mean())), float(np.sqrt(np.maximum(total - depth, 0).mean()))

    def _moments(self) -> tuple[float, float]:
        """Return mean and variance of the mean square over the targets.

        It is a quadratic form in the pose's error: tr C, 2 tr C^2, C = M Sigma.
        """
        form = np.einsum("nki,nkj->ij", self.jacobians, self.jacobians) / len(self.jacobians)
        product = form @ self.errors
        return float(np.trace(product)), float(2 * np.trace(product @ product))


class ViewSplit(NamedTuple):
    """95 % bounds of the targets' errors along one view's beam and across it, mm."""

    name: str
    depth_mm: float
    in_plane_mm: float


def bounds(
    pose: PoseUncertainty, targets: TargetUncertainty, inflation: float, views: Sequence[View]
) -> dict[str, Any]:
    """Return the bounds that a `verdict.Assessment` has, by its fields, of errors so many times as large as these."""
    sd, axis = pose.least_certain_rotation()
    times = SDS_95 * inflation
    splits = []
    for view in views:
        depth, in_plane = targets.split(view.camera)
        splits.append(ViewSplit(view.name, times * depth, times * in_plane))
    turn = float(np.degrees(times * sd)), axis
    return {"splits": splits, "least_certain_rotation": turn, "error_inflation": inflation}


def target_jacobians(points: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Return the shift (N, 3, 6) of points (N, 3) by a small (omega, v) about the pivot, all world: [-hat(x - pivot), I]."""
    points = np.asarray(points, float)
    return np.concatenate(
        [-rigid.hat(points - pivot), np.broadcast_to(np.eye(3), (len(points), 3, 3))], axis=-1
    )


class CameraResponse(NamedTuple):
    """The cost about a minimum, by pose, free and considered corrections of the cameras.

    Attributes
    ----------
    hessians
        Of each view, (p, p), Gauss and Newton's, of half the cost.
    total
        (p, p) their sum and the prior of the free ones.
    solved
        How many of the p are solved for, the pose's six among them.
    sd
        (p - solved,) of the considered ones.
    """

    hessians: list[np.ndarray]
    total: np.ndarray
    solved: int
    sd: np.ndarray

    def shift_by(self, sd: np.ndarray) -> np.ndarray:
        """Return the gradient (solved, p - solved) of what is solved for, by considered errors of these sizes."""
        return self.total[: self.solved, self.solved :] * sd

    def view_gradient_covariance(self, view: int) -> np.ndarray:
        """Return the covariance (6, 6) of a view's gradient by the pose at the minimum of all views.

        The minimum moves with the considered errors.
        """
        of_view = self.hessians[view]
        known = self.total[: self.solved, : self.solved]
        response = sandwich(known, known) @ self.shift_by(self.sd)
        left = of_view[:6, self.solved :] * self.sd - of_view[:6, : self.solved] @ response
        return left @ left.T


@dataclass(frozen=True, eq=False)
class Minimum(TiledFit):
    """The fit at a minimum of the cost, and what its shape says of the error of its pose.

    At the finest level, the views with their cameras as corrected, by nine derivatives where
    cameras were not solved for.

    Attributes
    ----------
    unknowns
        Of these views. Corrected cameras are the most likely ones: their corrections are none.
    """

    unknowns: CameraCorrections

    @property
    def noise(self) -> PoseUncertainty:
        """The error that noise explains."""
        pairs = zip(self.split.views, self.split.gradients, strict=True)
        ways = self.ways()
        gradients = np.stack([ways[view].T @ gradient for view, gradient in pairs]) / self.pixels
        meat = gradient_covariance(gradients, gradients.shape[1])
        return self._known(sandwich(self.curvature, meat))

    @property
    def by_view(self) -> list[PoseUncertainty]:
        """The error that noise explains where each view is asked alone, its camera as it is."""
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
        """The Hessian (6 + n, 6 + n) of half the cost and the prior, by pose and free corrections."""
        _, gauss_newton = self._system()
        hessians = self.split.hessians
        ways = enumerate(self.ways())
        total = sum(way.T @ hessians[self.split.views == i].sum(axis=0) @ way for i, way in ways)
        hessian = total / self.pixels
        hessian[6:, 6:] += np.diag(self._prior)
        return at_least(hessian, gauss_newton)

    @property
    def response(self) -> CameraResponse:
        """How it answers errors of the cameras."""
        pairs = zip(self.ways(considered=True), self.fit.by_view, strict=True)
        hessians = [way.T @ hessian @ way for way, (_, hessian) in pairs]
        total = sum(hessians)
        solved = 6 + self.unknowns.free.size
        total[6:solved, 6:solved] += np.diag(self._prior)
        return CameraResponse(hessians, total, solved, self.unknowns.sd[self.unknowns.considered])

    def ways(self, *, considered: bool = False) -> list[np.ndarray]:
        """Return the derivatives of each view by pose and free, or also considered, corrections."""
        objective = self.objective
        return self.unknowns.jacobians(
            objective.views, [objective.pivot], len(self.fit.gradient), considered=considered
        )

    def cameras(self, sd: np.ndarray) -> PoseUncertainty | None:
        """Return what the uncertainty of the cameras adds; None for exact ones.

        Parameters
        ----------
        sd
            (OWN views + 6,) standard deviations of all corrections, at least those with which the
            pose was solved for.
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
        """Return what noise explains, and what cameras add, as if cameras were solved for with the pose.

        Both are taken as they are, so that what a Newton step would correct is an error, too.
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
    """How the views would fit better.

    Attributes
    ----------
    share
        By which the cost would fall.
    mm
        How far the targets move then in the views that stay, root mean square; of another size, and
        grow.
    view
        In which the CT lies elsewhere; None where it is of another size.
    """

    share: float
    mm: float
    view: int | None


def disagreement(here: Minimum, points: np.ndarray) -> Disagreement:
    """Return by how much the views would fit better with the CT elsewhere in one of them, or larger.

    By Newton steps of pose, cameras and one of these unknowns together, beside one without it. A
    change of size, which is also one of the distances to the detectors, has one number for the six
    of a motion: it is preferred where it explains half as much.

    Parameters
    ----------
    here
        What is known of its cameras explains what it can.
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
        """Return the share by which the cost falls, and the step.

        Parameters
        ----------
        further
            By view, (9, m), by m further unknowns of these deviations.
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
    """Return the Hessian (n, n), in no direction flatter than LEAST_CURVATURE of Gauss and Newton's."""
    units = _units(gauss_newton)
    # What is not seen must not stop the decomposition.
    plain = gauss_newton / units + 1e-9 * np.eye(len(units))
    values, axes = scipy.linalg.eigh(hessian / units, plain)
    back = plain @ axes
    return back * np.maximum(values, LEAST_CURVATURE) @ back.T * units


def _units(hessian: np.ndarray) -> np.ndarray:
    """Return what a Hessian (n, n) is divided by for ones on its diagonal."""
    scale = np.sqrt(np.maximum(np.diag(hessian), 1e-300))
    return np.outer(scale, scale)


def gradient_covariance(gradients: np.ndarray, parameters: int) -> np.ndarray:
    """Return the covariance (n, n) of the sum of the gradients (T, n) of independent tiles.

    T / (T - p) times theirs: residuals at a minimum by p parameters are smaller than at the truth.
    """
    clusters = len(gradients)
    return gradients.T @ gradients * (clusters / max(clusters - parameters, 1))


def sandwich(bread: np.ndarray, meat: np.ndarray) -> np.ndarray:
    """Return bread^-1 meat bread^-1 (n, n).

    What the bread does not see at all is as good as unknown, see UNSEEN_SD.
    """
    inverse, unseen = inverted(bread)
    return inverse @ meat @ inverse + unseen


def inverted(bread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse (n, n) of a Hessian where it sees anything, and the covariance (n, n) of what it does not see at all."""
    units = _units(bread)
    values, axes = np.linalg.eigh(bread / units)
    seen = values > UNSEEN
    inverse = (axes[:, seen] / values[seen]) @ axes[:, seen].T / units
    unseen = axes[:, ~seen] / np.linalg.norm(axes[:, ~seen], axis=0)
    return inverse, UNSEEN_SD**2 * unseen @ unseen.T
