"""Where the joint refinement works: on this machine's processor, by numba, or on a CUDA device, by Warp; and why not where it was asked to.

A registration never fails for want of a device: it is done on the processor then, and its result says so (docs/gpu.md).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

from ..errors import InputError, warn
from ..rendering.devices import AUTO, CPU, WARP_CPU, place_of
from .prepared_ct import PreparedCT

Answer = TypeVar("Answer")


def cuda_device(asked: str) -> str:
    """The full name of "cuda" or "cuda:N". InputError where it is something else, or cannot be used."""
    place = place_of(asked)
    if not place.name.startswith("cuda"):
        raise InputError(
            f"device {asked}: {place.lack or 'is no CUDA device'}, expected a CUDA device that can be used; run this where "
            "there is one, or leave --device out."
        )
    return place.name


class Workplace:
    """Where a refinement works.

    asked: "cpu", by numba; "auto", the CUDA device where one can be used, else "cpu"; "cuda" or "cuda:N"; WARP_CPU.
    name: of these the one where it works, a CUDA device with its number.   words: what that is, "" for the processor.
    lack: why that is not what was asked for, a sentence; "" where it is. A warning says it, but not for "auto".

    InputError for another word.
    """

    def __init__(self, asked: str = CPU) -> None:
        place = place_of(asked)
        self.asked, self.name, self.lack, self.words = asked, place.name, "", ""
        if place.lack:
            self._stay(place.lack)
        elif self.name != CPU:
            card = f"{place.words} ({self.name}) by NVIDIA Warp {version('warp-lang')}"
            self.words = card if place.words else "one thread of the processor by NVIDIA Warp"

    def _stay(self, why: str) -> None:
        """Work on the processor after all."""
        self.name, self.words = CPU, ""
        self.lack = f"device {self.asked}: {why}; the processor did the work."
        if self.asked != AUTO:
            warn(self.lack)

    def told(self, processor: str) -> str:
        """What the refinement worked on, in words.   processor: this machine's."""
        return f"{processor}; refined on {self.words}" if self.words else processor

    def anatomy(self, anatomy: PreparedCT) -> PreparedCT:
        """A CT whose registrations are done there."""
        if self.name == CPU:
            return anatomy
        from .on_device import Device

        return anatomy.on(Device("cpu" if self.name == WARP_CPU else self.name))

    def run(self, anatomy: PreparedCT, work: Callable[[PreparedCT], Answer]) -> Answer:
        """What `work` makes of the CT there; on the processor, from then on, where the device has too little memory for a single pose."""
        if self.name == CPU:
            return work(anatomy)
        try:
            return work(self.anatomy(anatomy))
        except MemoryError:
            self._stay(f"{self.name} has too little free memory")
        return work(anatomy)
