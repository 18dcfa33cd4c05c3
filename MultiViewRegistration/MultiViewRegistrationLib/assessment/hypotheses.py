"""What may be wrong with the images, the cameras and the CT of a case.

A hypothesis has the views as they would be without the fault, under which `diagnosis` registers the
case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Protocol

import numpy as np

from ..geometry.c_arm import CArm
from ..geometry.slot_scan import SlotScanCamera
from ..imaging.xray import SharedUnknowns, View, XRay
from ..registration.cameras import CALIBRATED, CameraCorrections

#: Standard deviations of an angle and of the place of a C-arm, where it is asked whether they are
#: wrong.
ANGLE_SD_DEG = 5.0
PLACE_SD_MM = 15.0
#: Standard deviations of the distance from source to detector, as a share of it, and of a principal
#: point, mm on the detector.
DISTANCE_SD = 0.05
PRINCIPAL_POINT_SD_MM = 10.0
#: Angles of a C-arm that a wrong sign moves by less than this need no test.
LEAST_SIGN_DEG = 3.0
#: How an image may have been turned when it was stored: what is said of it, and how it is turned
#: back.
TURNS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "mirrored": ("mirrored left to right", np.fliplr),
    "upside down": ("mirrored top to bottom", np.flipud),
    "turned 180": ("turned by 180 degrees", lambda image: np.rot90(image, 2)),
    "turned 90": ("turned by 90 degrees clockwise", np.rot90),
    "turned 270": ("turned by 90 degrees counterclockwise", lambda image: np.rot90(image, 3)),
}
#: What may be wrong with a C-arm's angles: what is said of it, and the right ones from (rao_lao,
#: cra_cau).
SIGNS: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "LAO and RAO exchanged": lambda rao_lao, cra_cau: (-rao_lao, cra_cau),
    "cranial and caudal exchanged": lambda rao_lao, cra_cau: (rao_lao, -cra_cau),
    "both angles the wrong way round": lambda rao_lao, cra_cau: (-rao_lao, -cra_cau),
    "its two angles exchanged": lambda rao_lao, cra_cau: (cra_cau, rao_lao),
}


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One fault that a case may have.

    Attributes
    ----------
    cause, about
        As `Cause.cause` and `Cause.views`.
    views
        As they would be without the fault, or with what it leaves unknown.
    sentence
        What to say where it holds; of a camera its beginning, before how far the camera is off.
    advice
        What to say behind that.
    shared
        What would be unknown in all views.
    world_from_world, corrected_from_ct
        (4, 4) reflections of world and CT mm: a pose T is world_from_world T corrected_from_ct
        under the hypothesis, and back.
    """

    cause: str
    about: tuple[str, ...]
    views: list[View]
    sentence: str
    advice: str = ""
    shared: SharedUnknowns = CALIBRATED
    world_from_world: np.ndarray = field(default_factory=lambda: np.eye(4))
    corrected_from_ct: np.ndarray = field(default_factory=lambda: np.eye(4))

    def pose(self, pose: np.ndarray) -> np.ndarray:
        """Return a pose (4, 4) of the case under the hypothesis, or of the hypothesis in the case."""
        return self.world_from_world @ pose @ self.corrected_from_ct


class Fault(Protocol):
    """An own fault that an X-ray may have.

    Attributes
    ----------
    name
        The cause in a result is "own " and this.
    sentence
        What to say where it holds: the fault, with "{}" for the X-ray, a line end, and what to
        check.
    """

    name: str
    sentence: str

    def undone(self, view: View) -> View | None:
        """Return the X-ray as it would be without the fault; None of one that cannot have it."""
        ...


def own_hypotheses(views: Sequence[View], fault: Fault) -> Iterator[Hypothesis]:
    """Yield that each X-ray, or all of them, have an own fault."""
    undone = [fault.undone(view) for view in views]
    every = fault.sentence.format("all X-rays")
    yield from _of_one_or_all(f"own {fault.name}", views, undone, fault.sentence, every)


def image_hypotheses(views: Sequence[View]) -> Iterator[Hypothesis]:
    """Yield faults of the images that these views allow, the simplest first."""
    names = [view.name for view in views]
    for cause, (words, back) in TURNS.items():
        turned = [turned_back(view, back) for view in views]
        one = f"{{}} seems to be {words}\n: turned back, it fits. Check how it was loaded."
        every = (
            f"All X-rays seem to be {words}\n: turned back, they fit. Check how they were loaded."
        )
        if cause == "mirrored":  # in the words in which left and right are asked for
            right = "whether the patient's right is on the left of"
            one = f"Left and right of {{}} seem to be exchanged\n: the other way, it fits. Check {right} the image."
            every = f"Left and right of all X-rays seem to be exchanged\n: the other way, they fit. Check {right} the images."
        yield from _of_one_or_all(cause, views, turned, one, every)
    inverted = [view.with_xray(line_integrals=-view.xray.line_integrals) for view in views]
    one = "The grey scale of {} seems to be the wrong way round\n: inverted, it fits. Check its intensity."
    every = "The grey scale of all X-rays seems to be the wrong way round\n: inverted, they fit. Check their intensity."
    yield from _of_one_or_all("inverted", views, inverted, one, every)
    for i, j in combinations(range(len(views)), 2):
        if views[i].xray.valid.shape == views[j].xray.valid.shape:
            swapped = list(views)
            swapped[i], swapped[j] = (
                replace(views[i], xray=views[j].xray),
                replace(views[j], xray=views[i].xray),
            )
            sentence = (
                f"The images of {names[i]} and {names[j]} seem to be exchanged\n: the other way "
                "round, they fit. Check which file belongs to which view."
            )
            yield Hypothesis("swapped", (names[i], names[j]), swapped, sentence)


