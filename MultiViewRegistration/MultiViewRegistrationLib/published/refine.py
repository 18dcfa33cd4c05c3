"""Registration by published methods: Adam on a twist, all views sharing one pose.

`diffpose`: Gopalakrishnan et al., "Intraoperative 2D/3D image registration via differentiable X-ray
rendering" (CVPR 2024, arXiv 2312.06358) and its code, github.com/eigenvivek/DiffPose
(experiments/deepfluoro/register.py, diffpose/registration.py). `cui2025`: Cui et al., "Robust and
accurate multi-view 2D/3D image registration with differentiable X-ray rendering and dual cross-view
constraints" (ICRA 2025, arXiv 2506.22191), which builds on it.
`xvr`: Gopalakrishnan et al., "Rapid patient-specific neural networks for intraoperative X-ray to
volume registration" (arXiv 2503.16309) and its code, github.com/eigenvivek/xvr
(src/xvr/registrar/base.py, src/xvr/config/registrar.py, scripts/deepfluoro/register). The
similarities are those of github.com/eigenvivek/DiffDRR, on which all three build.

What the papers do with one view becomes, for several, the mean of the views' similarities at the
one pose; Adam does not see the factor between mean and sum. The pose is exp(xi) about the centroid
of the anatomy after the start, xi in se(3): DiffPose's `se3_log_map`, taken from the start instead
of the origin, as nanodrr's registration does about its isocentre. As published: the CT at its own
resolution at all stages, cut ends of the CT are not treated, and the last pose is the answer. Only
valid pixels of the X-rays count, and only patches that are wholly valid.

The images are `DifferentiableRenderer`'s, whose samples lie where rays cross planes of voxels; the
papers sample at equal steps, of 2 mm for DiffDRR. The images differ by 0.4 % of their largest value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from ..errors import InputError, go_on, unseen
from ..geometry import rigid, rigid_torch
from ..imaging.xray import View
from ..registration.cameras import LEVER_MM
from ..registration.optimizer import LevelTrace, Progress, Refinement, Report, Step
from ..registration.prepared_ct import PreparedCT
from ..rendering.autograd import DifferentiableRenderer
from ..rendering.devices import load_triton
from .own import Similarity


@dataclass(frozen=True)
class Stage:
    """One resolution: images with about `pixels` on their shorter side, learning rates divided by `divisor`, at most so many iterations."""

    pixels: int
    divisor: float
    iterations: int


@dataclass(frozen=True)
class Preset:
    """A published optimisation.

    Attributes
    ----------
    rotation_rate, translation_rate
        Adam's learning rates, rad and mm.
    schedule
        Makes the scheduler of an optimiser's learning rates.
    drops
        How often the rates fall until a stage ends; None for never.
    patch
        Side in pixels of the patches of local NCC, which counts half beside global NCC.
    gradient_patch
        The same of gradient NCC, which then counts half beside these two; None for none.
    patches
        Compared are so many random patches for each view and iteration; None compares all pixels.
    mean, sd
        Subtracted from images scaled to [0, 1], and what they are divided by.
    floor
        Added to variances.
    similarity
        Of whole images in place of these, see `own.Similarity`.
    """

    name: str
    rotation_rate: float
    translation_rate: float
    stages: tuple[Stage, ...]
    schedule: Callable[[torch.optim.Optimizer], StepLR | ReduceLROnPlateau]
    drops: int | None
    patch: int
    gradient_patch: int | None
    patches: int | None
    mean: float
    sd: float
    floor: float
    similarity: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None


#: Learning rates, decay, 500 iterations, and the halves of NCC: register.py, which has 256 pixels
#: (height=256 in train.py). Sparse rays: registration.py, SparseRegistration and its vectorised
#: NCC; its notebook on sparse rendering shows 100, 250, 500 and 750 patches, of which 100 are
#: 16,900 rays a view. (register.py itself leaves them out.) Mean and deviation: deepfluoro.py,
#: Transforms.
DIFFPOSE = Preset(
    name="diffpose",
    rotation_rate=7.5e-3,
    translation_rate=7.5,
    stages=(Stage(256, 1, 500),),
    schedule=partial(StepLR, step_size=25, gamma=0.9),
    drops=None,
    patch=13,
    gradient_patch=None,
    patches=100,
    mean=0.3080,
    sd=0.1494,
    floor=1e-4,
)

#: As DiffPose, with patches of 9 pixels: 250 of them, so that there are as many rays. With 100 it
#: lost its way from 10 mm.
CUI2025 = replace(DIFFPOSE, name="cui2025", patch=9, patches=250)

#: Learning rates, patience, threshold, plateaus: registrar.py of config. Patches, halves, and rates
#: divided by 1, 2, 8: registrar/base.py. Scales: the scripts' --scales 24,12,6 of DeepFluoro's
#: 1,436 pixels, 500 iterations each. Mean and deviation: utils/preprocess.py.
XVR = Preset(
    name="xvr",
    rotation_rate=1e-2,
    translation_rate=1.0,
    stages=(Stage(60, 1, 500), Stage(120, 2, 500), Stage(240, 8, 500)),
    schedule=partial(ReduceLROnPlateau, mode="max", factor=0.1, patience=10, threshold=1e-4),
    drops=2,
    patch=9,
    gradient_patch=11,
    patches=None,
    mean=0.15,
    sd=0.1,
    floor=1e-5,
)

PRESETS = {preset.name: preset for preset in (DIFFPOSE, CUI2025, XVR)}


def preset_of(name: str, own: Similarity | None) -> Preset:
    """Return the preset of a name, or xvr's optimiser of an own similarity."""
    if own is None:
        return PRESETS[name]
    return replace(XVR, name=name, patch=1, gradient_patch=None, similarity=own.similarity)


