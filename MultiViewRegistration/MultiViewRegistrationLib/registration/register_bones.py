"""The registration of several bones, from coarse images to fine ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import go_on, unseen
from ..geometry import rigid
from ..imaging.xray import View
from .bones import Bone, BonesFit, BonesObjective, ties_of
from .cameras import CameraCorrections
from .levenberg_marquardt import minimised
from .pipeline import Progress, Report
from .prepared_ct import PreparedCT, pixel_size_mm
from .problem import Problem, State, Tie
from .similarity import Settings

#: The finest images have about so many pixels across a bone of usual size.
PIXELS_ACROSS = 75
#: And across an implant, whose edge is sharp: with 75 the turn of simulated hip components was off
#: five times as much.
IMPLANT_PIXELS = 150


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
    BoneLevel(
        2, Settings(gradient_radius=6, intensity_radius=6, silhouette_mm=6), 25, 0.03, secant=True
    ),
    BoneLevel(
        1,
        Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5, silhouette_mm=5),
        25,
        0.01,
        secant=True,
    ),
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
    bones
        Those that were asked for.
    poses
        (4, 4) world_from_ct of each.
    fit
        At the finest resolution.
    objectives
        Of all resolutions, the finest last.
    ties
        Which are neighbours.
    world_from_ct
        (4, 4), of the whole CT; of bones with a CT each where the first began.
    """

    bones: list[Bone]
    poses: list[np.ndarray]
    fit: BonesFit
    objectives: list[BonesObjective]
    ties: list[Tie]
    world_from_ct: np.ndarray


def register_bones(
    whole: PreparedCT | None,
    bones: Sequence[Bone],
    views: Sequence[View],
    world_from_ct: np.ndarray | Sequence[np.ndarray],
    progress: Report = unseen,
    poses: Sequence[np.ndarray] | None = None,
    levels: Sequence[BoneLevel] | None = None,
    ties: Sequence[Tie] | None = None,
) -> BonesRegistration:
    """Register bones of a CT whose whole is registered, or with a CT each.

    Parameters
    ----------
    whole
        The whole CT; None for bones with a CT each.
    bones
        Of it, and implants after these.
    views
        With their cameras as the registrations before have corrected them; they count as exact.
    world_from_ct
        (4, 4), the pose of the whole CT, or (B, 4, 4), where each bone was registered alone.
    progress
        Called after each step, with the first of these; `Cancelled` is raised where it returns
        False.
    poses
        (4, 4) of the bones, where they begin; by default at the pose of the whole CT.
    levels
        The resolutions, of LEVELS, the finest last; none leaves the bones where they begin. By
        default all, or for given poses the finest alone.
    ties
        Of the bones of one CT; found where they are not given.
    """
    every = LEVELS_WITHOUT_REST if whole is None else LEVELS
    if levels is None:
        levels = every if poses is None else every[-1:]
    places = np.broadcast_to(world_from_ct, (len(bones), 4, 4))
    if ties is None:
        ties = [] if whole is None else ties_of([bone for bone in bones if not bone.is_implant])
    objectives = [objective_at(whole, bones, views, places, ties, level) for level in every]
    steps = 0
    most = sum(level.iterations for level in levels)

    def report(cost: float) -> None:
        stage = f"registering {len(bones)} bones"
        go_on(progress(Progress(steps / most, stage, places[0], cost)))

    def on_step(cost: float) -> None:
        nonlocal steps
        steps += 1
        report(cost)

    found = list(places if poses is None else poses)
    for level, objective in zip(levels, objectives[len(every) - len(levels) :], strict=True):
        before = steps
        found, fit = minimise(
            objective, found, level.iterations, level.tolerance_mm, on_step, secant=level.secant
        )
        steps = before + level.iterations  # those that were not needed
        report(fit.cost)
    if not levels or bones[0].device:  # numba selects the pixels that are judged
        fit = objectives[-1].linearise(found, objectives[-1].shadows(found))
    return BonesRegistration(list(bones), found, fit, objectives, list(ties), places[0])


def objective_at(
    whole: PreparedCT | None,
    bones: Sequence[Bone],
    views: Sequence[View],
    world_from_ct: np.ndarray,
    ties: Sequence[Tie],
    level: BoneLevel,
    *,
    moving_rest: bool = False,
) -> BonesObjective:
    """Make the objective at one resolution, of bones at about a pose (4, 4), or at one each (B, 4, 4)."""
    places = np.broadcast_to(world_from_ct, (len(bones), 4, 4))
    of_ct = [bone for bone in bones if whole is None or not bone.is_implant]
    centroids = np.array([bone.centroid for bone in of_ct])
    if whole is not None and not of_ct:
        centroids = whole.centroid[None]
    centre = rigid.transform_points(places[: len(centroids)], centroids).mean(axis=0)
    pixel_mm = float(np.mean([pixel_size_mm(view, centre) for view in views]))
    finest_mm = float(np.median([_pixel_mm(bone) for bone in of_ct or bones]))
    pool = 2 ** max(0, round(np.log2(finest_mm / pixel_mm))) * level.coarseness
    pooled = [view.pooled(pool) for view in views]
    voxel_mm = level.voxel_pixels * pool * pixel_mm
    given = whole, bones, pooled, voxel_mm, level.settings, places[0], ties
    if not all(bone.device for bone in bones):
        return BonesObjective(*given, moving_rest=moving_rest)
    from .torch_bones import TorchBonesObjective  # PyTorch is an extra

    return TorchBonesObjective(*given, moving_rest=moving_rest)


def _pixel_mm(bone: Bone) -> float:
    """Return how large a pixel may be at a bone."""
    return bone.size_mm / (IMPLANT_PIXELS if bone.is_implant else PIXELS_ACROSS)
