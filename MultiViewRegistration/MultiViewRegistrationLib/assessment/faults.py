"""Faults that the X-rays, the cameras and the CT of a case may have, as rows of one table.

A hypothesis has the views as they would be without the fault, under which `diagnosis` registers the
case, at the two coarsest resolutions. `cause` reads when they hold, and `remedy` what settles them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.xray import CALIBRATED, MIRROR, SharedUnknowns, View

if TYPE_CHECKING:  # a panel opens before numba is installed
    from ..registration.prepared_ct import PreparedCT

#: What to check, or to do: what DICOM headers say of the patients, whether CT and X-rays match, the
#: geometry of the X-rays, the CT, where the registration started; a calibration, as the geometry is
#: known too little; another X-ray; a registration; one of the bones by themselves; to say how well
#: the geometry is known; else the overlays are to be looked at.
Remedy = Literal[
    "patient",
    "match",
    "geometry",
    "ct",
    "start",
    "calibration",
    "xray",
    "register",
    "bones",
    "certainty",
    "overlays",
]
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
#: A cause holds if the evidence grows by this factor and the least similar view has this local NCC
#: at the second resolution. Chosen on cases with one fault each.
MIN_EVIDENCE_GAIN = 1.2
MIN_NCC = 0.7
#: Cameras differ by little from their nominal geometry, and need less: without a fault
#: the evidence grew by at most 1.014.
SLIGHTLY = 1.05
#: Another level has at least this share of the evidence of the pose that was found.
MIN_LEVEL_EVIDENCE = 0.85


class Hypothesis(NamedTuple):
    """One fault that a case may have.

    Attributes
    ----------
    cause, about
        As `cause.Cause.cause` and its `views`.
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
    world_from_world: np.ndarray = np.eye(4)
    corrected_from_ct: np.ndarray = np.eye(4)

    def pose(self, pose: np.ndarray) -> np.ndarray:
        """Return a pose (4, 4) of the case under the hypothesis, or of the hypothesis in the case."""
        return self.world_from_world @ pose @ self.corrected_from_ct


#: Yields what may be at fault, of the views and of the CT's centroid (3,), CT mm.
Supposed = Callable[..., Iterator[Hypothesis]]


class KnownFault(NamedTuple):
    """What is known beforehand of a fault: a row of FAULTS.

    Attributes
    ----------
    group, supposed
        Faults of a group are tried together, the first, likeliest group first; of what the same
        symmetry makes alike the best is named. None of what `diagnosis` finds otherwise.
    of_image
        Images of which most tiles are in place do not have it.
    act
        What settles it.
    least_gain
        It holds if the evidence grows by this factor.
    predicts
        How far it moves the CT is the error of the pose, also where the evidence for it is not clear.
    of_one_view
        How far the pose moves where one view's place is free, at the finest resolution, tells best
        how far off it is.
    of_camera
        A continuous error of a camera or of the patient's place: another pose and the camera explain
        the X-rays together, and neither is proven.
    moves
        Correcting it moves the CT.
    untested
        It explains the poor fit without a test, and bones that are found, each at its own pose, are
        not in doubt for it: the CT ends within an X-ray.
    """

    group: int = 0
    supposed: Supposed | None = None
    of_image: bool = False
    act: Remedy = "geometry"
    least_gain: float = MIN_EVIDENCE_GAIN
    predicts: bool = True
    of_one_view: bool = False
    of_camera: bool = False
    moves: bool = True
    untested: bool = False


