"""The way through, the same in a script, in Slicer's console and behind every button.

    case = Case.load("case.json")
    result = register(case, start="given", progress=print)      # pure: no files, no scene
    result.save("out")
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter

import numpy as np

from .errors import InputError
from .geometry import rigid
from .geometry.landmarks import LandmarkFit, locate
from .imaging.view import View
from .io.case import Case
from .refinements import refiner
from .registration import kernels
from .registration.apart import register_views
from .registration.objective import FEWEST_PIXELS
from .registration.pipeline import Anatomy, Progress, Refinement, refine_anywhere
from .registration.ranges import Range, facing
from .result import Result

STARTS = ("given", "search", "landmarks")


def register(
    case: Case, start: str = "given", progress: Callable[[Progress], object] = lambda _: None, anatomy: Anatomy | None = None,
    seed: int = 0, refinement: str = "joint", device: str = "cpu",
) -> Result:
    """Find the pose of the case's CT in the world of its X-rays.

    start: "given", the case's `world_from_ct`; "search", anywhere within the case's range of it (without one, of the pose with the
        CT's axes along the world's and its centroid where the views' central rays meet); "landmarks", what the case's `landmarks` say.
    progress: called as the pose gets better with a `Progress`; where it returns False, `pipeline.Cancelled` is raised.
    anatomy: of the case's CT, where one CT is registered to many X-rays.
    seed: of the search.
    refinement, device: see `refinements.refiner`.

    Raises InputError where the case has no such start, its landmarks fit no pose, or the views show too little of the CT from it or
    within the range; and for a refinement that is not there, or cannot run here.
    """
    if start not in STARTS:
        raise InputError(f'start: found "{start}", expected one of {", ".join(STARTS)}.')
    if case.world_from_ct is None and start == "given":
        raise InputError("world_from_ct: the case has no start pose, expected a rigid 4x4 matrix; add one to the case, or have it searched "
                         "for (--start search).")
    by = refiner(refinement, device)
    if start == "search" and by.name != "joint":
        raise InputError(f'refinement "{by.name}": found a search as its start, expected a pose; use the refinement "joint", or another '
                         "start.")
    began = perf_counter()
    kernels.prepare()
    anatomy = anatomy or Anatomy(case.ct)
    landmark_fit, located = None, 0.0
    if start == "landmarks":
        landmark_fit, located = _located(case)
    pose = landmark_fit.world_from_ct if landmark_fit else case.world_from_ct
    if pose is None:
        pose = facing([view.camera for view in case.views], anatomy.centroid)
        warnings.warn("world_from_ct: the case has none, so the search starts with the CT's axes along the world's, where the central "
                      "rays of the views meet.", stacklevel=2)
    anatomy.prepare(case.views, pose)
    ready = perf_counter()
    shared = case.shared_unknowns

    def find(views: list[View], tell: Callable[[Progress], object]) -> Refinement:
        if start == "search":
            return refine_anywhere(anatomy, views, pose, Range(**case.search), tell, shared, seed=seed)
        return by.run(anatomy, views, pose, tell, shared)

    found = register_views(case.views, find, progress, shared)
    spent = perf_counter() - ready
    seconds = {"load": case.seconds + ready - began - located, "initialise": located + found.searched,
               "refine": spent - found.searched, "assess": 0.0}
    seconds["total"] = sum(seconds.values())
    return Result(case, anatomy, pose, found, start, seconds, landmark_fit, by.name, by.torch_device)


def assess(case: Case, world_from_ct: np.ndarray, anatomy: Anatomy | None = None, method: str = "by hand") -> Result:
    """The result that a given pose is: set by a person, or kept from before. Nothing is refined, and the cameras are taken as they are.

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
    fit = anatomy.fit(case.views, pose, pose)
    if max(fit.shown) < FEWEST_PIXELS or not np.isfinite(fit.cost):
        raise InputError("world_from_ct: at this pose the X-rays show too little of the CT, expected a pose at which they show most of it; "
                         "correct the pose or the geometry of the views.")
    seconds = {"load": case.seconds + ready - began, "initialise": 0.0, "refine": 0.0, "assess": perf_counter() - ready}
    seconds["total"] = sum(seconds.values())
    nothing = Refinement(pose, fit, [], list(case.views), np.zeros(6), refined=0)
    return Result(case, anatomy, pose, nothing, method, seconds, refined_by=None)


def _located(case: Case) -> tuple[LandmarkFit, float]:
    """The pose that the landmarks say, and the seconds that took."""
    began = perf_counter()
    fit = locate(case.landmarks, case.cameras)
    if fit.alternatives:
        warnings.warn(f"The landmarks fit {1 + len(fit.alternatives)} poses about equally well, and the best one is taken; add a landmark, "
                      "or a position in another view.", stacklevel=3)
    return fit, perf_counter() - began
