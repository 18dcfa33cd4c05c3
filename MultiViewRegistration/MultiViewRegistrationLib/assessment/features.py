"""What a registered pose can be asked about itself, cheaply: numbers that differ between right and wrong answers.

A covariance knows the noise about a minimum. A wrong answer is a minimum, too, sharp at times, but an accidental one: looked at in another
way it is none. So the pose is asked again with wider windows, by each view alone, by halves of the images; what the views tell of it is
held against what their noise would leave; and the next different answer of the search is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from ..registration.anatomy import Anatomy
from ..registration.objective import Evaluation, Objective
from ..registration.optimizer import Minimum, minimise
from ..registration.pipeline import Refinement
from ..registration.plan import Level
from ..registration.tiles import Tiles, tiles
from ..registration.unknowns import CALIBRATED, Unknowns
from .metrics import split_by_view, target_errors
from .uncertainty import (
    PoseUncertainty,
    cluster_correction,
    curvature,
    pose_uncertainty,
    target_ways,
    view_uncertainties,
)

#: A few steps tell whether a pose stays where it is.
STEPS = 4
#: A tile is unlike where its local NCC is less than what noise explains by so much.
UNLIKE = 0.3
#: What a view by itself may be off without meaning anything, beside its noise: resolution at that level.
ALONE_MM = 0.2
#: A pose that moves no more than this with wider windows need not be refined again.
MOVED_MM = 0.5


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a pose besides its similarity; lengths in mm at the targets, root mean square.

    uncertainty: what noise explains, see `uncertainty`.
    split: the fit at the finest level by tiles, `pooled` pixels of the X-rays being one of its pixels.
    corners: by view, column and row of the first of those pixels in the X-ray that is pooled: of a structure only a part is compared.
    wider_mm: how far the pose moves at the level before the finest, with its wider windows.
    returned_mm: where that was more than MOVED_MM, how far from the pose it ends when it is refined again at the finest level; else 0.
    alone_mm: by view, how far the CT moves across that view's rays where it alone is asked, at that level; (0,) for one view alone.
    alone_sds: the same in standard deviations, as that view's noise has them, see ALONE_MM; (0,) for one view alone.
    tension: by how many standard deviations, root mean square over the directions of the pose, a view's gradient at the pose differs from
        none as its noise would have it: the largest of the views. 1 where all of them want this pose; 0 for one view alone.
    halves_mm: how far apart the poses of the images' halves are, left and right, upper and lower, every other tile: the largest.
    noise_mm: the error that noise explains.
    gap: how many times its evidence the pose has against the next different answer; None where no other was found.
    similarity, wider_similarity: of the worst view that shows the CT, at the finest level, and where the pose moves to at the one before.
    fit: at the finest level.
    compared: share of the valid pixels of all views in which the CT is compared; of a structure those near it are few.
    unlike: share of the compared pixels in tiles that are less alike than noise explains, by more than UNLIKE.
    """

    uncertainty: PoseUncertainty
    split: Tiles
    pooled: int
    corners: list[tuple[int, int]]
    fit: Evaluation
    wider_mm: float
    returned_mm: float
    alone_mm: np.ndarray
    alone_sds: np.ndarray
    tension: float
    halves_mm: float
    noise_mm: float
    gap: float | None
    similarity: float
    wider_similarity: float
    compared: float
    unlike: float