def angle_hypotheses(views: Sequence[View]) -> Iterator[Hypothesis]:
    """Yield that signs of a C-arm's angles are wrong, or that the two angles are exchanged.

    LAO may be taken for RAO, cranial for caudal, or both.
    """
    readings = [view.c_arm for view in views]
    for words, change in SIGNS.items():
        changed = [
            None if reading is None else _with_angles(view, reading, change)
            for view, reading in zip(views, readings, strict=True)
        ]
        one = f"{{}} seems to have {words}\n: the other way, it fits. Check its angles."
        every = f"All X-rays seem to have {words}\n: the other way, they fit. Check their angles."
        yield from _of_one_or_all("angle sign", views, changed, one, every)


def tube_hypotheses(views: Sequence[View]) -> Iterator[Hypothesis]:
    """Yield that the tube of a slot scan stood on the other side of the patient.

    Above the table where it is said to be below.
    """
    turned = [_by_opposite_tube(view) for view in views]
    one = "The tube of {} seems to have been on the other side of the patient\n: from there, it fits. Check isocentre_to_source."
    every = "The tubes of all X-rays seem to have been on the other side of the patient\n: from there, they fit. Check isocentre_to_source."
    yield from _of_one_or_all("tube side", views, turned, one, every)


def _by_opposite_tube(view: View) -> View | None:
    """Return the view with its tube beyond the isocentre; None of one that is no slot scan."""
    if not isinstance(view.camera, SlotScanCamera) or not view.xray.pixel_mm:
        return None
    return replace(
        view, camera=view.camera.from_other_side(view.camera.focal_px * view.xray.pixel_mm[0])
    )


def _with_angles(
    view: View, reading: CArm, change: Callable[[float, float], tuple[float, float]]
) -> View | None:
    """Return the view with other angles; None where they hardly differ."""
    before = reading.rao_lao_deg, reading.cra_cau_deg
    rao_lao, cra_cau = change(*before)
    if (
        max(abs(rao_lao - before[0]), abs(cra_cau - before[1])) < LEAST_SIGN_DEG
        or abs(cra_cau) > 90
    ):
        return None
    pose = replace(reading, rao_lao_deg=rao_lao, cra_cau_deg=cra_cau).camera().camera_from_world
    return view.with_camera(camera_from_world=pose)


def mirrored_ct(views: Sequence[View], centroid: np.ndarray) -> Hypothesis:
    """Suppose that left and right of the CT are exchanged, about its centroid (3,), CT mm.

    A mirrored CT in this world looks as the CT in a mirrored world: every image and every camera is
    mirrored instead.
    """
    world = np.diag([-1.0, 1.0, 1.0, 1.0])
    ct = world.copy()
    ct[0, 3] = 2 * centroid[0]
    sentence = "Left and right of the CT seem to be exchanged\n: mirrored, it fits. Check how the CT was exported and loaded."
    mirrored = [_in_mirrored_world(view, world) for view in views]
    return Hypothesis(
        "mirrored ct", (), mirrored, sentence, world_from_world=world, corrected_from_ct=ct
    )


def half_turn(views: Sequence[View], centroid: np.ndarray) -> Hypothesis:
    """Suppose that the CT is turned by 180 degrees about its long axis through its centroid (3,), CT mm, as by a matrix in RAS."""
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn[:2, 3] = 2 * centroid[:2]
    sentence = (
        "The CT seems to be turned by 180 degrees about its long axis\n: turned back, it fits. If "
        "its matrix is in RAS, as nibabel's affine is, put it into LPS; else check how the patient "
        "lay."
    )
    return Hypothesis("half turn", (), list(views), sentence, corrected_from_ct=turn)


def _in_mirrored_world(view: View, world: np.ndarray) -> View:
    image, valid = (
        np.ascontiguousarray(np.fliplr(each))
        for each in (view.xray.line_integrals, view.xray.valid)
    )
    intrinsics = view.camera.intrinsics.copy()
    intrinsics[0, 1], intrinsics[0, 2] = (
        -intrinsics[0, 1],
        view.camera.size[0] - 1 - intrinsics[0, 2],
    )
    pose = np.diag([-1.0, 1.0, 1.0, 1.0]) @ view.camera.camera_from_world @ world
    camera = replace(view.camera, intrinsics=intrinsics, camera_from_world=pose)
    return replace(view, xray=XRay(image, valid, view.xray.pixel_mm), camera=camera)


