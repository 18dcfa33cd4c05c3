"""The likely cause of a poor fit, found by testing what may be wrong with the case.

The case is registered under each hypothesis at the two coarsest resolutions: from the pose that was found, from the start, and from the
pose of each view alone (if one view is at fault, another one still shows where the CT is). A hypothesis holds if all X-rays resemble the
CT under it and the evidence is clearly higher than without it.

This takes longer than a quick registration, so the likeliest kinds go first, and the caller may limit the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np

from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from ..registration import schedule
from ..registration.cameras import CALIBRATED, uncalibrated_view_indices
from ..registration.optimizer import Descent, DescentStart, cluster_minima
from ..registration.pipeline import Progress, Refinement, RegistrationPipeline, prune
from ..registration.prepared_ct import PreparedCT
from .hypotheses import Hypothesis, geometries, hypotheses

#: A cause holds if the evidence grows by this factor and the least similar view has this local NCC at the second resolution.
#: Measured by Testing/benchmarks/fault_runs.py, see docs/trust.md.
CLEARER, SIMILAR = 1.2, 0.7
#: One unknown number that explains nearly as much as six is the likelier cause.
NEARLY = 0.97
#: A distance or an angle that comes out nearer to what was given was no fault.
LEAST_SHARE, LEAST_DEG, LEAST_MM = 0.01, 0.5, 1.5
#: Of images, in which order they are tried, the likeliest first. Of what the same symmetry makes alike the best is named.
KINDS = (("mirrored",), ("inverted",), ("swapped",), ("upside down", "turned 180"), ("turned 90", "turned 270"))
#: Around the start, where all images may be at fault and no view knows where the CT is.
LOOK = schedule.SearchBudget(poses=128, max_poses=128, refined=2)
#: Rounds at the second resolution in which cameras are found.
ROUNDS = 3
#: Spacings of vertebrae, and how far from the CT's axis a shift by one may point.
LEVELS_MM, ALONG = (20.0, 30.0, 40.0), np.cos(np.radians(30))
#: How far along the body the start may be off, where the X-rays show another part of it than the start says.
FAR_MM = (60.0, 90.0, 120.0, 150.0, 180.0)
#: Where more of a view's field than this sees beyond the cut ends of the CT, the CT is too short.
MOST_BEYOND = 0.5
#: A shift along the body of at least this is another level, if turned by no more; its evidence at least this share of the pose's own.
LEAST_LEVEL_MM, MOST_TURN_DEG, AS_GOOD = 10.0, 10.0, 0.85


@dataclass(frozen=True, eq=False)
class Cause:
    """The likely cause of a poor fit.

    Attributes
    ----------
    cause
        "mirrored", "upside down", "turned 90", "turned 180", "turned 270", "inverted", "swapped", "distance", "angle", "level", "part" (the
        X-rays show another part of the CT than the start says) or "short" (a view shows mostly what the CT does not hold).
    views
        Names of the views at fault; none for all.
    sentence
        The cause, and what to check.
    gain
        The factor by which the evidence grows.
    similarity
        Of each view when corrected, at the second resolution.
    world_from_ct
        (4, 4) pose when corrected, at that resolution.
    moved_mm
        How far correcting the cause moves the targets.
    """

    cause: str
    views: tuple[str, ...]
    sentence: str
    gain: float
    similarity: tuple[float, ...]
    world_from_ct: np.ndarray
    moved_mm: float = 0.0

    @property
    def reason(self) -> str:
        """The sentence, with how far correcting the cause moves the CT."""
        if self.cause in ("level", "part", "short") or not self.moved_mm:
            return self.sentence
        return (
            f"{self.sentence} Correcting this moves the CT by {self.moved_mm:.{0 if self.moved_mm >= 10 else 1}f} mm."
        )

    @property
    def holds(self) -> bool:
        """Whether it explains the poor fit. A CT that is too short explains it without a test."""
        if self.cause == "short":
            return True
        enough = AS_GOOD if self.cause == "level" else CLEARER
        return self.gain >= enough and min(self.similarity) >= SIMILAR

    def to_json(self) -> dict:
        """`diagnosis` of a result.json."""
        return {
            "cause": self.cause,
            "views": list(self.views),
            "evidence_gain": self.gain,
            "similarity": list(self.similarity),
            "world_from_ct": self.world_from_ct.tolist(),
            "moved_mm": self.moved_mm,
        }


class OutOfTime(Exception):
    """The time ran out before every hypothesis was tested."""


def diagnose(
    anatomy: PreparedCT,
    views: Sequence[View],
    found: Refinement,
    start: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
    progress: Callable[[Progress], object] = lambda _: None,
    seconds: float = np.inf,
) -> Cause | None:
    """The likely cause of a poor fit; None if no hypothesis explains it.

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
    seconds
        Time limit.

    Raises
    ------
    OutOfTime
        The time is over and no cause has been found.
    Cancelled
        `progress` returned False.
    """
    causes = candidate_causes(anatomy, views, found, start, shared, progress, seconds)
    return next((cause for cause in causes if cause.holds), None)


def candidate_causes(
    anatomy: PreparedCT,
    views: Sequence[View],
    found: Refinement,
    start: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
    progress: Callable[[Progress], object] = lambda _: None,
    seconds: float = np.inf,
) -> Iterator[Cause]:
    """The likeliest cause of each kind, whether it holds or not: of the images (KINDS), the cameras, the level. Arguments as `diagnose`."""
    alone = uncalibrated_view_indices(views, shared)
    tied = [view for i, view in enumerate(views) if i not in alone]
    return _Diagnosis(anatomy, tied, found, start, shared, progress, perf_counter() + seconds).causes()


class _Diagnosis:
    def __init__(
        self,
        anatomy: PreparedCT,
        views: list[View],
        found: Refinement,
        start: np.ndarray,
        shared: SharedUnknowns,
        progress: Callable[[Progress], object],
        until: float,
    ) -> None:
        self._anatomy, self._views, self._start, self._shared = anatomy, views, start, shared
        self._pose, self._until = found.world_from_ct, until
        self._similarity = found.fit.similarity
        self._last, self._longest = perf_counter(), 0.0
        self._progress = lambda: progress(
            Progress(1.0, "searching for the cause of the poor fit", self._pose, found.fit.cost)
        )

    def _report(self, _: Progress) -> object:
        """Stops if a piece of work twice as long as the longest so far would not end in time."""
        now = perf_counter()
        self._longest, self._last = max(self._longest, now - self._last), now
        if now + 2 * self._longest > self._until:
            raise OutOfTime
        return self._progress()

    def causes(self) -> Iterator[Cause]:
        if self._last > self._until:
            raise OutOfTime
        alone = self._alone()
        poses = [self._pose, self._start, *alone.values()]
        coarse = self._coarse(self._views, poses)
        here = best(self._refined(self._views, coarse))
        evidence = here.fit.evidence if here else 0.0
        asked: list[Callable[[], Cause | None]] = []
        if here is None or min(here.fit.similarity) < SIMILAR:  # a turned image resembles no CT
            least = coarse[0].fit.evidence if coarse else 0.0
            every = list(hypotheses(self._views))
            asked += [
                partial(self._of_images, [each for each in every if each.cause in kinds], alone, least, evidence)
                for kinds in KINDS
            ]
        asked.append(partial(self._of_cameras, alone, evidence))
        if here:
            asked.append(partial(self._other_level, here))
        asked += [partial(self._other_part, evidence), self._short]
        for ask in asked:
            cause = ask()
            if cause:
                yield cause

    def _registration(self, views: list[View], shared: SharedUnknowns) -> RegistrationPipeline:
        return RegistrationPipeline(self._anatomy, views, self._start, self._report, shared)

    def _alone(self) -> dict[str, np.ndarray]:
        """The pose of each view alone, by its name."""
        if len(self._views) < 2:
            return {}
        runs = {view.name: best(self._coarse([view], [self._pose, self._start])) for view in self._views}
        return {name: run.world_from_ct for name, run in runs.items() if run}

    def _coarse(self, views: list[View], poses: list[np.ndarray], look: bool = False) -> list[Descent]:
        registration = self._registration(views, CALIBRATED)
        answers = registration.descend(0, [DescentStart(pose) for pose in poses])
        if look:
            answers = registration.merge(answers, registration.search(0, self._start, schedule.LOCAL_RANGE, LOOK)[0])
        return answers

    def _refined(self, views: list[View], answers: list[Descent]) -> list[Descent]:
        return (
            self._registration(views, CALIBRATED).descend(1, prune(answers, *schedule.KEEP_AFTER_FINER)[0])
            if answers
            else []
        )

    def _of_images(
        self, group: list[Hypothesis], alone: dict[str, np.ndarray], least: float, evidence: float
    ) -> Cause | None:
        """The likeliest of a group, if at the coarsest resolution it tells more than `least`, the evidence there as things are."""
        tried = []
        for each in group:
            unharmed = [pose for name, pose in alone.items() if each.about and name not in each.about]
            tried.append((self._coarse(each.views, [self._start, *unharmed], look=not unharmed), each))
        tried = [(answers, each) for answers, each in tried if answers and answers[0].fit.evidence > least]
        runs = [(best(self._refined(each.views, answers)), each) for answers, each in tried]
        runs = [(run, each) for run, each in runs if run]
        if not runs:
            return None
        run, each = max(runs, key=lambda pair: pair[0].fit.evidence)
        return Cause(each.cause, each.about, each.sentence, _gain(run, evidence), run.fit.similarity, run.world_from_ct)

    def _of_cameras(self, alone: dict[str, np.ndarray], evidence: float) -> Cause | None:
        if self._shared != CALIBRATED or any(
            view.rotation_sd_deg or view.translation_sd_mm for view in self._views[1:]
        ):
            return None  # they were looked for already
        runs: list[tuple[Descent, Hypothesis]] = []
        for each in geometries(self._views):
            registration = self._registration(each.views, each.shared)
            poses = [self._pose] if each.cause == "angle" else [self._pose, self._start]
            begun = [(pose, np.zeros(6 * len(each.views) + 6)) for pose in poses]
            if each.cause == "angle":
                begun += _where_each_has_it(each.views, alone)
            answers = registration.descend(1, [DescentStart(pose, corrections=own) for pose, own in begun])
            for _ in range(ROUNDS - 1):
                answers = registration.descend(1, prune(answers, *schedule.KEEP_AFTER_FINER)[0]) if answers else []
            if answers:
                runs.append((answers[0], each))
        if not runs:
            return None
        most = max(run.fit.evidence for run, _ in runs)
        run, each = next((run, each) for run, each in runs if run.fit.evidence >= NEARLY * most)
        words = _camera_in_words(each, run)
        if not words:
            return None
        sentence = each.sentence.format(found=words)
        return Cause(each.cause, each.about, sentence, _gain(run, evidence), run.fit.similarity, run.world_from_ct)

    def _other_level(self, here: Descent) -> Cause | None:
        """A pose shifted along the CT's long axis, by about a vertebra, that fits as well."""
        axis = self._pose[:3, 2]
        registration, answers = self._registration(self._views, CALIBRATED), []
        for mm in LEVELS_MM:
            poses = [rigid.from_rotation_translation(np.eye(3), side * mm * axis) @ self._pose for side in (1, -1)]
            runs = registration.descend(1, [DescentStart(pose) for pose in poses])
            answers = cluster_minima(answers, runs, self._anatomy.centroid)
        for run in answers:
            length, along, turned = self._away(run, self._pose)
            gain = _gain(run, here.fit.evidence)
            if length >= LEAST_LEVEL_MM and abs(along) >= ALONG * length and turned <= MOST_TURN_DEG:
                fits = "better" if gain > CLEARER else "about as well"
                sentence = (
                    f"The CT may be registered to the wrong vertebra: moved by {length:.0f} mm towards the {_end(along)}, it fits "
                    f"{fits}. Count the levels."
                )
                return Cause("level", (), sentence, gain, run.fit.similarity, run.world_from_ct)
        return None

    def _other_part(self, evidence: float) -> Cause | None:
        """The best pose farther along the CT's long axis, from the start: where nothing fits the answer may be turned any way."""
        ends = self._anatomy.corners()[:, 2]
        shifts = [side * mm for mm in FAR_MM if mm < np.ptp(ends) for side in (1, -1)]
        poses = [rigid.from_rotation_translation(np.eye(3), mm * self._start[:3, 2]) @ self._start for mm in shifts]
        run = best(self._refined(self._views, self._coarse(self._views, poses)))
        if run is None:
            return None
        length, along, _ = self._away(run, self._start)
        if abs(along) < max(ALONG * length, FAR_MM[0] / 2):
            return None
        sentence = (
            f"The X-rays show another part of the CT than the start says: moved by {length:.0f} mm towards the {_end(along)}, the "
            "CT fits. Check the start."
        )
        return Cause("part", (), sentence, _gain(run, evidence), run.fit.similarity, run.world_from_ct)

    def _short(self) -> Cause | None:
        """The view with the largest share beyond the cut ends of the CT, if that is most of it."""
        beyond = [
            float(np.mean(self._anatomy.projector(0).seen(view.camera, self._pose)[view.xray.valid] == 0))
            if view.xray.valid.any()
            else 0.0
            for view in self._views
        ]
        view, share = self._views[int(np.argmax(beyond))].name, max(beyond)
        if share < MOST_BEYOND:
            return None
        sentence = (
            f"The CT is too short, or {view} shows another part of the body: {100 * share:.0f} % of this X-ray lies beyond the "
            "ends of the CT."
        )
        return Cause("short", (view,), sentence, 1.0, tuple(self._similarity), self._pose)

    def _away(self, run: Descent, pose: np.ndarray) -> tuple[float, float, float]:
        """Distance of a pose from another one (4, 4): mm, mm along the CT's long axis towards the head, degrees."""
        centres = [rigid.transform_points(each, self._anatomy.centroid) for each in (run.world_from_ct, pose)]
        pose_difference = centres[0] - centres[1]
        turned = float(np.degrees(rigid.rotation_distance(run.world_from_ct, pose)))
        return float(np.linalg.norm(pose_difference)), float(pose_difference @ pose[:3, 2]), turned


