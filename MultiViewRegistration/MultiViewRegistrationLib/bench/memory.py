"""Peak memory, each measured in a process of its own that does this one thing and prints how many MiB that took at most:

    python -m MultiViewRegistrationLib.bench.memory ours|nanodrr render|register CASE PIXELS COUNT [DEVICE]

COUNT images of PIXELS x PIXELS are rendered at once. On a CUDA device the figure is its memory,
elsewhere the largest resident size of the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..io.case import Case
from ..registration.pipeline import refine
from ..registration.prepared_ct import warm_up
from . import nanodrr_peer
from .rows import Job, Measured, compared
from .setting import Setting

#: Pixels a side, and how many images at once.
BATCHES = ((200, 1), (512, 1))
REGISTRATION = "peak memory, two-view registration"


def jobs(setting: Setting, batches: Sequence[tuple[int, int]] = BATCHES) -> list[Job]:
    """A job for each image size and batch, and one for a registration."""
    works = [(REGISTRATION, "nanodrr, xvr's settings", "register", (0, 0))]
    for pixels, count in reversed(batches):
        name = f"peak memory, image+jacobian {pixels}x{pixels}" + (f", {count} at a time" if count > 1 else "")
        works.insert(0, (name, "nanodrr forward + backward", "render", (pixels, count)))
    return [Job("memory", (work[0],), 40, partial(_measure, setting, *work)) for work in works]


def _measure(
    setting: Setting, name: str, peer_name: str, what: str, batch: tuple[int, int], tell: Callable
) -> Measured:
    ours, failed = _peak_mib(setting, "ours", what, batch)
    tell(0.3)
    peer, peer_failed = _peak_mib(setting, "nanodrr", what, batch)
    return Measured([compared(name, "MiB", ours, peer, peer_name, failed=failed or peer_failed)])


def _peak_mib(setting: Setting, side: str, what: str, batch: tuple[int, int]) -> tuple[list[float], str]:
    """[peak] and "", or [] and why there is none."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
    asked = [side, what, str(setting.case.path), *map(str, batch), *filter(None, [setting.device])]
    # A stdin of its own: with `--progress json` this process waits at the other one, and on Windows so would the child as it starts.
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, *asked],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return [float(done.stdout)], ""
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}, not enough memory?"])[-1]
    return [], f"{side} did not finish ({last})"


def main(side: str, what: str, case: str, pixels: str, count: str, device: str | None = None) -> None:
    """Do one thing and print the peak in MiB."""
    _WORK[side, what](Setting(Case.load(case), device), int(pixels), int(count))
    print(peak_mib_on(device) if device and device.startswith("cuda") else peak_mib())


def peak_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's ru_maxrss starts from what the parent process had when it started this one
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    import resource  # not on Windows, where the standard library has nothing like it

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def peak_mib_on(device: str) -> float:
    """Most memory of a CUDA device that this process's tensors took at once, and most that Warp took of its own, in MiB."""
    import torch
    import warp as wp

    by_warp = wp.get_mempool_used_mem_high(device) if wp.is_mempool_supported(device) else 0
    return (torch.cuda.max_memory_allocated(device) + by_warp) / 2**20


def _our_render(setting: Setting, pixels: int, count: int) -> None:
    setting.renderer(setting.projector, [setting.camera(pixels)] * count, setting.poses(count))(True)
    setting.wait()


def _our_registration(setting: Setting, pixels: int, count: int) -> None:
    warm_up()
    refine(setting.anatomy, setting.case.views, setting.starts()[0])


def _nanodrr_render(setting: Setting, pixels: int, count: int) -> None:
    camera = setting.camera(pixels)
    samples, *_ = nanodrr_peer.samples_for_step(setting.volume, camera, setting.pose)
    poses = setting.poses(count)
    nanodrr_peer.Renderer(setting.subject, setting.volume, [camera] * count, poses, samples).run_backward()
    setting.wait()


def _nanodrr_registration(setting: Setting, pixels: int, count: int) -> None:
    """One step at each scale: the peak is that of the last."""
    views, start = setting.case.views, setting.starts()[0]
    nanodrr_peer.register(setting.subject, setting.volume, views, start, 600.0, iterations=1)


_WORK = {
    ("ours", "render"): _our_render,
    ("ours", "register"): _our_registration,
    ("nanodrr", "render"): _nanodrr_render,
    ("nanodrr", "register"): _nanodrr_registration,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
