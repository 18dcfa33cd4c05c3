"""Reliability features of a registered pose: numbers that differ between correct and wrong poses.

A covariance describes the noise about a minimum. A wrong pose is a minimum, too, but an accidental
one that vanishes in a different comparison. So the pose is compared again with wider windows, with
each view alone and with halves of the images, each view's gradient is tested against its noise, and
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
from ..registration.objective import Objective, PoseFit
from ..registration.optimizer import Refinement, minimise
from ..registration.prepared_ct import PreparedCT, ResolutionLevel
from ..registration.tiles import TILE_SIDE, Tiles, tiled_fit
from ..rendering.devices import run_each
from .metrics import split_by_view, target_errors
from .risk import LIMITS as RISK
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
from .votes import covered_pixels, sums_by_view, tiles_in_place, vote_risk

#: Largest number of steps after which a pose has moved away, if it does.
STEPS = 4
#: A tile is an outlier if its local NCC is lower than noise explains by this much.
OUTLIER_NCC_DROP = 0.3
#: A single view may shift by this besides its noise: the resolution at that level.
RESOLUTION_MM = 0.2
#: Refinement with the CT displaced in one view: largest number of steps, and size of the last one, mm.
DISPLACED_STEPS = 30
DISPLACED_STEP_MM = 0.01
#: With at most this many views a wrong principal point is not visible: 8 px leave a residual of 0.3
#: px, and an error of the 3D position of 1.6 mm. More views would disagree.
MOST_HIDING_VIEWS = 2


class Tile(NamedTuple):
    """A square of an X-ray, in pixels.

    Attributes
    ----------
    strength
        How much it differs beyond what noise explains; an outlier above 1.
    explained
        The similarity that noise leaves.
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
        Pose uncertainty due to noise.
    camera_uncertainty
        Additional uncertainty due to the cameras; None for exact ones.
    split
        Fit at the finest level by tiles; one pixel of it is `pooled` pixels of the X-ray.
    corners
        Column and row, in pooled pixels, of the first compared pixel of each view.
    fit
        At the finest level.
    single_view_shift_mm
        How far each view alone moves the CT across its rays, at the second finest level; (0,) for
        one view, infinite if it shows too little.
    single_view_shift_sds
        The same in standard deviations of that view's noise and RESOLUTION_MM.
    tension
        Score statistic of the view that disagrees most: deviation of its gradient from zero in
        standard deviations of noise and cameras, root mean square over the directions of the pose.
        Up to 1 if all views agree; 0 for one view.
    disagreement, disagreement_mm, disagreement_by_size
        Fraction by which the cost falls if the CT is displaced in one view, or is of another size;
        the resulting target error; and whether it is of another size (`uncertainty.disagreement`).
    split_half_mm
        Largest distance between the poses of the images' halves: left and right, upper and lower,
        alternate tiles; for one view across its rays.
    noise_mm, camera_mm
        Target error that noise explains, for one view across its rays, and that the cameras add.
    gap
        Evidence ratio to the next minimum; None if there is none.
    similarity, wider_similarity
        Local NCC of the least similar view, at the finest and at the second finest level.
    outlier_fraction
        Fraction of the compared pixels in outlier tiles.
    covered
        `votes.covered_pixels` of the finest level by view, for a whole CT.
    in_place
        (V,) fraction of each view's tiles that fit best at the pose (`votes`); NaN for a structure.
    image_plane
        `uncertainty` and `camera_uncertainty` of the projected targets: presumed uncertainty of
        cameras counts as solved for (`uncertainty.Minimum.as_if_solved`).
    seen
        Camera of the compared region of each view, and its response to pose and cameras
        (`uncertainty.PoseUncertainty.in_view`).
    unknowns
        Corrections of these cameras, with what is presumed of them.
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
    covered: list[np.ndarray]
    in_place: np.ndarray
    image_plane: tuple[PoseUncertainty, PoseUncertainty | None]
    seen: list[tuple[Camera, np.ndarray]]
    unknowns: CameraCorrections

    def with_camera_inflation(self, factor: float) -> ReliabilityFeatures:
        """Return the features with the camera uncertainty multiplied by a factor, if that is above 1."""
        if factor <= 1:
            return self
        noise, cameras = self.image_plane
        return replace(
            self,
            camera_uncertainty=self.camera_uncertainty and self.camera_uncertainty.times(factor),
            image_plane=(noise, cameras and cameras.times(factor)),
        )

    @property
    def one_view_disagrees(self) -> bool:
        """Whether the views agree only if the CT may move in one of them; then `disagreement_mm` is the error."""
        return self.disagreement > RISK.disagree and not self.disagreement_by_size

    @property
    def vote_risk(self) -> float:
        """Probability of a wrong pose that holds for X-rays of any kind, see `votes`."""
        return vote_risk(self.in_place)

    @property
    def total_uncertainty(self) -> PoseUncertainty:
        """Pose uncertainty due to noise and cameras."""
        return self.uncertainty + self.camera_uncertainty

    def uncovered(self, views: Sequence[View]) -> list[View]:
        """Return the views without the covered pixels."""
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
    refinement: Refinement,
    start: np.ndarray,
    targets: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> ReliabilityFeatures:
    """Compute the reliability features of a registered pose.

    This costs a linearisation at the finest level and some steps at the second finest.

    Parameters
    ----------
    views
        Views that were registered together, with corrected cameras.
    start
        (4, 4) start of the refinement, which determines the levels.
    targets
        (N, 3) CT mm.
    """
    pose = refinement.world_from_ct
    views = list(views)
    points = rigid.transform_points(pose, targets)
    several = len(views) > 1
    unknowns = CameraCorrections(views, shared)
    presumed = CameraCorrections([view.presumed for view in views], shared)
    *_, before, finest = anatomy.levels(views, start)
    objective = anatomy.objective(views, finest, pose)
    here = Minimum(**vars(tiled_fit(objective, pose, intrinsics=True)), unknowns=unknowns)
    wider = anatomy.objective(views, before, pose)
    moved = minimise(wider, pose, STEPS, before.tolerance_mm, unknowns=unknowns)
    alone = np.array(_single_view_shifts_mm(wider, before, moved.world_from_ct, targets))
    by_view = zip(here.by_view, views, strict=True)
    across_mm = np.array([noise.at(points).split(view.camera)[1] for noise, view in by_view])
    noise = here.noise
    cameras, image_plane = _camera_uncertainty(here, noise, unknowns, presumed, len(views))
    at_targets = noise.at(points)
    calibrated_views = [_at_least_calibrated(view) for view in views]
    calibrated = replace(here, unknowns=CameraCorrections(calibrated_views, shared))
    off = _disagreement(calibrated, pose, views, shared, targets)
    first = views[0].camera
    is_whole = not anatomy.structure
    return ReliabilityFeatures(
        uncertainty=noise,
        camera_uncertainty=cameras,
        split=here.split,
        pooled=finest.pool,
        corners=[_corner(*pair, finest.pool) for pair in zip(views, objective.views, strict=True)],
        fit=here.fit,
        single_view_shift_mm=alone,
        single_view_shift_sds=alone / np.hypot(across_mm, RESOLUTION_MM)[: len(alone)],
        tension=tension(here.split, calibrated.response, here.pixels) if several else 0.0,
        disagreement=off.share,
        disagreement_mm=off.mm,
        disagreement_by_size=off.view is None,
        split_half_mm=split_half_mm(
            here.split,
            points,
            objective.pivot,
            here.ways(),
            here.pixels * here.curvature[:6, :6],
            None if several else first.sources(first.project(points)),
        ),
        noise_mm=at_targets.rms_mm if several else at_targets.split(first)[1],
        camera_mm=cameras.at(points).rms_mm if cameras else 0.0,
        gap=refinement.alternative.evidence_ratio if refinement.alternative else None,
        similarity=here.fit.min_similarity,
        wider_similarity=moved.fit.min_similarity,
        outlier_fraction=_outlier_fraction(here.split),
        covered=covered_pixels(here) if is_whole else [],
        in_place=tiles_in_place(sums_by_view(here), here.split)
        if is_whole
        else np.full(len(views), np.nan),
        image_plane=image_plane,
        seen=_view_responses(objective, unknowns),
        unknowns=presumed,
    )


