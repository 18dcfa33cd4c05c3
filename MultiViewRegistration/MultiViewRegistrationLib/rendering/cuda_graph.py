"""Work on a CUDA device that is recorded once and then replayed, which spares the launch of each kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Recorded:
    """Work, recorded.

    Parameters
    ----------
    work
        It takes the inputs, and reads nothing else that changes but what lies at one place.
    inputs
        Some may be None.
    device
        On which the work is done.
    rehearsals
        How often the work is done with them before: what is compiled, and made once, is made then.
    """

    def __init__(
        self,
        work: Callable[..., Any],
        inputs: Sequence[Tensor | None],
        device: torch.device,
        rehearsals: int = 1,
    ) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._record(work, inputs, rehearsals)

    def _record(
        self, work: Callable[..., Any], inputs: Sequence[Tensor | None], rehearsals: int
    ) -> None:
        self._places = [None if each is None else each.clone() for each in inputs]
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(rehearsals):
                work(*self._places)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            self._graph, capture_error_mode="thread_local"
        ):  # others may be at work on the card
            self._results = work(*self._places)

    def __call__(self, *inputs: Tensor | None) -> Any:
        """Return the results for other inputs of the same shapes, at the place where they always lie."""
        for place, each in zip(self._places, inputs, strict=True):
            if place is not None and each is not None:
                place.copy_(each)
        with torch.cuda.device(self._device):
            self._graph.replay()
        return self._results
