"""From a start pose, or none, to the registered pose: a search at a coarse resolution, then the joint refinement over all views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from ..errors import Cancelled, InputError
from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from . import schedule
from .cameras import CALIBRATED, CameraCorrections
from .objective import EvaluationPoint, PoseFit, outliers
from .optimizer import Step
from .prepared_ct import PreparedCT, warm_up
from .schedule import Range
from .search import Descent, LocalMinimum, SearchResult, cluster_minima, descend, distance, search

#: Room about the projection of a structure in which the X-rays are compared with it.
MARGIN_MM = 15.0
#: Nearer to the answer than this, what was left behind at a coarse level is no other answer.
DISTINCT_MM = 6.0
#: Nearer to it than this, a start can lead nowhere else.
SAME_START_MM = 0.5


#: A pose that was left behind, and how many times its evidence the best there had, see `AlternativeSolution`.
Pruned = tuple[np.ndarray, float]


@dataclass(frozen=True)
class Progress:
    """Where a registration stands: the fraction of the whole that is done, what it does, and the pose it has come to."""

    fraction: float
    stage: str
    world_from_ct: np.ndarray
    cost: float

    def __str__(self) -> str:
        return f"{100 * self.fraction:3.0f} %  {self.stage}, cost {self.cost:.4f}"


@dataclass(frozen=True)
class LevelTrace:
    """The steps that were accepted at one resolution."""

    name: str
    steps: list[Step]


@dataclass(frozen=True)
class AlternativeSolution:
    """The best of the other answers.

    evidence_ratio: how many times its evidence (`PoseFit.evidence`) the answer has, at the finest resolution that compared
    both: near 1,
    the two cannot be told apart.
    distance_mm, rotation_deg: from the answer, between the centres of the anatomy and about it.
    """

    world_from_ct: np.ndarray
    evidence_ratio: float
    distance_mm: float
    rotation_deg: float


@dataclass(frozen=True)
class Refinement:
    """The registered pose, the fit there, and how it was reached.

    candidates: how many poses were scored.   refined: how many of them were refined at the coarsest level.
    alternative: the next different answer, None where all that was refined led to one.
    search_seconds: seconds spent at the coarsest level, looking for candidates.
    selected_start: which of several starts led here, the first of them; None where none did. See `starts.refine_from`.
    views: with their cameras as they were corrected.   shared: (6,) the corrections that all views share, see `CameraCorrections`.
    world_from_background: (4, 4) where the rest of the CT lies before which a structure was registered, see `structure`; None without it.
    """

    world_from_ct: np.ndarray
    fit: PoseFit
    levels: list[LevelTrace]
    views: list[View]
    shared: np.ndarray
    candidates: int = 1
    refined: int = 1
    alternative: AlternativeSolution | None = None
    search_seconds: float = 0.0
    selected_start: int | None = None
    world_from_background: np.ndarray | None = None


def refine(
    anatomy: PreparedCT,
    views: list[View],
    world_from_ct: np.ndarray,
    progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
) -> Refinement:
    """Register a CT to views from a start pose, all views sharing the one pose; cameras are corrected within their uncertainty.

    A start far off can slide away, and a bone among others has near minima all along its shaft: so the surroundings
    of the start are searched,
    too; of a body that then looks unlike an X-ray, more of them. The same input gives the same result on any number of threads.

    Parameters
    ----------
    world_from_ct : (4, 4) rigid, mm.
    progress : called as the pose gets better; `Cancelled` is raised where it returns False.
    shared : what is unknown and the same in all views.

    Raises
    ------
    InputError
        Where the views show too little of the CT.
    """
    if anatomy.structure:
        reach, budget = schedule.STRUCTURE_LOCAL_RANGE, schedule.STRUCTURE_LOCAL_BUDGET
    else:
        reach, budget = schedule.LOCAL_RANGE, schedule.LOCAL_BUDGET
    refinement = RegistrationPipeline(anatomy, views, world_from_ct, progress, shared).run(
        reach, budget, with_start=True
    )
    if refinement is None:
        raise InputError(
            "world_from_ct: from this start pose the X-rays show too little of the CT, expected a start "
            "at which they show most of it; correct the start or the geometry of the views."
        )
    return refinement


def refine_anywhere(
    anatomy: PreparedCT,
    views: list[View],
    world_from_ct: np.ndarray,
    reach: Range,
    progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
    *,
    seed: int = 0,
    budget: schedule.SearchBudget | None = None,
) -> Refinement:
    """Register a CT to views when all that is known is that its pose lies within `reach` of `world_from_ct`.

    Parameters
    ----------
    world_from_ct : (4, 4) rigid, mm, the middle of the range.
    progress, shared : as in `refine`.
    seed : of the quasi-random poses; the same seed gives the same result.
    budget : by default what the range needs.

    Raises
    ------
    InputError
        Where no pose within the range shows enough of the CT.
    """
    registration = RegistrationPipeline(anatomy, views, world_from_ct, progress, shared, seed=seed)
    blind = [
        view.name for view in views if not reach.shown(view.camera, world_from_ct, anatomy.centroid, anatomy.corners())
    ]
    refinement = (
        None if blind else registration.run(reach, budget or schedule.search_budget(reach, structure=anatomy.structure))
    )
    if refinement is None:
        raise InputError(
            f"search: at no pose within {reach.rotation_deg:g} degrees and {reach.translation_mm:g} mm of its centre does "
            f"{', '.join(blind) or 'any view'} show enough of the CT, expected a range that holds its pose; correct the centre "
            "(world_from_ct), the range, or the geometry of the views."
        )
    return refinement


class RegistrationPipeline:
    """One registration, from the search at the coarsest level to the finest.

    At the coarsest level cameras count as exact: what encoders are off by, and more, hardly shows there.

    Parameters
    ----------
    world_from_ct : (4, 4), about where the CT is: the resolutions follow from its distance there.
    """

    def __init__(
        self,
        anatomy: PreparedCT,
        views: list[View],
        world_from_ct: np.ndarray,
        progress: Callable[[Progress], object],
        shared: SharedUnknowns,
        *,
        seed: int = 0,
    ) -> None:
        warm_up()  # before threads would compile them at the same time
        self.anatomy, self._views, self._centre = anatomy, views, world_from_ct
        self._levels = anatomy.levels(views, world_from_ct)
        self._unknowns = CameraCorrections(views, shared)
        self._progress, self._seed = progress, seed
        self._search_seconds, self._n_scored, self._n_refined, self._done = 0.0, 0, 0, 0.0

    def run(self, reach: Range, budget: schedule.SearchBudget, *, with_start: bool = False) -> Refinement | None:
        """The best answer within a range at the finest level, None if there is none.

        with_start: whether the pose in the middle is refined, too; then a body that looks unlike an X-ray is looked for farther about it.
        """
        minima, pruned, traces = self._search_coarsest(reach, budget, with_start=with_start)
        if (
            with_start
            and not self.anatomy.structure
            and not (minima and minima[0].descent.fit.min_similarity >= schedule.MIN_PLAUSIBLE_NCC)
        ):
            more, dropped, _ = self._search_coarsest(
                schedule.FALLBACK_RANGE, schedule.search_budget(schedule.FALLBACK_RANGE, structure=False)
            )
            minima, pruned = (
                cluster_minima(minima, [minimum.descent for minimum in more], self.anatomy.centroid),
                pruned + dropped,
            )
        return self.refine_to_finest(minima, pruned, traces, [self._centre] if with_start else [])

    def _search_coarsest(
        self, reach: Range, budget: schedule.SearchBudget, *, with_start: bool = False
    ) -> tuple[list[LocalMinimum], list[Pruned], list[LevelTrace]]:
        """The second level's answers within a range, and what was left behind at the coarsest."""
        found = self.search(0, self._centre, reach, budget, with_start=with_start)
        kept, pruned = prune(found.minima, *schedule.KEEP_AFTER_COARSEST)
        minima = self.refine_level(1, kept)
        if not (found.converged and is_plausible(minima)):
            minima = self.search_second_level(minima, self._centre, reach, with_start=with_start)
        return minima, pruned, [LevelTrace(self._level_name(0), found.minima[0].descent.steps if found.minima else [])]

    def refine_to_finest(
        self,
        minima: list[LocalMinimum],
        pruned: list[Pruned],
        traces: list[LevelTrace],
        near: Sequence[np.ndarray] = (),
    ) -> Refinement | None:
        """The best of the second level's answers, refined on. Others go along as long as they are nearly as good.

        near: (4, 4) each, poses that may be right already, so that coarse levels can only lead away from them.
        """
        if minima:
            traces = [*traces, LevelTrace(self._level_name(1), minima[0].descent.steps)]
        for number in range(2, len(self._levels)):
            kept, dropped = prune(minima, *schedule.KEEP_AFTER_FINER)
            pruned = pruned + dropped
            minima = self.refine_level(number, kept)
            traces = [*traces, LevelTrace(self._level_name(number), minima[0].descent.steps if minima else [])]
        if not minima:
            return None
        if not is_plausible(minima):
            minima = self._compare_with_starts(minima, near)
            if undisturbed := self._without_outliers(minima[0].descent):
                minima[0].descent = undisturbed
                traces = [*traces, LevelTrace(f"{self._level_name(-1)}, outliers left out", undisturbed.steps)]
        best = minima[0].descent
        rival = self._alternative(best.world_from_ct, pruned + prune(minima, 0.0, 1)[1])
        cameras = self._unknowns.cameras(best.corrections, [view.camera for view in self._views])
        corrected = [replace(view, camera=camera) for view, camera in zip(self._views, cameras, strict=True)]
        return Refinement(
            best.world_from_ct,
            best.fit,
            traces,
            corrected,
            best.corrections[-6:],
            self._n_scored,
            self._n_refined,
            rival,
            self._search_seconds,
            min(best.origins, default=None),
        )

    def search(
        self, number: int, centre: np.ndarray, reach: Range, budget: schedule.SearchBudget, *, with_start: bool = False
    ) -> SearchResult:
        """The distinct minima of a level within a range about a pose, the coarsest being number 0."""
        began = perf_counter()
        level, margin_mm = self._levels[number], MARGIN_MM + reach.translation_mm
        objective = self.anatomy.objective(self._views, level, centre, margin_mm)
        scorer = self.anatomy.scorer(self._views, level, centre, margin_mm)
        found = search(
            objective,
            scorer,
            level,
            self.anatomy.centroid,
            centre,
            reach,
            budget,
            with_start=with_start,
            seed=self._seed,
            report=partial(self._report, number, f"searching at {self._level_name(number)}"),
        )
        self._search_seconds += perf_counter() - began
        self._n_scored, self._n_refined = self._n_scored + found.scored, self._n_refined + found.refined
        return found

    def search_second_level(
        self, minima: list[LocalMinimum], centre: np.ndarray, reach: Range, *, with_start: bool = False
    ) -> list[LocalMinimum]:
        """The second level's answers with those that a search there finds; a structure's own windows need none."""
        if self.anatomy.structure:
            return minima
        found = self.search(1, centre, reach, schedule.SECOND_LEVEL_BUDGET, with_start=with_start)
        return cluster_minima(minima, [minimum.descent for minimum in found.minima], self.anatomy.centroid)

    def refine_level(self, number: int, started: list[LocalMinimum]) -> list[LocalMinimum]:
        """The answers to which those of the level before lead at a level."""
        descents = [minimum.descent for minimum in started]
        return self.descend_from(
            number,
            [descent.world_from_ct for descent in descents],
            [descent.origins for descent in descents],
            [descent.corrections for descent in descents],
        )

    def descend_from(
        self,
        number: int,
        poses: Sequence[np.ndarray],
        origins: list[frozenset[int]] | None = None,
        corrections: list[np.ndarray] | None = None,
    ) -> list[LocalMinimum]:
        """The answers of a level to which poses lead; cameras as given at first, unless there are corrections of them already."""
        if not len(poses):
            return []
        level, centroid = self._levels[number], self.anatomy.centroid
        apart = max(distance(pose, poses[0], centroid) for pose in poses)
        objective = self.anatomy.objective(self._views, level, poses[0], MARGIN_MM + apart)
        name, steps = self._level_name(number), 0

        def on_step(step: Step) -> None:
            nonlocal steps
            steps += 1
            self._report(number, f"refining at {name}", steps / (level.iterations + 1), step.world_from_ct, step.cost)

        unknowns = self._unknowns if number else None
        minima = cluster_minima(
            [], descend(objective, level, poses, centroid, on_step, unknowns, corrections, origins), centroid
        )
        if len(poses) > 1 and minima:
            self._report(
                number, f"refining at {name}", 1.0, minima[0].descent.world_from_ct, minima[0].descent.fit.cost
            )
        return minima

    def _compare_with_starts(self, minima: list[LocalMinimum], near: Sequence[np.ndarray]) -> list[LocalMinimum]:
        """The finest level's answers, and the one to which `near` leads from there, or from the level before, if it has more evidence:
        metal misleads most where a window holds much of the image."""
        last, centroid, best = len(self._levels) - 1, self.anatomy.centroid, minima[0].descent
        other = [n for n, pose in enumerate(near) if distance(pose, best.world_from_ct, centroid) > SAME_START_MM]
        poses, origins = [near[n] for n in other], [frozenset([n]) for n in other]
        direct = [
            *self.descend_from(last, poses, origins),
            *self.refine_level(last, self.descend_from(last - 1, poses, origins)),
        ]
        return cluster_minima(
            minima,
            [minimum.descent for minimum in direct if minimum.descent.fit.evidence > best.fit.evidence],
            centroid,
        )

    def _without_outliers(self, descent: Descent) -> Descent | None:
        """Where the finest level leads on from its answer without what the CT does not hold, with the fit of all pixels there; None where
        there is no such thing, or no telling: a structure by itself shows little but what others overlie.
        """
        if self.anatomy.structure and self.anatomy.world_from_background is None:
            return None
        level = self._levels[-1]
        objective = self.anatomy.objective(self._views, level, descent.world_from_ct, MARGIN_MM)

        def point_of(descent: Descent) -> EvaluationPoint:
            cameras = self._unknowns.cameras(descent.corrections, [view.camera for view in objective.views])
            return EvaluationPoint(descent.world_from_ct, cameras, self._unknowns.intrinsics)

        projections = objective.project(*point_of(descent)[:2])
        objective.linearise(projections)
        left_out = outliers(objective, projections)
        if left_out is None:
            return None
        descents = descend(
            objective.excluding(left_out),
            level,
            [descent.world_from_ct],
            self.anatomy.centroid,
            unknowns=self._unknowns,
            corrections=[descent.corrections],
            origins=[descent.origins],
        )
        return replace(descents[0], fit=objective.evaluate(point_of(descents[0])).linearise()) if descents else None

    def _alternative(self, best: np.ndarray, pruned: list[Pruned]) -> AlternativeSolution | None:
        """The rival with the least gap that is still another answer than the best."""
        others = [(gap, pose) for pose, gap in pruned if distance(pose, best, self.anatomy.centroid) > DISTINCT_MM]
        if not others:
            return None
        gap, pose = min(others, key=lambda other: other[0])
        return AlternativeSolution(pose, gap, *pose_difference(pose, best, self.anatomy.centroid))

    def _level_name(self, number: int) -> str:
        columns, rows = self._views[0].camera.size
        pool = self._levels[number].pool
        return f"{columns // pool} x {rows // pool} px"

    def _report(self, number: int, stage: str, share: float, world_from_ct: np.ndarray, cost: float) -> None:
        self._done = max(self._done, (number + share) / len(self._levels))  # a second search goes back
        if self._progress(Progress(self._done, stage, world_from_ct, cost)) is False:
            raise Cancelled


