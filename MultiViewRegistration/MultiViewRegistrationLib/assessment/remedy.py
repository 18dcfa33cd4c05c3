"""What would settle a doubt about a pose, by the codes of its reasons."""

from __future__ import annotations

from collections.abc import Sequence

from ..reasons import code_of

#: What to check, or to do: whether all is of one patient, the geometry of the X-rays, the CT, where
#: the registration started; a calibration, as the geometry is known too little; another X-ray; a
#: registration; one of the bones by themselves; to say how well the geometry is known; else the
#: overlays are to be looked at.
PATIENT = "patient"
GEOMETRY = "geometry"
CT = "ct"
START = "start"
CALIBRATION = "calibration"
XRAY = "xray"
REGISTER = "register"
BONES = "bones"
CERTAINTY = "certainty"
OVERLAYS = "overlays"
#: What settles a reason. All other causes are of the geometry; of all other reasons nothing is known
#: but to look.
_BY_CODE = {
    "cause-ct-scale": CT,
    "cause-half-turn": CT,
    "cause-mirrored-ct": CT,
    "cause-short": CT,
    "cause-slice-spacing": CT,
    "cause-part": START,
    "cause-level": OVERLAYS,
    "patient-mismatch": PATIENT,
    "other-frame": CT,
    "different-sides": PATIENT,
    "camera-contradicted": GEOMETRY,
    "edges-off": GEOMETRY,
    "image-cropped": GEOMETRY,
    "view-disagrees": GEOMETRY,
    "principal-point-unstated": CERTAINTY,
    "cameras-uncertain": CALIBRATION,
    "geometry-unknown": CALIBRATION,
    "views-disagree": CALIBRATION,
    "further-view": XRAY,
    "one-view": XRAY,
    "same-direction": XRAY,
    "too-little-shown": XRAY,
    "bones-not-registered": REGISTER,
    "not-refined": REGISTER,
    "pose-set": REGISTER,
    "part-displaced": BONES,
    "bone-displaced": OVERLAYS,
    "bone-lost": OVERLAYS,
}


def remedy(reasons: Sequence[str]) -> str:
    """Say what would settle the first of the reasons that something can be done about."""
    for code in map(code_of, reasons):
        if found := _BY_CODE.get(code, GEOMETRY if code.startswith("cause-") else None):
            return found
    return OVERLAYS


def proposed_view(reasons: Sequence[str]) -> str:
    """Return the angles of the view that would lower the error most, as "LAO 45°"; "" for none."""
    proposed = next((each for each in reasons if code_of(each) == "further-view"), "")
    headline = getattr(proposed, "headline", "")
    return "" if f"{headline}." == proposed else headline  # as in a file of before
