"""An X-ray from line integrals of a CT's bases and from what was drawn for it (`drawn`): tissue, spectrum, detector, field."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from . import sample_layout
from .rng import bits, compiled, quick_normal

# Attenuation of (soft tissue, bone, metal) in the softer and in the harder part of the spectrum, by that at its mean: NIST's tables at 45
# and 90 keV against 70.
SOFTER_BY_MEAN, HARDER_BY_MEAN = (1.25, 1.9, 2.6), (0.92, 0.78, 0.6)
#: Pixels of the grid on which scatter and shading, which change slowly, are computed.
COARSE = 4
#: Of a ghost for each pixel from the border of what it is copied from.
FADE = 0.1
#: Thinner than this many pixels a capsule is drawn as wide as this, and as much fainter.
MIN_RADIUS = 0.7


@nb.njit(nogil=True, fastmath=True)
def expose(bases, others, mm, sample, noise, work, line, valid):
    """The X-ray of one image's line integrals.

    bases: (3, rows, columns) float32, of soft tissue, bone and dense bone.   others: the same of what moved by itself, or (0, 0, 0).
    mm: of a pixel, at the anatomy's depth.   sample, noise: as `randomise.draw` drew them.
    work: (4, rows, columns) float32.
    line: (rows, columns) float32, out: the log image.   valid: (rows, columns) uint8, in and out: pixels with meaning.
    """
    soft, bone, metal = work[0], work[1], work[2]
    numbers = sample.numbers
    _tissue(bases, others, mm, sample, soft, bone, metal)
    _detect(soft, bone, metal, numbers, noise, line)
    close_field(valid, numbers)
    if numbers[sample_layout.BORDER] > 0.0:
        for r in range(line.shape[0]):
            for c in range(line.shape[1]):
                if valid[r, c] == 0:
                    line[r, c] = numbers[sample_layout.BORDER]
        valid[:] = (
            1  # not in the loop: with both stores under one condition LLVM's code for AVX-512 is wrong (numba 0.62 to 0.68)
        )
    _binomial(line, numbers[sample_layout.BLUR], work[3])


@nb.njit(nogil=True, fastmath=True)
def _tissue(bases, others, mm, sample, soft, bone, metal):
    """Nepers of soft tissue, of bone and of metal in each pixel, at the spectrum's mean energy."""
    rows, columns = soft.shape
    numbers = sample.numbers
    of_bone, of_dense = numbers[sample_layout.BONE], numbers[sample_layout.DENSE]
    for r in range(rows):
        for c in range(columns):
            soft[r, c] = numbers[sample_layout.SOFT] * bases[0, r, c]
            bone[r, c] = of_bone * bases[1, r, c] + of_dense * bases[2, r, c]
            metal[r, c] = 0.0
    if others.shape[0]:
        for r in range(rows):
            for c in range(columns):
                soft[r, c] += numbers[sample_layout.OTHERS_SOFT] * others[0, r, c]
                bone[r, c] += of_bone * others[1, r, c] + of_dense * others[2, r, c]
    along = _direction(bases)
    for n in range(sample_layout.MAX_GHOSTS):
        ghost = numbers[
            sample_layout.GHOSTS + n * sample_layout.GHOST : sample_layout.GHOSTS + (n + 1) * sample_layout.GHOST
        ]
        if ghost[2] > 0.0:
            _add_ghost(bases, ghost, along, soft, bone)
    for n in range(int(numbers[sample_layout.METAL_END])):
        _add_capsule(
            soft if n < numbers[sample_layout.SOFT_END] else bone if n < numbers[sample_layout.BONE_END] else metal,
            mm,
            sample.capsules[n],
            along,
        )


