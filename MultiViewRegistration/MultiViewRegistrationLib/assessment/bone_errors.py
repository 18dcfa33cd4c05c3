"""Errors of jointly registered bones caused by image noise and by uncertain cameras, with direction."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag

from ..geometry import rigid
from ..registration.cameras import prior_share
from ..registration.problem import add_prior
from ..registration.register_bones import BonesRegistration
from .bone_features import BoneFeatures, BoneNoise
from .error_by_cause import PoseError
from .features import ReliabilityFeatures
from .records import ExpectedError, RotationError
from .risk import Risk, bone_risk_model
from .uncertainty import (
    SDS_95,
    PoseUncertainty,
    TargetUncertainty,
    at_least,
    chi_square_quantile,
    inverted,
    sandwich,
    target_jacobians,
)

#: Right bones turn by so many times what noise explains, and are aside by such a share of a voxel of
#: the finest images, too. On seed 7001 of benchmarks/bones.py with a C-arm's readings (98 pairs of
#: bones of small risk) bounds held 98 % of turns and 98 % of shifts.
INFLATION = 1.2
SAMPLING = 0.1
#: Share of errors that a bound holds.
BOUNDED = 0.95


class CameraSensitivity(NamedTuple):
    """Sensitivity of the bone poses to camera errors.

    Attributes
    ----------
    moved
        (6 B + N, N): derivative of the B bone poses (as in `PoseUncertainty`) and of the N camera
        corrections with respect to the N camera corrections.
    seen
        Visibility by view and bone, as `ReliabilityFeatures.seen`.
    """

    moved: np.ndarray
    seen: list[list[np.ndarray]]

    def joint_covariance(self, uncertainty: PoseUncertainty) -> np.ndarray:
        """Return the joint covariance (6 B + N, 6 B + N) of the bone poses and camera corrections."""
        return self.moved @ uncertainty.joint[6:, 6:] @ self.moved.T


def camera_sensitivity(
    found: BonesRegistration, whole_ct_features: ReliabilityFeatures
) -> CameraSensitivity:
    """Return the sensitivity of each bone pose to the camera parameters of the whole-CT registration."""
    unknowns = whole_ct_features.unknowns
    objective = found.objectives[-1]
    poses = np.array(found.poses)
    pivots = objective.pivots(poses)
    count = 6 * len(poses)
    views = objective.views
    seen = [
        [unknowns.seen(i, unknowns.none, view.camera, pivot) for pivot in pivots]
        for i, view in enumerate(views)
    ]
    columns = np.concatenate([unknowns.free, unknowns.considered])
    moved = np.eye(count + unknowns.sd.size, unknowns.sd.size, -count)
    if columns.size:
        fit = objective.linearise(poses, objective.shadows(poses, intrinsics=True), intrinsics=True)
        jacobians = unknowns.jacobians(views, pivots, len(fit.gradient), considered=True)
        by_view = zip(jacobians, fit.by_view, strict=True)
        hessian = sum(
            jacobian.T @ view_hessian @ jacobian for jacobian, (_, view_hessian) in by_view
        )
        share = prior_share(fit, objective.settings)
        add_prior(found.ties, poses, pivots, share, np.zeros(len(hessian)), hessian)
        inverse, _unseen = inverted(hessian[:count, :count])
        moved[:count, columns] = -inverse @ hessian[:count, count:]
    return CameraSensitivity(moved, seen)


def noise_share(found: BonesRegistration, noises: Sequence[BoneNoise]) -> np.ndarray:
    """Return the covariance (6 B, 6 B) of all bone poses due to image noise and the prior between bones.

    The sandwich estimator of `uncertainty` with the observed curvature: the Gauss-Newton curvature
    grows with the mismatch of CT and X-rays, which made the errors two to five times too small.
    """
    objective = found.objectives[-1]
    poses = np.array(found.poses)
    plain = (found.fit.hessian * objective.pixels).reshape(len(poses), 6, len(poses), 6)
    hessian = block_diag(
        *map(at_least, objective.curvatures(poses), [plain[b, :, b] for b in range(len(poses))])
    )
    meat = block_diag(*(noise.gradient_covariance for noise in noises))
    ties = np.zeros_like(meat)
    pivots = objective.pivots(poses)
    add_prior(found.ties, poses, pivots, 1.0, np.zeros(len(ties)), ties)
    share = prior_share(found.fit, objective.settings) * objective.pixels
    return INFLATION**2 * sandwich(hessian + share * ties, meat + share**2 * ties)


class BoneErrors:
    """Errors of bone poses due to image noise and uncertain cameras.

    Parameters
    ----------
    noises, features
        Noise and reliability features of each bone.
    """

    def __init__(
        self,
        found: BonesRegistration,
        whole_ct_features: ReliabilityFeatures,
        noises: Sequence[BoneNoise],
        features: Sequence[BoneFeatures],
    ) -> None:
        self._found = found
        self._cameras = camera_sensitivity(found, whole_ct_features)
        aside_mm = [0.0] * 3 + [SAMPLING * found.objectives[-1].voxel_mm] * 3
        aside = np.tile(aside_mm, len(found.poses))
        self._noise = noise_share(found, noises) + np.diag(aside**2)
        self._absolute = self._cameras.joint_covariance(whole_ct_features.total_uncertainty)
        of_noise, of_cameras = whole_ct_features.image_plane
        self._joint = self._cameras.joint_covariance(of_noise + of_cameras)
        self._joint[: len(self._noise), : len(self._noise)] += self._noise
        self._noises = noises
        self._features = features
        self._views = found.objectives[-1].views
        self._pivots = found.objectives[-1].pivots(found.poses)

    def is_known(self, b: int) -> bool:
        """Return whether a bone is visible in any view."""
        return bool(self._noises[b].parts)

    def pose(self, b: int) -> PoseUncertainty:
        """Return the uncertainty of a bone's absolute pose that noise and cameras explain."""
        noise = self._of(self._noise, b)
        return noise + PoseUncertainty(self._of(self._absolute, b).covariance, noise.pivot)

    def by_cause(self, b: int, error_ratio: float | None = None) -> PoseError:
        """Return the error of a bone's pose relative to the X-rays, split by cause.

        Parameters
        ----------
        error_ratio
            Ratio of the errors to those that noise and cameras explain. Default: the ratio
            predicted from the features of the bone.
        """
        return PoseError.of(
            self._of(self._joint, b), self._error_ratio(b) if error_ratio is None else error_ratio
        )

    def position(self, b: int) -> ExpectedError:
        """Return the error of a bone's absolute position."""
        exact = self._exact(b)
        cameras = self._of(self._absolute, b).at(self._surface(b))
        return ExpectedError(
            hypot(exact.typical_mm, cameras.mean_mm), hypot(exact.upper95_mm, cameras.bound_mm())
        )

    def overlay(self, b: int) -> ExpectedError:
        """Return the overlay error of a bone in the worst view."""
        own = self._of(self._joint, b)
        points = self._surface(b)
        of_views = []
        for view, seen in zip(self._views, self._cameras.seen, strict=True):
            of_views.append(self._error(own.in_view(points, view.camera, seen[b]), b))
        return ExpectedError(*map(max, zip(*of_views, strict=True)))

    def relative(
        self, one: int, other: int, point: np.ndarray, axes: np.ndarray
    ) -> tuple[list[RotationError], list[ExpectedError]]:
        """Return the errors of rotation and shift of `other` relative to `one`, in total and along each axis.

        Parameters
        ----------
        point
            (3,) point of `other` at which the shift is measured, CT mm.
        axes
            (3, 3) world matrix whose columns are the axes.
        """
        pair = (one, other)
        place = rigid.transform_points(self._found.poses[other], point)
        jacobians = []
        for b, sign in zip(pair, (-1.0, 1.0), strict=True):
            turns = np.eye(3, 6) * np.degrees(1.0)
            jacobians.append(
                sign * np.stack([turns, target_jacobians(place[None], self._pivots[b])[0]])
            )
        turn, shift = axes.T @ np.concatenate(jacobians, axis=-1)
        numbers = np.r_[6 * one : 6 * one + 6, 6 * other : 6 * other + 6]
        errors = self._joint[np.ix_(numbers, numbers)]

        def error(jacobian: np.ndarray) -> ExpectedError:
            return self._error(TargetUncertainty(place[None], jacobian[None], errors), *pair)

        parts = [slice(None), *(slice(axis, axis + 1) for axis in range(3))]
        rotations = [RotationError(*error(turn[part])) for part in parts]
        return rotations, [error(shift[part]) for part in parts]

    def _error(self, explained: TargetUncertainty, *bones: int) -> ExpectedError:
        """Return an error that noise and cameras explain, for bones that may be displaced.

        If a bone is displaced in less than one case of twenty, the bound is that of the bones that
        are not displaced; otherwise it grows like the bound of the individual bones.
        """
        right = float(np.prod([1 - self._exact(b).failure for b in bones]))
        if right > BOUNDED:
            return ExpectedError(explained.mean_mm, explained.bound_mm(BOUNDED / right))
        times = max(map(self._beyond, bones))
        return ExpectedError(explained.mean_mm, times * explained.bound_mm(BOUNDED))

    def _error_ratio(self, b: int) -> float:
        """Return the ratio of a bone's errors to those that noise explains, as used by `_error`."""
        right = 1 - self._exact(b).failure
        if right <= BOUNDED:
            return self._beyond(b)
        return float(np.sqrt(chi_square_quantile(BOUNDED / right, 1))) / SDS_95

    def _beyond(self, b: int) -> float:
        """Return the ratio of a bone's predicted bound to the bound due to noise, at least 1."""
        noise = self._of(self._noise, b).at(self._surface(b))
        return max(1.0, self._exact(b).upper95_mm / noise.bound_mm())

    def _exact(self, b: int) -> Risk:
        return bone_risk_model().predict(self._features[b])

    def _surface(self, b: int) -> np.ndarray:
        return rigid.transform_points(self._found.poses[b], self._found.bones[b].surface)

    def _of(self, joint: np.ndarray, b: int) -> PoseUncertainty:
        """Return the uncertainty of one bone, and of the cameras if `joint` includes them."""
        count = 6 * len(self._pivots)
        numbers = np.r_[6 * b : 6 * b + 6, count : len(joint)]
        return PoseUncertainty(joint[np.ix_(numbers, numbers)], self._pivots[b])
