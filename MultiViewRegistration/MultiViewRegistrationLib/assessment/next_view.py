"""Which further view would determine a pose best, before it is taken.

Each view v tells of the pose and of the errors of its own camera, together x, what its DRR's
derivatives say: its residuals have the Gauss-Newton Hessian H_v. Noise and differences between CT
and X-ray make a gradient whose covariance is s H_v; s is measured on the views that there are, from
tile to tile (`uncertainty`). With the cameras' stated standard deviations,

    covariance of x = (sum over v of H_v / s + diag(1 / sd^2))^-1.

A view that is not there yet adds its H_v all the same: it takes a DRR at that angle, not an X-ray
(optimal design of experiments: Fedorov, Theory of Optimal Experiments, 1972).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.c_arm import CArm, angle, rotation
from ..geometry.camera import Camera
from ..geometry.fields import UNCERTAINTY
from ..imaging.xray import SharedUnknowns, View, XRay
from ..reasons import Reason, code_of
from ..registration.cameras import CALIBRATED, CameraCorrections, uncalibrated_view_indices
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from ..registration.tiles import tiles
from ..rendering.devices import run_tasks
from .prediction import WRONG_MM
from .uncertainty import PoseUncertainty, sandwich
from .verdict import Assessment

Known = TypeVar("Known", View, SharedUnknowns)

#: Angles that are tried, in degrees: the detector goes from the patient's right over the front to
#: the left, and up to 30 degrees towards head or feet.
PRIMARY_DEG = tuple(range(-90, 91, 15))
SECONDARY_DEG = (-30, -15, 0, 15, 30)
#: A view nearer to one that there is, or to its opposite, is no other.
OTHER_DEG = 15.0
#: The world's origin is a C-arm's isocentre if all central rays pass it as near as this.
ISOCENTRE_MM = 20.0
#: A view is worth proposing if it leaves so much of the error, and that may be so large.
WORTH = 0.75
LEAST_MM = WRONG_MM / 2


@dataclass(frozen=True)
class FurtherView:
    """A view that could be taken.

    Attributes
    ----------
    rao_lao_deg, cra_cau_deg
        Where the detector is, as of `CArm`.
    error_mm
        The expected error of the targets with it.
    """

    rao_lao_deg: float
    cra_cau_deg: float
    error_mm: float

    @property
    def words(self) -> str:
        """The angles, as "LAO 45°"."""
        primary = angle(self.rao_lao_deg, "LAO", "RAO") if self.rao_lao_deg else "AP"
        if not self.cra_cau_deg:
            return primary
        return f"{primary}, {angle(self.cra_cau_deg, 'CRA', 'CAU')}"


@dataclass(frozen=True)
class Plan:
    """Predicted errors with one further view each.

    Attributes
    ----------
    error_mm
        The error of the targets that noise and cameras explain with the views that there are.
    views
        Further ones, the best first.
    patient_axes
        Whether angles are about the CT's axes; else about the world's, as a C-arm shows them.
    """

    error_mm: float
    views: list[FurtherView]
    patient_axes: bool

    @property
    def sentence(self) -> str:
        """The prediction for the best further view."""
        if not self.views:
            return "No further view shows the anatomy."
        best = self.views[0]
        axes = " (by the axes of the CT)" if self.patient_axes else ""
        return (
            f"A further view near {best.words}{axes} would {_lower(best.error_mm / self.error_mm)} "
            f"the error that noise and cameras explain, from {self.error_mm:.2g} to "
            f"{best.error_mm:.2g} mm."
        )

    def to_json(self) -> dict:
        """Return it as `mvreg plan --json` prints it."""
        return {**asdict(self), "sentence": self.sentence}


def plan_view(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    targets: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> Plan:
    """Find the further views that would lower the error of a registered pose most.

    Parameters
    ----------
    views
        As registered.
    world_from_ct
        (4, 4) the registered pose.
    targets
        (N, 3) CT mm.
    shared
        What is unknown and the same in all views, the further one included.

    Raises
    ------
    InputError
        For slot scans, which are no C-arm's.
    """
    alone = uncalibrated_view_indices(views, shared)
    tied = [view.presumed for i, view in enumerate(views) if i not in alone]
    if any(view.camera.fan_axes == 1 for view in tied):
        raise InputError(
            "plan: the views are slot scans, expected those of a C-arm, which can be turned to "
            "another angle; take X-rays by a C-arm for another view."
        )
    level = anatomy.levels(tied, world_from_ct)[-2]
    points = rigid.transform_points(world_from_ct, targets)
    objective = anatomy.objective(tied, level, world_from_ct)
    projections = objective.project(world_from_ct, intrinsics=True)
    fit = objective.linearise(projections)
    split = tiles(objective, projections)
    count = sum(fit.pixels)
    in_pooled_px = partial(_in_pooled_px, pool=level.pool)
    shared = in_pooled_px(shared)
    seen = [
        _Seen(in_pooled_px(view), hessian * count)
        for view, (_, hessian) in zip(objective.views, fit.by_view, strict=True)
    ]
    noise = (split.gradients.T @ split.gradients)[:6, :6]
    known = np.sum([one.hessian[:6, :6] for one in seen], axis=0)
    ratio = float(np.trace(np.linalg.lstsq(known, noise, rcond=None)[0]) / len(known))
    now = _error_mm(seen, ratio, shared, objective.pivot, points)
    turner = _Turner(tied, world_from_ct, points.mean(axis=0))
    sds: dict[str, Any] = {
        key: max(getattr(view, key) or 0.0 for view in tied) for key in UNCERTAINTY
    }
    pixel_mm = objective.views[0].xray.pixel_mm
    found: list[FurtherView] = []

    def ask(primary: int, secondary: int) -> None:
        camera = turner.camera(primary, secondary).pooled(level.pool)
        shape = camera.size[::-1]
        blank = XRay(np.zeros(shape, np.float32), np.ones(shape, bool), pixel_mm)
        there = anatomy.objective(
            [View("further", blank, camera, **sds)], replace(level, pool=1), world_from_ct
        )
        drrs = there.project(world_from_ct, intrinsics=True)
        shown = there.views[0].xray.line_integrals  # what the X-ray would be, as far as is known
        shown[:] = drrs[0].image
        of_view = there.linearise(drrs)
        if of_view.shown[0] < MIN_PIXELS or not np.isfinite(of_view.cost):
            return
        hessian = of_view.hessian * sum(of_view.pixels)
        new = _Seen(in_pooled_px(there.views[0]), hessian)
        error_mm = _error_mm([*seen, new], ratio, shared, objective.pivot, points)
        found.append(FurtherView(float(primary), float(secondary), error_mm))

    run_tasks([partial(ask, *angles) for angles in turner.others()])
    best_first = sorted(found, key=lambda one: (one.error_mm, one.rao_lao_deg, one.cra_cau_deg))
    return Plan(now, best_first, turner.patient_axes)


def with_further_view(
    assessment: Assessment,
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> Assessment:
    """Return the assessment of a pose in doubt with the further view that would lower its error most.

    Nothing is said where noise and cameras explain little of the doubt, nor of a pose that is most
    likely wrong, nor where another reason proposes a view. Parameters as of `plan_view`.
    """
    features = assessment.features
    targets = assessment.targets
    if assessment.room != "check" or features is None or targets is None or assessment.cause:
        return assessment
    if len(views) == 2 and "principal-point-unstated" in map(code_of, assessment.reasons):
        return assessment
    at = features.total_uncertainty.at(rigid.transform_points(world_from_ct, targets))
    if at.bound_mm() < LEAST_MM or any(view.camera.fan_axes == 1 for view in views):
        return assessment
    plan = plan_view(anatomy, views, world_from_ct, targets, shared)
    if not plan.views or plan.views[0].error_mm > WORTH * plan.error_mm:
        return assessment
    return replace(
        assessment,
        reasons=[*assessment.reasons, Reason("further-view", plan.sentence, plan.views[0].words)],
    )


class _Seen(NamedTuple):
    """A view at the resolution of the comparison, and its Hessian (9, 9) of half the sum of squares."""

    view: View
    hessian: np.ndarray


def _in_pooled_px(known: Known, pool: int) -> Known:
    """Return what is known of principal points in pixels that are `pool` times as large."""
    sd = known.principal_point_sd_px
    return replace(known, principal_point_sd_px=sd and sd / pool)


def _error_mm(
    seen: Sequence[_Seen],
    ratio: float,
    shared: SharedUnknowns,
    pivot: np.ndarray,
    points: np.ndarray,
) -> float:
    """Return the expected error of targets (N, 3), world mm, from these views together."""
    views = [one.view for one in seen]
    unknowns = CameraCorrections(views, shared)
    ways = unknowns.jacobians(views, [pivot], unknowns.none, 9, considered=True)
    information = sum(
        way.T @ one.hessian @ way / ratio for way, one in zip(ways, seen, strict=True)
    )
    sds = unknowns.sd[np.concatenate([unknowns.free, unknowns.considered])]
    information[6:, 6:] += np.diag(sds**-2.0)
    covariance = sandwich(information, information)[:6, :6]
    return PoseUncertainty(covariance, pivot).at(points).mean_mm


class _Turner:
    """A C-arm that goes to other angles, with the first view's distances and detector.

    Parameters
    ----------
    views
        Those that there are.
    world_from_ct
        (4, 4).
    middle
        (3,) world mm, about which the cameras turn whose world is no C-arm's.
    """

    def __init__(
        self, views: Sequence[View], world_from_ct: np.ndarray, middle: np.ndarray
    ) -> None:
        readings = [view.c_arm for view in views]
        self.patient_axes = not all(map(_about_isocentre, readings))
        self._reading = readings[0]
        self._camera = views[0].camera
        self._middle = middle
        self._beams = [view.camera.camera_from_world[2, :3] for view in views]
        self._axes = world_from_ct[:3, :3] if self.patient_axes else np.eye(3)

    def others(self) -> list[tuple[int, int]]:
        """Return the angles of views that there are not."""
        beams = np.stack(self._beams)
        limit = np.cos(np.radians(OTHER_DEG - 1e-6))
        every = [(primary, secondary) for primary in PRIMARY_DEG for secondary in SECONDARY_DEG]
        return [each for each in every if np.abs(beams @ self._beam(*each)).max() < limit]

    def camera(self, primary_deg: float, secondary_deg: float) -> Camera:
        """Return the camera at these angles."""
        if not self.patient_axes and self._reading is not None:
            turned = replace(self._reading, rao_lao_deg=primary_deg, cra_cau_deg=secondary_deg)
            return turned.camera()
        now = self._beams[0]
        then = self._beam(primary_deg, secondary_deg)
        axis = np.cross(now, then)
        sine = np.linalg.norm(axis)
        cosine = float(now @ then)
        if sine < 1e-9:  # any axis across the beam
            axis, sine = np.cross(now, np.roll(np.abs(now), 1) + [0.1, 0.2, 0.3]), sine
        turn = rigid.exp_so3(axis / np.linalg.norm(axis) * np.arctan2(sine, cosine))
        moved = rigid.about(self._middle, rigid.from_rotation_translation(turn.T, np.zeros(3)))
        return replace(self._camera, camera_from_world=self._camera.camera_from_world @ moved)

    def _beam(self, primary_deg: float, secondary_deg: float) -> np.ndarray:
        """Return the direction (3,) in which the source sees, world."""
        return self._axes @ rotation(primary_deg, secondary_deg)[:, 2]


def _about_isocentre(reading: CArm | None) -> bool:
    return reading is not None and bool(np.abs(reading.isocentre_offset_mm).max() < ISOCENTRE_MM)


def _lower(share: float) -> str:
    """Return what happens to an error of which this share is left."""
    if share < 0.4:
        return "more than halve"
    return "halve" if share < 0.6 else "lower"
