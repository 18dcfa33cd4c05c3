"""Machines that take X-rays: source, detector, field and processing, drawn at random from a few kinds.

Real X-rays differ from each other far more than those of one detector. What is drawn here is used
twice: some training images look as a machine's (`randomise`), and whole simulated X-rays on which
registrations are judged are taken by one. Of the field is open what blades, an intensifier's circle
and text leave.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from .rng import FULL_TURN, chance, compiled, integer, log_uniform, sometimes, uniform

#: The image before, of which a lagging detector still shows a share, showed the body so far away.
LAG_MM = 12.0


class Machine(NamedTuple):
    """One image chain. All are floats; lengths are mm on the detector.

    Attributes
    ----------
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
_FIELDS = len(_USUAL)


@compiled
def draw_machine(kind, rng):
    """Draw a machine.

    Parameters
    ----------
    kind
        Number of one of KINDS.
    rng
        numpy.random.Generator

    Returns
    -------
    Machine
    """
    v = _USUAL.copy()
    for n in range(_FIELDS):
        low, high, logarithmic, share = _DRAWN[kind, n]
        if chance(rng, share):
            v[n] = log_uniform(rng, low, high) if logarithmic else uniform(rng, low, high)
    return Machine(*to_fixed_tuple(v, _FIELDS))  # type: ignore[call-arg]


#: Least share of the image that blades leave open.
_MIN_OPEN = 0.3


@compiled
def close(how, valid, rng):
    """Set `valid` to 0 where a collimator or text lies."""
    rows, columns = valid.shape
    if chance(rng, how.straight_share):
        _close_blades(valid, rng)
    if chance(rng, how.round_share):
        _close_round(valid, rng)
    if chance(rng, how.text_share):
        for _ in range(integer(rng, 1, 3)):
            height = integer(rng, 2, rows // 12)
            width = integer(rng, 2, columns // 4)
            top = integer(rng, 0, rows - height)
            left = integer(rng, 0, columns - width)
            valid[top : top + height, left : left + width] = 0


@compiled
def _close_blades(valid, rng):
    """Set `valid` to 0 beyond up to four straight edges, square to each other, mostly along the image's own."""
    rows, columns = valid.shape
    turn = 0.8 if chance(rng, 0.15) else 0.04
    turn = uniform(rng, -turn, turn)
    largest = uniform(rng, 0.0, 0.5)
    left = 1.0
    right = 1.0
    top = 1.0
    bottom = 1.0
    while (1.0 - left - right) * (1.0 - top - bottom) < _MIN_OPEN or left + right >= 0.9:
        left = sometimes(rng, 0.7, 0.0, largest)
        right = sometimes(rng, 0.7, 0.0, largest)
        top = sometimes(rng, 0.7, 0.0, largest)
        bottom = sometimes(rng, 0.7, 0.0, largest)
    ux = math.cos(turn)
    uy = math.sin(turn)
    reach = 0.5 if abs(turn) < 0.1 else 0.6
    for r in range(rows):
        for c in range(columns):
            x = (c + 0.5) / columns - 0.5
            y = (r + 0.5) / rows - 0.5
            a = x * ux + y * uy
            b = y * ux - x * uy
            if (
                (left > 0 and a < left - reach)
                or (right > 0 and a > reach - right)
                or (top > 0 and b < top - reach)
                or (bottom > 0 and b > reach - bottom)
            ):
                valid[r, c] = 0


@compiled
def _close_round(valid, rng):
    """Set `valid` to 0 outside the circular field of an image intensifier, usually near the centre of the image."""
    rows, columns = valid.shape
    radius = uniform(rng, 0.43, 0.56)
    x = uniform(rng, -0.04, 0.04)
    y = uniform(rng, -0.04, 0.04)
    if chance(rng, 0.3):
        radius = uniform(rng, 0.5, 2.0)
        angle = uniform(rng, 0.0, FULL_TURN)
        off = uniform(rng, 0.0, 1.0) * max(radius - 0.1, 0.0)
        x = off * math.cos(angle)
        y = off * math.sin(angle)
    for r in range(rows):
        for c in range(columns):
            if ((c + 0.5) / columns - 0.5 - x) ** 2 + (
                (r + 0.5) / rows - 0.5 - y
            ) ** 2 > radius * radius:
                valid[r, c] = 0
