"""Bodies are registered together and judged: the pose and the verdict of each, and how they lie to each other.

They are bones of one CT, before the rest of that, and implants, or have a CT each. What has a CT
of its own was registered alone before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import (
    DOUBT,
    UNUSABLE,
    BoneVerdict,
    Reason,
    code_of,
    doubted,
    go_on,
    part_of,
    unseen,
)
from ..geometry import rigid
from ..imaging.body import WHOLE, Body
from ..imaging.bone_names import vertebra
from ..imaging.xray import View
from ..registration.bone import Background, Bone, air
from ..registration.optimizer import Progress, Report
from ..registration.problem import beside_neighbours
from ..registration.register_bones import (
    LEVELS,
    BoneLevel,
    BonesRegistration,
    ends_apart_mm,
    found_again_mm,
    levels_of,
    other_levels,
    register_bones,
    unbent,
)
from . import bone_prediction, bone_verdict
from .bodies import UNJUDGED, Alone, BodyResult, Moved, Together
from .bone_errors import BoneErrors
from .case_verdict import related
from .error_by_cause import PoseError
from .features import ReliabilityFeatures
from .joint_motion import BonePose, joint_pose, motions_of, principal_axes
from .metrics import PredictedError
from .prediction import WRONG_MM, Prediction
from .verdict import Assessment
from .verdict_reasons import ambiguity

SET = Reason(
    "pose-set", "Its pose was set, not registered\n: the risk was not measured for such poses."
)
#: Ends of the masks of 78 right bones fitted best up to 0.78 mm apart, on chest, torso and pelvis.
MOST_ENDS_APART_MM = 0.8
#: What a CT of its own shows is the bone.
NO_EDGE = bone_prediction.MaskEdge(0.0, 0.0)
#: Two bones of which more than this share of one lies within the other are not both right.
MAX_SHARED = 0.05
#: Shares of the progress bar at which bones are registered, and compared with other levels, before
#: a cause is searched for.
REGISTERED_SHARE = 0.6
LEVELS_SHARE = 0.8


def register_together(
    alone: Sequence[Alone],
    views: Sequence[View],
    progress: Report = unseen,
    poses: Sequence[np.ndarray] | None = None,
    levels: Sequence[BoneLevel] | None = None,
    beside: Sequence[Bone] = (),
    said: Sequence[np.ndarray] | None = None,
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
        As of `register_bones`; poses of the bones of one CT, for which the finest level is the
        default. Those that are left where they are put are at best to be checked.
    beside
        What has a CT each; made where they are not given.
    said
        Poses (4, 4) of the bones of one CT, at which they begin once more where all are rejected.
    """
    if not any(each.body.bone_names for each in alone):
        return Together()
    whole = alone[0].assessment
    if alone[0].body.apart:
        nothing = Alone(Body(air().ct), air(), alone[0].world_from_ct)
        alone = [nothing, *alone]
    first, *apart = alone
    behind = Background.of(first.body.bones, first.anatomy, first.world_from_ct)
    beside = beside or [Bone.of_ct(each.body.name, each.anatomy) for each in apart]
    count = len(behind.bones)
    judge = partial(_judged, first, apart, behind, beside, views)
    found, together = judge(progress, poses, levels)
    while levels != ():
        own = together.bodies[:count]
        lost = {n for n, body in enumerate(own) if body.verdict in UNUSABLE}
        starts = said if len(lost) == count else None
        if len(lost) < count and "reject" in [body.verdict for body in own]:
            starts = beside_neighbours(found.poses[:count], lost, found.ties)
        if starts is None:
            break
        once_more = part_of(progress, LEVELS_SHARE, LEVELS_SHARE)
        again, judged = judge(once_more, starts, LEVELS)
        if len(judged.usable) <= len(together.usable):
            break
        found, together = again, judged
    if first.explain and count:
        shown = [body for body in together.bodies if body.verdict != "not shown"]
        all_found = shown and all(body.overlay == "accept" for body in shown)
        of_cause = part_of(progress, LEVELS_SHARE, 1.0)
        whole = first.explain(of_cause, bones_found=bool(all_found))
    go_on(progress(Progress(1.0, "judging the bones", found.poses[0], found.fit.cost)))
    if whole.cause and not whole.cause.known.untested:
        for n in range(count):
            together.bodies[n] = doubted(together.bodies[n], [whole.cause.reason])
        together = related(together, first.body.bones)
    return replace(together, whole=whole)


