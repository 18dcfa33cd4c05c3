"""Where a random X-ray shows nothing: collimator blades, a round field, burned-in text.

What draws is compiled by numba, and by Warp, see `on_warp`.
"""

from __future__ import annotations

import math

import numba as nb

from . import drawn
from .drawn import Row, State
from .draws import TURN, chance, perhaps, uniform, whole

#: Least share of the image that stays open.
_LEAST_OPEN = 0.3


@nb.njit(nogil=True)
def draw_field(numbers: Row, rows: int, columns: int, state: State, straight: float, circle: float, boxes: float):
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
            numbers[drawn.BOXES + 4 * n] = float(whole(state, 0, rows - height))
            numbers[drawn.BOXES + 4 * n + 1] = float(whole(state, 0, columns - width))
            numbers[drawn.BOXES + 4 * n + 2] = float(height)
            numbers[drawn.BOXES + 4 * n + 3] = float(width)


@nb.njit(nogil=True)
def _draw_blades(numbers: Row, state: State):
    """Up to four straight edges, square to each other, mostly along the image's own."""
    turn = 0.04
    if chance(state, 0.15):
        turn = 0.8
    numbers[drawn.BLADES] = uniform(state, -turn, turn)
    most = uniform(state, 0.0, 0.5)
    while True:  # as far in as leaves enough of the image open
        left, right = perhaps(state, 0.7, 0.0, most), perhaps(state, 0.7, 0.0, most)
        top, bottom = perhaps(state, 0.7, 0.0, most), perhaps(state, 0.7, 0.0, most)
        if (1.0 - left - right) * (1.0 - top - bottom) >= _LEAST_OPEN and left + right < 0.9:
            numbers[drawn.BLADES + 1] = left
            numbers[drawn.BLADES + 2] = right
            numbers[drawn.BLADES + 3] = top
            numbers[drawn.BLADES + 4] = bottom
            break


@nb.njit(nogil=True)
def _draw_round(numbers: Row, state: State):
    """The circle of an intensifier, mostly about the image's middle, else one of which the image is a part."""
    radius, x, y = uniform(state, 0.43, 0.56), uniform(state, -0.04, 0.04), uniform(state, -0.04, 0.04)
    if chance(state, 0.3):
        radius = uniform(state, 0.5, 2.0)
        angle, off = uniform(state, 0.0, TURN), uniform(state, 0.0, 1.0) * max(radius - 0.1, 0.0)
        x, y = off * math.cos(angle), off * math.sin(angle)
    numbers[drawn.ROUND] = radius
    numbers[drawn.ROUND + 1] = x
    numbers[drawn.ROUND + 2] = y


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
            if (
                (left > 0 and a < left - reach)
                or (right > 0 and a > reach - right)
                or (top > 0 and b < top - reach)
                or (bottom > 0 and b > reach - bottom)
            ):
                valid[r, c] = 0
            if radius > 0 and (x - middle_x) ** 2 + (y - middle_y) ** 2 > radius * radius:
                valid[r, c] = 0
    for n in range(drawn.MOST_BOXES):
        first, height, width = (
            drawn.BOXES + 4 * n,
            int(numbers[drawn.BOXES + 4 * n + 2]),
            int(numbers[drawn.BOXES + 4 * n + 3]),
        )
        valid[
            int(numbers[first]) : int(numbers[first]) + height,
            int(numbers[first + 1]) : int(numbers[first + 1]) + width,
        ] = 0
