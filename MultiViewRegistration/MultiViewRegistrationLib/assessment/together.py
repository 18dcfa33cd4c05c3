"""Bodies are registered together and judged: the pose and the verdict of each, and how they lie to each other.

They are bones of one CT, before the rest of that, and implants, or have a CT each. What has a CT
of its own was registered alone before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import scipy

from ..errors import (
    DOUBT,
    UNUSABLE,
    BoneVerdict,
    Reason,
    Verdict,
    code_of,
    doubted,
    part_of,
    unseen,
)
from ..geometry import rigid
from ..imaging.body import MASKED, WHOLE, Structures
from ..imaging.bone_names import vertebra
from ..imaging.xray import View
from ..registration.bone import Bone, bones_of_bodies
from ..registration.bones import SHOWN
from ..registration.optimizer import Report
from ..registration.problem import beside_neighbours
from ..registration.register_bones import (
    LEVELS,
    BoneLevel,
    BonesRegistration,
    OtherLevel,
    ends_apart_mm,
    found_again_mm,
    other_levels,
    register_bones,
    unbent,
)
from . import bone_prediction, bone_verdict, verdict_reasons
from .bodies import UNJUDGED, Alone, BodyResult, Moved, Together
from .joint_motion import BonePose, NeighbourMotion, joint_pose, motions_of, principal_axes
from .metrics import OVERLAY_MM, Error, PredictedError
from .next_view import with_further_views
from .parts import ADVICE, PART_MM
from .prediction import WRONG_MM, Prediction, calibrated
from .uncertainty import bounds
from .verdict import Assessment
from .verdict_reasons import ALIKE, OF_XRAYS, ambiguity, numbered, risk_reasons

SET = Reason(
    "pose-set", "Its pose was set, not registered\n: the risk was not measured for such poses."
)
#: Ends of the masks of 78 right bones fitted best up to 0.78 mm apart, on chest, torso and pelvis.
MOST_ENDS_APART_MM = 0.8
#: What a CT of its own shows is the bone.
NO_EDGE = bone_prediction.MaskEdge(0.0, 0.0)
#: Two bones of which more than this share of one lies within the other are not both right.
MAX_SHARED = 0.05


def register_together(
    alone: Sequence[Alone],
    views: Sequence[View],
    progress: Report = unseen,
    poses: Sequence[np.ndarray] | None = None,
    levels: Sequence[BoneLevel] | None = None,
    bones: Sequence[Bone] | None = None,
) -> Together:
    """Register all bones of bodies together, from where each body was registered alone, and judge them.

    Rejected bones of a CT are begun once more where their neighbours have them.

    Parameters
    ----------
    alone
        A CT, whose bones and implants are registered before the rest of it, or bones with a CT each.
    views
        With corrected cameras, which count as exact.
    progress
        As in `pipeline.refine`.
    poses, levels
        As of `register_bones`; poses of the bones of one CT. Those that are left where they are put
        are at best to be checked.
    bones
        Of these bodies; made where they are not given.
    """
    first = alone[0]
    bodies = [each.body for each in alone]
    bones = bones or bones_of_bodies(bodies, [each.anatomy for each in alone])
    if not bones:
        return Together()
    structures = first.body.bones
    if first.body.name:
        places = [each.world_from_ct for each in alone]
        found = register_bones(None, bones, views, places, progress, levels=levels)
        judged = judge_together(found, views, [NO_EDGE] * len(bones), alone)
        checked = judged.bodies if levels is None else _where_put(judged.bodies)
        return replace(judged, bodies=checked, relative_poses=_relative_poses(found, 1))
    found, together = _before_rest(alone, bones, views, progress, poses, levels)
    count = len(structures.names)
    put = levels is not None and not levels
    while not put:
        own = together.bodies[:count]
        lost = {n for n, body in enumerate(own) if body.verdict in UNUSABLE}
        if len(lost) == count or "reject" not in [body.verdict for body in own]:
            break
        starts = beside_neighbours(found.poses[:count], lost, found.ties)
        once_more = part_of(progress, 1.0, 1.0)
        again, judged = _before_rest(alone, bones, views, once_more, starts, LEVELS)
        if len(judged.usable) <= len(together.usable):
            break
        found, together = again, judged
    planned = with_further_views(together.bodies, found, first.anatomy, views, first.assessment)
    return replace(together, bodies=planned)


def _before_rest(
    alone: Sequence[Alone],
    bones: Sequence[Bone],
    views: Sequence[View],
    progress: Report,
    poses: Sequence[np.ndarray] | None,
    levels: Sequence[BoneLevel] | None,
) -> tuple[BonesRegistration, Together]:
    """Register the bones of a CT and implants once, and judge them; parameters as of `register_together`."""
    first, *implants = alone
    structures = first.body.bones
    where = views, first.world_from_ct
    if implants:
        levels = LEVELS if poses is None else levels
        starts = poses or [first.world_from_ct] * len(structures.names)
        poses = [*starts, *(each.world_from_ct for each in implants)]
    found = register_bones(first.anatomy, bones, *where, progress, poses, levels)
    finer = found
    count = len(structures.names)
    if implants and count:
        still = unbent(found, views), first.world_from_ct
        finer = register_bones(
            first.anatomy, bones[count:], *still, progress, found.poses[count:], levels
        )
        found = replace(found, poses=[*found.poses[:count], *finer.poses])
    edges = bone_prediction.mask_edges(structures, first.anatomy.attenuation(0)) + [NO_EDGE] * len(
        implants
    )
    numbers = [*map(vertebra, structures.names), *([None] * len(implants))]
    if structures.names == (MASKED,):  # it may be one
        numbers[0] = 0
    others = other_levels(found, numbers) if structures.names else ()
    whole = first.assessment
    again_mm = found_again_mm(found)
    judged = judge_together(found, views, edges, implants, others, again_mm, whole, finer)
    caused = [whole.cause.reason] if whole.cause and whole.cause.doubts_bones else []
    judged.bodies[:count] = [doubted(body, caused) for body in judged.bodies[:count]]
    put = levels is not None and not levels
    checked = _where_put(judged.bodies) if put else _with_ends(judged.bodies, found)
    for n in range(count, len(checked)):
        metal = bone_verdict.metal_in_ct(
            first.body.ct, found.world_from_ct, found.bones[n], found.poses[n]
        )
        checked[n] = doubted(checked[n], metal)
    relative = _relative_poses(found, count)
    return found, related(replace(judged, bodies=checked, relative_poses=relative), structures)


def related(judged: Together, structures: Structures) -> Together:
    """Return bodies, each of which was judged, with their motions judged by these, and in doubt where CT contradicts a name."""
    bodies = judged.bodies
    for names, sentence in structures.contradictions:
        reason = Reason("name-contradicted", sentence)
        bodies = [doubted(body, [reason] * (body.name in names)) for body in bodies]
    motions = [_judged_motion(motion, bodies) for motion in judged.motions]
    return replace(
        judged, bodies=[_with_motions(body, motions) for body in bodies], motions=motions
    )


def _where_put(bodies: Sequence[BodyResult]) -> list[BodyResult]:
    """Return bodies that were left where they were put: at best to be checked, and without an error."""
    told = []
    for body in bodies:
        reasons = [] if SET.code in map(code_of, body.reasons) else [SET]
        unknown = replace(body, predicted_tre_mm=None, appearance=None, lies=None)
        told.append(doubted(unknown, reasons))
    return told


def _judged_motion(motion: NeighbourMotion, bodies: Sequence[BodyResult]) -> NeighbourMotion:
    """Return a motion with its verdict: an accept needs both bones to appear where they are, and small errors."""
    pair = [body for body in bodies if body.name in (motion.name, motion.against)]
    if any(body.overlay in UNUSABLE for body in pair):
        return replace(motion, verdict="reject")
    right = all(body.overlay == "accept" for body in pair)
    return replace(motion, verdict="accept" if right and motion.precise else "check")


def _with_motions(body: BodyResult, motions: Sequence[NeighbourMotion]) -> BodyResult:
    """Return a body with the worst verdict of its motions."""
    own = [motion for motion in motions if body.name in (motion.name, motion.against)]
    return replace(body, relative=_worst(own), motion=_largest(own))


def _worst(motions: Sequence[NeighbourMotion]) -> Verdict | None:
    return max((motion.verdict for motion in motions), key=DOUBT.index, default=None)


def _largest(motions: Sequence[NeighbourMotion]) -> Error | None:
    """Return the largest error of motions, mm; None where one is not known."""
    errors = [motion.error_mm for motion in motions]
    known = [error for error in errors if error]
    if not errors or len(known) < len(errors):
        return None
    return Error(*map(max, zip(*known, strict=True)))


def judge_together(
    found: BonesRegistration,
    views: Sequence[View],
    edges: Sequence[bone_prediction.MaskEdge],
    alone: Sequence[Alone] = (),
    others: Sequence[OtherLevel] = (),
    again_mm: np.ndarray | None = None,
    whole: Assessment = UNJUDGED,
    finer: BonesRegistration | None = None,
) -> Together:
    """Judge each of the bones that were registered together.

    Parameters
    ----------
    views
        From which they were.
    edges
        Of their masks.
    alone
        Of bones with a CT each, and of implants, which come last: none is judged better than alone.
    others
        The bones one level up and down; where these were not looked for, a wrong level may be
        accepted.
    again_mm
        Of `found_again_mm`; None where that was not looked for: it is taken for usual then.
    whole
        The assessment of the whole CT.
    finer
        The implants alone, where they are compared in finer images than bones.
    """
    of_ct = len(found.bones) - len(alone)
    overlapped = _overlapped(found, of_ct)
    noises = bone_prediction.bone_noises(found)
    every = bone_prediction.bone_features(found, edges, noises, others, again_mm)
    errors = None
    if whole.features and len(whole.features.seen) == len(views):
        errors = bone_prediction.BoneErrors(found, whole.features, noises, every)
    bodies = []
    for n, features in enumerate(every):
        bone = found.bones[n]
        pose = found.poses[n]
        hidden = None
        own = alone[n - of_ct] if n >= of_ct else None
        seen = finer if own and finer else found
        m = n - len(found.bones)  # from the end: implants come last
        alike = seen.fit.similarity[m]
        shares = zip(views, seen.fit.shown[m], strict=True)
        showing = [view.name for view, share in shares if share >= SHOWN]
        if own:
            apart_mm = bone.apart(pose, own.world_from_ct)
            depths = [split.depth_mm for split in own.assessment.splits]
            if bone.is_implant and len(views) == 1 and apart_mm <= max(depths, default=0.0):
                apart_mm = 0.0  # it may lie anywhere there along the beam
            wrong = _wrong(bone.name, apart_mm, overlapped.get(n, ()))
            if bone.is_implant:
                wrong += bone_verdict.unlike(bone.name, alike)
            judged = _judged_alone(bone.name, features, showing, own, wrong)
            if showing and bone.is_implant:
                hidden = bone_verdict.hidden_turns(seen, m)
                judged[2].extend(hidden.reasons(bone.name))
        else:
            judged = bone_verdict.judge(bone.name, features, showing, whole.in_doubt)
        prediction, verdict, reasons = judged
        room = overlay = verdict
        if not own:
            # What leaves its place along a beam open moves it in no X-ray by more than its bound.
            _, overlay = bone_verdict.predicted(replace(features, shown=1.0))
        if verdict == "accept" and whole.cameras_in_doubt:
            room = "check"
        if prediction and whole.cameras_in_doubt and bone_verdict.OF_WHOLE not in reasons:
            reasons.append(bone_verdict.OF_WHOLE)
        shown = lies = uncertain = None
        if prediction and errors and not own:
            shown = errors.overlay(n)
            lies = errors.room(n)
            uncertain = errors.pose(n)
        known = shown and shown.upper95_mm and shown.upper95_mm <= OVERLAY_MM
        if overlay == "accept" and (whole.in_doubt or not known):
            overlay = "check"
        error = None
        if prediction:
            error = PredictedError(prediction.mean_mm, prediction.known_upper95_mm)
        similarity = zip(views, alike, strict=True)
        bodies.append(
            BodyResult(
                bone.name,
                pose,
                room,
                reasons,
                error,
                {view.name: float(each) for view, each in similarity if np.isfinite(each)},
                None if own else Moved.of(bone, pose, found.world_from_ct),
                0.0 if own else bone.apart(pose, found.world_from_ct),
                own.body.uid if own else "",
                features=features,
                bone=bone,
                overlay=overlay,
                appearance=shown,
                lies=lies,
                use=(own.assessment if own else whole).use,
                hidden=hidden,
                uncertainty=uncertain,
            )
        )
    return Together(bodies, motions_of(found, errors))


def _with_ends(bodies: Sequence[BodyResult], found: BonesRegistration) -> list[BodyResult]:
    """Return the bones, of which none is accepted whose ends fit best at different places."""
    checked = list(bodies)
    accepted = [n for n, body in enumerate(bodies) if body.verdict == "accept"]
    for n, mm in ends_apart_mm(found, accepted).items() if accepted else ():
        if mm > MOST_ENDS_APART_MM:
            sentence = (
                f"The mask of {bodies[n].name} seems to hold a part of a neighbour\n: its ends fit "
                f"best {mm:.1f} mm apart. Correct the mask."
            )
            checked[n] = doubted(bodies[n], [Reason("mask-of-two-bones", sentence)])
    return checked


def _judged_alone(
    name: str,
    features: bone_prediction.BoneFeatures,
    showing: Sequence[str],
    alone: Alone,
    wrong: Sequence[Reason],
) -> tuple[Prediction | None, BoneVerdict, list[Reason]]:
    """Return what `judge` does of a bone with a CT of its own; `wrong` rejects it."""
    if not showing:
        sentence = f"No X-ray shows enough of {name} to say where it is."
        return None, "not shown", [Reason("not-shown", sentence)]
    own = alone.assessment
    reasons = [*wrong, *own.reasons, *ambiguity(alone.alternative)]
    codes = {reason.code for reason in reasons}
    faults = bone_verdict.faults(name, features, showing)
    reasons += [reason for reason in faults if reason.code not in codes]
    return own.prediction, "reject" if wrong or own.verdict == "reject" else "check", reasons


def _wrong(name: str, apart_mm: float, overlapped: Sequence[str]) -> list[Reason]:
    """Return why a bone is rejected that ends so far from where it does alone, and overlaps these."""
    reasons = []
    if apart_mm > WRONG_MM:
        sentence = (
            f"Together with the others {name} ends {apart_mm:.1f} mm from where it does alone\n: one "
            "of the two is wrong."
        )
        reasons.append(Reason("together-elsewhere", sentence))
    return reasons + [
        Reason("bones-overlap", f"{name} overlaps {other}\n: one of the two is wrong.")
        for other in overlapped
    ]


def _overlapped(found: BonesRegistration, of_ct: int) -> dict[int, list[str]]:
    """Return the names of the bones that each bone overlaps, by its number, after so many of one CT.

    Implants may lie within bones.
    """
    shared: dict[int, list[str]] = {}
    for a, b in permutations(range(of_ct, len(found.bones)), 2):
        if found.bones[a].is_implant != found.bones[b].is_implant:
            continue
        points = rigid.transform_points(
            rigid.inverse(found.poses[b]) @ found.poses[a], found.bones[a].surface
        )
        if found.bones[b].contains(points).mean() > MAX_SHARED:
            for one, other in ((a, b), (b, a)):
                names = shared.setdefault(one, [])
                names += [found.bones[other].name] * (found.bones[other].name not in names)
    return shared


def _relative_poses(found: BonesRegistration, of_ct: int) -> list[BonePose]:
    """Return how those with a CT each lie, after so many bones of one CT, or after the first.

    Against the nearest of these bones, the whole CT where it has none, or the first.
    """
    bones = list(zip(found.bones, found.poses, strict=True))
    fixed = bones[:of_ct]
    relative = []
    for bone, pose in bones[of_ct:]:
        against = WHOLE
        there = found.world_from_ct
        axes = np.eye(4)
        if fixed:
            nearest, there = min(fixed, key=lambda each: bone.gap_mm(pose, *each))
            against = nearest.name
            axes = principal_axes(nearest.surface)
        numbers = joint_pose(there, pose, axes, principal_axes(bone.surface))
        relative.append(BonePose(bone.name, against, numbers))
    return relative


def with_together(assessment: Assessment, found: Together, *, of_ct: bool = False) -> Assessment:
    """Return the assessment of a body that was registered by itself with that of what was registered together.

    Of a whole CT it is never "accept" where a bone lies elsewhere, is not found or not shown, or
    has the name of another. Of the first of bones that have a CT each it is never better than the
    worst of them, and without one that no X-ray shows at best "check". Of a CT (`of_ct`) it is at
    best "check" where an implant beside it is not found.
    """
    implants = [body for body in found.bodies if of_ct and body.moved is None]
    if implants:
        bones = [body for body in found.bodies if body.moved]
        judged = with_together(assessment, replace(found, bodies=bones), of_ct=True)
        names = _names([body for body in implants if body.verdict in UNUSABLE])
        sentence = f"{names}\n: not found, see its reasons."
        return doubted(judged, [Reason("bone-rejected", sentence)] if names else [])
    if not found.bodies:
        return assessment
    lost = _names(found.of("reject"))
    unseen = _names(found.of("not shown"))
    first = found.bodies[0]
    reasons = []
    if first.moved is None:
        if lost:
            sentence = f"{lost}\n: rejected, see the reasons of each bone."
            reasons.append(Reason("bone-rejected", sentence))
        if unseen:
            reasons.append(Reason("not-shown", f"No X-ray shows {unseen}."))
        own = Reason(
            "pose-of-one-bone", f"This is the pose of {first.name}\n: use each bone's own."
        )
        judged = doubted(replace(assessment, reasons=[*assessment.reasons, own]), reasons)
        if first.hidden and first.hidden.free:
            axis = first.world_from_ct[:3, :3] @ first.hidden.free[0]
            judged = replace(judged, least_certain_rotation=(180.0, axis))
        useless = lost or first.verdict == "not shown"
        return replace(judged, room="reject", overlay="reject") if useless else judged
    followed = [
        Reason(each.code, each.removesuffix(ADVICE), each.headline) for each in assessment.reasons
    ]
    assessment = replace(assessment, reasons=followed)
    displaced = found.displaced
    every = [reason for body in found.bodies for reason in body.reasons]
    reasons += [reason for reason in dict.fromkeys(every) if reason.code == "name-contradicted"]
    relative = _worst(found.motions)
    motion = _largest(found.motions)
    if not (displaced or lost or unseen or reasons):
        tested = tuple(body.name for body in found.bodies)
        return replace(assessment, relative=relative, motion=motion, body=assessment, tested=tested)
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
        reasons += risk_reasons(prediction, calibrated(), assessment.verdict)
        besides = [
            reason
            for reason in besides
            if not (
                verdict_reasons.is_about_risk(reason)
                or reason.code == verdict_reasons.THIRD_VIEW_MISSING.code
            )
        ]
    judged = replace(assessment, prediction=prediction, reasons=besides, body=assessment)
    return replace(doubted(judged, reasons), relative=relative, motion=motion)


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
        Of the whole CT.
    views
        With corrected cameras.
    targets
        (N, 3) CT mm, to which errors belong; by default its surface.
    """
    assert bone.bone and bone.moved and bone.features
    surface = bone.bone.surface
    chosen = surface if targets is None else targets
    room, overlay = map(_of_body, (bone.room, bone.overlay))
    cause = whole.cause if whole.cause and whole.cause.doubts_bones else None
    doubts = [cause.reason] if cause else []
    reasons = [reason for reason in bone.reasons if reason not in (bone_verdict.OF_WHOLE, *doubts)]
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
        if shown_mm[1] > OVERLAY_MM and overlay == "accept":
            overlay = "check"
        if upper95_mm > WRONG_MM and room == "accept":
            room = "check"
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
        room=room,
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
    if judged.room == "accept":
        return judged
    mm, degrees, _ = bone.moved
    sentence = (
        f"It lies {mm:.1f} mm and {degrees:.1f} degrees from its place in the rest of the CT."
    )
    return replace(judged, reasons=[*judged.reasons, Reason("rest-displaced", sentence)])


def _names(bodies: Sequence[BodyResult]) -> str:
    return ", ".join(body.name for body in bodies)
