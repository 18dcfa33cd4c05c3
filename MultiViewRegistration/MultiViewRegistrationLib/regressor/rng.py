"""Random numbers within kernels, the same on any number of threads.

SplitMix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014. A state
is an array (1,) uint64. A batch follows from one word, its key. Each of its poses has a key of its
own, from which all about it follows, so that any part of a batch can be made by itself.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

STRIDE = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
_1, _11, _16, _27, _30, _31, _32, _48 = (np.uint64(n) for n in (1, 11, 16, 27, 30, 31, 32, 48))
_LOW_16 = np.uint64(0xFFFF)
FULL_TURN = 2.0 * math.pi
_BY_2_TO_53 = 2.0**-53
_BY_2_TO_16 = 2.0**-16
ROOT_OF_3 = math.sqrt(3.0)

#: What a pose's key is for: the pose, how its neighbours move, and from there on the image of each
#: view.
POSE = np.uint64(0)
NEIGHBOURS = np.uint64(1)
IMAGES = np.uint64(2)

compiled = nb.njit(nogil=True)


@nb.njit(nogil=True, inline="always")
def _mixed(word):
    """Return the 64 random bits of a state."""
    word = (word ^ (word >> _30)) * MIX_1
    word = (word ^ (word >> _27)) * MIX_2
    return word ^ (word >> _31)


@compiled
def derived(key, number):
    """Return the n-th state, or other key, that a key leads to; all of them uint64."""
    return _mixed(key + STRIDE * (number + _1))


@nb.njit(nogil=True, inline="always")
def bits(state):
    """Return the next 64 random bits."""
    state[0] = state[0] + STRIDE
    return _mixed(state[0])


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
    return (total * _BY_2_TO_16 - 2.0) * ROOT_OF_3


@compiled
def _normal(state):
    """Return a number of a Gaussian of mean 0 and deviation 1 (Box, Muller, Ann. Math. Statist. 29, 1958)."""
    far = math.sqrt(-2.0 * math.log(1.0 - uniform(state, 0.0, 1.0)))
    return far * math.cos(uniform(state, 0.0, FULL_TURN))


def key_of(*numbers: int) -> np.uint64:
    """Return the key of a batch by some whole numbers: seed, what it is for, step."""
    key = np.uint64(0)
    for number in numbers:
        key = np.uint64(derived(key, np.uint64(number % 2**64)))
    return key


@compiled
def _state_of(key, number, what):
    """Return the state from which a pose of a batch is made, by its number."""
    return derived(derived(key, np.uint64(number) + _1), what)


@nb.njit(nogil=True, cache=True)
def states_of_images(key, count, views):
    """Return (views, count) uint64: the states of the images of a batch."""
    states = np.empty((views, count), np.uint64)
    for n in range(count):
        for view in range(views):
            states[view, n] = _state_of(key, n, IMAGES + np.uint64(view))
    return states


@nb.njit(nogil=True, cache=True)
def sixes(key, count, what):
    """Return (count, 6) numbers of the poses of a batch.

    Evenly distributed over [0, 1) where `what` is POSE; of mean 0 and deviation 1 where it is
    NEIGHBOURS.
    """
    six = np.empty((count, 6))
    state = np.empty(1, np.uint64)
    for n in range(count):
        state[0] = _state_of(key, n, what)
        for i in range(6):
            six[n, i] = uniform(state, 0.0, 1.0) if what == POSE else _normal(state)
    return six
