"""Assessment of a registered whole CT, or of a single structure.

A pose is accepted if the risk is small and was measured for such images, or, for X-rays of another
kind, follows from the votes of their tiles, and if displaced bone is excluded. Any other pose is at
best "check": a false accept is worse than a false reject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import scipy

from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from ..registration.cameras import uncalibrated_view_indices
from ..registration.optimizer import Refinement
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from . import mirror
from .checks import (
    CHECKS,
    LIMITS,
    camera_assumption,
    camera_uncertainty,
    displaced_bone,
    image_quality_findings,
    limits,
    risk_findings,
    third_view,
)
from .context import AssessmentContext, Evidence, camera_corrections
from .displacement import LIMITS as DISPLACEMENT
from .displacement import Displacement, find_displacement
from .features import compute_features
from .metrics import target_points
from .records import FAILURE, Assessment, ExpectedError, Finding, TestedPoints, Use
from .risk import LIMITS as RISK
from .risk import BodyRiskModel, Risk, body_risk_model, overlay_error
from .votes import IN_PLACE

#: X-rays whose similarities differ by more may hide a fault that the features do not show, such as
#: angles of the wrong sign.
MAX_SIMILARITY_DIFFERENCE = 0.25
#: X-rays of an unfamiliar kind whose tiles are in place, with no larger tension, have no fault that a
#: search would find: correct sets of portal images have at most 1.2, a camera rotated by 3 degrees
#: from 1.6.
MAX_TENSION = 1.4


def assess(
    anatomy: PreparedCT,
    views: Sequence[View],
    refinement: Refinement,
    start: np.ndarray,
    targets: np.ndarray | None = None,
    shared: SharedUnknowns = CALIBRATED,
    *,
    is_masked: bool = False,
    is_registered: bool = True,
    model: BodyRiskModel | None = None,
) -> Assessment:
    """Assess a registered pose, or one that was set.

    Parameters
    ----------
    anatomy, views
        The prepared CT, and the views as the case has them.
    refinement
        Registered pose, and the views with corrected cameras.
    start
        (4, 4) start of the refinement.
    targets
        (N, 3) CT mm; by default the bone that all views show.
    shared
        Unknowns that all views share.
    is_masked
        A mask excludes what did not match at an earlier pose.
    is_registered
        The pose is the result of a registration.
    model
        Risk model; by default the one fitted for a whole CT, or for a structure.
    """
    uncalibrated = uncalibrated_view_indices(views, shared)
    known = [i for i in range(len(views)) if i not in uncalibrated]
    fit = refinement.fit
    if max(fit.shown[i] for i in known) < MIN_PIXELS or not np.isfinite(fit.cost):
        return Assessment((Finding("not-shown", FAILURE),))
    corrected = [refinement.views[i] for i in known]
    points = target_points(anatomy, corrected, refinement.world_from_ct, targets)
    features = compute_features(anatomy, corrected, refinement, start, points.points, shared)
    corrections = []
    if shared == CALIBRATED:
        corrections = camera_corrections([views[i] for i in known], corrected)
    strain = max((correction.strain for correction in corrections), default=0.0)
    context = AssessmentContext(
        anatomy=anatomy,
        views=corrected,
        refinement=refinement,
        start=start,
        targets=points.points,
        target_source=points.kind,
        features=features.with_camera_inflation(strain / LIMITS.strain),
        corrections=corrections,
        model=model or body_risk_model("structure" if anatomy.structure else "body"),
        shared=shared,
        uncalibrated=tuple(views[i].name for i in uncalibrated),
        is_masked=is_masked,
        is_registered=is_registered,
    )
    findings = [finding for check in CHECKS for finding in check(context)]
    displacement = None
    is_whole = not anatomy.structure
    is_open = not (limits(findings, "overlay") or context.model.is_likely_wrong(context.risk()))
    if is_whole and is_open:
        displacement = _test_displacement(context, findings)
    return _concluded(context, findings, displacement)


def _odds(displacement: Displacement | None) -> float:
    """Return the factor of the odds of a wrong pose, which is smaller if displaced bone is excluded."""
    is_excluded = displacement is not None and displacement.confirms("position")
    return RISK.tested_odds if is_excluded else 1.0


def _overlay_error(context: AssessmentContext, displacement: Displacement | None) -> ExpectedError:
    return overlay_error(
        context.features,
        context.world_targets,
        context.model,
        context.inputs,
        _odds(displacement),
    )


def _risk_findings(
    context: AssessmentContext, risk: Risk, displacement: Displacement | None
) -> list[Finding]:
    overlay = None
    confirms = False
    if not context.anatomy.structure:
        overlay = _overlay_error(context, displacement)
    if displacement:
        confirms = displacement.view_fractions.min() >= DISPLACEMENT.tested_fraction
    return risk_findings(risk, context.model, overlay, each_view_confirms=confirms)


def _test_displacement(context: AssessmentContext, findings: Sequence[Finding]) -> Displacement:
    """Test whether bone is displaced.

    An X-ray in which bone near user targets is displaced on one side only, as in a stitched image, is
    not a single projection: for a pose that may be accepted, the bone near the targets is tested, too.
    """
    uncovered = context.features.uncovered(context.views)
    test = partial(
        find_displacement, context.anatomy, context.views, context.pose, uncovered=uncovered
    )
    are_targets = context.target_source == "targets"
    displacement = test(context.targets, are_targets=are_targets)
    all_findings = [
        *findings,
        *_risk_findings(context, context.risk(_odds(displacement)), displacement),
    ]
    if limits(all_findings, "overlay") and limits(all_findings, "position"):
        return displacement
    if are_targets:
        visible_bone = target_points(context.anatomy, context.views, context.pose, None).points
        distance_mm, _ = scipy.spatial.cKDTree(context.targets).query(visible_bone)
        near = visible_bone[distance_mm <= DISPLACEMENT.group_mm]
        if len(near):
            displacement = replace(displacement, is_bent=test(near).is_bent)
    return displacement


def _concluded(
    context: AssessmentContext, findings: list[Finding], displacement: Displacement | None
) -> Assessment:
    """Return the assessment with the findings on risk, cameras and displaced bone."""
    risk = context.risk(_odds(displacement))
    cameras = camera_uncertainty(context, risk)
    about_bone: list[Finding] = []
    if displacement:
        require_tested_fraction = len(context.views) < 3 and not risk.is_familiar
        about_bone = displaced_bone(
            context, displacement, require_tested_fraction=require_tested_fraction
        )
    about_risk = _risk_findings(context, risk, displacement)
    if any(finding.code == "few-grey-levels" for finding in findings):
        about_risk = []  # the model takes missing grey levels for a wrong pose
        risk_is_known = False
    else:
        risk_is_known = risk.is_familiar
    about_images = image_quality_findings(context, risk)
    explained_risk = [*about_risk, *about_images]
    if not risk.is_within_fit:  # the risk is extrapolated: what the images show comes first
        explained_risk = [*about_images, *about_risk]
    found = [
        *findings,
        *about_bone,
        *explained_risk,
        *cameras,
        *third_view(context, risk),
        camera_assumption(context.views),
    ]
    may_be_accepted = not (limits(found, "overlay") and limits(found, "position"))
    if displacement and may_be_accepted:
        views = context.views
        ratio = mirror.evidence_ratio(context.anatomy, views, context.refinement, context.start)
        if ratio < mirror.MIN_EVIDENCE_RATIO:
            found.append(Finding("mirror-alike"))
            risk_is_known = False
    errors: dict[Use, ExpectedError | None] = {"overlay": None, "position": None}
    is_confirmed = displacement is None or displacement.confirms("position")
    if is_confirmed and not context.model.is_likely_wrong(risk):
        errors["position"] = risk.position_error
    if context.anatomy.structure or (displacement and displacement.confirms("overlay")):
        errors["overlay"] = _overlay_error(context, displacement)
    evidence = Evidence.from_features(
        context.features,
        risk,
        context.targets,
        context.world_targets,
        context.views,
        displacement=displacement,
    )
    return Assessment(
        tuple(found),
        errors,
        risk.failure if risk_is_known else None,
        displacement.points if displacement else TestedPoints.empty(),
        evidence=evidence,
    )


def is_placed(assessment: Assessment) -> bool:
    """Return whether X-rays of an unfamiliar kind have most of their tiles in place."""
    evidence = assessment.evidence
    if evidence is None or evidence.risk.is_familiar:
        return False
    return bool(evidence.features.in_place.min() >= IN_PLACE)


def fits_evenly(refinement: Refinement) -> bool:
    """Return whether all X-rays fit about equally well."""
    similarity = refinement.fit.similarity
    return max(similarity) - min(similarity) <= MAX_SIMILARITY_DIFFERENCE


def fits(assessment: Assessment, anatomy: PreparedCT, refinement: Refinement) -> bool:
    """Return whether no cause of a poor fit has to be searched for.

    All X-rays fit about equally well, and the images speak for an accept or, for X-rays of another
    kind, have most of their tiles in place and hardly disagree. Displaced bone explains what does
    not fit in X-rays whose tiles are in place. For a single structure no causes were measured.
    """
    if anatomy.structure:
        return True
    evidence = assessment.evidence
    if evidence is None or not fits_evenly(refinement):
        return False
    risk = evidence.risk
    if not risk.is_familiar:
        return is_placed(assessment) and evidence.features.tension <= MAX_TENSION
    is_explained = assessment.has("part-displaced") and risk.has_tiles_in_place
    return is_explained or risk.image_failure <= body_risk_model().accept
