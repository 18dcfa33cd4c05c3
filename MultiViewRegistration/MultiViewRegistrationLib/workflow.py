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
from .io.case import Case
from .refinements import refiner
from .registration import kernels
from .registration.pipeline import Anatomy, Progress
from .result import Result

STARTS = ("given",)


def register(
    case: Case, start: str = "given", progress: Callable[[Progress], object] = lambda _: None, anatomy: Anatomy | None = None,
    refinement: str = "joint", device: str = "cpu",
) -> Result:
    """Find the pose of the case's CT in the world of its X-rays.

    start: "given", the case's `world_from_ct`.
    progress: called after each step with its `Progress`; where it returns False, `pipeline.Cancelled` is raised.
    anatomy: of the case's CT, where one CT is registered to many X-rays.
    refinement, device: see `refinements.refiner`.

    Raises InputError where the case has no start, or the views show too little of the CT from it; and for a refinement that is not
    there, or cannot run here.
    """
    if start not in STARTS:
        raise InputError(f'start: found "{start}", expected one of {", ".join(STARTS)}.')
    if case.world_from_ct is None:
        raise InputError("world_from_ct: the case has no start pose, expected a rigid 4x4 matrix; add one to the case.")
    by = refiner(refinement, device)
    uncertain = [view.name for view in case.views if view.rotation_sd_deg != 0 or view.translation_sd_mm != 0]
    if uncertain:
        warnings.warn(f"The geometry of {', '.join(uncertain)} is said to be uncertain; it is taken as exact.", stacklevel=2)
    began = perf_counter()
    kernels.prepare()
    anatomy = anatomy or Anatomy(case.ct)
    ready = perf_counter()
    found = by.run(anatomy, case.views, case.world_from_ct, progress=progress)
    done = perf_counter()
    seconds = {"load": case.seconds, "initialise": ready - began, "refine": done - ready, "assess": 0.0}
    seconds["total"] = sum(seconds.values())
    return Result(case, anatomy, case.world_from_ct, found, start, seconds, by.name, by.torch_device)
