"""Training images on a device of PyTorch.

What `images.TrainingImages` makes on the processor, all images of a batch at once.

The processor draws what is random in an image (`randomise.describe`), the device renders it. Both
make the same images, but for the rays, which `fast_drr` follows in steps that suit a processor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..imaging.ct import CT, Volume
from ..registration.torch_backend import box_sums
from ..rendering.cuda_graph import Recorded
from ..rendering.drr import Projector
from ..rendering.torch_drr import TorchProjector
from .fast_drr import Bases
from .images import CUT, FLOOR, MAX_LOCAL, WINDOW, TrainingImages, Window, describe_images
from .overlays3d import CAPSULE, CAPSULES, MIN_RADIUS
from .randomise import (
    COARSE,
    FADE,
    GHOST,
    GHOSTS,
    HARDER_BY_MEAN,
    SOFTER_BY_MEAN,
    WHITE,
    Nuisances,
    Randomisation,
)
from .rng import MIX_1, MIX_2, ROOT_OF_3, STRIDE

#: Constants of `rng` as PyTorch's words have them, with a sign.
_STRIDE, _MIX_1, _MIX_2 = (int(word.astype(np.int64)) for word in (STRIDE, MIX_1, MIX_2))
#: Images that are made at once, and capsules that are drawn at once in them.
_IMAGES_AT_ONCE = 32
_CAPSULES_AT_ONCE = 44
#: Smoothings of the scatter at most.
_SMOOTHINGS = 16


class TorchTrainingImages(TrainingImages):
    """A CT made ready on a device.

    Parameters
    ----------
    device
        As torch has it.
    ct, pixel_mm, how, variants, seed
        See `TrainingImages`.
    """

    def __init__(
        self,
        ct: CT,
        pixel_mm: float,
        device: str,
        how: Randomisation | None = None,
        *,
        variants: int = 4,
        seed: int = 0,
    ) -> None:
        self._device = torch.device(device)
        self._recorded: dict[int, Recorded] = {}
        super().__init__(ct, pixel_mm, how, variants=variants, seed=seed)

    def _ready(self, bases: Bases) -> list[TorchProjector]:
        never = np.zeros(6, bool)
        volumes = [Volume(values, bases.ct_from_index) for values in bases.values]
        return [TorchProjector(Projector(each, never), str(self._device)) for each in volumes]

    def batch(  # type: ignore[override]
        self, world_from_ct: np.ndarray, windows: Sequence[Window], key: np.uint64, first: int = 0
    ) -> Tensor:
        """Return random images (n, views, 2, rows, columns) float32 on the device, see `TrainingImages.batch`."""
        poses, states, rendered, mm = self._placed(world_from_ct, windows, key, first)
        shape = poses.shape[:2]
        cameras = [window.camera for window in windows] * len(poses)
        numbers = np.empty((*shape, len(Nuisances._fields)))
        ghosts = np.empty((*shape, GHOSTS, GHOST))
        capsules = np.empty((*shape, CAPSULES, CAPSULE))
        insides = np.stack([window.inside for window in windows]).view(np.uint8)
        valid = np.empty((*shape, *insides.shape[1:]), np.uint8)
        describe_images(tuple(self.how), mm, insides, states, numbers, ghosts, capsules, valid)
        if self._device.type != "cuda":  # there what is recorded always has room for all
            used = (capsules[..., 6] > 0).sum(axis=-1).max()
            capsules = capsules[:, :, : max(used, 1)]
        parts = [numbers, ghosts, capsules, mm.T]
        values = [self._sent(each.astype(np.float32)) for each in parts]
        random = [self._sent(each) for each in (valid, states.T.view(np.int64))]
        bases = [
            torch.stack([each.render(cameras, placed.reshape(-1, 4, 4))[0] for each in of], dim=1)
            for of, placed in rendered
        ]
        smoothings = [_smoothings(size // COARSE, str(self._device)) for size in insides.shape[1:]]
        blocks = zip(*(each.split(_IMAGES_AT_ONCE) for each in (*values, *random, *bases)))
        return torch.cat([self._made(*smoothings, *block) for block in blocks]).unflatten(0, shape)

    def _made(self, *given: Tensor) -> Tensor:
        """Return `random_xrays`, on CUDA by what was recorded for as many images."""
        if self._device.type != "cuda":
            return random_xrays(*given)
        count = len(given[-1])
        if count not in self._recorded:
            self._recorded[count] = Recorded(random_xrays, given, self._device)
        return self._recorded[count](*given).clone()

    def _sent(self, array: np.ndarray) -> Tensor:
        """Return (n, views, ...) as (n * views, ...) on the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device).flatten(0, 1)


