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
    """Return bodies with verdicts on the motions of neighbours, and on each body relative to its neighbours."""
    motions = [_assessed_motion(motion, result.by_name) for motion in result.motions]
    bodies = []
    for body in result.bodies:
        own = [motion for motion in motions if body.name in (motion.name, motion.against)]
        bodies.append(replace(body, assessment=_with_motions(body.assessment, own, body.name)))
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
    assessment: Assessment | None, motions: Sequence[NeighbourMotion], name: str = ""
) -> Any:
    """Return an assessment with the findings and the largest error of motions, if there are any."""
    if not motions or assessment is None:
        return assessment
    findings = []
    for motion in motions:
        if motion.verdict in MOTION_FINDINGS:
            code, severity = MOTION_FINDINGS[motion.verdict]
            neighbour = motion.against if name == motion.name else motion.name
            values: dict[str, Any] = {"bone": name or motion.against, "other": neighbour}
            if code == "motion-uncertain" and motion.error_mm and motion.error_deg:
                values["upper95_mm"] = motion.error_mm.upper95_mm or np.inf
                values["upper95_deg"] = motion.error_deg.upper95_mm or np.inf
            findings.append(Finding(code, severity, RELATIVE, values=values))
    errors = [motion.error_mm for motion in motions]
    largest = None
    if all(errors):
        largest = ExpectedError(*map(max, zip(*filter(None, errors), strict=True)))
    old = assessment.without(*(code for code, _ in MOTION_FINDINGS.values()))
    found = old.with_findings(findings, first=False)
    return replace(found, errors={**assessment.errors, "relative": largest})


def with_bones(assessment: Assessment, result: JointResult, first: str = "") -> Assessment:
    """Return the assessment of a body with the findings on what was registered together with it.

    A whole CT is not accepted if a bone is displaced, lost, not shown or wrongly named, or an implant
    is lost. The first of bones with a separate CT each is not better than the worst of them.

    Parameters
    ----------
    first
        Name of the body of which the pose is; "" for a whole CT.
    """
    own = result.by_name.get(first)
    if own:
        return _of_first(assessment, result, own)
    of_ct = replace(result, bodies=[body for body in result.bodies if body.moved])
    implants = [body for body in result.bodies if not body.moved]
    combined = _with_bones_of_ct(assessment, of_ct) if of_ct.bodies else assessment
    return combined.with_findings(rejected_bodies(implants))


def rejected_bodies(bodies: Sequence[Any]) -> list[Finding]:
    """Return the finding that some bodies, each with a name and a verdict, must not be used."""
    names = ", ".join(body.name for body in bodies if body.verdict in UNUSABLE)
    return [Finding("bone-rejected", values={"bones": names})] if names else []


def _of_first(assessment: Assessment, result: JointResult, own: BodyResult) -> Assessment:
    lost = ", ".join(body.name for body in result.with_verdict("reject"))
    hidden = ", ".join(body.name for body in result.with_verdict("not shown"))
    findings = []
    if lost:
        findings.append(Finding("bone-rejected", FAILURE, values={"bones": lost}))
    if hidden:
        severity = FAILURE if own.verdict == "not shown" else CAUTION
        findings.append(Finding("bones-not-shown", severity, values={"bones": hidden}))
    findings.append(Finding("pose-of-one-bone", NOTE, values={"bone": own.name}))
    combined = assessment.with_findings(findings)
    evidence = combined.evidence
    if evidence and len(own.free_axes):
        axis = own.world_from_ct[:3, :3] @ own.free_axes[0]
        combined = replace(
            combined, evidence=replace(evidence, least_certain_rotation=(180.0, axis))
        )
    return combined


