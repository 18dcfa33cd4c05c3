"""Test whether bone is displaced from where a rigid pose has it.

A patient is not one rigid body: ribs rise with a breath, a vertebra rotates, a fragment slips. One
question is asked of each point for which the pose is used. The bone near the point is moved in the
DRR, fully at the point and less towards a rim, in all directions and by several distances. The
log-likelihood of the X-rays tells whether the bone is there; the log-likelihood that X-rays of just
this CT would have tells whether a displacement would have been visible at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import WATER, Volume
from ..imaging.xray import View, detail_of, local_moments, window_mean
from ..registration.prepared_ct import PreparedCT, pixel_size_mm
from ..registration.tiles import moved_detail
from ..rendering.devices import run_each
from ..rendering.drr import Projector
from .metrics import in_field
from .records import WRONG_MM, TestedPoints, Use


@dataclass(frozen=True)
class Limits:
    """Constants of this test.

    They were chosen on pieces that moved in seeds 5001 and 5002 of benchmarks/bent.py; `power`,
    `share` and `tested_fraction` on its seed 50101 and on seed 204 of benchmarks/spines.py; groups of
    neighbouring targets on seeds 97001 and 120001 and the protocol's 31; one side of the bone on 45
    bodies of seed 200001 and 40 with a stitched X-ray; `small_mm` on these 45 and on vertebrae and
    hips that moved, with targets at their joints; `points`, `gain_mm`, `min_power` and
    `view_displaced` on 60 bodies of seed 980011 (--inside --machines) and 30 of seed 980021 with a
    stitched X-ray.

    Attributes
    ----------
    points, targets
        Largest numbers of points of bone, and of user targets, that are tested.
    extents_mm
        Radius of the bone that moves fully, and of its rim: a piece of bone, and a larger one.
    small_mm
        The same near user targets, which may lie where two bones meet of which one moved.
    pixel_mm, voxel_mm
        Size of the compared pixels, at the bone, and of the voxels of the moved bone.
    window, gain_mm
        Radius in pixels of local normalisation, and in mm of the neighbourhood in which the gain of
        the X-ray against the DRR is estimated.
    min_gain, min_variance
        Smallest gain, and smallest noise variance as a fraction of the view's.
    cauchy
        Residuals beyond this many standard deviations are weighted down.
    power, share
        A point is tested if a displacement by WRONG_MM would cost this log-likelihood, and is in
        place if it does cost this fraction of what it would.
    displaced, pair_displaced
        Bone is displaced if it is more likely elsewhere by this log-likelihood plus the logarithm of
        the number of points, which limits the rate of false detections among all points
        (Bonferroni); near a user target and its neighbour, in the mean.
    min_power
        A displacement counts only if one by WRONG_MM would cost this log-likelihood: a larger gain
        than the X-rays can show is a misfit.
    view_displaced
        A user target is not in place if a view alone shows the bone near it and its neighbours more
        likely elsewhere by this log-likelihood, in the mean.
    group, group_mm
        Neighbouring user targets move together: for each, this many within this distance are tested
        by their mean. So are all of them, with the first extent.
    side, side_displaced
        An X-ray is stitched or bent if this many points to one side of the others are more likely
        displaced in it, in the mean, by this log-likelihood.
    tested_fraction, bone_fraction
        Without user targets a pose is accepted if the second fraction of the points is in place.
        Where views disagree, the overlay is accepted if each of them alone confirms the first
        fraction.
    """

    points: int = 24
    targets: int = 48
    extents_mm: tuple[tuple[float, float], ...] = ((8.0, 26.0), (15.0, 35.0))
    small_mm: tuple[float, float] = (4.0, 14.0)
    pixel_mm: float = 1.5
    voxel_mm: float = 3.0
    window: int = 3
    gain_mm: float = 15.0
    min_gain: float = 0.1
    min_variance: float = 0.25
    cauchy: float = 2.5
    power: float = 2.0
    share: float = 0.3
    displaced: float = 10.0
    pair_displaced: float = 6.0
    min_power: float = 1.0
    view_displaced: float = 0.25
    group: int = 6
    group_mm: float = 40.0
    side: int = 6
    side_displaced: float = 0.5
    tested_fraction: float = 0.4
    bone_fraction: float = 0.2


LIMITS = Limits()
#: Voxels that attenuate more are bone, and move; soft tissue takes their place (muscle attenuates 1.04
#: times as much as water: NIST XCOM).
SOFT_PER_MM = 1.1 * WATER
#: Number of shells of bone near a point, by their fraction of its motion.
SHELLS = 3
#: Ratio of a normal standard deviation to the median absolute deviation.
SD_PER_MAD = 1.4826
#: Largest lag of the residuals' autocorrelation, pixels.
MAX_LAG = 6
#: Smallest local standard deviation, as a fraction of the median.
MIN_DETAIL = 0.1
#: Largest displacement, and the step in the image by which it is tabulated, mm.
REACH_MM = 10.0
STEP_MM = 2.0
STEPS_MM = np.arange(-REACH_MM, REACH_MM + STEP_MM, STEP_MM)
#: (columns, rows): the tabulated displacements that are wrong.
IS_WRONG = np.hypot(*np.meshgrid(STEPS_MM, STEPS_MM)) >= WRONG_MM
DISTANCES_MM = (WRONG_MM, 3.0, 4.5, 7.0, REACH_MM)
_DIRECTIONS = rigid.grid_points(*3 * [np.arange(-2.0, 3.0)])
_DIRECTIONS = _DIRECTIONS[np.abs(_DIRECTIONS).max(axis=1) > 0]
_DIRECTIONS = np.unique(rigid.unit(_DIRECTIONS).round(6), axis=0)
#: (motions, 3) tested displacements in space, mm.
MOTIONS_MM = np.concatenate([distance * _DIRECTIONS for distance in DISTANCES_MM])
#: Index of the opposite of each motion: the directions are sorted by their coordinates.
OPPOSITES = np.arange(len(MOTIONS_MM)).reshape(len(DISTANCES_MM), -1)[:, ::-1].ravel()


@dataclass(frozen=True, eq=False)
class Displacement:
    """Result of the test for displaced bone.

    Attributes
    ----------
    points
        The tested points.
    by_view
        (V, N) bool: the view alone confirms the point, and shows it.
    in_field
        (V, N) bool: the view shows the point.
    is_bent
        (V,) bool: the view shows bone on one side displaced against the rest.
    distance_mm
        Most likely displacement of the points that are displaced.
    """

    points: TestedPoints
    by_view: np.ndarray
    in_field: np.ndarray
    is_bent: np.ndarray
    distance_mm: float = 0.0

    @property
    def view_fractions(self) -> np.ndarray:
        """(V,) fraction of the points in its field that each view confirms alone; 1 if it shows none."""
        visible = self.in_field.sum(axis=1)
        return np.where(visible > 0, self.by_view.sum(axis=1) / np.maximum(visible, 1), 1.0)

    def confirms(self, use: Use, *, require_tested_fraction: bool = False) -> bool:
        """Return whether the test points support accepting the pose for a use.

        Every user target must be in place; without user targets, a fraction of the points.

        Parameters
        ----------
        require_tested_fraction
            Without user targets, require `LIMITS.tested_fraction` of the points instead of
            `LIMITS.bone_fraction`.
        """
        points = self.points
        if points.displaced.any() or self.is_bent.any():
            return False
        in_place = points.confirmed(use)
        if points.are_targets:
            return bool(in_place.all())
        fraction = LIMITS.tested_fraction if require_tested_fraction else LIMITS.bone_fraction
        return bool(in_place.mean() >= fraction)


def find_displacement(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    points: np.ndarray,
    *,
    uncovered: Sequence[View] = (),
    are_targets: bool = False,
) -> Displacement:
    """Test whether bone is displaced near points; a well-spread subset is tested if there are many.

    Parameters
    ----------
    views
        Views after the correction of their cameras; their fields decide which points they show.
    world_from_ct
        (4, 4) pose.
    points
        (N, 3) CT mm.
    uncovered
        The views without covered pixels, which are not compared; by default `views`.
    are_targets
        The points are targets of the user.
    """
    volume = anatomy.attenuation(anatomy.level(LIMITS.voxel_mm))
    bone_only = np.maximum(volume.values - SOFT_PER_MM, 0)
    extents = (*LIMITS.extents_mm, *are_targets * [LIMITS.small_mm])
    bone = _Bone(Volume(bone_only, volume.ct_from_index), world_from_ct, extents)
    compared = run_each(lambda view: _compare(anatomy, view, world_from_ct), uncovered or views)
    points = rigid.spread(points, LIMITS.targets if are_targets else LIMITS.points)
    visible = in_field(views, rigid.transform_points(world_from_ct, points))

    def evidence_at(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return bone.evidence(points[n], compared, visible[:, n])

    by_point = run_each(evidence_at, range(len(points)))
    evidence = _Evidence(*map(np.array, zip(*by_point, strict=True)))
    log_count = np.log(max(len(points), 1))
    displaced = evidence.displaced(LIMITS.displaced + log_count)
    if are_targets:
        pairs = evidence.of_groups(points, 2)
        displaced |= pairs.displaced(LIMITS.pair_displaced + log_count)
    gains = np.where(displaced[:, None, None], evidence.moved[:, :, 0], -np.inf)
    distance_mm = np.linalg.norm(MOTIONS_MM[gains.argmax() % len(MOTIONS_MM)]).item()
    is_bent = evidence.views_displaced_on_one_side(points) & (not are_targets)
    moves_as_one = False
    is_shown = visible.any(axis=0)
    if are_targets and is_shown.any():
        moved = evidence.moved[is_shown].mean(axis=0, keepdims=True)
        margin, power = _smallest(moved, evidence.visible[is_shown].all(axis=0))
        moves_as_one = not (margin > LIMITS.share * power)[0, 0]
    if are_targets:
        evidence = evidence.of_groups(points, LIMITS.group)
    overlay = _excluded(*_smallest(evidence.moved, evidence.visible)) & ~displaced
    overlay &= not moves_as_one
    by_view = [_smallest(view) for view in np.moveaxis(evidence.by_view, 2, 0)]
    if are_targets:
        margins = np.array([margin.min(axis=1) for margin, _ in by_view])
        overlay &= ~np.any(visible & (margins <= -LIMITS.view_displaced), axis=0)
    in_place = overlay & _excluded(*_smallest(evidence.moved))
    tested = TestedPoints(points, in_place, overlay, displaced, are_targets)
    alone = [_excluded(*view) for view in by_view]
    return Displacement(tested, visible & alone, visible, is_bent, distance_mm)


class _Evidence(NamedTuple):
    """Log-likelihood of the X-rays with bone near each point moved.

    Attributes
    ----------
    moved
        (N, extents, 2, motions): gain of each of MOTIONS_MM in all views, and the information
        about it.
    by_view
        (N, extents, views, 2, steps): the same of the steps in each view that are wrong.
    visible
        (N, 1, motions) bool: motions that change an image by WRONG_MM. Depth is not tested if all
        views look from about one side.
    """

    moved: np.ndarray
    by_view: np.ndarray
    visible: np.ndarray

    def of_groups(self, points: np.ndarray, count: int) -> _Evidence:
        """Return the mean evidence of each point (N, 3) and its neighbours, `count` in all."""
        distance = np.linalg.norm(points[:, None] - points, axis=2)
        rank = distance.argsort(axis=1).argsort(axis=1)
        is_near = (rank < count) & (distance <= LIMITS.group_mm)
        weights = is_near / is_near.sum(axis=1, keepdims=True)
        mean = partial(np.tensordot, weights, axes=1)
        return self._replace(moved=mean(self.moved), by_view=mean(self.by_view))

    def displaced(self, min_gain: float) -> np.ndarray:
        """Return the points (N,) bool near which bone is more likely elsewhere, by this log-likelihood.

        What only the CT shows, such as the scanner's couch, is more likely in either direction: that
        is no motion. Nor is a motion that would not be visible, or that contradicts an extent which
        would show it.
        """
        gain = self.moved[:, :, 0]
        opposite = OPPOSITES[gain.argmax(axis=2)][..., None]
        opposite_cost = -np.take_along_axis(gain, opposite, axis=2)[..., 0]
        margin, power = _smallest(self.moved)
        is_likelier = (margin < -min_gain) & (opposite_cost > 0) & (power > LIMITS.min_power)
        is_contradicted = (margin > 0) & (power > LIMITS.power)
        return np.any(is_likelier, axis=1) & ~np.any(is_contradicted, axis=1)

    def views_displaced_on_one_side(self, points: np.ndarray) -> np.ndarray:
        """Return which views (V,) bool show a common displacement of all points (N, 3) on one side of a plane."""
        gain = self.by_view[:, :, :, 0].mean(axis=1)
        counts = np.arange(1, len(points) + 1)
        is_side = np.minimum(counts, len(points) - counts) >= LIMITS.side
        orders = [way for order in points.T.argsort(axis=1) for way in (order, order[::-1])]
        means = gain[orders].cumsum(axis=1)[:, is_side] / counts[is_side, None, None]
        return (means.max(axis=3) > LIMITS.side_displaced).any(axis=(0, 1))


def _smallest(evidence: np.ndarray, where: Any = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the margin and the power (N, extents) of evidence (N, extents, 2, motions).

    The margin is the smallest loss of log-likelihood of any motion, negative if one is more likely;
    the power is that loss in X-rays of just this CT.
    """
    margin = -evidence[:, :, 0].max(axis=2, where=where, initial=-np.inf)
    return margin, evidence[:, :, 1].min(axis=2, where=where, initial=np.inf) / 2


