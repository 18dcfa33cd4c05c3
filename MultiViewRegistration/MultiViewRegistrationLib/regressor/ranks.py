"""One training on several processes, of one machine or of many: those that PyTorch's `torchrun` started, called ranks.

    torchrun --standalone --nproc-per-node 2 -m MultiViewRegistrationLib.cli.main train CASE --out DIR

Each rank draws images of its own, `Averaged` gives all of them the mean gradient, and so their networks stay the same. What one of them
decides for all, when to stop for one, all of them hear of. Elsewhere there is one rank, and everything here is as if it were not.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from .gradients import Make

Criterion = Callable[[nn.Module, Tensor, Tensor], Tensor]


@contextmanager
def joined() -> Iterator[None]:
    """In here the processes that torchrun started know each other. They talk by gloo: on the CPU, wherever their networks are.

    Where one of them ends, torchrun ends the others by SIGTERM; in here that is a KeyboardInterrupt, so that what was learnt is saved.
    Only to be called by the main thread. OSError where another rank ended and this one noticed before.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()) or dist.is_initialized():
        yield
        return
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get(
        "WORLD_SIZE"
    ):  # all on this machine: nobody else may listen
        loopback = {"Linux": "lo", "Darwin": "lo0"}.get(platform.system())
        if loopback:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    dist.init_process_group("gloo")
    try:
        yield
    except RuntimeError as error:
        if "gloo" not in str(error):
            raise
        raise OSError(
            errno.ECONNRESET, "another process of this training ended; go on with --resume", "torchrun"
        ) from None
    finally:
        dist.destroy_process_group()
        signal.signal(signal.SIGTERM, before)


def together() -> bool:
    """Whether this process is one of `joined`."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """The number of this process; 0 is the one that writes files and tells how far it is."""
    return dist.get_rank() if together() else 0


def wait() -> None:
    """Until all ranks have come here."""
    if together():
        dist.barrier()


def any_of(flag: bool) -> bool:
    """Whether one of the ranks says so."""
    return bool(_reduced([flag], dist.ReduceOp.MAX)[0]) if together() else flag


def mean(value: float) -> float:
    """Over the ranks; no number if it is none on one of them."""
    return float(_reduced([value], dist.ReduceOp.SUM)[0]) / dist.get_world_size() if together() else value


def most(value: float) -> float:
    """The largest of the ranks."""
    return float(_reduced([value], dist.ReduceOp.MAX)[0]) if together() else value


def of_first(make: Callable[[], np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """What the first rank makes, float64 of this shape; the others wait for it."""
    if not together():
        return make()
    made = torch.from_numpy(make()) if rank() == 0 else torch.empty(*shape, dtype=torch.float64)
    dist.broadcast(made, 0)
    return made.numpy()


class Averaged:
    """A network's loss, and gradients that are the mean of all ranks, by DistributedDataParallel.

    All begin with the first rank's parameters and buffers.
    """

    def __init__(self, network: nn.Module, criterion: Criterion) -> None:
        self._loss = DistributedDataParallel(_Loss(network, criterion))

    def learn(self, make: Make, parts: Sequence[range]) -> float:
        """Adds the mean gradient to that of the parameters; returns this rank's loss.

        make, parts: as for `gradients.OnCores.learn`, of this rank's images. Only with the last part the ranks talk.
        """
        total, count = 0.0, sum(map(len, parts))
        for number, part in enumerate(parts, start=1):
            with nullcontext() if number == len(parts) else self._loss.no_sync():
                loss = len(part) / count * self._loss(*make(part))
                loss.backward()
            total += loss.item()
        return total


class _Loss(nn.Module):
    """The criterion as a module's forward pass, which is what DistributedDataParallel watches."""

    def __init__(self, network: nn.Module, criterion: Criterion) -> None:
        super().__init__()
        self.network, self._criterion = network, criterion

    def forward(self, images: Tensor, camera_from_ct: Tensor) -> Tensor:
        return self._criterion(self.network, images, camera_from_ct)


def _reduced(values: Sequence[float], how: dist.ReduceOp) -> Tensor:
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, how)
    return tensor
