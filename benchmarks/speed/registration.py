"""Two-view registrations beside nanodrr's, searches without a start, which no peer has, and peak memory.

Peak memory is measured in a process of its own that does one thing and prints how many MiB that
took at most:

    python -m benchmarks.speed.registration ours|nanodrr render|register CASE PIXELS COUNT [DEVICE]

COUNT images of PIXELS x PIXELS are rendered at once. On a CUDA device the figure is its memory,
elsewhere the largest resident size of the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.optimizer import Range, SearchBudget
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.warm_up import warm_up
from MultiViewRegistrationLib.studies.statistics import SUCCESS_MM

from . import nanodrr_peer
from .measurement import START_MTRE_MM, BenchmarkJob, Measured, Row, Setting, compared

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

#: Of memory: pixels a side, and how many images at once.
MEMORY_BATCHES: tuple[tuple[int, int], ...] = ((200, 1), (512, 1))
MEMORY = "peak memory, two-view registration"

Trace = list[tuple[float, float]]
"""Seconds and mTRE in mm after each step."""


def jobs(setting: Setting, peer_limit_s: float = PEER_LIMIT_S) -> list[BenchmarkJob]:
    """One job: all rows come from the same runs."""
    rows = (*THRESHOLDS_MM.values(), FINAL, READY)
    return [
        BenchmarkJob(
            "registration",
            rows,
            20 + PEER_STARTS * peer_limit_s,
            partial(_registration, setting, peer_limit_s),
        )
    ]


def search_jobs(setting: Setting) -> list[BenchmarkJob]:
    """A job for each range."""
    found = []
    for degrees, mm in RANGES:
        within = f"search within {degrees} degrees and {mm} mm"
        names = (
            *(f"{within}, {poses} poses" for poses in POSES),
            f"{within}, as many poses as it needs",
        )
        found.append(
            BenchmarkJob("search", names, 70, partial(_searches, setting, degrees, mm, names))
        )
    return found


def _registration(setting: Setting, peer_limit_s: float) -> Measured:
    case, starts = setting.case, setting.starts()
    warm_up()
    ready = _making_ready(setting)
    _ours(setting, starts[0])
    nanodrr_peer.register(
        setting.subject, setting.volume, case.views, starts[0], np.inf, iterations=1
    )
    ours, theirs, ended = [_ours(setting, start) for start in starts], [], []
    for start in starts[:PEER_STARTS]:
        steps, complete = nanodrr_peer.register(
            setting.subject, setting.volume, case.views, start, peer_limit_s
        )
        theirs.append(_errors(setting, steps))
        ended.append(complete)
    rows = [_reached(name, threshold, ours, theirs) for threshold, name in THRESHOLDS_MM.items()]
    note = f"the peer's schedule came to its end in {sum(ended)} of {len(ended)} runs; it was stopped after {peer_limit_s:.0f} s otherwise"
    last, peer_last = ([trace[-1][1] for trace in traces] for traces in (ours, theirs))
    rows.append(compared(FINAL, "mm", last, peer_last, PEER, note=note))
    note = "ours: attenuation, volumes of all resolutions and their projectors; nanodrr is given the attenuation"
    rows.append(compared(READY, "s", *ready, "nanodrr Subject", paired=True, note=note))
    lines = {
        f"{side}, start {number}": [[*step] for step in trace]
        for side, traces in (("ours", ours), ("nanodrr", theirs))
        for number, trace in enumerate(traces, start=1)
    }
    return Measured(rows, {FIGURE: lines})


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

    def note(progress) -> None:
        steps.append((perf_counter() - began, progress.world_from_ct))

    found = refine(setting.anatomy, setting.case.views, start, note)
    return _errors(setting, [*steps, (perf_counter() - began, found.world_from_ct)])


def _errors(setting: Setting, steps: list[tuple[float, np.ndarray]]) -> Trace:
    return [(seconds, mtre(pose, setting.pose, setting.targets)) for seconds, pose in steps]


def time_to_stay_below(trace: Trace, threshold_mm: float) -> float | None:
    """The time of the first step after which the error stays below the threshold.

    None where it ends above.
    """
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
        [
            trace[-1][0] if time is None else time
            for time, trace in zip(peer_times, theirs, strict=True)
        ],
        PEER,
        peer_at_least=None in peer_times,
        failed=f"{missed} of {len(ours)} starts of ours did not get there" if missed else "",
        note=f"from {START_MTRE_MM:g} mm; ours {len(ours) - missed} of {len(ours)} starts, "
        f"the peer {len(theirs) - peer_times.count(None)} of {len(theirs)}",
    )


def _searches(setting: Setting, degrees: float, mm: float, names: Sequence[str]) -> Measured:
    reach = Range(degrees, mm)
    centres = reach.poses(
        setting.pose, setting.anatomy.centroid, np.random.default_rng(0).random((TRUTHS, 6))
    )
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
    line = f"ours, {degrees}° and {mm} mm"
    return Measured(rows, {SEARCH_TIME: {line: times}, SEARCH_SUCCESS: {line: successes}})


def _search(
    setting: Setting, centre: np.ndarray, reach: Range, budget: SearchBudget | None
) -> tuple[float, float]:
    """Seconds, and the final mTRE in mm, infinite where no answer was given."""
    began = perf_counter()
    try:
        pose = refine(
            setting.anatomy, setting.case.views, centre, reach=reach, budget=budget
        ).world_from_ct
    except InputError:  # no pose that was tried shows enough of the CT
        return perf_counter() - began, np.inf
    return perf_counter() - began, mtre(pose, setting.pose, setting.targets)


def memory_jobs(
    setting: Setting, batches: Sequence[tuple[int, int]] = MEMORY_BATCHES
) -> list[BenchmarkJob]:
    """A job for each image size and batch, and one for a registration."""
    works = [(MEMORY, "nanodrr, xvr's settings", "register", (0, 0))]
    for pixels, count in reversed(batches):
        name = f"peak memory, image+jacobian {pixels}x{pixels}" + (
            f", {count} at a time" if count > 1 else ""
        )
        works.insert(0, (name, "nanodrr forward + backward", "render", (pixels, count)))
    return [
        BenchmarkJob("memory", (work[0],), 40, partial(_memory, setting, *work)) for work in works
    ]


def _memory(
    setting: Setting, name: str, peer_name: str, what: str, batch: tuple[int, int]
) -> Measured:
    ours, failed = _peak_mib(setting, "ours", what, batch)
    peer, peer_failed = _peak_mib(setting, "nanodrr", what, batch)
    return Measured([compared(name, "MiB", ours, peer, peer_name, failed=failed or peer_failed)])


def _peak_mib(
    setting: Setting, side: str, what: str, batch: tuple[int, int]
) -> tuple[list[float], str]:
    """[peak] and "", or [] and why there is none."""
    arguments = [
        side,
        what,
        str(setting.case.path),
        *map(str, batch),
        *filter(None, [setting.device]),
    ]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return [float(done.stdout)], ""
    last = (
        done.stderr.strip().splitlines() or [f"exit status {done.returncode}, not enough memory?"]
    )[-1]
    return [], f"{side} did not finish ({last})"


def main(
    side: str, what: str, case: str, pixels: str, count: str, device: str | None = None
) -> None:
    """Do one thing and print the peak in MiB."""
    _WORK[side, what](Setting(Case.load(case), device), int(pixels), int(count))
    print(peak_mib_on(device) if device and device.startswith("cuda") else peak_mib())


def peak_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if (
        status.is_file()
    ):  # Linux's ru_maxrss starts from what the parent process had when it started this one
        line = next(
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmHWM:")
        )
        return int(line.split()[1]) / 2**10
    import resource  # not on Windows, where the standard library has nothing like it

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def peak_mib_on(device: str) -> float:
    """Most memory of a CUDA device that this process's tensors took at once, in MiB."""
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20


def _our_render(setting: Setting, pixels: int, count: int) -> None:
    setting.renderer(setting.projector, [setting.camera(pixels)] * count, setting.poses(count))(
        True
    )
    setting.wait()


def _our_registration(setting: Setting, pixels: int, count: int) -> None:
    warm_up()
    refine(setting.anatomy, setting.case.views, setting.starts()[0])


def _nanodrr_render(setting: Setting, pixels: int, count: int) -> None:
    camera = setting.camera(pixels)
    samples, *_ = nanodrr_peer.samples_for_step(setting.volume, camera, setting.pose)
    poses = setting.poses(count)
    nanodrr_peer.Renderer(
        setting.subject, setting.volume, [camera] * count, poses, samples
    ).run_backward()
    setting.wait()


def _nanodrr_registration(setting: Setting, pixels: int, count: int) -> None:
    """One step at each scale: the peak is that of the last."""
    views, start = setting.case.views, setting.starts()[0]
    nanodrr_peer.register(setting.subject, setting.volume, views, start, 600.0, iterations=1)


_WORK = {
    ("ours", "render"): _our_render,
    ("ours", "register"): _our_registration,
    ("nanodrr", "render"): _nanodrr_render,
    ("nanodrr", "register"): _nanodrr_registration,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
