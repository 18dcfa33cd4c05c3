"""Back projection: the adjoint of `cpu.project_rows`, with exactly its weights.

The image is linear in the volume, I = A mu: pixel r is w_r times the sum of the bilinear weights with which its samples look at the
voxels. So the gradient of a loss by the volume is A^T times its gradient by the image: each sample adds w_r g_r to its four voxels,
by the same weights.

Each task owns some slices of the volume and follows all rays through them, in the same order. So no two tasks write one voxel, and each
voxel's sum is added in one order, whatever the number of threads.
"""

from __future__ import annotations

import math
from functools import partial

import numba as nb
import numpy as np

from ..geometry.camera import Camera
from . import threads
from .cpu import _crossings
from .drr import Grid

i32 = nb.int32


def back_project(
    gradient: np.ndarray, cameras: list[Camera], poses: np.ndarray, shape, ct_from_index: np.ndarray
) -> np.ndarray:
    """A^T g, summed over the images: what a gradient by images comes to for the volume that they show.

    gradient: (n, rows, columns), whose precision is that of the computation and of the result.   cameras: n.
    poses: (n, 4, 4) world_from_ct, mm.   shape: (nk, nj, ni) of the volume.   ct_from_index: (4, 4), mm, of the volume.

    Returns (nk, nj, ni), float32 or float64 as `gradient` is. InputError for a pose that is not finite.
    """
    nk, nj, ni = (size + 2 for size in shape)
    into_air = np.eye(4)
    into_air[:3, 3] = -1
    grid = Grid(np.zeros((nk + 2) * nj * ni, gradient.dtype), (ni, nj, nk), ct_from_index @ into_air, (ni, nj, nk))
    rays = [grid.rays(camera, pose) for camera, pose in zip(cameras, poses, strict=True)]
    samples = gradient.size * max(grid.shape)

    def add(slices: tuple[int, int]) -> None:
        for image, through in zip(gradient, rays, strict=True):
            back_project_slices(
                grid.values, grid.shape, through.source, through.directions, through.world_from_index, slices, image
            )

    threads.run([partial(add, slices) for slices in threads.row_blocks(nk, samples)])
    return np.ascontiguousarray(grid.padded[1:-1, 1:-1, 1:-1])


@nb.njit(nogil=True, fastmath=True, cache=True)
def back_project_slices(values, shape, source, directions, world_from_index, slices, image):
    """Add the image, back projected, to the slices `slices[0]:slices[1]` of `values`; the arguments as in `project_rows`."""
    real = values.dtype.type
    stride = (1, shape[0], shape[0] * shape[1])
    bottom, top = slices
    q = np.empty(3)
    for r in range(image.shape[0]):
        for col in range(image.shape[1]):
            if image[r, col] == 0:
                continue
            for axis in range(3):
                q[axis] = directions[2, axis] + col * directions[0, axis] + r * directions[1, axis]
            a, b, c, slope_b, slope_c, start_b, start_c, first, count = _crossings(shape, source, q)
            # Only the planes whose samples touch these slices, one more at each end for rounding; the others are looked at in vain.
            begin, end = 0, count
            if a == 2:
                begin = max(begin, int(bottom - first))
                end = min(end, int(top - first))
            elif abs(slope_c) > 1e-9:
                z0 = (bottom - 1 - start_c) / slope_c - first
                z1 = (top - start_c) / slope_c - first
                begin = max(begin, math.floor(max(min(z0, z1), -1e9)) - 1)
                end = min(end, math.ceil(min(max(z0, z1), 1e9)) + 2)
            if begin >= end:
                continue
            x = world_from_index[0, 0] * q[0] + world_from_index[0, 1] * q[1] + world_from_index[0, 2] * q[2]
            y = world_from_index[1, 0] * q[0] + world_from_index[1, 1] * q[1] + world_from_index[1, 2] * q[2]
            z = world_from_index[2, 0] * q[0] + world_from_index[2, 1] * q[1] + world_from_index[2, 2] * q[2]
            share = real(math.sqrt(x * x + y * y + z * z) / abs(q[a]) * image[r, col])
            pb0, pc0 = real(max(start_b + first * slope_b, 0.0)), real(max(start_c + first * slope_c, 0.0))
            db, dc = real(slope_b), real(slope_c)
            for k in range(begin, end):
                pb = pb0 + real(k) * db
                pc = pc0 + real(k) * dc
                ib = i32(pb)
                ic = i32(pc)
                wb = pb - real(ib)
                wc = pc - real(ic)
                o = (int(first) + k) * stride[a] + ib * stride[b] + ic * stride[c]
                if c != 2 or bottom <= ic < top:
                    values[o] += share * (real(1) - wb) * (real(1) - wc)
                    values[o + stride[b]] += share * wb * (real(1) - wc)
                # A cell on the last layer of air has its far side, of no weight, in the air of the next row or slice: that is cut away.
                if c != 2 or bottom <= ic + 1 < top:
                    values[o + stride[c]] += share * (real(1) - wb) * wc
                    values[o + stride[b] + stride[c]] += share * wb * wc
