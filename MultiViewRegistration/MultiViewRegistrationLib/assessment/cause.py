"""The likely cause of a poor fit: what it says, and whether the evidence for it is enough."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..geometry import rigid
from ..reasons import Reason
from ..registration.optimizer import Descent

#: A cause holds if the evidence grows by this factor and the least similar view has this local NCC
#: at the second resolution. Chosen on cases with one fault each, see docs/validation.md.
MIN_EVIDENCE_GAIN = 1.2
MIN_NCC = 0.7
#: X-rays that never look so similar, as those of a linear accelerator, resemble the CT where so
#: large a share of each one's tiles is in place (`places`): 0.6 to 0.8 at a right pose, up to 0.25
#: at a wrong one.
IN_PLACE = 0.5
#: Cameras and the CT's scale differ by little from what was given, and need less: without a fault
#: the evidence grew by at most 1.014.
SLIGHTLY = 1.05
SLIGHT = ("distance", "principal point", "motion", "ct scale", "slice spacing")
#: Of these there is never much evidence, but they tell the shift to 0.3 mm in two of three cases,
#: as clear causes do.
OF_SIZE = ("ct scale", "slice spacing")
#: Of these one view is at fault: how far the pose moves where its place is free, at the finest
#: resolution, tells best how far off it is.
OF_ONE_VIEW = ("motion", "principal point")
#: Another level has at least this share of the evidence of the pose that was found.
MIN_LEVEL_EVIDENCE = 0.85


def code_of(cause: str) -> str:
    """Return the code of a reason that names a `Cause.cause`."""
    return f"cause-{cause.replace(' ', '-')}"


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

    @classmethod
    def of_run(
        cls, cause: str, views: tuple[str, ...], sentence: str, run: Descent, evidence: float
    ) -> Cause:
        """Return the cause under which a registration ended so, of a case that had this evidence without."""
        fit = run.fit
        return cls(
            cause, views, sentence, evidence_gain(run, evidence), fit.similarity, run.world_from_ct
        )

    def target_shift_mm(self, pose: np.ndarray, targets: np.ndarray) -> float:
        """Return how far the targets (N, 3), CT mm, of the CT at a pose (4, 4) lie from where the corrected case has them, on average."""
        corrected = rigid.transform_points(self.world_from_ct @ self.corrected_from_ct, targets)
        by_size = abs(self.size_share) * np.linalg.norm(targets - targets.mean(axis=0), axis=-1)
        return float(
            max(
                np.linalg.norm(corrected - rigid.transform_points(pose, targets), axis=-1).mean(),
                by_size.mean(),
            )
        )

    @property
    def reason(self) -> Reason:
        """The sentence, with how far correcting the cause moves the CT."""
        code = code_of(self.cause)
        if self.cause in ("level", "part", "short") or not self.moved_mm:
            return Reason(code, self.sentence)
        mm = f"{self.moved_mm:.{0 if self.moved_mm >= 10 else 1}f}"
        return Reason(code, f"{self.sentence} Correcting this moves the CT by {mm} mm.")

    @property
    def holds(self) -> bool:
        """Whether it explains the poor fit. A CT that is too short explains it without a test."""
        if self.cause == "short":
            return True
        return (
            self.cause == "level"
            and self._fits(MIN_LEVEL_EVIDENCE)
            or self._fits(SLIGHTLY if self.cause in SLIGHT else MIN_EVIDENCE_GAIN)
        )

    @property
    def clear(self) -> bool:
        """Whether the evidence for it leaves no doubt."""
        return self._fits(MIN_EVIDENCE_GAIN)

    @property
    def precise(self) -> bool:
        """Whether moved_mm is as good as that of a clear cause."""
        return self.clear or self.cause in OF_SIZE

    @property
    def predicts(self) -> bool:
        """Whether the motion that it explains is the error of the pose.

        Of a slight motion it does not.
        """
        slight = self.holds and self.cause in SLIGHT and self.cause != "motion"
        return (self.clear or slight) and not self.by_disagreement

    def _fits(self, enough: float) -> bool:
        alike = min(self.similarity) >= MIN_NCC or min(self.in_place, default=0.0) >= IN_PLACE
        return self.gain >= enough and alike

    def to_json(self) -> dict:
        """Return `diagnosis` of a result.json."""
        return {
            "cause": self.cause,
            "code": self.reason.code,
            "views": list(self.views),
            "evidence_gain": self.gain,
            "clear": self.clear,
            "similarity": list(self.similarity),
            "world_from_ct": self.world_from_ct.tolist(),
            "moved_mm": self.moved_mm,
        }
