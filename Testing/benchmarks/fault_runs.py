#!/usr/bin/env python
"""Registers simulated cases rightly and wrongly, and keeps what each answer tells of itself.

    python fault_runs.py trust OUT.jsonl CASES...
    python fault_runs.py diagnosis OUT.jsonl CASES...

CASES are folders of make_pose_set.py or make_cases.py. For `trust` each case is registered once from a start nearby, once from one far
off, once at the finest resolution alone from a start in between, which ends in accidental minima, and twice with a fault of TRUST, in
turn; kept are the true error, and the features of assessment/features.py, of which `trust_fit.py` makes the model. For `diagnosis` each
case is registered with each fault of DIAGNOSIS, and what may be wrong is asked for; kept are the causes' evidence, which was named, and by
how much that would move the CT. A line of JSON for each: what is there already is not made again.
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
from kept import Rows  # noqa: E402

from MultiViewRegistrationLib.assessment import metrics  # noqa: E402
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch  # noqa: E402
from MultiViewRegistrationLib.assessment.features import compute_features  # noqa: E402
from MultiViewRegistrationLib.assessment.metrics import default_targets  # noqa: E402
from MultiViewRegistrationLib.errors import InputError  # noqa: E402
from MultiViewRegistrationLib.geometry import rigid  # noqa: E402
from MultiViewRegistrationLib.imaging.xray import View  # noqa: E402
from MultiViewRegistrationLib.io.case import Case  # noqa: E402
from MultiViewRegistrationLib.registration.optimizer import minimise  # noqa: E402
from MultiViewRegistrationLib.registration.pipeline import Refinement, refine  # noqa: E402
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT, warm_up  # noqa: E402
from MultiViewRegistrationLib.studies.conditions import encoder, flipped, restored, scaled, turned  # noqa: E402
from MultiViewRegistrationLib.studies.statistics import perturbed  # noqa: E402

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
    return [replace(views[0], xray=views[1].xray), replace(views[1], xray=views[0].xray), *views[2:]]


def angle(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The last view's camera is wrong by 2 to 8 degrees about the isocentre, the world origin, and by 2 to 15 mm."""
    camera = views[-1].camera
    off = perturbed(np.eye(4), np.zeros(3), rng.uniform(2, 8), rng.uniform(2, 15), 1, rng)[0]
    return [*views[:-1], replace(views[-1], camera=replace(camera, camera_from_world=camera.camera_from_world @ off))]


def as_it_is(rng: np.random.Generator, views: list[View]) -> list[View]:
    return views


