"""The protocol: thousands of registrations over all that is thought to matter.

X-rays are simulated, registered and assessed as for any case, and held against the truth. A row:

    number, repeat, condition, part, group, ct, sha256, bone, views, apart_deg, error, nuisances
                                                     the trial, see `conditions`
    skipped; failed                                  why there were no X-rays; why there was no answer, None where there is one. With one:
    start_mm, mtre_mm, mpd_mm, depth_mm, in_plane_mm, camera_off, world_from_ct
                                                     true errors; cameras, as given and as
                                                     corrected, against the true ones
    verdict, codes, cause, failure_probability, typical_mm, upper95_mm, bounded, agree,
    depth95_mm, in_plane95_mm
                                                     the assessment of the 3D position, and the codes
                                                     of its findings, by `reevaluate` from features,
                                                     odds, measured, noise_mm, ...
    overlay, overlay_mm, overlay95_mm                the verdict on the overlay, its true error and
                                                     its bound
    register_s, assess_s                             seconds

A new condition is a `Condition` in `conditions.CONDITIONS`; a new error of the geometry a function
in `conditions.GEOMETRY_ERRORS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.assessment.causes import Cause
from MultiViewRegistrationLib.assessment.checks import UNCERTAIN_CAMERAS, limits, risk_findings
from MultiViewRegistrationLib.assessment.context import Evidence
from MultiViewRegistrationLib.assessment.records import WRONG_MM, Assessment, Verdict
from MultiViewRegistrationLib.assessment.risk import (
    EXTRA_FEATURES,
    LIMITS,
    BodyRiskModel,
    Risk,
    body_risk_model,
    model_inputs,
)
from MultiViewRegistrationLib.assessment.uncertainty import ScaledChiSquare
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.studies.evaluation import truth_of

from .cases import SimulatedCases
from .conditions import Trial


def measured(trial: Trial, cases: SimulatedCases) -> dict:
    """The row of a registration, plain data.

    "failed" in it says why there was no answer, "skipped" why there were no X-rays.
    """
    row, made = cases.case(trial)
    if made is None:
        return row
    case, (truth, targets) = made.case, truth_of(made.case)
    start = truth if case.world_from_ct is None else case.world_from_ct
    row |= {"nuisances": list(made.nuisances), "start_mm": metrics.mtre(start, truth, targets)}
    try:
        result = register(case, anatomy=made.anatomy, seed=trial.number)
    except InputError as error:
        return row | {"failed": str(error)}
    return row | {"failed": None, **_row_of(result, made)}


def _row_of(result, made):
    """Return the assessment of a registration, and its true errors."""
    errors, assessment, case = result.errors, result.assessment, result.case
    if errors is None or assessment is None:
        raise ValueError(f"{case.name} was not assessed, or has no truth")
    truth, targets = truth_of(case)
    split = metrics.split_by_view(result.views[0].camera, result.world_from_ct, truth, targets)
    alternative, background = result.refinement.alternative, result.refinement.world_from_background
    placed = [rigid.transform_points(pose, targets) for pose in (result.world_from_ct, truth)]
    evidence = assessment.evidence
    overlay = assessment.errors.get("overlay")
    row = {
        "mtre_mm": errors.mtre_mm,
        "mpd_mm": errors.mpd_mm,
        "depth_mm": float(np.sqrt(np.mean(split.depth_mm**2))),
        "in_plane_mm": float(np.sqrt(np.mean(split.in_plane_mm**2))),
        "verdict": assessment.verdict,
        "overlay": assessment.verdict_for("overlay"),
        "overlay_mm": appears_off_mm(result.views, made.cameras, *placed),
        "overlay95_mm": overlay and overlay.upper95_mm,
        "codes": [finding.code for finding in assessment.findings],
        "cause": assessment.cause and _cause(assessment.cause),
        "contradicted": assessment.has("camera-contradicted"),
        "measured": is_measured(assessment),
        "world_from_background": None if background is None else background.tolist(),
        "evidence_ratio": alternative and alternative.evidence_ratio,
        "similarity": list(result.refinement.fit.similarity),
        "world_from_ct": result.world_from_ct.tolist(),
        "register_s": result.seconds["initialise"] + result.seconds["refine"],
        "assess_s": result.seconds["assess"],
        "camera_off": [
            cameras_off(made.cameras, [view.camera for view in views])
            for views in (case.views, result.views)
        ],
        "features": None,
    }
    if evidence is None:
        return row
    row |= _predicted(evidence.risk) | _measurements(evidence, result.world_from_ct)
    if background is None:  # a bone is assessed by another model, whose features are not stored
        row["features"] = model_inputs(evidence.features)
    return row


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "cause": cause.cause,
        "views": list(cause.views),
        "moved_mm": cause.moved_mm,
        "predicts": cause.predicts_error,
        "precise": cause.is_clear,
        "rejects": cause.rejects,
    }


def _measurements(evidence: Evidence, world_from_ct: np.ndarray) -> dict[str, Any]:
    """Return what `reevaluate` needs of a pose (4, 4), and the bounds along and across the first view's beam."""
    points = rigid.transform_points(world_from_ct, evidence.targets)
    noise = evidence.features.total_uncertainty.at(points)
    cameras = None
    if uncertainty := evidence.features.camera_uncertainty:
        cameras = list(uncertainty.at(points).distribution)
    depth_risk = 0.0
    if len(evidence.splits) == 1:
        depth_risk = noise.distribution.probability_beyond(WRONG_MM / LIMITS.one_view_factor)
    displacement = evidence.displacement
    is_excluded = displacement is not None and displacement.confirms("position")
    return {
        "odds": LIMITS.tested_odds if is_excluded else 1.0,
        "cameras": cameras,
        "bounds_known": evidence.risk.position_error.upper95_mm is not None,
        "noise_mm": noise.mean_mm,
        "noise95_mm": noise.bound_mm(),
        "depth_risk": depth_risk,
        "error_inflation": evidence.inflation,
        "depth95_mm": evidence.splits[0].depth_mm,
        "in_plane95_mm": evidence.splits[0].in_plane_mm,
    }


