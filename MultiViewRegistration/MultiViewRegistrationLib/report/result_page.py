"""Writes the files of a result: result.json, the transforms, pictures, and report.html."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from .. import __version__
from ..geometry import rigid
from ..geometry.landmarks import LandmarkResidual
from ..imaging.xray import View
from ..io.cameras import describe_uncertainty
from ..io.files import write_atomically
from ..io.html import Axis, Content, Line, embedded_png, legend, line_plot, number, page, table, tag
from ..io.transforms import write_slicer_transform, write_transform
from ..registration.pipeline import LevelTrace
from ..rendering.devices import run_tasks
from .overlays import LEGENDS, picture_files, png, tile_map
from .result import Result

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
#: Field of `Errors`, name, unit, digits and meaning.
ERROR_ROWS = (
    ("mtre_mm", "mTRE", "mm", 3, "mean 3D distance of the targets from their true place"),
    ("depth_mm", "depth", "mm", 3, "mean part of it along the first view's beam, which that view barely shows"),
    ("in_plane_mm", "in plane", "mm", 3, "mean part of it across that beam"),
    ("max_tre_mm", "largest TRE", "mm", 3, "3D distance of the worst target"),
    ("mrpd_mm", "mRPD", "mm", 3, "mean distance of the true targets from the rays through their estimated projections"),
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
AGREEMENT = (
    "Orange: CT and X-ray agree less than the image's noise explains, the more the stronger: tools, tissue that moved, or a wrong "
    "pose. Dimmed: not compared. The rest agrees."
)
#: An axis within this angle of an anatomical one is named after it.
NAMED_AXIS_DEG = 30.0
PATIENT_AXES = ("left-right", "front-back", "head-feet")

#: Which pictures the radio buttons show.
_SWITCHES = "".join(
    f".pick-{kind}:checked ~ .pick-{pose}:checked ~ .views .{kind}.{pose} {{ display: block; }}\n"
    for kind in LEGENDS
    for pose in ("start", "result")
) + "".join(
    f".pick-{kind}:checked ~ .legends .{kind}, .pick-{kind}:checked ~ .views .{kind}.alone {{ display: block; }}\n"
    for kind in LEGENDS
)


@dataclass(frozen=True, eq=False)
class Entry:
    """One registration in a report.

    Attributes
    ----------
    note
        For the reader of this case, e.g. that its X-rays are simulated.
    override
        Why the result is written although it should not be used.
    """

    result: Result
    note: str = ""
    override: str | None = None

    @cached_property
    def pictures(self) -> list[dict[str, tuple[bytes, ...]]]:
        """PNG files of each view at start and result (at the result alone where nothing was refined), see `picture_files`."""
        result = self.result
        result.anatomy.projector(0)  # before threads would make it at the same time
        pictures: list[dict[str, tuple[bytes, ...]]] = [{} for _ in result.views]

        def draw(nth: int) -> None:
            given, corrected = result.case.views[nth], result.views[nth]
            drrs = [result.anatomy.drr(corrected.camera, result.world_from_ct)]
            if result.refined:
                drrs.insert(0, result.anatomy.drr(given.camera, result.start_world_from_ct))
            pictures[nth] = picture_files(given.xray, drrs)

        run_tasks([partial(draw, nth) for nth in range(len(pictures))])
        return pictures


def save_result(result: Result, folder: str | Path, override: str | None = None) -> None:
    """Write result.json, the transforms, the overlays and report.html; each appears whole or not at all.

    Parameters
    ----------
    folder
        Made where it is missing.
    override
        Why a result that should not be used (rejected, or with changed inputs) is written all the same; every file but the pictures
        carries it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    entry = Entry(result, override=override)
    comment = None if override is None else f"Override: {override}"
    for view, kinds in zip(result.views, entry.pictures, strict=True):
        for kind, pictures in kinds.items():
            for when, picture in zip(("after", "before"), reversed(pictures)):
                write_atomically(folder / f"{view.name}_{kind}_{when}.png", picture)
    for name, kept in result.suggested_masks.items():
        write_atomically(folder / f"{name}_mask.png", png(255 * kept[..., None].astype(np.uint8)))
    write_transform(folder / "world_from_ct.tfm", result.world_from_ct, comment)
    write_slicer_transform(folder / "world_from_ct.slicer.tfm", result.world_from_ct, comment)
    write_report(folder / "report.html", [entry])
    write_atomically(folder / "result.json", json.dumps(result.to_json(override), indent=1) + "\n")


