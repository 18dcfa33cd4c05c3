"""The likely cause of a poor fit, found by testing what may be wrong with the case.

The case is registered under each hypothesis at the two coarsest resolutions: from the pose that was
found, from the start, and from the pose of each view alone (if one view is at fault, another one
still shows where the CT is). A hypothesis holds if all X-rays resemble the CT under it and the
evidence is clearly higher than without it.

The likeliest kinds go first. The work does not depend on the clock: the same case gives the same
cause on any computer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, groupby

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
from .cause import Cause, evidence_gain
from .faults import (
    FAULTS,
    MIN_EVIDENCE_GAIN,
    MIN_NCC,
    Hypothesis,
    KnownFault,
    camera_hypotheses,
    pixel_mm,
)
from .parts import shares_at

#: Around the start, where all images may be at fault and no view knows where the CT is.
START_SEARCH_BUDGET = SearchBudget(poses=128, max_poses=128, refined=2)
#: Steps after which half of a hypothesis counts as tested; 3 to 80 were seen.
STEPS_TO_HALF = 15
#: Stages besides the hypotheses: the poses of single views, corrected cameras, level and part.
OTHER_STAGES = 4


@dataclass(eq=False)
class CauseSearch:
    """The search for the likely cause of a poor fit, of a case that was registered.

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
    bones_found
        All of its bones that are shown are accepted, each at its own pose: they are of the right
        level, and no image is at fault but a mirrored one. Each can hide a part of what is wrong
        with a distance.
    """

    anatomy: PreparedCT
    views: Sequence[View]
    found: Refinement
    start: np.ndarray
    shared: SharedUnknowns = CALIBRATED
    progress: Report = unseen
    bones_found: bool = False
    _steps: int = field(default=0, init=False)
    _tested: int = field(default=0, init=False)
    #: Before the hypotheses are counted: more than there are.
    _count: int = field(default=200, init=False)

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
        stage = "searching for the cause of the poor fit"
        part = self._steps / (self._steps + STEPS_TO_HALF)
        done = (self._tested + part) / self._count
        return self.progress(Progress(done, stage, self.pose, self.found.fit.cost))

    def finish_stage(self) -> None:
        """Count a hypothesis, or another stage, as tested, for the reported progress."""
        self._tested += 1
        self._steps = 0

    @cached_property
    def alone(self) -> dict[str, np.ndarray]:
        """The (4, 4) pose of each view alone, by its name."""
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

    def cause(self, *, placed: bool = False) -> Cause | None:
        """Return the first cause that holds; None if no hypothesis explains the fit.

        Takes and raises what `causes` does.
        """
        return next((cause for cause in self.causes(placed=placed) if cause.holds), None)

    def causes(self, *, placed: bool = False) -> Iterator[Cause]:
        """Yield the likeliest cause of each kind, whether it holds or not.

        Of FAULTS by group, the cameras, the level, the part.

        Parameters
        ----------
        placed
            Most tiles of each X-ray are in place (`parts.carried_risk`): no image is at fault, and
            no other part of the CT is shown.

        Raises
        ------
        Cancelled
            `progress` returned False.
        """
        coarse = self.coarse(self.tied, [self.pose, self.start, *self.alone.values()])
        here = self.best_refined(self.tied, coarse)
        evidence = here.fit.evidence if here else 0.0
        least = coarse[0].fit.evidence if coarse else 0.0
        known = [row for row in FAULTS.values() if row.supposed and not (placed and row.of_image)]
        alike = here and min(here.fit.similarity) >= MIN_NCC
        if alike or self.bones_found:  # as no image but a mirrored one
            known = [row for row in known if row.group == 1]
        groups = [list(rows) for _, rows in groupby(known, lambda row: row.group)]
        signs = []
        by_places = []
        centroid = self.anatomy.centroid
        images = (row.supposed(self.tied, centroid) for row in chain(*groups) if row.supposed)
        cameras = camera_hypotheses(self.tied, self.shared)
        self._count = sum(1 for _ in chain(*images, cameras)) + OTHER_STAGES
        self.finish_stage()
        for group in groups:
            likeliest = self._of_images(group, least, evidence)
            if likeliest is None:
                continue
            if likeliest.in_place and likeliest.holds:  # by less than a likeness: others may, too
                by_places.append(likeliest)
            elif likeliest.cause == "angle sign":  # other faults of cameras may explain it better
                signs.append(likeliest)
                if likeliest.holds:
                    break
            else:
                yield likeliest
        if by_places:
            yield max(by_places, key=lambda cause: cause.gain)
        if cause := camera_cause(self, evidence, signs):
            yield cause
        self.finish_stage()
        if not self.bones_found:
            if here and (cause := other_level(self, here)):
                yield cause
            self.finish_stage()
            if not placed and (cause := other_part(self, evidence)):
                yield cause
        if cause := ct_too_short(self):
            yield cause

    def _of_images(self, group: list[KnownFault], least: float, evidence: float) -> Cause | None:
        """Return the likeliest of a group, if at the coarsest resolution it tells more than `least`, the evidence there as things are."""
        tried = []
        centroid = self.anatomy.centroid
        for each in chain(*(row.supposed(self.tied, centroid) for row in group if row.supposed)):
            unharmed = [
                pose for name, pose in self.alone.items() if each.about and name not in each.about
            ]
            poses = map(each.pose, (self.start, *unharmed))
            minima = self.coarse(each.views, [*poses], search=not unharmed)
            if minima and minima[0].fit.evidence > least:
                run = self.best_refined(each.views, minima)
                tried += [(run, each)] if run else []
            self.finish_stage()
        if not tried:
            return None
        run, each = max(tried, key=lambda pair: pair[0].fit.evidence)
        cause = Cause.of_run(each.cause, each.about, each.sentence, run, evidence)
        unlike = cause.gain >= MIN_EVIDENCE_GAIN and not cause.clear
        return replace(
            cause,
            in_place=self._in_place(each.views, run.world_from_ct) if unlike else (),
            world_from_ct=each.pose(cause.world_from_ct),
            corrected_from_ct=each.corrected_from_ct,
        )

    def _in_place(self, views: list[View], pose: np.ndarray) -> tuple[float, ...]:
        """Return the share of each view's tiles in place at the second resolution, 0 where unknown."""
        level = self.anatomy.levels(views, self.start)[1]
        return tuple(
            np.nan_to_num(shares_at(self.anatomy.objective(views, level, pose), pose)).tolist()
        )


