"""How an X-ray looks that is made from what a body attenuates: by its source, detector and processing.

An `Appearance` is a machine, drawn as for training images from one of `KINDS`, so that a model can
be judged on a kind that it was not fitted to. `Things` are what X-rays and CT show differently:
couch, head rest and contrast agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, shift

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.rigid import transform_points
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.reading import raw_image
from MultiViewRegistrationLib.imaging.xray import XRay, to_line_integrals
from MultiViewRegistrationLib.regressor.machine import (
    KINDS,
    LAG_MM,
    Machine,
    draw_machine,
)

from .body import transmission
from .simulator import Wire, chord_lengths, tubes

#: Scatter is as wide as this on the detector, glare of an intensifier as this, and a grid's period.
SCATTER_MM, GLARE_MM, GRID_MM = 40.0, 25.0, 2.0
#: g/cm^3: a couch's carbon tubes as water, diluted contrast agent as bone; and their HU.
CARBON_DENSITY, AGENT_DENSITY, CARBON_HU, AGENT_HU = 1.4, 2.5, 300.0, 350.0


@dataclass(frozen=True)
class Appearance:
    """A machine that takes X-rays, and a CT scanner.

    Parameters
    ----------
    slice_mm, kernel_mm : of the CT that is registered: thickness of its slices, and how much softer
        (or sharper, if negative) its kernel is than it was.
    """

    machine: Machine = field(default_factory=Machine)
    slice_mm: float = 0.0
    kernel_mm: float = 0.0

    def xray(self, materials: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> XRay:
        """The X-ray of what rays cross: water and bone (2, rows, columns), g/cm^2."""
        of = self.machine
        water, bone = materials
        primary = transmission(water, bone, np.zeros_like(water))
        image = self._detected(primary, pixel_mm, rng)
        steps = round(2**of.bits) - 1
        if of.logarithm:
            image = self._sharpened(-np.log(np.maximum(image, 1e-5)), pixel_mm)
            low, high = np.percentile(image, [0.1, 99.9])
            image = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
        else:
            if of.sharpened:
                image = np.exp(-self._sharpened(-np.log(np.maximum(image, 1e-5)), pixel_mm))
            white = np.quantile(image, 1 - of.saturated)
            image = np.clip(0.9 * image / white, 0, 1) ** of.gamma
        levels = np.rint(image * steps)
        if of.ruler:
            levels = self._with_ruler(levels, steps, rng)
        raw = raw_image(levels.astype(np.uint16), (pixel_mm, pixel_mm))
        return to_line_integrals(raw, "log" if of.logarithm else "linear")

    def _detected(self, primary, pixel_mm, rng):
        """Intensity behind scatter, blur, glare, vignetting and grid, with its noise."""
        of = self.machine
        body = -primary * np.log(np.clip(primary, 1e-9, 1))
        scatter = gaussian_filter(body, SCATTER_MM / pixel_mm, truncate=3)
        scatter *= of.scatter_to_primary * primary.mean() / max(scatter.mean(), 1e-9)
        image = gaussian_filter(primary, of.blur_mm / pixel_mm) + scatter
        if of.glare:
            wide = gaussian_filter(image, GLARE_MM / pixel_mm, truncate=3)
            image = (1 - of.glare) * image + of.glare * wide
        rows, columns = image.shape
        v, u = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        image = image * (1 - of.vignetting * (u**2 + v**2) / 2)
        if of.grid:
            lines = np.sin(2 * np.pi * np.arange(columns) * pixel_mm / GRID_MM)
            image = image * (1 + of.grid * lines)
        if of.lag:
            before = shift(image, (0, LAG_MM / pixel_mm), order=0, mode="nearest")
            image = (1 - of.lag) * image + of.lag * before
        photons = of.photons / np.median(image)
        return rng.poisson(image * photons) / photons

    def _sharpened(self, image, pixel_mm):
        of = self.machine
        detail = image - gaussian_filter(image, of.sharpened_mm / pixel_mm)
        return image + of.sharpened * detail

    def _with_ruler(self, levels, steps, rng):
        """Ticks along one side, and a block of letters in a corner."""
        rows, columns = levels.shape
        for n, row in enumerate(range(rows // 10, rows - rows // 10, rows // 24)):
            levels[row : row + 2, : columns // (20 if n % 5 == 0 else 40)] = steps
        letters = rng.random((rows // 24, columns // 8)) < 0.4
        levels[: letters.shape[0], -letters.shape[1] :][letters] = steps
        return levels

    def ct(self, given: CT) -> CT:
        """The CT with slices and a kernel of this kind."""
        volume = given.volume
        values = volume.values.astype(np.float32)
        spacing = volume.spacing_mm
        if self.kernel_mm:
            soft = values.copy()
            for axis in (1, 2):
                soft = gaussian_filter1d(soft, abs(self.kernel_mm) / spacing[2 - axis], axis)
            values = soft if self.kernel_mm > 0 else 1.5 * values - 0.5 * soft
        factor = max(1, round(self.slice_mm / spacing[2]))
        made = Volume(values, volume.ct_from_index)
        return replace(given, volume=made.pooled((1, 1, factor)) if factor > 1 else made)


@dataclass(frozen=True)
class Things:
    """What lies about the body or in it, in CT mm: tubes of a couch and a head rest, and vessels.

    Parameters
    ----------
    couch, ct_couch : those of the X-rays, and of the CT, each of which may have none.
    vessels : with contrast agent, in `agent_in`, "xray" or "ct".
    """

    couch: Sequence[Wire]
    ct_couch: Sequence[Wire]
    vessels: Sequence[Wire]
    agent_in: str

    def materials(self, materials: np.ndarray, camera: Camera, pose: np.ndarray) -> np.ndarray:
        """What rays cross, with these things: water and bone (2, rows, columns), g/cm^2."""
        water, bone = materials
        vessels = self.vessels if self.agent_in == "xray" else ()
        water = water + CARBON_DENSITY / 10 * _chords(camera, pose, self.couch)  # mm g/cm^3
        bone = bone + AGENT_DENSITY / 10 * _chords(camera, pose, vessels)
        return np.stack([water, bone])

    def ct(self, given: CT) -> CT:
        """The CT with its couch, and contrast agent if it is there."""
        volume = given.volume
        values = volume.values.astype(np.float32)
        vessels = self.vessels if self.agent_in == "ct" else ()
        for hu, things in ((CARBON_HU, self.ct_couch), (AGENT_HU, vessels)):
            for tube in things:
                _fill(values, volume, tube, hu)
        return replace(given, volume=Volume(values, volume.ct_from_index))


def _chords(camera, pose, tubes):
    """(rows, columns) mm of rays within tubes of the CT at a pose."""
    moved = [tube.moved(pose[:3, :3], pose[:3, 3]) for tube in tubes]
    return sum((chord_lengths(camera, tube) for tube in moved), 0.0)


def _fill(values, volume, tube, hu):
    """Make all of a tube at least as dense as this, in values (k, j, i) of the volume's grid."""
    ends = np.array([tube.start, tube.end])
    index = transform_points(volume.index_from_ct, ends)[:, ::-1]
    reach = tube.diameter_mm / 2 / volume.spacing_mm[::-1] + 1
    low = np.clip(np.floor(index.min(axis=0) - reach), 0, values.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + reach) + 1, 0, values.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    places = np.moveaxis(np.mgrid[box], 0, -1)[..., ::-1].astype(float)
    off = transform_points(volume.ct_from_index, places.reshape(-1, 3)) - ends[0]
    axis = ends[1] - ends[0]
    along = np.clip(off @ axis / (axis @ axis), 0, 1)[:, None] * axis
    inside = np.linalg.norm(off - along, axis=1) <= tube.diameter_mm / 2
    part = values[box]
    part[inside.reshape(part.shape)] = np.maximum(part[inside.reshape(part.shape)], hu)


