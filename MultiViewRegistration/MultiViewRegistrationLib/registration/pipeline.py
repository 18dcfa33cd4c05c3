"""From a start pose, or none, to the registered pose: a look around at a coarse resolution, then the joint refinement over all views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from . import kernels, plan
from .anatomy import Anatomy
from .objective import Evaluation
from .optimizer import Step
from .ranges import Range
from .search import Answer, Found, descend, distance, merged, search
from .unknowns import CALIBRATED, Unknowns

#: Room about the projection of a structure in which the X-rays are compared with it.
ROOM_MM = 15.0
#: Nearer to the answer than this, what was left behind at a coarse level is no other answer.
OTHER_MM = 6.0


class Cancelled(Exception):
    """The caller's progress callback asked to stop."""


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
class Rival:
    """The best of the other answers.

    gap: how many times its cost (per pixel, and per share of the X-rays compared) is that of the answer, at the finest resolution at
    which both were compared: near 1, the two cannot be told apart.
    distance_mm, rotation_deg: from the answer, between the centres of the anatomy and about it.
    """

    world_from_ct: np.ndarray
    gap: float
    distance_mm: float
    rotation_deg: float


@dataclass(frozen=True)
class Refinement:
    """The registered pose, the fit there, and how it was reached.

    candidates: how many poses were scored.   refined: how many of them were refined at the coarsest level.
    rival: the next different answer, None where all that was refined led to one.
    searched: seconds spent at the coarsest level, looking for candidates.
    views: with their cameras as they were corrected.   shared: (6,) the corrections that all views share, see `Unknowns`.
    """

    world_from_ct: np.ndarray
    fit: Evaluation
    levels: list[LevelTrace]
    views: list[View]
    shared: np.ndarray
    candidates: int = 1
    refined: int = 1
    rival: Rival | None = None
    searched: float = 0.0


def refine(
    anatomy: Anatomy, views: list[View], world_from_ct: np.ndarray, progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
) -> Refinement:
    """Register a CT to views from a start pose, all views sharing the one pose; cameras are corrected within their uncertainty.

    world_from_ct: (4, 4) rigid, mm.   shared: what is unknown and the same in all views.
    progress: called as the pose gets better; where it returns False, `Cancelled` is raised.

    A start far off can slide away, and a bone among others has near minima all along its shaft: so the surroundings of the start are
    looked through, too. The same input gives the same result on any number of threads.

    InputError where the views show too little of the CT.
    """
    if anatomy.structure:
        reach, effort = plan.SURROUNDINGS_OF_STRUCTURE, plan.AROUND_STRUCTURE
    else:
        reach, effort = plan.SURROUNDINGS, plan.AROUND_BODY
    registration = _Registration(anatomy, views, world_from_ct, reach, progress, shared, with_start=True)
    refinement = registration.run(effort)
    if refinement is None:
        raise InputError("world_from_ct: from this start pose the X-rays show too little of the CT, expected a start "
                         "at which they show most of it; correct the start or the geometry of the views.")
    return refinement


def refine_anywhere(
    anatomy: Anatomy, views: list[View], world_from_ct: np.ndarray, reach: Range,
    progress: Callable[[Progress], object] = lambda _: None, shared: SharedUnknowns = CALIBRATED, *, seed: int = 0,
    effort: plan.Effort | None = None,
) -> Refinement:
    """Register a CT to views when all that is known is that its pose lies within `reach` of `world_from_ct`.

    seed: of the quasi-random poses; the same seed gives the same result.   effort: by default what the range needs.
    The others as in `refine`.

    InputError where no pose within the range shows enough of the CT.
    """
    registration = _Registration(anatomy, views, world_from_ct, reach, progress, shared, seed=seed)
    blind = [view.name for view in views if not reach.shown(view.camera, world_from_ct, anatomy.centroid, anatomy.corners())]
    refinement = None if blind else registration.run(effort or plan.effort(reach, structure=anatomy.structure))
    if refinement is None:
        raise InputError(
            f"search: at no pose within {reach.rotation_deg:g} degrees and {reach.translation_mm:g} mm of its centre does "
            f"{', '.join(blind) or 'any view'} show enough of the CT, expected a range that holds its pose; correct the centre "
            "(world_from_ct), the range, or the geometry of the views.")
    return refinement