def write_report(
    path: Path, entries: Sequence[Entry], title: str = "Registration report", first: Sequence[ET.Element] = ()
) -> None:
    """Write one HTML file about one or several registrations: what was registered, how well, and from what.

    Parameters
    ----------
    first
        Sections before those of the registrations.
    """
    created = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    introduction = f"Written {created}. Lengths are in mm, angles in degrees, coordinates in LPS."
    sections = [_case_section(entry, f"case-{nth}") for nth, entry in enumerate(entries, start=1)]
    index = [_index([entry.result for entry in entries])] if len(entries) > 1 else []
    write_atomically(path, page(title, [introduction], [*first, *index, *sections], _SWITCHES))


def _index(results: Sequence[Result]) -> ET.Element:
    """Table of all cases with links."""
    rows: list[list[Content]] = []
    for nth, result in enumerate(results, start=1):
        errors, start = result.errors, result.start_errors
        mtre = "truth unknown" if errors is None else number(errors.mtre_mm, "mm", 3)
        rows.append(
            [
                tag("a", result.case.name, href=f"#case-{nth}"),
                _badge(result.verdict),
                f"{start.mtre_mm:.3f} \u2192 {mtre}" if start else mtre,
                str(len(result.views)),
                f"{result.seconds['total']:.2f} s",
            ]
        )
    heads = ["Case", "Verdict", "mTRE, start \u2192 result", "Views", "Time"]
    return tag("nav", tag("h2", "Cases"), table(heads, rows), aria_label="Cases")


def _case_section(entry: Entry, anchor: str) -> ET.Element:
    result = entry.result
    return tag(
        "section",
        tag("h2", result.case.name),
        None if entry.override is None else tag("p", tag("strong", "Override: "), entry.override, class_="override"),
        tag("p", entry.note, class_="note") if entry.note else None,
        _verdict(result),
        _comparison(entry, anchor),
        *_agreement(result),
        tag("h3", "Error against the known truth"),
        _errors(result),
        tag("h3", "Views"),
        _views(result),
        tag("h3", "Pose"),
        _pose(result),
        *(_landmarks(result.landmark_fit.residuals) if result.landmark_fit else []),
        *([tag("h3", "Convergence"), _convergence(result.refinement.levels)] if result.refined else []),
        tag("h3", "Origin"),
        _origin(result),
        id=anchor,
        class_="case",
    )


def _verdict(result: Result) -> ET.Element:
    facts = {"At the targets": (result.assessment and result.assessment.summary) or "No prediction."}
    if result.assessment and result.assessment.least_certain_rotation:
        facts["Least certain"] = _rotation(result, *result.assessment.least_certain_rotation)
    return tag(
        "div",
        tag("p", tag("span", "Verdict ", class_="quiet"), _badge(result.verdict)),
        tag("p", VERDICTS[result.verdict][2]),
        tag("ul", *(tag("li", reason) for reason in result.reasons)) if result.reasons else None,
        *(tag("p", tag("span", f"{name}: ", class_="quiet"), text) for name, text in facts.items()),
        class_="verdict",
    )


def _badge(verdict: str | None) -> ET.Element:
    sign, word, _ = VERDICTS[verdict]
    return tag("strong", tag("span", sign, aria_hidden="true"), " ", word, class_=f"badge {word.replace(' ', '-')}")


def _rotation(result: Result, degrees: float, axis: np.ndarray) -> str:
    """ "rotation about the bone's long axis, below 1.20 degrees in 95 % of cases".   axis: (3,) in the world."""
    names = {f"the patient's {name} axis": each for name, each in zip(PATIENT_AXES, np.eye(3), strict=True)}
    if result.anatomy.structure:
        points = result.anatomy.bone_points()
        long_axis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
        names = {"the bone's long axis": long_axis} | names
    in_ct = rigid.inverse(result.world_from_ct)[:3, :3] @ axis
    near = [name for name, each in names.items() if abs(each @ in_ct) >= np.cos(np.radians(NAMED_AXIS_DEG))]
    return f"rotation about {near[0] if near else 'an oblique axis'}, below {degrees:.2f}\u00b0 in 95 % of cases."


