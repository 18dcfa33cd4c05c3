#!/usr/bin/env python
"""Starts `mvreg view` with the chest CT and measures how soon its page can be used; prints a Markdown table.

python viewer_start.py --repeats 5

The clock starts with the command. A browser that runs already opens the page as soon as the address is printed. It counts as usable once
the X-rays are seen and the CT can be moved with its DRR over them. Kernels and Python's own files were compiled before, as after any first
start. The processor time of server and browser until then depends less on what else the machine does. It needs slicer-core, Playwright,
Chromium, and Linux.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from time import perf_counter, process_time

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "MultiViewRegistration"), str(ROOT / "Testing"), str(ROOT / "Testing" / "browser")]

import numpy as np  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from served import Served, Tab  # noqa: E402
from viewer_frames import SAMPLE  # noqa: E402

from MultiViewRegistrationLib.bench.machine import described, machine, now  # noqa: E402
from MultiViewRegistrationLib.io.datasets.chest import chest_ct  # noqa: E402

STEPS = (
    "the address is printed",
    "the page is there, with its steps",
    "the X-rays are seen",
    "the CT can be moved, with its DRR",
)
TIMES = ("processor time of the server until then", "processor time of the browser until then")
TICKS = os.sysconf("SC_CLK_TCK")


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
    return sum(int(stat[pid][11]) + int(stat[pid][12]) for pid in family & stat.keys()) / TICKS


def browser_time(server: int = 0) -> float:
    """Seconds that the browser has taken, with Playwright's own process: all that was begun here but a server."""
    return processor_time(os.getpid(), server) - process_time()


def start(browser, folder: Path) -> list[float]:
    """Seconds from the command to each of STEPS, and TIMES."""
    began, before = perf_counter(), browser_time()
    server = Served(str(folder / "case.json"), folder=folder)
    seconds = [perf_counter() - began]
    tab = Tab(browser, server, folder)
    seconds.append(perf_counter() - began)
    tab.page.wait_for_function("() => document.querySelector('.mvx')?.xray?.picture.film")
    seconds.append(perf_counter() - began)
    tab.ready()
    tab.page.wait_for_function("() => [...document.querySelectorAll('.mvx')].every(e => e.xray.picture.layer)")
    seconds += [perf_counter() - began, processor_time(server.process.pid), browser_time(server.process.pid) - before]
    tab.close()
    server.end()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    print(f"{now()}, {described(machine())}; load average {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as api:
        folder = Path(name)
        for file in SAMPLE.iterdir():
            shutil.copy(file, folder)
        shutil.copy(chest_ct(), folder / "chest.nii.gz")
        browser = api.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        seconds = np.array([start(browser, folder) for _ in range(args.repeats)])
        browser.close()
    print("| from the command until | median | least | largest |\n|---|---|---|---|")
    for step, values in zip(STEPS + TIMES, seconds.T, strict=True):
        print(f"| {step} | {np.median(values):.1f} s | {values.min():.1f} s | {values.max():.1f} s |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
