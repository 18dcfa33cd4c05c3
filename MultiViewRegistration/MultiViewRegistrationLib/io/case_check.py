"""The geometry of a case in numbers, in plain words, and its suspicious values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.fields import PRESUMED, UNCERTAINTY, describe_uncertainty
from ..imaging.xray import View
from .case import Case
from .files import plain
from .placement import ct_box, meeting_point

BEFORE_SOURCE_MM = 700.0  # assumed place of a CT without a start pose
SAMPLES = 16  # along each edge of the CT's box, for the share of it that an image shows
HARDLY_INSIDE = 0.15  # share of the CT's box: a head to hip CT over a pelvis has more
NEARLY_PARALLEL_DEG = 15.0
FAR_APART_MM = 50.0
#: Source to detector, and source to anatomy, of C-arms from the smallest to angiography and biplane
#: laboratories.
DETECTOR_MM = (450.0, 2500.0)
ANATOMY_MM = (150.0, 2300.0)
PIXEL_MM = (0.02, 3.0)  # at the anatomy
#: A start pose whose shift is smaller, and which no view shows, was given in metres.
START_IN_METRES = 5.0

_PATIENT = {"L": ("left", "right"), "P": ("back", "front"), "S": ("head", "feet")}


def check_case(case: Case) -> dict[str, Any]:
    """Return the output of `mvreg case check --json` for a loaded case, without `lines` and `findings`.

    Returns
    -------
    dict[str, Any]
        Plain lists, numbers and texts. Lengths are mm, pixels (column, row) from the centre of the
        first one.

        - `world_from_ct`: (4, 4) the start pose; or, where `start_pose` is "assumed", the one that stands for it: axes along the
          world's, the centroid of the bone, or of the mask, where the views meet, as a search takes
          it.
        - `ct_corners_world`: (8, 3) of the box of the CT, or of what its mask selects (`structure`), in the world; corner n is at the
          high end of axis i where bit 2^i of n is set.
        - `structures`: the names of the bones with a pose of their own.
        - `isocentre`: (3,) where the views meet; for parallel or single views the world's origin, if it lies before the first source.
        - `points`: of "targets" and "landmarks", how many there are, and how many of them lie within the CT's box.
        - `tracker`: (3,) origin of the frame of reference_from_world in the world, or None.
        - `pairs`: the angle between the rays through the middle of two images, 0 to 180, and how far these lines pass each other.
        - `views`: see `_view`.
    """
    cameras = [view.camera for view in case.views]
    isocentre = meeting_point(cameras)
    if isocentre is None:
        isocentre = np.zeros(3)
        if cameras[0].depth(isocentre) <= 0:
            isocentre = cameras[0].source + BEFORE_SOURCE_MM * cameras[0].middle_ray
    world_from_ct = case.world_from_ct
    if world_from_ct is None:
        world_from_ct = rigid.translation(isocentre - case.ct.centroid())
    low, high = ct_box(case.ct)
    world_from_index = world_from_ct @ case.ct.volume.ct_from_index
    unit = rigid.grid_points(*[(np.arange(SAMPLES) + 0.5) / SAMPLES] * 3)
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    box, corners = (
        rigid.transform_points(world_from_index, low + (high - low) * part) for part in (unit, bits)
    )
    tracker = (
        None
        if case.reference_from_world is None
        else rigid.inverse(case.reference_from_world)[:3, 3]
    )
    checked = {
        "name": case.name,
        "views": [_view(view, world_from_ct, box, corners, isocentre) for view in case.views],
        "pairs": [_pair(a, b) for a, b in combinations(case.views, 2)],
        "world_from_ct": world_from_ct,
        "start_pose": "assumed" if case.world_from_ct is None else "given",
        "structure": case.ct.mask is not None,
        "structures": case.bone_names,
        "ct_corners_world": corners,
        "isocentre": isocentre,
        "search": None if case.searches_whole_ct else case.search_range,
        "points": _points(case),
        "tracker": tracker,
        "assumptions": case.assumptions,
    }
    return plain(checked)


def case_report(check: dict[str, Any]) -> dict[str, Any]:
    """Return all that `mvreg case check --json` and `mvreg case show --json` print."""
    return {**check, "lines": summary_lines(check), "findings": findings(check)}


def _points(case: Case) -> list[dict[str, Any]]:
    given = {
        "targets": case.targets,
        "landmarks": np.array([landmark.ct for landmark in case.landmarks]),
    }
    index_from_ct = case.ct.volume.index_from_ct
    low, high = ct_box(replace(case.ct, mask=None))
    checked = []
    for what, points in given.items():
        if points is not None and len(points):
            index = rigid.transform_points(index_from_ct, points)
            inside = int(((low <= index) & (index <= high)).all(1).sum())
            checked.append({"what": what, "count": len(points), "inside": inside})
    return checked


def _view(
    view: View,
    world_from_ct: np.ndarray,
    box: np.ndarray,
    corners: np.ndarray,
    isocentre: np.ndarray,
) -> dict[str, Any]:
    """Return a view's camera in numbers.

    Parameters
    ----------
    box
        (N, 3) points that fill the CT's box, world mm; the rest as in `check_case`.

    Returns
    -------
    dict[str, Any]
        Among others `slot_scan`, whether each row has a source of its own, `source` being that of
        the middle one, and there is no `projection_matrix`; `source_to_detector_mm`, None of a slot
        scan, and where the size of a pixel is not known; `isocentre_depth_mm` and `field_mm`, of
        the plane through the isocentre that is parallel to the detector: its distance from the
        source, and (width, height) of what the image shows of it; `anatomy_depth_mm` and
        `pixel_at_anatomy_mm` at the middle of the CT's box: its distance from the source along the
        camera's axis, and what a column is wide there; `ct_corner_depths_mm`, negative behind the
        source; `ct_inside`, the share of the box that falls on the image; `toward`: where the
        patient's left ("L"), back ("P") and head ("S") lie from the middle of the box, (columns,
        rows, depth) of a unit step; `mirrored`: stored as seen from the detector.
    """
    camera = view.camera
    single = not view.camera.is_slot_scan
    pixels = camera.project(box)
    size = np.array(camera.size)
    inside = (camera.depth(box) > 0) & (pixels >= -0.5).all(1) & (pixels <= size - 0.5).all(1)
    turn = camera.camera_from_world[:3, :3] @ world_from_ct[:3, :3]
    turn = turn * np.array([[np.sign(camera.intrinsics[0, 0])], [1], [1]])
    pixel_mm = view.xray.pixel_mm
    reading = view.c_arm
    focal = np.abs(np.diag(camera.intrinsics)[:2])
    return {
        "name": view.name,
        "projection_matrix": camera.projection_matrix if single else None,
        "camera": camera,
        "slot_scan": not single,
        "size": camera.size,
        "source": camera.source,
        "source_to_detector_mm": np.sqrt(np.prod(focal * pixel_mm))
        if single and pixel_mm
        else None,
        "mirrored": camera.intrinsics[0, 0] < 0,
        **{key: getattr(view, key) for key in (*UNCERTAINTY, PRESUMED)},
        "angles_deg": reading and [reading.rao_lao_deg, reading.cra_cau_deg, reading.roll_deg],
        "isocentre_depth_mm": camera.depth(isocentre),
        "field_mm": size * camera.pixel_mm(isocentre),
        "anatomy_depth_mm": camera.depth(corners.mean(0)),
        "pixel_at_anatomy_mm": camera.pixel_mm(corners.mean(0))[0],
        "ct_corners": camera.project(corners),
        "ct_corner_depths_mm": camera.depth(corners),
        "ct_inside": inside.mean(),
        "toward": {letter: turn[:, axis] for axis, letter in enumerate("LPS")},
    }


def _pair(first: View, second: View) -> dict[str, Any]:
    a = first.camera.middle_ray
    b = second.camera.middle_ray
    between = second.camera.source - first.camera.source
    across = np.cross(a, b)
    angle = np.degrees(np.arctan2(np.linalg.norm(across), a @ b))
    parallel = np.linalg.norm(across) < 1e-9
    gap = (
        np.linalg.norm(between - between @ a * a)
        if parallel
        else abs(between @ across) / np.linalg.norm(across)
    )
    return {"views": [first.name, second.name], "angle_deg": angle, "gap_mm": gap}


def summary_lines(check: dict[str, Any]) -> list[str]:
    """Describe the geometry in words, lines for each view, pair and the CT."""
    structure = check["structure"]
    placed = check["start_pose"] == "given"
    sentences = []
    for view in check["views"]:
        sentences += _view_lines(view, "structure" if structure else "CT")
    for pair in check["pairs"]:
        first, second = pair["views"]
        meet = "meet" if pair["gap_mm"] < 0.05 else f"pass {pair['gap_mm']:.1f} mm apart"
        sentences.append(
            f"{first} and {second}: {pair['angle_deg']:.1f} degrees between them; the rays through "
            f"the middle of the images {meet}."
        )
    for name, assumed in check["assumptions"].items():
        sentences += [f"{name}, assumed: {each}" for each in assumed]
    corners = np.array(check["ct_corners_world"])
    size = np.linalg.norm(corners[[1, 2, 4]] - corners[0], axis=1)
    middle = _point(corners.mean(0))
    where = (
        f"at the start pose its middle is at {middle} in the world"
        if placed
        else f"it has no start pose, and is taken here with its axes along the world's, its middle at {middle}"
    )
    what = "The structure that the mask selects" if structure else "The CT"
    search = check["search"]
    sentences += [
        f"{what}: {size[0]:.0f} x {size[1]:.0f} x {size[2]:.0f} mm; {where}.",
        "A search goes through all of the CT."
        if search is None
        else f"A search goes {search['rotation_deg']:g} degrees and {search['translation_mm']:g} "
        f"mm about {'the start pose' if placed else 'that place'}.",
    ]
    if check["structures"]:
        sentences.append(f"Each with a pose of its own: {', '.join(check['structures'])}.")
    for points in check["points"]:
        inside = "all" if points["inside"] == points["count"] else f"{points['inside']} of them"
        sentences.append(
            f"The case has {points['count']} {points['what']}, {inside} within the box of the CT."
        )
    if check["tracker"] is not None:
        sentences.append(
            f"The tracker's frame has its origin at {_point(check['tracker'])} in the world."
        )
    return sentences


def _view_lines(view: dict[str, Any], what: str) -> list[str]:
    name = view["name"]
    to_detector = view["source_to_detector_mm"]
    unknown = "not known" if view["slot_scan"] else "not known (the image has no pixel size)"
    detector = unknown if to_detector is None else f"{to_detector:.0f} mm"
    source = "a slot scan, source of its middle row" if view["slot_scan"] else "source"
    width, height = view["field_mm"]
    corners = np.array(view["ct_corners"])
    columns, rows = view["size"]
    left, top = corners.min(0)
    right, bottom = corners.max(0)
    box = (
        f"falls on columns {left:.0f} to {right:.0f}, rows {top:.0f} to {bottom:.0f} of {columns} "
        f"x {rows}"
        if min(view["ct_corner_depths_mm"]) > 0
        else "is partly behind the source"
    )
    known = describe_uncertainty(view)
    stored = "as seen from the detector" if view["mirrored"] else "as seen from the source"
    return [
        f"{name}: {source} at {_point(view['source'])} in the world; source to detector "
        f"{detector}; at the isocentre, {view['isocentre_depth_mm']:.0f} mm from the source, the "
        f"image shows {width:.0f} x {height:.0f} mm.",
        f"{name}: the box of the {what} {box}, {100 * view['ct_inside']:.0f} % of it inside; a "
        f"pixel is {view['pixel_at_anatomy_mm']:.3f} mm wide at its middle.",
        f"{name}: the image is stored {stored}; in it the patient lies with "
        f"{_patient(view['toward'])}; its camera: {known}.",
    ]


def _patient(toward: dict[str, list[float]]) -> str:
    """Describe the patient's orientation in the image."""
    steps = np.array(list(toward.values()))  # rows: left, back, head
    sentences = []
    for row, axis in zip(*scipy.optimize.linear_sum_assignment(-np.abs(steps))):
        side = _PATIENT["LPS"[row]][int((steps[row, axis] <= 0) != (axis == 0))]
        sentences.append(f"{side} {('on the left', 'at the bottom', 'towards the detector')[axis]}")
    return "the " + ", the ".join(sentences)


