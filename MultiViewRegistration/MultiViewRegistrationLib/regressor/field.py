"""Where a random X-ray shows nothing: collimator blades, a round field, burned-in text."""

from __future__ import annotations

import math

import numba as nb

from . import drawn
from .draws import chance, uniform, whole

#: Least share of the image that stays open.
_LEAST_OPEN = 0.3


@nb.njit(nogil=True)
def draw_field(numbers, rows, columns, state, straight, circle, boxes):
    """Draws a random field of an image.

    numbers: out, see `drawn`.   straight, circle, boxes: probability of blades, of a round field, and of small boxes of text.
    """
    if chance(state, straight):
        _draw_blades(numbers, state)
    if chance(state, circle):
        _draw_round(numbers, state)
    if chance(state, boxes):
        for n in range(whole(state, 1, drawn.MOST_BOXES)):
            height, width = whole(state, 2, rows // 12), whole(state, 2, columns // 4)
            box = numbers[drawn.BOXES + 4 * n : drawn.BOXES + 4 * n + 4]
            box[0], box[1] = whole(state, 0, rows - height), whole(state, 0, columns - width)
            box[2], box[3] = height, width


@nb.njit(nogil=True)
def _draw_blades(numbers, state):
    """Up to four straight edges, square to each other, mostly along the image's own."""
    turn = uniform(state, -0.8, 0.8) if chance(state, 0.15) else uniform(state, -0.04, 0.04)
    most = uniform(state, 0.0, 0.5)
    while True:  # as far in as leaves enough of the image open
        left, right, top, bottom = (uniform(state, 0.0, most) * chance(state, 0.7), uniform(state, 0.0, most) * chance(state, 0.7),
                                    uniform(state, 0.0, most) * chance(state, 0.7), uniform(state, 0.0, most) * chance(state, 0.7))
        if (1.0 - left - right) * (1.0 - top - bottom) >= _LEAST_OPEN and left + right < 0.9:
            break
    blades = numbers[drawn.BLADES : drawn.BLADES + 5]
    blades[0], blades[1], blades[2], blades[3], blades[4] = turn, left, right, top, bottom


@nb.njit(nogil=True)
def _draw_round(numbers, state):
    """The circle of an intensifier, mostly about the image's middle, else one of which the image is a part."""
    radius, x, y = uniform(state, 0.43, 0.56), uniform(state, -0.04, 0.04), uniform(state, -0.04, 0.04)
    if chance(state, 0.3):
        radius = uniform(state, 0.5, 2.0)
        angle, off = uniform(state, 0.0, 2 * math.pi), uniform(state, 0.0, 1.0) * max(radius - 0.1, 0.0)
        x, y = off * math.cos(angle), off * math.sin(angle)
    numbers[drawn.ROUND], numbers[drawn.ROUND + 1], numbers[drawn.ROUND + 2] = radius, x, y


@nb.njit(nogil=True)
def close_field(valid, numbers):
    """Set `valid` (rows, columns) uint8 to 0 outside the field that was drawn."""
    rows, columns = valid.shape
    blades, round_field = numbers[drawn.BLADES : drawn.BLADES + 5], numbers[drawn.ROUND : drawn.ROUND + 3]
    turn, left, right, top, bottom = blades[0], blades[1], blades[2], blades[3], blades[4]
    radius, middle_x, middle_y = round_field[0], round_field[1], round_field[2]
    ux, uy = math.cos(turn), math.sin(turn)
    reach = 0.5 if abs(turn) < 0.1 else 0.6
    for r in range(rows):
        for c in range(columns):
            x, y = (c + 0.5) / columns - 0.5, (r + 0.5) / rows - 0.5
            a, b = x * ux + y * uy, y * ux - x * uy
            if (left > 0 and a < left - reach) or (right > 0 and a > reach - right) or (
                    top > 0 and b < top - reach) or (bottom > 0 and b > reach - bottom):
                valid[r, c] = 0
            if radius > 0 and (x - middle_x) ** 2 + (y - middle_y) ** 2 > radius * radius:
                valid[r, c] = 0
    for n in range(drawn.MOST_BOXES):
        first, height, width = drawn.BOXES + 4 * n, int(numbers[drawn.BOXES + 4 * n + 2]), int(numbers[drawn.BOXES + 4 * n + 3])
        valid[int(numbers[first]) : int(numbers[first]) + height, int(numbers[first + 1]) : int(numbers[first + 1]) + width] = 0
