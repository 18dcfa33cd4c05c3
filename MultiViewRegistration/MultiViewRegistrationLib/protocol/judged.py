"""What a model makes of registrations that are done: their features were kept, so that a model fitted later needs none of them anew."""

from __future__ import annotations

from ..assessment.diagnosis import misplaces
from ..assessment.prediction import Model
from ..assessment.verdict import decided


def judged(row: dict, model: Model) -> dict:
    """A row of `trial.measured` with the prediction, intervals and verdict of this model; as it is where nothing was predicted."""
    if row.get("wrong") is None or "noise_mm" not in row:
        return row
    told = model.predict(row["features"]).no_less_than(row["noise_mm"], row["noise95_mm"])
    cause, verdict = row.get("cause"), decided(told, model, row["measured"])
    if cause and misplaces(cause["evidence_gain"], cause.get("moved_mm", 0.0)):
        told, verdict = told.moved(cause["moved_mm"]), "reject"
    wider = told.upper95_mm / row["upper95_mm"]
    return {**row, "wrong": told.wrong, "mean_mm": told.mean_mm, "upper95_mm": told.upper95_mm, "bounded": told.bounded,
            "depth95_mm": row["depth95_mm"] * wider, "in_plane95_mm": row["in_plane95_mm"] * wider,
            "verdict": verdict}
