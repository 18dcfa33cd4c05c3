"""On what a figure was measured: without it the figure says nothing."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__
from ..rendering.threads import available_threads

PACKAGES = ("numpy", "numba", "torch", "nanodrr", "itk-rtk")
#: Of what is measured on a card.
CARD_PACKAGES = ("warp-lang", "triton")


def machine(device: str | None = None) -> dict:
    """CPU, cores, threads used, memory, system, versions; the same for two runs on the same machine.

    device: of torch, on which something is measured; a CUDA device is told with its driver.
    """
    versions = {"multiview-registration": __version__, "python": platform.python_version()}
    for name in PACKAGES + (CARD_PACKAGES if device else ()):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    memory_gib = None
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        memory_gib = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return {
        **({} if device is None else {"card": _card(device)}),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads_used": available_threads(),
        "memory_gib": memory_gib,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def described(machine: dict) -> str:
    """The machine in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    card = f"{machine['card']}; " if "card" in machine else ""
    cores = f"{machine['cores']} cores, {machine['threads_used']} threads used"
    return f"{card}{machine['cpu']}, {cores}{memory}, {machine['system']}; {versions}"


def now() -> str:
    """The time of day, with its zone, to the minute."""
    return datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")


def _card(device: str) -> str:
    import torch

    if not device.startswith("cuda"):
        return f"device {device}"
    about = torch.cuda.get_device_properties(device)
    return f"{about.name}, {round(about.total_memory / 2**30)} GiB, CUDA {torch.version.cuda}"


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"
