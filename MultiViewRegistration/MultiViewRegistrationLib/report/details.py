"""What a report says below its first screen, folded.

Numbers, maps and curves for those who ask for them. And bones that have a pose of their own: each
one's outline in its colour, its verdict, and how it has moved.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy
from PIL import Image, ImageDraw, ImageFont

from ..assessment.records import UNUSABLE
from ..geometry import rigid
from ..geometry.fields import TAKEN, describe_uncertainty
from ..imaging.body import colour_of
from ..imaging.xray import View
from .html import Content, figure, number, table, tag
from .messages import cautions, in_mm, sentences
from .overlays import (
    BLUE,
    LEGENDS,
    ORANGE,
    contour,
    film_of,
    grey_picture,
    normalised_locally,
    part_about,
)
from .plot import cost, curve_plot, image_of, maps, movement, predicted_at_targets
from .result import Result

if TYPE_CHECKING:
    from ..assessment.bodies import BodyResult
    from ..registration.bone import Bone

#: The outline lies where a bone attenuates by this share of its median.
OUTLINE_SHARE = 0.25
#: Rows of `before_after` and of a name in it, columns between views, and what is around the bones,
#: as a share of the longer side.
PICTURE_ROWS = 900
NAME_ROWS = 24
GAP = 12
ROOM = 0.06
#: Against noise, standard deviation in pixels of the X-ray.
SMOOTH_PX = 1.0
BEFORE_AFTER = "Blue: where the pose of the whole CT has each bone. Orange: its own pose."
POSES = (
    "How the principal axes and the middle of each bone with a CT of its own lie to those of the other, "
    "along its axes that are nearest to left, back and up:"
)
#: Sign and word, on one line.
WORDS = {
    "accept": "\u2713\u00a0accept",
    "check": "!\u00a0check",
    "reject": "\u2715\u00a0reject",
    "not shown": "\u2013\u00a0not shown",
}


def bones_section(result: Result, compared: np.ndarray | None) -> list[ET.Element]:
    """Pictures, of which `compared` is that of `before_after`, and tables, of a result with bones."""
    found = result.together
    figures = []
    for v, view in enumerate(result.views):
        figures.append(figure(f"{view.name}, bones", outlined(result, v), view.name))
    moved = ["Moved", "Turned"] if any(bone.moved for bone in found.bodies) else []
    rows: list[list[Content]] = []
    for n, bone in enumerate(found.bodies):
        position = bone.uses.get("position")
        typical_mm = position.typical_mm if position else None
        findings = bone.assessment.findings if bone.assessment else ()
        rows.append(
            [
                tag("span", f"\u25a0 {bone.name}", style=f"color: {css(n)}"),
                "edges confirmed" if bone.checked else WORDS[bone.verdict or "check"],
                *_moved(bone)[: len(moved)],
                "unknown" if typical_mm is None else in_mm(typical_mm),
                ", ".join(f"{name} {each:.2f}" for name, each in bone.similarity.items()),
                " ".join(sentences(cautions(findings))),
            ]
        )
    head = ["Bone", "Verdict", *moved, "Expected error", "Similarity", "Findings"]
    against = "; moved and turned are against the pose of the whole CT" if moved else ""
    parts: list[ET.Element] = []
    if compared is not None:
        parts.append(tag("div", figure(BEFORE_AFTER, compared), class_="views"))
    parts += [
        tag("p", f"Each bone at its own pose{against}."),
        tag("div", *figures, class_="views"),
        table(head, rows),
    ]
    if found.motions:
        motions: list[list[Content]] = []
        for motion in found.motions:
            pair = f"{motion.name} on {motion.against}"
            mm = number(motion.mm, "mm", 1)
            motions.append([pair, WORDS[motion.verdict], motion.words, mm])
        parts += [
            tag("p", "How neighbours have moved against each other since the CT:"),
            table(["", "Verdict", "Motion, \u00b1 of 95 in 100", "Shift at the joint"], motions),
        ]
    if found.relative_poses:
        poses: list[list[Content]] = []
        for each in found.relative_poses:
            rotation, shift = each.numbers.in_words()
            verdict = WORDS[each.verdict]
            poses.append([f"{each.name} to {each.against}", verdict, *rotation, *shift])
        axes = ["left", "back", "up"]
        parts += [
            tag("p", POSES),
            table(
                [
                    "",
                    "Verdict",
                    *(f"{axis} (\u00b0)" for axis in axes),
                    *(f"{axis} (mm)" for axis in axes),
                ],
                poses,
            ),
        ]
    return parts


def _moved(bone: BodyResult) -> list[Content]:
    """Return how far a bone has moved and turned; no CT says that of an implant."""
    if bone.moved is None:
        return ["\u2013", "\u2013"]
    return [number(bone.moved.mm, "mm", 1), number(bone.moved.degrees, "\u00b0", 1)]


def css(n: int) -> str:
    """Return the colour of the n-th bone, for a page."""
    red, green, blue = (round(255 * each) for each in colour_of(n, 0.35, 0.8))
    return f"rgb({red} {green} {blue})"


def outlined(result: Result, v: int) -> np.ndarray:
    """uint8 (rows, columns, 3): an X-ray with the outline of each bone in its colour."""
    bones = [(body.bone, body.world_from_ct) for body in result.together.bodies]
    return with_outlines(result.views[v], bones)


def with_outlines(view: View, bones: Sequence[tuple[Bone | None, np.ndarray | None]]) -> np.ndarray:
    """Return the same of an X-ray and of bones at poses (4, 4), None of those that are nowhere.

    Of their DRRs, which need no VTK; a scene, where it must be done in time, has their surfaces.
    """
    picture = grey_picture(film_of(view.xray).grey)
    for n, (bone, world_from_ct) in enumerate(bones):
        if world_from_ct is not None:
            line = contour(_silhouette(bone, view, world_from_ct), 0) > 0.5
            picture[line] = 255 * np.array(colour_of(n))
    return picture


def before_after(result: Result) -> np.ndarray | None:
    """uint8 (rows, columns, 3): the part of each X-ray about the bones, with their outlines by the pose of the whole CT and by their own.

    None where no X-ray shows a bone, and for bones with a CT each.
    """
    bones = [body for body in result.together.bodies if body.moved]
    pictures: list[np.ndarray] = []
    for view in result.views:
        crop = _crop(view, bones, result.world_from_ct)
        if crop is not None:
            pictures += [np.zeros((PICTURE_ROWS, GAP, 3), np.uint8), crop]
    return np.concatenate(pictures[1:], axis=1) if pictures else None


def _crop(view: View, bones: Sequence[BodyResult], world_from_ct: np.ndarray) -> np.ndarray | None:
    """Return the part of one X-ray for `before_after`, enlarged; None where it shows no bone."""
    before = [_silhouette(bone.bone, view, world_from_ct) for bone in bones]
    after = [_silhouette(bone.bone, view, bone.world_from_ct) for bone in bones]
    shown = np.any([each > 0 for each in (*before, *after)], axis=0)
    if not shown.any():
        return None
    part = part_about(shown, ROOM)
    rows, columns = shown[part].shape
    size = round(columns * PICTURE_ROWS / rows), PICTURE_ROWS

    def enlarged(image: np.ndarray) -> np.ndarray:
        return np.asarray(
            Image.fromarray(image[part].astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        )

    smooth = scipy.ndimage.gaussian_filter(view.xray.line_integrals, SMOOTH_PX)
    image = enlarged(smooth)
    valid = enlarged(view.xray.valid) > 0.99
    # Bone is seen before heart and lung alike.
    grey = 0.5 + normalised_locally(image, valid, PICTURE_ROWS // 6) / 4
    picture = grey_picture(np.where(valid, np.clip(grey, 0, 1), 0))
    for colour, silhouettes in ((BLUE, before), (ORANGE, after)):
        for silhouette in silhouettes:
            picture[contour(enlarged(silhouette), 0) > 0.5] = colour
    crop = Image.fromarray(picture)
    pen = ImageDraw.Draw(crop)
    font = ImageFont.load_default(NAME_ROWS)
    for bone, silhouette in zip(bones, after, strict=True):
        if (silhouette > 0).any():
            name = f"{bone.name} {bone.verdict}" if bone.verdict in UNUSABLE else bone.name
            row, column = scipy.ndimage.center_of_mass(enlarged(silhouette) > 0)
            pen.text((column, row), name, "white", font, "mm", stroke_width=2, stroke_fill="black")
    return np.asarray(crop)


def _silhouette(bone: Bone | None, view: View, world_from_ct: np.ndarray) -> np.ndarray:
    """(rows, columns), above 0 in the silhouette of a bone.

    0 everywhere where a view does not show it.
    """
    if bone is None or (view.camera.depth(bone.surface) <= 0).any():
        return np.zeros(view.xray.valid.shape, np.float32)
    shadow = bone.projector(0).render(view.camera, world_from_ct).image
    if not shadow.any():
        return shadow
    return scipy.ndimage.gaussian_filter(shadow, 1) - OUTLINE_SHARE * np.median(shadow[shadow > 0])


#: Field of `Errors`, name, unit, digits and meaning.
ERROR_ROWS = (
    ("mtre_mm", "mTRE", "mm", 3, "mean 3D distance of the targets from their true place"),
    (
        "depth_mm",
        "depth",
        "mm",
        3,
        "mean part of it along the first view's beam, which that view barely shows",
    ),
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
DISAGREEMENT = (
    "Orange: CT and X-ray agree less than the image's noise explains, the more the stronger: "
    "tools, tissue that moved, or a wrong pose. Dimmed: not compared. The rest agrees."
)
ASSUMED = "What was assumed"
#: An axis within this angle of an anatomical one is named after it.
NAMED_AXIS_DEG = 30.0
PATIENT_AXES = ("left-right", "front-back", "head-feet")

#: Targets that are listed; of more only the mean is said.
MAX_TARGETS = 40


def details(
    result: Result,
    shown: Sequence[Sequence[dict[str, np.ndarray]]],
    compared: np.ndarray | None,
    *,
    names: bool,
) -> Iterator[ET.Element]:
    """Return the folded sections; those of which nothing is known are left out.

    Parameters
    ----------
    shown, names
        As of `result_page.first_screen`.
    compared
        Of `before_after`.
    """
    bones: list[ET.Element] = []
    if result.together.bodies:
        bones = bones_section(result, compared)
    sections = {
        "The bones": bones,
        "Checkerboard and difference": [_comparison(result, shown)],
        "Where they disagree": _disagreement(result),
        "Error to expect at the targets": _expected(result),
        "Error against the known truth": [_errors(result)] if result.errors else [],
        ASSUMED: [_assumed(result)] if result.assumed else [],
        "The X-rays in numbers": [_views(result)],
        "The pose, and how it was found": [_pose(result), *_landmarks(result)],
        "How the refinement went": [_convergence(result)] if result.refined else [],
        "Time, inputs and software": [_origin(result, names=names)],
    }
    for title, content in sections.items():
        if content:
            unfolded = {"open": "open"} if title == "The bones" else {}
            yield tag("details", tag("summary", title), *content, class_="fold", **unfolded)


def _assumed(result: Result) -> ET.Element:
    rows: list[list[Content]] = [
        [names, ". ".join([*sentences, ""]).strip()] for names, sentences in result.assumed.items()
    ]
    return table(["X-rays", "Assumed"], rows)


def _comparison(result: Result, shown: Sequence[Sequence[dict[str, np.ndarray]]]) -> ET.Element:
    """Return the other pictures of X-ray and CT at the result."""
    figures = []
    legends = []
    for kind in ("checkerboard", "difference"):
        legends.append(tag("p", f"{kind.capitalize()}: {LEGENDS[kind]}"))
        for view, pictures in zip(result.views, shown, strict=True):
            figures.append(figure(f"{view.name}, {kind}", pictures[-1][kind]))
    return tag("div", *legends, tag("div", *figures, class_="views"))


def _disagreement(result: Result) -> list[ET.Element]:
    """Return the maps of agreement of X-rays and CT, if they were assessed."""
    named = [(split.name, picture) for split, picture in maps(result)]
    figures = [figure(f"{name}, disagreement", picture, name) for name, picture in named]
    return [tag("p", DISAGREEMENT), tag("div", *figures, class_="views")] if figures else []


def _expected(result: Result) -> list[ET.Element]:
    """Return the expected error at the case's targets, and the least certain rotation."""
    assessment = result.assessment
    targets = result.case.targets
    if assessment is None or assessment.evidence is None or not assessment.bound_is_known:
        return []
    rotation = _rotation(result, *assessment.evidence.least_certain_rotation)
    parts = [tag("p", f"Least certain: {rotation}")]
    if targets is not None and len(targets) <= MAX_TARGETS:
        rows: list[list[Content]] = []
        for nth, (mean, bound) in enumerate(predicted_at_targets(result), 1):
            rows.append([f"Target {nth}", number(mean, "mm", 2), number(bound, "mm", 2)])
        if rows:
            parts.append(table(["", "Expected", "Below in 95 of 100"], rows))
    return parts