def ncc(a: Tensor, b: Tensor, floor: float = 1e-5) -> Tensor:
    """Return NCC (...) of a and b (..., n) over their last dimension."""
    a, b = (x - x.mean(-1, keepdim=True) for x in (a, b))
    return (a * b).mean(-1) / ((a.square().mean(-1) + floor) * (b.square().mean(-1) + floor)).sqrt()


def whole_patches(valid: Tensor, size: int) -> Tensor:
    """Return bool (rows - size + 1, columns - size + 1).

    Where all pixels of the patch that begins there are valid.

    Parameters
    ----------
    valid
        (rows, columns).
    """
    return ~functional.max_pool2d((~valid)[None].float(), size, stride=1)[0].bool()


def patch_ncc(a: Tensor, b: Tensor, valid: Tensor, size: int, floor: float = 1e-5) -> Tensor:
    """Return the mean NCC over all patches of size x size pixels, one at each pixel, that are wholly valid.

    The published code unfolds the images into patches; means over windows give the same and keep no
    copy of a pixel for each patch.

    Parameters
    ----------
    a, b
        (channels, rows, columns).
    valid
        (rows, columns) bool.
    """
    whole = whole_patches(valid, size)
    a, b = (
        torch.where(valid, x - x[..., valid].mean(), 0) for x in (a, b)
    )  # so that the squares cancel less
    mean_a, mean_b, aa, bb, ab = functional.avg_pool2d(
        torch.stack([a, b, a * a, b * b, a * b]), size, stride=1
    )
    variances = ((aa - mean_a.square()).clamp(min=0) + floor) * (
        (bb - mean_b.square()).clamp(min=0) + floor
    )
    return ((ab - mean_a * mean_b) / variances.sqrt())[:, whole].mean()


def gradient_ncc(a: Tensor, b: Tensor, valid: Tensor, size: int, floor: float = 1e-5) -> Tensor:
    """Return `patch_ncc` of Sobel's two derivatives of the images a, b (rows, columns).

    Pixels beside an invalid one, or at the border, have none, where the published code sees an edge
    from the image to the 0 around it.
    """
    inner = torch.zeros_like(valid)
    inner[1:-1, 1:-1] = whole_patches(valid, 3)
    return patch_ncc(sobel(a), sobel(b), inner, size, floor)


def sobel(image: Tensor) -> Tensor:
    """Return (2, rows, columns), Sobel's derivatives along the columns and the rows of (rows, columns), 0 beyond the border."""
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(image)
    return functional.conv2d(
        image[None, None], torch.stack([across, across.T])[:, None], padding=1
    )[0]


def standardised(values: Tensor, mean: float, sd: float) -> Tensor:
    """Return values scaled to [0, 1] by their least and largest, less the mean and divided by the deviation.

    Mean and deviation are those that images are expected to have.
    """
    low = values.min()
    high = values.max()
    return ((values - low) / (high - low + 1e-6) - mean) / sd


