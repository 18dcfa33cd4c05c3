"""What a model makes of registrations that are done: their features were kept, so that a model fitted later needs none of them anew."""

from __future__ import annotations

from ..assessment.diagnosis import misplaces
from ..assessment.prediction import Model
from ..assessment.verdict import STRUCTURE_BEYOND, decided


def judged(row: dict, model: Model) -> dict:
    """A row of `trial.measured` with the prediction, intervals and verdict of this model; of one structure with the intervals alone."""
    if "noise_mm" not in row:
        return row
    if row["wrong"] is None:
        return row if row["depth95_mm"] is None else {**row, **_wider(row, STRUCTURE_BEYOND / row.get("beyond", STRUCTURE_BEYOND))}
    told = model.predict(row["features"]).no_less_than(row["noise_mm"], row["noise95_mm"], row["views"])
    cause, verdict = row.get("cause"), decided(told, model, row["measured"])
    if cause and misplaces(cause["evidence_gain"], cause.get("moved_mm", 0.0)):
        told, verdict = told.moved(cause["moved_mm"]), "reject"
    return {**row, **_wider(row, told.upper95_mm / row["upper95_mm"]), "wrong": told.wrong, "mean_mm": told.mean_mm,
            "upper95_mm": told.upper95_mm, "bounded": told.bounded, "verdict": verdict}


def _wider(row: dict, factor: float) -> dict:
    return {key: factor * row[key] for key in ("depth95_mm", "in_plane95_mm")}
