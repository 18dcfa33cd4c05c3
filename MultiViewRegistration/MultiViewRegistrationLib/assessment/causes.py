"""The likely cause of a poor fit, and its effect on an assessment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import rigid
from ..registration.optimizer import Descent
from .checks import risk_findings
from .faults import FAULTS, MIN_EVIDENCE_GAIN, MIN_NCC, KnownFault
from .metrics import mtre
from .records import CAUTION, FAILURE, Assessment, Finding
from .risk import body_risk_model
from .uncertainty import ViewSplit
from .verdict import fits, fits_evenly, is_placed
from .votes import IN_PLACE

if TYPE_CHECKING:
    from .diagnosis import CauseSearch


def evidence_gain(run: Descent, evidence: float) -> float:
    """Return the ratio of the evidence of a registration to that of another one."""
    return run.fit.evidence / max(evidence, 1e-9)


@dataclass(frozen=True, eq=False)
class Cause:
    """The likely cause of a poor fit.

    Attributes
    ----------
    cause
        Key of FAULTS.
    views
        Names of the views at fault; none if all are.
    gain
        Factor by which the evidence grows.
    similarity
        Local NCC of each view when corrected, at the second resolution.
    world_from_ct
        (4, 4) pose when corrected, at that resolution.
    values
        Values that are filled into its message.
    moved_mm
        How far correcting the cause moves the targets.
    corrected_from_ct
        (4, 4), from the stated CT to the corrected CT, mm, for which the pose is.
    size_change
        Fraction by which the CT would have to be larger instead: X-rays do not distinguish its size
        from the source-to-detector distance.
    is_error_known
        The error that it causes is in the risk already (`features.disagreement_mm`).
    in_place
        Fraction of the tiles of each view in place, for clear faults of images whose similarity is
        too small.
    """

    cause: str
    views: tuple[str, ...]
    gain: float
    similarity: tuple[float, ...]
    world_from_ct: np.ndarray
    values: Mapping[str, Any] = field(default_factory=dict)
    moved_mm: float = 0.0
    corrected_from_ct: np.ndarray = field(default_factory=lambda: np.eye(4))
    size_change: float = 0.0
    is_error_known: bool = False
    in_place: tuple[float, ...] = ()

    @property
    def fault(self) -> KnownFault:
        """Properties of such a fault."""
        return FAULTS.get(self.cause, KnownFault())

    @property
    def code(self) -> str:
        """Code of the finding that reports the cause."""
        return f"cause-{self.cause.replace(' ', '-')}"

    @property
    def is_accepted(self) -> bool:
        """Whether the evidence grows enough under this cause, or its fault cannot be tested."""
        return self.fault.is_untested or self._fits(self.fault.min_gain)

    @property
    def is_clear(self) -> bool:
        """Whether the evidence leaves no doubt."""
        return self._fits(MIN_EVIDENCE_GAIN)

    @property
    def rejects(self) -> bool:
        """Whether another pose, with the same cameras, explains the X-rays clearly better."""
        return self.is_clear and not (self.fault.is_of_camera or self.fault.is_untested)

    @property
    def predicts_error(self) -> bool:
        """Whether the motion that it explains is the error of the pose."""
        predicts = self.is_clear or (self.fault.predicts_error and self.is_accepted)
        return predicts and not self.is_error_known

    def _fits(self, min_gain: float) -> bool:
        is_similar = min(self.similarity) >= MIN_NCC or min(self.in_place, default=0.0) >= IN_PLACE
        return self.gain >= min_gain and is_similar

    def target_shift_mm(self, pose: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean displacement, mm, of targets between a pose and the corrected case.

        It is at least the mean displacement due to the change of size.

        Parameters
        ----------
        pose, targets
            (4, 4) world_from_ct; (N, 3) CT mm.
        """
        moved_mm = mtre(self.world_from_ct @ self.corrected_from_ct, pose, targets)
        radii_mm = np.linalg.norm(targets - targets.mean(axis=0), axis=-1)
        return max(moved_mm, float((abs(self.size_change) * radii_mm).mean()))

    def finding(self, *, is_failure: bool = False) -> Finding:
        """Return the finding that reports the cause."""
        values = dict(self.values)
        if self.fault.moves_ct and self.moved_mm:
            values["moved_mm"] = self.moved_mm
        severity = FAILURE if is_failure else CAUTION
        return Finding(self.code, severity, views=self.views, values=values)


def find_cause(assessment: Assessment, search: CauseSearch) -> Assessment:
    """Search for the likely cause of a poor fit, and add it to the assessment as its first finding.

    No cause is searched for if the pose `fits`. With a cause, the expected error is the distance by
    which correcting it moves the targets, and nothing is accepted.
    """
    if fits(assessment, search.anatomy, search.refinement):
        return assessment
    evidence = assessment.evidence
    pose = search.refinement.world_from_ct
    placed = is_placed(assessment) and fits_evenly(search.refinement)
    cause = search.cause(images_are_in_place=placed)
    if cause is None:
        return assessment
    features = evidence and evidence.features
    if features and features.one_view_disagrees and cause.fault.is_of_one_view:
        cause = replace(cause, moved_mm=features.disagreement_mm, is_error_known=True)
    elif evidence:
        cause = replace(cause, moved_mm=cause.target_shift_mm(pose, evidence.targets))
    return with_cause(assessment, cause, pose)


def with_cause(assessment: Assessment, cause: Cause, pose: np.ndarray) -> Assessment:
    """Return the assessment of a pose (4, 4) with its likely cause.

    The cause does not show along which beam the error is, so that each view's bound is the whole.
    """
    evidence = assessment.evidence
    errors = {**assessment.errors, "overlay": None}
    if evidence is None or not cause.predicts_error:
        found = assessment.with_findings([cause.finding()])
        return replace(found, cause=cause, errors=errors)
    model = body_risk_model()
    world_targets = rigid.transform_points(pose, evidence.targets)
    explained = evidence.features.total_uncertainty.at(world_targets)
    risk = evidence.risk.if_moved(cause.moved_mm, is_clear=cause.is_clear)
    risk = risk.at_least(explained, len(evidence.splits))
    inflation = risk.upper95_mm / explained.bound_mm()
    degrees, axis = evidence.least_certain_rotation
    new_evidence = replace(
        evidence,
        risk=risk,
        inflation=inflation,
        splits=[ViewSplit(each.name, risk.upper95_mm, risk.upper95_mm) for each in evidence.splits],
        least_certain_rotation=(degrees * inflation / evidence.inflation, axis),
    )
    is_failure = cause.rejects and model.is_likely_wrong(risk)
    findings = [cause.finding(is_failure=is_failure), *risk_findings(risk, model)]
    kept = assessment.without("most-likely-wrong", "risk", "unfamiliar-images", "error-bound")
    return replace(
        kept.with_findings(findings),
        errors=errors | {"position": risk.position_error},
        risk=risk.failure,
        cause=cause,
        evidence=new_evidence,
    )
