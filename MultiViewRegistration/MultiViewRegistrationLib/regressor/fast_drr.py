"""Line integrals of three attenuation bases at once: one walk along each ray, in integers.

The three values of a voxel, of 7 bits each, lie in one word of 32 bits, in lanes of 10. Bilinear
weights in eighths are whole numbers, so a weighted sum of words is that of each lane, as long as
none overflows: between two neighbours none does. From there on the lanes have 21 bits of 64, room
for the other weight and 256 samples, after which they are emptied. So three volumes are summed with
the loads and the arithmetic of one, and the cache holds more of them: it is memory that limits the
speed.

As in rendering.cpu a ray is sampled where it crosses planes of voxels (Joseph, IEEE TMI 1982), but
always those of the slowest axis: there is a stack of slices across each of the three axes, and an
image takes the one into which it looks most straight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numba as nb
import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import Volume
from ..rendering.cpu import crossings, fast_kernel
from ..rendering.drr import FIRST_ROW, Grid

#: Attenuation bases, and the largest value of a voxel in one of them.
BASES = 3
LARGEST = 127

i64 = nb.int64
u64 = nb.uint64

_NARROW = 10
_WIDE = 21
_SAMPLES = 256  # that fit into a lane
_WEIGHTS = 64.0  # what the weights of the four neighbours add up to

# A position across the planes is one word as well: two numbers of 12 bits before and 20 behind the
# point.
_ONE = float(1 << 20)
_HALF_WEIGHT = float(1 << 16)  # to round to eighths

# Unsigned all through: a signed one among them would make numba turn to floating point.
_3, _7, _11, _17, _20, _21, _22, _32, _42, _49, _52 = (
    np.uint64(n) for n in (3, 7, 11, 17, 20, 21, 22, 32, 42, 49, 52)
)
_INDEX = np.uint64((1 << 12) - 1)
_SUM = np.uint64((1 << _WIDE) - 1)
_NEVER = np.uint64((1 << 64) - 1)
_FIRST, _SECOND, _THIRD = (
    np.uint64(((1 << _NARROW) - 1) << (_NARROW * lane)) for lane in range(BASES)
)


def pack(bases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return words (nk, nj, ni) uint32 of the values (3, nk, nj, ni) >= 0, and how much of a value one step of each lane is, (3,)."""
    steps = np.maximum(bases.max(axis=(1, 2, 3)), 1e-12).astype(float) / LARGEST
    words = np.zeros(bases.shape[1:], np.uint32)
    for lane, (values, step) in enumerate(zip(bases, steps, strict=True)):
        words |= np.rint(values / step).astype(np.uint32) << np.uint32(_NARROW * lane)
    return words, steps


@nb.njit(nogil=True, inline="always")
def _widened(word):
    """Put lanes of 10 bits into lanes of 21."""
    return (word & _FIRST) | ((word & _SECOND) << _11) | ((word & _THIRD) << _22)


@nb.njit(nogil=True, fastmath=True, inline="always")
def _sums_along(words, offset, stride_b, stride_c, stride_a, count, b, c, slope_b, slope_c):
    """Return sums of the three lanes over `count` planes, times _WEIGHTS."""
    near = words
    right = words[stride_b:]
    below = words[stride_c:]
    across = words[stride_b + stride_c :]
    place = u64(i64(b * _ONE + _HALF_WEIGHT)) + (u64(i64(c * _ONE + _HALF_WEIGHT)) << _32)
    move = u64(i64(math.floor(slope_b * _ONE + 0.5))) + (
        u64(i64(math.floor(slope_c * _ONE + 0.5))) << _32
    )
    at = u64(offset)
    to_b = u64(stride_b)
    to_c = u64(stride_c)
    to_a = u64(stride_a)
    sum_0 = u64(0)
    sum_1 = u64(0)
    sum_2 = u64(0)
    for start in range(0, count, _SAMPLES):
        total = u64(0)
        for _ in range(start, min(start + _SAMPLES, count)):
            o = at + ((place >> _20) & _INDEX) * to_b + (place >> _52) * to_c
            wb = (place >> _17) & _7
            wc = (place >> _49) & _7
            low = u64(near[o])
            high = u64(below[o])
            low = _widened((low << _3) + wb * (u64(right[o]) - low))
            high = _widened((high << _3) + wb * (u64(across[o]) - high))
            total += (low << _3) + wc * (high - low)
            if (
                total == _NEVER
            ):  # never so: without a way out of the loop LLVM gathers voxels by AVX-512, which is slower
                break
            at += to_a
            place += move
        sum_0 += total & _SUM
        sum_1 += (total >> _21) & _SUM
        sum_2 += total >> _42
    return sum_0, sum_1, sum_2


