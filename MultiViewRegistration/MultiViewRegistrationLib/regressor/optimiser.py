"""How the networks learn: Muon for the convolutions within a network, Adam for its ends.

Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, kellerjordan.github.io/posts/muon) takes the momentum
of a kernel's gradient as a matrix (channels out, all else), and steps along the nearest matrix with orthogonal rows: all directions are
learnt at one pace. PyTorch's own Muon takes matrices only, and iterates in bfloat16, which a processor only loses by.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import warn
from ..rendering import threads
from ..rendering.devices import CPU, ComputeDevice
from .loss import LossFunction
from .network import Network

#: Newton-Schulz iterations, and the coefficients of their polynomial, which bring singular values from 0.01 to 1 to about 1.
ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
#: Share of the training in which the rate rises to its full.
WARM_UP = 0.05


def rate(progress: float) -> float:
    """The factor of the learning rates at a share of the training, 0 to 1: up on a line, and down to 0 on half a cosine."""
    return min(1.0, progress / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Optimiser:
    """Muon for the kernels of `network.body`, AdamW for all other parameters."""

    KERNEL_RATE, RATE, DECAY, MOMENTUM, LARGEST_GRADIENT = 0.02, 4e-3, 0.02, 0.95, 1.0

    def __init__(self, network: nn.Module) -> None:
        self._all = list(network.parameters())
        kernels = [p for p in network.body.parameters() if p.ndim == 4]
        chosen = {id(p) for p in kernels}
        self._kernels = Muon(kernels, self.KERNEL_RATE, self.MOMENTUM, self.DECAY)
        self._rest = torch.optim.AdamW(
            [p for p in self._all if id(p) not in chosen], self.RATE, (0.9, 0.99), weight_decay=0.0
        )
        self._parts = {"kernels": self._kernels, "rest": self._rest}

    def step(self, progress: float) -> float:
        """One step down the gradients, at this share of the training; returns their norm. A norm that is not finite changes nothing."""
        norm = nn.utils.clip_grad_norm_(self._all, self.LARGEST_GRADIENT).item()
        if math.isfinite(norm):
            for optimiser, full in ((self._kernels, self.KERNEL_RATE), (self._rest, self.RATE)):
                for group in optimiser.param_groups:
                    group["lr"] = full * rate(progress)
                optimiser.step()
        for parameter in self._all:
            parameter.grad = None
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """All that it remembers, by names that `load_tensors` knows."""
        return {
            f"{part}.{number}.{name}": tensor
            for part, optimiser in self._parts.items()
            for number, state in optimiser.state_dict()["state"].items()
            for name, tensor in state.items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Remember what `tensors` said; names that are not its own are ignored. KeyError where there is none of them."""
        for part, optimiser in self._parts.items():
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"{part}."):
                    _, number, what = name.split(".")
                    state.setdefault(int(number), {})[what] = tensor
            if not state:
                raise KeyError(part)
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


class Muon(torch.optim.Optimizer):
    """See the module. params: kernels (channels out, ...); decay: of the weights, as in AdamW."""

    def __init__(self, params, lr: float, momentum: float, decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    def step(self) -> None:
        kernels = [(kernel, group) for group in self.param_groups for kernel in group["params"]]
        for kernel, _ in kernels:
            if not self.state[kernel]:
                self.state[kernel]["momentum"] = torch.zeros_like(kernel)
        largest_first = sorted(kernels, key=lambda pair: -pair[0].numel())
        steps = [partial(self._step, kernel, self.state[kernel]["momentum"], group) for kernel, group in largest_first]
        if kernels[0][0].is_cuda:  # one thread feeds a device
            for step in steps:
                step()
        else:
            threads.run(steps)

    @staticmethod
    @torch.no_grad()
    def _step(kernel: nn.Parameter, momentum: Tensor, group: dict) -> None:
        momentum.lerp_(kernel.grad, 1 - group["momentum"])
        ahead = kernel.grad.lerp(momentum, group["momentum"])  # Nesterov's
        matrix = orthogonal(ahead.flatten(1))
        rows, columns = matrix.shape
        kernel.mul_(1 - group["lr"] * group["decay"])
        kernel.add_(matrix.view_as(kernel), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix (m, n) with orthonormal rows, or columns if m > n: singular values between 0.7 and 1.2.

    X <- (a + b G + c G^2) X with G = X X^T. The polynomials commute with G, so they are multiplied up on the smaller side alone.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = COEFFICIENTS
    matrix = matrix / (torch.linalg.matrix_norm(matrix) + 1e-7)
    gram, product = matrix @ matrix.T, None
    for _ in range(ITERATIONS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor
    return product @ matrix


#: The processor always takes a batch in this many parts, so that the result does not depend on the number of cores.
_PARTS = 2


def make_backend(device: str) -> CpuBackend | CudaBackend:
    """The backend for "cpu", "auto", "cuda" or "cuda:N". Warns where that device cannot be used and the processor does the work."""
    compute_device = ComputeDevice(device)
    return CpuBackend() if compute_device.name == CPU else CudaBackend(compute_device)


class CpuBackend:
    """On the processor: the parts of a batch side by side."""

    compute_device = ComputeDevice()

    def learn(self, network: Network, loss_function: LossFunction, images: Tensor, camera_from_ct: Tensor) -> float:
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
            loss = share * loss_function(network, images[part], camera_from_ct[part])
            results[n] = loss.item(), torch.autograd.grad(loss, parameters)

        threads.run([partial(go, n) for n in range(_PARTS)])
        for number, parameter in enumerate(parameters):
            parameter.grad = sum(gradients[number] for _, gradients in results)
        return sum(loss for loss, _ in results)


class CudaBackend:
    """On a CUDA device: the whole batch at once, or as much of it as its memory holds.

    A batch that is learnt from in pieces gives the same gradients but for rounding.
    """

    def __init__(self, compute_device: ComputeDevice) -> None:
        self.compute_device, self._at_once = compute_device, None

    def learn(self, network: Network, loss_function: LossFunction, images: Tensor, camera_from_ct: Tensor) -> float:
        """See `CpuBackend`. Raises OutOfMemoryError where there is no room for a single pose."""
        images, camera_from_ct = (each.to(self.compute_device.torch_device) for each in (images, camera_from_ct))
        while True:
            at_once = min(self._at_once or len(images), len(images))
            try:
                return _learn_in_pieces(network, loss_function, images, camera_from_ct, at_once)
            except torch.OutOfMemoryError:
                if at_once == 1:
                    raise
            self._at_once = (at_once + 1) // 2  # not within the except: the exception holds on to the memory
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warn(
                f"{self.compute_device.name} has too little free memory to learn from {at_once} poses at a time; from here on it takes "
                f"{self._at_once} at a time, which teaches the same."
            )


def _learn_in_pieces(
    network: Network, loss_function: LossFunction, images: Tensor, camera_from_ct: Tensor, at_once: int
) -> float:
    network.zero_grad(set_to_none=True)
    total = torch.zeros((), device=images.device)
    for piece, poses in zip(images.split(at_once), camera_from_ct.split(at_once), strict=True):
        loss = len(piece) / len(images) * loss_function(network, piece, poses)
        loss.backward()
        total += loss.detach()
    return float(total)
