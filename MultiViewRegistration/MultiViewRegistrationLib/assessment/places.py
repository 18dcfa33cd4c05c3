"""Compare where each tile of an X-ray fits best with where the pose has it.

However an X-ray differs from a DRR in its grey values, at the right pose most of its tiles look
most like the DRR just where the pose puts it, and at a wrong pose hardly more of them do than by
chance. So the tiles are votes, of which each knows nothing but its own few centimetres.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy

from ..registration.objective import TILE_SIDE, Objective, Projection, Tiles
from ..rendering.devices import run_tasks

#: Each tile is tried so many pixels to all sides; it is in place up to so many from the pose's, and
#: out of place beyond the third number.
REACH_PIXELS, IN_PLACE_PIXELS, BESIDE_PIXELS = 5, 1, 2
#: A tile has a vote where noise leaves its X-ray this correlation with itself, and where its local
#: NCC in place and out of place differ by this: one that shows but a straight edge slides along it.
MIN_EXPLAINED, MIN_NCC_DIFFERENCE = 0.5, 0.02
#: A view with fewer votes has no share.
MIN_VOTES = 6
#: The share in the view where it is smallest is beta distributed about this mean, with this
#: concentration, at wrong poses: benchmarks/appearances.py fits it to simulated X-rays of many
#: kinds.
CHANCE_SHARE, CONCENTRATION = 0.06, 20.0
#: A smaller share says nothing: right poses in real X-rays have 0.48 or more, and those with an
#: image that is not what the case says up to 0.14.
MIN_SHARE = 0.35


def tiles_in_place(objective: Objective, projections: list[Projection], split: Tiles) -> np.ndarray:
    """Return the share (V,) of each view's tiles that fit best where the pose has them.

    By the local NCC of intensities. NaN of a view with fewer than MIN_VOTES votes.

    Parameters
    ----------
    objective, projections
        Linearised at the pose, and of that pose.
    split
        `objective.tiles` of these.
    """
    shares = np.full(len(projections), np.nan)

    def fill(index: int) -> None:
        of_view = split.views == index
        seen = of_view & split.comparable & (split.explained >= MIN_EXPLAINED)
        column, row = split.places[seen].T
        there, elsewhere = best_fits(*_normalised(objective, index, projections[index]))
        difference = (there - elsewhere)[row, column]
        votes = difference[np.abs(difference) >= MIN_NCC_DIFFERENCE]
        if len(votes) >= MIN_VOTES:
            shares[index] = np.mean(votes > 0)

    run_tasks([partial(fill, index) for index in range(len(projections))])
    return shares


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
    a, b = CONCENTRATION * CHANCE_SHARE, CONCENTRATION * (1 - CHANCE_SHARE)
    log_chance = (a - 1) * np.log(share) + (b - 1) * np.log1p(-share) - scipy.special.betaln(a, b)
    return float(scipy.special.expit(log_chance))


def _normalised(
    objective: Objective, index: int, projection: Projection
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return DRR and X-ray as their intensities are compared, and the mask, (rows, columns) each."""
    residual, _, _, drr = next(objective.residuals(index, projection, derivative=False))
    return drr[0], (drr - residual)[0], objective.masks[index]


def best_fits(drr: np.ndarray, xray: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the local NCC with which the DRR fits each tile of the X-ray best, in place and out of place.

    Parameters
    ----------
    drr, xray
        (rows, columns), locally normalised, 0 where the mask is.
    mask
        (rows, columns) of 0 and 1.

    Returns
    -------
    ndarray, ndarray
        (tile rows, tile columns) each.
    """
    drr, xray, mask = (_whole_tiles(each) for each in (drr, xray, mask))
    rows, columns = mask.shape
    reach = REACH_PIXELS
    padded = [np.pad(each, reach) for each in (drr, drr**2, mask)]
    squares = xray**2
    there, elsewhere = (np.full(_tile_sums(mask).shape, -1.0) for _ in range(2))
    for down, across in np.ndindex(2 * reach + 1, 2 * reach + 1):
        apart = max(abs(down - reach), abs(across - reach))
        if IN_PLACE_PIXELS < apart <= BESIDE_PIXELS:
            continue
        moved, moved_squares, known = (
            each[down : down + rows, across : across + columns] for each in padded
        )
        energy = _tile_sums(moved_squares * mask) * _tile_sums(squares * known)
        ncc = _tile_sums(moved * xray) / np.sqrt(energy + 1e-9)
        best = there if apart <= IN_PLACE_PIXELS else elsewhere
        np.maximum(best, ncc, out=best)
    return there, elsewhere


def _whole_tiles(image: np.ndarray) -> np.ndarray:
    """Return an image (rows, columns) with 0 beside its last rows and columns, up to whole tiles."""
    rows, columns = image.shape
    return np.pad(image, ((0, -rows % TILE_SIDE), (0, -columns % TILE_SIDE)))


def _tile_sums(image: np.ndarray) -> np.ndarray:
    """Return sums over the tiles (tile rows, tile columns) of an image of whole tiles."""
    return image.reshape(len(image) // TILE_SIDE, TILE_SIDE, -1, TILE_SIDE).sum(axis=(1, 3))