class Comparison:
    """A view at one resolution and the CT's renderer, on a device.

    InputError where no patch of the view is wholly valid.
    """

    def __init__(
        self,
        view: View,
        renderer: DifferentiableRenderer,
        device: str,
        preset: Preset,
        random: torch.Generator,
    ) -> None:
        self._render_at = partial(renderer, view.camera)
        self._preset = preset
        self._random = random
        self.size = view.camera.size
        valid = view.xray.valid
        largest = max(preset.patch, preset.gradient_patch + 2 if preset.gradient_patch else 0)
        if min(valid.shape) < largest or not whole_patches(torch.from_numpy(valid), largest).any():
            raise InputError(
                f'view "{view.name}": found no {largest} x {largest} valid pixels at {self.size[0]} x {self.size[1]}, '
                "expected room for such a patch; check its mask, or use another refinement than "
                f"{preset.name}."
            )
        self._valid = torch.from_numpy(valid).to(device)
        fixed = torch.from_numpy(view.xray.line_integrals).to(self._valid.device)[self._valid]
        self._fixed = standardised(fixed, preset.mean, preset.sd)  # (pixels,), the valid ones
        self._fixed_image = self._image(self._fixed)
        self._corners = whole_patches(
            self._valid, preset.patch
        ).nonzero()  # (patches, 2), of wholly valid patches

    def shows(self, world_from_ct: Tensor) -> bool:
        """Return whether any ray meets the CT at this pose (4, 4)."""
        with torch.no_grad():
            return bool((self._render(world_from_ct) > 0).any())

    def similarity(self, world_from_ct: Tensor) -> Tensor:
        """Return the preset's similarity of X-ray and DRR at a pose (4, 4), with its gradient.

        1 for equal images.
        """
        patches = self._preset.patches
        return self._sparse(world_from_ct, patches) if patches else self._full(world_from_ct)

    def _full(self, world_from_ct: Tensor) -> Tensor:
        preset = self._preset
        moving = self._render(world_from_ct)[self._valid]
        moving = standardised(moving, preset.mean, preset.sd)
        image = self._image(moving)
        if preset.similarity:
            return preset.similarity(self._fixed_image, image, self._valid)
        local = patch_ncc(
            self._fixed_image[None], image[None], self._valid, preset.patch, preset.floor
        )
        similarity = 0.5 * ncc(self._fixed, moving, preset.floor) + 0.5 * local
        if preset.gradient_patch:
            gradients = gradient_ncc(
                self._fixed_image, image, self._valid, preset.gradient_patch, preset.floor
            )
            similarity = 0.5 * similarity + 0.5 * gradients
        return similarity

    def _sparse(self, world_from_ct: Tensor, patches: int) -> Tensor:
        """Return the global NCC of all pixels of random patches, and the mean of the patches' own."""
        preset = self._preset
        chosen = torch.randint(len(self._corners), (patches,), generator=self._random)
        corners = self._corners[chosen.to(self._corners.device)]
        along = torch.arange(preset.patch, device=corners.device)
        rows = corners[:, 0, None, None] + along[:, None]
        columns = corners[:, 1, None, None] + along
        pixels = (rows * self.size[0] + columns).flatten(1)
        pixels, where = torch.unique(pixels, return_inverse=True)
        moving = self._render(world_from_ct).flatten()[pixels]
        moving = standardised(moving, preset.mean, preset.sd)
        fixed = self._fixed_image.flatten()[pixels]
        return (
            0.5 * ncc(fixed, moving, preset.floor)
            + 0.5 * ncc(fixed[where], moving[where], preset.floor).mean()
        )

    def _render(self, world_from_ct: Tensor) -> Tensor:
        return self._render_at(world_from_ct).to(self._fixed)

    def _image(self, values: Tensor) -> Tensor:
        """Return (rows, columns) of the values of the valid pixels, 0 elsewhere."""
        return torch.zeros(self._valid.shape, device=values.device).masked_scatter(
            self._valid, values
        )


