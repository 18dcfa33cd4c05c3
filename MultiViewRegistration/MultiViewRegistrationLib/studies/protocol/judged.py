"""What a model makes of registrations that are done: their features were kept, so that a model fitted later needs none of them anew."""

from __future__ import annotations

from ...assessment.diagnosis import CLEARER
from ...assessment.prediction import Model
from ...assessment.verdict import decide


def judged(row: dict, model: Model) -> dict:
    """A row of `trial.measured` with the prediction, intervals and verdict of this model."""
    if not row.get("features"):
        return row
    noise = row["noise_mm"], row["noise95_mm"], row["views"]
    told, cause = model.predict(row["features"]).no_less_than(*noise), row.get("cause")
    if cause and cause["evidence_gain"] >= CLEARER:
        told, moved_mm = told.moved(cause["moved_mm"]).no_less_than(*noise), cause["moved_mm"]
        verdict, split = (
            decide(told, model, False, moved_mm),
            {"depth95_mm": told.upper95_mm, "in_plane95_mm": told.upper95_mm},
        )
    else:
        verdict, wider = decide(told, model, row["measured"]), told.upper95_mm / (row["beyond"] * row["noise95_mm"])
        split = {key: wider * row[key] for key in ("depth95_mm", "in_plane95_mm")}
    return {
        **row,
        **split,
        "wrong": told.failure_probability,
        "mean_mm": told.mean_mm,
        "upper95_mm": told.upper95_mm,
        "bounded": told.bounded,
        "verdict": verdict,
    }
