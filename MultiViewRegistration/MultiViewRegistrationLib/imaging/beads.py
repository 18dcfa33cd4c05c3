"""Beads in X-ray images: metal balls, and the holes of a plate, found and measured to a fraction of a pixel.

Bright or dark blobs of all sizes that may be beads are the maxima of a Laplacian of Gaussian over
scales (Lindeberg, Int J Comput Vis 30, 1998). To what looks round the bead that fits best is fitted:
place, size, blur and attenuation, with their errors, by radiation through the chords of a ball,
blurred, before a smooth background.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TypeGuard

import numpy as np
import scipy

from .field import block_sums, continued

#: A fit is made at no more pixels than these from the centre to the rim; a larger bead is pooled.
FITTED_RADIUS_PX = 7.0
#: Fits of a bead, each from the last: share of the cost below which a step's gain ends it, trials at
#: most, and the share that it must explain of the variance which a background alone leaves.
FITS = (1e-2, 2, 0.2), (1e-2, 20, 0.65), (1e-3, 20, 0.78), (1e-4, 20, 0.8)
#: Of misfit above POOR_MISFIT, which is no noise, and radius: the error of the centre that goes with it.
SHAPE_SD_SHARE = 0.3
#: Standard deviations of noise by which a bead must be seen.
MIN_CONTRAST_TO_NOISE = 4.0
#: Share of radiation stopped, and share of a bead's outline within the field.
MIN_STOPPED = 0.03
MIN_SHOWN = 0.4
#: Nepers of a ball at which a fit begins, and the share by which radius, blur and nepers may be off.
LIKELY_NEPERS = 1.5
LIKELY_SHARE = 1.0
#: Transmission by which an image and a bead's differ, where that weighs as much as the likely.
LIKELY_SPREAD = 0.02
#: Misfit above which a bead may be two.
POOR_MISFIT = 0.05
#: Blur that the pixels themselves make.
MIN_BLUR_PX = 0.35
#: Distances at which a ball's image is computed; between them it is interpolated.
NODES = 48
#: By which each number of a fit changes for its derivative.
STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Bead:
    """A bead in an image.

    Attributes
    ----------
    pixel
        (2,), column and row of its centre.
    radius_px
        Of its outline.
    blur_px
        Standard deviation of the image's blur at it.
    stopped
        Share of the radiation that it stops at its centre; negative for a hole.
    sd_px
        Standard deviation of its centre along each axis, from the noise about it.
    nepers
        That it attenuates along its diameter, by the shape of its image.
    misfit
        Rms of what the bead leaves of the image within its outline, as a share of what it stops.
    half_apart
        (2,) px from the centre to each of two, if it should be two beads that overlap.
    """

    pixel: np.ndarray
    radius_px: float
    blur_px: float
    stopped: float
    sd_px: float
    nepers: float = LIKELY_NEPERS
    misfit: float = 0.0
    half_apart: np.ndarray = field(default_factory=lambda: np.zeros(2))


def stopped_by_ball(distance: np.ndarray, radius: float, blur: float, nepers: float) -> np.ndarray:
    """Return the share of radiation that a ball stops, blurred, where 1 is what its centre stops without blur.

    Parameters
    ----------
    distance
        (n,), from the centre of its image.
    radius, blur
        Of the ball, and standard deviation of the blur, in the unit of the distance.
    nepers
        That the ball attenuates along its diameter.
    """
    from scipy.special import i0e

    nodes, weights = _QUADRATURE
    rho = radius * nodes
    # A Gaussian about a point at `distance`, over a ring at rho, is exp(-(d - rho)^2 / 2 s^2) i0e.
    across = (distance[:, None] - rho) / blur
    ring = np.exp(-0.5 * across**2) * i0e(distance[:, None] * rho / blur**2)
    chords = np.expm1(-nepers * np.sqrt(1 - nodes**2)) / np.expm1(-nepers)
    return ring @ (rho * weights * radius / blur**2 * chords)


#: Nodes and weights from 0 to 1.
_QUADRATURE = np.add(np.polynomial.legendre.leggauss(24), [[1], [0]]) / 2


def reach_px(radius: float, blur: float) -> float:
    """Return how far from its centre an image is compared with that of a bead."""
    return 1.5 * radius + 2.5 * blur + 1.5


def fitted(
    transmission: np.ndarray, valid: np.ndarray, start: Bead, neighbours: Sequence[Bead]
) -> Bead | None:
    """Return the bead that fits the image best near a start; None where no bead fits it."""
    factor = max(1, int(np.ceil(start.radius_px / FITTED_RADIUS_PX)))
    patch = _Patch.around(transmission, valid, start, neighbours, factor)
    return None if patch is None else patch.bead(start, factor)


@dataclass(frozen=True, eq=False)
class _Patch:
    """The pixels about a bead, in pixels of the image pooled for the fit.

    What is fitted has twelve numbers: the bead's column, row, radius, blur, nepers and share
    stopped, and six of a quadratic background.

    Attributes
    ----------
    x, y
        (n,) from the start's centre.
    at
        (2, n), row and column.
    values
        (n,) transmission, about 1 where the bead is not.
    start
        (12,) of the fit.
    low, high
        (12,) within which it stays.
    shown
        Share of the bead's outline within the field.
    """

    x: np.ndarray
    y: np.ndarray
    at: np.ndarray
    values: np.ndarray
    start: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shown: float

    @classmethod
    def around(
        cls,
        transmission: np.ndarray,
        valid: np.ndarray,
        bead: Bead,
        neighbours: Sequence[Bead],
        factor: int,
    ) -> _Patch | None:
        """Return the pixels about a bead, less what its neighbours stop; None where there are too few."""
        reach = reach_px(bead.radius_px, bead.blur_px) + 0.3 * bead.radius_px
        low = np.maximum(np.floor(bead.pixel - reach).astype(int), 0)
        high = np.minimum(np.ceil(bead.pixel + reach).astype(int) + 1, transmission.shape[::-1])
        high -= (high - low) % factor
        if ((high - low) < 4 * factor).any():
            return None
        part = np.s_[low[1] : high[1], low[0] : high[0]]
        v, u = np.mgrid[part]
        values = transmission[part].astype(float)
        apart = np.hypot(u - bead.pixel[0], v - bead.pixel[1])
        beside = valid[part] & (apart > bead.radius_px + bead.blur_px)
        if beside.sum() < 12:
            return None
        values /= np.median(values[beside])
        for other in neighbours:
            values = _without(values, np.hypot(u - other.pixel[0], v - other.pixel[1]), other)
        columns, rows = (high - low) // factor
        blocks = rows, factor, columns, factor
        images = np.stack([u - bead.pixel[0], v - bead.pixel[1], values, valid[part]])
        x, y, values, used = images.reshape(4, *blocks).mean((2, 4)).reshape(4, -1)
        distance = np.hypot(x, y)
        chosen = (used > 0.99) & (distance < reach)
        outline = np.abs(distance - bead.radius_px) < max(0.15 * bead.radius_px, 0.75 * factor)
        around = chosen & (distance > bead.radius_px)
        if around.sum() < 12 or not outline.any():
            return None
        radius = bead.radius_px / factor
        blur = max(bead.blur_px / factor, MIN_BLUR_PX)
        sign = np.sign(bead.stopped)
        free = np.full(6, np.inf)
        return cls(
            x[chosen] / factor,
            y[chosen] / factor,
            np.indices((rows, columns)).reshape(2, -1)[:, chosen],
            values[chosen],
            np.array([0, 0, radius, blur, LIKELY_NEPERS, 0.5 * sign, 1, 0, 0, 0, 0, 0]),
            np.array(
                [
                    -0.7 * radius,
                    -0.7 * radius,
                    0.5 * radius,
                    MIN_BLUR_PX,
                    0.05,
                    min(3 * sign, 0),
                    *-free,
                ]
            ),
            np.array(
                [
                    0.7 * radius,
                    0.7 * radius,
                    1.8 * radius + 0.5,
                    0.8 * radius + 1.5,
                    6,
                    max(1.2 * sign, 0),
                    *free,
                ]
            ),
            float((outline & chosen).sum() / outline.sum()),
        )

    def bead(self, start: Bead, factor: int) -> Bead | None:
        """Return the bead that fits best; None where it does not stand out from noise and background."""
        weight = np.ones(len(self.x))
        numbers = self.start
        for precision, steps, share in FITS:
            numbers = self._minimised(numbers, weight, precision, steps)
            misfit = self.values - self._model(numbers)
            background = self._background @ numbers[6:]
            noise = 1.4826 * np.median(np.abs(misfit)) + 1e-6
            weight = 1 / (1 + (misfit / (3 * noise)) ** 2)
            left = np.sum(weight * misfit**2) / np.sum(weight * (self.values - background) ** 2)
            if 1 - left < share:
                return None
        column, row, radius, blur, _, stopped = numbers[:6]
        near = np.hypot(self.x - column, self.y - row) < radius + blur
        ring = ~near
        if near.sum() < 4 or ring.sum() < 6 or abs(stopped) < MIN_STOPPED or self.shown < MIN_SHOWN:
            return None
        profile = stopped_by_ball(np.zeros(1), radius, blur, numbers[4])[0]
        spread = np.sqrt(np.sum(weight * misfit**2) / np.sum(weight))
        if abs(stopped) * profile < MIN_CONTRAST_TO_NOISE * spread:
            return None
        unlike = float(np.sqrt(np.mean(misfit[near] ** 2)) / abs(stopped))
        shape_sd = SHAPE_SD_SHARE * radius * max(unlike - POOR_MISFIT, 0.0)
        J = self._derivatives(numbers)
        normal = J.T @ (weight[:, None] * J) + np.diag(self._prior_weights * spread**2)
        variance = np.linalg.inv(normal + 1e-12 * np.eye(12)).diagonal() * spread**2
        variance *= self._correlation(np.sqrt(weight) * misfit)
        return Bead(
            start.pixel + factor * numbers[:2],
            factor * radius,
            factor * blur,
            stopped,
            factor * float(np.hypot(np.sqrt(variance[:2].mean()), shape_sd)),
            numbers[4],
            unlike,
            factor * self._half_apart(numbers),
        )

    def _minimised(
        self, numbers: np.ndarray, weight: np.ndarray, precision: float, steps: int
    ) -> np.ndarray:
        """Return the numbers (12,) of least weighted squares."""
        from scipy.optimize import least_squares  # slow to import

        root = np.sqrt(weight)
        prior = LIKELY_SPREAD * np.sqrt(self._prior_weights)

        def residuals(numbers: np.ndarray) -> np.ndarray:
            numbers = np.clip(numbers, self.low, self.high)
            misfit = self._model(numbers) - self.values
            return np.concatenate([root * misfit, prior * (numbers - self.start)])

        def derivatives(numbers: np.ndarray) -> np.ndarray:
            J = self._derivatives(np.clip(numbers, self.low, self.high))
            return np.concatenate([root[:, None] * J, np.diag(prior)])

        # MINPACK's, which knows no bounds, takes a fifth of the time of SciPy's own.
        found = least_squares(
            residuals,
            numbers,
            derivatives,
            method="lm",
            x_scale="jac",
            ftol=precision,
            max_nfev=steps,
        )
        return np.clip(found.x, self.low, self.high)

    @cached_property
    def _prior_weights(self) -> np.ndarray:
        """(12,) one over the variance of what is likely at the start: of radius, blur and nepers."""
        weights = np.zeros(12)
        weights[2:5] = 1 / (LIKELY_SHARE * self.start[2:5]) ** 2
        return weights

    def _correlation(self, misfit: np.ndarray) -> float:
        """Return how many times the variance of a mean is that of independent pixels."""
        image = np.zeros((self.at.max(axis=1) + 1).tolist())
        image[tuple(self.at)] = misfit
        around = 7**2 * scipy.ndimage.uniform_filter(image, 7, mode="constant")
        return float(max(1.0, np.sum(image * around) / max(np.sum(misfit**2), 1e-12)))

    def _half_apart(self, numbers: np.ndarray) -> np.ndarray:
        """Return (2,) from the centre to each of two beads, were this one two that overlap."""
        background = self._background @ numbers[6:]
        stopped = np.clip((1 - self.values / background) / numbers[5], 0, 1)
        near = np.hypot(self.x - numbers[0], self.y - numbers[1]) < 1.3 * numbers[2]
        weight = np.where(near & (stopped > 0.2), stopped, 0)
        places = np.stack([self.x, self.y])
        spread = np.atleast_2d(np.cov(places, aweights=weight + 1e-9))
        (small, large), axes = np.linalg.eigh(spread)
        return np.sqrt(max(large - small, 0.0)) * axes[:, 1]

    @cached_property
    def _background(self) -> np.ndarray:
        """(n, 6) of a quadratic background."""
        scale = max(np.abs(self.x).max(), np.abs(self.y).max())
        x = self.x / scale
        y = self.y / scale
        return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)

    def _passed(self, numbers: np.ndarray) -> np.ndarray:
        """Return the share of radiation (n,) that the bead lets pass."""
        distance = np.hypot(self.x - numbers[0], self.y - numbers[1])
        return 1 - numbers[5] * _profile(distance, *numbers[2:5])

    def _model(self, numbers: np.ndarray) -> np.ndarray:
        """Return the transmission (n,)."""
        return (self._background @ numbers[6:]) * self._passed(numbers)

    def _derivatives(self, numbers: np.ndarray) -> np.ndarray:
        """Return the derivatives (n, 12) of the transmission."""
        passed = self._passed(numbers)
        background = self._background @ numbers[6:]
        changed = [self._passed(numbers + step) - passed for step in STEP * np.eye(12)[:6]]
        return np.column_stack([*(background / STEP * changed), passed[:, None] * self._background])


def _profile(distance: np.ndarray, radius: float, blur: float, nepers: float) -> np.ndarray:
    """Return `stopped_by_ball` at distances (...) px."""
    nodes = np.linspace(0, distance.max(), NODES)
    return np.interp(distance, nodes, stopped_by_ball(nodes, radius, blur, nepers))


def _without(values: np.ndarray, distance: np.ndarray, bead: Bead) -> np.ndarray:
    """Return the transmission (...), 1 beside beads, as it were without a bead at distances (...) in px.

    Primary radiation is what beads before one another stop in turn; scatter, the rest, passes.
    """
    primary = bead.stopped / -np.expm1(-bead.nepers) if bead.stopped > 0 else 1.0
    primary = np.clip(primary, bead.stopped, 1.0)
    passed = 1 - np.clip(
        bead.stopped / primary * _profile(distance, bead.radius_px, bead.blur_px, bead.nepers),
        -5,
        0.95,
    )
    return np.where(passed > 0.98, values, 1 - primary + (values - 1 + primary) / passed)


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
