"""Cameras that are not known exactly, of a patient who has bent.

One Gauss-Newton over the poses of all bones and of the rest, and cameras.

A registration of the whole CT corrects the cameras as if the patient were rigid, so that part of a
bend ends up in them. Here everything moves, and all pixels are compared. A correction of a camera
moves all that it sees: the derivative by it is the sum of those by the bones and by the rest of the
CT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..errors import go_on
from ..geometry import rigid
from ..imaging.structures import Structures
from ..imaging.xray import SharedUnknowns, View
from ..rendering.drr import intrinsics_jacobian
from .bones import (
    LEVELS,
    BonesFit,
    BonesObjective,
    Shadow,
    Shadows,
    add_prior,
    bones_of,
    largest_step_mm,
    objective_at,
    prior_cost,
    prior_share,
    register_bones,
)
from .cameras import CameraCorrections, uncalibrated_view_indices
from .levenberg_marquardt import Equations, minimised
from .optimizer import moved
from .pipeline import Progress, Refinement
from .prepared_ct import PreparedCT

#: The finest of several bones', of the whole images.
LEVEL = LEVELS[-1]._replace(
    settings=replace(LEVELS[-1].settings, silhouette_mm=None), iterations=20
)
#: The share of the time in which bones are registered with the cameras as the whole CT has them.
BONES_SHARE = 0.4


def correct_cameras(
    whole: PreparedCT,
    structures: Structures,
    views: Sequence[View],
    shared: SharedUnknowns,
    registered: Refinement,
    progress: Callable[[Progress], object] = lambda _: None,
) -> tuple[Refinement, list[np.ndarray] | None]:
    """Return the registration of the whole CT with the cameras and the pose that fit best beside the bones, and the poses of these.

    As it was, and None, where the cameras are exact or nothing ties them.

    Parameters
    ----------
    whole
        The whole CT.
    views, shared
        With the cameras that the case gives, and what is not known of them.
    registered
        From these views.
    progress
        Called after each step, with the pose of the rest; `Cancelled` is raised where it returns
        False.
    """
    cameras = CameraCorrections(views, shared)
    if not cameras.free.size or uncalibrated_view_indices(views, shared):
        return registered, None
    pose = registered.world_from_ct
    bones = bones_of(structures, whole)
    found = register_bones(
        whole,
        bones,
        registered.views,
        pose,
        lambda part: progress(replace(part, fraction=BONES_SHARE * part.fraction)),
    )
    steps = 0

    def on_step(state: _State, fit: BonesFit, size_mm: float) -> None:
        nonlocal steps
        steps += 1
        fraction = BONES_SHARE + (1 - BONES_SHARE) * steps / LEVEL.iterations
        go_on(progress(Progress(fraction, "correcting the cameras", state.rest, fit.cost)))

    given = objective_at(whole, bones, views, pose, found.ties, LEVEL)
    start = _State(pose, found.poses, registered.corrections)
    problem = _Problem(whole, given, cameras)
    state, _ = minimised(problem, start, LEVEL.iterations, LEVEL.tolerance_mm, on_step)
    corrected = cameras.cameras(state.corrections, [view.camera for view in views])
    views = [replace(view, camera=camera) for view, camera in zip(views, corrected, strict=True)]
    fit = whole.fit(views, state.rest, pose)
    corrections = state.corrections
    return replace(
        registered, world_from_ct=state.rest, fit=fit, views=views, corrections=corrections
    ), state.poses


class _State(NamedTuple):
    """Poses (4, 4) of the rest and of the bones, and the cameras' corrections."""

    rest: np.ndarray
    poses: list[np.ndarray]
    corrections: np.ndarray


class _Given(NamedTuple):
    """See `cameras.Compared`."""

    views: Sequence[View]
    pivot: np.ndarray