#: Spacings of vertebrae, and how far from the CT's axis a shift by one may point; so many of them go
#: on after a few steps.
LEVELS_MM = (20.0, 30.0, 40.0)
ALONG = np.cos(np.radians(30))
LEVELS_TRIED = 2
#: A shift along the body of at least this is another level, if turned by no more.
LEAST_LEVEL_MM = 10.0
MOST_TURN_DEG = 10.0
#: How far along the body the start may be off, where the X-rays show another part of it than the
#: start says.
FAR_MM = (60.0, 90.0, 120.0, 150.0, 180.0)
#: Where more of a view's field than this sees beyond the cut ends of the CT, the CT is too short.
MOST_BEYOND = 0.5


def other_level(search: CauseSearch, here: Descent) -> Cause | None:
    """Return a pose shifted along the CT's long axis, by about a vertebra, that fits as well as `here`."""
    registration = search.registration(search.tied)
    minima: list[Descent] = []
    for mm in LEVELS_MM:
        ends = registration.descend(
            1, [DescentStart(_shifted(search.pose, side * mm)) for side in (1, -1)], TRIED_STEPS
        )
        minima = cluster_minima(minima, ends, search.anatomy.centroid)
    evidence = here.fit.evidence
    for run in registration.descend(1, minima[:LEVELS_TRIED]) if minima else ():
        length, along, degrees = _distance(search, run, search.pose)
        if length >= LEAST_LEVEL_MM and abs(along) >= ALONG * length and degrees <= MOST_TURN_DEG:
            better = evidence_gain(run, evidence) > MIN_EVIDENCE_GAIN
            return Cause.of_run(
                "level",
                (),
                f"The CT may be registered to the wrong vertebra\n: moved by {length:.0f} mm "
                f"towards the {_end(along)}, it fits {'better' if better else 'about as well'}. "
                "Count the levels.",
                run,
                evidence,
            )
    return None