def findings(check: dict[str, Any]) -> list[str]:
    """List the suspicious values, a sentence each."""
    where = "at the start pose" if check["start_pose"] == "given" else "put where the views meet"
    sentences = _units(check)
    for view in check["views"]:
        sentences += _of_view(view, where)
    for pair in check["pairs"]:
        both = " and ".join(pair["views"])
        angle = pair["angle_deg"]
        if min(angle, 180 - angle) < NEARLY_PARALLEL_DEG:
            sentences.append(
                f"{both} are nearly parallel ({angle:.1f} degrees), so depth is poorly determined; "
                "check their angles."
            )
        elif pair["gap_mm"] > FAR_APART_MM:
            sentences.append(
                f"{both} have middle rays that pass {pair['gap_mm']:.0f} mm apart, so they barely "
                "show the same anatomy; check that both are given in one world, in mm."
            )
    for points in check["points"]:
        count = points["count"]
        if points["inside"] < count:
            sentences.append(
                f"{count - points['inside']} of {count} {points['what']} lie outside of the CT; "
                "check that they are of this CT, in LPS mm."
            )
    # The header of a slot scan states its directions; a lateral scout may be stored either way.
    pinholes = [view for view in check["views"] if not view["slot_scan"]]
    mirrored = [view["name"] for view in pinholes if view["mirrored"]]
    if 0 < len(mirrored) < len(pinholes):
        sentences.append(
            f"{', '.join(mirrored)} is stored as seen from the detector and the other views as "
            "from the source, which is rare on one machine; check whether the patient's right is "
            "on the left of each image."
        )
    return sentences


