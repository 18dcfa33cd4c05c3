"""Find parts of a body that lie elsewhere than its pose has them, and tiles that fit better elsewhere.

A patient is not one rigid body, and bends. The bone that all views show is divided into parts as
large as a vertebra. The tiles upon which a part falls say how well it fits there, and where a Newton
step would move it by itself. A body that is bent fits well in one part and poorly in another.

However an X-ray differs from a DRR in its grey values, at the right pose most of its tiles look
most like the DRR just where the pose puts it, and at a wrong pose hardly more of them do than by
chance. So the tiles are votes, of which each knows nothing but its own few centimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
import scipy

from ..errors import Reason
from ..geometry import rigid
from ..imaging.xray import View, local_moments, window_mean
from ..registration.objective import Objective
from ..registration.optimizer import Refinement, distance, minimise
from ..registration.pipeline import DISTINCT_MM
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import local_ncc
from ..registration.tiles import TILE_SIDE, TiledFit, Tiles, tiled_fit
from ..rendering.devices import run_each
from .metrics import shown_bone
from .uncertainty import rms_length, target_jacobians

#: Each tile is tried so many pixels to all sides; it is in place up to so many from the pose's, and
#: out of place beyond the third number.
REACH_PIXELS = 5
IN_PLACE_PIXELS = 1
#: X-rays that never look so similar, as those of a linear accelerator, resemble the CT where so
#: large a share of each one's tiles is in place: 0.6 to 0.8 at a right pose, up to 0.25 at a wrong
#: one.
IN_PLACE = 0.5
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
#: Steps in which the next answer is refined, where its tiles are asked.
RIVAL_STEPS = 8


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
    here = tiled_fit(objective, world_from_ct)
    return tiles_in_place(view_sums(here), here.split)


def rival_in_place(
    anatomy: PreparedCT, views: list[View], found: Refinement, start: np.ndarray
) -> bool:
    """Return whether the next answer, refined, is another one that has its tiles in place, too.

    Parameters
    ----------
    views
        With corrected cameras.
    found, start
        The pose, and the start (4, 4) of its refinement.
    """
    assert found.alternative is not None
    rival = found.alternative.world_from_ct
    for level in anatomy.levels(views, start)[-2:]:
        objective = anatomy.objective(views, level, rival)
        rival = minimise(objective, rival, RIVAL_STEPS, level.tolerance_mm).world_from_ct
    if distance(rival, found.world_from_ct, anatomy.centroid) <= DISTINCT_MM:
        return False
    return carried_risk(shares_at(objective, rival)) < 1


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


def view_sums(here: TiledFit, left_out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """Return the `shifted_sums` of each view, as its intensities are compared.

    Parameters
    ----------
    left_out
        (rows, columns) bool, by view: pixels that are not compared.
    """
    objective = here.objective

    def sums(index: int) -> np.ndarray:
        projection = here.projections[index]
        residual, _, _, drr = next(objective.residuals(index, projection, derivative=False))
        mask = objective.masks[index]
        if left_out is not None:
            mask = mask * ~left_out[index]
        return shifted_sums(drr[0] * mask, (drr - residual)[0] * mask, mask)

    return run_each(sums, range(len(here.projections)))


def covered_pixels(here: TiledFit) -> list[np.ndarray]:
    """Return what something covers that the CT does not hold, (rows, columns) bool, by view.

    The X-ray's detail is there more than COVERED times what the DRR has anywhere within
    REACH_PIXELS: bone that has moved by no more covers nothing.
    """
    found = []
    objective = here.objective
    rows = zip(objective.views, here.projections, objective.masks, strict=True)
    for view, projection, mask in rows:
        known = mask > 0
        if not known.any():
            found.append(known)
            continue
        xray = _local_sd(view.xray.line_integrals, mask)
        drr = _local_sd(projection.image, mask)
        strong = known & (drr >= np.median(drr[known]))
        usual = np.median(xray[strong] / drr[strong])
        near = scipy.ndimage.maximum_filter(drr * known, 2 * REACH_PIXELS + 1)
        covered = known & (xray > COVERED * usual * near)
        found.append(scipy.ndimage.maximum_filter(covered, 2 * GROWN + 1) & known)
    return found


def _local_sd(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the standard deviation (rows, columns) of the known pixels within DETAIL_PIXELS."""
    _, sd = local_moments(image.astype(float), mask, window_mean(DETAIL_PIXELS))
    return np.maximum(sd, 1e-9)


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


