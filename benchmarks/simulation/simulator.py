"""X-ray images as a C-arm takes them: spectrum, scatter, noise, blur, field, gain.

And with what makes them hard to register.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from MultiViewRegistrationLib.geometry.camera import Camera

from .body import BONE_DENSITY, IRON_DENSITY, transmission
from .projector import MaterialProjector

SIZE = 512, 512
PIXEL_MM = 0.58
FULL_SCALE = 65535
#: g/cm^2 of water and bone: the exposure is set for what lies behind at least this much.
IN_TISSUE = 5.0


@dataclass(frozen=True)
class Wire:
    """A straight steel wire (a Kirschner wire, a screw without its thread).

    Its ends in world mm.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    diameter_mm: float = 2.0

    def moved(self, linear: np.ndarray, shift: np.ndarray) -> Wire:
        """The wire with its ends taken to linear @ end + shift; linear (3, 3), shift (3,)."""
        start, end = (tuple((linear @ point + shift).tolist()) for point in (self.start, self.end))
        return Wire(start, end, self.diameter_mm)


@dataclass(frozen=True)
class Ball:
    """A steel ball: its centre in world mm."""

    centre: tuple[float, float, float]
    diameter_mm: float

    def moved(self, linear: np.ndarray, shift: np.ndarray) -> Ball:
        """The ball with its centre taken to linear @ centre + shift."""
        return Ball(tuple((linear @ self.centre + shift).tolist()), self.diameter_mm)


Metal = Wire | Ball


