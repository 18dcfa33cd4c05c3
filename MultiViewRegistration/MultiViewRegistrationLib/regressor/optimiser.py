"""The networks' optimisers: Muon for the convolutions within a network, Adam for its ends.

On the processor or on a CUDA device.

Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
kellerjordan.github.io/posts/muon) takes the momentum of a kernel's gradient as a matrix (channels
out, all else), and steps along the nearest matrix with orthogonal rows: all directions are learnt
at one pace. PyTorch's own Muon takes matrices only, and iterates in bfloat16, which a processor
only loses by.
"""

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

#: Newton-Schulz iterations, and the coefficients of their polynomial, which bring singular values
#: from 0.01 to 1 to about 1.
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
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


class Optimiser:
    """Muon for the kernels of `network.body`, AdamW for all other parameters."""

    def __init__(self, network: Network) -> None:
        load_triton()
        self._network = network
        self._all = list(network.parameters())
        kernels = [p for p in network.body.parameters() if p.ndim == 4]
        chosen = {id(p) for p in kernels}
        rest = [p for p in self._all if id(p) not in chosen]
        self._cuda = self._all[0].is_cuda
        self._parts = {
            "kernels": Muon(kernels, lr=_KERNELS, momentum=0.95, decay=0.02),
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
        """Take a step down the gradients, at this share of the training, and return their norm.

        A norm that is not finite changes nothing.
        """
        norm = nn.utils.clip_grad_norm_(self._all, MAX_GRADIENT_NORM).item()
        if math.isfinite(norm):
            for optimiser, full in zip(self._parts.values(), (_KERNELS, _REST), strict=True):
                optimiser.param_groups[0]["lr"] = full * rate(progress)
                optimiser.step()
        for parameter in self._all:
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


class Muon(torch.optim.Optimizer):
    """See the module. params: kernels (channels out, ...); decay: of the weights, as in AdamW."""

    def __init__(self, params, lr: float, momentum: float, decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step by the gradients."""
        (group,) = self.param_groups
        for kernel in group["params"]:
            if not self.state[kernel]:
                self.state[kernel]["momentum"] = torch.zeros_like(kernel)
        largest_first = sorted(group["params"], key=lambda kernel: -kernel.numel())
        steps = [partial(self._step, kernel, group) for kernel in largest_first]
        if largest_first[0].is_cuda:  # one thread feeds a device
            for step in steps:
                step()
        else:
            run_tasks(steps)

    @torch.no_grad()
    def _step(self, kernel: nn.Parameter, group: dict) -> None:
        momentum = self.state[kernel]["momentum"]
        gradient = kernel.grad
        assert gradient is not None
        momentum.lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"])  # Nesterov's
        matrix = orthogonal(ahead.flatten(1))
        rows, columns = matrix.shape
        kernel.mul_(1 - group["lr"] * group["decay"])
        kernel.sub_(matrix.view_as(kernel) * (group["lr"] * max(1.0, rows / columns) ** 0.5))


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix (m, n) with orthonormal rows, or columns if m > n.

    Singular values between 0.7 and 1.2.

    X <- (a + b G + c G^2) X with G = X X^T. The polynomials commute with G, so they are multiplied
    up on the smaller side alone.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = COEFFICIENTS
    matrix = matrix / (torch.linalg.matrix_norm(matrix) + 1e-7)
    gram = matrix @ matrix.T
    product = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    for _ in range(ITERATIONS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor @ product
        gram = factor @ gram @ factor
    return product @ matrix
