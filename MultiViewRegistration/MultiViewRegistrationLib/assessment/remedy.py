"""What would settle a doubt about a pose, by the codes of its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..errors import code_of

#: What to check, or to do: whether all is of one patient, the geometry of the X-rays, the CT, where
#: the registration started; a calibration, as the geometry is known too little; another X-ray; a
#: registration; one of the bones by themselves; to say how well the geometry is known; else the
#: overlays are to be looked at.
Remedy = Literal[
    "patient",
    "geometry",
    "ct",
    "start",
    "calibration",
    "xray",
    "register",
    "bones",
    "certainty",
    "overlays",
]
#: What settles a reason. All other causes are of the geometry; of all other reasons nothing is known
#: but to look.
_BY_CODE: dict[str, Remedy] = {
    "cause-ct-scale": "ct",
    "cause-half-turn": "ct",
    "cause-mirrored-ct": "ct",
    "cause-short": "ct",
    "cause-slice-spacing": "ct",
    "cause-part": "start",
    "cause-level": "overlays",
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
    "part-displaced": "bones",
    "bone-displaced": "overlays",
    "bone-lost": "overlays",
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
    headline = getattr(proposed, "headline", "")
    return "" if f"{headline}." == proposed else headline  # as in a file of before
