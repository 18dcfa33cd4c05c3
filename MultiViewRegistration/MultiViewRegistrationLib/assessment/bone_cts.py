"""The verdict on bones with a CT each, which were registered alone and then together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from ..geometry import rigid
from ..reasons import BoneVerdict, Reason
from ..registration.bones import SHOWN, BonesRegistration
from ..registration.pipeline import AlternativeSolution
from .bone_features import BoneFeatures, MaskEdge, bone_features
from .bones import RegisteredBone, RegisteredBones
from .joint_motion import BonePose, joint_pose, principal_axes
from .prediction import WRONG_MM
from .verdict import Assessment
from .verdict_reasons import ambiguity

#: What a CT of its own shows is the bone.
NO_EDGE = MaskEdge(0.0, 0.0)
#: Two bones of which more than this share of one lies within the other are not both right.
MAX_SHARED = 0.05


@dataclass(frozen=True, eq=False)
class BoneAlone:
    """A bone registered by itself, and how far that pose can be trusted.

    Attributes
    ----------
    world_from_ct
        (4, 4).
    alternative
        The next different answer; None where there is no such, or it was not looked for.
    """

    world_from_ct: np.ndarray
    assessment: Assessment
    alternative: AlternativeSolution | None = None


def assess_bone_cts(
    found: BonesRegistration, alone: Sequence[BoneAlone], uids: Sequence[str]
) -> RegisteredBones:
    """Judge each bone, none better than it was judged alone.

    `uids`: the FrameOfReferenceUIDs of their CTs.
    """
    shared = _shared(found)
    bones: list[RegisteredBone] = []
    for n, (features, single) in enumerate(
        zip(bone_features(found, [NO_EDGE] * len(alone)), alone, strict=True)
    ):
        bone = found.bones[n]
        pose = found.poses[n]
        wrong = _wrong(bone.name, bone.apart(pose, single.world_from_ct), shared.get(n, ()))
        reasons = [*wrong, *single.assessment.reasons, *_doubts(bone.name, features, single)]
        prediction = single.assessment.prediction
        verdict: BoneVerdict = "check"
        if found.fit.shown[n].max() < SHOWN:
            sentence = f"No X-ray shows enough of {bone.name} to say where it is."
            verdict = "not shown"
            prediction = None
            reasons = [Reason("not-shown", sentence)]
        elif wrong or single.assessment.verdict == "reject":
            verdict = "reject"
        bones.append(
            RegisteredBone(
                bone.name,
                pose,
                verdict,
                reasons,
                prediction,
                tuple(float(each) for each in found.fit.similarity[n]),
                None,
                0.0,
                features,
                bone,
                ct_uid=uids[n],
            )
        )
    return RegisteredBones(bones, relative_poses=_relative_poses(found))


def with_bone_cts(assessment: Assessment, verdicts: Mapping[str, str]) -> Assessment:
    """Return the assessment of the first of bones that have a CT each.

    Never better than the worst of them; without one that no X-ray shows at best "check".

    Parameters
    ----------
    verdicts
        Of all, by name, the first one first.
    """
    first = next(iter(verdicts))
    own = Reason("pose-of-one-bone", f"This is the pose of {first}: use each bone's own.")
    rejected = [name for name, verdict in verdicts.items() if verdict == "reject"]
    unseen = [name for name, verdict in verdicts.items() if verdict == "not shown"]
    verdict = assessment.verdict
    why = []
    if rejected:
        sentence = f"{', '.join(rejected)}: rejected, see the reasons of each bone."
        why.append(Reason("bone-rejected", sentence))
    if unseen:
        why.append(Reason("not-shown", f"No X-ray shows {', '.join(unseen)}."))
    if rejected or first in unseen:
        verdict = "reject"
    elif unseen and verdict == "accept":
        verdict = "check"
    return replace(assessment, verdict=verdict, reasons=[*why, *assessment.reasons, own])


def _relative_poses(found: BonesRegistration) -> list[BonePose]:
    axes = [principal_axes(bone.surface) for bone in found.bones]
    first, *others = zip(found.bones, found.poses, axes, strict=True)
    return [
        BonePose(bone.name, first[0].name, joint_pose(first[1], pose, first[2], own))
        for bone, pose, own in others
    ]


def _wrong(name: str, apart_mm: float, overlapped: Sequence[str]) -> list[Reason]:
    """Return why a bone is rejected that ends so far from where it does alone, and overlaps these."""
    reasons = []
    if apart_mm > WRONG_MM:
        sentence = (
            f"Together with the others {name} ends {apart_mm:.1f} mm from where it does alone: one "
            "of the two is wrong."
        )
        reasons.append(Reason("together-elsewhere", sentence))
    return reasons + [
        Reason("bones-overlap", f"{name} overlaps {other}: one of the two is wrong.")
        for other in overlapped
    ]


def _doubts(name: str, features: BoneFeatures, single: BoneAlone) -> list[Reason]:
    reasons = ambiguity(single.alternative)
    if features.split_half_mm > WRONG_MM:
        reasons.append(
            Reason(
                "halves-disagree",
                f"Halves of the images of {name} disagree by {features.split_half_mm:.1f} mm.",
            )
        )
    return reasons


def _shared(found: BonesRegistration) -> dict[int, list[str]]:
    """Return the names of the bones that each bone overlaps, by its number."""
    shared: dict[int, list[str]] = {}
    for a, b in permutations(range(len(found.bones)), 2):
        points = rigid.transform_points(
            rigid.inverse(found.poses[b]) @ found.poses[a], found.bones[a].surface
        )
        if found.bones[b].contains(points).mean() > MAX_SHARED:
            for one, other in ((a, b), (b, a)):
                names = shared.setdefault(one, [])
                names += [found.bones[other].name] * (found.bones[other].name not in names)
    return shared
