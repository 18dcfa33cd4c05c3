"""The fit at a pose, in parts of the images: by tiles, and with some of the bone moved.

How alike X-ray and DRR are in each tile, and how each pulls at the pose. And by how much likelier an
X-ray is with some of the bone moved: bone about a place moves wholly near it and less and less
towards its rim, in shells, of which each moves as a whole, by its share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from ..imaging.xray import local_moments, window_mean
from ..rendering import cpu
from ..rendering.devices import run_each
from . import similarity
from .objective import Objective, PoseFit, Projection
from .similarity import local_ncc

#: Side of a tile in pixels of its level: several windows of local normalisation wide, so that two
#: tiles differ by chance even where neighbouring pixels do not.
TILE_SIDE = 16
#: Tiles in which less than this share of the pixels is compared get no similarity of their own;
#: they count in the sums.
MIN_TILE_SHARE = 0.25
#: Of J. Immerkaer, Fast noise variance estimation, CVIU 64 (1996): of normal noise of sd 1 its mean
#: absolute answer is 6 sqrt(2 / pi).
NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(frozen=True, eq=False)
class Tiles:
    """T tiles of all views, those in which at least a pixel is compared.

    Parameters
    ----------
    views
        (T,) which view.
    places
        (T, 2) column and row of the tile, counted in tiles.
    pixels
        (T,) how many are compared.
    gradients
        (T, n) of half the sum of the robust squares, by what the projections' Jacobians are by;
        over all tiles they add up to that of `Objective.linearise` times its number of pixels.
    hessians
        (T, n, n) of the same, with the second derivatives of the robust square and those that the
        residuals have on average, see `_missing`: Gauss and Newton, who leave them out, find the
        minimum of a body up to three times as sharp as it is, and that of a bone among others ten
        to fifty times. Over few tiles they need not be positive.
    similarity
        (T,) local NCC.
    explained
        (T,) local NCC that the X-ray's noise allows at the true pose.
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
        return self.pixels >= MIN_TILE_SHARE * TILE_SIDE**2


@dataclass(frozen=True, eq=False)
class TiledFit:
    """The fit at a pose, as a whole and by tiles.

    Attributes
    ----------
    objective, projections
        Linearised at the pose, and of that pose.
    """

    objective: Objective
    projections: list[Projection]
    fit: PoseFit
    split: Tiles

    @property
    def pixels(self) -> int:
        """How many are compared in all views."""
        return sum(self.fit.pixels)


def tiled_fit(
    objective: Objective, world_from_ct: np.ndarray, *, intrinsics: bool = False
) -> TiledFit:
    """Return the fit at a pose (4, 4); parameters as of `Objective.project`."""
    projections = objective.project(world_from_ct, intrinsics=intrinsics)
    fit = objective.linearise(projections)
    return TiledFit(objective, projections, fit, tiles(objective, projections))