@fast_kernel
def project(stacks, rays, n, out):
    """Compute the line integrals of image n.

    Parameters
    ----------
    stacks, rays
        `Stacks` and a `RayBatch`.
    out
        (3, rows, columns) float32.
    """
    stack_of, sources, source_steps, directions_of, mm_per_depth = rays
    words_of, shapes, stored_of, steps_of, _ = stacks
    stack = stack_of[n]
    words = words_of[stack]
    shape = shapes[stack]
    stored = stored_of[stack]
    steps = steps_of[stack]
    directions = directions_of[n]
    plane = stored[0] * stored[1]
    out[:] = 0.0
    q = np.empty(3)
    source = np.empty(3)
    for r in range(out.shape[1]):
        for axis in range(3):
            source[axis] = sources[n, axis] + r * source_steps[n, axis]
        for col in range(out.shape[2]):
            for axis in range(3):
                q[axis] = directions[2, axis] + col * directions[0, axis] + r * directions[1, axis]
            if abs(q[2]) < 1e-9:
                continue
            at = crossings(shape, source, q, (2, 0, 1))
            if at.planes <= 0:
                continue
            b = max(at.start_b + at.first * at.slope_b, 0.0)
            c = max(at.start_c + at.first * at.slope_c, 0.0)
            sums = _sums_along(
                words,
                int(at.first) * plane,
                1,
                stored[0],
                plane,
                at.planes,
                b,
                c,
                at.slope_b,
                at.slope_c,
            )
            mm = mm_per_depth[r, col] / abs(q[2]) / _WEIGHTS
            for lane in range(BASES):
                out[lane, r, col] = mm * steps[lane] * sums[lane]


#: 1/mm, what `imaging.ct.attenuation` makes of 100 and of 500 HU.
KNOTS = (0.0230, 0.0383)

#: 1/mm: denser than this belongs to the body rather than to foam, clothes or the couch's shell at
#: this resolution.
_BODY = 0.0115
#: Voxels sideways from one slice to the next, in the middle of an image.
MAX_OBLIQUE = 1.0
#: Slices of the finest volume that are pooled at a time.
_SLAB_MM = 60.0
#: Over which the way that a structure runs on beyond its end is taken from its last layers.
_COURSE_MM = 25.0