def _of_one_or_all(
    cause: str, views: Sequence[View], changed: Sequence[View | None], one: str, every: str
) -> Iterator[Hypothesis]:
    """Yield that each view, or all of them, should be changed.

    Parameters
    ----------
    changed
        The views as they should be, None of a view that cannot be.
    """
    for i, view in enumerate(changed):
        if view is not None:
            yield Hypothesis(
                cause, (view.name,), [*views[:i], view, *views[i + 1 :]], one.format(view.name)
            )
    possible = [view for view in changed if view is not None]
    if len(possible) == len(views) > 1:
        yield Hypothesis(cause, (), possible, every)


def turned_back(view: View, back: Callable[[np.ndarray], np.ndarray]) -> View | None:
    """Return the view with its image turned back; None where that has another size."""
    image, valid = (
        np.ascontiguousarray(back(each)) for each in (view.xray.line_integrals, view.xray.valid)
    )
    return (
        view.with_xray(line_integrals=image, valid=valid)
        if image.shape == view.xray.valid.shape
        else None
    )


def camera_hypotheses(
    views: Sequence[View], shared: SharedUnknowns = CALIBRATED
) -> Iterator[Hypothesis]:
    """Yield faults of cameras that can be found together with the pose, those with the fewest unknowns first.

    Of one view alone none can. Cameras that are corrected already (views that say so, or shared)
    may have no further unknown place or distance.
    """
    if len(views) < 2:
        return
    by_marker = all(view.marker for view in views)  # whose image shows it and the bone alike
    if (
        not by_marker
        and shared == CALIBRATED
        and len({view.camera.fan_axes for view in views}) == 1
    ):
        # Only a share of the distance counts.
        scaled = [view.with_xray(pixel_mm=(1.0, 1.0)) for view in views]
        all_distances = SharedUnknowns(
            source_to_detector_sd_mm=DISTANCE_SD * views[0].camera.focal_px
        )
        sentence = f"{_distance(views[0])} seems to be wrong\n:"
        advice = f"Check it, and {_looks_like_distance(views[0])}."
        yield Hypothesis("distance", (), scaled, sentence, advice, all_distances)
    for i, view in enumerate(views):
        if view.marker:
            continue
        freed = replace(view, distance_sd_percent=100 * DISTANCE_SD)
        sentence = f"{_distance(view)} of {view.name} seems to be wrong\n:"
        yield Hypothesis(
            "distance", (view.name,), [*views[:i], freed, *views[i + 1 :]], sentence, shared=shared
        )
    # Of two views the images cannot say which is off. Cameras are corrected against the first
    # view's: the one in question goes last.
    for i in range(len(views)) if len(views) > 2 else (1,):
        view = views[i]
        others = [*views[:i], *views[i + 1 :]]
        about = (view.name,) if len(others) > 1 else (others[0].name, view.name)
        against = "the other X-rays" if len(others) > 1 else others[0].name
        if not view.marker:
            freed = replace(view, principal_point_sd_px=PRINCIPAL_POINT_SD_MM / pixel_mm(view))
            which = view.name if len(others) > 1 else f"{others[0].name} or {view.name}"
            point = "principal point" if view.camera.fan_axes == 2 else "fan's centre or first row"
            sentence = f"The {point} of {which} seems to be wrong\n: with that of {view.name}"
            yield Hypothesis("principal point", about, [*others, freed], sentence, shared=shared)
        if shared == CALIBRATED and not CameraCorrections(views).free.size:
            freed = replace(view, rotation_sd_deg=ANGLE_SD_DEG, translation_sd_mm=PLACE_SD_MM)
            what = "patient"
            besides = f", or the angle or the place of {view.name} is wrong"
            if view.marker:
                what = "marker"
                besides = " against the patient"
            sentence = (
                f"The {what} seems to have moved between {view.name} and {against}{besides}\n:"
            )
            yield Hypothesis("motion", about, [*others, freed], sentence)


def _distance(view: View) -> str:
    return f"The distance from source to {'detector' if view.camera.fan_axes == 2 else 'isocentre'}"


def _looks_like_distance(view: View) -> str:
    """Return what else may be wrong and look the same.

    Of a slot scan the CT's scale does not: its rows are mm apart wherever the CT lies.
    """
    return "the CT's scale" if view.camera.fan_axes == 2 else "pixel_mm between columns"


def pixel_mm(view: View) -> float:
    """Return the spacing of a view's columns; where it is unknown, as if the detector were 1 m from the source."""
    return float(view.xray.pixel_mm[0]) if view.xray.pixel_mm else 1000.0 / view.camera.focal_px
