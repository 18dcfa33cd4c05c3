"""Measurements of a registered pose, from which the checks follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..geometry import rigid
from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from ..registration.optimizer import Refinement
from ..registration.prepared_ct import PreparedCT
from .displacement import Displacement
from .features import ReliabilityFeatures
from .risk import BodyRiskModel, Risk, model_inputs
from .uncertainty import SDS_95, PoseUncertainty, TargetUncertainty, ViewSplit

if TYPE_CHECKING:
    from .error_by_cause import PoseError


class Correction(NamedTuple):
    """How far the registration corrected one quantity of a camera.

    Attributes
    ----------
    view, quantity, unit
        Name of the view; what was corrected, such as "angles"; its unit.
    amount, sd
        Largest correction along any axis, and the stated standard deviation; 0 for an exact one.
    """

    view: str
    quantity: str
    unit: str
    amount: float
    sd: float

    @property
    def strain(self) -> float:
        """The correction in standard deviations."""
        return self.amount / self.sd if self.sd else 0.0


def camera_corrections(stated: Sequence[View], corrected: Sequence[View]) -> list[Correction]:
    """Return how far the cameras of views were corrected."""
    found = []
    for before, after in zip(stated, corrected, strict=True):
        motion = before.camera.world_from_camera @ after.camera.camera_from_world
        angles_deg = np.degrees(rigid.log_so3(motion[:3, :3]))
        point_px = after.camera.principal_point - before.camera.principal_point
        distance_percent = 100 * (after.camera.focal_px / before.camera.focal_px - 1)
        rows = (
            ("angles", "degrees", angles_deg, before.rotation_sd_deg),
            ("position", "mm", motion[:3, 3], before.translation_sd_mm),
            ("principal point", "px", point_px, before.principal_point_sd_px),
            ("source-to-detector distance", "%", distance_percent, before.distance_sd_percent),
        )
        for quantity, unit, change, sd in rows:
            amount = float(np.abs(change).max())
            found.append(Correction(before.name, quantity, unit, amount, sd or 0.0))
    return found


@dataclass(frozen=True, eq=False)
class AssessmentContext:
    """A registered pose and what was measured of it; the checks are functions of it.

    Attributes
    ----------
    anatomy
        The prepared CT.
    views
        Those of known geometry, with corrected cameras.
    refinement, start
        The registration, and its start (4, 4).
    targets
        (N, 3) CT mm, to which the errors refer.
    target_source
        `metrics.TargetPoints.kind`.
    features
        Reliability features.
    corrections
        Corrections of the cameras.
    model
        Error model of such a body.
    shared
        Unknowns that all views share.
    uncalibrated
        Names of the views of unknown geometry.
    is_masked
        A mask excludes what did not match at an earlier pose.
    is_registered
        The pose is the result of a registration.
    """

    anatomy: PreparedCT
    views: list[View]
    refinement: Refinement
    start: np.ndarray
    targets: np.ndarray
    target_source: str
    features: ReliabilityFeatures
    corrections: list[Correction]
    model: BodyRiskModel
    shared: SharedUnknowns = CALIBRATED
    uncalibrated: tuple[str, ...] = ()
    is_masked: bool = False
    is_registered: bool = True

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) registered pose, world_from_ct."""
        return self.refinement.world_from_ct

    @cached_property
    def world_targets(self) -> np.ndarray:
        """(N, 3) targets, world mm."""
        return rigid.transform_points(self.pose, self.targets)

    @cached_property
    def explained(self) -> TargetUncertainty:
        """Target error that noise and cameras explain."""
        return self.features.total_uncertainty.at(self.world_targets)

    @cached_property
    def camera_error(self) -> TargetUncertainty | None:
        """Target error that the cameras explain; None for exact cameras."""
        cameras = self.features.camera_uncertainty
        return cameras.at(self.world_targets) if cameras else None

    @cached_property
    def inputs(self) -> dict[str, float]:
        """Features by the names that the error model uses."""
        return model_inputs(self.features)

    def risk(self, odds: float = 1.0) -> Risk:
        """Return the risk of the pose; `odds` multiplies the odds of a wrong one."""
        cameras = self.camera_error
        risk = self.model.predict(self.inputs, cameras.distribution if cameras else None, odds)
        if not risk.is_familiar:
            features = self.features
            risk = risk.from_votes(features.vote_risk, self.explained, features.disagreement_mm)
        return risk.at_least(self.explained, len(self.views))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Measurements behind the findings of an assessment.

    Attributes
    ----------
    features, risk
        Reliability features, and the predicted error.
    targets
        (N, 3) CT mm, to which the errors refer.
    inflation
        Ratio of the expected error to that which noise and cameras explain.
    least_certain_rotation
        95 % bound in degrees, and world axis (3,), of the rotation that the views show least.
    splits
        95 % bounds of the target error by view, along its beam and across.
    displacement
        Test for displaced bone; None if it was not made.
    """

    features: ReliabilityFeatures
    risk: Risk
    targets: np.ndarray
    inflation: float
    least_certain_rotation: tuple[float, np.ndarray]
    splits: list[ViewSplit] = field(default_factory=list)
    displacement: Displacement | None = None

    @classmethod
    def from_features(
        cls,
        features: ReliabilityFeatures,
        risk: Risk,
        targets: np.ndarray,
        world_targets: np.ndarray,
        views: Sequence[View],
        uncertainty: PoseUncertainty | None = None,
        displacement: Displacement | None = None,
    ) -> Evidence:
        """Create the evidence of a pose from its features and risk.

        The uncertainty from noise and cameras is scaled to the predicted 95 % error.

        Parameters
        ----------
        targets, world_targets
            (N, 3) targets, CT mm and world mm.
        uncertainty
            Uncertainty of the pose; by default `features.total_uncertainty`.
        """
        uncertainty = uncertainty or features.total_uncertainty
        target_uncertainty = uncertainty.at(world_targets)
        bound_mm = target_uncertainty.bound_mm()
        inflation = (risk.position_error.upper95_mm or bound_mm) / bound_mm
        factor = SDS_95 * inflation
        splits = []
        for view in views:
            depth, in_plane = target_uncertainty.split(view.camera)
            splits.append(ViewSplit(view.name, factor * depth, factor * in_plane))
        sd, axis = uncertainty.least_certain_rotation()
        rotation = float(np.degrees(factor * sd)), axis
        return cls(features, risk, targets, inflation, rotation, splits, displacement)

    @property
    def pose_error(self) -> PoseError:
        """Error of the pose relative to the X-rays, by its causes."""
        from .error_by_cause import PoseError

        from_noise, from_cameras = self.features.image_plane
        return PoseError.of(from_noise + from_cameras, max(1.0, self.inflation))

    def at_targets(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Return the expected error and its 95 % bound, mm, at each target (N, 3) in world mm."""
        found = []
        for point in points:
            error = self.features.total_uncertainty.at(point[None])
            found.append((self.inflation * error.mean_mm, self.inflation * error.bound_mm()))
        return found
