"""Faults that the X-rays, the cameras and the CT of a case may have.

A hypothesis has the views as they would be without the fault. `diagnosis` registers the case under
it at the two coarsest resolutions; `causes` decides whether it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from ..imaging.xray import CALIBRATED, MIRROR, SharedUnknowns, View
from ..registration.cameras import CameraCorrections

#: Standard deviations of the angle and the position of a C-arm that is tested for an error.
ANGLE_SD_DEG = 5.0
POSITION_SD_MM = 15.0
#: Standard deviations of the source-to-detector distance, as a fraction, and of a principal point, mm
#: on the detector.
DISTANCE_SD = 0.05
PRINCIPAL_POINT_SD_MM = 10.0
#: Angles of a C-arm that a wrong sign changes by less are not tested.
MIN_SIGN_CHANGE_DEG = 3.0
#: A cause holds if the evidence grows by this factor and the least similar view has this local NCC
#: at the second resolution. Chosen on cases with one fault each.
MIN_EVIDENCE_GAIN = 1.2
MIN_NCC = 0.7
#: Cameras that differ little from their nominal geometry need less: without a fault the evidence
#: grew by at most 1.014.
SMALL_GAIN = 1.05
#: Another level has at least this fraction of the evidence of the registered pose.
MIN_LEVEL_EVIDENCE = 0.85


class Hypothesis(NamedTuple):
    """One fault that a case may have.

    Attributes
    ----------
    cause, view_names
        Name of the fault in FAULTS, and the views at fault; none if all are.
    views
        All views after the correction of the fault, or with the unknowns that it leaves.
    shared
        Unknowns of all views.
    values
        Values that are filled into its message.
    world_from_world, corrected_from_ct
        (4, 4) reflections of world and CT: under the hypothesis a pose T is world_from_world T
        corrected_from_ct, and back.
    """

    cause: str
    view_names: tuple[str, ...]
    views: list[View]
    shared: SharedUnknowns = CALIBRATED
    values: Mapping[str, Any] = {}
    world_from_world: np.ndarray = np.eye(4)
    corrected_from_ct: np.ndarray = np.eye(4)

    def pose(self, pose: np.ndarray) -> np.ndarray:
        """Return a pose (4, 4) of the case under the hypothesis, or of the hypothesis in the case."""
        return self.world_from_world @ pose @ self.corrected_from_ct


#: Yields the hypotheses of a fault, for the views and the CT's centroid (3,), CT mm.
Hypotheses = Callable[[Sequence[View], np.ndarray], Iterator[Hypothesis]]


class KnownFault(NamedTuple):
    """Properties of a fault.

    Attributes
    ----------
    group, hypotheses
        Faults of a group are tested together, the most likely group first; of equivalent faults the
        best is named. None for faults that `diagnosis` finds in another way.
    is_of_image
        Images of which most tiles are in place do not have it.
    min_gain
        It holds if the evidence grows by this factor.
    predicts_error
        The motion that it explains is the error of the pose even without clear evidence.
    is_of_one_view
        The error follows best from a refinement with the position of one view free.
    is_of_camera
        A continuous error of a camera or of the patient's position: another pose and the camera
        explain the X-rays together, and neither is proven.
    moves_ct
        Correcting it moves the CT.
    is_untested
        It explains the poor fit without a test, and does not affect registered bones: the CT ends
        within an X-ray.
    """

    group: int = 0
    hypotheses: Hypotheses | None = None
    is_of_image: bool = False
    min_gain: float = MIN_EVIDENCE_GAIN
    predicts_error: bool = True
    is_of_one_view: bool = False
    is_of_camera: bool = False
    moves_ct: bool = True
    is_untested: bool = False


def _hypotheses_by_view(
    cause: str,
    view_without_fault: Callable[[View], View | None],
    views: Sequence[View],
    _centroid: np.ndarray,
    **values: str,
) -> Iterator[Hypothesis]:
    """Yield the hypothesis that only this view has the fault, for each view that may have it, and that all do.

    `view_without_fault` returns None for a view that cannot have the fault.
    """
    corrected = [view_without_fault(view) for view in views]
    for i, view in enumerate(corrected):
        if view is not None:
            with_corrected = [*views[:i], view, *views[i + 1 :]]
            yield Hypothesis(cause, (view.name,), with_corrected, values=values)
    all_corrected = [view for view in corrected if view is not None]
    if len(all_corrected) == len(views) > 1:
        yield Hypothesis(cause, (), all_corrected, values=values)


#: How an image may have been turned when it was stored: in words, and how it is turned back.
TURNS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "mirrored": ("mirrored left to right", np.fliplr),
    "upside down": ("mirrored top to bottom", np.flipud),
    "turned 180": ("turned by 180 degrees", lambda image: np.rot90(image, 2)),
    "turned 90": ("turned by 90 degrees clockwise", np.rot90),
    "turned 270": ("turned by 90 degrees counterclockwise", lambda image: np.rot90(image, 3)),
}
#: Errors of a C-arm's angles, and the correct angles from the stated (rao_lao, cra_cau).
SIGNS = {
    "LAO and RAO exchanged": lambda rao_lao, cra_cau: (-rao_lao, cra_cau),
    "cranial and caudal exchanged": lambda rao_lao, cra_cau: (rao_lao, -cra_cau),
    "both angle signs exchanged": lambda rao_lao, cra_cau: (-rao_lao, -cra_cau),
    "its two angles exchanged": lambda rao_lao, cra_cau: (cra_cau, rao_lao),
}


def _turned_image_hypotheses(cause: str) -> Hypotheses:
    """Return the hypotheses that images were flipped or rotated in their plane, as in TURNS."""
    turn_back = TURNS[cause][1]
    return partial(_hypotheses_by_view, cause, lambda view: view.turned(turn_back))


def _inversion_hypotheses(views: Sequence[View], centroid: np.ndarray) -> Iterator[Hypothesis]:
    """Yield the hypotheses that the grey scale of one or all X-rays is inverted."""

    def view_without_fault(view: View) -> View:
        return view.with_xray(line_integrals=-view.xray.line_integrals)

    yield from _hypotheses_by_view("inverted", view_without_fault, views, centroid)


def _exchanged(views: Sequence[View], _centroid: np.ndarray) -> Iterator[Hypothesis]:
    """Yield the hypotheses that the images of two views are exchanged."""
    for i, j in combinations(range(len(views)), 2):
        first = views[i]
        second = views[j]
        if first.xray.valid.shape == second.xray.valid.shape:
            swapped = list(views)
            swapped[i] = replace(first, xray=second.xray)
            swapped[j] = replace(second, xray=first.xray)
            yield Hypothesis("swapped", (first.name, second.name), swapped)


def _wrong_signs(views: Sequence[View], centroid: np.ndarray) -> Iterator[Hypothesis]:
    """Yield the hypotheses that C-arm angles have the wrong sign or are exchanged."""
    for signs, change in SIGNS.items():
        view_without_fault = partial(_with_angles, change=change)
        yield from _hypotheses_by_view(
            "angle sign", view_without_fault, views, centroid, signs=signs
        )


def _with_angles(view: View, change: Callable[[float, float], tuple[float, float]]) -> View | None:
    """Return the view with other angles; None if they hardly differ, or are unknown."""
    reading = view.c_arm
    if reading is None:
        return None
    before = reading.rao_lao_deg, reading.cra_cau_deg
    after = change(*before)
    if np.abs(np.subtract(after, before)).max() < MIN_SIGN_CHANGE_DEG or abs(after[1]) > 90:
        return None
    pose = replace(reading, rao_lao_deg=after[0], cra_cau_deg=after[1]).camera().camera_from_world
    return view.with_camera(camera_from_world=pose)


def mirrored_ct(views: Sequence[View], centroid: np.ndarray) -> Iterator[Hypothesis]:
    """Yield the hypothesis that left and right of the CT are exchanged, about its centroid.

    A mirrored CT in this world looks like the CT in a mirrored world: every image and every camera
    is mirrored instead.
    """
    reflection = MIRROR.copy()
    reflection[0, 3] = 2 * centroid[0]
    mirrored = [view.mirrored() for view in views]
    yield Hypothesis(
        "mirrored ct", (), mirrored, world_from_world=MIRROR, corrected_from_ct=reflection
    )


def camera_hypotheses(
    views: Sequence[View], shared: SharedUnknowns = CALIBRATED
) -> Iterator[Hypothesis]:
    """Yield errors of cameras that can be estimated together with the pose, those with the fewest unknowns first.

    None can be estimated from one view. Cameras that are corrected already have no further unknown
    position or distance.
    """
    if len(views) < 2:
        return
    have_same_axes = len({view.camera.fan_axes for view in views}) == 1
    are_located_by_marker = all(view.marker for view in views)
    if have_same_axes and shared == CALIBRATED and not are_located_by_marker:
        # Only the fraction of the distance counts.
        scaled = [view.with_xray(pixel_mm=(1.0, 1.0)) for view in views]
        distance = SharedUnknowns(source_to_detector_sd_mm=DISTANCE_SD * views[0].camera.focal_px)
        yield Hypothesis("distance", (), scaled, distance)
    for i, view in enumerate(views):
        if not view.marker:
            freed = replace(view, distance_sd_percent=100 * DISTANCE_SD)
            yield Hypothesis("distance", (view.name,), [*views[:i], freed, *views[i + 1 :]], shared)
    # Two views do not show which of them is wrong. Cameras are corrected relative to the first view,
    # so the view in question goes last.
    are_several = len(views) > 2
    for i in range(len(views)) if are_several else (1,):
        view = views[i]
        others = [*views[:i], *views[i + 1 :]]
        about = (view.name,) if are_several else (views[0].name, view.name)
        if not view.marker:
            freed = replace(view, principal_point_sd_px=PRINCIPAL_POINT_SD_MM / pixel_mm(view))
            yield Hypothesis("principal point", about, [*others, freed], shared)
        if shared == CALIBRATED and not CameraCorrections(views).free.size:
            freed = replace(view, rotation_sd_deg=ANGLE_SD_DEG, translation_sd_mm=POSITION_SD_MM)
            yield Hypothesis("motion", about, [*others, freed])


def pixel_mm(view: View) -> float:
    """Return the column spacing of a view; if unknown, as if the detector were 1 m from the source."""
    return float(view.xray.pixel_mm[0]) if view.xray.pixel_mm else 1000.0 / view.camera.focal_px


_OF_IMAGE = partial(KnownFault, is_of_image=True)
_OF_CAMERA = partial(KnownFault, min_gain=SMALL_GAIN, is_of_camera=True)
#: By the cause in a result; faults of a group are tested in this order.
FAULTS = {
    "angle sign": KnownFault(1, _wrong_signs),
    "mirrored ct": KnownFault(1, mirrored_ct),
    "mirrored": _OF_IMAGE(1, _turned_image_hypotheses("mirrored")),
    "inverted": _OF_IMAGE(2, _inversion_hypotheses),
    "swapped": _OF_IMAGE(3, _exchanged),
    "upside down": _OF_IMAGE(4, _turned_image_hypotheses("upside down")),
    "turned 180": _OF_IMAGE(4, _turned_image_hypotheses("turned 180")),
    "turned 90": _OF_IMAGE(5, _turned_image_hypotheses("turned 90")),
    "turned 270": _OF_IMAGE(5, _turned_image_hypotheses("turned 270")),
    "distance": _OF_CAMERA(),
    "principal point": _OF_CAMERA(is_of_one_view=True),
    "motion": _OF_CAMERA(predicts_error=False, is_of_one_view=True),
    "level": KnownFault(min_gain=MIN_LEVEL_EVIDENCE, predicts_error=False, moves_ct=False),
    "part": KnownFault(moves_ct=False),
    "short": KnownFault(predicts_error=False, moves_ct=False, is_untested=True),
}
