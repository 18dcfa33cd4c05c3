"""The registration of several bones, from coarse images to fine ones.

With cameras that are not known exactly, and what tells whether a bone's mask holds a part of another,
and whether bones are found again from a little off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..errors import go_on, part_of, unseen
from ..geometry import rigid
from ..imaging.body import Body, Structures
from ..imaging.xray import SharedUnknowns, View, with_cameras
from ..rendering.devices import run_each
from .bone import Background, Bone
from .bones import SHOWN, BonesFit, BonesObjective
from .cameras import CameraCorrections, uncalibrated_view_indices
from .optimizer import Progress, Refinement, Report
from .prepared_ct import PreparedCT, pixel_size_mm
from .problem import Problem, State, Tie, minimised
from .similarity import Settings

#: Steps of such a size are near a minimum.
NEAR_MM = (0.0, 0.6)


class BoneLevel(NamedTuple):
    """One resolution of a registration of bones.

    Attributes
    ----------
    coarseness
        How many times larger its pixels are than the finest.
    settings
        How images are compared.
    iterations, tolerance_mm
        How long to stay.
    secant
        Steps near the minimum take the curvature from the step before, see `problem.Problem`.
    voxel_pixels
        How large voxels may be, in pixels where the bones are.
    """

    coarseness: int
    settings: Settings
    iterations: int
    tolerance_mm: float
    secant: bool = False
    voxel_pixels: float = 1.1


LEVELS = (
    BoneLevel(4, Settings(gradient_radius=6, intensity_radius=6, silhouette_mm=8), 30, 0.3),
    BoneLevel(2, Settings(gradient_radius=6, intensity_radius=6, silhouette_mm=6), 30, 0.1),
    BoneLevel(
        1, Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5, silhouette_mm=5), 8, 0.05
    ),
)


#: Levels for bones with a CT each, which begin where each was registered alone. Much of what the
#: X-rays show is missing in them, so that steps of Gauss and Newton are much too short without the
#: curvature.
LEVELS_WITHOUT_REST = (
    LEVELS[1]._replace(iterations=25, tolerance_mm=0.03, secant=True),
    LEVELS[2]._replace(iterations=25, tolerance_mm=0.01, secant=True),
)


def minimise(
    objective: BonesObjective,
    poses: Sequence[np.ndarray],
    iterations: int,
    tolerance_mm: float,
    on_step: Callable[[float], object] = lambda cost: None,
    *,
    secant: bool = False,
) -> tuple[list[np.ndarray], BonesFit]:
    """Find the poses (4, 4) of all bones that fit best, from these, and return them with the fit there.

    Parameters
    ----------
    on_step
        Called with the cost after each step; the last one is that after which it returns False.
    secant
        As of `BoneLevel`.
    """
    unknowns = CameraCorrections.exact(objective.views)
    problem = Problem(objective, unknowns, objective.ties, NEAR_MM if secant else None)
    start = State(np.array(poses), unknowns.none)

    def told(state: State, fit: BonesFit, size_mm: float) -> object:
        return on_step(fit.cost)

    end, fit = minimised(problem, start, iterations, tolerance_mm, told)
    return list(end.poses), fit


@dataclass(frozen=True, eq=False)
class BonesRegistration:
    """Bones of a CT, each at its own pose.

    Attributes
    ----------
    behind
        What lies behind the bones.
    bones
        Those that it holds, and then those with a CT each.
    poses
        (4, 4) world_from_ct of each.
    fit
        At the finest resolution.
    objectives
        Of all resolutions, the finest last.
    """

    behind: Background
    bones: list[Bone]
    poses: list[np.ndarray]
    fit: BonesFit
    objectives: list[BonesObjective]

    @property
    def ties(self) -> Sequence[Tie]:
        """Which are neighbours."""
        return self.behind.ties

    @property
    def apart(self) -> slice:
        """Those with a CT each, among all."""
        return slice(len(self.behind.bones), None)

    @property
    def views(self) -> Sequence[View]:
        """Pooled to the finest resolution."""
        return self.objectives[-1].views

    def showing(self, n: int) -> list[str]:
        """Return the names of the views that show the n-th body."""
        shares = zip(self.views, self.fit.shown[n], strict=True)
        return [view.name for view, share in shares if share >= SHOWN]

    @property
    def world_from_ct(self) -> np.ndarray:
        """(4, 4), of the whole CT; of bones with a CT each where the first began."""
        return self.behind.world_from_ct


def levels_of(behind: Background) -> Sequence[BoneLevel]:
    """Return the resolutions at which bones are registered before a CT, or before nothing."""
    return LEVELS_WITHOUT_REST if behind.is_air else LEVELS


def register_bones(
    behind: Background,
    views: Sequence[View],
    apart: Sequence[Bone] = (),
    progress: Report = unseen,
    poses: Sequence[np.ndarray] | None = None,
    levels: Sequence[BoneLevel] | None = None,
) -> BonesRegistration:
    """Register the bones of a CT whose whole is registered, and those with a CT each.

    Parameters
    ----------
    behind
        What lies behind the bones, and holds the first of them.
    views
        With their cameras as the registrations before have corrected them; they count as exact.
    apart
        Bones, or implants, with a CT each.
    progress
        Called after each step, with the first of these; `Cancelled` is raised where it returns
        False.
    poses
        (4, 4) of all of them, where they begin; by default where the whole CT lies.
    levels
        The resolutions, of `levels_of`, the finest last, by default all; none leaves the bones where
        they begin.
    """
    every = levels_of(behind)
    levels = every if levels is None else levels
    bones = [*behind.bones, *apart]
    at = behind.world_from_ct
    found = list(np.broadcast_to(at if poses is None else poses, (len(bones), 4, 4)))
    lie = found[len(behind.bones) :]
    objectives = [objective_at(behind, views, level, apart, lie) for level in every]
    steps = 0
    most = sum(level.iterations for level in levels)

    def report(cost: float) -> None:
        stage = f"registering {len(bones)} bones"
        go_on(progress(Progress(steps / most, stage, at, cost)))

    def on_step(cost: float) -> None:
        nonlocal steps
        steps += 1
        report(cost)

    for level, objective in zip(levels, objectives[len(every) - len(levels) :], strict=True):
        before = steps
        found, fit = minimise(
            objective, found, level.iterations, level.tolerance_mm, on_step, secant=level.secant
        )
        steps = before + level.iterations  # those that were not needed
        report(fit.cost)
    if not levels or bones[0].device:  # numba selects the pixels that are judged
        fit = objectives[-1].linearise(found, objectives[-1].shadows(found))
    return BonesRegistration(behind, bones, found, fit, objectives)


def objective_at(
    behind: Background,
    views: Sequence[View],
    level: BoneLevel,
    apart: Sequence[Bone] = (),
    poses: Sequence[np.ndarray] = (),
) -> BonesObjective:
    """Make the objective at one resolution; those with a CT each lie at about these poses (4, 4)."""
    sized = behind.bones or apart
    centroids = np.array([bone.centroid for bone in sized])
    places = np.array([*[behind.world_from_ct] * len(behind.bones), *poses])[: len(sized)]
    centre = rigid.transform_points(places, centroids).mean(axis=0)
    pixel_mm = float(np.mean([pixel_size_mm(view, centre) for view in views]))
    finest_mm = float(np.median([bone.pixel_mm for bone in sized]))
    pool = 2 ** max(0, round(np.log2(finest_mm / pixel_mm))) * level.coarseness
    pooled = [view.pooled(pool) for view in views]
    voxel_mm = level.voxel_pixels * pool * pixel_mm
    bones = [*behind.bones, *apart]
    given = behind, bones, pooled, voxel_mm, level.settings
    if not all(bone.device for bone in bones):
        return BonesObjective(*given)
    from .torch_bones import TorchBonesObjective  # PyTorch is an extra

    return TorchBonesObjective(*given)


def unbent(found: BonesRegistration, views: Sequence[View]) -> list[View]:
    """Return views as if no bone had moved against the rest of its CT: X-rays add up."""
    seen = []
    for view in views:
        image = view.xray.line_integrals.copy()
        for bone, pose in zip(found.behind.bones, found.poses):
            render = bone.projector(0).render
            image += render(view.camera, found.world_from_ct).image
            image -= render(view.camera, pose).image
        seen.append(replace(view, xray=replace(view.xray, line_integrals=image)))
    return seen


def similarity_at(
    anatomy: PreparedCT,
    views: list[View],
    pose: np.ndarray,
    rest: np.ndarray | None,
) -> tuple[float, ...]:
    """Return the local NCC of each view at a pose (4, 4), as at the last level of a registration from there.

    Parameters
    ----------
    rest
        (4, 4), where the rest of a masked structure's CT lies; None where it is left out.
    """
    if rest is None or anatomy.full_ct is None:
        return anatomy.fit(views, pose, pose).similarity
    structure = Body(anatomy.ct).with_mask_as_bone().bones
    behind = Background.of(structure, anatomy.full_ct, rest)
    objective = objective_at(behind, views, LEVELS[-1])
    found = objective.linearise([pose], objective.shadows([pose])).similarity[0]
    return tuple(found.tolist())


#: At the finest resolution, of the thirds of bones.
ENDS_ITERATIONS = 6


def end_pose_difference_mm(found: BonesRegistration, asked: Collection[int]) -> dict[int, float]:
    """Return how far apart the upper and the lower third of each asked bone end, mm at its surface, root mean square.

    They begin where the bone was registered. All move at once, tied as bones are.
    """
    parts: list[Bone] = []
    starts: list[np.ndarray] = []
    firsts = []
    for n, (bone, pose) in enumerate(zip(found.bones, found.poses, strict=True)):
        firsts.append(len(parts))
        parts += bone.thirds() if n in asked else [bone]
        starts += [pose] * (len(parts) - len(starts))
    objective = found.objectives[-1].of_parts(parts)
    ends, _ = minimise(objective, starts, ENDS_ITERATIONS, LEVELS[-1].tolerance_mm)
    return {n: found.bones[n].distance_between(ends[firsts[n]], ends[firsts[n] + 2]) for n in asked}


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
    behind = Background.of(structures, whole, pose)
    found = register_bones(behind, registered.views, progress=part_of(progress, 0.0, BONES_SHARE))
    steps = 0

    def on_step(state: State, fit: BonesFit, size_mm: float) -> None:
        nonlocal steps
        steps += 1
        fraction = BONES_SHARE + (1 - BONES_SHARE) * steps / LEVEL.iterations
        go_on(progress(Progress(fraction, "correcting the cameras", state.poses[-1], fit.cost)))

    objective = objective_at(behind._replace(moves=True), views, LEVEL)
    problem = Problem(objective, cameras, behind.ties)
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


#: How far off each bone begins: towards one side, and then to the opposite one.
OFF_MM = 4.0
OFF_DEG = 5.0
#: At the middle resolution, of the bones that begin off, and of those that begin where they were
#: registered, which is at a finer one.
AGAIN_ITERATIONS = 8
AGAIN_ITERATIONS_HERE = 4


def found_again_mm(found: BonesRegistration) -> np.ndarray:
    """Return (B,) how far from there each bone ends at most, mm at its surface, root mean square.

    All bones begin off at once, each in a direction of its own.
    """
    rng = np.random.default_rng(0)
    level = LEVELS[1]
    ways = rigid.unit(rng.normal(size=(len(found.bones), 2, 3)))
    twists = ways.reshape(-1, 6) * np.repeat([np.radians(OFF_DEG), OFF_MM], 3)
    centres = found.objectives[1].pivots(found.poses)

    def end(sign: int) -> list[np.ndarray]:
        starts = list(rigid.moved(np.array(found.poses), sign * twists, centres))
        iterations = AGAIN_ITERATIONS if sign else AGAIN_ITERATIONS_HERE
        # A copy, as each remembers which pixels are compared.
        return minimise(copy(found.objectives[1]), starts, iterations, level.tolerance_mm)[0]

    ends = zip(found.bones, *run_each(end, (1, -1, 0)), strict=True)
    return np.array(
        [
            max(bone.distance_between(a, here), bone.distance_between(b, here))
            for bone, a, b, here in ends
        ]
    )


#: Between the centres of vertebrae, mm, where the case has no two neighbours; how far bones of
#: other kinds are moved.
SPACINGS_MM = (18.0, 23.0, 28.0, 33.0, 38.0)
ELSEWHERE_MM = 25.0
#: At the coarsest resolution, and at the next, at which similarities are compared.
ITERATIONS = (8, 4)
#: A bone that ends so near to where it was registered is there again.
SAME_MM = 5.0


def other_levels(found: BonesRegistration, numbers: Sequence[int | None]) -> list[np.ndarray]:
    """Return how unlike the X-rays all bones are one level further up, where they fit best, and one level down.

    (B,) how many times less a bone is like the X-rays there: what its similarity lacks to 1, over
    what it lacks as registered, on average of the views that show it at both places; inf for one
    that came back, or that no view shows at both.

    Parameters
    ----------
    numbers
        Of each bone: which vertebra it is, counted from the head, None for one that is none.
    """
    compared = copy(found.objectives[1])
    here = compared.linearise(found.poses, compared.shadows(found.poses))

    def search(up: bool) -> np.ndarray:
        objectives = [
            copy(objective) for objective in found.objectives
        ]  # each remembers which pixels are compared
        poses = _nearest_start(objectives[0], found.poses, _steps(found, numbers, up=up))
        for level, objective, iterations in zip(LEVELS, objectives, ITERATIONS, strict=False):
            poses, fit = minimise(objective, poses, iterations, level.tolerance_mm)
        centres = compared.pivots
        shifts = centres(poses) - centres(found.poses)
        elsewhere = np.linalg.norm(shifts, axis=1) > SAME_MM
        return np.where(elsewhere, _unlikeness(here, fit), np.inf)

    return run_each(search, (True, False))


def _unlikeness(here: BonesFit, there: BonesFit) -> np.ndarray:
    seen = (np.minimum(here.shown, there.shown) >= SHOWN) & np.isfinite(
        here.similarity + there.similarity
    )
    lacks = [np.sum(1 - fit.similarity, axis=1, where=seen) for fit in (here, there)]
    return np.where(seen.any(axis=1), lacks[1] / np.maximum(lacks[0], 1e-9), np.inf)


def _steps(
    found: BonesRegistration, numbers: Sequence[int | None], *, up: bool
) -> list[np.ndarray]:
    """Return ways (B, 3), world mm, to the next level.

    By the distances of neighbours, or by usual ones where the case has none.
    """
    centres = {}
    for number, bone, pose in zip(numbers, found.bones, found.poses, strict=True):
        if number is not None:
            centres[number] = rigid.transform_points(pose, bone.centroid)
    spacings = {n: centres[n] - centres[n + 1] for n in centres if n + 1 in centres}
    superior = found.world_from_ct[:3, 2]
    sign = 1 if up else -1
    ways = []
    for mm in (None,) if spacings or not centres else SPACINGS_MM:
        way = []
        for number in numbers:
            if number is None:
                way.append(ELSEWHERE_MM * superior)
            elif mm is not None:
                way.append(mm * superior)
            else:
                upper = number - 1 if up else number
                way.append(spacings[min(spacings, key=lambda each: abs(each - upper))])
        ways.append(sign * np.array(way))
    return ways


def _nearest_start(
    objective: BonesObjective, poses: Sequence[np.ndarray], ways: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the poses moved by that one of the ways where they cost least."""

    def there(way: np.ndarray) -> list[np.ndarray]:
        return [rigid.translation(step) @ pose for step, pose in zip(way, poses, strict=True)]

    def cost(there: list[np.ndarray]) -> float:
        return objective.linearise(there, objective.shadows(there, jacobian=False)).cost

    return min(map(there, ways), key=cost)