def refine(
    anatomy: PreparedCT,
    views: list[View],
    world_from_ct: np.ndarray,
    preset: Preset,
    device: str = "cpu",
    progress: Report = unseen,
    seed: int = 0,
) -> Refinement:
    """Register a CT to calibrated views from a start pose by a published optimisation.

    The fit is computed at the last level of the program's own refinement, so that its similarities
    compare with any other refinement's. The steps are the iterations, each with the pose after it
    and the cost, 1 - similarity, before it, by which it was chosen.

    The same input, seed and device give the same result, on a GPU but for rounding.

    Parameters
    ----------
    world_from_ct
        (4, 4) rigid, mm.
    preset
        Of `PRESETS`.
    device
        Of torch.
    progress
        Called after each iteration.
    seed
        Of the random patches.

    Raises
    ------
    InputError
        The views show too little of the CT from the start.
    Cancelled
        `progress` returned False.
    """
    renderer = DifferentiableRenderer(anatomy.attenuation(0), device)
    random = torch.Generator().manual_seed(seed)
    motion = _Motion(world_from_ct, anatomy.centroid)
    traces = []
    work = np.cumsum([0] + [stage.pixels**2 for stage in preset.stages])
    for number, stage in enumerate(preset.stages):
        pooled = [view.pooled(_pool(view, preset, stage)) for view in views]
        comparisons = [Comparison(view, renderer, device, preset, random) for view in pooled]
        if number == 0 and not any(comparison.shows(motion()) for comparison in comparisons):
            raise InputError(
                "world_from_ct: from this start pose the X-rays show nothing of the CT, expected a "
                "start at which they show most of it; correct the start or the geometry of the "
                "views."
            )
        name = "{} x {} px".format(*comparisons[0].size)

        def report(share: float, step: Step, number: int = number, name: str = name) -> None:
            done = float((work[number] + share * (work[number + 1] - work[number])) / work[-1])
            now = Progress(done, f"{preset.name} at {name}", step.world_from_ct, step.cost)
            go_on(progress(now))

        traces.append(LevelTrace(name, _descend(motion, comparisons, preset, stage, report)))
    found = motion.pose()
    return Refinement(found, anatomy.fit(views, found, world_from_ct), traces, views, np.zeros(6))


class _Motion:
    """The unknown: a turn (rad) and a shift (mm) about where the centroid is at the start, as a twist.

    Six numbers are no work for a GPU, and a GPU may have no double precision: they stay on the CPU.
    """

    def __init__(self, world_from_ct: np.ndarray, centroid: np.ndarray) -> None:
        self._centroid = centroid
        self.turn, self.shift = (
            torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2)
        )
        pivot = rigid.transform_points(world_from_ct, centroid)
        to_pivot = rigid.translation(pivot)
        self._before = torch.from_numpy(rigid.inverse(to_pivot) @ world_from_ct)
        self._after = torch.from_numpy(to_pivot)

    def __call__(self) -> Tensor:
        """Return the pose (4, 4), a tensor with its gradient."""
        return self._after @ rigid_torch.exp_se3(torch.cat([self.turn, self.shift])) @ self._before

    def pose(self) -> np.ndarray:
        """Return the pose (4, 4)."""
        return self().detach().numpy()

    def moved_mm(self, before: np.ndarray, after: np.ndarray) -> float:
        """Return the largest motion of a point at LEVER_MM from the centroid, between two poses."""
        mm, degrees = rigid.pose_difference(before, after, self._centroid)
        return mm + LEVER_MM * np.radians(degrees)


def _descend(
    motion: _Motion,
    comparisons: list[Comparison],
    preset: Preset,
    stage: Stage,
    report: Callable[[float, Step], None],
) -> list[Step]:
    """Descend by Adam at one resolution, with a fresh state, as published."""
    load_triton()
    optimiser = torch.optim.Adam(
        [
            {"params": [motion.turn], "lr": preset.rotation_rate / stage.divisor},
            {"params": [motion.shift], "lr": preset.translation_rate / stage.divisor},
        ]
    )
    schedule = preset.schedule(optimiser)
    rates = {optimiser.param_groups[0]["lr"]}
    steps: list[Step] = []
    before = motion.pose()
    for iteration in range(stage.iterations):
        optimiser.zero_grad()
        similarity = []
        for comparison in comparisons:
            similar = comparison.similarity(motion())
            ((1 - similar) / len(comparisons)).backward()
            similarity.append(similar.item())
        cost = 1 - sum(similarity) / len(similarity)
        optimiser.step()
        after = motion.pose()
        steps.append(Step(after, cost, motion.moved_mm(before, after), tuple(similarity)))
        before = after
        report(_share(preset, stage, iteration + 1), steps[-1])
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(1 - cost)
        else:
            schedule.step()
        rates.add(optimiser.param_groups[0]["lr"])
        if preset.drops and len(rates) > preset.drops:
            break
    return steps


def _share(preset: Preset, stage: Stage, iterations: int) -> float:
    """Return the fraction of a stage done.

    Where a plateau ends it, each 25 iterations count as half of what is left (36 to 82 were seen,
    where at most 500 are allowed).
    """
    return 1 - 0.5 ** (iterations / 25) if preset.drops else iterations / (stage.iterations + 1)


def _pool(view: View, preset: Preset, stage: Stage) -> int:
    """Return the pooling factor in pixels.

    At the last stage what comes nearest to its size, and before it that in proportion.
    """
    last = preset.stages[-1].pixels
    return max(1, round(min(view.camera.size) / last)) * max(1, round(last / stage.pixels))
