"""A search without a start: through all of a CT, whatever part of it the X-rays show.

A table of coarse poses (`pose_table`) is scored first, then others about the best of them. Descents
follow from the best of these, until one answer is found again and no other is nearly as good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from time import perf_counter

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.xray import SharedUnknowns, View
from .cameras import CALIBRATED
from .optimizer import (
    KEEP_AFTER_COARSEST,
    LOCAL_RANGE,
    Descent,
    DescentStart,
    Range,
    Sobol,
    descend,
    distance,
)
from .pipeline import (
    APART_MM,
    CONVERGED_DESCENTS,
    CONVERGED_RATIO,
    Progress,
    Refinement,
    RegistrationPipeline,
    is_plausible,
    refine,
)
from .pose_table import TILT_STEP_DEG, PoseTable, by_both, combined
from .prepared_ct import PreparedCT, scoring_level

#: So many poses of the table go on.
STARTS = 64
#: The best of so many poses about each one goes on, in two rounds: first within half a step of the
#: table, then within half of that.
AROUND = 12
AROUND_RANGES = Range(TILT_STEP_DEG / 2, 10.0), Range(TILT_STEP_DEG / 4, 5.0)
#: So many of these are refined at a time, and so many times.
REFINED, ROUNDS = 8, 8


def search_whole_ct(
    anatomy: PreparedCT,
    views: list[View],
    world_from_ct: np.ndarray,
    progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
    *,
    reach: Range,
    seed: int = 0,
) -> Refinement:
    """Register a CT to views that show any part of it, head first or feet first.

    Parameters
    ----------
    world_from_ct, reach
        (4, 4) and its surroundings, which are searched for a single structure instead: by itself it
        looks like too much else.
    progress, shared, seed
        As of `pipeline.refine`.

    Raises
    ------
    InputError
        The views show too little of the CT at every pose.
    """
    if anatomy.structure:
        return refine(anatomy, views, world_from_ct, progress, shared, reach=reach, seed=seed)
    table = PoseTable(anatomy, views)
    centred = rigid.from_rotation_translation(np.eye(3), table.middle - anatomy.centroid)
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
        coarse = self._coarse(table)
        self._search_seconds += perf_counter() - began
        if not coarse:
            return None
        self.trace(0, coarse)
        best = coarse[0].world_from_ct
        # From here on poses turn about what the X-rays show, not about the middle of the CT.
        self.anatomy = copy(self.anatomy)
        self.anatomy.centroid = _seen_at(best, table.middle)
        minima = self.descend(1, self.keep(coarse, *KEEP_AFTER_COARSEST))
        if minima and not (is_clear(coarse) or is_plausible(minima)):
            minima = self.search_second_level(
                minima, minima[0].world_from_ct, LOCAL_RANGE, with_start=True
            )
        return self.refine_to_finest(minima)

    def _coarse(self, table: PoseTable) -> list[Descent]:
        """Return the coarsest level's answers, most evidence first."""
        coarsest = self._levels[0]
        level = scoring_level(coarsest, self.anatomy.n_levels, structure=False)
        projector = self.anatomy.projector(level.volume)
        ranked, scored = table.ranked(projector, level.pool)
        poses = np.array(apart(ranked, STARTS, table.middle))
        sequence = Sobol(self._seed)
        for reach in AROUND_RANGES:
            about = [
                reach.poses(pose, _seen_at(pose, table.middle), sequence.random(AROUND))
                for pose in poses
            ]
            tried = np.concatenate([poses[:, None], about], axis=1)
            ncc, share = table.compare(projector, level.pool, tried.reshape(-1, 4, 4))
            ncc, share = (each.reshape(len(poses), -1) for each in (ncc, share))
            best = (np.arange(len(poses)), combined(ncc, share).argmax(axis=1))
            poses, scored = tried[best], scored + ncc.size
        poses = poses[by_both(ncc[best] * np.sqrt(share[best]), ncc[best])]
        promising = apart(poses, REFINED * ROUNDS, table.middle)
        self._n_scored += scored
        objective = self.anatomy.objective(self._views, coarsest, self._centre)
        minima: list[Descent] = []
        for first in range(0, len(promising), REFINED):
            chosen = promising[first : first + REFINED]
            starts = [DescentStart(pose) for pose in chosen]
            # Each turns about what the X-rays show of it.
            middles = np.array([_seen_at(pose, table.middle) for pose in chosen])
            more = descend(objective, starts, coarsest.iterations, coarsest.tolerance_mm, middles)
            self._n_refined += len(chosen)
            minima = self.merge(minima, more)
            if minima:
                stage = f"searching at {self._level_name(0)}"
                self._report(0, stage, (first + len(chosen)) / len(promising), minima[0])
            if is_clear(minima):
                break
        return minima


def is_clear(minima: Sequence[Descent]) -> bool:
    """Return whether the best minimum was found again, and no other is nearly as good."""
    if not minima or minima[0].n_descents < CONVERGED_DESCENTS:
        return False
    return len(minima) == 1 or minima[0].fit.evidence > CONVERGED_RATIO * minima[1].fit.evidence


def apart(poses: np.ndarray, most: int, middle: np.ndarray) -> list[np.ndarray]:
    """Return the first of poses (N, 4, 4) that differ in what they show at a world point (3,)."""
    chosen: list[np.ndarray] = []
    for pose in poses:
        if len(chosen) == most:
            break
        if all(_apart_mm(pose, other, middle) > APART_MM for other in chosen):
            chosen.append(pose)
    return chosen


def _apart_mm(pose: np.ndarray, other: np.ndarray, middle: np.ndarray) -> float:
    return distance(pose, other, _seen_at(other, middle))


def _seen_at(pose: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return what lies at a world point (3,), CT mm, at a pose (4, 4)."""
    return rigid.transform_points(rigid.inverse(pose), point)
