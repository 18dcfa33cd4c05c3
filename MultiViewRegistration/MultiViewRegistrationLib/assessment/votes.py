"""Votes of image tiles on a pose, which hold for X-rays of any kind.

However an X-ray differs from a DRR in its grey values, at the correct pose most of its tiles look
most like the DRR exactly where the pose puts it; at a wrong pose hardly more of them do than by
chance. Each tile is a vote that knows only its own few centimetres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from ..imaging.xray import View, local_moments, window_mean
from ..registration.objective import Objective
from ..registration.optimizer import Refinement, distance, minimise
from ..registration.pipeline import DISTINCT_MM
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import local_ncc
from ..registration.tiles import TILE_SIDE, TiledFit, Tiles, tiled_fit
from ..rendering.devices import run_each

#: Each tile is shifted by up to this many pixels; it is in place within IN_PLACE_PIXELS of the pose,
#: and out of place beyond OUT_OF_PLACE_PIXELS.
REACH_PIXELS = 5
IN_PLACE_PIXELS = 1
OUT_OF_PLACE_PIXELS = 2
#: X-rays that never look similar, such as those of a linear accelerator, resemble the CT if this
#: fraction of each one's tiles is in place: 0.6 to 0.8 at a correct pose, up to 0.25 at a wrong one.
IN_PLACE = 0.5
#: A tile has a vote if noise leaves its X-ray this correlation with itself, and its local NCC in place
#: and out of place differs by MIN_NCC_DIFFERENCE: a single straight edge can slide along itself.
MIN_EXPLAINED = 0.5
MIN_NCC_DIFFERENCE = 0.02
#: Smallest number of votes of a view.
MIN_VOTES = 6
#: Mean and concentration of the beta distribution of the fraction in place, in the view where it is
#: smallest, at wrong poses: benchmarks/appearances.py fits it to simulated X-rays of many kinds.
CHANCE_FRACTION = 0.06
CONCENTRATION = 20.0
#: A smaller fraction proves nothing: correct poses in real X-rays have 0.48 or more, and those with
#: a wrong image up to 0.14.
MIN_FRACTION = 0.35
#: Steps in which the alternative pose is refined before its tiles vote.
ALTERNATIVE_STEPS = 8
#: Pixels with more than COVERED times the detail of the DRR are covered; detail is the standard
#: deviation within DETAIL_PIXELS, and covered regions grow by GROWN_PIXELS.
COVERED = 2.0
DETAIL_PIXELS = 2
GROWN_PIXELS = 2


def tiles_in_place(sums: Sequence[np.ndarray], split: Tiles) -> np.ndarray:
    """Return the fraction (V,) of each view's tiles that fit best at the pose; NaN with fewer than MIN_VOTES votes.

    Parameters
    ----------
    sums
        Result of `shifted_sums`, by view.
    split
        Tiles at the pose.
    """
    fractions = np.full(len(sums), np.nan)
    for index, view_sums in enumerate(sums):
        votes = (split.views == index) & split.comparable & (split.explained >= MIN_EXPLAINED)
        column, row = split.places[votes].T
        in_place, out_of_place = best_fits(view_sums)
        difference = (in_place - out_of_place)[row, column]
        decided = difference[np.abs(difference) >= MIN_NCC_DIFFERENCE]
        if len(decided) >= MIN_VOTES:
            fractions[index] = np.mean(decided > 0)
    return fractions


def fractions_at(objective: Objective, world_from_ct: np.ndarray) -> np.ndarray:
    """Return the fraction (V,) of each view's tiles that fit best at a pose (4, 4), see `tiles_in_place`."""
    fit = tiled_fit(objective, world_from_ct)
    return tiles_in_place(sums_by_view(fit), fit.split)


def alternative_is_in_place(
    anatomy: PreparedCT, views: list[View], refinement: Refinement, start: np.ndarray
) -> bool:
    """Return whether the refined alternative pose is a distinct one that has its tiles in place, too.

    Parameters
    ----------
    views
        Views after the correction of their cameras.
    start
        (4, 4) `world_from_ct` at which the refinement started; selects the resolution levels.
    """
    assert refinement.alternative is not None
    pose = refinement.alternative.world_from_ct
    for level in anatomy.levels(views, start)[-2:]:
        objective = anatomy.objective(views, level, pose)
        pose = minimise(objective, pose, ALTERNATIVE_STEPS, level.tolerance_mm).world_from_ct
    if distance(pose, refinement.world_from_ct, anatomy.centroid) <= DISTINCT_MM:
        return False
    return vote_risk(fractions_at(objective, pose)) < 1


