"""Domain randomisation: line integrals of a CT's bases into an X-ray as any device might have taken it of any patient."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np

from .draws import between, chance, log_between, normal, uniform, whole
from .field import close_field
from .shapes import add_bone, add_metal, add_soft_tissue

Ends = tuple[float, float]

# Attenuation of (soft tissue, bone, metal) in the softer and in the harder part of the spectrum, by that at its mean: NIST's tables at 45
# and 90 keV against 70.
_SOFTER, _HARDER = (1.25, 1.9, 2.6), (0.92, 0.78, 0.6)
#: Pixels of the grid on which scatter and shading, which change slowly, are computed.
_COARSE = 4
#: Of a ghost for each pixel from the border of what it is copied from.
_FADE = 0.1


class Randomisation(NamedTuple):
    """What is drawn anew for each image: evenly between two ends, or with a probability (`..._share`).

    soft, bone, dense: factors of soft tissue, of all bone, and of dense bone besides.   soft_removed_share: nearly without soft tissue.
    all_bone: 1 where the volume is but one bone, 0 otherwise; what counts as soft tissue there then also has bone's factor.
    hardening: share of the softer quanta.   scatter, glare: relative to the image's typical (geometric mean) primary intensity.
    photons: in a pixel at that intensity; the logarithm is drawn.   saturation, darkest: nepers brighter, darker than it at which the
        detector, or the picture's grey levels, end.   shading: standard deviation, nepers, of slow changes of brightness.
    blur: share of a 3 x 3 binomial filter; below 0 it sharpens.
    metal_share, bones_share, tissue_share: images with metal, with other bones, with soft tissue that is not the CT's.
    ghost_share: images with mirrored, turned and scaled copies of the anatomy: bones of its own kind.
    straight_share, round_share, text_share: fields, see `field.close_field`.   border_share: of these, images in which the border was
        not recognised and stays, dense, in the image.
    neighbour_deg, neighbour_mm: standard deviations by which what lies around a structure (a mask) moves against it.
    """

    soft: Ends = (0.6, 1.2)
    bone: Ends = (0.45, 1.5)
    dense: Ends = (0.6, 1.4)
    soft_removed_share: float = 0.06
    all_bone: float = 0.0
    hardening: Ends = (0.0, 0.6)
    scatter: Ends = (0.0, 1.5)
    glare: Ends = (0.0, 0.3)
    photons: Ends = (3e3, 3e5)
    saturation_share: float = 0.4
    saturation: Ends = (0.7, 3.0)
    darkest_share: float = 0.3
    darkest: Ends = (1.5, 5.0)
    shading: float = 0.25
    blur: Ends = (-0.8, 0.8)
    metal_share: float = 0.4
    bones_share: float = 0.1
    tissue_share: float = 0.1
    ghost_share: float = 0.0
    straight_share: float = 0.35
    round_share: float = 0.3
    text_share: float = 0.08
    border_share: float = 0.1
    neighbour_deg: float = 8.0
    neighbour_mm: float = 4.0


#: A body as the CT shows it, or a structure with its surroundings.
BODY = Randomisation()
#: One bone, and the CT has nothing else: what surrounds it in the X-ray is made up.
BONE = BODY._replace(soft=(0.6, 1.2), bone=(0.5, 2.5), soft_removed_share=0.0, all_bone=1.0, scatter=(0.0, 0.7), glare=(0.0, 0.7),
                     shading=0.1, metal_share=0.25, bones_share=0.8, tissue_share=0.85, ghost_share=0.6)
#: The CT as it is, without any chance.
CLEAN = Randomisation(*((1.0, 1.0) if name in ("soft", "bone", "dense") else (0.0, 0.0) if isinstance(value, tuple) else 0.0
                        for name, value in BODY._asdict().items()))


@nb.njit(nogil=True, fastmath=True)
def randomise(bases, others, how, mm, state, work, line, valid):
    """A random X-ray of one image's line integrals.

    bases: (3, rows, columns) float32, of soft tissue, bone and dense bone.   others: the same of what moved by itself, or (0, 0, 0).
    how: a `Randomisation`.   mm: of a pixel, at the anatomy's depth.   state: (1,) uint64, see `draws`.
    work: (4, rows, columns) float32.
    line: (rows, columns) float32, out: the log image.   valid: (rows, columns) uint8, in and out: pixels with meaning.
    """
    soft, bone, metal = work[0], work[1], work[2]
    _tissue(bases, others, how, mm, state, soft, bone, metal)
    _detect(soft, bone, metal, how, state, line)
    close_field(valid, state, how.straight_share, how.round_share, how.text_share)
    if chance(state, how.border_share):
        lead = uniform(state, 1.0, 4.0)
        for r in range(line.shape[0]):
            for c in range(line.shape[1]):
                if valid[r, c] == 0:
                    line[r, c] = lead
        valid[:] = 1  # not in the loop: with both stores under one condition LLVM's code for AVX-512 is wrong (numba 0.62 to 0.68)
    _binomial(line, between(state, how.blur), work[3])


@nb.njit(nogil=True, fastmath=True)
def _tissue(bases, others, how, mm, state, soft, bone, metal):
    """Nepers of soft tissue, of bone and of metal in each pixel, at the spectrum's mean energy."""
    rows, columns = soft.shape
    of_soft = between(state, how.soft)
    if chance(state, how.soft_removed_share):
        of_soft *= uniform(state, 0.0, 0.3)
    of_bone = between(state, how.bone)
    of_dense = of_bone * between(state, how.dense)
    for r in range(rows):
        for c in range(columns):
            soft[r, c] = of_soft * (1.0 + how.all_bone * (of_bone - 1.0)) * bases[0, r, c]
            bone[r, c] = of_bone * bases[1, r, c] + of_dense * bases[2, r, c]
            metal[r, c] = 0.0
    if others.shape[0]:
        for r in range(rows):
            for c in range(columns):
                soft[r, c] += of_soft * others[0, r, c]
                bone[r, c] += of_bone * others[1, r, c] + of_dense * others[2, r, c]
    if chance(state, how.ghost_share):
        for _ in range(whole(state, 1, 3)):
            _add_ghost(bases, of_soft, of_bone, state, soft, bone)
    if chance(state, how.tissue_share):
        add_soft_tissue(soft, mm, state, _direction(bases))
    if chance(state, how.bones_share):
        for _ in range(whole(state, 1, 4)):
            add_bone(bone, mm, state)
    if chance(state, how.metal_share):
        for _ in range(whole(state, 1, 2)):
            add_metal(metal, mm, state)


