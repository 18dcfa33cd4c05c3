"""What would settle a doubt about a pose, by the codes of its reasons."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import code_of
from .faults import FAULTS, Remedy, cause_code

#: What settles a reason; of all others nothing is known but to look.
_BY_CODE: dict[str, Remedy] = {
    "patient-mismatch": "patient",
    "other-frame": "ct",
    "different-sides": "patient",
    "camera-contradicted": "geometry",
    "edges-off": "geometry",
    "image-cropped": "geometry",
    "view-disagrees": "geometry",
    "principal-point-unstated": "certainty",
    "cameras-uncertain": "calibration",
    "geometry-unknown": "calibration",
    "views-disagree": "calibration",
    "further-view": "xray",
    "one-view": "xray",
    "same-direction": "xray",
    "too-little-shown": "xray",
    "bones-not-registered": "register",
    "not-refined": "register",
    "pose-set": "register",
    "ct-misfit": "match",
    "part-displaced": "bones",
    "view-bent": "overlays",
    "bone-displaced": "overlays",
    "bone-lost": "overlays",
    **{cause_code(cause): row.act for cause, row in FAULTS.items()},
}


def remedy(reasons: Sequence[str]) -> Remedy:
    """Say what would settle the first of the reasons that something can be done about."""
    for code in map(code_of, reasons):
        if found := _BY_CODE.get(code, "geometry" if code.startswith("cause-") else None):
            return found
    return "overlays"


def proposed_view(reasons: Sequence[str]) -> str:
    """Return the angles of the view that would lower the error most, as "LAO 45°"; "" for none."""
    proposed = next((each for each in reasons if code_of(each) == "further-view"), "")
    return getattr(proposed, "headline", "")
