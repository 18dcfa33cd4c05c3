"""Bodies that were registered: the pose and the verdict of each, and how they lie to each other, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import BoneVerdict, Reason, Use, with_codes
from ..geometry import rigid
from ..known import without_none
from .metrics import Error, Judged, PredictedError
from .prediction import WRONG_MM
from .verdict import Assessment

if TYPE_CHECKING:  # the record of a whole CT needs nothing that registers bones
    from ..imaging.body import Body
    from ..registration.bone import Bone
    from ..registration.optimizer import AlternativeSolution
    from ..registration.prepared_ct import PreparedCT
    from .bone_prediction import BoneFeatures
    from .bone_verdict import HiddenTurns
    from .error_by_cause import PoseError
    from .joint_motion import BonePose, NeighbourMotion
    from .uncertainty import PoseUncertainty

UNJUDGED = Assessment("check", [], in_doubt=False, cameras_in_doubt=False)


class Moved(NamedTuple):
    """A motion: of the centre, mm, and about `axis` (3,), a unit vector in CT LPS, in degrees."""

    mm: float
    degrees: float
    axis: np.ndarray

    @classmethod
    def of(cls, bone: Bone, pose: np.ndarray, world_from_ct: np.ndarray) -> Moved:
        """Return how a bone has moved against the rest of its CT, which lies at `world_from_ct` (4, 4)."""
        mm, degrees = rigid.pose_difference(pose, world_from_ct, bone.centroid)
        turn = rigid.log_so3((rigid.inverse(world_from_ct) @ pose)[:3, :3])
        return cls(mm, degrees, rigid.unit(turn) if turn.any() else np.eye(3)[2])

    def to_json(self) -> dict:
        """Return `moved` of a result.json."""
        return {"mm": self.mm, "deg": self.degrees, "axis": self.axis}


@dataclass(frozen=True, eq=False)
class BodyResult(Judged):
    """The pose of a body, and how far that can be trusted.

    Attributes
    ----------
    world_from_ct
        (4, 4).
    position, reasons
        Verdict on the 3D position of this body, and its reasons; None without an assessment.
    predicted_tre_mm
        None where it is not known: no view shows it, or its pose was set.
    similarity
        Local NCC by the names of the views that show it.
    moved
        Against the rest of its CT, of a bone of one.
    displaced_mm
        How far its surface lies from where the pose of the whole CT has it, root mean square.
    ct_uid
        FrameOfReferenceUID, of a bone with a CT of its own; else "".
    mtre_mm
        Against the truth, of a bone where the case has it.
    features, bone
        Of one that was registered together with others.
    overlay, relative
        The verdicts of other uses; None where they do not apply.
    appearance, motion, lies
        Expected errors of the overlay, relative to neighbours, and of the 3D position; None if
        unknown.
    hidden
        How X-rays do not show an implant turned; None of other bodies.
    uncertainty
        What noise and cameras explain of its 3D position, of a bone of a CT.
    pose_error
        The error of its pose relative to the X-rays; None where that is not known.
    checked
        Whether the user confirmed its edges in every view that shows it; for a "check" only.
    """

    name: str
    world_from_ct: np.ndarray
    position: BoneVerdict | None
    reasons: list[Reason]
    predicted_tre_mm: PredictedError | None = None
    similarity: dict[str, float] = field(default_factory=dict)
    moved: Moved | None = None
    displaced_mm: float = 0.0
    ct_uid: str = ""
    mtre_mm: float | None = None
    features: BoneFeatures | None = field(default=None, repr=False)
    bone: Bone | None = field(default=None, repr=False)
    overlay: BoneVerdict | None = None
    relative: BoneVerdict | None = None
    appearance: Error | None = None
    motion: Error | None = None
    lies: Error | None = None
    hidden: HiddenTurns | None = None
    uncertainty: PoseUncertainty | None = field(default=None, repr=False)
    pose_error: PoseError | None = field(default=None, repr=False)
    checked: bool = False

    @property
    def errors(self) -> dict[Use, Error | None]:
        """Expected error for each use."""
        return {"overlay": self.appearance, "relative": self.motion, "position": self.lies}

    def to_json(self) -> dict[str, Any]:
        """Return an entry of `bodies` of a result.json."""
        content: dict[str, Any] = {
            "world_from_ct": self.world_from_ct,
            "verdict": self.verdict,
            **with_codes(self.reasons),
            "predicted_tre_mm": self.predicted_tre_mm,
            "similarity": self.similarity,
            "uses": self.uses,
        }
        optional = {
            "moved": self.moved and self.moved.to_json(),
            "ct_uid": self.ct_uid or None,
            "mtre_mm": self.mtre_mm,
            "checked": self.checked or None,
        }
        return content | without_none(optional)


@dataclass(frozen=True, eq=False)
class Together:
    """Bodies registered together, and how they lie to each other.

    Attributes
    ----------
    motions
        Of neighbours in one CT against each other.
    relative_poses
        Of bones with a CT each, against the first, or of implants, against a bone of the CT.
    whole
        The assessment of the first body by itself, with the cause of a poor fit.
    """

    bodies: list[BodyResult] = field(default_factory=list)
    motions: list[NeighbourMotion] = field(default_factory=list)
    relative_poses: list[BonePose] = field(default_factory=list)
    whole: Assessment = UNJUDGED

    @property
    def named(self) -> dict[str, BodyResult]:
        """The bodies by name."""
        return {body.name: body for body in self.bodies}

    def of(self, *verdicts: BoneVerdict) -> list[BodyResult]:
        """Return the bodies with one of these verdicts."""
        return [body for body in self.bodies if body.verdict in verdicts]

    def names_of(self, verdict: BoneVerdict) -> str:
        """Return the names of the bodies with this verdict, for a sentence."""
        return ", ".join(body.name for body in self.of(verdict))

    @property
    def usable(self) -> list[BodyResult]:
        """The bodies that are where the X-rays show them."""
        return self.of("accept", "check")

    @property
    def displaced(self) -> list[BodyResult]:
        """The usable ones that lie elsewhere than the pose of the whole CT has them, the farthest first."""
        found = [body for body in self.usable if body.displaced_mm > WRONG_MM]
        return sorted(found, key=lambda body: -body.displaced_mm)


@dataclass(frozen=True, eq=False)
class Alone:
    """A body registered by itself, and how far that pose can be trusted.

    Attributes
    ----------
    world_from_ct
        (4, 4).
    alternative
        The next different answer; None where there is no such, or it was not looked for.
    explain
        Returns the assessment with the cause of a poor fit and the further view that would help,
        once its bones are judged: of a report of progress, and of `CauseSearch.bones_found`.
    """

    body: Body
    anatomy: PreparedCT
    world_from_ct: np.ndarray
    assessment: Assessment = UNJUDGED
    alternative: AlternativeSolution | None = None
    explain: Callable[..., Assessment] | None = None
