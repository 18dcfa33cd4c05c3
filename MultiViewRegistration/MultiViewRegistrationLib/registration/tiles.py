"""The fit at one pose, split into square tiles of the images: what each of them says of the pose, and how alike it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .objective import Objective, Projection

#: Side of a tile in pixels of the level that is looked at: several windows of local normalisation wide, so that two tiles differ by
#: chance even where neighbouring pixels do not.
SIDE = 16
#: Tiles in which less than this share of the pixels is compared tell no similarity; they count in the sums all the same.
MIN_SHARE = 0.25
#: Of J. Immerkaer, Fast noise variance estimation, CVIU 64 (1996): of normal noise of sd 1 its mean absolute answer is 6 sqrt(2 / pi).
NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(frozen=True, eq=False)
class Tiles:
    """T tiles of all views, those in which at least a pixel is compared.

    views: (T,) which view.   places: (T, 2) column and row of the tile, counted in tiles.   pixels: (T,) how many are compared.
    gradients: (T, n) of half the sum of the robust squares, by what the projections' Jacobians are by; over all tiles they add up to that
        of `Objective.linearise` times its number of pixels.
    hessians: (T, n, n) of the same, with the second derivatives of the robust square and those that the residuals have on average, see
        `_missing`: Gauss and Newton, who leave them out, find the minimum of a body up to three times as sharp as it is, and that of a
        bone among others ten to fifty times. Over few tiles they need not be positive.
    similarity: (T,) local NCC.   explained: (T,) what the X-ray's noise would leave of it at the true pose.
    """

    views: np.ndarray
    places: np.ndarray
    pixels: np.ndarray
    gradients: np.ndarray
    hessians: np.ndarray
    similarity: np.ndarray
    explained: np.ndarray

    @property
    def comparable(self) -> np.ndarray:
        """(T,) bool: those with enough pixels for their similarity to mean something."""
        return self.pixels >= MIN_SHARE * SIDE**2


def tiles(objective: Objective, projections: list[Projection]) -> Tiles:
    """The fit at the pose that was linearised last, whose projections these are."""
    parts = [_of_view(objective, i, projection) for i, projection in enumerate(projections)]
    return Tiles(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _of_view(objective: Objective, index: int, projection: Projection) -> tuple[np.ndarray, ...]:
    mask, cauchy = objective.masks[index], objective.settings.cauchy
    pixels = _sums(mask[None])[0]
    derivatives = len(projection.jacobian)
    lower = np.tril_indices(derivatives)
    gradients = np.zeros((derivatives, *pixels.shape))
    hessians = np.zeros((len(lower[0]), *pixels.shape))
    products = np.zeros((3, *pixels.shape))
    of_xray = _normalised_xray(objective, index, projection)
    for (residual, change, _), fixed in zip(objective.residuals(index, projection), of_xray, strict=True):
        square = np.sum(residual**2, axis=0)
        weight = mask / (1 + square / cauchy**2) if cauchy else mask
        along = np.sum(change * residual, axis=1)  # of half the square
        gradients += _sums(weight * along)
        bend = 2 * weight / (cauchy**2 + square) if cauchy else np.zeros_like(mask)
        drr = residual + fixed
        sharp = weight - mask * _missing(residual, drr, weight, mask)
        for pair, (p, o) in enumerate(zip(*lower, strict=True)):
            hessians[pair] += _sums((sharp * np.sum(change[p] * change[o], axis=0) - bend * along[p] * along[o])[None])[
                0
            ]
        products += _sums(
            mask * np.stack([np.sum(a * b, axis=0) for a, b in ((drr, fixed), (drr, drr), (fixed, fixed))])
        )
    used = pixels > 0
    full = np.zeros((int(used.sum()), derivatives, derivatives))
    full[:, lower[0], lower[1]] = full[:, lower[1], lower[0]] = hessians[:, used].T
    alike = products[0] / np.sqrt(products[1] * products[2] + 1e-12)
    explained = _explained(objective.views[index].xray.line_integrals, mask, objective.settings.intensity_floor)
    places = np.argwhere(used)[:, ::-1]
    return np.full(len(places), index), places, pixels[used], gradients[:, used].T, full, alike[used], explained[used]


def _missing(residual: np.ndarray, drr: np.ndarray, weight: np.ndarray, mask: np.ndarray) -> float:
    """The share of the DRR's contrast that the X-ray lacks, as the weights see it: 0 where they are alike, 1 where it shows nothing of it.

    A DRR m that is locally normalised keeps its sum of squares whatever the pose, so that on average m'' = -m m'^2 / m^2. A residual that
    holds the share a of m thus adds a m m'' = -a m'^2 to the second derivative of its half square, and all else in it, what lies before
    and behind, adds nothing.
    """
    return float(np.sum(weight * np.sum(residual * drr, axis=0)) / max(np.sum(mask * np.sum(drr**2, axis=0)), 1e-12))


def _normalised_xray(objective: Objective, index: int, projection: Projection) -> list[np.ndarray]:
    """The X-ray as it is compared, in each way: what an image without contrast differs by from it."""
    nothing = Projection(np.zeros_like(projection.image), np.empty((0, 0, 0), np.float32), projection.comparable)
    return [-each.residual for each in objective.residuals(index, nothing, derivative=False)]


def _explained(image: np.ndarray, mask: np.ndarray, floor: float) -> np.ndarray:
    """By tile, the correlation of the image with itself without its noise: sqrt(signal / variance).

    Detail below the noise floor of the comparison counts as noise: there scatter and hardening show as much as the CT does.
    """
    inside = ndimage.uniform_filter(mask, 3) > 0.99
    noise = _sums((np.abs(ndimage.convolve(image, NOISE_MASK)) * inside)[None])[0]
    count = np.maximum(_sums(inside[None].astype(np.float32))[0], 1)
    noise = (np.sqrt(np.pi / 2) / 6 * noise / count) ** 2
    share = np.maximum(ndimage.uniform_filter(mask, 9), 1e-6)
    detail = (image - ndimage.uniform_filter(image * mask, 9) / share) * mask
    variance = _sums((detail**2)[None])[0] / np.maximum(_sums(mask[None])[0], 1)
    return np.sqrt(np.maximum(variance - noise, 0) / (variance + floor**2 + 1e-12))


def _sums(images: np.ndarray) -> np.ndarray:
    """Sums over the tiles (n, tile rows, tile columns) of images (n, rows, columns)."""
    n, rows, columns = images.shape
    padded = np.pad(images, ((0, 0), (0, -rows % SIDE), (0, -columns % SIDE)))
    return padded.reshape(n, padded.shape[1] // SIDE, SIDE, -1, SIDE).sum(axis=(2, 4), dtype=np.float64)
