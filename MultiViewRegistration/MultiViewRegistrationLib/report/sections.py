"""The sections of the report, each a tree of elements."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import numpy as np

from ..figures import Axis, Line, legend, line_plot, tag
from ..geometry import rigid
from ..geometry.landmarks import Residual
from .case_report import CameraSummary, CaseReport, Level, ViewReport
from .html import number, page, table
from .overlays import LEGENDS

VERDICTS = {
    "accept": (
        "\u2713",
        "accept",
        "Every check agrees with the result. The failure probability was measured on simulated X-rays only.",
    ),
    "check": ("!", "check", "Check the pictures before you use the result."),
    "reject": ("\u2715", "reject", "Do not use the result."),
    None: (
        "\u2013",
        "not assessed",
        "Nothing has checked this result. Look at the pictures of every view: a wrong pose can look good in one view, and a "
        "high similarity does not prove accuracy.",
    ),
}
ERROR_ROWS = (
    ("mtre_mm", "mTRE", "mm", 3, "mean 3D distance of the targets from their true place"),
    ("depth_mm", "depth", "mm", 3, "mean part of it along the first view's beam, which that view hardly shows"),
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


def report(cases: Sequence[CaseReport], created: str, title: str = "Registration report") -> str:
    """report.html as text: what was registered, how well, and from what.

    created: the time of writing, for the reader. Radio buttons and style rules switch between start and result.
    """
    introduction = f"Written {created}. Lengths are in mm, angles in degrees, coordinates in LPS."
    sections = [case_section(case, f"case-{nth}") for nth, case in enumerate(cases, start=1)]
    return page(title, [introduction], [index(cases) if len(cases) > 1 else None, *sections])


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
        _comparison(case, anchor),
        *_agreement(case),
        tag("h3", "Error against the known truth"),
        _errors(case),
        tag("h3", "Views"),
        _views(case),
        tag("h3", "Pose"),
        _pose(case),
        *_landmarks(case.landmarks),
        *([tag("h3", "Convergence"), _convergence(case.levels)] if case.refined else []),
        tag("h3", "Origin"),
        _origin(case),
        id=anchor,
        class_="case",
    )


def _verdict(case: CaseReport) -> ET.Element:
    _, _, meaning = VERDICTS[case.verdict]
    facts = [("Predicted error at the targets", case.predicted_error or "No prediction.")]
    if case.predicted_tre_mm:
        mean, upper = case.predicted_tre_mm["mean"], case.predicted_tre_mm["upper95"]
        facts.append(("95 % bound", f"{upper:.2f} mm, with a mean of {mean:.2f} mm below it."))
    if case.least_certain_rotation:
        facts.append(("Least certain", case.least_certain_rotation))
    return tag(
        "div",
        tag("p", tag("span", "Verdict ", class_="quiet"), _badge(case.verdict)),
        tag("p", meaning),
        tag("ul", *(tag("li", reason) for reason in case.reasons)) if case.reasons else None,
        *(tag("p", tag("span", f"{name}: ", class_="quiet"), text) for name, text in facts),
        class_="verdict",
    )


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
        return tag("p", "The true pose is unknown, so the error is, too.")
    columns = {"Start": case.start_errors, "Result": case.errors} if case.refined else {"At this pose": case.errors}
    rows = []
    for key, name, unit, digits, meaning in ERROR_ROWS:
        values = [None if errors is None else getattr(errors, key) for errors in columns.values()]
        cells = [number(value, unit, digits) for value in values]
        if values[-1] is None:
            cells[-1] = "pixel size unknown"
        rows.append([tag("span", name, tag("small", meaning)), *cells])
    return table(["Error", *columns], rows)


def _views(case: CaseReport) -> ET.Element:
    """A column for each view."""

    def row(name: str, value: Callable[[ViewReport], str]) -> list[str]:
        return [name, *(value(view) for view in case.views)]

    rows = [
        row("Local NCC, result" if case.refined else "Local NCC", lambda view: number(view.similarity, "", 3)),
        row("Angle to the first view", lambda view: number(view.camera.angle_to_first_deg, "\u00b0", 1)),
        row("Source to detector", lambda view: number(view.camera.source_to_detector_mm, "mm", 1)),
        row("Focal length", lambda view: number(view.camera.focal_px, "pixels", 1)),
        row("Image", lambda view: "{} \u00d7 {} pixels".format(*view.camera.size)),
        row("Pixel size", lambda view: _pixel_size(view.camera)),
        row("Geometry", _certainty),
    ]
    if case.refined:
        rows.insert(0, row("Local NCC, start", lambda view: number(view.start_similarity, "", 3)))
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
        [each.name, each.view, number(each.residual_px, "", 1), number(each.residual_mm, "mm", 2), each.status]
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


AGREEMENT = (
    "Orange: CT and X-ray agree less than the image's noise explains, the more the stronger: tools, tissue that moved, or a wrong "
    "pose. Dimmed: not compared. The rest agrees."
)


def _comparison(case: CaseReport, anchor: str) -> ET.Element:
    """Radio buttons and pictures are siblings, so that style rules alone can switch all views together."""
    kinds = [kind for kind in LEGENDS._fields if any(kind in view.pictures for view in case.views)]
    if not kinds:
        return tag("p", "No pictures.", class_="quiet")

    def choice(group: str, value: str, hint: str, **checked: bool) -> tuple[ET.Element, ET.Element]:
        name = f"{anchor}-{value}"
        fields = {"name": f"{anchor}-{group}", "id": name, "class_": f"pick-{value}", "aria_label": hint}
        radio = tag("input", type="radio", **fields, **checked)
        return radio, tag("label", value.capitalize(), for_=name, class_="choice")

    controls = [part for kind in kinds for part in choice("kind", kind, f"Show {kind}", checked=kind == kinds[0])]
    if case.refined:
        controls += [
            tag("span", class_="gap"),
            *choice("pose", "start", "Show the start pose"),
            *choice("pose", "result", "Show the result", checked=True),
        ]
    legends = [tag("p", getattr(LEGENDS, kind), class_=f"shot-legend {kind}") for kind in kinds]
    figures = [_figure(view, kinds, anchor) for view in case.views]
    return tag(
        "div",
        tag("h3", "Pictures"),
        tag(
            "p",
            "A click on a picture, or the arrow keys on the buttons, changes between start and result.",
            class_="quiet screen",
        )
        if case.refined
        else None,
        *controls,
        tag("div", *legends, class_="legends"),
        tag("div", *figures, class_="views"),
        class_="compare",
    )


def _agreement(case: CaseReport) -> list[ET.Element]:
    """Where X-rays and CT agree, if that was assessed."""
    shown = [view for view in case.views if view.agreement]
    if not shown:
        return []
    figures = [
        tag(
            "figure",
            tag("figcaption", view.name),
            tag("div", _image(view.agreement, f"{view.name}, agreement"), class_="map"),
        )
        for view in shown
    ]
    return [
        tag("h3", "Where X-rays and CT agree"),
        tag("p", AGREEMENT, class_="quiet"),
        tag("div", *figures, class_="views"),
    ]


def _image(file: bytes, alt: str) -> ET.Element:
    return tag("img", src="data:image/png;base64," + base64.b64encode(file).decode("ascii"), alt=alt, decoding="async")


def _figure(view: ViewReport, kinds: Sequence[str], anchor: str) -> ET.Element:
    """All pictures of a view; of two poses each is a label of the other's radio button, so a click changes it."""

    def shot(kind: str, pose: str, other: str | None, file: bytes) -> ET.Element:
        picture = _image(file, ", ".join(filter(None, (view.name, kind, pose))))
        if other is None:
            return tag("div", picture, class_=f"shot {kind} alone")
        on_paper = tag("span", f", {kind}", class_="print")
        mark = tag("span", pose, on_paper, class_="mark", aria_hidden="true")
        return tag("label", picture, mark, for_=f"{anchor}-{other}", class_=f"shot {kind} {pose}")

    shots = []
    for kind in kinds:
        if kind in view.pictures:
            *start, result = view.pictures[kind]
            if start:
                shots += [shot(kind, "start", "result", *start), shot(kind, "result", "start", result)]
            else:
                shots.append(shot(kind, "", None, result))
    return tag("figure", tag("figcaption", view.name), tag("div", *shots, class_="shots"))


def _convergence(levels: Sequence[Level]) -> ET.Element:
    levels = [level for level in levels if len(level.cost)]
    if not levels:
        return tag("p", "No steps were taken.", class_="quiet")
    cost, step, first = [], [], 1
    for level in levels:
        steps = range(first, first + len(level.cost))
        cost.append(Line(level.name, steps, [value / (level.cost[0] or 1.0) for value in level.cost]))
        step.append(Line(level.name, steps, level.step_mm))
        first = steps.stop
    rows = [
        [
            level.name,
            str(len(level.cost)),
            f"{level.cost[0]:.5g}",
            f"{level.cost[-1]:.5g}",
            number(level.step_mm[-1], "mm", 4),
        ]
        for level in levels
    ]
    heads = ["Level", "Steps", "First cost", "Last cost", "Last step"]
    return tag(
        "div",
        tag(
            "div",
            line_plot(
                cost,
                "Cost of each step, relative to the first of its level",
                Axis("step"),
                Axis("cost / first of level"),
            ),
            line_plot(step, "Size of each step in mm", Axis("step"), Axis("size of step (mm)", "log")),
            class_="plots",
        ),
        legend([level.name for level in levels]),
        tag("details", tag("summary", "As numbers"), table(heads, rows)),
    )
