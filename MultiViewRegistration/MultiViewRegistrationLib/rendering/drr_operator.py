"""DRRs as an operator of PyTorch, with derivatives by rays and volume.

    images, _ = project(values, rays, poses, ct_from_index, shape, size, derivatives)

Everything that a pose or a camera changes is in the rays of an image: the source of row 0 and its
step from row to row, and the direction corner + u step_u + v step_v of the ray through pixel (u,
v), all in CT mm. How these follow from poses and cameras is left to ordinary functions of PyTorch,
and so are the derivatives of that.

Forwards it is one march along each ray, which gives the image's six derivatives by a turn and a
shift of the CT beside the value: by `cpu.py` where the volume is stored once, by `torch_drr.py`
where it is stored twice. A shift f of the CT is one of the source backwards, and a turn m about the
source changes the ray's direction q, of whose length an image does not depend:

    dI/ds = -f,    dI/dq = (q x m) / |q|^2

The first derivatives are an operator, too. Second ones are those of `line_integrals`, which is
`torch_drr.py` as plain functions. They are exact for the sum over planes, which is bilinear within
each cell of a plane; the jump of the gradient from one cell to the next is in no second derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from . import cpu
from .devices import row_blocks, run_tasks
from .drr import NO_RAYS, NOT_FINITE
from .torch_drr import (
    PLANES_AT_ONCE,
    Crossings,
    beams_of,
    crossings,
    march,
    pixel_numbers,
    plane_numbers,
    project_beams,
    rays_in_voxels,
    real_of,
    spread,
)

#: How far the columns of a pose's rotation may be from orthonormal, as float32 and optimisers leave
#: them.
RIGID_TOLERANCE = 1e-3
#: Samples whose second derivatives are taken at once, some 500 bytes each.
SAMPLES_AT_ONCE = 2**19


@torch.library.custom_op(
    "multiviewregistration::project",
    mutates_args=(),
    schema="(Tensor values, Tensor rays, Tensor poses, Tensor ct_from_index, int[] shape, int[] size, bool derivatives)"
    " -> (Tensor, Tensor)",
)
def project(
    values: Tensor,
    rays: Tensor,
    poses: Tensor,
    ct_from_index: Tensor,
    shape: Sequence[int],
    size: Sequence[int],
    derivatives: bool,
) -> tuple[Tensor, Tensor]:
    """Render images (n, rows, columns), and their derivatives (6, n, rows, columns) if requested, else (0,).

    Parameters
    ----------
    values
        Attenuation in 1/mm, flat: (slices, nj, ni), air at all ends, see `cpu.project_rows`; or
        twice, see `torch_drr.stored_twice`. Images have its precision and its device.
    rays
        (n, 5, 3) CT mm: source, source_step, step_u, step_v, corner. As the poses and ct_from_index
        float64 on the processor.
    poses
        (n, 4, 4) from which the rays were made; they are checked.
    ct_from_index
        (4, 4) mm, of the stored volume.
    shape
        (ni, nj, nk) as it is stored.
    size
        (columns, rows).
    derivatives
        By a turn of the CT about the source of row 0 (rad), and by a shift (mm), along its axes.

    Raises
    ------
    InputError
        For rays that are not finite, and for a pose that is not rigid.
    """
    _check(rays, poses)
    if len(values) == _voxels(shape):
        return _by_numba(values, rays, ct_from_index, shape, size, derivatives)
    beams = beams_of(rays, ct_from_index).to(values.device, real_of(values.device))
    images, by_motion = project_beams(values, shape, beams, size[1], size[0], jacobian=derivatives)
    return images, values.new_empty(0) if by_motion is None else by_motion


@project.register_fake
def _(values, rays, poses, ct_from_index, shape, size, derivatives):
    images = values.new_empty(len(rays), size[1], size[0])
    return images, values.new_empty((6, *images.shape) if derivatives else (0,))


@torch.library.custom_op(
    "multiviewregistration::project_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor values, Tensor rays, Tensor derivatives, Tensor ct_from_index, int[] shape, int[] size,"
    " bool by_values, bool by_rays) -> (Tensor, Tensor)",
)
def project_backward(
    gradient: Tensor,
    values: Tensor,
    rays: Tensor,
    derivatives: Tensor,
    ct_from_index: Tensor,
    shape: Sequence[int],
    size: Sequence[int],
    by_values: bool,
    by_rays: bool,
) -> tuple[Tensor, Tensor]:
    """Differentiate sum(gradient * images) by the values and by the rays.

    (0,) where that is not requested.

    Parameters
    ----------
    derivatives
        Of the images as `project` gives them, or (0,): they are made here then.
    """
    if by_rays and not len(derivatives):
        poses = torch.eye(4).expand(len(rays), 4, 4)
        derivatives = project(values, rays, poses, ct_from_index, shape, size, True)[1]
    return (
        _by_values(gradient, values, rays, ct_from_index, shape, size)
        if by_values
        else values.new_empty(0),
        _by_rays(gradient, derivatives, rays) if by_rays else rays.new_empty(0),
    )


@project_backward.register_fake
def _(gradient, values, rays, derivatives, ct_from_index, shape, size, by_values, by_rays):
    return values.new_empty(len(values) if by_values else 0), rays.new_empty(
        rays.shape if by_rays else (0,)
    )


def line_integrals(
    values: Tensor, rays: Tensor, ct_from_index: Tensor, shape: Sequence[int], size: Sequence[int]
) -> Tensor:
    """Return the images of `project` by plain functions of PyTorch, which keep some hundred bytes of each sample."""
    found = _crossed(values, rays, ct_from_index, shape, size)
    sums = march(values, plane_numbers(shape, values), found)[0]
    return (found.mm * sums).to(values.dtype)


class Projection(torch.autograd.Function):
    """`project`, differentiable by values and rays.

    PyTorch's transforms (`torch.func`) take a Function, but no operator with a derivative;
    `torch.compile` takes this one, too.
    """

    @staticmethod
    def forward(values, rays, poses, ct_from_index, shape, size, derivatives):
        """Render."""
        return project(values, rays, poses, ct_from_index, shape, size, derivatives)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Keep what the derivatives are made from."""
        values, rays, _, ct_from_index, ctx.shape, ctx.size, _ = inputs
        ctx.save_for_backward(values, rays, output[1], ct_from_index)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, gradient: Tensor, _):
        """Return the derivatives."""
        wanted = ctx.needs_input_grad[:2]
        found = _FirstDerivatives.apply(gradient, *ctx.saved_tensors, ctx.shape, ctx.size, *wanted)
        kept = [each if want else None for each, want in zip(found, wanted, strict=True)]
        return *kept, *[None] * 5

    @staticmethod
    def vmap(info, in_dims, values, rays, poses, ct_from_index, *others):
        """Project batches of rays as one batch."""
        if in_dims[0] is not None or in_dims[3] is not None:
            return _one_by_one(
                Projection, info, in_dims, values, rays, poses, ct_from_index, *others
            )

        def together(each: Tensor, dim: int | None) -> Tensor:
            if dim is None:
                return each.expand(info.batch_size, *each.shape).flatten(0, 1)
            return each.movedim(dim, 0).flatten(0, 1)

        rays = together(rays, in_dims[1])
        poses = together(poses, in_dims[2])
        images, derivatives = Projection.apply(values, rays, poses, ct_from_index, *others)
        parts = info.batch_size, len(rays) // info.batch_size
        if not len(derivatives):
            return (images.unflatten(0, parts), derivatives), (0, None)
        return (images.unflatten(0, parts), derivatives.unflatten(1, parts)), (0, 1)


