#!/usr/bin/env python
"""Registers simulated cases rightly and wrongly, and writes what each answer tells of itself: python trust_runs.py OUT.jsonl CASES...

CASES are folders of make_pose_set.py or make_cases.py. Each case is registered once from a start nearby, once from a start far off, once at
the finest resolution alone from a start in between, which ends in accidental minima, and twice with a fault of FAULTS, in turn.
A line of JSON for each: the true error, and the features of assessment/features.py. `trust_fit.py` makes the model of them.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402
from rows import Rows  # noqa: E402

from MultiViewRegistrationLib.assessment import metrics  # noqa: E402
from MultiViewRegistrationLib.assessment.features import ReliabilityFeatures, compute_features  # noqa: E402
from MultiViewRegistrationLib.assessment.targets import default_targets  # noqa: E402
from MultiViewRegistrationLib.errors import InputError  # noqa: E402
from MultiViewRegistrationLib.geometry import rigid  # noqa: E402
from MultiViewRegistrationLib.imaging.view import View  # noqa: E402
from MultiViewRegistrationLib.io.case import Case  # noqa: E402
from MultiViewRegistrationLib.registration.optimizer import minimise  # noqa: E402
from MultiViewRegistrationLib.registration.pipeline import Refinement, refine  # noqa: E402
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT, warm_up  # noqa: E402
from MultiViewRegistrationLib.studies.geometry_errors import encoder, flipped, perturbed_pose, scaled, turned  # noqa: E402

#: Whose CT is taken for whose.
STRANGERS = {"chest": "pelvis", "pelvis": "chest"}


def exact(rng: np.random.Generator, views: list[View]) -> list[View]:
    return views


def single(rng: np.random.Generator, views: list[View]) -> list[View]:
    return views[:1]


FAULTS: dict[str, Callable[[np.random.Generator, list[View]], list[View]]] = {
    "turned": turned,
    "encoder": encoder,
    "flipped": flipped,
    "stranger": exact,
    "scaled": scaled,
}


def accidental(anatomy: PreparedCT, views: list[View], start: np.ndarray) -> Refinement:
    """Where a descent at the finest resolution alone ends."""
    level = anatomy.levels(views, start)[-1]
    objective = anatomy.objective(views, level, start)
    found = minimise(objective, start, iterations=3 * level.iterations, tolerance_mm=level.tolerance_mm)
    if not np.isfinite(found.fit.cost):
        raise InputError("nothing to compare")
    return Refinement(found.world_from_ct, found.fit, [], views, np.zeros(6))


def measure(
    case: Case, anatomy: PreparedCT, how: str, rng: np.random.Generator, stranger: PreparedCT | None = None
) -> dict:
    """A registration of a case, and what it tells of itself.

    how: "near", "far", "miss", "single" (the first view alone, from nearby), or one of FAULTS.
    """
    truth, views = case.truth_world_from_ct, case.views
    centre = rigid.transform_points(truth, anatomy.centroid)
    if how == "stranger":
        truth_like = truth.copy()
        truth_like[:3, 3] = centre - truth[:3, :3] @ stranger.centroid
        anatomy, truth = stranger, truth_like
    degrees, mm = {
        "far": (rng.uniform(10, 40), rng.uniform(20, 90)),
        "miss": (rng.uniform(1, 8), rng.uniform(2, 14)),
    }.get(how, (rng.uniform(0, 8), rng.uniform(0, 12)))
    start = perturbed_pose(rng, truth, centre, degrees, mm)
    views = {**FAULTS, "single": single}.get(how, exact)(rng, views)
    began = perf_counter()
    try:
        found = accidental(anatomy, views, start) if how == "miss" else refine(anatomy, views, start)
    except InputError:
        return {"how": how, "views": len(views), "failed": True}
    registered = perf_counter()
    targets = case.targets if how != "stranger" else default_targets(anatomy, found.views, found.world_from_ct)
    targets = targets if len(targets) else anatomy.bone_points(100)
    told = compute_features(anatomy, found.views, found, start, targets)
    return {
        "how": how,
        "views": len(views),
        "failed": False,
        "register_s": registered - began,
        "assess_s": perf_counter() - registered,
        "mtre_mm": None if how == "stranger" else metrics.mtre(found.world_from_ct, truth, targets),
        "world_from_ct": found.world_from_ct.round(6).tolist(),
        **_errors(told, found, truth, targets),
        **_told(told),
    }


def _errors(told: ReliabilityFeatures, found: Refinement, truth: np.ndarray, targets: np.ndarray) -> dict:
    """What the covariance predicts, beside what is true: along and across the first view's beam, and about the weakest axis."""
    at = told.uncertainty.at(rigid.transform_points(found.world_from_ct, targets))
    camera = found.views[0].camera
    error = metrics.split_by_view(camera, found.world_from_ct, truth, targets)
    depth, in_plane = at.split(camera)
    sd, axis = told.uncertainty.least_certain_rotation()
    turn = rigid.log_so3(found.world_from_ct[:3, :3] @ truth[:3, :3].T) @ axis
    return {
        "mean_mm": at.mean_mm,
        "bound_mm": at.bound_mm(),
        "depth_sd_mm": depth,
        "in_plane_sd_mm": in_plane,
        "depth_mm": float(np.sqrt(np.mean(error.depth_mm**2))),
        "in_plane_mm": float(np.sqrt(np.mean(error.in_plane_mm**2))),
        "turn_sd_deg": float(np.degrees(sd)),
        "turn_deg": float(np.degrees(turn)),
    }


def _told(told: ReliabilityFeatures) -> dict:
    def finite(values: np.ndarray) -> list[float | None]:
        return [each if np.isfinite(each) else None for each in values.tolist()]

    return {
        "noise_mm": told.noise_mm,
        "wider_mm": told.wider_mm,
        "basin_shift_mm": told.basin_shift_mm,
        "single_view_shift_mm": finite(told.single_view_shift_mm),
        "single_view_shift_sds": finite(told.single_view_shift_sds),
        "tension": told.tension,
        "split_half_mm": told.split_half_mm,
        "gap": told.gap,
        "similarity": told.similarity,
        "wider_similarity": told.wider_similarity,
        "compared": told.compared,
        "outlier_fraction": told.outlier_fraction,
        "similarities": list(told.fit.similarity),
        "shown": list(told.fit.shown),
        "cost": told.fit.cost,
        "evidence": told.fit.evidence,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", help="instead of these five, e.g. single: the first view alone")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warm_up()
    rows, anatomies, last = Rows(args.out), {}, {}
    for path in args.cases:
        number = zlib.crc32(path.name.encode())  # the same whatever other cases there are
        anatomy_name = path.name.split("-")[0]
        case = last[anatomy_name] = Case.load(path, last.get(anatomy_name))
        if anatomy_name not in anatomies:
            anatomies[anatomy_name] = PreparedCT(case.ct)
        faults = list(FAULTS)
        for n, how in enumerate(
            args.only or ("near", "far", "miss", faults[number % len(faults)], faults[(number + 2) % len(faults)])
        ):
            stranger = anatomies.get(STRANGERS.get(anatomy_name, ""))
            if how == "stranger" and stranger is None:
                continue
            rng = np.random.default_rng([args.seed, number, n])
            row = partial(measure, case, anatomies[anatomy_name], how, rng, stranger)
            rows.get(path.name, how, measure=lambda row=row, name=anatomy_name: {"anatomy": name, **row()})
        print(f"{path.name}: {len(rows)} registrations", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"trust_runs.py: {error}")
