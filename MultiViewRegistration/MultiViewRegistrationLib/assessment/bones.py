"""Bones that were registered together.

The pose and the verdict of each, and how it lies to its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..imaging.bone_names import vertebra
from ..imaging.structures import Structures
from ..imaging.xray import View
from ..reasons import UNUSABLE, BoneVerdict, Reason
from ..registration.bones import (
    SHOWN,
    Bone,
    BoneLevel,
    BonesRegistration,
    bones_of,
    register_bones,
)
from ..registration.ends import ends_apart_mm
from ..registration.found_again import found_again_mm
from ..registration.levels import OtherLevel, other_levels
from ..registration.pipeline import Progress, Refinement, pose_difference
from ..registration.prepared_ct import PreparedCT
from .bone_features import BoneFeatures, MaskEdge, bone_features, mask_edges
from .bone_prediction import BonePrediction
from .bone_verdict import judge
from .joint_motion import BonePose
from .metrics import PredictedError
from .neighbours import NeighbourMotion, motions_of
from .prediction import WRONG_MM, Prediction, calibrated
from .verdict import Assessment
from .verdict_reasons import THIRD_VIEW_MISSING, is_about_risk, risk_reasons

SET = Reason(
    "pose-set", "Its pose was set, not registered: the risk was not measured for such poses."
)
#: Ends of the masks of 78 right bones fitted best up to 0.78 mm apart, on chest, torso and pelvis.
MOST_ENDS_APART_MM = 0.8


class Moved(NamedTuple):
    """A motion: of the centre, mm, and about `axis` (3,), a unit vector in CT LPS, in degrees."""

    mm: float
    degrees: float
    axis: np.ndarray

    def to_json(self) -> dict:
        """Return `moved` of a result.json."""
        return {"mm": self.mm, "deg": self.degrees, "axis": self.axis.tolist()}


@dataclass(frozen=True, eq=False)
class RegisteredBone:
    """A bone with a pose of its own, and how far that can be trusted.

    Attributes
    ----------
    world_from_ct
        (4, 4).
    verdict
        One of `BoneVerdict`.
    reasons
        None for an accept.
    prediction
        None where no view shows it; of a bone with a CT of its own that of its registration alone.
    similarity
        Local NCC in each view, NaN where one does not show it.
    moved
        Against the rest of the CT; None of a bone with a CT of its own.
    displaced_mm
        How far its surface lies from where the pose of the whole CT has it, root mean square.
    registered
        Whether the pose was found by a registration; False of one that was set.
    ct_uid
        FrameOfReferenceUID of a CT of its own; "" of a bone in the CT of others.
    """

    name: str
    world_from_ct: np.ndarray
    verdict: BoneVerdict
    reasons: list[Reason]
    prediction: BonePrediction | Prediction | None
    similarity: tuple[float, ...]
    moved: Moved | None
    displaced_mm: float
    features: BoneFeatures
    bone: Bone = field(repr=False)
    registered: bool = field(default=True, kw_only=True)
    ct_uid: str = field(default="", kw_only=True)

    @property
    def predicted_tre_mm(self) -> PredictedError | None:
        """Mean and 95 % bound; None where no view shows it, and of a pose that was set."""
        if self.prediction is None or not self.registered:
            return None
        return PredictedError(self.prediction.mean_mm, self.prediction.upper95_mm)

    def doubted(self, reason: Reason) -> RegisteredBone:
        """Return the same for a reason to check it at best."""
        verdict = "check" if self.verdict == "accept" else self.verdict
        return replace(self, verdict=verdict, reasons=[reason, *self.reasons])


@dataclass(frozen=True, eq=False)
class RegisteredBones:
    """The structures of a case, registered, and how they lie to each other.

    Attributes
    ----------
    motions
        Of neighbours in one CT against each other.
    relative_poses
        Of bones with a CT each, against the first.
    """

    bones: list[RegisteredBone] = field(default_factory=list)
    motions: list[NeighbourMotion] = field(default_factory=list)
    relative_poses: list[BonePose] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the bones, in their order."""
        return [bone.name for bone in self.bones]

    @property
    def shown(self) -> list[RegisteredBone]:
        """The bones that are where the X-rays show them."""
        return [bone for bone in self.bones if bone.verdict not in UNUSABLE]

    @property
    def lost(self) -> list[RegisteredBone]:
        """The bones that X-rays show, and that are most likely wrong."""
        return [bone for bone in self.bones if bone.verdict == "reject"]

    @property
    def unseen(self) -> list[RegisteredBone]:
        """The bones that no X-ray shows."""
        return [bone for bone in self.bones if bone.verdict == "not shown"]

    @property
    def displaced(self) -> list[RegisteredBone]:
        """The shown bones that lie elsewhere than the pose of the whole CT has them, the farthest first."""
        found = [bone for bone in self.shown if bone.displaced_mm > WRONG_MM]
        return sorted(found, key=lambda bone: -bone.displaced_mm)


def register_structures(
    structures: Structures,
    anatomy: PreparedCT,
    whole: Refinement,
    in_doubt: bool,
    progress: Callable[[Progress], object] = lambda _: None,
    poses: Sequence[np.ndarray] | None = None,
    levels: Sequence[BoneLevel] | None = None,
) -> RegisteredBones:
    """Register the structures of a CT whose whole is registered, and assess them.

    Parameters
    ----------
    whole
        The registration of the whole CT.
    in_doubt
        As of its `verdict.Assessment`.
    progress
        As in `pipeline.refine`.
    poses, levels
        As of `register_bones`. Bones that are left where they are put are at best to be checked.
    """
    masks = bones_of(structures, anatomy)
    where = whole.views, whole.world_from_ct
    found = register_bones(anatomy, masks, *where, progress, poses, levels)
    edges = mask_edges(structures, anatomy.attenuation(0))
    others = other_levels(found, [vertebra(bone.name) for bone in masks])
    again_mm = found_again_mm(found)
    assessed = assess_bones(found, whole.views, edges, others, again_mm, in_doubt)
    if levels is not None and not levels:
        bones = [replace(bone.doubted(SET), registered=False) for bone in assessed.bones]
    else:
        bones = _with_ends(assessed.bones, found)
    for names, sentence in structures.contradictions:
        reason = Reason("name-contradicted", sentence)
        bones = [bone.doubted(reason) if bone.name in names else bone for bone in bones]
    return replace(assessed, bones=bones)


