"""What would settle a doubt about a pose, told by the sentences that `verdict` and `diagnosis` give as reasons.

Saved scenes and results have these sentences and nothing else of the assessment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: What to check, or to do: whether all is of one patient, the geometry of the X-rays, the CT, where
#: the registration started; a calibration, as the geometry is known too little; another X-ray; a
#: registration; one of the bones by themselves; else the overlays are to be looked at.
PATIENT, GEOMETRY, CT, START = "patient", "geometry", "ct", "start"
CALIBRATION, XRAY, REGISTER, BONES = "calibration", "xray", "register", "bones"
OVERLAYS = "overlays"
#: How `next_view.Plan` names the view that would help most.
_PROPOSED = re.compile(r"^A further view near (.+?)(?: \(by the axes of the CT\))? would ")
#: The first one that a sentence has counts.
_WORDS = {
    PATIENT: "are of different (patients|dates of birth|sexes|sides of the body) ",
    CT: "of the CT seem to be exchanged|^The CT's .* seems to be wrong|^The CT is too short",
    START: "another part of the CT than the start says",
    XRAY: "^Only one X-ray determines|in nearly the same direction|shows too little of the CT to confirm"
    f"|{_PROPOSED.pattern}",
    REGISTER: "^The pose was (set|not refined)|^The case's structures were not registered",
    BONES: "Register the bones by themselves",
    OVERLAYS: ": use each bone's own pose|may lie elsewhere than this pose has it",
    GEOMETRY: "seems? to (be|have) |Check its geometry",
    CALIBRATION: "^The cameras are known only|a camera may be known less well|if an angle, a distance"
    "|^The geometry of .* is unknown",
}


def remedy(reasons: Sequence[str]) -> str:
    """Say what would settle the first of the reasons that something can be done about."""
    found = (
        what for reason in reasons for what, words in _WORDS.items() if re.search(words, reason)
    )
    return next(found, OVERLAYS)


def proposed_view(reasons: Sequence[str]) -> str:
    """Return the angles of the view that would lower the error most, as "LAO 45°"; "" for none."""
    found = filter(None, map(_PROPOSED.match, reasons))
    return next((match[1] for match in found), "")