def _comparison(entry: Entry, anchor: str) -> ET.Element:
    """Radio buttons and pictures are siblings, so that style rules alone can switch all views together."""
    refined = entry.result.refined

    def choice(group: str, value: str, hint: str, **checked: bool) -> tuple[ET.Element, ET.Element]:
        name = f"{anchor}-{value}"
        fields = {"name": f"{anchor}-{group}", "id": name, "class_": f"pick-{value}", "aria_label": hint}
        radio = tag("input", type="radio", **fields, **checked)
        return radio, tag("label", value.capitalize(), for_=name, class_="choice")

    controls = [
        part for kind in LEGENDS for part in choice("kind", kind, f"Show {kind}", checked=kind == next(iter(LEGENDS)))
    ]
    hint = []
    if refined:
        controls += [
            tag("span", class_="gap"),
            *choice("pose", "start", "Show the start pose"),
            *choice("pose", "result", "Show the result", checked=True),
        ]
        text = "A click on a picture, or the arrow keys on the buttons, changes between start and result."
        hint = [tag("p", text, class_="quiet screen")]
    legends = [tag("p", text, class_=f"shot-legend {kind}") for kind, text in LEGENDS.items()]
    figures = [
        _figure(view.name, pictures, anchor) for view, pictures in zip(entry.result.views, entry.pictures, strict=True)
    ]
    legends_and_views = tag("div", *legends, class_="legends"), tag("div", *figures, class_="views")
    return tag("div", tag("h3", "Pictures"), *hint, *controls, *legends_and_views, class_="compare")


def _figure(name: str, pictures: dict[str, tuple[bytes, ...]], anchor: str) -> ET.Element:
    """All pictures of a view; of two poses each is a label of the other's radio button, so a click changes it."""
    shots = []
    for kind, files in pictures.items():
        if len(files) == 1:
            shots.append(tag("div", _image(files[0], f"{name}, {kind}"), class_=f"shot {kind} alone"))
            continue
        for pose, other, file in zip(("start", "result"), ("result", "start"), files, strict=True):
            on_paper = tag("span", f", {kind}", class_="print")
            mark = tag("span", pose, on_paper, class_="mark", aria_hidden="true")
            picture = _image(file, f"{name}, {kind}, {pose}")
            shots.append(tag("label", picture, mark, for_=f"{anchor}-{other}", class_=f"shot {kind} {pose}"))
    return tag("figure", tag("figcaption", name), tag("div", *shots, class_="shots"))


def _image(file: bytes, alt: str) -> ET.Element:
    return tag("img", src=embedded_png(file), alt=alt, decoding="async")


def _agreement(result: Result) -> list[ET.Element]:
    """The maps of agreement of X-rays and CT, if they were assessed."""
    figures = []
    for name, (xray, tiles, _) in result.assessed_views.items():
        picture = _image(png(tile_map(xray, tiles)), f"{name}, agreement")
        figures.append(tag("figure", tag("figcaption", name), tag("div", picture, class_="map")))
    if not figures:
        return []
    title = tag("h3", "Where X-rays and CT agree")
    return [title, tag("p", AGREEMENT, class_="quiet"), tag("div", *figures, class_="views")]


def _errors(result: Result) -> ET.Element:
    errors = result.errors
    if errors is None:
        return tag("p", "The true pose is unknown, so the error is, too.")
    start = result.start_errors
    columns = {"Start": start, "Result": errors} if start else {"At this pose": errors}
    slots = any(view.camera.fan_axes == 1 for view in result.views)
    rows: list[list[Content]] = []
    for key, name, unit, digits, meaning in ERROR_ROWS:
        cells = [number(getattr(each, key), unit, digits) for each in columns.values()]
        if getattr(errors, key) is None:
            cells[-1] = "not of slot scans" if key == "diffpose_score" and slots else "pixel size unknown"
        if key == "mpd_mm" and slots:
            meaning += ", of a slot scan at the isocentre"
        rows.append([tag("span", name, tag("small", meaning)), *cells])
    return table(["Error", *columns], rows)


