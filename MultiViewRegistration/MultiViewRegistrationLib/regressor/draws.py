"""Random numbers within kernels: a state of one word for each image, so that an image is the same on any number of threads.

SplitMix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014. A state is a (1,) uint64 array.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

#: From one state to the next.
STRIDE = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_11, _16, _27, _30, _31, _32, _48 = (np.uint64(n) for n in (11, 16, 27, 30, 31, 32, 48))
_LOW_16 = np.uint64(0xFFFF)


@nb.njit(nogil=True, inline="always")
def bits(state):
    """The next 64 random bits."""
    state[0] += STRIDE
    z = state[0]
    z = (z ^ (z >> _30)) * MIX_1
    z = (z ^ (z >> _27)) * MIX_2
    return z ^ (z >> _31)


@nb.njit(nogil=True)
def uniform(state, low, high):
    """A number evenly spread over [low, high)."""
    return low + (high - low) * (float(bits(state) >> _11) * 2.0**-53)


@nb.njit(nogil=True)
def between(state, ends):
    """A number evenly spread between the two of `ends`."""
    return uniform(state, ends[0], ends[1])


@nb.njit(nogil=True)
def log_between(state, ends):
    """A number between the two of `ends`, its logarithm evenly spread."""
    return ends[0] * math.exp(uniform(state, 0.0, math.log(ends[1] / ends[0])))


@nb.njit(nogil=True)
def chance(state, probability):
    """True with this probability."""
    return uniform(state, 0.0, 1.0) < probability


@nb.njit(nogil=True)
def whole(state, low, high):
    """A whole number from `low` to `high`, both among them."""
    return math.floor(uniform(state, float(low), high + 1.0))


@nb.njit(nogil=True, inline="always")
def normal(state):
    """A number of mean 0 and deviation 1: the sum of four of 16 bits, near enough to a Gaussian for noise (none beyond 3.5)."""
    z = bits(state)
    total = float(z & _LOW_16) + float((z >> _16) & _LOW_16) + float((z >> _32) & _LOW_16) + float(z >> _48)
    return (total * 2.0**-16 - 2.0) * 1.7320508075688772
