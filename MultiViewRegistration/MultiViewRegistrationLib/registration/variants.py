"""Registrations other than from one start pose.

Of views that nothing ties together, from several starts, and without a start.

Several starts that may be right are a network's answers, of all views together and of each alone,
each with its expected error. Where one is expected to be near, the coarsest resolution has nothing
to add, and what is expected to be farther off begins there. Every start is refined and scored,
beside a small search if a range is known, and the most evidence wins. Where even the winner does
not look like the X-rays, the surroundings of the starts and at last the whole range are searched.

A search without a start goes through all of a CT, whatever part of it the X-rays show. A table of
coarse poses (`pose_table`) is scored first, then others about the best of them. Descents follow from
the best of these, until one answer is found again and no other is nearly as good. Where none looks
like the X-rays at the second level, more poses are tried with smaller pixels, and then a table of
these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from ..errors import InputError, part_of, unseen
from ..geometry import rigid
from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from ..rendering.drr import Projector
from .cameras import uncalibrated_view_indices
from .objective import EvaluationPoint
from .optimizer import (
    CAPTURE_RADIUS_MM,
    KEEP_AFTER_COARSEST,
    LOCAL_RANGE,
    MIN_CONVINCING_NCC,
    MIN_PLAUSIBLE_NCC,
    RADIUS_MM,
    SIDE_SEARCH_BUDGET,
    Descent,
    DescentStart,
    Progress,
    Range,
    Refinement,
    Report,
    descend,
    distance,
    is_clear,
    is_plausible,
    local_budget,
    range_for_error,
    search_budget,
    search_points,
)
from .pipeline import APART_MM, CONVERGED_DESCENTS, DISTINCT_MM, TRIED_STEPS, RegistrationPipeline
from .pose_table import TILT_STEP_DEG, PoseTable, by_both, combined
from .prepared_ct import PreparedCT

#: No more starts are refined than this, the first ones; and so many of them at the last levels by
#: themselves, too.
MAX_STARTS = 8
MAX_NEAR = 3

#: So many tries, evenly up to so many standard deviations either way; what they leave of the
#: deviation.
N_SAMPLES = 12
MAX_DEVIATIONS = 2.5
REMAINING_DEVIATION = 0.5


def register_views(
    views: list[View],
    find: Callable[..., Refinement],
    progress: Report = unseen,
    shared: SharedUnknowns = CALIBRATED,
) -> Refinement:
    """Register all views: those that are tied to the first together, each of the others by itself.

    One rigid anatomy cannot tie a view of unknown geometry: the pose and such a camera are
    interchangeable, and its image determines only camera_from_ct. Its camera is chosen so that the
    pose of the other views holds in it, which makes it, relative to theirs, an output.

    Parameters
    ----------
    find
        Registers the views it gets, called as find(views, progress=...).
    progress, shared
        As in `pipeline.refine`.
    """
    alone = uncalibrated_view_indices(views, shared)
    if not alone:
        return find(views, progress=progress)
    together = [i for i in range(len(views)) if i not in alone]
    pose = None

    def found(done: int, chosen: list[int]) -> Refinement:
        own = part_of(progress, done / (1 + len(alone)), (done + 1) / (1 + len(alone)))

        def report(part: Progress) -> object:
            return own(part if pose is None else replace(part, world_from_ct=pose))

        return find([views[i] for i in chosen], progress=report)

    joint = found(0, together)
    pose = joint.world_from_ct
    seconds = joint.search_seconds
    fit = joint.fit
    seen = dict(
        zip(
            together,
            zip(joint.views, fit.pixels, fit.shown, fit.similarity, strict=True),
            strict=True,
        )
    )
    for done, i in enumerate(alone, start=1):
        single = found(done, [i])
        seconds += single.search_seconds
        given = views[i].camera
        motion = single.world_from_ct @ rigid.inverse(pose)
        camera = replace(given, camera_from_world=given.camera_from_world @ motion)
        seen[i] = (
            replace(views[i], camera=camera),
            single.fit.pixels[0],
            single.fit.shown[0],
            single.fit.similarity[0],
        )
    corrected, pixels, shown, similarity = zip(*(seen[i] for i in range(len(views))), strict=True)
    fit = replace(fit, pixels=pixels, shown=shown, similarity=similarity)
    return replace(joint, fit=fit, views=list(corrected), search_seconds=seconds)


@dataclass(frozen=True, eq=False)
class Start:
    """A pose world_from_ct (4, 4), and its expected error.

    Root mean square, in mm, of points 60 mm from the anatomy's centre.
    """

    world_from_ct: np.ndarray
    expected_mm: float


def refine_from(
    anatomy: PreparedCT,
    views: list[View],
    starts: Sequence[Start],
    progress: Report = unseen,
    shared: SharedUnknowns = CALIBRATED,
    *,
    centre: np.ndarray | None = None,
    reach: Range | None = None,
    seed: int = 0,
) -> Refinement:
    """Register a CT to views from several starts; any of them may be right, or none.

    Parameters
    ----------
    starts
        One or more, the most credible first. `Refinement.selected_start` is the number of the one
        that led to the answer.
    progress, shared
        As in `pipeline.refine`.
    centre, reach
        The CT lies within `reach` of the pose `centre` (4, 4), where that is known; then a search
        goes along.
    seed
        Of the quasi-random poses.

    Raises
    ------
    InputError
        Where from no start the views show enough of the CT, nor at a pose within the range.
    """
    middle = starts[0].world_from_ct if centre is None else centre
    pipeline = _StartsPipeline(anatomy, views, middle, progress, shared, seed=seed)
    refinement = pipeline.refinement(starts[:MAX_STARTS], reach)
    if refinement is None:
        raise InputError(
            "start: from none of the poses to start from do the X-rays show enough of the CT, "
            "expected one at which they show most of it; correct the geometry of the views, or use "
            "another start."
        )
    return refinement


class _StartsPipeline(RegistrationPipeline):
    def refinement(self, starts: Sequence[Start], reach: Range | None) -> Refinement | None:
        """Return the best answer from any start, or within `reach` of the centre.

        None if there is none.

        Starts that are expected near begin at the second level, the others at the coarsest. One
        that is a little farther off does both, as the coarsest level can mislead: of a CT that is
        cut off it shows little but the cut.
        """
        structure = self.anatomy.structure
        all_starts = range(len(starts))
        near = [n for n in all_starts if starts[n].expected_mm <= CAPTURE_RADIUS_MM]
        ranges = []
        for start in starts:
            expected_mm = max(start.expected_mm, 2 * CAPTURE_RADIUS_MM)
            ranges.append(range_for_error(expected_mm, structure=structure))

        def descended(level: int, numbers: Sequence[int]) -> list[Descent]:
            return self.descend(
                level, [DescentStart(starts[n].world_from_ct, frozenset([n])) for n in numbers]
            )

        def around(n: int) -> list[Descent]:
            """Return the coarsest level's answers about a start."""
            budget = local_budget(ranges[n], structure=structure)
            found, _ = self.search(0, starts[n].world_from_ct, ranges[n], budget, with_start=True)
            return [replace(minimum, origins=frozenset([n])) for minimum in found]

        minima = descended(
            1, [n for n in all_starts if starts[n].expected_mm <= 3 * CAPTURE_RADIUS_MM]
        )
        coarse = descended(0, [n for n in all_starts if n not in near])
        if not near:
            coarse = self.merge(coarse, around(0))
        if reach:
            coarse = self.merge(coarse, self.search(0, self._centre, reach, SIDE_SEARCH_BUDGET)[0])
        if coarse and not near:
            self.trace(0, coarse)
        minima = self._add_coarse(minima, coarse)
        if not self._is_settled(minima):
            coarse = []
            for n in all_starts:
                if near or n:
                    coarse = self.merge(coarse, around(n))
            if reach:
                budget = search_budget(reach, structure=structure)
                coarse = self.merge(coarse, self.search(0, self._centre, reach, budget)[0])
            minima = self._add_coarse(minima, coarse)
        for start, about in zip(starts[:2], ranges, strict=False):
            if not self._is_settled(minima):
                minima = self.search_second_level(
                    minima, start.world_from_ct, about, with_start=True
                )
        if reach and not self._is_settled(minima):
            minima = self.search_second_level(minima, self._centre, reach)
        return self.refine_to_finest(minima, [start.world_from_ct for start in starts[:MAX_NEAR]])

    def _is_settled(self, minima: list[Descent]) -> bool:
        """Return whether no further search is needed.

        Of a structure, which others overlie, it says more that several descents ended there.
        """
        if self.anatomy.structure:
            return bool(minima) and minima[0].n_descents >= CONVERGED_DESCENTS
        return is_plausible(minima)

    def _add_coarse(self, minima: list[Descent], coarse: list[Descent]) -> list[Descent]:
        """Return the second level's answers with those to which the coarsest level's lead that are no old ones."""
        minima = list(minima)
        new = []
        for each in coarse:
            for n, old in enumerate(minima):
                if (
                    distance(old.world_from_ct, each.world_from_ct, self.anatomy.centroid)
                    <= DISTINCT_MM
                ):
                    minima[n] = replace(old, n_descents=old.n_descents + each.n_descents)
                    break
            else:
                new.append(each)
        return self.merge(minima, self.descend(1, self.keep(new, *KEEP_AFTER_COARSEST)))