def _views(result: Result) -> ET.Element:
    """A column for each view."""
    views, first = result.views, result.views[0].camera
    cosines = [view.camera.camera_from_world[2, :3] @ first.camera_from_world[2, :3] for view in views]
    rows = {
        "Local NCC, result" if result.refined else "Local NCC": _numbers(result.refinement.fit.similarity, "", 3),
        "Angle to the first view": _numbers(np.degrees(np.arccos(np.clip(cosines, -1, 1))), "\u00b0", 1),
        **_beam_rows(views),
        "Image": ["{} \u00d7 {} pixels".format(*view.camera.size) for view in views],
        "Pixel size": [_pixel_size(view) for view in views],
        "Geometry": [_certainty(view) for view in views],
    }
    if result.refined:
        rows = {"Local NCC, start": _numbers(result.similarity(result.start_world_from_ct), "", 3), **rows}
    corrections = [_correction(*pair) for pair in zip(result.case.views, views, strict=True)]
    if any(corrections):
        rows["Camera corrected by"] = [correction or "\u2013" for correction in corrections]
    return table(["", *(view.name for view in views)], [[name, *cells] for name, cells in rows.items()])


def _numbers(values: Sequence[float | None], unit: str, digits: int) -> list[str]:
    return [number(value, unit, digits) for value in values]


def _beam_rows(views: Sequence[View]) -> dict[str, list[str]]:
    """How far the source is from where a pixel has its size, the detector or a slot scan's isocentre; the focal length of what has one."""
    pinholes = [view.camera.fan_axes == 2 for view in views]
    focal = [view.camera.focal_px for view in views]
    mm = [
        view.xray.pixel_mm and length * view.xray.pixel_mm[view.camera.fan_axes - 1]
        for view, length in zip(views, focal, strict=True)
    ]

    def of(values: Sequence[float | None], unit: str, *, pinhole: bool) -> list[str]:
        own = [value if each == pinhole else None for value, each in zip(values, pinholes, strict=True)]
        return _numbers(own, unit, 1)

    return {
        **({"Source to detector": of(mm, "mm", pinhole=True)} if any(pinholes) else {}),
        **({"Focal length": of(focal, "pixels", pinhole=True)} if any(pinholes) else {}),
        **({} if all(pinholes) else {"Source to isocentre": of(mm, "mm", pinhole=False)}),
    }


def _pixel_size(view: View) -> str:
    if view.xray.pixel_mm is None:
        return "unknown"
    at = " at the isocentre" if view.camera.fan_axes == 1 else ""
    return "{:.3f} \u00d7 {:.3f} mm".format(*view.xray.pixel_mm) + at


def _certainty(view: View) -> str:
    return describe_uncertainty(vars(view))


def _correction(given: View, corrected: View) -> str:
    """The correction of a view's camera; "" for none."""
    before, after = given.camera, corrected.camera
    same = [np.array_equal(getattr(before, key), getattr(after, key)) for key in ("camera_from_world", "intrinsics")]
    if all(same):
        return ""
    motion = before.world_from_camera @ after.camera_from_world
    scale = after.focal_px / before.focal_px
    shift = after.principal_point - before.principal_point
    parts = [
        number(float(np.degrees(rigid.rotation_angle(motion))), "\u00b0", 2) + " about the world origin",
        number(float(np.linalg.norm(motion[:3, 3])), "mm", 2),
    ]
    if scale != 1:
        parts.append(("scale" if after.fan_axes == 2 else "width of the fan") + " \u00d7 " + number(scale, "", 4))
    if after.fan_axes == 1 and (step := after.intrinsics[1, 1] / before.intrinsics[1, 1]) != 1:
        parts.append("rows' distance \u00d7 " + number(1 / step, "", 4))
    if any(shift):
        parts.append("principal point ({}, {}) pixels".format(*_numbers(shift, "", 1)))
    return ", ".join(parts)


