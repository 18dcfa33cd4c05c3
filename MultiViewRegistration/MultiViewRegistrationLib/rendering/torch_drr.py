"""DRRs of many poses at once, with their derivatives by the pose, on a device of PyTorch.

The sums of `cpu.py`, all rays side by side.

    there = TorchProjector(projector, "cuda")
    images, jacobians = there.project(there.beams(cameras, poses, pivot), rows, columns, jacobian=True)

On CUDA the kernels of `triton_drr.py` take them. Elsewhere plain PyTorch does, which keeps all
samples that it takes, so that it goes through a few planes at a time. Where a ray begins and which
planes it crosses is computed in double precision where the device has it, the sums along it in
single. The same bits come out every time, whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..errors import warn
from ..geometry.camera import Camera
from . import cpu
from .beam_layout import (
    BEAM,
    CENTRE,
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
from .devices import first_line, load_triton, run_each
from .drr import FIRST_ROW, MAX_VOXELS, Beam, Projector, by_intrinsics

#: Planes that plain PyTorch takes at once, some 100 bytes for each sample.
PLANES_AT_ONCE = 4


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
        ni, nj, _ = shape = projector.grid.stored
        values = torch.from_numpy(projector.grid.values).view(-1, nj, ni).to(self.device)
        self.project = partial(project_beams, stored_twice(values), shape)
        """See `project_beams`, of the volume."""
        self._end_slices = torch.from_numpy(projector.end_slices).to(self.device)
        """What was recorded of work with it, see `torch_backend`."""

    def unhidden(self, beams: Tensor, rows: int, columns: int) -> Tensor:
        """Return (n, rows, columns) bool, of beams (n, BEAM).

        False for rays that go on through tissue where the CT was cut off, as `Projector.seen`.
        """
        shape = self.projector.shape
        if (kernels := kernels_on(self.device)) is not None:
            return kernels.unhidden(beams, (rows, columns), shape, self._end_slices)
        found = np.ones((len(beams), rows, columns), np.uint8)
        numbers = beams.cpu().double().numpy()

        def mark(n: int) -> None:
            beam = numbers[n]
            directions, _, matrix = beam[STEP_U:LEVER].reshape(3, 3, 3)
            rays = Rays(beam[:STEP_U], beam[SOURCE_STEP:CUT], directions, matrix)
            ends = Ends(beam[CUT:DEPTH] > 0, self.projector.end_slices, shape, beam[DEPTH])
            cpu.mark_unseen(ends, rays, (0, rows), found[n])

        run_each(mark, range(len(found)))
        return torch.from_numpy(found).to(self.device, torch.bool)

    def beams(
        self, cameras: Sequence[Camera], world_from_ct: ArrayLike, pivot: ArrayLike
    ) -> Tensor:
        """Return (n, BEAM) on the device, what it needs of n images of one size.

        Parameters
        ----------
        world_from_ct
            (n, 4, 4) rigid, mm.
        pivot
            (3,) or (n, 3) world mm, see `Projector.render`.

        Raises
        ------
        InputError
            For a pose that is not finite.
        """
        beams = np.empty((len(cameras), BEAM))
        poses = np.asarray(world_from_ct, float)
        pivots = np.broadcast_to(np.asarray(pivot, float), (len(cameras), 3))
        for camera in {id(each): each for each in cameras}.values():
            of_it = [n for n, each in enumerate(cameras) if each is camera]
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
                np.tile(camera.principal_point, (len(of_it), 1)),
            )
            beams[of_it] = np.hstack([part.reshape(len(of_it), -1) for part in parts])
        return torch.from_numpy(beams).to(self.device, self.real)


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
        (ni, nj, nk) as it is stored.
    beams
        (n, BEAM).
    wanted
        (n, rows, columns) bool, the rays to follow; the others are 0. All by default.
    """
    if (kernels := kernels_on(values.device)) is not None:
        return kernels.project_beams(
            values, shape, beams, (rows, columns), jacobian=jacobian, wanted=wanted
        )
    rays = crossings(beams, (rows, columns), shape, wanted)
    sums: tuple = ()
    for some in plane_numbers(shape, values).split(PLANES_AT_ONCE):
        part = march(values, some, rays)
        sums = tuple(map(torch.add, sums, part)) if sums else part
    image = (rays.mm * sums[0]).to(values.dtype)
    return image, derived(beams, rays, *sums).to(values.dtype) if jacobian else None


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
        warn(
            f"device {device}: Triton does not work here ({first_line(error)}); PyTorch goes step by step, "
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
        source.new_zeros(len(rays), BEAM - CUT),
    ]
    return torch.cat(beams, 1)


def plane_numbers(shape: Sequence[int], values: Tensor) -> Tensor:
    """Return the numbers (k,) of all planes that a ray can cross."""
    return torch.arange(max(shape), dtype=torch.int32, device=values.device)


