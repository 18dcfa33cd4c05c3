"""Cameras that are not known exactly, of a patient who has bent.

One Gauss-Newton over the poses of all bones and of the rest, and cameras.

A registration of the whole CT corrects the cameras as if the patient were rigid, so that part of a
bend ends up in them. Here everything moves, and all pixels are compared. A correction of a camera
moves all that it sees: the derivative by it is the sum of those by the bones and by the rest of the
CT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import go_on, unseen
from ..imaging.structures import Structures
from ..imaging.xray import SharedUnknowns, View, with_cameras
from .bones import BonesFit, bones_of
from .cameras import CameraCorrections, uncalibrated_view_indices
from .levenberg_marquardt import minimised
from .pipeline import Progress, Refinement, Report
from .prepared_ct import PreparedCT
from .problem import Problem, State
from .register_bones import LEVELS, objective_at, register_bones

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
    progress: Report = unseen,
) -> tuple[Refinement, list[np.ndarray] | None]:
    """Return the registration of the whole CT with the cameras and the pose that fit best beside the bones, and the poses of these.

    As it was, and None, without bones, and where the cameras are exact or nothing ties them.

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
    exact = not (structures.names and cameras.free.size)
    if exact or uncalibrated_view_indices(views, shared):
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

    def on_step(state: State, fit: BonesFit, size_mm: float) -> None:
        nonlocal steps
        steps += 1
        fraction = BONES_SHARE + (1 - BONES_SHARE) * steps / LEVEL.iterations
        go_on(progress(Progress(fraction, "correcting the cameras", state.poses[-1], fit.cost)))

    objective = objective_at(whole, bones, views, pose, found.ties, LEVEL, moving_rest=True)
    problem = Problem(objective, cameras, found.ties)
    start = State(np.array([*found.poses, pose]), registered.corrections)
    state, _ = minimised(problem, start, LEVEL.iterations, LEVEL.tolerance_mm, on_step)
    *poses, rest = state.poses
    corrected = cameras.cameras(state.corrections, [view.camera for view in views])
    views = with_cameras(views, corrected)
    fit = whole.fit(views, rest, pose)
    corrections = state.corrections
    return replace(
        registered, world_from_ct=rest, fit=fit, views=views, corrections=corrections
    ), poses
