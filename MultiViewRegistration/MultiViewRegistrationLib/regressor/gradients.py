"""The gradients of a step, its images made and gone through: on this machine's cores, or on a device that the images never leave."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ..imaging.ct import CT
from ..rendering import threads
from ..rendering.devices import CPU, Place, place_of
from .criterion import Criterion
from .images import TrainingImages
from .motions import Motions
from .network import Network

Make = Callable[[range], tuple[Tensor, Tensor]]
"""What makes the images (n, views, 2, rows, columns) of some poses of a batch, by their numbers, and camera_from_ct (n, views, 4, 4)."""


def work_on(device: str) -> OnCores | OnDevice:
    """Where to work: "cpu", "auto", "cuda", ..., see `devices.place_of`. Warns where that is not what was asked for."""
    place = place_of(device)
    if place.lack:
        warnings.warn(f"device {device}: {place.lack}; the training is done on the CPU.", stacklevel=2)
    return OnCores() if place.name == CPU else OnDevice(place)


class OnCores:
    """On the CPU: images by numba, the parts of a batch side by side."""

    place = Place(CPU)
    device = CPU

    def images(self, ct: CT, pixel_mm: float, seed: int) -> TrainingImages:
        """What makes the training's images."""
        return TrainingImages(ct, pixel_mm, seed=seed)

    def motions(self, motions: Motions) -> Motions:
        """What draws poses."""
        return motions

    def learn(self, network: Network, criterion: Criterion, make: Make, parts: Sequence[range]) -> float:
        """The loss of a batch, and its gradients in the parameters.

        parts: the numbers of its poses, one part after another. They are made and gone through each by a thread for which PyTorch has no
            others: these would wait for each other many times a step.
        """
        parameters = list(network.parameters())
        results: list = [None] * len(parts)
        count = sum(map(len, parts))

        def go(n: int) -> None:
            torch.set_num_threads(1)
            loss = len(parts[n]) / count * criterion(network, *make(parts[n]))
            results[n] = loss.item(), torch.autograd.grad(loss, parameters)

        threads.run([partial(go, n) for n in range(len(parts))])
        for number, parameter in enumerate(parameters):
            parameter.grad = sum(gradients[number] for _, gradients in results)
        return sum(loss for loss, _ in results)


class OnDevice:
    """On a device: images by Warp, the whole batch at once, or as much of it as its memory holds.

    What is learnt from a batch that is gone through in pieces is the same but for rounding. OutOfMemoryError where there is no room for one
    pose.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.device, self._at_once = place, place.torch_device, None

    def images(self, ct: CT, pixel_mm: float, seed: int):
        """What makes the training's images, which draws as `OnCores` does."""
        from .device_images import DeviceImages  # Warp is an extra

        return DeviceImages(TrainingImages(ct, pixel_mm, seed=seed), self.device)

    def motions(self, motions: Motions):
        """What draws poses, there."""
        from .device_motions import DeviceMotions

        return DeviceMotions(motions, self.device)

    def learn(self, network: Network, criterion: Criterion, make: Make, parts: Sequence[range]) -> float:
        """See `OnCores`."""
        images, poses = make(range(parts[0].start, parts[-1].stop))
        while True:
            at_once = min(self._at_once or len(images), len(images))
            try:
                return self._gone_through(network, criterion, images, poses, at_once)
            except torch.OutOfMemoryError:
                if at_once == 1:
                    raise
            self._at_once = (at_once + 1) // 2  # not within the except: what was found there holds on to the memory
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn(
                f"{self.place.name} has too little free memory to learn from {at_once} poses at a time; from here on it takes "
                f"{self._at_once} at a time, which teaches the same.",
                stacklevel=2,
            )

    def _gone_through(
        self, network: Network, criterion: Criterion, images: Tensor, poses: Tensor, at_once: int
    ) -> float:
        network.zero_grad(set_to_none=True)
        total = torch.zeros((), device=images.device)
        for first in range(0, len(images), at_once):
            piece = images[first : first + at_once]
            loss = len(piece) / len(images) * criterion(network, piece, poses[first : first + at_once])
            loss.backward()
            total += loss.detach()
        return float(total)
