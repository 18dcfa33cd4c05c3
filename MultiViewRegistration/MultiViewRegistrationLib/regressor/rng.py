"""Random numbers within kernels, from a numpy.random.Generator; each image has one of its own."""

from __future__ import annotations

import math

import numba as nb

FULL_TURN = 2.0 * math.pi

compiled = nb.njit(nogil=True)
fast = nb.njit(nogil=True, fastmath=True)


@compiled
def uniform(rng, low, high):
    """Return a number evenly distributed over [low, high)."""
    return low + (high - low) * rng.random()


@compiled
def log_uniform(rng, low, high):
    """Return a log-uniform random number from `low` to `high`."""
    return low * math.exp(uniform(rng, 0.0, math.log(high / low)))


@compiled
def chance(rng, probability):
    """Return True with this probability."""
    return rng.random() < probability


@compiled
def sometimes(rng, probability, low, high):
    """Return a uniform random number with this probability, otherwise 0."""
    return uniform(rng, low, high) if chance(rng, probability) else 0.0


@compiled
def integer(rng, low, high):
    """Return a whole number from `low` to `high`, both included."""
    return low + int(uniform(rng, 0.0, float(high - low + 1)))
