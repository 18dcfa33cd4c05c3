#!/usr/bin/env python
"""Registers cases whose cameras are given wrong, once taken as exact and once corrected; prints a Markdown table.

python encoder.py CASE [CASE ...] --draws 6

A case is a case.json, or its folder, with truth, targets and two or more views. Its cameras are taken as true; errors are drawn anew
for each registration, and every registration starts at another pose with an mTRE uniform from 0 to --reach mm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402

from MultiViewRegistrationLib.assessment import metrics  # noqa: E402
from MultiViewRegistrationLib.errors import InputError  # noqa: E402
from MultiViewRegistrationLib.geometry import rigid  # noqa: E402
from MultiViewRegistrationLib.imaging.view import SharedUnknowns, View  # noqa: E402
from MultiViewRegistrationLib.io.case import Case  # noqa: E402
from MultiViewRegistrationLib.registration.cameras import CALIBRATED  # noqa: E402
from MultiViewRegistrationLib.registration.pipeline import refine  # noqa: E402
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT, warm_up  # noqa: E402
from MultiViewRegistrationLib.studies import statistics as protocol  # noqa: E402

Random = np.random.Generator


def _unit(random: Random, n: int = 3) -> np.ndarray:
    vector = random.normal(size=n)
    return vector / np.linalg.norm(vector)


def _turned(view: View, rotation_deg: np.ndarray, shift_mm: np.ndarray) -> View:
    """Its camera off by a rotation vector about the world origin and a shift."""
    off = rigid.from_rotation_translation(rigid.exp_so3(np.radians(rotation_deg)), shift_mm)
    return replace(view, camera=replace(view.camera, camera_from_world=view.camera.camera_from_world @ off))


def encoder(degrees: float, mm: float, gaussian: bool = False) -> Callable[[list[View], Random], list[View]]:
    """Every view but the first off by exactly this, or by normal errors with this deviation along each axis."""

    def spoil(views: list[View], random: Random) -> list[View]:
        def vector(size: float) -> np.ndarray:
            return size * (random.normal(size=3) if gaussian else _unit(random))

        return [views[0], *(_turned(view, vector(degrees), vector(mm)) for view in views[1:])]

    return spoil


def source_to_detector(mm: float) -> Callable[[list[View], Random], list[View]]:
    def spoil(views: list[View], random: Random) -> list[View]:
        sign = random.choice([-1, 1])
        spoilt = []
        for view in views:
            intrinsics = view.camera.intrinsics.copy()
            intrinsics[:2, :2] *= 1 + sign * mm / (intrinsics[1, 1] * view.xray.pixel_mm[1])
            spoilt.append(replace(view, camera=replace(view.camera, intrinsics=intrinsics)))
        return spoilt

    return spoil


def principal_point(px: float) -> Callable[[list[View], Random], list[View]]:
    def spoil(views: list[View], random: Random) -> list[View]:
        shift = np.zeros((3, 3))
        shift[:2, 2] = px * _unit(random, 2)
        return [replace(view, camera=replace(view.camera, intrinsics=view.camera.intrinsics + shift)) for view in views]

    return spoil


def isocentre(mm: float) -> Callable[[list[View], Random], list[View]]:
    def spoil(views: list[View], random: Random) -> list[View]:
        shift = rigid.from_rotation_translation(np.eye(3), mm * _unit(random))
        return [
            replace(view, camera=replace(view.camera, camera_from_world=shift @ view.camera.camera_from_world))
            for view in views
        ]

    return spoil


@dataclass(frozen=True)
class Fault:
    """What is wrong with the cameras, and what the correction is told of it."""

    name: str
    spoil: Callable[[list[View], Random], list[View]]
    rotation_sd_deg: float = 0.0
    translation_sd_mm: float = 0.0
    shared: SharedUnknowns = CALIBRATED


FAULTS = (
    Fault("none, told 1°, 3 mm", encoder(0, 0), 1.0, 3.0),
    Fault("1°, 3 mm", encoder(1, 3), 1.0, 3.0),
    Fault("normal, 1°, 3 mm along each axis", encoder(1, 3, gaussian=True), 1.0, 3.0),
    Fault("0.2°, 0.5 mm", encoder(0.2, 0.5), 0.2, 0.5),
    Fault(
        "shared source to detector, 10 mm", source_to_detector(10), shared=SharedUnknowns(source_to_detector_sd_mm=10)
    ),
    Fault("shared principal point, 10 px", principal_point(10), shared=SharedUnknowns(principal_point_sd_px=10)),
    Fault("shared isocentre, 5 mm", isocentre(5), shared=SharedUnknowns(isocentre_sd_mm=5)),
)


def measure(case: Case, anatomy: PreparedCT, fault: Fault, draws: int, reach_mm: float, seed: int) -> np.ndarray:
    """(draws, 2, 3): mTRE mm, the same as the first camera sees it, and seconds; cameras taken as exact, and corrected."""
    random = np.random.default_rng(seed)
    truth, targets = case.truth_world_from_ct, case.targets
    starts = protocol.starting_poses(truth, targets, (0.0, reach_mm), draws, seed).world_from_ct
    rows = []
    for start in starts:
        views = fault.spoil(case.views, random)
        soft = [
            replace(view, rotation_sd_deg=fault.rotation_sd_deg, translation_sd_mm=fault.translation_sd_mm)
            for view in views
        ]
        row = []
        for some, shared in ((views, CALIBRATED), (soft, fault.shared)):
            began = perf_counter()
            found = refine(anatomy, some, start, shared=shared)
            spent = perf_counter() - began
            in_camera = found.views[0].camera.camera_from_world @ found.world_from_ct
            true_in_camera = case.views[0].camera.camera_from_world @ truth
            row.append(
                (
                    metrics.mtre(found.world_from_ct, truth, targets),
                    metrics.mtre(in_camera, true_in_camera, targets),
                    spent,
                )
            )
        rows.append(row)
    return np.array(rows)


def table(results: dict[str, np.ndarray]) -> str:
    """results: by fault, (runs, 2, 3) as `measure` gives them."""
    lines = [
        "| cameras wrong by | runs | mTRE mm, taken as exact | corrected | ratio of medians | in the first camera, exact | corrected "
        "| s, exact | s, corrected |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in results.items():

        def told(which: int, column: int = 0, runs: np.ndarray = runs) -> str:
            values = runs[:, which, column]
            return f"{np.median(values):.3f} / {np.percentile(values, 95):.3f} / {values.max():.3f}"

        exact, corrected = np.median(runs[:, :, 0], axis=0)
        seconds = np.median(runs[:, :, 2], axis=0)
        lines.append(
            f"| {name} | {len(runs)} | {told(0)} | {told(1)} | {corrected / exact:.2f} | {told(0, 1)} | {told(1, 1)} "
            f"| {seconds[0]:.2f} | {seconds[1]:.2f} |"
        )
    return (
        "\n".join(lines)
        + "\n\n"
        + (
            "Median / 95th percentile / worst. In the first camera: the error of the CT as that camera sees it, "
            "without where the world lies,\n"
            "which images tell in part only where isocentre or principal point are unknown."
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument(
        "--draws", type=int, default=6, help="registrations of each case and fault (default: %(default)s)"
    )
    parser.add_argument("--reach", type=float, default=22.0, metavar="MM")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="faults whose name has this text")
    args = parser.parse_args()
    warm_up()
    results: dict[str, list[np.ndarray]] = {}
    anatomies: dict[tuple, PreparedCT] = {}
    for number, path in enumerate(args.cases):
        case = Case.load(path)
        if case.truth_world_from_ct is None or case.targets is None or len(case.views) < 2:
            raise InputError(f"{path}: expected truth, targets and two or more views; take another case.")
        anatomy = anatomies.setdefault(case.anatomy_key, None) or PreparedCT(case.ct)
        anatomies[case.anatomy_key] = anatomy
        for fault in FAULTS:
            if args.only in fault.name:
                runs = measure(case, anatomy, fault, args.draws, args.reach, args.seed + number)
                results.setdefault(fault.name, []).append(runs)
                print(
                    case.name,
                    fault.name,
                    np.median(runs[:, :, 0], axis=0).round(3),
                    runs[:, :, 0].max(axis=0).round(3),
                    file=sys.stderr,
                    flush=True,
                )
    print(table({name: np.concatenate(runs) for name, runs in results.items()}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"encoder.py: {error}")