def other_part(search: CauseSearch, evidence: float) -> Cause | None:
    """Return the best pose farther along the CT's long axis, from the start.

    Where nothing fits the answer may be turned any way.
    """
    length_mm = np.ptp(search.anatomy.corners()[:, 2])
    poses = [
        _shifted(search.start, side * mm) for mm in FAR_MM if mm < length_mm for side in (1, -1)
    ]
    run = search.best_refined(search.tied, search.coarse(search.tied, poses))
    if run is None:
        return None
    length, along, _ = _distance(search, run, search.start)
    if abs(along) < max(ALONG * length, FAR_MM[0] / 2):
        return None
    return Cause.of_run(
        "part",
        (),
        "The X-rays show another part of the CT than the start says\n: moved by "
        f"{length:.0f} mm towards the {_end(along)}, the CT fits. Check the start.",
        run,
        evidence,
    )


def ct_too_short(search: CauseSearch) -> Cause | None:
    """Return the view with the largest share beyond the cut ends of the CT, if that is most of it."""
    projector = search.anatomy.projector(search.anatomy.picture_level)
    beyond = {
        view.name: float(np.mean(projector.seen(view.camera, search.pose)[view.xray.valid] == 0))
        for view in search.tied
        if view.xray.valid.any()
    }
    name = max(beyond, key=beyond.__getitem__, default="")
    if not name or beyond[name] < MOST_BEYOND:
        return None
    return Cause(
        "short",
        (name,),
        f"The CT is too short, or {name} shows another part of the body\n: "
        f"{100 * beyond[name]:.0f} % of this X-ray lies beyond the ends of the CT.",
        1.0,
        tuple(search.found.fit.similarity),
        search.pose,
    )


def _distance(search: CauseSearch, run: Descent, pose: np.ndarray) -> tuple[float, float, float]:
    """Return the distance of a pose from another one (4, 4).

    Mm, mm along the CT's long axis towards the head, degrees.
    """
    centroid = search.anatomy.centroid
    mm, degrees = rigid.pose_difference(run.world_from_ct, pose, centroid)
    shift = rigid.transform_points(run.world_from_ct, centroid) - rigid.transform_points(
        pose, centroid
    )
    return mm, float(shift @ pose[:3, 2]), degrees


def _shifted(pose: np.ndarray, mm: float) -> np.ndarray:
    """Return a pose (4, 4) moved along the CT's long axis."""
    return rigid.translation(mm * pose[:3, 2]) @ pose


def _end(along: float) -> str:
    return "head" if along > 0 else "feet"


#: One unknown number that explains nearly as much as six is the likelier cause.
SIMPLER_CAUSE_RATIO = 0.97
#: A distance or an angle that comes out nearer to what was given was no fault.
LEAST_SHARE = 0.01
LEAST_DEG = 0.5
LEAST_MM = 1.5
#: Least deviation of a principal point, mm on the detector, and of stated standard deviations, that
#: counts as a fault.
LEAST_PRINCIPAL_POINT_MM = 1.5
STATED_SDS = 3.0
#: Rounds at the second resolution in which cameras are found, the last of them one by which the
#: evidence grows by less than this factor.
ROUNDS = 3
SETTLED = 1.002
#: All faults of cameras are tried by a few steps first. If the evidence has grown by LEAST_GAIN under
#: any, those go on under which it has grown by the largest such gain to the power of PROMISING, and
#: every X-ray's NCC lacks at most NEARLY of MIN_NCC.
LEAST_GAIN = 1.02
PROMISING = 0.5
NEARLY = 0.05


def camera_cause(search: CauseSearch, evidence: float, signs: Sequence[Cause]) -> Cause | None:
    """Return the likeliest fault of cameras.

    Of those that explain nearly as much as any, it is that with the fewest unknowns.

    Parameters
    ----------
    evidence
        Of the pose that was found.
    signs
        Causes of wrong signs of angles, which have no unknowns.
    """
    causes = [(0, cause) for cause in signs]
    slot_scans = any(view.camera.is_slot_scan for view in search.tied)
    for each, registration, minima in _promising(search, evidence):
        best = _several_rounds(registration, minima)
        if best is None:
            continue
        if words := _camera_in_words(search, each, best):
            cause = Cause.of_run(
                each.cause,
                each.about,
                f"{each.sentence} {words}. {each.advice}".strip(),
                best,
                evidence,
            )
            unknowns = len(CameraCorrections(each.views, each.shared).free)
            if each.cause == "distance" and not each.about and not slot_scans:
                cause = replace(cause, size_share=_distance_share(each, best))
            causes.append((unknowns, cause))
    most = max((cause.gain for _, cause in causes), default=0.0)
    likely = [pair for pair in causes if pair[1].gain >= SIMPLER_CAUSE_RATIO * most]
    return min(likely, key=lambda pair: pair[0])[1] if likely else None