def refine_along_least_certain_axis(
    anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move a pose along its least certain direction, mostly a view's depth, to where it has the most evidence.

    Moving the CT along a beam barely changes an image, so that a network errs most there, and its
    covariance shows it. All else is known well enough for a few samples along that one direction.

    Parameters
    ----------
    world_from_ct
        (4, 4).
    covariance
        (6, 6) of the motion (omega rad, v mm) from the pose to the true one about the anatomy's
        centroid, world axes.

    Returns
    -------
    world_from_ct
        (4, 4), of the best sample at the second resolution.
    covariance
        (6, 6), after the search.
    """
    scale = np.repeat([RADIUS_MM, 1.0], 3)  # an angle counts at that distance from the centroid
    variances, axes = np.linalg.eigh(covariance * np.outer(scale, scale))
    deviation = np.sqrt(variances[-1]) * axes[:, -1] / scale
    centre = rigid.transform_points(world_from_ct, anatomy.centroid)
    shares = np.linspace(-MAX_DEVIATIONS, MAX_DEVIATIONS, N_SAMPLES)
    poses = [rigid.moved(world_from_ct, share * deviation, centre) for share in shares]
    levels = anatomy.levels(list(views), world_from_ct)
    objective = anatomy.objective(list(views), levels[min(1, len(levels) - 1)], world_from_ct)
    fits = [objective.evaluate(EvaluationPoint([pose])).linearise() for pose in poses]
    evidence = [fit.evidence if np.isfinite(fit.cost) else 0.0 for fit in fits]
    if not any(evidence):  # nowhere is enough of the CT shown
        return world_from_ct, covariance
    return poses[int(np.argmax(evidence))], covariance - (1 - REMAINING_DEVIATION**2) * np.outer(
        deviation, deviation
    )


@dataclass(frozen=True)
class Round:
    """So many poses go on, so many within a range about each are scored, and each is shifted by some pixels."""

    most: int
    around: int
    reach: Range
    shift_px: int = 0


#: Poses lie within half a step of the table first, then within half of that.
QUICK = Round(128, 8, Range(TILT_STEP_DEG / 2, 10.0)), Round(32, 12, Range(TILT_STEP_DEG / 4, 5.0))
#: With pixels half as large, shifts find what poses lie apart.
THOROUGH = Round(320, 8, Range(TILT_STEP_DEG / 2, 0.1), 2), Round(64, 16, Range(4.0, 0.1), 1)
#: So many of the quick ones are refined at a time, and so many times.
REFINED = 8
ROUNDS = 2


def search_whole_ct(
    anatomy: PreparedCT,
    views: list[View],
    progress: Report = unseen,
    shared: SharedUnknowns = CALIBRATED,
    *,
    seed: int = 0,
) -> Refinement:
    """Register a CT to views that show any part of it, head first or feet first.

    Parameters
    ----------
    progress, shared, seed
        As of `pipeline.refine`.

    Raises
    ------
    InputError
        The views show too little of the CT at every pose.
    """
    table = PoseTable(anatomy, views)
    centred = rigid.translation(table.middle - anatomy.centroid)
    found = _WholeCTPipeline(anatomy, views, centred, progress, shared, seed=seed).found(table)
    if found is None:
        raise InputError(
            "world_from_ct: at no place and tilt of the CT do the X-rays show enough of it, head "
            "first or feet first; give a start pose, or correct the geometry of the views."
        )
    return replace(found, rim=table.rim(found.world_from_ct))


class _WholeCTPipeline(RegistrationPipeline):
    def found(self, table: PoseTable) -> Refinement | None:
        began = perf_counter()
        scoring = self.anatomy.scoring_level(self._levels[0])
        projector = self.anatomy.projector(scoring.volume)
        pool = scoring.pool
        ranked = self._ranked(table, projector, pool)
        coarse = self._coarse(table, self._about(table, projector, pool, ranked, QUICK))
        self._search_seconds += perf_counter() - began
        minima: list[Descent] = []
        if coarse:
            self._turn_about(coarse[0].world_from_ct, table)
            self.trace(0, coarse)
            minima = self.descend(1, self.keep(coarse, *KEEP_AFTER_COARSEST))
        if not is_plausible(minima, MIN_PLAUSIBLE_NCC if is_clear(coarse) else MIN_CONVINCING_NCC):
            minima = self._thorough(table, projector, pool // 2, ranked, minima)
        return self.refine_to_finest(minima)

    def _thorough(
        self,
        table: PoseTable,
        projector: Projector,
        pool: int,
        ranked: np.ndarray,
        minima: list[Descent],
    ) -> list[Descent]:
        """Return the second level's answers with those about the ranked poses, and then about a table's with pixels as small."""
        began = perf_counter()
        stage = "searching all of the CT"
        for finer in (False, True):
            poses = self._ranked(table, projector, pool) if finer else ranked
            poses = self._about(table, projector, pool, poses, THOROUGH)
            if minima:
                self._report(1, stage, 0.3 + 0.3 * finer, minima[0])
            minima = self.merge(minima, self._promising(table, poses))
            if minima:
                self._report(1, stage, 0.4 + 0.4 * finer, minima[0])
            if is_plausible(minima):
                break
        self._search_seconds += perf_counter() - began
        if not minima:
            return []
        best = minima[0].world_from_ct
        self._turn_about(best, table)
        return self.search_second_level(minima, best, LOCAL_RANGE, with_start=True)

    def _turn_about(self, pose: np.ndarray, table: PoseTable) -> None:
        """From here on poses turn about what the X-rays show at a pose, not about the middle of the CT."""
        self.anatomy = copy(self.anatomy)
        self.anatomy.centroid = _seen_at(pose, table.middle)

    def _ranked(self, table: PoseTable, projector: Projector, pool: int) -> np.ndarray:
        ranked, scored = table.ranked(projector, pool)
        self._n_scored += scored
        return ranked

    def _about(
        self,
        table: PoseTable,
        projector: Projector,
        pool: int,
        poses: np.ndarray,
        rounds: Sequence[Round],
    ) -> np.ndarray:
        """Return the best poses (N, 4, 4) about the first of ranked ones, the best first."""
        sequence = search_points(self._seed)
        for each in rounds:
            chosen = poses[: each.most]
            about = []
            for pose in chosen:
                points = sequence.random(each.around)
                about.append(each.reach.poses(pose, _seen_at(pose, table.middle), points))
            tried = np.concatenate([chosen[:, None], about], axis=1)
            flat = tried.reshape(-1, 4, 4)
            moved, ncc, share = table.shifted(projector, pool, flat, each.shift_px)
            self._n_scored += len(flat) * (2 * each.shift_px + 1) ** 3
            ncc, share = (values.reshape(len(tried), -1) for values in (ncc, share))
            best = (np.arange(len(tried)), combined(ncc, share).argmax(axis=1))
            order = by_both(ncc[best] * np.sqrt(share[best]), ncc[best])
            poses = apart(moved.reshape(tried.shape)[best][order], rounds[-1].most, table.middle)
        return poses

    def _coarse(self, table: PoseTable, promising: np.ndarray) -> list[Descent]:
        """Return the coarsest level's answers from the first of ranked poses, most evidence first."""
        coarsest = self._levels[0]
        minima: list[Descent] = []
        for first in range(0, min(len(promising), REFINED * ROUNDS), REFINED):
            chosen = promising[first : first + REFINED]
            minima = self.merge(minima, self._descend_apart(0, table, chosen, coarsest.iterations))
            if minima:
                stage = f"searching at {self._level_name(0)}"
                self._report(0, stage, (first + len(chosen)) / (REFINED * ROUNDS), minima[0])
            if is_clear(minima):
                break
        return minima

    def _promising(self, table: PoseTable, poses: np.ndarray) -> list[Descent]:
        """Return the second level's answers from the poses with most evidence after few steps."""
        tried = self.merge([], self._descend_apart(1, table, poses, TRIED_STEPS))
        most = tried[: KEEP_AFTER_COARSEST[1]]
        return self.merge([], self._descend_apart(1, table, most, self._levels[1].iterations))

    def _descend_apart(
        self, number: int, table: PoseTable, starts: Iterable[np.ndarray | Descent], steps: int
    ) -> list[Descent]:
        """Descend at a level from poses or descents far apart, each of which turns about what the X-rays show of it."""
        level = self._levels[number]
        given = [start if isinstance(start, Descent) else DescentStart(start) for start in starts]
        middles = np.array([_seen_at(start.world_from_ct, table.middle) for start in given])
        objective = self.anatomy.objective(self._views, level, self._centre)
        self._n_refined += sum(isinstance(start, DescentStart) for start in given)
        return descend(objective, given, steps, level.tolerance_mm, middles) if given else []


def apart(poses: np.ndarray, most: int, middle: np.ndarray) -> np.ndarray:
    """Return the first of poses (N, 4, 4) that differ in what they show at a world point (3,)."""
    chosen = poses[:0]
    for pose in poses:
        if len(chosen) == most:
            break
        moved = rigid.transform_points(chosen, _seen_at(pose, middle)) - middle
        turned = RADIUS_MM * rigid.rotation_distance(chosen, pose)
        if (np.hypot(np.linalg.norm(moved, axis=-1), turned) > APART_MM).all():
            chosen = np.concatenate([chosen, pose[None]])
    return chosen


def _seen_at(pose: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return what lies at a world point (3,), CT mm, at a pose (4, 4)."""
    return rigid.transform_points(rigid.inverse(pose), point)