def _camera_uncertainty(
    here: Minimum,
    noise: PoseUncertainty,
    unknowns: CameraCorrections,
    presumed: CameraCorrections,
    view_count: int,
) -> tuple[PoseUncertainty | None, tuple[PoseUncertainty, PoseUncertainty | None]]:
    """Return `ReliabilityFeatures.camera_uncertainty` and `image_plane`."""
    cameras = here.cameras(presumed.sd)
    if presumed.free.size <= unknowns.free.size:
        return cameras, (noise, cameras)
    image_plane = replace(here, unknowns=presumed).as_if_solved()
    return image_plane[1] if view_count > MOST_HIDING_VIEWS else cameras, image_plane


def _view_responses(
    objective: Objective, unknowns: CameraCorrections
) -> list[tuple[Camera, np.ndarray]]:
    """Return `ReliabilityFeatures.seen`."""
    responses = []
    for i, view in enumerate(objective.views):
        seen = unknowns.seen(i, unknowns.none, view.camera, objective.pivot)
        responses.append((view.camera, seen))
    return responses


def _outlier_fraction(split: Tiles) -> float:
    outliers = split.comparable & (split.explained - split.similarity > OUTLIER_NCC_DROP)
    return float(split.pixels[outliers].sum() / max(split.pixels[split.comparable].sum(), 1))


