"""The gradients of a training step: on the processor's cores, or on a CUDA device."""

from __future__ import annotations

import gc
import warnings
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..rendering import threads
from ..rendering.devices import CPU, Place, place_of
from .criterion import Criterion
from .network import Network

#: The processor always takes a batch in this many parts, so that the result does not depend on the number of cores.
_PARTS = 2


def make_backend(device: str) -> CpuBackend | CudaBackend:
    """The backend for "cpu", "auto", "cuda" or "cuda:N". Warns where that device cannot be used and the processor does the work."""
    place = place_of(device)
    if place.lack:
        warnings.warn(f"device {device}: {place.lack}; the training is done on the CPU.", stacklevel=2)
    return CpuBackend() if place.name == CPU else CudaBackend(place)


class CpuBackend:
    """On the processor: the parts of a batch side by side."""

    place = Place(CPU)

    def learn(self, network: Network, criterion: Criterion, images: Tensor, camera_from_ct: Tensor) -> float:
        """Compute the loss of a batch and write its gradients into the parameters.

        Each part runs in a thread in which PyTorch starts no others: those would wait for each other many times a step.

        Parameters
        ----------
        images : (n, views, 2, rows, columns) float32.
        camera_from_ct : (n, views, 4, 4) float32, the true poses.
        """
        parameters = list(network.parameters())
        ends = np.linspace(0, len(images), _PARTS + 1).round().astype(int).tolist()
        results: list = [None] * _PARTS

        def go(n: int) -> None:
            torch.set_num_threads(1)
            part = slice(ends[n], ends[n + 1])
            share = (part.stop - part.start) / len(images)
            loss = share * criterion(network, images[part], camera_from_ct[part])
            results[n] = loss.item(), torch.autograd.grad(loss, parameters)

        threads.run([partial(go, n) for n in range(_PARTS)])
        for number, parameter in enumerate(parameters):
            parameter.grad = sum(gradients[number] for _, gradients in results)
        return sum(loss for loss, _ in results)


class CudaBackend:
    """On a CUDA device: the whole batch at once, or as much of it as its memory holds.

    A batch that is learnt from in pieces gives the same gradients but for rounding.
    """

    def __init__(self, place: Place) -> None:
        self.place, self._at_once = place, None

    def learn(self, network: Network, criterion: Criterion, images: Tensor, camera_from_ct: Tensor) -> float:
        """See `CpuBackend`. Raises OutOfMemoryError where there is no room for a single pose."""
        images, camera_from_ct = (each.to(self.place.torch_device) for each in (images, camera_from_ct))
        while True:
            at_once = min(self._at_once or len(images), len(images))
            try:
                return _learn_in_pieces(network, criterion, images, camera_from_ct, at_once)
            except torch.OutOfMemoryError:
                if at_once == 1:
                    raise
            self._at_once = (at_once + 1) // 2  # not within the except: the exception holds on to the memory
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn(
                f"{self.place.name} has too little free memory to learn from {at_once} poses at a time; from here on it takes "
                f"{self._at_once} at a time, which teaches the same.",
                stacklevel=2,
            )


def _learn_in_pieces(
    network: Network, criterion: Criterion, images: Tensor, camera_from_ct: Tensor, at_once: int
) -> float:
    network.zero_grad(set_to_none=True)
    total = torch.zeros((), device=images.device)
    for piece, poses in zip(images.split(at_once), camera_from_ct.split(at_once), strict=True):
        loss = len(piece) / len(images) * criterion(network, piece, poses)
        loss.backward()
        total += loss.detach()
    return float(total)
