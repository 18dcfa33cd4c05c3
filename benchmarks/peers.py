"""Registers the same X-rays from the same starts by this program and its peers.

python -m benchmarks peers STARTS --peers N --rows docs/tables/benchmarks/peers.jsonl [--angles N]

Five people's CTs, two X-rays each by RTK; the peers: `nanodrr` with xvr's settings, DiffPose's
refinement (`diffpose`, the whole image; `diffpose-patches`, 100 random patches), both as written for
this program. Rows of `itk`, ITK's TwoProjectionRegistration, were measured once with version 0.1.0;
its script is in the history. MVREG_THREADS=1 OMP_NUM_THREADS=1 gives each one thread.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import Cancelled, InputError
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.published.refine import DIFFPOSE
from MultiViewRegistrationLib.published.refine import refine as published
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.refinement import Progress
from MultiViewRegistrationLib.studies.evaluation import truth_of
from MultiViewRegistrationLib.studies.statistics import (
    median,
    percent,
    starting_poses,
    success_rate,
    table,
    table_of,
)

from .people import ON_A_COUCH, ct_path
from .simulation.cases import Patient, random_pose, write_case
from .simulation.simulator import PIXEL_MM, SIZE
from .speed import nanodrr_peer
from .statistics import quantile
from .study import Options, Study

#: The order decides what is drawn for whom.
PEOPLE = ("chest", "pelvis", "head", "torso", "thorax")
#: Start errors, mm: two starts of each case in each interval; success is told for two at once.
EDGES_MM, PER_INTERVAL = tuple(range(0, 41, 4)), 2
SEPARATIONS_DEG = (15, 30, 45, 60, 75, 90)

Note = Callable[[np.ndarray], bool]
"""Takes the pose after each step; False ends the run."""


class Scene:
    """A case with each method's own form of it, made on first use."""

    def __init__(self, folder: Path, person: str, separation_deg: float) -> None:
        self.person = person
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
        """With what a registration renders, of all resolutions."""
        anatomy = PreparedCT(self.case.ct)
        for level in anatomy.levels(self.case.views, self.truth):
            anatomy.projector(level.volume)
        return anatomy

    @cached_property
    def attenuation(self):
        return attenuation(self.case.ct)

    @cached_property
    def subject(self):
        return nanodrr_peer.subject_of(self.attenuation)


scene_of = lru_cache(maxsize=len(PEOPLE))(Scene)


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


def ours(scene: Scene, start: np.ndarray, note: Note) -> None:
    found = refine(
        scene.anatomy, scene.case.views, start, lambda progress: note(progress.world_from_ct)
    )
    note(found.world_from_ct)


def nanodrr(scene: Scene, start: np.ndarray, note: Note) -> None:
    nanodrr_peer.register(scene.subject, scene.attenuation, scene.case.views, start, note)


def diffpose(scene: Scene, start: np.ndarray, note: Note, patches: int | None = None) -> None:
    def tell(progress: Progress) -> bool:
        return note(progress.world_from_ct)

    preset = replace(DIFFPOSE, patches=patches)
    note(published(scene.anatomy, scene.case.views, start, preset, progress=tell).world_from_ct)


class Method(NamedTuple):
    """A method of registration.

    Attributes
    ----------
    name : in tables.
    run : registers a scene from a start, and tells of each step.
    ready : what it needs before the clock starts.
    """

    name: str
    run: Callable[[Scene, np.ndarray, Note], None]
    ready: Callable[[Scene], object] = lambda scene: scene.anatomy


METHODS = {
    "ours": Method("this program", ours),
    "nanodrr": Method("nanodrr, xvr's settings", nanodrr, lambda scene: scene.subject),
    "diffpose": Method("DiffPose, whole image", diffpose),
    "diffpose-patches": Method("DiffPose, 100 patches", partial(diffpose, patches=100)),
}
NAMES = {
    **{key: method.name for key, method in METHODS.items()},
    "itk": "ITK TwoProjectionRegistration",
}


def measured(scene: Scene, method: Method, start: np.ndarray, limit_s: float) -> dict:
    """One registration: what it took, and how it ended."""
    method.ready(scene)
    poses, fault = [start], ""
    began, processor = perf_counter(), process_time()

    def note(pose: np.ndarray) -> bool:
        poses.append(pose)
        return process_time() - processor < limit_s

    try:
        method.run(scene, start, note)
    except Cancelled:
        pass
    except InputError as error:
        fault = str(error)
    wall, spent = perf_counter() - began, process_time() - processor
    start_mm, end_mm = (mtre(pose, scene.truth, scene.targets) for pose in (start, poses[-1]))
    return {
        "start_mm": round(start_mm, 3),
        "end_mm": None if fault else round(end_mm, 4),
        "wall_s": round(wall, 3),
        "processor_s": round(spent, 3),
        "limit_s": limit_s,
        "steps": len(poses) - 1,
        "when": date.today().isoformat(),
        "load": round(os.getloadavg()[0], 1),
        "fault": fault,
    }