def _rotation(result: Result, degrees: float, axis: np.ndarray) -> str:
    """Return "rotation about the bone's long axis, below 1.20 degrees in 95 % of cases".

    Parameters
    ----------
    axis
        (3,) in the world.
    """
    axes = zip(PATIENT_AXES, np.eye(3), strict=True) if result.case.ct.unit == "hu" else ()
    names = {f"the patient's {name} axis": each for name, each in axes}
    if result.anatomy.structure:
        points = result.anatomy.bone_points()
        long_axis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
        names = {"the bone's long axis": long_axis} | names
    in_ct = rigid.inverse(result.world_from_ct)[:3, :3] @ axis
    least = np.cos(np.radians(NAMED_AXIS_DEG))
    near = [name for name, each in names.items() if abs(each @ in_ct) >= least]
    return f"rotation about {near[0] if near else 'an oblique axis'}, below {degrees:.2f}\u00b0 in 95 % of cases."


def _errors(result: Result) -> ET.Element:
    errors = result.errors
    start = result.start_errors
    columns = {"Start": start, "Result": errors} if start else {"At this pose": errors}
    slots = any(view.camera.is_slot_scan for view in result.views)
    rows: list[list[Content]] = []
    for key, name, unit, digits, meaning in ERROR_ROWS:
        cells = [number(getattr(each, key), unit, digits) for each in columns.values()]
        if getattr(errors, key) is None:
            cells[-1] = (
                "not of slot scans" if key == "diffpose_score" and slots else "pixel size unknown"
            )
        if key == "mpd_mm" and slots:
            meaning += ", of a slot scan at the isocentre"
        rows.append([tag("span", name, tag("small", meaning)), *cells])
    return table([f"Error at {result.error_points}", *columns], rows)


