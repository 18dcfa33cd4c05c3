#!/usr/bin/env python
"""Drags the chest CT in the web page and measures how soon each movement of the mouse is seen; prints a Markdown table.

python viewer_frames.py --seconds 10

The clock of a movement starts with its pointermove event in Chromium and ends when a picture that shows it, or a later one, has been
painted. Two X-rays of 512x512 pixels follow; the DRR of each has the side that the table tells while the CT moves. Browser and server share
the machine. It needs slicer-core, Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "MultiViewRegistration"), str(ROOT / "Testing" / "browser"), str(Path(__file__).parent)]
os.environ.setdefault("WSLINK_WS_COMPRESS", "0")

import numpy as np  # noqa: E402
import slicer  # noqa: E402
from live_overlay import chest_session  # noqa: E402
from trame_slicer.core import SlicerApp  # noqa: E402
from xray_page import xray_page  # noqa: E402

from MultiViewRegistrationLib.bench.machine import machine, now, told  # noqa: E402
from MultiViewRegistrationLib.scene import display, overlay  # noqa: E402

MODES = ("blend", "checkerboard", "edges", "difference")
#: Events of the mouse a second, as a screen of usual pace delivers them.
MOVES = 60


async def drag(shown, seconds: float) -> None:
    """Move the CT in circles in the first X-ray, as a hand does."""
    x, y = await shown.place((256, 256))
    await shown.page.mouse.move(x, y)
    await shown.page.mouse.down()
    began = perf_counter()
    for step in range(round(seconds * MOVES)):
        await shown.page.mouse.move(x + 30 * np.cos(step / 12), y + 30 * np.sin(step / 12))
        await asyncio.sleep(max(0.0, began + (step + 1) / MOVES - perf_counter()))
    await shown.page.mouse.up()
    await shown.settled()


async def measure(session, chromium: str, mode: str, seconds: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Milliseconds from event to picture, for each event; milliseconds between pictures; the longest side of the DRR while it moves."""
    session.registration.node.SetParameter(overlay.MODE, mode)
    async with xray_page(session, chromium) as shown:
        await shown.settled()
        await drag(shown, 2.0)  # compiles, adapts
        await shown.js("() => { window.mvregFrames = []; }")
        sides = []
        moving = asyncio.ensure_future(drag(shown, seconds))
        while not moving.done():
            await asyncio.sleep(0.1)
            layer = session.drawing.onto.foreground(session.registration.xrays[0], mode)
            if layer is not None and not session.drawing.at_rest:
                sides.append(max(layer.image.shape[:2]))
        await moving
        frames = await shown.js("() => window.mvregFrames")
    frames = [frame for frame in frames if frame["events"]]
    late = np.array([frame["at"] - event for frame in frames for event in frame["events"]])
    return late, np.diff([frame["at"] for frame in frames]), int(np.median(sides))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each mode")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    slicer.mrmlScene = SlicerApp().scene
    with tempfile.TemporaryDirectory() as folder:
        session = chest_session(slicer.mrmlScene, Path(folder))
    display.show(session.registration)
    print(f"{now()}, {told(machine())}; load average {os.getloadavg()[0]:.1f}\n")
    print("| mode | pictures a second, mean | event to picture, median | 95 % within | within 200 ms | longest side of the DRR |")
    print("|---|---|---|---|---|---|")
    start = session.registration.world_from_ct
    for mode in MODES:
        session.registration.world_from_ct = start
        late, between, side = asyncio.run(measure(session, chromium, mode, args.seconds))
        print(f"| {mode} | {1000 / between.mean():.1f} | {np.median(late):.0f} ms | {np.percentile(late, 95):.0f} ms "
              f"| {100 * np.mean(late <= 200):.1f} % | {side} |", flush=True)
    print(f"\nLoad average at the end {os.getloadavg()[0]:.1f}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
