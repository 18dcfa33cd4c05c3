"""Measures the page of `mvreg view` with the chest CT, and prints a Markdown table.

python -m benchmarks viewer frames --seconds 10 --page docs/tables/benchmarks.md
python -m benchmarks viewer start --repeats 5

frames: how soon each movement of a mouse that drags the CT is seen, from the event to a
picture that shows it, or a later one, painted. start: how soon the
page can be used. The clock starts with the command. A browser that runs already opens the page as
soon as the address is printed. It counts as usable once the X-rays are seen and the CT can be moved
with its DRR over them. Kernels and Python's own files were compiled before, as after any first
start. The processor time of server and browser until then depends less on what else the machine
does. Both need slicer-core, Playwright and Chromium, the start Linux as well.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter, process_time, sleep

import numpy as np
from playwright.sync_api import sync_playwright

from MultiViewRegistrationLib.io.datasets.chest import SAMPLE_FOLDER, chest_ct
from MultiViewRegistrationLib.studies.statistics import table

from . import ROOT, parser_of
from .kept import put
from .speed.measurement import described, machine, now

sys.path.insert(0, str(ROOT / "Testing" / "browser"))  # the page is driven as its tests do it
from served import Served, Tab

MODES = ("Blend", "Checkerboard", "Edges", "Difference")
#: Events of the mouse a second, as a usual screen delivers them, and pixels that it moves about.
MOVES, RADIUS = 60, 30
#: Seconds in which all is drawn sharp after a drag.
REST = 3.0
#: Notes the longest side of every DRR that is shown while the CT moves, and how long after their
#: events movements are seen.
NOTE = """() => {
  const xray = document.querySelector(".mvx").xray;
  window.mvregFrames = [];
  window.mvregSides = [];
  xray.picture.paint = ((paint) => (...how) => {
    paint.apply(xray.picture, how);
    const drr = xray.picture.images ? xray.picture.images.drr : xray.picture.layer;
    if (drr && xray.gestures.drag) window.mvregSides.push(Math.max(drr.columns, drr.rows));
  })(Object.getPrototypeOf(xray.picture).paint);
}"""
STEPS = (
    "the address is printed",
    "the page is there, with its steps",
    "the X-rays are seen",
    "the CT can be moved, with its DRR",
    "processor time of the server until then",
    "processor time of the browser until then",
)


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


def frames(serve: Callable[[], tuple[Served, Tab]], seconds: float) -> str:
    """For each mode the time from event to picture, pictures a second, and the median of the DRR's longest side while it moves."""
    server, tab = serve()
    tab.ready()
    tab.button("Move the CT").click()
    rows = []
    for mode in MODES:
        tab.button(f"Overlay: {mode}").click()
        sleep(0.5)
        drag(tab.page, 2.0)  # adapts
        tab.page.evaluate(NOTE)
        drag(tab.page, seconds)
        seen = [frame for frame in tab.page.evaluate("window.mvregFrames") if frame["events"]]
        late = np.array([frame["at"] - event for frame in seen for event in frame["events"]])
        pace = 1000 * (len(seen) - 1) / (seen[-1]["at"] - seen[0]["at"])
        side = int(np.median(tab.page.evaluate("window.mvregSides")))
        times = (
            f"{np.median(late):.0f} ms",
            f"{np.percentile(late, 95):.0f} ms",
            f"{100 * np.mean(late <= 200):.1f} %",
        )
        rows.append((mode.lower(), f"{pace:.1f}", *times, side))
    drawn = tab.page.evaluate(
        "document.querySelector('.mvx').xray.picture.graphics?.renderer || 'the server'"
    )
    server.end()
    head = (
        "overlay",
        "pictures a second",
        "event to picture, median",
        "95 % within",
        "within 200 ms",
    )
    return f"DRRs drawn by {drawn}.\n\n{table([*head, 'longest side of the DRR'], rows)}"


def processor_time(root: int, without: int = 0) -> float:
    """Seconds that a process and all that it has begun have taken; one branch of it left out."""
    stat = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            stat[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    family, new = set(), {root}
    while new:
        family |= new
        new = {pid for pid, fields in stat.items() if int(fields[1]) in new and pid != without}
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(int(stat[pid][11]) + int(stat[pid][12]) for pid in family & stat.keys()) / ticks


def browser_time(server: int = 0) -> float:
    """Seconds that the browser has taken, with Playwright's own process.

    All that was begun here but a server.
    """
    return processor_time(os.getpid(), server) - process_time()


def start(serve: Callable[..., tuple[Served, Tab]], repeats: int) -> str:
    """Seconds from the command to each of STEPS."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    runs = []
    for _ in range(repeats):
        began, before = perf_counter(), browser_time()
        seconds: list[float] = []

        def mark(began: float = began, seconds: list = seconds) -> None:
            seconds.append(perf_counter() - began)

        server, tab = serve(mark)
        mark()
        tab.page.wait_for_function("() => document.querySelector('.mvx')?.xray?.picture.film")
        mark()
        tab.ready()
        tab.page.wait_for_function(
            "() => [...document.querySelectorAll('.mvx')].every(e => e.xray.picture.layer)"
        )
        mark()
        pid = server.process.pid
        runs.append([*seconds, processor_time(pid), browser_time(pid) - before])
        tab.close()
        server.end()
    rows = [
        (step, *(f"{value:.1f} s" for value in (np.median(values), values.min(), values.max())))
        for step, values in zip(STEPS, np.array(runs).T, strict=True)
    ]
    return table(("from the command until", "median", "least", "largest"), rows)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("what", choices=("frames", "start"))
    parser.add_argument("--seconds", type=float, default=10.0, help="for each mode of frames")
    parser.add_argument("--repeats", type=int, default=5, help="of the start")
    parser.add_argument("--page", type=Path, help="a Markdown page to write the frames into, too")
    args = parser.parse_args()
    about = f"{now()}, {described(machine())}; load average {os.getloadavg()[0]:.1f}."
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as api:
        folder = Path(name)
        for file in SAMPLE_FOLDER.iterdir():
            shutil.copy(file, folder)
        shutil.copy(chest_ct(), folder / "chest.nii.gz")
        browser = api.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def serve(served: Callable[[], object] = lambda: None) -> tuple[Served, Tab]:
            server = Served(str(folder / "case.json"), folder=folder)
            served()
            return server, Tab(browser, server, folder)

        found = frames(serve, args.seconds) if args.what == "frames" else start(serve, args.repeats)
        browser.close()
    print(f"{about}\n\n{found}")
    if args.page and args.what == "frames":
        put(args.page, "viewer_frames", f"{about}\n\n{found}")