def _views(result: Result) -> ET.Element:
    """Return a column for each view."""
    views = result.views
    first = result.views[0].camera
    cosines = [
        view.camera.camera_from_world[2, :3] @ first.camera_from_world[2, :3] for view in views
    ]
    rows = {
        "Local NCC, result" if result.refined else "Local NCC": _numbers(
            result.refinement.fit.similarity, "", 3
        ),
        "Angle to the first view": _numbers(
            np.degrees(np.arccos(np.clip(cosines, -1, 1))), "\u00b0", 1
        ),
        **_beam_rows(views),
        "Image": ["{} \u00d7 {} pixels".format(*view.camera.size) for view in views],
        "Pixel size": [_pixel_size(view) for view in views],
        "Geometry": [describe_uncertainty(vars(view)) for view in views],
    }
    if result.refined:
        before = _numbers(result.similarity(result.start_world_from_ct), "", 3)
        rows = {"Local NCC, start": before} | rows
    for key, field in TAKEN.items():
        if any(key in view.taken for view in views):
            rows[field.title] = [str(view.taken.get(key, "\u2013")) for view in views]
    corrections = [_correction(*pair) for pair in zip(result.case.views, views, strict=True)]
    if any(corrections):
        rows["Camera corrected by"] = [correction or "\u2013" for correction in corrections]
    return table(
        ["", *(view.name for view in views)], [[name, *cells] for name, cells in rows.items()]
    )


