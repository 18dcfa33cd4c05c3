"""Machines that take X-rays: source, detector and processing, drawn at random from a few kinds.

Real X-rays differ from each other far more than those of one detector. What is drawn here is used
twice: some training images look as a machine's (`randomise`), and whole simulated X-rays on which
registrations are judged are taken by one. Their random numbers are the same on any number of threads:
SplitMix64 (Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014), whose
state is an array (1,) uint64; each image has one of its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

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


#: cm^2/g of water and of bone where all is Compton scatter, near 2 MeV: as their electrons are.
MEGAVOLT_WATER = 0.0494
MEGAVOLT_BONE = 0.0472
#: The image before, of which a lagging detector still shows a share, showed the body so far away.
LAG_MM = 12.0


class Machine(NamedTuple):
    """One image chain. All are floats; lengths are mm on the detector.

    Attributes
    ----------
    megavolts
        1 for a linear accelerator: electron density alone, no photo effect.
    photons
        Detected in a pixel, in the image's median.
    scatter_to_primary
        Of their means; 1 is half of the image.
    blur_mm
        Standard deviation, of focal spot and detector.
    glare
        Share of the light that is spread widely.
    vignetting
        Loss in the corners.
    gamma
        Power of the detected intensity; 1 is linear.
    saturated
        Share of the image that is brighter than the detector's range.
    lag
        Share of the image before this one, LAG_MM aside.
    logarithm
        1 where the image is stored as line integrals, bone bright.
    sharpened, sharpened_mm
        So many times the detail below a width is added to the logarithm.
    bits
        Of grey levels.
    grid
        Amplitude of an anti-scatter grid's lines.
    ruler
        1 where a scale and letters are burned in.
    """

    megavolts: float = 0.0
    photons: float = 1500.0
    scatter_to_primary: float = 0.4
    blur_mm: float = 0.3
    glare: float = 0.0
    vignetting: float = 0.1
    gamma: float = 1.0
    saturated: float = 0.0
    lag: float = 0.0
    logarithm: float = 0.0
    sharpened: float = 0.0
    sharpened_mm: float = 3.0
    bits: float = 14.0
    grid: float = 0.0
    ruler: float = 0.0


class _Drawn(NamedTuple):
    """Even between two ends, or in its logarithm; in a share of the machines, else as `Machine` has it."""

    low: float
    high: float
    logarithmic: bool = False
    share: float = 1.0


def _yes(share: float) -> _Drawn:
    return _Drawn(1.0, 1.0, share=share)


#: Kinds of machines, and what is drawn of each.
KINDS: dict[str, dict[str, _Drawn]] = {
    "flat panel": {
        "photons": _Drawn(300, 4000, True),
        "scatter_to_primary": _Drawn(0.1, 0.8),
        "bits": _Drawn(12, 16),
        "grid": _Drawn(0.0, 0.05, share=0.5),
    },
    "intensifier": {
        "blur_mm": _Drawn(0.4, 0.9),
        "glare": _Drawn(0.1, 0.4),
        "vignetting": _Drawn(0.2, 0.6),
        "gamma": _Drawn(0.5, 2.0, True),
        "saturated": _Drawn(0.0, 0.3),
        "lag": _Drawn(0.0, 0.1, share=0.5),
        "bits": _Drawn(8, 10),
    },
    "processed": {
        "scatter_to_primary": _Drawn(0.2, 1.0),
        "logarithm": _yes(0.6),
        "sharpened": _Drawn(0.5, 3.0),
        "sharpened_mm": _Drawn(1.5, 10.0),
        "bits": _Drawn(8, 12),
        "ruler": _yes(0.5),
    },
    "scout": {
        "photons": _Drawn(100, 1000, True),
        "scatter_to_primary": _Drawn(0.0, 0.1),
        "blur_mm": _Drawn(0.8, 1.6),
        "logarithm": _yes(1.0),
        "sharpened": _Drawn(0.0, 1.5),
        "sharpened_mm": _Drawn(2.0, 6.0),
        "bits": _Drawn(12, 12),
    },
    "portal": {
        "megavolts": _yes(1.0),
        "photons": _Drawn(300, 10_000, True),
        "scatter_to_primary": _Drawn(0.1, 0.4),
        "blur_mm": _Drawn(0.6, 1.6),
        "vignetting": _Drawn(0.0, 0.4),
        "gamma": _Drawn(0.5, 2.0, True),
        "bits": _Drawn(8, 12),
    },
    "scattered": {
        "photons": _Drawn(100, 1000, True),
        "scatter_to_primary": _Drawn(0.8, 1.2),
        "saturated": _Drawn(0.0, 0.2),
        "bits": _Drawn(8, 12),
    },
}
KIND_COUNT = len(KINDS)
#: KINDS as kernels take them, (kinds, fields, 4).
_DRAWN = np.array(
    [
        [kind.get(field, _Drawn(0.0, 0.0, share=0.0)) for field in Machine._fields]
        for kind in KINDS.values()
    ],
    float,
)
_USUAL = np.array(Machine())


@compiled
def draw_machine(kind, state):
    """Draw a machine.

    Parameters
    ----------
    kind
        Number of one of KINDS.
    state
        (1,) uint64, see `rng`, in and out.

    Returns
    -------
    Machine
    """
    v = _USUAL.copy()
    for n in range(len(v)):
        low, high, logarithmic, share = _DRAWN[kind, n]
        if chance(state, share):
            v[n] = log_uniform(state, low, high) if logarithmic else uniform(state, low, high)
    # A kernel makes no tuple of an array's length.
    return Machine(
        *(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]),
        *(v[8], v[9], v[10], v[11], v[12], v[13], v[14]),
    )
