"""Registration by the published presets: Adam on a twist, all views sharing one pose.

What the papers do with one view becomes, for several, the mean of the views' similarities at the one pose; Adam does not see the
factor between mean and sum. The pose is exp(xi) about the centroid of the anatomy after the start, xi in se(3): DiffPose's
`se3_log_map`, taken from the start instead of the origin, as nanodrr's registration does about its isocentre. As published: the CT at its
own resolution at all stages, no thought for where the CT ends and the body goes on, and the last pose is the answer. Of the X-rays only
valid pixels count, and of these only patches that are wholly valid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..errors import Cancelled, InputError
from ..geometry import rigid
from ..imaging.view import View
from ..imaging.volume import Volume
from ..registration.optimizer import LEVER_MM, Step
from ..registration.pipeline import LevelTrace, Progress, Refinement
from ..registration.prepared_ct import PreparedCT
from .comparison import Comparison
from .presets import Preset, Stage, StepDecay
from .renderer import TorchVolume


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is CUDA's or Apple's GPU where there is one, else the CPU. InputError for one not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(
            f'device: "{name}" cannot be used by PyTorch on this machine, expected "cpu", "auto", or a device that it has, '
            'such as "cuda" or "mps"; choose another one.'
        ) from None
    return device


def refine(
    anatomy: PreparedCT,
    views: list[View],
    world_from_ct: np.ndarray,
    preset: Preset,
    device: str = "cpu",
    progress: Callable[[Progress], object] = lambda _: None,
    seed: int = 0,
) -> Refinement:
    """Register a CT to calibrated views from a start pose by a published optimisation.

    The fit is told by the last level of the program's own refinement, so that its similarities compare with any other refinement's. The
    steps are the iterations, each with the pose after it and the cost, 1 - similarity, before it, by which it was chosen.

    The same input, seed and device give the same result, on a GPU but for rounding.

    Parameters
    ----------
    world_from_ct : (4, 4) rigid, mm.
    preset : of `presets.PRESETS`.
    device : of torch.
    progress : called after each iteration.
    seed : of the random patches.

    Raises
    ------
    InputError
        The views show too little of the CT from the start.
    Cancelled
        `progress` returned False.
    """
    grid = anatomy.projector(0).grid  # without the air around the CT
    volume = TorchVolume.of(Volume(grid.padded, grid.ct_from_index), device)
    random = torch.Generator().manual_seed(seed)
    motion = _Motion(world_from_ct, anatomy.centroid)
    traces = []
    work = np.cumsum([0] + [stage.pixels**2 for stage in preset.stages])
    for number, stage in enumerate(preset.stages):
        comparisons = [Comparison(view.pooled(_pool(view, preset, stage)), volume, preset, random) for view in views]
        if number == 0 and not any(comparison.shows(motion()) for comparison in comparisons):
            raise InputError(
                "world_from_ct: from this start pose the X-rays show nothing of the CT, expected a start at which they show "
                "most of it; correct the start or the geometry of the views."
            )
        name = "{} x {} px".format(*comparisons[0].size)

        def tell(share: float, step: Step, number: int = number, name: str = name) -> None:
            done = float((work[number] + share * (work[number + 1] - work[number])) / work[-1])
            if progress(Progress(done, f"{preset.name} at {name}", step.world_from_ct, step.cost)) is False:
                raise Cancelled

        traces.append(LevelTrace(name, _descend(motion, comparisons, preset, stage, tell)))
    found = motion.pose()
    return Refinement(found, anatomy.fit(views, found, world_from_ct), traces, views, np.zeros(6))


class _Motion:
    """The unknown: a turn (rad) and a shift (mm) about where the centroid is at the start, as a twist.

    Six numbers are no work for a GPU, and a GPU may have no double precision: they stay on the CPU.
    """

    def __init__(self, world_from_ct: np.ndarray, centroid: np.ndarray) -> None:
        self._centroid = centroid
        self.turn, self.shift = (torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
        pivot = rigid.transform_points(world_from_ct, centroid)
        to_pivot = rigid.from_rotation_translation(np.eye(3), pivot)
        self._before = torch.from_numpy(rigid.inverse(to_pivot) @ world_from_ct)
        self._after = torch.from_numpy(to_pivot)

    def __call__(self) -> Tensor:
        """The pose (4, 4), a tensor with its gradient."""
        zero = torch.zeros_like(self.turn[0])
        x, y, z = self.turn
        u, v, w = self.shift
        rows = [zero, -z, y, u, z, zero, -x, v, -y, x, zero, w, zero, zero, zero, zero]
        return self._after @ torch.linalg.matrix_exp(torch.stack(rows).reshape(4, 4)) @ self._before

    def pose(self) -> np.ndarray:
        """The pose (4, 4)."""
        return self().detach().numpy()

    def moved_mm(self, before: np.ndarray, after: np.ndarray) -> float:
        """How far a point at LEVER_MM from the centroid moved at most, between two poses."""
        shift = rigid.transform_points(after, self._centroid) - rigid.transform_points(before, self._centroid)
        return float(np.linalg.norm(shift) + LEVER_MM * rigid.rotation_distance(before, after))


def _descend(
    motion: _Motion, comparisons: list[Comparison], preset: Preset, stage: Stage, tell: Callable[[float, Step], None]
) -> list[Step]:
    """Adam at one resolution, with a fresh state, as published."""
    optimiser = torch.optim.Adam(
        [
            {"params": [motion.turn], "lr": preset.rotation_rate / stage.divisor},
            {"params": [motion.shift], "lr": preset.translation_rate / stage.divisor},
        ]
    )
    follow = _schedule(optimiser, preset)
    steps: list[Step] = []
    before = motion.pose()
    for iteration in range(stage.iterations):
        optimiser.zero_grad()
        similarity = []
        for comparison in comparisons:  # one after another, so that one view's samples are in memory at a time
            similar = comparison.similarity(motion())
            ((1 - similar) / len(comparisons)).backward()
            similarity.append(similar.item())
        cost = 1 - sum(similarity) / len(similarity)
        optimiser.step()
        after = motion.pose()
        steps.append(Step(after, cost, motion.moved_mm(before, after), tuple(similarity)))
        before = after
        tell(_share(preset, stage, iteration + 1), steps[-1])
        if follow(cost):
            break
    return steps


def _share(preset: Preset, stage: Stage, iterations: int) -> float:
    """How much of a stage is done. Nobody knows when a plateau ends it: each 25 iterations count as half of what is left (36 to 82 were
    seen, where at most 500 are allowed)."""
    if isinstance(preset.schedule, StepDecay):
        return iterations / (stage.iterations + 1)
    return 1 - 0.5 ** (iterations / 25)


def _schedule(optimiser: torch.optim.Optimizer, preset: Preset) -> Callable[[float], bool]:
    """A function that learns each iteration's cost, changes the learning rates, and says whether the stage is at its end."""
    plan = preset.schedule
    if isinstance(plan, StepDecay):
        decay = torch.optim.lr_scheduler.StepLR(optimiser, plan.every, plan.factor)

        def follow(cost: float) -> bool:
            decay.step()
            return False

        return follow
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=plan.factor, patience=plan.patience, threshold=plan.threshold
    )
    rates = {optimiser.param_groups[0]["lr"]}

    def follow_plateau(cost: float) -> bool:
        plateau.step(1 - cost)
        rates.add(optimiser.param_groups[0]["lr"])
        return len(rates) > plan.drops

    return follow_plateau


def _pool(view: View, preset: Preset, stage: Stage) -> int:
    """How many pixels become one: at the last stage what comes nearest to its size, and before it that in proportion."""
    last = preset.stages[-1].pixels
    return max(1, round(min(view.camera.size) / last)) * max(1, round(last / stage.pixels))
