"""From a start pose to the registered pose: the joint refinement over all views, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import qmc

from ..errors import InputError
from ..geometry import rigid
from ..imaging.ct import CT, attenuation
from ..imaging.view import SharedUnknowns, View
from ..imaging.volume import pyramid
from ..rendering.cut_ends import cut_ends
from ..rendering.drr import Projector
from .objective import Evaluation, Objective
from .optimizer import Step, minimise, moved
from .plan import (
    AROUND_BODY,
    AROUND_STRUCTURE,
    NEIGHBOURHOOD_DEG,
    NEIGHBOURHOOD_MM,
    Level,
    Neighbourhood,
    pixel_at,
    plan,
)
from .unknowns import CALIBRATED, Unknowns

#: Two poses are one if they lie nearer than this (mm, an angle counting at RADIUS_MM from the centroid).
SAME_MM, RADIUS_MM = 3.0, 30.0
_VOLUME_LEVELS = 5


class Cancelled(Exception):
    """The caller's progress callback asked to stop."""


@dataclass(frozen=True)
class Progress:
    """Where a registration stands: the fraction of the whole that is done, what it does, and the pose it has come to."""

    fraction: float
    stage: str
    world_from_ct: np.ndarray
    cost: float

    def __str__(self) -> str:
        return f"{100 * self.fraction:3.0f} %  {self.stage}, cost {self.cost:.4f}"


@dataclass(frozen=True)
class LevelTrace:
    """The steps that were accepted at one resolution."""

    name: str
    steps: list[Step]


@dataclass(frozen=True)
class Refinement:
    """The registered pose, the fit there, and how it was reached.

    candidates: how many poses were refined at the coarsest level.
    views: with their cameras as they were corrected.   shared: (6,) the corrections that all views share, see `Unknowns`.
    """

    world_from_ct: np.ndarray
    fit: Evaluation
    levels: list[LevelTrace]
    candidates: int
    views: list[View]
    shared: np.ndarray


class Anatomy:
    """A CT made ready for registration, once for any number of X-rays: its pyramid of attenuation, and where its bone is.

    structure: whether it is one structure among others that the X-rays show, too (a mask, or a relative volume).
    """

    def __init__(self, ct: CT) -> None:
        self._volumes = pyramid(attenuation(ct), _VOLUME_LEVELS)
        self._projectors: dict[int, Projector] = {}
        self._cut = cut_ends(self._volumes[0])
        self.structure = ct.mask is not None or ct.unit == "relative"
        self.centroid = ct.centroid()

    def projector(self, level: int) -> Projector:
        """The projector of one level of the volume pyramid, 0 being the CT's own resolution; made when first asked for."""
        if level not in self._projectors:
            self._projectors[level] = Projector(self._volumes[level], self._cut)
        return self._projectors[level]

    def corners(self) -> np.ndarray:
        """(8, 3) CT mm: the corners of the box around all that attenuates."""
        box = self.projector(1)
        index = np.stack(np.meshgrid(*[(0.5, size - 1.5) for size in box.shape], indexing="ij"), axis=-1).reshape(-1, 3)
        return rigid.transform_points(box.ct_from_index, index)

    def levels(self, views: list[View], world_from_ct: np.ndarray) -> list[Level]:
        """The resolutions at which the CT is compared with these views."""
        centre = rigid.transform_points(world_from_ct, self.centroid)
        box = self.corners()
        extent_mm = max(float(np.linalg.norm(box[corner] - box[0])) for corner in (1, 2, 4))
        voxel_mm = float(np.median(self._volumes[0].spacing_mm))
        return plan(views, centre, extent_mm, voxel_mm, len(self._volumes), structure=self.structure)

    def objective(self, views: list[View], level: Level, world_from_ct: np.ndarray, room_mm: float = 15.0) -> Objective:
        """The objective at one resolution, of a structure only on the parts of the images within `room_mm` of it."""
        if self.structure:
            corners = rigid.transform_points(world_from_ct, self.corners())
            views = [_cropped(view, corners, room_mm, level.pool) for view in views]
        views = [view.pooled(level.pool) for view in views]
        pivot = rigid.transform_points(world_from_ct, self.centroid)
        return Objective(self.projector(level.volume), views, level.settings, pivot)


