"""Part (d): peak memory, each measured in a process of its own that does this one thing.

The figure is the process's largest resident size, nothing subtracted: interpreter, libraries, CT and images are in it, as they are when
somebody works with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from .job import Job, Measured, Tell
from .rows import compared
from .setting import Setting

#: Pixels a side, and how many images at once.
BATCHES = ((200, 1), (512, 1))
REGISTRATION = "peak memory, two-view registration"


def jobs(setting: Setting, batches: tuple[tuple[int, int], ...] = BATCHES) -> list[Job]:
    """A job for each image size and batch, and one for a registration."""
    found = []
    for pixels, count in batches:
        name = f"peak memory, image+jacobian {pixels}x{pixels}" + (f", {count} at a time" if count > 1 else "")
        found.append(
            Job(
                "memory",
                (name,),
                20 if pixels < 300 else 45,
                partial(_measure, setting, name, "nanodrr forward + backward", "render", (pixels, count)),
            )
        )
    run = partial(_measure, setting, REGISTRATION, "nanodrr, xvr's settings", "register", (0, 0))
    return [*found, Job("memory", (REGISTRATION,), 40, run)]


def _measure(setting: Setting, name: str, peer_name: str, what: str, batch: tuple[int, int], tell: Tell) -> Measured:
    ours, reason = _peak_mib(setting, "ours", what, batch)
    tell(0.3)
    peer, peer_reason = _peak_mib(setting, "nanodrr", what, batch)
    return Measured([compared(name, "MiB", ours, peer, peer_name, failed=reason or peer_reason)])


def _peak_mib(setting: Setting, side: str, what: str, batch: tuple[int, int]) -> tuple[list[float], str]:
    """[peak] and "", or [] and why there is none."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
    package = __package__
    asked = [side, what, str(setting.case.path), *map(str, batch), *filter(None, [setting.device])]
    # A stdin of its own: with `--progress json` this process waits at the other one, and on Windows so would the child as it starts.
    done = subprocess.run(
        [sys.executable, "-m", f"{package}.memory_child", *asked],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return [float(done.stdout)], ""
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}, not enough memory?"])[-1]
    return [], f"{side} did not finish ({last})"
