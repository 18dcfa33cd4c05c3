"""Search for the likely cause of a poor fit, by testing what may be wrong with the case.

The case is registered under each hypothesis at the two coarsest resolutions: from the registered
pose, from the start, and from the pose of each view alone, since a fault of one view leaves the
others right. A hypothesis holds if all X-rays resemble the CT under it and the evidence is clearly
higher than without it. The likeliest kinds are tested first. The work does not depend on the clock:
the same case has the same cause on any computer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, groupby
from typing import Any, NamedTuple

import numpy as np

from ..errors import unseen
from ..geometry import rigid
from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from ..registration.cameras import OWN, CameraCorrections, uncalibrated_view_indices
from ..registration.optimizer import (
    KEEP_AFTER_FINER,
    LOCAL_RANGE,
    Descent,
    DescentStart,
    Progress,
    Refinement,
    Report,
    SearchBudget,
    cluster_minima,
    prune,
)
from ..registration.pipeline import TRIED_STEPS, RegistrationPipeline
from ..registration.prepared_ct import PreparedCT
from .causes import Cause, evidence_gain
from .faults import (
    FAULTS,
    MIN_EVIDENCE_GAIN,
    MIN_NCC,
    Hypothesis,
    KnownFault,
    camera_hypotheses,
    pixel_mm,
)
from .votes import fractions_at

#: Search around the start, if all images may be at fault and no view knows where the CT is.
START_SEARCH_BUDGET = SearchBudget(poses=128, max_poses=128, refined=2)
#: Steps after which half of a hypothesis counts as tested, for the progress; 3 to 80 were seen.
STEPS_TO_HALF = 15
#: Stages besides the hypotheses: poses of single views, corrected cameras, level and part.
OTHER_STAGES = 4


@dataclass(eq=False)
class CauseSearch:
    """The search for the likely cause of a poor fit of a registered case.

    Parameters
    ----------
    anatomy, views
        The prepared CT, and the views as the case has them; those of unknown geometry are ignored.
    refinement, start
        The registration, and its start (4, 4).
    shared
        Unknowns that all views share.
    progress
        Called between hypotheses; returning False cancels.
    bones_are_accepted
        All visible bones are accepted at poses of their own: they are of the right level, and no
        image but a mirrored one is at fault. Each can hide a part of a wrong distance.
    """

    anatomy: PreparedCT
    views: Sequence[View]
    refinement: Refinement
    start: np.ndarray
    shared: SharedUnknowns = CALIBRATED
    progress: Report = unseen
    bones_are_accepted: bool = False
    _steps: int = field(default=0, init=False)
    _tested: int = field(default=0, init=False)
    #: Before the hypotheses are counted: more than there are.
    _count: int = field(default=200, init=False)

    @cached_property
    def known_views(self) -> list[View]:
        """The views of known geometry."""
        uncalibrated = uncalibrated_view_indices(self.views, self.shared)
        return [view for i, view in enumerate(self.views) if i not in uncalibrated]

    @property
    def pose(self) -> np.ndarray:
        """The (4, 4) registered pose."""
        return self.refinement.world_from_ct

    def registration(
        self,
        views: list[View],
        shared: SharedUnknowns | None = None,
        anatomy: PreparedCT | None = None,
    ) -> RegistrationPipeline:
        """Return a registration of these views; by default of the case's CT, with the case's shared unknowns."""
        shared = self.shared if shared is None else shared
        return RegistrationPipeline(
            anatomy or self.anatomy, views, self.start, self._report, shared
        )

    def _report(self, _: Progress) -> object:
        self._steps += 1
        stage = "searching for the cause of the poor fit"
        part = self._steps / (self._steps + STEPS_TO_HALF)
        fraction = (self._tested + part) / self._count
        return self.progress(Progress(fraction, stage, self.pose, self.refinement.fit.cost))

    def finish_stage(self) -> None:
        """Count a hypothesis, or another stage, as tested, for the reported progress."""
        self._tested += 1
        self._steps = 0

    @cached_property
    def single_view_poses(self) -> dict[str, np.ndarray]:
        """The (4, 4) pose of each view alone, by its name."""
        if len(self.known_views) < 2:
            return {}
        starts = [self.pose, self.start]
        runs = {view.name: self.coarse([view], starts) for view in self.known_views}
        return {name: run[0].world_from_ct for name, run in runs.items() if run}

    def coarse(
        self, views: list[View], poses: Sequence[np.ndarray], *, search: bool = False
    ) -> list[Descent]:
        """Return the minima at the coarsest resolution, most evidence first.

        Parameters
        ----------
        search
            Include a small search about the first of the poses (4, 4).
        """
        registration = self.registration(views)
        minima = registration.descend(0, [DescentStart(pose) for pose in poses])
        if search:
            further, _ = registration.search(0, poses[0], LOCAL_RANGE, START_SEARCH_BUDGET)
            minima = registration.merge(minima, further)
        return minima

    def best_refined(self, views: list[View], minima: list[Descent]) -> Descent | None:
        """Return the best of these minima at the second resolution."""
        kept = prune(minima, *KEEP_AFTER_FINER)[0] if minima else []
        return next(iter(self.registration(views).descend(1, kept)), None)

    def cause(self, *, images_are_in_place: bool = False) -> Cause | None:
        """Return the first cause that holds; None if no hypothesis explains the fit.

        Parameters and exceptions as of `causes`.
        """
        causes = self.causes(images_are_in_place=images_are_in_place)
        return next((cause for cause in causes if cause.is_accepted), None)

    def causes(self, *, images_are_in_place: bool = False) -> Iterator[Cause]:
        """Yield the likeliest cause of each kind, whether it holds or not: FAULTS by group, cameras, level, part.

        Parameters
        ----------
        images_are_in_place
            Most tiles of each X-ray are in place (`votes`): no image is at fault, and no other part
            of the CT is shown.

        Raises
        ------
        Cancelled
            `progress` returned False.
        """
        views = self.known_views
        coarse = self.coarse(views, [self.pose, self.start, *self.single_view_poses.values()])
        here = self.best_refined(views, coarse)
        evidence = here.fit.evidence if here else 0.0
        min_evidence = coarse[0].fit.evidence if coarse else 0.0
        faults = [
            fault
            for fault in FAULTS.values()
            if fault.hypotheses and not (images_are_in_place and fault.is_of_image)
        ]
        is_similar = here and min(here.fit.similarity) >= MIN_NCC
        if is_similar or self.bones_are_accepted:  # no image but a mirrored one is at fault
            faults = [fault for fault in faults if fault.group == 1]
        self._count = self._hypothesis_count(faults) + OTHER_STAGES
        self.finish_stage()
        signs = []
        by_votes = []
        for _group, members in groupby(faults, lambda fault: fault.group):
            likeliest = self._likeliest_image_fault(list(members), min_evidence, evidence)
            if likeliest is None:
                continue
            if likeliest.in_place and likeliest.is_accepted:  # another one may be more similar
                by_votes.append(likeliest)
            elif likeliest.cause == "angle sign":  # an error of a camera may explain it better
                signs.append(likeliest)
                if likeliest.is_accepted:
                    break
            else:
                yield likeliest
        if by_votes:
            yield max(by_votes, key=lambda cause: cause.gain)
        if cause := camera_cause(self, evidence, signs):
            yield cause
        self.finish_stage()
        if not self.bones_are_accepted:
            if here and (cause := other_level(self, here)):
                yield cause
            self.finish_stage()
            if not images_are_in_place and (cause := other_part(self, evidence)):
                yield cause
        if cause := ct_too_short(self):
            yield cause

    def _hypothesis_count(self, faults: Sequence[KnownFault]) -> int:
        views = self.known_views
        centroid = self.anatomy.centroid
        of_images = (fault.hypotheses(views, centroid) for fault in faults if fault.hypotheses)
        return sum(1 for _ in chain(*of_images, camera_hypotheses(views, self.shared)))

    def _likeliest_image_fault(
        self, faults: list[KnownFault], min_evidence: float, evidence: float
    ) -> Cause | None:
        """Return the likeliest of several faults of the images.

        Parameters
        ----------
        min_evidence, evidence
            Evidence of the pose with no fault assumed, at the coarsest and the second resolution.
        """
        tried = []
        centroid = self.anatomy.centroid
        of_faults = (
            fault.hypotheses(self.known_views, centroid) for fault in faults if fault.hypotheses
        )
        for hypothesis in chain(*of_faults):
            at_fault = hypothesis.view_names
            alone = self.single_view_poses.items()
            unaffected = [pose for name, pose in alone if at_fault and name not in at_fault]
            poses = [hypothesis.pose(pose) for pose in (self.start, *unaffected)]
            minima = self.coarse(hypothesis.views, poses, search=not unaffected)
            if minima and minima[0].fit.evidence > min_evidence:
                run = self.best_refined(hypothesis.views, minima)
                tried += [(run, hypothesis)] if run else []
            self.finish_stage()
        if not tried:
            return None
        run, best = max(tried, key=lambda pair: pair[0].fit.evidence)
        cause = _cause_of(best.cause, best.view_names, run, evidence, best.values)
        is_dissimilar = cause.gain >= MIN_EVIDENCE_GAIN and not cause.is_clear
        return replace(
            cause,
            in_place=self._in_place(best.views, run.world_from_ct) if is_dissimilar else (),
            world_from_ct=best.pose(cause.world_from_ct),
            corrected_from_ct=best.corrected_from_ct,
        )

    def _in_place(self, views: list[View], pose: np.ndarray) -> tuple[float, ...]:
        """Return the fraction of each view's tiles in place at the second resolution, 0 if unknown."""
        level = self.anatomy.levels(views, self.start)[1]
        objective = self.anatomy.objective(views, level, pose)
        return tuple(np.nan_to_num(fractions_at(objective, pose)).tolist())


