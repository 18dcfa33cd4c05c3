"""Reliability features of a registered pose.

Cheap numbers that differ between correct and wrong poses.

A covariance knows the noise about a minimum. A wrong pose is a minimum, too, but an accidental one
that vanishes under a different comparison. So the pose is compared again with wider windows, with
each view alone and with halves of the images, each view's gradient is held against its noise, and
the search reports its next minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.fields import usual_uncertainty
from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from ..registration.cameras import CameraCorrections
from ..registration.objective import Objective, PoseFit, Projection
from ..registration.optimizer import Descent, Refinement, minimise
from ..registration.prepared_ct import PreparedCT, ResolutionLevel
from ..registration.tiles import TILE_SIDE, Tiles, contrasts, tiles
from ..rendering.devices import run_each
from .metrics import split_by_view, target_errors
from .parts import (
    Part,
    carried_risk,
    covered_pixels,
    divided,
    gains_elsewhere,
    shares_of,
    shifts_mm,
    tiles_in_place,
    view_sums,
)
from .prediction import LIMITS as PREDICTION
from .uncertainty import (
    PLACE_SD_DEG,
    PLACE_SD_MM,
    SIZE_SD,
    CameraResponse,
    Disagreement,
    Minimum,
    PoseUncertainty,
    disagreement,
    gradient_covariance,
    rms_length,
    root_mean_square,
    target_jacobians,
)

#: Steps after which a pose that moves away has moved.
STEPS = 4
#: A tile is an outlier where its local NCC is lower than noise explains by this much.
OUTLIER_NCC_DROP = 0.3
#: A view alone may shift by this beside its noise: the resolution at that level.
RESOLUTION_MM = 0.2
#: Of the refinement with the CT elsewhere in one view: the most steps, and the size of the last
#: one, mm.
APART_STEPS = 30
APART_MM = 0.01
#: So many views do not show that a principal point is off: 8 px leave 0.3 px to see, and 1.6 mm of
#: error in the room. More would disagree about what is presumed of cameras.
MOST_HIDING_VIEWS = 2


class Tile(NamedTuple):
    """A square of an X-ray, in pixels.

    Attributes
    ----------
    strength
        By how much it differs more than noise explains, an outlier above 1.
    explained
        The similarity that noise leaves: how much it shows.
    """

    row: int
    column: int
    side: int
    strength: float
    explained: float = 0.0


@dataclass(frozen=True, eq=False)
class ReliabilityFeatures:
    """Reliability features of a pose; lengths in mm at the targets, root mean square.

    Attributes
    ----------
    uncertainty
        What noise explains.
    camera_uncertainty
        What the uncertainty of the cameras adds to it; None for exact ones.
    split
        The fit at the finest level by tiles; one pixel of it is `pooled` pixels of the X-ray.
    corners
        Column and row, in pooled pixels, where the compared part of each view begins.
    fit
        At the finest level.
    single_view_shift_mm
        How far each view alone moves the CT across its rays, at the level before the finest; (0,)
        for one view.
    single_view_shift_sds
        The same in standard deviations of that view's noise and RESOLUTION_MM.
    tension
        Score statistic of the view that disagrees most: by how many standard deviations, of noise
        and of what is not known of the cameras (a calibration's at least), its gradient at the pose
        differs from zero, root mean square over the directions of the pose. Up to 1 where all views
        agree; 0 for one view.
    disagreement, disagreement_mm, disagreement_by_size
        The share by which the cost would fall if the CT lay elsewhere in one view, or were of
        another size, beyond what a calibration at least leaves open, see
        `uncertainty.disagreement`, and how far off it then is: where it lies elsewhere in one view,
        by a refinement with that view's place free; 0 for one view. And whether it is of another
        size.
    split_half_mm
        The largest distance between the poses of the images' halves: left and right, upper and
        lower, every other tile; of one view across its rays.
    noise_mm, camera_mm
        The error that noise explains, of one view across its rays (its depth:
        `Prediction.no_less_than`), and what the uncertainty of the cameras adds.
    gap
        Evidence ratio to the next minimum; None if there is none.
    similarity, wider_similarity
        Of the least similar view that shows the CT, at the finest level and at the one before.
    outlier_fraction
        Share of the compared pixels in tiles that differ by more than noise explains.
    parts
        How the parts of a body fit by themselves; none of a structure.
    covered
        Of a body, the `parts.covered_pixels` of the finest level, by view.
    in_place
        (V,) share of each view's tiles that fit best where the pose has them, see `parts`; NaN of
        a structure.
    appearing
        As `uncertainty` and `camera_uncertainty`, of where targets appear: with what is presumed of
        cameras as if it were solved for, see `uncertainty.Minimum.as_if_solved`.
    seen
        Of each view its compared part's camera, and what it sees by pose and cameras, see
        `uncertainty.PoseUncertainty.in_view`.
    unknowns
        Of these cameras, with what is presumed of them.
    """

    uncertainty: PoseUncertainty
    camera_uncertainty: PoseUncertainty | None
    split: Tiles
    pooled: int
    corners: list[tuple[int, int]]
    fit: PoseFit
    single_view_shift_mm: np.ndarray
    single_view_shift_sds: np.ndarray
    tension: float
    disagreement: float
    disagreement_mm: float
    disagreement_by_size: bool
    split_half_mm: float
    noise_mm: float
    camera_mm: float
    gap: float | None
    similarity: float
    wider_similarity: float
    outlier_fraction: float
    parts: list[Part]
    covered: list[np.ndarray]
    in_place: np.ndarray
    appearing: tuple[PoseUncertainty, PoseUncertainty | None]
    seen: list[tuple[Camera, np.ndarray]]
    unknowns: CameraCorrections

    def with_strain(self, strain: float) -> ReliabilityFeatures:
        """Return the features with cameras so many times as uncertain, at least as they are."""
        if strain <= 1:
            return self
        noise, shown = self.appearing
        room = self.camera_uncertainty
        return replace(
            self,
            camera_uncertainty=room and room.times(strain),
            appearing=(noise, shown and shown.times(strain)),
        )

    @property
    def one_view_disagrees(self) -> bool:
        """Whether the views would agree with the CT elsewhere in one of them, and `disagreement_mm` tells how far off the pose is then."""
        return self.disagreement > PREDICTION.disagree and not self.disagreement_by_size

    @property
    def carried_risk(self) -> float:
        """The probability of a wrong answer that holds for X-rays of any kind, see `parts`."""
        return carried_risk(self.in_place)

    @property
    def total_uncertainty(self) -> PoseUncertainty:
        """What noise explains and what is not known of the cameras."""
        return self.uncertainty + self.camera_uncertainty

    def uncovered(self, views: Sequence[View]) -> list[View]:
        """Return the views without the pixels that are covered."""
        found = []
        for view, (left, top), covered in zip(views, self.corners, self.covered, strict=True):
            valid = view.xray.valid.copy()
            row = top * self.pooled
            column = left * self.pooled
            pixels = np.kron(covered, np.ones((self.pooled, self.pooled), bool))
            part = valid[row : row + len(pixels), column : column + pixels.shape[1]]
            part &= ~pixels[: part.shape[0], : part.shape[1]]
            found.append(view.with_xray(valid=valid))
        return found

    def tiles(self, view: int) -> list[Tile]:
        """Return the compared tiles of an X-ray.

        Their strength is how much their local NCC is below what noise explains, in
        OUTLIER_NCC_DROP.
        """
        side = TILE_SIDE * self.pooled
        split = self.split
        left, top = np.array(self.corners[view]) * self.pooled
        strength = (split.explained - split.similarity) / OUTLIER_NCC_DROP
        return [
            Tile(
                int(top + split.places[n][1] * side),
                int(left + split.places[n][0] * side),
                side,
                float(strength[n]),
                float(split.explained[n]),
            )
            for n in np.flatnonzero((split.views == view) & split.comparable)
        ]


def compute_features(
    anatomy: PreparedCT,
    views: Sequence[View],
    found: Refinement,
    start: np.ndarray,
    targets: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> ReliabilityFeatures:
    """Compute the reliability features of a registered pose.

    Costs a linearisation at the finest level and some steps at the one before.

    Parameters
    ----------
    views
        Those that were registered together, with their cameras as corrected.
    start
        (4, 4), from which the levels follow.
    targets
        (N, 3) CT mm.
    """
    pose, views, unknowns = found.world_from_ct, list(views), CameraCorrections(views, shared)
    levels = anatomy.levels(views, start)
    points = rigid.transform_points(pose, targets)
    objective = anatomy.objective(views, levels[-1], pose)
    projections = objective.project(pose, intrinsics=True)
    fit = objective.linearise(projections)
    split = tiles(objective, projections)
    here = Minimum(objective, fit, split, unknowns)
    wider = anatomy.objective(views, levels[-2], pose)
    covered = [] if anatomy.structure else covered_pixels(objective, projections)
    divisions = [] if anatomy.structure else divided(anatomy, views, pose)
    parts = _parts(divisions, pose, objective, projections, fit, split, covered, wider)
    moved = _steps(wider, levels[-2], pose, unknowns)
    several = len(views) > 1
    alone = np.array(_alone_mm(wider, levels[-2], moved.world_from_ct, targets) if several else [])
    across_mm = np.array(
        [
            each.at(points).split(view.camera)[1]
            for each, view in zip(here.by_view, views, strict=True)
        ]
    )
    outliers = split.explained - split.similarity > OUTLIER_NCC_DROP
    presumed = CameraCorrections([view.presumed for view in views], shared)
    noise = here.noise
    cameras = here.cameras(presumed.sd)
    appearing = noise, cameras
    if presumed.free.size > unknowns.free.size:
        appearing = replace(here, unknowns=presumed).as_if_solved()
        if len(views) > MOST_HIDING_VIEWS:
            cameras = appearing[1]
    loosely = CameraCorrections([_at_least_calibrated(view) for view in views], shared)
    calibrated = replace(here, unknowns=loosely)
    at = noise.at(points)
    off = Disagreement(0.0, 0.0, None)
    if several:
        off = disagreement(calibrated, points)
    if off.share > PREDICTION.disagree:
        off = off._replace(
            mm=_refined_disagreement_mm(objective, pose, views, off, shared, targets)
        )
    return ReliabilityFeatures(
        noise,
        cameras,
        split,
        levels[-1].pool,
        [_corner(*each, levels[-1].pool) for each in zip(views, objective.views, strict=True)],
        fit,
        single_view_shift_mm=alone,
        single_view_shift_sds=alone / np.hypot(across_mm, RESOLUTION_MM)[: len(alone)],
        tension=tension(split, calibrated.response, here.pixels) if several else 0.0,
        disagreement=off.share,
        disagreement_mm=off.mm,
        disagreement_by_size=off.view is None,
        split_half_mm=split_half_mm(
            split,
            points,
            objective.pivot,
            here.ways(),
            here.pixels * here.curvature[:6, :6],
            None if several else views[0].camera.sources(views[0].camera.project(points)),
        ),
        noise_mm=at.rms_mm if several else at.split(views[0].camera)[1],
        camera_mm=cameras.at(points).rms_mm if cameras else 0.0,
        gap=found.alternative.evidence_ratio if found.alternative else None,
        similarity=fit.min_similarity,
        wider_similarity=moved.fit.min_similarity,
        outlier_fraction=float(
            split.pixels[split.comparable & outliers].sum()
            / max(split.pixels[split.comparable].sum(), 1)
        ),
        parts=parts,
        covered=covered,
        in_place=np.full(len(views), np.nan)
        if anatomy.structure
        else tiles_in_place(view_sums(objective, projections), split),
        appearing=appearing,
        seen=[
            (view.camera, unknowns.seen(i, unknowns.none, view.camera, objective.pivot))
            for i, view in enumerate(objective.views)
        ],
        unknowns=presumed,
    )


def _parts(
    divided: Sequence[np.ndarray],
    pose: np.ndarray,
    finest: Objective,
    projections: list[Projection],
    fit: PoseFit,
    split: Tiles,
    covered: Sequence[np.ndarray],
    wider: Objective,
) -> list[Part]:
    """Measure how the parts (N, 3), CT mm, of a body fit at a pose.

    Parameters
    ----------
    projections, fit, split, covered
        Those of the finest level.
    """
    if not divided:
        return []
    wider_projections = wider.project(pose)
    wider_fit = wider.linearise(wider_projections)
    world = [rigid.transform_points(pose, points) for points in divided]
    levels = (finest, fit, split), (wider, wider_fit, tiles(wider, wider_projections))
    shares = [shares_of(objective, of, world) for objective, _, of in levels]
    steps = [shifts_mm(*level, share, world) for level, share in zip(levels, shares, strict=True)]
    weights = shares[0] * split.pixels
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    contrast = np.abs(contrasts(finest, projections, split))
    looks = weights @ np.column_stack([split.similarity, split.explained, contrast])
    sums = view_sums(finest, projections, covered)
    gains = gains_elsewhere(finest, split, shares[0], world, sums)
    several = len(finest.views) > 1
    return [
        Part(points, *map(float, (*look, several * mm, several * wider_mm, gain)))
        for points, look, mm, wider_mm, gain in zip(divided, looks, *steps, gains, strict=True)
    ]


def split_half_mm(
    split: Tiles,
    points: np.ndarray,
    pivot: np.ndarray,
    ways: list[np.ndarray],
    hessian: np.ndarray,
    source: np.ndarray | None,
) -> float:
    """Return how far apart, at most, the poses are that halves of the tiles ask for, by one Newton step each with the Hessian of all.

    Halves that share their noise evenly differ by twice the standard error; sides of the images
    that ask for different poses differ by more.

    Parameters
    ----------
    points
        (N, 3) world mm.
    ways
        For each view, (k, 6 + n), by pose and free corrections; the corrections stay as they are.
    hessian
        (6, 6) of all tiles by the pose.
    source
        (3,) or (N, 3) world mm; how far apart across the rays from there, without depth.
    """
    gradients = np.stack(
        [
            ways[view][:, :6].T @ each
            for view, each in zip(split.views, split.gradients, strict=True)
        ]
    )
    inverse = np.linalg.pinv(hessian, rcond=1e-10, hermitian=True)
    at_points = target_jacobians(points, pivot)
    column, row = split.places.T
    apart = [0.0]
    for half in (column < _middle(split, 0), row < _middle(split, 1), (column + row) % 2 == 0):
        step = -2 * inverse @ (gradients[half].sum(axis=0) - gradients[~half].sum(axis=0))
        shifts = at_points @ step
        if source is not None:
            rays = rigid.unit(points - source)
            shifts = shifts - np.sum(shifts * rays, axis=-1, keepdims=True) * rays
        apart.append(rms_length(shifts))
    return max(apart)


def _corner(view: View, part: View, pool: int) -> tuple[int, int]:
    """Return the column and row, in pooled pixels, at which a part of a view begins."""
    column, row = np.rint(
        view.camera.pooled(pool).principal_point - part.camera.principal_point
    ).astype(int)
    return int(column), int(row)


def tension(split: Tiles, response: CameraResponse, pixels: int) -> float:
    """Return the tension of `ReliabilityFeatures`.

    Score test (Rao, Proc. Camb. Phil. Soc. 44, 1948) of each view; covariance of its gradient by
    its tiles.

    Parameters
    ----------
    pixels
        Compared in all views, of whose mean `response` is.
    """
    largest = 0.0
    for view in np.unique(split.views):
        gradients = split.gradients[split.views == view][:, :6]
        if len(gradients) > 2 * 6:
            total = gradients.sum(axis=0)
            spread = gradients - gradients.mean(axis=0)
            covariance = gradient_covariance(spread, 6)
            covariance += pixels**2 * response.view_gradient_covariance(view)
            largest = max(
                largest,
                float(
                    np.sqrt(
                        total @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ total / 6
                    )
                ),
            )
    return largest


def _at_least_calibrated(view: View) -> View:
    """Return the view with a camera that is known no better than a calibration tells.

    Even an exact one counts as right to half a pixel.
    """
    return replace(
        view, **{key: max(getattr(view, key), sd) for key, sd in usual_uncertainty().items() if sd}
    )


def _middle(split: Tiles, axis: int) -> np.ndarray:
    """Return the column or row (T,) that halves the compared pixels of each tile's view."""
    middle = np.zeros(len(split.views))
    for view in np.unique(split.views):
        of_view = split.views == view
        place = split.places[of_view, axis]
        pixels = split.pixels[of_view]
        middle[of_view] = np.average(place, weights=pixels)
    return middle


def _steps(
    objective: Objective, level: ResolutionLevel, pose: np.ndarray, unknowns: CameraCorrections
) -> Descent:
    return minimise(objective, pose, STEPS, level.tolerance_mm, unknowns=unknowns)


def _refined_disagreement_mm(
    objective: Objective,
    pose: np.ndarray,
    views: Sequence[View],
    off: Disagreement,
    shared: SharedUnknowns,
    targets: np.ndarray,
) -> float:
    """Return how far a refinement moves the pose that lets the CT lie elsewhere in one view, or be of another size.

    A Newton step falls short. Another size moves targets from their middle, too; the larger of the
    two counts.
    """
    if off.view is None:
        views = [view.with_xray(pixel_mm=(1.0, 1.0)) for view in views]
        shared = SharedUnknowns(source_to_detector_sd_mm=SIZE_SD * views[0].camera.focal_px)
    else:
        freed = replace(
            views[off.view], rotation_sd_deg=PLACE_SD_DEG, translation_sd_mm=PLACE_SD_MM
        )
        views = [freed if i == off.view else view for i, view in enumerate(views)]
    unknowns = CameraCorrections(views, shared)
    run = minimise(objective, pose, APART_STEPS, APART_MM, unknowns=unknowns)
    moved = root_mean_square(target_errors(run.world_from_ct, pose, targets))
    if off.view is not None:
        return moved
    growth = abs(run.corrections[-6]) / views[0].camera.focal_px
    return max(moved, growth * rms_length(targets - targets.mean(axis=0)))


def _alone_mm(
    objective: Objective, level: ResolutionLevel, pose: np.ndarray, targets: np.ndarray
) -> list[float]:
    """Return how far the CT moves across a view's rays where only that view is asked.

    Infinitely far where it shows too little to say.
    """

    def shift_mm(index: int) -> float:
        view = objective.views[index]
        only = Objective(objective.projector, [view], objective.settings, objective.pivot)
        alone = minimise(only, pose, STEPS, level.tolerance_mm)
        if not np.isfinite(alone.fit.cost):
            return np.inf
        split = split_by_view(view.camera, alone.world_from_ct, pose, targets)
        return root_mean_square(split.in_plane_mm)

    return run_each(shift_mm, range(len(objective.views)))
