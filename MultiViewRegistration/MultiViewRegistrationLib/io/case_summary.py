"""A checked case in plain words: what its numbers mean, and which of them are suspicious."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from scipy.optimize import linear_sum_assignment

from .case_check import CaseCheck, PairCheck, ViewCheck

HARDLY_INSIDE = 0.15  # share of the CT's box: a head to hip CT over a pelvis has more
NEARLY_PARALLEL_DEG = 15.0
FAR_APART_MM = 50.0
#: Source to detector, and source to anatomy, of C-arms from the smallest to angiography and biplane laboratories.
DETECTOR_MM = (450.0, 2500.0)
ANATOMY_MM = (150.0, 2300.0)
PIXEL_MM = (0.02, 3.0)  # at the anatomy

_OPPOSITE = {"L": "R", "P": "A", "S": "I"}
_PATIENT = {"L": "left", "R": "right", "A": "front", "P": "back", "S": "head", "I": "feet"}


def summary_lines(check: CaseCheck) -> list[str]:
    """What the geometry means, lines for each view, pair and the CT."""
    sentences = [line for view in check.views for line in _view_lines(view, check.structure)]
    sentences += [_pair_line(pair) for pair in check.pairs]
    sentences += [f"{name}, assumed: {sentence}" for name, assumed in check.assumptions.items() for sentence in assumed]
    size = np.linalg.norm(check.corners[[1, 2, 4]] - check.corners[0], axis=1)
    middle = _point(check.corners.mean(0))
    where = (
        f"at the start pose its middle is at {middle} in the world"
        if check.placed
        else (f"it has no start pose, and is taken here with its axes along the world's, its middle at {middle}")
    )
    what = "The structure that the mask selects" if check.structure else "The CT"
    return [*sentences, f"{what}: {size[0]:.0f} x {size[1]:.0f} x {size[2]:.0f} mm; {where}.", *_part_lines(check)]


def _part_lines(check: CaseCheck) -> list[str]:
    """The search, the points and the tracker's frame."""
    about = "about the start pose" if check.placed else "about that place"
    sentences = [
        f"A search goes {check.search['rotation_deg']:g} degrees and {check.search['translation_mm']:g} mm {about}."
    ]
    for points in check.points:
        inside = "all" if points.inside == points.count else f"{points.inside} of them"
        sentences.append(f"The case has {points.count} {points.what}, {inside} within the box of the CT.")
    if check.tracker is not None:
        sentences.append(f"The tracker's frame has its origin at {_point(check.tracker)} in the world.")
    return sentences


def _view_lines(view: ViewCheck, structure: bool) -> list[str]:
    detector = (
        "not known (the image has no pixel size)"
        if view.source_to_detector_mm is None
        else f"{view.source_to_detector_mm:.0f} mm"
    )
    width, height = view.field_mm
    (left, top), (right, bottom) = view.ct_corners.min(0), view.ct_corners.max(0)
    columns, rows = view.camera.size
    box = (
        f"falls on columns {left:.0f} to {right:.0f}, rows {top:.0f} to {bottom:.0f} of {columns} x {rows}"
        if (view.ct_depths > 0).all()
        else "is partly behind the source"
    )
    known = (
        "not known"
        if view.rotation_sd_deg is None or view.translation_sd_mm is None
        else "taken as exact"
        if not view.rotation_sd_deg and not view.translation_sd_mm
        else f"known to {view.rotation_sd_deg:g} degrees and {view.translation_sd_mm:g} mm"
    )
    stored = "mirrored, as seen from the detector" if view.mirrored else "as the source sees it, not mirrored"
    return [
        f"{view.name}: source at {_point(view.camera.source)} in the world; source to detector {detector}; at the isocentre, "
        f"{view.isocentre_depth_mm:.0f} mm from the source, the image shows {width:.0f} x {height:.0f} mm.",
        f"{view.name}: the box of the {'structure' if structure else 'CT'} {box}, {100 * view.inside:.0f} % of it inside; a pixel is "
        f"{view.pixel_at_anatomy_mm:.3f} mm wide at its middle.",
        f"{view.name}: the image is stored {stored}; in it the patient lies with {_patient(view)}; the camera is {known}.",
    ]


def _patient(view: ViewCheck) -> str:
    """Which way the patient lies in the image."""
    steps = np.array(list(view.toward.values()))  # rows: left, back, head
    sentences = []
    for row, axis in zip(*linear_sum_assignment(-np.abs(steps))):
        letter = "LPS"[row] if steps[row, axis] > 0 else _OPPOSITE["LPS"[row]]
        sentences.append(f"{_PATIENT[letter]} {('to the right', 'downwards', 'towards the detector')[axis]}")
    return "the " + ", the ".join(sentences)


def _pair_line(pair: PairCheck) -> str:
    meet = "meet" if pair.gap_mm < 0.05 else f"pass {pair.gap_mm:.1f} mm apart"
    return f"{pair.first} and {pair.second}: {pair.angle_deg:.1f} degrees between them; the rays through the middle of the images {meet}."


