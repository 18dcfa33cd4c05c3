"""How an X-ray looks that is made from what a body attenuates: by its source, detector and processing.

Real X-rays differ from each other far more than those of one simulated detector. An `Appearance` is
one description of an image chain, drawn at random; `GROUPS` are kinds of machines, so that a model
can be judged on a kind that it was not fitted to. `Things` are what X-rays and CT show differently:
couch, head rest and contrast agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, shift

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.rigid import transform_points
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.reading import raw_image
from MultiViewRegistrationLib.imaging.xray import XRay, to_line_integrals

from .body import transmission
from .simulator import Wire, chord_lengths

#: cm^2/g of water and of bone where all is Compton scatter, near 2 MeV: as their electrons are.
MEGAVOLT_WATER, MEGAVOLT_BONE = 0.0494, 0.0472
#: Scatter is as wide as this on the detector, glare of an intensifier as this, mm.
SCATTER_MM, GLARE_MM = 40.0, 25.0
#: The image before, of which a lagging detector still shows a share, showed the body so far away.
LAG_MM = 12.0
#: g/cm^3: a couch's carbon tubes as water, diluted contrast agent as bone; and their HU.
CARBON_DENSITY, AGENT_DENSITY, CARBON_HU, AGENT_HU = 1.4, 2.5, 300.0, 350.0


@dataclass(frozen=True)
class Appearance:
    """One image chain. Lengths are mm on the detector.

    Parameters
    ----------
    megavolts : the source is a linear accelerator's: electron density alone, no photo effect.
    photons : detected in a pixel, in the image's median.
    scatter_to_primary : of their means; 1 is half of the image.
    blur_mm : standard deviation, of focal spot and detector.
    glare : share of the light that is spread widely.
    vignetting : loss in the corners.
    gamma : power of the detected intensity; 1 is linear.
    saturated : share of the image that is brighter than the detector's range.
    lag : share of the image before this one, LAG_MM aside.
    logarithm : the image is stored as line integrals, bone bright.
    sharpened, sharpened_mm : so many times the detail below a width is added to the logarithm.
    bits : of grey levels.
    grid, grid_mm : amplitude and period of an anti-scatter grid's lines.
    ruler : a scale and letters are burned in.
    slice_mm, kernel_mm : of the CT that is registered: thickness of its slices, and how much softer
        (or sharper, if negative) its kernel is than it was.
    """

    megavolts: bool = False
    photons: float = 1500.0
    scatter_to_primary: float = 0.4
    blur_mm: float = 0.3
    glare: float = 0.0
    vignetting: float = 0.1
    gamma: float = 1.0
    saturated: float = 0.0
    lag: float = 0.0
    logarithm: bool = False
    sharpened: float = 0.0
    sharpened_mm: float = 3.0
    bits: int = 14
    grid: float = 0.0
    grid_mm: float = 2.0
    ruler: bool = False
    slice_mm: float = 0.0
    kernel_mm: float = 0.0

    def xray(self, materials: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> XRay:
        """The X-ray of what rays cross: water and bone (2, rows, columns), g/cm^2."""
        water, bone = materials
        if self.megavolts:
            primary = np.exp(-MEGAVOLT_WATER * water - MEGAVOLT_BONE * bone)
        else:
            primary = transmission(water, bone, np.zeros_like(water))
        image = self._detected(primary, pixel_mm, rng)
        steps = 2**self.bits - 1
        if self.logarithm:
            image = self._sharpened(-np.log(np.maximum(image, 1e-5)), pixel_mm)
            low, high = np.percentile(image, [0.1, 99.9])
            image = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
        else:
            if self.sharpened:
                image = np.exp(-self._sharpened(-np.log(np.maximum(image, 1e-5)), pixel_mm))
            white = np.quantile(image, 1 - self.saturated)
            image = np.clip(0.9 * image / white, 0, 1) ** self.gamma
        levels = np.rint(image * steps)
        if self.ruler:
            levels = self._with_ruler(levels, steps, rng)
        raw = raw_image(levels.astype(np.uint16), (pixel_mm, pixel_mm))
        return to_line_integrals(raw, "log" if self.logarithm else "linear")

    def _detected(self, primary: np.ndarray, pixel_mm: float, rng) -> np.ndarray:
        """Intensity behind scatter, blur, glare, vignetting and grid, with its noise."""
        body = -primary * np.log(np.clip(primary, 1e-9, 1))
        scatter = gaussian_filter(body, SCATTER_MM / pixel_mm, truncate=3)
        scatter *= self.scatter_to_primary * primary.mean() / max(scatter.mean(), 1e-9)
        image = gaussian_filter(primary, self.blur_mm / pixel_mm) + scatter
        if self.glare:
            wide = gaussian_filter(image, GLARE_MM / pixel_mm, truncate=3)
            image = (1 - self.glare) * image + self.glare * wide
        rows, columns = image.shape
        v, u = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        image = image * (1 - self.vignetting * (u**2 + v**2) / 2)
        if self.grid:
            lines = np.sin(2 * np.pi * np.arange(columns) * pixel_mm / self.grid_mm)
            image = image * (1 + self.grid * lines)
        if self.lag:
            before = shift(image, (0, LAG_MM / pixel_mm), order=0, mode="nearest")
            image = (1 - self.lag) * image + self.lag * before
        photons = self.photons / np.median(image)
        return rng.poisson(image * photons) / photons

    def _sharpened(self, image: np.ndarray, pixel_mm: float) -> np.ndarray:
        return image + self.sharpened * (
            image - gaussian_filter(image, self.sharpened_mm / pixel_mm)
        )

    def _with_ruler(self, levels: np.ndarray, steps: int, rng) -> np.ndarray:
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

    couch: tuple[Wire, ...] = ()
    ct_couch: tuple[Wire, ...] = ()
    vessels: tuple[Wire, ...] = ()
    agent_in: str = "xray"

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
        for hu, tubes in ((CARBON_HU, self.ct_couch), (AGENT_HU, vessels)):
            for tube in tubes:
                _fill(values, volume, tube, hu)
        return replace(given, volume=Volume(values, volume.ct_from_index))


def _chords(camera: Camera, pose: np.ndarray, tubes: Sequence[Wire]) -> np.ndarray | float:
    """(rows, columns) mm of rays within tubes of the CT at a pose."""
    moved = [tube.moved(pose[:3, :3], pose[:3, 3]) for tube in tubes]
    return sum((chord_lengths(camera, tube) for tube in moved), 0.0)


def _fill(values: np.ndarray, volume: Volume, tube: Wire, hu: float) -> None:
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


def _random_couch(rng: np.random.Generator, middle: np.ndarray, kind: str) -> tuple[Wire, ...]:
    """A couch's frame behind the body, or a rest that goes around the head, open in front."""
    if kind == "couch":
        behind, aside = rng.uniform(95, 160), rng.uniform(-40, 40)
        points = middle + np.array([[aside + x, behind, 0] for x in (-75, 0, 75)])
        return tuple(
            Wire(tuple(point - [0, 0, 300]), tuple(point + [0, 0, 300]), rng.uniform(15, 30))
            for point in points
        )
    if kind == "rest":
        angles, radius = np.linspace(0.1, 0.9, 9) * np.pi, rng.uniform(90, 130)
        arc = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
        at = middle + radius * arc + [0, 0, rng.uniform(-60, 60)]
        wide = rng.uniform(8, 20)
        return tuple(Wire(tuple(a), tuple(b), wide) for a, b in pairwise(at))
    return ()