def _end(along: float) -> str:
    return "head" if along > 0 else "feet"


def best(answers: list[Descent]) -> Descent | None:
    """That with the most evidence."""
    return answers[0] if answers else None


def _where_each_has_it(views: list[View], alone: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pose of each other view alone, with the corrections that give the last view the same pose."""
    last = alone.get(views[-1].name)
    begun = []
    for view in views[:-1] if last is not None else ():
        if view.name in alone:
            motion = last @ rigid.inverse(alone[view.name])
            own = np.concatenate([rigid.log_so3(motion[:3, :3]), motion[:3, 3]])
            begun.append((alone[view.name], np.concatenate([np.zeros(6 * (len(views) - 1)), own, np.zeros(6)])))
    return begun


def _gain(run: Descent, evidence: float) -> float:
    return run.fit.evidence / max(evidence, 1e-9)


def _camera_in_words(each: Hypothesis, run: Descent) -> str:
    """How the camera differs from the given one; "" if hardly."""
    if each.cause == "distance":
        share = run.corrections[-6] / each.views[0].camera.intrinsics[1, 1]
        longer = "longer" if share > 0 else "shorter"
        return f"{100 * abs(share):.1f} % {longer}, the X-rays fit" if abs(share) >= LEAST_SHARE else ""
    own = run.corrections[6 * (len(each.views) - 1) :][:6]
    turn, shift = float(np.degrees(np.linalg.norm(own[:3]))), float(np.linalg.norm(own[3:]))
    if turn < LEAST_DEG and shift < LEAST_MM:
        return ""
    return "refined with the pose, the X-rays fit. Check its geometry, and whether the patient moved between the X-rays"
