"""The parts of the report, each a tree of elements."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import numpy as np

from ..figures.html_tree import tag
from ..geometry import rigid
from ..geometry.landmarks import Residual
from .case_report import CameraSummary, CaseReport, ViewReport
from .convergence import convergence
from .pictures import agreement, comparison
from .tables import number, table

VERDICTS = {
    "accept": (
        "\u2713",
        "accept",
        "The result agrees with everything that was checked. "
        "How often that is wrong was measured on simulated X-rays alone.",
    ),
    "check": ("!", "check", "A person must look at the pictures before the result is used."),
    "reject": ("\u2715", "reject", "The result must not be used."),
    None: (
        "\u2013",
        "not assessed",
        "Nothing here has judged whether this result can be trusted. Look at the pictures of every view: a "
        "wrong pose can look good in one view, and a good similarity is no proof of accuracy.",
    ),
}
ERROR_ROWS = (
    ("mtre_mm", "mTRE", "mm", 3, "mean 3D distance of the targets from their true place"),
    ("depth_mm", "depth", "mm", 3, "mean part of it along the first view's beam, which that view hardly sees"),
    ("in_plane_mm", "in plane", "mm", 3, "mean part of it across that beam"),
    ("max_tre_mm", "largest TRE", "mm", 3, "3D distance of the worst target"),
    (
        "mrpd_mm",
        "mRPD",
        "mm",
        3,
        "mean distance of the true targets from the rays through their estimated projections",
    ),
    ("mpd_mm", "mPD", "mm", 3, "mean distance of the targets' projections, on the detector"),
    ("mpd_px", "mPD", "pixels", 2, "mean distance of the targets' projections, in the image"),
    ("rotation_deg", "rotation", "\u00b0", 3, "angle between the poses"),
    ("translation_mm", "displacement", "mm", 3, "of the targets' centroid"),
    (
        "diffpose_score",
        "diffpose_score",
        "",
        3,
        "for comparison with DiffPose and its successors only; not a target error",
    ),
)


def index(cases: Sequence[CaseReport]) -> ET.Element:
    """Table of all cases with links."""
    rows = [
        [
            tag("a", case.name, href=f"#case-{nth}"),
            _badge(case.verdict),
            _start_to_result(case),
            str(len(case.views)),
            f"{case.seconds['total']:.2f} s" if "total" in case.seconds else "\u2013",
        ]
        for nth, case in enumerate(cases, start=1)
    ]
    heads = ["Case", "Verdict", "mTRE, start \u2192 result", "Views", "Time"]
    return tag("nav", tag("h2", "Cases"), table(heads, rows), aria_label="Cases")


def case_section(case: CaseReport, anchor: str) -> ET.Element:
    return tag(
        "section",
        tag("h2", case.name),
        None if case.override is None else tag("p", tag("strong", "Override: "), case.override, class_="override"),
        tag("p", case.note, class_="note") if case.note else None,
        _verdict(case),
        comparison(case, anchor),
        *agreement(case),
        tag("h3", "Error against the known truth"),
        _errors(case),
        tag("h3", "Views"),
        _views(case),
        tag("h3", "Pose"),
        _pose(case),
        *_landmarks(case.landmarks),
        *([tag("h3", "Convergence"), convergence(case.levels)] if case.refined else []),
        tag("h3", "Where it comes from"),
        _origin(case),
        id=anchor,
        class_="case",
    )


def _verdict(case: CaseReport) -> ET.Element:
    _, _, meaning = VERDICTS[case.verdict]
    if case.predicted_tre_mm is None:
        predicted = "No prediction."
    else:
        mean, upper = case.predicted_tre_mm["mean"], case.predicted_tre_mm["upper95"]
        predicted = f"below {upper:.2f} mm in 95 of 100 cases, {mean:.2f} mm on average in these."
    return tag(
        "div",
        tag("p", tag("span", "Verdict ", class_="quiet"), _badge(case.verdict)),
        tag("p", meaning),
        tag("ul", *(tag("li", reason) for reason in case.reasons)) if case.reasons else None,
        tag("p", tag("span", "Predicted error at the targets: ", class_="quiet"), predicted),
        _weakest_turn(case),
        class_="verdict",
    )


def _weakest_turn(case: CaseReport) -> ET.Element | None:
    if case.weakest_turn is None:
        return None
    degrees, axis = case.weakest_turn
    told = (
        f"below {number(degrees, chr(176), 2)} in 95 of 100 cases, about the direction "
        f"({', '.join(number(value, '', 2) for value in axis)}) of the world."
    )
    return tag("p", tag("span", "The turn of which the X-rays tell least: ", class_="quiet"), told)


def _badge(verdict: str | None) -> ET.Element:
    sign, word, _ = VERDICTS[verdict]
    return tag("strong", tag("span", sign, aria_hidden="true"), " ", word, class_=f"badge {word.replace(' ', '-')}")


def _start_to_result(case: CaseReport) -> str:
    if case.errors is None:
        return "truth unknown"
    result = number(case.errors.mtre_mm, "mm", 3)
    return f"{case.start_errors.mtre_mm:.3f} \u2192 {result}" if case.start_errors else result


def _errors(case: CaseReport) -> ET.Element:
    if case.errors is None:
        return tag("p", "The true pose of this case is not known, so no error can be told.")
    columns = {"Start": case.start_errors, "Result": case.errors} if case.refined else {"At this pose": case.errors}
    rows = []
    for key, name, unit, digits, meaning in ERROR_ROWS:
        values = [None if errors is None else getattr(errors, key) for errors in columns.values()]
        told = [number(value, unit, digits) for value in values]
        if values[-1] is None:
            told[-1] = "pixel size unknown"
        rows.append([tag("span", name, tag("small", meaning)), *told])
    return table(["Error", *columns], rows)


def _views(case: CaseReport) -> ET.Element:
    """A column for each view."""

    def row(name: str, value: Callable[[ViewReport], str]) -> list[str]:
        return [name, *(value(view) for view in case.views)]

    rows = [
        row(
            f"{case.similarity_name}, result" if case.refined else case.similarity_name,
            lambda view: number(view.similarity, "", 3),
        ),
        row("C-arm angles", lambda view: _angles(view.camera)),
        row("Angle to the first view", lambda view: number(view.camera.angle_to_first_deg, "\u00b0", 1)),
        row("Source to detector", lambda view: number(view.camera.source_to_detector_mm, "mm", 1)),
        row("Focal length", lambda view: number(view.camera.focal_px, "pixels", 1)),
        row("Image", lambda view: "{} \u00d7 {} pixels".format(*view.camera.size)),
        row("Pixel size", lambda view: _pixel_size(view.camera)),
        row("Geometry", _certainty),
    ]
    if case.refined:
        rows.insert(0, row(f"{case.similarity_name}, start", lambda view: number(view.start_similarity, "", 3)))
    if any(view.depth_mm is not None for view in case.views):
        rows += [
            row("Error along the beam, 95 % below", lambda view: number(view.depth_mm, "mm", 2)),
            row("Error across it, 95 % below", lambda view: number(view.in_plane_mm, "mm", 2)),
        ]
    if any(view.correction for view in case.views):
        rows.append(row("Camera corrected by", _correction))
    return table(["", *(view.name for view in case.views)], rows)


def _pixel_size(camera: CameraSummary) -> str:
    return "unknown" if camera.pixel_mm is None else "{:.3f} \u00d7 {:.3f} mm".format(*camera.pixel_mm)


def _angles(camera: CameraSummary) -> str:
    if camera.rao_lao_deg is None or camera.cra_cau_deg is None:
        return "\u2013"
    primary = "LAO" if camera.rao_lao_deg >= 0 else "RAO"
    secondary = "CRA" if camera.cra_cau_deg >= 0 else "CAU"
    return f"{primary} {abs(camera.rao_lao_deg):.1f}\u00b0, {secondary} {abs(camera.cra_cau_deg):.1f}\u00b0"


def _certainty(view: ViewReport) -> str:
    if view.rotation_sd_deg is None and view.translation_sd_mm is None:
        return "unknown"
    if view.rotation_sd_deg == view.translation_sd_mm == 0:
        return "calibrated"
    rotation = "any angle" if view.rotation_sd_deg is None else f"{view.rotation_sd_deg:g}\u00b0"
    translation = "any distance" if view.translation_sd_mm is None else f"{view.translation_sd_mm:g} mm"
    return f"within {rotation}, {translation} (1 SD)"


def _correction(view: ViewReport) -> str:
    made = view.correction
    if made is None:
        return "\u2013"
    parts = [
        number(made.rotation_deg, "\u00b0", 2) + " about the world origin",
        number(made.translation_mm, "mm", 2),
    ]
    if made.scale != 1:
        parts.append("scale \u00d7 " + number(made.scale, "", 4))
    if any(made.principal_point_px):
        u, v = (number(value, "", 1) for value in made.principal_point_px)
        parts.append(f"principal point ({u}, {v}) pixels")
    return ", ".join(parts)


def _pose(case: CaseReport) -> ET.Element:
    to_centre = rigid.from_rotation_translation(np.eye(3), case.centre_ct)
    result = case.world_from_ct @ to_centre
    vector = np.degrees(rigid.log_so3(case.world_from_ct[:3, :3]))
    rows = [
        ["Start" if case.refined else "Given", case.method],
        ["Centre of the bone in the world", _axes(result[:3, 3], "mm")],
        ["Rotation vector, CT to world", _axes(vector, "\u00b0")],
    ]
    if case.refined:
        start = case.start_world_from_ct @ to_centre
        turned, moved = np.degrees(rigid.rotation_distance(start, result)), rigid.translation_distance(start, result)
        by = f"{turned:.3f}\u00b0 about the centre of the bone, which moved by {moved:.3f} mm"
        rows.insert(1, ["Moved by the registration", by])
    matrix = "\n".join(" ".join(f"{value:12.6f}" for value in row) for row in case.world_from_ct)
    return tag(
        "div",
        table(None, rows),
        tag("p", "world_from_ct: takes CT coordinates to world coordinates, both LPS in mm.", class_="quiet"),
        tag("pre", matrix, tabindex=0, role="region", aria_label="world_from_ct, four by four"),
    )


def _landmarks(residuals: Sequence[Residual]) -> list[ET.Element]:
    if not residuals:
        return []
    rows = [
        [each.name, each.view, number(each.residual_px, "", 1), number(each.residual_mm, "mm", 2), each.fate]
        for each in residuals
    ]
    heads = ["Landmark", "View", "Pixels off", "At its depth", ""]
    return [tag("h3", "Landmarks at the start"), table(heads, rows)]


def _axes(vector: np.ndarray, unit: str) -> str:
    return ",  ".join(f"{axis} {number(value, unit, 3)}" for axis, value in zip("LPS", vector, strict=True))


def _origin(case: CaseReport) -> ET.Element:
    seconds = [[name, f"{value:.3f} s"] for name, value in case.seconds.items()]
    inputs = [[name, tag("code", digest)] for name, digest in case.inputs.items()]
    software = [[name, value] for name, value in case.software.items()]
    return tag(
        "div",
        tag("h4", "Time"),
        table(None, seconds),
        tag("h4", "Inputs, with SHA-256"),
        table(None, inputs),
        tag("h4", "Software"),
        table(None, software),
    )