def vote_risk(in_place: np.ndarray) -> float:
    """Return the probability of a wrong pose from the votes, for X-rays of any kind.

    The fraction in place at a wrong pose is chance, the same for all kinds. At a correct pose it
    depends on the kind, so that all fractions are assumed equally likely; so are correct and wrong
    poses. It is 1 if a view has too few votes, or a fraction below MIN_FRACTION.

    Parameters
    ----------
    in_place
        (V,) fractions.
    """
    if not np.isfinite(in_place).all() or in_place.min() < MIN_FRACTION:
        return 1.0
    fraction = np.clip(in_place.min(), CHANCE_FRACTION, 1 - 1e-9)
    a = CONCENTRATION * CHANCE_FRACTION
    b = CONCENTRATION * (1 - CHANCE_FRACTION)
    log_chance = (
        (a - 1) * np.log(fraction) + (b - 1) * np.log1p(-fraction) - scipy.special.betaln(a, b)
    )
    return float(scipy.special.expit(log_chance))


def sums_by_view(here: TiledFit) -> list[np.ndarray]:
    """Return the `shifted_sums` of each view, as its intensities are compared."""
    objective = here.objective

    def sums(index: int) -> np.ndarray:
        projection = here.projections[index]
        residual, _, _, drr = next(objective.residuals(index, projection, derivative=False))
        mask = objective.masks[index]
        return shifted_sums(drr[0] * mask, (drr - residual)[0] * mask, mask)

    return run_each(sums, range(len(here.projections)))


def covered_pixels(here: TiledFit) -> list[np.ndarray]:
    """Return the pixels that something outside the CT covers, (rows, columns) bool, by view.

    The X-ray's detail is more than COVERED times the largest detail of the DRR within REACH_PIXELS:
    bone that moved by less covers nothing.
    """
    by_view = []
    objective = here.objective
    rows = zip(objective.views, here.projections, objective.masks, strict=True)
    for view, projection, mask in rows:
        known = mask > 0
        if not known.any():
            by_view.append(known)
            continue
        xray = _local_sd(view.xray.line_integrals, mask)
        drr = _local_sd(projection.image, mask)
        strong = known & (drr >= np.median(drr[known]))
        usual = np.median(xray[strong] / drr[strong])
        nearby = scipy.ndimage.maximum_filter(drr * known, 2 * REACH_PIXELS + 1)
        covered = known & (xray > COVERED * usual * nearby)
        by_view.append(scipy.ndimage.maximum_filter(covered, 2 * GROWN_PIXELS + 1) & known)
    return by_view


def _local_sd(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the standard deviation (rows, columns) of the known pixels within DETAIL_PIXELS."""
    _, sd = local_moments(image.astype(float), mask, window_mean(DETAIL_PIXELS))
    return np.maximum(sd, 1e-9)


def best_fits(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest local NCC of DRR and X-ray in each tile, in place and out of place.

    Parameters
    ----------
    sums
        Result of `shifted_sums`.

    Returns
    -------
    in_place, out_of_place : ndarray
        (tile rows, tile columns).
    """
    side = np.abs(np.arange(-REACH_PIXELS, REACH_PIXELS + 1))
    shift = np.maximum.outer(side, side)
    similarity = local_ncc(sums)
    return (
        similarity[shift <= IN_PLACE_PIXELS].max(axis=0),
        similarity[shift > OUT_OF_PLACE_PIXELS].max(axis=0),
    )


def shifted_sums(drr: np.ndarray, xray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the sums of which the local NCC of each tile consists, with the DRR shifted in all directions.

    Parameters
    ----------
    drr, xray
        (rows, columns), locally normalised, 0 outside the mask.
    mask
        (rows, columns) of 0 and 1.

    Returns
    -------
    ndarray
        (3, 2 REACH_PIXELS + 1, 2 REACH_PIXELS + 1, tile rows, tile columns): sums of DRR times X-ray
        and of both squares, by the rows and columns by which the DRR is shifted.
    """
    drr, xray, mask = (_whole_tiles(image) for image in (drr, xray, mask))
    rows, columns = mask.shape
    padded = [np.pad(image, REACH_PIXELS) for image in (drr, drr**2, mask)]
    squares = xray**2
    side = 2 * REACH_PIXELS + 1
    sums = np.empty((3, side, side, *_tile_sums(mask).shape), np.float32)
    for down, across in np.ndindex(side, side):
        part = np.s_[down : down + rows, across : across + columns]
        moved, moved_squares, known = (image[part] for image in padded)
        products = (moved * xray, moved_squares * mask, squares * known)
        sums[:, down, across] = [_tile_sums(product) for product in products]
    return sums


def _whole_tiles(image: np.ndarray) -> np.ndarray:
    """Return an image (rows, columns) padded by zeros to whole tiles."""
    rows, columns = image.shape
    return np.pad(image, ((0, -rows % TILE_SIDE), (0, -columns % TILE_SIDE)))


def _tile_sums(image: np.ndarray) -> np.ndarray:
    """Return the sums over the tiles (tile rows, tile columns) of an image of whole tiles."""
    return image.reshape(len(image) // TILE_SIDE, TILE_SIDE, -1, TILE_SIDE).sum(axis=(1, 3))
