"""What lies in an X-ray and not in the CT, drawn at random: metal, markers, other bones, soft tissue.

All is made of capsules: wires, rods, screws, stems, balls; with a hollow inside the shafts of long bones. Positions and lengths are in mm
at the anatomy's depth, amounts in nepers a mm; `half` is half the image's height in mm. `numbers` and `capsules` are those of `drawn`, in
and out: what is added is counted in `numbers`. Compiled by numba, and by Warp, see `on_warp`.
"""

from __future__ import annotations

import math

import numba as nb

from . import drawn
from .drawn import Row, Rows, State
from .draws import TURN, chance, log_between, perhaps, uniform, whole

#: nepers in a mm of titanium and of steel, at C-arm energies.
_TITANIUM, _STEEL = 0.15, 0.7


@nb.njit(nogil=True)
def _put(
    numbers: Row,
    capsules: Rows,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    r0: float,
    r1: float,
    hollow: float,
    amount: float,
):
    """One capsule more."""
    n = int(numbers[drawn.METAL_END])
    if n < capsules.shape[0]:
        capsules[n, 0] = x0
        capsules[n, 1] = y0
        capsules[n, 2] = x1
        capsules[n, 3] = y1
        capsules[n, 4] = r0
        capsules[n, 5] = r1
        capsules[n, 6] = hollow
        capsules[n, 7] = amount
        capsules[n, 8] = 0.0
        capsules[n, 9] = 0.0
        capsules[n, 10] = 0.0
        numbers[drawn.METAL_END] = float(n + 1)


@nb.njit(nogil=True)
def add_metal(numbers: Row, capsules: Rows, half: float, state: State):
    """One of what is found in and on patients: wires, screws, rods with screws, a prosthesis, a plate, markers, an instrument."""
    x, y = uniform(state, -half, half), uniform(state, -half, half)
    angle = uniform(state, 0.0, TURN)
    steel = log_between(state, _TITANIUM, _STEEL)
    kind = whole(state, 0, 7)
    if kind == 0:
        for _ in range(whole(state, 1, 4)):
            _bar(
                numbers,
                capsules,
                state,
                uniform(state, -half, half),
                uniform(state, -half, half),
                uniform(state, 0.0, TURN),
                uniform(state, 40.0, 160.0),
                uniform(state, 0.4, 1.5),
                steel,
            )
    elif kind == 1:
        for _ in range(whole(state, 1, 3)):
            _screw(
                numbers,
                capsules,
                state,
                uniform(state, -half, half),
                uniform(state, -half, half),
                uniform(state, 0.0, TURN),
                steel,
            )
    elif kind == 2:
        _rods_and_screws(numbers, capsules, state, x, y, angle, steel)
    elif kind == 3:
        _prosthesis(numbers, capsules, state, x, y, angle, steel)
    elif kind == 4:
        _plate(numbers, capsules, state, x, y, angle, steel)
    elif kind == 5:
        _markers(numbers, capsules, state, x, y, angle, steel)
    elif kind == 6:  # an instrument that reaches in from the border
        far = 2.0 * half
        _put(
            numbers,
            capsules,
            x,
            y,
            x + far * math.cos(angle),
            y + far * math.sin(angle),
            uniform(state, 0.5, 5.0),
            uniform(state, 3.0, 14.0),
            perhaps(state, 0.4, 0.0, 0.9),
            0.6 * steel,
        )
    else:
        _cable(numbers, capsules, state, x, y, angle, steel)


@nb.njit(nogil=True)
def _bar(
    numbers: Row,
    capsules: Rows,
    state: State,
    x: float,
    y: float,
    angle: float,
    length: float,
    radius: float,
    amount: float,
):
    """A rod seen under some angle: the shorter it looks, the longer the beam's way in it."""
    seen = uniform(state, 0.35, 1.0)
    dx, dy = 0.5 * seen * length * math.cos(angle), 0.5 * seen * length * math.sin(angle)
    _put(numbers, capsules, x - dx, y - dy, x + dx, y + dy, radius, radius, 0.0, amount / seen)


@nb.njit(nogil=True)
def _screw(numbers: Row, capsules: Rows, state: State, x: float, y: float, angle: float, amount: float):
    length, radius = uniform(state, 15.0, 70.0), uniform(state, 1.2, 3.5)
    tip_x, tip_y = x + length * math.cos(angle), y + length * math.sin(angle)
    _put(numbers, capsules, x, y, tip_x, tip_y, radius, 0.7 * radius, 0.0, amount)
    _put(numbers, capsules, x, y, x + math.cos(angle), y + math.sin(angle), 1.8 * radius, 1.8 * radius, 0.0, amount)