def _promising(
    search: CauseSearch, evidence: float
) -> list[tuple[Hypothesis, RegistrationPipeline, list[Descent]]]:
    """Return the faults of cameras that may be the cause, with where a few steps lead."""
    tried = []
    for each in camera_hypotheses(search.tied, search.shared):
        registration = search.registration(each.views, each.shared)
        nothing = CameraCorrections(each.views, each.shared).none
        starts = [DescentStart(search.pose, corrections=nothing)]
        if each.cause == "motion":
            starts += _where_each_view_has_it(each.views, search.alone)
        elif each.cause == "distance" and not each.about:
            starts.append(DescentStart(search.start, corrections=nothing))
        minima = registration.descend(1, starts, TRIED_STEPS)
        if minima:
            tried.append((each, registration, minima))
        search.finish_stage()
    most = max((evidence_gain(minima[0], evidence) for *_, minima in tried), default=0.0)
    if most < LEAST_GAIN:
        return []
    return [
        kept
        for kept in tried
        if evidence_gain(kept[2][0], evidence) >= most**PROMISING
        and min(kept[2][0].fit.similarity) >= MIN_NCC - NEARLY
    ]


def _where_each_view_has_it(views: list[View], alone: dict[str, np.ndarray]) -> list[DescentStart]:
    """Return the pose of each other view alone, with the corrections that give the last view the same pose."""
    *others, last = (alone.get(view.name) for view in views)
    starts = []
    for pose in others:
        if pose is not None and last is not None:
            motion = last @ rigid.inverse(pose)
            own = [*rigid.log_so3(motion[:3, :3]), *motion[:3, 3]]
            starts.append(
                DescentStart(
                    pose, corrections=np.array([0.0] * OWN * len(others) + own + [0.0] * OWN)
                )
            )
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


def _distance_share(each: Hypothesis, run: Descent) -> float:
    """Return by what share a distance from source to detector comes out longer."""
    own = run.corrections[:-6].reshape(-1, OWN)
    return float(own[:, 6].sum() + run.corrections[-6] / each.views[0].camera.focal_px)


def _camera_in_words(search: CauseSearch, each: Hypothesis, run: Descent) -> str:
    """Describe how the cameras differ from the given ones.

    "" if by too little to be the cause.
    """
    own = run.corrections[:-6].reshape(-1, OWN)
    if each.cause == "distance":
        share = _distance_share(each, run)
        if abs(share) < max(LEAST_SHARE, _stated(search, "distance_sd_percent") / 100):
            return ""
        return f"{100 * abs(share):.1f} % {'longer' if share > 0 else 'shorter'}, the X-rays fit"
    if each.cause == "principal point":
        column, row = own[-1, 7:9]
        if np.hypot(column, row) < max(
            LEAST_PRINCIPAL_POINT_MM / pixel_mm(each.views[-1]),
            _stated(search, "principal_point_sd_px"),
        ):
            return ""
        return f"moved by {column:.0f} columns and {row:.0f} rows, the X-rays fit"
    motion = rigid.turn_and_shift(own[-1, :3], own[-1, 3:6])
    there = rigid.transform_points(run.world_from_ct, search.anatomy.centroid)
    mm, degrees = rigid.pose_difference(motion, np.eye(4), there)
    if degrees < LEAST_DEG and mm < LEAST_MM:
        return ""
    return f"with the CT {mm:.1f} mm and {degrees:.1f} degrees elsewhere in it, the X-rays fit"


def _stated(search: CauseSearch, key: str) -> float:
    """Return how far off the case says that the cameras may be."""
    return STATED_SDS * max(getattr(view, key) for view in search.tied)
