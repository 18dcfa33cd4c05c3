"""Where work for a device is done: on a CUDA device, or on this machine's processor; and why not there where it was asked for.

    place = place_of("auto")
    place.name, place.words, place.lack          # "cuda:0", "NVIDIA H200", ""; or "cpu", "", why, in words

Nothing fails for want of a device. PyTorch and Warp are imported only where one is asked for.
"""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError

CPU, AUTO, CUDA = "cpu", "auto", "cuda"
#: Warp's kernels on the processor, on one thread: slow, to test them where there is no CUDA device.
WARP_CPU = "warp-cpu"
#: With less free memory than this a CUDA device is not begun with.
LEAST_BYTES = 1 << 30


class Place(NamedTuple):
    """name: "cpu", "cuda:N" or WARP_CPU.   words: what a CUDA device is, "" elsewhere.   lack: why it is not the one asked for, or ""."""

    name: str
    words: str = ""
    lack: str = ""

    @property
    def torch_device(self) -> str:
        """As PyTorch calls it."""
        return CPU if self.name == WARP_CPU else self.name

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.name, self.words)))


def place_of(asked: str) -> Place:
    """The place for "auto", "cpu", "cuda", "cuda:N" or WARP_CPU.

    "auto" is the first CUDA device, or the processor; why not the former is told only where the machine has such a card.

    InputError for another word.
    """
    if asked not in (CPU, AUTO, WARP_CPU) and not re.fullmatch(r"cuda(:\d{1,3})?", asked):
        raise InputError(
            f'device: found "{asked}", expected auto, cpu, cuda or cuda:N (the Nth CUDA device, from 0); correct it.'
        )
    if asked == CPU:
        return Place(CPU)
    if asked == WARP_CPU:
        lack = _missing()
        return Place(CPU, lack=lack) if lack else Place(WARP_CPU)
    number = int(asked.partition(":")[2] or 0)
    lack = lacking(number)
    if lack:
        return Place(CPU, lack="" if asked == AUTO and not has_card() else lack)
    import torch

    return Place(f"cuda:{number}", torch.cuda.get_device_name(number))


def lacking(number: int) -> str:
    """Why a CUDA device cannot be used, in words; "" where it can."""
    missing = _missing()
    if missing:
        return missing
    import torch

    if not torch.backends.cuda.is_built():
        return "this PyTorch was built without CUDA"
    try:
        torch.cuda.init()
        count = torch.cuda.device_count()
    except (RuntimeError, AssertionError) as error:
        told = str(error).strip() or type(error).__name__
        if "no NVIDIA driver" in told:
            return "there is no NVIDIA driver"
        return (
            "the NVIDIA driver is too old for this PyTorch"
            if "too old" in told
            else f"CUDA does not start ({told.splitlines()[0]})"
        )
    if number >= count:
        return (
            f"PyTorch finds {count} CUDA device{'s' * (count > 1)}, counted from 0"
            if count
            else "there is no CUDA device"
        )
    return _useless(number)


def has_card() -> bool:
    """Whether the machine has an NVIDIA driver, for PyTorch or not."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _missing() -> str:
    packages = {"torch": "PyTorch", "warp": "NVIDIA Warp"}
    try:
        for module in packages:
            import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in packages:
            raise
        return f'{packages[error.name]} is not installed (pip install "multiview-registration[gpu]")'
    return ""


def _useless(number: int) -> str:
    """Why a device that is there cannot be worked on; a first sum, and the first kernels, show what only work shows."""
    import torch
    import warp as wp

    from . import warp_kernels

    wp.init()
    if f"cuda:{number}" not in [str(one) for one in wp.get_devices()]:
        return "NVIDIA Warp does not see it: the driver may be too old for it"
    try:
        free = torch.cuda.mem_get_info(number)[0]
        if free < LEAST_BYTES:
            return f"it has {free / 2**20:.0f} MiB of free memory, and {LEAST_BYTES / 2**20:.0f} MiB are needed"
        torch.ones(8, device=f"cuda:{number}").sum().item()
        wp.load_module(warp_kernels, device=f"cuda:{number}")
    except Exception as error:  # whatever compilers and drivers may raise
        told = str(error).strip().splitlines() or [type(error).__name__]
        return f"it does not work ({told[0]}); its driver may be too old, or its memory in use"
    return ""