@nb.njit(nogil=True, fastmath=True)
def _detect(soft, bone, metal, numbers, noise, line):
    """The log image, 0 at its typical value, behind so much tissue: spectrum, scatter, shading, quanta, the detector's range."""
    rows, columns = line.shape
    softer = numbers[sample_layout.SOFTER]
    for r in range(rows):
        for c in range(columns):
            s, b, m = soft[r, c], bone[r, c], metal[r, c]
            if softer > 0.0:
                through = softer * math.exp(
                    -(SOFTER_BY_MEAN[0] * s + SOFTER_BY_MEAN[1] * b + SOFTER_BY_MEAN[2] * m)
                ) + (1.0 - softer) * math.exp(-(HARDER_BY_MEAN[0] * s + HARDER_BY_MEAN[1] * b + HARDER_BY_MEAN[2] * m))
            else:
                through = math.exp(-(s + b + m))
            line[r, c] = min(through, 1.0)
    typical, scatter = _scattered(
        line, numbers[sample_layout.SCATTER], numbers[sample_layout.GLARE], int(numbers[sample_layout.BLURS])
    )
    shade = _shading(scatter.shape[0], scatter.shape[1], numbers)
    photons = numbers[sample_layout.PHOTONS]
    deviation = math.sqrt(typical / photons) if photons > 0.0 else 0.0
    brightest, darkest = typical * numbers[sample_layout.BRIGHTEST], typical * numbers[sample_layout.DARKEST]
    state = np.empty(1, np.uint64)
    state[0] = noise
    for r in range(rows):
        y = min(max((r + 0.5) / COARSE - 0.5, 0.0), scatter.shape[0] - 1.001)
        for c in range(columns):
            x = min(max((c + 0.5) / COARSE - 0.5, 0.0), scatter.shape[1] - 1.001)
            signal = (line[r, c] + _bilinear(scatter, x, y)) * _bilinear(shade, x, y)
            if photons > 0.0:
                signal += deviation * math.sqrt(signal) * quick_normal(bits(state))
            line[r, c] = -math.log(min(max(signal, darkest), brightest) / typical)


@nb.njit(nogil=True, fastmath=True)
def _scattered(through, to_primary, glare, blurs):
    """Typical primary intensity (the geometric mean), and the scatter, on the coarse grid.

    Blurred -p ln p (Ohnesorge et al., Eur Radiol 9, 1999), on average `to_primary` times the typical intensity, and an even `glare`.
    """
    rows, columns = through.shape[0] // COARSE, through.shape[1] // COARSE
    scatter = np.empty((rows, columns), np.float32)
    mean, mean_log = 0.0, 0.0
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
    scale = to_primary * typical / max(mean, 0.02 * typical)
    if scale > 0.0:
        spare = np.empty((rows, columns), np.float32)
        for _ in range(blurs):
            _binomial(scatter, 1.0, spare)
    for r in range(rows):
        for c in range(columns):
            scatter[r, c] = scale * scatter[r, c] + glare * typical
    return typical, scatter


@nb.njit(nogil=True, fastmath=True)
def _shading(rows, columns, numbers):
    """Factors of a brightness that changes slowly over the image: a random paraboloid in its logarithm."""
    of = numbers[sample_layout.SHADE : sample_layout.SHADE + 5]
    shade = np.empty((rows, columns), np.float32)
    for r in range(rows):
        y = 2.0 * (r + 0.5) / rows - 1.0
        for col in range(columns):
            x = 2.0 * (col + 0.5) / columns - 1.0
            shade[r, col] = math.exp(of[0] * x + of[1] * y + of[2] * x * x + of[3] * x * y + of[4] * y * y)
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
def _add_ghost(bases, ghost, along, soft, bone):
    """Add the anatomy once more, mirrored."""
    rows, columns = soft.shape
    angle = ghost[0] + 2.0 * along * ghost[1]
    a, b = ghost[2] * math.cos(angle), ghost[2] * math.sin(angle)
    x, y = ghost[3] * columns, ghost[4] * rows
    for r in range(rows):
        for c in range(columns):
            dx, dy = c - x - 0.5 * columns, r - y - 0.5 * rows
            u, v = a * dx + b * dy + 0.5 * columns, b * dx - a * dy + 0.5 * rows  # a reflection
            if 0.0 <= u < columns - 1 and 0.0 <= v < rows - 1:
                faded = min(1.0, FADE * min(u, v, columns - 1 - u, rows - 1 - v))  # it may go on beyond the image
                soft[r, c] += faded * ghost[5] * _bilinear(bases[0], u, v)
                bone[r, c] += faded * ghost[6] * (_bilinear(bases[1], u, v) + _bilinear(bases[2], u, v))