def refine(
    anatomy: Anatomy, views: list[View], world_from_ct: np.ndarray, progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
) -> Refinement:
    """Register a CT to views from a start pose, all views sharing the one pose; cameras are corrected within their uncertainty.

    world_from_ct: (4, 4) rigid, mm.   shared: what is unknown and the same in all views.
    progress: called after each accepted step; where it returns False, `Cancelled` is raised.

    The same input gives the same result on any number of threads. InputError where the views show too little of the CT.
    """
    poses, traces, candidates = [world_from_ct], [], 1
    unknowns = Unknowns(views, shared)
    corrections = unknowns.none
    around = AROUND_STRUCTURE if anatomy.structure else AROUND_BODY
    levels = anatomy.levels(views, world_from_ct)
    for number, level in enumerate(levels):
        coarsest = number == 0
        objective = anatomy.objective(views, level, poses[0], room_mm=15.0 + coarsest * NEIGHBOURHOOD_MM)
        if coarsest:
            if not np.isfinite(objective.score(world_from_ct)):
                raise InputError("world_from_ct: from this start pose the X-rays show too little of the CT, expected a start "
                                 "at which they show most of it; correct the start or the geometry of the views.")
            poses = _neighbours(objective, world_from_ct, anatomy.centroid, around)
            candidates = len(poses)
        name = "{} x {} px".format(*objective.views[0].camera.size)

        def tell(share: float, step: Step, number: int = number, name: str = name) -> None:
            told = Progress((number + share) / len(levels), f"refining at {name}", step.world_from_ct, step.cost)
            if progress(told) is False:
                raise Cancelled

        runs = _refine_each(objective, level, poses, tell, unknowns, corrections)
        poses = _distinct([run.world_from_ct for run in runs], anatomy.centroid)[: around.kept if coarsest else 1]
        corrections = runs[0].corrections
        traces.append(LevelTrace(name, runs[0].steps))
    cameras = unknowns.cameras(corrections, [view.camera for view in views])
    corrected = [replace(view, camera=camera) for view, camera in zip(views, cameras, strict=True)]
    return Refinement(poses[0], runs[0].fit, traces, candidates, corrected, corrections[-6:])


@dataclass(frozen=True)
class _Run:
    """One descent at one resolution."""

    world_from_ct: np.ndarray
    corrections: np.ndarray
    fit: Evaluation
    steps: list[Step]


def _refine_each(
    objective: Objective, level: Level, poses: list[np.ndarray], tell: Callable[[float, Step], None], unknowns: Unknowns,
    corrections: np.ndarray,
) -> list[_Run]:
    """A descent from each pose, that with the lowest cost first. `tell` learns each step and the share of the level that is done."""
    runs = []
    for done, pose in enumerate(poses):
        steps: list[Step] = []

        def on_step(step: Step, done: int = done, steps: list[Step] = steps) -> None:
            steps.append(step)
            tell((done + len(steps) / (level.iterations + 1)) / len(poses), step)

        found = minimise(objective, pose, iterations=level.iterations, tolerance_mm=level.tolerance_mm, on_step=on_step,
                         unknowns=unknowns, corrections=corrections)
        runs.append(_Run(*found, steps))
    return sorted(runs, key=lambda run: run.fit.cost)


def _neighbours(objective: Objective, world_from_ct: np.ndarray, centroid: np.ndarray, around: Neighbourhood) -> list[np.ndarray]:
    """The start and the most promising of the poses around it, distinct ones: looking around first is cheap at this resolution."""
    twists = qmc.Sobol(6, seed=0).random_base2(10) * 2 - 1
    inside = (np.linalg.norm(twists[:, :3], axis=1) < 1) & (np.linalg.norm(twists[:, 3:], axis=1) < 1)
    reach = np.repeat([np.radians(NEIGHBOURHOOD_DEG), NEIGHBOURHOOD_MM], 3)
    poses = [moved(world_from_ct, twist * reach, objective.pivot) for twist in twists[inside][: around.poses]]
    poses.sort(key=objective.score)
    return _distinct([world_from_ct, *poses], centroid)[: around.refined]


def _distinct(poses: list[np.ndarray], centroid: np.ndarray) -> list[np.ndarray]:
    """The poses in their order, without those that are nearly the same as an earlier one."""
    to_centroid = rigid.from_rotation_translation(np.eye(3), centroid)
    kept: list[np.ndarray] = []
    for pose in poses:
        if all(rigid.geodesic_distance(pose @ to_centroid, other @ to_centroid, RADIUS_MM) > SAME_MM for other in kept):
            kept.append(pose)
    return kept


def _cropped(view: View, corners: np.ndarray, room_mm: float, multiple: int) -> View:
    """The part of the view within `room_mm` of the projected corners (N, 3), world mm; all of it if that part is empty.

    It begins and ends at multiples of `multiple` pixels, so that pooling it is part of pooling the whole.
    """
    pixels = view.camera.project(corners)
    room = room_mm / pixel_at(view, corners.mean(axis=0))
    low = np.maximum(np.floor((pixels.min(axis=0) - room) / multiple), 0).astype(int) * multiple
    high = np.minimum(np.ceil((pixels.max(axis=0) + room) / multiple) * multiple, view.camera.size).astype(int)
    return view.cropped(*low, *(high - low)) if (high - low >= 8 * multiple).all() else view
