"""The refinements to choose from: the program's own, and the published ones on torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError, warn
from ..imaging.xray import SharedUnknowns, View
from ..installation import install_command
from ..registration.cameras import CALIBRATED
from ..registration.pipeline import Refinement, refine
from ..registration.prepared_ct import PreparedCT
from ..rendering.devices import ComputeDevice
from . import NAMES


@dataclass(frozen=True)
class RefinementMethod:
    """A refinement by its name.

    run: takes what `registration.pipeline.refine` takes, and gives a `Refinement`; the published ones take cameras as exact, and warn.
    torch_device: where a published one runs, by torch; "" for the joint one.
    compute_device: where the joint one works.
    """

    name: str
    run: Callable[..., Refinement]
    torch_device: str = ""
    compute_device: ComputeDevice = field(default_factory=ComputeDevice)

    @property
    def trains_on(self) -> str:
        """The device that trains its regressor, see `learning.train`: on the same device, where networks can be trained there."""
        return self.torch_device if self.torch_device.startswith("cuda") else self.compute_device.name


def refinement_method(name: str, device: str | ComputeDevice = "cpu") -> RefinementMethod:
    """The refinement of a name.

    name: "joint", second order over all views, which needs no torch; or "diffpose", "cui2025", "xvr", see `published.refine`.
    device: of "joint": a `ComputeDevice` or what it takes; where that is not there, a warning says so, and the processor does the work.
        Of torch, for the published ones: "cpu", "cuda", "mps", ..., or "auto".

    InputError for another name; for a published one where torch is not installed, or for a device that is not there.
    """
    if name == "joint":
        device = device if isinstance(device, ComputeDevice) else ComputeDevice(device)
        return RefinementMethod(name, refine, compute_device=device)
    if name not in NAMES:
        raise InputError(f'refinement: found "{name}", expected one of {", ".join(NAMES)}.')
    try:
        from . import refine as published
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            f'refinement "{name}": needs PyTorch, which is not installed; install it with '
            f'{install_command("torch")}, or use the refinement "joint".'
        ) from None
    chosen = str(published.choose_device(str(device)))

    def run(
        anatomy: PreparedCT, views: list[View], world_from_ct: np.ndarray, progress: Callable, shared: SharedUnknowns
    ) -> Refinement:
        if shared != CALIBRATED or any(view.rotation_sd_deg != 0 or view.translation_sd_mm != 0 for view in views[1:]):
            warn(f'The geometry of the views is marked as uncertain; the refinement "{name}" takes it as exact.')
        return published.refine(anatomy, views, world_from_ct, published.PRESETS[name], chosen, progress)

    return RefinementMethod(name, run, chosen)
