"""The DRR in plain torch: slow and obvious, in any precision, differentiable.

What the fast renderers are tested against.

The sum is Joseph's (IEEE TMI 1982), as in `cpu.py`: a ray x(z) = s + z q, z the depth in mm before
the camera, is sampled where it crosses the voxel planes of the axis `a` that it follows most
closely, bilinearly within each plane, the CT lying in air:

    I = |q| / |q_a| sum_k mu(x_k),  |q| in mm, q_a in voxels per mm of depth

Everything is an ordinary torch operation, so autograd gives the derivative by pose and volume,
forwards and backwards.
"""

import numpy as np
import torch
from torch import Tensor


def render(values, ct_from_index, camera, world_from_ct, pixels=None):
    """Line integrals of an attenuation volume.

    values: (nk, nj, ni), 1/mm. Its precision and device are those of the whole computation.
    ct_from_index: (4, 4), mm, as in `Volume`.   world_from_ct: (4, 4) rigid, mm, a tensor if its gradient is asked for.
    pixels: (..., 2) the (u, v) of the rays, at any position between the pixels, too; all pixels of
    the image by default.

    Returns (...), by default (rows, columns).
    """
    if pixels is None:
        pixels = np.moveaxis(np.indices(camera.size), 0, -1).swapaxes(0, 1)
    pixels = _like(values, pixels)
    world_from_index = _like(values, world_from_ct) @ _like(values, ct_from_index)
    index_from_world = torch.linalg.inv(world_from_index)
    world_from_pixel = _like(
        values, camera.world_from_camera[:3, :3] @ np.linalg.inv(camera.intrinsics)
    )
    q_mm = torch.nn.functional.pad(pixels.reshape(-1, 2), (0, 1), value=1.0) @ world_from_pixel.T
    q = q_mm @ index_from_world[:3, :3].T
    source = index_from_world[:3, :3] @ _like(values, camera.source) + index_from_world[:3, 3]

    leading = q.detach().abs().argmax(dim=1)
    image = torch.zeros_like(q[:, 0])
    for axis in range(3):
        rays = torch.nonzero(leading == axis)[:, 0]
        axes = [axis, *(n for n in range(3) if n != axis)]
        total = _sum_over_planes(
            values.permute(*(2 - n for n in axes)), source[axes], q[rays][:, axes]
        )
        image = image.index_put((rays,), total / q[rays, axis].abs())
    return (image * q_mm.norm(dim=1)).reshape(pixels.shape[:-1])


def jacobian(values, ct_from_index, camera, world_from_ct, pivot=(0.0, 0.0, 0.0), pixels=None):
    """d image / d (omega, v) for the motion `x -> pivot + exp(omega) (x - pivot) + v` of the CT in the world, at (0, 0).

    omega in rad, v in mm.   pivot: (3,) world mm.   The others as in `render`. Returns (6, ...), its result by each of the six.
    """
    pose, pivot = _like(values, world_from_ct), _like(values, pivot)

    def image(twist):
        rotation = torch.linalg.matrix_exp(_hat(twist[:3]))
        shift = pivot - rotation @ pivot + twist[3:]
        moved = torch.cat(
            [rotation @ pose[:3, :3], (rotation @ pose[:3, 3] + shift)[:, None]], dim=1
        )
        return render(values, ct_from_index, camera, torch.cat([moved, pose[3:]]), pixels)

    at, directions = values.new_zeros(6), torch.eye(6).to(values)
    return torch.stack([torch.func.jvp(image, (at,), (direction,))[1] for direction in directions])


def _sum_over_planes(planes, source, q):
    """Sum over planes[k] of the bilinear value at which each ray source + z q (N, 3), z > 0, crosses it; axes (plane, b, c)."""
    count, size_b, size_c = planes.shape
    padded = torch.nn.functional.pad(planes, (1, 1, 1, 1))
    k = torch.arange(count, device=planes.device)
    z = (k.to(planes) - source[0]) / q[:, :1]
    b = (source[1] + z * q[:, 1:2]).clamp(
        -1, size_b
    ) + 1  # beyond the air around the CT is only more air
    c = (source[2] + z * q[:, 2:3]).clamp(-1, size_c) + 1
    low_b, low_c = (x.detach().long().clamp(max=n) for x, n in ((b, size_b), (c, size_c)))
    weight_b, weight_c = b - low_b, c - low_c
    below = padded[k, low_b, low_c] * (1 - weight_c) + padded[k, low_b, low_c + 1] * weight_c
    above = (
        padded[k, low_b + 1, low_c] * (1 - weight_c) + padded[k, low_b + 1, low_c + 1] * weight_c
    )
    return torch.where(z > 0, below * (1 - weight_b) + above * weight_b, 0.0).sum(dim=1)


def _hat(w):
    zero = torch.zeros_like(w[0])
    return torch.stack([zero, -w[2], w[1], w[2], zero, -w[0], -w[1], w[0], zero]).reshape(3, 3)


def _like(values, array):
    return (array if isinstance(array, Tensor) else torch.tensor(np.asarray(array))).to(values)