def pose_difference(pose: np.ndarray, other: np.ndarray, centroid: np.ndarray) -> tuple[float, float]:
    """Distance between the centres of the anatomy (mm) and rotation about it (degrees) between two poses (4, 4)."""
    here, there = (rigid.transform_points(each, centroid) for each in (pose, other))
    return float(np.linalg.norm(here - there)), float(np.degrees(rigid.rotation_distance(pose, other)))


def is_plausible(minima: list[LocalMinimum]) -> bool:
    """Whether the best minimum of the second level or a finer one looks like every X-ray."""
    return bool(minima) and min(minima[0].descent.fit.similarity) > schedule.MIN_CONVINCING_NCC


def prune(minima: list[LocalMinimum], limit: float, most: int) -> tuple[list[LocalMinimum], list[Pruned]]:
    """Keep the best minimum and those with at least 1 / `limit` of its evidence, `most` at the most.

    Returns
    -------
    kept : the minima.
    pruned : the poses of the others, each with its evidence ratio.
    """
    gaps = [minima[0].descent.fit.evidence / max(minimum.descent.fit.evidence, 1e-9) for minimum in minima]
    kept = [n for n, gap in enumerate(gaps) if n == 0 or (gap <= limit and n < most)]
    return [minima[n] for n in kept], [
        (minimum.descent.world_from_ct, gaps[n]) for n, minimum in enumerate(minima) if n not in kept
    ]