def _cause_of(
    cause: str,
    views: tuple[str, ...],
    run: Descent,
    evidence: float,
    values: Mapping[str, Any],
) -> Cause:
    """Return the cause under which a registration ended, for a case that has this evidence without it."""
    gain = evidence_gain(run, evidence)
    return Cause(cause, views, gain, run.fit.similarity, run.world_from_ct, values)


#: Spacings of vertebrae; a shift by one points at most this far off the CT's axis; this many poses are
#: refined after a few steps.
LEVELS_MM = (20.0, 30.0, 40.0)
MIN_COSINE = np.cos(np.radians(30))
REFINED_LEVELS = 2
#: A shift along the body of at least this, with at most this rotation, is another level.
MIN_LEVEL_MM = 10.0
MAX_LEVEL_DEG = 10.0
#: Tested shifts along the body, if the X-rays show another part of it than the start says.
PART_SHIFTS_MM = (60.0, 90.0, 120.0, 150.0, 180.0)
#: The CT is too short if more than this fraction of a view's field sees beyond its cut ends.
MAX_BEYOND = 0.5


def other_level(search: CauseSearch, current: Descent) -> Cause | None:
    """Return the cause that another level of the spine fits about as well as `current` or better, else None.

    Its pose is shifted along the CT's long axis by about one vertebra.
    """
    registration = search.registration(search.known_views)
    minima: list[Descent] = []
    for mm in LEVELS_MM:
        starts = [DescentStart(_shifted(search.pose, side * mm)) for side in (1, -1)]
        ends = registration.descend(1, starts, TRIED_STEPS)
        minima = cluster_minima(minima, ends, search.anatomy.centroid)
    evidence = current.fit.evidence
    for run in registration.descend(1, minima[:REFINED_LEVELS]) if minima else ():
        mm, along_mm, degrees = _displacement(search, run, search.pose)
        is_along = abs(along_mm) >= MIN_COSINE * mm
        if mm >= MIN_LEVEL_MM and is_along and degrees <= MAX_LEVEL_DEG:
            is_better = evidence_gain(run, evidence) > MIN_EVIDENCE_GAIN
            fits = "better" if is_better else "about as well"
            values = {"shift_mm": mm, "towards": _end(along_mm), "fits": fits}
            return _cause_of("level", (), run, evidence, values)
    return None