class _Problem:
    """See `levenberg_marquardt.Problem`; `given`: the objective of the bones, with the cameras that the case gives."""

    near_mm: tuple[float, float] | None = None
    block = 6

    def __init__(
        self, whole: PreparedCT, given: BonesObjective, cameras: CameraCorrections
    ) -> None:
        self._whole = whole
        self._given = given
        self._cameras = cameras
        self._bones = given.bones
        self._sd = cameras.sd[cameras.free]
        self._centroid = np.mean([bone.centroid for bone in given.bones], axis=0)
        self._of_bones = slice(6, 6 + 6 * len(given.bones))
        self._here: BonesObjective | None = None

    def evaluate(self, state: _State) -> tuple[BonesObjective, Shadows]:
        """Return the objective with the corrected cameras, which compares what was compared last, and the bones' shadows."""
        there = self._at(state)
        if self._here is not None:
            there.compare_as(self._here)
        return there, there.shadows(state.poses)

    def linearise(
        self, state: _State, evaluation: tuple[BonesObjective, Shadows]
    ) -> tuple[BonesFit, Equations]:
        """Accept the state, and return its fit and equations."""
        self._here, shadows = evaluation
        self._fit, gradient, hessian = self._linearised(self._here, shadows, state)
        self._share = share = prior_share(self._here, self._fit)
        bones = self._of_bones
        ties = add_prior(self._here, state.poses, share, gradient[bones], hessian[bones, bones])
        gradient[bones.stop :] += share * state.corrections[self._cameras.free] / self._sd**2
        hessian[bones.stop :, bones.stop :] += np.diag(share / self._sd**2)
        cost = self._fit.cost + ties + share * self._unlikely(state)
        return self._fit, Equations(cost, gradient, hessian)

    def cost(self, state: _State, evaluation: tuple[BonesObjective, Shadows]) -> float:
        """Return the cost with that of the priors."""
        there, shadows = evaluation
        unlikely = prior_cost(there, state.poses) + self._unlikely(state)
        return there.cost(shadows) + self._share * unlikely

    def moved(self, state: _State, step: np.ndarray) -> _State:
        """Return the state after a step of the rest, of the bones and of the free corrections."""
        twists, corrections = np.split(step, [self._of_bones.stop])
        rest, *others = twists.reshape(-1, 6)
        return _State(
            moved(state.rest, rest, rigid.transform_points(state.rest, self._centroid)),
            [
                moved(pose, twist, rigid.transform_points(pose, bone.centroid))
                for pose, twist, bone in zip(state.poses, others, self._bones, strict=True)
            ],
            self._cameras.moved(state.corrections, corrections),
        )

    def size_mm(self, step: np.ndarray) -> float:
        """Return how far the step moves any bone that a view shows."""
        return largest_step_mm(step[self._of_bones].reshape(-1, 6), self._fit)

    def _at(self, state: _State) -> BonesObjective:
        """Return the objective with the corrected cameras."""
        given = self._given
        cameras = self._cameras.cameras(state.corrections, [view.camera for view in given.views])
        views = [
            replace(view, camera=camera) for view, camera in zip(given.views, cameras, strict=True)
        ]
        return BonesObjective(
            self._whole, self._bones, views, given.voxel_mm, given.settings, state.rest, given.ties
        )

    def _unlikely(self, state: _State) -> float:
        """Return minus twice the logarithm of the corrections' prior."""
        return float(np.sum((state.corrections[self._cameras.free] / self._sd) ** 2))

    def _linearised(
        self, objective: BonesObjective, shadows: Shadows, state: _State
    ) -> tuple[BonesFit, np.ndarray, np.ndarray]:
        """Return the fit, and gradient and Hessian of half the cost by the poses of rest and bones, and by the free corrections."""
        fit = objective.linearise(state.poses, shadows)
        pivot = rigid.transform_points(state.rest, self._centroid)
        corrections = self._of_bones.stop
        ways = self._cameras.jacobians(_Given(self._given.views, pivot), state.corrections, 9)
        size = corrections + len(self._cameras.free)
        gradient = np.zeros(size)
        hessian = np.zeros((size, size))
        gradient[6:corrections] = fit.gradient
        hessian[6:corrections, 6:corrections] = fit.hessian
        own = np.r_[0:6, corrections:size]
        at_rest = objective.shadows([state.rest] * len(self._bones))
        for v, (way, in_rest, in_place) in enumerate(zip(ways, at_rest, shadows, strict=True)):
            by_image = np.zeros((15, 6 + len(self._cameras.free)))
            by_image[:6, :6] = np.eye(6)
            by_image[6:, 6:] = way[:, 6:]
            changes = objective.changes(
                v, in_place, self._jacobian(objective, v, state, pivot, in_rest, in_place)
            )
            compared = objective.compare_view(v, in_place)
            for kind, (change, weight, residual) in enumerate(
                zip(changes, compared.weights, compared.residuals, strict=True)
            ):
                weighted = change * weight
                flat = weighted.reshape(15, -1) / fit.pixels
                gradient[own] += by_image.T @ (flat @ residual.ravel())
                hessian[np.ix_(own, own)] += (
                    by_image.T @ (flat @ change.reshape(15, -1).T) @ by_image
                )
                for b, (rows, columns) in compared.parts.items():
                    here = weighted[..., rows, columns].reshape(15, -1) / fit.pixels
                    block = by_image.T @ (here @ compared.changes[b][kind].reshape(6, -1).T)
                    bone = np.arange(6 + 6 * b, 12 + 6 * b)
                    hessian[np.ix_(own, bone)] += block
                    hessian[np.ix_(bone, own)] += block.T
        return fit, gradient, hessian

    def _jacobian(
        self,
        objective: BonesObjective,
        v: int,
        state: _State,
        pivot: np.ndarray,
        in_rest: Sequence[Shadow | None],
        in_place: Sequence[Shadow | None],
    ) -> np.ndarray:
        """Return (15, rows, columns), a view's image by the pose of the rest (6), by that of all (6), and by the intrinsics (3)."""
        camera = objective.views[v].camera
        projector = self._whole.projector(self._whole.level(objective.voxel_mm))
        jacobian = np.empty((15, *camera.size[::-1]), np.float32)
        rest = jacobian[:6]
        everything = jacobian[6:12]
        rest[:] = projector.render(camera, state.rest, jacobian=True, pivot=pivot).jacobian
        for bone, shadow in zip(self._bones, in_rest, strict=True):
            _add(rest, shadow, rigid.transform_points(state.rest, bone.centroid) - pivot, -1)
        everything[:] = rest
        for bone, pose, shadow in zip(self._bones, state.poses, in_place, strict=True):
            _add(everything, shadow, rigid.transform_points(pose, bone.centroid) - pivot, 1)
        intrinsics_jacobian(camera, pivot, everything, jacobian[12:])
        return jacobian


def _add(jacobian: np.ndarray, shadow: Shadow | None, lever: np.ndarray, sign: int) -> None:
    """Add a bone's derivatives by a motion about its own centre, `lever` (3,) mm from that of the others, as those about theirs."""
    if shadow is None or shadow.jacobian is None:
        return
    turn = shadow.jacobian[:3]
    shift = sign * shadow.jacobian[3:]
    jacobian[(slice(3), *shadow.part)] += sign * turn + np.stack(
        [lever[i - 2] * shift[i - 1] - lever[i - 1] * shift[i - 2] for i in range(3)]
    )
    jacobian[(slice(3, 6), *shadow.part)] += shift
