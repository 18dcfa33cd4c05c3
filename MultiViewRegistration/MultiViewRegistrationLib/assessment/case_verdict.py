"""The verdict of a case is made of those of its bodies: of how they lie to each other, of a whole CT, and of the bone that a mask holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy

from ..errors import DOUBT, UNUSABLE, BoneVerdict, Reason, T, Verdict, doubted
from ..geometry import rigid
from ..imaging.body import Structures
from ..imaging.xray import View
from . import bone_prediction, bone_verdict, verdict_reasons
from .bodies import BodyResult, Together
from .joint_motion import NeighbourMotion
from .metrics import Error
from .parts import ADVICE, PART_MM
from .prediction import WRONG_MM, calibrated
from .uncertainty import bounds
from .verdict import Assessment
from .verdict_reasons import ALIKE, OF_XRAYS, numbered, risk_reasons


def related(judged: Together, structures: Structures) -> Together:
    """Return bodies, each of which was judged, with their motions judged by these, and in doubt where CT contradicts a name."""
    bodies = judged.bodies
    for names, sentence in structures.contradictions:
        reason = Reason("name-contradicted", sentence)
        bodies = [doubted(body, [reason] * (body.name in names)) for body in bodies]
    motions = [_judged_motion(motion, bodies) for motion in judged.motions]
    told = []
    for body in bodies:
        own = [motion for motion in motions if body.name in (motion.name, motion.against)]
        told.append(_with_motions(body, own))
    return replace(judged, bodies=told, motions=motions)


def _judged_motion(motion: NeighbourMotion, bodies: Sequence[BodyResult]) -> NeighbourMotion:
    """Return a motion with its verdict: an accept needs both bones to appear where they are, and small errors."""
    pair = [body for body in bodies if body.name in (motion.name, motion.against)]
    if any(body.overlay in UNUSABLE for body in pair):
        return replace(motion, verdict="reject")
    right = all(body.overlay == "accept" for body in pair)
    return replace(motion, verdict="accept" if right and motion.precise else "check")


def _with_motions(judged: T, motions: Sequence[NeighbourMotion]) -> T:
    """Return a body, or an assessment, with the worst verdict of motions, and the largest error where all are known."""
    worst = max((motion.verdict for motion in motions), key=DOUBT.index, default=None)
    errors = [motion.error_mm for motion in motions]
    largest = Error(*map(max, zip(*errors, strict=True))) if errors and all(errors) else None
    record: Any = judged
    return replace(record, relative=worst, motion=largest)


def with_together(assessment: Assessment, found: Together, first: str = "") -> Assessment:
    """Return the assessment of a body that was registered by itself with that of what was registered together.

    Of a whole CT it is never "accept" where a bone lies elsewhere, is not found or not shown, or
    has the name of another, nor where an implant beside it is not found. Of the first of bones that
    have a CT each it is never better than the worst of them, and without one that no X-ray shows at
    best "check".

    Parameters
    ----------
    first
        The name of the one whose pose it is; "" of a CT in one piece.
    """
    own = found.named.get(first)
    if own:
        return _of_one(assessment, found, own)
    held = replace(found, bodies=[body for body in found.bodies if body.moved])
    beside = {body.name: body for body in found.bodies if not body.moved}
    judged = _of_ct(assessment, held) if held.bodies else assessment
    return doubted(judged, not_found(beside))


def not_found(beside: Mapping[str, Any]) -> list[Reason]:
    """Return why a CT is to be checked beside which these, each with a verdict, were registered."""
    names = ", ".join(name for name, each in beside.items() if each.verdict in UNUSABLE)
    sentence = f"{names}\n: not found, see its reasons."
    return [Reason("bone-rejected", sentence)] if names else []


def _of_one(assessment: Assessment, found: Together, own: BodyResult) -> Assessment:
    lost = found.names_of("reject")
    unseen = found.names_of("not shown")
    reasons = []
    if lost:
        sentence = f"{lost}\n: rejected, see the reasons of each bone."
        reasons.append(Reason("bone-rejected", sentence))
    if unseen:
        reasons.append(Reason("not-shown", f"No X-ray shows {unseen}."))
    of_one = Reason("pose-of-one-bone", f"This is the pose of {own.name}\n: use each bone's own.")
    judged = doubted(replace(assessment, reasons=[*assessment.reasons, of_one]), reasons)
    if own.hidden and own.hidden.free:
        axis = own.world_from_ct[:3, :3] @ own.hidden.free[0]
        judged = replace(judged, least_certain_rotation=(180.0, axis))
    useless = lost or own.verdict == "not shown"
    return replace(judged, position="reject", overlay="reject") if useless else judged


def _of_ct(assessment: Assessment, found: Together) -> Assessment:
    lost = found.names_of("reject")
    unseen = found.names_of("not shown")
    followed = [
        Reason(each.code, each.removesuffix(ADVICE), each.headline) for each in assessment.reasons
    ]
    assessment = replace(assessment, reasons=followed)
    displaced = found.displaced
    every = [reason for body in found.bodies for reason in body.reasons]
    reasons = [reason for reason in dict.fromkeys(every) if reason.code == "name-contradicted"]
    if not (displaced or lost or unseen or reasons):
        tested = tuple(body.name for body in found.bodies)
        return _with_motions(replace(assessment, body=assessment, tested=tested), found.motions)
    prediction = assessment.prediction
    besides = assessment.reasons
    if displaced:
        more = len(displaced) - 1
        others = f", {more} more by over {WRONG_MM:g} mm" if more else ""
        right = len(found.of("accept"))
        of_each = f"{right} of {len(found.bodies)} bones are accepted, each at its own pose; "
        sentence = (
            f"{of_each if right else ''}{displaced[0].name} lies {displaced[0].displaced_mm:.1f} mm "
            f"from where the CT in one piece has it{others}\n: use each bone's own pose."
        )
        reasons.append(Reason("bone-displaced", sentence))
    if lost:
        sentence = f"{lost} may lie elsewhere than this pose has it."
        reasons.append(Reason("bone-lost", sentence))
    if unseen:
        sentence = (
            f"No X-ray shows {unseen}\n: whether this pose holds there is unknown. Leave out "
            "what no X-ray shows."
        )
        reasons.append(Reason("not-shown", sentence))
    if prediction is not None and displaced:
        mm = [body.displaced_mm for body in found.usable]
        prediction = replace(
            prediction,
            mean_mm=max(prediction.mean_mm, float(np.mean(mm))),
            typical_mm=max(prediction.typical_mm, float(np.mean(mm))),
            upper95_mm=max(prediction.upper95_mm, max(mm)),
            failure_probability=max(prediction.failure_probability, len(displaced) / len(mm)),
            familiar=True,  # it is known why the X-rays looked unfamiliar
        )
        reasons += risk_reasons(prediction, calibrated())
        besides = [
            reason
            for reason in besides
            if not (
                verdict_reasons.is_about_risk(reason)
                or reason.code == verdict_reasons.THIRD_VIEW_MISSING.code
            )
        ]
    judged = replace(assessment, prediction=prediction, reasons=besides, body=assessment)
    return _with_motions(doubted(judged, reasons), found.motions)


def _of_body(verdict: BoneVerdict | None) -> Verdict:
    return "reject" if verdict is None or verdict == "not shown" else verdict


def of_bone(
    whole: Assessment, bone: BodyResult, views: Sequence[View], targets: np.ndarray | None
) -> Assessment:
    """Return the assessment of a bone of a CT as that of a body, where the rest is only its background.

    Without an error, as of a pose that was set, what it says of the X-rays is the whole CT's.

    Parameters
    ----------
    whole
        Of the whole CT, whatever its bones make of it.
    views
        With corrected cameras.
    targets
        (N, 3) CT mm, to which errors belong; by default its surface.
    """
    assert bone.bone and bone.moved and bone.features
    whole = whole.body or whole
    surface = bone.bone.surface
    chosen = surface if targets is None else targets
    position, overlay = map(_of_body, (bone.position, bone.overlay))
    cause = whole.cause if whole.cause and not whole.cause.known.untested else None
    doubts = []
    reasons = [reason for reason in bone.reasons if reason != bone_verdict.OF_WHOLE]
    reasons += [reason for reason in whole.reasons if reason.code in (*OF_XRAYS, ALIKE.code)]
    apart_mm, _ = scipy.spatial.cKDTree(surface).query(chosen)
    untested = apart_mm > PART_MM
    if untested.any():
        sentence = f"No bone was compared within {PART_MM:g} mm of {numbered(untested)}."
        doubts.append(Reason("targets-not-tested", sentence))
    known = bone.uncertainty
    appearance = bone.appearance
    found: dict[str, Any] = {"prediction": None}
    if known and bone.lies and appearance and whole.features and whole.prediction:
        there = known.at(rigid.transform_points(bone.world_from_ct, surface))
        at = known.at(rigid.transform_points(bone.world_from_ct, chosen))
        farther = at.bound_mm() / there.bound_mm()
        typical_mm, upper95_mm = (farther * np.array(bone.lies)).tolist()
        shown_mm = (max(farther, 1.0) * np.array(appearance)).tolist()
        appearance = Error(*shown_mm)
        if shown_mm[1] > WRONG_MM and overlay == "accept":
            overlay = "check"
        if upper95_mm > WRONG_MM and position == "accept":
            position = "check"
            sentence = f"The error at the targets may reach {upper95_mm:.1f} mm."
            reasons.append(Reason("error-bound", sentence))
        found |= bounds(known, at, upper95_mm / at.bound_mm(), views)
        found["prediction"] = replace(
            bone_prediction.fitted().predict(bone.features),
            mean_mm=typical_mm,
            typical_mm=typical_mm,
            upper95_mm=upper95_mm,
            camera_failure_probability=whole.prediction.camera_failure_probability,
        )
        found["features"] = replace(
            whole.features,
            uncertainty=known,
            camera_uncertainty=None,
            noise_mm=bone.features.noise_mm,
        )
    judged = replace(
        whole,
        position=position,
        overlay=overlay,
        reasons=reasons,
        appearance=appearance,
        targets=chosen,
        asked=None,
        cause=cause,
        elsewhere=np.empty((0, 3)),
        **found,
    )
    judged = doubted(judged, doubts)
    if judged.position == "accept":
        return judged
    mm, degrees, _ = bone.moved
    sentence = (
        f"It lies {mm:.1f} mm and {degrees:.1f} degrees from its place in the rest of the CT."
    )
    return replace(judged, reasons=[*judged.reasons, Reason("rest-displaced", sentence)])
