"""Random numbers within kernels, the same on any number of threads.

SplitMix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014. A state
is an array (1,) uint64; each image has one of its own.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

_STRIDE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_11, _16, _27, _30, _31, _32, _48 = (np.uint64(n) for n in (11, 16, 27, 30, 31, 32, 48))
_LOW_16 = np.uint64(0xFFFF)
FULL_TURN = 2.0 * math.pi
_BY_2_TO_53 = 2.0**-53
_BY_2_TO_16 = 2.0**-16
_ROOT_OF_3 = math.sqrt(3.0)

compiled = nb.njit(nogil=True)
fast = nb.njit(nogil=True, fastmath=True)


@nb.njit(nogil=True, inline="always")
def bits(state):
    """Return the next 64 random bits."""
    state[0] = state[0] + _STRIDE
    word = state[0]
    word = (word ^ (word >> _30)) * _MIX_1
    word = (word ^ (word >> _27)) * _MIX_2
    return word ^ (word >> _31)


@compiled
def uniform(state, low, high):
    """Return a number evenly distributed over [low, high)."""
    return low + (high - low) * (float(bits(state) >> _11) * _BY_2_TO_53)


@compiled
def log_uniform(state, low, high):
    """Return a number between two, its logarithm evenly distributed."""
    return low * math.exp(uniform(state, 0.0, math.log(high / low)))


@compiled
def chance(state, probability):
    """Return True with this probability."""
    return uniform(state, 0.0, 1.0) < probability


@compiled
def sometimes(state, probability, low, high):
    """Return a number as of `uniform`, with this probability, else 0."""
    return uniform(state, low, high) if chance(state, probability) else 0.0


@compiled
def integer(state, low, high):
    """Return a whole number from `low` to `high`, both included."""
    return low + int(uniform(state, 0.0, float(high - low + 1)))


@nb.njit(nogil=True, inline="always")
def quick_normal(word):
    """Return a number of mean 0 and deviation 1 of 64 bits.

    The sum of four of 16, near enough to a Gaussian for noise (none beyond 3.5).
    """
    total = (
        float(word & _LOW_16)
        + float((word >> _16) & _LOW_16)
        + float((word >> _32) & _LOW_16)
        + float(word >> _48)
    )
    return (total * _BY_2_TO_16 - 2.0) * _ROOT_OF_3
