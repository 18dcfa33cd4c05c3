"""Register from several poses that may be right, each with its expected error.

A network's answers, of all views together and of each alone, are such poses. Where one is expected to be near, the coarsest resolution has
nothing to add, and what is expected to be farther off begins there. Every proposal is refined and scored, beside a small search if a range
is known, and the most evidence wins. Where even the winner does not look like the X-rays, the surroundings of the starts and at last the
whole range are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from . import schedule
from .cameras import CALIBRATED
from .objective import EvaluationPoint
from .optimizer import moved
from .pipeline import DISTINCT_MM, LevelTrace, Progress, Refinement, RegistrationPipeline, is_plausible, prune
from .prepared_ct import PreparedCT
from .schedule import Range
from .search import CONVERGED_DESCENTS, RADIUS_MM, LocalMinimum, cluster_minima, distance

#: No more starts are refined than this, the first ones; and so many of them at the last levels by themselves, too.
MAX_STARTS, MAX_NEAR = 8, 3

#: So many tries, evenly up to so many standard deviations either way; what they leave of the deviation.
N_SAMPLES, MAX_DEVIATIONS, REMAINING_DEVIATION = 12, 2.5, 0.5


@dataclass(frozen=True, eq=False)
class Start:
    """A pose world_from_ct (4, 4), and its expected error: root mean square, in mm, of points 60 mm from the anatomy's centre."""

    world_from_ct: np.ndarray
    expected_mm: float


def refine_from(
    anatomy: PreparedCT,
    views: list[View],
    starts: Sequence[Start],
    progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
    *,
    centre: np.ndarray | None = None,
    reach: Range | None = None,
    seed: int = 0,
) -> Refinement:
    """Register a CT to views from several starts of which any may be right, or none.

    Parameters
    ----------
    starts : one or more, the most credible first. `Refinement.selected_start` is the number of the one that led to the answer.
    progress, shared : as in `pipeline.refine`.
    centre, reach : the CT lies within `reach` of the pose `centre` (4, 4), where that is known; then a search goes along.
    seed : of the quasi-random poses.

    Raises
    ------
    InputError
        Where from no start the views show enough of the CT, nor at a pose within the range.
    """
    refinement = _StartsPipeline(
        anatomy, views, starts[:MAX_STARTS], progress, shared, centre, reach, seed
    ).refinement()
    if refinement is None:
        raise InputError(
            "start: from none of the poses to start from do the X-rays show enough of the CT, expected one at which they show "
            "most of it; correct the geometry of the views, or use another start."
        )
    return refinement


