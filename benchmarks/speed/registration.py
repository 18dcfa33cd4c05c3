"""Two-view registrations beside nanodrr's, searches without a start, which no peer has, and peak memory.

Peak memory is measured in a process of its own that does one thing and prints how many MiB that
took at most:

    python -m benchmarks.speed.registration ours|nanodrr CASE PIXELS COUNT [DEVICE]

COUNT images of PIXELS x PIXELS are rendered at once, or with 0 0 X-rays are registered. On a CUDA
device the figure is its memory, elsewhere the largest resident size of the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
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
from .measurement import START_MTRE_MM, Job, Setting, alternated, compared
from .rendering import BATCHES

#: So many of the starts are given to the peer, for at most so long each: it takes minutes.
PEER_STARTS, PEER_LIMIT_S = 2, 300.0
THRESHOLDS_MM = {1.0: "two-view registration to 1 mm", 0.1: "two-view registration to 0.1 mm"}
PEER = "nanodrr, xvr's settings"

#: Ranges of the searches, degrees and mm.
RANGES = ((18, 55), (35, 100))
POSES, REFINED = (16, 64, 256, 1024, 4096), 4
TRUTHS = 24

#: Of memory: pixels a side, and how many images at once, on the processor and on a card.
MEMORY = ((200, 1), (512, 1))
MEMORY_ON_CARD = tuple((pixels, count) for pixels, count, _ in BATCHES if pixels in (200, 512))

Trace = list[tuple[float, float]]
"""Seconds and mTRE in mm after each step."""


def jobs(setting: Setting) -> list[Job]:
    """A job for all rows of a registration, one for each peak of memory, and one for each range of a search."""
    found = [Job("registration: two-view registration", partial(_registration, setting))]
    for pixels, count in MEMORY if setting.device is None else MEMORY_ON_CARD:
        name = f"peak memory, image+jacobian {pixels}x{pixels}"
        if count > 1:
            name += f", {count} at a time"
        work = partial(_memory, setting, name, "nanodrr forward + backward", (pixels, count))
        found.append(Job(f"memory: {name}", work))
    name = "peak memory, two-view registration"
    found.append(Job(f"memory: {name}", partial(_memory, setting, name, PEER, (0, 0))))
    for degrees, mm in RANGES:
        name = f"search within {degrees} degrees and {mm} mm"
        found.append(Job(f"search: {name}", partial(_searches, setting, degrees, mm, name)))
    return found


def _registration(setting):
    starts = setting.starts()
    warm_up()

    def making_ready():
        anatomy = PreparedCT(setting.case.ct)
        for level in anatomy.levels(setting.case.views, setting.pose):
            setting.renderer(anatomy.projector(level.volume), [], [])

    def peers_subject():
        nanodrr_peer.subject_of(setting.volume, setting.device or "cpu")

    ready = alternated([setting.finished(each) for each in (making_ready, peers_subject)], 3, 1.0)
    traced(setting, _ours, starts[0])
    _nanodrr(setting, starts[0], lambda pose: False)
    ours = [traced(setting, _ours, start) for start in starts]
    theirs = [traced(setting, _nanodrr, start, PEER_LIMIT_S) for start in starts[:PEER_STARTS]]
    rows = [reached(name, threshold, ours, theirs) for threshold, name in THRESHOLDS_MM.items()]
    last = [[trace[-1][1] for trace in traces] for traces in (ours, theirs)]
    note = f"the peer was stopped after {PEER_LIMIT_S:.0f} s at most"
    rows.append(compared("two-view registration, final error", "mm", last, PEER, note=note))
    note = "ours: attenuation, volumes of all resolutions and their projectors; nanodrr is given the attenuation"
    name = "CT made ready for a registration"
    return [*rows, compared(name, "s", ready, "nanodrr Subject", paired=True, note=note)]


Note = Callable[[np.ndarray], bool]
"""Takes the pose after each step; False ends the run."""


def traced(
    setting: Setting,
    register: Callable[[Setting, np.ndarray, Note], object],
    start: np.ndarray,
    limit_s: float = np.inf,
) -> Trace:
    """How the error of a registration falls; errors are computed afterwards."""
    steps: list[tuple[float, np.ndarray]] = []
    began = perf_counter()

    def note(pose):
        steps.append((perf_counter() - began, pose))
        return steps[-1][0] < limit_s

    register(setting, start, note)
    return [(seconds, mtre(pose, setting.pose, setting.targets)) for seconds, pose in steps]


def _ours(setting, start, note):
    anatomy, views = setting.anatomy, setting.case.views
    found = refine(anatomy, views, start, lambda progress: note(progress.world_from_ct))
    note(found.world_from_ct)


def _nanodrr(setting, start, note):
    nanodrr_peer.register(setting.subject, setting.volume, setting.case.views, start, note)


def time_to_stay_below(trace: Trace, threshold_mm: float) -> float | None:
    """The time of the first step after which the error stays below the threshold.

    None where it ends above.
    """
    above = [number for number, (_, error) in enumerate(trace) if error >= threshold_mm]
    after = above[-1] + 1 if above else 0
    return trace[after][0] if after < len(trace) else None


def reached(name: str, threshold_mm: float, ours: list[Trace], theirs: list[Trace]) -> dict:
    """The row of the times to a threshold; the peer's is a lower bound where it did not get there."""
    times, peer_times = (
        [time_to_stay_below(trace, threshold_mm) for trace in traces] for traces in (ours, theirs)
    )
    missed = times.count(None)
    got_there = [time for time in times if time is not None]
    ended = [trace[-1][0] for trace in theirs]
    ended = [end if time is None else time for time, end in zip(peer_times, ended, strict=True)]
    return compared(
        name,
        "s",
        (got_there, ended),
        PEER,
        peer_at_least=None in peer_times,
        failed=f"{missed} of {len(ours)} starts of ours did not get there" if missed else "",
        note=f"from {START_MTRE_MM:g} mm; ours {len(ours) - missed} of {len(ours)} starts, "
        f"the peer {len(theirs) - peer_times.count(None)} of {len(theirs)}",
    )


