"""The way through, the same in a script, in Slicer's console and behind every button.

case = Case.load("case.json")
result = register(case, start="given", progress=print)      # pure: no files, no scene
result.save("out")
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from .assessment import verdict
from .errors import InputError
from .geometry import rigid
from .geometry.landmarks import LandmarkFit, locate
from .imaging.view import View
from .io.case import Case
from .published.methods import refiner
from .registration import kernels
from .registration.among import placed_rest, register_among
from .registration.apart import register_views
from .registration.devices import Workplace
from .registration.objective import FEWEST_PIXELS
from .registration.pipeline import Anatomy, Progress, Refinement, refine
from .registration.ranges import Range, facing
from .regressor.initialise import Guided, Model, model_for, no_pose
from .report.result import Result

STARTS = ("given", "search", "landmarks", "regressor", "auto")
#: Of the time that a registration takes whose regressor is trained first, as its progress has it.
TRAINING_SHARE = 0.95


def register(
    case: Case,
    start: str = "given",
    progress: Callable[[Progress], object] = lambda _: None,
    anatomy: Anatomy | None = None,
    seed: int = 0,
    refinement: str = "joint",
    device: str | Workplace = "cpu",
    model: str | Path | Model | None = None,
    minutes: float = 2.0,
    causes: bool = False,
) -> Result:
    """Find the pose of the case's CT in the world of its X-rays.

    start: "given", the case's `world_from_ct`; "search", anywhere within the case's range of it (without one, of the pose with the
        CT's axes along the world's and its centroid where the views' central rays meet); "landmarks", what the case's `landmarks` say;
        "regressor", what a regressor of this CT says of the X-rays; "auto", that and a small search, or a search alone where there is
        no regressor of this CT.
    progress: called as the pose gets better with a `Progress`; where it returns False, `errors.Cancelled` is raised.
    anatomy: of the case's CT, where one CT is registered to many X-rays.
    seed: of the search, and of a training.
    model: the regressor or its folder; by default the newest of this CT.
    minutes: of training, where there is none, and `start` is "regressor".
    refinement, device: see `refinements.refiner`; a training is done there, too.
    causes: look for the likely cause of a poor fit however long it takes, not only for as long as makes registration and assessment even.

    Raises InputError where the case has no such start, its landmarks fit no pose, or the views show too little of the CT from it or
    within the range; for a model of another CT, or of other cameras; and for a refinement that is not there, or cannot run here.
    """
    if start not in STARTS:
        raise InputError(f'start: found "{start}", expected one of {", ".join(STARTS)}.')
    if case.world_from_ct is None and start == "given":
        raise InputError(
            "world_from_ct: the case has no start pose, expected a rigid 4x4 matrix; add one to the case, or have it searched "
            "for (--start search)."
        )
    by = refiner(refinement, device)
    began = perf_counter()
    regressor, trained = model_for(case, start, model), 0.0
    if by.name != "joint" and regressor is None and start in ("search", "auto"):
        raise no_pose(by)
    kernels.prepare()
    anatomy = anatomy or Anatomy(case.ct)
    if start == "regressor" and regressor is None:
        regressor, trained = _trained(case, anatomy, minutes, seed, progress, by.trains_on)
        progress = _after_training(progress)
    landmark_fit, located = None, 0.0
    if start == "landmarks":
        landmark_fit, located = _located(case)
    pose = landmark_fit.world_from_ct if landmark_fit else case.world_from_ct
    if pose is None and start != "regressor":
        pose = facing([view.camera for view in case.views], anatomy.centroid)
        warnings.warn(
            "world_from_ct: the case has none, so the search starts with the CT's axes along the world's, where the central "
            "rays of the views meet.",
            stacklevel=2,
        )
    shared, guided = case.shared_unknowns, None
    if start in ("search", "regressor", "auto"):
        along = {} if start == "regressor" else {"centre": pose, "reach": Range(**case.search), "seed": seed}
        guided = Guided(regressor, anatomy, case.views, case.world_from_ct, shared, trained=trained > 0, **along)
        located = guided.seconds
        pose = guided.candidates[0].world_from_ct if guided.candidates else pose
    for each in filter(None, (anatomy, by.name == "joint" and anatomy.whole)):
        each.prepare(case.views, pose)
    ready = perf_counter()

    def find(views: list[View], tell: Callable[[Progress], object]) -> Refinement:
        def found_as(of: Anatomy, views: list[View], tell: Callable[[Progress], object]) -> Refinement:
            return guided.run(by, of, views, tell) if guided else by.run(of, views, pose, tell, shared)

        if by.name != "joint":
            return found_as(anatomy, views, tell)
        starts = [] if start == "search" else [pose]
        return by.place.run(anatomy, lambda there: register_among(there, views, found_as, tell, starts))

    found = register_views(case.views, find, progress, shared)
    spent = perf_counter() - ready
    asked = guided.seconds - located if guided else 0.0  # of views registered by themselves
    # Only of poses by this refinement was it measured how often they are wrong.
    assessment = None
    if by.name == "joint":
        assessment = verdict.assess(
            anatomy, case.views, found, pose, case.targets, shared, assumed=bool(case.assumptions)
        )
        left = math.inf if causes else spent - (perf_counter() - ready - spent)
        assessment = verdict.explained(assessment, anatomy, case.views, found, pose, shared, progress, left)
    seconds = {
        "load": case.seconds + ready - began - located - trained,
        "initialise": located + asked + found.searched,
        "refine": spent - found.searched - asked,
        "assess": perf_counter() - ready - spent,
        **({"train": trained} if trained else {}),
    }
    seconds["total"] = sum(seconds.values())
    started = guided.started(found, by) if start in ("regressor", "auto") else None
    return Result(
        case,
        anatomy,
        pose,
        found,
        start,
        seconds,
        landmark_fit,
        by.name,
        by.torch_device,
        started,
        assessment,
        place=by.place,
    )


def explained(result: Result, progress: Callable[[Progress], object] = lambda _: None) -> Result:
    """The result with the likely cause of its poor fit, looked for to the end, where a registration had no time for that."""
    if result.assessment is None or not result.assessment.causes_left:
        return result
    began, case = perf_counter(), result.case
    assessment = verdict.explained(
        result.assessment,
        result.anatomy,
        case.views,
        result.refinement,
        result.start_world_from_ct,
        case.shared_unknowns,
        progress,
    )
    seconds = dict(result.seconds)
    for name in ("assess", "total"):
        seconds[name] += perf_counter() - began
    return replace(result, assessment=assessment, seconds=seconds)


def _trained(
    case: Case,
    anatomy: Anatomy,
    minutes: float,
    seed: int,
    progress: Callable[[Progress], object],
    device: str,
) -> tuple[Model, float]:
    """A regressor that is trained now, and the seconds that took. Cancelled, it stays in the store and can be resumed."""
    from .regressor.learning import nominal_pose, train

    began, pose = perf_counter(), nominal_pose(case, anatomy)

    def told(fraction: float, stage: str, error_mm: float | None) -> object:
        return progress(Progress(TRAINING_SHARE * fraction, stage, pose, math.nan))

    model = train(case, minutes=minutes, seed=seed, progress=told, anatomy=anatomy, device=device)
    return model, perf_counter() - began


def _after_training(progress: Callable[[Progress], object]) -> Callable[[Progress], object]:
    return lambda told: progress(replace(told, fraction=TRAINING_SHARE + (1 - TRAINING_SHARE) * told.fraction))


def assess(case: Case, world_from_ct: np.ndarray, anatomy: Anatomy | None = None, method: str = "by hand") -> Result:
    """The result that a given pose is: set by a person, or kept from before. It is not refined, and the cameras are taken as they are; of a
    structure, the whole CT is registered from there, to compare the structure before the rest of it.

    Its verdict is at best "check": how often poses are wrong that were not registered was not measured.

    world_from_ct: (4, 4) rigid, mm.
    anatomy: of the case's CT, where it is there already.
    method: how the pose was found, in words.

    Raises InputError for a pose that is not rigid, or at which no view shows enough of the CT to compare them.
    """
    began = perf_counter()
    pose = rigid.check_rigid(world_from_ct, "world_from_ct")
    kernels.prepare()
    anatomy = anatomy or Anatomy(case.ct)
    ready = perf_counter()
    placed = placed_rest(
        anatomy, [view.exact() for view in case.views], lambda of, views, tell: refine(of, views, pose, tell)
    )
    rest_at = placed and placed.world_from_ct
    fit = anatomy.among(rest_at).fit(case.views, pose, pose)
    if max(fit.shown) < FEWEST_PIXELS or not np.isfinite(fit.cost):
        raise InputError(
            "world_from_ct: at this pose the X-rays show too little of the CT, expected a pose at which they show most of it; "
            "correct the pose or the geometry of the views."
        )
    nothing = Refinement(pose, fit, [], list(case.views), np.zeros(6), refined=0, rest_at=rest_at)
    assessment = verdict.assess(
        anatomy,
        case.views,
        nothing,
        pose,
        case.targets,
        case.shared_unknowns,
        assumed=bool(case.assumptions),
        registered=False,
    )
    seconds = {"load": case.seconds + ready - began, "initialise": 0.0, "refine": 0.0, "assess": perf_counter() - ready}
    seconds["total"] = sum(seconds.values())
    return Result(case, anatomy, pose, nothing, method, seconds, refined_by=None, assessment=assessment)


def _located(case: Case) -> tuple[LandmarkFit, float]:
    """The pose that the landmarks say, and the seconds that took."""
    began = perf_counter()
    fit = locate(case.landmarks, case.cameras)
    if fit.alternatives:
        warnings.warn(
            f"The landmarks fit {1 + len(fit.alternatives)} poses about equally well, and the best one is taken; add a landmark, "
            "or a position in another view.",
            stacklevel=3,
        )
    return fit, perf_counter() - began
