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
from .optimizer import RADIUS_MM, Descent, DescentStart, distance, moved
from .pipeline import CONVERGED_DESCENTS, DISTINCT_MM, Progress, Refinement, RegistrationPipeline, is_plausible
from .prepared_ct import PreparedCT
from .schedule import Range

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
    middle = starts[0].world_from_ct if centre is None else centre
    pipeline = _StartsPipeline(anatomy, views, middle, progress, shared, seed=seed)
    refinement = pipeline.refinement(starts[:MAX_STARTS], reach)
    if refinement is None:
        raise InputError(
            "start: from none of the poses to start from do the X-rays show enough of the CT, expected one at which they show "
            "most of it; correct the geometry of the views, or use another start."
        )
    return refinement


class _StartsPipeline(RegistrationPipeline):
    def refinement(self, starts: Sequence[Start], reach: Range | None) -> Refinement | None:
        """The best answer from any start, or within `reach` of the centre; None if there is none.

        Starts that are expected near begin at the second level, the others at the coarsest. One that is hardly farther off does both, as
        the coarsest level can mislead: of a CT that is cut off it shows little but the cut.
        """
        structure, all_starts = self.anatomy.structure, range(len(starts))
        near = [n for n in all_starts if starts[n].expected_mm <= schedule.CAPTURE_RADIUS_MM]
        ranges = [
            schedule.range_for_error(max(start.expected_mm, 2 * schedule.CAPTURE_RADIUS_MM), structure=structure)
            for start in starts
        ]

        def descended(level: int, numbers: Sequence[int]) -> list[Descent]:
            return self.descend(level, [DescentStart(starts[n].world_from_ct, frozenset([n])) for n in numbers])

        def around(n: int) -> list[Descent]:
            """The coarsest level's answers about a start."""
            budget = schedule.local_budget(ranges[n], structure=structure)
            found, _ = self.search(0, starts[n].world_from_ct, ranges[n], budget, with_start=True)
            return [replace(minimum, origins=frozenset([n])) for minimum in found]

        minima = descended(1, [n for n in all_starts if starts[n].expected_mm <= 3 * schedule.CAPTURE_RADIUS_MM])
        coarse = descended(0, [n for n in all_starts if n not in near])
        if not near:
            coarse = self.merge(coarse, around(0))
        if reach:
            coarse = self.merge(coarse, self.search(0, self._centre, reach, schedule.SIDE_SEARCH_BUDGET)[0])
        if coarse and not near:
            self.trace(0, coarse)
        minima = self._add_coarse(minima, coarse)
        if not self._is_settled(minima):
            coarse = []
            for n in all_starts:
                if near or n:
                    coarse = self.merge(coarse, around(n))
            if reach:
                budget = schedule.search_budget(reach, structure=structure)
                coarse = self.merge(coarse, self.search(0, self._centre, reach, budget)[0])
            minima = self._add_coarse(minima, coarse)
        for start, about in zip(starts[:2], ranges, strict=False):
            if not self._is_settled(minima):
                minima = self.search_second_level(minima, start.world_from_ct, about, with_start=True)
        if reach and not self._is_settled(minima):
            minima = self.search_second_level(minima, self._centre, reach)
        return self.refine_to_finest(minima, [start.world_from_ct for start in starts[:MAX_NEAR]])

    def _is_settled(self, minima: list[Descent]) -> bool:
        """Whether no further search is needed. Of a structure, which others overlie, it says more that several descents ended there."""
        if self.anatomy.structure:
            return bool(minima) and minima[0].n_descents >= CONVERGED_DESCENTS
        return is_plausible(minima)

    def _add_coarse(self, minima: list[Descent], coarse: list[Descent]) -> list[Descent]:
        """The second level's answers with those to which the coarsest level's lead that are no old ones."""
        minima, new = list(minima), []
        for each in coarse:
            for n, old in enumerate(minima):
                if distance(old.world_from_ct, each.world_from_ct, self.anatomy.centroid) <= DISTINCT_MM:
                    minima[n] = replace(old, n_descents=old.n_descents + each.n_descents)
                    break
            else:
                new.append(each)
        return self.merge(minima, self.descend(1, self.keep(new, *schedule.KEEP_AFTER_COARSEST)))


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
