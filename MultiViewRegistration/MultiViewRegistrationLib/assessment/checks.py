"""Checks of a registered pose.

A check is a function of an `AssessmentContext` that returns findings. CHECKS are cheap and run
first; `verdict.assess` runs the others as far as the pose may still be accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..geometry.fields import UNCERTAINTY, describe_uncertainty
from ..imaging.xray import CALIBRATED, View
from ..registration.similarity import MIN_PIXELS
from .context import AssessmentContext
from .displacement import Displacement
from .features import ReliabilityFeatures
from .records import (
    CAUTION,
    FAILURE,
    NOTE,
    OVERLAY,
    POSITION,
    USES,
    WRONG_MM,
    ExpectedError,
    Finding,
    Use,
)
from .risk import LIMITS as RISK
from .risk import ErrorModel, Risk
from .uncertainty import SDS_95
from .votes import MIN_FRACTION, alternative_is_in_place


@dataclass(frozen=True)
class Limits:
    """Constants of the checks.

    Attributes
    ----------
    evidence_ratio
        Smallest ratio of the evidence of the pose to that of the next minimum for which a pose is
        accepted. All 59 poses of low risk between it and `ambiguous_ratio` were correct
        (docs/tables/verdicts.md, seeds 1 to 4).
    ambiguous_ratio
        A result with a smaller ratio is called ambiguous.
    same_direction_deg
        Smallest angle between two views that determines the depth.
    grey_levels
        Smallest number of grey levels for which the risk was measured. With 16 levels 4 of 12 correct
        poses counted as most likely wrong, with 64 none of 12. Real images of 8 bits have 150 and
        more.
    strain, contradiction
        Corrections of cameras above `strain` standard deviations are unexpected; those above
        `contradiction` contradict the stated uncertainty.
    """

    evidence_ratio: float = 1.1
    ambiguous_ratio: float = 1.3
    same_direction_deg: float = 15.0
    grey_levels: int = 50
    strain: float = 2.0
    contradiction: float = 4.0


LIMITS = Limits()
#: Every so many pixels are looked at to count grey levels.
PIXEL_STEP = 7
#: Codes of findings on cameras, images and patient that hold for every bone of a CT.
CASE_WIDE = frozenset(
    (
        "no-bone no-shared-bone one-structure one-view same-direction too-little-shown "
        "few-grey-levels shared-unknown misfit-excluded pose-set geometry-unknown mirror-alike "
        "camera-contradicted patient-mismatch different-sides other-frame"
    ).split()
)
#: The cameras are not known well enough for a 3D position.
UNCERTAIN_CAMERAS = ("cameras-uncertain", "principal-point-unstated")
#: Codes of findings about the probability of an error, not its reason.
ABOUT_RISK = (
    "most-likely-wrong",
    "risk",
    "error-bound",
    "overlay-error-bound",
    "unfamiliar-images",
)

Check = Callable[[AssessmentContext], list[Finding]]


def limits(findings: Sequence[Finding], use: Use) -> bool:
    """Return whether any of these findings limits the verdict for a use."""
    return any(finding.severity > NOTE and use in finding.uses for finding in findings)


def camera_plausibility(context: AssessmentContext) -> list[Finding]:
    """Find cameras that the X-rays contradict beyond their stated uncertainty."""
    findings = []
    for view, quantity, unit, amount, sd in context.corrections:
        if sd and amount > LIMITS.contradiction * sd:
            values = {"quantity": quantity, "correction": amount, "unit": unit, "sd": sd}
            findings.append(Finding("camera-contradicted", FAILURE, views=(view,), values=values))
    return findings


def image_coverage(context: AssessmentContext) -> list[Finding]:
    """Find views that show too little, or too little of the depth together."""
    findings = []
    views = context.views
    for view in views:
        levels = len(np.unique(view.xray.line_integrals[view.xray.valid][::PIXEL_STEP]))
        if 1 < levels < LIMITS.grey_levels:  # one in a blank image
            findings.append(
                Finding("few-grey-levels", views=(view.name,), values={"levels": levels})
            )
    if len(views) == 1:
        findings.append(Finding("one-view", uses=POSITION))
    elif (angle_deg := _largest_angle_deg(views)) < LIMITS.same_direction_deg:
        values = {"angle_deg": angle_deg}
        findings.append(Finding("same-direction", uses=POSITION, values=values))
    for view, shift in zip(views, context.features.single_view_shift_mm, strict=False):
        if not np.isfinite(shift):
            findings.append(Finding("too-little-shown", views=(view.name,)))
    if context.shared != CALIBRATED:
        findings.append(Finding("shared-unknown"))
    if context.uncalibrated:
        findings.append(Finding("geometry-unknown", views=context.uncalibrated))
    return findings


def _largest_angle_deg(views: list[View]) -> float:
    axes = [view.camera.camera_from_world[2, :3] for view in views]
    angles = [np.arccos(np.clip(abs(a @ b), 0, 1)) for a, b in combinations(axes, 2)]
    return float(np.degrees(max(angles)))


def target_coverage(context: AssessmentContext) -> list[Finding]:
    """Check whether the errors refer to bone that all views show."""
    codes = {"corners": "no-bone", "bone": "no-shared-bone"}
    code = codes.get(context.target_source)
    return [Finding(code)] if code else []


def provenance(context: AssessmentContext) -> list[Finding]:
    """Check whether the risk was measured for poses of this origin."""
    findings = []
    if context.anatomy.structure:
        findings.append(Finding("one-structure"))
    if context.is_masked:
        findings.append(Finding("misfit-excluded"))
    if not context.is_registered:
        findings.append(Finding("pose-set"))
    return findings


def alternative_solution(context: AssessmentContext) -> list[Finding]:
    """Check whether another pose has about the same evidence.

    In X-rays of an unfamiliar kind a correct pose has hardly more evidence than others; there the
    other pose must have its tiles in place, too.
    """
    gap = context.features.gap
    if gap is None or gap >= LIMITS.evidence_ratio:
        return []
    if not context.risk().is_familiar and not alternative_is_in_place(
        context.anatomy, context.views, context.refinement, context.start
    ):
        return []
    return [Finding("no-unique-solution", values={"evidence_ratio": gap})]


def tile_votes(context: AssessmentContext) -> list[Finding]:
    """If the risk model finds the pose likely wrong, check whether the tiles of every X-ray confirm this.

    They do if, in every view, most tiles fit better when displaced. If noise leaves a view without
    tile votes, nothing is concluded.
    """
    fractions = context.features.in_place
    if not np.isfinite(fractions).all() or fractions.max() >= MIN_FRACTION:
        return []
    if not context.model.is_likely_wrong(context.risk()):
        return []
    return [Finding("tiles-displaced", FAILURE, values={"percent": 100 * float(fractions.max())})]


#: The most important first.
CHECKS: tuple[Check, ...] = (
    camera_plausibility,
    tile_votes,
    image_coverage,
    alternative_solution,
    provenance,
    target_coverage,
)


def ambiguity(ratio: float, distance_mm: float, rotation_deg: float) -> list[Finding]:
    """Return a note about the next minimum if its evidence is nearly as high."""
    if ratio >= LIMITS.ambiguous_ratio:
        return []
    values = {"evidence_ratio": ratio, "distance_mm": distance_mm, "rotation_deg": rotation_deg}
    return [Finding("ambiguous", NOTE, values=values)]


def displaced_bone(
    context: AssessmentContext, displacement: Displacement, *, require_tested_fraction: bool
) -> list[Finding]:
    """Find displaced bone, and targets near which it could not be excluded.

    Parameters
    ----------
    require_tested_fraction
        Whether, without user targets, the overlay is confirmed only if `LIMITS.tested_fraction` of
        the points are in place (`Displacement.confirms`).
    """
    points = displacement.points
    names = [view.name for view in context.views]
    total = len(points)
    source = "targets" if points.are_targets else "test points"
    if (count := int(points.displaced.sum())) > 0:
        values = {"count": count, "total": total, "points": source}
        values["distance_mm"] = displacement.distance_mm
        return [Finding("part-displaced", values=values)]
    if displacement.is_bent.any():
        return [Finding("view-bent", views=(names[int(displacement.is_bent.argmax())],))]
    confirmed = points.in_place
    values = {"count": int(confirmed.sum()), "total": total, "points": source}
    note = Finding("points-tested", NOTE, values=values)
    tested_uses: tuple[Use, ...] = ("overlay", "position")
    unconfirmed = [
        use
        for use in tested_uses
        if not displacement.confirms(
            use, require_tested_fraction=require_tested_fraction and use == "overlay"
        )
    ]
    if not unconfirmed:
        return [note]
    uses = frozenset(unconfirmed)
    hidden: tuple[str, ...] = ()
    if points.are_targets:
        missing = ~points.confirmed(unconfirmed[-1])
        values["missing"] = numbered(missing)
        rows = zip(names, displacement.in_field, strict=True)
        hidden = tuple(name for name, visible in rows if not visible[missing].all())
    return [Finding("targets-not-tested", uses=uses, views=hidden, values=values)]


#: Number of targets that a message names.
MAX_NAMED = 6


def numbered(chosen: np.ndarray) -> str:
    """Return the numbers of chosen targets, (N,) bool, such as "1, 4 and 2 more"."""
    numbers = [str(number) for number in np.flatnonzero(chosen) + 1]
    more = f" and {len(numbers) - MAX_NAMED} more" if len(numbers) > MAX_NAMED else ""
    return f"{', '.join(numbers[:MAX_NAMED])}{more}"


def third_view(context: AssessmentContext, risk: Risk) -> list[Finding]:
    """Check for only two views of an unfamiliar kind, which do not show which of them is wrong."""
    is_missing = len(context.views) < 3 and not risk.is_familiar
    return [Finding("third-view-missing", uses=POSITION)] if is_missing else []


def risk_findings(
    risk: Risk,
    model: ErrorModel,
    overlay: ExpectedError | None = None,
    *,
    each_view_confirms: bool = False,
) -> list[Finding]:
    """Find a risk or an expected error that is too large for an accept.

    Parameters
    ----------
    overlay
        Expected error of the overlay; None if unknown.
    each_view_confirms
        Each view alone confirms the pose, so that their disagreement does not limit the overlay.
    """
    values = {"risk": risk.failure}
    if model.is_likely_wrong(risk):
        return [Finding("most-likely-wrong", values=values)]
    findings = []
    if risk.image_failure > model.accept:
        findings.append(Finding("risk", values={**values, "accepted": model.accept}))
    elif risk.failure > model.accept and risk.cameras_suffice:
        values |= {"accepted": model.accept}
        findings.append(Finding("risk", uses=POSITION, values=values))
    if risk.upper95_mm > WRONG_MM and risk.cameras_suffice:
        values = {"upper95_mm": risk.upper95_mm}
        findings.append(Finding("error-bound", uses=POSITION, values=values))
    if overlay and (overlay.upper95_mm or np.inf) > WRONG_MM:
        values = {"upper95_mm": overlay.upper95_mm or np.inf}
        findings.append(Finding("overlay-error-bound", uses=OVERLAY, values=values))
    if not risk.views_agree:
        uses = POSITION if each_view_confirms else frozenset(USES)
        findings.append(Finding("views-disagree", uses=uses))
    if not risk.is_within_fit:
        findings.append(Finding("unlike-known"))
    if not risk.is_familiar:
        findings.append(Finding("unfamiliar-images", NOTE))
    return findings


def image_quality_findings(context: AssessmentContext, risk: Risk) -> list[Finding]:
    """Find the image features that explain a high risk of a wrong pose, the most important first."""
    if risk.image_failure <= context.model.accept or not risk.is_familiar:
        return []
    features = context.features
    views = context.views
    shifts_mm = features.single_view_shift_mm
    findings = []
    for name in context.model.worse_than_usual(context.inputs):
        if name == "noise_mm" and SDS_95 * features.noise_mm > WRONG_MM:
            findings.append(Finding("noise", values={"noise_mm": features.noise_mm}))
        elif name == "single_view_shift_sds" and np.isfinite(shifts_mm).any():
            worst = int(np.argmax(np.where(np.isfinite(shifts_mm), shifts_mm, -1)))
            values = {"shift_mm": shifts_mm[worst], "views": len(views)}
            findings.append(Finding("view-disagrees", views=(views[worst].name,), values=values))
        elif name == "split_half_mm":
            values = {"distance_mm": features.split_half_mm}
            findings.append(Finding("halves-disagree", values=values))
        elif name in ("similarity", "wider_similarity"):
            findings += [f for f in [_low_similarity(features, views)] if f not in findings]
        elif name == "outlier_fraction":
            values = {"percent": 100 * features.outlier_fraction}
            findings.append(Finding("outliers", values=values))
    return findings


def _low_similarity(features: ReliabilityFeatures, views: list[View]) -> Finding:
    fit = features.fit
    is_shown = np.array(fit.shown) >= MIN_PIXELS
    worst = int(np.argmin(np.where(is_shown, fit.similarity, 1)))
    values = {"ncc": float(fit.similarity[worst])}
    return Finding("not-like-ct", views=(views[worst].name,), values=values)


def camera_uncertainty(context: AssessmentContext, risk: Risk) -> list[Finding]:
    """Check whether the cameras are known well enough for a 3D position."""
    camera_error = context.camera_error
    if camera_error is None or risk.cameras_suffice:
        return []
    findings = []
    views = context.views
    for view in views:
        if view.doubt:
            columns, rows = view.camera.size
            values = {"doubt": view.doubt, "columns": columns, "rows": rows}
            doubted = Finding("image-cropped", uses=POSITION, views=(view.name,), values=values)
            findings.append(doubted)
    values = {
        "bound_mm": camera_error.bound_mm(),
        "risk": risk.camera_failure,
        "views": len(views),
        "are_slot_scans": all(view.camera.is_slot_scan for view in views),
        "known_to": describe_camera_uncertainty(views),
    }
    unstated = [view for view in views if view.presumed_principal_point_sd_px and not view.doubt]
    if not unstated:
        return [*findings, Finding("cameras-uncertain", uses=POSITION, values=values)]
    values["px"] = max(view.presumed_principal_point_sd_px for view in views)
    names = tuple(view.name for view in unstated)
    return [*findings, Finding("principal-point-unstated", CAUTION, POSITION, names, values)]


def describe_camera_uncertainty(views: Sequence[View]) -> str:
    """Return the largest uncertainty of each camera parameter over all views, such as "1 degree, 2 mm"."""
    uncertainties = [view.presumed for view in views]
    largest = {
        key: max((getattr(uncertainty, key) or 0.0) for uncertainty in uncertainties)
        for key in UNCERTAINTY
    }
    return describe_uncertainty(largest)


def camera_assumption(views: Sequence[View]) -> Finding:
    """Return a note about the camera accuracy on which the expected error is based."""
    is_exact = True
    for n, view in enumerate(views):  # the position of the first view defines the world
        is_posed = n == 0 or (view.rotation_sd_deg, view.translation_sd_mm) == (0, 0)
        intrinsics = view.presumed.principal_point_sd_px or view.distance_sd_percent
        is_exact &= is_posed and not intrinsics
    if is_exact:
        return Finding("cameras-exact", NOTE, POSITION)
    return Finding(
        "cameras-known", NOTE, POSITION, values={"known_to": describe_camera_uncertainty(views)}
    )


def disagreement_mm(features: ReliabilityFeatures) -> float | None:
    """Return the target error due to the disagreement of the views; None if it is not significant."""
    return features.disagreement_mm if features.disagreement > RISK.disagree else None