def _of_each(
    cause: str,
    undone: Callable[[View], View | None],
    one: str,
    every: str,
    views: Sequence[View],
    *_: object,
) -> Iterator[Hypothesis]:
    """Yield that each view, or all of them, have a fault.

    Parameters
    ----------
    undone
        Returns the view as it would be without the fault; None of one that cannot have it.
    one, every
        What to say where it holds, the former with "{}" for the view.
    """
    changed = [undone(view) for view in views]
    for i, view in enumerate(changed):
        if view is not None:
            yield Hypothesis(
                cause, (view.name,), [*views[:i], view, *views[i + 1 :]], one.format(view.name)
            )
    possible = [view for view in changed if view is not None]
    if len(possible) == len(views) > 1:
        yield Hypothesis(cause, (), possible, every)


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
#: cra_cau). LAO may be taken for RAO, cranial for caudal, or both.
SIGNS = {
    "LAO and RAO exchanged": lambda rao_lao, cra_cau: (-rao_lao, cra_cau),
    "cranial and caudal exchanged": lambda rao_lao, cra_cau: (rao_lao, -cra_cau),
    "both angles the wrong way round": lambda rao_lao, cra_cau: (-rao_lao, -cra_cau),
    "its two angles exchanged": lambda rao_lao, cra_cau: (cra_cau, rao_lao),
}


def _turned(cause: str, one: str = "", every: str = "") -> Supposed:
    """Return what yields that images were turned, which by default is said as it is in TURNS."""
    words, back = TURNS[cause]
    one = one or f"{{}} seems to be {words}\n: turned back, it fits. Check how it was loaded."
    turned = "turned back, they fit. Check how they were loaded."
    every = every or f"All X-rays seem to be {words}\n: {turned}"
    return partial(_of_each, cause, lambda view: view.turned(back), one, every)


def _swapped(views: Sequence[View], *_: object) -> Iterator[Hypothesis]:
    """Yield that the images of two views are exchanged."""
    for i, j in combinations(range(len(views)), 2):
        one = views[i]
        other = views[j]
        if one.xray.valid.shape == other.xray.valid.shape:
            swapped = list(views)
            swapped[i] = replace(one, xray=other.xray)
            swapped[j] = replace(other, xray=one.xray)
            yield Hypothesis(
                "swapped",
                (one.name, other.name),
                swapped,
                f"The images of {one.name} and {other.name} seem to be exchanged\n: the other way "
                "round, they fit. Check which file belongs to which view.",
            )


def _wrong_signs(views: Sequence[View], *_: object) -> Iterator[Hypothesis]:
    """Yield that signs of a C-arm's angles are wrong, or that the two angles are exchanged."""
    for words, change in SIGNS.items():
        one = f"{{}} seems to have {words}\n: the other way, it fits. Check its angles."
        every = f"All X-rays seem to have {words}\n: the other way, they fit. Check their angles."
        yield from _of_each("angle sign", partial(_with_angles, change=change), one, every, views)


def _with_angles(view: View, change: Callable[[float, float], tuple[float, float]]) -> View | None:
    """Return the view with other angles; None where they hardly differ, or are not known."""
    reading = view.c_arm
    if reading is None:
        return None
    before = reading.rao_lao_deg, reading.cra_cau_deg
    after = change(*before)
    if np.abs(np.subtract(after, before)).max() < LEAST_SIGN_DEG or abs(after[1]) > 90:
        return None
    pose = replace(reading, rao_lao_deg=after[0], cra_cau_deg=after[1]).camera().camera_from_world
    return view.with_camera(camera_from_world=pose)


def mirrored_ct(views: Sequence[View], centroid: np.ndarray) -> Iterator[Hypothesis]:
    """Yield that left and right of the CT are exchanged, about its centroid.

    A mirrored CT in this world looks as the CT in a mirrored world: every image and every camera is
    mirrored instead.
    """
    ct = MIRROR.copy()
    ct[0, 3] = 2 * centroid[0]
    sentence = "Left and right of the CT seem to be exchanged\n: mirrored, it fits. Check how the CT was exported and loaded."
    yield Hypothesis(
        "mirrored ct",
        (),
        [view.mirrored() for view in views],
        sentence,
        world_from_world=MIRROR,
        corrected_from_ct=ct,
    )