def _pose(result: Result) -> ET.Element:
    to_centre = rigid.from_rotation_translation(np.eye(3), result.anatomy.centroid)
    pose = result.world_from_ct @ to_centre
    method = f"{result.method}: {result.regressor}" if result.regressor else result.method
    rows = [["Start" if result.refined else "Given", method]]
    if result.refined:
        start = result.start_world_from_ct @ to_centre
        rotation, shift = np.degrees(rigid.rotation_distance(start, pose)), rigid.translation_distance(start, pose)
        by = f"{rotation:.3f}\u00b0 about the centre of the bone, which moved by {shift:.3f} mm"
        rows.append(["Moved by the registration", by])
    rows += [
        ["Centre of the bone in the world", _axes(pose[:3, 3], "mm")],
        ["Rotation vector, CT to world", _axes(np.degrees(rigid.log_so3(result.world_from_ct[:3, :3])), "\u00b0")],
    ]
    matrix = "\n".join(" ".join(f"{value:12.6f}" for value in row) for row in result.world_from_ct)
    return tag(
        "div",
        table(None, rows),
        tag("p", "world_from_ct: takes CT coordinates to world coordinates, both LPS in mm.", class_="quiet"),
        tag("pre", matrix, tabindex=0, role="region", aria_label="world_from_ct, four by four"),
    )


def _axes(vector: np.ndarray, unit: str) -> str:
    return ",  ".join(f"{axis} {number(value, unit, 3)}" for axis, value in zip("LPS", vector, strict=True))


def _landmarks(residuals: Sequence[LandmarkResidual]) -> list[ET.Element]:
    rows = [
        [each.name, each.view, number(each.residual_px, "", 1), number(each.residual_mm, "mm", 2), each.status]
        for each in residuals
    ]
    heads = ["Landmark", "View", "Pixels off", "At its depth", ""]
    return [tag("h3", "Landmarks at the start"), table(heads, rows)]


def _convergence(levels: Sequence[LevelTrace]) -> ET.Element:
    cost_lines, step_lines, rows, first = [], [], [], 1
    for level in levels:
        if not level.steps:
            continue
        steps = range(first, first + len(level.steps))
        cost, moved_mm = [step.cost for step in level.steps], [step.moved_mm for step in level.steps]
        cost_lines.append(Line(level.name, steps, [value / (cost[0] or 1.0) for value in cost]))
        step_lines.append(Line(level.name, steps, moved_mm))
        counts = str(len(cost)), f"{cost[0]:.5g}", f"{cost[-1]:.5g}", number(moved_mm[-1], "mm", 4)
        rows.append([level.name, *counts])
        first = steps.stop
    if not rows:
        return tag("p", "No steps were taken.", class_="quiet")
    title = "Cost of each step, relative to the first of its level"
    plots = [
        line_plot(cost_lines, title, Axis("step"), Axis("cost / first of level")),
        line_plot(step_lines, "Size of each step in mm", Axis("step"), Axis("size of step (mm)", "log")),
    ]
    heads = ["Level", "Steps", "First cost", "Last cost", "Last step"]
    return tag(
        "div",
        tag("div", *plots, class_="plots"),
        legend([line.name for line in cost_lines]),
        tag("details", tag("summary", "As numbers"), table(heads, rows)),
    )


def _origin(result: Result) -> ET.Element:
    software = {
        "MultiViewRegistration": __version__,
        "refinement": result.refined_by or "none",
        "device": result.device,
        **({"fallback": result.compute_device.fallback_message} if result.compute_device.fallback_message else {}),
    }
    tables: dict[str, list[list[Content]]] = {
        "Time": [[name, f"{value:.3f} s"] for name, value in result.seconds.items()],
        "Inputs, with SHA-256": [[name, tag("code", digest)] for name, digest in result.case.inputs.items()],
        "Software": [[name, value] for name, value in software.items()],
    }
    parts = [part for title, rows in tables.items() for part in (tag("h4", title), table(None, rows))]
    return tag("div", *parts)
