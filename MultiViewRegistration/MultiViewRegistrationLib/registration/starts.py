"""From several poses that may be right, each with the error to expect of it, to the registered pose.

A network's answers, of all views together and of each alone, are such poses. Where one is expected to be near, the coarsest resolution
has nothing to add, and what is expected to be farther off begins there. Nobody is believed: all are refined side by side, a small search
beside them if a range is known, and the most evidence wins. Where even the winner does not look like the X-rays, its surroundings, those of
the others and at last the whole range are looked through before it is taken.
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
from .pipeline import OTHER_MM, LevelTrace, Progress, Refinement, Registration, is_plausible, prune
from .prepared_ct import PreparedCT
from .schedule import Range
from .search import RADIUS_MM, SURE_DESCENTS, LocalMinimum, cluster_minima, distance

#: No more starts are refined than this, the first ones; and so many of them at the last levels by themselves, too.
MOST_STARTS, MOST_NEAR = 8, 3

#: So many tries, evenly up to so many standard deviations either way; what they leave of the deviation.
N_SAMPLES, MAX_DEVIATIONS, REMAINING_DEVIATION = 12, 2.5, 0.5


@dataclass(frozen=True, eq=False)
class Start:
    """A pose world_from_ct (4, 4), and the error to expect: root mean square, in mm, of points 60 mm from the anatomy's centre."""

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

    starts: one or more, the most credible first. `Refinement.selected_start` tells from which of them the answer came.
    centre, reach: the CT lies within `reach` of the pose `centre` (4, 4), where that is known; then a search goes along.
    seed: of the quasi-random poses.   The others as in `refine`.

    InputError where from no start the views show enough of the CT, nor at a pose within the range.
    """
    refinement = _FromStarts(anatomy, views, starts[:MOST_STARTS], progress, shared, centre, reach, seed).refinement()
    if refinement is None:
        raise InputError(
            "start: from none of the poses to start from do the X-rays show enough of the CT, expected one at which they show "
            "most of it; correct the geometry of the views, or use another start."
        )
    return refinement


class _FromStarts(Registration):
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
        self._rivals: list = []

    def refinement(self) -> Refinement | None:
        minima = self._first_look()
        if not self._settled(minima):
            minima = self._wider_look(minima)
        for centre, reach in self._last_ranges():
            if not self._settled(minima):
                minima = self.with_second_look(minima, centre, reach, with_start=reach is not self._reach)
        return self.finished(
            minima, self._rivals, self._traces, [start.world_from_ct for start in self._starts[:MOST_NEAR]]
        )

    def _settled(self, minima: list[LocalMinimum]) -> bool:
        """Whether nothing is left to be looked for: of a structure, which others overlie, it says more that several ways led there."""
        if self.anatomy.structure:
            return bool(minima) and minima[0].n_descents >= SURE_DESCENTS
        return is_plausible(minima)

    def _first_look(self) -> list[LocalMinimum]:
        """The second level's answers from every start: those expected near begin there, the others at the coarsest.

        One that is hardly farther off does both, as the coarsest level can mislead: of a CT that is cut off it shows little but the cut.
        """
        minima = self._descended(
            1, [n for n, start in enumerate(self._starts) if start.expected_mm <= 3 * schedule.CAPTURE_RADIUS_MM]
        )
        coarse = self._descended(0, [n for n in range(len(self._starts)) if n not in self._near])
        if not self._near:
            coarse = self._with(coarse, self._around(0))
        if self._reach:
            coarse = self._with(coarse, self.search(0, self._centre, self._reach, schedule.SIDE_SEARCH_BUDGET).minima)
        self._traces = [LevelTrace(self._size(0), coarse[0].descent.steps)] if coarse and not self._near else []
        return self._on(minima, coarse)

    def _wider_look(self, minima: list[LocalMinimum]) -> list[LocalMinimum]:
        """The same with what the surroundings of the starts hold, and the whole range where there is one."""
        coarse: list[LocalMinimum] = []
        for n in range(len(self._starts)):
            if self._near or n:
                coarse = self._with(coarse, self._around(n))
        if self._reach:
            effort = schedule.search_budget(self._reach, structure=self.anatomy.structure)
            coarse = self._with(coarse, self.search(0, self._centre, self._reach, effort).minima)
        return self._on(minima, coarse)

    def _descended(self, number: int, starts: list[int]) -> list[LocalMinimum]:
        return self.descended(number, [self._starts[n].world_from_ct for n in starts], [frozenset([n]) for n in starts])

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
        """Where the second level is looked through: about the two most credible starts, and in the range where there is one."""
        about = [(start.world_from_ct, self._range_about(start)) for start in self._starts[:2]]
        return about + ([(self._centre, self._reach)] if self._reach else [])

    def _range_about(self, start: Start) -> Range:
        return schedule.range_for_error(
            max(start.expected_mm, 2 * schedule.CAPTURE_RADIUS_MM), structure=self.anatomy.structure
        )

    def _with(self, minima: list[LocalMinimum], more: list[LocalMinimum]) -> list[LocalMinimum]:
        return cluster_minima(minima, [minimum.descent for minimum in more], self.anatomy.centroid)

    def _on(self, minima: list[LocalMinimum], coarse: list[LocalMinimum]) -> list[LocalMinimum]:
        """The second level's answers with those to which the coarsest level's lead that are no old ones."""
        new = []
        for minimum in coarse:
            old = next((old for old in minima if self._apart_mm(old, minimum) <= OTHER_MM), None)
            if old is None:
                new.append(minimum)
            else:
                old.n_descents += minimum.n_descents
        kept, rivals = prune(new, *schedule.KEEP_AFTER_COARSEST)
        self._rivals += rivals
        return self._with(minima, self.refined(1, kept))

    def _apart_mm(self, minimum: LocalMinimum, other: LocalMinimum) -> float:
        return distance(minimum.descent.world_from_ct, other.descent.world_from_ct, self.anatomy.centroid)


def refine_along_least_certain_axis(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    covariance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The pose (4, 4) along the direction of the largest variance with the most evidence at the second resolution, and its covariance.

    covariance: (6, 6) of the motion (omega rad, v mm) from the pose to the true one about the anatomy's centroid, world axes.
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
