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

Errors of pose and cameras go together: what moves the bone in the room and leaves the images as they
are is seen in none of them. So the covariance is kept of all of them, (x, c), in which c is off by
as much as it is unknown and x by -K c; where targets appear in a view (`PoseUncertainty.in_view`)
is known far better than where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import View
from ..registration.cameras import CameraCorrections, independent_residuals
from ..registration.objective import Objective, PoseFit
from ..registration.tiles import Tiles

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


def pose_uncertainty(
    objective: Objective, fit: PoseFit, split: Tiles, unknowns: CameraCorrections
) -> PoseUncertainty:
    """Return what noise explains at a minimum.

    Parameters
    ----------
    objective
        At the finest level, its views with their cameras as corrected.
    fit, split
        Those there.
    unknowns
        Of these views; corrected cameras are the most likely ones, so that their corrections are
        none.
    """
    ways = unknowns.jacobians(objective.views, [objective.pivot], len(fit.gradient))
    pairs = zip(split.views, split.gradients, strict=True)
    gradients = np.stack([ways[view].T @ gradient for view, gradient in pairs]) / sum(fit.pixels)
    hessian = curvature(objective, fit, split, unknowns)
    meat = gradients.T @ gradients * cluster_correction(len(gradients), len(hessian))
    return PoseUncertainty(unknowns.spread(sandwich(hessian, meat)), objective.pivot)


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

    @property
    def shift(self) -> np.ndarray:
        """(solved, p - solved): gradient of what is solved for by considered errors of one standard deviation each."""
        return self.shift_by(self.sd)

    def shift_by(self, sd: np.ndarray) -> np.ndarray:
        """Return `shift` for other standard deviations (p - solved,)."""
        return self.total[: self.solved, self.solved :] * sd

    def view_gradient_covariance(self, view: int) -> np.ndarray:
        """Return the covariance (6, 6) of a view's gradient by the pose at the minimum of all views.

        The minimum moves with the considered errors.
        """
        of_view = self.hessians[view]
        known = self.total[: self.solved, : self.solved]
        response = sandwich(known, known) @ self.shift
        left = of_view[:6, self.solved :] * self.sd - of_view[:6, : self.solved] @ response
        return left @ left.T


def camera_response(
    objective: Objective, fit: PoseFit, unknowns: CameraCorrections
) -> CameraResponse:
    """Compute how the minimum answers errors of the cameras.

    Parameters
    ----------
    objective, fit, unknowns
        As of `pose_uncertainty`, the fit of nine derivatives.
    """
    ways = unknowns.jacobians(objective.views, [objective.pivot], 9, considered=True)
    hessians = [way.T @ hessian @ way for way, (_, hessian) in zip(ways, fit.by_view, strict=True)]
    total = sum(hessians)
    solved = 6 + unknowns.free.size
    total[6:solved, 6:solved] += np.diag(unknowns.precision(objective, fit))
    return CameraResponse(hessians, total, solved, unknowns.sd[unknowns.considered])


def camera_uncertainty(
    objective: Objective,
    fit: PoseFit,
    split: Tiles,
    unknowns: CameraCorrections,
    response: CameraResponse,
    sd: np.ndarray,
) -> PoseUncertainty | None:
    """Return what the uncertainty of the cameras adds; None for exact ones.

    Parameters
    ----------
    objective, fit, split, unknowns
        As of `pose_uncertainty`.
    response
        What `camera_response` makes of them.
    sd
        (OWN views + 6,) standard deviations of all corrections, at least those with which the pose
        was solved for.
    """
    joint = np.zeros((6 + sd.size, 6 + sd.size))
    if unknowns.free.size:
        sd_free = np.where(np.isfinite(sd[unknowns.free]), sd[unknowns.free], 0)
        meat = np.diag([*np.zeros(6), *(unknowns.precision(objective, fit) * sd_free) ** 2])
        joint += unknowns.spread(sandwich(curvature(objective, fit, split, unknowns), meat))
    if unknowns.considered.size:
        inverse, unseen = inverted(response.total[: response.solved, : response.solved])
        sd_considered = sd[unknowns.considered]
        response_ = -inverse @ response.shift_by(sd_considered)
        both = np.vstack([response_, np.diag(sd_considered)])
        joint += unknowns.spread(both @ both.T) + unknowns.spread(unseen)
    return PoseUncertainty(joint, objective.pivot) if joint[:6, :6].any() else None


def as_if_solved(
    objective: Objective, fit: PoseFit, split: Tiles, unknowns: CameraCorrections
) -> tuple[PoseUncertainty, PoseUncertainty]:
    """Return what noise explains, and what cameras add, as if cameras were solved for with the pose.

    Both are taken as they are, so that what a Newton step would correct is an error, too.

    Parameters
    ----------
    objective, fit, split, unknowns
        As of `pose_uncertainty`, at a minimum by the pose alone.
    """
    pivot = objective.pivot
    response = camera_response(objective, fit, unknowns)
    left = camera_uncertainty(objective, fit, split, unknowns, response, unknowns.sd)
    gradient, _ = unknowns.system(objective, pivot[None], fit, unknowns.none)
    inverse, _ = inverted(curvature(objective, fit, split, unknowns))
    step = inverse @ gradient
    taken = PoseUncertainty(unknowns.spread(np.outer(step, step)), pivot)
    return pose_uncertainty(objective, fit, split, unknowns), taken + left


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


