"""Beads in X-ray images: metal balls, and the holes of a plate, found and measured to a fraction of a pixel.

Bright or dark blobs of all sizes that may be beads are the maxima of a Laplacian of Gaussian over
scales (Lindeberg, Int J Comput Vis 30, 1998). To what looks round the image of a ball is fitted:
radiation through its chords, blurred, before a smooth background.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeGuard

import numpy as np
import scipy

from .bead_fit import MIN_SHOWN, POOR_MISFIT, Bead, fitted, reach_px
from .field import block_sums, continued

#: Radii by which one scale of the search differs from the next.
SCALE_STEP = 1.25
#: Radius in pixels above which the search goes on in an image of half the resolution.
POOLED_RADIUS_PX = 6.0
#: Nepers of the blob's response, and of these the share of the strongest one, below which nothing
#: is a bead.
MIN_RESPONSE = 0.04
MIN_RESPONSE_SHARE = 0.02
MAX_CANDIDATES = 400
#: Radius of a blob, as a share of that of a stronger one about it, up to which it is another.
INNER_SHARE = 0.5
#: A bead's contrast is looked at in so many directions, each against the median of all.
SECTORS = 12
MIN_SECTOR_SHARE = 0.35
MIN_SECTORS = 0.7
#: Standard deviation of a bead's place, px and as a share of its radius, and misfit, above which it
#: is none.
MAX_SD_PX = 1.0
MAX_SD_SHARE = 0.08
MAX_MISFIT = 0.45
#: Blur of a bead, as a share of its radius, beside what any image has: more is no bead's.
MAX_BLUR_SHARE = 0.3
#: How often two beads that overlap are fitted in turn.
PARTING_ROUNDS = 2


def find_beads(
    line_integrals: np.ndarray,
    valid: np.ndarray | None = None,
    radius_px: tuple[float, float] = (1.2, 40.0),
    *,
    holes: bool = False,
) -> list[Bead]:
    """Return the beads of an image, that which stops most first.

    Parameters
    ----------
    line_integrals
        (rows, columns), nepers, metal bright.
    valid
        bool (rows, columns), the field; by default all. A bead that its rim cuts is measured by
        what is left of it.
    radius_px
        The smallest and the largest radius.
    holes
        Whether beads are what stops less than its surroundings, as a plate's holes.
    """
    sign = -1.0 if holes else 1.0
    valid = np.isfinite(line_integrals) if valid is None else valid & np.isfinite(line_integrals)
    if not valid.any():
        return []
    values = np.where(valid, line_integrals, np.median(line_integrals[valid])).astype(np.float32)
    filled = sign * continued(values, valid)
    places, radii, inner = _blobs(filled, valid, radius_px)
    round_ones = _are_round(filled, valid, places, radii)
    transmission = np.exp(-np.clip(values - np.median(values[valid]), -8, 8))
    found: list[Bead] = []
    for chosen in (round_ones & ~inner, round_ones & inner):
        starts = [
            Bead(place, radius, 0.7 + 0.1 * radius, sign * 0.5, np.inf)
            for place, radius in zip(places[chosen], radii[chosen], strict=True)
            if not _shown_by(found, place)
        ]
        beads = [fitted(transmission, valid, start, ()) for start in starts]
        found = _without_doubles(found + [bead for bead in beads if _is_clear(bead, radius_px)])
    parted = chain.from_iterable(_parted(transmission, valid, bead) for bead in found)
    found = _without_doubles(parted)
    again = []
    for bead in found:
        near = _neighbours(bead, found)
        new = fitted(transmission, valid, bead, near) if near else bead
        again += [each for each in (new, bead) if _is_clear(each, radius_px)][:1]
    return sorted(_without_doubles(again), key=lambda bead: -sign * bead.stopped)


def _shown_by(beads: Sequence[Bead], place: np.ndarray) -> bool:
    """Return whether a place (2,) lies within a bead."""
    return any(np.linalg.norm(bead.pixel - place) < bead.radius_px for bead in beads)


def _is_clear(bead: Bead | None, radius_px: tuple[float, float]) -> TypeGuard[Bead]:
    """Return whether a fit is that of a bead of the size that is looked for."""
    return (
        bead is not None
        and 0.7 * radius_px[0] <= bead.radius_px <= 1.3 * radius_px[1]
        and bead.blur_px < MAX_BLUR_SHARE * bead.radius_px + 2
        and bead.sd_px <= max(MAX_SD_PX, MAX_SD_SHARE * bead.radius_px)
        and bead.misfit <= MAX_MISFIT
    )


def _blobs(
    image: np.ndarray, valid: np.ndarray, radius_px: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places (n, 2) and radii (n,) of the blobs, bright in the image, the strongest response first, and which lie within another."""
    low, high = radius_px
    count = 1 + max(0, int(np.ceil(np.log(high / low) / np.log(SCALE_STEP))))
    near = scipy.ndimage.binary_dilation(valid, iterations=max(1, round(low)))
    found = []
    pooled = image
    factor = 1
    for radius in low * SCALE_STEP ** np.arange(count):
        while radius / factor > POOLED_RADIUS_PX and min(pooled.shape) >= 16:
            pooled = block_sums(pooled, 2) / 4
            factor = 2 * factor
        sigma = radius / factor / np.sqrt(2)
        response = -(sigma**2) * scipy.ndimage.gaussian_laplace(pooled, sigma, mode="nearest")
        peak = response == scipy.ndimage.maximum_filter(response, 3)
        rows, columns = np.nonzero(peak & (response > MIN_RESPONSE))
        places = np.stack([columns, rows], axis=1) * factor + (factor - 1) / 2
        at = np.minimum(np.rint(places).astype(int), np.array(image.shape[::-1]) - 1)
        seen = near[at[:, 1], at[:, 0]]
        found.append(
            np.column_stack(
                [places[seen], np.full(seen.sum(), radius), response[rows, columns][seen]]
            )
        )
    blobs = np.concatenate(found)
    blobs = blobs[np.argsort(-blobs[:, 3], kind="stable")]
    blobs = blobs[blobs[:, 3] > MIN_RESPONSE_SHARE * blobs[:1, 3].sum()]
    return _spread(blobs[:, :2], blobs[:, 2])


