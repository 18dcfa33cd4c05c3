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
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, Reason, code_of
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.fields import UNCERTAINTY
from ..geometry.machines import angle, rotation
from ..imaging.xray import CALIBRATED, SharedUnknowns, View, XRay
from ..registration.cameras import CameraCorrections, uncalibrated_view_indices
from ..registration.objective import Comparison, EvaluationPoint
from ..registration.prepared_ct import PreparedCT
from ..registration.tiles import tiled_fit
from ..rendering.devices import run_tasks
from .prediction import WRONG_MM
from .uncertainty import TargetUncertainty, sandwich, target_jacobians
from .verdict import Assessment

if TYPE_CHECKING:  # of a whole CT nothing registers bones
    pass

#: Angles that are tried, in degrees: the detector goes from the patient's right over the front to
#: the left, and up to 30 degrees towards head or feet.
PRIMARY_DEG = tuple(range(-90, 91, 15))
SECONDARY_DEG = (-30, -15, 0, 15, 30)
#: A view nearer to one that there is, or to its opposite, is no other.
OTHER_DEG = 15.0
#: The world's origin is a C-arm's isocentre if all central rays pass it as near as this.
ISOCENTRE_MM = 20.0
#: A view is proposed if it leaves at most this fraction of an error of at least this size.
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

    @property
    def reasons(self) -> list[Reason]:
        """The best further view as a reason, if it is worth it."""
        if not self.views or self.views[0].error_mm > WORTH * self.error_mm:
            return []
        return [Reason("further-view", self.sentence, self.views[0].words)]


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
    if any(view.camera.is_slot_scan for view in tied):
        raise InputError(
            "plan: the views are slot scans, expected those of a C-arm, which can be turned to "
            "another angle; take X-rays by a C-arm for another view."
        )
    points = rigid.transform_points(world_from_ct, targets)
    level = anatomy.levels(tied, world_from_ct)[-2]
    finer = replace(level, pool=1)
    objective = anatomy.objective(tied, level, world_from_ct)
    here = tiled_fit(objective, world_from_ct, intrinsics=True)
    gradients = here.split.gradients[:, :6]
    pose_hessian = here.fit.hessian[:6, :6] * here.pixels
    noise = sandwich(pose_hessian, gradients.T @ gradients)
    poses = world_from_ct[None]
    pivots = objective.pivots(poses)
    target_motion = target_jacobians(points, objective.pivot)
    sds: dict[str, Any] = {
        key: max(getattr(view, key) or 0.0 for view in tied) for key in UNCERTAINTY
    }
    pool = round(tied[0].camera.focal_px / objective.views[0].camera.focal_px)

    def hessians_of(comparison: Comparison) -> list[np.ndarray]:
        fit = comparison.evaluate(EvaluationPoint(poses, intrinsics=True)).linearise()
        return [hessian * sum(fit.pixels) for _, hessian in fit.by_view]

    taken = [*zip(tied, objective.views, hessians_of(objective), strict=True)]
    known = sum(hessian[:6, :6] for *_, hessian in taken)
    noise_ratio = np.trace(known @ noise) / np.linalg.matrix_rank(known)

    def error_mm(seen: Sequence[tuple[View, View, np.ndarray]]) -> float:
        views, pooled, hessians = zip(*seen, strict=True)
        unknowns = CameraCorrections(views, shared)
        jacobians = unknowns.jacobians(pooled, pivots, 9, considered=True)
        information = sum(
            jacobian.T @ hessian @ jacobian / noise_ratio
            for jacobian, hessian in zip(jacobians, hessians, strict=True)
        )
        sd = unknowns.sd[np.concatenate([unknowns.free, unknowns.considered])]
        information[6:, 6:] += np.diag(sd**-2.0)
        covariance = sandwich(information, information)[:6, :6]
        return TargetUncertainty(points, target_motion, covariance).mean_mm

    further_views: list[FurtherView] = []
    turner = _Turner(tied, world_from_ct, points.mean(axis=0))

    def predict(primary: int, secondary: int) -> None:
        camera = turner.camera(primary, secondary)
        pooled = camera.pooled(pool)
        shape = pooled.size[::-1]
        blank = XRay(np.zeros(shape, np.float32), np.ones(shape, bool), tied[0].xray.pixel_mm)
        further = View("further", blank, pooled)
        (hessian,) = hessians_of(anatomy.objective([further], finer, world_from_ct))
        if hessian.any():
            view = replace(tied[0], camera=camera, **sds)
            error = error_mm([*taken, (view, further, hessian)])
            further_views.append(FurtherView(float(primary), float(secondary), error))

    run_tasks([partial(predict, *angles) for angles in turner.others()])
    further_views.sort(key=lambda view: (view.error_mm, view.rao_lao_deg, view.cra_cau_deg))
    return Plan(error_mm(taken), further_views, turner.patient_axes)


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
    if assessment.position != "check" or features is None or targets is None:
        return assessment
    at = features.total_uncertainty.at(rigid.transform_points(world_from_ct, targets))
    if at.bound_mm() < LEAST_MM or _settled(assessment, views):
        return assessment
    plan = plan_view(anatomy, views, world_from_ct, targets, shared)
    return replace(assessment, reasons=[*assessment.reasons, *plan.reasons])


def _settled(assessment: Assessment, views: Sequence[View]) -> bool:
    """Return whether something else settles the doubt, or no view can be proposed."""
    codes = map(code_of, assessment.reasons)
    unstated = len(views) == 2 and "principal-point-unstated" in codes
    return (
        unstated or assessment.cause is not None or any(view.camera.is_slot_scan for view in views)
    )


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
        self.views = views
        self.patient_axes = not all(map(_about_isocentre, views))
        self._middle = middle
        self._beams = np.array([view.camera.camera_from_world[2, :3] for view in views])
        self._axes = world_from_ct[:3, :3] if self.patient_axes else np.eye(3)

    def others(self) -> list[tuple[int, int]]:
        """Return the angles of views that there are not."""
        limit = np.cos(np.radians(OTHER_DEG - 1e-6))
        every = [(primary, secondary) for primary in PRIMARY_DEG for secondary in SECONDARY_DEG]
        return [each for each in every if np.abs(self._beams @ self._beam(*each)).max() < limit]

    def camera(self, primary_deg: float, secondary_deg: float) -> Camera:
        """Return the camera at these angles."""
        first = self.views[0]
        if not self.patient_axes and first.c_arm:
            turned = replace(first.c_arm, rao_lao_deg=primary_deg, cra_cau_deg=secondary_deg)
            return turned.camera()
        now = self._beams[0]
        then = self._beam(primary_deg, secondary_deg)
        axis = np.cross(now, then)
        sine = np.linalg.norm(axis)
        turn = rigid.exp_so3(axis / sine * np.arctan2(sine, now @ then))
        moved = rigid.about(self._middle, rigid.from_rotation_translation(turn.T, np.zeros(3)))
        there = first.camera.camera_from_world @ moved
        return replace(first.camera, camera_from_world=there)

    def _beam(self, primary_deg: float, secondary_deg: float) -> np.ndarray:
        """Return the direction (3,) in which the source sees, world."""
        return self._axes @ rotation(primary_deg, secondary_deg)[:, 2]


def _about_isocentre(view: View) -> bool:
    arm = view.c_arm
    return arm is not None and bool(np.abs(arm.isocentre_offset_mm).max() < ISOCENTRE_MM)


def _lower(share: float) -> str:
    """Return what happens to an error of which this share is left."""
    if share < 0.4:
        return "more than halve"
    return "halve" if share < 0.6 else "lower"
