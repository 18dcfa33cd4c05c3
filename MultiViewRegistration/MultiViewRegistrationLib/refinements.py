"""The refinements to choose from: the program's own, and the published ones on torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .errors import InputError
from .published.presets import PRESETS
from .registration.pipeline import Refinement, refine

NAMES = ("joint", *PRESETS)


@dataclass(frozen=True)
class Refiner:
    """A refinement by its name.

    run: takes what `registration.pipeline.refine` takes, and gives a `Refinement`.   torch_device: where it runs, None without torch.
    """

    name: str
    run: Callable[..., Refinement]
    torch_device: str | None = None


def refiner(name: str, device: str = "cpu") -> Refiner:
    """The refinement of a name.

    name: "joint", second order over all views, which needs no torch; or "diffpose", "cui2025", "xvr", see `published.presets`.
    device: of torch, for the published ones: "cpu", "cuda", "mps", ..., or "auto".

    InputError for another name, where torch is not installed, or for a device that is not there.
    """
    if name == "joint":
        return Refiner(name, refine)
    if name not in PRESETS:
        raise InputError(f'refinement: found "{name}", expected one of {", ".join(NAMES)}.')
    try:
        from .published import refine as published
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(f'refinement "{name}": needs PyTorch, which is not installed; install it with '
                         'pip install "multiview-registration[torch]", or use the refinement "joint".') from None
    chosen = str(published.choose_device(device))
    return Refiner(name, partial(published.refine, preset=PRESETS[name], device=chosen), chosen)
