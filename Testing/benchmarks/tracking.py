#!/usr/bin/env python
"""Tracks a simulated moving sequence at each pace, and registers each frame anew; prints a Markdown table.

python tracking.py --anatomy pelvis --frames 40 --page docs/benchmarks.md

The X-rays are RTK's, two views of 512x512 pixels. Each frame is measured at each pace and anew before the next one comes, so that a busy
moment of the machine hits all of them. The clock starts with the images loaded; what loading takes is told beside.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import marked_page  # noqa: E402
import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402
from make_cases import PELVIS  # noqa: E402

from MultiViewRegistrationLib.assessment import metrics  # noqa: E402
from MultiViewRegistrationLib.bench.machine import machine, now, told  # noqa: E402
from MultiViewRegistrationLib.demo.cases import DEFAULT_XRAY, Patient, random_cameras, random_pose, write_case  # noqa: E402
from MultiViewRegistrationLib.demo.chest import chest_ct  # noqa: E402
from MultiViewRegistrationLib.errors import InputError  # noqa: E402
from MultiViewRegistrationLib.geometry import rigid  # noqa: E402
from MultiViewRegistrationLib.io.sequence import FrameSequence  # noqa: E402
from MultiViewRegistrationLib.registration import kernels  # noqa: E402
from MultiViewRegistrationLib.registration.anatomy import Anatomy  # noqa: E402
from MultiViewRegistrationLib.registration.ranges import Range  # noqa: E402
from MultiViewRegistrationLib.tracking.tracker import PACES, Tracker  # noqa: E402
from MultiViewRegistrationLib.workflow import register  # noqa: E402

#: The motion is a swing to and fro along a twist of this length in degrees and mm, a period in so many frames.
SWING_DEG, SWING_MM, PERIOD = 6.0, 10.0, 30
ANEW = {"anew, from the first frame's pose": "given", "anew, by a search": "search"}


def moved(pose: np.ndarray, twist: np.ndarray, about: np.ndarray, frame: int) -> np.ndarray:
    return rigid.about(about, rigid.exp_se3(np.sin(2 * np.pi * frame / PERIOD) * twist)) @ pose


def make(folder: Path, anatomy: str, frames: int, seed: int) -> list[np.ndarray]:
    """A case in `folder` whose images have `frames` frames; the true poses."""
    rng = np.random.default_rng(seed)
    patient = Patient(chest_ct() if anatomy == "chest" else PELVIS, anatomy == "chest")
    cameras, pose = random_cameras(rng, 2, (80, 90)), random_pose(patient, rng)
    path = write_case(folder, patient, cameras, pose, rng)
    twist = rng.normal(size=6)
    twist[:3] *= np.radians(SWING_DEG) / np.linalg.norm(twist[:3])
    twist[3:] *= SWING_MM / np.linalg.norm(twist[3:])
    centre = rigid.transform_points(pose, patient.centre)
    poses = [moved(pose, twist, centre, frame) for frame in range(frames)]
    case = json.loads(path.read_text(encoding="utf-8"))
    for view, camera in zip(case["views"], cameras, strict=True):
        taken = np.stack([DEFAULT_XRAY.take(patient.projector, camera, each, rng) for each in poses])
        sitk.WriteImage(sitk.GetImageFromArray(taken), str(folder / view["image"]))
    path.write_text(json.dumps(case), encoding="utf-8")
    return poses


def measure(sequence: FrameSequence, poses: list[np.ndarray]) -> tuple[dict[str, list[tuple[float, float, str]]], list[float]]:
    """Of each way, seconds, mTRE and verdict of each frame but the first; and the seconds that loading a frame took."""
    from dataclasses import replace

    case = sequence.first
    anatomy = Anatomy(case.ct)
    kernels.prepare()
    ways: dict[str, list] = {name: [] for name in [*PACES, *ANEW]}
    trackers = {name: Tracker(anatomy, pace, Range(**case.search), case.targets) for name, pace in PACES.items()}
    result = register(case, "given", anatomy=anatomy)
    from MultiViewRegistrationLib.tracking.tracker import Tracked

    first = Tracked(0, "registered", result.world_from_ct, result.verdict, [], result.refinement.fit.similarity)
    for tracker in trackers.values():
        tracker.keep(first)
    loading = []
    for number in range(1, len(sequence)):
        began = perf_counter()
        views = sequence.load(number).views
        loading.append(perf_counter() - began)
        for name, tracker in trackers.items():
            found = tracker.follow(number, views)
            tracker.keep(found)
            error = np.inf if found.world_from_ct is None else metrics.mtre(found.world_from_ct, poses[number], case.targets)
            ways[name].append((found.seconds, error, f"{found.how}, {found.verdict}"))
        frame = replace(case, views=views, world_from_ct=first.world_from_ct)
        for name, start in ANEW.items():
            began = perf_counter()
            result = register(frame, start, anatomy=anatomy)
            ways[name].append((perf_counter() - began, metrics.mtre(result.world_from_ct, poses[number], case.targets), result.verdict))
    return ways, loading


def row(name: str, frames: list[tuple[float, float, str]]) -> str:
    seconds, errors = np.array([frame[0] for frame in frames]), np.array([frame[1] for frame in frames])
    fifth, middle, last = 1e3 * np.percentile(seconds, [5, 50, 95])
    verdicts = [frame[2] for frame in frames]
    said = ", ".join(f"{verdicts.count(each)} {each}" for each in dict.fromkeys(verdicts))
    return (f"| {name} | {len(frames) / seconds.sum():.1f} | {middle:.0f} ms | {fifth:.0f} to {last:.0f} ms | {np.median(errors):.3f} mm | "
            f"{errors.max():.3f} mm | {said} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomy", choices=("chest", "pelvis"), default="chest")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, help="folder of the sequence, made if it is not there (default: a temporary one)")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="also put the table into this page")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data or Path(temporary)
        if not (folder / "poses.npy").exists():
            np.save(folder / "poses.npy", make(folder, args.anatomy, args.frames, args.seed))
        poses = list(np.load(folder / "poses.npy"))
        ways, loading = measure(FrameSequence.of_images(folder), poses)
    load = f"; load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    lines = [f"{args.anatomy}, {len(poses)} frames. {now()}, {told(machine())}{load}.", "",
             "| | frames a second | a frame, median | 5 % to 95 % | mTRE, median | worst | |", "|---|---|---|---|---|---|---|",
             *(row(name, frames) for name, frames in ways.items()), "",
             f"Loading a frame, both images with their fields sought: {1e3 * np.median(loading):.0f} ms."]
    print("\n".join(lines))
    if args.page:
        text = (__doc__.split("\n\n")[2]).strip()
        marked_page.put(args.page, f"tracking-{args.anatomy}", "\n".join(["## Tracking", "", text, "", *lines]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"tracking.py: {error}")
