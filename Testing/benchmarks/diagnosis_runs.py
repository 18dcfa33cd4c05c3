#!/usr/bin/env python
"""Asks for the cause of what is wrong with simulated cases: python diagnosis_runs.py OUT.jsonl CASES...

CASES are folders of make_pose_set.py, or others with a truth. Each case is registered as it is, with each fault of FAULTS, and, where cases
of two anatomies are given, with the CT of the other. A line of JSON for each: the true error, the causes' evidence, which was named, and
by how much that would move the CT.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402
from rows import Rows  # noqa: E402
from trust_runs import STRANGERS  # noqa: E402

from MultiViewRegistrationLib.assessment.diagnosis import candidate_causes  # noqa: E402
from MultiViewRegistrationLib.assessment.metrics import mtre  # noqa: E402
from MultiViewRegistrationLib.errors import InputError  # noqa: E402
from MultiViewRegistrationLib.geometry import rigid  # noqa: E402
from MultiViewRegistrationLib.imaging.view import View  # noqa: E402
from MultiViewRegistrationLib.imaging.xray import XRay  # noqa: E402
from MultiViewRegistrationLib.io.case import Case  # noqa: E402
from MultiViewRegistrationLib.registration.pipeline import refine  # noqa: E402
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT, warm_up  # noqa: E402
from MultiViewRegistrationLib.studies.geometry_errors import perturbed_pose  # noqa: E402


def image_turned(turn: Callable[[np.ndarray], np.ndarray], every: bool = False) -> Callable:
    """The last view's image, or every view's, stored otherwise than it was taken."""

    def wrong(rng: np.random.Generator, views: list[View]) -> list[View]:
        return [_turned(view, turn) if every or i == len(views) - 1 else view for i, view in enumerate(views)]

    return wrong


def inverted(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The first X-ray's values are line integrals, and were taken for detected intensity."""
    image = views[0].xray.line_integrals
    return [
        replace(views[0], xray=replace(views[0].xray, line_integrals=-np.log(np.clip(image / image.max(), 1e-3, 1)))),
        *views[1:],
    ]


def swapped(rng: np.random.Generator, views: list[View]) -> list[View]:
    return [replace(views[0], xray=views[1].xray), replace(views[1], xray=views[0].xray), *views[2:]]


def angle(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The last view's camera is wrong by 2 to 8 degrees about the isocentre, the world origin, and by 2 to 15 mm."""
    camera = views[-1].camera
    wrong = camera.camera_from_world @ perturbed_pose(
        rng, np.eye(4), np.zeros(3), rng.uniform(2, 8), rng.uniform(2, 15)
    )
    return [*views[:-1], replace(views[-1], camera=replace(camera, camera_from_world=wrong))]


def distance(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The distance from source to detector is wrong by 3 to 10 % in all views."""
    scale = 1 + rng.choice([-1, 1]) * rng.uniform(0.03, 0.1)
    wrong = []
    for view in views:
        intrinsics = view.camera.intrinsics.copy()
        intrinsics[:2, :2] *= scale
        wrong.append(replace(view, camera=replace(view.camera, intrinsics=intrinsics)))
    return wrong


def nothing(rng: np.random.Generator, views: list[View]) -> list[View]:
    return views


def _turned(view: View, turn: Callable[[np.ndarray], np.ndarray]) -> View:
    image, valid = (np.ascontiguousarray(turn(each)) for each in (view.xray.line_integrals, view.xray.valid))
    return replace(view, xray=XRay(image, valid, view.xray.pixel_mm))


FAULTS: dict[str, Callable[[np.random.Generator, list[View]], list[View]]] = {
    "none": nothing,
    "mirrored": image_turned(np.fliplr),
    "mirrored all": image_turned(np.fliplr, every=True),
    "upside down": image_turned(np.flipud),
    "turned 180": image_turned(lambda image: np.rot90(image, 2)),
    "turned 90": image_turned(lambda image: np.rot90(image, 3)),
    "turned 270": image_turned(np.rot90),
    "inverted": inverted,
    "swapped": swapped,
    "angle": angle,
    "distance": distance,
    "stranger": nothing,
}


def measure(case: Case, anatomy: PreparedCT, how: str, rng: np.random.Generator) -> dict:
    """A registration of a case with a fault, from up to 8 degrees and 12 mm off, and what is said to be its cause."""
    truth = case.truth_world_from_ct.copy()
    centre = rigid.transform_points(truth, case.ct.centroid())
    truth[:3, 3] = centre - truth[:3, :3] @ anatomy.centroid  # of a stranger's CT, too
    start = perturbed_pose(rng, truth, centre, rng.uniform(0, 8), rng.uniform(0, 12))
    try:
        views = FAULTS[how](rng, list(case.views))
        began = perf_counter()
        found = refine(anatomy, views, start)
    except InputError:
        return {"how": how, "failed": True}
    registered = perf_counter()
    heard = list(candidate_causes(anatomy, views, found, start))
    named = next((each for each in heard if each.holds), None)
    error_mm = mtre(found.world_from_ct, truth, anatomy.corners())
    return {
        "how": how,
        "failed": False,
        "views": len(views),
        "error_mm": error_mm,
        "similarity": list(found.fit.similarity),
        "named": named and named.cause,
        "about": named and list(named.views),
        "sentence": named and named.sentence,
        "moved_mm": named and mtre(found.world_from_ct, named.world_from_ct, anatomy.corners()),
        "register_s": registered - began,
        "diagnose_s": perf_counter() - registered,
        "tried": [
            {"cause": each.cause, "views": list(each.views), "gain": each.gain, "similarity": list(each.similarity)}
            for each in heard
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    args = parser.parse_args()
    warm_up()
    rows = Rows(args.out)
    anatomies: dict[str, PreparedCT] = {}
    cases: dict[str, Case] = {}
    for path in args.cases:
        name = path.name.split("-")[0]
        cases[path.name] = case = Case.load(
            path, next((old for key, old in cases.items() if key.split("-")[0] == name), None)
        )
        anatomies.setdefault(name, PreparedCT(case.ct))
    for path in args.cases:
        name = path.name.split("-")[0]
        for how in args.only:
            anatomy = anatomies.get(STRANGERS.get(name, "") if how == "stranger" else name)
            if anatomy is not None:
                rng = np.random.default_rng([zlib.crc32(path.name.encode()), list(FAULTS).index(how)])
                row = rows.get(path.name, how, measure=partial(measure, cases[path.name], anatomy, how, rng))
                print(f"{path.name} {how}: {row.get('sentence')}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"diagnosis_runs.py: {error}")