def _units(check: dict[str, Any]) -> list[str]:
    """List angles that look like radians, and lengths that look like metres."""
    sentences = []
    names = " and ".join(view["name"] for view in check["views"])
    for view in check["views"]:
        largest = max(map(abs, view["angles_deg"] or [0.0]))
        pairs = [pair["angle_deg"] for pair in check["pairs"] if view["name"] in pair["views"]]
        apart = [min(angle, 180 - angle) for angle in pairs]
        if like_radians(largest, apart):
            sentences.append(
                f"The angles of {view['name']} look like radians, as the largest is {largest:.3g} "
                "and the views would be nearly parallel; give degrees."
            )
    lengths = {
        "source to detector": [view["source_to_detector_mm"] or np.inf for view in check["views"]],
        "source to anatomy": [view["anatomy_depth_mm"] for view in check["views"]],
    }
    for what, (low, high) in zip(lengths, (DETECTOR_MM, ANATOMY_MM), strict=True):
        if all(like_metres(mm, (low, high)) for mm in lengths[what]):
            sentences.append(
                f"The geometry of {names} looks like metres, as {what} is {lengths[what][0]:.3g}; "
                "give mm."
            )
            return sentences
    shift = np.linalg.norm(np.array(check["world_from_ct"])[:3, 3])
    if 0 < shift < START_IN_METRES and all(
        view["ct_inside"] < HARDLY_INSIDE for view in check["views"]
    ):
        sentences.append(
            f"world_from_ct looks like metres, as it moves the CT by {shift:.3g}; give mm."
        )
    return sentences