def camera_hypotheses(
    views: Sequence[View], shared: SharedUnknowns = CALIBRATED
) -> Iterator[Hypothesis]:
    """Yield faults of cameras that can be found together with the pose, those with the fewest unknowns first.

    Of one view alone none can. Cameras that are corrected already (views that say so, or shared)
    may have no further unknown place or distance.
    """
    from ..registration.cameras import CameraCorrections

    if len(views) < 2:
        return
    alike = len({view.camera.fan_axes for view in views}) == 1
    by_marker = all(view.marker for view in views)  # whose image shows it and the bone alike
    if alike and shared == CALIBRATED and not by_marker:
        # Only a share of the distance counts.
        scaled = [view.with_xray(pixel_mm=(1.0, 1.0)) for view in views]
        all_distances = SharedUnknowns(
            source_to_detector_sd_mm=DISTANCE_SD * views[0].camera.focal_px
        )
        # The CT's scale looks the same, but not to a slot scan: its rows are mm apart wherever it lies.
        looks_alike = "the CT's scale"
        if views[0].camera.is_slot_scan:
            looks_alike = "pixel_mm between columns"
        yield Hypothesis(
            "distance",
            (),
            scaled,
            f"{_distance(views[0])} seems to be wrong\n:",
            f"Check it, and {looks_alike}.",
            all_distances,
        )
    for i, view in enumerate(views):
        if view.marker:
            continue
        freed = replace(view, distance_sd_percent=100 * DISTANCE_SD)
        yield Hypothesis(
            "distance",
            (view.name,),
            [*views[:i], freed, *views[i + 1 :]],
            f"{_distance(view)} of {view.name} seems to be wrong\n:",
            shared=shared,
        )
    # Of two views the images cannot say which is off. Cameras are corrected against the first
    # view's: the one in question goes last.
    several = len(views) > 2
    for i in range(len(views)) if several else (1,):
        view = views[i]
        others = [*views[:i], *views[i + 1 :]]
        about = (view.name,) if several else (views[0].name, view.name)
        against = "the other X-rays" if several else views[0].name
        if not view.marker:
            freed = replace(view, principal_point_sd_px=PRINCIPAL_POINT_SD_MM / pixel_mm(view))
            point = "fan's centre or first row" if view.camera.is_slot_scan else "principal point"
            which = " or ".join(about)
            yield Hypothesis(
                "principal point",
                about,
                [*others, freed],
                f"The {point} of {which} seems to be wrong\n: with that of {view.name}",
                shared=shared,
            )
        if shared == CALIBRATED and not CameraCorrections(views).free.size:
            freed = replace(view, rotation_sd_deg=ANGLE_SD_DEG, translation_sd_mm=PLACE_SD_MM)
            what = "marker" if view.marker else "patient"
            besides = f", or the angle or the place of {view.name} is wrong"
            besides = " against the patient" if view.marker else besides
            yield Hypothesis(
                "motion",
                about,
                [*others, freed],
                f"The {what} seems to have moved between {view.name} and {against}{besides}\n:",
            )


def _distance(view: View) -> str:
    return f"The distance from source to {'isocentre' if view.camera.is_slot_scan else 'detector'}"


def pixel_mm(view: View) -> float:
    """Return the spacing of a view's columns; where it is unknown, as if the detector were 1 m from the source."""
    return float(view.xray.pixel_mm[0]) if view.xray.pixel_mm else 1000.0 / view.camera.focal_px


