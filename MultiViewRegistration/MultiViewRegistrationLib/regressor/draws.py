"""Random numbers within kernels: a state of one word for each image, so that an image is the same on any number of threads.

SplitMix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014. All that is drawn for a batch follows from one
word, its key, and a number, so that any part of it can be drawn by itself. Compiled by numba, and by Warp, see `on_warp`.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from .drawn import Ends, State, Word

#: From one state to the next.
STRIDE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_1, _11, _16, _27, _30, _31, _32, _48 = (np.uint64(n) for n in (1, 11, 16, 27, 30, 31, 32, 48))
_LOW_16 = np.uint64(0xFFFF)
TURN = 2.0 * math.pi
_BY_2_TO_53, _BY_2_TO_16, _ROOT_OF_3 = 2.0**-53, 2.0**-16, math.sqrt(3.0)


@nb.njit(nogil=True, inline="always")
def mixed(word: Word):
    """The 64 random bits of a state."""
    word = (word ^ (word >> _30)) * _MIX_1
    word = (word ^ (word >> _27)) * _MIX_2
    return word ^ (word >> _31)


@nb.njit(nogil=True)
def begun(key: Word, number: Word):
    """A state, or another key: the n-th of what begins at a key."""
    return mixed(key + STRIDE * (number + _1))


@nb.njit(nogil=True, inline="always")
def bits(state: State):
    """The next 64 random bits."""
    state[0] = state[0] + STRIDE
    return mixed(state[0])


@nb.njit(nogil=True)
def uniform(state: State, low: float, high: float):
    """A number evenly spread over [low, high)."""
    return low + (high - low) * (float(bits(state) >> _11) * _BY_2_TO_53)


@nb.njit(nogil=True)
def between(state: State, ends: Ends):
    """A number evenly spread between the two of `ends`."""
    return uniform(state, ends[0], ends[1])


@nb.njit(nogil=True)
def log_between(state: State, low: float, high: float):
    """A number between two, its logarithm evenly spread."""
    return low * math.exp(uniform(state, 0.0, math.log(high / low)))


@nb.njit(nogil=True)
def chance(state: State, probability: float):
    """True with this probability."""
    return uniform(state, 0.0, 1.0) < probability


@nb.njit(nogil=True)
def perhaps(state: State, probability: float, low: float, high: float):
    """A number as of `uniform`, with this probability, else 0."""
    if chance(state, probability):
        return uniform(state, low, high)
    return 0.0


@nb.njit(nogil=True)
def whole(state: State, low: int, high: int):
    """A whole number from `low` to `high`, both among them."""
    return low + int(uniform(state, 0.0, float(high - low + 1)))


@nb.njit(nogil=True, inline="always")
def bell(word: Word):
    """A number of mean 0 and deviation 1 of 64 bits: the sum of four of 16, near enough to a Gaussian for noise (none beyond 3.5)."""
    total = float(word & _LOW_16) + float((word >> _16) & _LOW_16) + float((word >> _32) & _LOW_16) + float(word >> _48)
    return (total * _BY_2_TO_16 - 2.0) * _ROOT_OF_3


@nb.njit(nogil=True)
def normal(state: State):
    """A number of a Gaussian of mean 0 and deviation 1 (Box, Muller, Ann. Math. Statist. 29, 1958)."""
    far = math.sqrt(-2.0 * math.log(1.0 - uniform(state, 0.0, 1.0)))
    return far * math.cos(uniform(state, 0.0, TURN))