@lru_cache
def warm(name: str, scene: Scene) -> None:
    """A method once before its first clock starts, to its first step."""
    measured(scene, METHODS[name], scene.starts[0], 0.0)


def row(options: Options, name: str, person: str, separation_deg: int, turn: int) -> dict:
    """A registration."""
    scene = scene_of(options.images / "peers", person, separation_deg)
    warm(name, scene)
    start = scene.starts[scene.start(turn)]
    about = {"method": name, "person": person, "angle": separation_deg, "turn": turn}
    return about | measured(scene, METHODS[name], start, options.limit)


def keys(options: Options) -> Iterable[tuple]:
    """Turn by turn, so that a run that is broken off has about as many of each; smaller angles by person."""
    for turn in range(options.cases):
        for person in PEOPLE:
            for name in METHODS if turn < options.peers else ("ours",):
                yield name, person, 90, turn
    for person in PEOPLE if options.angles else ():
        for angle in SEPARATIONS_DEG[:-1]:
            for turn in range(options.angles):
                yield "ours", person, angle, turn


def errors(rows: Sequence[dict]) -> np.ndarray:
    """(n,) final mTRE in mm, NaN without an answer."""
    return np.array([row["end_mm"] for row in rows], float)


def by_method(rows: Sequence[dict]) -> str:
    """A row for each method. Times of ours beside a peer's are those of the same starts."""
    ours_s = {
        (row["person"], row["turn"]): row["processor_s"] for row in rows if row["method"] == "ours"
    }

    def stopped(group: Sequence[dict]) -> int:
        return sum(row["limit_s"] <= row["processor_s"] for row in group)

    def seconds(group: Sequence[dict], values: list[float], digits: int = 1) -> str:
        return "≥ " * (2 * stopped(group) >= len(group)) + median(values, digits)

    def ratio(group: Sequence[dict]) -> str:
        pairs = [(row["processor_s"], ours_s.get((row["person"], row["turn"]))) for row in group]
        return seconds(group, [theirs / own for theirs, own in pairs if own], 0)

    columns = {
        "runs": len,
        "under 1 mm": lambda group: percent(success_rate(errors(group), 1.0)),
        "under 2 mm": lambda group: percent(success_rate(errors(group), 2.0)),
        "median mTRE, mm": lambda group: f"{np.nanmedian(errors(group)):.3f}",
        "processor s": lambda group: seconds(group, [row["processor_s"] for row in group]),
        "wall s": lambda group: seconds(group, [row["wall_s"] for row in group]),
        "processor time / ours": ratio,
        "stopped before its end": stopped,
    }
    return table_of([((NAMES[name],), group) for name, group in of_methods(rows)], [""], columns)


def of_methods(rows: Sequence[dict]) -> list[tuple[str, list[dict]]]:
    """The rows of each method that has any."""
    groups = [(name, [row for row in rows if row["method"] == name]) for name in NAMES]
    return [(name, group) for name, group in groups if group]


def by_interval(rows: Sequence[dict]) -> str:
    """Successes in each interval of start errors, for each method."""
    methods = of_methods(rows)
    lines = []
    for low, high in pairwise(EDGES_MM[::2]):
        cells = []
        for _, group in methods:
            end = errors([row for row in group if low <= row["start_mm"] < high])
            cells.append(f"{np.count_nonzero(end < 2)} of {len(end)}" if len(end) else "")
        lines.append((f"{low} to {high} mm", *cells))
    return table(("start error", *(NAMES[name] for name, _ in methods)), lines)


def by_angle(rows: Sequence[dict]) -> str:
    """Ours for each angle between the views, from the starts that all angles had."""
    starts = Counter((row["person"], row["turn"]) for row in rows)
    rows = [row for row in rows if starts[row["person"], row["turn"]] == len(SEPARATIONS_DEG)]
    lines = []
    for angle in SEPARATIONS_DEG:
        end = errors([row for row in rows if row["angle"] == angle])
        rates = (percent(success_rate(end, limit)) for limit in (1.0, 2.0))
        right = end[end < 2]
        lines.append((f"{angle}°", len(end), *rates, median(right, 3), quantile(right, 0.95)))
    head = ("angle", "runs", "under 1 mm", "under 2 mm")
    return table((*head, "median mTRE of these, mm", "95 % of these under, mm"), lines)


def tables(rows: list[dict]) -> str:
    """By method, by interval of the start's error, and by the angle between the views."""
    straight = [row for row in rows if row["angle"] == 90]
    parts = [by_method(straight), "Under 2 mm by interval:", by_interval(straight)]
    own = [row for row in rows if row["method"] == "ours"]
    if len(straight) < len(rows):
        parts += ["By the angle between the views:", by_angle(own)]
    return "\n\n".join(parts)


STUDY = Study(
    __doc__,
    row,
    tables,
    keys,
    {
        "peers": {"type": int, "default": 3, "help": "starts of each case of each peer"},
        "angles": {"type": int, "default": 0, "help": "starts of ours at each smaller angle, too"},
        "limit": {"type": float, "default": 600.0, "help": "processor seconds of a run at most"},
    },
)
