"""Domain randomisation: from line integrals of a CT an X-ray as any device might have taken it of any patient.

Tissue, spectrum, scatter, detector and field are random for each image. Amounts are in nepers,
positions in pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np

from .machine import KIND_COUNT, LAG_MM, close, draw_machine
from .rng import FULL_TURN, chance, compiled, fast, integer, log_uniform, sometimes, uniform

Range = tuple[float, float]
# Attenuation of (soft tissue, bone, metal) in the softer and in the harder part of the spectrum, by
# that at its mean: NIST's tables at 45 and 90 keV against 70.
SOFTER_BY_MEAN = (1.25, 1.9, 2.6)
HARDER_BY_MEAN = (0.92, 0.78, 0.6)
#: Grey levels are of what is at most so many nepers brighter than the typical intensity.
WHITE = math.exp(3.0)
#: Pixels of the grid on which scatter and shading, which change slowly, are computed.
COARSE = 4
#: Layers of an image: what attenuates as soft tissue, as bone, and as metal.
SOFT_LAYER = 0
BONE_LAYER = 1
METAL_LAYER = 2
#: Nepers in a mm of titanium and of steel, at C-arm energies.
TITANIUM = 0.15
STEEL = 0.7
#: Share of a ghost that each pixel from the border of what it is copied from adds.
FADE = 0.1


class Randomisation(NamedTuple):
    """The nuisances of an image: each even between two ends, or with a probability (`..._share`).

    All numbers are floats.

    Attributes
    ----------
    soft, bone, dense
        Factors of soft tissue, of all bone, and of dense bone besides.
    soft_removed_share
        Nearly without soft tissue.
    all_bone
        1 where the volume is but one bone, 0 otherwise; what counts as soft tissue there then also
        has bone's factor.
    hardening
        Share of the softer quanta.
    scatter, glare
        Relative to the image's typical (geometric mean) primary intensity.
    photons
        In a pixel at that intensity; evenly in its logarithm.
    saturation, darkest
        Nepers brighter, darker than it at which the detector, or the picture's grey levels, end.
    shading
        Standard deviation, nepers, of slow changes of brightness.
    blur
        Share of a 3 x 3 binomial filter; below 0 it sharpens.
    metal_share
        Fraction of images with metal rods.
    ghost_share
        Images with mirrored, turned and scaled copies of the anatomy: bones of its own kind.
    straight_share, round_share, text_share
        Images with blades, a round field, text.
    border_share
        Of these, images in which the border was not recognised and stays, dense, in the image.
    machine_share
        Images as a machine of `machine.KINDS` takes them, whose scatter, photons, blur and grey
        levels are then its own.
    """

    soft: Range = (0.6, 1.2)
    bone: Range = (0.45, 1.5)
    dense: Range = (0.6, 1.4)
    soft_removed_share: float = 0.06
    all_bone: float = 0.0
    hardening: Range = (0.0, 0.6)
    scatter: Range = (0.0, 1.5)
    glare: Range = (0.0, 0.3)
    photons: Range = (3e3, 3e5)
    saturation_share: float = 0.4
    saturation: Range = (0.7, 3.0)
    darkest_share: float = 0.3
    darkest: Range = (1.5, 5.0)
    shading: float = 0.25
    blur: Range = (-0.8, 0.8)
    metal_share: float = 0.4
    ghost_share: float = 0.0
    straight_share: float = 0.35
    round_share: float = 0.3
    text_share: float = 0.08
    border_share: float = 0.1
    machine_share: float = 0.5


#: A body as the CT shows it.
BODY = Randomisation()
#: One bone, and the CT has nothing else: what surrounds it in the X-ray is made up.
BONE = BODY._replace(
    bone=(0.5, 2.5),
    soft_removed_share=0.0,
    all_bone=1.0,
    scatter=(0.0, 0.7),
    glare=(0.0, 0.7),
    shading=0.1,
    metal_share=0.25,
    ghost_share=0.6,
    machine_share=0.25,
)


def hardened_body(hardness: float) -> Randomisation:
    """Interpolate from BODY (0) to what its network can also learn from where it has the time (1).

    A short training ends further off with that.
    """
    return BODY._replace(
        bone=(0.45 - 0.1 * hardness, 1.5),
        scatter=(0.0, 1.5 + hardness),
        metal_share=0.4 + 0.1 * hardness,
        straight_share=0.35 + 0.15 * hardness,
    )


class Nuisances(NamedTuple):
    """The random numbers of one image; with them its X-ray follows from the CT.

    Attributes
    ----------
    soft, bone, dense
        Factors of soft tissue, of bone and of dense bone.
    hardening, scatter, glare
        See `Randomisation`.
    smoothings
        How often the scatter is smoothed.
    shade
        Of a paraboloid in the logarithm of the brightness, over -1 to 1: (5,) by x, y, xx, xy, yy.
    photons
        In a pixel at the typical intensity.
    brightest, darkest
        At which grey levels end, as shares of the typical intensity.
    border
        Nepers of a border that was not recognised; 0: it was.
    blur
        See `Randomisation`.
    lag, lag_px
        See `machine.Machine`, and how far aside.
    levels, gamma
        Grey levels, 0 for any, of this power of the intensity.
    """

    soft: float
    bone: float
    dense: float
    hardening: float
    scatter: float
    glare: float
    smoothings: float
    shade: np.ndarray
    photons: float
    brightest: float
    darkest: float
    border: float
    blur: float
    lag: float
    lag_px: float
    levels: float
    gamma: float


@compiled
def _drawn(how, bases, mm, layers, valid, rng):
    """Draw all random numbers of an image but its noise.

    Parameters
    ----------
    bases, mm, valid
        See `random_xray`.
    layers
        (3, rows, columns) float32, out: nepers of what is in the image and not in the CT.

    Returns
    -------
    Nuisances
    """
    half = 0.5 * mm * valid.shape[0]
    along = _direction(bases)
    soft = uniform(rng, *how.soft)
    if chance(rng, how.soft_removed_share):
        soft *= uniform(rng, 0.0, 0.3)
    bone = uniform(rng, *how.bone)
    dense = bone * uniform(rng, *how.dense)
    layers[:] = 0.0
    if chance(rng, how.ghost_share):
        for _ in range(integer(rng, 1, 3)):
            _add_ghost(bases, along, soft, bone, layers, rng)
    soft *= 1.0 + how.all_bone * (bone - 1.0)
    if chance(rng, how.metal_share):
        for _ in range(integer(rng, 1, 6)):
            _add_rod(layers[METAL_LAYER], mm, rng)
    hardening = uniform(rng, *how.hardening)
    scatter = uniform(rng, *how.scatter)
    glare = uniform(rng, *how.glare)
    smoothings = float(integer(rng, 4, 16))
    shade = np.empty(5)
    for n in range(5):
        shade[n] = rng.normal(0.0, how.shading)
    photons = log_uniform(rng, *how.photons)
    bright = chance(rng, how.saturation_share)
    brightest = math.exp(uniform(rng, *how.saturation)) if bright else 1e30
    dark = chance(rng, how.darkest_share)
    darkest = math.exp(-uniform(rng, *how.darkest)) if dark else 1e-9
    close(how, valid, rng)
    border = sometimes(rng, how.border_share, 1.0, 4.0)
    blur = uniform(rng, *how.blur)
    lag = 0.0
    lag_px = 0.0
    levels = 0.0
    gamma = 1.0
    if chance(rng, how.machine_share):
        machine = draw_machine(integer(rng, 0, KIND_COUNT - 1), rng)
        pixel_mm = 2.0 * half / valid.shape[0]
        scatter = machine.scatter_to_primary
        glare = machine.glare
        photons = machine.photons
        shade[2] -= 0.5 * machine.vignetting
        shade[4] -= 0.5 * machine.vignetting
        if machine.saturated == 0.0:
            brightest = 1e30
        blur = _filtered(machine.blur_mm, pixel_mm)
        blur -= machine.sharpened * _filtered(machine.sharpened_mm, pixel_mm)
        lag = machine.lag
        lag_px = float(round(LAG_MM / pixel_mm))
        if machine.logarithm == 0.0:
            levels = 2.0**machine.bits
            gamma = machine.gamma
    return Nuisances(
        soft,
        bone,
        dense,
        hardening,
        scatter,
        glare,
        smoothings,
        shade,
        photons,
        brightest,
        darkest,
        border,
        blur,
        lag,
        lag_px,
        levels,
        gamma,
    )


@compiled
def _filtered(sd_mm, pixel_mm):
    """Return the share of a binomial filter of 3 x 3, of half a pixel's variance, that blurs as much; 1 for all wider ones."""
    return min(1.0, 2.0 * (sd_mm / pixel_mm) ** 2)


