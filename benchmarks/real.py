"""Registers real X-rays, right ones and ones with a fault, and keeps what is said of each answer.

    python -m benchmarks real STARTS --rows ROWS.jsonl [--sets portal scouts] [--every N] [--search] [--causes]

Sets: portal images of a head phantom (all sets of two to four views, and of all), those of the
directions between them, where --images has theirs, and a head's two CT scouts. Starts are the plan, and drawn ones. Their true
poses are known to `TRUTH_MM`; they judge the verdict and never train the model. On the six portal
images what carries over was chosen (`assessment/votes.py`, `risk.Limits`);
those between judge it. A row has the error against the true pose of the answer to which the plan
leads by itself, or with --search the program's, the features, the verdict and, with --causes, the
cause that is named. A run that was broken off goes on where it was.

What must hold, fixed before those between were looked at: of the right answers of three views and
more none is rejected, and a third accepted where the views span 30 degrees; with a fault nothing is
accepted, and 80 % are rejected, or as near to right as without it (turned).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from MultiViewRegistrationLib.assessment.causes import find_cause
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume, load_ct
from MultiViewRegistrationLib.imaging.xray import View, load_image, to_line_integrals
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.localizer import study_with_localizers
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies.statistics import grouped, perturbed, table

from .appearances import assessed, without_search
from .people import ct_path
from .protocol.conditions import restored, stated
from .protocol.page import VERDICTS
from .study import Options, Study

#: The portal images' isocentre, and the pose to which an independent renderer came there: a
#: rotation vector and a shift about it, as the data's README has them (LPS).
ISOCENTRE_MM = np.array([-19.7, -15.0, -11.5])
ROTATION_DEG, SHIFT_MM = np.array([0.1, 3.3, 0.7]), np.array([-3.6, 0.3, -3.8])
#: What the true poses are worth, mm: across and along the body, and in depth. An answer within is
#: right, and one beyond twice as much is wrong.
TRUTH_MM = {"portal": (1.0, 3.0), "scouts": (2.0, 2.0)}
#: Starts are off by up to this.
START_DEG, START_MM = 8.0, 20.0
TURNED_DEG = 3.0
#: Of a CT that is cut short, so much of its length is left, at the end towards the feet.
LEFT = 0.2
#: Other people; one more is the head of the other set.
STRANGERS = ("pelvis 2 mm", "torso", "thorax")


@dataclass(frozen=True, eq=False)
class RealSet:
    """Real X-rays with a true pose (4, 4); depth is along world axis `depth`, None for no one."""

    name: str
    case: Case
    anatomy: PreparedCT
    truth: np.ndarray
    depth: int | None

    def off_mm(self, pose: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        """By how much targets (N, 3), CT mm, are off across the depth, and in depth; mean lengths."""
        off = rigid.transform_points(pose, targets) - rigid.transform_points(self.truth, targets)
        if self.depth is None:
            return float(np.linalg.norm(off, axis=1).mean()), 0.0
        across = np.linalg.norm(np.delete(off, self.depth, axis=1), axis=1)
        return float(across.mean()), float(np.abs(off[:, self.depth]).mean())


def portal(data: Path) -> RealSet:
    case = stated(Case.load(data / "epid" / "case.json"))
    turn = rigid.exp_so3(np.radians(ROTATION_DEG))
    truth = rigid.from_rotation_translation(turn, ISOCENTRE_MM + SHIFT_MM - turn @ ISOCENTRE_MM)
    return RealSet("portal", case, PreparedCT(case.ct), truth, 1)


def scouts(data: Path) -> RealSet:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "case.json"
        path.write_text(json.dumps(study_with_localizers(data / "scout").case()))
        case = Case.load(path)
    truth = case.truth_world_from_ct
    assert truth is not None
    return RealSet("scouts", case, PreparedCT(case.ct), truth, None)


def between(data: Path, images: Path) -> RealSet:
    """The portal images of the directions between those of `portal`.

    images: a folder with gantry-16.png to gantry+16.png, by 8 degrees, as the others are stored.
    """
    given = portal(data)
    first = given.case.views[0]
    views = []
    for path in sorted(images.glob("gantry*.png")):
        name = path.stem.removeprefix("gantry")
        turned = _rotates_about_isocentre(first, float(name) - float(first.name))
        views.append(replace(turned, name=name, xray=to_line_integrals(load_image(path), "linear")))
    return replace(given, name="between", case=replace(given.case, views=views))


SETS = ("portal", "scouts", "between")


@lru_cache
def real_set(name: str, data: Path, images: Path) -> RealSet:
    """One of SETS."""
    if name == "between":
        return between(data, images)
    return {"portal": portal, "scouts": scouts}[name](data)


def subsets(views: int) -> Iterator[tuple[int, ...]]:
    """All sets of two to four views, and that of all."""
    for count in range(2, min(views, 5)):
        yield from combinations(range(views), count)
    yield tuple(range(views))


def exchanged(views: list[View]) -> list[View]:
    first, *between, last = views
    return [replace(first, xray=last.xray), *between, replace(last, xray=first.xray)]


def mirrored(views: list[View]) -> list[View]:
    return [*views[:-1], restored(views[-1], np.fliplr)]


def all_mirrored(views: list[View]) -> list[View]:
    return [restored(view, np.fliplr) for view in views]


def turned(views: list[View], degrees: float = TURNED_DEG) -> list[View]:
    """The last view's camera is off by this angle about the patient's long axis."""
    return [*views[:-1], _rotates_about_isocentre(views[-1], degrees)]


def wrong_sign(views: list[View]) -> list[View]:
    """The gantry's angles have the wrong sign; the names of the portal images tell them."""
    return [_rotates_about_isocentre(view, -2 * float(view.name)) for view in views]