class _FirstDerivatives(torch.autograd.Function):
    """`project_backward`, differentiable by gradient, values and rays."""

    @staticmethod
    def forward(
        gradient, values, rays, derivatives, ct_from_index, shape, size, by_values, by_rays
    ):
        return project_backward(
            gradient, values, rays, derivatives, ct_from_index, shape, size, by_values, by_rays
        )

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Keep what the derivatives are made from."""
        gradient, values, rays, _, ct_from_index, ctx.shape, ctx.size, *ctx.given = inputs
        ctx.save_for_backward(gradient, values, rays, ct_from_index)

    @staticmethod
    def backward(ctx, along_values: Tensor, along_rays: Tensor):
        """Differentiate how sum(gradient * images) changes along a change of the values and of the rays."""
        gradient, values, rays, ct_from_index = ctx.saved_tensors
        columns, rows = ctx.size
        varies = bool(ctx.needs_input_grad[1])
        at_once = max(1, SAMPLES_AT_ONCE // (columns * max(ctx.shape)))
        changes = []
        by_values = torch.zeros_like(values)
        by_rays = []
        for n in range(len(rays)):
            parts = []
            by_its_rays = torch.zeros_like(rays[n])
            for first in range(0, rows, at_once):
                size = columns, min(at_once, rows - first)
                render = partial(
                    line_integrals, ct_from_index=ct_from_index, shape=ctx.shape, size=size
                )
                along = (
                    along_values if ctx.given[0] else None,
                    along_rays[n] if ctx.given[1] else None,
                )
                change = partial(_change, render, first, *along)
                if varies:
                    part, pull = torch.func.vjp(change, values, rays[n])[:2]
                    more, by_part = pull(gradient[n, first : first + size[1]])
                    by_values = by_values + more
                else:  # by the values takes a volume for each corner of a cell
                    part, pull = torch.func.vjp(partial(change, values), rays[n])[:2]
                    (by_part,) = pull(gradient[n, first : first + size[1]])
                parts.append(part)
                by_its_rays = by_its_rays + by_part
            changes.append(torch.cat(parts))
            by_rays.append(by_its_rays)
        if not changes:
            return torch.zeros_like(gradient), by_values, torch.zeros_like(rays), *[None] * 6
        return torch.stack(changes), by_values, torch.stack(by_rays), *[None] * 6

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _one_by_one(_FirstDerivatives, info, in_dims, *inputs)


def _change(
    render: Callable,
    first: int,
    along_values: Tensor | None,
    along_rays: Tensor | None,
    values: Tensor,
    rays: Tensor,
) -> Tensor:
    """Return how an image from row `first` on (rows, columns) changes along a change of values and rays (5, 3)."""

    def image(values: Tensor, rays: Tensor) -> Tensor:
        source, source_step, step_u, step_v, corner = rays.unbind()
        moved = source + first * source_step, source_step, step_u, step_v, corner + first * step_v
        return render(values, torch.stack(moved)[None])[0]

    changes = []
    if along_rays is not None:
        changes.append(torch.func.jvp(partial(image, values), (rays,), (along_rays,))[1])
    if along_values is not None:  # the image is linear in them
        changes.append(image(along_values, rays))
    return sum(changes[1:], changes[0])


def _one_by_one(function: type[torch.autograd.Function], info, in_dims, *inputs):
    """Return the results of a function for each of a batch of inputs."""
    results = []
    for n in range(info.batch_size):
        of_one = (
            each.select(dim, n) if isinstance(each, Tensor) and dim is not None else each
            for each, dim in zip(inputs, in_dims, strict=True)
        )
        results.append(function.apply(*of_one))
    return tuple(map(torch.stack, zip(*results, strict=True))), (0, 0)


def _by_numba(
    values: Tensor,
    rays: Tensor,
    ct_from_index: Tensor,
    shape: Sequence[int],
    size: Sequence[int],
    derivatives: bool,
) -> tuple[Tensor, Tensor]:
    columns, rows = size
    flat = values.detach().numpy()
    voxels = cpu.Voxels(flat, (shape[0], shape[1], shape[2]), np.empty((0, 0, 0), np.uint8))
    matrix = ct_from_index[:3, :3].numpy().copy()
    images = np.empty((len(rays), rows, columns), flat.dtype)
    by_motion = np.empty((6, len(rays), *((rows, columns) if derivatives else (0, 0))), flat.dtype)
    beams = rays_in_voxels(rays.detach(), ct_from_index).numpy()
    lever = np.zeros(3)
    blocks = row_blocks(rows, rows * columns * max(shape))
    tasks = []
    for (n, beam), block in product(enumerate(beams), blocks):
        along = cpu.Rays(beam[0], beam[1], beam[2:], matrix)
        drawn = images[n], by_motion[:, n]
        tasks.append(partial(cpu.project_rows, voxels, along, lever, block, NO_RAYS, *drawn))
    run_tasks(tasks)
    return torch.from_numpy(images), torch.from_numpy(
        by_motion
    ) if derivatives else values.new_empty(0)


def _by_rays(gradient: Tensor, derivatives: Tensor, rays: Tensor) -> Tensor:
    """Return the derivatives (n, 5, 3) by the rays, see the module."""
    u, v = pixel_numbers(gradient, *gradient.shape[1:])
    numbers = rays.to(gradient.device, gradient.dtype)[..., None, None]
    _, source_step, step_u, step_v, corner = numbers.unbind(1)
    q = corner + u * step_u + v * step_v
    turn, shift = (part.movedim(0, 1) for part in derivatives.split(3))
    turn = turn - torch.linalg.cross(
        v * source_step.expand_as(q), shift, dim=1
    )  # about the row's own source
    by_source = -gradient[:, None] * shift
    by_direction = (
        gradient[:, None] * torch.linalg.cross(q, turn, dim=1) / (q**2).sum(1, keepdim=True)
    )
    weighed = by_source, v * by_source, u * by_direction, v * by_direction, by_direction
    sums = [each.sum((2, 3), dtype=real_of(each.device)) for each in weighed]
    return torch.stack(sums, 1).to(rays)


def _by_values(
    gradient: Tensor,
    values: Tensor,
    rays: Tensor,
    ct_from_index: Tensor,
    shape: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    into = torch.zeros_like(values)
    found = _crossed(values, rays, ct_from_index, shape, size)
    weight = (found.mm * gradient).to(values.dtype)
    for some in plane_numbers(shape, values).split(PLANES_AT_ONCE):
        spread(into, some, found, weight)
    return into


def _crossed(
    values: Tensor, rays: Tensor, ct_from_index: Tensor, shape: Sequence[int], size: Sequence[int]
) -> Crossings:
    """Return where the rays cross the volume."""
    columns, rows = size
    beams = beams_of(rays, ct_from_index).to(values.device, real_of(values.device))
    return crossings(beams, (rows, columns), shape)


def _voxels(shape: Sequence[int]) -> int:
    """Return the number of voxels of a volume that is stored once, see `cpu.project_rows`."""
    ni, nj, nk = shape
    return ni * nj * (nk + 2)


def is_rigid(poses: Tensor) -> Tensor:
    """Return (n,) bool, whether poses (n, 4, 4) neither scale nor shear."""
    turn = poses[:, :3, :3]
    return (turn.mT @ turn - torch.eye(3, dtype=turn.dtype)).abs().amax((1, 2)) <= RIGID_TOLERANCE


def _check(rays: Tensor, poses: Tensor) -> None:
    if not (torch.isfinite(rays).all() and torch.isfinite(poses).all()):
        raise InputError(NOT_FINITE)
    if not is_rigid(poses).all():
        raise InputError(
            "world_from_ct: is not rigid, it scales or shears, expected a rotation and a "
            "translation; make it of six parameters, for one with torch.linalg.matrix_exp, and do "
            "not optimise its sixteen numbers."
        )