def random_xrays(
    down: Tensor,
    across: Tensor,
    numbers: Tensor,
    ghosts: Tensor,
    capsules: Tensor,
    mm: Tensor,
    valid: Tensor,
    states: Tensor,
    bases: Tensor,
    others: Tensor | None = None,
) -> Tensor:
    """Return images (n, 2, rows, columns) as `images.TrainingImages.batch` has them.

    Parameters
    ----------
    down, across
        See `_smoothings`, along rows and columns of the coarse grid.
    numbers
        (n, ...), of `Nuisances`.
    ghosts, capsules, valid
        (n, ...), see `randomise.describe`.
    mm
        (n,), of a pixel.
    states
        (n,) int64, of the noise.
    bases, others
        (n, 3, rows, columns), see `randomise.random_xray`; None: nothing moved by itself.
    """
    columns: Any = numbers[:, :, None, None].unbind(1)
    of: Any = Nuisances(*columns)
    soft, bone, metal = _tissue(of, ghosts, capsules, mm, bases, others)
    through = _transmitted(of.hardening, soft, bone, metal)
    typical, scatter = _scattered(of, through, down, across)
    shade = _shading(of, scatter)
    signal = (_lagged(through, of) + _finer(scatter)) * _finer(shade)
    noise = (typical / of.photons).sqrt() * signal.sqrt() * _normal(states, signal)
    signal = (signal + noise) / typical
    signal = torch.minimum(torch.maximum(signal, of.darkest), of.brightest)
    line = -torch.where(of.levels > 0, _grey(signal, of), signal).log()
    left = valid != 0
    shown = of.border > 0
    line = torch.where(shown & ~left, of.border, line)
    left = left | shown
    line = line + of.blur * (_smoothed(line) - line)
    return torch.stack([standardise(line, left.float()), left.float()], dim=1)


