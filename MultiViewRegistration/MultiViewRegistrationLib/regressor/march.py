"""Line integrals of three attenuation bases at once: one march along each ray, in integers.

The three values of a voxel, of 7 bits each, lie in one word of 32 bits, in lanes of 10. Bilinear weights in eighths are whole numbers,
so a weighted sum of words is that of each lane, as long as none overflows: between two neighbours none does. From there on the lanes
have 21 bits of 64, room for the other weight and 256 samples, after which they are emptied. So three volumes are marched with the
loads and the arithmetic of one, and the cache holds more of them: it is memory that limits the speed.

As in rendering.cpu a ray is sampled where it crosses planes of voxels (Joseph, IEEE TMI 1982), but always those of the slowest axis:
there is a stack of slices across each of the three axes, and an image takes the one into which it looks most straight.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from ..rendering.cpu import _clip

#: Attenuation bases, and the largest value of a voxel in one of them.
BASES, LARGEST = 3, 127

i64 = nb.int64
u64 = nb.uint64

_NARROW, _WIDE = 10, 21
_SAMPLES = 256  # that fit into a lane
_WEIGHTS = 64.0  # what the weights of the four neighbours add up to

# A position across the planes is one word as well: two numbers of 12 bits before and 20 behind the point.
_ONE = float(1 << 20)
_HALF_WEIGHT = float(1 << 16)  # to round to eighths

# Unsigned all through: a signed one among them would make numba turn to floating point.
_3, _7, _11, _17, _20, _21, _22, _32, _42, _49, _52 = (np.uint64(n) for n in (3, 7, 11, 17, 20, 21, 22, 32, 42, 49, 52))
_INDEX, _SUM = np.uint64((1 << 12) - 1), np.uint64((1 << _WIDE) - 1)
_NEVER = np.uint64((1 << 64) - 1)
_FIRST, _SECOND, _THIRD = (np.uint64(((1 << _NARROW) - 1) << (_NARROW * lane)) for lane in range(BASES))


def pack(bases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Words (nk, nj, ni) uint32 of the values (3, nk, nj, ni) >= 0, and how much of a value one step of each lane is, (3,)."""
    steps = np.maximum(bases.max(axis=(1, 2, 3)), 1e-12).astype(float) / LARGEST
    words = np.zeros(bases.shape[1:], np.uint32)
    for lane, (values, step) in enumerate(zip(bases, steps, strict=True)):
        words |= np.rint(values / step).astype(np.uint32) << np.uint32(_NARROW * lane)
    return words, steps


@nb.njit(nogil=True, inline="always")
def _widened(word):
    """Lanes of 10 bits in lanes of 21."""
    return (word & _FIRST) | ((word & _SECOND) << _11) | ((word & _THIRD) << _22)


@nb.njit(nogil=True, fastmath=True, inline="always")
def _march(words, offset, stride_b, stride_c, stride_a, count, b, c, slope_b, slope_c):
    """Sums of the three lanes over `count` planes, times _WEIGHTS."""
    near, right = words, words[stride_b:]
    below, across = words[stride_c:], words[stride_b + stride_c :]
    place = u64(i64(b * _ONE + _HALF_WEIGHT)) + (u64(i64(c * _ONE + _HALF_WEIGHT)) << _32)
    move = u64(i64(math.floor(slope_b * _ONE + 0.5))) + (u64(i64(math.floor(slope_c * _ONE + 0.5))) << _32)
    at, to_b, to_c, to_a = u64(offset), u64(stride_b), u64(stride_c), u64(stride_a)
    sum_0, sum_1, sum_2 = u64(0), u64(0), u64(0)
    for start in range(0, count, _SAMPLES):
        total = u64(0)
        for _ in range(start, min(start + _SAMPLES, count)):
            o = at + ((place >> _20) & _INDEX) * to_b + (place >> _52) * to_c
            wb, wc = (place >> _17) & _7, (place >> _49) & _7
            low, high = u64(near[o]), u64(below[o])
            low = _widened((low << _3) + wb * (u64(right[o]) - low))
            high = _widened((high << _3) + wb * (u64(across[o]) - high))
            total += (low << _3) + wc * (high - low)
            if (
                total == _NEVER
            ):  # a way out of the loop that is never taken: without it LLVM gathers voxels by AVX-512, which is slower
                break
            at += to_a
            place += move
        sum_0 += total & _SUM
        sum_1 += (total >> _21) & _SUM
        sum_2 += total >> _42
    return sum_0, sum_1, sum_2


@nb.njit(nogil=True, fastmath=True, cache=True)
def project(words, shape, stored, steps, source, directions, world_from_index, out):
    """Line integrals of an image.

    words: flat, of a `rendering.drr.Grid`, as are shape, stored.   steps: (3,) 1/mm, as from `pack`.
    source (3,), directions (3, 3), world_from_index (3, 3): of the image's rays, as in `rendering.drr.Rays`.
    out: (3, rows, columns) float32.
    """
    q = np.empty(3)
    for r in range(out.shape[1]):
        for col in range(out.shape[2]):
            for axis in range(3):
                q[axis] = directions[2, axis] + col * directions[0, axis] + r * directions[1, axis]
            out[0, r, col], out[1, r, col], out[2, r, col] = 0.0, 0.0, 0.0
            if abs(q[2]) < 1e-9:
                continue
            per_plane = 1.0 / q[2]
            slope_0, slope_1 = q[0] * per_plane, q[1] * per_plane
            start_0, start_1 = source[0] - source[2] * slope_0, source[1] - source[2] * slope_1
            low, high = _clip(start_0, slope_0, 0.0, shape[0] - 1.0, 0.0, shape[2] - 1.0)
            low, high = _clip(start_1, slope_1, 0.0, shape[1] - 1.0, low, high)
            if q[2] > 0.0:  # nothing behind the source
                low = max(low, source[2])
            else:
                high = min(high, source[2])
            if high < low:
                continue
            first = math.ceil(low)
            count = int(math.floor(high) - first) + 1
            if count <= 0:
                continue
            x = world_from_index[0, 0] * q[0] + world_from_index[0, 1] * q[1] + world_from_index[0, 2] * q[2]
            y = world_from_index[1, 0] * q[0] + world_from_index[1, 1] * q[1] + world_from_index[1, 2] * q[2]
            z = world_from_index[2, 0] * q[0] + world_from_index[2, 1] * q[1] + world_from_index[2, 2] * q[2]
            mm = math.sqrt(x * x + y * y + z * z) * abs(per_plane) / _WEIGHTS
            plane = stored[0] * stored[1]
            sums = _march(
                words,
                int(first) * plane,
                1,
                stored[0],
                plane,
                count,
                max(start_0 + first * slope_0, 0.0),
                max(start_1 + first * slope_1, 0.0),
                slope_0,
                slope_1,
            )
            out[0, r, col] = mm * steps[0] * sums[0]
            out[1, r, col] = mm * steps[1] * sums[1]
            out[2, r, col] = mm * steps[2] * sums[2]