def findings(check: CaseCheck) -> list[str]:
    """What is suspicious, a sentence each."""
    sentences = [finding for view in check.views for finding in _of_view(view, check)]
    for pair in check.pairs:
        if min(pair.angle_deg, 180 - pair.angle_deg) < NEARLY_PARALLEL_DEG:
            sentences.append(
                f"{pair.first} and {pair.second} are nearly parallel ({pair.angle_deg:.1f} degrees), so depth is hardly seen; "
                "check their angles."
            )
        elif pair.gap_mm > FAR_APART_MM:
            sentences.append(
                f"{pair.first} and {pair.second} have middle rays that pass {pair.gap_mm:.0f} mm apart, so they hardly show the "
                "same anatomy; check that both are given in one world, in mm."
            )
    sentences += [
        f"{points.count - points.inside} of {points.count} {points.what} lie outside of the CT; check that they are of this CT, in "
        "LPS mm."
        for points in check.points
        if points.inside < points.count
    ]
    mirrored = [view.name for view in check.views if view.mirrored]
    if mirrored and len(mirrored) < len(check.views):
        sentences.append(
            f"{', '.join(mirrored)} is mirrored and the other views are not, which is rare on one machine; check left and right in "
            "each image."
        )
    return sentences


def _of_view(view: ViewCheck, check: CaseCheck) -> list[str]:
    sentences = []
    if view.inside < HARDLY_INSIDE:
        where = "at the start pose" if check.placed else "put where the views meet"
        sentences.append(
            f"{view.name} hardly shows the CT {where} ({100 * view.inside:.0f} % of its box is inside the image); check the start "
            "pose and the view's geometry."
        )
    if view.source_to_detector_mm is not None and not DETECTOR_MM[0] <= view.source_to_detector_mm <= DETECTOR_MM[1]:
        sentences.append(
            f"{view.name} has {view.source_to_detector_mm:.4g} mm from source to detector, unlike a C-arm; check the unit of its "
            "geometry and the pixel size."
        )
    if not ANATOMY_MM[0] <= view.anatomy_depth_mm <= ANATOMY_MM[1]:
        sentences.append(
            f"{view.name} has the anatomy {view.anatomy_depth_mm:.4g} mm from the source, unlike a C-arm; check that its geometry "
            "is in mm."
        )
    elif view.source_to_detector_mm is not None and view.anatomy_depth_mm > view.source_to_detector_mm:
        sentences.append(
            f"{view.name} has the anatomy behind the detector; check the pixel size and the source's distance."
        )
    if not PIXEL_MM[0] <= view.pixel_at_anatomy_mm <= PIXEL_MM[1]:
        sentences.append(
            f"{view.name} has pixels of {view.pixel_at_anatomy_mm:.3g} mm at the anatomy, unlike an X-ray image; check the unit "
            "of its geometry and the size of the image."
        )
    if view.same_image_as is not None:
        sentences.append(
            f"{view.name} has the same image as {view.same_image_as}, taken with another camera; check which image is which."
        )
    return sentences


def _point(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{value + 0.0:.0f}" for value in np.round(point)) + ") mm"


def to_json(check: CaseCheck) -> dict:
    """What `mvreg case check --json` and `mvreg case show --json` print."""
    return {
        "name": check.name,
        "views": [_view_json(view) for view in check.views],
        "pairs": [
            {"views": [pair.first, pair.second], "angle_deg": pair.angle_deg, "gap_mm": pair.gap_mm}
            for pair in check.pairs
        ],
        "world_from_ct": check.world_from_ct.tolist(),
        "start_pose": "given" if check.placed else "assumed",
        "ct_corners_world": check.corners.tolist(),
        "isocentre": check.isocentre.tolist(),
        "search": check.search,
        "points": [asdict(points) for points in check.points],
        "assumptions": {name: list(assumed) for name, assumed in check.assumptions.items()},
        "lines": summary_lines(check),
        "findings": findings(check),
    }


def _view_json(view: ViewCheck) -> dict:
    camera = view.camera
    return {
        "name": view.name,
        "projection_matrix": camera.projection_matrix.tolist(),
        "camera": {
            "intrinsics": camera.intrinsics.tolist(),
            "camera_from_world": camera.camera_from_world.tolist(),
            "size": list(camera.size),
        },
        "size": list(camera.size),
        "source": camera.source.tolist(),
        "source_to_detector_mm": view.source_to_detector_mm,
        "mirrored": view.mirrored,
        "rotation_sd_deg": view.rotation_sd_deg,
        "translation_sd_mm": view.translation_sd_mm,
        "isocentre_depth_mm": view.isocentre_depth_mm,
        "field_mm": [float(length) for length in view.field_mm],
        "anatomy_depth_mm": view.anatomy_depth_mm,
        "pixel_at_anatomy_mm": float(view.pixel_at_anatomy_mm),
        "ct_corners": view.ct_corners.tolist(),
        "ct_corner_depths_mm": view.ct_depths.tolist(),
        "ct_inside": view.inside,
        "toward": {letter: step.tolist() for letter, step in view.toward.items()},
    }