def _judged(
    first: Alone,
    apart: Sequence[Alone],
    behind: Background,
    beside: Sequence[Bone],
    views: Sequence[View],
    progress: Report,
    poses: Sequence[np.ndarray] | None,
    levels: Sequence[BoneLevel] | None,
) -> tuple[BonesRegistration, Together]:
    """Register bones once, and judge them; parameters as of `register_together`."""
    structures = first.body.bones
    count = len(structures.names)
    whole = first.assessment
    if levels is None:
        levels = levels_of(behind)[0 if poses is None else -1 :]
    starts = [*(poses or [first.world_from_ct] * count), *(each.world_from_ct for each in apart)]
    share = REGISTERED_SHARE
    registering = part_of(progress, 0.0, share)
    found = register_bones(behind, views, beside, registering, starts, levels)
    judging = Progress(share, f"judging {len(starts)} bones", found.poses[0], found.fit.cost)
    go_on(progress(judging))
    finer = found
    if apart and count:
        whole_ct = Background(behind.ct, behind.world_from_ct)
        still = unbent(found, views), beside, part_of(progress, share, share)
        finer = register_bones(whole_ct, *still, found.poses[count:], levels)
        found = replace(found, poses=[*found.poses[:count], *finer.poses])
    edges = bone_prediction.mask_edges(structures, first.anatomy.attenuation(0))
    edges += [NO_EDGE] * len(apart)
    numbers = [*map(vertebra, structures.names), *([None] * len(apart))]
    if first.body.asked:  # it may be one
        numbers[0] = 0
    others = other_levels(found, numbers) if count else ()
    go_on(progress(replace(judging, fraction=LEVELS_SHARE)))
    again_mm = None if behind.is_air else found_again_mm(found)
    judged = judge_together(found, edges, apart, others, again_mm, whole, finer)
    checked = _with_ends(judged.bodies, found) if levels else _where_put(judged.bodies)
    for n in range(count, len(checked)):
        metal = bone_verdict.metal_in_ct(
            first.body.ct, found.world_from_ct, found.bones[n], found.poses[n]
        )
        checked[n] = doubted(checked[n], metal)
    relative = _relative_poses(found, 1 if behind.is_air else count, checked, whole)
    return found, related(replace(judged, bodies=checked, relative_poses=relative), structures)


def _where_put(bodies: Sequence[BodyResult]) -> list[BodyResult]:
    """Return bodies that were left where they were put: at best to be checked, and without an error."""
    told = []
    for body in bodies:
        reasons = [] if SET.code in map(code_of, body.reasons) else [SET]
        unknown = replace(body, predicted_tre_mm=None, appearance=None, lies=None, pose_error=None)
        told.append(doubted(unknown, reasons))
    return told


def judge_together(
    found: BonesRegistration,
    edges: Sequence[bone_prediction.MaskEdge],
    alone: Sequence[Alone] = (),
    others: Sequence[np.ndarray] = (),
    again_mm: np.ndarray | None = None,
    whole: Assessment = UNJUDGED,
    finer: BonesRegistration | None = None,
    of_cameras: ReliabilityFeatures | None = None,
) -> Together:
    """Judge each of the bones that were registered together.

    Parameters
    ----------
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
    of_cameras
        The features that the uncertainty of the cameras is taken from, where `whole` has none.
    """
    noises = bone_prediction.bone_noises(found)
    every = bone_prediction.bone_features(found, edges, noises, others, again_mm)
    errors = _errors(found, whole.features or of_cameras, noises, every)
    judge = partial(_judged_in_ct, found, whole, errors)
    bodies = list(map(judge, range(len(found.behind.bones)), every))
    seen = finer or found
    of_alone = None
    if alone:
        of_cameras = whole.features or alone[0].assessment.features
        seen_noises = noises if seen is found else bone_prediction.bone_noises(seen)
        of_alone = _errors(seen, of_cameras, seen_noises, every[-len(seen.bones) :])
    for n, own in enumerate(alone, start=-len(alone)):
        body = _judged_alone(seen, whole, own, n, every[n])
        error = _error_alone(of_alone, len(seen.bones) + n, body, own)
        bodies.append(replace(body, pose_error=error))
    return Together(bodies, motions_of(found, errors))


