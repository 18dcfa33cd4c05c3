"""Two-view registrations beside nanodrr's, and searches without a start, which no peer has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import numpy as np

from ..assessment.metrics import mtre
from ..errors import InputError
from ..registration.pipeline import refine, refine_anywhere
from ..registration.prepared_ct import PreparedCT, warm_up
from ..registration.schedule import Range, SearchBudget
from ..studies.statistics import SUCCESS_MM
from . import nanodrr_peer
from .rows import Job, Measured, Row, compared
from .setting import START_MTRE_MM, Setting

#: So many of the starts are given to the peer, for at most so long each: it takes minutes.
PEER_STARTS, PEER_LIMIT_S = 2, 300.0
THRESHOLDS_MM = {1.0: "two-view registration to 1 mm", 0.1: "two-view registration to 0.1 mm"}
FINAL, READY = "two-view registration, final error", "CT made ready for a registration"
PEER = "nanodrr, xvr's settings"
FIGURE = "error of a registration against time"

#: Ranges of the searches, degrees and mm.
RANGES = ((18, 55), (35, 100))
POSES, REFINED = (16, 64, 256, 1024, 4096), 4
TRUTHS = 24
SEARCH_TIME, SEARCH_SUCCESS = "time of a search against poses", "success of a search against poses"

Trace = list[tuple[float, float]]
"""Seconds and mTRE in mm after each step."""


def jobs(setting: Setting, peer_limit_s: float = PEER_LIMIT_S) -> list[Job]:
    """One job: all rows come from the same runs."""
    rows = (*THRESHOLDS_MM.values(), FINAL, READY)
    return [Job("registration", rows, 20 + PEER_STARTS * peer_limit_s, partial(_registration, setting, peer_limit_s))]


def search_jobs(setting: Setting) -> list[Job]:
    """A job for each range."""
    found = []
    for degrees, mm in RANGES:
        within = f"search within {degrees} degrees and {mm} mm"
        names = (*(f"{within}, {poses} poses" for poses in POSES), f"{within}, as many poses as it needs")
        found.append(Job("search", names, 70, partial(_searches, setting, degrees, mm, names)))
    return found


def _registration(setting: Setting, peer_limit_s: float, tell: Callable) -> Measured:
    case, starts = setting.case, setting.starts()
    warm_up()
    ready = _making_ready(setting)
    _ours(setting, starts[0])
    nanodrr_peer.register(setting.subject, setting.volume, case.views, starts[0], np.inf, iterations=1)
    ours, theirs, ended = [_ours(setting, start) for start in starts], [], []
    for number, start in enumerate(starts[:PEER_STARTS]):

        def share(seconds: float, number: int = number) -> None:
            tell((number + min(1.0, seconds / peer_limit_s)) / PEER_STARTS)

        steps, complete = nanodrr_peer.register(setting.subject, setting.volume, case.views, start, peer_limit_s, share)
        theirs.append(_errors(setting, steps))
        ended.append(complete)
    rows = [_reached(name, threshold, ours, theirs) for threshold, name in THRESHOLDS_MM.items()]
    note = f"the peer's schedule came to its end in {sum(ended)} of {len(ended)} runs; it was stopped after {peer_limit_s:.0f} s otherwise"
    last = [[trace[-1][1] for trace in traces] for traces in (ours, theirs)]
    rows.append(compared(FINAL, "mm", *last, PEER, note=note))
    note = "ours: attenuation, volumes of all resolutions and their projectors; nanodrr is given the attenuation"
    rows.append(compared(READY, "s", *ready, "nanodrr Subject", paired=True, note=note))
    named = [("ours", trace, n) for n, trace in enumerate(ours)] + [
        ("nanodrr", trace, n) for n, trace in enumerate(theirs)
    ]
    return Measured(rows, {FIGURE: {f"{side}, start {n + 1}": list(map(list, trace)) for side, trace, n in named}})


def _making_ready(setting: Setting, repeats: int = 3) -> tuple[list[float], list[float]]:
    """Seconds from the CT to what a registration renders, ours and the peer's, in turns."""
    ours, theirs = [], []
    for _ in range(repeats):
        began = perf_counter()
        anatomy = PreparedCT(setting.case.ct)
        for level in anatomy.levels(setting.case.views, setting.pose):
            setting.renderer(anatomy.projector(level.volume), [], [])
        setting.wait()
        ours.append(perf_counter() - began)
        began = perf_counter()
        nanodrr_peer.subject_of(setting.volume, setting.device or "cpu")
        setting.wait()
        theirs.append(perf_counter() - began)
    return ours, theirs


