"""Registers the same X-rays from the same starts by this program and its peers.

python -m benchmarks peers run, then peers page

`run` keeps a line of JSON for each registration, and goes on where it was broken off. Five people's
CTs, two X-rays each by RTK; the peers: `nanodrr` with xvr's settings, DiffPose's refinement
(`diffpose`, the whole image; `diffpose-patches`, 100 random patches), both as written for this
program. Rows of `itk`, ITK's TwoProjectionRegistration, were measured once with version 0.1.0; its
script is in the history.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import Cancelled, InputError
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.files import write_atomically
from MultiViewRegistrationLib.registration.pipeline import Progress, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.warm_up import warm_up
from MultiViewRegistrationLib.report.plot import Axis, Line, line_plot, svg_file
from MultiViewRegistrationLib.studies.evaluation import truth_of
from MultiViewRegistrationLib.studies.statistics import (
    capture_range,
    median,
    percent,
    starting_poses,
    success_rate,
    table,
)

from . import ROOT, kept, parser_of
from .people import ON_A_COUCH, ct_path
from .simulation.cases import Patient, random_pose, write_case
from .simulation.simulator import PIXEL_MM, SIZE
from .speed import nanodrr_peer
from .speed.measurement import described, machine
from .statistics import quantile

#: The order decides what is drawn for whom.
PEOPLE = ("chest", "pelvis", "head", "torso", "thorax")
#: Start errors, mm: two starts of each case in each interval.
EDGES_MM, PER_INTERVAL = tuple(range(0, 41, 4)), 2
STARTS = (len(EDGES_MM) - 1) * PER_INTERVAL
SEPARATIONS_DEG = (15, 30, 45, 60, 75, 90)
#: Of the capture range: wider, for the sake of methods that had few starts.
CAPTURE_EDGES_MM, MIN_STARTS = tuple(range(0, 41, 8)), 5
#: Points kept of a run's curve.
POINTS = 30

TITLE = "Error of registrations against processor time"
HEAD = (
    "",
    "runs",
    "under 1 mm",
    "under 2 mm",
    "median mTRE, mm",
    "processor s",
    "wall s",
    "processor time / ours",
    "stopped before its end",
    "capture range",
)
ABOUT = """## Peers from the same starts

This program and its peers register the same X-rays from the same starts, by `benchmarks/peers.py`: five people's CTs (the demo's
chest, the pelvis, head, torso and thorax of the shared data), each with two 512x512 X-rays by RTK, 90 degrees apart, from a C-arm that
does not turn to head or feet, which is all that ITK's peer knows. Start errors lie between 0 and 40 mm, mTRE at 30 points of bone, spread
evenly; the fewer starts of a slow method are spread over the same range.

The time is that until the answer is returned, of a schedule as its authors wrote it, with the images loaded and the CT made ready: in
processor seconds, which others on the machine disturb little, and by the clock on the wall, which they disturb a lot. One thread each
(`MVREG_THREADS=1 OMP_NUM_THREADS=1`). Ratios are medians over the starts that both had. A run that reached the limit of processor
seconds counts with its last pose, and its time is a lower bound: what it would have reached is not known.