def _rotates_about_isocentre(view, degrees):
    axis = np.array([0, 0, np.radians(degrees)])
    turn = rigid.about(ISOCENTRE_MM, rigid.turn_and_shift(axis, [0, 0, 0]))
    pose = view.camera.camera_from_world @ turn
    return view.with_camera(camera_from_world=pose)


Fault = Callable[[list[View]], list[View]]
#: Of the views. "stranger N" and "part" are those of the CT.
FAULTS: dict[str, Fault] = {
    "none": list,
    "exchanged": exchanged,
    "mirrored": mirrored,
    "all mirrored": all_mirrored,
    "turned": turned,
    "sign": wrong_sign,
}
OF_CT = (*(f"stranger {n}" for n in range(len(STRANGERS) + 1)), "part")


def faults_of(name: str) -> list[str]:
    """Those that a set can have: the cameras of slot scans are not turned."""
    of_views = [fault for fault in FAULTS if name != "scouts" or fault not in ("turned", "sign")]
    return [*of_views, *OF_CT]


def other_ct(fault: str, given: RealSet, data: Path) -> PreparedCT:
    """The CT that is registered in place of the right one."""
    if fault == "part":
        volume = given.case.ct.volume
        count = round(LEFT * len(volume.values))
        first = 0 if volume.ct_from_index[2, 2] > 0 else len(volume.values) - count
        cut = volume.ct_from_index.copy()
        cut[:3, 3] = rigid.transform_points(volume.ct_from_index, np.array([0.0, 0, first]))
        return PreparedCT(CT(Volume(volume.values[first : first + count], cut)))
    number = int(fault.split()[1])
    if number < len(STRANGERS):
        return PreparedCT(load_ct(ct_path(STRANGERS[number], data)))
    return (portal(data) if given.name == "scouts" else scouts(data)).anatomy


def row(options: Options, name: str, fault: str, numbers: str, start: int) -> dict:
    """A registration, and what is said of it."""
    given, which = real_set(name, options.data, options.images), tuple(map(int, numbers))
    row: dict = {"set": name, "fault": fault, "views": list(which), "failed": None}
    views = [given.case.views[i] for i in which]
    anatomy, plan = given.anatomy, given.case.world_from_ct
    plan = given.truth if plan is None else plan
    if fault in FAULTS:
        views = FAULTS[fault](views)
    else:
        anatomy = other_ct(fault, given, options.data)
    centre = rigid.transform_points(plan, given.anatomy.centroid)
    plan = plan.copy()
    plan[:3, 3] = centre - plan[:3, :3] @ anatomy.centroid
    if start:
        rng = np.random.default_rng([start, zlib.crc32(f"{which} {fault}".encode())])
        degrees, mm = rng.uniform(0, START_DEG), rng.uniform(0, START_MM)
        plan = perturbed(plan, anatomy.centroid, degrees, mm, 1, rng)[0]
    found = refine(anatomy, views, plan) if options.search else without_search(anatomy, views, plan)
    if found is None:
        return row | {"failed": "nothing shown", "verdict": ""}
    more, assessment = assessed(anatomy, views, found, plan)
    if options.causes:
        assessment = find_cause(assessment, CauseSearch(anatomy, views, found, plan))
    targets = assessment.evidence.targets if assessment.evidence else anatomy.corners()
    off = given.off_mm(found.world_from_ct, targets) if fault in FAULTS else (None, None)
    row |= {"across_mm": off[0], "depth_mm": off[1], **more, "verdict": assessment.verdict}
    row["cause"] = assessment.cause and assessment.cause.cause
    return row | {"codes": [finding.code for finding in assessment.findings]}


def is_right(row: dict) -> bool:
    """Whether an answer is right as far as the truth can tell."""
    across, depth = TRUTH_MM["scouts" if row["set"] == "scouts" else "portal"]
    if row["failed"] is not None or row["across_mm"] is None:
        return False
    return row["across_mm"] <= across and row["depth_mm"] <= depth


def summary(rows: list[dict]) -> str:
    """By set and fault: answers, right ones, and the verdicts of the right and of the others."""
    body = []
    for (name, fault), own in grouped(rows, lambda row: (row["set"], row["fault"])):
        right = [row["verdict"] for row in own if is_right(row)]
        wrong = [row["verdict"] for row in own if not is_right(row) and row["failed"] is None]
        counts = (" / ".join(str(said.count(each)) for each in VERDICTS) for said in (right, wrong))
        body.append((name, fault, len(own), len(right), *counts))
    head = ("X-rays", "fault", "registered", "right", "of the right", "of the others")
    return table(head, body) + "\n\nVerdicts: accept / check / reject."


def keys(options: Options) -> Iterable[tuple]:
    """Each set of views with each fault, from each start."""
    for name in options.sets:
        sets = list(subsets(len(real_set(name, options.data, options.images).case.views)))
        for start in range(options.cases):
            for fault in options.faults or faults_of(name):
                for which in sets[:: options.every]:
                    yield name, fault, "".join(map(str, which)), start


STUDY = Study(
    __doc__,
    row,
    summary,
    keys,
    {
        "sets": {"nargs": "+", "choices": SETS, "default": []},
        "faults": {"nargs": "+"},
        "every": {"type": int, "default": 1, "help": "only one of so many sets of views"},
        "search": "about the plan, as the program does",
        "causes": "ask for the likely cause, too",
    },
)
