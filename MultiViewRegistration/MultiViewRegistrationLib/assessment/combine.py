"""Assessment of a case from those of its bodies: poses relative to each other, a whole CT with its bones, and the bone of a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy

from ..geometry import rigid
from ..imaging.xray import View
from .bodies import BodyResult, JointResult
from .checks import ABOUT_RISK, CASE_WIDE, UNCERTAIN_CAMERAS, numbered
from .context import Evidence
from .joint_motion import NeighbourMotion
from .records import (
    CAUTION,
    FAILURE,
    NOT_SHOWN,
    NOTE,
    OVERLAY,
    POSITION,
    RELATIVE,
    UNUSABLE,
    WRONG_MM,
    Assessment,
    ExpectedError,
    Finding,
    Use,
    Verdict,
)
from .risk import Risk

#: Largest distance of a target from a bone that was compared.
MAX_TARGET_DISTANCE_MM = 50.0
#: Smaller motions of a bone against the rest of its CT are not reported.
MIN_REPORTED_MOTION_MM = 0.5
#: Uses of the pose of a whole CT, which displaced bones limit.
OF_WHOLE_CT = OVERLAY | POSITION
#: Codes of findings of the whole CT that are about cameras and X-rays, and hold for a bone of it.
ABOUT_IMAGES = CASE_WIDE | {*UNCERTAIN_CAMERAS, "image-cropped"}


def with_motions(result: JointResult) -> JointResult:
    """Assess the motions between neighbouring bones, and add their findings to those of both bones."""
    motions = [_assessed_motion(motion, result.by_name) for motion in result.motions]
    bodies = []
    for body in result.bodies:
        body_motions = [motion for motion in motions if body.name in (motion.name, motion.against)]
        assessment = body.assessment and _with_motions(body.assessment, body_motions, body.name)
        bodies.append(replace(body, assessment=assessment))
    return replace(result, bodies=bodies, motions=motions)


def _assessed_motion(motion: NeighbourMotion, bodies: Mapping[str, BodyResult]) -> NeighbourMotion:
    """Return a motion with its verdict: it is accepted if both overlays are, and its error is small."""
    verdicts = []
    for name in (motion.name, motion.against):
        assessment = bodies[name].assessment
        verdicts.append(assessment.verdict_for("overlay") if assessment else "check")
    if "reject" in verdicts:
        verdict: Verdict = "reject"
    elif "not shown" in verdicts:
        verdict = "not shown"
    else:
        are_accepted = set(verdicts) == {"accept"}
        verdict = "accept" if are_accepted and motion.is_precise else "check"
    return replace(motion, verdict=verdict)


#: Code and severity of the finding on a body, by the verdict on its motion against a neighbour.
MOTION_FINDINGS = {
    "check": ("motion-uncertain", CAUTION),
    "not shown": ("neighbour-not-shown", NOT_SHOWN),
    "reject": ("neighbour-rejected", FAILURE),
}


def _with_motions(
    assessment: Assessment, motions: Sequence[NeighbourMotion], name: str = ""
) -> Assessment:
    """Add the findings on motions between neighbouring bones to an assessment.

    The error of the relative pose becomes the largest error of the motions. Without motions the
    assessment is unchanged.

    Parameters
    ----------
    name
        Bone that `assessment` describes; "" for a whole CT.
    """
    if not motions:
        return assessment
    findings = []
    for motion in motions:
        if motion.verdict in MOTION_FINDINGS:
            code, severity = MOTION_FINDINGS[motion.verdict]
            neighbour = motion.against if name == motion.name else motion.name
            values: dict[str, Any] = {"bone": name or motion.against, "other": neighbour}
            if code == "motion-uncertain" and motion.error_mm and motion.error_deg:
                values["upper95_mm"] = motion.error_mm.upper95_mm or np.inf
                values["upper95_deg"] = motion.error_deg.upper95_deg or np.inf
            findings.append(Finding(code, severity, RELATIVE, values=values))
    errors = [motion.error_mm for motion in motions if motion.error_mm]
    largest = None
    if len(errors) == len(motions):
        bounds_mm = [error.upper95_mm for error in errors if error.upper95_mm is not None]
        upper95_mm = max(bounds_mm) if len(bounds_mm) == len(errors) else None
        largest = ExpectedError(max(error.typical_mm for error in errors), upper95_mm)
    previous = assessment.without(*(code for code, _ in MOTION_FINDINGS.values()))
    updated = previous.with_findings(findings, first=False)
    return replace(updated, errors={**assessment.errors, "relative": largest})


def with_bones(assessment: Assessment, result: JointResult, reference: str = "") -> Assessment:
    """Return the assessment of a body with the findings on jointly registered bones and implants.

    A whole CT is not accepted if a bone is displaced, rejected, not shown or wrongly named, or an
    implant is rejected. If each bone has a separate CT, the reference bone receives the worst verdict
    of all bones.

    Parameters
    ----------
    reference
        Name of the body that `assessment` describes; "" for a whole CT.
    """
    reference_body = result.by_name.get(reference)
    if reference_body:
        return _with_separate_bones(assessment, result, reference_body)
    bones = replace(result, bodies=[body for body in result.bodies if body.moved])
    implants = [body for body in result.bodies if not body.moved]
    combined = _with_bones_of_ct(assessment, bones) if bones.bodies else assessment
    return combined.with_findings(rejected_bodies(implants))


def rejected_bodies(bodies: Sequence[Any]) -> list[Finding]:
    """Return the finding that some bodies, each with a name and a verdict, must not be used."""
    names = ", ".join(body.name for body in bodies if body.verdict in UNUSABLE)
    return [Finding("bone-rejected", values={"bones": names})] if names else []


def _with_separate_bones(
    assessment: Assessment, result: JointResult, reference: BodyResult
) -> Assessment:
    rejected = ", ".join(body.name for body in result.with_verdict("reject"))
    hidden = ", ".join(body.name for body in result.with_verdict("not shown"))
    findings = []
    if rejected:
        findings.append(Finding("bone-rejected", FAILURE, values={"bones": rejected}))
    if hidden:
        severity = FAILURE if reference.verdict == "not shown" else CAUTION
        findings.append(Finding("bones-not-shown", severity, values={"bones": hidden}))
    findings.append(Finding("pose-of-one-bone", NOTE, values={"bone": reference.name}))
    combined = assessment.with_findings(findings)
    evidence = combined.evidence
    if evidence and len(reference.free_axes):
        axis = reference.world_from_ct[:3, :3] @ reference.free_axes[0]
        combined = replace(
            combined, evidence=replace(evidence, least_certain_rotation=(180.0, axis))
        )
    return combined


def _with_bones_of_ct(assessment: Assessment, result: JointResult) -> Assessment:
    # Relative poses are assessed by the motions of the bones, not by the fit of the whole CT.
    of_whole = [replace(finding, uses=finding.uses - RELATIVE) for finding in assessment.findings]
    assessment = replace(assessment, findings=tuple(of_whole))
    displaced = result.displaced
    lost = ", ".join(body.name for body in result.with_verdict("reject"))
    hidden = ", ".join(body.name for body in result.with_verdict("not shown"))
    findings = []
    if displaced:
        values = {
            "accepted": len(result.with_verdict("accept")),
            "total": len(result.bodies),
            "bone": displaced[0].name,
            "distance_mm": displaced[0].displaced_mm,
            "further": len(displaced) - 1,
        }
        findings.append(Finding("bone-displaced", uses=OF_WHOLE_CT, values=values))
    for body in result.bodies:
        bone_findings = body.assessment.findings if body.assessment else ()
        contradicted = [finding for finding in bone_findings if finding.code == "name-contradicted"]
        findings += [finding for finding in contradicted if finding not in findings]
    if lost:
        findings.append(Finding("bone-lost", uses=OF_WHOLE_CT, values={"bones": lost}))
    if hidden:
        findings.append(Finding("bones-not-shown", uses=OF_WHOLE_CT, values={"bones": hidden}))
    errors = dict(assessment.errors)
    risk = assessment.risk
    if displaced:
        assessment = assessment.without(*ABOUT_RISK, "third-view-missing", "part-displaced")
        distances = [body.displaced_mm for body in result.usable]
        # Measured displacements replace the predicted error: the mean and the maximum.
        errors["position"] = ExpectedError(float(np.mean(distances)), max(distances))
        risk = None
    if not findings:
        names = ", ".join(body.name for body in result.bodies)
        findings = [Finding("bones-tested", NOTE, values={"bones": names})]
    combined = replace(assessment, errors=errors, risk=risk).with_findings(findings)
    return _with_motions(combined, result.motions)


def assess_masked_bone(
    whole: Assessment, bone: BodyResult, views: Sequence[View], targets: np.ndarray | None
) -> Assessment:
    """Return the assessment of a case whose target is the masked bone.

    The rest of the CT is treated as background. If no X-ray shows the bone, the result is rejected.

    Parameters
    ----------
    whole
        Assessment of the whole CT by itself.
    views
        Views after the correction of their cameras.
    targets
        (N, 3) points at which errors are predicted, CT mm; by default the points of the surface.
    """
    assert bone.bone and bone.moved and bone.assessment and bone.features
    surface = bone.bone.surface
    points = surface if targets is None else targets
    bone_assessment = bone.assessment.without(
        "whole-ct-in-doubt", "error-bound", "overlay-error-bound"
    )
    about_images = [finding for finding in whole.findings if finding.code in ABOUT_IMAGES]
    findings = [*map(_as_result, bone_assessment.findings), *about_images]
    distance_mm, _ = scipy.spatial.cKDTree(surface).query(points)
    is_far = distance_mm > MAX_TARGET_DISTANCE_MM
    if is_far.any():
        values = {"missing": numbered(is_far), "distance_mm": MAX_TARGET_DISTANCE_MM}
        findings.insert(0, Finding("targets-far-from-bone", values=values))
    errors, evidence = _errors_at(points, bone, whole.evidence, views)
    if evidence:
        findings += _bound_findings(errors)
    if bone.displaced_mm > MIN_REPORTED_MOTION_MM:
        values = {"distance_mm": bone.moved.mm, "rotation_deg": bone.moved.degrees}
        findings.append(Finding("rest-displaced", NOTE, values=values))
    cause = whole.cause if whole.cause and not whole.cause.fault.is_untested else None
    return Assessment(tuple(findings), errors, bone_assessment.risk, cause=cause, evidence=evidence)


def _errors_at(
    points: np.ndarray, bone: BodyResult, evidence: Evidence | None, views: Sequence[View]
) -> tuple[dict[Use, ExpectedError | None], Evidence | None]:
    """Return the expected errors of a bone by use at points (N, 3), CT mm, and the evidence for them.

    `evidence` is that of the whole CT. Without it, or if the uncertainty or an error of the bone is
    unknown, the errors at the surface of the bone are returned, and no evidence.
    """
    assert bone.bone and bone.assessment and bone.features
    errors = dict(bone.assessment.errors)
    overlay = errors.get("overlay")
    position = errors.get("position")
    uncertainty = bone.uncertainty
    if not (uncertainty and evidence and overlay and position):
        return errors, None
    world_surface = rigid.transform_points(bone.world_from_ct, bone.bone.surface)
    world_points = rigid.transform_points(bone.world_from_ct, points)
    growth = uncertainty.at(world_points).bound_mm() / uncertainty.at(world_surface).bound_mm()
    position = _scaled(position, growth)
    errors |= {"overlay": _scaled(overlay, max(growth, 1.0)), "position": position}
    failure = bone.assessment.risk or 0.0
    risk = Risk(position.typical_mm, position.upper95_mm or np.inf, failure, failure)
    features = replace(
        evidence.features,
        uncertainty=uncertainty,
        camera_uncertainty=None,
        noise_mm=bone.features.noise_mm,
    )
    at_points = Evidence.from_features(features, risk, points, world_points, views, uncertainty)
    return errors, at_points


def _as_result(finding: Finding) -> Finding:
    """Return a finding on a bone as one on a result, which is rejected if no X-ray shows it."""
    return replace(finding, severity=FAILURE) if finding.severity == NOT_SHOWN else finding


def _scaled(error: ExpectedError, factor: float) -> ExpectedError:
    upper = None if error.upper95_mm is None else factor * error.upper95_mm
    return ExpectedError(factor * error.typical_mm, upper)


def _bound_findings(errors: Mapping[Use, ExpectedError | None]) -> list[Finding]:
    """Check whether the error at the targets of a bone may exceed WRONG_MM."""
    findings = []
    rows: tuple[tuple[Use, str], ...] = (
        ("overlay", "overlay-error-bound"),
        ("position", "error-bound"),
    )
    for use, code in rows:
        error = errors[use]
        bound_mm = np.inf if error is None or error.upper95_mm is None else error.upper95_mm
        if bound_mm > WRONG_MM:
            findings.append(Finding(code, uses=frozenset({use}), values={"upper95_mm": bound_mm}))
    return findings
