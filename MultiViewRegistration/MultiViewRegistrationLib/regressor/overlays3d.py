"""Random objects that are in an X-ray and not in the CT: metal, markers, other bones, soft tissue.

All is made of capsules: wires, rods, screws, stems, balls; with a hollow inside the shafts of long
bones. Positions and lengths are in mm at the anatomy's depth, from the image's middle; amounts in
nepers a mm.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .rng import FULL_TURN, chance, compiled, fast, integer, log_uniform, sometimes, uniform

#: nepers in a mm of titanium and of steel, at C-arm energies.
_TITANIUM = 0.15
_STEEL = 0.7
#: Thinner than this many pixels a capsule is rendered as wide as this, and as much fainter.
MIN_RADIUS = 0.7


#: Layers of an image: what attenuates as soft tissue, as bone, and as metal.
SOFT_LAYER = 0
BONE_LAYER = 1
METAL_LAYER = 2


class Sketch(NamedTuple):
    """A layer of an image into which capsules are drawn by chance.

    Attributes
    ----------
    image
        (rows, columns) float32, nepers.
    mm
        Of a pixel.
    half
        Half the image's height, mm.
    along
        The anatomy's direction, rad.
    state
        A random state, see `rng`.
    """

    image: np.ndarray
    mm: float
    half: float
    along: float
    state: np.ndarray


@fast
def capsule(sketch, x0, y0, x1, y1, r0, r1, hollow, amount):
    """Add `amount` (nepers in a mm) times the length that a beam runs in a capsule of radius r0 to r1 (mm).

    Parameters
    ----------
    hollow
        Radius of the empty inside as a share of the outer one, 0 for none.
    """
    image = sketch.image
    mm = sketch.mm
    rows, columns = image.shape
    x0 = x0 / mm + 0.5 * (columns - 1)
    x1 = x1 / mm + 0.5 * (columns - 1)
    y0 = y0 / mm + 0.5 * (rows - 1)
    y1 = y1 / mm + 0.5 * (rows - 1)
    r0 = r0 / mm
    r1 = r1 / mm
    reach = max(r0, r1, MIN_RADIUS)
    dx = x1 - x0
    dy = y1 - y0
    length_2 = max(dx * dx + dy * dy, 1e-9)
    top = max(0, math.ceil(min(y0, y1) - reach))
    bottom = min(rows - 1, math.floor(max(y0, y1) + reach))
    left = max(0, math.ceil(min(x0, x1) - reach))
    right = min(columns - 1, math.floor(max(x0, x1) + reach))
    for r in range(int(top), int(bottom) + 1):
        for c in range(int(left), int(right) + 1):
            t = min(max(((c - x0) * dx + (r - y0) * dy) / length_2, 0.0), 1.0)
            off_x = c - x0 - t * dx
            off_y = r - y0 - t * dy
            true = r0 + t * (r1 - r0)
            radius = max(true, MIN_RADIUS)
            inside = radius * radius - off_x * off_x - off_y * off_y
            if inside <= 0.0:
                continue
            chord = math.sqrt(inside)
            if hollow > 0.0:
                chord -= math.sqrt(max(inside - (1.0 - hollow * hollow) * radius * radius, 0.0))
            image[r, c] += amount * mm * 2.0 * chord * (true / radius) ** 2


@compiled
def _from(sketch, x, y, angle, length, r0, r1, hollow, amount):
    """Add a capsule that begins at x, y, and return where it ends."""
    end_x = x + length * math.cos(angle)
    end_y = y + length * math.sin(angle)
    capsule(sketch, x, y, end_x, end_y, r0, r1, hollow, amount)
    return end_x, end_y


@compiled
def _about(sketch, x, y, dx, dy, radius, amount):
    """Add a capsule whose middle is x, y and whose half is dx, dy."""
    capsule(sketch, x - dx, y - dy, x + dx, y + dy, radius, radius, 0.0, amount)


@compiled
def _anywhere(sketch):
    """Return a place and a direction: x, y, angle."""
    x = uniform(sketch.state, -sketch.half, sketch.half)
    y = uniform(sketch.state, -sketch.half, sketch.half)
    return x, y, uniform(sketch.state, 0.0, FULL_TURN)


@compiled
def add_metal(sketch):
    """Add a random object in or on a patient.

    Wires, screws, rods with screws, a prosthesis, a plate, markers, an instrument, a cable.
    """
    state = sketch.state
    x, y, angle = _anywhere(sketch)
    steel = log_uniform(state, _TITANIUM, _STEEL)
    kind = integer(state, 0, 7)
    if kind == 0:
        for _ in range(integer(state, 1, 4)):
            x, y, angle = _anywhere(sketch)
            _wire(sketch, x, y, angle, steel)
    elif kind == 1:
        for _ in range(integer(state, 1, 3)):
            x, y, angle = _anywhere(sketch)
            _screw(sketch, x, y, angle, steel)
    elif kind == 2:
        _rods_and_screws(sketch, x, y, angle, steel)
    elif kind == 3:
        _prosthesis(sketch, x, y, angle, steel)
    elif kind == 4:
        _plate(sketch, x, y, angle, steel)
    elif kind == 5:
        _markers(sketch, x, y, angle, steel)
    elif kind == 6:  # an instrument that reaches in from the border
        near = uniform(state, 0.5, 5.0)
        far = uniform(state, 3.0, 14.0)
        _from(
            sketch,
            x,
            y,
            angle,
            2.0 * sketch.half,
            near,
            far,
            sometimes(state, 0.4, 0.0, 0.9),
            0.6 * steel,
        )
    else:
        _cable(sketch, x, y, angle, steel)


@compiled
def _wire(sketch, x, y, angle, amount):
    """Add a rod seen under some angle: the shorter it looks, the longer the beam's way in it."""
    state = sketch.state
    length = uniform(state, 40.0, 160.0)
    radius = uniform(state, 0.4, 1.5)
    seen = uniform(state, 0.35, 1.0)
    dx = 0.5 * seen * length * math.cos(angle)
    dy = 0.5 * seen * length * math.sin(angle)
    _about(sketch, x, y, dx, dy, radius, amount / seen)


