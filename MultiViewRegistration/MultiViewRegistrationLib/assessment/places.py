"""Compare where each tile of an X-ray fits best with where the pose has it.

However an X-ray differs from a DRR in its grey values, at the right pose most of its tiles look
most like the DRR just where the pose puts it, and at a wrong pose hardly more of them do than by
chance. So the tiles are votes, of which each knows nothing but its own few centimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import scipy

from ..imaging.xray import local_moments
from ..registration.objective import Objective, Projection
from ..registration.similarity import local_ncc
from ..registration.tiles import TILE_SIDE, Tiles, tiles
from ..rendering.devices import run_each

#: Each tile is tried so many pixels to all sides; it is in place up to so many from the pose's, and
#: out of place beyond the third number.
REACH_PIXELS = 5
IN_PLACE_PIXELS = 1
BESIDE_PIXELS = 2
#: A tile has a vote where noise leaves its X-ray this correlation with itself, and where its local
#: NCC in place and out of place differ by this: one that shows but a straight edge slides along it.
MIN_EXPLAINED = 0.5
MIN_NCC_DIFFERENCE = 0.02
#: What has more than so many times the detail of bone covers it. Detail is that of windows with this
#: radius, and so many pixels about what covers are left out, too.
COVERED = 2.0
DETAIL_PIXELS = 2
GROWN = 2
#: A view with fewer votes has no share.
MIN_VOTES = 6
#: The share in the view where it is smallest is beta distributed about this mean, with this
#: concentration, at wrong poses: benchmarks/appearances.py fits it to simulated X-rays of many
#: kinds.
CHANCE_SHARE = 0.06
CONCENTRATION = 20.0
#: A smaller share says nothing: right poses in real X-rays have 0.48 or more, and those with an
#: image that is not what the case says up to 0.14.
MIN_SHARE = 0.35


def tiles_in_place(sums: Sequence[np.ndarray], split: Tiles) -> np.ndarray:
    """Return the share (V,) of each view's tiles that fit best where the pose has them.

    By the local NCC of intensities. NaN of a view with fewer than MIN_VOTES votes.

    Parameters
    ----------
    sums, split
        Of `view_sums` and `tiles.tiles`, at the pose.
    """
    shares = np.full(len(sums), np.nan)
    for index, of in enumerate(sums):
        seen = (split.views == index) & split.comparable & (split.explained >= MIN_EXPLAINED)
        column, row = split.places[seen].T
        there, elsewhere = best_fits(of)
        difference = (there - elsewhere)[row, column]
        votes = difference[np.abs(difference) >= MIN_NCC_DIFFERENCE]
        if len(votes) >= MIN_VOTES:
            shares[index] = np.mean(votes > 0)
    return shares


def shares_at(objective: Objective, world_from_ct: np.ndarray) -> np.ndarray:
    """Return the `tiles_in_place` at a pose (4, 4) at which the objective was not linearised."""
    projections = objective.project(world_from_ct)
    objective.linearise(projections)
    split = tiles(objective, projections)
    return tiles_in_place(view_sums(objective, projections), split)


def carried_risk(in_place: np.ndarray) -> float:
    """Return the probability that a pose is wrong, whatever kind of X-rays shows it.

    What a wrong pose looks like is chance, and the same in all of them. What a right one looks like
    depends on the kind, so that for it all shares count as equally likely; and so do right and
    wrong. 1 where a view has too few votes, or a share below
    MIN_SHARE: nothing is known then.

    Parameters
    ----------
    in_place
        (V,) of `tiles_in_place`.
    """
    if not np.isfinite(in_place).all() or in_place.min() < MIN_SHARE:
        return 1.0
    share = np.clip(in_place.min(), CHANCE_SHARE, 1 - 1e-9)
    a = CONCENTRATION * CHANCE_SHARE
    b = CONCENTRATION * (1 - CHANCE_SHARE)
    log_chance = (a - 1) * np.log(share) + (b - 1) * np.log1p(-share) - scipy.special.betaln(a, b)
    return float(scipy.special.expit(log_chance))


def view_sums(
    objective: Objective,
    projections: Sequence[Projection],
    left_out: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return the `shifted_sums` of each view, as its intensities are compared.

    Parameters
    ----------
    objective, projections
        Linearised at a pose, and of that pose.
    left_out
        (rows, columns) bool, by view: pixels that are not compared.
    """

    def sums(index: int) -> np.ndarray:
        compared = objective.residuals(index, projections[index], derivative=False)
        residual, _, _, drr = next(compared)
        mask = objective.masks[index]
        if left_out is not None:
            mask = mask * ~left_out[index]
        return shifted_sums(drr[0] * mask, (drr - residual)[0] * mask, mask)

    return run_each(sums, range(len(projections)))


