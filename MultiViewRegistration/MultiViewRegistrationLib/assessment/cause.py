"""The likely cause of a poor fit: when it holds, and what it makes of the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Reason, Verdict, doubted
from ..geometry import rigid
from ..registration.optimizer import Descent
from .faults import FAULTS, MIN_EVIDENCE_GAIN, MIN_NCC, KnownFault, cause_code
from .metrics import mtre
from .parts import IN_PLACE
from .prediction import calibrated, depth_risk, is_likely_wrong
from .uncertainty import ViewSplit
from .verdict import Assessment, even, fits
from .verdict_reasons import is_about_risk, risk_reasons

if TYPE_CHECKING:
    from .diagnosis import CauseSearch


def evidence_gain(run: Descent, evidence: float) -> float:
    """Return the factor by which a registration has more evidence than this."""
    return run.fit.evidence / max(evidence, 1e-9)


@dataclass(frozen=True, eq=False)
class Cause:
    """The likely cause of a poor fit.

    Attributes
    ----------
    cause
        One of those in result.schema.json.
    views
        Names of the views at fault; none for all.
    sentence
        The cause, and what to check.
    gain
        The factor by which the evidence grows.
    similarity, in_place
        Of each view when corrected, at the second resolution. The latter, the share of its tiles
        that are in place, only of clear faults of images where the former is too small.
    world_from_ct
        (4, 4) pose when corrected, at that resolution.
    moved_mm
        How far correcting the cause moves the targets.
    corrected_from_ct
        (4, 4), CT mm of the CT as given to those of the corrected CT, for which the pose is.
    size_share
        By what share the CT would have to be larger instead: X-rays do not tell its scale from the
        distance to the detector.
    by_disagreement
        moved_mm is `features.disagreement_mm`, which the prediction knows already.
    """

    cause: str
    views: tuple[str, ...]
    sentence: str
    gain: float
    similarity: tuple[float, ...]
    world_from_ct: np.ndarray
    moved_mm: float = 0.0
    corrected_from_ct: np.ndarray = field(default_factory=lambda: np.eye(4))
    size_share: float = 0.0
    by_disagreement: bool = False
    in_place: tuple[float, ...] = ()

    @property
    def known(self) -> KnownFault:
        """What is known beforehand of such a fault."""
        return FAULTS.get(self.cause, KnownFault())

    @classmethod
    def of_run(
        cls, cause: str, views: tuple[str, ...], sentence: str, run: Descent, evidence: float
    ) -> Cause:
        """Return the cause under which a registration ended so, of a case that had this evidence without."""
        return cls(
            cause,
            views,
            sentence,
            evidence_gain(run, evidence),
            run.fit.similarity,
            run.world_from_ct,
        )

    def target_shift_mm(self, pose: np.ndarray, targets: np.ndarray) -> float:
        """Return how far the targets (N, 3), CT mm, of the CT at a pose (4, 4) lie from where the corrected case has them, on average."""
        moved_mm = mtre(self.world_from_ct @ self.corrected_from_ct, pose, targets)
        radii_mm = np.linalg.norm(targets - targets.mean(axis=0), axis=-1)
        return max(moved_mm, float((abs(self.size_share) * radii_mm).mean()))

    @property
    def reason(self) -> Reason:
        """The sentence, with how far correcting the cause moves the CT."""
        code = cause_code(self.cause)
        if not (self.known.moves and self.moved_mm):
            return Reason(code, self.sentence)
        mm = f"{self.moved_mm:.{0 if self.moved_mm >= 10 else 1}f}"
        return Reason(code, f"{self.sentence} Correcting this moves the CT by {mm} mm.")

    @property
    def holds(self) -> bool:
        """Whether it explains the poor fit."""
        return self.known.untested or self._fits(self.known.least_gain)

    @property
    def clear(self) -> bool:
        """Whether the evidence for it leaves no doubt."""
        return self._fits(MIN_EVIDENCE_GAIN)

    @property
    def rejects(self) -> bool:
        """Whether another pose clearly explains the X-rays better, without a changed camera."""
        return self.clear and not (self.known.of_camera or self.known.untested)

    @property
    def predicts(self) -> bool:
        """Whether the motion that it explains is the error of the pose."""
        told = self.clear or self.known.predicts and self.holds
        return told and not self.by_disagreement

    def _fits(self, enough: float) -> bool:
        alike = min(self.similarity) >= MIN_NCC or min(self.in_place, default=0.0) >= IN_PLACE
        return self.gain >= enough and alike

    def to_json(self) -> dict:
        """Return `diagnosis` of a result.json."""
        return {
            "cause": self.cause,
            "code": self.reason.code,
            "views": self.views,
            "evidence_gain": self.gain,
            "clear": self.clear,
            "similarity": self.similarity,
            "world_from_ct": self.world_from_ct,
            "moved_mm": self.moved_mm,
        }


def find_cause(assessment: Assessment, search: CauseSearch) -> Assessment:
    """Search for the likely cause of a poor fit, and return the assessment with it as its first reason.

    Nothing is searched for where it `fits`. With a cause, the predicted error is how far correcting
    it moves the targets, and the verdict is never "accept".
    """
    if fits(assessment, search.anatomy, search.found):
        return assessment
    features = assessment.features
    pose = search.found.world_from_ct
    cause = search.cause(placed=assessment.placed and even(search.found))
    if cause is None:
        return assessment
    if features and features.one_view_disagrees and cause.known.of_one_view:
        cause = replace(cause, moved_mm=features.disagreement_mm, by_disagreement=True)
    elif assessment.targets is not None:
        cause = replace(cause, moved_mm=cause.target_shift_mm(pose, assessment.targets))
    return with_cause(assessment, cause, pose)


def with_cause(assessment: Assessment, cause: Cause, pose: np.ndarray) -> Assessment:
    """Return the assessment with its likely cause.

    The cause does not say along which beam the error lies, so each view's bound is the whole.
    """
    before = assessment.prediction
    features = assessment.features
    turn = assessment.least_certain_rotation
    if before is None or features is None or turn is None or not cause.predicts:
        return replace(doubted(assessment, [cause.reason]), cause=cause, appearance=None)
    model = calibrated()
    views = len(assessment.splits)
    at = features.total_uncertainty.at(rigid.transform_points(pose, assessment.targets))
    prediction = before.moved(cause.moved_mm, precise=cause.clear).no_less_than(
        at.mean_mm, at.bound_mm(), views, depth_risk(at, views)
    )
    contradicted = assessment.contradictions
    likely_wrong = is_likely_wrong(prediction, model)
    rejected = bool(contradicted) or likely_wrong and cause.rejects
    verdict: Verdict = "reject" if rejected else "check"
    inflation = (prediction.known_upper95_mm or at.bound_mm()) / at.bound_mm()
    return replace(
        assessment,
        cause=cause,
        position=verdict,
        likely_wrong=likely_wrong,
        overlay=verdict,
        appearance=None,
        prediction=prediction,
        error_inflation=inflation,
        splits=[
            ViewSplit(split.name, prediction.upper95_mm, prediction.upper95_mm)
            for split in assessment.splits
        ],
        least_certain_rotation=(turn[0] * inflation / assessment.error_inflation, turn[1]),
        reasons=[
            cause.reason,
            *contradicted,
            *risk_reasons(prediction, model),
            *(
                each
                for each in assessment.reasons
                if not (each in contradicted or is_about_risk(each))
            ),
        ],
    )