@dataclass(frozen=True)
class SimulatedXRay:
    """The settings of an image. Lengths in mm are on the detector.

    photons: detected in a pixel, in the image's median (automatic exposure control).
    scatter_to_primary: of their medians, behind an anti-scatter grid.
    scatter_sd_mm, focal_spot_sd_mm, detector_sd_mm: blur of the scatter, before and after the
    quantum noise. vignetting: loss of intensity in the corners. round_field: black outside the
    largest circle. collimation: columns and rows (left, top, right, bottom) covered by the
    collimator's blades.
    blade_sd_mm: blur of the blades' edges.   metal: in the body, and not in the CT.
    mineral: the share of the bone's mineral that is left; marrow is where the rest was.
    """

    pixel_mm: float = PIXEL_MM
    photons: float = 1500.0
    scatter_to_primary: float = 0.5
    scatter_sd_mm: float = 40.0
    focal_spot_sd_mm: float = 0.2
    detector_sd_mm: float = 0.25
    vignetting: float = 0.15
    round_field: bool = False
    collimation: tuple[int, int, int, int] = (0, 0, 0, 0)
    blade_sd_mm: float = 0.58
    metal: tuple[Metal, ...] = ()
    mineral: float = 1.0

    def take(
        self,
        projector: MaterialProjector,
        camera: Camera,
        world_from_ct: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The image, uint16 (rows, columns), bone dark.

        Detected intensity with a random gain and offset.
        """
        water, bone = projector.project(camera, world_from_ct)
        water, bone = water + (1 - self.mineral) * bone / BONE_DENSITY, self.mineral * bone
        iron = np.zeros_like(water)
        for part in self.metal:
            iron += chord_lengths(camera, part) * (IRON_DENSITY / 10)  # mm g/cm^3 to g/cm^2
        primary = self._blurred(transmission(water, bone, iron), self.focal_spot_sd_mm)
        open_field, black = self._field(camera, rng)
        signal = (primary + self._scatter(primary)) * open_field

        photons = self.photons / np.median(signal[~black])
        signal = rng.poisson(signal * photons) / photons
        signal = self._blurred(signal, self.detector_sd_mm)

        tissue = (water + bone > IN_TISSUE) & ~black
        brightest = np.percentile(signal[tissue if tissue.any() else ~black], 99.5)
        gain = FULL_SCALE * rng.uniform(0.5, 0.9) / brightest
        offset = FULL_SCALE * rng.uniform(0.0, 0.004)
        grey = np.clip(np.rint(gain * signal + offset), 0, FULL_SCALE)
        return np.where(black, 0, grey).astype(np.uint16)

    def shows(self, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(N,) bool: which pixels (N, 2) are well within the image's largest circle and behind no blade."""
        centre = (np.array(size) - 1) / 2
        left_top, right_bottom = np.array(self.collimation).reshape(2, 2)
        uncovered = ((pixels >= left_top) & (pixels < size - right_bottom)).all(axis=1)
        return uncovered & (np.linalg.norm(pixels - centre, axis=1) < 0.47 * min(size))

    def _blurred(self, image, sd_mm, reach=4):
        return gaussian_filter(image, sd_mm / self.pixel_mm, truncate=reach)

    def _scatter(self, primary):
        """Blurred -p ln p (Ohnesorge et al., Eur Radiol 9, 1999).

        No scatter comes from where no body is.
        """
        source = -primary * np.log(np.clip(primary, 1e-9, 1))
        scatter = self._blurred(source, self.scatter_sd_mm, 3)
        if (median := np.median(scatter)) > 0:
            scatter *= self.scatter_to_primary * np.median(primary) / median
        return scatter

    def _field(self, camera, rng):
        """Intensity of the field without a body, and where the image is blanked.

        (rows, columns) both.
        """
        columns, rows = camera.size
        v, u = np.mgrid[:rows, :columns]
        centre = (columns - 1) / 2, (rows - 1) / 2
        bright = np.array(centre) + rng.normal(0, 0.05, 2) * camera.size
        r2 = ((u - bright[0]) ** 2 + (v - bright[1]) ** 2) / (centre[0] ** 2 + centre[1] ** 2)
        intensity = 1 - self.vignetting * r2
        left, top, right, bottom = self.collimation
        covered = (u < left) | (u >= columns - right) | (v < top) | (v >= rows - bottom)
        intensity *= 1 - 0.995 * self._blurred(covered.astype(np.float64), self.blade_sd_mm)
        black = np.zeros((rows, columns), bool)
        if self.round_field:
            black = np.hypot(u - centre[0], v - centre[1]) > 0.497 * min(camera.size)
        return intensity, black


def chord_lengths(camera: Camera, part: Metal) -> np.ndarray:
    """(rows, columns) float32: mm that the ray to each pixel's centre runs in the metal."""
    columns, rows = camera.size
    ball = isinstance(part, Ball)
    left, top, right, low = _box(camera, part) if ball else (0, 0, columns, rows)
    u, v = np.meshgrid(np.arange(left, right), np.arange(top, low))
    rays = camera.ray_directions(np.stack([u, v], axis=-1))
    chords = np.zeros((rows, columns), np.float32)
    chords[top:low, left:right] = (_in_ball if ball else _in_cylinder)(camera, rays, part)
    return chords


def _box(camera, ball):
    """First column and row, and last ones + 1, between which the image shows a ball."""
    centre = np.array(ball.centre)
    reach = ball.diameter_mm / np.min(camera.pixel_mm(centre)) + 1
    middle = camera.project(centre)
    ends = np.array([middle - reach, middle + reach]).astype(int)
    return np.clip(ends, 0, camera.size).ravel()


def _in_ball(camera, rays, ball):
    from_source = ball.centre - camera.source
    away2 = from_source @ from_source - (rays @ from_source) ** 2
    return 2 * np.sqrt(np.maximum((ball.diameter_mm / 2) ** 2 - away2, 0))


def _in_cylinder(camera, rays, wire):
    axis = np.subtract(wire.end, wire.start)
    length = np.linalg.norm(axis)
    axis /= length
    to_source = camera.source - wire.start
    # The point to_source + t * ray of a ray is `along_0 + t * along` along the axis, and its
    # squared distance from the axis is a t^2 + 2 b t + c.
    along, along_0 = rays @ axis, to_source @ axis
    along = np.where(np.abs(along) < 1e-9, 1e-9, along)
    a = np.maximum(1 - along**2, 1e-9)
    b = rays @ to_source - along * along_0
    c = to_source @ to_source - along_0**2
    half = np.sqrt(np.maximum(b**2 - a * (c - (wire.diameter_mm / 2) ** 2), 0))
    first, second = -along_0 / along, (length - along_0) / along
    enter = np.maximum((-b - half) / a, np.minimum(first, second))
    leave = np.minimum((-b + half) / a, np.maximum(first, second))
    return np.maximum(leave - enter, 0)


def tubes(points: Iterable[np.ndarray], diameter_mm: float) -> list[Wire]:
    """Straight ones from each of points (N, 3) to the next."""
    return [Wire(tuple(a), tuple(b), diameter_mm) for a, b in pairwise(points)]


def random_wires(rng: np.random.Generator) -> tuple[Wire, ...]:
    """Two Kirschner wires and a screw within 80 mm of the isocentre, world mm."""
    wires = []
    for diameter, length in ((1.6, 120.0), (2.0, 90.0), (5.0, 45.0)):
        direction = rng.normal(size=3)
        half = direction / np.linalg.norm(direction) * length / 2
        middle = rng.uniform(-40, 40, 3)
        wires.extend(tubes([middle - half, middle + half], diameter))
    return tuple(wires)


def random_implant(
    rng: np.random.Generator, build: Callable[[], tuple[Metal, ...]] | None = None
) -> tuple[Metal, ...]:
    """A hip prosthesis or a spine's rods and screws, or the requested one, a few cm from the isocentre, world mm (LPS)."""
    build = build or (hip_prosthesis, rods_and_screws)[rng.integers(2)]
    centre = rng.uniform(-30, 30, 3)
    side = np.array([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    tilt = np.eye(3) + np.cross(np.eye(3), rng.uniform(-0.15, 0.15, 3))  # a small turn
    return tuple(part.moved(tilt * side, centre) for part in build())


def hip_prosthesis() -> tuple[Metal, ...]:
    """A left one: ball of 32 mm, neck, and a stem that tapers downwards.

    Mm, left, posterior, up, from its middle.
    """
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


def random_shutters(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Columns and rows (left, top, right, bottom) behind blades that cover 25 to 45 % of the image, unevenly."""
    sides = rng.uniform(0, 1, 4) ** 2
    across, down = np.add(*sides.reshape(2, 2))
    covered = rng.uniform(0.25, 0.45)
    # (1 - s across) (1 - s down) = 1 - covered, by its smaller root
    both, product = across + down, across * down
    s = (both - np.sqrt(both**2 - 4 * product * covered)) / (2 * product)
    return tuple(np.rint(s * sides * [*SIZE, *SIZE]).astype(int).tolist())


Changes = Callable[[np.random.Generator], dict[str, Any]]
#: How X-rays are taken, by fields of `SimulatedXRay`: the same in all views, or drawn for each.
#: Straight ones are narrow blades; blades are a third to two thirds of the image, shutters asymmetrical, over 25 to 45 %; scatter is
#: two to four times the primary, with few photons; weak bone has lost a third to two thirds of its
#: mineral since the CT was taken.
ALIKE: dict[str, Changes] = {
    "wires": lambda rng: {"metal": random_wires(rng)},
    "rods": lambda rng: {"metal": random_implant(rng, rods_and_screws)},
    "prosthesis": lambda rng: {"metal": random_implant(rng, hip_prosthesis)},
    "metal": lambda rng: {"metal": random_implant(rng)},
    "straight": lambda rng: {"collimation": tuple(rng.integers(0, 70, 4).tolist())},
    "blades": lambda rng: {"collimation": tuple(rng.integers(60, 120, 4).tolist())},
    "scatter": lambda rng: {
        "scatter_to_primary": rng.uniform(2, 4),
        "photons": rng.uniform(150, 500),
    },
    "weak": lambda rng: {"mineral": rng.uniform(0.35, 0.65)},
    "round field": lambda rng: {"round_field": True},
}
EACH: dict[str, Changes] = {
    "shutters": lambda rng: {
        "collimation": random_shutters(rng),
        "blade_sd_mm": rng.uniform(1, 2.5),
    }
}
TAKEN = (*ALIKE, *EACH)


def xrays_with(rng: np.random.Generator, names: Sequence[str], views: int) -> list[SimulatedXRay]:
    """The settings of each view: random noise and scatter, an open field, but for those of the names that are in TAKEN."""
    photons, scatter = rng.uniform(500, 3000), rng.uniform(0.3, 1.0)
    xrays = [SimulatedXRay(photons=photons, scatter_to_primary=scatter)] * views
    for name in names:
        if name in EACH:
            xrays = [replace(xray, **EACH[name](rng)) for xray in xrays]
        elif name in ALIKE:
            changes = ALIKE[name](rng)
            xrays = [replace(xray, **changes) for xray in xrays]
    return xrays


#: Linear attenuation, 1/mm: diluted iodine (150 mg/ml), plaster, the skins of a carbon table,
#: steel, all near 60 keV.
IODINE, PLASTER, CARBON, STEEL = 0.11, 0.035, 0.03, 0.95
#: The least and the largest share of the image that tools cover.
TOOLS_COVER = 0.10, 0.25

#: What is put on a detected image (rows, columns), bone dark, that was taken by a camera.
Overlay = Callable[[np.ndarray, Camera], np.ndarray]


def overlays_with(rng: np.random.Generator, names: Sequence[str]) -> list[Overlay]:
    """The overlays of each view's image, of the names in OVERLAYS.

    Things in space are the same in all views.
    """
    return [OVERLAYS[name](rng) for name in names if name in OVERLAYS]


def _text(rng):
    """A side's letter, a line of words and numbers in a corner, and a scale, as bright or as dark as the image can be."""

    def put(image, camera):
        columns, rows = camera.size
        stencil = Image.new("L", (columns, rows))
        draw = ImageDraw.Draw(stencil)
        for size, words in (
            (rows // 12, rng.choice(["L", "R"])),
            (rows // 28, "LAO 12  CRAN 3\n71 kV  4.2 mA"),
        ):
            at = rng.uniform(0.02, 0.75) * columns, rng.choice([0.02, 0.85]) * rows
            draw.text(at, str(words), fill=255, font=ImageFont.load_default(size))
        ruler = 0.97 * columns
        for tick in np.linspace(0.3, 0.7, 9) * rows:
            draw.line([(ruler - columns // 60, tick), (ruler, tick)], fill=255, width=2)
        return np.where(np.asarray(stencil) > 127, rng.choice([0, FULL_SCALE]), image).astype(
            image.dtype
        )

    return put


def _saturated(rng):
    """All above a value is white, in a fifth to half of the image.

    The detector's range ends there.
    """
    covered = rng.uniform(0.2, 0.5)

    def put(image, camera):
        most = max(float(np.quantile(image, 1 - covered)), 1.0)
        return np.rint(np.minimum(image / most, 1) * FULL_SCALE).astype(image.dtype)

    return put


def _tools(rng):
    """Shafts and jaws of instruments that come in from the edge, over TOOLS_COVER of each image, and let little through."""

    def put(image, camera):
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


def _contrast(rng):
    """Vessels of 3 to 9 mm with contrast agent that wind through the middle, world mm."""
    vessels: list[Wire] = []
    for _ in range(rng.integers(2, 5)):
        first = rng.uniform(-50, 50, 3)
        steps = rng.normal(0, 12, (8, 3)) + rng.normal(0, 9, 3)
        vessels += tubes(np.cumsum(np.vstack([first, steps]), axis=0), rng.uniform(3, 9))
    return _attenuated(
        lambda camera: IODINE * np.sum([chord_lengths(camera, each) for each in vessels], axis=0)
    )


def _cast(rng):
    """A tube of plaster along the body, world mm."""
    middle, lean, wide = rng.uniform(-15, 15, 3), rng.normal(0, 0.1, 2), rng.uniform(130, 190)
    half = np.array([*lean, 1.0]) * 200
    outer = Wire(tuple(middle - half), tuple(middle + half), wide)
    inner = replace(outer, diameter_mm=wide - 2 * rng.uniform(5, 10))
    return _attenuated(
        lambda camera: PLASTER * (chord_lengths(camera, outer) - chord_lengths(camera, inner))
    )


def _table(rng):
    """A table's carbon tube frame behind the patient, and a steel rail along one side, world mm (LPS)."""
    behind, aside = rng.uniform(95, 150), rng.uniform(-40, 40)

    def tube(x, wide):
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


def _attenuated(exponent):
    """The image behind something more.

    What is written in it is weakened, and no further quantum noise is drawn.
    """
    return lambda image, camera: np.rint(image * np.exp(-exponent(camera))).astype(image.dtype)


OVERLAYS: dict[str, Callable[[np.random.Generator], Overlay]] = {
    "text": _text,
    "saturated": _saturated,
    "tools": _tools,
    "contrast": _contrast,
    "cast": _cast,
    "table": _table,
}