def tiles(objective: Objective, projections: list[Projection]) -> Tiles:
    """Return the fit at the pose that was linearised last, whose projections these are."""
    parts = run_each(
        lambda index: _of_view(objective, index, projections[index]), range(len(projections))
    )
    return Tiles(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def contrasts(here: TiledFit) -> np.ndarray:
    """Return how much stronger the detail of each tile (T,) is in the X-ray than in the DRR, log2.

    Against the gain of its view: the median of those tiles that are more similar than others.
    """
    split = here.split
    found = np.zeros(len(split.views))
    pairs = zip(here.objective.views, here.projections, strict=True)
    for index, (view, projection) in enumerate(pairs):
        mask = here.objective.masks[index]
        of_view = split.views == index
        column, row = split.places[of_view].T
        xray = _detail(view.xray.line_integrals, mask)[row, column] + 1e-12
        drr = _detail(projection.image, mask)[row, column] + 1e-12
        ratios = np.log2(xray / drr) / 2
        similarity = split.similarity[of_view]
        alike = ratios[similarity >= np.median(similarity)] if len(ratios) else ratios
        found[of_view] = ratios - np.median(alike) if len(alike) else ratios
    return found


def _of_view(objective: Objective, index: int, projection: Projection) -> tuple[np.ndarray, ...]:
    mask = objective.masks[index]
    cauchy = objective.settings.cauchy
    pixels = _sums(mask[None])[0]
    derivatives = len(projection.jacobian)
    gradients = np.zeros((derivatives, *pixels.shape))
    hessians = np.zeros((*pixels.shape, derivatives, derivatives))
    products = np.zeros((3, *pixels.shape))
    for residual, change, _, drr in objective.residuals(index, projection):
        fixed = drr - residual
        square = np.sum(residual**2, axis=0)
        weight = mask / (1 + square / cauchy**2) if cauchy else mask
        along = np.sum(change * residual, axis=1)  # of half the square
        gradients += _sums(weight * along)
        bend = 2 * weight / (cauchy**2 + square) if cauchy else np.zeros_like(mask)
        sharp = weight - mask * _missing(residual, drr, weight, mask)
        similarity.add_tile_hessians(change, along, sharp, bend, TILE_SIDE, hessians)
        products += _sums(
            mask
            * np.stack(
                [np.sum(a * b, axis=0) for a, b in ((drr, fixed), (drr, drr), (fixed, fixed))]
            )
        )
    used = pixels > 0
    full = hessians[used]
    full += np.swapaxes(np.tril(full, -1), -1, -2)
    ncc = local_ncc(products)
    explained = _explained(
        objective.views[index].xray.line_integrals, mask, objective.settings.intensity_floor
    )
    places = np.argwhere(used)[:, ::-1]
    return (
        np.full(len(places), index),
        places,
        pixels[used],
        gradients[:, used].T,
        full,
        ncc[used],
        explained[used],
    )


def _missing(residual: np.ndarray, drr: np.ndarray, weight: np.ndarray, mask: np.ndarray) -> float:
    """Return the weighted share of the DRR's contrast that is missing in the X-ray.

    0 where they are alike, 1 where all is missing.

    A DRR m that is locally normalised keeps its sum of squares whatever the pose, so that on
    average m'' = -m m'^2 / m^2. A residual that holds the share a of m thus adds a m m'' = -a m'^2
    to the second derivative of its half square, and all else in it, what lies before and behind,
    adds nothing.
    """
    return float(
        np.sum(weight * np.sum(residual * drr, axis=0))
        / max(np.sum(mask * np.sum(drr**2, axis=0)), 1e-12)
    )


def _explained(image: np.ndarray, mask: np.ndarray, floor: float) -> np.ndarray:
    """Return the correlation of the image with itself without its noise, by tile.

    sqrt(signal / variance).

    Detail below the noise floor of the comparison counts as noise: there scatter and hardening show
    as much as the CT does.
    """
    inside = scipy.ndimage.uniform_filter(mask, 3) > 0.99
    noise = _sums((np.abs(scipy.ndimage.convolve(image, NOISE_MASK)) * inside)[None])[0]
    count = np.maximum(_sums(inside[None].astype(np.float32))[0], 1)
    noise = (np.sqrt(np.pi / 2) / 6 * noise / count) ** 2
    variance = _detail(image, mask)
    return np.sqrt(np.maximum(variance - noise, 0) / (variance + floor**2 + 1e-12))


def _detail(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean square by which an image differs from its surroundings, by tile."""
    detail = (image - local_moments(image, mask, window_mean(4))[0]) * mask
    return _sums((detail**2)[None])[0] / np.maximum(_sums(mask[None])[0], 1)


def _sums(images: np.ndarray) -> np.ndarray:
    """Return sums over the tiles (n, tile rows, tile columns) of images (n, rows, columns)."""
    n, rows, columns = images.shape
    padded = images
    if rows % TILE_SIDE or columns % TILE_SIDE:
        padded = np.pad(images, ((0, 0), (0, -rows % TILE_SIDE), (0, -columns % TILE_SIDE)))
    return padded.reshape(n, padded.shape[1] // TILE_SIDE, TILE_SIDE, -1, TILE_SIDE).sum(
        axis=(2, 4), dtype=np.float64
    )


@cpu.part
def _add_between(
    row: np.ndarray, upper: np.ndarray, lower: np.ndarray, across: float, down: float
) -> None:
    """Add to a row, (columns,), what two others, (columns + 1,) each, are between their pixels.

    By shares of a pixel across and down.
    """
    right = np.float32(across)
    low = np.float32(down)
    for c in range(len(row)):
        above = upper[c + 1] + right * (upper[c] - upper[c + 1])
        below = lower[c + 1] + right * (lower[c] - lower[c + 1])
        row[c] += above + low * (below - above)


@cpu.fast_kernel
def moved_detail(
    shells: np.ndarray, steps: np.ndarray, weight: np.ndarray, pull: np.ndarray
) -> np.ndarray:
    """Return by how much likelier an X-ray is with shells of bone moved in it, and the information about that.

    Parameters
    ----------
    shells
        (S, rows, columns) float32, the detail of each; number s takes part in (s + 1) / S of a motion.
    steps
        (K, 2) motions, pixels.
    weight, pull
        (rows, columns) float32: a change c of the detail makes the X-ray likelier by the sum of
        pull c - weight c^2 / 2, and the information is that of weight c^2.

    Returns
    -------
    ndarray
        (2, K).
    """
    count, rows, columns = shells.shape
    rim = int(np.ceil(np.abs(steps).max())) + 1
    framed = np.zeros((count, rows + 2 * rim, columns + 2 * rim), np.float32)
    here = np.zeros((rows, columns), np.float32)
    for s in range(count):
        framed[s, rim : rim + rows, rim : rim + columns] = shells[s]
        here += shells[s]
    row = np.empty(columns, np.float32)
    found = np.zeros((2, len(steps)))
    for k in range(len(steps)):
        for r in range(rows):
            row[:] = -here[r]
            for s in range(count):
                across = steps[k, 0] * (s + 1) / count
                down = steps[k, 1] * (s + 1) / count
                left = int(np.floor(across))
                top = int(np.floor(down))
                upper = framed[s, rim + r - top, rim - left - 1 :]
                lower = framed[s, rim + r - top - 1, rim - left - 1 :]
                _add_between(row, upper, lower, across - left, down - top)
            likelier = np.float32(0)
            information = np.float32(0)
            for c in range(columns):
                likelier += pull[r, c] * row[c]
                information += weight[r, c] * row[c] * row[c]
            found[0, k] += likelier - information / 2
            found[1, k] += information
    return found
