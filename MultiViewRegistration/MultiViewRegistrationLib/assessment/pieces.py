"""Ask of places in bone whether it would have been seen to lie elsewhere, and does not.

A patient is not one rigid body: ribs rise with a breath, a vertebra turns, a fragment slips. Who
looks for each such fault by itself overlooks the next one. So of every place for which an answer
stands one question is asked. The bone about it is moved in thought, wholly at the place and less and
less towards a rim, by up to some distance to all sides. How much less likely that makes the X-rays
says that it lies where the pose has it; how much less likely it would make X-rays that show just the
CT says whether a motion would have been seen at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy

from ..errors import Reason, Use
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import WATER, Volume
from ..imaging.xray import View, detail_of, local_moments, window_mean
from ..registration.prepared_ct import PreparedCT, pixel_size_mm
from ..registration.tiles import moved_detail
from ..rendering.devices import run_each
from ..rendering.drr import Projector
from .metrics import in_field
from .parts import ADVICE, Elsewhere
from .prediction import WRONG_MM


@dataclass(frozen=True)
class Limits:
    """The numbers of this test that were chosen.

    On pieces that moved in seeds 5001 and 5002 of benchmarks/bent.py, `power`, `share` and `tested_targets`
    on its seed 50101, and on seed 204 of benchmarks/spines.py; what is doubtful on the bent spine of
    `mvreg demo`; what targets next to each other tell, on seeds 97001 and 120001 and the protocol's 31;
    what one side of the bone tells, on 45 bodies of seed 200001 and 40 of which one X-ray was stitched;
    `small_mm` on these 45 and on vertebrae and hips that moved, with targets at their joints.

    Attributes
    ----------
    places
        At most so many are asked.
    doubtful, doubtful_places
        Of this share of bone, about which X-rays and CT agree least, so many places are asked, too,
        before an answer without targets is accepted.
    agreement_mm
        Radius within which that is.
    extents_mm
        The bone about a place moves wholly up to the first distance from it, and not beyond the
        second: a piece of bone, and a larger one.
    small_mm
        The same, about given targets, which may lie where two bones meet, of which one moved.
    pixel_mm, voxel_mm
        Of the images that are compared, at the bone, and of the voxels of the bone that is moved.
    window, gain_mm
        Radius in pixels of local normalisation, and in mm of the neighbourhood that tells how well
        X-ray and DRR agree there.
    least_gain, least_variance
        No neighbourhood agrees less; nor has it less noise than this share of the view's.
    cauchy
        Residuals beyond so many standard deviations count less and less.
    power, share
        A place is tested if a motion by WRONG_MM would cost this log-likelihood, and in place if it
        does cost this share of what it would.
    elsewhere, pair_elsewhere
        Bone lies elsewhere where it is so much likelier there, in log-likelihood; or, about a given
        target and the one next to it, in the mean.
    group, group_mm
        Given targets next to each other would have moved together: for each, so many within this
        distance are asked as one, by their mean. So are all, with the first extent.
    side, side_elsewhere
        An X-ray is stitched or bent if so many places of bone to one side of the others lie elsewhere
        in it: are so much likelier there, moved as one, in the mean.
    tested_targets, tested_bone
        No answer is accepted of whose targets a smaller share is in place for sure, or, where nobody
        gave targets, of whose bone; nor where a view alone has a smaller share than `tested_bone`.
        Where views disagree an overlay is, if each alone has `tested_targets`.
    """

    places: int = 48
    doubtful: float = 0.1
    doubtful_places: int = 24
    agreement_mm: float = 8.0
    extents_mm: tuple[tuple[float, float], ...] = ((8.0, 26.0), (15.0, 35.0))
    small_mm: tuple[float, float] = (4.0, 14.0)
    pixel_mm: float = 1.5
    voxel_mm: float = 3.0
    window: int = 3
    gain_mm: float = 22.0
    least_gain: float = 0.1
    least_variance: float = 0.25
    cauchy: float = 2.5
    power: float = 2.0
    share: float = 0.3
    elsewhere: float = 10.0
    pair_elsewhere: float = 6.0
    group: int = 6
    group_mm: float = 40.0
    side: int = 6
    side_elsewhere: float = 0.5
    tested_targets: float = 0.4
    tested_bone: float = 0.2


LIMITS = Limits()
#: What attenuates more is bone, and moves; soft tissue takes its place (muscle has 1.04 times the
#: attenuation of water: NIST XCOM).
SOFT_PER_MM = 1.1 * WATER
#: Into so many shells bone is put, by how far it moves with a place.
SHELLS = 3
#: A normal deviation's share of the median absolute one.
MEDIAN_SDS = 1.4826
#: Residuals are alike up to so many pixels.
LAGS = 6
#: Windows' detail below this share of the median counts as this.
LEAST_DETAIL = 0.1
#: How far bone is moved, by what steps in an image, and by what distances in space.
REACH_MM = 10.0
STEP_MM = 2.0
ALONG = np.arange(-REACH_MM, REACH_MM + STEP_MM, STEP_MM)
#: (columns, rows): of steps in an image those that would be wrong.
FAR = np.hypot(*np.meshgrid(ALONG, ALONG)) >= WRONG_MM
DISTANCES_MM = (WRONG_MM, 3.0, 4.5, 7.0, REACH_MM)
_AWAY = rigid.grid_points(*3 * [np.arange(-2.0, 3.0)])
_AWAY = _AWAY[np.abs(_AWAY).max(axis=1) > 0]
_AWAY = np.unique(rigid.unit(_AWAY).round(6), axis=0)
MOTIONS = np.concatenate([distance * _AWAY for distance in DISTANCES_MM])
#: The number of each motion's opposite: the directions are in the order of their coordinates.
OPPOSITES = np.arange(len(MOTIONS)).reshape(len(DISTANCES_MM), -1)[:, ::-1].ravel()


class Evidence(NamedTuple):
    """What the X-rays say of motions of the bone about places: how much likelier they are with it, and the information.

    Attributes
    ----------
    moved
        (N, extents, 2, motions) of all MOTIONS, by all views.
    alone
        (N, extents, views, 2, steps) of the steps in its image that are FAR, by each view.
    shown
        (N, 1, motions) bool: what the images show. Nothing is asked of a depth where all look from
        about one side.
    """

    moved: np.ndarray
    alone: np.ndarray
    shown: np.ndarray

    def of_groups(self, points: np.ndarray, count: int) -> Evidence:
        """Return the means of so many of the places (N, 3): of each and those next to it."""
        apart = np.linalg.norm(points[:, None] - points, axis=2)
        near = (apart.argsort(axis=1).argsort(axis=1) < count) & (apart <= LIMITS.group_mm)
        share = near / near.sum(axis=1, keepdims=True)
        mean = partial(np.tensordot, share, axes=1)
        return self._replace(moved=mean(self.moved), alone=mean(self.alone))

    def elsewhere(self, least: float) -> np.ndarray:
        """Return about which places bone lies elsewhere, (N,) bool, at least so much likelier."""
        likelier = self.moved[:, :, 0]
        other = OPPOSITES[likelier.argmax(axis=2)][..., None]
        opposite = -np.take_along_axis(likelier, other, axis=2)[..., 0]
        return _elsewhere(*_least(self.moved), opposite, least)

    def sides_elsewhere(self, points: np.ndarray) -> np.ndarray:
        """Return which views (V,) show the places (N, 3) to one side of the others elsewhere, moved as one."""
        likelier = self.alone[:, :, :, 0].mean(axis=1)
        counts = np.arange(1, len(points) + 1)
        sides = np.minimum(counts, len(points) - counts) >= LIMITS.side
        orders = [way for order in points.T.argsort(axis=1) for way in (order, order[::-1])]
        means = likelier[orders].cumsum(axis=1)[:, sides] / counts[sides, None, None]
        return (means.max(axis=3) > LIMITS.side_elsewhere).any(axis=(0, 1))


def _least(evidence: np.ndarray, where: Any = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the margin and the power (N, extents) of evidence (N, extents, 2, motions).

    By how much less likely the X-rays are wherever else bone is tried, negative where it is
    likelier there; and would be if they showed just the CT.
    """
    margin = -evidence[:, :, 0].max(axis=2, where=where, initial=-np.inf)
    return margin, evidence[:, :, 1].min(axis=2, where=where, initial=np.inf) / 2