def _errors(
    found: BonesRegistration,
    of_cameras: ReliabilityFeatures | None,
    noises: Sequence[bone_prediction.BoneNoise],
    every: Sequence[bone_prediction.BoneFeatures],
) -> BoneErrors | None:
    """Return how far bones are off; None where the uncertainty of the cameras of all views is not known."""
    if not of_cameras or len(of_cameras.seen) != len(found.views):
        return None
    return BoneErrors(found, of_cameras, noises, every)


def _error_alone(
    errors: BoneErrors | None, n: int, body: BodyResult, alone: Alone
) -> PoseError | None:
    """Return the error of the pose of the n-th body, which has a CT of its own; turns that no X-ray shows are unknown."""
    if errors is None or not errors.known(n):
        return None
    error = errors.by_cause(n, max(1.0, alone.assessment.error_inflation))
    if body.hidden is None:
        return error
    return error.with_unknown_turns(
        rigid.rotate(body.world_from_ct, np.reshape(body.hidden.free, (-1, 3)))
    )


def _judged_in_ct(
    found: BonesRegistration,
    whole: Assessment,
    errors: BoneErrors | None,
    n: int,
    features: bone_prediction.BoneFeatures,
) -> BodyResult:
    """Judge the n-th body, a bone of a CT."""
    bone = found.bones[n]
    pose = found.poses[n]
    prediction, position, reasons = bone_verdict.judge(
        bone.name, features, found.showing(n), whole.in_doubt
    )
    if position == "accept" and whole.cameras_in_doubt:
        position = "check"
    # What leaves its place along a beam open moves it in no X-ray by more than its bound.
    _, overlay = bone_verdict.predicted(replace(features, shown=1.0))
    known: dict[str, Any] = {
        "moved": Moved.of(bone, pose, found.world_from_ct),
        "displaced_mm": bone.apart(pose, found.world_from_ct),
    }
    shown = None
    if prediction and errors:
        shown = errors.overlay(n)
        known |= {"appearance": shown, "lies": errors.position(n), "uncertainty": errors.pose(n)}
        known["pose_error"] = errors.by_cause(n)
    certain = shown and shown.upper95_mm and shown.upper95_mm <= WRONG_MM
    if overlay == "accept" and (whole.in_doubt or not certain):
        overlay = "check"
    known |= {"overlay": overlay, "features": features}
    return _result_of(found, n, whole, (prediction, position, reasons), known)


def _result_of(
    found: BonesRegistration,
    n: int,
    whole: Assessment,
    judged: tuple[Prediction | None, BoneVerdict, list[Reason]],
    known: dict[str, Any],
) -> BodyResult:
    """Return the result of the n-th body, by its verdict as of `bone_verdict.judge`, and with what else is known of it."""
    prediction, position, reasons = judged
    error = None
    if prediction:
        error = PredictedError(prediction.mean_mm, prediction.known_upper95_mm)
        if whole.cameras_in_doubt and bone_verdict.OF_WHOLE not in reasons:
            reasons.append(bone_verdict.OF_WHOLE)
    bone = found.bones[n]
    alike = zip(found.views, found.fit.similarity[n], strict=True)
    similarity = {view.name: float(each) for view, each in alike if np.isfinite(each)}
    known = {"bone": bone, "overlay": position, **known}
    return BodyResult(bone.name, found.poses[n], position, reasons, error, similarity, **known)


def _with_ends(bodies: Sequence[BodyResult], found: BonesRegistration) -> list[BodyResult]:
    """Return the bones, of which none is accepted whose ends fit best at different places."""
    checked = list(bodies)
    accepted = [n for n, body in enumerate(bodies) if "accept" in (body.overlay, body.position)]
    for n, mm in ends_apart_mm(found, accepted).items() if accepted else ():
        if mm > MOST_ENDS_APART_MM:
            sentence = (
                f"The mask of {bodies[n].name} seems to hold a part of a neighbour\n: its ends fit "
                f"best {mm:.1f} mm apart. Correct the mask."
            )
            checked[n] = doubted(bodies[n], [Reason("mask-of-two-bones", sentence)])
    return checked