class Crossings(NamedTuple):
    """The planes of its axis a that each ray (n, rows, columns) crosses within the volume.

    Attributes
    ----------
    axes
        (3, n, rows, columns) which of the volume's axes are the ray's own: the one that it follows
        most closely, a, and the two others, b and c.
    q
        (3, ...) its direction along these, in voxels per mm of depth.
    mm
        How far it goes from plane to plane.
    planes
        How many, int32; the first is at `offset` of the flat volume, the ray there at `at` (2, ...),
        its axes b and c in voxels, and at the depth z0.
    strides
        (3, ...) of axes a, b and c in the flat volume.
    slopes
        (2, ...) by plane, the change of `at`.
    """

    axes: Tensor
    q: Tensor
    mm: Tensor
    planes: Tensor
    offset: Tensor
    at: Tensor
    strides: Tensor
    slopes: Tensor
    z0: Tensor


def march(values: Tensor, planes: Tensor, rays: Crossings) -> tuple[Tensor, Tensor, Tensor]:
    """Return sums (n, rows, columns) over planes of mu, its two derivatives within the plane (2, ...), and these times the plane's number.

    Parameters
    ----------
    values
        flat.
    planes
        (k,) int32, their numbers.
    """
    o, wb, wc = _cells(planes, rays, values.dtype)
    _, stride_b, stride_c = rays.strides
    v00 = values[o]
    v01 = values[o + stride_c]
    d0 = values[o + stride_b] - v00
    d1 = values[o + stride_b + stride_c] - v01
    low = v00 + wb * d0
    dc = v01 + wb * d1 - low
    slopes = torch.stack([d0 + wc * (d1 - d0), dc])
    numbers = _number(planes).to(wb.dtype)
    return (low + wc * dc).sum(0), slopes.sum(1), (numbers * slopes).sum(1)


def spread(into: Tensor, planes: Tensor, rays: Crossings, weight: Tensor) -> None:
    """Add to each voxel of `into` its share of the first sum of `march`, times a weight (n, rows, columns).

    The derivative of the weighted sum.
    """
    o, wb, wc = _cells(planes, rays, into.dtype)
    _, stride_b, stride_c = rays.strides
    weight = torch.where(_number(planes) < rays.planes, weight, 0)
    for step, share in ((0, 1 - wb), (stride_b, wb)):
        for further, part in ((0, 1 - wc), (stride_c, wc)):
            into.index_add_(0, (o + step + further).view(-1), (weight * share * part).view(-1))


def _number(planes: Tensor) -> Tensor:
    return planes[:, None, None, None]