def _elsewhere(
    margin: np.ndarray, power: np.ndarray, opposite: np.ndarray, least: float
) -> np.ndarray:
    """Return about which places bone lies elsewhere, (N,) bool, by margins and powers (N, extents).

    What the CT alone shows, as a scanner's couch, is likelier to either side: that is no motion. Nor
    is one that an extent which would show it contradicts.
    """
    likelier = (margin < -least) & (opposite > 0) & (power > 0)
    contradicted = (margin > 0) & (power > LIMITS.power)
    return np.any(likelier, axis=1) & ~np.any(contradicted, axis=1)


def _in_place(margin: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return about which places bone would have been seen to lie elsewhere, and does not by each extent that would show it."""
    tested = power > LIMITS.power
    found = margin > LIMITS.share * power
    return np.any(tested, axis=1) & np.all(found | ~tested, axis=1)


@dataclass(frozen=True, eq=False)
class Asked:
    """What the X-rays say of places.

    Attributes
    ----------
    points
        (N, 3) CT mm, the places.
    in_place, elsewhere
        (N,) bool: the bone about a place would have been seen to lie elsewhere, and does not; it
        lies elsewhere. Of the others nothing is known.
    appears
        (N,) bool: as `in_place`, in these X-rays, whatever its depth.
    in_views
        (V, N) bool: as `in_place`, by each view alone, or beyond its field.
    bent
        (V,) bool: which views show bone to one side of other bone elsewhere. None by given targets.
    given
        They are targets that somebody gave.
    moved_mm
        How far the one lies elsewhere, if any does, of which that is clearest.
    """

    points: np.ndarray
    in_place: np.ndarray
    elsewhere: np.ndarray
    appears: np.ndarray
    in_views: np.ndarray
    bent: np.ndarray
    given: bool = False
    moved_mm: float = 0.0

    def sure(self, use: Use) -> np.ndarray:
        """Return which are in place for sure, (N,) bool, for a use."""
        return self.appears if use == "overlay" else self.in_place

    def enough(self, use: Use, *, firmly: bool = False) -> bool:
        """Return whether enough of them are in place for sure to accept an answer.

        Firmly: as many as are wanted of targets.
        """
        least = LIMITS.tested_targets if self.given or firmly else LIMITS.tested_bone
        tested = self.sure(use).mean() >= least and self.least_alone >= LIMITS.tested_bone
        return bool(tested) and not self.elsewhere.any() and not self.bent.any()

    def to_json(self) -> dict[str, Any]:
        """Return `tested` of a result.json: how many places were asked, and those in place for sure, by use."""
        sure = {use: self.points[self.sure(use)] for use in ("overlay", "position")}
        return {"asked": len(self.points), **sure}

    @property
    def least_alone(self) -> float:
        """The smallest share of them that a view has in place by itself."""
        return self.in_views.mean(axis=1).min()


def ask(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    points: np.ndarray,
    *,
    given: bool = False,
    doubtful: bool = False,
) -> Asked:
    """Ask of points (N, 3), CT mm, of some of them, far from each other, if they are many.

    Parameters
    ----------
    views
        With their cameras as corrected, without what is covered.
    world_from_ct
        (4, 4), the pose.
    given
        They are targets that somebody gave.
    doubtful
        Ask where X-rays and CT agree least: what has moved is there, and may be little of all that
        is shown.
    """
    volume = anatomy.attenuation(anatomy.level(LIMITS.voxel_mm))
    above = np.maximum(volume.values - SOFT_PER_MM, 0)
    extents = (*LIMITS.extents_mm, *given * [LIMITS.small_mm])
    bone = _Bone(Volume(above, volume.ct_from_index), world_from_ct, extents)
    compared = run_each(lambda view: _compare(anatomy, view, world_from_ct), views)
    places = LIMITS.places
    if doubtful:
        places = LIMITS.doubtful_places
        agreement = _agreement_at(rigid.transform_points(world_from_ct, points), compared)
        points = points[agreement <= np.quantile(agreement, LIMITS.doubtful)]
    points = rigid.spread(points, places)

    by_place = run_each(lambda point: bone.evidence(point, compared), points)
    evidence = Evidence(*map(np.array, zip(*by_place, strict=True)))
    elsewhere = evidence.elsewhere(LIMITS.elsewhere)
    if given:
        elsewhere |= evidence.of_groups(points, 2).elsewhere(LIMITS.pair_elsewhere)
    likelier = np.where(elsewhere[:, None, None], evidence.moved[:, :, 0], -np.inf)
    clearest_mm = np.linalg.norm(MOTIONS[likelier.argmax() % len(MOTIONS)]).item()

    bent = evidence.sides_elsewhere(points) & (not given)
    together = True
    if given:
        margin, power = _least(evidence.moved.mean(0, keepdims=True), evidence.shown.all(0))
        together = (margin > LIMITS.share * power)[0, 0]
        evidence = evidence.of_groups(points, LIMITS.group)
    appears = together & _in_place(*_least(evidence.moved, evidence.shown)) & ~elsewhere
    in_place = appears & _in_place(*_least(evidence.moved))
    beyond = ~in_field(views, rigid.transform_points(world_from_ct, points))
    in_views = beyond | [_in_place(*_least(each)) for each in np.moveaxis(evidence.alone, 2, 0)]
    return Asked(points, in_place, elsewhere, appears, in_views, bent, given, clearest_mm)


def displaced(asked: Asked) -> Elsewhere | None:
    """Return where bone lies elsewhere than the pose has it; None where it does nowhere."""
    if not asked.elsewhere.any():
        return None
    return Elsewhere(
        Reason(
            "part-displaced",
            f"At {asked.elsewhere.sum()} of {len(asked.points)} places the bone lies elsewhere than this "
            f"pose has it, by about {asked.moved_mm:.0f} mm\n: the patient may be bent, or have breathed "
            f"or moved.{ADVICE}",
        ),
        points=asked.points[asked.elsewhere],
    )


def untested(asked: Asked, names: Sequence[str]) -> list[Reason]:
    """Return that a view is bent, or too few places would have been seen to lie elsewhere: by all views, or by one alone.

    Parameters
    ----------
    names
        Of the views.
    """
    if asked.elsewhere.any() or asked.enough("position"):
        return []
    if asked.bent.any():
        return [
            Reason(
                "view-bent",
                f"{names[int(asked.bent.argmax())]} may be stitched or bent\n: alone it shows one side of the bone "
                "elsewhere than the other. Look at its overlay; of a stitched X-ray use one exposure.",
            )
        ]
    where = "targets" if asked.given else "places in bone"
    if replace(asked, in_views=np.ones((1, 1))).enough("position"):
        return [
            Reason(
                "view-disagrees",
                f"{names[asked.in_views.mean(axis=1).argmin()]} disagrees\n: alone it has hardly any {where} "
                "in place. Look at its overlay; its camera may be known less well.",
            )
        ]
    return [
        Reason(
            "targets-not-tested",
            f"Only {asked.in_place.sum()} of {len(asked.points)} {where} are surely within {WRONG_MM:g} mm "
            "of where this pose has them\n: bone is far, other bone or noise hides it, or it has moved. "
            "A further X-ray from another side may show it.",
        )
    ]


class _Compared(NamedTuple):
    """One view, at the resolution at which it is compared.

    Attributes
    ----------
    camera, pixel_mm
        Of these pixels; their size at the bone.
    weight, pull
        (rows, columns): with a change c of the DRR's detail, the X-ray is likelier by the sum of
        pull c - weight c^2 / 2.
    agreement
        (rows, columns): the correlation of X-ray and DRR within `Limits.agreement_mm`.
    """

    camera: Camera
    pixel_mm: float
    weight: np.ndarray
    pull: np.ndarray
    agreement: np.ndarray


def _compare(anatomy: PreparedCT, view: View, world_from_ct: np.ndarray) -> _Compared:
    centre = rigid.transform_points(world_from_ct, anatomy.centroid)
    view = view.pooled(max(1, round(LIMITS.pixel_mm / pixel_size_mm(view, centre))))
    pixel_mm = pixel_size_mm(view, centre)
    projector = anatomy.projector(anatomy.level(LIMITS.voxel_mm))
    drr = projector.render(view.camera, world_from_ct).image
    known = view.xray.valid & (projector.seen(view.camera, world_from_ct) > 0)
    xray, _ = _normalised(view.xray.line_integrals, known)
    drr, detail = _normalised(drr, known)
    near = window_mean(round(LIMITS.gain_mm / pixel_mm))
    gain = np.clip(near(xray * drr) / np.maximum(near(drr**2), 1e-6), LIMITS.least_gain, 1)
    residual = xray - gain * drr
    usual = MEDIAN_SDS * np.median(np.abs(residual[known])) if known.any() else 1.0
    share = near(known.astype(float))
    variance = near(residual**2) / np.maximum(share, 1e-3)
    variance = np.maximum(variance, LIMITS.least_variance * usual**2)
    trusted = known / (1 + residual**2 / (LIMITS.cauchy**2 * variance))
    weight = trusted / (variance * _alike(residual * np.sqrt(trusted)))
    slope = gain / detail
    within = window_mean(round(LIMITS.agreement_mm / pixel_mm))
    agreement = within(xray * drr) / np.sqrt(np.maximum(within(xray**2) * within(drr**2), 1e-6))
    numbers = (weight * slope**2, weight * residual * slope, agreement)
    return _Compared(view.camera, pixel_mm, *(each.astype(np.float32) for each in numbers))


def _agreement_at(points: np.ndarray, views: Sequence[_Compared]) -> np.ndarray:
    """Return how far X-ray and DRR agree about points (N, 3), world mm: (N,), the mean of the views that show them."""
    seen = []
    for view in views:
        pixels = view.camera.project(points)[:, ::-1].T
        seen.append(scipy.ndimage.map_coordinates(view.agreement, pixels, order=0, cval=np.nan))
    shown = np.isfinite(seen).sum(axis=0)
    return np.where(shown, np.nansum(seen, axis=0) / np.maximum(shown, 1), 1.0)


def _normalised(image: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (rows, columns) less its local mean, by its local standard deviation, and that; 0 where not known."""
    mean, detail = local_moments(image.astype(float), known, window_mean(LIMITS.window))
    detail = detail_of(detail, known, LEAST_DETAIL)
    return np.where(known, (image - mean) / detail, 0), detail


def _alike(residual: np.ndarray) -> float:
    """Return in how many pixels residuals (rows, columns) are alike: the sum of their squared autocorrelation.

    Bayley and Hammersley, J. R. Stat. Soc. Suppl. 8, 1946.
    """
    spectrum = np.abs(scipy.fft.rfft2(residual, 2 * np.array(residual.shape))) ** 2
    alike = np.roll(scipy.fft.irfft2(spectrum), (LAGS, LAGS), (0, 1))[
        : 2 * LAGS + 1, : 2 * LAGS + 1
    ]
    return max(1.0, float(np.sum((alike / max(alike[LAGS, LAGS], 1e-9)) ** 2)))


class _Bone(NamedTuple):
    """The attenuation of bone above that of soft tissue, the pose (4, 4) at which it lies, and how far it moves with a place, mm."""

    volume: Volume
    world_from_ct: np.ndarray
    extents_mm: Sequence[tuple[float, float]]

    def evidence(
        self, place: np.ndarray, views: Sequence[_Compared]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `Evidence` has of the bone about a place (3,), CT mm."""
        middle = rigid.transform_points(self.world_from_ct, place)[None]
        each = [view.camera.jacobians(middle)[0, :, :3].T * view.pixel_mm for view in views]
        appear_mm = MOTIONS @ np.array(each)
        at = np.swapaxes(appear_mm + REACH_MM, 1, 2) / STEP_MM
        tables = []
        for extent in self.extents_mm:
            shells = self._shells(place, *extent)
            tables.append([self._table(view, shells, place, extent[1]) for view in views])
        by_step = np.array(tables)
        moved = np.zeros((len(tables), 2, len(MOTIONS)))
        for n, v, k in np.ndindex(by_step.shape[:3]):
            moved[n, k] += scipy.ndimage.map_coordinates(
                by_step[n, v, k], at[v], order=2, mode="nearest"
            )
        shown = np.linalg.norm(appear_mm, axis=2).max(axis=0, keepdims=True) >= WRONG_MM
        return moved, by_step[..., FAR], shown

    def _shells(self, place: np.ndarray, whole_mm: float, rim_mm: float) -> list[Projector]:
        """Return the bone about a place in SHELLS, by its share of the motion; none where there is none."""
        values = self.volume.values
        middle = rigid.transform_points(self.volume.index_from_ct, place)[::-1]
        reach = rim_mm / self.volume.spacing_mm[::-1]
        first = np.clip(np.ceil(middle - reach).astype(int), 0, values.shape)
        last = np.clip(np.floor(middle + reach).astype(int) + 1, first, values.shape)
        box = values[tuple(map(slice, first, last))]
        if not box.any():
            return []
        along = (np.arange(*ends) for ends in zip(first[::-1], last[::-1], strict=True))
        points = rigid.transform_points(
            self.volume.ct_from_index, rigid.grid_points(*along).astype(float)
        )
        away = np.linalg.norm(points - place, axis=1).reshape(box.T.shape).T
        share = np.clip((rim_mm - away) / (rim_mm - whole_mm), 0, 1)
        share = SHELLS * share**2 * (3 - 2 * share)
        own = self.volume.ct_from_index @ rigid.translation(first[::-1].astype(float))
        weights = (np.clip(1 - np.abs(share - number - 1), 0, 1) for number in range(SHELLS))
        parts = ((box * weight).astype(np.float32) for weight in weights)
        return [Projector(Volume(part, own), cut=np.zeros(6, bool)) for part in parts]

    def _table(
        self, view: _Compared, shells: Sequence[Projector], place: np.ndarray, rim_mm: float
    ) -> np.ndarray:
        """Return by how much likelier a view is with bone moved in its image, and the information about that.

        (2, columns, rows), by STEP_MM up to REACH_MM.
        """
        side = len(ALONG)
        about = rigid.transform_points(
            self.world_from_ct, place + rigid.grid_points(*3 * [(-rim_mm, rim_mm)])
        )
        pixels = view.camera.project(about)
        margin = int(REACH_MM / view.pixel_mm) + LIMITS.window + 1
        first = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - margin, 0)
        last = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + margin + 1, view.camera.size)
        if not shells or (last - first <= 2 * LIMITS.window).any():
            return np.zeros((2, side, side))
        camera = view.camera.cropped(*first, *(last - first))
        near = window_mean(LIMITS.window)
        images = [shell.render(camera, self.world_from_ct).image for shell in shells]
        details = np.array([image - near(image) for image in images])
        steps = rigid.grid_points(ALONG, ALONG) / view.pixel_mm
        part = np.s_[first[1] : last[1], first[0] : last[0]]
        weight, pull = (np.ascontiguousarray(each[part]) for each in (view.weight, view.pull))
        return moved_detail(details, steps, weight, pull).reshape(2, side, side)
