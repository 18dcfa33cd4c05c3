"""The training images of `images.py` made on a device: what is drawn for them goes there, and the images never leave it.

What goes there for a batch is one block of numbers: the poses, and the numbers and capsules of `drawn`, which are drawn by the same code as
for the CPU. So one seed gives the same images on both, but for rounding. Rays, marching, tissue, noise and field are kernels
(`device_kernels`); what needs a whole image at once, scatter, blur and standardisation, is PyTorch's. Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..geometry.camera import Camera
from ..rendering.gpu import known_device, launch, sent
from . import drawn
from .bases import Stacks
from .device_kernels import RAYS, STACK, aim, attenuate, detect, march_rays
from .exposure import COARSE
from .images import Parts, TrainingImages, draw_all
from .march import BASES
from .standardise import CUT, FLOOR, LARGEST, radius_of
from .window import Window


class DeviceImages:
    """See `TrainingImages`, whose stacks it takes along.   device: as torch has it, "cuda", "cuda:1" or "cpu"."""

    def __init__(self, images: TrainingImages, device: str) -> None:
        self._images, self._device = images, known_device(device)
        self._stacks = _Words(images.stacks, self._device)
        self._others = _Words(images.others, self._device) if images.others else None

    def batch(self, world_from_ct: np.ndarray, windows: Sequence[Window], rng: np.random.Generator) -> Tensor:
        """Random images (n, views, 2, rows, columns) float32 on the device: those of `TrainingImages.batch`, to within 1e-4.

        Arguments as there.
        """
        return self.batches([(world_from_ct, rng)], windows)

    @torch.no_grad()
    def batches(self, parts: Parts, windows: Sequence[Window]) -> Tensor:
        """The images of some parts, all at once; see `batch`."""
        views, (rows, columns) = len(windows), windows[0].inside.shape
        scenes = [self._images.scenes(poses, windows, rng) for poses, rng in parts]
        variants = np.concatenate([np.full(views * len(of_part[0].mm), of_part[0].variant) for of_part in scenes])
        poses, mm, seeds = (np.concatenate([_in_turn([scene[place] for scene in of_part]) for of_part in scenes]) for place in (1, 3, 4))
        around = [_in_turn([scene.others for scene in of_part]) for of_part in scenes] if self._others else []
        cameras = np.stack([_rays_of(window.camera) for window in windows])
        numbers, capsules, noise = self._draw(rows, columns, mm, seeds)
        most_blurs = int(numbers[:, drawn.BLURS].max())
        variants, poses, around, cameras, mm, numbers, capsules, noise = _sent_together(
            self._device, variants, poses, np.concatenate(around) if around else poses[:0], cameras, mm, numbers, capsules,
            noise.view(np.int64))

        bases = self._march(self._stacks, variants, poses, cameras, rows, columns)
        others = self._march(self._others, variants, around, cameras, rows, columns) if len(around) else bases[:0]
        through = torch.empty((len(mm), rows, columns), device=self._device)
        self._launch(attenuate, through, bases, others, numbers, capsules, _direction(bases), mm, through)
        typical, coarse = _scattered(through, numbers, most_blurs)
        line, valid = torch.empty_like(through), torch.empty(through.shape, dtype=torch.uint8, device=self._device)
        inside = torch.from_numpy(np.stack([window.inside for window in windows]).view(np.uint8)).to(self._device, non_blocking=True)
        self._launch(detect, through, through, coarse, typical, numbers, noise, inside, line, valid)
        line = torch.lerp(line, _binomial(line), numbers[:, drawn.BLUR, None, None].float())
        return torch.stack([_standardised(line, valid.float()), valid.float()], dim=1).unflatten(0, (-1, views))

    def _draw(self, rows: int, columns: int, mm: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers (n, NUMBERS), as many capsules (n, most, CAPSULE) as the image that has most, states of the noise (n,)."""
        numbers, noise = np.empty((len(mm), drawn.NUMBERS)), np.empty(len(mm), np.uint64)
        capsules = np.empty((len(mm), drawn.MOST_CAPSULES, drawn.CAPSULE))
        draw_all(self._images.how, rows, columns, mm, seeds, numbers, capsules, noise)
        most = max(1, int(numbers[:, drawn.METAL_END].max()))
        return numbers, np.ascontiguousarray(capsules[:, :most]), noise

    def _march(self, stacks: _Words, variants: Tensor, poses: Tensor, cameras: Tensor, rows: int, columns: int) -> Tensor:
        rays = torch.empty((len(poses), RAYS), dtype=torch.float64, device=self._device)
        self._launch(aim, rays[:, 0], *stacks.tables, variants, poses, cameras, rows, columns, rays)
        bases = torch.empty((len(poses), BASES, rows, columns), device=self._device)
        self._launch(march_rays, bases[:, 0], stacks.words, rays, rows, columns, bases)
        return bases

    def _launch(self, kernel, threads: Tensor, *arguments) -> None:
        launch(kernel, tuple(threads.shape), self._device, list(arguments))


class _Words:
    """The words of some `Stacks`, one after the other in one tensor on the device, and what `aim` needs of them.

    tables: (6 n, STACK), and index_from_ct and ct_from_index (6 n, 4, 4), float64.
    """

    def __init__(self, stacks: Sequence[Stacks], device: str) -> None:
        flat = [words for one in stacks for words in one.words]
        first = np.cumsum([0, *(len(words) for words in flat)])[:-1, None]
        numbers = [np.concatenate([one.shapes, one.stored[:, :2], one.steps], axis=1) for one in stacks]
        table = np.concatenate([first, np.concatenate(numbers)], axis=1).astype(float)
        assert table.shape[1] == STACK
        matrices = [np.concatenate([getattr(one, name) for one in stacks]) for name in ("index_from_ct", "ct_from_index")]
        self.tables = [sent(np.ascontiguousarray(each), device) for each in (table, *matrices)]
        self.words = sent(np.concatenate(flat).view(np.int32), device)


