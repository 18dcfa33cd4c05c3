"""What a registration finds, and tells while it runs; and a way of refining by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..imaging.xray import View
from ..rendering.devices import AUTO, ComputeDevice
from .objective import PoseFit
from .optimizer import Step


@dataclass(frozen=True)
class Progress:
    """The progress of a registration: the fraction done, the stage, and the current pose."""

    fraction: float
    stage: str
    world_from_ct: np.ndarray
    cost: float

    def __str__(self) -> str:
        return f"{100 * self.fraction:3.0f} %  {self.stage}, cost {self.cost:.4f}"


#: Is told where a registration is; `Cancelled` where it returns False.
Report = Callable[[Progress], object]


@dataclass(frozen=True)
class LevelTrace:
    """The steps that were accepted at one resolution."""

    name: str
    steps: list[Step]


@dataclass(frozen=True)
class AlternativeSolution:
    """The best of the other answers.

    Attributes
    ----------
    evidence_ratio
        How many times its evidence (`PoseFit.evidence`) the answer has, at the finest resolution
        that compared both: near 1, the two cannot be distinguished.
    distance_mm, rotation_deg
        From the answer, between the centres of the anatomy and about it.
    """

    world_from_ct: np.ndarray
    evidence_ratio: float
    distance_mm: float
    rotation_deg: float


@dataclass(frozen=True)
class Refinement:
    """The registered pose, the fit there, and how it was reached.

    Parameters
    ----------
    candidates
        The number of scored poses.
    refined
        The number of them refined at the coarsest level.
    alternative
        The next different answer, None where all descents led to one.
    search_seconds
        Seconds spent at the coarsest level, looking for candidates.
    selected_start
        The index of the start that led here, the first of several; None where none did. See
        `variants.refine_from`.
    views
        With their cameras as they were corrected.
    corrections
        Of the cameras, see `CameraCorrections`.
    world_from_background
        (4, 4) where the rest of the CT lies before which a structure was registered; None without
        it.
    rim
        What puts the pose at the rim of what was searched, in words; "" where nothing does.
    """

    world_from_ct: np.ndarray
    fit: PoseFit = field(repr=False)
    levels: list[LevelTrace] = field(repr=False)
    views: list[View]
    corrections: np.ndarray
    candidates: int = 1
    refined: int = 1
    alternative: AlternativeSolution | None = None
    search_seconds: float = 0.0
    selected_start: int | None = None
    world_from_background: np.ndarray | None = None
    rim: str = ""


@dataclass(frozen=True)
class RefinementMethod:
    """A refinement by its name.

    Attributes
    ----------
    run
        Takes what `registration.pipeline.refine` takes, and gives a `Refinement`; the published
        ones take cameras as exact, and warn.
    torch_device
        Where a published one runs, by torch; "" for the joint one.
    compute_device
        Where the joint one works.
    """

    name: str
    run: Callable[..., Refinement]
    torch_device: str = ""
    compute_device: ComputeDevice = field(default_factory=ComputeDevice)

    @property
    def trains_on(self) -> str:
        """The device that trains its regressor, see `training.train`.

        On the same device, where networks can be trained there.
        """
        if self.torch_device.startswith("cuda"):
            return self.torch_device
        device = self.compute_device
        return ComputeDevice(AUTO).name if device.requested == AUTO else device.name

    def missing_pose(self) -> InputError:
        """Return that a published refinement needs a pose to start from."""
        return InputError(
            f'refinement "{self.name}": found a search as its start, expected a pose; use the '
            'refinement "joint", or another start.'
        )
