#!/usr/bin/env python
"""Drags the chest CT in the page of `mvreg view` and measures how soon each movement of the mouse is seen; prints a Markdown table.

python viewer_frames.py --seconds 10 --page docs/benchmarks.md

What is measured is told in ABOUT. It needs slicer-core, Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "MultiViewRegistration"), str(ROOT / "Testing"), str(ROOT / "Testing" / "browser")]

import numpy as np  # noqa: E402
from kept import put  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from served import Served, Tab  # noqa: E402

from MultiViewRegistrationLib.bench.machine import described, machine, now  # noqa: E402
from MultiViewRegistrationLib.io.datasets.chest import chest_ct  # noqa: E402

#: For the page.
ABOUT = """How soon a picture in the page of `mvreg view` follows the mouse that drags the CT, by `Testing/benchmarks/viewer_frames.py`:
from a pointermove event in Chromium, 60 a second, to a picture that shows it, or a later one, painted. Pictures are those of the X-ray in
which the mouse is; the other X-ray follows more coarsely, both 512x512 pixels, of a CT of 512x512x133 voxels. The DRR's side adapts to what
the machine can draw. Server and browser, which has no GPU, share the two cores."""

SAMPLE = ROOT / "MultiViewRegistration" / "Resources" / "SampleData" / "Chest"
MODES = ("Blend", "Checkerboard", "Edges", "Difference")
#: Events of the mouse a second, as a usual screen delivers them, and pixels that it moves about.
MOVES, RADIUS = 60, 30
#: Seconds in which all is drawn sharp after a drag.
REST = 3.0
#: Notes the longest side of every DRR that is shown while the CT moves, and how long after their events movements are seen.
NOTE = """() => {
  const xray = document.querySelector(".mvx").xray;
  window.mvregFrames = [];
  window.mvregSides = [];
  xray.picture.setLayer = ((set) => (layer) => {
    if (layer && xray.gestures.drag) window.mvregSides.push(Math.max(layer.columns, layer.rows));
    set.call(xray.picture, layer);
  })(Object.getPrototypeOf(xray.picture).setLayer);
}"""


def drag(page, seconds: float) -> None:
    """Move the CT in circles in the first X-ray, as a hand does."""
    box = page.locator(".mvx-surface").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x + RADIUS, y)
    page.mouse.down()
    began = perf_counter()
    for step in range(round(seconds * MOVES)):
        page.mouse.move(x + RADIUS * np.cos(step / 12), y + RADIUS * np.sin(step / 12))
        sleep(max(0.0, began + (step + 1) / MOVES - perf_counter()))
    page.mouse.up()
    sleep(REST)


def measure(tab: Tab, mode: str, seconds: float) -> tuple[np.ndarray, float, int]:
    """Milliseconds from event to picture, for each event; pictures a second; the longest side of the DRR while it moves, the median."""
    tab.button(f"Overlay: {mode}").click()
    sleep(0.5)
    drag(tab.page, 2.0)  # adapts
    tab.page.evaluate(NOTE)
    drag(tab.page, seconds)
    frames = [frame for frame in tab.page.evaluate("window.mvregFrames") if frame["events"]]
    late = np.array([frame["at"] - event for frame in frames for event in frame["events"]])
    pace = 1000 * (len(frames) - 1) / (frames[-1]["at"] - frames[0]["at"])
    return late, pace, int(np.median(tab.page.evaluate("window.mvregSides")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each mode")
    parser.add_argument("--page", type=Path, help="a Markdown page to write it into, too")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    lines = [
        "## The viewer",
        "",
        ABOUT,
        "",
        f"{now()}, {described(machine())}; load average {os.getloadavg()[0]:.1f}.",
        "",
        "| overlay | pictures a second | event to picture, median | 95 % within | within 200 ms | longest side of the DRR |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        for file in SAMPLE.iterdir():
            shutil.copy(file, folder)
        shutil.copy(chest_ct(), Path(folder, "chest.nii.gz"))
        server = Served(str(Path(folder, "case.json")), folder=Path(folder))
        browser = api.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = Tab(browser, server, Path(folder))
        tab.ready()
        for mode in MODES:
            late, pace, side = measure(tab, mode, args.seconds)
            lines.append(
                f"| {mode.lower()} | {pace:.1f} | {np.median(late):.0f} ms | {np.percentile(late, 95):.0f} ms "
                f"| {100 * np.mean(late <= 200):.1f} % | {side} |"
            )
            print(lines[-1], flush=True)
        browser.close()
        server.end()
    print("\n".join(lines))
    if args.page:
        put(args.page, "viewer_frames", "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