def assess_bones(
    found: BonesRegistration,
    views: Sequence[View],
    edges: Sequence[MaskEdge],
    others: Sequence[OtherLevel] = (),
    again_mm: np.ndarray | None = None,
    in_doubt: bool = False,
) -> RegisteredBones:
    """Assess bones that were registered.

    Parameters
    ----------
    views
        From which they were.
    edges
        Of their masks.
    others
        The bones one level up and down; where these were not looked for, a wrong level may be
        accepted.
    again_mm
        Of `found_again_mm`; None where that was not looked for: it is taken for usual then.
    in_doubt
        As of `register_structures`.
    """
    features = bone_features(found, edges, others, again_mm)
    assessed = [_assessed(n, found, each, views, in_doubt) for n, each in enumerate(features)]
    return RegisteredBones(assessed, motions_of(found))


def _with_ends(bones: Sequence[RegisteredBone], found: BonesRegistration) -> list[RegisteredBone]:
    """Return the bones, of which none is accepted whose ends fit best at different places."""
    checked = list(bones)
    accepted = [n for n, bone in enumerate(bones) if bone.verdict == "accept"]
    for n, mm in ends_apart_mm(found, accepted).items() if accepted else ():
        if mm > MOST_ENDS_APART_MM:
            sentence = (
                f"The mask of {bones[n].name} seems to hold a part of a neighbour: its ends fit "
                f"best {mm:.1f} mm apart. Correct the mask."
            )
            checked[n] = bones[n].doubted(Reason("mask-of-two-bones", sentence))
    return checked


def _assessed(
    n: int, found: BonesRegistration, features: BoneFeatures, views: Sequence[View], in_doubt: bool
) -> RegisteredBone:
    bone = found.bones[n]
    pose = found.poses[n]
    mm, _ = pose_difference(pose, found.world_from_ct, bone.centroid)
    turn = rigid.log_so3((rigid.inverse(found.world_from_ct) @ pose)[:3, :3])
    angle = float(np.linalg.norm(turn))
    moved = Moved(
        mm, float(np.degrees(angle)), turn / angle if angle else np.array([0.0, 0.0, 1.0])
    )
    displaced = bone.apart(pose, found.world_from_ct)
    similarity = tuple(float(each) for each in found.fit.similarity[n])
    showing = [
        view.name for view, share in zip(views, found.fit.shown[n], strict=True) if share >= SHOWN
    ]
    prediction, verdict, reasons = judge(bone.name, features, showing, in_doubt)
    return RegisteredBone(
        bone.name, pose, verdict, reasons, prediction, similarity, moved, displaced, features, bone
    )


def with_bones(assessment: Assessment, bones: RegisteredBones) -> Assessment:
    """Return the assessment of a body with that of its bones.

    It is never "accept" where one lies elsewhere, is not found or not shown, or has the name of
    another.
    """
    displaced = bones.displaced
    lost = bones.lost
    unseen = bones.unseen
    every = [reason for bone in bones.bones for reason in bone.reasons]
    reasons = [reason for reason in dict.fromkeys(every) if reason.code == "name-contradicted"]
    if not (displaced or lost or unseen or reasons):
        tested = tuple(bone.name for bone in bones.bones)
        return replace(assessment, body=assessment, tested=tested)
    verdict = "check" if assessment.verdict == "accept" else assessment.verdict
    prediction = assessment.prediction
    besides = assessment.reasons
    if displaced:
        more = len(displaced) - 1
        others = f", {more} more by over {WRONG_MM:g} mm" if more else ""
        sentence = (
            f"{displaced[0].name} lies {displaced[0].displaced_mm:.1f} mm from where this pose has "
            f"it{others}: use each bone's own pose."
        )
        reasons.append(Reason("bone-displaced", sentence))
    if lost:
        sentence = f"{_names(lost)} may lie elsewhere than this pose has it."
        reasons.append(Reason("bone-lost", sentence))
    if unseen:
        sentence = (
            f"No X-ray shows {_names(unseen)}: whether this pose holds there is unknown. Leave out "
            "what no X-ray shows."
        )
        reasons.append(Reason("not-shown", sentence))
    if prediction is not None and displaced:
        mm = [bone.displaced_mm for bone in bones.shown]
        prediction = replace(
            prediction,
            mean_mm=max(prediction.mean_mm, float(np.mean(mm))),
            typical_mm=max(prediction.typical_mm, float(np.mean(mm))),
            upper95_mm=max(prediction.upper95_mm, max(mm)),
            failure_probability=max(prediction.failure_probability, len(displaced) / len(mm)),
            familiar=True,  # it is known why the X-rays looked unfamiliar
        )
        reasons += risk_reasons(prediction, calibrated(), verdict)
        besides = [
            reason
            for reason in besides
            if not (is_about_risk(reason) or reason.code == THIRD_VIEW_MISSING.code)
        ]
    return replace(
        assessment,
        verdict=verdict,
        prediction=prediction,
        reasons=[*reasons, *besides],
        body=assessment,
    )


def _names(bones: Sequence[RegisteredBone]) -> str:
    return ", ".join(bone.name for bone in bones)