def covered_pixels(objective: Objective, projections: Sequence[Projection]) -> list[np.ndarray]:
    """Return what something covers that the CT does not hold, (rows, columns) bool, by view.

    The X-ray's detail is there more than COVERED times what the DRR has anywhere within
    REACH_PIXELS: bone that has moved by no more covers nothing.

    Parameters
    ----------
    objective, projections
        As of `view_sums`.
    """
    found = []
    for view, projection, mask in zip(objective.views, projections, objective.masks, strict=True):
        known = mask > 0
        if not known.any():
            found.append(known)
            continue
        xray, drr = (
            _local_sd(image, mask) for image in (view.xray.line_integrals, projection.image)
        )
        strong = known & (drr >= np.median(drr[known]))
        usual = np.median(xray[strong] / drr[strong])
        near = scipy.ndimage.maximum_filter(drr * known, 2 * REACH_PIXELS + 1)
        covered = known & (xray > COVERED * usual * near)
        found.append(scipy.ndimage.maximum_filter(covered, 2 * GROWN + 1) & known)
    return found


def _local_sd(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the standard deviation (rows, columns) of the known pixels within DETAIL_PIXELS."""
    near = partial(scipy.ndimage.uniform_filter, size=2 * DETAIL_PIXELS + 1)
    return np.maximum(local_moments(image.astype(float), mask, near)[1], 1e-9)


def best_fits(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the local NCC with which the DRR fits each tile of the X-ray best, in place and out of place.

    Parameters
    ----------
    sums
        Of `shifted_sums`.

    Returns
    -------
    ndarray, ndarray
        (tile rows, tile columns) each.
    """
    side = np.abs(np.arange(-REACH_PIXELS, REACH_PIXELS + 1))
    apart = np.maximum.outer(side, side)
    similarity = local_ncc(sums)
    return (
        similarity[apart <= IN_PLACE_PIXELS].max(axis=0),
        similarity[apart > BESIDE_PIXELS].max(axis=0),
    )


def shifted_sums(drr: np.ndarray, xray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return what the local NCC of each tile of the X-ray is made of, with the DRR shifted to all sides.

    Parameters
    ----------
    drr, xray
        (rows, columns), locally normalised, 0 where the mask is.
    mask
        (rows, columns) of 0 and 1.

    Returns
    -------
    ndarray
        (3, 2 REACH_PIXELS + 1, the same, tile rows, tile columns): sums of DRR times X-ray and of
        both squares, by how many rows and columns before those of the X-ray the DRR's are taken
        from, less REACH_PIXELS.
    """
    drr, xray, mask = (_whole_tiles(each) for each in (drr, xray, mask))
    rows, columns = mask.shape
    reach = REACH_PIXELS
    padded = [np.pad(each, reach) for each in (drr, drr**2, mask)]
    squares = xray**2
    side = 2 * reach + 1
    sums = np.empty((3, side, side, *_tile_sums(mask).shape), np.float32)
    for down, across in np.ndindex(side, side):
        moved, moved_squares, known = (
            each[down : down + rows, across : across + columns] for each in padded
        )
        for sum_, each in zip(
            sums[:, down, across],
            (moved * xray, moved_squares * mask, squares * known),
            strict=True,
        ):
            sum_[:] = _tile_sums(each)
    return sums


def _whole_tiles(image: np.ndarray) -> np.ndarray:
    """Return an image (rows, columns) with 0 beside its last rows and columns, up to whole tiles."""
    rows, columns = image.shape
    return np.pad(image, ((0, -rows % TILE_SIDE), (0, -columns % TILE_SIDE)))


def _tile_sums(image: np.ndarray) -> np.ndarray:
    """Return sums over the tiles (tile rows, tile columns) of an image of whole tiles."""
    return image.reshape(len(image) // TILE_SIDE, TILE_SIDE, -1, TILE_SIDE).sum(axis=(1, 3))
