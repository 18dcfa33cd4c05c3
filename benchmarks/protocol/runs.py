"""The protocol: thousands of registrations over all that is thought to matter.

X-rays are simulated, registered and assessed as for any case, and held against the truth. A row:

    number, repeat, condition, part, group, ct, sha256, bone, views, apart_deg, error, nuisances
                                                     the trial, see `conditions`
    skipped; failed                                  why there were no X-rays; why there was no answer, None where there is one. With one:
    start_mm, mtre_mm, mpd_mm, depth_mm, in_plane_mm, camera_off, world_from_ct
                                                     true errors; cameras, as given and as
                                                     corrected, against the true ones
    verdict, reasons, cause, failure_probability, mean_mm, upper95_mm, bounded, depth95_mm,
    in_plane95_mm
                                                     the assessment, made again by `reevaluate` from
                                                     features, measured, noise_mm, ...
    register_s, assess_s                             seconds

A new condition is a `Condition` in `conditions.CONDITIONS`; a new error of the geometry a function
in `conditions.GEOMETRY_ERRORS`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.assessment.prediction import (
    EXTRA_FEATURES,
    Model,
    calibrated,
    decide,
    depth_risk,
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
    """The program's assessment of a registration, beside the truth."""
    errors, assessment, case = result.errors, result.assessment, result.case
    if errors is None or assessment is None:
        raise ValueError(f"{case.name} was not assessed, or has no truth")
    prediction, cause = assessment.prediction, assessment.cause
    truth, targets = truth_of(case)
    split = metrics.split_by_view(result.views[0].camera, result.world_from_ct, truth, targets)
    split95 = assessment.splits[0] if assessment.splits else None
    features, noise, cameras = assessment.features, None, None
    if features:
        points = rigid.transform_points(result.world_from_ct, assessment.targets)
        noise = features.total_uncertainty.at(points)
        if features.camera_uncertainty:
            cameras = list(features.camera_uncertainty.at(points).distribution)
    alternative, background = result.refinement.alternative, result.refinement.world_from_background
    placed = [rigid.transform_points(pose, targets) for pose in (result.world_from_ct, truth)]
    return {
        "mtre_mm": errors.mtre_mm,
        "mpd_mm": errors.mpd_mm,
        "depth_mm": float(np.sqrt(np.mean(split.depth_mm**2))),
        "in_plane_mm": float(np.sqrt(np.mean(split.in_plane_mm**2))),
        "verdict": assessment.position,
        "overlay": assessment.overlay,
        "overlay_mm": appears_off_mm(result.views, made.cameras, *placed),
        "overlay95_mm": assessment.appearance and assessment.appearance.upper95_mm,
        "reasons": list(assessment.reasons),
        "cause": cause and {**cause.to_json(), "predicts": cause.predicts, "precise": cause.clear},
        **{key: prediction and getattr(prediction, key) for key in _PREDICTED},
        "depth95_mm": split95 and split95.depth_mm,
        "in_plane95_mm": split95 and split95.in_plane_mm,
        "error_inflation": assessment.error_inflation,
        "world_from_background": None if background is None else background.tolist(),
        "evidence_ratio": alternative and alternative.evidence_ratio,
        "similarity": list(result.refinement.fit.similarity),
        "world_from_ct": result.world_from_ct.tolist(),
        # A bone before the rest of its CT was judged by a model of its own, of which nothing is kept.
        "features": features and model_inputs(features) if background is None else None,
        "cameras": cameras,
        "contradicted": bool(assessment.contradictions),
        "bounds_known": assessment.bounds_known,
        "measured": assessment.measured,
        "noise_mm": noise and noise.mean_mm,
        "noise95_mm": noise and noise.bound_mm(),
        "depth_risk": noise and depth_risk(noise, len(assessment.splits)),
        "register_s": result.seconds["initialise"] + result.seconds["refine"],
        "assess_s": result.seconds["assess"],
        "camera_off": [
            cameras_off(made.cameras, [view.camera for view in views])
            for views in (case.views, result.views)
        ],
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


#: Of a prediction in a row.
_PREDICTED = (
    "failure_probability",
    "image_failure_probability",
    "mean_mm",
    "upper95_mm",
    "bounded",
    "agree",
)


def cameras_off(true: list[Camera], given: list[Camera]) -> list[float]:
    """[degrees, mm] by which a further camera is off against the first at most, mm at the world origin, about which C-arms turn."""
    worst = np.zeros(2)
    moved = rigid.inverse(given[0].camera_from_world) @ true[0].camera_from_world
    for a, b in zip(true[1:], given[1:], strict=True):
        away = rigid.inverse(a.camera_from_world) @ b.camera_from_world @ moved
        degrees = np.degrees(rigid.rotation_angle(away[:3, :3]))
        worst = np.maximum(worst, [degrees, np.linalg.norm(away[:3, 3])])
    return worst.tolist()


#: The model of a part's predictions.
MODELS = {"body": "body", "bone": "structure"}


def judged(rows: list[dict]) -> list[dict]:
    """The rows as the program's present model judges them; those of a CT to which it was fitted, as that of the others does."""
    return [reevaluate(row, calibrated(MODELS[row["part"]], row.get("sha256", ""))) for row in rows]


def reevaluate(row: dict, model: Model) -> dict:
    """A row of `measured` with the prediction, intervals and verdict of this model.

    Its features were kept.
    """
    if not row.get("features"):
        return row
    noise = row["noise_mm"], row["noise95_mm"], row["views"], row.get("depth_risk", 0.0)
    cameras = ScaledChiSquare(*row["cameras"]) if row.get("cameras") else None
    features = {
        **dict.fromkeys(EXTRA_FEATURES, 0.0),
        **row["features"],
    }  # the structures' are of before views were asked where else the CT may lie
    prediction, cause = model.predict(features, cameras).no_less_than(*noise), row.get("cause")
    if cause and cause["predicts"]:
        prediction = prediction.moved(cause["moved_mm"], precise=cause["precise"]).no_less_than(
            *noise
        )
        verdict_now = decide(prediction, model, measured=False)
        split = {"depth95_mm": prediction.upper95_mm, "in_plane95_mm": prediction.upper95_mm}
    else:
        verdict_now = decide(prediction, model, row["measured"] and not cause)
        # Where a part lies elsewhere, bounds are of noise alone; older rows do not say so.
        known = prediction.upper95_mm if row.get("bounds_known", True) else row["noise95_mm"]
        wider = known / (row["error_inflation"] * row["noise95_mm"])
        split = {key: wider * row[key] for key in ("depth95_mm", "in_plane95_mm")}
    if row.get("contradicted"):
        verdict_now = "reject"
    return {
        **row,
        **split,
        **{key: getattr(prediction, key) for key in _PREDICTED},
        "verdict": verdict_now,
    }
