"""Part (b): a registration of two 512x512 X-rays from 24 mm away, beside the peers' loop (`nanodrr_registration`).

The clock starts with the images loaded and the CT made ready for rendering (its own row tells what that takes). Each side reports its
pose and the time after each of its steps; errors against the truth are computed afterwards. A registration is at 1 mm from the first
step after which its mTRE stays below 1 mm. Ours tells each step of each candidate, also of those that it gives up later.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np

from ..assessment.metrics import mtre
from ..io.case import Case
from ..registration import kernels
from ..registration.anatomy import Anatomy
from ..registration.pipeline import refine
from . import nanodrr_peer, nanodrr_registration
from .job import Job, Measured, Tell
from .rows import compared
from .setting import START_MTRE_MM, Setting

#: So many of the starts are given to the peer, for at most so long each: it takes minutes.
PEER_STARTS, PEER_LIMIT_S = 2, 300.0
THRESHOLDS_MM = {1.0: "two-view registration to 1 mm", 0.1: "two-view registration to 0.1 mm"}
FINAL, READY = "two-view registration, final error", "CT made ready for a registration"
PEER = "nanodrr, xvr's settings"
FIGURE = "error of a registration against time"

Trace = list[tuple[float, float]]
"""Seconds and mTRE in mm after each step."""


def jobs(setting: Setting, peer_limit_s: float = PEER_LIMIT_S) -> list[Job]:
    """One job: all rows come from the same runs."""
    rows = (*THRESHOLDS_MM.values(), FINAL, READY)
    return [Job("registration", rows, 20 + PEER_STARTS * peer_limit_s, partial(_measure, setting, peer_limit_s))]


def _measure(setting: Setting, peer_limit_s: float, tell: Tell) -> Measured:
    case, starts = setting.case, setting.starts()
    kernels.prepare()
    ready = _making_ready(setting)
    _ours(case, setting.anatomy, starts[0])
    nanodrr_registration.register(setting.subject, setting.volume, case.views, starts[0], np.inf, iterations=1)
    ours: list[Trace] = []
    theirs: list[Trace] = []
    ended = []
    for number, start in enumerate(starts):
        ours.append(_ours(case, setting.anatomy, start))
        if number < PEER_STARTS:

            def share(seconds: float, number: int = number) -> None:
                tell((number + min(1.0, seconds / peer_limit_s)) / PEER_STARTS)

            steps, complete = nanodrr_registration.register(
                setting.subject, setting.volume, case.views, start, peer_limit_s, share
            )
            theirs.append(_errors(case, steps))
            ended.append(complete)
    rows = [_reached(name, threshold, ours, theirs) for threshold, name in THRESHOLDS_MM.items()]
    schedule = f"the peer's schedule came to its end in {sum(ended)} of {len(ended)} runs"
    rows.append(
        compared(
            FINAL,
            "mm",
            [trace[-1][1] for trace in ours],
            [trace[-1][1] for trace in theirs],
            PEER,
            note=f"{schedule}; it was stopped after {peer_limit_s:.0f} s otherwise",
        )
    )
    rows.append(
        compared(
            READY,
            "s",
            *ready,
            "nanodrr Subject",
            paired=True,
            note="ours: attenuation, volumes of all resolutions and their projectors; nanodrr is given the attenuation",
        )
    )
    lines = {f"ours, start {i + 1}": trace for i, trace in enumerate(ours)}
    lines |= {f"nanodrr, start {i + 1}": trace for i, trace in enumerate(theirs)}
    return Measured(rows, {FIGURE: lines})


def _making_ready(setting: Setting, repeats: int = 3) -> tuple[list[float], list[float]]:
    """Seconds from the CT to what a registration renders, ours and the peer's, in turns."""
    ours, theirs = [], []
    for _ in range(repeats):
        began = perf_counter()
        anatomy = Anatomy(setting.case.ct)
        for level in anatomy.levels(setting.case.views, setting.pose):
            setting.send(anatomy.projector(level.volume))
        setting.wait()
        ours.append(perf_counter() - began)
        began = perf_counter()
        nanodrr_peer.subject_of(setting.volume, setting.device or "cpu")
        setting.wait()
        theirs.append(perf_counter() - began)
    return ours, theirs


def _ours(case: Case, anatomy: Anatomy, start: np.ndarray) -> Trace:
    steps = []
    began = perf_counter()
    refinement = refine(anatomy, case.views, start, lambda at: steps.append((perf_counter() - began, at.world_from_ct)))
    return _errors(case, [*steps, (perf_counter() - began, refinement.world_from_ct)])


def _errors(case: Case, steps: list[tuple[float, np.ndarray]]) -> Trace:
    return [(seconds, mtre(pose, case.truth_world_from_ct, case.targets)) for seconds, pose in steps]


def time_to_stay_below(trace: Trace, threshold_mm: float) -> float | None:
    """The time of the first step after which the error stays below the threshold; None where it ends above."""
    above = [number for number, (_, error) in enumerate(trace) if error >= threshold_mm]
    after = above[-1] + 1 if above else 0
    return trace[after][0] if after < len(trace) else None


def _reached(name: str, threshold_mm: float, ours: list[Trace], theirs: list[Trace]):
    our_times = [time_to_stay_below(trace, threshold_mm) for trace in ours]
    peer_times = [time_to_stay_below(trace, threshold_mm) for trace in theirs]
    missed = our_times.count(None)
    return compared(
        name,
        "s",
        [time for time in our_times if time is not None],
        [trace[-1][0] if time is None else time for time, trace in zip(peer_times, theirs, strict=True)],
        PEER,
        peer_at_least=None in peer_times,
        failed=f"{missed} of {len(ours)} starts of ours did not get there" if missed else "",
        note=f"from {START_MTRE_MM:g} mm; ours {len(ours) - missed} of {len(ours)} starts, "
        f"the peer {len(theirs) - peer_times.count(None)} of {len(theirs)}",
    )
