"""X-rays that mislead: metal, narrow fields, scatter and weak bone, overlays and other nuisances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..geometry.camera import Camera
from .cases import PIXEL_MM, random_shutters
from .simulator import (
    FULL_SCALE,
    SimulatedXRay,
    Wire,
    chord_lengths,
    hip_prosthesis,
    random_implant,
    random_wires,
    rods_and_screws,
)

Changes = Callable[[np.random.Generator], dict[str, Any]]
#: How X-rays are taken, by fields of `SimulatedXRay`: the same in all views, or drawn for each. Blades are a third to two thirds of the
#: image, shutters asymmetrical, over 25 to 45 %; scatter is two to four times the primary, with few photons; weak bone has lost a third to
#: two thirds of its mineral since the CT was taken.
ALIKE: dict[str, Changes] = {
    "wires": lambda rng: {"metal": random_wires(rng)},
    "rods": lambda rng: {"metal": random_implant(rng, rods_and_screws)},
    "prosthesis": lambda rng: {"metal": random_implant(rng, hip_prosthesis)},
    "blades": lambda rng: {"collimation": tuple(rng.integers(60, 120, 4).tolist())},
    "scatter": lambda rng: {"scatter_to_primary": rng.uniform(2, 4), "photons": rng.uniform(150, 500)},
    "weak": lambda rng: {"mineral": rng.uniform(0.35, 0.65)},
    "round field": lambda rng: {"round_field": True},
}
EACH: dict[str, Changes] = {
    "shutters": lambda rng: {"collimation": random_shutters(rng), "blade_sd_mm": rng.uniform(1, 2.5)},
}
TAKEN = (*ALIKE, *EACH)


def xrays_with(rng: np.random.Generator, names: Sequence[str], views: int) -> list[SimulatedXRay]:
    """How each view is taken: noise and scatter as they vary, an open field, but for those of the names that are in TAKEN."""
    plain = SimulatedXRay(PIXEL_MM, photons=rng.uniform(500, 3000), scatter_to_primary=rng.uniform(0.3, 1.0))
    xrays = [plain] * views
    for name in names:
        if name in EACH:
            xrays = [replace(xray, **EACH[name](rng)) for xray in xrays]
        elif name in ALIKE:
            changes = ALIKE[name](rng)
            xrays = [replace(xray, **changes) for xray in xrays]
    return xrays


#: Linear attenuation, 1/mm: diluted iodine (150 mg/ml), plaster, the skins of a carbon table, steel, all near 60 keV.
IODINE, PLASTER, CARBON, STEEL = 0.11, 0.035, 0.03, 0.95
#: The least and the largest share of the image that tools cover.
TOOLS_COVER = 0.10, 0.25

#: What is put on a detected image (rows, columns), bone dark, that was taken by a camera.
Overlay = Callable[[np.ndarray, Camera], np.ndarray]


def overlays_with(rng: np.random.Generator, names: Sequence[str]) -> list[Overlay]:
    """What is put on each view's image afterwards, of the names that are in OVERLAYS; things in space are the same in all views."""
    return [OVERLAYS[name](rng) for name in names if name in OVERLAYS]


