"""The training images of `images.py` made on a device, which neither they nor anything that is drawn for them ever leave.

All that is drawn follows from a batch's key, by the same code as for the CPU (`draw_kernels`), so that one seed gives the same images on
both, but for rounding. Rays, marching, tissue, noise and field are kernels (`device_kernels`); what needs a whole image at once, scatter,
blur and standardisation, is PyTorch's. Nothing waits for the device, and where the poses are there already nothing is sent to it.
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
from .device_motions import DeviceMotions, told
from .draw_kernels import draw_images
from .exposure import COARSE
from .images import TrainingImages
from .march import BASES
from .motions import NEIGHBOURS
from .on_warp import as_struct
from .randomise import hardened
from .standardise import CUT, FLOOR, LARGEST, radius_of
from .window import Window


class DeviceImages:
    """See `TrainingImages`, whose stacks it takes along.   device: as torch has it, "cuda", "cuda:1" or "cpu"."""

    def __init__(self, images: TrainingImages, device: str) -> None:
        self._device, self._how = known_device(device), images.how
        self._stacks = _Words(images.stacks, self._device)
        self._others = _Words(images.others, self._device) if images.others else None
        self._neighbours = DeviceMotions(images.neighbours, self._device)
        self._centroid = sent(np.append(images.centroid, 1.0), self._device)
        self._windows: tuple[Window, ...] = ()

    def harden(self, hardness: float) -> None:
        """See `TrainingImages`."""
        self._how = hardened(self._how, hardness)

    @torch.no_grad()
    def batch(
        self, world_from_ct: Tensor | np.ndarray, windows: Sequence[Window], key: np.uint64, first: int = 0
    ) -> Tensor:
        """Random images (n, views, 2, rows, columns) float32 on the device: those of `TrainingImages.batch`, to within 1e-4.

        Arguments as there; poses may be on the device.
        """
        here = self._sent_once(tuple(windows))
        views, rows, columns = here.inside.shape
        poses = torch.as_tensor(world_from_ct).to(self._device, torch.float64)
        if poses.ndim == 3:
            poses = poses[:, None].expand(-1, views, 4, 4)
        mm = (here.depths * (poses[..., :3, :] @ self._centroid)).sum(-1) + here.offsets
        told_key = told(key, self._device)
        numbers, capsules, noise = self._draw(rows, columns, told_key, first, mm)

        bases = self._march(self._stacks, told_key, poses, here.cameras, rows, columns)
        others = bases[:0]
        if self._others:
            moved = poses @ self._neighbours.sample(key, range(first, first + len(poses)), NEIGHBOURS)[:, None]
            others = self._march(self._others, told_key, moved, here.cameras, rows, columns)
        through = self._empty(len(bases), rows, columns)
        self._launch(attenuate, through, bases, others, numbers, capsules, _direction(bases), mm.view(-1), through)
        typical, coarse = _scattered(through, numbers, here.blurs)
        line, valid = torch.empty_like(through), torch.empty(through.shape, dtype=torch.uint8, device=self._device)
        self._launch(detect, through, through, coarse, typical, numbers, noise, here.inside, line, valid)
        line = torch.lerp(line, _binomial(line), numbers[:, drawn.BLUR, None, None].float())
        return torch.stack([_standardised(line, valid.float()), valid.float()], dim=1).unflatten(0, (-1, views))

    def _draw(self, rows: int, columns: int, key: Tensor, first: int, mm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers (n, NUMBERS), capsules (n, MOST_CAPSULES, CAPSULE), and states of the noise (n,)."""
        count = mm.numel()
        states, noise = (torch.empty(shape, dtype=torch.int64, device=self._device) for shape in ((count, 1), count))
        numbers = self._empty(count, drawn.NUMBERS, dtype=torch.float64)
        capsules = self._empty(count, drawn.MOST_CAPSULES, drawn.CAPSULE, dtype=torch.float64)
        self._launch(
            draw_images, mm, as_struct(self._how), rows, columns, key, first, mm, states, numbers, capsules, noise
        )
        return numbers, capsules, noise

    def _march(self, stacks: _Words, key: Tensor, poses: Tensor, cameras: Tensor, rows: int, columns: int) -> Tensor:
        poses = poses.reshape(-1, 4, 4).contiguous()
        rays = self._empty(len(poses), RAYS, dtype=torch.float64)
        self._launch(aim, rays[:, 0], *stacks.tables, key, poses, cameras, rows, columns, rays)
        bases = self._empty(len(poses), BASES, rows, columns)
        self._launch(march_rays, bases[:, 0], stacks.words, rays, rows, columns, bases)
        return bases

    def _sent_once(self, windows: tuple[Window, ...]) -> _Views:
        if windows != self._windows:
            self._windows, self._views = windows, _Views(windows, self._device)
        return self._views

    def _empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self._device)

    def _launch(self, kernel, threads: Tensor, *arguments) -> None:
        launch(kernel, tuple(threads.shape), self._device, list(arguments))


