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

PIXELS = (200, 512)
REGISTRATION = "peak memory, two-view registration"


def jobs(setting: Setting) -> list[Job]:
    """A job for each image size, and one for a registration."""
    found = []
    for pixels in PIXELS:
        name = f"peak memory, image+jacobian {pixels}x{pixels}"
        found.append(Job("memory", (name,), 20 if pixels < 300 else 45,
                         partial(_measure, setting, name, "nanodrr forward + backward", "render", pixels)))
    found.append(Job("memory", (REGISTRATION,), 40, partial(_measure, setting, REGISTRATION, "nanodrr, xvr's settings", "register", 0)))
    return found


def _measure(setting: Setting, name: str, peer_name: str, what: str, pixels: int, tell: Tell) -> Measured:
    case = setting.case.path
    ours, reason = _peak_mib("ours", what, case, pixels)
    tell(0.3)
    peer, peer_reason = _peak_mib("nanodrr", what, case, pixels)
    return Measured([compared(name, "MiB", ours, peer, peer_name, failed=reason or peer_reason)])


def _peak_mib(side: str, what: str, case: Path, pixels: int) -> tuple[list[float], str]:
    """[peak] and "", or [] and why there is none."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
    package = __package__
    # A stdin of its own: with `--progress json` this process waits at the other one, and on Windows so would the child as it starts.
    done = subprocess.run([sys.executable, "-m", f"{package}.memory_child", side, what, str(case), str(pixels)],
                          env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return [float(done.stdout)], ""
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}, not enough memory?"])[-1]
    return [], f"{side} did not finish ({last})"