def _judged_alone(
    found: BonesRegistration,
    whole: Assessment,
    alone: Alone,
    n: int,
    features: bone_prediction.BoneFeatures,
) -> BodyResult:
    """Judge the n-th body, which has a CT of its own."""
    bone = found.bones[n]
    own = alone.assessment
    showing = found.showing(n)
    alike = found.fit.similarity[n]
    apart_mm = bone.apart(found.poses[n], alone.world_from_ct)
    depths = [split.depth_mm for split in own.splits]
    if bone.is_implant and len(alike) == 1 and apart_mm <= max(depths, default=0.0):
        apart_mm = 0.0  # it may lie anywhere there along the beam
    known = {"ct_uid": alone.body.uid, "features": features}
    if not showing:
        sentence = f"No X-ray shows enough of {bone.name} to say where it is."
        reasons = [Reason("not-shown", sentence)]
        return _result_of(found, n, whole, (None, "not shown", reasons), known)
    wrong = []
    if apart_mm > WRONG_MM:
        sentence = (
            f"Together with the others {bone.name} ends {apart_mm:.1f} mm from where it does alone\n: one "
            "of the two is wrong."
        )
        wrong.append(Reason("together-elsewhere", sentence))
    for other in _overlapped(found, n):
        sentence = f"{bone.name} overlaps {other}\n: one of the two is wrong."
        wrong.append(Reason("bones-overlap", sentence))
    hidden = None
    if bone.is_implant:
        wrong += bone_verdict.unlike(bone.name, alike)
        hidden = bone_verdict.hidden_turns(found, n)
    reasons = [*wrong, *own.reasons, *ambiguity(alone.alternative)]
    codes = {reason.code for reason in reasons}
    faults = bone_verdict.faults(bone.name, features, showing)
    reasons += [reason for reason in faults if reason.code not in codes]
    if hidden:
        reasons += hidden.reasons(bone.name)
    verdict: BoneVerdict = "reject" if wrong or own.verdict == "reject" else "check"
    known["hidden"] = hidden
    return _result_of(found, n, whole, (own.prediction, verdict, reasons), known)


def _overlapped(found: BonesRegistration, n: int) -> list[str]:
    """Return the names of those with a CT of their own that the n-th body, which has one, too, overlaps.

    Implants may lie within bones.
    """
    bone = found.bones[n]
    names = []
    for other, there in list(zip(found.bones, found.poses, strict=True))[found.apart]:
        if other is bone or other.is_implant != bone.is_implant:
            continue
        here = rigid.inverse(there) @ found.poses[n]
        within = other.contains(rigid.transform_points(here, bone.surface))
        about = bone.contains(rigid.transform_points(rigid.inverse(here), other.surface))
        if max(within.mean(), about.mean()) > MAX_SHARED:
            names.append(other.name)
    return names


def _relative_poses(
    found: BonesRegistration, of_ct: int, bodies: Sequence[BodyResult], whole: Assessment
) -> list[BonePose]:
    """Return how those with a CT each lie, after so many bones of one CT, or after the first.

    Against the nearest of these bones, the whole CT where it has none, or the first.

    Parameters
    ----------
    bodies
        The judged bones.
    whole
        The assessment of the whole CT.
    """
    relative = []
    for n in range(of_ct, len(bodies)):
        bone = found.bones[n]
        pose = found.poses[n]
        against = WHOLE
        there = found.world_from_ct
        axes = np.eye(4)
        fixed: BodyResult | Assessment = whole
        if of_ct:
            near = partial(_gap_mm, found, n)
            nearest = min(range(of_ct), key=near)
            fixed = bodies[nearest]
            against = found.bones[nearest].name
            there = found.poses[nearest]
            axes = principal_axes(found.bones[nearest].surface)
        own = principal_axes(bone.surface)
        numbers = joint_pose(there, pose, axes, own)
        of_fixed = fixed.pose_error
        of_moving = bodies[n].pose_error
        if of_fixed and of_moving:
            place = rigid.transform_points(pose, own[:3, 3])
            along = there[:3, :3] @ axes[:3, :3]
            numbers = numbers.with_bounds(of_fixed, of_moving, place, along)
        verdict: Any = max(fixed.overlay, bodies[n].overlay, key=DOUBT.index)
        relative.append(BonePose(bone.name, against, numbers, verdict))
    return relative


def _gap_mm(found: BonesRegistration, n: int, other: int) -> float:
    """Return how far the n-th body is from another one."""
    return found.bones[n].gap_mm(found.poses[n], found.bones[other], found.poses[other])