class _StartsPipeline(RegistrationPipeline):
    def __init__(
        self,
        anatomy: PreparedCT,
        views: list[View],
        starts: Sequence[Start],
        progress: Callable[[Progress], object],
        shared: SharedUnknowns,
        centre: np.ndarray | None,
        reach: Range | None,
        seed: int,
    ) -> None:
        super().__init__(
            anatomy, views, starts[0].world_from_ct if centre is None else centre, progress, shared, seed=seed
        )
        self._starts, self._reach = starts, reach
        self._near = [n for n, start in enumerate(starts) if start.expected_mm <= schedule.CAPTURE_RADIUS_MM]
        self._pruned: list = []

    def refinement(self) -> Refinement | None:
        minima = self._initial_search()
        if not self._is_settled(minima):
            minima = self._widen_search(minima)
        for centre, reach in self._last_ranges():
            if not self._is_settled(minima):
                minima = self.search_second_level(minima, centre, reach, with_start=reach is not self._reach)
        return self.refine_to_finest(
            minima, self._pruned, self._traces, [start.world_from_ct for start in self._starts[:MAX_NEAR]]
        )

    def _is_settled(self, minima: list[LocalMinimum]) -> bool:
        """Whether no further search is needed. Of a structure, which others overlie, it says more that several descents ended there."""
        if self.anatomy.structure:
            return bool(minima) and minima[0].n_descents >= CONVERGED_DESCENTS
        return is_plausible(minima)

    def _initial_search(self) -> list[LocalMinimum]:
        """The second level's answers from every start: those expected near begin there, the others at the coarsest.

        One that is hardly farther off does both, as the coarsest level can mislead: of a CT that is cut off it shows little but the cut.
        """
        minima = self._descended(
            1, [n for n, start in enumerate(self._starts) if start.expected_mm <= 3 * schedule.CAPTURE_RADIUS_MM]
        )
        coarse = self._descended(0, [n for n in range(len(self._starts)) if n not in self._near])
        if not self._near:
            coarse = self._merge(coarse, self._around(0))
        if self._reach:
            coarse = self._merge(coarse, self.search(0, self._centre, self._reach, schedule.SIDE_SEARCH_BUDGET).minima)
        self._traces = [LevelTrace(self._level_name(0), coarse[0].descent.steps)] if coarse and not self._near else []
        return self._add_coarse(minima, coarse)

    def _widen_search(self, minima: list[LocalMinimum]) -> list[LocalMinimum]:
        """The same with what the surroundings of the starts hold, and the whole range where there is one."""
        coarse: list[LocalMinimum] = []
        for n in range(len(self._starts)):
            if self._near or n:
                coarse = self._merge(coarse, self._around(n))
        if self._reach:
            budget = schedule.search_budget(self._reach, structure=self.anatomy.structure)
            coarse = self._merge(coarse, self.search(0, self._centre, self._reach, budget).minima)
        return self._add_coarse(minima, coarse)

    def _descended(self, number: int, starts: list[int]) -> list[LocalMinimum]:
        return self.descend_from(
            number, [self._starts[n].world_from_ct for n in starts], [frozenset([n]) for n in starts]
        )

    def _around(self, n: int) -> list[LocalMinimum]:
        """The coarsest level's answers about a start."""
        start = self._starts[n]
        reach = self._range_about(start)
        found = self.search(
            0,
            start.world_from_ct,
            reach,
            schedule.local_budget(reach, structure=self.anatomy.structure),
            with_start=True,
        )
        return [replace(minimum, descent=replace(minimum.descent, origins=frozenset([n]))) for minimum in found.minima]

    def _last_ranges(self) -> list[tuple[np.ndarray, Range]]:
        """The ranges in which the second level is searched: about the two most credible starts, and in the range where there is one."""
        about = [(start.world_from_ct, self._range_about(start)) for start in self._starts[:2]]
        return about + ([(self._centre, self._reach)] if self._reach else [])

    def _range_about(self, start: Start) -> Range:
        return schedule.range_for_error(
            max(start.expected_mm, 2 * schedule.CAPTURE_RADIUS_MM), structure=self.anatomy.structure
        )

    def _merge(self, minima: list[LocalMinimum], more: list[LocalMinimum]) -> list[LocalMinimum]:
        return cluster_minima(minima, [minimum.descent for minimum in more], self.anatomy.centroid)

    def _add_coarse(self, minima: list[LocalMinimum], coarse: list[LocalMinimum]) -> list[LocalMinimum]:
        """The second level's answers with those to which the coarsest level's lead that are no old ones."""
        new = []
        for minimum in coarse:
            old = next((old for old in minima if self._distance_mm(old, minimum) <= DISTINCT_MM), None)
            if old is None:
                new.append(minimum)
            else:
                old.n_descents += minimum.n_descents
        kept, pruned = prune(new, *schedule.KEEP_AFTER_COARSEST)
        self._pruned += pruned
        return self._merge(minima, self.refine_level(1, kept))

    def _distance_mm(self, minimum: LocalMinimum, other: LocalMinimum) -> float:
        return distance(minimum.descent.world_from_ct, other.descent.world_from_ct, self.anatomy.centroid)


def refine_along_least_certain_axis(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    covariance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Move a pose along its least certain direction, mostly a view's depth, to where it has the most evidence.

    What moves the CT along a beam hardly changes an image, so that a network errs most there, and its covariance
    shows it. All else is known
    well enough for a few samples along that one direction.

    Parameters
    ----------
    world_from_ct : (4, 4).
    covariance : (6, 6) of the motion (omega rad, v mm) from the pose to the true one about the anatomy's centroid, world axes.

    Returns
    -------
    world_from_ct : (4, 4), of the best sample at the second resolution.
    covariance : (6, 6), after the search.
    """
    scale = np.repeat([RADIUS_MM, 1.0], 3)  # an angle counts at that distance from the centroid
    variances, axes = np.linalg.eigh(covariance * np.outer(scale, scale))
    deviation = np.sqrt(variances[-1]) * axes[:, -1] / scale
    centre = rigid.transform_points(world_from_ct, anatomy.centroid)
    poses = [
        moved(world_from_ct, share * deviation, centre)
        for share in np.linspace(-MAX_DEVIATIONS, MAX_DEVIATIONS, N_SAMPLES)
    ]
    levels = anatomy.levels(list(views), world_from_ct)
    objective = anatomy.objective(list(views), levels[min(1, len(levels) - 1)], world_from_ct)
    fits = [objective.evaluate(EvaluationPoint(pose)).linearise() for pose in poses]
    evidence = [fit.evidence if np.isfinite(fit.cost) else 0.0 for fit in fits]
    if not any(evidence):  # nowhere is enough of the CT shown
        return world_from_ct, covariance
    return poses[int(np.argmax(evidence))], covariance - (1 - REMAINING_DEVIATION**2) * np.outer(deviation, deviation)
