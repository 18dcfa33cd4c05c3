"""Where the joint refinement works: on this machine's processor, by numba, or on a CUDA device, by Warp; and why not where it was asked to.

A registration never fails for want of a device: it is done on the processor then, and its result says so (docs/gpu.md).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TypeVar

from .errors import InputError
from .registration.anatomy import Anatomy

CPU, AUTO = "cpu", "auto"
#: Warp's kernels on the processor, on one thread: slow, to test them where there is no CUDA device.
WARP_CPU = "warp-cpu"

CUDA = re.compile(r"cuda(:\d+)?")

Answer = TypeVar("Answer")


def lacking(device: str) -> str:
    """Why a device, "cuda", "cuda:N" or WARP_CPU, cannot be used, in words; "" where it can."""
    try:
        from .rendering import gpu
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "warp"):
            raise
        package = {"torch": "PyTorch", "warp": "NVIDIA Warp"}[error.name]
        return f'{package} is not installed (pip install "multiview-registration[gpu]")'
    return "" if device == WARP_CPU else gpu.lacking(device)


def cuda_device(asked: str) -> str:
    """The full name of "cuda" or "cuda:N". InputError where it is something else, or cannot be used."""
    lack = lacking(asked) if CUDA.fullmatch(asked) else "is no CUDA device"
    if lack:
        raise InputError(f"device {asked}: {lack}, expected a CUDA device that can be used; run this where there is one, or leave --device "
                         "out.")
    from .rendering import gpu

    return gpu.found(asked)[0]


class Place:
    """Where a refinement works.

    asked: "cpu", by numba; "auto", the CUDA device where one can be used, else "cpu"; "cuda" or "cuda:N"; WARP_CPU.
    name: of these the one where it works, a CUDA device with its number.   words: what that is, "" for the processor.
    lack: why that is not what was asked for, a sentence; "" where it is. A warning says it, but not for "auto".

    InputError for another word.
    """

    def __init__(self, asked: str = CPU) -> None:
        if asked not in (CPU, AUTO, WARP_CPU) and not CUDA.fullmatch(asked):
            raise InputError(f'device: found "{asked}", expected auto, cpu, cuda or cuda:N (the Nth CUDA device, from 0) for the '
                             'refinement "joint"; correct it.')
        self.asked, self.name, self.lack, self.words = asked, CPU, "", ""
        if asked != CPU:
            self._find("cuda" if asked == AUTO else asked)

    def _find(self, wanted: str) -> None:
        lack = lacking(wanted)
        if lack:
            self._stay(lack)
        elif wanted == WARP_CPU:
            self.name, self.words = WARP_CPU, "one thread of the processor by NVIDIA Warp"
        else:
            from .rendering import gpu

            self.name, self.words = gpu.found(wanted)

    def _stay(self, why: str) -> None:
        """Work on the processor after all."""
        self.name, self.words = CPU, ""
        self.lack = f"device {self.asked}: {why}; the processor did the work."
        if self.asked != AUTO:
            warnings.warn(self.lack, stacklevel=3)

    def told(self, processor: str) -> str:
        """What the refinement worked on, in words.   processor: this machine's."""
        return f"{processor}; refined on {self.words}" if self.words else processor

    def anatomy(self, anatomy: Anatomy) -> Anatomy:
        """A CT whose registrations are done there."""
        if self.name == CPU:
            return anatomy
        from .registration.on_device import Device

        return anatomy.on(Device("cpu" if self.name == WARP_CPU else self.name))

    def run(self, anatomy: Anatomy, work: Callable[[Anatomy], Answer]) -> Answer:
        """What `work` makes of the CT there; on the processor, from then on, where the device has too little memory for a single pose."""
        if self.name == CPU:
            return work(anatomy)
        try:
            return work(self.anatomy(anatomy))
        except MemoryError:
            self._stay(f"{self.name} has too little free memory")
        return work(anatomy)