def _spread(places: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return at most MAX_CANDIDATES of the blobs, and which of them lie within a stronger one.

    These are much smaller than it, as a bead before a shadow of bone that is a blob, too; others
    within a stronger one are left out.
    """
    kept: list[int] = []
    inner: list[bool] = []
    for n, (place, radius) in enumerate(zip(places, radii, strict=True)):
        apart = np.linalg.norm(places[kept] - place, axis=1)
        within = apart <= 0.8 * np.maximum(radii[kept], radius)
        if (~within | (radius < INNER_SHARE * radii[kept])).all():
            kept.append(n)
            inner.append(bool(within.any()))
            if len(kept) == MAX_CANDIDATES:
                break
    return places[kept], radii[kept], np.array(inner, bool)


def _are_round(
    image: np.ndarray, valid: np.ndarray, places: np.ndarray, radii: np.ndarray
) -> np.ndarray:
    """Return bool (n,): which blobs stand out from what is around them in nearly every direction."""
    if not len(places):
        return np.zeros(0, bool)
    angles = 2 * np.pi * np.arange(SECTORS) / SECTORS
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def at(distances: np.ndarray, what: np.ndarray) -> np.ndarray:
        """Return (n, SECTORS), means over distances (n, m) in px from the centres."""
        points = places[:, None, None] + distances[:, None, :, None] * directions[:, None]
        sampled = scipy.ndimage.map_coordinates(
            what, [points[..., 1], points[..., 0]], order=1, mode="nearest"
        )
        return sampled.mean(axis=-1)

    inner = at(radii[:, None] * [0.2, 0.4, 0.6], image)
    outer_px = radii[:, None] * [1.5, 1.8] + [1.5, 2.0]
    steps = inner - at(outer_px, image)
    shown = at(outer_px, valid.astype(np.float32)) > 0.9
    typical = np.ma.median(np.ma.masked_array(steps, ~shown), axis=1).filled(0)
    clear = (steps > MIN_SECTOR_SHARE * typical[:, None]) & shown
    enough = clear.sum(axis=1) >= MIN_SECTORS * shown.sum(axis=1)
    return enough & (typical > 0) & (shown.mean(axis=1) >= MIN_SHOWN)


def _neighbours(bead: Bead, beads: Sequence[Bead]) -> list[Bead]:
    """Return the other beads that the surroundings of a bead show."""
    reach = reach_px(bead.radius_px, bead.blur_px)

    def is_near(other: Bead) -> bool:
        apart = np.linalg.norm(other.pixel - bead.pixel)
        return bool(apart < reach + other.radius_px + 2 * other.blur_px)

    return [other for other in beads if other is not bead and is_near(other)]


def _parted(transmission: np.ndarray, valid: np.ndarray, bead: Bead) -> list[Bead]:
    """Return two beads that overlap in place of one, where they fit the image much better."""
    apart = np.linalg.norm(bead.half_apart)
    if bead.misfit < POOR_MISFIT or apart < 0.15 * bead.radius_px:
        return [bead]
    smaller = replace(bead, radius_px=0.8 * bead.radius_px)
    ends = bead.pixel - bead.half_apart, bead.pixel + bead.half_apart
    pair: list[Bead | None] = [replace(smaller, pixel=pixel) for pixel in ends]
    for _ in range(PARTING_ROUNDS):
        for n in range(2):
            this = pair[n]
            other = pair[1 - n]
            if this is None or other is None:
                return [bead]
            pair[n] = fitted(transmission, valid, this, [other])
    first, second = pair
    if first is None or second is None:
        return [bead]
    alike = 0.7 < first.radius_px / second.radius_px < 1.4
    distinct = np.linalg.norm(first.pixel - second.pixel) > 0.3 * first.radius_px
    better = first.misfit + second.misfit < 1.5 * bead.misfit
    return [first, second] if alike and distinct and better else [bead]


def _without_doubles(beads: Iterable[Bead]) -> list[Bead]:
    """Return the beads without those at the place of a better measured one."""
    kept: list[Bead] = []
    for bead in sorted(beads, key=lambda each: each.sd_px / each.radius_px):
        apart = [np.linalg.norm(bead.pixel - other.pixel) for other in kept]
        least = [0.3 * max(bead.radius_px, other.radius_px) for other in kept]
        if (np.array(apart) > least).all():
            kept.append(bead)
    return kept