def other_part(search: CauseSearch, evidence: float) -> Cause | None:
    """Return the best pose farther along the CT's long axis from the start.

    If nothing fits the registered pose may be rotated arbitrarily.
    """
    length_mm = np.ptp(search.anatomy.corners()[:, 2])
    shifts = [side * mm for mm in PART_SHIFTS_MM if mm < length_mm for side in (1, -1)]
    poses = [_shifted(search.start, shift) for shift in shifts]
    views = search.known_views
    run = search.best_refined(views, search.coarse(views, poses))
    if run is None:
        return None
    mm, along_mm, _ = _displacement(search, run, search.start)
    if abs(along_mm) < max(MIN_COSINE * mm, PART_SHIFTS_MM[0] / 2):
        return None
    values = {"shift_mm": mm, "towards": _end(along_mm)}
    return _cause_of("part", (), run, evidence, values)


def ct_too_short(search: CauseSearch) -> Cause | None:
    """Return the view of which most lies beyond the cut ends of the CT, if there is one."""
    projector = search.anatomy.projector(search.anatomy.picture_level)
    beyond = {
        view.name: float(np.mean(projector.seen(view.camera, search.pose)[view.xray.valid] == 0))
        for view in search.known_views
        if view.xray.valid.any()
    }
    name = max(beyond, key=beyond.__getitem__, default="")
    if not name or beyond[name] < MAX_BEYOND:
        return None
    similarity = tuple(search.refinement.fit.similarity)
    values = {"percent": 100 * beyond[name]}
    return Cause("short", (name,), 1.0, similarity, search.pose, values)