@nb.njit(nogil=True)
def _rods_and_screws(numbers: Row, capsules: Rows, state: State, x: float, y: float, angle: float, amount: float):
    ux, uy = math.cos(angle), math.sin(angle)
    apart, length = uniform(state, 5.0, 55.0), uniform(state, 60.0, 180.0)
    rod, head, radius = uniform(state, 2.2, 3.5), uniform(state, 4.5, 8.0), uniform(state, 2.0, 3.5)
    pairs = whole(state, 2, 5)
    turn, reach = angle + uniform(state, 0.6, 2.5), uniform(state, 5.0, 50.0)
    for right in range(2):
        side = float(right) - 0.5
        sx, sy = x - side * apart * uy, y + side * apart * ux
        dx, dy = 0.5 * length * ux, 0.5 * length * uy
        _put(numbers, capsules, sx - dx, sy - dy, sx + dx, sy + dy, rod, rod, 0.0, amount)
        for n in range(pairs):
            along = length * ((float(n) + 0.5) / float(pairs) - 0.5)
            hx, hy = sx + along * ux, sy + along * uy
            _put(numbers, capsules, hx, hy, hx, hy, head, head, 0.0, amount)
            _put(
                numbers,
                capsules,
                hx,
                hy,
                hx + reach * math.cos(turn),
                hy + reach * math.sin(turn),
                radius,
                radius,
                0.0,
                amount,
            )
    for _ in range(whole(state, 0, 2)):
        along = uniform(state, -0.45, 0.45) * length
        cx, cy, dx, dy = x + along * ux, y + along * uy, -0.5 * apart * uy, 0.5 * apart * ux
        _put(numbers, capsules, cx - dx, cy - dy, cx + dx, cy + dy, 2.5, 2.5, 0.0, amount)


@nb.njit(nogil=True)
def _prosthesis(numbers: Row, capsules: Rows, state: State, x: float, y: float, angle: float, amount: float):
    ball = uniform(state, 11.0, 28.0)
    _put(numbers, capsules, x, y, x, y, ball, ball, perhaps(state, 0.3, 0.7, 0.95), amount)
    bend = angle + uniform(state, 0.3, 1.0) * (1.0 if chance(state, 0.5) else -1.0)
    neck, stem = uniform(state, 30.0, 50.0), uniform(state, 80.0, 150.0)
    nx, ny = x + neck * math.cos(angle), y + neck * math.sin(angle)
    wide = uniform(state, 7.0, 12.0)
    _put(numbers, capsules, x, y, nx, ny, 0.7 * wide, wide, 0.0, amount)
    _put(
        numbers, capsules, nx, ny, nx + stem * math.cos(bend), ny + stem * math.sin(bend), wide, 0.5 * wide, 0.0, amount
    )


@nb.njit(nogil=True)
def _plate(numbers: Row, capsules: Rows, state: State, x: float, y: float, angle: float, amount: float):
    length, radius = uniform(state, 30.0, 160.0), uniform(state, 3.0, 8.0)
    dx, dy = 0.5 * length * math.cos(angle), 0.5 * length * math.sin(angle)
    _put(numbers, capsules, x - dx, y - dy, x + dx, y + dy, radius, radius, 0.0, 0.3 * amount)
    for _ in range(whole(state, 2, 6)):
        along = uniform(state, -1.0, 1.0)
        _screw(numbers, capsules, state, x + along * dx, y + along * dy, angle + uniform(state, 1.0, 2.2), amount)


@nb.njit(nogil=True)
def _markers(numbers: Row, capsules: Rows, state: State, x: float, y: float, angle: float, amount: float):
    """Beads in a row, in a field, or anywhere."""
    apart, radius = uniform(state, 5.0, 25.0), uniform(state, 0.7, 3.5)
    ux, uy = apart * math.cos(angle), apart * math.sin(angle)
    across = whole(state, 1, 3)
    scattered = chance(state, 0.5)
    for n in range(whole(state, 2, 6)):
        for m in range(across):
            down, right = float(n), float(m)
            bx, by = x + down * ux - right * uy, y + down * uy + right * ux
            if scattered:
                bx, by = x + uniform(state, -4.0, 4.0) * apart, y + uniform(state, -4.0, 4.0) * apart
            _put(numbers, capsules, bx, by, bx, by, radius, radius, 0.0, amount)


@nb.njit(nogil=True)
def _cable(numbers: Row, capsules: Rows, state: State, x: float, y: float, angle: float, amount: float):
    radius, step = uniform(state, 0.5, 1.5), uniform(state, 8.0, 30.0)
    bend = uniform(state, -0.5, 0.5)
    for _ in range(whole(state, 4, 14)):
        nx, ny = x + step * math.cos(angle), y + step * math.sin(angle)
        _put(numbers, capsules, x, y, nx, ny, radius, radius, 0.0, 0.5 * amount)
        x, y, angle = nx, ny, angle + bend + uniform(state, -0.3, 0.3)