def _cells(planes: Tensor, rays: Crossings, sampled: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return where the rays cross the planes, (k, n, rows, columns).

    The first voxel of the cell, and how far along b and c within it.
    """
    k = _number(planes)
    at, slopes = (each.to(sampled)[:, None] for each in (rays.at, rays.slopes))
    b, c = at + k.to(sampled) * slopes
    ib = b.int()
    ic = c.int()
    stride_a, stride_b, stride_c = rays.strides
    # Beyond the last plane it is voxel 0, which has air about it whatever the strides.
    cell = rays.offset + k * stride_a + ib * stride_b + ic * stride_c
    return torch.where(k < rays.planes, cell, 0), b - ib, c - ic


def crossings(
    beams: Tensor, size: tuple[int, int], shape: Sequence[int], wanted: Tensor | None = None
) -> Crossings:
    """See `cpu.crossings`.

    Parameters
    ----------
    size
        (rows, columns).
    shape
        As the volume is stored, first (k, j, i).
    wanted
        (n, rows, columns) bool, those to follow.
    """
    source, q = _rays(beams, *size)
    mm = _product(_matrix(beams, WORLD_FROM_INDEX), q).square().sum(0).sqrt()
    a = q.abs().argmax(0)  # the first of equal ones
    axes = torch.stack([a, (a == 0).long(), 2 - (a == 2).long()])
    sa, *sides = _turned_image_hypotheses(source, axes)
    q = _turned_image_hypotheses(q, axes)
    qa = q[0]
    last_a, *ends = _turned_image_hypotheses(_by_axis([size - 1 for size in shape], q), axes)
    slopes = q[1:] / qa
    starts = torch.stack(sides) - sa * slopes
    # Where it enters and leaves; infinite along an axis, and not a number, which is less than nothing,
    # in the air of a border.
    faces = torch.stack([-starts, torch.stack(ends) - starts]).detach() / slopes.detach()
    low = faces.amin(0).amax(0).clamp(min=0)
    high = torch.minimum(faces.amax(0).amin(0), last_a)
    low = torch.where(qa > 0, torch.maximum(low, sa), low)
    high = torch.where(qa > 0, high, torch.minimum(high, sa))
    first = torch.ceil(low)
    count = torch.where(high >= low, torch.floor(high) - first + 1, 0).int()
    if wanted is not None:
        count = count * wanted
    crosses = count > 0
    first = torch.where(crosses, first, 0)
    ni, nj, _ = shape
    strides = _turned_image_hypotheses(_by_axis([1, ni, ni * nj], axes), axes).int()
    return Crossings(
        axes,
        q,
        mm / qa.abs(),
        count,
        first.int() * strides[0],
        torch.where(crosses, starts + first * slopes, 0).clamp(min=0),
        strides,
        torch.where(crosses, slopes, 0),
        torch.where(crosses, (first - sa) / qa, 0),
    )


def _turned_image_hypotheses(of_ijk: Tensor, axes: Tensor) -> Tensor:
    """Return the components along rays' own axes, see `Crossings`, of vectors (3, ...) along i, j and k."""
    return of_ijk.expand(axes.shape).gather(0, axes)


def _back(of_abc: Tensor, axes: Tensor) -> Tensor:
    """Return the components along i, j and k of vectors (3, ...) along rays' own axes."""
    return torch.zeros_like(of_abc).scatter(0, axes, of_abc)


def _by_axis(numbers: Sequence[int], like: Tensor) -> Tensor:
    """Return three numbers (3, 1, 1, 1), made on the device."""
    return torch.cat([like.new_full((1, 1, 1, 1), number) for number in numbers])


def derived(beams: Tensor, rays: Crossings, mu: Tensor, slopes: Tensor, late: Tensor) -> Tensor:
    """Return the derivatives (6, n, rows, columns) of the image of the sums of `march`."""
    mu, slopes, late = (each.to(beams.dtype) for each in (mu, slopes, late))
    qa = rays.q[0]
    late = rays.z0 * slopes + late / qa
    g, h = (
        torch.cat([-(rays.slopes * each).sum(0, keepdim=True) - own, each])
        for each, own in ((slopes, 0), (late, mu / qa))
    )
    # Covariant: world gradient = index_from_world^T g. The CT moves, so every sign turns.
    to_world = _matrix(beams, INDEX_FROM_WORLD).mT
    force, torque = (-rays.mm * _product(to_world, _back(each, rays.axes)) for each in (g, h))
    in_world = partial(_product, _matrix(beams, WORLD_FROM_INDEX))
    _, v = pixel_numbers(beams, *mu.shape[1:])
    lever = _vector(beams, LEVER) + v * in_world(_vector(beams, SOURCE_STEP))
    torque = torch.linalg.cross(in_world(_back(rays.q, rays.axes)), torque, dim=0)
    return torch.cat([torque + torch.linalg.cross(lever, force, dim=0), force])


def by_intrinsics_of(beams: Tensor, jacobian: Tensor) -> Tensor:
    """Return (3, n, rows, columns) from the derivatives by the pose (6, n, rows, columns), see `drr.intrinsics_jacobian`."""
    to_world = _matrix(beams, WORLD_FROM_INDEX)
    columns = [_product(to_world, _vector(beams, first)) for first in (STEP_U, STEP_V, CORNER)]
    step = _product(to_world, _vector(beams, SOURCE_STEP))
    centre = beams[:, CENTRE:].T[..., None, None]
    slot = step.any(0).to(beams)
    beam = Beam(torch.stack(columns, 1), -_vector(beams, LEVER), step, centre, slot)
    u, v = pixel_numbers(beams, *jacobian.shape[2:])
    return torch.stack(by_intrinsics(beam, u, v, jacobian)).to(jacobian)


def pixel_numbers(beams: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return the numbers (columns,) and (rows, 1) of columns and rows."""
    u, v = (torch.arange(size, device=beams.device, dtype=beams.dtype) for size in (columns, rows))
    return u, v[:, None]


def _rays(beams: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return sources (3, n, rows, 1) and directions (3, n, rows, columns) of the rays, by axis of the volume."""
    u, v = pixel_numbers(beams, rows, columns)
    corner, step_u, step_v = (_vector(beams, first) for first in (CORNER, STEP_U, STEP_V))
    source = _vector(beams, SOURCE) + v * _vector(beams, SOURCE_STEP)
    return source, corner + u * step_u + v * step_v


def _vector(beams: Tensor, first: int) -> Tensor:
    """Return three numbers of each beam, (3, n, 1, 1)."""
    return beams[:, first : first + 3].T[..., None, None]


def _matrix(beams: Tensor, first: int) -> Tensor:
    """Return nine numbers of each beam, (n, 3, 3)."""
    return beams[:, first : first + 9].unflatten(1, (3, 3))


def _product(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return (3, n, ...) of matrices (n, 3, 3) and vectors (3, n, ...)."""
    a, b, c = matrix.permute(2, 1, 0)[..., None, None].unbind()
    return a * vector[0] + b * vector[1] + c * vector[2]