def _random_vessels(rng: np.random.Generator, middle: np.ndarray) -> tuple[Wire, ...]:
    """Vessels of 3 to 9 mm that wind through the middle."""
    tubes: list[Wire] = []
    for _ in range(rng.integers(2, 5)):
        steps = rng.normal(0, 12, (8, 3)) + rng.normal(0, 9, 3)
        points = middle + np.cumsum(np.vstack([rng.uniform(-50, 50, 3), steps]), axis=0)
        wide = rng.uniform(3, 9)
        tubes += [Wire(tuple(a), tuple(b), wide) for a, b in pairwise(points)]
    return tuple(tubes)


Draw = Callable[[np.random.Generator], dict[str, Any]]

#: Kinds of machines: what is drawn of each.
GROUPS: dict[str, Draw] = {
    "flat panel": lambda rng: {
        "scatter_to_primary": rng.uniform(0.1, 0.8),
        "photons": 10 ** rng.uniform(2.5, 3.6),
        "bits": int(rng.choice([12, 14, 16])),
        "grid": rng.choice([0.0, rng.uniform(0.0, 0.05)]),
    },
    "intensifier": lambda rng: {
        "glare": rng.uniform(0.1, 0.4),
        "gamma": 10 ** rng.uniform(-0.3, 0.3),
        "vignetting": rng.uniform(0.2, 0.6),
        "blur_mm": rng.uniform(0.4, 0.9),
        "saturated": rng.uniform(0, 0.3),
        "lag": rng.choice([0.0, rng.uniform(0.0, 0.1)]),
        "bits": int(rng.choice([8, 10])),
    },
    "processed": lambda rng: {
        "logarithm": bool(rng.random() < 0.6),
        "sharpened": rng.uniform(0.5, 3.0),
        "sharpened_mm": rng.uniform(1.5, 10.0),
        "scatter_to_primary": rng.uniform(0.2, 1.0),
        "bits": int(rng.choice([8, 12])),
        "ruler": bool(rng.random() < 0.5),
    },
    "scout": lambda rng: {
        "logarithm": True,
        "scatter_to_primary": rng.uniform(0.0, 0.1),
        "blur_mm": rng.uniform(0.8, 1.6),
        "sharpened": rng.uniform(0.0, 1.5),
        "sharpened_mm": rng.uniform(2.0, 6.0),
        "photons": 10 ** rng.uniform(2.0, 3.0),
        "bits": 12,
    },
    "portal": lambda rng: {
        "megavolts": True,
        "scatter_to_primary": rng.uniform(0.1, 0.4),
        "blur_mm": rng.uniform(0.6, 1.6),
        "gamma": 10 ** rng.uniform(-0.3, 0.3),
        "photons": 10 ** rng.uniform(2.5, 4.0),
        "bits": int(rng.choice([8, 8, 12])),
        "vignetting": rng.uniform(0.0, 0.4),
    },
    "scattered": lambda rng: {
        "scatter_to_primary": rng.uniform(0.8, 1.2),
        "photons": 10 ** rng.uniform(2.0, 3.0),
        "bits": int(rng.choice([8, 12])),
        "saturated": rng.uniform(0, 0.2),
    },
}


def random_appearance(rng: np.random.Generator, group: str) -> Appearance:
    """One of a group, with a CT of any kind."""
    return Appearance(
        **GROUPS[group](rng),
        slice_mm=float(rng.choice([0.0, 0.0, 2.5, 3.0, 5.0])),
        kernel_mm=float(rng.choice([0.0, 0.0, 0.8, 1.5, -1.0])),
    )