@fast
def _add_ghost(bases, along, soft, bone, layers, rng):
    """Add a mirrored, rotated, scaled and shifted copy of the anatomy to the layers."""
    angle = uniform(rng, 0.0, FULL_TURN)
    scale = uniform(rng, 0.8, 2.0)
    if chance(rng, 0.5):  # side by side, as radius and ulna
        angle = uniform(rng, -0.2, 0.2) + 2.0 * along
    rows, columns = bases.shape[1:]
    x = (uniform(rng, -0.5, 0.5) + 0.5) * columns
    y = (uniform(rng, -0.5, 0.5) + 0.5) * rows
    of_soft = soft * uniform(rng, 0.4, 1.2) / scale
    of_bone = bone * uniform(rng, 0.4, 1.2) / scale
    a = scale * math.cos(angle)
    b = scale * math.sin(angle)
    for r in range(rows):
        for c in range(columns):
            dx = c - x
            dy = r - y
            # a reflection
            u = a * dx + b * dy + 0.5 * columns
            v = b * dx - a * dy + 0.5 * rows
            if 0.0 <= u < columns - 1 and 0.0 <= v < rows - 1:
                faded = min(
                    1.0, FADE * min(u, v, columns - 1 - u, rows - 1 - v)
                )  # it may go on beyond the image
                both = _bilinear(bases[1], u, v) + _bilinear(bases[2], u, v)
                layers[SOFT_LAYER, r, c] += faded * of_soft * _bilinear(bases[0], u, v)
                layers[BONE_LAYER, r, c] += faded * of_bone * both


