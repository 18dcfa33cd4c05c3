"""Metal in the body that the CT does not show: wires, and implants that leave hardly a photon behind them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .simulator import Ball, Metal, Wire


def random_wires(rng: np.random.Generator) -> tuple[Wire, ...]:
    """Two Kirschner wires and a screw within 80 mm of the isocentre, world mm."""
    wires = []
    for diameter, length in ((1.6, 120.0), (2.0, 90.0), (5.0, 45.0)):
        direction = rng.normal(size=3)
        half = direction / np.linalg.norm(direction) * length / 2
        middle = rng.uniform(-40, 40, 3)
        wires.append(Wire(tuple(middle - half), tuple(middle + half), diameter))
    return tuple(wires)


def random_implant(rng: np.random.Generator, build: Callable[[], tuple[Metal, ...]] | None = None) -> tuple[Metal, ...]:
    """A hip prosthesis or a spine's rods and screws, or what is asked for, a few cm from the isocentre, world mm (LPS)."""
    build = build or (hip_prosthesis, rods_and_screws)[rng.integers(2)]
    centre = rng.uniform(-30, 30, 3)
    side = np.array([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    tilt = np.eye(3) + np.cross(np.eye(3), rng.uniform(-0.15, 0.15, 3))  # a small turn
    return tuple(part.moved(tilt * side, centre) for part in build())


def hip_prosthesis() -> tuple[Metal, ...]:
    """A left one: ball of 32 mm, neck, and a stem that tapers downwards; mm, left, posterior, up, from its middle."""
    ends = [(0, 0, 55), (28, 0, 28), (34, 0, -15), (36, 0, -60), (37, 0, -105)]
    diameters = (15, 22, 17, 12)
    stem = [Wire(start, end, diameter) for start, end, diameter in zip(ends, ends[1:], diameters)]
    return (Ball(ends[0], 32.0), *stem)


def rods_and_screws() -> tuple[Metal, ...]:
    """Two rods of 6 mm along the spine on four pairs of screws with their heads, and two links across."""
    parts: list[Metal] = []
    for x in (-20.0, 20.0):
        parts.append(Wire((x, 0, -70), (x, 0, 70), 6.0))
        for z in (-60.0, -20.0, 20.0, 60.0):
            parts += [Ball((x, 0, z), 15.0), Wire((x, 0, z), (0.4 * x, -48, z + 4), 6.5)]
    return (*parts, *(Wire((-20, 3, z), (20, 3, z), 5.0) for z in (-40.0, 40.0)))
