"""The field of a random X-ray: what blades, an intensifier's circle and text leave open of it."""

from __future__ import annotations

import math

from .rng import FULL_TURN, chance, compiled, integer, sometimes, uniform

#: Least share of the image that blades leave open.
_MIN_OPEN = 0.3


@compiled
def close(how, valid, state):
    """Set `valid` to 0 where a collimator or text lies."""
    rows, columns = valid.shape
    if chance(state, how.straight_share):
        _close_blades(valid, state)
    if chance(state, how.round_share):
        _close_round(valid, state)
    if chance(state, how.text_share):
        for _ in range(integer(state, 1, 3)):
            height = integer(state, 2, rows // 12)
            width = integer(state, 2, columns // 4)
            top = integer(state, 0, rows - height)
            left = integer(state, 0, columns - width)
            valid[top : top + height, left : left + width] = 0


@compiled
def _close_blades(valid, state):
    """Set `valid` to 0 beyond up to four straight edges, square to each other, mostly along the image's own."""
    rows, columns = valid.shape
    turn = 0.8 if chance(state, 0.15) else 0.04
    turn = uniform(state, -turn, turn)
    largest = uniform(state, 0.0, 0.5)
    left = 1.0
    right = 1.0
    top = 1.0
    bottom = 1.0
    while (1.0 - left - right) * (1.0 - top - bottom) < _MIN_OPEN or left + right >= 0.9:
        left = sometimes(state, 0.7, 0.0, largest)
        right = sometimes(state, 0.7, 0.0, largest)
        top = sometimes(state, 0.7, 0.0, largest)
        bottom = sometimes(state, 0.7, 0.0, largest)
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
def _close_round(valid, state):
    """Set `valid` to 0 outside an intensifier's circle, mostly about the image's middle, else with the image as a part of it."""
    rows, columns = valid.shape
    radius = uniform(state, 0.43, 0.56)
    x = uniform(state, -0.04, 0.04)
    y = uniform(state, -0.04, 0.04)
    if chance(state, 0.3):
        radius = uniform(state, 0.5, 2.0)
        angle = uniform(state, 0.0, FULL_TURN)
        off = uniform(state, 0.0, 1.0) * max(radius - 0.1, 0.0)
        x = off * math.cos(angle)
        y = off * math.sin(angle)
    for r in range(rows):
        for c in range(columns):
            if ((c + 0.5) / columns - 0.5 - x) ** 2 + (
                (r + 0.5) / rows - 0.5 - y
            ) ** 2 > radius * radius:
                valid[r, c] = 0
