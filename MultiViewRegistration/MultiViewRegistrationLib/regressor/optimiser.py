"""Optimisers of the networks: Muon for the convolutions within a network, AdamW for its ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..rendering.devices import load_triton, run_tasks
from .loss import LossFunction
from .network import Network

#: Full learning rates of the kernels and of all else.
_KERNELS = 0.02
_REST = 4e-3
#: Share of the training in which the rate rises to its full.
WARM_UP = 0.05
#: Largest norm of a gradient; it is scaled down to this.
MAX_GRADIENT_NORM = 1.0
#: The processor always takes a batch in this many parts, so that the result does not depend on the
#: number of cores.
_PARTS = 2


def rate(progress: float) -> float:
    """Return the factor of the learning rates at a share of the training, 0 to 1.

    Up on a line, and down to 0 on half a cosine.
    """
    return min(1.0, progress / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _rows(kernel: Tensor) -> Tensor:
    """Return a view of a convolution kernel with its input channels last, in memory order."""
    return kernel.permute(0, 2, 3, 1)


class Optimiser:
    """Muon for the kernels of `network.body`, AdamW for all other parameters.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
    kellerjordan.github.io/posts/muon.
    """

    def __init__(self, network: Network) -> None:
        load_triton()
        self._network = network
        self._all = list(network.parameters())
        self._kernels = [p for p in network.body.parameters() if p.ndim == 4]
        chosen = {id(p) for p in self._kernels}
        for kernel in self._kernels:
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
        # torch.optim.Muon takes matrices: views (channels out, all else) of the kernels' memory.
        self._matrices = [nn.Parameter(_rows(p.detach()).view(len(p), -1)) for p in self._kernels]
        rest = [p for p in self._all if id(p) not in chosen]
        self._cuda = self._all[0].is_cuda
        self._parts: dict[str, torch.optim.Optimizer] = {
            "kernels": torch.optim.Muon(
                self._matrices,
                lr=_KERNELS,
                momentum=0.95,
                weight_decay=0.02,
                adjust_lr_fn="original",
            ),
            "rest": torch.optim.AdamW(rest, _REST, (0.9, 0.99), weight_decay=0.0),
        }

    def learn(self, loss_function: LossFunction, images: Tensor, camera_from_ct: Tensor) -> float:
        """Compute the loss of a batch and write its gradients into the parameters.

        On a CUDA device it is done at once, on the CPU in parts side by side. Each part runs in a
        thread in which PyTorch starts no others: those would wait for each other many times a step.

        Parameters
        ----------
        images
            (n, views, 2, rows, columns) float32, on the network's device, as all that follows.
        camera_from_ct
            (n, views, 4, 4) float32, the true poses.
        """
        if self._cuda:
            loss = loss_function(self._network, images, camera_from_ct)
            gradients = torch.autograd.grad(loss, self._all)
            for parameter, gradient in zip(self._all, gradients, strict=True):
                parameter.grad = gradient
            return loss.item()
        ends = np.linspace(0, len(images), _PARTS + 1).round().astype(int).tolist()
        results: list = [None] * _PARTS

        def learn_part(n: int) -> None:
            torch.set_num_threads(1)
            part = slice(ends[n], ends[n + 1])
            share = (part.stop - part.start) / len(images)
            loss = share * loss_function(self._network, images[part], camera_from_ct[part])
            results[n] = loss.item(), torch.autograd.grad(loss, self._all)

        run_tasks([partial(learn_part, n) for n in range(_PARTS)])
        for number, parameter in enumerate(self._all):
            parameter.grad = sum(gradients[number] for _, gradients in results)
        return sum(loss for loss, _ in results)

    def step(self, progress: float) -> float:
        """Take an optimisation step and return the norm of the gradients.

        The learning rates follow `progress`, the completed fraction of the training. No parameter
        changes if the norm is not finite.
        """
        norm = nn.utils.clip_grad_norm_(self._all, MAX_GRADIENT_NORM).item()
        if math.isfinite(norm):
            for matrix, kernel in zip(self._matrices, self._kernels, strict=True):
                assert kernel.grad is not None
                matrix.grad = _rows(kernel.grad).reshape(matrix.shape)
            for optimiser, full in zip(self._parts.values(), (_KERNELS, _REST), strict=True):
                optimiser.param_groups[0]["lr"] = full * rate(progress)
                optimiser.step()
        for parameter in (*self._all, *self._matrices):
            parameter.grad = None
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Return all that it remembers, by names that `load_tensors` knows."""
        return {
            f"{part}.{number}.{name}": tensor
            for part, optimiser in self._parts.items()
            for number, state in optimiser.state_dict()["state"].items()
            for name, tensor in state.items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state from `tensors`; foreign names are ignored.

        KeyError for missing ones.
        """
        states: dict[str, dict[int, dict[str, Tensor]]] = {part: {} for part in self._parts}
        for name, tensor in tensors.items():
            part, *rest = name.split(".")
            if part in states:
                states[part].setdefault(int(rest[0]), {})[rest[1]] = tensor
        for part, optimiser in self._parts.items():
            if not states[part]:
                raise KeyError(part)
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states[part]})
