"""DRRs of many poses at once, with their derivatives by the pose, on a device of PyTorch.

The sums of `cpu.py`, all rays side by side.

    images, jacobians = TorchProjector(projector, "cuda").render(cameras, poses, jacobian=True)

On CUDA the kernels of `triton_drr.py` take them. Elsewhere plain PyTorch does, which keeps all
samples that it takes, so that it goes through rays and planes in blocks. Where a ray begins and which
planes it crosses is computed in double precision where the device has it, the sums along it in
single. The same bits come out every time, whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..errors import warn
from ..geometry.camera import Camera
from . import cpu
from .beam_layout import (
    BEAM,
    CORNER,
    CUT,
    DEPTH,
    INDEX_FROM_WORLD,
    LEVER,
    SOURCE,
    SOURCE_STEP,
    STEP_U,
    STEP_V,
    WORLD_FROM_INDEX,
)
from .cpu import Ends, Rays
from .devices import load_triton, run_tasks
from .drr import FIRST_ROW, MAX_VOXELS, Projector, cross

#: Planes and rays that plain PyTorch takes at once, some 100 bytes for each sample.
PLANES_AT_ONCE = 32
RAYS_ON_CPU = 2**13
RAYS_ON_DEVICE = 2**19

Vector = list[Tensor]


class TorchProjector:
    """A `Projector`'s volume on a device.

    Parameters
    ----------
    device
        As torch has it: "cpu", "cuda:1".

    Raises
    ------
    MemoryError
        For a volume whose voxels, twice, cannot be counted in 32 bits.
    """

    def __init__(self, projector: Projector, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.projector = projector
        self.real = real_of(self.device)
        """The type of geometry and of sums over an image."""
        ni, nj, _ = projector.grid.stored
        self._values = stored_twice(
            torch.from_numpy(projector.grid.values).view(-1, nj, ni).to(self.device)
        )
        self._end_slices = torch.from_numpy(projector.end_slices).to(self.device)
        self.recorded: dict = {}
        """What was recorded of work with it, see `torch_backend`."""

    def render(
        self,
        cameras: Sequence[Camera],
        world_from_ct: ArrayLike,
        *,
        jacobian: bool = False,
        pivot: ArrayLike = (0.0, 0.0, 0.0),
    ) -> tuple[Tensor, Tensor | None]:
        """Return the line integrals (n, rows, columns), float32, and their derivatives (6, n, rows, columns) by the pose if requested.

        Parameters
        ----------
        cameras
            n, of one size.
        world_from_ct
            (n, 4, 4) rigid, mm.
        pivot
            (3,) or (n, 3) world mm, see `Projector.render`.

        Raises
        ------
        InputError
            For a pose that is not finite.
        """
        return self.project(
            self.beams(cameras, world_from_ct, pivot), *shape_of(cameras), jacobian=jacobian
        )

    def seen(self, cameras: Sequence[Camera], world_from_ct: ArrayLike) -> Tensor:
        """Return (n, rows, columns) bool.

        False for rays that go on through tissue where the CT was cut off, as `Projector.seen`.
        """
        return self.unhidden(
            self.beams(cameras, world_from_ct, (0.0, 0.0, 0.0)), *shape_of(cameras)
        )

    def project(
        self,
        beams: Tensor,
        rows: int,
        columns: int,
        *,
        jacobian: bool,
        wanted: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return `render`, of beams (n, BEAM) on the device.

        Parameters
        ----------
        wanted
            (n, rows, columns) bool, the rays to follow; the others are 0. All by default.
        """
        shape = self.projector.grid.stored
        planes = max(self.projector.shape)
        return project_beams(
            self._values, shape, planes, beams, rows, columns, jacobian=jacobian, wanted=wanted
        )

    def unhidden(self, beams: Tensor, rows: int, columns: int) -> Tensor:
        """Return `seen`, of beams (n, BEAM) on the device."""
        shape = self.projector.shape
        if (kernels := kernels_on(self.device)) is not None:
            return kernels.unhidden(beams, (rows, columns), shape, self._end_slices)
        found = np.ones((len(beams), rows, columns), np.uint8)
        slices = self.projector.end_slices
        numbers = beams.cpu().double().numpy()
        tasks = []
        for seen, beam in zip(found, numbers, strict=True):
            directions, _, matrix = (part.reshape(3, 3) for part in np.split(beam[3:30], 3))
            rays = Rays(beam[:3], beam[SOURCE_STEP:CUT], directions, matrix)
            ends = Ends(beam[CUT:DEPTH] > 0, slices, shape, beam[DEPTH])
            tasks.append(partial(cpu.mark_unseen, ends, rays, (0, rows), seen))
        run_tasks(tasks)
        return torch.from_numpy(found).to(self.device, torch.bool)

    def beams(
        self, cameras: Sequence[Camera], world_from_ct: ArrayLike, pivot: ArrayLike
    ) -> Tensor:
        """Return (n, BEAM) on the device, what it needs of n images."""
        beams = np.empty((len(cameras), BEAM))
        poses = np.asarray(world_from_ct, float)
        pivots = np.broadcast_to(np.asarray(pivot, float), (len(cameras), 3))
        for camera, of_it in _by_camera(cameras):
            pose = poses[of_it]
            rays = self.projector.grid.rays(camera, pose)
            parts = (
                rays.source,
                rays.directions,
                np.linalg.inv(rays.world_from_index),
                rays.world_from_index,
                camera.sources(FIRST_ROW) - pivots[of_it],
                rays.source_step,
                self.projector.cut_across(camera, pose),
                self.projector.grid.depth_mm(camera, pose),
            )
            beams[of_it] = np.hstack([part.reshape(len(of_it), -1) for part in parts])
        return self._sent(beams)

    def _sent(self, array: np.ndarray) -> Tensor:
        """Return numbers of the geometry on the device."""
        return torch.from_numpy(array).to(self.device, self.real)