def random_things(rng: np.random.Generator, middle: np.ndarray) -> Things:
    """Each of the X-rays and the CT has a couch or a head rest of its own, or none; half the bodies have contrast agent in one of the two.

    middle: (3,) CT mm, of the body.
    """
    kinds = rng.choice(["none", "couch", "rest"], 2)
    vessels = _random_vessels(rng, middle) if rng.random() < 0.5 else ()
    couch, ct_couch = (_random_couch(rng, middle, str(kind)) for kind in kinds)
    return Things(couch, ct_couch, vessels, str(rng.choice(["xray", "ct"])))


def _random_couch(rng, middle, kind):
    """A couch's frame behind the body, or a rest that goes around the head, open in front."""
    if kind == "couch":
        behind, aside = rng.uniform(95, 160), rng.uniform(-40, 40)
        couch: list[Wire] = []
        for x in (-75, 0, 75):
            ends = middle + np.array([[aside + x, behind, z] for z in (-300, 300)])
            couch += tubes(ends, rng.uniform(15, 30))
        return couch
    if kind == "rest":
        angles, radius = np.linspace(0.1, 0.9, 9) * np.pi, rng.uniform(90, 130)
        arc = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
        at = middle + radius * arc + [0, 0, rng.uniform(-60, 60)]
        return tubes(at, rng.uniform(8, 20))
    return []


def _random_vessels(rng, middle):
    """Vessels of 3 to 9 mm that wind through the middle."""
    vessels: list[Wire] = []
    for _ in range(rng.integers(2, 5)):
        steps = rng.normal(0, 12, (8, 3)) + rng.normal(0, 9, 3)
        points = middle + np.cumsum(np.vstack([rng.uniform(-50, 50, 3), steps]), axis=0)
        vessels += tubes(points, rng.uniform(3, 9))
    return vessels


def random_appearance(rng: np.random.Generator, kind: str) -> Appearance:
    """A machine of one of KINDS, with a CT of any."""
    return Appearance(
        draw_machine(list(KINDS).index(kind), rng),
        slice_mm=float(rng.choice([0.0, 0.0, 2.5, 3.0, 5.0])),
        kernel_mm=float(rng.choice([0.0, 0.0, 0.8, 1.5, -1.0])),
    )