def _searches(setting, degrees, mm, name):
    reach = Range(degrees, mm)
    centres = reach.poses(
        setting.pose, setting.anatomy.centroid, np.random.default_rng(0).random((TRUTHS, 6))
    )
    warm_up()
    _search(setting, centres[0], reach, None)
    rows = []
    for poses in (*POSES, None):
        budget = SearchBudget(poses, poses, REFINED) if poses else None
        runs = [_search(setting, centre, reach, budget) for centre in centres]
        found = [error for _, error in runs if error < SUCCESS_MM]
        note = f"found in {len(found)} of {len(runs)} ({100 * len(found) / len(runs):.0f} %)"
        if found:
            note += f"; median mTRE of these {np.median(found):.3f} mm"
        row = f"{name}, {poses or 'as many'} poses{'' if poses else ' as it needs'}"
        seconds = [spent for spent, _ in runs]
        rows.append(compared(row, "s", (seconds, []), "none has a search", note=note))
    return rows


def _search(setting, centre, reach, budget):
    """Seconds, and the final mTRE in mm, infinite where no answer was given."""
    began = perf_counter()
    try:
        found = refine(setting.anatomy, setting.case.views, centre, reach=reach, budget=budget)
    except InputError:  # no pose that was tried shows enough of the CT
        return perf_counter() - began, np.inf
    return perf_counter() - began, mtre(found.world_from_ct, setting.pose, setting.targets)


def _memory(setting, name, peer_name, batch):
    """Each side's peak, or why there is none."""
    peaks: list[list[float]] = []
    failed = ""
    for side in ("ours", "nanodrr"):
        words = [side, setting.case.path, *batch, *filter(None, [setting.device])]
        done = subprocess.run(
            [sys.executable, "-m", __name__, *map(str, words)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
        peaks.append([] if done.returncode else [float(done.stdout)])
        if done.returncode and not failed:
            reason = done.stderr.strip() or f"exit status {done.returncode}, not enough memory?"
            failed = f"{side} did not finish ({reason.splitlines()[-1]})"
    return [compared(name, "MiB", peaks, peer_name, failed=failed)]


def main(side: str, case: str, pixels: str, count: str, device: str | None = None) -> None:
    """Do one thing and print the peak in MiB."""
    setting = Setting(Case.load(case), device)
    if int(count):
        _render(setting, side, int(pixels), int(count))
    elif side == "ours":
        warm_up()
        refine(setting.anatomy, setting.case.views, setting.starts()[0])
    else:  # one step at each scale: the peak is that of the last
        nanodrr_peer.register(
            setting.subject, setting.volume, setting.case.views, setting.starts()[0], iterations=1
        )
    print(peak_mib(device))


def _render(setting, side, pixels, count):
    cameras, poses = [setting.camera(pixels)] * count, setting.poses(count)
    if side == "ours":
        setting.renderer(setting.projector, cameras, poses)(True)
    else:
        samples, *_ = nanodrr_peer.samples_for_step(setting.volume, cameras[0], setting.pose)
        nanodrr_peer.Renderer(
            setting.subject, setting.volume, cameras, poses, samples
        ).run_backward()
    setting.wait()


def peak_mib(device: str | None) -> float:
    """Most memory of a CUDA device that this process's tensors took at once, else its own largest resident size so far, in MiB."""
    if device is not None and device.startswith("cuda"):
        return nanodrr_peer.modules().torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's ru_maxrss starts from what the parent process had
        lines = status.read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 2**10
    import resource  # not on Windows, where the standard library has nothing like it

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main(*sys.argv[1:])