#: "stranger" is the CT of another patient.
TRUST: dict[str, Fault] = {
    "turned": turned,
    "encoder": encoder,
    "flipped": flipped,
    "stranger": as_it_is,
    "scaled": scaled,
}
DIAGNOSIS: dict[str, Fault] = {
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
#: How else a case is registered: from these starts (see `measure`), or by its first view alone.
NO_FAULT: dict[str, Fault] = {
    "near": as_it_is,
    "far": as_it_is,
    "miss": as_it_is,
    "single": lambda rng, views: views[:1],
}


def accidental(anatomy: PreparedCT, views: list[View], start: np.ndarray) -> Refinement:
    """Where a descent at the finest resolution alone ends."""
    level = anatomy.levels(views, start)[-1]
    objective = anatomy.objective(views, level, start)
    found = minimise(objective, start, iterations=3 * level.iterations, tolerance_mm=level.tolerance_mm)
    if not np.isfinite(found.fit.cost):
        raise InputError("nothing to compare")
    return Refinement(found.world_from_ct, found.fit, [], views, np.zeros(6))


def measure(task: str, how: str, rng: np.random.Generator, case: Case, anatomy: PreparedCT) -> dict:
    """A registration of a case with a fault, and what it tells of itself. anatomy: the case's, or the stranger's."""
    truth = case.truth_world_from_ct.copy()
    centre = rigid.transform_points(truth, case.ct.centroid())
    truth[:3, 3] = centre - truth[:3, :3] @ anatomy.centroid
    largest = {"far": ((10, 40), (20, 90)), "miss": ((1, 8), (2, 14))}.get(how, ((0, 8), (0, 12)))
    start = perturbed(truth, anatomy.centroid, *(rng.uniform(*ends) for ends in largest), 1, rng)[0]
    began = perf_counter()
    try:
        views = {**NO_FAULT, **TRUST, **DIAGNOSIS}[how](rng, list(case.views))
        found = accidental(anatomy, views, start) if how == "miss" else refine(anatomy, views, start)
    except InputError:
        return {"how": how, "failed": True}
    registered = perf_counter()
    tell = {"trust": _trust, "diagnosis": _diagnosis}[task]
    told = tell(anatomy, views, found, start, truth, None if how == "stranger" else case.targets)
    times = {"register_s": registered - began, "assess_s": perf_counter() - registered}
    return {"how": how, "views": len(views), "failed": False, **times, **told}


def _trust(anatomy, views, found: Refinement, start, truth, targets: np.ndarray | None) -> dict:
    """What the covariance predicts, beside what is true: along and across the first view's beam, and about the weakest axis."""
    known = targets is not None
    targets = targets if known else default_targets(anatomy, found.views, found.world_from_ct)
    targets = targets if len(targets) else anatomy.bone_points(100)
    told = compute_features(anatomy, found.views, found, start, targets)
    at = told.total_uncertainty.at(rigid.transform_points(found.world_from_ct, targets))
    camera = found.views[0].camera
    error = metrics.split_by_view(camera, found.world_from_ct, truth, targets)
    depth, in_plane = at.split(camera)
    sd, axis = told.total_uncertainty.least_certain_rotation()
    turn = rigid.log_so3(found.world_from_ct[:3, :3] @ truth[:3, :3].T) @ axis
    names = ("noise_mm", "basin_shift_mm", "single_view_shift_mm", "single_view_shift_sds", "tension")
    names += ("split_half_mm", "gap", "similarity", "wider_similarity", "outlier_fraction")
    return {
        "mtre_mm": metrics.mtre(found.world_from_ct, truth, targets) if known else None,
        "world_from_ct": found.world_from_ct.round(6).tolist(),
        "mean_mm": at.mean_mm,
        "bound_mm": at.bound_mm(),
        "depth_sd_mm": depth,
        "in_plane_sd_mm": in_plane,
        "depth_mm": float(np.sqrt(np.mean(error.depth_mm**2))),
        "in_plane_mm": float(np.sqrt(np.mean(error.in_plane_mm**2))),
        "turn_sd_deg": float(np.degrees(sd)),
        "turn_deg": float(np.degrees(turn)),
        **{name: _finite(getattr(told, name)) for name in names},
        "similarities": list(told.fit.similarity),
        "cost": told.fit.cost,
        "evidence": told.fit.evidence,
    }


def _finite(value):
    if isinstance(value, np.ndarray):
        return [each if np.isfinite(each) else None for each in value.tolist()]
    return value


def _diagnosis(anatomy, views, found: Refinement, start, truth, targets) -> dict:
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
            {"cause": each.cause, "views": list(each.views), "gain": each.gain, "similarity": list(each.similarity)}
            for each in heard
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("trust", "diagnosis"))
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", choices=list({**NO_FAULT, **TRUST, **DIAGNOSIS}))
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
        case = last[name] = Case.load(path, last[name])
        faults = list(TRUST)
        every = {
            "trust": ["near", "far", "miss", faults[number % len(faults)], faults[(number + 2) % len(faults)]],
            "diagnosis": list(DIAGNOSIS),
        }
        for n, how in enumerate(args.only or every[args.task]):
            anatomy = anatomies.get(STRANGERS.get(name, "") if how == "stranger" else name)
            if anatomy is not None:
                rng = np.random.default_rng([args.seed, number, n])
                work = partial(measure, args.task, how, rng, case, anatomy)
                rows.get(path.name, how, measure=lambda work=work, name=name: {"anatomy": name, **work()})
        print(f"{path.name}: {len(rows)} registrations", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"fault_runs.py: {error}")
