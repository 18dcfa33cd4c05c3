"""Further view that would reduce the uncertainty of a pose most, before it is taken.

Each view v contributes the Gauss-Newton Hessian H_v of its residuals by the pose and by the errors of
its own camera, together x. Noise and differences between CT and X-ray give a gradient with covariance
s H_v; s is measured on the present views, by tiles (`uncertainty`). With the cameras' stated standard
deviations,

    covariance of x = (sum over v of H_v / s + diag(1 / sd^2))^-1.

The H_v of a view that has not been taken yet follows from a DRR at that angle (optimal design of
experiments: Fedorov, Theory of Optimal Experiments, 1972).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError
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
from .records import NOTE, WRONG_MM, Assessment, Finding
from .uncertainty import TargetUncertainty, sandwich, target_jacobians

#: Tested angles in degrees: the detector goes from the patient's right over the front to the left, and
#: up to 30 degrees towards head or feet.
PRIMARY_DEG = tuple(range(-90, 91, 15))
SECONDARY_DEG = (-30, -15, 0, 15, 30)
#: Smallest angle to a present view, or to its opposite.
MIN_ANGLE_DEG = 15.0
#: The world's origin is the isocentre of a C-arm if all central rays pass it at most this far.
ISOCENTRE_MM = 20.0
#: A view is proposed if it leaves at most this fraction of an error of at least MIN_ERROR_MM.
MAX_REMAINING_FRACTION = 0.75
MIN_ERROR_MM = WRONG_MM / 2


@dataclass(frozen=True)
class FurtherView:
    """A view that could be taken.

    Attributes
    ----------
    rao_lao_deg, cra_cau_deg
        Position of the detector, see `CArm`.
    error_mm
        Expected target error with it.
    """

    rao_lao_deg: float
    cra_cau_deg: float
    error_mm: float

    @property
    def angles(self) -> str:
        """The angles, such as "LAO 45\u00b0"."""
        primary = angle(self.rao_lao_deg, "LAO", "RAO") if self.rao_lao_deg else "AP"
        if not self.cra_cau_deg:
            return primary
        return f"{primary}, {angle(self.cra_cau_deg, 'CRA', 'CAU')}"


@dataclass(frozen=True)
class ViewPlan:
    """Predicted errors with one further view each.

    Attributes
    ----------
    error_mm
        Target error that noise and cameras explain with the present views.
    views
        Further views, the best first.
    uses_ct_axes
        Angles are about the axes of the CT, since the views are not all about an isocentre; otherwise
        about those of the C-arm.
    """

    error_mm: float
    views: list[FurtherView]
    uses_ct_axes: bool

    @property
    def findings(self) -> list[Finding]:
        """A note about the best further view, if it is worth it."""
        if not self.views or self.views[0].error_mm > MAX_REMAINING_FRACTION * self.error_mm:
            return []
        best = self.views[0]
        values = {
            "angles": best.angles,
            "axes": "CT" if self.uses_ct_axes else "C-arm",
            "from_mm": self.error_mm,
            "to_mm": best.error_mm,
        }
        return [Finding("further-view", NOTE, values=values)]


def plan_view(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    targets: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> ViewPlan:
    """Find the further views that would reduce the error of a registered pose most.

    Parameters
    ----------
    views
        Views of the registration.
    world_from_ct
        (4, 4) the registered pose.
    targets
        (N, 3) CT mm.
    shared
        Unknowns that all views share, the further one included.

    Raises
    ------
    InputError
        If the views are slot scans, which a C-arm cannot take.
    """
    uncalibrated = uncalibrated_view_indices(views, shared)
    known = [view.presumed for i, view in enumerate(views) if i not in uncalibrated]
    if any(view.camera.is_slot_scan for view in known):
        raise InputError(
            "plan: slot scans cannot be taken at another angle. Use X-rays of a C-arm."
        )
    points = rigid.transform_points(world_from_ct, targets)
    information = _Information(anatomy, known, world_from_ct, points, shared)
    arm = _MovingArm(known, world_from_ct, points.mean(axis=0))
    further_views: list[FurtherView] = []

    def predict(primary: int, secondary: int) -> None:
        error_mm = information.error_with(arm.camera(primary, secondary))
        if error_mm is not None:
            further_views.append(FurtherView(float(primary), float(secondary), error_mm))

    run_tasks([partial(predict, *angles) for angles in arm.other_angles()])
    further_views.sort(key=lambda view: (view.error_mm, view.rao_lao_deg, view.cra_cau_deg))
    return ViewPlan(information.error_mm(), further_views, arm.uses_ct_axes)


class _Information:
    """Information of the present views and of a further one about a pose.

    Parameters
    ----------
    anatomy, views, shared
        Arguments of `plan_view`; `views` are those of known geometry.
    world_from_ct
        (4, 4) registered pose.
    points
        (N, 3) targets, world mm.
    """

    def __init__(
        self,
        anatomy: PreparedCT,
        views: list[View],
        world_from_ct: np.ndarray,
        points: np.ndarray,
        shared: SharedUnknowns,
    ) -> None:
        level = anatomy.levels(views, world_from_ct)[-2]
        objective = anatomy.objective(views, level, world_from_ct)
        here = tiled_fit(objective, world_from_ct, intrinsics=True)
        gradients = here.split.gradients[:, :6]
        pose_hessian = here.fit.hessian[:6, :6] * here.pixels
        noise = sandwich(pose_hessian, gradients.T @ gradients)
        self._anatomy = anatomy
        self._pose = world_from_ct
        self._points = points
        self._shared = shared
        self._level = replace(level, pool=1)
        self._pool = round(views[0].camera.focal_px / objective.views[0].camera.focal_px)
        self._pivots = objective.pivots(world_from_ct[None])
        self._target_motion = target_jacobians(points, objective.pivot)
        self._sds: dict[str, Any] = {
            key: max(getattr(view, key) or 0.0 for view in views) for key in UNCERTAINTY
        }
        hessians = self._hessians(objective)
        self._present = [*zip(views, objective.views, hessians, strict=True)]
        known = sum(hessian[:6, :6] for hessian in hessians)
        self._noise_ratio = np.trace(known @ noise) / np.linalg.matrix_rank(known)

    def _hessians(self, comparison: Comparison) -> list[np.ndarray]:
        fit = comparison.evaluate(EvaluationPoint(self._pose[None], intrinsics=True)).linearise()
        return [hessian * sum(fit.pixels) for _, hessian in fit.by_view]

    def error_with(self, camera: Camera) -> float | None:
        """Return the expected target error with a further view, mm; None if that shows nothing of the CT."""
        first = self._present[0][0]
        pooled = camera.pooled(self._pool)
        shape = pooled.size[::-1]
        blank = XRay(np.zeros(shape, np.float32), np.ones(shape, bool), first.xray.pixel_mm)
        further = View("further", blank, pooled)
        objective = self._anatomy.objective([further], self._level, self._pose)
        (hessian,) = self._hessians(objective)
        if not hessian.any():
            return None
        view = replace(first, camera=camera, **self._sds)
        return self.error_mm((view, further, hessian))

    def error_mm(self, *further: tuple[View, View, np.ndarray]) -> float:
        """Return the expected target error with the present views and further ones, mm."""
        views, pooled, hessians = zip(*self._present, *further, strict=True)
        unknowns = CameraCorrections(views, self._shared)
        jacobians = unknowns.jacobians(pooled, self._pivots, 9, considered=True)
        information = sum(
            jacobian.T @ hessian @ jacobian / self._noise_ratio
            for jacobian, hessian in zip(jacobians, hessians, strict=True)
        )
        sd = unknowns.sd[np.concatenate([unknowns.free, unknowns.considered])]
        information[6:, 6:] += np.diag(sd**-2.0)
        covariance = sandwich(information, information)[:6, :6]
        return TargetUncertainty(self._points, self._target_motion, covariance).mean_mm


def with_further_view(
    assessment: Assessment,
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> Assessment:
    """Propose a further view if the verdict is "check": the one that would reduce the error most.

    No view is proposed if noise and camera uncertainty explain little of the error, if a cause was
    found, or if the user should first state the accuracy of the two cameras. For the parameters, see
    `plan_view`.
    """
    evidence = assessment.evidence
    is_unstated = len(views) == 2 and assessment.has("principal-point-unstated")
    are_slot_scans = any(view.camera.is_slot_scan for view in views)
    if assessment.verdict != "check" or evidence is None or assessment.cause:
        return assessment
    if is_unstated or are_slot_scans:
        return assessment
    targets = rigid.transform_points(world_from_ct, evidence.targets)
    if evidence.features.total_uncertainty.at(targets).bound_mm() < MIN_ERROR_MM:
        return assessment
    plan = plan_view(anatomy, views, world_from_ct, evidence.targets, shared)
    return assessment.with_findings(plan.findings, first=False)


class _MovingArm:
    """A C-arm at other angles, with the first view's distances and detector.

    Parameters
    ----------
    views
        The present views.
    world_from_ct
        (4, 4).
    middle
        (3,) world mm, about which the cameras rotate if the world is not that of a C-arm.
    """

    def __init__(
        self, views: Sequence[View], world_from_ct: np.ndarray, middle: np.ndarray
    ) -> None:
        self.views = views
        self.uses_ct_axes = not all(map(_rotates_about_isocentre, views))
        self._middle = middle
        self._beams = np.array([view.camera.camera_from_world[2, :3] for view in views])
        self._axes = world_from_ct[:3, :3] if self.uses_ct_axes else np.eye(3)

    def other_angles(self) -> list[tuple[int, int]]:
        """Return the angles of views other than the present ones."""
        limit = np.cos(np.radians(MIN_ANGLE_DEG - 1e-6))
        angles = [(primary, secondary) for primary in PRIMARY_DEG for secondary in SECONDARY_DEG]
        return [pair for pair in angles if np.abs(self._beams @ self._beam(*pair)).max() < limit]

    def camera(self, primary_deg: float, secondary_deg: float) -> Camera:
        """Return the camera at these angles."""
        first = self.views[0]
        if not self.uses_ct_axes and first.c_arm:
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
        """Return the direction (3,) of the central ray, world."""
        return self._axes @ rotation(primary_deg, secondary_deg)[:, 2]


def _rotates_about_isocentre(view: View) -> bool:
    arm = view.c_arm
    return arm is not None and bool(np.abs(arm.isocentre_offset_mm).max() < ISOCENTRE_MM)
