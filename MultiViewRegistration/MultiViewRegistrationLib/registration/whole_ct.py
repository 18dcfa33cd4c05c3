"""A search without a start: through all of a CT, whatever part of it the X-rays show.

A table of coarse poses (`pose_table`) is scored first, then others about the best of them. Descents
follow from the best of these, until one answer is found again and no other is nearly as good. Where
none looks like the X-rays at the second level, more poses are tried with smaller pixels, and then a
table of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from ..errors import InputError, unseen
from ..geometry import rigid
from ..imaging.xray import SharedUnknowns, View
from ..rendering.drr import Projector
from .cameras import CALIBRATED
from .optimizer import (
    KEEP_AFTER_COARSEST,
    LOCAL_RANGE,
    MIN_CONVINCING_NCC,
    MIN_PLAUSIBLE_NCC,
    RADIUS_MM,
    Descent,
    DescentStart,
    Range,
    Sobol,
    descend,
    is_clear,
    is_plausible,
)
from .pipeline import APART_MM, TRIED_STEPS, RegistrationPipeline
from .pose_table import TILT_STEP_DEG, PoseTable, by_both, combined
from .prepared_ct import PreparedCT, scoring_level
from .refinement import Refinement, Report


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
        scoring = scoring_level(self._levels[0], self.anatomy.n_levels, structure=False)
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
        sequence = Sobol(self._seed)
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