def like_radians(largest_deg: float, apart_deg: list[float]) -> bool:
    """Return whether a view's angles look like radians.

    Parameters
    ----------
    largest_deg
        The largest of them.
    apart_deg
        Between the view's middle ray and those of the others, 0 to 90.
    """
    return 0.05 < largest_deg <= np.pi and bool(apart_deg) and max(apart_deg) < NEARLY_PARALLEL_DEG


def like_metres(mm: float, usual_mm: tuple[float, float]) -> bool:
    """Return whether a length looks like metres.

    Taken for these, it is within the usual (lowest, highest).
    """
    return usual_mm[0] <= 1000 * mm <= usual_mm[1]


def _of_view(view: dict[str, Any], where: str) -> list[str]:
    name = view["name"]
    detector = view["source_to_detector_mm"]
    anatomy = view["anatomy_depth_mm"]
    inside = view["ct_inside"]
    pixel = view["pixel_at_anatomy_mm"]
    sentences = []
    if inside < HARDLY_INSIDE:
        sentences.append(
            f"{name} barely shows the CT {where} ({100 * inside:.0f} % of its box is inside the "
            "image); check the start pose and the view's geometry."
        )
    if detector is not None and not DETECTOR_MM[0] <= detector <= DETECTOR_MM[1]:
        sentences.append(
            f"{name} has {detector:.4g} mm from source to detector, unlike a C-arm; check the unit "
            "of its geometry and the pixel size."
        )
    if not ANATOMY_MM[0] <= anatomy <= ANATOMY_MM[1]:
        sentences.append(
            f"{name} has the anatomy {anatomy:.4g} mm from the source, unlike a C-arm; check that "
            "its geometry is in mm."
        )
    elif detector is not None and anatomy > detector:
        sentences.append(
            f"{name} has the anatomy behind the detector; check the pixel size and the source's "
            "distance."
        )
    if not PIXEL_MM[0] <= pixel <= PIXEL_MM[1]:
        sentences.append(
            f"{name} has pixels of {pixel:.3g} mm at the anatomy, unlike an X-ray image; check the "
            "unit of its geometry and the size of the image."
        )
    return sentences


def _point(point: Sequence[float] | np.ndarray) -> str:
    return "(" + ", ".join(f"{value + 0.0:.0f}" for value in np.round(point)) + ") mm"
