"""Messages for the findings of an assessment: headline, explanation and action of each code.

No other module contains or reads these texts. A message is filled in with the values of its finding;
{views} are the names of its views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..assessment.records import (
    NOTE,
    UNUSABLE,
    WRONG_DEG,
    WRONG_MM,
    Assessment,
    Finding,
    Use,
    UseAssessment,
)

#: What resolves a finding: check the patient in the DICOM headers, the geometry, the CT or the start;
#: calibrate; state the calibration accuracy; add an X-ray; register; register the bones; inspect the
#: overlays, the default, which only precedes other actions where it is stated.
Remedy = Literal[
    "patient",
    "geometry",
    "ct",
    "start",
    "calibration",
    "certainty",
    "xray",
    "register",
    "bones",
    "overlays",
    "",
]


class Message(NamedTuple):
    """Text about a finding.

    Attributes
    ----------
    headline
        Statement without a full stop.
    explanation, action
        Sentences; "" for none.
    remedy
        The kind of action.
    """

    headline: str
    explanation: str = ""
    action: str = ""
    remedy: Remedy = ""

    def __str__(self) -> str:
        return " ".join(filter(None, [f"{self.headline}.", self.explanation, self.action]))


_NEXT_XRAY = "Add an X-ray from another direction."
_LOADING = "Check how the images were loaded."
_TURNED = {
    "upside-down": "top and bottom exchanged",
    "turned-180": "rotated by 180 degrees",
    "turned-90": "rotated by 90 degrees clockwise",
    "turned-270": "rotated by 90 degrees counterclockwise",
}
#: Messages by code. Every name in braces is a value of the finding, or a text of `_texts`.
MESSAGES: dict[str, Message] = {
    # Patient and provenance
    "patient-mismatch": Message("{statement}", "", "", "patient"),
    "different-sides": Message("{statement}", "", "", "patient"),
    "other-frame": Message("{statement}", "", "", "ct"),
    "other-day": Message("{statement}"),
    "patient-confirmed": Message(
        "The patient was confirmed by the user",
        "The DICOM headers of CT and X-rays differ.",
    ),
    "geometry-from-truth": Message(
        "The geometry was derived from the true poses",
        "The reported error is smaller than it would be without the truth.",
    ),
    "assumed": Message("Assumed: {assumptions}"),
    "not-refined": Message(
        "The pose was not refined", "The pose is as provided ({method}).", "", "register"
    ),
    "not-assessed": Message("This body was not assessed separately", "", "Inspect the overlays."),
    "pose-set": Message(
        "The pose was set, not registered",
        "The risk was not measured for such poses.",
        "Register from this pose.",
        "register",
    ),
    "misfit-excluded": Message(
        "Mismatched regions are masked", "With these masks a wrong pose may look right, too."
    ),
    "one-structure": Message(
        "The bone may match a similar one nearby", "", "Check the outline of the bone."
    ),
    "bones-not-registered": Message(
        "The bones were not registered", "This is the pose of {body} alone.", "", "register"
    ),
    # Views and cameras
    "not-shown": Message(
        "No X-ray shows enough of the anatomy", "", "Check the initial pose.", "start"
    ),
    "view-not-used": Message(
        "{views} was not used", "The projected CT covers too little of this X-ray."
    ),
    "one-view": Message(
        "Only one X-ray determines the pose",
        "The depth along the beam is uncertain.",
        _NEXT_XRAY,
        "xray",
    ),
    "same-direction": Message(
        "The X-rays are only {angle_deg:.0f} degrees apart",
        "The depth along their beams is uncertain.",
        _NEXT_XRAY,
        "xray",
    ),
    "too-little-shown": Message(
        "{views} shows too little of the anatomy",
        "This X-ray does not help to confirm the pose.",
        _NEXT_XRAY,
        "xray",
    ),
    "few-grey-levels": Message(
        "{views} has only {levels:.0f} grey levels",
        "With so few grey levels, dark bone is not visible.",
        "Export the image with 256 or more.",
        "geometry",
    ),
    "shared-unknown": Message(
        "All X-rays share an unknown parameter", "The risk was not measured for such cases."
    ),
    "geometry-unknown": Message(
        "The geometry of {views} is unknown",
        "This X-ray was not used to confirm the pose.",
        "",
        "calibration",
    ),
    "camera-contradicted": Message(
        "The X-rays contradict the {quantity} of {views}",
        "The registration corrected it by {correction:.1f} {unit}; the stated standard deviation is "
        "{sd:.2g} {unit}.",
        "Check the geometry of {views}.",
        "geometry",
    ),
    "image-cropped": Message(
        "{views} may not be the calibrated image",
        "{doubt}",
        "Use the image that was calibrated. If it is this one, state its size: View(size=({columns}, "
        '{rows})) in Python, "size": [{columns}, {rows}] in a case.json.',
        "geometry",
    ),
    "principal-point-unstated": Message(
        "The accuracy of the principal point is unknown",
        "In {views} the principal point may be off by 5 mm on the detector, as a C-arm bends. The 3D "
        "position may then be wrong by up to {bound_mm:.1f} mm ({risk} risk of more than {wrong_mm:g} "
        "mm), which the X-rays cannot reveal.",
        "If the camera was calibrated where the X-ray was taken, state principal_point_sd_px 0.5 (in "
        "Python in the uncertainty of its View); otherwise state how far off it may be ({px:.1f}), so "
        "that it is estimated, {third_view}or show beads in the X-rays (calibrate_from_beads in "
        "Python, mvreg calibrate).",
        "certainty",
    ),
    "cameras-uncertain": Message(
        "C-arm geometry approximate",
        "The C-arm geometry is accurate to {known_to} only, so the 3D position may be wrong by up to "
        "{bound_mm:.1f} mm ({risk} risk of more than {wrong_mm:g} mm). The X-rays cannot reveal this "
        "error.",
        "{calibrate}",
        "calibration",
    ),
    "third-view-missing": Message(
        "Two X-rays of an unfamiliar kind",
        "A third X-ray would show which of the two is wrong if they disagree.",
        _NEXT_XRAY,
        "xray",
    ),
    "views-disagree": Message(
        "The X-rays disagree with each other",
        "The difference is larger than noise and the stated camera accuracy explain. An angle, a "
        "distance or the size of the CT may be wrong, or the patient moved between the X-rays.",
        "Check the geometry, or calibrate.",
        "calibration",
    ),
    # Images
    "unfamiliar-images": Message(
        "X-rays of an unfamiliar kind",
        "The risk model was not validated for such images. The risk is estimated from the fraction of image regions "
        "that match best at this pose.",
    ),
    "noise": Message(
        "The images determine the pose poorly",
        "Noise alone explains an error of {noise_mm:.1f} mm.",
        _NEXT_XRAY,
        "xray",
    ),
    "view-disagrees": Message(
        "{views} disagrees with the other X-rays",
        "This X-ray alone would move the CT by {shift_mm:.1f} mm across its beam.",
        "Check the geometry of {views}, whether the patient's right is on the left of the image, and "
        "whether anything moved between the X-rays.",
        "geometry",
    ),
    "halves-disagree": Message(
        "The halves of the images disagree",
        "Registering each half separately gives poses {distance_mm:.1f} mm apart. Something may have "
        "moved, or a distance is wrong.",
    ),
    "not-like-ct": Message(
        "{views} differs from the DRR",
        "The local NCC is only {ncc:.2f}. The image may be edge-enhanced, saturated or noisy, or show "
        "other anatomy.",
    ),
    "outliers": Message(
        "Regions of the X-rays differ from the CT",
        "The regions cover {percent:.0f} % of the compared area. Tools, tissue that moved, or another "
        "patient may be the reason.",
    ),
    "tiles-displaced": Message(
        "The CT does not match any X-ray",
        "Most parts of every X-ray match the CT better when displaced; at most {percent:.0f} % match "
        "best at this pose.",
        "Check that CT and X-rays show the same region of the same patient.",
    ),
    # Risk and expected error
    "most-likely-wrong": Message(
        "{risk} risk of an error above {wrong_mm:g} mm",
        "The risk model was fitted to simulated X-rays.",
        "Compare the bone edges in every overlay.",
    ),
    "risk": Message(
        "{risk} risk of an error above {wrong_mm:g} mm",
        "A risk of up to {accepted} is accepted.",
    ),
    "error-bound": Message(
        "The error may reach {upper95_mm:.1f} mm", "This value is the 95 % bound of the error."
    ),
    "overlay-error-bound": Message(
        "The overlay may be off by {upper95_mm:.1f} mm",
        "This value is the 95 % bound of the error.",
    ),
    "overlay-error-unknown": Message("The error of the overlay is unknown"),
    "unlike-known": Message(
        "The result is unlike all known correct results", "", "Inspect the overlays."
    ),
    "cameras-exact": Message(
        "The expected error assumes accurate cameras", "The assumed accuracy is 0.5 px."
    ),
    "cameras-known": Message(
        "The expected error includes the camera uncertainty",
        "The camera geometry is assumed accurate to {known_to}.",
    ),
    # Alternatives
    "no-unique-solution": Message(
        "Another pose fits about as well",
        "The evidence for this pose is {evidence_ratio:.2f} times that for the other pose.",
        "Compare the bone edges in every overlay.",
    ),
    "ambiguous": Message(
        "Another pose fits nearly as well",
        "The other pose is {distance_mm:.1f} mm and {rotation_deg:.1f} degrees away; the evidence for "
        "this pose is {evidence_ratio:.2f} times as high.",
    ),
    "range-too-small": Message(
        "The pose is at the search limit",
        "{rim}.",
        "Provide an initial pose, or extend the search range.",
        "start",
    ),
    "mirror-alike": Message(
        "The X-rays fit the mirrored CT equally well",
        "The left and right sides of this patient are alike.",
        "Use an organ or a marker to check that left and right of the CT are not exchanged.",
        "ct",
    ),
    # Displaced bone
    "no-bone": Message(
        "The CT shows no bone",
        "The error is therefore stated at the corners of the body, and soft tissue may have moved.",
    ),
    "no-shared-bone": Message(
        "No bone is visible in all X-rays", "The expected error refers to all bone in the CT."
    ),
    "points-tested": Message(
        "Displacement excluded at {count:.0f} of {total:.0f} {points}",
        "A displacement of {wrong_mm:g} mm would be visible at these points.",
    ),
    "part-displaced": Message(
        "Bone is displaced at {count:.0f} of {total:.0f} {points}",
        "The bone is about {distance_mm:.0f} mm away from this pose. The patient may be bent, or may have "
        "breathed or moved.",
        "Register the bones.",
        "bones",
    ),
    "view-bent": Message(
        "Bone in {views} does not match the pose",
        "In a part of this image the bone is shifted from its projected position. The X-ray may be "
        "stitched or bent, or its camera less accurate than stated.",
        "Inspect the overlay of {views}. Use a single exposure instead of a stitched X-ray.",
        "overlays",
    ),
    "targets-not-tested": Message(
        "{count:.0f} of {total:.0f} {points} are confirmed within {wrong_mm:g} mm",
        "{not_confirmed}",
        _NEXT_XRAY,
        "xray",
    ),
    "targets-far-from-bone": Message(
        "Targets {missing} are far from the bone",
        "No bone was compared within {distance_mm:g} mm of these targets.",
    ),
    "further-view": Message(
        "Recommended further X-ray: {angles}",
        "An X-ray at these angles, relative to the {axes}, would {reduce} the error due to noise and "
        "cameras from {from_mm:.2g} to {to_mm:.2g} mm.",
        "",
        "xray",
    ),
    "edges-off": Message(
        "Edges{of_bone} do not match in {views}",
        "The user reported the mismatch.",
        "Check the geometry, or register again from another initial pose.",
        "geometry",
    ),
    # Bones
    "bone-not-shown": Message(
        "No X-ray shows enough of {bone}", "The bone is drawn where its neighbours suggest."
    ),
    "bones-not-shown": Message(
        "No X-ray shows {bones}",
        "Whether the pose is correct there is unknown.",
        "Exclude bones that no X-ray shows.",
    ),
    "partly-shown": Message("Only {visible} of {bone} is visible", "", _NEXT_XRAY, "xray"),
    "bone-in-one-view": Message(
        "Only {views} shows {bone}", "The depth along the beam is uncertain.", _NEXT_XRAY, "xray"
    ),
    "mask-too-small": Message(
        "Bone continues outside the mask of {bone}", "", "Correct the mask.", "ct"
    ),
    "mask-too-large": Message(
        "The mask of {bone} includes soft tissue", "", "Correct the mask.", "ct"
    ),
    "mask-of-two-bones": Message(
        "The mask of {bone} may include a neighbour",
        "The best poses of the two ends of the bone are {distance_mm:.1f} mm apart.",
        "Correct the mask.",
        "ct",
    ),
    "other-level": Message(
        "{bone} may be {elsewhere}", "The bone fits about as well there.", "{check_level}"
    ),
    "bone-not-like-ct": Message(
        "{bone} differs from the X-rays", "The local NCC is only {value:.2f}."
    ),
    "bone-halves-disagree": Message(
        "The halves of {bone} disagree",
        "Registering each half separately gives poses {value:.1f} mm apart.",
    ),
    "not-reproduced": Message(
        "The pose of {bone} is not reproducible",
        "When started from a perturbed pose, the registration ended as much as {value:.1f} mm away.",
    ),
    "unusual-motion": Message(
        "{bone} has moved unusually far",
        "The motion against a neighbour is unusual: it may be another {kind}.",
    ),
    "whole-ct-in-doubt": Message(
        "Findings on the whole CT apply here, too",
        "The findings concern the cameras and X-rays, which are the same for this bone.",
    ),
    "name-contradicted": Message("{statement}", "", "", "ct"),
    "bone-displaced": Message(
        "{bone} is displaced by {distance_mm:.1f} mm",
        "{other_bones}",
        "Use the separate pose of each bone.",
        "overlays",
    ),
    "bone-lost": Message(
        "{bones} could not be located",
        "The bones may be displaced against the pose of the whole CT.",
        "",
        "overlays",
    ),
    "bone-rejected": Message("Rejected: {bones}", "", "Read the findings on each bone."),
    "pose-of-one-bone": Message(
        "The pose applies to {bone} only", "", "Use the separate poses of the other bones."
    ),
    "bones-tested": Message("Bones registered and assessed separately: {bones}"),
    "rest-displaced": Message(
        "The rest of the CT is displaced",
        "The bone has moved by {distance_mm:.1f} mm and {rotation_deg:.1f} degrees relative to the rest "
        "of the CT.",
    ),
    "motion-uncertain": Message(
        "The motion between {bone} and {other} is uncertain", "{motion_bound}"
    ),
    "neighbour-not-shown": Message("{other}, next to {bone}, is not shown"),
    "neighbour-rejected": Message("{other}, next to {bone}, is rejected"),
    "joint-pose-differs": Message(
        "{bone} has two different poses",
        "The joint registration places the bone {distance_mm:.1f} mm from its separate registration. One "
        "of the two poses is wrong.",
    ),
    "bones-overlap": Message("{bone} overlaps {other}", "One of the two poses is wrong."),
    # Implants
    "implant": Message(
        "The risk was not measured for implants", "", "Inspect the outline in each X-ray."
    ),
    "implant-in-one-view": Message(
        "Only {views} shows the implant",
        "The implant may be {depth_mm:.1f} mm nearer or farther along the beam, and {in_plane_mm:.1f} mm "
        "to the side.",
        _NEXT_XRAY,
        "xray",
    ),
    "implant-not-visible": Message(
        "The X-rays do not show {bone} here",
        "",
        "Provide a closer initial pose, or choose the right model.",
        "start",
    ),
    "rotation-not-shown": Message(
        "No X-ray shows the rotation of {bone}",
        "The implant is round.",
        "Use its position only.",
    ),
    "rotation-about-axis-not-shown": Message(
        "Rotation of {bone} about its axis is unknown",
        "The implant is round about {axis}.",
        "Use its position and that axis only.",
    ),
    "half-turn": Message(
        "{bone} may be turned by 180 degrees",
        "The implant looks the same when turned about {axes}.",
        "Check which end is which.",
    ),
    "metal-in-ct": Message(
        "The CT shows metal at {bone}",
        "The DRR therefore contains the implant twice.",
        "Use a CT from before the operation.",
        "ct",
    ),
    # Sequences
    "followed": Message(
        "This frame was tracked but not assessed", "The risk was not measured for such poses."
    ),
    "lost": Message("Lost: {statement}"),
    "rest-lost": Message("The rest of the CT was not found"),
    # Causes of a poor fit
    "cause-angle-sign": Message(
        "{views_or_all} may have {signs}",
        "The X-rays fit if the angles are changed accordingly.{correction_mm}",
        "Check the angles.",
        "geometry",
    ),
    "cause-mirrored-ct": Message(
        "The CT may be mirrored left to right",
        "The X-rays fit the mirrored CT.{correction_mm}",
        "Check how the CT was exported and loaded.",
        "ct",
    ),
    "cause-mirrored": Message(
        "Left and right of {views_or_all} may be exchanged",
        "The mirrored images fit the CT.{correction_mm}",
        "Check whether the patient's right is on the left of the image.",
        "geometry",
    ),
    "cause-inverted": Message(
        "The grey scale of {views_or_all} may be inverted",
        "The inverted images fit the CT.{correction_mm}",
        "Check the intensity setting of the images.",
        "geometry",
    ),
    "cause-swapped": Message(
        "The images of {views} may be exchanged",
        "The exchanged images fit the CT.{correction_mm}",
        "Check which file belongs to which view.",
        "geometry",
    ),
    **{
        f"cause-{turn}": Message(
            f"{{views_or_all}} may have {words}"
            if turn == "upside-down"
            else f"{{views_or_all}} may be {words}",
            "The images fit the CT when turned back.{correction_mm}",
            _LOADING,
            "geometry",
        )
        for turn, words in _TURNED.items()
    },
    "cause-distance": Message(
        "The source-to-{far_end} distance{of_views} may be wrong",
        "The X-rays fit if this distance is {change_percent_abs:.1f} % {longer}.{correction_mm}",
        "Check the distance{check_size}.",
        "geometry",
    ),
    "cause-principal-point": Message(
        "The principal point of {views_or} may be wrong",
        "The X-rays fit if the principal point of {corrected} is moved by {columns:.0f} columns and "
        "{rows:.0f} rows.{correction_mm}",
        "Check the principal points.",
        "geometry",
    ),
    "cause-motion": Message(
        "The {body} may have moved between X-rays",
        "The X-rays fit if the CT is displaced by {motion_mm:.1f} mm and {motion_deg:.1f} degrees in "
        "{corrected}. The angle or the position of {corrected} may be wrong instead.{correction_mm}",
        "",
        "geometry",
    ),
    "cause-level": Message(
        "The CT may be at the wrong vertebra",
        "The CT fits {fits} when it is moved by {shift_mm:.0f} mm towards the {towards}.",
        "Count the levels.",
        "overlays",
    ),
    "cause-part": Message(
        "The X-rays show another part of the CT",
        "The CT fits when it is moved from the initial pose by {shift_mm:.0f} mm towards the {towards}.",
        "Check the initial pose.",
        "start",
    ),
    "cause-short": Message(
        "The CT is too short for {views}",
        "{percent:.0f} % of this X-ray is beyond the ends of the CT. The X-ray may show another part of "
        "the body.",
        "",
        "ct",
    ),
}


def describe(finding: Finding) -> Message:
    """Return the message about a finding, filled in with its values.

    A finding in a file may be of a later version, or lack values: then its code is named.
    """
    template = MESSAGES.get(finding.code)
    if template is None:
        return Message(f"Unknown finding: {finding.code}")
    try:
        texts = _texts(finding)
        return Message(
            _fill(template.headline, texts),
            _fill(template.explanation, texts),
            _fill(template.action, texts),
            template.remedy,
        )
    except (KeyError, TypeError, ValueError):
        return Message(f"Finding without its values: {finding.code}", remedy=template.remedy)


def _fill(text: str, texts: Mapping[str, Any]) -> str:
    filled = text.format_map(texts)
    return filled[:1].upper() + filled[1:]


def _texts(finding: Finding) -> dict[str, Any]:
    """Return the values of a finding with the texts that depend on them."""
    values = dict(finding.values)
    views = list(finding.views)
    texts: dict[str, Any] = {
        **values,
        "code": finding.code,
        "wrong_mm": WRONG_MM,
        "views": " and ".join(views),
        "views_or": " or ".join(views),
        "views_or_all": " and ".join(views) or "all X-rays",
        "of_views": f" of {' and '.join(views)}" if views else "",
        "of_bone": f" of {values['bone']}" if values.get("bone") else "",
        "correction_mm": _correction(values.get("moved_mm")),
    }
    if "statement" in values:
        texts["statement"] = str(values["statement"]).rstrip(".")
    if "risk" in values:
        texts["risk"] = percent(float(values["risk"]))
    if "accepted" in values and finding.code == "risk":
        texts["accepted"] = percent(float(values["accepted"]))
    if finding.code in ("cameras-uncertain", "principal-point-unstated"):
        third = "add a third X-ray from a direction between those of the other two, angled cranially or caudally, "
        texts["third_view"] = third if values.get("views") == 2 else ""
        texts["calibrate"] = _calibration_advice(values)
    elif finding.code == "targets-not-tested":
        texts["not_confirmed"] = _not_confirmed(values, views)
    elif finding.code == "further-view":
        texts["reduce"] = _reduce(float(values["to_mm"]) / float(values["from_mm"]))
    elif finding.code == "other-level":
        is_vertebra = values.get("kind") == "vertebra"
        texts["elsewhere"] = "one level up or down" if is_vertebra else "farther up or down"
        texts["check_level"] = "Check the level." if is_vertebra else "Check its outline."
    elif finding.code == "partly-shown":
        texts["visible"] = percent(float(values["value"]))
    elif finding.code == "bone-displaced":
        texts["other_bones"] = _other_bones(values)
    elif finding.code == "motion-uncertain":
        texts["motion_bound"] = _motion_bound(values)
    elif finding.code == "cause-distance":
        change = float(values["change_percent"])
        texts["change_percent_abs"] = abs(change)
        texts["longer"] = "longer" if change > 0 else "shorter"
        is_scan = values.get("geometry") == "slot scan"
        texts["far_end"] = "isocentre" if is_scan else "detector"
        size = ", and pixel_mm between columns" if is_scan else ", and the CT's size"
        texts["check_size"] = "" if views else size
    return texts


def _correction(moved_mm: float | str | None) -> str:
    if not moved_mm:
        return ""
    mm = float(moved_mm)
    return f" Correcting this moves the CT by {mm:.{0 if mm >= 10 else 1}f} mm."


def _calibration_advice(values: Mapping[str, Any]) -> str:
    """Return the advice to calibrate, or to check the result by other means."""
    if values.get("are_slot_scans"):  # they are not calibrated by beads
        return "Check the result by other means."
    actions = ["Calibrate with beads in the X-rays (mvreg calibrate)"]
    if values.get("views") == 2:
        actions.append(
            "add a third X-ray from a direction between those of the other two, angled cranially or caudally"
        )
    return f"{', '.join(actions)}, or check the result by other means."


def _not_confirmed(values: Mapping[str, Any], views: Sequence[str]) -> str:
    if "missing" not in values:
        return "Other bone or noise hides the rest."
    hidden = f", some of them not visible in {' and '.join(views)}" if views else ""
    return f"Not confirmed: target {values['missing']}{hidden}."


def _reduce(remaining: float) -> str:
    if remaining < 0.4:
        return "more than halve"
    return "halve" if remaining < 0.6 else "reduce"


def _other_bones(values: Mapping[str, Any]) -> str:
    texts = []
    further = int(values["further"])
    if further:
        are = "bones are" if further > 1 else "bone is"
        texts.append(f"{further} more {are} displaced by over {WRONG_MM:g} mm.")
    accepted = int(values["accepted"])
    if accepted:
        total = int(values["total"])
        texts.append(f"{accepted} of {total} bones are accepted, each at its own pose.")
    return " ".join(texts)


def _motion_bound(values: Mapping[str, Any]) -> str:
    if "upper95_mm" not in values:
        return ""
    mm = float(values["upper95_mm"])
    degrees = float(values["upper95_deg"])
    limits = f"The limits are {WRONG_MM:g} mm and {WRONG_DEG:g} degrees."
    return f"The 95 % bound of its error is {mm:.1f} mm and {degrees:.1f} degrees. {limits}"


def percent(probability: float) -> str:
    """Format a probability."""
    if not 0.001 <= probability <= 0.99:
        return "less than 0.1 %" if probability < 0.001 else "more than 99 %"
    return f"{100 * probability:.1f} %" if probability < 0.1 else f"{100 * probability:.0f} %"


def sentences(findings: Iterable[Finding]) -> list[str]:
    """Return the message about each finding as a text."""
    return [str(describe(finding)) for finding in findings]


def cautions(findings: Iterable[Finding], use: Use | None = None) -> list[Finding]:
    """Return the findings that limit the verdict for a use, or for any use."""
    return [
        finding
        for finding in findings
        if finding.severity > NOTE and (use is None or use in finding.uses)
    ]


def most_limiting(findings: Iterable[Finding], use: Use | None = None) -> Finding | None:
    """Return the first of the most severe findings that limit a use, or any use; None if none does."""
    return max(cautions(findings, use), key=lambda finding: finding.severity, default=None)


def remedy(findings: Iterable[Finding]) -> Remedy:
    """Return what resolves the first of the findings for which something can be done."""
    remedies = (describe(finding).remedy for finding in findings)
    return next(filter(None, remedies), "overlays")


def proposed_view(findings: Iterable[Finding]) -> str:
    """Return the angles of the view that would reduce the error most, such as "LAO 45°"; "" for none."""
    angles = (str(f.values["angles"]) for f in findings if f.code == "further-view")
    return next(angles, "")


#: Name of each use.
USE_NAMES: dict[Use, str] = {
    "overlay": "Overlay on the X-rays",
    "relative": "Bones relative to each other",
    "position": "3D position (navigation)",
}
#: Smaller expected errors are reported as below this number: no image shows less.
MIN_REPORTED_MM = 0.5


def in_mm(mm: float) -> str:
    """Format an expected error: "1.2 mm", or "< 0.5 mm"."""
    return f"< {MIN_REPORTED_MM:g} mm" if mm < MIN_REPORTED_MM else f"{mm:.1f} mm"


def describe_error(assessed: UseAssessment) -> str:
    """Return an expected error, such as "2.9 mm (95 %: 6.0 mm)"; "" if it is unknown, or the pose must not be used."""
    verdict, typical_mm, upper95_mm = assessed
    if typical_mm is None or verdict in UNUSABLE:
        return ""
    text = in_mm(typical_mm)
    is_reported = upper95_mm is not None and upper95_mm >= MIN_REPORTED_MM
    return f"{text} (95 %: {upper95_mm:.1f} mm)" if is_reported else text


def describe_use(assessed: UseAssessment) -> str:
    """Return a verdict with its expected error, such as "check, 2.9 mm (95 %: 6.0 mm)"."""
    return ", ".join(filter(None, [assessed.verdict, describe_error(assessed)]))


def describe_uses(uses: Mapping[Use, UseAssessment]) -> str:
    """Return the verdict and the expected error of each use, a sentence each; "" if there is only one use."""
    if len(uses) < 2:
        return ""
    return " ".join(f"{USE_NAMES[use]}: {describe_use(each)}." for use, each in uses.items())


def summary(assessment: Assessment) -> str:
    """Return the verdict of each use, and the risk of a wrong 3D position, as sentences."""
    return " ".join(filter(None, [describe_uses(assessment.uses), describe_risk(assessment)]))


def describe_risk(assessment: Assessment) -> str:
    """Return the risk of a wrong 3D position as a sentence; "" if it is unknown."""
    if assessment.risk is None:
        return ""
    risk = f"{percent(assessment.risk)} risk of an error of the 3D position above {WRONG_MM:g} mm."
    return risk[:1].upper() + risk[1:]


def headline(assessment: Assessment, use: Use | None = "position") -> str:
    """Return what limits a use most, or any use; "" if it is accepted."""
    first = most_limiting(assessment.findings, use)
    return describe(first).headline if first else ""
