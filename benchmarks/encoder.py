"""Registers cases whose cameras are given wrong, once taken as exact and once corrected.

Prints a Markdown table.

python -m benchmarks encoder CASE [CASE ...] --draws 6

A case is a case.json, or its folder, with truth, targets and two or more views. Its cameras are
taken as true; errors are drawn anew for each registration, and every registration starts at another
pose with an mTRE uniform from 0 to --reach mm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns, View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.cameras import CALIBRATED
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.warm_up import warm_up
from MultiViewRegistrationLib.studies.statistics import perturbed, starting_poses, table

from .protocol import conditions
from .truth import truth_of

Random = np.random.Generator
Spoil = Callable[[Random, list[View]], list[View]]


def encoder(degrees: float, mm: float) -> Spoil:
    """Every view but the first off by exactly this."""

    def off(random: Random, view: View) -> View:
        moved = (
            view.camera.camera_from_world
            @ perturbed(np.eye(4), np.zeros(3), degrees, mm, 1, random)[0]
        )
        return replace(view, camera=replace(view.camera, camera_from_world=moved))

    return lambda random, views: [views[0], *(off(random, view) for view in views[1:])]


def intrinsics(draw: Callable[[Random], Callable[[View], np.ndarray]]) -> Spoil:
    """All views with other intrinsics, by one draw."""

    def spoil(random: Random, views: list[View]) -> list[View]:
        wrong = draw(random)
        return [
            replace(view, camera=replace(view.camera, intrinsics=wrong(view))) for view in views
        ]

    return spoil


def farther(random: Random) -> Callable[[View], np.ndarray]:
    """10 mm from source to detector."""
    mm = 10 * random.choice([-1, 1])

    def wrong(view: View) -> np.ndarray:
        if view.xray.pixel_mm is None:
            raise InputError(f"{view.name}: its image has no pixel size; choose one that has.")
        matrix = view.camera.intrinsics.copy()
        matrix[:2, :2] *= 1 + mm / (matrix[1, 1] * view.xray.pixel_mm[1])
        return matrix

    return wrong


def aside(random: Random) -> Callable[[View], np.ndarray]:
    """10 px of the principal point."""
    shift = np.zeros((3, 3))
    shift[:2, 2] = 10 * unit(random, 2)
    return lambda view: view.camera.intrinsics + shift


def isocentre(random: Random, views: list[View]) -> list[View]:
    """5 mm off."""
    shift = rigid.from_rotation_translation(np.eye(3), 5 * unit(random, 3))
    moved = [shift @ view.camera.camera_from_world for view in views]
    cameras = [
        replace(view.camera, camera_from_world=pose)
        for view, pose in zip(views, moved, strict=True)
    ]
    return [replace(view, camera=camera) for view, camera in zip(views, cameras, strict=True)]


def unit(random: Random, n: int) -> np.ndarray:
    vector = random.normal(size=n)
    return vector / np.linalg.norm(vector)


@dataclass(frozen=True)
class Fault:
    """What is wrong with the cameras, and what the correction is told of it."""

    name: str
    spoil: Spoil
    rotation_sd_deg: float = 0.0
    translation_sd_mm: float = 0.0
    shared: SharedUnknowns = CALIBRATED


FAULTS = (
    Fault("none, told 1°, 3 mm", encoder(0, 0), 1.0, 3.0),
    Fault("1°, 3 mm", encoder(1, 3), 1.0, 3.0),
    Fault("normal, 1°, 3 mm along each axis", conditions.encoder, 1.0, 3.0),
    Fault("0.2°, 0.5 mm", encoder(0.2, 0.5), 0.2, 0.5),
    Fault(
        "shared source to detector, 10 mm",
        intrinsics(farther),
        shared=SharedUnknowns(source_to_detector_sd_mm=10),
    ),
    Fault(
        "shared principal point, 10 px",
        intrinsics(aside),
        shared=SharedUnknowns(principal_point_sd_px=10),
    ),
    Fault("shared isocentre, 5 mm", isocentre, shared=SharedUnknowns(isocentre_sd_mm=5)),
)


def measure(
    case: Case, anatomy: PreparedCT, fault: Fault, draws: int, reach_mm: float, seed: int
) -> np.ndarray:
    """(draws, 2, 3): mTRE mm, the same as the first camera sees it, and seconds.

    Cameras taken as exact, and corrected.
    """
    random = np.random.default_rng(seed)
    truth, targets = truth_of(case)
    true_in_camera = case.views[0].camera.camera_from_world @ truth
    rows = []
    for start in starting_poses(truth, targets, (0.0, reach_mm), draws, seed):
        views = fault.spoil(random, case.views)
        row = []
        for rotation, translation, shared in (
            (0.0, 0.0, CALIBRATED),
            (fault.rotation_sd_deg, fault.translation_sd_mm, fault.shared),
        ):
            told = [
                replace(view, rotation_sd_deg=rotation, translation_sd_mm=translation)
                for view in views
            ]
            began = perf_counter()
            found = refine(anatomy, told, start, shared=shared)
            spent = perf_counter() - began
            in_camera = found.views[0].camera.camera_from_world @ found.world_from_ct
            errors = (
                mtre(found.world_from_ct, truth, targets),
                mtre(in_camera, true_in_camera, targets),
            )
            row.append((*errors, spent))
        rows.append(row)
    return np.array(rows)


def told(values: np.ndarray) -> str:
    return f"{np.median(values):.3f} / {np.percentile(values, 95):.3f} / {values.max():.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument(
        "--draws",
        type=int,
        default=6,
        help="registrations of each case and fault (default: %(default)s)",
    )
    parser.add_argument("--reach", type=float, default=22.0, metavar="MM")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="faults whose name has this text")
    args = parser.parse_args()
    warm_up()
    results: dict[str, list[np.ndarray]] = {
        fault.name: [] for fault in FAULTS if args.only in fault.name
    }
    anatomies: dict[tuple, PreparedCT] = {}
    for number, path in enumerate(args.cases):
        case = Case.load(path)
        if case.truth_world_from_ct is None or case.targets is None or len(case.views) < 2:
            raise InputError(
                f"{path}: expected truth, targets and two or more views; take another case."
            )
        if case.anatomy_key not in anatomies:
            anatomies[case.anatomy_key] = PreparedCT(case.ct)
        for fault in (fault for fault in FAULTS if fault.name in results):
            runs = measure(
                case, anatomies[case.anatomy_key], fault, args.draws, args.reach, args.seed + number
            )
            results[fault.name].append(runs)
            print(
                case.name,
                fault.name,
                np.median(runs[:, :, 0], axis=0).round(3),
                file=sys.stderr,
                flush=True,
            )
    lines = []
    for name, each in results.items():
        runs = np.concatenate(each)
        exact, corrected = np.median(runs[:, :, 0], axis=0)
        errors = [told(runs[:, which, column]) for column in (0, 1) for which in (0, 1)]
        seconds = [f"{value:.2f}" for value in np.median(runs[:, :, 2], axis=0)]
        lines.append(
            (name, len(runs), *errors[:2], f"{corrected / exact:.2f}", *errors[2:], *seconds)
        )
    head = ["cameras wrong by", "runs", "mTRE mm, taken as exact", "corrected", "ratio of medians"]
    print(
        table([*head, "in the first camera, exact", "corrected", "s, exact", "s, corrected"], lines)
    )
    print(
        "\nMedian / 95th percentile / worst. In the first camera: the error of the CT as that "
        "camera sees it, without where the world lies,\nwhich images tell in part only where "
        "isocentre or principal point are unknown."
    )
    return 0
