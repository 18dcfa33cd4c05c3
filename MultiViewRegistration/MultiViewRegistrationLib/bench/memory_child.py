"""Does one thing, and prints how much memory that took at most, in MiB.

    memory_child ours|nanodrr render|register CASE PIXELS COUNT [DEVICE]

COUNT images of PIXELS x PIXELS are rendered at once. On a CUDA device its memory is told, elsewhere the largest resident size of this
process.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..io.case import Case
from ..registration import kernels
from ..registration.pipeline import refine
from . import nanodrr_peer, nanodrr_registration
from .setting import Setting


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
    setting.renders(setting.projector, [setting.camera(pixels)] * count, setting.poses(count))()


def _our_registration(setting: Setting, pixels: int, count: int) -> None:
    kernels.prepare()
    refine(setting.anatomy, setting.case.views, setting.starts()[0])


def _nanodrr_render(setting: Setting, pixels: int, count: int) -> None:
    camera = setting.camera(pixels)
    samples, *_ = nanodrr_peer.samples_for_step(setting.volume, camera, setting.pose)
    nanodrr_peer.Renderer(
        setting.subject, setting.volume, [camera] * count, setting.poses(count), samples
    ).forward_backward()


def _nanodrr_registration(setting: Setting, pixels: int, count: int) -> None:
    """One step at each scale: the peak is that of the last."""
    nanodrr_registration.register(
        setting.subject, setting.volume, setting.case.views, setting.starts()[0], 600.0, iterations=1
    )


_WORK = {
    ("ours", "render"): _our_render,
    ("ours", "register"): _our_registration,
    ("nanodrr", "render"): _nanodrr_render,
    ("nanodrr", "register"): _nanodrr_registration,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
