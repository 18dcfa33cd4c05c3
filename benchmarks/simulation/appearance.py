"""How an X-ray looks that is made from what a body attenuates: by its source, detector and processing.

Real X-rays differ from each other far more than those of one simulated detector. An `Appearance` is
one description of an image chain, drawn at random; `GROUPS` are kinds of machines, so that a model
can be judged on a kind that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.reading import raw_image
from MultiViewRegistrationLib.imaging.xray import XRay, to_line_integrals

from .body import transmission

#: cm^2/g of water and of bone where all is Compton scatter, near 2 MeV: as their electrons are.
MEGAVOLT_WATER, MEGAVOLT_BONE = 0.0494, 0.0472
#: Scatter is as wide as this on the detector, glare of an intensifier as this, mm.
SCATTER_MM, GLARE_MM = 40.0, 25.0
#: What a log image's values are multiplied by before they are rounded to grey levels.
LOG_RANGE = 8.0


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