- *This program*: from the start pose and what lies about it; no search through a given range, no verdict.
- *nanodrr, xvr's settings*: nanodrr's renderer and metrics in xvr's schedule, as above. Made for CUDA cards, run on the processor.
- *DiffPose*: its refinement [as written for this program](../method.md#published-refinements): 500 steps at 256x256, of the whole image or
  of 100 random patches of 13x13. Made for CUDA cards, run on the processor.
- *ITK TwoProjectionRegistration*: Powell's method on the correlation with DRRs by Siddon and Jacobs, with the settings of its authors' own
  program; X-rays of 256x256, small voxels pooled to at most 1.4 mm. That program counts voxels from 0 HU on, which leaves out most soft
  tissue; here they count from -1000 HU, with which it was nearer and quicker where both were tried, once. Rows of the X-rays in which the
  CT at the start pose is cut off are left out: with them it left even the true pose of a pelvis and of a head, by 50 mm and more.
  Measured once, with version 0.1.0; its script is in the history.
- RTK has no registration of its own, and we know of no published method that pairs its projector with one: it made the X-rays, and its
  projector is timed above."""
WITHIN = """The capture range is the largest start error up to which 95 % of the starts in each interval of 8 mm end under 2 mm (van de
Kraats et al.), where each has five starts. Under 2 mm by interval:"""
ANGLES = """### Error against the angle between the views

This program, from the same starts, with the second view nearer to the first: the same five people and poses. All right answers of a case
are nearly one pose, so that five cases, not all runs, tell of the error."""

Note = Callable[[np.ndarray], bool]
"""Takes the pose after each step; False ends the run."""


@dataclass(frozen=True)
class Method:
    """A method on the page: its name and colour, and what registers a scene from a start, telling of each step.

    ready: makes the scene ready, before the clock starts.   run: None where only its rows are kept.
    """

    name: str
    colour: str
    ready: Callable[[Scene], object] = lambda scene: None
    run: Callable[[Scene, np.ndarray, Note], np.ndarray | None] | None = None


class Scene:
    """A case with each method's own form of it, made on first use."""

    def __init__(self, folder: Path, person: str, separation_deg: float) -> None:
        self.person, self.separation_deg = person, separation_deg
        path = folder / f"{person}-{separation_deg:g}" / "case.json"
        self.case = Case.load(
            path if path.is_file() else make_case(path.parent, person, separation_deg)
        )
        self.truth, self.targets = truth_of(self.case)
        seed = PEOPLE.index(person)
        self.starts = starting_poses(self.truth, self.targets, EDGES_MM, PER_INTERVAL, seed)

    def start(self, turn: int) -> int:
        """Which start a case has as its nth.

        Those of two turns of all five cases lie in all ten intervals, of four twice.
        """
        intervals, seed = len(EDGES_MM) - 1, PEOPLE.index(self.person)
        return PER_INTERVAL * ((2 * seed + 3 * turn) % intervals) + turn // intervals

    @cached_property
    def anatomy(self) -> PreparedCT:
        return PreparedCT(self.case.ct)

    @cached_property
    def attenuation(self):
        return attenuation(self.case.ct)

    @cached_property
    def subject(self):
        return nanodrr_peer.subject_of(self.attenuation)


def make_case(folder: Path, person: str, separation_deg: float) -> Path:
    """Two X-rays of a person by RTK, from a C-arm as all methods know it.

    No angulation to head or feet.
    """
    patient = body(person)
    rng = np.random.default_rng(100 * PEOPLE.index(person))
    first, side = rng.uniform(-20, 20), rng.choice([-1, 1])
    cameras = [
        CArm(
            source_to_detector_mm=rng.uniform(1000, 1030),
            source_to_isocentre_mm=rng.uniform(685, 715),
            pixel_mm=(PIXEL_MM, PIXEL_MM),
            size=SIZE,
            principal_point=tuple((np.array(SIZE) - 1) / 2 + rng.uniform(-12, 12, 2)),
            rao_lao_deg=degrees,
            cra_cau_deg=0,
        ).camera()
        for degrees in (first, first + side * separation_deg)
    ]
    return write_case(folder, patient, cameras, random_pose(patient.centre, rng), rng)


@lru_cache(maxsize=1)
def body(person: str) -> Patient:
    return Patient(ct_path(person), person in ON_A_COUCH)


def ours(scene: Scene, start: np.ndarray, note: Note) -> np.ndarray:
    found = refine(
        scene.anatomy, scene.case.views, start, lambda progress: note(progress.world_from_ct)
    )
    return found.world_from_ct


def nanodrr(scene: Scene, start: np.ndarray, note: Note) -> None:
    views = scene.case.views
    nanodrr_peer.register(scene.subject, scene.attenuation, views, start, np.inf, note=note)


def diffpose(patches: int | None) -> Callable[[Scene, np.ndarray, Note], np.ndarray]:
    def run(scene: Scene, start: np.ndarray, note: Note) -> np.ndarray:
        from MultiViewRegistrationLib.published.refine import DIFFPOSE, refine

        preset = replace(DIFFPOSE, patches=patches)

        def tell(progress: Progress) -> bool:
            return note(progress.world_from_ct)

        return refine(scene.anatomy, scene.case.views, start, preset, progress=tell).world_from_ct

    return run


def projectors(scene: Scene) -> None:
    """What a registration renders, of all resolutions."""
    for level in scene.anatomy.levels(scene.case.views, scene.truth):
        scene.anatomy.projector(level.volume)


METHODS = {
    "ours": Method("this program", "#0072b2", projectors, ours),
    "nanodrr": Method("nanodrr, xvr's settings", "#d55e00", lambda scene: scene.subject, nanodrr),
    "diffpose": Method("DiffPose, whole image", "#cc79a7", projectors, diffpose(None)),
    "diffpose-patches": Method("DiffPose, 100 patches", "#e69f00", projectors, diffpose(100)),
    "itk": Method("ITK TwoProjectionRegistration", "#009e73"),
}


def measured(scene: Scene, method: Method, number: int, limit_s: float) -> dict:
    """One registration: what it took, how it ended, and how its error fell."""
    start, steps = scene.starts[number], []
    method.ready(scene)
    began, processor = perf_counter(), process_time()

    def note(pose: np.ndarray) -> bool:
        steps.append((process_time() - processor, pose))
        return steps[-1][0] < limit_s

    fault, answer = "", None
    assert method.run is not None
    try:
        answer = method.run(scene, start, note)
    except Cancelled:
        pass
    except InputError as error:
        fault = str(error)
    wall, spent = perf_counter() - began, process_time() - processor
    if answer is None:  # it has no answer but the pose of its last step
        answer = steps[-1][1] if steps else start
    if not fault:
        steps.append((spent, answer))
    curve = [
        [round(seconds, 3), round(mtre(pose, scene.truth, scene.targets), 4)]
        for seconds, pose in steps
    ]
    kept_points = sorted({round(n) for n in np.geomspace(1, len(curve), POINTS)}) if curve else []
    return {
        "start_mm": round(mtre(start, scene.truth, scene.targets), 3),
        "end_mm": None if fault else round(mtre(answer, scene.truth, scene.targets), 4),
        "wall_s": round(wall, 3),
        "processor_s": round(spent, 3),
        "limit_s": limit_s,
        "steps": len(curve),
        "when": date.today().isoformat(),
        "load": round(os.getloadavg()[0], 1),
        "fault": fault,
        "curve": [curve[n - 1] for n in kept_points],
    }


def is_stopped(row: dict) -> bool:
    """Whether a run was stopped at its limit."""
    return row.get("limit_s", np.inf) <= row.get("processor_s", 0)


def work(counts: dict[str, int], people: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Turn, person and method, in this order.

    A run that is broken off has about as many of each.
    """
    for turn in range(max(counts.values())):
        for person in people:
            for name, count in counts.items():
                if turn < count:
                    yield turn, person, name


def run(args: argparse.Namespace) -> None:
    """Measure what is not there yet; each method once before its first clock starts."""
    rows, scenes = kept.Rows(args.rows), {}
    rows.get("machine", measure=machine)
    for key, row in list(rows.items()):
        if is_stopped(row) and row["limit_s"] < args.limit:
            rows.forget(key)
    warm_up()
    counts = {name: int(count) for name, _, count in (word.partition("=") for word in args.starts)}
    for name in counts:
        if METHODS[name].run is None:
            raise InputError(f"--starts: {name} is measured no more; leave it out.")

    def one(person: str, separation_deg: float, name: str, turn: int, *, curve: bool) -> None:
        def measure() -> dict:
            key = person, separation_deg
            if key not in scenes:
                scenes[key] = Scene(args.cases, *key)
            scene = scenes[key]
            number = scene.start(turn)
            if name not in warm:
                warm.add(name)
                measured(scene, METHODS[name], number, 0.0)
            row = measured(scene, METHODS[name], number, args.limit)
            print(
                f"{person} {separation_deg} {name} {turn}:",
                *(row[key] for key in SHOWN),
                file=sys.stderr,
                flush=True,
            )
            return row if curve else {key: value for key, value in row.items() if key != "curve"}

        rows.get(name, person, separation_deg, turn, measure=measure)

    warm: set[str] = set()
    for turn, person, name in work(counts, args.people):
        one(person, 90, name, turn, curve=True)
    for person in args.people if args.angles else ():
        for separation in SEPARATIONS_DEG[:-1]:
            for turn in range(args.angles):
                one(person, separation, "ours", turn, curve=False)
            scenes.clear()


def results(path: Path) -> tuple[list[dict], dict]:
    """The rows with method, person, separation_deg and turn, and the machine.

    InputError where there are none.
    """
    kept_rows = dict(kept.Rows(path).items())
    about = kept_rows.pop("machine", {})
    if not kept_rows:
        raise InputError(
            f"{path}: found no rows, expected those of `python -m benchmarks peers run`; run it "
            "first."
        )
    found = []
    for key, row in kept_rows.items():
        method, person, separation, turn = key.split()
        found.append(
            {
                "method": method,
                "person": person,
                "separation_deg": float(separation),
                "turn": int(turn),
                **row,
            }
        )
    return found, about


def write_page(args: argparse.Namespace) -> None:
    rows, about = results(args.rows)
    straight = [row for row in rows if row["separation_deg"] == 90]
    days = sorted({row["when"] for row in rows})
    loads = np.percentile([row["load"] for row in rows], (5, 50, 95))
    measured_on = (
        f"Measured {' to '.join(dict.fromkeys((days[0], days[-1])))} on {described(about)}. Others computed beside: load average "
        "{:.1f}, {:.1f} to {:.1f}.".format(loads[1], loads[0], loads[2])
    )
    parts = [ABOUT, measured_on, by_method(straight), WITHIN, by_interval(straight)]
    curves = args.page.with_suffix("") / "peers.svg"
    curves.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(curves, figure(straight))
    parts.append(f"![{TITLE}]({curves.parent.name}/{curves.name})")
    angled = [row for row in rows if row["method"] == "ours"]
    if any(row["separation_deg"] != 90 for row in angled):
        parts += [ANGLES, by_angle(angled)]
    kept.put(args.page, "peers", "\n\n".join(parts))


def errors(rows: Sequence[dict]) -> np.ndarray:
    """(n,) final mTRE in mm, NaN without an answer."""
    return np.array([np.nan if row["end_mm"] is None else row["end_mm"] for row in rows])


def of_methods(rows: Sequence[dict]) -> Iterator[tuple[str, Method, list[dict]]]:
    """The key, method and rows of each method that has any."""
    for key, method in METHODS.items():
        chosen = [row for row in rows if row["method"] == key]
        if chosen:
            yield key, method, chosen


def by_method(rows: Sequence[dict]) -> str:
    """A row for each method. Times of ours beside a peer's are those of the same starts."""
    ours_at = {(row["person"], row["turn"]): row for row in rows if row["method"] == "ours"}
    lines = []
    for key, method, chosen in of_methods(rows):
        end, beside = errors(chosen), [ours_at.get((row["person"], row["turn"])) for row in chosen]
        ratios = [
            row["processor_s"] / own["processor_s"]
            for row, own in zip(chosen, beside, strict=True)
            if own
        ]
        stopped = sum(map(is_stopped, chosen))
        at_least = "≥ " * (2 * stopped >= len(chosen))
        lines.append(
            (
                method.name,
                len(chosen),
                *(percent(success_rate(end, limit)) for limit in (1.0, 2.0)),
                median(end[np.isfinite(end)], 3),
                *(
                    at_least + median([row[time] for row in chosen], 1)
                    for time in ("processor_s", "wall_s")
                ),
                "" if key == "ours" or not ratios else at_least + median(ratios, 0),
                f"{stopped} of {len(chosen)}",
                captured([row["start_mm"] for row in chosen], end),
            )
        )
    return table(HEAD, lines, right=range(1, len(HEAD)))


def captured(start_mm: Sequence[float], end_mm: np.ndarray) -> str:
    """The capture range, where each interval has at least MIN_STARTS."""
    if min(np.histogram(start_mm, CAPTURE_EDGES_MM)[0]) < MIN_STARTS:
        return "too few starts"
    return f"{capture_range(start_mm, end_mm, CAPTURE_EDGES_MM, 2.0):g} mm"


def by_interval(rows: Sequence[dict]) -> str:
    """Successes in each interval of start errors, for each method."""
    columns = list(of_methods(rows))
    lines = []
    for low, high in pairwise(CAPTURE_EDGES_MM):
        cells = []
        for _, _, chosen in columns:
            end = errors([row for row in chosen if low <= row["start_mm"] < high])
            cells.append(f"{np.count_nonzero(end < 2)} of {len(end)}" if len(end) else "")
        lines.append((f"{low} to {high} mm", *cells))
    return table(("start error", *(method.name for _, method, _ in columns)), lines)


def by_angle(rows: Sequence[dict]) -> str:
    """Ours for each angle between the views, from the starts that all angles had."""
    starts = Counter((row["person"], row["turn"]) for row in rows)
    rows = [row for row in rows if starts[row["person"], row["turn"]] == len(SEPARATIONS_DEG)]
    lines = []
    for angle in SEPARATIONS_DEG:
        end = errors([row for row in rows if row["separation_deg"] == angle])
        rates = (percent(success_rate(end, limit)) for limit in (1.0, 2.0))
        right = end[end < 2]
        lines.append((f"{angle}°", len(end), *rates, median(right, 3), quantile(right, 0.95)))
    head = (
        "angle",
        "runs",
        "under 1 mm",
        "under 2 mm",
        "median mTRE of these, mm",
        "95 % of these under, mm",
    )
    return table(head, lines, right=range(1, 6))


def figure(rows: Sequence[dict]) -> str:
    """Error against processor seconds, a line for each run.

    Of ours only the starts that a peer had, too.
    """
    turns = max((row["turn"] for row in rows if row["method"] == "nanodrr"), default=STARTS)
    lines: list[Line] = []
    for _, method, chosen in of_methods(rows):
        shown = [row for row in chosen if row["turn"] <= turns and row["curve"]]
        for number, row in enumerate(shown):
            seconds, error = zip(*row["curve"], strict=True)
            lines.append(
                Line("" if number else method.name, seconds, error, (method.colour, None, None))
            )
    plot = line_plot(lines, TITLE, Axis("processor seconds", "log"), Axis("mTRE (mm)", "log"))
    return svg_file([plot])


SHOWN = ("start_mm", "end_mm", "wall_s", "processor_s", "steps", "fault")


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("what", choices=("run", "page"))
    parser.add_argument(
        "--rows", type=Path, default=ROOT / "docs" / "tables" / "benchmarks" / "peers.jsonl"
    )
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "tables" / "benchmarks.md")
    parser.add_argument("--cases", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--people", nargs="+", choices=PEOPLE, default=PEOPLE)
    parser.add_argument(
        "--starts",
        nargs="+",
        default=["ours=20", "nanodrr=3", "diffpose-patches=3", "diffpose=3"],
        metavar="METHOD=N",
        help=f"how many starts of each case each method has, up to {STARTS}",
    )
    parser.add_argument(
        "--angles",
        type=int,
        default=0,
        metavar="N",
        help="starts of ours at each smaller angle, too",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=600.0,
        help="processor seconds of a run at most; runs that a smaller limit ended are measured again",
    )
    args = parser.parse_args()
    {"run": run, "page": write_page}[args.what](args)
    return 0
