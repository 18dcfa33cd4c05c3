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
from .geometry.landmarks import LandmarkFit, locate
from .io.case import Case
from .registration import kernels
from .registration.pipeline import Anatomy, Progress, refine
from .result import Result

STARTS = ("given", "landmarks")


def register(
    case: Case, start: str = "given", progress: Callable[[Progress], object] = lambda _: None, anatomy: Anatomy | None = None,
) -> Result:
    """Find the pose of the case's CT in the world of its X-rays.

    start: "given", the case's `world_from_ct`; "landmarks", the pose that fits the case's `landmarks`.
    progress: called after each step with its `Progress`; where it returns False, `pipeline.Cancelled` is raised.
    anatomy: of the case's CT, where one CT is registered to many X-rays.

    Raises InputError where the case has no such start, its landmarks fit no pose, or the views show too little of the CT from it.
    """
    if start not in STARTS:
        raise InputError(f'start: found "{start}", expected one of {", ".join(STARTS)}.')
    if start == "given" and case.world_from_ct is None:
        raise InputError("world_from_ct: the case has no start pose, expected a rigid 4x4 matrix; add one to the case.")
    uncertain = [view.name for view in case.views if view.rotation_sd_deg != 0 or view.translation_sd_mm != 0]
    if uncertain:
        warnings.warn(f"The geometry of {', '.join(uncertain)} is said to be uncertain; it is taken as exact.", stacklevel=2)
    began = perf_counter()
    fit = _located(case) if start == "landmarks" else None
    pose = fit.world_from_ct if fit else case.world_from_ct
    kernels.prepare()
    anatomy = anatomy or Anatomy(case.ct)
    ready = perf_counter()
    refinement = refine(anatomy, case.views, pose, progress)
    done = perf_counter()
    seconds = {"load": case.seconds, "initialise": ready - began, "refine": done - ready, "assess": 0.0}
    seconds["total"] = sum(seconds.values())
    return Result(case, anatomy, pose, refinement, start, seconds, fit)


def _located(case: Case) -> LandmarkFit:
    fit = locate(case.landmarks, case.cameras)
    if fit.alternatives:
        warnings.warn(f"The landmarks fit {1 + len(fit.alternatives)} poses about equally well, and the best one is taken; add a landmark, "
                      "or a position in another view.", stacklevel=3)
    return fit