@dataclass(frozen=True, eq=False)
class Bases:
    """Coarse volumes of the three layers on one grid.

    Attributes
    ----------
    values
        Float32 (3, nk, nj, ni), 1/mm.
    ct_from_index
        (4, 4), takes (i, j, k, 1) to CT LPS mm.
    """

    values: np.ndarray
    ct_from_index: np.ndarray

    @classmethod
    def of(cls, mu: Volume, voxel_mm: float) -> Bases:
        """Return the layers of a volume of attenuation (1/mm), pooled to voxels of about `voxel_mm`."""
        factors = np.maximum(1, np.rint(voxel_mm / mu.spacing_mm)).astype(int)
        slices = int(factors[2]) * max(1, round(_SLAB_MM / mu.spacing_mm[2] / factors[2]))
        slabs = []
        for first in range(0, len(mu.values), slices):
            slab = mu.values[first : first + slices]
            slabs.append(
                [
                    Volume(layer, mu.ct_from_index).pooled(tuple(factors)).values
                    for layer in _layers(slab)
                ]
            )
        index_from_pooled = np.diag([*factors, 1.0])
        index_from_pooled[:3, 3] = (factors - 1) / 2
        return cls(
            np.concatenate([np.stack(slab) for slab in slabs], axis=1),
            mu.ct_from_index @ index_from_pooled,
        )

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,): along i, j, k."""
        return rigid.steps(self.ct_from_index)

    def largest_piece(self) -> Bases:
        """Return only the largest connected body and what it encloses.

        Without the scanner's couch, and hands that lie beside a hip.
        """
        mu = self.values.sum(axis=0)
        pieces, _ = scipy.ndimage.label(
            scipy.ndimage.binary_opening(mu > _BODY, np.ones((1, 3, 3)))
        )
        sizes = np.bincount(pieces.ravel())[1:]
        if not sizes.size:
            return self
        body = scipy.ndimage.binary_dilation(pieces == 1 + np.argmax(sizes))
        body = np.stack([scipy.ndimage.binary_fill_holes(layer) for layer in body])
        return Bases(self.values * body, self.ct_from_index)

    def continued(
        self,
        axis: int,
        end: int,
        length_mm: float,
        drift: np.ndarray,
        smooth_mm: float,
        bone_fade_mm: float,
    ) -> Bases:
        """Return the volume with its last layer repeated beyond one of its faces.

        Parameters
        ----------
        axis
            0, 1, 2 for i, j, k.
        end
            0 for the face where it begins, 1 for that where it ends.
        drift
            (2,) mm sideways for each mm outwards, along the two other axes in falling order (k
            before j before i).
        smooth_mm
            Standard deviation over which the layer is smoothed; its noise would be drawn out to
            streaks.
        bone_fade_mm
            Over which its bone becomes soft tissue's share of it; inf where bone goes on as it is.
        """
        spacing = self.spacing_mm
        others = [a for a in (2, 1, 0) if a != axis]
        values = np.moveaxis(self.values, 3 - axis, 1)
        values = values if end else values[:, ::-1]
        count = max(1, round(length_mm / spacing[axis]))
        last = scipy.ndimage.gaussian_filter(
            values[:, -1], (0, *(smooth_mm / spacing[others])), mode="nearest"
        )
        beyond = np.empty((BASES, count, *last.shape[1:]), np.float32)
        for n in range(count):
            away_mm = (n + 1) * spacing[axis]
            beyond[:, n] = scipy.ndimage.shift(
                last, (0, *(away_mm * drift / spacing[others])), order=1
            )
            beyond[1:, n] *= np.exp(-away_mm / bone_fade_mm)
        values = np.concatenate([values, beyond], axis=1)
        affine = self.ct_from_index.copy()
        if not end:
            values = values[:, ::-1]
            affine[:3, 3] -= count * affine[:3, axis]
        return Bases(np.ascontiguousarray(np.moveaxis(values, 1, 3 - axis)), affine)

    def course(self, axis: int, end: int) -> np.ndarray:
        """Return (2,) mm sideways for each mm outwards.

        How the centroid of the last layers before a face runs, as `continued` takes it.
        """
        spacing = self.spacing_mm
        others = [a for a in (2, 1, 0) if a != axis]
        mu = np.moveaxis(self.values.sum(axis=0), 2 - axis, 0)
        mu = (mu[::-1] if end else mu)[: max(2, round(_COURSE_MM / spacing[axis]))]
        mass = np.maximum(mu.sum(axis=(1, 2)), 1e-9)
        inwards = np.arange(len(mu)) * spacing[axis]
        centroids = [
            (mu.sum(axis=2 - n) @ np.arange(mu.shape[1 + n])) / mass * spacing[others[n]]
            for n in range(2)
        ]
        return -np.polyfit(inwards, np.stack(centroids, axis=1), 1)[0]


def _layers(mu: np.ndarray) -> Iterator[np.ndarray]:
    low, high = np.array(KNOTS, np.float32)
    yield np.minimum(mu, low)
    yield np.clip(mu, low, high) - low
    yield np.maximum(mu, high) - high


def varied(bases: Bases, cut: np.ndarray, rng: np.random.Generator, *, structure: bool) -> Bases:
    """Return the bases as they may go on where the CT ends, by chance from `rng`.

    No two patients do so alike, and the X-rays show it.

    Parameters
    ----------
    cut
        (6,) bool, `rendering.drr.cut_ends` of the CT.
    structure
        It is a bone, whose shaft runs on as it ran; otherwise a body; every other one is without
        its separate parts.
    """
    if not structure and rng.random() < 0.5:
        bases = bases.largest_piece()
    for axis in (0, 1, 2):  # head and feet last: what goes on there is as wide as it was made
        for end in (0, 1):
            if not cut[2 * axis + end]:
                continue
            lengthwise = structure or axis == 2
            drift = rng.normal(0, 0.12 if lengthwise else 0.3, 2)
            if structure:
                drift += np.clip(bases.course(axis, end), -2, 2)
            bases = bases.continued(
                axis,
                end,
                rng.uniform(120, 180) if lengthwise else rng.uniform(10, 120),
                drift,
                smooth_mm=rng.uniform(1, 4) if lengthwise else rng.uniform(4, 12),
                bone_fade_mm=np.inf if lengthwise else 20.0,
            )
    return bases


class RayBatch(NamedTuple):
    """The rays of n images of a camera.

    Attributes
    ----------
    stack
        (n,) which of the stacks each takes.
    source, source_step, directions
        (n, 3), (n, 3), (n, 3, 3), its rays there, as in `rendering.drr.Rays`.
    mm_per_depth
        (rows, columns), of the way along a ray.
    """

    stack: np.ndarray
    source: np.ndarray
    source_step: np.ndarray
    directions: np.ndarray
    mm_per_depth: np.ndarray


class Stacks(NamedTuple):
    """Bases packed into words, as six stacks of slices across i, j, k.

    Once as thick as the voxels are wide, once twice as thick.

    Attributes
    ----------
    words
        Six flat arrays uint32.
    shapes, stored
        (6, 3), of their grids.
    steps
        (6, 3) 1/mm, of each stack's lanes.
    ct_from_index
        (6, 4, 4), of (i, j, k, 1) in each.
    """

    words: tuple[np.ndarray, ...]
    shapes: np.ndarray
    stored: np.ndarray
    steps: np.ndarray
    ct_from_index: np.ndarray

    @classmethod
    def of(cls, bases: Bases) -> Stacks:
        """Return bases made ready for `project`."""
        grids, steps = zip(
            *(_stack(bases, axis, factor) for factor, axis in product((1, 2), range(3)))
        )
        return cls(
            tuple(grid.values for grid in grids),
            np.array([grid.shape for grid in grids]),
            np.array([grid.stored for grid in grids]),
            np.stack(steps),
            np.stack([grid.ct_from_index for grid in grids]),
        )

    def rays(self, camera: Camera, world_from_ct: np.ndarray) -> RayBatch:
        """Return the rays of a camera at poses (n, 4, 4).

        Each image takes slices across the axis along which its middle looks; thick ones, unless it
        looks so obliquely that from one to the next it would skip voxels.
        """
        columns, rows = camera.size
        index_from_world = np.linalg.inv(self.ct_from_index)[:, None] @ rigid.inverse(
            world_from_ct
        )  # (6, n, 4, 4)
        directions = np.swapaxes(index_from_world[..., :3, :3] @ camera.ray_matrix, -1, -2)
        middle = [(columns - 1) / 2, (rows - 1) / 2, 1.0]
        along = np.abs(
            np.einsum("snij,i->snj", directions, middle)
        )  # (6, n, 3) voxels, slices last
        oblique = along[..., :2].max(axis=-1) / np.maximum(along[..., 2], 1e-12)
        axis = np.argmin(oblique[:3], axis=0)
        each = np.arange(len(world_from_ct))
        stack = np.where(oblique[3 + axis, each] <= MAX_OBLIQUE, 3 + axis, axis)
        pixels = np.stack(np.broadcast_arrays(*np.ogrid[:rows, :columns][::-1], 1), axis=-1)
        return RayBatch(
            stack,
            rigid.transform_points(index_from_world[stack, each], camera.sources(FIRST_ROW)),
            index_from_world[stack, each, :3, :3] @ camera.source_step,
            np.ascontiguousarray(directions[stack, each]),
            np.linalg.norm(pixels @ camera.ray_matrix.T, axis=-1),
        )


def _stack(bases: Bases, axis: int, factor: int) -> tuple[Grid, np.ndarray]:
    """Return slices across an axis, each of `factor` layers of voxels.

    The slowest axis of the grid, the others in rising order.
    """
    factors = [(factor, 1, 1), (1, factor, 1), (1, 1, factor)][axis]
    layers = [Volume(values, bases.ct_from_index).pooled(factors) for values in bases.values]
    order = [a for a in range(3) if a != axis] + [axis]
    words, steps = pack(np.stack([layer.values for layer in layers]))
    words = np.ascontiguousarray(words.transpose([2 - a for a in reversed(order)]))
    return Grid.of(words, layers[0].ct_from_index[:, [*order, 3]]), steps
