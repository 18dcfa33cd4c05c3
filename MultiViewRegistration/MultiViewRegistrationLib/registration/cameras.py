"""What is not known exactly about the cameras.

Corrections with Gaussian priors, solved for together with the pose.

The corrected camera of view i is

    camera_from_world' = T(o) camera_from_world E_i,   E_i = [exp(r_i), t_i]
    f' = f (1 + s_i + d / source_to_detector),         c' = c + p_i + p

r_i (rad, about the world origin), t_i (mm), s_i (share of the distance from source to detector),
p_i (pixels) and e_i (of a slot scan, the share of its rows' density; f is that of the fan alone)
are the view's own corrections; r and t of the first view are 0, which ties the world to it. d (mm),
p (pixels) and o (mm, in the cameras' frame) are shared by all views. E_i acts on the image just as
a motion of the CT in that view alone does, and o likewise: the renderer's derivative by the pose
and the intrinsics is all that is needed.

Corrections that the images can tell are free: they are solved for. The others are considered
(Schmidt, Advances in Control Systems 3, 1966): the refinement takes them as 0, and their standard
deviations go into the predicted error (`assessment.uncertainty`).

The cost is a mean of squares. N independent normal residuals of an unknown variance have, at its
best estimate (the cost itself), the log-likelihood -N/2 log cost; with the prior, pose and
corrections minimise

    N log cost + sum (correction / sd)^2

so that a squared standard deviation weighs cost / N beside the cost: the better the fit, the less
the prior holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from .objective import Comparison, Fit
from .similarity import Settings

#: Corrections of a view's own: r (3), t (3), s, p (2), e.
OWN = 10

#: A correction with a smaller standard deviation is considered, not solved for: rad, mm, and shares
#: of the distance from source to detector. So those of a calibration are considered: the images
#: know them no better. Those of a C-arm's readings are solved for, all of them: taken as exact, a
#: distance wrong by 1 % moves the CT by 7 mm along the beam.
FREE_FROM = np.repeat([np.radians(0.2), 0.5, 0.003, 0.001, 0.003], [3, 3, 1, 2, 1])
#: Lever arm in mm that turns an angle into a length when the size of a step is measured.
LEVER_MM = 100.0


def uncalibrated_view_indices(
    views: Sequence[View], shared: SharedUnknowns = CALIBRATED
) -> list[int]:
    """Return indices of the views that nothing ties to the first one.

    Neither a prior on their camera nor an unknown shared by all.
    """
    if shared != CALIBRATED:
        return []
    unknown = [view.rotation_sd_deg is None and view.translation_sd_mm is None for view in views]
    return [i for i in range(1, len(views)) if unknown[i]]


class CameraCorrections:
    """The corrections of a case's cameras as one vector.

    r (3), t (3), s, p (2), e of each view, then d, p (2) and o (3).

    Attributes
    ----------
    shared
        What is unknown and the same in all views.
    sd
        (OWN views + 6,) standard deviations; 0 = known, inf = nothing is known.
    free, considered
        Indices of those that are solved for, and of those that are only taken into account, see
        above.
    none
        (OWN views + 6,), no corrections.
    intrinsics
        Whether distances, principal points or the density of rows are among the free ones.

    Raises
    ------
    InputError
        Where the distance from source to detector is free and a view does not tell its pixel size.
    """

    def __init__(self, views: Sequence[View], shared: SharedUnknowns = CALIBRATED) -> None:
        self.shared = shared
        self._focal_px = [view.camera.focal_px for view in views]
        self._source_to_detector_mm = [_source_to_detector(view, shared) for view in views]
        own = np.array([_own_sd(view, first=i == 0) for i, view in enumerate(views)]).reshape(
            -1, OWN
        )
        together = [
            shared.source_to_detector_sd_mm or 0,
            *[shared.principal_point_sd_px or 0] * 2,
            *[shared.isocentre_sd_mm or 0] * 3,
        ]
        self.sd = np.array([*own.ravel(), *together])
        shares = own.copy()
        shares[:, 7:9] /= np.array(self._focal_px)[:, None]
        free = np.concatenate([(shares >= FREE_FROM).ravel(), np.array(together) > 0])
        self.free = np.flatnonzero(free)
        self.considered = np.flatnonzero((self.sd > 0) & ~free)
        self.none = np.zeros(self.sd.size)
        self.intrinsics = bool(free[-6:-3].any() or free[:-6].reshape(-1, OWN)[:, 6:].any())

    @classmethod
    def exact(cls, views: Sequence[View]) -> CameraCorrections:
        """Return corrections of which none is unknown, whatever the views say."""
        return cls([view.exact() for view in views])

    def camera(self, i: int, corrections: np.ndarray, given: Camera) -> Camera:
        """Return the corrected camera of view i; of its image pooled or cropped, if `given` is."""
        own = corrections[OWN * i : OWN * (i + 1)]
        shared = corrections[-6:]
        if not own.any() and not shared.any():
            return given
        shift = rigid.translation(shared[3:])
        motion = rigid.turn_and_shift(own[:3], own[3:6])
        scale = 1 + own[6] + shared[0] / self._source_to_detector_mm[i]
        corrected = given.corrected(
            scale, (own[7:9] + shared[1:3]) * self._pooling(i, given), 1 + own[9]
        )
        return replace(corrected, camera_from_world=shift @ given.camera_from_world @ motion)

    def cameras(self, corrections: np.ndarray, given: Sequence[Camera]) -> list[Camera]:
        """Return the corrected cameras of all views."""
        if not self.free.size:
            return list(given)
        return [self.camera(i, corrections, camera) for i, camera in enumerate(given)]

    def moved(self, corrections: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the corrections after a step (n,) of the free ones."""
        moved = corrections.copy()
        moved[self.free] += step
        return moved

    def size(self, step: np.ndarray) -> float:
        """Return the largest part of a step (n,) in mm, an angle at LEVER_MM, a share of a distance at 1 m, or in pixels."""
        if not step.size:
            return 0.0
        parts = np.abs(self.moved(self.none, step))
        own = parts[:-6].reshape(-1, OWN)
        own[:, :3] *= LEVER_MM
        own[:, [6, 9]] *= 1000.0
        return float(parts.max())

    def system(
        self,
        objective: Comparison,
        pivots: np.ndarray,
        fit: Fit,
        corrections: np.ndarray,
        *,
        second_order: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the normal equations by poses and free corrections, the corrections' prior included.

        The gradient (6 B + n,) and Hessian (6 B + n, 6 B + n) are of half the cost.

        Parameters
        ----------
        pivots
            (B, 3) world mm, about which the bodies turn.
        fit
            Of them.
        second_order
            Of each view's Hessian only so much as its sharpness.
        """
        count = 6 * len(pivots)
        shares = fit.sharpness if second_order else ()
        if not (self.free.size or shares) and len(fit.gradient) == count:
            return fit.gradient.copy(), fit.hessian.copy()
        ways = self.jacobians(objective.views, pivots, len(fit.gradient), corrections)
        gradient = np.zeros(ways[0].shape[1])
        hessian = np.zeros((len(gradient), len(gradient)))
        every = shares or [1.0] * len(ways)
        for way, (own_gradient, own_hessian), share in zip(ways, fit.by_view, every, strict=True):
            gradient += way.T @ own_gradient
            hessian += share * way.T @ own_hessian @ way
        precision = self.precision(objective, fit)
        gradient[count:] += precision * corrections[self.free]
        hessian[count:, count:] += np.diag(precision)
        return gradient, hessian

    def jacobians(
        self,
        views: Sequence[View],
        pivots: Sequence[np.ndarray] | np.ndarray,
        derivatives: int,
        corrections: np.ndarray | None = None,
        *,
        considered: bool = False,
    ) -> list[np.ndarray]:
        """Return what the Jacobian of each view's projection is by, by poses and free corrections: (derivatives, 6 B + n).

        It is by 6 or 9 numbers of each of B bodies.

        Parameters
        ----------
        views
            With the cameras that the case gives.
        pivots
            As of `system`.
        considered
            (derivatives, 6 B + n + m), the considered ones last.
        """
        corrections = self.none if corrections is None else corrections
        columns = [*self.free, *(self.considered if considered else ())]
        each = derivatives // len(pivots)
        own = np.zeros((derivatives, 6 * len(pivots)))
        for b in range(len(pivots)):
            own[each * b : each * (b + 1), 6 * b : 6 * b + 6] = np.eye(each, 6)
        ways = []
        for i, view in enumerate(views):
            by_cameras = [
                self.seen(i, corrections, view.camera, pivot)[:each, columns] for pivot in pivots
            ]
            ways.append(np.hstack([own, np.concatenate(by_cameras)]))
        return ways

    def spread(self, errors: np.ndarray) -> np.ndarray:
        """Return the covariance (6 + N, 6 + N) of pose and all N corrections.

        Parameters
        ----------
        errors
            That of the pose, the free ones and, if it holds them, the considered ones.
        """
        columns = np.concatenate([np.arange(6), 6 + self.free, 6 + self.considered])[: len(errors)]
        joint = np.zeros((6 + self.sd.size, 6 + self.sd.size))
        joint[np.ix_(columns, columns)] = errors
        return joint

    def precision(self, objective: Comparison, fit: Fit) -> np.ndarray:
        """Return (n,) what the prior of the free corrections weighs beside the Hessian of half the cost."""
        return prior_share(fit, objective.settings) / self.sd[self.free] ** 2

    def unlikely(self, corrections: np.ndarray) -> float:
        """Return minus twice the logarithm of the prior of the free corrections."""
        return float(np.sum((corrections[self.free] / self.sd[self.free]) ** 2))

    def seen(self, i: int, corrections: np.ndarray, given: Camera, pivot: np.ndarray) -> np.ndarray:
        """Return what view i sees by all N corrections, (9, N).

        It sees (omega, v) about the pivot and `intrinsics_jacobian`'s three.
        """
        rotation = corrections[OWN * i : OWN * i + 3]
        about_origin = np.zeros((6, 6))
        about_origin[:3, :3] = _right_jacobian(rotation)
        about_origin[3:, 3:] = rigid.exp_so3(-rotation)
        way = np.zeros((9, self.sd.size))
        own = way[:, OWN * i : OWN * (i + 1)]
        shared = way[:, -6:]
        own[:6, :6] = rigid.adjoint(rigid.translation(-pivot)) @ about_origin
        scale = 1 + corrections[OWN * i + 6] + corrections[-6] / self._source_to_detector_mm[i]
        own[6, 6] = 1 / scale
        shared[6, 0] = 1 / (scale * self._source_to_detector_mm[i])
        corrected = self.camera(i, corrections, given)
        pooling = self._pooling(i, given)
        shared[3:6, 3:] = corrected.camera_from_world[:3, :3].T
        axes = 7 + given.fan_axes
        own[7:axes, 7:axes] = shared[7:axes, 1 : axes - 6] = np.eye(given.fan_axes) * pooling
        if given.is_slot_scan:  # a row farther is a motion along the scan
            own[3:6, 8] = shared[3:6, 2] = pooling * corrected.source_step
            own[8, 9] = 1 / (1 + corrections[OWN * i + 9])
        return way

    def _pooling(self, i: int, given: Camera) -> float:
        """Return pixels of the given camera's image in one of the image as it is stored.

        1 / the factor of pooling.
        """
        return given.focal_px / self._focal_px[i]


def independent_residuals(fit: Fit, settings: Settings) -> float:
    """Return how many independent residuals the mean in a cost stands for.

    Residuals near each other are alike; local normalisation ends that within its window of +-r
    pixels. At the last level (r = 4) their autocorrelation adds up to 5 to 30 pixels on simulated
    chests and pelves: one residual counts for each (r + 1)^2.
    """
    return max(sum(fit.pixels), 1) / (settings.radius + 1) ** 2


def prior_share(fit: Fit, settings: Settings) -> float:
    """Return what a squared standard deviation weighs beside the cost, see above."""
    cost = fit.cost if np.isfinite(fit.cost) else 1.0
    return cost / independent_residuals(fit, settings)


def _own_sd(view: View, *, first: bool) -> list[float]:
    """Return (OWN,) standard deviations of a view's own corrections."""
    rotation = np.inf if view.rotation_sd_deg is None else np.radians(view.rotation_sd_deg)
    translation = np.inf if view.translation_sd_mm is None else view.translation_sd_mm
    tied = [0.0] * 6 if first else [rotation] * 3 + [translation] * 3
    return [
        *tied,
        view.distance_sd_percent / 100,
        *[view.principal_point_sd_px] * 2,
        view.step_sd_percent / 100,
    ]


def _right_jacobian(rotation: np.ndarray) -> np.ndarray:
    """Return (3, 3) with exp(r + d) = exp(r) exp(J d) to first order.

    Its columns are translations of exp_se3, whose V is J of -r.
    """
    twists = np.concatenate([np.tile(-rotation, (3, 1)), np.eye(3)], axis=1)
    return rigid.exp_se3(twists)[:, :3, 3].T


def _source_to_detector(view: View, shared: SharedUnknowns) -> float:
    """Return the distance in mm; 1 where no pixel size is known and nobody asks for it."""
    if view.xray.pixel_mm is not None:
        return view.camera.focal_px * view.xray.pixel_mm[view.camera.fan_axes - 1]
    if shared.source_to_detector_sd_mm:
        raise InputError(
            f'shared_unknowns.source_to_detector_sd_mm: the image of view "{view.name}" does not tell its pixel size, '
            "expected one, as it turns the scale of the image into mm; give the view's geometry as "
            "c_arm, or leave this out."
        )
    return 1.0