def _ours(setting: Setting, start: np.ndarray) -> Trace:
    steps, began = [], perf_counter()

    def tell(progress) -> None:
        steps.append((perf_counter() - began, progress.world_from_ct))

    found = refine(setting.anatomy, setting.case.views, start, tell)
    return _errors(setting, [*steps, (perf_counter() - began, found.world_from_ct)])


def _errors(setting: Setting, steps: list[tuple[float, np.ndarray]]) -> Trace:
    case = setting.case
    return [(seconds, mtre(pose, case.truth_world_from_ct, case.targets)) for seconds, pose in steps]


def time_to_stay_below(trace: Trace, threshold_mm: float) -> float | None:
    """The time of the first step after which the error stays below the threshold; None where it ends above."""
    above = [number for number, (_, error) in enumerate(trace) if error >= threshold_mm]
    after = above[-1] + 1 if above else 0
    return trace[after][0] if after < len(trace) else None


def _reached(name: str, threshold_mm: float, ours: list[Trace], theirs: list[Trace]) -> Row:
    times = [time_to_stay_below(trace, threshold_mm) for trace in ours]
    peer_times = [time_to_stay_below(trace, threshold_mm) for trace in theirs]
    missed = times.count(None)
    return compared(
        name,
        "s",
        [time for time in times if time is not None],
        [trace[-1][0] if time is None else time for time, trace in zip(peer_times, theirs, strict=True)],
        PEER,
        peer_at_least=None in peer_times,
        failed=f"{missed} of {len(ours)} starts of ours did not get there" if missed else "",
        note=f"from {START_MTRE_MM:g} mm; ours {len(ours) - missed} of {len(ours)} starts, "
        f"the peer {len(theirs) - peer_times.count(None)} of {len(theirs)}",
    )


def _searches(setting: Setting, degrees: float, mm: float, names: Sequence[str], tell: Callable) -> Measured:
    reach = Range(degrees, mm)
    centres = reach.poses(setting.pose, setting.anatomy.centroid, np.random.default_rng(0).random((TRUTHS, 6)))
    warm_up()
    _search(setting, centres[0], reach, None)
    rows, times, successes = [], [], []
    for name, poses in zip(names, (*POSES, None), strict=True):
        budget = SearchBudget(poses, poses, REFINED) if poses else None
        runs = [_search(setting, centre, reach, budget) for centre in centres]
        seconds = [spent for spent, _ in runs]
        found = [error for _, error in runs if error < SUCCESS_MM]
        share = 100 * len(found) / len(runs)
        median = f"; median mTRE of these {np.median(found):.3f} mm" if found else ""
        note = f"found in {len(found)} of {len(runs)} ({share:.0f} %){median}"
        rows.append(compared(name, "s", seconds, [], "none has a search", note=note))
        if poses:
            times.append([poses, float(np.median(seconds))])
            successes.append([poses, share])
        tell(len(rows) / len(names))
    line = f"ours, {degrees}° and {mm} mm"
    return Measured(rows, {SEARCH_TIME: {line: times}, SEARCH_SUCCESS: {line: successes}})


def _search(setting: Setting, centre: np.ndarray, reach: Range, budget: SearchBudget | None) -> tuple[float, float]:
    """Seconds, and the final mTRE in mm, infinite where no answer was given."""
    case, began = setting.case, perf_counter()
    try:
        pose = refine_anywhere(setting.anatomy, case.views, centre, reach, budget=budget).world_from_ct
    except InputError:  # no pose that was tried shows enough of the CT
        return perf_counter() - began, np.inf
    return perf_counter() - began, mtre(pose, case.truth_world_from_ct, case.targets)