def disagreement(
    objective: Objective,
    fit: PoseFit,
    split: Tiles,
    unknowns: CameraCorrections,
    points: np.ndarray,
) -> Disagreement:
    """Return by how much the views would fit better with the CT elsewhere in one of them, or of another size, and how far off it is.

    By Newton steps of pose, cameras and one of these unknowns together, beside one without it. A
    change of size, which is also one of the distances to the detectors, has one number for the six
    of a motion: it is preferred where it explains half as much.

    Parameters
    ----------
    objective, fit, split
        As of `pose_uncertainty`, of nine derivatives.
    unknowns
        Of these views, so that what is known of the cameras explains what it can.
    points
        (N, 3) targets, world mm.
    """
    ways = unknowns.jacobians(objective.views, [objective.pivot], 9, considered=True)
    known = unknowns.sd[np.concatenate([unknowns.free, unknowns.considered])]
    unit = fit.cost / independent_residuals(fit, objective.settings)
    count = sum(fit.pixels)
    hessians = [
        at_least(split.hessians[split.views == i].sum(axis=0) / count, hessian)
        for i, (_, hessian) in enumerate(fit.by_view)
    ]

    def newton(more: Sequence[np.ndarray], sds: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the share by which the cost falls, and the step.

        Parameters
        ----------
        more
            By view, (9, m), by m further unknowns of these deviations.
        """
        both = [np.hstack(pair) for pair in zip(ways, more, strict=True)]
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
        for view in objective.views
    ]
    explained, _ = newton([np.zeros((9, 0))] * len(ways), np.zeros(0))
    place_sd = np.repeat([np.radians(PLACE_SD_DEG), PLACE_SD_MM], 3)
    tried = [newton([place * (i == k) for i in views], place_sd) for k in views[1:]]
    moved, twist = max(tried, key=itemgetter(0))
    sized, grown = newton(scale, np.array([SIZE_SD]))
    by_size = sized - explained >= SIZE_PREFERRED * (moved - explained)
    drop, step, growth = (sized, grown, abs(float(grown[-1]))) if by_size else (moved, twist, 0.0)
    shifts = target_jacobians(points, objective.pivot) @ step[:6]
    radii = points - points.mean(axis=0)
    mm, radius = (root_mean_square(np.linalg.norm(each, axis=-1)) for each in (shifts, radii))
    view = None if by_size else 1 + [each[0] for each in tried].index(moved)
    return Disagreement(drop - explained, mm + growth * radius, view)


def root_mean_square(lengths: np.ndarray) -> float:
    """Return the root mean square of lengths (N,)."""
    return float(np.sqrt(np.mean(np.square(lengths))))


def view_uncertainties(objective: Objective, fit: PoseFit, split: Tiles) -> list[PoseUncertainty]:
    """Return the uncertainty that each view by itself would have of the pose, its camera as it is."""
    found = []
    for view, (_, hessian) in enumerate(fit.by_view):
        gradients, hessians = (
            each[split.views == view]
            for each in (split.gradients[:, :6], split.hessians[:, :6, :6])
        )
        gauss_newton = hessian[:6, :6] * sum(fit.pixels)
        meat = gradients.T @ gradients * cluster_correction(len(gradients), 6)
        found.append(
            PoseUncertainty(
                sandwich(at_least(hessians.sum(axis=0), gauss_newton), meat), objective.pivot
            )
        )
    return found


def curvature(
    objective: Objective, fit: PoseFit, split: Tiles, unknowns: CameraCorrections
) -> np.ndarray:
    """Return the Hessian (6 + n, 6 + n) of half the cost and the prior by pose and free corrections, as at a minimum."""
    _, gauss_newton = unknowns.system(objective, objective.pivot[None], fit, unknowns.none)
    ways = unknowns.jacobians(objective.views, [objective.pivot], len(fit.gradient))
    hessian = sum(
        way.T @ split.hessians[split.views == i].sum(axis=0) @ way for i, way in enumerate(ways)
    ) / sum(fit.pixels)
    hessian[6:, 6:] += np.diag(unknowns.precision(objective, fit))
    return at_least(hessian, gauss_newton)


def at_least(hessian: np.ndarray, gauss_newton: np.ndarray) -> np.ndarray:
    """Return the Hessian (n, n), in no direction flatter than LEAST_CURVATURE of Gauss and Newton's."""
    scale = np.sqrt(np.maximum(np.diag(gauss_newton), 1e-300))
    plain = gauss_newton / np.outer(scale, scale) + 1e-9 * np.eye(
        len(scale)
    )  # what is not seen must not stop the decomposition
    values, axes = scipy.linalg.eigh(hessian / np.outer(scale, scale), plain)
    back = plain @ axes
    return back * np.maximum(values, LEAST_CURVATURE) @ back.T * np.outer(scale, scale)


def cluster_correction(clusters: int, parameters: int) -> float:
    """Return M / (M - p): residuals at the minimum are smaller than those at the truth."""
    return clusters / max(clusters - parameters, 1)


def sandwich(bread: np.ndarray, meat: np.ndarray) -> np.ndarray:
    """Return bread^-1 meat bread^-1 (n, n).

    What the bread does not see at all is as good as unknown, see UNSEEN_SD.
    """
    inverse, unseen = inverted(bread)
    return inverse @ meat @ inverse + unseen


def inverted(bread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse (n, n) of a Hessian where it sees anything, and the covariance (n, n) of what it does not see at all."""
    scale = np.sqrt(np.maximum(np.diag(bread), 1e-300))
    values, axes = np.linalg.eigh(bread / np.outer(scale, scale))
    seen = values > UNSEEN
    inverse = (axes[:, seen] / values[seen]) @ axes[:, seen].T / np.outer(scale, scale)
    unseen = axes[:, ~seen] / np.linalg.norm(axes[:, ~seen], axis=0)
    return inverse, UNSEEN_SD**2 * unseen @ unseen.T