def _rays_of(camera: Camera) -> np.ndarray:
    """(4, 4): the directions of the rays through pixels (u, v, 1), in the world, and their source, as `aim` takes them."""
    rays = np.eye(4)
    rays[:3, :3], rays[:3, 3] = camera.ray_matrix, camera.source
    return rays


def _sent_together(device: str, *arrays: np.ndarray) -> list[Tensor]:
    """Arrays of float64 and int64 on the device, in one transfer for which nobody waits."""
    words = np.concatenate([np.ascontiguousarray(array).reshape(-1).view(np.int64) for array in arrays])
    pieces = torch.from_numpy(words).to(device, non_blocking=True).split([array.size for array in arrays])
    return [piece.view(torch.float64 if array.dtype == float else torch.int64).reshape(array.shape)
            for piece, array in zip(pieces, arrays, strict=True)]


def _in_turn(of_views: Sequence[np.ndarray]) -> np.ndarray:
    """(n, ...) of each view as (n * views, ...): the views of the first pose, then those of the second."""
    together = np.stack(of_views, axis=1)
    return together.reshape(-1, *together.shape[2:])


def _direction(bases: Tensor) -> Tensor:
    """(n,) float64 rad; see `exposure._direction`."""
    mass = (bases[:, 0, ::2, ::2] + bases[:, 1, ::2, ::2]).double()
    y = torch.arange(0, bases.shape[2], 2, device=bases.device, dtype=torch.float64)[:, None]
    x = torch.arange(0, bases.shape[3], 2, device=bases.device, dtype=torch.float64)
    total = mass.sum((1, 2)) + 1e-9
    mx, my, xx, yy, xy = ((mass * weight).sum((1, 2)) / total for weight in (x, y, x * x, y * y, x * y))
    return 0.5 * torch.atan2(2.0 * (xy - mx * my), xx - yy - mx * mx + my * my)


def _scattered(through: Tensor, numbers: Tensor, most_blurs: int) -> tuple[Tensor, Tensor]:
    """Typical primary intensity (n,) float64, and scatter and shading (n, 2, rows, columns) on the coarse grid; see `exposure`."""
    total = functional.avg_pool2d(through, COARSE).double().clamp(min=1e-7)
    nepers = -total.log()
    typical, mean = (-nepers.mean((1, 2))).exp(), (total * nepers).mean((1, 2))
    scatter = (total * nepers).float()
    for n in range(most_blurs):
        scatter = torch.where(n < numbers[:, drawn.BLURS, None, None], _binomial(scatter), scatter)
    scale = numbers[:, drawn.SCATTER] * typical / torch.maximum(mean, 0.02 * typical)
    scatter = scale[:, None, None] * scatter + (numbers[:, drawn.GLARE] * typical)[:, None, None]
    return typical, torch.stack([scatter, _shading(numbers, *scatter.shape[1:])], dim=1).float()


def _shading(numbers: Tensor, rows: int, columns: int) -> Tensor:
    """(n, rows, columns) float64; see `exposure._shading`."""
    x, y = ((2.0 * (torch.arange(size, device=numbers.device, dtype=torch.float64) + 0.5) / size - 1.0) for size in (columns, rows))
    a, b, c, d, e = numbers[:, drawn.SHADE : drawn.SHADE + 5, None, None].unbind(1)
    y = y[:, None]
    return (a * x + b * y + c * x * x + d * x * y + e * y * y).exp()


def _binomial(images: Tensor) -> Tensor:
    """(n, rows, columns) after a binomial filter of 3 x 3, which is the mean of 2 x 2 twice; the border is repeated."""
    images = functional.pad(images[:, None], (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(functional.avg_pool2d(images, 2, 1), 2, 1)[:, 0]


def _standardised(line: Tensor, valid: Tensor) -> Tensor:
    """(n, rows, columns) float32; see `standardise.standardise`."""
    count = valid.sum((1, 2), keepdim=True, dtype=torch.float64).clamp(min=1.0)
    x = line.double()
    for _ in range(2):
        mean = (x * valid).sum((1, 2), keepdim=True) / count
        sd = ((x.square() * valid).sum((1, 2), keepdim=True) / count - mean.square()).clamp(min=1e-12).sqrt()
        x = line.double().clamp(mean - CUT * sd, mean + CUT * sd)
    values = ((x - mean) / sd).float() * valid
    radius = radius_of(line.shape[1])
    weights, firsts, seconds = _box_sums(torch.stack([valid, values, values.square()], dim=1), radius).unbind(1)
    share = 1.0 / weights.clamp(min=1.0)
    local = firsts * share
    variance = (seconds * share - local.square()).clamp(min=0.0)
    return ((values - local) / (variance + FLOOR * FLOOR).sqrt()).clamp(-LARGEST, LARGEST) * valid


def _box_sums(images: Tensor, radius: int) -> Tensor:
    """See `imaging.box_sum`; images (n, m, rows, columns)."""
    rows, columns = (torch.arange(size, device=images.device) for size in images.shape[2:])
    down, across = ((at[:, None] - at).abs() <= radius for at in (rows, columns))
    return down.float() @ images @ across.float()
