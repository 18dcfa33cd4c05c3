"""Records of bodies that were registered: the pose and assessment of each, and their poses relative to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..geometry import rigid
from .records import (
    UNASSESSED,
    UNUSABLE,
    WRONG_MM,
    Assessed,
    Assessment,
    Verdict,
)

if TYPE_CHECKING:  # a panel opens before numba is installed
    from ..imaging.body import Body
    from ..registration.bone import Bone
    from ..registration.optimizer import AlternativeSolution
    from ..registration.prepared_ct import PreparedCT
    from .bone_features import BoneFeatures
    from .error_by_cause import PoseError
    from .joint_motion import BonePose, NeighbourMotion
    from .uncertainty import PoseUncertainty


class BoneMotion(NamedTuple):
    """Displacement of a bone from the pose of the whole CT.

    Attributes
    ----------
    mm, degrees
        Displacement of its centre, and the rotation angle.
    axis
        (3,) unit vector of the rotation, CT LPS.
    """

    mm: float
    degrees: float
    axis: np.ndarray

    @classmethod
    def of(cls, bone: Bone, pose: np.ndarray, world_from_ct: np.ndarray) -> BoneMotion:
        """Return the motion of a bone at a pose (4, 4) against the rest of its CT at `world_from_ct` (4, 4)."""
        mm, degrees = rigid.pose_difference(pose, world_from_ct, bone.centroid)
        turn = rigid.log_so3((rigid.inverse(world_from_ct) @ pose)[:3, :3])
        return cls(mm, degrees, rigid.unit(turn) if turn.any() else np.eye(3)[2])


@dataclass(frozen=True, eq=False)
class BodyResult(Assessed):
    """Pose of a body, and its assessment.

    Attributes
    ----------
    world_from_ct
        (4, 4).
    assessment
        None if the body was not assessed, or was moved since.
    similarity
        Local NCC by the names of the views that show it.
    moved
        BoneMotion against the rest of its CT, for a bone of one.
    displaced_mm
        Root mean square displacement of its surface against the pose of the whole CT.
    ct_uid
        FrameOfReferenceUID, for a bone with a separate CT; else "".
    mtre_mm
        Error against the truth; None without one.
    checked
        The user confirmed its edges in every view that shows it; for a "check" only.
    bone
        Its shape.
    free_axes
        (N, 3) CT axes about which the X-rays do not show the rotation of an implant.
    uncertainty
        Uncertainty of its 3D position due to noise and cameras, for a bone of a CT.
    features
        Reliability features, for a body registered together with others.
    pose_error
        Error of its pose relative to the X-rays by cause; None if unknown.
    """

    name: str
    world_from_ct: np.ndarray
    assessment: Assessment | None = None
    similarity: dict[str, float] = field(default_factory=dict)
    moved: BoneMotion | None = None
    displaced_mm: float = 0.0
    ct_uid: str = ""
    mtre_mm: float | None = None
    checked: bool = False
    bone: Bone | None = field(default=None, repr=False)
    free_axes: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)), repr=False)
    uncertainty: PoseUncertainty | None = field(default=None, repr=False)
    features: BoneFeatures | None = field(default=None, repr=False)
    pose_error: PoseError | None = field(default=None, repr=False)

    @property
    def is_usable(self) -> bool:
        """Whether it is accepted or to be checked."""
        return self.verdict is not None and self.verdict not in UNUSABLE


@dataclass(frozen=True, eq=False)
class JointResult:
    """Bodies registered together, and their poses relative to each other.

    Attributes
    ----------
    motions
        Motions of neighbouring bones of one CT against each other.
    relative_poses
        Poses of bones with a separate CT relative to the first, and of implants relative to a bone
        of the CT.
    whole
        Assessment of the first body by itself; None without one.
    """

    bodies: list[BodyResult] = field(default_factory=list)
    motions: list[NeighbourMotion] = field(default_factory=list)
    relative_poses: list[BonePose] = field(default_factory=list)
    whole: Assessment | None = None

    @property
    def by_name(self) -> dict[str, BodyResult]:
        """The bodies by name."""
        return {body.name: body for body in self.bodies}

    def with_verdict(self, verdict: Verdict) -> list[BodyResult]:
        """Return the bodies with this verdict."""
        return [body for body in self.bodies if body.verdict == verdict]

    @property
    def usable(self) -> list[BodyResult]:
        """The bodies that are accepted or to be checked."""
        return [body for body in self.bodies if body.is_usable]

    @property
    def displaced(self) -> list[BodyResult]:
        """The usable bodies that are displaced from the pose of the whole CT, the farthest first."""
        found = [body for body in self.usable if body.displaced_mm > WRONG_MM]
        return sorted(found, key=lambda body: -body.displaced_mm)


@dataclass(frozen=True, eq=False)
class BodyRegistration:
    """A body that was registered by itself, and its assessment.

    Attributes
    ----------
    world_from_ct
        (4, 4).
    alternative
        The next minimum; None if there is none, or it was not searched for.
    explain
        Returns the assessment with the cause of a poor fit and the further view that would help,
        once its bones are assessed; called with a progress report and `bones_are_accepted`.
    """

    body: Body
    anatomy: PreparedCT
    world_from_ct: np.ndarray
    assessment: Assessment = UNASSESSED
    alternative: AlternativeSolution | None = None
    explain: Callable[..., Assessment] | None = None