#: Rows of faults of an image, and of such as differ by little from what was given.
_OF_IMAGE = partial(KnownFault, of_image=True)
_SLIGHT = partial(KnownFault, least_gain=SLIGHTLY, of_camera=True)
#: By the cause in a result. Those of a group are tried in this order.
FAULTS = {
    "angle sign": KnownFault(1, _wrong_signs),
    "mirrored ct": KnownFault(1, mirrored_ct, act="ct"),
    "mirrored": _OF_IMAGE(
        1,
        _turned(  # in the words in which left and right are asked for
            "mirrored",
            "Left and right of {} seem to be exchanged\n: the other way, it fits. Check whether the "
            "patient's right is on the left of the image.",
            "Left and right of all X-rays seem to be exchanged\n: the other way, they fit. Check "
            "whether the patient's right is on the left of the images.",
        ),
    ),
    "inverted": _OF_IMAGE(
        2,
        partial(
            _of_each,
            "inverted",
            lambda view: view.with_xray(line_integrals=-view.xray.line_integrals),
            "The grey scale of {} seems to be the wrong way round\n: inverted, it fits. Check its "
            "intensity.",
            "The grey scale of all X-rays seems to be the wrong way round\n: inverted, they fit. Check "
            "their intensity.",
        ),
    ),
    "swapped": _OF_IMAGE(3, _swapped),
    "upside down": _OF_IMAGE(4, _turned("upside down")),
    "turned 180": _OF_IMAGE(4, _turned("turned 180")),
    "turned 90": _OF_IMAGE(5, _turned("turned 90")),
    "turned 270": _OF_IMAGE(5, _turned("turned 270")),
    "distance": _SLIGHT(),
    "principal point": _SLIGHT(of_one_view=True),
    "motion": _SLIGHT(predicts=False, of_one_view=True),
    "level": KnownFault(act="overlays", least_gain=MIN_LEVEL_EVIDENCE, predicts=False, moves=False),
    "part": KnownFault(act="start", moves=False),
    "short": KnownFault(act="ct", predicts=False, moves=False, untested=True),
}


def cause_code(cause: str) -> str:
    """Return the code of a reason that names a `cause.Cause.cause`."""
    return f"cause-{cause.replace(' ', '-')}"


#: How far the CT is displaced along both axes of an image to see how much better the scanner's pose
#: fits.
DISPLACED_MM = (10.0, 20.0)
#: Local NCC at the scanner's pose, divided by the largest when displaced: 1.4 to 3.3 for two scouts
#: each of a head and of a lumbar spine (edge-enhanced, local NCC 0.19 to 0.27); below 1.2 for 126 of
#: 130 with other patients' CTs.
LEAST_NCC_RATIO = 1.2
TURNED_NCC = 0.6


def misfits(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> list[str]:
    """Return a sentence for each view that does not show the CT at the scanner's pose (4, 4).

    Raises
    ------
    InputError
        For a view that shows it once its image is mirrored or turned back.
    """
    from ..registration.similarity import MIN_PIXELS

    sentences = []
    for view in views:
        fit = anatomy.fit([view], world_from_ct, world_from_ct)
        if fit.shown[0] < MIN_PIXELS:
            sentences.append(
                f"{view.name} shows hardly anything of the CT where the scanner has it."
            )
            continue
        turned = [(words, view.turned(back)) for words, back in TURNS.values()]
        fits = {
            words: anatomy.fit([each], world_from_ct, world_from_ct)
            for words, each in turned
            if each
        }
        words = max(fits, key=lambda words: fits[words].evidence)
        better = fits[words].evidence > MIN_EVIDENCE_GAIN * fit.evidence
        if better and fits[words].min_similarity > TURNED_NCC:
            raise InputError(
                f"{view.name}: its image is {words} against its header, expected it as the scanner "
                "stored it: turned back, it shows the CT where the scanner has it; export it "
                "again."
            )
        displaced = _best_displaced_ncc(anatomy, view, world_from_ct)
        if fit.min_similarity < LEAST_NCC_RATIO * displaced:
            sentences.append(
                f"{view.name} does not show the CT where the scanner has it (local NCC "
                f"{fit.min_similarity:.2f}, displaced by 10 or 20 mm up to {displaced:.2f}): the "
                "patient moved, or it is of another patient or part, cropped, mirrored or turned."
            )
    return sentences


def _best_displaced_ncc(anatomy: PreparedCT, view: View, world_from_ct: np.ndarray) -> float:
    """Return the largest local NCC of a view with the CT displaced along the axes of its image, 0 at least."""
    axes = view.camera.camera_from_world[:2, :3]
    shifts = [sign * mm * axis for mm in DISPLACED_MM for axis in axes for sign in (1, -1)]
    poses = [rigid.translation(shift) @ world_from_ct for shift in shifts]
    return max(0.0, *(anatomy.fit([view], pose, pose).min_similarity for pose in poses))
