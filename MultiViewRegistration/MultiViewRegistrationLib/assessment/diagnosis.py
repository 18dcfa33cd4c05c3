"""The likely cause of a poor fit, found by testing what may be wrong with the case.

The case is registered under each hypothesis at the two coarsest resolutions: from the pose that was
found, from the start, and from the pose of each view alone (if one view is at fault, another one
still shows where the CT is). A hypothesis holds if all X-rays resemble the CT under it and the
evidence is clearly higher than without it.

The likeliest kinds go first. The work does not depend on the clock: the same case gives the same
cause on any computer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from ..geometry import rigid
from ..geometry.c_arm import CArm
from ..geometry.slot_scan import SlotScanCamera
from ..imaging.xray import SharedUnknowns, View, XRay
from ..reasons import Reason
from ..registration.cameras import CALIBRATED, OWN, CameraCorrections, uncalibrated_view_indices
from ..registration.objective import tiles
from ..registration.optimizer import (
    KEEP_AFTER_FINER,
    LOCAL_RANGE,
    Descent,
    DescentStart,
    SearchBudget,
    cluster_minima,
)
from ..registration.pipeline import (
    TRIED_STEPS,
    Progress,
    Refinement,
    RegistrationPipeline,
    pose_difference,
    prune,
)
from ..registration.prepared_ct import PreparedCT
from .places import tiles_in_place, view_sums

#: A cause holds if the evidence grows by this factor and the least similar view has this local NCC
#: at the second resolution. Measured by benchmarks/fault_runs.py, see docs/validation.md.
MIN_EVIDENCE_GAIN, MIN_NCC = 1.2, 0.7
#: X-rays that never look so similar, as those of a linear accelerator, resemble the CT where so
#: large a share of each one's tiles is in place (`places`): 0.6 to 0.8 at a right pose, up to 0.25
#: at a wrong one.
IN_PLACE = 0.5
#: The same of cameras and of the CT's scale, which differ by little from what was given: without a
#: fault it grew by at most 1.014.
SLIGHTLY, SLIGHT = 1.05, ("distance", "principal point", "motion", "ct scale", "slice spacing")
#: Of these there is never much evidence, but they tell the shift to 0.3 mm in two of three cases,
#: as clear causes do.
OF_SIZE = ("ct scale", "slice spacing")
#: Of these one view is at fault: how far the pose moves where its place is free, at the finest
#: resolution, tells best how far off it is.
OF_ONE_VIEW = ("motion", "principal point")
#: One unknown number that explains nearly as much as six is the likelier cause.
SIMPLER_CAUSE_RATIO = 0.97
#: A distance or an angle that comes out nearer to what was given was no fault.
LEAST_SHARE, LEAST_DEG, LEAST_MM = 0.01, 0.5, 1.5
#: What an angle and the place of a C-arm may be wrong by, where it is asked whether they are:
#: standard deviations.
ANGLE_SD_DEG, PLACE_SD_MM = 5.0, 15.0
#: The same of the distance from source to detector, as a share of it, and of a principal point, mm
#: on the detector.
DISTANCE_SD, PRINCIPAL_POINT_SD_MM = 0.05, 10.0
#: A principal point, mm on the detector, or a CT's scale that comes out nearer to what was given
#: was no fault; nor is one within so many standard deviations of what the case says.
LEAST_PRINCIPAL_POINT_MM, LEAST_SCALE, STATED_SDS = 1.5, 0.01, 3.0
#: By these shares a CT's slice spacing is tried, about 0 and about the best so far; what lies
#: between follows from a parabola.
SPACING_STEPS = (0.03, 0.01)
#: Of images, in which order they are tried, the likeliest first. Of what the same symmetry makes
#: alike the best is named.
KINDS = (
    ("mirrored", "mirrored ct", "half turn", "angle sign", "tube side"),
    ("inverted",),
    ("swapped",),
    ("upside down", "turned 180"),
    ("turned 90", "turned 270"),
)
#: Angles of a C-arm that a wrong sign moves by less than this need no test.
LEAST_SIGN_DEG = 3.0
#: Around the start, where all images may be at fault and no view knows where the CT is.
START_SEARCH_BUDGET = SearchBudget(poses=128, max_poses=128, refined=2)
#: Rounds at the second resolution in which cameras are found, the last of them one by which the
#: evidence grows by less than this factor.
ROUNDS, SETTLED = 3, 1.002
#: All faults of cameras are tried by a few steps first. If the evidence has grown by LEAST_GAIN under
#: any, those go on under which it has grown by the largest such gain to the power of PROMISING, and
#: every X-ray's NCC lacks at most NEARLY of MIN_NCC.
LEAST_GAIN, PROMISING, NEARLY = 1.02, 0.5, 0.05
#: Spacings of vertebrae, and how far from the CT's axis a shift by one may point; so many of them go
#: on after a few steps.
LEVELS_MM, ALONG, LEVELS_TRIED = (20.0, 30.0, 40.0), np.cos(np.radians(30)), 2
#: How far along the body the start may be off, where the X-rays show another part of it than the
#: start says.
FAR_MM = (60.0, 90.0, 120.0, 150.0, 180.0)
#: Where more of a view's field than this sees beyond the cut ends of the CT, the CT is too short.
MOST_BEYOND = 0.5
#: A shift along the body of at least this is another level, if turned by no more; its evidence at
#: least this share of the pose's own.
LEAST_LEVEL_MM, MOST_TURN_DEG, MIN_LEVEL_EVIDENCE = 10.0, 10.0, 0.85
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


#: What may be wrong: with images, with cameras, with the CT, with the pose.
CAUSES = {
    "mirrored": "left and right of an X-ray are exchanged",
    "upside down": "an X-ray is mirrored top to bottom",
    "turned 90": "an X-ray is turned by 90 degrees clockwise",
    "turned 180": "an X-ray is turned by 180 degrees",
    "turned 270": "an X-ray is turned by 90 degrees counterclockwise",
    "inverted": "the grey scale of an X-ray is the wrong way round",
    "swapped": "two X-rays are exchanged",
    "angle sign": "an angle of a C-arm has the wrong sign, or its two angles are exchanged",
    "tube side": "the tube of a slot scan stood on the other side of the patient",
    "distance": "the distance to the detector is wrong",
    "principal point": "a principal point is wrong",
    "motion": "the patient moved, or an angle that was said to be known is wrong",
    "mirrored ct": "left and right of the CT are exchanged",
    "half turn": "the CT's matrix is in RAS",
    "ct scale": "the CT's scale is wrong",
    "slice spacing": "the CT's slice spacing is wrong",
    "level": "the CT lies at another vertebra",
    "part": "the X-rays show another part of the CT than the start says",
    "short": "an X-ray shows mostly what the CT does not hold",
}


def code_of(cause: str) -> str:
    """Return the code of a reason that names one of `CAUSES`."""
    return f"cause-{cause.replace(' ', '-')}"


@dataclass(frozen=True, eq=False)
class Cause:
    """The likely cause of a poor fit.

    Attributes
    ----------
    cause
        One of `CAUSES`.
    views
        Names of the views at fault; none for all.
    sentence
        The cause, and what to check.
    gain
        The factor by which the evidence grows.
    similarity, in_place
        Of each view when corrected, at the second resolution. The latter, the share of its tiles
        that are in place, only of clear faults of images where the former is too small.
    world_from_ct
        (4, 4) pose when corrected, at that resolution.
    moved_mm
        How far correcting the cause moves the targets.
    corrected_from_ct
        (4, 4), CT mm of the CT as given to those of the corrected CT, for which the pose is.
    size_share
        By what share the CT would have to be larger instead: X-rays do not tell its scale from the
        distance to the detector.
    by_disagreement
        moved_mm is `features.disagreement_mm`, which the prediction knows already.
    """

    cause: str
    views: tuple[str, ...]
    sentence: str
    gain: float
    similarity: tuple[float, ...]
    world_from_ct: np.ndarray
    moved_mm: float = 0.0
    corrected_from_ct: np.ndarray = field(default_factory=lambda: np.eye(4))
    size_share: float = 0.0
    by_disagreement: bool = False
    in_place: tuple[float, ...] = ()

    def target_shift_mm(self, pose: np.ndarray, targets: np.ndarray) -> float:
        """Return how far the targets (N, 3), CT mm, of the CT at a pose (4, 4) lie from where the corrected case has them, on average."""
        corrected = rigid.transform_points(self.world_from_ct @ self.corrected_from_ct, targets)
        by_size = abs(self.size_share) * np.linalg.norm(targets - targets.mean(axis=0), axis=-1)
        return float(
            max(
                np.linalg.norm(corrected - rigid.transform_points(pose, targets), axis=-1).mean(),
                by_size.mean(),
            )
        )

    @property
    def reason(self) -> Reason:
        """The sentence, with how far correcting the cause moves the CT."""
        code = code_of(self.cause)
        if self.cause in ("level", "part", "short") or not self.moved_mm:
            return Reason(code, self.sentence)
        mm = f"{self.moved_mm:.{0 if self.moved_mm >= 10 else 1}f}"
        return Reason(code, f"{self.sentence} Correcting this moves the CT by {mm} mm.")

    @property
    def holds(self) -> bool:
        """Whether it explains the poor fit. A CT that is too short explains it without a test."""
        if self.cause == "short":
            return True
        return (
            self.cause == "level"
            and self._fits(MIN_LEVEL_EVIDENCE)
            or self._fits(SLIGHTLY if self.cause in SLIGHT else MIN_EVIDENCE_GAIN)
        )

    @property
    def clear(self) -> bool:
        """Whether the evidence for it leaves no doubt."""
        return self._fits(MIN_EVIDENCE_GAIN)

    @property
    def precise(self) -> bool:
        """Whether moved_mm is as good as that of a clear cause."""
        return self.clear or self.cause in OF_SIZE

    @property
    def predicts(self) -> bool:
        """Whether the motion that it explains is the error of the pose.

        Of a slight motion it does not.
        """
        slight = self.holds and self.cause in SLIGHT and self.cause != "motion"
        return (self.clear or slight) and not self.by_disagreement

    def _fits(self, enough: float) -> bool:
        alike = min(self.similarity) >= MIN_NCC or min(self.in_place, default=0.0) >= IN_PLACE
        return self.gain >= enough and alike

    def to_json(self) -> dict:
        """Return `diagnosis` of a result.json."""
        return {
            "cause": self.cause,
            "code": self.reason.code,
            "views": list(self.views),
            "evidence_gain": self.gain,
            "clear": self.clear,
            "similarity": list(self.similarity),
            "world_from_ct": self.world_from_ct.tolist(),
            "moved_mm": self.moved_mm,
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


def image_hypotheses(views: Sequence[View]) -> Iterator[Hypothesis]:
    """Yield faults of the images that these views allow, the simplest first."""
    names = [view.name for view in views]
    for cause, (words, back) in TURNS.items():
        turned = [_turned(view, back) for view in views]
        one = f"{{}} seems to be {words}: turned back, it fits. Check how it was loaded."
        every = f"All X-rays seem to be {words}: turned back, they fit. Check how they were loaded."
        if cause == "mirrored":  # in the words in which left and right are asked for
            right = "whether the patient's right is on the left of"
            one = f"Left and right of {{}} seem to be exchanged: the other way, it fits. Check {right} the image."
            every = f"Left and right of all X-rays seem to be exchanged: the other way, they fit. Check {right} the images."
        yield from _of_one_or_all(cause, views, turned, one, every)
    inverted = [
        replace(view, xray=replace(view.xray, line_integrals=-view.xray.line_integrals))
        for view in views
    ]
    one = "The grey scale of {} seems to be the wrong way round: inverted, it fits. Check its intensity."
    every = "The grey scale of all X-rays seems to be the wrong way round: inverted, they fit. Check their intensity."
    yield from _of_one_or_all("inverted", views, inverted, one, every)
    for i, j in combinations(range(len(views)), 2):
        if views[i].xray.valid.shape == views[j].xray.valid.shape:
            swapped = list(views)
            swapped[i], swapped[j] = (
                replace(views[i], xray=views[j].xray),
                replace(views[j], xray=views[i].xray),
            )
            sentence = (
                f"The images of {names[i]} and {names[j]} seem to be exchanged: the other way "
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
        one = f"{{}} seems to have {words}: the other way, it fits. Check its angles."
        every = f"All X-rays seem to have {words}: the other way, they fit. Check their angles."
        yield from _of_one_or_all("angle sign", views, changed, one, every)


def tube_hypotheses(views: Sequence[View]) -> Iterator[Hypothesis]:
    """Yield that the tube of a slot scan stood on the other side of the patient.

    Above the table where it is said to be below.
    """
    turned = [_by_opposite_tube(view) for view in views]
    one = "The tube of {} seems to have been on the other side of the patient: from there, it fits. Check isocentre_to_source."
    every = "The tubes of all X-rays seem to have been on the other side of the patient: from there, they fit. Check isocentre_to_source."
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
    return replace(view, camera=replace(view.camera, camera_from_world=pose))


def mirrored_ct(views: Sequence[View], centroid: np.ndarray) -> Hypothesis:
    """Suppose that left and right of the CT are exchanged, about its centroid (3,), CT mm.

    A mirrored CT in this world looks as the CT in a mirrored world: every image and every camera is
    mirrored instead.
    """
    world = np.diag([-1.0, 1.0, 1.0, 1.0])
    ct = world.copy()
    ct[0, 3] = 2 * centroid[0]
    sentence = "Left and right of the CT seem to be exchanged: mirrored, it fits. Check how the CT was exported and loaded."
    mirrored = [_in_mirrored_world(view, world) for view in views]
    return Hypothesis(
        "mirrored ct", (), mirrored, sentence, world_from_world=world, corrected_from_ct=ct
    )


def half_turn(views: Sequence[View], centroid: np.ndarray) -> Hypothesis:
    """Suppose that the CT is turned by 180 degrees about its long axis through its centroid (3,), CT mm, as by a matrix in RAS."""
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn[:2, 3] = 2 * centroid[:2]
    sentence = (
        "The CT seems to be turned by 180 degrees about its long axis: turned back, it fits. If "
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


def _turned(view: View, back: Callable[[np.ndarray], np.ndarray]) -> View | None:
    """Return the view with its image turned; None where that has another size."""
    image, valid = (
        np.ascontiguousarray(back(each)) for each in (view.xray.line_integrals, view.xray.valid)
    )
    return (
        replace(view, xray=XRay(image, valid, view.xray.pixel_mm))
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
        scaled = [replace(view, xray=replace(view.xray, pixel_mm=(1.0, 1.0))) for view in views]
        all_distances = SharedUnknowns(
            source_to_detector_sd_mm=DISTANCE_SD * views[0].camera.focal_px
        )
        sentence = f"{_distance(views[0])} seems to be wrong:"
        advice = f"Check it, and {_looks_like_distance(views[0])}."
        yield Hypothesis("distance", (), scaled, sentence, advice, all_distances)
    for i, view in enumerate(views):
        if view.marker:
            continue
        freed = replace(view, distance_sd_percent=100 * DISTANCE_SD)
        sentence = f"{_distance(view)} of {view.name} seems to be wrong:"
        yield Hypothesis(
            "distance", (view.name,), [*views[:i], freed, *views[i + 1 :]], sentence, shared=shared
        )
    # Of two views the images cannot say which is off. Cameras are corrected against the first
    # view's: the one in question goes last.
    for i in range(len(views)) if len(views) > 2 else (1,):
        view, others = views[i], [*views[:i], *views[i + 1 :]]
        about = (view.name,) if len(others) > 1 else (others[0].name, view.name)
        against = "the other X-rays" if len(others) > 1 else others[0].name
        if not view.marker:
            freed = replace(view, principal_point_sd_px=PRINCIPAL_POINT_SD_MM / _pixel_mm(view))
            which = view.name if len(others) > 1 else f"{others[0].name} or {view.name}"
            point = "principal point" if view.camera.fan_axes == 2 else "fan's centre or first row"
            sentence = f"The {point} of {which} seems to be wrong: with that of {view.name}"
            yield Hypothesis("principal point", about, [*others, freed], sentence, shared=shared)
        if shared == CALIBRATED and not CameraCorrections(views).free.size:
            freed = replace(view, rotation_sd_deg=ANGLE_SD_DEG, translation_sd_mm=PLACE_SD_MM)
            what, besides = "patient", f", or the angle or the place of {view.name} is wrong"
            if view.marker:
                what, besides = "marker", " against the patient"
            sentence = f"The {what} seems to have moved between {view.name} and {against}{besides}:"
            yield Hypothesis("motion", about, [*others, freed], sentence)


def _distance(view: View) -> str:
    return f"The distance from source to {'detector' if view.camera.fan_axes == 2 else 'isocentre'}"


def _looks_like_distance(view: View) -> str:
    """Return what else may be wrong and look the same.

    Of a slot scan the CT's scale does not: its rows are mm apart wherever the CT lies.
    """
    return "the CT's scale" if view.camera.fan_axes == 2 else "pixel_mm between columns"


def _pixel_mm(view: View) -> float:
    return float(view.xray.pixel_mm[0]) if view.xray.pixel_mm else 1000.0 / view.camera.focal_px


@dataclass(eq=False)
class CauseSearch:
    """The search for the likely cause of a poor fit.

    Parameters
    ----------
    anatomy, views
        The prepared CT, and the views as the case has them; those of unknown geometry are ignored.
    found, start
        The registration, and its start (4, 4).
    shared
        What is unknown and the same in all views.
    progress
        Called between hypotheses; returning False cancels.
    """

    anatomy: PreparedCT
    views: Sequence[View]
    found: Refinement
    start: np.ndarray
    shared: SharedUnknowns = CALIBRATED
    progress: Callable[[Progress], object] = lambda _: None

    @cached_property
    def _views(self) -> list[View]:
        alone = uncalibrated_view_indices(self.views, self.shared)
        return [view for i, view in enumerate(self.views) if i not in alone]

    @property
    def _pose(self) -> np.ndarray:
        return self.found.world_from_ct

    def cause(self, *, placed: bool = False) -> Cause | None:
        """Return the first cause that holds; None if no hypothesis explains the fit.

        Takes and raises what `causes` does.
        """
        return next((cause for cause in self.causes(placed=placed) if cause.holds), None)

    def causes(self, *, placed: bool = False) -> Iterator[Cause]:
        """Yield the likeliest cause of each kind, whether it holds or not.

        Of the images (KINDS), the cameras, the level, the part.

        Parameters
        ----------
        placed
            Most tiles of each X-ray are in place (`places.carried_risk`): no image is at fault, and
            no other part of the CT is shown.

        Raises
        ------
        Cancelled
            `progress` returned False.
        """
        alone = self._alone()
        coarse = self._coarse(self._views, [self._pose, self.start, *alone.values()])
        here = self._best_refined(self._views, coarse)
        evidence = here.fit.evidence if here else 0.0
        least = coarse[0].fit.evidence if coarse else 0.0
        every = [*angle_hypotheses(self._views), *tube_hypotheses(self._views)]
        every += [of_ct(self._views, self.anatomy.centroid) for of_ct in (mirrored_ct, half_turn)]
        groups = [every]  # a turned image resembles no CT
        if not placed and not (here and min(here.fit.similarity) >= MIN_NCC):
            every += image_hypotheses(self._views)
            groups = [[each for each in every if each.cause in kinds] for kinds in KINDS]
        signs, by_places = [], []
        for group in groups:
            for cause in self._of_images(group, alone, least, evidence):
                if cause.in_place and cause.holds:  # by less than a likeness: others may hold, too
                    by_places.append(cause)
                elif (
                    cause.cause == "angle sign"
                ):  # which other faults of cameras may explain better
                    signs.append(cause)
                else:
                    yield cause
            if any(cause.holds for cause in signs):
                break
        if by_places:
            yield max(by_places, key=lambda cause: cause.gain)
        yield from self._of_cameras(alone, evidence, signs)
        if here:
            yield from self._other_level(here)
        if not placed:
            yield from self._other_part(evidence)
        yield from self._short()

    def _report(self, _: Progress) -> object:
        stage = "searching for the cause of the poor fit"
        return self.progress(Progress(1.0, stage, self._pose, self.found.fit.cost))

    def _registration(
        self,
        views: list[View],
        shared: SharedUnknowns | None = None,
        anatomy: PreparedCT | None = None,
    ) -> RegistrationPipeline:
        shared = self.shared if shared is None else shared
        return RegistrationPipeline(
            anatomy or self.anatomy, views, self.start, self._report, shared
        )

    def _alone(self) -> dict[str, np.ndarray]:
        """Return the pose of each view alone, by its name."""
        if len(self._views) < 2:
            return {}
        runs = {view.name: self._coarse([view], [self._pose, self.start]) for view in self._views}
        return {name: run[0].world_from_ct for name, run in runs.items() if run}

    def _coarse(
        self, views: list[View], poses: Sequence[np.ndarray], *, search: bool = False
    ) -> list[Descent]:
        """Return the minima at the coarsest resolution, most evidence first.

        Parameters
        ----------
        search
            Also those of a small search about the start.
        """
        registration = self._registration(views)
        minima = registration.descend(0, [DescentStart(pose) for pose in poses])
        if search:
            minima = registration.merge(
                minima, registration.search(0, poses[0], LOCAL_RANGE, START_SEARCH_BUDGET)[0]
            )
        return minima

    def _best_refined(self, views: list[View], minima: list[Descent]) -> Descent | None:
        """Return the best of these minima at the second resolution."""
        kept = prune(minima, *KEEP_AFTER_FINER)[0] if minima else []
        return next(iter(self._registration(views).descend(1, kept)), None)

    def _of_images(
        self, group: list[Hypothesis], alone: dict[str, np.ndarray], least: float, evidence: float
    ) -> Iterator[Cause]:
        """Yield the likeliest of a group, if at the coarsest resolution it tells more than `least`, the evidence there as things are."""
        tried = []
        for each in group:
            unharmed = [
                pose for name, pose in alone.items() if each.about and name not in each.about
            ]
            poses = [each.pose(pose) for pose in (self.start, *unharmed)]
            tried.append((self._coarse(each.views, poses, search=not unharmed), each))
        better = [
            (minima, each) for minima, each in tried if minima and minima[0].fit.evidence > least
        ]
        runs = [(self._best_refined(each.views, minima), each) for minima, each in better]
        refined = [(run, each) for run, each in runs if run]
        if refined:
            run, each = max(refined, key=lambda pair: pair[0].fit.evidence)
            cause = _cause(each.cause, each.about, each.sentence, run, evidence)
            unlike = cause.gain >= MIN_EVIDENCE_GAIN and not cause.clear
            yield replace(
                cause,
                in_place=self._in_place(each.views, run.world_from_ct) if unlike else (),
                world_from_ct=each.pose(cause.world_from_ct),
                corrected_from_ct=each.corrected_from_ct,
            )

    def _in_place(self, views: list[View], pose: np.ndarray) -> tuple[float, ...]:
        """Return the share of each view's tiles in place at the second resolution, 0 where unknown."""
        level = self.anatomy.levels(views, self.start)[1]
        objective = self.anatomy.objective(views, level, pose)
        projections = objective.project(pose)
        objective.linearise(projections)
        split = tiles(objective, projections)
        shares = tiles_in_place(view_sums(objective, projections), split)
        return tuple(np.nan_to_num(shares).tolist())

    def _of_cameras(
        self, alone: dict[str, np.ndarray], evidence: float, signs: Sequence[Cause] = ()
    ) -> Iterator[Cause]:
        """Yield the likeliest fault of cameras or of the CT's scale.

        Of those that explain nearly as much as any, it is that with the fewest unknowns. A CT's
        scale and a distance explain nearly the same: of cameras that are known well it is the CT's.

        Parameters
        ----------
        signs
            Causes of wrong signs of angles, which have no unknowns.
        """
        causes: list[tuple[int, Cause | None]] = [(0, cause) for cause in signs]
        size_share = 0.0
        for each, registration, minima in self._promising(alone, evidence):
            ends = self._several_rounds(registration, minima)
            if not ends:
                continue
            best = ends[0]
            if each.cause == "distance" and not each.about and not self._rows_in_mm:
                size_share = self._distance_share(each, best)
            words = self._camera_in_words(each, best)
            sentence = f"{each.sentence} {words}. {each.advice}".strip()
            cause = _cause(each.cause, each.about, sentence, best, evidence)
            if each.cause == "distance" and not each.about:
                cause = replace(cause, size_share=size_share)
            causes.append(
                (len(CameraCorrections(each.views, each.shared).free), cause if words else None)
            )
        calibrated = all(view.distance_sd_percent < 100 * LEAST_SHARE for view in self._views)
        scales = [*self._of_scale(evidence, size_share)]
        causes = [*scales, *causes] if calibrated else [*causes, *scales]
        most = max((cause.gain for _, cause in causes if cause), default=0.0)
        likely = sorted(
            (pair for pair in causes if pair[1] and pair[1].gain >= SIMPLER_CAUSE_RATIO * most),
            key=lambda pair: pair[0],
        )
        yield from (cause for _, cause in likely[:1] if cause)

    def _promising(
        self, alone: dict[str, np.ndarray], evidence: float
    ) -> list[tuple[Hypothesis, RegistrationPipeline, list[Descent]]]:
        """Return the faults of cameras that may be the cause, with where a few steps lead."""
        tried = []
        for each in camera_hypotheses(self._views, self.shared):
            registration = self._registration(each.views, each.shared)
            nothing = CameraCorrections(each.views, each.shared).none
            starts = [DescentStart(self._pose, corrections=nothing)]
            if each.cause == "motion":
                starts += _where_each_view_has_it(each.views, alone)
            elif each.cause == "distance" and not each.about:
                starts.append(DescentStart(self.start, corrections=nothing))
            minima = registration.descend(1, starts, TRIED_STEPS)
            if minima:
                tried.append((each, registration, minima))
        most = max((_gain(minima[0], evidence) for *_, minima in tried), default=0.0)
        if most < LEAST_GAIN:
            return []
        return [
            (each, registration, minima)
            for each, registration, minima in tried
            if _gain(minima[0], evidence) >= most**PROMISING
            and min(minima[0].fit.similarity) >= MIN_NCC - NEARLY
        ]

    def _of_scale(self, evidence: float, size_share: float) -> Iterator[tuple[int, Cause | None]]:
        """Yield that the CT's slice spacing is wrong, or its scale, by about what the distance to the detector would be wrong by.

        The rows of a slot scan tell the one from the other.
        """
        apart, whole = np.array([0, 0, 1]), np.ones(3)
        spacing = self._share(apart, evidence)
        size_share = self._share(whole, evidence) if self._rows_in_mm else size_share
        check = "how it was exported" + (
            "" if self._rows_in_mm else ", and the distance to the detector"
        )
        for kind, what, share, axes in (
            ("slice spacing", "slice spacing", spacing, apart),
            ("ct scale", "scale", size_share, whole),
        ):
            if abs(share) < max(LEAST_SCALE, self._stated("distance_sd_percent") / 100):
                continue
            run = self._scaled(share * axes, rounds=ROUNDS)
            if run is None:
                continue
            words = f"{100 * abs(share):.1f} % {'larger' if share > 0 else 'smaller'}"
            sentence = f"The CT's {what} seems to be wrong: {words}, it fits. Check {check}."
            corrected = self.anatomy.scaled(share * axes).corrected_from_ct
            yield 1, replace(_cause(kind, (), sentence, run, evidence), corrected_from_ct=corrected)

    @property
    def _rows_in_mm(self) -> bool:
        """Whether a view's rows are mm apart wherever the CT lies, as a slot scan's are."""
        return any(view.camera.fan_axes == 1 for view in self._views)

    def _share(self, axes: np.ndarray, evidence: float) -> float:
        """Return by what share the CT fits best when it is larger along these axes (3,)."""
        share = 0.0
        for step in SPACING_STEPS:
            tried = [self._scaled((share + side * step) * axes) for side in (-1, 0, 1)]
            share += _vertex(step, *(_gain(run, evidence) if run else 0.0 for run in tried))
            if abs(share) < LEAST_SCALE / 2:
                break
        return share

    def _scaled(self, shares: np.ndarray, rounds: int = 1) -> Descent | None:
        """Return the best pose of the CT with its voxels larger by these shares (3,), from the pose that was found."""
        registration = self._registration(self._views, anatomy=self.anatomy.scaled(shares))
        return next(
            iter(self._several_rounds(registration, [DescentStart(self._pose)], rounds)), None
        )

    def _several_rounds(
        self,
        registration: RegistrationPipeline,
        starts: Sequence[DescentStart | Descent],
        rounds: int = ROUNDS,
    ) -> list[Descent]:
        """Return the minima at the second resolution, most evidence first."""
        minima = registration.descend(1, starts)
        for _ in range(rounds - 1):
            if not minima:
                break
            before = minima[0].fit.evidence
            minima = registration.descend(1, prune(minima, *KEEP_AFTER_FINER)[0])
            if minima and minima[0].fit.evidence < SETTLED * before:
                break
        return minima

    def _distance_share(self, each: Hypothesis, run: Descent) -> float:
        """Return by what share a distance from source to detector comes out longer."""
        own = run.corrections[:-6].reshape(-1, OWN)
        return float(own[:, 6].sum() + run.corrections[-6] / each.views[0].camera.focal_px)

    def _camera_in_words(self, each: Hypothesis, run: Descent) -> str:
        """Describe how the cameras differ from the given ones.

        "" if by too little to be the cause.
        """
        own = run.corrections[:-6].reshape(-1, OWN)
        if each.cause == "distance":
            share = self._distance_share(each, run)
            longer = "longer" if share > 0 else "shorter"
            enough = max(LEAST_SHARE, self._stated("distance_sd_percent") / 100)
            return (
                f"{100 * abs(share):.1f} % {longer}, the X-rays fit" if abs(share) >= enough else ""
            )
        if each.cause == "principal point":
            column, row = own[-1, 7:9]
            least = max(
                LEAST_PRINCIPAL_POINT_MM / _pixel_mm(each.views[-1]),
                self._stated("principal_point_sd_px"),
            )
            enough = np.hypot(column, row) >= least
            return (
                f"moved by {column:.0f} columns and {row:.0f} rows, the X-rays fit"
                if enough
                else ""
            )
        motion = rigid.from_rotation_translation(rigid.exp_so3(own[-1, :3]), own[-1, 3:6])
        there = rigid.transform_points(run.world_from_ct, self.anatomy.centroid)
        mm = float(np.linalg.norm(rigid.transform_points(motion, there) - there))
        degrees = float(np.degrees(np.linalg.norm(own[-1, :3])))
        if degrees < LEAST_DEG and mm < LEAST_MM:
            return ""
        return f"with the CT {mm:.1f} mm and {degrees:.1f} degrees elsewhere in it, the X-rays fit"

    def _stated(self, key: str) -> float:
        """Return how far off the case says that the cameras may be."""
        return STATED_SDS * max(getattr(view, key) for view in self._views)

    def _other_level(self, here: Descent) -> Iterator[Cause]:
        """Yield a pose shifted along the CT's long axis, by about a vertebra, that fits as well."""
        registration = self._registration(self._views)
        minima: list[Descent] = []
        for mm in LEVELS_MM:
            starts = [DescentStart(_shifted(self._pose, side * mm)) for side in (1, -1)]
            ends = registration.descend(1, starts, TRIED_STEPS)
            minima = cluster_minima(minima, ends, self.anatomy.centroid)
        for run in registration.descend(1, minima[:LEVELS_TRIED]) if minima else ():
            length, along, degrees = self._distance(run, self._pose)
            if (
                length >= LEAST_LEVEL_MM
                and abs(along) >= ALONG * length
                and degrees <= MOST_TURN_DEG
            ):
                fits = (
                    "better"
                    if _gain(run, here.fit.evidence) > MIN_EVIDENCE_GAIN
                    else "about as well"
                )
                sentence = (
                    f"The CT may be registered to the wrong vertebra: moved by {length:.0f} mm "
                    f"towards the {_end(along)}, it fits {fits}. Count the levels."
                )
                yield _cause("level", (), sentence, run, here.fit.evidence)
                return

    def _other_part(self, evidence: float) -> Iterator[Cause]:
        """Yield the best pose farther along the CT's long axis, from the start.

        Where nothing fits the answer may be turned any way.
        """
        length_mm = np.ptp(self.anatomy.corners()[:, 2])
        poses = [
            _shifted(self.start, side * mm) for mm in FAR_MM if mm < length_mm for side in (1, -1)
        ]
        run = self._best_refined(self._views, self._coarse(self._views, poses))
        if run is None:
            return
        length, along, _ = self._distance(run, self.start)
        if abs(along) >= max(ALONG * length, FAR_MM[0] / 2):
            sentence = (
                "The X-rays show another part of the CT than the start says: moved by "
                f"{length:.0f} mm towards the {_end(along)}, the CT fits. Check the start."
            )
            yield _cause("part", (), sentence, run, evidence)

    def _short(self) -> Iterator[Cause]:
        """Yield the view with the largest share beyond the cut ends of the CT, if that is most of it."""
        projector = self.anatomy.projector(0)
        beyond = {
            view.name: float(np.mean(projector.seen(view.camera, self._pose)[view.xray.valid] == 0))
            for view in self._views
            if view.xray.valid.any()
        }
        name = max(beyond, key=beyond.__getitem__, default="")
        if name and beyond[name] >= MOST_BEYOND:
            sentence = (
                f"The CT is too short, or {name} shows another part of the body: "
                f"{100 * beyond[name]:.0f} % of this X-ray lies beyond the ends of the CT."
            )
            yield Cause(
                "short", (name,), sentence, 1.0, tuple(self.found.fit.similarity), self._pose
            )

    def _distance(self, run: Descent, pose: np.ndarray) -> tuple[float, float, float]:
        """Return the distance of a pose from another one (4, 4).

        Mm, mm along the CT's long axis towards the head, degrees.
        """
        mm, degrees = pose_difference(run.world_from_ct, pose, self.anatomy.centroid)
        here, there = (
            rigid.transform_points(each, self.anatomy.centroid)
            for each in (run.world_from_ct, pose)
        )
        return mm, float((here - there) @ pose[:3, 2]), degrees


