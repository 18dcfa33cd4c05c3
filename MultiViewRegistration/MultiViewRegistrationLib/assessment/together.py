"""Registration and assessment of several bodies together.

They are bones of one CT, in front of the rest of it, and implants, or bones with a separate CT each.
Bodies with a separate CT were registered by themselves before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import go_on, part_of, unseen
from ..geometry import rigid
from ..imaging.body import WHOLE, Body, Structures
from ..imaging.bone_names import vertebra
from ..imaging.xray import View
from ..registration.bone import Background, Bone, air
from ..registration.optimizer import Progress, Report
from ..registration.problem import beside_neighbours
from ..registration.register_bones import (
    LEVELS,
    BoneLevel,
    BonesRegistration,
    end_pose_difference_mm,
    found_again_mm,
    levels_of,
    other_levels,
    register_bones,
    unbent,
)
from . import bone_features
from .bodies import BodyRegistration, BodyResult, BoneMotion, JointResult
from .bone_checks import (
    APPEARANCE,
    bone_findings,
    feature_findings,
    hidden_rotations,
    implant_mismatch,
    metal_in_ct,
    whole_ct_doubt,
)
from .bone_errors import BoneErrors
from .checks import CASE_WIDE, UNCERTAIN_CAMERAS, ambiguity
from .combine import with_motions
from .features import ReliabilityFeatures
from .joint_motion import BonePose, joint_pose, motions_of, principal_axes
from .records import (
    CAUTION,
    FAILURE,
    NOT_SHOWN,
    UNASSESSED,
    UNUSABLE,
    WRONG_MM,
    Assessment,
    ExpectedError,
    Finding,
    least_reliable,
)

POSE_SET = Finding("pose-set")
#: Largest distance between the best poses of both ends of a mask: 0.78 mm for 78 correct bones of chest,
#: torso and pelvis.
MAX_ENDS_APART_MM = 0.8
#: A separate CT shows just the bone.
NO_EDGE = bone_features.MaskEdge(0.0, 0.0)
#: Two bones overlap if more than this fraction of one lies within the other.
MAX_OVERLAP = 0.05
#: Fractions of the progress at which bones are registered, and compared with other levels, before a
#: cause is searched for.
REGISTERED_FRACTION = 0.6
LEVELS_FRACTION = 0.8


def register_together(
    bodies: Sequence[BodyRegistration],
    views: Sequence[View],
    progress: Report = unseen,
    poses: Sequence[np.ndarray] | None = None,
    levels: Sequence[BoneLevel] | None = None,
    shapes: Sequence[Bone] = (),
    user_poses: Sequence[np.ndarray] | None = None,
) -> JointResult:
    """Register and assess all bones of bodies together, from where each body was registered by itself.

    Rejected bones of a CT are registered again from where their neighbours suggest.

    Parameters
    ----------
    bodies
        A CT, whose bones and implants are registered in front of the rest of it, or bones with a
        separate CT each.
    views
        Views after the correction of their cameras, which count as exact.
    progress
        Progress callback, see `pipeline.refine`.
    poses, levels
        Arguments of `register_bones`, for the bones of one CT. With `poses` the finest level is the default;
        without levels the bones stay where they are, and are at best to be checked.
    shapes
        Shapes of the bodies with a separate CT; computed by default.
    user_poses
        Poses (4, 4) of the bones of one CT at which they start again if all are rejected.
    """
    if not any(each.body.bone_names for each in bodies):
        return JointResult()
    whole = bodies[0].assessment
    if bodies[0].body.apart:
        empty = BodyRegistration(Body(air().ct), air(), bodies[0].world_from_ct)
        bodies = [empty, *bodies]
    first, *separate = bodies
    background = Background.of(first.body.bones, first.anatomy, first.world_from_ct)
    shapes = shapes or [Bone.of_ct(each.body.name, each.anatomy) for each in separate]
    count = len(background.bones)
    register = partial(_register_once, first, separate, background, shapes, views)
    registration, result = register(progress, poses, levels)
    while levels != ():
        verdicts = [body.verdict for body in result.bodies[:count]]
        lost = {n for n, verdict in enumerate(verdicts) if verdict in UNUSABLE}
        starts = user_poses if len(lost) == count else None
        if len(lost) < count and "reject" in verdicts:
            starts = beside_neighbours(registration.poses[:count], lost, registration.ties)
        if starts is None:
            break
        again = part_of(progress, LEVELS_FRACTION, LEVELS_FRACTION)
        new_registration, new_result = register(again, starts, LEVELS)
        if len(new_result.usable) <= len(result.usable):
            break
        registration, result = new_registration, new_result
    if first.explain and count:
        shown = [body for body in result.bodies if body.verdict != "not shown"]
        accepted = [body.assessment.verdict_for("overlay") for body in shown if body.assessment]
        are_accepted = bool(shown) and set(accepted) == {"accept"}
        of_cause = part_of(progress, LEVELS_FRACTION, 1.0)
        whole = first.explain(of_cause, bones_are_accepted=are_accepted)
    pose = registration.poses[0]
    go_on(progress(Progress(1.0, "assessing the bones", pose, registration.fit.cost)))
    if whole.cause and not whole.cause.fault.is_untested:
        finding = whole.cause.finding()
        of_ct = [with_findings(body, [finding]) for body in result.bodies[:count]]
        result = replace(result, bodies=[*of_ct, *result.bodies[count:]])
        result = with_motions(result)
    return replace(result, whole=whole)


def with_findings(body: BodyResult, findings: Sequence[Finding]) -> BodyResult:
    """Return a body with further findings, the new ones first."""
    if not findings or body.assessment is None:
        return body
    return replace(body, assessment=body.assessment.with_findings(findings))


def _register_once(
    first: BodyRegistration,
    separate: Sequence[BodyRegistration],
    background: Background,
    shapes: Sequence[Bone],
    views: Sequence[View],
    progress: Report,
    poses: Sequence[np.ndarray] | None,
    levels: Sequence[BoneLevel] | None,
) -> tuple[BonesRegistration, JointResult]:
    """Register and assess the bones once; see `register_together` for the parameters."""
    structures = first.body.bones
    count = len(structures.names)
    if levels is None:
        levels = levels_of(background)[0 if poses is None else -1 :]
    ct_bone_starts = poses or [first.world_from_ct] * count
    starts = [*ct_bone_starts, *(each.world_from_ct for each in separate)]
    registering = part_of(progress, 0.0, REGISTERED_FRACTION)
    registration = register_bones(background, views, shapes, registering, starts, levels)
    stage = f"assessing {len(starts)} bones"
    pose = registration.poses[0]
    assessing = Progress(REGISTERED_FRACTION, stage, pose, registration.fit.cost)
    go_on(progress(assessing))
    finer = registration
    if separate and count:  # implants are compared in finer images than bones
        whole_ct = Background(background.ct, background.world_from_ct)
        images = unbent(registration, views)
        silent = part_of(progress, REGISTERED_FRACTION, REGISTERED_FRACTION)
        implants = registration.poses[count:]
        finer = register_bones(whole_ct, images, shapes, silent, implants, levels)
        registration = replace(registration, poses=[*registration.poses[:count], *finer.poses])
    edges = bone_features.mask_edges(structures, first.anatomy.attenuation(0))
    edges += [NO_EDGE] * len(separate)
    numbers = [*map(vertebra, structures.names), *([None] * len(separate))]
    if first.body.asked:  # the single bone of a mask may be a vertebra
        numbers[0] = 0
    others = other_levels(registration, numbers) if count else ()
    go_on(progress(replace(assessing, fraction=LEVELS_FRACTION)))
    again_mm = None if background.is_air else found_again_mm(registration)
    result = assess_together(
        registration, edges, separate, others, again_mm, first.assessment, finer
    )
    bodies = result.bodies
    bodies = (
        _with_findings_on_bone_ends(bodies, registration)
        if levels
        else [_where_set(body) for body in bodies]
    )
    for n in range(count, len(bodies)):
        implant = registration.bones[n]
        pose = registration.poses[n]
        metal = metal_in_ct(first.body.ct, registration.world_from_ct, implant, pose)
        bodies[n] = with_findings(bodies[n], metal)
    relative = _relative_poses(
        registration, 1 if background.is_air else count, bodies, first.assessment
    )
    bodies = [with_contradicted_name(body, structures) for body in bodies]
    result = replace(result, bodies=bodies, relative_poses=relative)
    return registration, with_motions(result)


def with_contradicted_name(body: BodyResult, structures: Structures) -> BodyResult:
    """Return a body with a finding if the CT contradicts its name."""
    findings = [
        Finding("name-contradicted", values={"statement": statement})
        for names, statement in structures.contradictions
        if body.name in names
    ]
    return with_findings(body, findings)


def _where_set(body: BodyResult) -> BodyResult:
    """Return a body that stays where it was put: at best to be checked, without an expected error."""
    assert body.assessment
    unknown = dict.fromkeys(body.assessment.errors)
    assessment = replace(body.assessment, errors=unknown).with_findings([POSE_SET])
    return replace(body, assessment=assessment, pose_error=None)


def assess_together(
    registration: BonesRegistration,
    edges: Sequence[bone_features.MaskEdge],
    separate: Sequence[BodyRegistration] = (),
    others: Sequence[np.ndarray] = (),
    again_mm: np.ndarray | None = None,
    whole: Assessment | None = None,
    finer: BonesRegistration | None = None,
    cameras: ReliabilityFeatures | None = None,
) -> JointResult:
    """Assess each of the bones that were registered together.

    Parameters
    ----------
    edges
        Edge features of the masks of the bones.
    separate
        Bodies with a separate CT, and implants, which come last: their findings hold here, too.
    others
        Similarity ratios of the bones one level up and down; without these a wrong level may be
        accepted.
    again_mm
        `found_again_mm`; if None it counts as usual.
    whole
        Assessment of the whole CT.
    finer
        Registration of the implants in finer images.
    cameras
        Features with the uncertainty of the cameras, if `whole` has none.
    """
    whole = whole or UNASSESSED
    noises = bone_features.bone_noises(registration)
    features = bone_features.bone_features(registration, edges, noises, others, again_mm)
    of_whole = whole.evidence.features if whole.evidence else cameras
    errors = _errors(registration, of_whole, noises, features)
    count = len(registration.behind.bones)
    bodies = [_assess_bone(registration, whole, errors, n, features[n]) for n in range(count)]
    seen = finer or registration
    separate_errors = None
    if separate:
        evidence = separate[0].assessment.evidence
        of_cameras = evidence.features if evidence and not of_whole else of_whole
        seen_noises = noises if seen is registration else bone_features.bone_noises(seen)
        separate_errors = _errors(seen, of_cameras, seen_noises, features[-len(seen.bones) :])
    for n, own in enumerate(separate, start=len(seen.bones) - len(separate)):
        own_features = features[n - len(seen.bones)]
        bodies.append(_assess_separate(seen, own, n, own_features, separate_errors))
    return JointResult(bodies, motions_of(registration, errors))


def _errors(
    registration: BonesRegistration,
    features: ReliabilityFeatures | None,
    noises: Sequence[bone_features.BoneNoise],
    of_bones: Sequence[bone_features.BoneFeatures],
) -> BoneErrors | None:
    """Return the errors of the bones; None if the uncertainty of the cameras of all views is unknown."""
    if not features or len(features.seen) != len(registration.views):
        return None
    return BoneErrors(registration, features, noises, of_bones)


def _body(
    registration: BonesRegistration, n: int, assessment: Assessment, **more: Any
) -> BodyResult:
    bone = registration.bones[n]
    by_view = zip(registration.views, registration.fit.similarity[n], strict=True)
    similarity = {view.name: float(ncc) for view, ncc in by_view if np.isfinite(ncc)}
    pose = registration.poses[n]
    return BodyResult(bone.name, pose, assessment, similarity, bone=bone, **more)


def _assess_bone(
    registration: BonesRegistration,
    whole: Assessment,
    bone_errors: BoneErrors | None,
    n: int,
    features: bone_features.BoneFeatures,
) -> BodyResult:
    """Assess the n-th body, a bone of a CT."""
    bone = registration.bones[n]
    pose = registration.poses[n]
    risk, findings = bone_findings(bone.name, features, registration.showing(n))
    errors: dict[Any, ExpectedError | None] = {"overlay": None, "position": None}
    more: dict[str, Any] = {}
    if risk and bone_errors:
        overlay = bone_errors.overlay(n)
        errors = {"overlay": overlay, "position": bone_errors.position(n)}
        more["uncertainty"] = bone_errors.pose(n)
        more["pose_error"] = bone_errors.by_cause(n)
        if (overlay.upper95_mm or np.inf) > WRONG_MM:
            values = {"bone": bone.name, "upper95_mm": overlay.upper95_mm or np.inf}
            findings.append(Finding("overlay-error-bound", uses=APPEARANCE, values=values))
    elif risk:
        findings.append(Finding("overlay-error-unknown", uses=APPEARANCE))
    if risk and whole.has(*CASE_WIDE):
        findings.append(whole_ct_doubt(CAUTION, is_about_images=True))
    elif risk and whole.has(*UNCERTAIN_CAMERAS):
        findings.append(whole_ct_doubt(CAUTION, is_about_images=False))
    assessment = Assessment(tuple(findings), errors, risk.failure if risk else None)
    return _body(
        registration,
        n,
        assessment,
        moved=BoneMotion.of(bone, pose, registration.world_from_ct),
        displaced_mm=bone.distance_between(pose, registration.world_from_ct),
        features=features,
        **more,
    )


def _with_findings_on_bone_ends(
    bodies: Sequence[BodyResult], registration: BonesRegistration
) -> list[BodyResult]:
    """Add a finding to each accepted bone whose upper and lower thirds fit at different poses."""
    checked = list(bodies)
    accepted = []
    for n, body in enumerate(bodies):
        if body.assessment and "accept" in (each.verdict for each in body.uses.values()):
            accepted.append(n)
    if not accepted:
        return checked
    for n, mm in end_pose_difference_mm(registration, accepted).items():
        if mm > MAX_ENDS_APART_MM:
            values = {"bone": bodies[n].name, "distance_mm": mm}
            checked[n] = with_findings(bodies[n], [Finding("mask-of-two-bones", values=values)])
    return checked


def _assess_separate(
    registration: BonesRegistration,
    separate: BodyRegistration,
    n: int,
    features: bone_features.BoneFeatures,
    bone_errors: BoneErrors | None,
) -> BodyResult:
    """Assess the n-th body, which has a separate CT."""
    bone = registration.bones[n]
    views = registration.showing(n)
    if not views:
        finding = Finding("bone-not-shown", NOT_SHOWN, values={"bone": bone.name})
        return _body(registration, n, Assessment((finding,)), ct_uid=separate.body.uid)
    similarity = registration.fit.similarity[n]
    evidence = separate.assessment.evidence
    distance_mm = bone.distance_between(registration.poses[n], separate.world_from_ct)
    depths_mm = [split.depth_mm for split in evidence.splits] if evidence else []
    if bone.is_implant and len(similarity) == 1 and distance_mm <= max(depths_mm, default=0.0):
        distance_mm = 0.0  # one view does not show where along its beam it is
    findings = []
    if distance_mm > WRONG_MM:
        values = {"bone": bone.name, "distance_mm": distance_mm}
        findings.append(Finding("joint-pose-differs", FAILURE, values=values))
    for other in _overlapping(registration, n):
        values = {"bone": bone.name, "other": other}
        findings.append(Finding("bones-overlap", FAILURE, values=values))
    free_axes = np.zeros((0, 3))
    hidden = None
    if bone.is_implant:
        findings += implant_mismatch(bone.name, similarity)
        hidden = hidden_rotations(registration, n)
        free_axes = hidden.free
    findings += separate.assessment.findings
    if rival := separate.alternative:
        findings += ambiguity(rival.evidence_ratio, rival.distance_mm, rival.rotation_deg)
    codes = {finding.code for finding in findings}
    limited = feature_findings(bone.name, features, views, is_risky=True)
    findings += [finding for finding in limited if finding.code not in codes]
    if hidden:
        findings += hidden.findings(bone.name)
    assessment = replace(separate.assessment, findings=tuple(findings))
    pose_error = None
    if bone_errors and bone_errors.is_known(n):
        inflation = evidence.inflation if evidence else 1.0
        pose_error = bone_errors.by_cause(n, max(1.0, inflation))
        if hidden:
            turned = rigid.rotate(registration.poses[n], free_axes)
            pose_error = pose_error.with_unknown_turns(turned)
    more: dict[str, Any] = {"free_axes": free_axes, "features": features, "pose_error": pose_error}
    return _body(registration, n, assessment, ct_uid=separate.body.uid, **more)


def _overlapping(registration: BonesRegistration, n: int) -> list[str]:
    """Return the names of the bodies with a separate CT that the n-th body overlaps; implants may lie within bones."""
    bone = registration.bones[n]
    names = []
    pairs = list(zip(registration.bones, registration.poses, strict=True))
    for other, pose in pairs[registration.apart]:
        if other is bone or other.is_implant != bone.is_implant:
            continue
        other_from_bone = rigid.inverse(pose) @ registration.poses[n]
        within = other.contains(rigid.transform_points(other_from_bone, bone.surface))
        around = bone.contains(
            rigid.transform_points(rigid.inverse(other_from_bone), other.surface)
        )
        if max(within.mean(), around.mean()) > MAX_OVERLAP:
            names.append(other.name)
    return names


def _relative_poses(
    registration: BonesRegistration,
    first: int,
    bodies: Sequence[BodyResult],
    whole: Assessment,
) -> list[BonePose]:
    """Return the poses of the bodies from index `first`, each relative to the nearest bone before that.

    Without such bones they are relative to the whole CT.
    """
    relative = []
    for n in range(first, len(bodies)):
        bone = registration.bones[n]
        pose = registration.poses[n]
        name = WHOLE
        fixed_pose = registration.world_from_ct
        axes = np.eye(4)
        fixed: Assessment | None = whole
        fixed_error = whole.evidence.pose_error if whole.evidence else None
        if first:
            nearest = min(range(first), key=partial(_gap_mm, registration, n))
            name = registration.bones[nearest].name
            fixed_pose = registration.poses[nearest]
            axes = principal_axes(registration.bones[nearest].surface)
            fixed = bodies[nearest].assessment
            fixed_error = bodies[nearest].pose_error
        own_axes = principal_axes(bone.surface)
        numbers = joint_pose(fixed_pose, pose, axes, own_axes)
        moving_error = bodies[n].pose_error
        if fixed_error and moving_error:
            centre = rigid.transform_points(pose, own_axes[:3, 3])
            world_axes = fixed_pose[:3, :3] @ axes[:3, :3]
            numbers = numbers.with_bounds(fixed_error, moving_error, centre, world_axes)
        assessed = [each for each in (fixed, bodies[n].assessment) if each]
        verdict: Any = least_reliable(each.verdict_for("overlay") for each in assessed)
        relative.append(BonePose(bone.name, name, numbers, verdict))
    return relative


def _gap_mm(registration: BonesRegistration, n: int, other: int) -> float:
    """Return the distance between two bodies."""
    bone = registration.bones[n]
    poses = registration.poses
    return bone.gap_mm(poses[n], registration.bones[other], poses[other])
