#!/usr/bin/env python
"""Moves the chest CT and measures how many pictures a second its overlays in two X-rays follow; prints a Markdown table.

python live_overlay.py --seconds 5

A picture is one step of the drawing in which both views, 512x512 pixels each, get their DRR, and what a mode makes of it, of a CT of
512x512x133 voxels: rendered, put into the scene's volumes, and placed. Drawing them on the screen comes on top. It needs slicer-core.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402
import slicer  # noqa: E402
from trame_slicer.core import SlicerApp  # noqa: E402

from MultiViewRegistrationLib.bench.machine import described, machine, now  # noqa: E402
from MultiViewRegistrationLib.geometry import rigid  # noqa: E402
from MultiViewRegistrationLib.io.datasets.chest import chest_ct  # noqa: E402
from MultiViewRegistrationLib.mrml import overlay  # noqa: E402
from MultiViewRegistrationLib.mrml.loading import load_case  # noqa: E402
from MultiViewRegistrationLib.session.session import Session  # noqa: E402

SAMPLE = ROOT / "MultiViewRegistration" / "Resources" / "SampleData" / "Chest"
#: Modes that draw nothing of their own.
SAME_PICTURE = ("flicker", "off")


def chest_session(scene, folder: Path) -> Session:
    """A session of the sample with its CT made ready."""
    for file in SAMPLE.iterdir():
        shutil.copy(file, folder)
    shutil.copy(chest_ct(), folder / "chest.nii.gz")
    session = Session(load_case(scene, folder / "case.json"))
    while not session.prepare():
        session.poll()
    return session


def wobbles(pose: np.ndarray):
    """Poses about one, without end: some degrees and millimetres, as a hand moves a CT."""
    for step in range(1 << 30):
        turn = np.radians(5 * np.sin(np.array([0.11, 0.13, 0.17]) * step))
        shift = 15 * np.sin(np.array([0.07, 0.05, 0.09]) * step)
        yield rigid.from_rotation_translation(rigid.exp_so3(turn), shift) @ pose


def measure(session: Session, mode: str, seconds: float) -> tuple[np.ndarray, float, int]:
    """Seconds of each picture, processor seconds of one on average, and the longest side of the DRR at the end."""
    registration, drawing = session.registration, session.drawing
    poses = wobbles(registration.world_from_ct)
    drawing.mode = mode
    until, spent = perf_counter() + 1.0, []
    while perf_counter() < until:  # adapts
        registration.world_from_ct = next(poses)
        drawing.step()
    until, began = perf_counter() + seconds, process_time()
    while perf_counter() < until:
        registration.world_from_ct = next(poses)
        start = perf_counter()
        drawing.step()
        spent.append(perf_counter() - start)
    shown = overlay.foreground(registration.xrays[0], mode)
    return np.array(spent), (process_time() - began) / len(spent), max(shown.GetImageData().GetDimensions())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each mode")
    args = parser.parse_args()
    slicer.mrmlScene = SlicerApp().scene
    with tempfile.TemporaryDirectory() as folder:
        session = chest_session(slicer.mrmlScene, Path(folder))
    print(f"{now()}, {described(machine())}; load average {os.getloadavg()[0]:.1f}\n")
    print(
        "| mode | pictures a second, median | from slowest to fastest tenth | processor time a picture, ms | longest side of the DRR |"
    )
    print("|---|---|---|---|---|")
    start = session.registration.world_from_ct
    for mode in (mode for mode in overlay.MODES if mode not in SAME_PICTURE):
        session.registration.world_from_ct = start
        spent, processor, side = measure(session, mode, args.seconds)
        slow, fast = 1 / np.percentile(spent, (90, 10))
        print(
            f"| {mode} | {1 / np.median(spent):.1f} | {slow:.1f} to {fast:.1f} | {1e3 * processor:.0f} | {side} |",
            flush=True,
        )
    print(f"\nLoad average at the end {os.getloadavg()[0]:.1f}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
