"""Registers simulated cases with one fault each, and keeps which cause the program names.

    python -m benchmarks fault_runs OUT.jsonl CASES...

CASES are folders of make_pose_set.py or make_cases.py; each is registered from a start nearby with
each of FAULTS. Kept are the causes' evidence, which was named, and by how much that would move the
CT. A line of JSON for each: what is there already is not made again.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.pipeline import Refinement, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.warm_up import warm_up
from MultiViewRegistrationLib.studies.statistics import perturbed

from . import parser_of
from .kept import Rows
from .protocol.conditions import restored, scaled, stated
from .truth import truth_of

Fault = Callable[[np.random.Generator, list[View]], list[View]]
#: Whose CT is taken for whose.
STRANGERS = {"chest": "pelvis", "pelvis": "chest"}


def image_turned(turn: Callable[[np.ndarray], np.ndarray], every: bool = False) -> Fault:
    """The last view's image, or every view's, stored otherwise than it was taken."""
    return lambda rng, views: [
        *(restored(view, turn) if every else view for view in views[:-1]),
        restored(views[-1], turn),
    ]


def inverted(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The first X-ray's values are line integrals, and were taken for detected intensity."""
    image = views[0].xray.line_integrals
    logs = -np.log(np.clip(image / image.max(), 1e-3, 1))
    return [replace(views[0], xray=replace(views[0].xray, line_integrals=logs)), *views[1:]]


def swapped(rng: np.random.Generator, views: list[View]) -> list[View]:
    return [
        replace(views[0], xray=views[1].xray),
        replace(views[1], xray=views[0].xray),
        *views[2:],
    ]


def angle(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The last view's camera is wrong by 2 to 8 degrees about the isocentre, the world origin, and by 2 to 15 mm."""
    camera = views[-1].camera
    off = perturbed(np.eye(4), np.zeros(3), rng.uniform(2, 8), rng.uniform(2, 15), 1, rng)[0]
    return [
        *views[:-1],
        replace(
            views[-1], camera=replace(camera, camera_from_world=camera.camera_from_world @ off)
        ),
    ]


def as_it_is(rng: np.random.Generator, views: list[View]) -> list[View]:
    return views


#: "stranger" is the CT of another patient.
FAULTS: dict[str, Fault] = {
    "none": as_it_is,
    "mirrored": image_turned(np.fliplr),
    "mirrored all": image_turned(np.fliplr, every=True),
    "upside down": image_turned(np.flipud),
    "turned 180": image_turned(lambda image: np.rot90(image, 2)),
    "turned 90": image_turned(lambda image: np.rot90(image, 3)),
    "turned 270": image_turned(np.rot90),
    "inverted": inverted,
    "swapped": swapped,
    "angle": angle,
    "distance": scaled,
    "stranger": as_it_is,
}


def measure(name: str, how: str, rng: np.random.Generator, case: Case, anatomy: PreparedCT) -> dict:
    """A registration of a case with a fault, and what it is said to be. anatomy.

    The case's, or the stranger's.
    """
    truth = truth_of(case)[0].copy()
    centre = rigid.transform_points(truth, case.ct.centroid())
    truth[:3, 3] = centre - truth[:3, :3] @ anatomy.centroid
    start = perturbed(truth, anatomy.centroid, rng.uniform(0, 8), rng.uniform(0, 12), 1, rng)[0]
    began = perf_counter()
    try:
        views = FAULTS[how](rng, list(case.views))
        found = refine(anatomy, views, start)
    except InputError:
        return {"anatomy": name, "how": how, "failed": True}
    registered = perf_counter()
    said = _diagnosis(anatomy, views, found, start, truth)
    times = {"register_s": registered - began, "assess_s": perf_counter() - registered}
    about = {"anatomy": name, "how": how, "views": len(views), "failed": False}
    return {**about, **times, **said}


def _diagnosis(anatomy, views, found: Refinement, start, truth) -> dict:
    """What is said to be the cause."""
    heard = list(CauseSearch(anatomy, views, found, start).causes())
    named = next((each for each in heard if each.holds), None)
    return {
        "error_mm": metrics.mtre(found.world_from_ct, truth, anatomy.corners()),
        "similarity": list(found.fit.similarity),
        "named": named and named.cause,
        "about": named and list(named.views),
        "sentence": named and named.sentence,
        "moved_mm": named and named.target_shift_mm(found.world_from_ct, anatomy.corners()),
        "tried": [
            {
                "cause": each.cause,
                "views": list(each.views),
                "gain": each.gain,
                "similarity": list(each.similarity),
            }
            for each in heard
        ],
    }


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warm_up()
    rows, anatomies, last = Rows(args.out), {}, {}
    for path in args.cases:  # all CTs first: one is the stranger of another
        name = path.name.split("-")[0]
        if name not in anatomies:
            last[name] = Case.load(path)
            anatomies[name] = PreparedCT(last[name].ct)
    for path in args.cases:
        name, number = (
            path.name.split("-")[0],
            zlib.crc32(path.name.encode()),
        )  # the same whatever other cases there are
        case = last[name] = stated(Case.load(path, last[name]))
        for n, how in enumerate(args.only or FAULTS):
            anatomy = anatomies.get(STRANGERS.get(name, "") if how == "stranger" else name)
            if anatomy is not None:
                rng = np.random.default_rng([args.seed, number, n])
                rows.get(path.name, how, measure=partial(measure, name, how, rng, case, anatomy))
        print(f"{path.name}: {len(rows)} registrations", file=sys.stderr, flush=True)
    return 0