def _displacement(
    search: CauseSearch, run: Descent, pose: np.ndarray
) -> tuple[float, float, float]:
    """Return the displacement from a pose (4, 4): mm, mm along the CT's axis towards the head, degrees."""
    centroid = search.anatomy.centroid
    mm, degrees = rigid.pose_difference(run.world_from_ct, pose, centroid)
    here = rigid.transform_points(run.world_from_ct, centroid)
    shift = here - rigid.transform_points(pose, centroid)
    return mm, float(shift @ pose[:3, 2]), degrees


def _shifted(pose: np.ndarray, mm: float) -> np.ndarray:
    """Return a pose (4, 4) moved along the CT's long axis."""
    return rigid.translation(mm * pose[:3, 2]) @ pose


def _end(along_mm: float) -> str:
    return "head" if along_mm > 0 else "feet"


#: One unknown that explains at least this fraction of what six explain is the likelier cause.
SIMPLER_CAUSE_RATIO = 0.97
#: Smaller changes of a distance, an angle or a position are no fault.
MIN_DISTANCE_CHANGE = 0.01
MIN_ROTATION_DEG = 0.5
MIN_MOTION_MM = 1.5
#: Smallest deviation of a principal point, mm on the detector, and in stated standard deviations,
#: that counts as a fault.
MIN_PRINCIPAL_POINT_MM = 1.5
STATED_SDS = 3.0
#: Rounds at the second resolution in which cameras are estimated; the last is one by which the
#: evidence grows by less than this factor.
ROUNDS = 3
SETTLED = 1.002
#: All faults of cameras are tested by a few steps first. If the evidence grows by MIN_GAIN under any,
#: those are refined under which it grew by at least the largest gain to the power of
#: MIN_LOG_GAIN_FRACTION, and
#: under which every X-ray's NCC is within NCC_TOLERANCE of MIN_NCC.
MIN_GAIN = 1.02
MIN_LOG_GAIN_FRACTION = 0.5
NCC_TOLERANCE = 0.05


def camera_cause(
    search: CauseSearch, evidence: float, sign_causes: Sequence[Cause]
) -> Cause | None:
    """Return the likeliest camera error.

    Among errors that explain the images about equally well, the one with the fewest unknowns is
    preferred.

    Parameters
    ----------
    evidence
        Evidence of the registered pose.
    sign_causes
        Causes in which an angle has the wrong sign; they have no unknowns.
    """
    causes = [(0, cause) for cause in sign_causes]
    are_slot_scans = any(view.camera.is_slot_scan for view in search.known_views)
    for hypothesis, registration, descents in _likely_camera_errors(search, evidence):
        best = _several_rounds(registration, descents)
        values = best and _camera_change(search, hypothesis, best)
        if not best or not values:
            continue
        cause = _cause_of(hypothesis.cause, hypothesis.view_names, best, evidence, values)
        if cause.cause == "distance" and not cause.views and not are_slot_scans:
            cause = replace(cause, size_change=_distance_change(hypothesis, best))
        unknowns = len(CameraCorrections(hypothesis.views, hypothesis.shared).free)
        causes.append((unknowns, cause))
    most = max((cause.gain for _, cause in causes), default=0.0)
    likely = [pair for pair in causes if pair[1].gain >= SIMPLER_CAUSE_RATIO * most]
    return min(likely, key=lambda pair: pair[0])[1] if likely else None


class Candidate(NamedTuple):
    """A hypothesis of a camera error, the registration under it, and its descents, advanced by a few steps."""

    hypothesis: Hypothesis
    registration: RegistrationPipeline
    descents: list[Descent]