class _Views:
    """What is to be known on the device about some windows.

    cameras: (views, 4, 4), see `_rays_of`.   inside: (views, rows, columns) uint8.
    depths, offsets: (views, 3) and (views,), by which world points have pixels so many mm apart, see `Window.pixel_mm_at`.
    blurs: powers (MOST_BLURS + 1, size, size) of a binomial filter of the coarse grid's rows, and of its columns.
    """

    def __init__(self, windows: Sequence[Window], device: str) -> None:
        self.cameras = sent(np.stack([_rays_of(window.camera) for window in windows]), device)
        self.inside = sent(np.stack([window.inside for window in windows]).view(np.uint8), device)
        origin = np.array([window.pixel_mm_at(np.zeros(3)) for window in windows])
        self.offsets = sent(origin, device)
        self.depths = sent(np.stack([window.pixel_mm_at(np.eye(3)) for window in windows]) - origin[:, None], device)
        self.blurs = [sent(_powers(size // COARSE), device) for size in windows[0].inside.shape]


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
        matrices = [
            np.concatenate([getattr(one, name) for one in stacks]) for name in ("index_from_ct", "ct_from_index")
        ]
        self.tables = [sent(np.ascontiguousarray(each), device) for each in (table, *matrices)]
        self.words = sent(np.concatenate(flat).view(np.int32), device)


def _rays_of(camera: Camera) -> np.ndarray:
    """(4, 4): the directions of the rays through pixels (u, v, 1), in the world, and their source, as `aim` takes them."""
    rays = np.eye(4)
    rays[:3, :3], rays[:3, 3] = camera.ray_matrix, camera.source
    return rays


def _powers(size: int) -> np.ndarray:
    """(MOST_BLURS + 1, size, size): a binomial filter of 3 along one axis, done so many times; the border is repeated."""
    places = np.arange(size)
    once = 0.5 * np.eye(size)
    for neighbour in (places - 1, places + 1):
        np.add.at(once, (places, neighbour.clip(0, size - 1)), 0.25)
    return np.stack([np.linalg.matrix_power(once, times) for times in range(drawn.MOST_BLURS + 1)])


def _direction(bases: Tensor) -> Tensor:
    """(n,) float64 rad; see `exposure._direction`."""
    mass = (bases[:, 0, ::2, ::2] + bases[:, 1, ::2, ::2]).double()
    y = torch.arange(0, bases.shape[2], 2, device=bases.device, dtype=torch.float64)[:, None]
    x = torch.arange(0, bases.shape[3], 2, device=bases.device, dtype=torch.float64)
    total = mass.sum((1, 2)) + 1e-9
    mx, my, xx, yy, xy = ((mass * weight).sum((1, 2)) / total for weight in (x, y, x * x, y * y, x * y))
    return 0.5 * torch.atan2(2.0 * (xy - mx * my), xx - yy - mx * mx + my * my)


def _scattered(through: Tensor, numbers: Tensor, blurs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Typical primary intensity (n,) float64, and scatter and shading (n, 2, rows, columns) on the coarse grid; see `exposure`.

    blurs: see `_Views`.
    """
    total = functional.avg_pool2d(through, COARSE).double().clamp(min=1e-7)
    nepers = -total.log()
    typical, mean = (-nepers.mean((1, 2))).exp(), (total * nepers).mean((1, 2))
    down, across = (powers[numbers[:, drawn.BLURS].long()] for powers in blurs)
    scatter = down @ (total * nepers) @ across.mT
    scale = numbers[:, drawn.SCATTER] * typical / torch.maximum(mean, 0.02 * typical)
    scatter = scale[:, None, None] * scatter + (numbers[:, drawn.GLARE] * typical)[:, None, None]
    return typical, torch.stack([scatter, _shading(numbers, *scatter.shape[1:])], dim=1).float()


def _shading(numbers: Tensor, rows: int, columns: int) -> Tensor:
    """(n, rows, columns) float64; see `exposure._shading`."""
    x, y = (
        (2.0 * (torch.arange(size, device=numbers.device, dtype=torch.float64) + 0.5) / size - 1.0)
        for size in (columns, rows)
    )
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