@compiled
def _screw(sketch, x, y, angle, amount):
    length = uniform(sketch.state, 15.0, 70.0)
    radius = uniform(sketch.state, 1.2, 3.5)
    _from(sketch, x, y, angle, length, radius, 0.7 * radius, 0.0, amount)
    _from(sketch, x, y, angle, 1.0, 1.8 * radius, 1.8 * radius, 0.0, amount)


@compiled
def _rods_and_screws(sketch, x, y, angle, amount):
    state = sketch.state
    ux = math.cos(angle)
    uy = math.sin(angle)
    spacing = uniform(state, 5.0, 55.0)
    length = uniform(state, 60.0, 180.0)
    rod = uniform(state, 2.2, 3.5)
    head = uniform(state, 4.5, 8.0)
    radius = uniform(state, 2.0, 3.5)
    pairs = integer(state, 2, 5)
    turn = angle + uniform(state, 0.6, 2.5)
    reach = uniform(state, 5.0, 50.0)
    for side in (-0.5, 0.5):
        sx = x - side * spacing * uy
        sy = y + side * spacing * ux
        _about(sketch, sx, sy, 0.5 * length * ux, 0.5 * length * uy, rod, amount)
        for n in range(pairs):
            along = length * ((n + 0.5) / pairs - 0.5)
            hx = sx + along * ux
            hy = sy + along * uy
            _about(sketch, hx, hy, 0.0, 0.0, head, amount)
            _from(sketch, hx, hy, turn, reach, radius, radius, 0.0, amount)
    for _ in range(integer(state, 0, 2)):
        along = uniform(state, -0.45, 0.45) * length
        _about(
            sketch,
            x + along * ux,
            y + along * uy,
            -0.5 * spacing * uy,
            0.5 * spacing * ux,
            2.5,
            amount,
        )


@compiled
def _prosthesis(sketch, x, y, angle, amount):
    state = sketch.state
    ball = uniform(state, 11.0, 28.0)
    capsule(sketch, x, y, x, y, ball, ball, sometimes(state, 0.3, 0.7, 0.95), amount)
    bend = angle + uniform(state, 0.3, 1.0) * (1.0 if chance(state, 0.5) else -1.0)
    neck = uniform(state, 30.0, 50.0)
    stem = uniform(state, 80.0, 150.0)
    wide = uniform(state, 7.0, 12.0)
    x, y = _from(sketch, x, y, angle, neck, 0.7 * wide, wide, 0.0, amount)
    _from(sketch, x, y, bend, stem, wide, 0.5 * wide, 0.0, amount)


@compiled
def _plate(sketch, x, y, angle, amount):
    state = sketch.state
    length = uniform(state, 30.0, 160.0)
    radius = uniform(state, 3.0, 8.0)
    dx = 0.5 * length * math.cos(angle)
    dy = 0.5 * length * math.sin(angle)
    _about(sketch, x, y, dx, dy, radius, 0.3 * amount)
    for _ in range(integer(state, 2, 6)):
        along = uniform(state, -1.0, 1.0)
        _screw(sketch, x + along * dx, y + along * dy, angle + uniform(state, 1.0, 2.2), amount)


