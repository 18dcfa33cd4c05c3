"""Tracks a simulated moving sequence at each pace, and registers each frame anew.

Prints a Markdown table.

python -m benchmarks tracking --anatomy pelvis --frames 40 --page docs/tables/benchmarks.md

Each frame is measured at each pace and anew before the next one comes, so that a busy moment of the
machine hits all of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import SimpleITK as sitk

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.rendering.devices import ComputeDevice
from MultiViewRegistrationLib.sequence.tracker import PACES, Tracker, tracked
from MultiViewRegistrationLib.studies.evaluation import truth_of
from MultiViewRegistrationLib.studies.statistics import table

from . import kept, parser_of
from .people import ct_path
from .simulation.cases import DEFAULT_XRAY, Patient, random_cameras, random_pose, write_case
from .speed.measurement import described, machine, now

#: The motion is a swing to and fro along a twist of this length in degrees and mm, a period in so
#: many frames.
SWING_DEG, SWING_MM, PERIOD = 6.0, 10.0, 30
ANEW = {"anew, from the first frame's pose": "given", "anew, by a search": "search"}


def moved(pose: np.ndarray, twist: np.ndarray, about: np.ndarray, frame: int) -> np.ndarray:
    return rigid.about(about, rigid.exp_se3(np.sin(2 * np.pi * frame / PERIOD) * twist)) @ pose


def make(folder: Path, anatomy: str, frames: int, seed: int) -> list[np.ndarray]:
    """A case in `folder` whose images have `frames` frames; the true poses."""
    rng = np.random.default_rng(seed)
    patient = Patient(ct_path(anatomy), anatomy == "chest")
    cameras, pose = random_cameras(rng, 2, (80, 90)), random_pose(patient.centre, rng)
    path = write_case(folder, patient, cameras, pose, rng)
    twist = rng.normal(size=6)
    twist[:3] *= np.radians(SWING_DEG) / np.linalg.norm(twist[:3])
    twist[3:] *= SWING_MM / np.linalg.norm(twist[3:])
    centre = rigid.transform_points(pose, patient.centre)
    poses = [moved(pose, twist, centre, frame) for frame in range(frames)]
    case = json.loads(path.read_text(encoding="utf-8"))
    for view, camera in zip(case["views"], cameras, strict=True):
        taken = np.stack(
            [DEFAULT_XRAY.take(patient.projector, camera, each, rng) for each in poses]
        )
        sitk.WriteImage(sitk.GetImageFromArray(taken), str(folder / view["image"]))
    path.write_text(json.dumps(case), encoding="utf-8")
    return poses


def measure(
    sequence: FrameSequence, poses: list[np.ndarray], device: ComputeDevice
) -> tuple[dict[str, list[tuple]], list[float]]:
    """Of each way every frame but the first: seconds of wall clock and of all threads' CPU time, mTRE in mm, and what was said of it;
    and the seconds that loading a frame took."""
    case = sequence.first
    _, targets = truth_of(case)
    anatomy = PreparedCT(case.ct)
    first = register(case, "given", anatomy=anatomy, device=device)
    assert first.assessment
    assessed = partial(assess, targets=targets)
    trackers = {
        name: Tracker(anatomy.on_device(device.name), pace, Range(**case.search_range), assessed)
        for name, pace in PACES.items()
    }
    for tracker in trackers.values():
        tracker.memory.keep(tracked(0, "registered", first.refinement, first.assessment))

    def follow(tracker: Tracker, number: int, views: list[View]) -> tuple[np.ndarray | None, str]:
        found = tracker.follow(number, views)
        tracker.memory.keep(found)
        return found.world_from_ct, f"{found.how}, {found.verdict}"

    def anew(start: str, number: int, views: list[View]) -> tuple[np.ndarray, str]:
        frame = replace(case, views=views, world_from_ct=first.world_from_ct)
        result = register(frame, start, anatomy=anatomy, device=device)
        return result.world_from_ct, result.verdict or ""

    ways: dict[str, Callable[..., tuple[np.ndarray | None, str]]]
    ways = {name: partial(follow, tracker) for name, tracker in trackers.items()}
    ways |= {name: partial(anew, start) for name, start in ANEW.items()}
    measured: dict[str, list[tuple]] = {name: [] for name in ways}
    loading = []
    for number in range(1, len(poses)):
        began = perf_counter()
        views = sequence.load(number).views
        loading.append(perf_counter() - began)
        for name, work in ways.items():
            began, cpu = perf_counter(), process_time()
            pose, said = work(number, views)
            seconds, cpu = perf_counter() - began, process_time() - cpu
            error = np.inf if pose is None else metrics.mtre(pose, poses[number], targets)
            measured[name].append((seconds, cpu, error, said))
    return measured, loading


def table_of(ways: dict[str, list[tuple]]) -> str:
    """A row for each way."""
    rows = []
    for name, frames in ways.items():
        seconds, cpu, errors, words = zip(*frames, strict=True)
        low, middle, high = 1e3 * np.percentile(seconds, [5, 50, 95])
        times = f"{1e3 / middle:.1f}", f"{middle:.0f} ms", f"{low:.0f} to {high:.0f} ms"
        said = ", ".join(f"{count} {each}" for each, count in Counter(words).items())
        mm = f"{np.median(errors):.3f} mm", f"{max(errors):.3f} mm"
        rows.append((name, *times, f"{1e3 * np.median(cpu):.0f} ms", *mm, said))
    head = ("", "frames a second", "a frame, median", "5 % to 95 %", "CPU time")
    return table((*head, "mTRE, median", "worst", ""), rows)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--anatomy", choices=("chest", "pelvis"), default="chest")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="see mvreg track (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="also put the table into this page")
    args = parser.parse_args()
    device = ComputeDevice(args.device)
    if device.fallback_message:
        raise InputError(device.fallback_message)
    with tempfile.TemporaryDirectory() as folder:
        poses = make(Path(folder), args.anatomy, args.frames, args.seed)
        ways, loading = measure(FrameSequence.of_images(Path(folder)), poses, device)
    on = device.name if device.name.startswith("cuda") else None
    text = (
        f"{args.anatomy}, {len(poses)} frames. {now()}, {described(machine(on))}; load average "
        f"{os.getloadavg()[0]:.1f}.\n\n{table_of(ways)}\n\n"
        f"Loading a frame, both images: {1e3 * np.median(loading):.0f} ms."
    )
    print(text)
    if args.page:
        kept.put(args.page, f"tracking-{args.anatomy}{'-cuda' if on else ''}", text)