@nb.njit(nogil=True, fastmath=True)
def _detect(soft, bone, metal, how, state, line):
    """The log image, 0 at its typical value, behind so much tissue: spectrum, scatter, shading, quanta, the detector's range."""
    rows, columns = line.shape
    softer = between(state, how.hardening)
    for r in range(rows):
        for c in range(columns):
            s, b, m = soft[r, c], bone[r, c], metal[r, c]
            if softer > 0.0:
                through = (softer * math.exp(-(_SOFTER[0] * s + _SOFTER[1] * b + _SOFTER[2] * m))
                           + (1.0 - softer) * math.exp(-(_HARDER[0] * s + _HARDER[1] * b + _HARDER[2] * m)))
            else:
                through = math.exp(-(s + b + m))
            line[r, c] = min(through, 1.0)
    typical, scatter = _scattered(line, between(state, how.scatter), between(state, how.glare), state)
    shade = _shading(scatter.shape[0], scatter.shape[1], how.shading, state)
    noise = math.sqrt(typical / log_between(state, how.photons)) if how.photons[1] > 0.0 else 0.0
    brightest = typical * math.exp(between(state, how.saturation)) if chance(state, how.saturation_share) else 1e30
    darkest = typical * (math.exp(-between(state, how.darkest)) if chance(state, how.darkest_share) else 1e-9)
    for r in range(rows):
        y = min(max((r + 0.5) / _COARSE - 0.5, 0.0), scatter.shape[0] - 1.001)
        for c in range(columns):
            x = min(max((c + 0.5) / _COARSE - 0.5, 0.0), scatter.shape[1] - 1.001)
            signal = (line[r, c] + _bilinear(scatter, x, y)) * _bilinear(shade, x, y)
            if noise > 0.0:
                signal += noise * math.sqrt(signal) * normal(state)
            line[r, c] = -math.log(min(max(signal, darkest), brightest) / typical)


@nb.njit(nogil=True, fastmath=True)
def _scattered(through, to_primary, glare, state):
    """Typical primary intensity (the geometric mean), and the scatter, on the coarse grid.

    Blurred -p ln p (Ohnesorge et al., Eur Radiol 9, 1999), on average `to_primary` times the typical intensity, and an even `glare`.
    """
    rows, columns = through.shape[0] // _COARSE, through.shape[1] // _COARSE
    scatter = np.empty((rows, columns), np.float32)
    mean, mean_log = 0.0, 0.0
    for r in range(rows):
        for c in range(columns):
            total = 0.0
            for i in range(_COARSE):
                for j in range(_COARSE):
                    total += through[_COARSE * r + i, _COARSE * c + j]
            total = max(total / _COARSE**2, 1e-7)
            nepers = -math.log(total)
            scatter[r, c] = total * nepers
            mean += total * nepers / (rows * columns)
            mean_log -= nepers / (rows * columns)
    typical = math.exp(mean_log)
    scale = to_primary * typical / max(mean, 0.02 * typical)
    if scale > 0.0:
        spare = np.empty((rows, columns), np.float32)
        for _ in range(whole(state, 4, 16)):
            _binomial(scatter, 1.0, spare)
    for r in range(rows):
        for c in range(columns):
            scatter[r, c] = scale * scatter[r, c] + glare * typical
    return typical, scatter