@fast
def _add_rod(metal, mm, rng):
    """Add a straight metal rod at a random place, such as a wire, a screw or an instrument.

    Parameters
    ----------
    metal
        (rows, columns) float32, in and out: nepers.
    mm
        Size of a pixel.
    """
    rows, columns = metal.shape
    amount = mm * log_uniform(rng, TITANIUM, STEEL)
    x = uniform(rng, 0.0, columns)
    y = uniform(rng, 0.0, rows)
    angle = uniform(rng, 0.0, FULL_TURN)
    half_length = log_uniform(rng, 2.0, 80.0) / mm
    true_radius = log_uniform(rng, 0.4, 12.0) / mm
    # A rod thinner than a pixel is wider and fainter.
    radius = max(true_radius, 0.7)
    amount *= (true_radius / radius) ** 2
    cosine = math.cos(angle)
    sine = math.sin(angle)
    for r in range(rows):
        for c in range(columns):
            along = (c - x) * cosine + (r - y) * sine
            across = (r - y) * cosine - (c - x) * sine
            inside = radius * radius - across * across
            if abs(along) < half_length and inside > 0.0:
                metal[r, c] += amount * 2.0 * math.sqrt(inside)


@fast
def random_xray(how, bases, mm, rng, line, valid):
    """Make an X-ray from one image's line integrals.

    Parameters
    ----------
    how
        Randomisation
    bases
        (3, rows, columns) float32, of soft tissue, bone and dense bone.
    mm
        Of a pixel, at the anatomy's depth.
    rng
        numpy.random.Generator
    line
        (rows, columns) float32, out: the log image, 0 at its typical value.
    valid
        (rows, columns) uint8, in and out: pixels with meaning.
    """
    rows, columns = line.shape
    layers = np.empty_like(bases)
    nuisances = _drawn(how, bases, mm, layers, valid, rng)
    _add_tissue(nuisances, bases, layers)
    _transmit(nuisances.hardening, layers[0], layers[1], layers[2], line)
    typical, scatter = _scattered(line, nuisances)
    shade = _shading(nuisances.shade, scatter.shape)
    darkest = typical * nuisances.darkest
    brightest = typical * nuisances.brightest
    deviation = math.sqrt(typical / nuisances.photons)
    if nuisances.lag > 0.0:
        _lag(line, nuisances.lag, int(nuisances.lag_px))
    for r in range(rows):
        y = min(max((r + 0.5) / COARSE - 0.5, 0.0), scatter.shape[0] - 1.001)
        for c in range(columns):
            x = min(max((c + 0.5) / COARSE - 0.5, 0.0), scatter.shape[1] - 1.001)
            signal = (line[r, c] + _bilinear(scatter, x, y)) * _bilinear(shade, x, y)
            signal += deviation * math.sqrt(signal) * rng.standard_normal()
            signal = min(max(signal, darkest), brightest) / typical
            if nuisances.levels > 0.0:
                signal = _grey(signal, nuisances)
            line[r, c] = -math.log(signal)
    if nuisances.border > 0.0:
        for r in range(rows):
            for c in range(columns):
                if valid[r, c] == 0:
                    line[r, c] = nuisances.border
        # Not in the loop: with both stores under one condition LLVM's code for AVX-512 is wrong
        # (numba 0.62 to 0.68).
        valid[:] = 1
    _binomial(line, nuisances.blur)