def appears_off_mm(
    views: Sequence[View], true: Sequence[Camera], here: np.ndarray, there: np.ndarray
) -> float:
    """How far off points (N, 3), world, appear in the worst view, mm across its beam, root mean square."""
    worst = 0.0
    for view, camera in zip(views, true, strict=True):
        off = (view.camera.project(here) - camera.project(there)) * camera.pixel_mm(there)
        worst = max(worst, float(np.sqrt((off**2).sum(axis=-1).mean())))
    return worst


#: Fields of a row, and the attributes of `Risk` of which they are.
_PREDICTED = {
    "failure_probability": "failure",
    "image_failure_probability": "image_failure",
    "typical_mm": "typical_mm",
    "upper95_mm": "upper95_mm",
    "bounded": "is_within_fit",
    "agree": "views_agree",
}


def _predicted(risk: Risk) -> dict[str, Any]:
    return {name: getattr(risk, attribute) for name, attribute in _PREDICTED.items()}


#: Codes of findings that follow from the risk, and so from the features of a row.
_OF_RISK = (
    "most-likely-wrong risk error-bound views-disagree unlike-known noise view-disagrees "
    "halves-disagree not-like-ct outliers image-cropped"
).split()


def is_measured(assessment: Assessment) -> bool:
    """Return whether nothing but the risk and the likely cause limits the verdict on the 3D position."""
    known = {*_OF_RISK, *UNCERTAIN_CAMERAS}
    if assessment.cause:
        known.add(assessment.cause.code)
    return not limits([f for f in assessment.findings if f.code not in known], "position")


def cameras_off(true: list[Camera], given: list[Camera]) -> list[float]:
    """[degrees, mm] by which a further camera is off against the first at most, mm at the world origin, about which C-arms turn."""
    worst = np.zeros(2)
    moved = rigid.inverse(given[0].camera_from_world) @ true[0].camera_from_world
    for a, b in zip(true[1:], given[1:], strict=True):
        away = rigid.inverse(a.camera_from_world) @ b.camera_from_world @ moved
        degrees = np.degrees(rigid.rotation_angle(away[:3, :3]))
        worst = np.maximum(worst, [degrees, np.linalg.norm(away[:3, 3])])
    return worst.tolist()


#: Kind of the error model, by the part of a protocol.
MODELS = {"body": "body", "bone": "structure"}


def reassessed(rows: list[dict]) -> list[dict]:
    """Return the rows assessed by the present risk model.

    A row whose CT was used in the fit is assessed by the model fitted without that CT.
    """
    return [
        reevaluate(row, body_risk_model(MODELS[row["part"]], row.get("sha256", ""))) for row in rows
    ]


def reevaluate(row: dict, model: BodyRiskModel) -> dict:
    """Return a row of `measured` with the risk, the bounds and the verdict by a model, from its features."""
    if not row.get("features"):
        return row
    cameras = ScaledChiSquare(*row["cameras"]) if row.get("cameras") else None
    # Rows of single bones are older than the extra features.
    features = {**dict.fromkeys(EXTRA_FEATURES, 0.0), **row["features"]}
    risk = _at_least(model.predict(features, cameras, row.get("odds", 1.0)), row)
    cause = row.get("cause")
    verdict: Verdict = "check"
    if cause and cause["predicts"]:
        risk = _at_least(risk.if_moved(cause["moved_mm"], is_clear=cause["precise"]), row)
        if cause.get("rejects") and model.is_likely_wrong(risk):
            verdict = "reject"
        bounds = dict.fromkeys(("depth95_mm", "in_plane95_mm"), risk.upper95_mm)
    else:
        is_open = row["measured"] and not cause and risk.is_familiar and risk.cameras_suffice
        if is_open and not limits(risk_findings(risk, model), "position"):
            verdict = "accept"
        # Rows of other versions do not state whether a bound is of noise and cameras alone.
        is_known = row.get("bounds_known", True)
        upper95_mm = risk.upper95_mm if is_known else row["noise95_mm"]
        growth = upper95_mm / (row["error_inflation"] * row["noise95_mm"])
        bounds = {key: growth * row[key] for key in ("depth95_mm", "in_plane95_mm")}
    if row.get("contradicted"):
        verdict = "reject"
    return {**row, **bounds, **_predicted(risk), "verdict": verdict}


def _at_least(risk: Risk, row: Mapping[str, Any]) -> Risk:
    """Return the risk with at least the error that noise and cameras explain, as `Risk.at_least`."""
    factor = LIMITS.one_view_factor if row["views"] == 1 else 1.0
    return replace(
        risk,
        typical_mm=max(risk.typical_mm, factor * row["noise_mm"]),
        upper95_mm=max(risk.upper95_mm, factor * row["noise95_mm"]),
        failure=max(risk.failure, row.get("depth_risk", 0.0)),
    )
