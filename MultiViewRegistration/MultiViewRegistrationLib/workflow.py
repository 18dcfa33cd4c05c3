"""The way through, the same in a script, in Slicer's console and behind every button.

    case = Case.load("case.json")
    result = register(case, start="given", progress=print)      # pure: no files, no scene
    result.save("out")
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from .errors import InputError
from .io.case import Case
from .registration import kernels
from .registration.apart import register_views
from .registration.pipeline import Anatomy, Progress
from .result import Result

STARTS = ("given",)


def register(
    case: Case, start: str = "given", progress: Callable[[Progress], object] = lambda _: None, anatomy: Anatomy | None = None,
) -> Result:
    """Find the pose of the case's CT in the world of its X-rays.

    start: "given", the case's `world_from_ct`.
    progress: called after each step with its `Progress`; where it returns False, `pipeline.Cancelled` is raised.
    anatomy: of the case's CT, where one CT is registered to many X-rays.

    Raises InputError where the case has no start, or the views show too little of the CT from it.
    """
    if start not in STARTS:
        raise InputError(f'start: found "{start}", expected one of {", ".join(STARTS)}.')
    if case.world_from_ct is None:
        raise InputError("world_from_ct: the case has no start pose, expected a rigid 4x4 matrix; add one to the case.")
    began = perf_counter()
    kernels.prepare()
    anatomy = anatomy or Anatomy(case.ct)
    ready = perf_counter()
    refinement = register_views(anatomy, case.views, case.world_from_ct, progress, case.shared_unknowns)
    done = perf_counter()
    seconds = {"load": case.seconds, "initialise": ready - began, "refine": done - ready, "assess": 0.0}
    seconds["total"] = sum(seconds.values())
    return Result(case, anatomy, case.world_from_ct, refinement, start, seconds)