@nb.njit(nogil=True, fastmath=True)
def _shading(rows, columns, sd, state):
    """Factors of a brightness that changes slowly over the image: a random paraboloid in its logarithm."""
    a, b, c, d, e = sd * normal(state), sd * normal(state), sd * normal(state), sd * normal(state), sd * normal(state)
    shade = np.empty((rows, columns), np.float32)
    for r in range(rows):
        y = 2.0 * (r + 0.5) / rows - 1.0
        for col in range(columns):
            x = 2.0 * (col + 0.5) / columns - 1.0
            shade[r, col] = math.exp(a * x + b * y + c * x * x + d * x * y + e * y * y)
    return shade


@nb.njit(nogil=True, fastmath=True, inline="always")
def _bilinear(image, x, y):
    """The image between its pixels; 0 <= x, y and less than the last pixel's place."""
    i, j = int(y), int(x)
    wy, wx = y - i, x - j
    above = image[i, j] + wx * (image[i, j + 1] - image[i, j])
    below = image[i + 1, j] + wx * (image[i + 1, j + 1] - image[i + 1, j])
    return above + wy * (below - above)


@nb.njit(nogil=True, fastmath=True)
def _binomial(image, share, spare):
    """Replace `share` of the image by what a binomial filter of 3 x 3 makes of it, in place; the border is repeated."""
    rows, columns = image.shape
    for r in range(rows):
        for c in range(columns):
            spare[r, c] = 0.25 * (image[r, max(c - 1, 0)] + image[r, min(c + 1, columns - 1)]) + 0.5 * image[r, c]
    for r in range(rows):
        above, below = max(r - 1, 0), min(r + 1, rows - 1)
        for c in range(columns):
            smooth = 0.25 * (spare[above, c] + spare[below, c]) + 0.5 * spare[r, c]
            image[r, c] += share * (smooth - image[r, c])


@nb.njit(nogil=True, fastmath=True)
def _direction(bases):
    """Direction (rad, columns to rows) of the longest extent of what is seen."""
    rows, columns = bases.shape[1:]
    total, x, y, xx, yy, xy = 1e-9, 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(0, rows, 2):
        for c in range(0, columns, 2):
            m = bases[0, r, c] + bases[1, r, c]
            total += m
            x += m * c
            y += m * r
            xx += m * c * c
            yy += m * r * r
            xy += m * c * r
    x, y = x / total, y / total
    return 0.5 * math.atan2(2.0 * (xy / total - x * y), (xx - yy) / total - x * x + y * y)


@nb.njit(nogil=True, fastmath=True)
def _add_ghost(bases, of_soft, of_bone, state, soft, bone):
    """Add the anatomy once more, mirrored so that nothing is there twice, turned, scaled and shifted."""
    rows, columns = soft.shape
    angle, scale = uniform(state, 0.0, 2 * math.pi), uniform(state, 0.8, 2.0)
    if chance(state, 0.5):  # side by side, as radius and ulna
        angle = 2.0 * _direction(bases) + uniform(state, -0.2, 0.2)
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    x, y = uniform(state, -0.5, 0.5) * columns, uniform(state, -0.5, 0.5) * rows
    of_soft, of_bone = of_soft * uniform(state, 0.4, 1.2) / scale, of_bone * uniform(state, 0.4, 1.2) / scale
    for r in range(rows):
        for c in range(columns):
            dx, dy = c - x - 0.5 * columns, r - y - 0.5 * rows
            u, v = a * dx + b * dy + 0.5 * columns, b * dx - a * dy + 0.5 * rows  # a reflection
            if 0.0 <= u < columns - 1 and 0.0 <= v < rows - 1:
                faded = min(1.0, _FADE * min(u, v, columns - 1 - u, rows - 1 - v))  # it may go on beyond the image
                soft[r, c] += faded * of_soft * _bilinear(bases[0], u, v)
                bone[r, c] += faded * of_bone * (_bilinear(bases[1], u, v) + _bilinear(bases[2], u, v))