@fast
def _add_tissue(nuisances, bases, layers):
    """Add nepers of soft tissue and bone of the CT, at the spectrum's mean energy."""
    soft = layers[SOFT_LAYER]
    bone = layers[BONE_LAYER]
    for r in range(soft.shape[0]):
        for c in range(soft.shape[1]):
            soft[r, c] += nuisances.soft * bases[0, r, c]
            bone[r, c] += nuisances.bone * bases[1, r, c] + nuisances.dense * bases[2, r, c]


@fast
def _direction(bases):
    """Return the direction (rad, columns to rows) of the longest extent of the visible part."""
    rows, columns = bases.shape[1:]
    total = 1e-9
    x = 0.0
    y = 0.0
    xx = 0.0
    yy = 0.0
    xy = 0.0
    for r in range(0, rows, 2):
        for c in range(0, columns, 2):
            m = bases[0, r, c] + bases[1, r, c]
            total += m
            x += m * c
            y += m * r
            xx += m * c * c
            yy += m * r * r
            xy += m * c * r
    x = x / total
    y = y / total
    return 0.5 * math.atan2(2.0 * (xy / total - x * y), (xx - yy) / total - x * x + y * y)


@fast
def _transmit(softer, soft, bone, metal, through):
    """Return the quanta that get `through`; a share of them is softer."""
    for r in range(through.shape[0]):
        for c in range(through.shape[1]):
            s = soft[r, c]
            b = bone[r, c]
            m = metal[r, c]
            in_softer = math.exp(
                -(SOFTER_BY_MEAN[0] * s + SOFTER_BY_MEAN[1] * b + SOFTER_BY_MEAN[2] * m)
            )
            in_harder = math.exp(
                -(HARDER_BY_MEAN[0] * s + HARDER_BY_MEAN[1] * b + HARDER_BY_MEAN[2] * m)
            )
            through[r, c] = min(softer * in_softer + (1.0 - softer) * in_harder, 1.0)


