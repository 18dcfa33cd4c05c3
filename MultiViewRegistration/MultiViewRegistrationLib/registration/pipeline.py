"""From a start pose, or none, to the registered pose.

A search at a coarse resolution, then the joint refinement over all views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from ..errors import InputError, go_on, unseen
from ..geometry import rigid
from ..imaging.xray import CALIBRATED, SharedUnknowns, View, with_cameras
from .cameras import CameraCorrections
from .objective import EvaluationPoint, outliers
from .optimizer import (
    CONVERGED_DESCENTS,
    FALLBACK_RANGE,
    KEEP_AFTER_COARSEST,
    KEEP_AFTER_FINER,
    LOCAL_BUDGET,
    LOCAL_RANGE,
    MIN_PLAUSIBLE_NCC,
    SAME_MM,
    SECOND_LEVEL_BUDGET,
    STRUCTURE_LOCAL_BUDGET,
    STRUCTURE_LOCAL_RANGE,
    AlternativeSolution,
    Descent,
    DescentStart,
    LevelTrace,
    Progress,
    Range,
    Refinement,
    Report,
    SearchBudget,
    Step,
    cluster_minima,
    descend,
    distance,
    is_clear,
    is_plausible,
    prune,
    search_budget,
    search_points,
)
from .prepared_ct import PreparedCT, ResolutionLevel
from .warm_up import warm_up

#: Room about the projection of a structure in which the X-rays are compared with it.
MARGIN_MM = 15.0
#: A minimum dropped at a coarse level that is nearer to the solution than this is no alternative.
DISTINCT_MM = 6.0
#: Nearer to it than this, a start can lead nowhere else.
SAME_START_MM = 0.5
#: Descents of which few can win take so many steps, after which the ends of so many go on: in 22
#: searches (portal images, pelvis) the winner was among the best three.
TRIED_STEPS = 3
GO_ON = 4
#: At the finest level another start of a body is given up after these steps if it is on its way to
#: the answer, with less evidence, and no farther off than this.
ON_ITS_WAY_MM = 12.0
#: Where the coarsest level's answers are one, there or at the second level, and look so much like
#: every X-ray, the second level is not searched.
COARSE_NCC = 0.95
#: The poses of a search that are refined in one round lie farther apart than this (mm, see
#: `optimizer.distance`).
APART_MM = 8.0


def refine(
    anatomy: PreparedCT,
    views: list[View],
    world_from_ct: np.ndarray,
    progress: Report = unseen,
    shared: SharedUnknowns = CALIBRATED,
    *,
    reach: Range | None = None,
    seed: int = 0,
    budget: SearchBudget | None = None,
) -> Refinement:
    """Register a CT to views from a start pose, or within a range of it.

    Cameras are corrected within their uncertainty.

    A start far off can slide away, and a bone among others has near minima all along its shaft: so
    the surroundings of the start are searched, too; of a body that then looks unlike an X-ray, more
    of them. The same input gives the same result on any number of threads.

    Parameters
    ----------
    world_from_ct
        (4, 4) rigid, mm: the start, or the middle of the range.
    progress
        Called as the pose gets better; `Cancelled` is raised where it returns False.
    shared
        The unknowns that are the same in all views.
    reach
        All that is known of the pose is that it lies within this range; None for a start pose.
    seed
        Of the quasi-random poses.
    budget
        Of the search through `reach`; by default what the range needs.

    Raises
    ------
    InputError
        The views show too little of the CT, from the start or at every pose within the range.
    """
    registration = RegistrationPipeline(anatomy, views, world_from_ct, progress, shared, seed=seed)
    given = reach is None
    structure = anatomy.structure
    if reach is not None:
        _check_shown(anatomy, views, world_from_ct, reach)
        ranges = [(reach, budget or search_budget(reach, structure=structure))]
    elif structure:
        ranges = [(STRUCTURE_LOCAL_RANGE, STRUCTURE_LOCAL_BUDGET)]
    else:
        farther = FALLBACK_RANGE, search_budget(FALLBACK_RANGE, structure=False)
        ranges = [(LOCAL_RANGE, LOCAL_BUDGET), farther]
    minima: list[Descent] = []
    for number, (about, effort) in enumerate(ranges):
        if minima and minima[0].fit.min_similarity >= MIN_PLAUSIBLE_NCC:
            break
        with_start = given and number == 0
        coarse, converged = registration.search(
            0, world_from_ct, about, effort, with_start=with_start
        )
        if number == 0:
            registration.trace(0, coarse)
        found = registration.descend(1, registration.keep(coarse, *KEEP_AFTER_COARSEST))
        if not (converged and is_plausible(found) or _is_one(coarse, found, converged)):
            found = registration.search_second_level(
                found, world_from_ct, about, with_start=with_start
            )
        minima = found if number == 0 else registration.merge(minima, found)
    refinement = registration.refine_to_finest(minima, [world_from_ct] if given else [])
    if refinement is not None:
        rim = reach.rim(refinement.world_from_ct, world_from_ct, anatomy.centroid) if reach else ""
        return replace(refinement, rim=rim)
    if reach is not None:
        raise _not_shown(reach, "any view")
    raise InputError(
        "world_from_ct: from this start pose the X-rays show too little of the CT, expected a "
        "start at which they show most of it; correct the start or the geometry of the views."
    )


def _is_one(coarse: list[Descent], found: list[Descent], converged: bool) -> bool:
    """Return whether the second level need not be searched, see COARSE_NCC."""
    if not found or min(coarse[0].fit.similarity) < COARSE_NCC:
        return False
    return converged or len(found) == 1 and found[0].n_descents >= CONVERGED_DESCENTS


def _check_shown(
    anatomy: PreparedCT, views: list[View], world_from_ct: np.ndarray, reach: Range
) -> None:
    """Refuse views that show nothing of the CT at any pose within the range.

    Raises
    ------
    InputError
        Naming the views.
    """
    corners = anatomy.corners()

    def sees(view: View) -> bool:
        return reach.shown(view.camera, world_from_ct, anatomy.centroid, corners)

    if blind := [view.name for view in views if not sees(view)]:
        raise _not_shown(reach, ", ".join(blind))


def _not_shown(reach: Range, views: str) -> InputError:
    return InputError(
        f"search: at no pose within {reach.rotation_deg:g} degrees and {reach.translation_mm:g} mm "
        f"of its centre does {views} show enough of the CT, expected a range that holds its pose; "
        "correct the centre (world_from_ct), the range, or the geometry of the views."
    )


class RegistrationPipeline:
    """One registration, from the search at the coarsest level to the finest.

    At the coarsest level cameras count as exact: encoder errors, and larger ones, barely show
    there.

    Parameters
    ----------
    world_from_ct
        (4, 4), about where the CT is: the resolutions follow from its distance there.
    """

    def __init__(
        self,
        anatomy: PreparedCT,
        views: list[View],
        world_from_ct: np.ndarray,
        progress: Report,
        shared: SharedUnknowns,
        *,
        seed: int = 0,
    ) -> None:
        warm_up()  # before threads would compile them at the same time
        self.anatomy = anatomy
        self._views = views
        self._centre = world_from_ct
        self._levels = with_approach(anatomy.levels(views, world_from_ct), anatomy)
        self._unknowns = CameraCorrections(views, shared)
        self._progress = progress
        self._seed = seed
        self._search_seconds = 0.0
        self._n_scored = 0
        self._n_refined = 0
        self._done = 0.0
        self._traces: list[LevelTrace] = []
        self._pruned: list[tuple[float, np.ndarray]] = []
        """The ratio of the best evidence to that of each pruned pose, and that pose."""

    def refine_to_finest(
        self, minima: list[Descent], near: Sequence[np.ndarray] = ()
    ) -> Refinement | None:
        """Return the best of the second level's answers, refined on.

        Others go along as long as they are nearly as good.

        Parameters
        ----------
        near
            (4, 4) each, poses that may be right already, so that coarse levels can only lead away
            from them.
        """
        if minima:
            self.trace(1, minima)
        for number in range(2, len(self._levels)):
            kept = self.keep(minima, *KEEP_AFTER_FINER)
            if self.anatomy.structure or is_plausible(kept):
                minima = self.descend(number, kept)
            else:
                minima = self._with_others(number, self.descend(number, kept[:1]), kept[1:])
            self.trace(number, minima)
        if not minima:
            return None
        if not is_plausible(minima):
            minima = self._compare_with_starts(minima, near)
            if undisturbed := self._without_outliers(minima[0]):
                minima[0] = undisturbed
                self._traces.append(
                    LevelTrace(f"{self._level_name(-1)}, outliers left out", undisturbed.steps)
                )
        (best,) = self.keep(minima, 0.0, 1)
        cameras = self._unknowns.cameras(best.corrections, [view.camera for view in self._views])
        return Refinement(
            best.world_from_ct,
            best.fit,
            self._traces,
            with_cameras(self._views, cameras),
            best.corrections,
            self._n_scored,
            self._n_refined,
            self._alternative(best.world_from_ct),
            self._search_seconds,
            min(best.origins, default=None),
        )

    def search(
        self,
        number: int,
        centre: np.ndarray,
        reach: Range,
        budget: SearchBudget,
        *,
        with_start: bool = False,
    ) -> tuple[list[Descent], bool]:
        """Search a range about a pose at a level, the coarsest being number 0.

        Rounds of quasi-random poses (Sobol, USSR Comput. Math. Math. Phys. 7, 1967), each as many
        as all before it, are scored, and the most promising of them refined, until one minimum is
        found again and again and no other is nearly as good, or the budget is spent.

        Parameters
        ----------
        centre
            (4, 4), the middle of the range.
        with_start
            Whether that pose is among the first to be refined.

        Returns
        -------
        minima
            The distinct ones, most evidence first.
        converged
            Whether several descents led to the best one, and no other is nearly as good.
        """
        began = perf_counter()
        level = self._levels[number]
        centroid = self.anatomy.centroid
        margin_mm = MARGIN_MM + reach.translation_mm
        objective = self.anatomy.objective(self._views, level, centre, margin_mm)
        scorer = self.anatomy.scorer(self._views, level, centre, margin_mm)
        sequence = search_points(self._seed)
        poses = np.empty((0, 4, 4))
        scores = np.empty(0)
        started: list[np.ndarray] = []
        minima: list[Descent] = []
        converged = False
        while len(poses) < budget.max_poses and not converged:
            fresh = reach.poses(centre, centroid, sequence.random(max(len(poses), budget.poses)))
            poses = np.concatenate([poses, fresh])
            scores = np.concatenate([scores, scorer.scores(fresh).mean(axis=0)])
            chosen = [centre] if with_start and not started else []
            for index in np.argsort(-scores, kind="stable"):
                if len(chosen) == budget.refined or scores[index] <= 0:
                    break
                pose = poses[index]
                taken = [*started, *chosen]
                if all(distance(pose, other, centroid) > APART_MM for other in taken):
                    chosen.append(pose)
            starts: Sequence[DescentStart | Descent] = [DescentStart(pose) for pose in chosen]
            steps = level.iterations
            tolerance = level.tolerance_mm
            if number:
                tried = descend(objective, starts, TRIED_STEPS, tolerance, centroid)
                starts = self.merge([], tried)[:GO_ON]
                steps = steps - TRIED_STEPS
            ends = descend(objective, starts, steps, tolerance, centroid)
            ends = [end for end in ends if reach.holds(end.world_from_ct, centre, centroid)]
            minima = self.merge(minima, ends)
            started += chosen
            if minima:
                stage = f"searching at {self._level_name(number)}"
                self._report(number, stage, len(poses) / budget.max_poses, minima[0])
            converged = is_clear(minima)
        self._search_seconds += perf_counter() - began
        self._n_scored = self._n_scored + len(poses)
        self._n_refined = self._n_refined + len(started)
        return minima, converged

    def search_second_level(
        self, minima: list[Descent], centre: np.ndarray, reach: Range, *, with_start: bool = False
    ) -> list[Descent]:
        """Return the second level's answers with those that a search there finds.

        A structure's own windows need none.
        """
        if self.anatomy.structure:
            return minima
        return self.merge(
            minima, self.search(1, centre, reach, SECOND_LEVEL_BUDGET, with_start=with_start)[0]
        )

    def descend(
        self, number: int, starts: Sequence[DescentStart | Descent], steps: int | None = None
    ) -> list[Descent]:
        """Return the answers of a level to which starts lead, by at most so many steps.

        Cameras as given at first, unless there are corrections of them already.
        """
        if not starts:
            return []
        level = self._levels[number]
        centroid = self.anatomy.centroid
        first = starts[0].world_from_ct
        farthest = max(distance(start.world_from_ct, first, centroid) for start in starts)
        objective = self.anatomy.objective(self._views, level, first, MARGIN_MM + farthest)
        stage = f"refining at {self._level_name(number)}"
        taken = 0

        def on_step(step: Step) -> None:
            nonlocal taken
            taken += 1
            self._report(number, stage, taken / (level.iterations + 1), step)

        unknowns = self._unknowns if number else None
        ends = descend(
            objective,
            starts,
            steps or level.iterations,
            level.tolerance_mm,
            centroid,
            unknowns,
            on_step,
            second_order=number > 0,
        )
        minima = self.merge([], ends)
        if len(starts) > 1 and minima:
            self._report(number, stage, 1.0, minima[0])
        return minima

    def merge(self, minima: list[Descent], more: list[Descent]) -> list[Descent]:
        """Return the distinct answers of both, those left out that show too little of the CT.

        See `cluster_minima`.
        """
        return cluster_minima(
            minima, [end for end in more if np.isfinite(end.fit.cost)], self.anatomy.centroid
        )

    def keep(self, minima: list[Descent], limit: float, most: int) -> list[Descent]:
        """Return the minima that `prune` keeps; the others are kept as alternatives."""
        kept, pruned = prune(minima, limit, most)
        self._pruned += pruned
        return kept

    def trace(self, number: int, minima: list[Descent]) -> None:
        """Remember the steps to the best answer of a level."""
        self._traces.append(LevelTrace(self._level_name(number), minima[0].steps if minima else []))

    def _compare_with_starts(
        self, minima: list[Descent], near: Sequence[np.ndarray]
    ) -> list[Descent]:
        """Return the finest level's answers, and the one to which `near` leads, if it has more evidence.

        It leads there from the finest level, or from the level before: metal misleads most where a
        window holds much of the image. A body's start that leads to the same answer from the level
        before is not followed at the finest.
        """
        last = len(self._levels) - 1
        best = minima[0]
        given = [DescentStart(pose, frozenset([n])) for n, pose in enumerate(near)]
        starts = [start for start in given if self._apart(start, best) > SAME_START_MM]
        if self.anatomy.structure:
            coarser = self.descend(last - 1, starts)
            ends = [*self.descend(last, starts), *self.descend(last, coarser)]
        else:
            ends = [best]
            for start in starts:
                coarser = self.descend(last - 1, [start])
                if not all(self._apart(each, best) <= SAME_MM for each in coarser):
                    ends = self._with_others(last, ends, [start, *coarser])
        return self.merge(minima, [each for each in ends if each.fit.evidence > best.fit.evidence])

    def _with_others(
        self, number: int, minima: list[Descent], starts: Sequence[DescentStart | Descent]
    ) -> list[Descent]:
        """Return a level's answers with those to which other starts lead, unless that is the best of them."""
        for start in starts:
            if not minima:
                minima = self.descend(number, [start])
                continue
            answer = minima[0]
            before = self._apart(start, answer)
            if before <= SAME_MM:
                continue
            tried = self.descend(number, [start], TRIED_STEPS)
            near = min(before, ON_ITS_WAY_MM)
            rivals = [each for each in tried if each.fit.evidence >= answer.fit.evidence]
            if rivals or any(self._apart(each, answer) >= near for each in tried):
                minima = self.merge(minima, self.descend(number, tried))
        return minima

    def _apart(self, one: Descent | DescentStart, other: Descent) -> float:
        return distance(one.world_from_ct, other.world_from_ct, self.anatomy.centroid)

    def _without_outliers(self, best: Descent) -> Descent | None:
        """Return where the finest level leads on from its answer without what the CT does not hold, with the fit of all pixels there.

        None where there is none, or it cannot be determined: a structure by itself shows little but
        what others overlie.
        """
        if self.anatomy.structure:
            return None
        level = self._levels[-1]
        objective = self.anatomy.objective(self._views, level, best.world_from_ct, MARGIN_MM)

        def point_of(descent: Descent) -> EvaluationPoint:
            cameras = self._unknowns.cameras(
                descent.corrections, [view.camera for view in objective.views]
            )
            return EvaluationPoint([descent.world_from_ct], cameras, self._unknowns.intrinsics)

        projections = objective.project(best.world_from_ct, point_of(best).cameras)
        objective.linearise(projections)
        left_out = outliers(objective, projections)
        if left_out is None:
            return None
        (end,) = descend(
            objective.excluding(left_out),
            [best],
            level.iterations,
            level.tolerance_mm,
            self.anatomy.centroid,
            self._unknowns,
            second_order=True,
        )
        return (
            replace(end, fit=objective.evaluate(point_of(end)).linearise())
            if np.isfinite(end.fit.cost)
            else None
        )

    def _alternative(self, best: np.ndarray) -> AlternativeSolution | None:
        """Return the answer left behind with the least evidence ratio that is still another one than the best."""
        centroid = self.anatomy.centroid
        for ratio, pose in sorted(self._pruned, key=lambda other: other[0]):
            if distance(pose, best, centroid) > DISTINCT_MM:
                return AlternativeSolution(
                    pose, ratio, *rigid.pose_difference(pose, best, centroid)
                )
        return None

    def _level_name(self, number: int) -> str:
        columns, rows = self._views[0].camera.size
        level = self._levels[number]
        finest = self._levels[-1]
        again = level is not finest and level.settings == finest.settings
        name = f"{columns // level.pool} x {rows // level.pool} px"
        return f"{name}, as at the finest" if again else name

    def _report(self, number: int, stage: str, share: float, at: Step | Descent) -> None:
        self._done = max(
            self._done, (number + share) / len(self._levels)
        )  # a second search goes back
        cost = at.cost if isinstance(at, Step) else at.fit.cost
        go_on(self._progress(Progress(self._done, stage, at.world_from_ct, cost)))


def with_approach(levels: list[ResolutionLevel], anatomy: PreparedCT) -> list[ResolutionLevel]:
    """Return the levels of a body with the finest one's comparison of coarser images before it.

    It leads nearly as far in an eighth of the time.
    """
    before, finest = levels[-2:]
    if anatomy.structure or before.pool == finest.pool:
        return levels
    coarser = replace(
        finest, pool=before.pool, volume=before.volume, tolerance_mm=before.tolerance_mm
    )
    return [*levels[:-1], coarser, finest]
