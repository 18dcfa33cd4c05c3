"""Part (e): the search without a start, against the number of poses that it scores. No peer has one.

The true pose lies anywhere within a range of the pose about which is searched (total angle and distance, evenly spread). Time is that of
search and refinement together; success is a final mTRE under 1 mm. "As many poses as it needs" is the search as it is: it scores more
only where it is not yet sure. Whatever the number, a search that is not sure looks through the next resolution with 1024 poses more,
which counts in its time and its success.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np

from ..assessment.metrics import mtre
from ..errors import InputError
from ..registration import kernels
from ..registration.pipeline import refine_anywhere
from ..registration.plan import Effort
from ..registration.ranges import Range
from ..studies.statistics import SUCCESS_MM
from .job import Job, Measured, Tell
from .rows import compared
from .setting import Setting

#: Degrees and mm.
RANGES = ((18, 55), (35, 100))
POSES, REFINED = (16, 64, 256, 1024, 4096), 4
TRUTHS = 24
FIGURES = {"search-time": "time of a search against poses", "search-success": "success of a search against poses"}


def jobs(setting: Setting) -> list[Job]:
    """A job for each range."""
    found = []
    for degrees, mm in RANGES:
        within = f"search within {degrees} degrees and {mm} mm"
        names = (*(f"{within}, {poses} poses" for poses in POSES), f"{within}, as many poses as it needs")
        found.append(Job("search", names, 70, partial(_measure, setting, degrees, mm, names)))
    return found


def _measure(setting: Setting, degrees: float, mm: float, names: tuple[str, ...], tell: Tell) -> Measured:
    reach = Range(degrees, mm)
    centres = reach.poses(setting.pose, setting.anatomy.centroid, np.random.default_rng(0).random((TRUTHS, 6)))
    kernels.prepare()
    _search(setting, centres[0], reach, None)
    rows, times, successes = [], [], []
    for number, (name, poses) in enumerate(zip(names, (*POSES, None), strict=True)):
        effort = Effort(poses, poses, REFINED) if poses else None
        runs = [_search(setting, centre, reach, effort) for centre in centres]
        seconds = [spent for spent, _ in runs]
        found = [error for _, error in runs if error < SUCCESS_MM]
        share = 100 * len(found) / len(runs)
        median = f"; median mTRE of these {np.median(found):.3f} mm" if found else ""
        rows.append(
            compared(
                name,
                "s",
                seconds,
                [],
                "none has a search",
                note=f"found in {len(found)} of {len(runs)} ({share:.0f} %){median}",
            )
        )
        if poses:
            times.append((poses, float(np.median(seconds))))
            successes.append((poses, share))
        tell((number + 1) / len(names))
    name = line(degrees, mm)
    return Measured(rows, {FIGURES["search-time"]: {name: times}, FIGURES["search-success"]: {name: successes}})


def line(degrees: float, mm: float) -> str:
    """Name of a range in the figures."""
    return f"ours, {degrees}° and {mm} mm"


def _search(setting: Setting, centre: np.ndarray, reach: Range, effort: Effort | None) -> tuple[float, float]:
    """Seconds, and the final mTRE in mm, infinite where no answer was given."""
    case = setting.case
    began = perf_counter()
    try:
        pose = refine_anywhere(setting.anatomy, case.views, centre, reach, effort=effort).world_from_ct
    except InputError:  # no pose that was tried shows enough of the CT
        return perf_counter() - began, np.inf
    return perf_counter() - began, mtre(pose, case.truth_world_from_ct, case.targets)
