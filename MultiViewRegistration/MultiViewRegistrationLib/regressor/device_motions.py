"""Random motions drawn on a device, where they stay."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..rendering.gpu import known_device, launch, sent
from . import se3
from .draw_kernels import draw_sixes
from .motions import POSE, Motions


def told(key: np.uint64, device: str) -> Tensor:
    """The bits of a batch's key on a device, (1,) int64: an argument of the kernel that writes them there, so that nothing is copied."""
    return torch.full((1,), int(np.uint64(key).view(np.int64)), device=device)


class DeviceMotions:
    """See `Motions`.   device: as torch has it, "cuda", "cuda:1" or "cpu"."""

    def __init__(self, motions: Motions, device: str) -> None:
        self._device, self._normally = known_device(device), motions.normally
        arrays = (motions.before, motions.factors, motions.after, motions.middle, motions.reach)
        self._before, self._factors, self._after, self._middle, self._reach = (
            sent(np.ascontiguousarray(array, float), self._device) for array in arrays
        )

    @torch.no_grad()
    def sample(self, key: np.uint64, numbers: range, what: np.uint64 = POSE) -> Tensor:
        """(n, 4, 4) float64 on the device: those of `Motions.sample`, but for rounding. Arguments as there."""
        six = torch.empty((len(numbers), 6), dtype=torch.float64, device=self._device)
        states = torch.empty((len(numbers), 1), dtype=torch.int64, device=self._device)
        launch(
            draw_sixes,
            len(numbers),
            self._device,
            [told(key, self._device), numbers.start, int(what), self._middle, self._reach, self._normally, states, six],
        )
        motion = self._before
        for one in se3.exp(torch.einsum("kij,nj->nki", self._factors, six)).unbind(1):
            motion = motion @ one
        return motion @ self._after
