"""What may be wrong with the images, the cameras and the CT of a case.

A hypothesis has the views as they would be without the fault, under which `Trials` register the case,
at the two coarsest resolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Protocol

import numpy as np

from ..errors import Reason, unseen
from ..geometry import rigid
from ..geometry.machines import CArm, SlotScanCamera
from ..imaging.xray import MIRROR, SharedUnknowns, View
from ..registration.cameras import CALIBRATED, CameraCorrections, uncalibrated_view_indices
from ..registration.optimizer import (
    KEEP_AFTER_FINER,
    LOCAL_RANGE,
    Descent,
    DescentStart,
    Progress,
    Refinement,
    Report,
    SearchBudget,
    prune,
)
from ..registration.pipeline import RegistrationPipeline
from ..registration.prepared_ct import PreparedCT
from .parts import IN_PLACE

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
        turned = [view.turned(back) for view in views]
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
    ct = MIRROR.copy()
    ct[0, 3] = 2 * centroid[0]
    sentence = "Left and right of the CT seem to be exchanged\n: mirrored, it fits. Check how the CT was exported and loaded."
    mirrored = [view.mirrored() for view in views]
    return Hypothesis(
        "mirrored ct", (), mirrored, sentence, world_from_world=MIRROR, corrected_from_ct=ct
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
            point = "fan's centre or first row" if view.camera.is_slot_scan else "principal point"
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
    return f"The distance from source to {'isocentre' if view.camera.is_slot_scan else 'detector'}"


def _looks_like_distance(view: View) -> str:
    """Return what else may be wrong and look the same.

    Of a slot scan the CT's scale does not: its rows are mm apart wherever the CT lies.
    """
    return "pixel_mm between columns" if view.camera.is_slot_scan else "the CT's scale"


def pixel_mm(view: View) -> float:
    """Return the spacing of a view's columns; where it is unknown, as if the detector were 1 m from the source."""
    return float(view.xray.pixel_mm[0]) if view.xray.pixel_mm else 1000.0 / view.camera.focal_px


#: Around the start, where all images may be at fault and no view knows where the CT is.
START_SEARCH_BUDGET = SearchBudget(poses=128, max_poses=128, refined=2)
#: A search for a cause that tries all reports about so many steps.
STEPS = 180


@dataclass(eq=False)
class Trials:
    """What is tried on a case that was registered.

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
    progress: Report = unseen
    _steps: int = field(default=0, init=False)

    @cached_property
    def tied(self) -> list[View]:
        """The views whose geometry is known."""
        alone = uncalibrated_view_indices(self.views, self.shared)
        return [view for i, view in enumerate(self.views) if i not in alone]

    @property
    def pose(self) -> np.ndarray:
        """The (4, 4) pose that was found."""
        return self.found.world_from_ct

    def registration(
        self,
        views: list[View],
        shared: SharedUnknowns | None = None,
        anatomy: PreparedCT | None = None,
    ) -> RegistrationPipeline:
        """Return a registration of these views; by default of the case's CT, with what the case shares."""
        shared = self.shared if shared is None else shared
        return RegistrationPipeline(
            anatomy or self.anatomy, views, self.start, self._report, shared
        )

    def _report(self, _: Progress) -> object:
        self._steps += 1
        done = min(self._steps / STEPS, 1.0)
        stage = "searching for the cause of the poor fit"
        return self.progress(Progress(done, stage, self.pose, self.found.fit.cost))

    def alone(self) -> dict[str, np.ndarray]:
        """Return the pose of each view alone, by its name."""
        if len(self.tied) < 2:
            return {}
        runs = {view.name: self.coarse([view], [self.pose, self.start]) for view in self.tied}
        return {name: run[0].world_from_ct for name, run in runs.items() if run}

    def coarse(
        self, views: list[View], poses: Sequence[np.ndarray], *, search: bool = False
    ) -> list[Descent]:
        """Return the minima at the coarsest resolution, most evidence first.

        Parameters
        ----------
        search
            Also those of a small search about the first of the poses (4, 4).
        """
        registration = self.registration(views)
        minima = registration.descend(0, [DescentStart(pose) for pose in poses])
        if search:
            minima = registration.merge(
                minima, registration.search(0, poses[0], LOCAL_RANGE, START_SEARCH_BUDGET)[0]
            )
        return minima

    def best_refined(self, views: list[View], minima: list[Descent]) -> Descent | None:
        """Return the best of these minima at the second resolution."""
        kept = prune(minima, *KEEP_AFTER_FINER)[0] if minima else []
        return next(iter(self.registration(views).descend(1, kept)), None)


#: A cause holds if the evidence grows by this factor and the least similar view has this local NCC
#: at the second resolution. Chosen on cases with one fault each.
MIN_EVIDENCE_GAIN = 1.2
MIN_NCC = 0.7
#: Cameras and the CT's scale differ by little from what was given, and need less: without a fault
#: the evidence grew by at most 1.014.
SLIGHTLY = 1.05
SLIGHT = ("distance", "principal point", "motion", "ct scale", "slice spacing")
#: Of these there is never much evidence, but they tell the shift to 0.3 mm in two of three cases,
#: as clear causes do.
OF_SIZE = ("ct scale", "slice spacing")
#: Another level has at least this share of the evidence of the pose that was found.
MIN_LEVEL_EVIDENCE = 0.85


def code_of(cause: str) -> str:
    """Return the code of a reason that names a `Cause.cause`."""
    return f"cause-{cause.replace(' ', '-')}"


def evidence_gain(run: Descent, evidence: float) -> float:
    """Return the factor by which a registration has more evidence than this."""
    return run.fit.evidence / max(evidence, 1e-9)


@dataclass(frozen=True, eq=False)
class Cause:
    """The likely cause of a poor fit.

    Attributes
    ----------
    cause
        One of those in result.schema.json.
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

    @property
    def of_one_view(self) -> bool:
        """Whether one view is at fault.

        How far the pose moves where that view's place is free, at the finest resolution, tells best
        how far off it is.
        """
        return self.cause in ("motion", "principal point")

    @classmethod
    def of_run(
        cls, cause: str, views: tuple[str, ...], sentence: str, run: Descent, evidence: float
    ) -> Cause:
        """Return the cause under which a registration ended so, of a case that had this evidence without."""
        fit = run.fit
        return cls(
            cause, views, sentence, evidence_gain(run, evidence), fit.similarity, run.world_from_ct
        )

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
    def doubts_bones(self) -> bool:
        """Bones that are found, each at its own pose, are in doubt for it, too; not where the CT ends within an X-ray."""
        return self.cause != "short"

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
            "views": self.views,
            "evidence_gain": self.gain,
            "clear": self.clear,
            "similarity": self.similarity,
            "world_from_ct": self.world_from_ct,
            "moved_mm": self.moved_mm,
        }