def _text(rng: np.random.Generator) -> Overlay:
    """A side's letter, a line of words and numbers in a corner, and a scale, as bright or as dark as the image can be."""

    def put(image: np.ndarray, camera: Camera) -> np.ndarray:
        columns, rows = camera.size
        stencil = Image.new("L", (columns, rows))
        draw = ImageDraw.Draw(stencil)
        for size, words in ((rows // 12, rng.choice(["L", "R"])), (rows // 28, "LAO 12  CRAN 3\n71 kV  4.2 mA")):
            at = rng.uniform(0.02, 0.75) * columns, rng.choice([0.02, 0.85]) * rows
            draw.text(at, str(words), fill=255, font=ImageFont.load_default(size))
        ruler = 0.97 * columns
        for tick in np.linspace(0.3, 0.7, 9) * rows:
            draw.line([(ruler - columns // 60, tick), (ruler, tick)], fill=255, width=2)
        return np.where(np.asarray(stencil) > 127, rng.choice([0, FULL_SCALE]), image).astype(image.dtype)

    return put


def _saturated(rng: np.random.Generator) -> Overlay:
    """All above a value is white, in a fifth to half of the image: the detector's range ends there."""
    covered = rng.uniform(0.2, 0.5)

    def put(image: np.ndarray, camera: Camera) -> np.ndarray:
        most = max(float(np.quantile(image, 1 - covered)), 1.0)
        return np.rint(np.minimum(image / most, 1) * FULL_SCALE).astype(image.dtype)

    return put


def _tools(rng: np.random.Generator) -> Overlay:
    """Shafts and jaws of instruments that come in from the edge, over TOOLS_COVER of each image, and let little through."""

    def put(image: np.ndarray, camera: Camera) -> np.ndarray:
        columns, rows = camera.size
        stencil = Image.new("L", (columns, rows))
        draw, wanted = ImageDraw.Draw(stencil), rng.uniform(*TOOLS_COVER)
        while np.mean(np.asarray(stencil) > 0) < wanted:
            side, middle = rng.uniform(0, 2 * np.pi), np.array([columns, rows]) / 2
            tip = middle + rng.uniform(-0.25, 0.25, 2) * [columns, rows]
            handle = middle + np.array([np.cos(side), np.sin(side)]) * columns
            wide = rng.uniform(0.015, 0.045) * columns
            draw.line([tuple(handle), tuple(tip)], fill=255, width=round(wide))
            draw.ellipse([tuple(tip - 1.5 * wide), tuple(tip + 1.5 * wide)], fill=255)
        through = np.where(np.asarray(stencil) > 0, rng.uniform(0.02, 0.2), 1)
        return np.rint(image * through).astype(image.dtype)

    return put


def _contrast(rng: np.random.Generator) -> Overlay:
    """Vessels of 3 to 9 mm with contrast agent that wind through the middle, world mm."""
    tubes: list[Wire] = []
    for _ in range(rng.integers(2, 5)):
        points = np.cumsum(
            np.vstack([rng.uniform(-50, 50, 3), rng.normal(0, 12, (8, 3)) + rng.normal(0, 9, 3)]), axis=0
        )
        wide = rng.uniform(3, 9)
        tubes += [Wire(tuple(start), tuple(end), wide) for start, end in pairwise(points)]
    return _attenuated(lambda camera: IODINE * np.sum([chord_lengths(camera, tube) for tube in tubes], axis=0))


def _cast(rng: np.random.Generator) -> Overlay:
    """A tube of plaster along the body, world mm."""
    middle, lean, wide = rng.uniform(-15, 15, 3), rng.normal(0, 0.1, 2), rng.uniform(130, 190)
    half = np.array([*lean, 1.0]) * 200
    outer = Wire(tuple(middle - half), tuple(middle + half), wide)
    inner = replace(outer, diameter_mm=wide - 2 * rng.uniform(5, 10))
    return _attenuated(lambda camera: PLASTER * (chord_lengths(camera, outer) - chord_lengths(camera, inner)))


def _table(rng: np.random.Generator) -> Overlay:
    """A table's carbon tube frame behind the patient, and a steel rail along one side, world mm (LPS)."""
    behind, aside = rng.uniform(95, 150), rng.uniform(-40, 40)

    def tube(x: float, wide: float) -> Wire:
        return Wire((x, behind, -300.0), (x, behind, 300.0), wide)

    frame = [tube(aside + x, 30.0) for x in (-75.0, 0.0, 75.0)]
    rail = tube(aside + rng.choice([-1, 1]) * 45.0, 12.0)
    bore = replace(rail, diameter_mm=9.0)
    return _attenuated(
        lambda camera: (
            CARBON * sum(chord_lengths(camera, each) for each in frame)
            + STEEL * (chord_lengths(camera, rail) - chord_lengths(camera, bore))
        )
    )


def _attenuated(exponent: Callable[[Camera], np.ndarray]) -> Overlay:
    """The image behind something more: what is written in it is weakened, and no quantum noise is drawn anew."""
    return lambda image, camera: np.rint(image * np.exp(-exponent(camera))).astype(image.dtype)


OVERLAYS: dict[str, Callable[[np.random.Generator], Overlay]] = {
    "text": _text,
    "saturated": _saturated,
    "tools": _tools,
    "contrast": _contrast,
    "cast": _cast,
    "table": _table,
}