def _numbers(values: Sequence[float | None], unit: str, digits: int) -> list[str]:
    return [number(value, unit, digits) for value in values]


def _beam_rows(views: Sequence[View]) -> dict[str, list[str]]:
    """Return how far the source is from where a pixel has its size, the detector or a slot scan's isocentre.

    The focal length of what has one.
    """
    pinholes = [not view.camera.is_slot_scan for view in views]
    focal = [view.camera.focal_px for view in views]
    mm = [
        view.xray.pixel_mm and length * view.xray.pixel_mm[view.camera.fan_axes - 1]
        for view, length in zip(views, focal, strict=True)
    ]

    def of(values: Sequence[float | None], unit: str, *, pinhole: bool) -> list[str]:
        own = [
            value if each == pinhole else None for value, each in zip(values, pinholes, strict=True)
        ]
        return _numbers(own, unit, 1)

    rows = {}
    if any(pinholes):
        rows["Source to detector"] = of(mm, "mm", pinhole=True)
        rows["Focal length"] = of(focal, "pixels", pinhole=True)
    if not all(pinholes):
        rows["Source to isocentre"] = of(mm, "mm", pinhole=False)
    return rows


def _pixel_size(view: View) -> str:
    if view.xray.pixel_mm is None:
        return "unknown"
    at = " at the isocentre" if view.camera.is_slot_scan else ""
    return "{:.3f} \u00d7 {:.3f} mm".format(*view.xray.pixel_mm) + at


