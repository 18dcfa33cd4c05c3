"""DRR and pose Jacobian on the CPU: one march along each ray, in numba.

A ray is x(z) = s + z q, z the depth in mm before the camera. Of a pinhole s is the source and q =
R^T K^-1 (u, v, 1); of a slot scan s moves from row to row (`geometry.machines`). Following Joseph
(IEEE TMI 1982) it is sampled where it crosses the voxel planes of the axis `a` that it follows most
closely, bilinearly within each plane:

    I = w sum_k mu(x_k),  w = |q| / |q_a|  (mm of path from plane to plane; q_a in voxels per mm of depth)

Its derivative by the pose needs seven sums of a ray: sum mu, sum grad mu, sum z grad mu. Only the
gradients within the planes are marched. The third component follows from d mu/dz = q . grad mu,
whose sum along a ray from air to air is 0, and minus sum mu when weighted with z. So four corner
values a sample are enough, not eight, and the result is the exact derivative of the sum above as
long as the same planes are crossed. They change where a ray turns to another axis `a`, which
matters little, and where the source lies within the body.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numba as nb
import numpy as np

from .kernel_cache import kernel

i32 = nb.int32
u32 = nb.uint32

fast_kernel = partial(kernel, fastmath=True)
#: Decorator of parts of kernels. LLVM puts them in their place, which compiles faster than `inline`.
_FLAGS = ("nogil", "fastmath", "forceinline", "no_cpython_wrapper", "no_cfunc_wrapper")
_PART: dict[str, Any] = dict.fromkeys(_FLAGS, True)
part = nb.njit(**_PART)

#: Columns of the image that are gone through together where rays follow the rows of voxels.
TILE = 32

#: Blocks of so many voxels a side are known to be air or not, see `Grid.occupied`; rays begin and
#: end at planes that are whole numbers of it, so that sums stay the same to the last bit.
BLOCK = 4
WHOLE = 8

#: Tissue beyond a cut end of the CT that makes a ray's value false, in mm of path.
UNSEEN_TISSUE_MM = 6.0


class Voxels(NamedTuple):
    """A volume as kernels take it.

    Attributes
    ----------
    values
        ((nk + 2) * nj * ni,) float32, attenuation in 1/mm: nk slices, their outermost voxels 0,
        then two slices of 0. In float64 the samples are taken and summed in double precision.
    shape
        (ni, nj, nk)
    occupied
        See `Grid.occupied`; (0, 0, 0) where it is not known.
    """

    values: np.ndarray
    shape: tuple[int, int, int]
    occupied: np.ndarray


class Rays(NamedTuple):
    """The rays of a camera at a pose, or at several (...), in the voxel frame of a grid.

    s + z q, s = source + v source_step, q = corner + u step_u + v step_v

    Attributes
    ----------
    source, source_step
        (..., 3) voxels, of row 0, and by how much it moves from row to row: 0 of a pinhole.
    directions
        (..., 3, 3), its rows step_u, step_v, corner, in voxels per mm of depth.
    world_from_index
        (..., 3, 3) mm per voxel.
    """

    source: np.ndarray
    source_step: np.ndarray
    directions: np.ndarray
    world_from_index: np.ndarray


class Ends(NamedTuple):
    """The ends of a volume, through which its tissue goes on.

    Attributes
    ----------
    cut
        (..., 6) bool, faces -i, +i, -j, +j, -k, +k that take rays their value at a pose (...).
    slices
        (6, n, n) uint8, 1 = tissue, indexed by the face and the two other axes as the volume is
        (the later axis first).
    shape
        (ni, nj, nk) of the volume.
    depth
        (...) mm to the far end of the beam.
    """

    cut: np.ndarray
    slices: np.ndarray
    shape: tuple[int, int, int]
    depth: Any


class Placed(NamedTuple):
    """A volume at N poses before a camera."""

    voxels: Voxels
    ends: Ends
    rays: Rays


class Crossings(NamedTuple):
    """The crossings of a ray with the voxel planes of the axis `a` that it follows most closely, within the volume.

    Plane n of `planes` is at a = first + n, b = start_b + a slope_b, c = start_c + a slope_c.
    """

    a: int
    b: int
    c: int
    slope_b: float
    slope_c: float
    start_b: float
    start_c: float
    first: float
    planes: int


class Room(NamedTuple):
    """Where a ray crosses planes, (n + 1,) int32, how far within cells (2, n), and the values about, (4, n)."""

    cells: np.ndarray
    weights: np.ndarray
    corners: np.ndarray


@part
def rays_of(rays: Rays, n: int) -> Rays:
    """Return the `Rays` at the n-th of several poses."""
    return Rays(rays.source[n], rays.source_step[n], rays.directions[n], rays.world_from_index[n])


@part
def _march(values, offset, strides, begin, end, start, slopes, room):
    """Return sums over planes `begin` to `end` of mu, its in-plane derivatives, and these times the plane's number, as precise as `values`.

    strides (3,) of a, b and c; start and slopes (2,) of b and c. The parts of `room` have loops of their own, so that compilers make vector
    instructions of the first and the last, with 32-bit numbers throughout. The loop between ends at
    a mark, and thus stays as it is: processors load single numbers sooner than by a vector
    instruction that gathers them.
    """
    real = values.dtype.type
    begin = i32(begin)
    end = i32(end)
    stride_a, stride_b, stride_c = strides
    b, c = start
    slope_b, slope_c = slopes
    cells = room.cells
    weights_b = room.weights[0]
    weights_c = room.weights[1]
    for k in range(begin, end):
        fk = real(k)
        pb = b + fk * slope_b
        pc = c + fk * slope_c
        ib = i32(pb)
        ic = i32(pc)
        weights_b[k] = pb - real(ib)
        weights_c[k] = pc - real(ic)
        cells[k] = i32(
            i32(offset + i32(i32(k) * stride_a)) + i32(i32(ib * stride_b) + i32(ic * stride_c))
        )
    cells[end] = -1
    after_b = values[stride_b:]
    after_c = values[stride_c:]
    after_bc = values[stride_b + stride_c :]
    v00, v01, v10, v11 = room.corners
    k = begin
    while cells[k] >= 0:
        o = u32(cells[k])
        v00[k] = values[o]
        v01[k] = after_c[o]
        v10[k] = after_b[o]
        v11[k] = after_bc[o]
        k += 1
    mu = real(0)
    gb = real(0)
    gc = real(0)
    kgb = real(0)
    kgc = real(0)
    for k in range(begin, end):
        fk = real(k)
        wb = weights_b[k]
        wc = weights_c[k]
        d0 = v10[k] - v00[k]
        d1 = v11[k] - v01[k]
        low = v00[k] + wb * d0
        dc = v01[k] + wb * d1 - low
        db = d0 + wc * (d1 - d0)
        mu += low + wc * dc
        gb += db
        gc += dc
        kgb += fk * db
        kgc += fk * dc
    return mu, gb, gc, kgb, kgc


@part
def _clip(start, slope, bottom, top, low, high):
    """Narrow [low, high] to the z at which start + z slope lies in [bottom, top].

    An empty range has high < low.
    """
    if abs(slope) < 1e-9:
        if start < bottom or start > top:
            return 1.0, 0.0
        return low, high
    z0 = (bottom - start) / slope
    z1 = (top - start) / slope
    return max(low, min(z0, z1)), min(high, max(z0, z1))


@part
def ray_at(rays: Rays, r: int, col: int, start: np.ndarray, q: np.ndarray) -> float:
    """Write where the ray of a pixel begins, and its direction, in voxels, into `start` and `q`; return the mm of a step of q."""
    for axis in range(3):
        start[axis] = rays.source[axis] + r * rays.source_step[axis]
        q[axis] = (
            rays.directions[2, axis] + col * rays.directions[0, axis] + r * rays.directions[1, axis]
        )
    x, y, z = _product(rays.world_from_index, q)
    return math.sqrt(x * x + y * y + z * z)


@part
def _axes(q: np.ndarray) -> tuple[int, int, int]:
    """Return the axis that a ray follows most closely, and the two others."""
    ai = abs(q[0])
    aj = abs(q[1])
    ak = abs(q[2])
    if ai >= aj and ai >= ak:
        return 0, 1, 2
    if aj >= ak:
        return 1, 0, 2
    return 2, 0, 1


@part
def crossings(shape, source, q):
    """Return the `Crossings` of the ray source + z q."""
    a, b, c = _axes(q)
    slope_b = q[b] / q[a]
    slope_c = q[c] / q[a]
    start_b = source[b] - source[a] * slope_b
    start_c = source[c] - source[a] * slope_c
    # A ray along the last layer of air, or a rounding beyond, has its cell's far side in the next
    # row or slice: air, too.
    low, high = _clip(start_b, slope_b, 0.0, shape[b] - 1.0, 0.0, shape[a] - 1.0)
    low, high = _clip(start_c, slope_c, 0.0, shape[c] - 1.0, low, high)
    if q[a] > 0.0:  # nothing behind the source
        low = max(low, source[a])
    else:
        high = min(high, source[a])
    first = math.ceil(low)
    count = int(math.floor(high) - first) + 1 if high >= low else 0
    return Crossings(a, b, c, slope_b, slope_c, start_b, start_c, first, count)


@part
def _without_air(occupied, blocks, at):
    """Return the first and past-the-last of the planes of `Crossings`, without air before and behind the body.

    Parameters
    ----------
    occupied, blocks
        `Grid.occupied`, flat, and its shape (ni, nj, nk).
    """
    a, b, c, slope_b, slope_c, start_b, start_c, first, count = at
    if occupied.size == 0:
        return 0, count
    stride = (1, blocks[0], blocks[0] * blocks[1])
    begin = 0
    end = -(-count // BLOCK) * BLOCK
    at_begin = True
    while begin < end:
        n = first + (begin + BLOCK // 2 if at_begin else end - BLOCK // 2)
        at_a = min(int(n) // BLOCK, blocks[a] - 1)
        at_b = min(max(int(start_b + n * slope_b) // BLOCK, 0), blocks[b] - 1)
        at_c = min(max(int(start_c + n * slope_c) // BLOCK, 0), blocks[c] - 1)
        if occupied[at_a * stride[a] + at_b * stride[b] + at_c * stride[c]] != 0:
            if not at_begin:
                break
            at_begin = False
        elif at_begin:
            begin += BLOCK
        else:
            end -= BLOCK
    return begin - begin % WHOLE, min(end + -end % WHOLE, count)


@part
def _product(matrix, v):
    """Return the product of a matrix (3, 3) and a vector (3,), as three numbers."""
    return (
        matrix[0, 0] * v[0] + matrix[0, 1] * v[1] + matrix[0, 2] * v[2],
        matrix[1, 0] * v[0] + matrix[1, 1] * v[1] + matrix[1, 2] * v[2],
        matrix[2, 0] * v[0] + matrix[2, 1] * v[1] + matrix[2, 2] * v[2],
    )


@part
def _inverse_transpose(matrix, out):
    """Write the transposed inverse of a matrix (3, 3), by its cofactors, into `out`.

    `np.linalg.inv` takes half a second to compile.
    """
    for i in range(3):
        for j in range(3):
            i1 = (i + 1) % 3
            i2 = (i + 2) % 3
            j1 = (j + 1) % 3
            j2 = (j + 2) % 3
            out[i, j] = matrix[i1, j1] * matrix[i2, j2] - matrix[i1, j2] * matrix[i2, j1]
    determinant = matrix[0, 0] * out[0, 0] + matrix[0, 1] * out[0, 1] + matrix[0, 2] * out[0, 2]
    for i in range(3):
        for j in range(3):
            out[i, j] /= determinant


@fast_kernel
def project_rows(voxels, rays, lever, rows, wanted, image, jacobian):
    """Project the rows `rows[0]:rows[1]` of an image.

    Parameters
    ----------
    voxels, rays
        `Voxels`, and `Rays` at one pose.
    lever
        (3,) source of row 0 minus pivot, world mm.
    wanted
        (rows, columns) uint8, rays to follow, or (0, 0) for all; the others become 0.
    image
        (rows, columns), out.
    jacobian
        (6, rows, columns), out, or (6, 0, 0) for none.
    """
    values, shape, occupied = voxels
    real = values.dtype.type
    columns = image.shape[1]
    with_jacobian = jacobian.shape[1] > 0
    stride = (1, shape[0], shape[0] * shape[1])
    flat = occupied.ravel()
    blocks = (occupied.shape[2], occupied.shape[1], occupied.shape[0])
    world_from_gradient = np.empty((3, 3))
    _inverse_transpose(rays.world_from_index, world_from_gradient)
    room = Room(
        np.empty(max(shape) + 1, np.int32),
        np.empty((2, max(shape)), values.dtype),
        np.empty((4, max(shape)), values.dtype),
    )
    q = np.empty(3)
    g = np.empty(3)
    h = np.empty(3)
    start = np.empty(3)
    arm = np.empty(3)
    arm_step = _product(rays.world_from_index, rays.source_step)
    # Rays along the rows of voxels use little of each cache line, but the rays above and below use
    # the rest: keep them together.
    ray_at(rays, image.shape[0] // 2, columns // 2, start, q)
    tile = TILE if _axes(q)[0] == 0 else columns
    for left in range(0, columns, tile):
        for r in range(rows[0], rows[1]):
            for axis in range(3):
                arm[axis] = lever[axis] + r * arm_step[axis]
            for col in range(left, min(left + tile, columns)):
                image[r, col] = 0.0
                if with_jacobian:
                    for p in range(6):
                        jacobian[p, r, col] = 0.0
                if wanted.shape[0] > 0 and wanted[r, col] == 0:
                    continue
                length = ray_at(rays, r, col, start, q)
                at = crossings(shape, start, q)
                begin, end = _without_air(flat, blocks, at)
                if begin >= end:
                    continue
                a, b, c, slope_b, slope_c, start_b, start_c, first, count = at
                w = length / abs(q[a])
                at_b = real(max(start_b + first * slope_b, 0.0))
                at_c = real(max(start_c + first * slope_c, 0.0))
                mu, gb, gc, kgb, kgc = _march(
                    values,
                    i32(int(first) * stride[a]),
                    (i32(stride[a]), i32(stride[b]), i32(stride[c])),
                    begin,
                    end,
                    (at_b, at_c),
                    (real(slope_b), real(slope_c)),
                    room,
                )
                image[r, col] = w * mu
                if not with_jacobian:
                    continue
                qx, qy, qz = _product(rays.world_from_index, q)
                z0 = (first - start[a]) / q[a]
                g[b] = gb
                g[c] = gc
                h[b] = z0 * gb + kgb / q[a]
                h[c] = z0 * gc + kgc / q[a]
                g[a] = -(slope_b * g[b] + slope_c * g[c])
                h[a] = -(mu / q[a] + slope_b * h[b] + slope_c * h[c])
                # A gradient is covariant: world gradient = index_from_world^T g. The CT moves, so
                # every sign turns.
                gx, gy, gz = _product(world_from_gradient, g)
                gx = -w * gx
                gy = -w * gy
                gz = -w * gz
                hx, hy, hz = _product(world_from_gradient, h)
                hx = -w * hx
                hy = -w * hy
                hz = -w * hz
                jacobian[0, r, col] = arm[1] * gz - arm[2] * gy + qy * hz - qz * hy
                jacobian[1, r, col] = arm[2] * gx - arm[0] * gz + qz * hx - qx * hz
                jacobian[2, r, col] = arm[0] * gy - arm[1] * gx + qx * hy - qy * hx
                jacobian[3, r, col] = gx
                jacobian[4, r, col] = gy
                jacobian[5, r, col] = gz


@fast_kernel
def mark_unseen(ends, rays, rows, seen):
    """Set `seen` to 0 for rays that go on through tissue where the CT was cut off.

    What lies beyond a cut end is guessed as the end slice repeated: a ray with more than
    UNSEEN_TISSUE_MM of it has a false value.

    Parameters
    ----------
    ends, rays
        `Ends` and `Rays` at one pose.
    seen
        (rows, columns) uint8, in and out.
    """
    cut, end_slices, shape, depth = ends
    q = np.empty(3)
    start = np.empty(3)
    for r in range(rows[0], rows[1]):
        for col in range(seen.shape[1]):
            if seen[r, col] == 0:
                continue
            length = ray_at(rays, r, col, start, q)
            step = UNSEEN_TISSUE_MM / (
                2.5 * length
            )  # the third sample is too much, after 6 mm on average
            unseen = 0.0
            for side in range(6):
                if not cut[side]:
                    continue
                a = side // 2
                b = 1 if a == 0 else 0
                c = 1 if a == 2 else 2
                # The voxel layer next to the outermost, which is air, is the CT's end slice.
                bottom, top = (-1e9, 1.0) if side % 2 == 0 else (shape[a] - 2.0, 1e9)
                low, high = _clip(start[a], q[a], bottom, top, 0.0, depth)
                low, high = _clip(start[b], q[b], 0.0, shape[b] - 1.0, low, high)
                low, high = _clip(start[c], q[c], 0.0, shape[c] - 1.0, low, high)
                z = low + 0.5 * step
                while z < high and unseen <= UNSEEN_TISSUE_MM:
                    if end_slices[
                        side, int(start[c] + z * q[c] + 0.5), int(start[b] + z * q[b] + 0.5)
                    ]:
                        unseen += step * length
                    z += step
            if unseen > UNSEEN_TISSUE_MM:
                seen[r, col] = 0


@kernel
def draw_pose(placed, n, seen, image):
    """Fill an image with the DRR of the n-th of several poses.

    Parameters
    ----------
    placed
        `Placed`.
    seen
        (rows, columns) uint8, in and out: rays that are followed, without those of a false value.
    """
    voxels, (cut, slices, shape, depth), all_rays = placed
    rays = rays_of(all_rays, n)
    # A bare 0 would be another type, for which the renderer is compiled once more.
    rows = (np.int64(0), image.shape[0])
    if cut[n].any():
        mark_unseen(Ends(cut[n], slices, shape, depth[n]), rays, rows, seen)
    project_rows(voxels, rays, rays.source, rows, seen, image, np.empty((6, 0, 0), np.float32))
