"""What the cameras leave open of bones that were registered together.

They are registered with the cameras that the whole CT has corrected, of whose corrections c its
registration tells the covariance S. Errors of these move the poses x of all bones by -K c, K =
H_xx^-1 H_xc, by the normal equations of all poses and all cameras: the covariance of x and c is one,
and an error that two bones have in common is none of how they lie to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..registration.bones import BonesRegistration
from ..registration.cameras import prior_share
from ..registration.problem import add_prior
from .bone_features import BoneFeatures, BoneNoise
from .bone_prediction import fitted
from .features import ReliabilityFeatures
from .uncertainty import PoseUncertainty, TargetUncertainty, inverted, target_jacobians
from .uses import Error


class CamerasShare(NamedTuple):
    """What uncertain cameras add.

    Attributes
    ----------
    joint
        (6 B + N, 6 B + N) of the poses of all bones, as of a `PoseUncertainty` each, and of all N
        corrections of the cameras.
    seen
        By view and bone, as `ReliabilityFeatures.seen`.
    """

    joint: np.ndarray
    seen: list[list[np.ndarray]]


def cameras_share(found: BonesRegistration, of_whole: ReliabilityFeatures) -> CamerasShare:
    """Return what the uncertainty of the cameras, as the registration of the whole CT leaves it, adds for each bone."""
    unknowns = of_whole.unknowns
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
    joint = np.zeros((count + unknowns.sd.size,) * 2)
    if columns.size:
        shadows = objective.shadows(poses, intrinsics=True)
        fit = objective.linearise(poses, shadows, intrinsics=True)
        ways = unknowns.jacobians(views, pivots, unknowns.none, len(fit.gradient), considered=True)
        hessian = sum(way.T @ each @ way for way, (_, each) in zip(ways, fit.by_view, strict=True))
        share = prior_share(fit, objective.settings)
        add_prior(found.ties, poses, pivots, share, np.zeros(len(hessian)), hessian)
        inverse, _unseen = inverted(hessian[:count, :count])
        response = -inverse @ hessian[:count, count:]
        known = of_whole.total_uncertainty.joint[np.ix_(6 + columns, 6 + columns)]
        both = np.vstack([response, np.eye(len(columns))])
        places = np.concatenate([np.arange(count), count + columns])
        joint[np.ix_(places, places)] = both @ known @ both.T
    return CamerasShare(joint, seen)


class BoneErrors:
    """How far bones are off by noise, as often as right ones are, and by their cameras.

    Parameters
    ----------
    noises, features
        Of each bone.
    """

    def __init__(
        self,
        found: BonesRegistration,
        of_whole: ReliabilityFeatures,
        noises: Sequence[BoneNoise],
        features: Sequence[BoneFeatures],
    ) -> None:
        self._found = found
        self._cameras = cameras_share(found, of_whole)
        self._noises = noises
        self._features = features
        self._views = found.objectives[-1].views
        self._pivots = found.objectives[-1].pivots(found.poses)

    def known(self, b: int) -> bool:
        """Return whether any view shows a bone."""
        return bool(self._noises[b].parts)

    def room(self, b: int) -> Error:
        """Return how far a bone is off in the room."""
        return _sum(self._exact(b), self._by_cameras(b).at(self._surface(b)))

    def overlay(self, b: int) -> Error:
        """Return how far it appears elsewhere, in the worst view."""
        points = self._surface(b)
        noise = self._by_noise(b)
        usual, most = self._times_noise(b)
        of_views = []
        for view, seen in zip(self._views, self._cameras.seen, strict=True):
            where = points, view.camera, seen[b]
            shown = noise.in_view(*where)
            scaled = Error(usual * shown.mean_mm, most * shown.bound_mm())
            of_views.append(_sum(scaled, self._by_cameras(b).in_view(*where)))
        return Error(*map(max, zip(*of_views, strict=True)))

    def relative(
        self, one: int, other: int, point: np.ndarray, axes: np.ndarray
    ) -> tuple[list[Error], list[Error]]:
        """Return how far the motion of `other` against `one` is off: degrees and mm, of the whole and along each of the axes.

        Parameters
        ----------
        point
            (3,) of `other`, CT mm, whose shift is meant.
        axes
            (3, 3), their columns, world.
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
        cameras = self._cameras.joint[np.ix_(numbers, numbers)]
        (usual, most), (usual_other, most_other) = map(self._times_noise, pair)
        likely = self._noise_of(pair, (usual, usual_other))
        # Hardly ever are both as far off as one of twenty is.
        at_most = [
            self._noise_of(pair, times) for times in ((most, usual_other), (usual, most_other))
        ]

        def error(jacobian: np.ndarray) -> Error:
            known = [
                TargetUncertainty(place[None], jacobian[None], each)
                for each in (likely, *at_most, cameras)
            ]
            bound = max(each.bound_mm() for each in known[1:3])
            return _sum(Error(known[0].mean_mm, bound), known[3])

        parts = [slice(None), *(slice(axis, axis + 1) for axis in range(3))]
        return [error(turn[part]) for part in parts], [error(shift[part]) for part in parts]

    def _times_noise(self, b: int) -> tuple[float, float]:
        """Return how many times what noise explains a bone is off, usually and at most."""
        at = self._by_noise(b).at(self._surface(b))
        error = self._exact(b)
        return error.typical_mm / at.mean_mm, (error.upper95_mm or np.inf) / at.bound_mm()

    def _noise_of(self, pair: tuple[int, int], times: tuple[float, float]) -> np.ndarray:
        """Return the covariance (12, 12) of two bones that are off by so many times what noise explains."""
        covariance = np.zeros((12, 12))
        for n, b in enumerate(pair):
            own = slice(6 * n, 6 * n + 6)
            covariance[own, own] = times[n] ** 2 * self._noises[b].covariance
        return covariance

    def _exact(self, b: int) -> Error:
        prediction = fitted().predict(self._features[b])
        return Error(prediction.typical_mm, prediction.upper95_mm)

    def _surface(self, b: int) -> np.ndarray:
        return rigid.transform_points(self._found.poses[b], self._found.bones[b].surface)

    def _by_noise(self, b: int) -> PoseUncertainty:
        joint = np.zeros((6 + len(self._cameras.joint) - 6 * len(self._pivots),) * 2)
        joint[:6, :6] = self._noises[b].covariance
        return PoseUncertainty(joint, self._pivots[b])

    def _by_cameras(self, b: int) -> PoseUncertainty:
        count = 6 * len(self._pivots)
        joint = self._cameras.joint
        numbers = np.r_[6 * b : 6 * b + 6, count : len(joint)]
        return PoseUncertainty(joint[np.ix_(numbers, numbers)], self._pivots[b])


def _sum(exact: Error, cameras: TargetUncertainty) -> Error:
    """Return an error with what the cameras add."""
    upper = hypot(exact.upper95_mm or np.inf, cameras.bound_mm())
    return Error(hypot(exact.typical_mm, cameras.mean_mm), upper)