def split_half_mm(
    split: Tiles,
    points: np.ndarray,
    pivot: np.ndarray,
    ways: list[np.ndarray],
    hessian: np.ndarray,
    source: np.ndarray | None,
) -> float:
    """Return the largest distance between the poses of two halves of the tiles, by one Newton step each with the Hessian of all.

    Halves with equal noise differ by twice the standard error; sides of the images whose optima
    differ are farther apart.

    Parameters
    ----------
    points
        (N, 3) world mm.
    ways
        For each view, (k, 6 + n) derivatives by pose and free corrections; corrections stay fixed.
    hessian
        (6, 6) of all tiles by the pose.
    source
        (3,) or (N, 3) world mm; the distance is taken across the rays from there, without depth.
    """
    gradients = np.stack(
        [
            ways[view][:, :6].T @ gradient
            for view, gradient in zip(split.views, split.gradients, strict=True)
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
    """Return the first column and row of a part of a view, in pooled pixels."""
    column, row = np.rint(
        view.camera.pooled(pool).principal_point - part.camera.principal_point
    ).astype(int)
    return int(column), int(row)


def tension(split: Tiles, response: CameraResponse, pixels: int) -> float:
    """Return the tension of `ReliabilityFeatures`.

    It is the score test (Rao, Proc. Camb. Phil. Soc. 44, 1948) of each view, with the covariance of
    its gradient by tiles.

    Parameters
    ----------
    pixels
        Number of compared pixels in all views, over which `response` is a mean.
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
    """Return the view with at least the uncertainty of a calibrated camera, half a pixel."""
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


def _disagreement(
    here: Minimum,
    pose: np.ndarray,
    views: list[View],
    shared: SharedUnknowns,
    targets: np.ndarray,
) -> Disagreement:
    """Return how the views would fit better; no disagreement for one view.

    If they disagree, a refinement with the CT displaced in one view, or of another size, gives the
    error of the pose, since a Newton step falls short. Another size also moves targets from their
    centre; the larger of the two counts.
    """
    if len(views) == 1:
        return Disagreement(0.0, 0.0, None)
    off = disagreement(here, rigid.transform_points(pose, targets))
    if off.share <= RISK.disagree:
        return off
    views = list(views)
    if off.view is None:
        views = [view.with_xray(pixel_mm=(1.0, 1.0)) for view in views]
        shared = SharedUnknowns(source_to_detector_sd_mm=SIZE_SD * views[0].camera.focal_px)
    else:
        views[off.view] = replace(
            views[off.view], rotation_sd_deg=PLACE_SD_DEG, translation_sd_mm=PLACE_SD_MM
        )
    unknowns = CameraCorrections(views, shared)
    run = minimise(here.objective, pose, DISPLACED_STEPS, DISPLACED_STEP_MM, unknowns=unknowns)
    mm = root_mean_square(target_errors(run.world_from_ct, pose, targets))
    if off.view is None:
        growth = abs(run.corrections[-6]) / views[0].camera.focal_px
        mm = max(mm, growth * rms_length(targets - targets.mean(axis=0)))
    return off._replace(mm=mm)


def _single_view_shifts_mm(
    objective: Objective, level: ResolutionLevel, pose: np.ndarray, targets: np.ndarray
) -> list[float]:
    """Return how far the CT moves across the rays of each of several views if only that view is compared.

    It is infinite for a view that shows too little.
    """
    if len(objective.views) == 1:
        return []

    def shift_mm(index: int) -> float:
        view = objective.views[index]
        only = Objective(objective.projector, [view], objective.settings, objective.pivot)
        alone = minimise(only, pose, STEPS, level.tolerance_mm)
        if not np.isfinite(alone.fit.cost):
            return np.inf
        split = split_by_view(view.camera, alone.world_from_ct, pose, targets)
        return root_mean_square(split.in_plane_mm)

    return run_each(shift_mm, range(len(objective.views)))
