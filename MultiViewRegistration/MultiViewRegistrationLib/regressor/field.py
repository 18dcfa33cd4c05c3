"""Where a random X-ray shows nothing: collimator blades, a round field, burned-in text."""

from __future__ import annotations

import math

import numba as nb

from .draws import chance, uniform, whole

#: Least share of the image that stays open.
_LEAST_OPEN = 0.3


@nb.njit(nogil=True)
def close_field(valid, state, straight, circle, boxes):
    """Set `valid` (rows, columns) uint8 to 0 outside a random field.

    straight, circle, boxes: probability of blades, of a round field, and of small boxes of text.
    """
    rows, columns = valid.shape
    if chance(state, straight):
        _blades(valid, state)
    if chance(state, circle):
        _round(valid, state)
    if chance(state, boxes):
        for _ in range(whole(state, 1, 3)):
            height, width = whole(state, 2, rows // 12), whole(state, 2, columns // 4)
            top, left = whole(state, 0, rows - height), whole(state, 0, columns - width)
            valid[top : top + height, left : left + width] = 0


@nb.njit(nogil=True)
def _blades(valid, state):
    """Up to four straight edges, square to each other, mostly along the image's own."""
    rows, columns = valid.shape
    turn = uniform(state, -0.8, 0.8) if chance(state, 0.15) else uniform(state, -0.04, 0.04)
    ux, uy = math.cos(turn), math.sin(turn)
    most = uniform(state, 0.0, 0.5)
    left, right = 0.0, 0.0
    top, bottom = 0.0, 0.0
    while True:  # as far in as leaves enough of the image open
        left, right, top, bottom = (uniform(state, 0.0, most) * chance(state, 0.7), uniform(state, 0.0, most) * chance(state, 0.7),
                                    uniform(state, 0.0, most) * chance(state, 0.7), uniform(state, 0.0, most) * chance(state, 0.7))
        if (1.0 - left - right) * (1.0 - top - bottom) >= _LEAST_OPEN and left + right < 0.9:
            break
    for r in range(rows):
        for c in range(columns):
            x, y = (c + 0.5) / columns - 0.5, (r + 0.5) / rows - 0.5
            a, b = x * ux + y * uy, y * ux - x * uy
            reach = 0.5 if abs(turn) < 0.1 else 0.6
            if (left > 0 and a < left - reach) or (right > 0 and a > reach - right) or (
                    top > 0 and b < top - reach) or (bottom > 0 and b > reach - bottom):
                valid[r, c] = 0


@nb.njit(nogil=True)
def _round(valid, state):
    """The circle of an intensifier, mostly about the image's middle, else one of which the image is a part."""
    rows, columns = valid.shape
    radius, x, y = uniform(state, 0.43, 0.56), uniform(state, -0.04, 0.04), uniform(state, -0.04, 0.04)
    if chance(state, 0.3):
        radius = uniform(state, 0.5, 2.0)
        angle, off = uniform(state, 0.0, 2 * math.pi), uniform(state, 0.0, 1.0) * max(radius - 0.1, 0.0)
        x, y = off * math.cos(angle), off * math.sin(angle)
    for r in range(rows):
        for c in range(columns):
            if ((c + 0.5) / columns - 0.5 - x) ** 2 + ((r + 0.5) / rows - 0.5 - y) ** 2 > radius * radius:
                valid[r, c] = 0