def _likely_camera_errors(search: CauseSearch, reference_evidence: float) -> list[Candidate]:
    """Return the hypotheses of camera errors that improve the fit most, after TRIED_STEPS iterations."""
    candidates = []
    for hypothesis in camera_hypotheses(search.known_views, search.shared):
        registration = search.registration(hypothesis.views, hypothesis.shared)
        no_correction = CameraCorrections(hypothesis.views, hypothesis.shared).none
        starts = [DescentStart(search.pose, corrections=no_correction)]
        if hypothesis.cause == "motion":
            starts += _starts_for_moved_view(hypothesis.views, search.single_view_poses)
        elif hypothesis.cause == "distance" and not hypothesis.view_names:
            starts.append(DescentStart(search.start, corrections=no_correction))
        descents = registration.descend(1, starts, TRIED_STEPS)
        if descents:
            candidates.append(Candidate(hypothesis, registration, descents))
        search.finish_stage()
    gains = [evidence_gain(candidate.descents[0], reference_evidence) for candidate in candidates]
    largest_gain = max(gains, default=0.0)
    if largest_gain < MIN_GAIN:
        return []
    min_gain = largest_gain**MIN_LOG_GAIN_FRACTION
    return [
        candidate
        for candidate, gain in zip(candidates, gains, strict=True)
        if gain >= min_gain and min(candidate.descents[0].fit.similarity) >= MIN_NCC - NCC_TOLERANCE
    ]


def _starts_for_moved_view(views: list[View], poses: dict[str, np.ndarray]) -> list[DescentStart]:
    """Return a start for each view but the last: its own pose, and the correction of the last view that gives that view the same pose."""
    *others, last = (poses.get(view.name) for view in views)
    starts = []
    for pose in others:
        if pose is not None and last is not None:
            motion = last @ rigid.inverse(pose)
            own = [*rigid.log_so3(motion[:3, :3]), *motion[:3, 3]]
            corrections = np.array([0.0] * OWN * len(others) + own + [0.0] * OWN)
            starts.append(DescentStart(pose, corrections=corrections))
    return starts


def _several_rounds(
    registration: RegistrationPipeline,
    starts: Sequence[DescentStart | Descent],
    rounds: int = ROUNDS,
) -> Descent | None:
    """Return the best minimum at the second resolution."""
    minima = registration.descend(1, starts)
    for _ in range(rounds - 1):
        if not minima:
            break
        before = minima[0].fit.evidence
        minima = registration.descend(1, prune(minima, *KEEP_AFTER_FINER)[0])
        if minima and minima[0].fit.evidence < SETTLED * before:
            break
    return minima[0] if minima else None


def _distance_change(hypothesis: Hypothesis, run: Descent) -> float:
    """Return the fraction by which the source-to-detector distance is estimated longer."""
    own = run.corrections[:-6].reshape(-1, OWN)
    shared = run.corrections[-6] / hypothesis.views[0].camera.focal_px
    return float(own[:, 6].sum() + shared)


def _camera_change(search: CauseSearch, hypothesis: Hypothesis, run: Descent) -> dict[str, Any]:
    """Return how the estimated camera differs from the stated one; empty if the difference is too small to explain the poor fit."""
    own = run.corrections[:-6].reshape(-1, OWN)
    last = hypothesis.views[-1]
    values: dict[str, Any] = {"corrected": last.name}
    if hypothesis.cause == "distance":
        change = _distance_change(hypothesis, run)
        stated = _stated(search, "distance_sd_percent") / 100
        values["change_percent"] = 100 * change
        values["geometry"] = "slot scan" if last.camera.is_slot_scan else "cone beam"
        return values if abs(change) >= max(MIN_DISTANCE_CHANGE, stated) else {}
    if hypothesis.cause == "principal point":
        column, row = (float(px) for px in own[-1, 7:9])
        stated = _stated(search, "principal_point_sd_px")
        values |= {"columns": column, "rows": row}
        is_moved = np.hypot(column, row) >= max(MIN_PRINCIPAL_POINT_MM / pixel_mm(last), stated)
        return values if is_moved else {}
    motion = rigid.turn_and_shift(own[-1, :3], own[-1, 3:6])
    there = rigid.transform_points(run.world_from_ct, search.anatomy.centroid)
    mm, degrees = rigid.pose_difference(motion, np.eye(4), there)
    values |= {
        "motion_mm": mm,
        "motion_deg": degrees,
        "body": "marker" if last.marker else "patient",
    }
    return values if degrees >= MIN_ROTATION_DEG or mm >= MIN_MOTION_MM else {}


def _stated(search: CauseSearch, key: str) -> float:
    """Return the largest plausible error of the cameras by the case."""
    return STATED_SDS * max(getattr(view, key) for view in search.known_views)
