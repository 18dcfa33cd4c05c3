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
from ..registration.objective import Objective, PoseFit
from ..registration.optimizer import Refinement, minimise
from ..registration.prepared_ct import PreparedCT, ResolutionLevel
from ..registration.tiles import TILE_SIDE, TiledFit, Tiles, contrasts, tiled_fit
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
#: error of the 3D position. More would disagree about what is presumed of cameras.
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
        of_position = self.camera_uncertainty
        return replace(
            self,
            camera_uncertainty=of_position and of_position.times(strain),
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
    pose = found.world_from_ct
    views = list(views)
    points = rigid.transform_points(pose, targets)
    several = len(views) > 1
    unknowns = CameraCorrections(views, shared)
    presumed = CameraCorrections([view.presumed for view in views], shared)
    *_, before, finest = anatomy.levels(views, start)
    objective = anatomy.objective(views, finest, pose)
    here = Minimum(**vars(tiled_fit(objective, pose, intrinsics=True)), unknowns=unknowns)
    wider = anatomy.objective(views, before, pose)
    covered = [] if anatomy.structure else covered_pixels(here)
    divisions = [] if anatomy.structure else divided(anatomy, views, pose)
    parts = _parts(divisions, pose, here, covered, wider) if divisions else []
    moved = minimise(wider, pose, STEPS, before.tolerance_mm, unknowns=unknowns)
    alone = np.array(_alone_mm(wider, before, moved.world_from_ct, targets))
    by_view = zip(here.by_view, views, strict=True)
    across_mm = np.array([own.at(points).split(view.camera)[1] for own, view in by_view])
    noise = here.noise
    cameras = here.cameras(presumed.sd)
    appearing = noise, cameras
    if presumed.free.size > unknowns.free.size:
        appearing = replace(here, unknowns=presumed).as_if_solved()
        if len(views) > MOST_HIDING_VIEWS:
            cameras = appearing[1]
    at = noise.at(points)
    calibrated = replace(
        here, unknowns=CameraCorrections([_at_least_calibrated(view) for view in views], shared)
    )
    off = _disagreement(calibrated, pose, views, shared, targets)
    first = views[0].camera
    from_source = None if several else first.sources(first.project(points))
    return ReliabilityFeatures(
        uncertainty=noise,
        camera_uncertainty=cameras,
        split=here.split,
        pooled=finest.pool,
        corners=[_corner(*each, finest.pool) for each in zip(views, objective.views, strict=True)],
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
            from_source,
        ),
        noise_mm=at.rms_mm if several else at.split(first)[1],
        camera_mm=cameras.at(points).rms_mm if cameras else 0.0,
        gap=found.alternative.evidence_ratio if found.alternative else None,
        similarity=here.fit.min_similarity,
        wider_similarity=moved.fit.min_similarity,
        outlier_fraction=_outlier_fraction(here.split),
        parts=parts,
        covered=covered,
        in_place=np.full(len(views), np.nan)
        if anatomy.structure
        else tiles_in_place(view_sums(here), here.split),
        appearing=appearing,
        seen=[
            (view.camera, unknowns.seen(i, unknowns.none, view.camera, objective.pivot))
            for i, view in enumerate(objective.views)
        ],
        unknowns=presumed,
    )


def _parts(
    divisions: Sequence[np.ndarray],
    pose: np.ndarray,
    here: TiledFit,
    covered: Sequence[np.ndarray],
    wider: Objective,
) -> list[Part]:
    """Measure how the parts (N, 3), CT mm, of a body fit at a pose.

    Parameters
    ----------
    here, covered
        At the finest level.
    wider
        The level before.
    """
    world = [rigid.transform_points(pose, points) for points in divisions]
    shares = shares_of(here, world)
    there = tiled_fit(wider, pose)
    shifts = shifts_mm(here, shares, world)
    wider_shifts = shifts_mm(there, shares_of(there, world), world)
    weights = shares * here.split.pixels
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    contrast = np.abs(contrasts(here))
    looks = weights @ np.column_stack([here.split.similarity, here.split.explained, contrast])
    gains = gains_elsewhere(here, shares, world, view_sums(here, covered))
    several = len(wider.views) > 1
    return [
        Part(
            points,
            similarity=float(similarity),
            explained=float(explained),
            contrast=float(contrast),
            shift_mm=several * shift_mm,
            wider_shift_mm=several * wider_mm,
            gain=gain,
        )
        for points, (similarity, explained, contrast), shift_mm, wider_mm, gain in zip(
            divisions, looks, shifts, wider_shifts, gains, strict=True
        )
    ]


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


def _disagreement(
    here: Minimum,
    pose: np.ndarray,
    views: list[View],
    shared: SharedUnknowns,
    targets: np.ndarray,
) -> Disagreement:
    """Return how the views would fit better; nothing of one view.

    Where they disagree, a refinement with the CT elsewhere in one view, or of another size, tells
    how far off the pose is: a Newton step falls short. Another size moves targets from their
    middle, too; the larger of the two counts.
    """
    if len(views) == 1:
        return Disagreement(0.0, 0.0, None)
    off = disagreement(here, rigid.transform_points(pose, targets))
    if off.share <= PREDICTION.disagree:
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
    run = minimise(here.objective, pose, APART_STEPS, APART_MM, unknowns=unknowns)
    mm = root_mean_square(target_errors(run.world_from_ct, pose, targets))
    if off.view is None:
        growth = abs(run.corrections[-6]) / views[0].camera.focal_px
        mm = max(mm, growth * rms_length(targets - targets.mean(axis=0)))
    return off._replace(mm=mm)


def _alone_mm(
    objective: Objective, level: ResolutionLevel, pose: np.ndarray, targets: np.ndarray
) -> list[float]:
    """Return how far the CT moves across the rays of each of several views, where only it is asked.

    Infinitely far where it shows too little to say.
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