def _correction(given: View, corrected: View) -> str:
    """Return the correction of a view's camera; "" for none."""
    before = given.camera
    after = corrected.camera
    same_pose = np.array_equal(before.camera_from_world, after.camera_from_world)
    if same_pose and np.array_equal(before.intrinsics, after.intrinsics):
        return ""
    motion = before.world_from_camera @ after.camera_from_world
    scale = after.focal_px / before.focal_px
    shift = after.principal_point - before.principal_point
    mm, degrees = rigid.pose_difference(motion, np.eye(4), np.zeros(3))
    parts = [number(degrees, "\u00b0", 2) + " about the world origin", number(mm, "mm", 2)]
    if scale != 1:
        parts.append(
            ("width of the fan" if after.is_slot_scan else "scale")
            + " \u00d7 "
            + number(scale, "", 4)
        )
    if after.is_slot_scan and (step := after.intrinsics[1, 1] / before.intrinsics[1, 1]) != 1:
        parts.append("rows' distance \u00d7 " + number(1 / step, "", 4))
    if any(shift):
        parts.append("principal point ({}, {}) pixels".format(*_numbers(shift, "", 1)))
    return ", ".join(parts)


def _pose(result: Result) -> ET.Element:
    to_centre = rigid.translation(result.anatomy.centroid)
    pose = result.world_from_ct @ to_centre
    method = f"{result.method}: {result.regressor}" if result.regressor else result.method
    rows = [["Start" if result.refined else "Given", method]]
    if result.refined:
        shift, rotation = rigid.pose_difference(
            result.start_world_from_ct, result.world_from_ct, result.anatomy.centroid
        )
        by = f"{rotation:.3f}\u00b0 about the centre of the bone, which moved by {shift:.3f} mm"
        rows.append(["Moved by the registration", by])
    rows += [
        ["Centre of the bone in the world", _axes(pose[:3, 3], "mm")],
        [
            "Rotation vector, CT to world",
            _axes(np.degrees(rigid.log_so3(result.world_from_ct[:3, :3])), "\u00b0"),
        ],
    ]
    matrix = "\n".join(" ".join(f"{value:12.6f}" for value in row) for row in result.world_from_ct)
    return tag(
        "div",
        table(None, rows),
        tag(
            "p",
            "world_from_ct: takes CT coordinates to world coordinates, both LPS in mm.",
            class_="quiet",
        ),
        tag("pre", matrix, tabindex=0, role="region", aria_label="world_from_ct, four by four"),
    )


def _axes(vector: np.ndarray, unit: str) -> str:
    return ",  ".join(
        f"{axis} {number(value, unit, 3)}" for axis, value in zip("LPS", vector, strict=True)
    )


def _landmarks(result: Result) -> list[ET.Element]:
    if not result.landmark_fit:
        return []
    rows: list[list[Content]] = [
        [
            each.name,
            each.view,
            number(each.residual_px, "", 1),
            number(each.residual_mm, "mm", 2),
            each.status,
        ]
        for each in result.landmark_fit.residuals
    ]
    heads = ["Landmark", "View", "Pixels off", "At its depth", ""]
    return [tag("h3", "Landmarks at the start"), table(heads, rows)]


def _convergence(result: Result) -> ET.Element:
    costs = cost(result)
    if not costs:
        return tag("p", "No steps were taken.", class_="quiet")
    title = "Cost of each step, relative to the first of its level"
    size = "Size of each step in mm", "step", "size of step (mm)"
    plots = [
        image_of(curve_plot(title, "step", "cost (% of first of level)", costs)),
        image_of(curve_plot(*size, movement(result), log=True)),
    ]
    return tag("div", *plots, class_="plots")


def _origin(result: Result, *, names: bool) -> ET.Element:
    software = {"refinement": result.refined_by or "none", "device": result.device}
    if fallback := result.compute_device.fallback_message:
        software["fallback"] = fallback
    tables: dict[str, list[list[Content]]] = {
        "Time": [[name, f"{value:.3f} s"] for name, value in result.seconds.items()],
        "Inputs, with SHA-256": [
            [name if names else f"input {nth}", tag("code", digest)]
            for nth, (name, digest) in enumerate(result.case.inputs.items(), start=1)
        ],
        "Software": [[name, value] for name, value in software.items()],
    }
    parts = tag("div")
    for title, rows in tables.items():
        parts.extend([tag("h4", title), table(None, rows)])
    return parts