def _with_bones_of_ct(assessment: Assessment, result: JointResult) -> Assessment:
    # The motions of the bones limit their relative poses; the fit of the whole CT does not.
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
        named = body.assessment.findings if body.assessment else ()
        contradicted = [finding for finding in named if finding.code == "name-contradicted"]
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
        errors["position"] = ExpectedError(float(np.mean(distances)), max(distances))
        risk = None
    if not findings:
        names = ", ".join(body.name for body in result.bodies)
        findings = [Finding("bones-tested", NOTE, values={"bones": names})]
    combined = replace(assessment, errors=errors, risk=risk).with_findings(findings)
    return _with_motions(combined, result.motions)


def bone_of_mask(
    whole: Assessment, bone: BodyResult, views: Sequence[View], targets: np.ndarray | None
) -> Assessment:
    """Return the assessment of the bone in a mask as the result of a case; the rest of the CT is its background.

    If no X-ray shows the bone, the result is rejected.

    Parameters
    ----------
    whole
        Assessment of the whole CT by itself.
    views
        With corrected cameras.
    targets
        (N, 3) CT mm, to which the errors refer; by default its surface.
    """
    assert bone.bone and bone.moved and bone.assessment and bone.features
    surface = bone.bone.surface
    points = surface if targets is None else targets
    own = bone.assessment.without("whole-ct-in-doubt", "error-bound", "overlay-error-bound")
    about_images = [finding for finding in whole.findings if finding.code in ABOUT_IMAGES]
    findings = [*map(_as_result, own.findings), *about_images]
    distance_mm, _ = scipy.spatial.cKDTree(surface).query(points)
    is_far = distance_mm > MAX_TARGET_DISTANCE_MM
    if is_far.any():
        values = {"missing": numbered(is_far), "distance_mm": MAX_TARGET_DISTANCE_MM}
        findings.insert(0, Finding("targets-far-from-bone", values=values))
    errors = dict(own.errors)
    evidence = None
    known = bone.uncertainty
    overlay = own.errors.get("overlay")
    position = own.errors.get("position")
    if known and whole.evidence and overlay and position:
        at_surface = known.at(rigid.transform_points(bone.world_from_ct, surface))
        world_points = rigid.transform_points(bone.world_from_ct, points)
        growth = known.at(world_points).bound_mm() / at_surface.bound_mm()
        position = _scaled(position, growth)
        overlay = _scaled(overlay, max(growth, 1.0))
        errors |= {"overlay": overlay, "position": position}
        findings += _bound_findings(overlay, position)
        risk = Risk(
            position.typical_mm, position.upper95_mm or np.inf, own.risk or 0.0, own.risk or 0.0
        )
        features = replace(
            whole.evidence.features,
            uncertainty=known,
            camera_uncertainty=None,
            noise_mm=bone.features.noise_mm,
        )
        evidence = Evidence.of(features, risk, points, world_points, views, known)
    if bone.displaced_mm > MIN_REPORTED_MOTION_MM:
        values = {"distance_mm": bone.moved.mm, "rotation_deg": bone.moved.degrees}
        findings.append(Finding("rest-displaced", NOTE, values=values))
    cause = whole.cause if whole.cause and not whole.cause.fault.is_untested else None
    return Assessment(tuple(findings), errors, own.risk, cause=cause, evidence=evidence)


def _as_result(finding: Finding) -> Finding:
    """Return a finding on a bone as one on a result, which is rejected if no X-ray shows it."""
    return replace(finding, severity=FAILURE) if finding.severity == NOT_SHOWN else finding


def _scaled(error: ExpectedError, factor: float) -> ExpectedError:
    upper = None if error.upper95_mm is None else factor * error.upper95_mm
    return ExpectedError(factor * error.typical_mm, upper)


def _bound_findings(overlay: ExpectedError, position: ExpectedError) -> list[Finding]:
    """Find that the error at the targets of a bone may exceed WRONG_MM."""
    findings = []
    rows = ((overlay, OVERLAY, "overlay-error-bound"), (position, POSITION, "error-bound"))
    for error, uses, code in rows:
        bound_mm = np.inf if error.upper95_mm is None else error.upper95_mm
        if bound_mm > WRONG_MM:
            findings.append(Finding(code, uses=uses, values={"upper95_mm": bound_mm}))
    return findings