@nb.njit(nogil=True, fastmath=True)
def _add_capsule(image, mm, row, along):
    """Add a capsule, a row of those of `drawn`."""
    x0, y0, x1, y1 = row[0], row[1], row[2], row[3]
    if row[8] > 0.0:
        x, y, a, b = row[9], row[10], math.cos(along), math.sin(along)
        x0, y0 = x + a * (x0 - x) - b * (y0 - y), y + b * (x0 - x) + a * (y0 - y)
        x1, y1 = x + a * (x1 - x) - b * (y1 - y), y + b * (x1 - x) + a * (y1 - y)
    capsule(image, mm, x0, y0, x1, y1, row[4], row[5], row[6], row[7])


@nb.njit(nogil=True, fastmath=True)
def capsule(image, mm, x0, y0, x1, y1, r0, r1, hollow, amount):
    """Add `amount` (nepers in a mm) times the length that a beam runs in a capsule of radius r0 to r1 (mm).

    image: (rows, columns).   mm: of a pixel.   x0, y0, x1, y1: mm from the image's middle.
    hollow: radius of the empty inside as a share of the outer one, 0 for none.
    """
    rows, columns = image.shape
    x0, x1 = x0 / mm + 0.5 * (columns - 1), x1 / mm + 0.5 * (columns - 1)
    y0, y1 = y0 / mm + 0.5 * (rows - 1), y1 / mm + 0.5 * (rows - 1)
    r0, r1 = r0 / mm, r1 / mm
    reach = max(r0, r1, MIN_RADIUS)
    dx, dy = x1 - x0, y1 - y0
    length_2 = max(dx * dx + dy * dy, 1e-9)
    top, bottom = max(0, math.ceil(min(y0, y1) - reach)), min(rows - 1, math.floor(max(y0, y1) + reach))
    left, right = max(0, math.ceil(min(x0, x1) - reach)), min(columns - 1, math.floor(max(x0, x1) + reach))
    for r in range(int(top), int(bottom) + 1):
        for c in range(int(left), int(right) + 1):
            t = min(max(((c - x0) * dx + (r - y0) * dy) / length_2, 0.0), 1.0)
            off_x, off_y = c - x0 - t * dx, r - y0 - t * dy
            true = r0 + t * (r1 - r0)
            radius = max(true, MIN_RADIUS)
            inside = radius * radius - off_x * off_x - off_y * off_y
            if inside <= 0.0:
                continue
            chord = math.sqrt(inside)
            if hollow > 0.0:
                chord -= math.sqrt(max(inside - (1.0 - hollow * hollow) * radius * radius, 0.0))
            image[r, c] += amount * mm * 2.0 * chord * (true / radius) ** 2


@compiled
def close_field(valid, numbers):
    """Set `valid` (rows, columns) uint8 to 0 outside the field that was drawn."""
    rows, columns = valid.shape
    blades, round_field = (
        numbers[sample_layout.BLADES : sample_layout.BLADES + 5],
        numbers[sample_layout.ROUND : sample_layout.ROUND + 3],
    )
    turn, left, right, top, bottom = blades[0], blades[1], blades[2], blades[3], blades[4]
    radius, middle_x, middle_y = round_field[0], round_field[1], round_field[2]
    ux, uy = math.cos(turn), math.sin(turn)
    reach = 0.5 if abs(turn) < 0.1 else 0.6
    for r in range(rows):
        for c in range(columns):
            x, y = (c + 0.5) / columns - 0.5, (r + 0.5) / rows - 0.5
            a, b = x * ux + y * uy, y * ux - x * uy
            if (
                (left > 0 and a < left - reach)
                or (right > 0 and a > reach - right)
                or (top > 0 and b < top - reach)
                or (bottom > 0 and b > reach - bottom)
            ):
                valid[r, c] = 0
            if radius > 0 and (x - middle_x) ** 2 + (y - middle_y) ** 2 > radius * radius:
                valid[r, c] = 0
    for n in range(sample_layout.MAX_BOXES):
        first, height, width = (
            sample_layout.BOXES + 4 * n,
            int(numbers[sample_layout.BOXES + 4 * n + 2]),
            int(numbers[sample_layout.BOXES + 4 * n + 3]),
        )
        valid[
            int(numbers[first]) : int(numbers[first]) + height,
            int(numbers[first + 1]) : int(numbers[first + 1]) + width,
        ] = 0