class _Registration:
    """One registration, from the look around at the coarsest level to the finest.

    At the coarsest level cameras are taken as exact: what encoders are off by, and more, hardly shows there.
    """

    def __init__(self, anatomy: Anatomy, views: list[View], world_from_ct: np.ndarray, reach: Range,
                 progress: Callable[[Progress], object], shared: SharedUnknowns, *, with_start: bool = False, seed: int = 0) -> None:
        kernels.prepare()  # before threads would compile them at the same time
        self._anatomy, self._views, self._centre, self._reach = anatomy, views, world_from_ct, reach
        self._levels = anatomy.levels(views, world_from_ct)
        self._unknowns = Unknowns(views, shared)
        self._progress = progress
        self._with_start, self._seed = with_start, seed
        self._searched, self._scored, self._begun, self._done = 0.0, 0, 0, 0.0

    def run(self, effort: plan.Effort) -> Refinement | None:
        """The best answer at the finest level, None if there is none. Others go along as long as they are nearly as good."""
        found = self._search(0, effort)
        answers, rivals = found.answers, []
        traces = [LevelTrace(self._size(0), answers[0].run.steps if answers else [])]
        for number, level in enumerate(self._levels[1:], start=1):
            kept, dropped = _narrowed(answers, *(plan.PLAUSIBLE if number == 1 else plan.CLOSE))
            rivals += dropped
            answers = self._refined(number, level, kept)
            if number == 1 and not (found.sure and answers and min(answers[0].run.fit.similarity) > plan.ALIKE):
                answers = self._with_second_look(answers)
            if not answers:
                return None
            traces.append(LevelTrace(self._size(number), answers[0].run.steps))
        best = answers[0].run
        rival = self._rival(best.world_from_ct, rivals + _narrowed(answers, 0.0, 1)[1])
        cameras = self._unknowns.cameras(best.corrections, [view.camera for view in self._views])
        corrected = [replace(view, camera=camera) for view, camera in zip(self._views, cameras, strict=True)]
        return Refinement(best.world_from_ct, best.fit, traces, corrected, best.corrections[-6:], self._scored, self._begun, rival,
                          self._searched)

    def _search(self, number: int, effort: plan.Effort) -> Found:
        """The distinct minima of a level, the coarsest being number 0."""
        began = perf_counter()
        level, room_mm = self._levels[number], ROOM_MM + self._reach.translation_mm
        objective = self._anatomy.objective(self._views, level, self._centre, room_mm)
        scorer = self._anatomy.scorer(self._views, level, self._centre, room_mm)
        found = search(objective, scorer, level, self._anatomy.centroid, self._centre, self._reach, effort, with_start=self._with_start,
                       seed=self._seed, tell=partial(self._tell, number, f"searching at {self._size(number)}"))
        self._searched += perf_counter() - began
        self._scored, self._begun = self._scored + found.scored, self._begun + found.refined
        return found

    def _with_second_look(self, answers: list[Answer]) -> list[Answer]:
        """The second level's answers with those that a search there finds; a structure's own windows need none."""
        if self._anatomy.structure:
            return answers
        return merged(answers, [answer.run for answer in self._search(1, plan.SECOND_LOOK).answers], self._anatomy.centroid)

    def _refined(self, number: int, level: plan.Level, begun: list[Answer]) -> list[Answer]:
        if not begun:
            return []
        centroid = self._anatomy.centroid
        poses, corrections = [answer.run.world_from_ct for answer in begun], [answer.run.corrections for answer in begun]
        apart = max(distance(pose, poses[0], centroid) for pose in poses)
        objective = self._anatomy.objective(self._views, level, poses[0], ROOM_MM + apart)
        name, steps = self._size(number), 0

        def on_step(step: Step) -> None:
            nonlocal steps
            steps += 1
            self._tell(number, f"refining at {name}", steps / (level.iterations + 1), step.world_from_ct, step.cost)

        answers = merged([], descend(objective, level, poses, centroid, on_step, self._unknowns, corrections), centroid)
        if len(poses) > 1 and answers:
            self._tell(number, f"refining at {name}", 1.0, answers[0].run.world_from_ct, answers[0].run.fit.cost)
        return answers

    def _rival(self, best: np.ndarray, rivals: list[tuple[np.ndarray, float]]) -> Rival | None:
        """The rival with the least gap that is still another answer than the best."""
        centroid = self._anatomy.centroid
        centre = rigid.transform_points(best, centroid)
        others = [(gap, pose) for pose, gap in rivals if distance(pose, best, centroid) > OTHER_MM]
        if not others:
            return None
        gap, pose = min(others, key=lambda other: other[0])
        away = float(np.linalg.norm(rigid.transform_points(pose, centroid) - centre))
        return Rival(pose, gap, away, float(np.degrees(rigid.rotation_distance(pose, best))))

    def _size(self, number: int) -> str:
        columns, rows = self._views[0].camera.size
        pool = self._levels[number].pool
        return f"{columns // pool} x {rows // pool} px"

    def _tell(self, number: int, stage: str, share: float, world_from_ct: np.ndarray, cost: float) -> None:
        self._done = max(self._done, (number + share) / len(self._levels))  # a second look goes back
        if self._progress(Progress(self._done, stage, world_from_ct, cost)) is False:
            raise Cancelled


def _narrowed(answers: list[Answer], limit: float, most: int) -> tuple[list[Answer], list[tuple[np.ndarray, float]]]:
    """The answers within `limit` times the best one's cost, at most so many, and the poses of the others with their gaps."""
    gaps = [answer.run.fit.penalised_cost / answers[0].run.fit.penalised_cost for answer in answers]
    kept = [n for n, gap in enumerate(gaps) if n == 0 or (gap <= limit and n < most)]
    return [answers[n] for n in kept], [(answer.run.world_from_ct, gaps[n]) for n, answer in enumerate(answers) if n not in kept]