@compiled
def _markers(sketch, x, y, angle, amount):
    """Return beads in a row, in a field, or anywhere."""
    state = sketch.state
    spacing = uniform(state, 5.0, 25.0)
    radius = uniform(state, 0.7, 3.5)
    ux = spacing * math.cos(angle)
    uy = spacing * math.sin(angle)
    across = integer(state, 1, 3)
    scattered = chance(state, 0.5)
    for down in range(integer(state, 2, 6)):
        for right in range(across):
            bx = x + down * ux - right * uy
            by = y + down * uy + right * ux
            if scattered:
                bx = x + uniform(state, -4.0, 4.0) * spacing
                by = y + uniform(state, -4.0, 4.0) * spacing
            _about(sketch, bx, by, 0.0, 0.0, radius, amount)


@compiled
def _cable(sketch, x, y, angle, amount):
    state = sketch.state
    radius = uniform(state, 0.5, 1.5)
    step = uniform(state, 8.0, 30.0)
    bend = uniform(state, -0.5, 0.5)
    for _ in range(integer(state, 4, 14)):
        x, y = _from(sketch, x, y, angle, step, radius, radius, 0.0, 0.5 * amount)
        angle = angle + bend + uniform(state, -0.3, 0.3)


@compiled
def add_bone(sketch):
    """Add a shaft with a marrow, a fan of rows of small bones as of a hand, or a handful of round ones as of a wrist."""
    state = sketch.state
    x, y, angle = _anywhere(sketch)
    amount = log_uniform(state, 0.01, 0.06)
    kind = integer(state, 0, 2)
    hollow = uniform(state, 0.5, 0.85)
    if kind == 0:
        length = uniform(state, 0.5, 2.5) * sketch.half
        radius = uniform(state, 4.0, 12.0)
        _from(
            sketch, x, y, angle, length, radius, radius * uniform(state, 0.6, 1.4), hollow, amount
        )
        _from(sketch, x, y, angle, 0.1 * length, 1.4 * radius, radius, 0.85, 0.7 * amount)
    elif kind == 1:
        spacing = uniform(state, 9.0, 18.0)
        spread = uniform(state, 0.0, 0.25)
        rays = integer(state, 1, 5)
        for n in range(rays):
            off = n - 0.5 * (rays - 1)
            fx = x - off * spacing * math.sin(angle)
            fy = y + off * spacing * math.cos(angle)
            _finger(sketch, fx, fy, angle + off * spread, hollow, amount)
    else:
        for _ in range(integer(state, 2, 8)):
            cx = x + uniform(state, -22.0, 22.0)
            cy = y + uniform(state, -22.0, 22.0)
            turn = uniform(state, 0.0, math.pi)
            length = uniform(state, 0.0, 10.0)
            radius = uniform(state, 3.0, 9.0)
            other = uniform(state, 0.6, 1.2) * radius
            _from(
                sketch,
                cx,
                cy,
                turn,
                length,
                radius,
                other,
                0.85 if chance(state, 0.5) else 0.0,
                amount,
            )


@compiled
def _finger(sketch, x, y, angle, hollow, amount):
    """Add a row of ever shorter bones with joints between them."""
    state = sketch.state
    radius = uniform(state, 3.0, 6.0)
    length = uniform(state, 30.0, 60.0)
    for _ in range(integer(state, 1, 4)):
        x, y = _from(sketch, x, y, angle, length, radius, 0.9 * radius, hollow, amount)
        x = x + 2.0 * radius * math.cos(angle)
        y = y + 2.0 * radius * math.sin(angle)
        length = 0.65 * length
        radius = 0.9 * radius
        angle = angle + uniform(state, -0.2, 0.2)


@compiled
def add_soft_tissue(sketch):
    """Add an arm or leg about the middle of the image, along the anatomy, and folds of tissue, or holes, anywhere."""
    state = sketch.state
    half = sketch.half
    amount = uniform(state, 0.004, 0.02)
    if chance(state, 0.8):
        angle = uniform(state, -0.3, 0.3) + sketch.along
        x = uniform(state, -0.3, 0.3) * half
        y = uniform(state, -0.3, 0.3) * half
        dx = 3.0 * half * math.cos(angle)
        dy = 3.0 * half * math.sin(angle)
        back = uniform(state, 0.2, 1.0)
        radius = uniform(state, 12.0, 40.0)
        r0 = radius * uniform(state, 0.6, 1.2)
        capsule(sketch, x - back * dx, y - back * dy, x + dx, y + dy, r0, radius, 0.0, amount)
    for _ in range(integer(state, 0, 3)):
        x = uniform(state, -half, half)
        y = uniform(state, -half, half)
        angle = uniform(state, 0.0, math.pi)
        length = uniform(state, 0.0, 1.5) * half
        radius = uniform(state, 6.0, 25.0)
        share = uniform(state, -0.3, 0.7)
        _from(
            sketch,
            x,
            y,
            angle,
            length,
            radius,
            radius * uniform(state, 0.5, 1.5),
            0.0,
            share * amount,
        )