#: The side of a part, and how many there are at most; with fewer points there are none.
PART_MM = 50.0
MOST_PARTS = 24
MIN_POINTS = 40
#: Points from which the middles of the parts are found, and rounds.
SOME = 1500
ROUNDS = 8
#: Expected motions of a part: where the images say little, it stays.
TURN_SD_DEG = 5.0
SHIFT_SD_MM = 5.0
#: A part lies elsewhere if it is less similar than this share of what the best tenth of the parts
#: is, if it would move by more at the level before the finest, or if a logistic function is larger
#: than MOST_SCORE: of what its similarity lacks to that of the best tenth, as a share, and of the
#: logarithms of both shifts, padded (mm). benchmarks/bent.py fits it; on its seed 1 these were
#: chosen.
LEAST_SHARE = 0.5
MOST_WIDER_SHIFT_MM = 2.5
MOST_SCORE = 2.0
#: Such a part is in place, though, if what nothing covers of it has so much less local NCC anywhere
#: else. Of a covered one nothing is known unless it has so much more, and that may be so of
#: MOST_HIDDEN of the bone. One so small beside others is not asked, as it is cut off by the end of
#: CT or image. Chosen on seeds 6 and, covered, 7 and 8 of benchmarks/bent.py.
LEAST_GAIN = -0.05
LEAST_COVERED_GAIN = 0.08
MOST_HIDDEN = 0.15
LEAST_SIZE = 0.3
#: It proves that the pose is wrong only if it has so much more.
PROVING_GAIN = 0.02
#: A part whose detail is nearly twice as strong or as weak in the X-rays as that of others (log2)
#: is covered: by a tool, a tube or contrast agent that only CT or X-ray shows.
MOST_CONTRAST = 0.9
INTERCEPT = -0.76
WEIGHTS = (14.0, 1.8, 1.2)
PADS_MM = (0.05, 0.1)
#: The pose is wrong as a whole, and the X-rays agree with each other, so that no camera is why.
CT_MISFIT = Reason(
    "ct-misfit",
    "Most of the bone does not fit: the CT may be of another patient. Check that CT and X-rays are "
    "of the same patient.",
    "Bone does not fit: another patient's CT?",
)
#: For whoever has registered the CT in one piece.
ADVICE = " Register the bones by themselves."

#: Shifts in space (N, 3), pixels of the finest level, with which a part is tried elsewhere.
SHIFTS = np.argwhere(np.ones([2 * REACH_PIXELS + 1] * 3)) - float(REACH_PIXELS)
SHIFTS = SHIFTS[np.linalg.norm(SHIFTS, axis=1) <= REACH_PIXELS]

#: Words for the sides of the body along left, posterior and superior: negative, positive.
SIDES = (("right", "left"), ("front", "back"), ("lower", "upper"))


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a body's bone.

    Attributes
    ----------
    points
        (N, 3) CT mm.
    similarity
        Mean local NCC of the tiles upon which it falls, at the finest level.
    explained
        The correlation that noise leaves these tiles of the X-rays with themselves.
    contrast
        How many times stronger, or weaker, their detail is in the X-rays than in the DRRs, as log2.
    shift_mm, wider_shift_mm
        How far a Newton step moves it, at the finest level and at the one before, root mean square;
        0 for one view, which does not show its depth.
    gain
        By how much more local NCC what nothing covers has elsewhere, see `gains_elsewhere`.
    """

    points: np.ndarray = field(repr=False)
    similarity: float
    explained: float
    contrast: float
    shift_mm: float
    wider_shift_mm: float
    gain: float


def divided(
    anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray
) -> list[np.ndarray]:
    """Divide the bone that all views show at a pose (4, 4) into parts, points (N, 3) CT mm each.

    Lloyd, IEEE Trans. Inf. Theory 28, 1982.
    """
    points = shown_bone(anatomy, views, world_from_ct)
    if len(points) < MIN_POINTS:
        return []
    sides = np.ptp(np.percentile(points, [2, 98], axis=0), axis=0) / PART_MM
    count = int(np.clip(np.prod(sides + 0.5), 2, MOST_PARTS))
    some = rigid.some_of(points, SOME)
    middles = rigid.spread(some, count)
    for _ in range(ROUNDS):
        nearest = _nearest(some, middles)
        middles = np.array([some[nearest == n].mean(axis=0) for n in np.unique(nearest)])
    nearest = _nearest(points, middles)
    return [points[nearest == n] for n in np.unique(nearest)]


def _nearest(points: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Return to which of the middles (M, 3) each point (N, 3) is nearest, (N,)."""
    return np.linalg.norm(points[:, None] - middles, axis=-1).argmin(axis=1)