@fast
def _scattered(through, nuisances):
    """Return the typical primary intensity (the geometric mean), and the scatter, on the coarse grid.

    Blurred -p ln p (Ohnesorge et al., Eur Radiol 9, 1999), on average a random share of the typical
    intensity, and an even glare.
    """
    rows = through.shape[0] // COARSE
    columns = through.shape[1] // COARSE
    scatter = np.empty((rows, columns), np.float32)
    mean = 0.0
    mean_log = 0.0
    for r in range(rows):
        for c in range(columns):
            total = 0.0
            for i in range(COARSE):
                for j in range(COARSE):
                    total += through[COARSE * r + i, COARSE * c + j]
            total = max(total / COARSE**2, 1e-7)
            nepers = -math.log(total)
            scatter[r, c] = total * nepers
            mean += total * nepers / (rows * columns)
            mean_log -= nepers / (rows * columns)
    typical = math.exp(mean_log)
    for _ in range(int(nuisances.smoothings)):
        _binomial(scatter, 1.0)
    scatter *= np.float32(nuisances.scatter * typical / max(mean, 0.02 * typical))
    scatter += np.float32(nuisances.glare * typical)
    return typical, scatter


@fast
def _lag(image, share, pixels):
    """Add a share of the image to itself, so far to the right, in place; its border is repeated."""
    for r in range(image.shape[0]):
        for c in range(image.shape[1] - 1, -1, -1):
            image[r, c] += share * (image[r, max(c - pixels, 0)] - image[r, c])


@nb.njit(nogil=True, fastmath=True, inline="always")
def _grey(signal, of):
    """Return an intensity as its grey level has it, the darkest but one at least."""
    level = of.levels * min(signal / WHITE, 1.0) ** of.gamma
    return WHITE * (max(math.floor(level + 0.5), 1.0) / of.levels) ** (1.0 / of.gamma)


@fast
def _shading(by, shape):
    """Return factors of a brightness that changes slowly over the image.

    A paraboloid in its logarithm.
    """
    shade = np.empty(shape, np.float32)
    for r in range(shape[0]):
        y = 2.0 * (r + 0.5) / shape[0] - 1.0
        for c in range(shape[1]):
            x = 2.0 * (c + 0.5) / shape[1] - 1.0
            squares = by[2] * x * x + by[3] * x * y + by[4] * y * y
            shade[r, c] = math.exp(by[0] * x + by[1] * y + squares)
    return shade


@nb.njit(nogil=True, fastmath=True, inline="always")
def _bilinear(image, x, y):
    """Return the image between its pixels; 0 <= x, y and less than the last pixel's place."""
    i = int(y)
    j = int(x)
    wy = y - i
    wx = x - j
    above = image[i, j] + wx * (image[i, j + 1] - image[i, j])
    below = image[i + 1, j] + wx * (image[i + 1, j + 1] - image[i + 1, j])
    return above + wy * (below - above)


@fast
def _binomial(image, share):
    """Replace `share` of the image by what a binomial filter of 3 x 3 makes of it, in place.

    The border is repeated.
    """
    rows, columns = image.shape
    spare = np.empty_like(image)
    for r in range(rows):
        for c in range(columns):
            spare[r, c] = (
                0.25 * (image[r, max(c - 1, 0)] + image[r, min(c + 1, columns - 1)])
                + 0.5 * image[r, c]
            )
    for r in range(rows):
        above = max(r - 1, 0)
        below = min(r + 1, rows - 1)
        for c in range(columns):
            smooth = 0.25 * (spare[above, c] + spare[below, c]) + 0.5 * spare[r, c]
            image[r, c] += share * (smooth - image[r, c])