def _excluded(margin: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return the points near which a displacement would be visible and is excluded, (N,) bool.

    The bone next to a point has to show it, by the first extent; a larger extent may only
    contradict.
    """
    is_tested = power > LIMITS.power
    is_excluded = margin > LIMITS.share * power
    return is_tested[:, 0] & np.all(is_excluded | ~is_tested, axis=1)


class _Compared(NamedTuple):
    """One view at the resolution at which it is compared.

    Attributes
    ----------
    camera, pixel_mm
        Camera at this resolution, and the size of a pixel at the bone.
    weight, pull
        (rows, columns): a change c of the DRR's detail adds the sum of pull c - weight c^2 / 2 to
        the log-likelihood.
    """

    camera: Camera
    pixel_mm: float
    weight: np.ndarray
    pull: np.ndarray


def _compare(anatomy: PreparedCT, view: View, world_from_ct: np.ndarray) -> _Compared:
    """Compare an X-ray with the DRR after a local fit of its gain, with Cauchy weights of the residual."""
    centre = rigid.transform_points(world_from_ct, anatomy.centroid)
    view = view.pooled(max(1, round(LIMITS.pixel_mm / pixel_size_mm(view, centre))))
    pixel_mm = pixel_size_mm(view, centre)
    projector = anatomy.projector(anatomy.level(LIMITS.voxel_mm))
    drr = projector.render(view.camera, world_from_ct).image
    known = view.xray.valid & (projector.seen(view.camera, world_from_ct) > 0)
    xray, _ = _normalised(view.xray.line_integrals, known)
    drr, local_sd = _normalised(drr, known)
    local_mean = window_mean(round(LIMITS.gain_mm / pixel_mm))
    covariance = local_mean(xray * drr)
    gain = np.clip(covariance / np.maximum(local_mean(drr**2), 1e-6), LIMITS.min_gain, 1)
    residual = xray - gain * drr
    noise_sd = SD_PER_MAD * np.median(np.abs(residual[known])) if known.any() else 1.0
    known_fraction = local_mean(known.astype(float))
    variance = local_mean(residual**2) / np.maximum(known_fraction, 1e-3)
    variance = np.maximum(variance, LIMITS.min_variance * noise_sd**2)
    cauchy_weight = known / (1 + residual**2 / (LIMITS.cauchy**2 * variance))
    weighted_residual = residual * np.sqrt(cauchy_weight)
    weight = cauchy_weight / (variance * _correlated_pixels(weighted_residual))
    slope = gain / local_sd
    images = (weight * slope**2, weight * residual * slope)
    return _Compared(view.camera, pixel_mm, *(image.astype(np.float32) for image in images))


def _normalised(image: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a locally normalised image (rows, columns), 0 where unknown, and the local standard deviation."""
    mean, sd = local_moments(image.astype(float), known, window_mean(LIMITS.window))
    sd = detail_of(sd, known, MIN_DETAIL)
    return np.where(known, (image - mean) / sd, 0), sd


def _correlated_pixels(residual: np.ndarray) -> float:
    """Return the number of correlated pixels: the sum of the squared normalised autocorrelation.

    Bayley and Hammersley, J. R. Stat. Soc. Suppl. 8, 1946.
    """
    spectrum = np.abs(scipy.fft.rfft2(residual, 2 * np.array(residual.shape))) ** 2
    side = 2 * MAX_LAG + 1
    correlation = np.roll(scipy.fft.irfft2(spectrum), (MAX_LAG, MAX_LAG), (0, 1))[:side, :side]
    zero_lag = max(correlation[MAX_LAG, MAX_LAG], 1e-9)
    return max(1.0, float(np.sum((correlation / zero_lag) ** 2)))


class _Bone(NamedTuple):
    """Attenuation of bone above that of soft tissue, its pose (4, 4), and the extents that move, mm."""

    volume: Volume
    world_from_ct: np.ndarray
    extents_mm: Sequence[tuple[float, float]]

    def evidence(
        self, point: np.ndarray, views: Sequence[_Compared], visible: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the evidence of displaced bone near a point: `moved`, `by_view` and `visible` of `_Evidence`.

        Parameters
        ----------
        point
            (3,) CT mm.
        visible
            (V,) bool: the view shows the point.
        """
        centre = rigid.transform_points(self.world_from_ct, point)[None]
        jacobians = [view.camera.jacobians(centre)[0, :, :3].T * view.pixel_mm for view in views]
        in_images_mm = MOTIONS_MM @ np.array(jacobians)
        table_indices = np.swapaxes(in_images_mm + REACH_MM, 1, 2) / STEP_MM
        tables = []
        for extent in self.extents_mm:
            shells = self._shells(point, *extent)
            of_extent = []
            for view, is_visible in zip(views, visible, strict=True):
                of_extent.append(
                    self._shift_table(view, shells * bool(is_visible), point, extent[1])
                )
            tables.append(of_extent)
        by_step = np.array(tables)
        moved = np.zeros((len(tables), 2, len(MOTIONS_MM)))
        for n, v, k in np.ndindex(by_step.shape[:3]):
            moved[n, k] += scipy.ndimage.map_coordinates(
                by_step[n, v, k], table_indices[v], order=2, mode="nearest"
            )
        shift_mm = np.linalg.norm(in_images_mm, axis=2) * visible[:, None]
        is_detectable = shift_mm.max(axis=0, keepdims=True) >= WRONG_MM
        return moved, by_step[..., IS_WRONG], is_detectable

    def _shells(self, point: np.ndarray, full_mm: float, rim_mm: float) -> list[Projector]:
        """Return the bone near a point in SHELLS, by its fraction of the motion; none if there is no bone."""
        values = self.volume.values
        middle = rigid.transform_points(self.volume.index_from_ct, point)[::-1]
        reach = rim_mm / self.volume.spacing_mm[::-1]
        first = np.clip(np.ceil(middle - reach).astype(int), 0, values.shape)
        last = np.clip(np.floor(middle + reach).astype(int) + 1, first, values.shape)
        box = values[tuple(map(slice, first, last))]
        if not box.any():
            return []
        indices = (np.arange(*ends) for ends in zip(first[::-1], last[::-1], strict=True))
        grid = rigid.grid_points(*indices).astype(float)
        voxels = rigid.transform_points(self.volume.ct_from_index, grid)
        distance = np.linalg.norm(voxels - point, axis=1).reshape(box.T.shape).T
        fraction = np.clip((rim_mm - distance) / (rim_mm - full_mm), 0, 1)
        fraction = SHELLS * fraction**2 * (3 - 2 * fraction)
        box_from_index = rigid.translation(first[::-1].astype(float))
        ct_from_box = self.volume.ct_from_index @ box_from_index
        projectors = []
        for shell in range(SHELLS):
            weight = np.clip(1 - np.abs(fraction - shell - 1), 0, 1)
            part = Volume((box * weight).astype(np.float32), ct_from_box)
            projectors.append(Projector(part, cut=np.zeros(6, bool)))
        return projectors

    def _shift_table(
        self, view: _Compared, shells: Sequence[Projector], point: np.ndarray, rim_mm: float
    ) -> np.ndarray:
        """Return a table (2, columns, rows) of log-likelihood gain and information for bone shifted in the image by STEPS_MM."""
        side = len(STEPS_MM)
        corners = point + rigid.grid_points(*3 * [(-rim_mm, rim_mm)])
        pixels = view.camera.project(rigid.transform_points(self.world_from_ct, corners))
        margin = int(REACH_MM / view.pixel_mm) + LIMITS.window + 1
        first = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - margin, 0)
        last = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + margin + 1, view.camera.size)
        if not shells or (last - first <= 2 * LIMITS.window).any():
            return np.zeros((2, side, side))
        camera = view.camera.cropped(*first, *(last - first))
        local_mean = window_mean(LIMITS.window)
        images = [shell.render(camera, self.world_from_ct).image for shell in shells]
        details = np.array([image - local_mean(image) for image in images])
        steps = rigid.grid_points(STEPS_MM, STEPS_MM) / view.pixel_mm
        part = np.s_[first[1] : last[1], first[0] : last[0]]
        weight, pull = (np.ascontiguousarray(image[part]) for image in (view.weight, view.pull))
        return moved_detail(details, steps, weight, pull).reshape(2, side, side)