def shifts_mm(
    here: TiledFit, shares: np.ndarray, world_points: Sequence[np.ndarray]
) -> list[float]:
    """Return how far a Newton step would move each part alone.

    Parameters
    ----------
    shares
        Of `shares_of`.
    world_points
        Of each part, (N, 3) world mm.
    """
    objective = here.objective
    split = here.split
    unit = here.fit.cost * (objective.settings.radius + 0.5) ** 2
    prior = unit * np.diag(np.repeat([1 / np.radians(TURN_SD_DEG) ** 2, 1 / SHIFT_SD_MM**2], 3))
    found = []
    for points, share in zip(world_points, shares, strict=True):
        centre = points.mean(axis=0)
        gradient = share @ split.gradients[:, :6]
        hessian = np.einsum("t,tij->ij", share, split.hessians[:, :6, :6])
        about = np.eye(6)  # a twist about the part's centre as one about the pivot
        about[3:, :3] = rigid.hat(centre - objective.pivot)
        values, axes = np.linalg.eigh(about.T @ hessian @ about)
        positive = (axes * np.maximum(values, 0)) @ axes.T
        step = -np.linalg.solve(positive + prior, about.T @ gradient)
        found.append(rms_length(target_jacobians(points, centre) @ step))
    return found


def shares_of(here: TiledFit, world_points: Sequence[np.ndarray]) -> np.ndarray:
    """Return the share (parts, T) of each part in the bone that falls upon a tile."""
    split = here.split
    shares = np.zeros((len(world_points), len(split.views)))
    for index, view in enumerate(here.objective.views):
        tiles = np.flatnonzero(split.views == index)
        number = np.full(
            split.places[tiles].max(axis=0, initial=0) + 2, -1
        )  # -1: nothing is compared there
        number[tuple(split.places[tiles].T)] = tiles
        for n, points in enumerate(world_points):
            place = np.floor((view.camera.project(points) + 0.5) / TILE_SIDE).astype(int)
            place = place[((place >= 0) & (place < number.shape)).all(axis=1)]
            at = number[tuple(place.T)]
            np.add.at(shares[n], at[at >= 0], 1.0)
    return shares / np.maximum(shares.sum(axis=0), 1)


