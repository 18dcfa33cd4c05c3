"""X-rays that mislead, each for a reason of its own: what is not in the CT, what is not in the image, what is hardly in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .cases import PIXEL_MM, random_shutters
from .implants import hip_prosthesis, random_implant, random_wires, rods_and_screws
from .simulator import SimulatedXRay


def plain_xray(rng: np.random.Generator) -> SimulatedXRay:
    """An open field, noise and scatter as they vary."""
    return SimulatedXRay(PIXEL_MM, photons=rng.uniform(500, 3000), scatter_to_primary=rng.uniform(0.3, 1.0))


def hard_xrays(rng: np.random.Generator, kind: str, views: int) -> list[SimulatedXRay]:
    """One for each view, hard in one of KINDS; or "mixed": metal, a narrow field, scatter and weak bone all at once."""
    xrays = [plain_xray(rng)] * views
    if kind != "mixed":
        return KINDS[kind](rng, xrays)
    for choices in (("wires", "rods", "prosthesis"), ("blades", "shutters"), ("scatter",), ("weak",)):
        xrays = KINDS[choices[rng.integers(len(choices))]](rng, xrays)
    return xrays


def _all_alike(xrays: list[SimulatedXRay], **changes) -> list[SimulatedXRay]:
    return [replace(xray, **changes) for xray in xrays]


def _wires(rng: np.random.Generator, xrays: list[SimulatedXRay]) -> list[SimulatedXRay]:
    return _all_alike(xrays, metal=random_wires(rng))


def _rods(rng: np.random.Generator, xrays: list[SimulatedXRay]) -> list[SimulatedXRay]:
    return _all_alike(xrays, metal=random_implant(rng, rods_and_screws))


def _prosthesis(rng: np.random.Generator, xrays: list[SimulatedXRay]) -> list[SimulatedXRay]:
    return _all_alike(xrays, metal=random_implant(rng, hip_prosthesis))


def _blades(rng: np.random.Generator, xrays: list[SimulatedXRay]) -> list[SimulatedXRay]:
    """The same narrow field in all views, a third to two thirds of the image."""
    return _all_alike(xrays, collimation=tuple(rng.integers(60, 120, 4).tolist()))


def _shutters(rng: np.random.Generator, xrays: list[SimulatedXRay]) -> list[SimulatedXRay]:
    """Of its own in each view, asymmetrical, over 25 to 45 % of the image."""
    return [replace(xray, collimation=random_shutters(rng), blade_sd_mm=rng.uniform(1, 2.5)) for xray in xrays]


def _scatter(rng: np.random.Generator, xrays: list[SimulatedXRay]) -> list[SimulatedXRay]:
    """Two to four times the primary, and few photons."""
    return _all_alike(xrays, scatter_to_primary=rng.uniform(2, 4), photons=rng.uniform(150, 500))


def _weak(rng: np.random.Generator, xrays: list[SimulatedXRay]) -> list[SimulatedXRay]:
    """Bone that has lost a third to two thirds of its mineral since the CT was taken."""
    return _all_alike(xrays, mineral=rng.uniform(0.35, 0.65))


KINDS: dict[str, Callable[[np.random.Generator, list[SimulatedXRay]], list[SimulatedXRay]]] = {
    "wires": _wires,
    "rods": _rods,
    "prosthesis": _prosthesis,
    "blades": _blades,
    "shutters": _shutters,
    "scatter": _scatter,
    "weak": _weak,
}