@nb.njit(nogil=True)
def add_bone(numbers: Row, capsules: Rows, half: float, state: State):
    """A shaft with a marrow, a fan of rows of small bones as of a hand, or a handful of round ones as of a wrist."""
    x, y = uniform(state, -half, half), uniform(state, -half, half)
    angle = uniform(state, 0.0, TURN)
    amount = log_between(state, 0.01, 0.06)
    kind = whole(state, 0, 2)
    hollow = uniform(state, 0.5, 0.85)
    if kind == 0:
        length, radius = uniform(state, 0.5, 2.5) * half, uniform(state, 4.0, 12.0)
        dx, dy = length * math.cos(angle), length * math.sin(angle)
        _put(numbers, capsules, x, y, x + dx, y + dy, radius, radius * uniform(state, 0.6, 1.4), hollow, amount)
        _put(numbers, capsules, x, y, x + 0.1 * dx, y + 0.1 * dy, 1.4 * radius, radius, 0.85, 0.7 * amount)
    elif kind == 1:
        apart, spread = uniform(state, 9.0, 18.0), uniform(state, 0.0, 0.25)
        rays = whole(state, 1, 5)
        for n in range(rays):
            off = float(n) - 0.5 * float(rays - 1)
            fx, fy = x - off * apart * math.sin(angle), y + off * apart * math.cos(angle)
            _finger(numbers, capsules, state, fx, fy, angle + off * spread, hollow, amount)
    else:
        for _ in range(whole(state, 2, 8)):
            cx, cy = x + uniform(state, -22.0, 22.0), y + uniform(state, -22.0, 22.0)
            turn, long, radius = uniform(state, 0.0, 0.5 * TURN), uniform(state, 0.0, 10.0), uniform(state, 3.0, 9.0)
            _put(
                numbers,
                capsules,
                cx,
                cy,
                cx + long * math.cos(turn),
                cy + long * math.sin(turn),
                radius,
                uniform(state, 0.6, 1.2) * radius,
                0.85 if chance(state, 0.5) else 0.0,
                amount,
            )


@nb.njit(nogil=True)
def _finger(
    numbers: Row,
    capsules: Rows,
    state: State,
    x: float,
    y: float,
    angle: float,
    hollow: float,
    amount: float,
):
    """A row of ever shorter bones with joints between them."""
    radius, length = uniform(state, 3.0, 6.0), uniform(state, 30.0, 60.0)
    for _ in range(whole(state, 1, 4)):
        nx, ny = x + length * math.cos(angle), y + length * math.sin(angle)
        _put(numbers, capsules, x, y, nx, ny, radius, 0.9 * radius, hollow, amount)
        x, y = nx + 2.0 * radius * math.cos(angle), ny + 2.0 * radius * math.sin(angle)
        length, radius, angle = 0.65 * length, 0.9 * radius, angle + uniform(state, -0.2, 0.2)


@nb.njit(nogil=True)
def add_soft_tissue(numbers: Row, capsules: Rows, half: float, state: State):
    """An arm or leg about the middle of the image, along the bone within it, and folds of tissue, or holes in it, anywhere."""
    amount = uniform(state, 0.004, 0.02)
    if chance(state, 0.8):
        angle = uniform(state, -0.3, 0.3)
        x, y = uniform(state, -0.3, 0.3) * half, uniform(state, -0.3, 0.3) * half
        dx, dy = 3.0 * half * math.cos(angle), 3.0 * half * math.sin(angle)
        back, radius = uniform(state, 0.2, 1.0), uniform(state, 12.0, 40.0)
        _put(
            numbers,
            capsules,
            x - back * dx,
            y - back * dy,
            x + dx,
            y + dy,
            radius * uniform(state, 0.6, 1.2),
            radius,
            0.0,
            amount,
        )
        last = int(numbers[drawn.METAL_END]) - 1
        capsules[last, 8] = 1.0
        capsules[last, 9] = x
        capsules[last, 10] = y
    for _ in range(whole(state, 0, 3)):
        x, y, angle = uniform(state, -half, half), uniform(state, -half, half), uniform(state, 0.0, 0.5 * TURN)
        length, radius = uniform(state, 0.0, 1.5) * half, uniform(state, 6.0, 25.0)
        share = uniform(state, -0.3, 0.7)
        _put(
            numbers,
            capsules,
            x,
            y,
            x + length * math.cos(angle),
            y + length * math.sin(angle),
            radius,
            radius * uniform(state, 0.5, 1.5),
            0.0,
            share * amount,
        )