def _tissue(
    of: Any,
    ghosts: Tensor,
    capsules: Tensor,
    mm: Tensor,
    bases: Tensor,
    others: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return nepers (n, rows, columns) of soft tissue, bone and metal, see `randomise`."""
    soft = of.own * bases[:, 0]
    bone = of.bone * bases[:, 1] + of.dense * bases[:, 2]
    if others is not None:
        soft = soft + of.soft * others[:, 0]
        bone = bone + of.bone * others[:, 1] + of.dense * others[:, 2]
    along = _direction(bases[:, 0] + bases[:, 1])
    both = torch.stack([bases[:, 0], bases[:, 1] + bases[:, 2]], dim=1)
    for ghost in ghosts.unbind(1):
        copied = _ghost(both, ghost, along)
        soft = soft + copied[:, 0]
        bone = bone + copied[:, 1]
    layers = [soft, bone, torch.zeros_like(soft)]
    for part in capsules.split(_CAPSULES_AT_ONCE, dim=1):
        added = _lengths(part, mm, along, bases.shape[2:])
        of_layer = part[:, :, 10, None, None]
        layers = [
            layer + torch.where(of_layer == n, added, 0).sum(1) for n, layer in enumerate(layers)
        ]
    return layers[0], layers[1], layers[2]


def _direction(mass: Tensor) -> Tensor:
    """Return (n,) rad, the direction of the longest extent of (n, rows, columns)."""
    mass = mass[:, ::2, ::2]
    r = 2.0 * torch.arange(mass.shape[1], device=mass.device)[:, None]
    c = 2.0 * torch.arange(mass.shape[2], device=mass.device)
    total = mass.sum((1, 2)) + 1e-9
    x = (mass * c).sum((1, 2)) / total
    y = (mass * r).sum((1, 2)) / total
    right = c - x[:, None, None]
    down = r - y[:, None, None]
    xx, yy, xy = (
        (mass * square).sum((1, 2)) / total for square in (right**2, down**2, right * down)
    )
    return 0.5 * torch.atan2(2 * xy, xx - yy)


def _ghost(both: Tensor, ghost: Tensor, along: Tensor) -> Tensor:
    """Return what a copy (n, GHOST) adds, (n, 2, rows, columns), to soft tissue and bone."""
    angle, turns, scale, x, y, of_soft, of_bone = ghost[:, :, None, None].unbind(1)
    rows, columns = both.shape[2:]
    angle = angle + turns * along[:, None, None]
    a = scale * angle.cos()
    b = scale * angle.sin()
    dx = torch.arange(columns, device=both.device) - (x + 0.5) * columns
    dy = torch.arange(rows, device=both.device)[:, None] - (y + 0.5) * rows
    u = a * dx + b * dy + 0.5 * columns
    v = b * dx - a * dy + 0.5 * rows
    inside = (scale > 0) & (u >= 0) & (u < columns - 1) & (v >= 0) & (v < rows - 1)
    border = torch.minimum(torch.minimum(u, v), torch.minimum(columns - 1 - u, rows - 1 - v))
    faded = torch.where(inside, (FADE * border).clamp(max=1), 0)
    grid = torch.stack([2 * u / (columns - 1) - 1, 2 * v / (rows - 1) - 1], dim=-1)
    copied = F.grid_sample(both, grid, align_corners=True)
    return torch.stack([of_soft, of_bone], dim=1) * faded[:, None] * copied


def _lengths(capsules: Tensor, mm: Tensor, along: Tensor, shape: Sequence[int]) -> Tensor:
    """Return nepers (n, k, rows, columns) of capsules (n, k, CAPSULE), see `overlays3d`."""
    rows, columns = shape
    mm = mm[:, None, None, None]
    x, y, ax, ay, bx, by, r0, r1, hollow, amount, _, turned = capsules[..., None, None].unbind(2)
    along = torch.where(turned > 0, along[:, None, None, None], 0)
    cos = along.cos()
    sin = along.sin()
    x0, x1 = ((x + cos * u - sin * v) / mm for u, v in ((ax, ay), (bx, by)))
    y0, y1 = ((y + sin * u + cos * v) / mm for u, v in ((ax, ay), (bx, by)))
    c = torch.arange(columns, device=mm.device) - 0.5 * (columns - 1)
    r = torch.arange(rows, device=mm.device)[:, None] - 0.5 * (rows - 1)
    dx = x1 - x0
    dy = y1 - y0
    t = ((c - x0) * dx + (r - y0) * dy) / (dx**2 + dy**2).clamp(min=1e-9)
    t = t.clamp(0, 1)
    true = (r0 + t * (r1 - r0)) / mm
    radius = true.clamp(min=MIN_RADIUS)
    off = (c - x0 - t * dx) ** 2 + (r - y0 - t * dy) ** 2
    inner = (hollow * radius) ** 2
    chord = (radius**2 - off).clamp(min=0).sqrt()
    chord = chord - torch.where(hollow > 0, (inner - off).clamp(min=0).sqrt(), 0)
    return amount * mm * 2 * chord * (true / radius) ** 2


def _transmitted(softer: Tensor, soft: Tensor, bone: Tensor, metal: Tensor) -> Tensor:
    """Return the quanta that get through (n, rows, columns), see `randomise`."""
    in_softer, in_harder = (
        (-(by[0] * soft + by[1] * bone + by[2] * metal)).exp()
        for by in (SOFTER_BY_MEAN, HARDER_BY_MEAN)
    )
    return (softer * in_softer + (1 - softer) * in_harder).clamp(max=1)


def _scattered(of: Any, through: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """Return the typical intensity (n, 1, 1) and the coarse scatter, see `randomise`."""
    coarse = F.avg_pool2d(through[:, None], COARSE)[:, 0].clamp(min=1e-7)
    nepers = -coarse.log()
    scatter = coarse * nepers
    mean = scatter.mean((1, 2), keepdim=True)
    typical = (-nepers.mean((1, 2), keepdim=True)).exp()
    times = of.smoothings[:, 0, 0].long()
    scatter = down[times] @ scatter @ across[times].mT
    scatter = scatter * (of.scatter * typical / torch.maximum(mean, 0.02 * typical))
    return typical, scatter + of.glare * typical


def _lagged(images: Tensor, of: Any) -> Tensor:
    """Return images (n, rows, columns) with a share of what was so far to the left."""
    column = torch.arange(images.shape[2], device=images.device) - of.lag_px.long()
    before = images.gather(2, column.clamp(min=0).expand_as(images))
    return images + of.lag * (before - images)


def _grey(signal: Tensor, of: Any) -> Tensor:
    """Return intensities as their grey levels have them, see `randomise`."""
    level = of.levels * (signal / WHITE).clamp(max=1) ** of.gamma
    return WHITE * ((level + 0.5).floor().clamp(min=1) / of.levels.clamp(min=1)) ** (1 / of.gamma)


@lru_cache
def _smoothings(size: int, device: str) -> Tensor:
    """Return (_SMOOTHINGS + 1, size, size).

    A binomial filter, its border repeated, so many times.
    """
    once = _smoothed(torch.eye(size, dtype=torch.float64)[None], dims=(1,))[0]
    powers = [torch.linalg.matrix_power(once, n) for n in range(_SMOOTHINGS + 1)]
    return torch.stack(powers).float().to(device)


def _smoothed(images: Tensor, dims: Sequence[int] = (1, 2)) -> Tensor:
    """Return images (n, rows, columns) after a binomial filter of 3 along dims, their borders repeated."""
    for dim in dims:
        last = images.shape[dim] - 1
        before = torch.cat([images.narrow(dim, 0, 1), images.narrow(dim, 0, last)], dim)
        after = torch.cat([images.narrow(dim, 1, last), images.narrow(dim, last, 1)], dim)
        images = 0.25 * (before + after) + 0.5 * images
    return images


def _shading(of: Any, coarse: Tensor) -> Tensor:
    """Return factors of the size of coarse images (n, rows, columns)."""
    y, x = (
        (2 * torch.arange(size, device=coarse.device) + 1) / size - 1 for size in coarse.shape[1:]
    )
    y = y[:, None]
    squares = of.shade_xx * x**2 + of.shade_xy * x * y + of.shade_yy * y**2
    return (of.shade_x * x + of.shade_y * y + squares).exp()


def _finer(coarse: Tensor) -> Tensor:
    """Return images (n, rows, columns) of the fine grid."""
    return F.interpolate(coarse[:, None], scale_factor=COARSE, mode="bilinear")[:, 0]


def _normal(states: Tensor, images: Tensor) -> Tensor:
    """Return the numbers that `rng.quick_normal` gives pixel after pixel, from states (n,) int64."""
    rows, columns = images.shape[1:]
    number = torch.arange(1, rows * columns + 1, device=states.device).view(rows, columns)
    word = states[:, None, None] + number * _STRIDE
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        word = (word ^ _shifted(word, shift)) * factor
    word = word ^ _shifted(word, 31)
    parts = torch.stack([_shifted(word, shift) & 0xFFFF for shift in (0, 16, 32, 48)])
    return (parts.float().sum(0) / 2**16 - 2) * ROOT_OF_3


def _shifted(word: Tensor, bits: int) -> Tensor:
    """Return words int64 moved to the right as if they had no sign."""
    return (word >> bits) & ((1 << (64 - bits)) - 1) if bits else word


def standardise(line: Tensor, valid: Tensor) -> Tensor:
    """Return log images (n, rows, columns) as `images.standardise` does; valid: 1 or 0."""
    radius = max(1, (WINDOW * line.shape[1] + 32) // 64)
    count = valid.sum((1, 2), keepdim=True).clamp(min=1)
    low = torch.full_like(count, -math.inf)
    high = -low
    mean = low
    sd = high
    for _ in range(2):
        value = torch.minimum(torch.maximum(line, low), high) * valid
        mean = value.sum((1, 2), keepdim=True) / count
        square = ((value - mean) ** 2 * valid).sum((1, 2), keepdim=True) / count
        sd = square.clamp(min=1e-12).sqrt()
        low = mean - CUT * sd
        high = mean + CUT * sd
    values = (torch.minimum(torch.maximum(line, low), high) - mean) / sd * valid
    weights, sums, squares = box_sums(torch.stack([valid, values, values**2]), radius)
    share = 1 / weights.clamp(min=1)
    local = sums * share
    variance = (squares * share - local**2).clamp(min=0)
    value = (values - local) / (variance + FLOOR**2).sqrt()
    return value.clamp(-MAX_LOCAL, MAX_LOCAL) * valid