def real_of(device: torch.device) -> torch.dtype:
    """Return the most precise type of numbers that a device has."""
    if device.type == "mps" or (
        device.type == "xpu" and not torch.xpu.get_device_properties(device).has_fp64
    ):
        return torch.float32
    return torch.float64


def stored_twice(values: Tensor) -> Tensor:
    """Return a volume (slices, nj, ni) as `project_beams` takes it, flat.

    Once with axis i, and once with axis j along the cache lines, for rays that follow axis i, whose
    neighbours lie along the others.

    Raises
    ------
    MemoryError
        For more voxels, twice, than can be counted in 32 bits.
    """
    if 2 * values.numel() > MAX_VOXELS:
        raise MemoryError(
            f"a device can hold {MAX_VOXELS / 2:.3g} voxels of a CT, this one has "
            f"{values.numel():.3g}"
        )
    return torch.cat([values.reshape(-1), values.permute(2, 0, 1).reshape(-1)])


def project_beams(
    values: Tensor,
    shape: Sequence[int],
    planes: int,
    beams: Tensor,
    rows: int,
    columns: int,
    *,
    jacobian: bool,
    wanted: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return images (n, rows, columns) and, if requested, their derivatives (6, n, rows, columns), in the precision of the values.

    Parameters
    ----------
    values
        See `stored_twice`.
    shape
        (ni, nj, nk) as it is stored, and the most planes that a ray can cross.
    beams
        (n, BEAM).
    wanted
        See `TorchProjector.project`.
    """
    if (kernels := kernels_on(values.device)) is not None:
        return kernels.project_beams(
            values, shape, beams, (rows, columns), jacobian=jacobian, wanted=wanted
        )
    rays = crossings(beams, rows, columns, shape, len(values) // 2, values.dtype, wanted)
    sums = _over_planes(march if jacobian else march_values, planes, values, rays.flat())
    return (derived if jacobian else path_lengths)(beams, rays, *sums)


@lru_cache
def kernels_on(device: torch.device) -> ModuleType | None:
    """Return `triton_drr` for a CUDA device; None where Triton does not work, of which a warning tells once, and for others."""
    if device.type != "cuda":
        return None
    try:
        load_triton()
        from . import triton_drr

        nothing = torch.zeros(1, BEAM, device=device, dtype=real_of(device))
        end_slices = torch.zeros(6, 1, 1, device=device, dtype=torch.uint8)
        triton_drr.unhidden(nothing, (1, 1), (1, 1, 1), end_slices)
    except Exception as error:  # no Triton, no C compiler, an old driver, ...
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        warn(
            f"device {device}: Triton does not work here ({reason}); PyTorch goes step by step, "
            "which takes some twenty times as long; docs/gpu.md says what to install."
        )
        return None
    return triton_drr


def rays_in_voxels(rays: Tensor, ct_from_index: Tensor) -> Tensor:
    """Return rays (n, 5, 3) in CT mm, see `drr_operator.project`, in the voxels of a volume."""
    index_from_ct = torch.linalg.inv(ct_from_index)
    turned = rays @ index_from_ct[:3, :3].T
    return torch.cat([turned[:, :1] + index_from_ct[:3, 3], turned[:, 1:]], 1)


def beams_of(rays: Tensor, ct_from_index: Tensor) -> Tensor:
    """Return (n, BEAM) of rays (n, 5, 3), the CT's frame taken for the world's and the source of row 0 for the pivot; no end is cut."""
    source, source_step, *directions = rays_in_voxels(rays, ct_from_index).unbind(1)
    matrix = ct_from_index[:3, :3]
    fixed = torch.cat([torch.linalg.inv(matrix).reshape(9), matrix.reshape(9), matrix.new_zeros(3)])
    beams = [
        source,
        *directions,
        fixed.expand(len(rays), -1),
        source_step,
        source.new_zeros(len(rays), 7),
    ]
    return torch.cat(beams, 1)


def _over_planes(work: Callable, planes: int, values: Tensor, rays: Vector) -> Vector:
    """Return the sums of `work` over all planes, for rays (N,)."""
    numbers = torch.arange(planes, dtype=torch.int32, device=values.device)
    parts = [_in_blocks(work, values, numbers, block) for block in blocks_of(rays)]
    return [torch.cat(each) for each in zip(*parts, strict=True)]


def blocks_of(rays: Vector) -> Iterator[Vector]:
    """Return rays (N,) in parts for plain PyTorch."""
    size = RAYS_ON_CPU if rays[0].device.type == "cpu" else RAYS_ON_DEVICE
    return map(list, zip(*(each.split(size) for each in rays), strict=True))


def march(
    values: Tensor,
    planes: Tensor,
    offset: Tensor,
    stride_a: Tensor,
    stride_b: Tensor,
    stride_c: Tensor,
    count: Tensor,
    b: Tensor,
    c: Tensor,
    slope_b: Tensor,
    slope_c: Tensor,
) -> tuple[Tensor, ...]:
    """Return sums (N,) over planes of mu, its two derivatives within the plane, and these times the plane's number.

    The others: (N,), as in `Crossings`.

    Parameters
    ----------
    values
        flat.
    planes
        (k,) int32, their numbers.
    """
    fk = planes[:, None].to(b.dtype)
    o, wb, wc = _cells(planes, offset, stride_a, stride_b, stride_c, count, b, c, slope_b, slope_c)
    v00 = values[o]
    v01 = values[o + stride_c]
    d0 = values[o + stride_b] - v00
    d1 = values[o + stride_b + stride_c] - v01
    low = v00 + wb * d0
    dc = v01 + wb * d1 - low
    db = d0 + wc * (d1 - d0)
    return (low + wc * dc).sum(0), db.sum(0), dc.sum(0), (fk * db).sum(0), (fk * dc).sum(0)


def march_values(values: Tensor, planes: Tensor, *rays: Tensor) -> tuple[Tensor]:
    """Return the first sum of `march`."""
    return (march(values, planes, *rays)[0],)


def spread(into: Tensor, planes: Tensor, weight: Tensor, *rays: Tensor) -> None:
    """Add to each voxel of `into` its share of `march_values`, times a weight (N,).

    The derivative of the weighted sum.
    """
    o, wb, wc = _cells(planes, *rays)
    _, _, stride_b, stride_c, count, *_ = rays
    weight = torch.where(planes[:, None] < count, weight, 0)
    for step, share in ((0, 1 - wb), (stride_b, wb)):
        for further, part in ((0, 1 - wc), (stride_c, wc)):
            into.index_add_(0, (o + step + further).view(-1), (weight * share * part).view(-1))


def _cells(
    planes: Tensor,
    offset: Tensor,
    stride_a: Tensor,
    stride_b: Tensor,
    stride_c: Tensor,
    count: Tensor,
    b: Tensor,
    c: Tensor,
    slope_b: Tensor,
    slope_c: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return where the rays cross the planes, (k, N).

    The first voxel of the cell, and how far along b and c within it.
    """
    k = planes[:, None]
    fk = k.to(b.dtype)
    pb = b + fk * slope_b
    pc = c + fk * slope_c
    ib = pb.int()
    ic = pc.int()
    # Beyond the last plane it is voxel 0, which has air about it whatever the strides.
    return (
        torch.where(k < count, offset + k * stride_a + ib * stride_b + ic * stride_c, 0),
        pb - ib,
        pc - ic,
    )


def _in_blocks(work: Callable, values: Tensor, planes: Tensor, rays: Sequence[Tensor]) -> Vector:
    total: Vector = []
    for chosen in planes.split(PLANES_AT_ONCE):
        part = work(values, chosen, *rays)
        total = (
            [one.add_(more) for one, more in zip(total, part, strict=True)] if total else list(part)
        )
    return total


class _Axes(NamedTuple):
    """Whether a ray follows the first axis most closely, or the second.

    Its own axes are that one, a, and the two others, b and c.
    """

    i: Tensor
    j: Tensor

    def turned(self, of_ijk: Sequence[Any]) -> Vector:
        """Return the components along a, b and c of a vector along i, j and k."""
        i, j, k = (
            each if isinstance(each, Tensor) else torch.full((), each, device=self.i.device)
            for each in of_ijk
        )
        return [
            torch.where(self.i, i, torch.where(self.j, j, k)),
            torch.where(self.i, j, i),
            torch.where(self.i | self.j, k, j),
        ]

    def back(self, of_abc: Vector) -> Vector:
        """Return the components along the volume's axes of a vector along a, b and c."""
        a, b, c = of_abc
        return [
            torch.where(self.i, a, b),
            torch.where(self.i, b, torch.where(self.j, a, c)),
            torch.where(self.i | self.j, c, a),
        ]


class Crossings(NamedTuple):
    """The planes of its axis a that each ray (n, rows, columns) crosses within the volume.

    Attributes
    ----------
    axes
        Of the rays.
    planes
        How many, int32; the first is at `offset` of the flat volume, the ray there at `at`, its
        axes b and c in voxels, and at the depth z0.
    strides
        Of axes a, b and c in the flat volume.
    slopes
        By plane, the change of `at`.
    """

    axes: _Axes
    planes: Tensor
    offset: Tensor
    at: Vector
    strides: Vector
    slopes: Vector
    z0: Tensor

    def flat(self) -> Vector:
        """Return what `march` takes of them, (N,) each."""
        return [
            each.reshape(-1)
            for each in (self.offset, *self.strides, self.planes, *self.at, *self.slopes)
        ]


def crossings(
    beams: Tensor,
    rows: int,
    columns: int,
    shape: Sequence[int],
    voxels: int,
    sampled: torch.dtype,
    wanted: Tensor | None,
) -> Crossings:
    """See `cpu.crossings`.

    Parameters
    ----------
    shape
        As the volume is stored, first (k, j, i), and after so many voxels (i, k, j), for the rays
        that follow i; 0: only once.
    sampled
        The type of `at` and `slopes`.
    wanted
        (n, rows, columns) bool, those to follow.
    """
    source, q = _rays(beams, rows, columns)
    i, j, k = (each.abs() for each in q)
    axes = _Axes((i >= j) & (i >= k), ~((i >= j) & (i >= k)) & (j >= k))
    (sa, sb, sc) = axes.turned(source)
    (qa, qb, qc) = axes.turned(q)
    last = [each.to(qa.dtype) for each in axes.turned([size - 1 for size in shape])]
    slopes = [qb / qa, qc / qa]
    starts = [sb - sa * slopes[0], sc - sa * slopes[1]]
    low = torch.zeros_like(qa)
    high = last[0]
    for start, slope, end in zip(starts, slopes, last[1:], strict=True):
        low, high = _clip(start, slope, 0.0, end, low, high)
    low = torch.where(qa > 0, torch.maximum(low, sa), low)
    high = torch.where(qa > 0, high, torch.minimum(high, sa))
    first = torch.ceil(low)
    count = torch.where(high >= low, torch.floor(high) - first + 1, 0).clamp(min=0)
    crosses = count > 0 if wanted is None else (count > 0) & wanted
    at = [
        torch.where(crosses, start + first * slope, 0).clamp(min=0).to(sampled)
        for start, slope in zip(starts, slopes, strict=True)
    ]
    ni, nj, _ = shape
    strides = [
        torch.where(axes.i, along_i, along_other.to(torch.int32)).to(torch.int32)
        for along_i, along_other in zip(
            (voxels // ni, 1, nj) if voxels else (1, ni, ni * nj),
            axes.turned([1, ni, ni * nj]),
            strict=True,
        )
    ]
    return Crossings(
        axes,
        torch.where(crosses, count, 0).to(torch.int32),
        torch.where(axes.i & crosses, voxels, 0)
        + torch.where(crosses, first, 0).to(torch.int32) * strides[0],
        at,
        strides,
        [torch.where(crosses, slope, 0).to(sampled) for slope in slopes],
        torch.where(crosses, (first - sa) / qa, 0),
    )


def path_lengths(beams: Tensor, rays: Crossings, mu: Tensor) -> tuple[Tensor, None]:
    """Return the image (n, rows, columns) of sums over planes (N,)."""
    q = _rays(beams, *rays.planes.shape[1:])[1]
    w = _length(_product(_matrix(beams, WORLD_FROM_INDEX), q)) / rays.axes.turned(q)[0].abs()
    return (w * mu.view(rays.planes.shape)).to(mu.dtype), None


def derived(
    beams: Tensor, rays: Crossings, mu: Tensor, gb: Tensor, gc: Tensor, kgb: Tensor, kgc: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the image (n, rows, columns), and its derivatives (6, n, rows, columns), of the sums of `march`."""
    shape = rays.planes.shape
    sampled = mu.dtype
    mu, gb, gc, kgb, kgc = (each.view(shape).to(beams.dtype) for each in (mu, gb, gc, kgb, kgc))
    q = _rays(beams, *shape[1:])[1]
    q_mm = _product(_matrix(beams, WORLD_FROM_INDEX), q)
    qa = rays.axes.turned(q)[0]
    w = _length(q_mm) / qa.abs()
    hb = rays.z0 * gb + kgb / qa
    hc = rays.z0 * gc + kgc / qa
    slope_b, slope_c = (each.to(beams.dtype) for each in rays.slopes)
    g = rays.axes.back([-(slope_b * gb + slope_c * gc), gb, gc])
    h = rays.axes.back([-(mu / qa + slope_b * hb + slope_c * hc), hb, hc])
    # Covariant: world gradient = index_from_world^T g. The CT moves, so every sign turns.
    index_from_world = _matrix(beams, INDEX_FROM_WORLD)
    to_world = [[-w * row[column] for row in index_from_world] for column in range(3)]
    force = _product(to_world, g)
    late = _product(to_world, h)
    v = torch.arange(shape[1], device=beams.device, dtype=beams.dtype)[:, None]
    step = _product(_matrix(beams, WORLD_FROM_INDEX), _vector(beams, SOURCE_STEP))
    lever = [start + v * each for start, each in zip(_vector(beams, LEVER), step, strict=True)]
    torque = [one + more for one, more in zip(cross(lever, force), cross(q_mm, late), strict=True)]
    return (w * mu).to(sampled), torch.stack([*torque, *force]).to(sampled)


def _clip(
    start: Tensor,
    slope: Tensor,
    bottom: float | Tensor,
    top: float | Tensor,
    low: Tensor,
    high: Tensor,
) -> tuple[Tensor, Tensor]:
    """Narrow [low, high] to the z at which start + z slope lies in [bottom, top].

    An empty range has high < low.
    """
    flat = slope.abs() < 1e-9
    beyond = flat & ((start < bottom) | (start > top))
    slope = torch.where(flat, 1.0, slope)
    z0 = (bottom - start) / slope
    z1 = (top - start) / slope
    narrowed_low = torch.maximum(low, torch.minimum(z0, z1))
    narrowed_high = torch.minimum(high, torch.maximum(z0, z1))
    return (
        torch.where(beyond, 1.0, torch.where(flat, low, narrowed_low)),
        torch.where(beyond, 0.0, torch.where(flat, high, narrowed_high)),
    )


def _rays(beams: Tensor, rows: int, columns: int) -> tuple[Vector, Vector]:
    """Return sources (n, rows, 1) and directions (n, rows, columns) of the rays, by axis of the volume."""
    u = torch.arange(columns, device=beams.device, dtype=beams.dtype)
    v = torch.arange(rows, device=beams.device, dtype=beams.dtype)[:, None]
    source = [
        at + v * step
        for at, step in zip(_vector(beams, SOURCE), _vector(beams, SOURCE_STEP), strict=True)
    ]
    by_axis = zip(*(_vector(beams, first) for first in (CORNER, STEP_U, STEP_V)), strict=True)
    return source, [corner + u * by_u + v * by_v for corner, by_u, by_v in by_axis]


def _vector(beams: Tensor, first: int) -> Vector:
    """Return three numbers of each beam, (n, 1, 1)."""
    return [beams[:, first + axis, None, None] for axis in range(3)]


def _matrix(beams: Tensor, first: int) -> list[Vector]:
    return [_vector(beams, first + 3 * row) for row in range(3)]


def _product(matrix: list[Vector], vector: Vector) -> Vector:
    return [a * vector[0] + b * vector[1] + c * vector[2] for a, b, c in matrix]


def _length(vector: Vector) -> Tensor:
    return (vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2).sqrt()


def shape_of(cameras: Sequence[Camera]) -> tuple[int, int]:
    """Return rows and columns of the cameras; ValueError where they differ."""
    sizes = {tuple(camera.size) for camera in cameras}
    if len(sizes) != 1:
        raise ValueError(f"cameras: expected some of one size, not of the sizes {sorted(sizes)}")
    columns, rows = sizes.pop()
    return rows, columns


def _by_camera(cameras: Sequence[Camera]) -> list[tuple[Camera, list[int]]]:
    """Return each camera once, with the numbers of its images."""
    images: dict[int, list[int]] = {}
    for number, camera in enumerate(cameras):
        images.setdefault(id(camera), []).append(number)
    return [(cameras[numbers[0]], numbers) for numbers in images.values()]