def gains_elsewhere(
    here: TiledFit,
    shares: np.ndarray,
    world_points: Sequence[np.ndarray],
    sums: Sequence[np.ndarray],
) -> list[float]:
    """Return how much more local NCC each part has at its best place elsewhere than where it is.

    The mean of the views, shifted in space by up to REACH_PIXELS pixels in all directions.

    Parameters
    ----------
    shares, world_points
        As of `shifts_mm`.
    sums
        Of `parts.view_sums`, without what is covered.
    """
    apart = np.linalg.norm(SHIFTS, axis=1)
    views = here.objective.views
    split = here.split
    gains = []
    for points, share in zip(world_points, shares, strict=True):
        centre = points.mean(axis=0)
        pixel_mm = np.mean([view.camera.pixel_mm(centre) for view in views])
        of_views = []
        for index, (view, of_tiles) in enumerate(zip(views, sums, strict=True)):
            tiles = split.views == index
            if share[tiles] @ split.pixels[tiles] < MIN_POINTS:
                continue
            column, row = split.places[tiles].T
            of_part = of_tiles[..., row, column] @ share[tiles]
            # The X-ray holds a part that has moved where the DRR, shifted back, does.
            moved = view.camera.project(centre + pixel_mm * SHIFTS) - view.camera.project(centre)
            at = REACH_PIXELS - moved[:, ::-1].T
            shifted = [
                scipy.ndimage.map_coordinates(each, at, order=1, mode="nearest") for each in of_part
            ]
            of_views.append(local_ncc(np.array(shifted)))
        similarity = np.mean(of_views, axis=0) if of_views else np.zeros(len(SHIFTS))
        away = apart >= BESIDE_PIXELS
        in_place = apart <= IN_PLACE_PIXELS
        gains.append(float(similarity[away].max() - similarity[in_place].max()))
    return gains


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """The parts of a body that lie elsewhere than its pose has them.

    Attributes
    ----------
    reason
        Which they are, and what to do.
    unlike
        Whether the X-rays do not look like one of them, and not only ask for another place.
    proven
        The same where it would fit better elsewhere, and neither noise nor something that covers it
        may be why.
    most
        Most of them: the pose may be wrong as a whole.
    points
        (N, 3) CT mm of them; none of most of them.
    """

    reason: Reason
    unlike: bool = False
    proven: bool = False
    most: bool = False
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 3)), repr=False)


def elsewhere(parts: Sequence[Part], targets: np.ndarray) -> Elsewhere | None:
    """Return the parts to which a target (N, 3), CT mm, belongs and that lie elsewhere than the pose has them; None for none."""
    if not parts:
        return None
    moved, unlike, seen = _moved(parts)
    proving = np.array([part.gain > PROVING_GAIN for part in parts])
    is_unlike = bool(unlike.any())
    proven = bool((unlike & seen & proving).any())
    middles = np.array([part.points.mean(axis=0) for part in parts])
    if not moved[_nearest(targets, middles)].any():
        return None
    if moved.mean() > 0.5:
        return Elsewhere(
            Reason("most-displaced", "Most of the bone does not fit where this pose has it."),
            most=True,
            unlike=is_unlike,
            proven=proven,
        )
    off = middles[moved].mean(axis=0) - middles[~moved].mean(axis=0)
    axis = int(np.abs(off).argmax())
    side = SIDES[axis][int(off[axis] > 0)]
    displaced = Reason(
        "part-displaced",
        f"The {side} part of the bone lies elsewhere than this pose has it\n: the patient may be "
        f"bent or have moved, or the CT lacks slices.{ADVICE}",
    )
    hidden = Reason(
        "part-hidden",
        f"The {side} part of the bone does not match the X-rays\n: noise, contrast agent or a tool "
        "may hide it, or it lies elsewhere.",
    )
    return Elsewhere(
        displaced if (moved & seen).any() else hidden,
        points=np.concatenate([part.points for part in compress(parts, moved)]),
        unlike=is_unlike,
        proven=proven,
    )


def _moved(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which parts are not known to be in place, which of these are unlike, and which parts are well seen, (N,) bool each."""
    similarity, shift_mm, wider_mm, explained, contrast, gain, size = np.array(
        [
            (
                *(part.similarity, part.shift_mm, part.wider_shift_mm, part.explained),
                *(part.contrast, part.gain, len(part.points)),
            )
            for part in parts
        ]
    ).T
    lacks = 1 - similarity / max(float(np.percentile(similarity, 90)), 1e-6)
    shifts = np.log(np.stack([shift_mm, wider_mm], axis=1) + PADS_MM)
    score = INTERCEPT + np.column_stack([lacks, shifts]) @ WEIGHTS
    unlike = lacks > 1 - LEAST_SHARE
    odd = unlike | (wider_mm > MOST_WIDER_SHIFT_MM) | (score > MOST_SCORE)
    odd &= (gain > LEAST_GAIN) & (size > LEAST_SIZE * size.mean())
    seen = (explained >= MIN_EXPLAINED) & (contrast <= MOST_CONTRAST)
    moved = odd & (seen | (gain > LEAST_COVERED_GAIN))
    if size[odd & ~seen].sum() > MOST_HIDDEN * size.sum():
        moved = odd
    return moved, unlike & moved, seen
