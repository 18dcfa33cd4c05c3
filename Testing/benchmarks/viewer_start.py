#!/usr/bin/env python
"""Starts `mvreg view` with the chest CT and measures how soon its page can be used; prints a Markdown table.

python viewer_start.py --repeats 5

The clock starts with the command. A browser that runs already opens the page as soon as the address is printed. It counts as usable once
the X-rays are seen and the CT can be moved with its DRR over them. Kernels were compiled before. It needs slicer-core, Playwright and
Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "MultiViewRegistration"), str(ROOT / "Testing"), str(ROOT / "Testing" / "browser")]

import numpy as np  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from served import Served, Tab  # noqa: E402
from viewer_frames import SAMPLE  # noqa: E402

from MultiViewRegistrationLib.bench.machine import machine, now, told  # noqa: E402
from MultiViewRegistrationLib.demo.chest import chest_ct  # noqa: E402

STEPS = ("the address is printed", "the page is there, with its steps", "the X-rays are seen", "the CT can be moved, with its DRR")


def start(browser, folder: Path) -> list[float]:
    """Seconds from the command to each of STEPS."""
    began = perf_counter()
    server = Served(str(folder / "case.json"), folder=folder)
    seconds = [perf_counter() - began]
    tab = Tab(browser, server, folder)
    seconds.append(perf_counter() - began)
    tab.page.wait_for_function("() => document.querySelector('.mvx')?.xray?.picture.film")
    seconds.append(perf_counter() - began)
    tab.ready()
    tab.page.wait_for_function("() => [...document.querySelectorAll('.mvx')].every(e => e.xray.picture.layer)")
    seconds.append(perf_counter() - began)
    tab.close()
    server.end()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    print(f"{now()}, {told(machine())}; load average {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as api:
        folder = Path(name)
        for file in SAMPLE.iterdir():
            shutil.copy(file, folder)
        shutil.copy(chest_ct(), folder / "chest.nii.gz")
        browser = api.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        seconds = np.array([start(browser, folder) for _ in range(args.repeats)])
        browser.close()
    print("| from the command until | median | least | largest |\n|---|---|---|---|")
    for step, values in zip(STEPS, seconds.T, strict=True):
        print(f"| {step} | {np.median(values):.1f} s | {values.min():.1f} s | {values.max():.1f} s |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