def evidence(
    anatomy: Anatomy,
    views: Sequence[View],
    found: Refinement,
    start: np.ndarray,
    targets: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> Evidence:
    """Ask a registered pose about itself.

    views: those that were registered together, with their cameras as corrected.   start: (4, 4), from which the levels follow.
    targets: (N, 3) CT mm.   Costs a linearisation at the finest level and some steps at the one before.
    """
    pose, views, unknowns = found.world_from_ct, list(views), Unknowns(views, shared)
    levels = anatomy.levels(views, start)
    points = rigid.transform_points(pose, targets)
    objective = anatomy.objective(views, levels[-1], pose)
    projections = objective.project(pose, intrinsics=unknowns.intrinsics)
    fit = objective.linearise(projections)
    split = tiles(objective, projections)
    uncertainty = pose_uncertainty(objective, fit, split, unknowns)
    wider = anatomy.objective(views, levels[-2], pose)
    moved = _steps(wider, levels[-2], pose, unknowns)
    settled = moved.world_from_ct
    wider_mm = _rms(target_errors(settled, pose, targets))
    back = _steps(objective, levels[-1], settled, unknowns).world_from_ct if wider_mm > MOVED_MM else pose
    alone = [_alone_mm(wider, levels[-2], i, settled, targets) for i in range(len(views))] if len(views) > 1 else []
    of_views = view_uncertainties(objective, fit, split)
    across_mm = np.array([each.at(points).split(view.camera)[1] for each, view in zip(of_views, views, strict=True)])
    told = split.told
    unlike = split.explained - split.similarity > UNLIKE
    return Evidence(
        uncertainty,
        split,
        levels[-1].pool,
        [_corner(*each, levels[-1].pool) for each in zip(views, objective.views, strict=True)],
        fit,
        wider_mm=wider_mm,
        returned_mm=_rms(target_errors(back, pose, targets)),
        alone_mm=np.array(alone),
        alone_sds=np.array(alone) / np.hypot(across_mm, ALONE_MM)[: len(alone)],
        tension=tension(split) if len(views) > 1 else 0.0,
        halves_mm=halves_mm(
            split,
            points,
            objective.pivot,
            unknowns.ways(objective, unknowns.none),
            sum(fit.pixels) * curvature(objective, fit, split, unknowns)[:6, :6],
        ),
        noise_mm=uncertainty.at(points).rms_mm,
        gap=found.rival.gap if found.rival else None,
        similarity=fit.least_similarity,
        wider_similarity=moved.fit.least_similarity,
        compared=float(sum(fit.shown) / max(sum(int(view.xray.valid.sum()) for view in objective.views), 1)),
        unlike=float(split.pixels[told & unlike].sum() / max(split.pixels[told].sum(), 1)),
    )


def halves_mm(
    split: Tiles, points: np.ndarray, pivot: np.ndarray, ways: list[np.ndarray], hessian: np.ndarray
) -> float:
    """How far apart the poses are that halves of the tiles ask for, by one Newton step each with the Hessian of all: the largest.

    points: (N, 3) world mm.   ways: of each view, (k, 6 + n), by pose and free corrections; the corrections stay as they are.
    hessian: (6, 6) of all tiles by the pose.
    Halves that share their noise evenly differ by twice the standard error; sides of the images that ask for different poses differ
    by more.
    """
    gradients = np.stack([ways[view][:, :6].T @ each for view, each in zip(split.views, split.gradients, strict=True)])
    inverse = np.linalg.pinv(hessian, rcond=1e-10, hermitian=True)
    at_points = target_ways(points, pivot)
    column, row = split.places.T
    apart = [0.0]
    for half in (column < _middle(split, 0), row < _middle(split, 1), (column + row) % 2 == 0):
        step = -2 * inverse @ (gradients[half].sum(axis=0) - gradients[~half].sum(axis=0))
        apart.append(_rms(np.linalg.norm(at_points @ step, axis=-1)))
    return max(apart)


def _corner(view: View, part: View, pool: int) -> tuple[int, int]:
    """Column and row, in pooled pixels, at which a part of a view begins."""
    column, row = np.rint(view.camera.pooled(pool).principal_point - part.camera.principal_point).astype(int)
    return int(column), int(row)


def tension(split: Tiles) -> float:
    """See `Evidence`: a score test (Rao, Proc. Camb. Phil. Soc. 44, 1948) of each view, its gradient's covariance by its own tiles."""
    largest = 0.0
    for view in np.unique(split.views):
        gradients = split.gradients[split.views == view][:, :6]
        if len(gradients) > 2 * 6:
            total, spread = gradients.sum(axis=0), gradients - gradients.mean(axis=0)
            covariance = spread.T @ spread * cluster_correction(len(gradients), 6)
            largest = max(
                largest, float(np.sqrt(total @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ total / 6))
            )
    return largest


def _middle(split: Tiles, axis: int) -> np.ndarray:
    """(T,) of each tile's view, the column or row that halves its compared pixels."""
    middle = np.zeros(len(split.views))
    for view in np.unique(split.views):
        of_view = split.views == view
        place, pixels = split.places[of_view, axis], split.pixels[of_view]
        middle[of_view] = np.average(place, weights=pixels)
    return middle


def _steps(objective: Objective, level: Level, pose: np.ndarray, unknowns: Unknowns) -> Minimum:
    return minimise(objective, pose, iterations=STEPS, tolerance_mm=level.tolerance_mm, unknowns=unknowns)


def _alone_mm(objective: Objective, level: Level, index: int, pose: np.ndarray, targets: np.ndarray) -> float:
    """How far the CT moves across a view's rays where only that view is asked; infinitely far where it shows too little to say."""
    view = objective.views[index]
    only = Objective(
        objective.projector,
        [view.exact()],
        objective.settings,
        objective.pivot,
        objective.rest and [objective.rest[index]],
    )
    alone = minimise(only, pose, iterations=STEPS, tolerance_mm=level.tolerance_mm)
    if not np.isfinite(alone.fit.cost):
        return np.inf
    return _rms(split_by_view(view.camera, alone.world_from_ct, pose, targets).in_plane_mm)


def _rms(lengths: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(lengths))))