def _cause(
    cause: str, about: tuple[str, ...], sentence: str, run: Descent, evidence: float
) -> Cause:
    return Cause(
        cause, about, sentence, _gain(run, evidence), run.fit.similarity, run.world_from_ct
    )


def _gain(run: Descent, evidence: float) -> float:
    return run.fit.evidence / max(evidence, 1e-9)


def _shifted(pose: np.ndarray, mm: float) -> np.ndarray:
    """Return a pose (4, 4) moved along the CT's long axis."""
    return rigid.from_rotation_translation(np.eye(3), mm * pose[:3, 2]) @ pose


def _end(along: float) -> str:
    return "head" if along > 0 else "feet"


def _where_each_view_has_it(views: list[View], alone: dict[str, np.ndarray]) -> list[DescentStart]:
    """Return the pose of each other view alone, with the corrections that give the last view the same pose."""
    *others, last = (alone.get(view.name) for view in views)
    starts = []
    for pose in others:
        if pose is not None and last is not None:
            motion = last @ rigid.inverse(pose)
            own = [*rigid.log_so3(motion[:3, :3]), *motion[:3, 3]]
            corrections = np.array([0.0] * OWN * len(others) + own + [0.0] * (OWN - 6 + 6))
            starts.append(DescentStart(pose, corrections=corrections))
    return starts


def _vertex(step: float, below: float, here: float, above: float) -> float:
    """Return where a parabola through three values at -step, 0 and step has its maximum, at most 2 steps off.

    Where it has none, return the best of the three.
    """
    bend = below - 2 * here + above
    if bend >= 0:
        return step if above > below else -step
    return float(np.clip(step * (below - above) / (2 * bend), -2 * step, 2 * step))
