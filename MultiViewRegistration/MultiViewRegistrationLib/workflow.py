"""The way through, the same in a script, in Slicer's console and behind every button.

    case = Case.load("case.json")
    result = register(case, start="given", progress=print)      # pure: no files, no scene
    result.save("out")
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter

from .errors import InputError
from .imaging.view import View
from .io.case import Case
from .registration import kernels
from .registration.apart import register_views
from .registration.pipeline import Anatomy, Progress, Refinement, refine, refine_anywhere
from .registration.ranges import Range, facing
from .result import Result

STARTS = ("given", "search")


def register(
    case: Case, start: str = "given", progress: Callable[[Progress], object] = lambda _: None, anatomy: Anatomy | None = None,
    seed: int = 0,
) -> Result:
    """Find the pose of the case's CT in the world of its X-rays.

    start: "given", the case's `world_from_ct`, or "search", anywhere within the case's range of it; a case without a start is
        searched about the pose with the CT's axes along the world's and its centroid where the views' central rays meet.
    progress: called as the pose gets better with a `Progress`; where it returns False, `pipeline.Cancelled` is raised.
    anatomy: of the case's CT, where one CT is registered to many X-rays.
    seed: of the search.

    Raises InputError where a given start is missing, or the views show too little of the CT from it or within the range.
    """
    if start not in STARTS:
        raise InputError(f'start: found "{start}", expected one of {", ".join(STARTS)}.')
    if case.world_from_ct is None and start == "given":
        raise InputError("world_from_ct: the case has no start pose, expected a rigid 4x4 matrix; add one to the case, or search for it "
                         "(--start search).")
    began = perf_counter()
    kernels.prepare()
    anatomy = anatomy or Anatomy(case.ct)
    centre = case.world_from_ct
    if centre is None:
        centre = facing([view.camera for view in case.views], anatomy.centroid)
        warnings.warn("world_from_ct: the case has none, so the search starts with the CT's axes along the world's, where the central "
                      "rays of the views meet.", stacklevel=2)
    anatomy.prepare(case.views, centre)
    ready = perf_counter()
    shared = case.shared_unknowns

    def find(views: list[View], tell: Callable[[Progress], object]) -> Refinement:
        if start == "search":
            return refine_anywhere(anatomy, views, centre, Range(**case.search), tell, shared, seed=seed)
        return refine(anatomy, views, centre, tell, shared)

    refinement = register_views(case.views, find, progress, shared)
    spent = perf_counter() - ready
    seconds = {"load": case.seconds + ready - began, "initialise": refinement.searched, "refine": spent - refinement.searched,
               "assess": 0.0}
    seconds["total"] = sum(seconds.values())
    return Result(case, anatomy, centre, refinement, start, seconds)
