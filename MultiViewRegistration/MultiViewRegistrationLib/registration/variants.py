"""Registrations other than from one start pose.

Of views that nothing ties together, and from several starts.

Several starts that may be right are a network's answers, of all views together and of each alone,
each with its expected error. Where one is expected to be near, the coarsest resolution has nothing
to add, and what is expected to be farther off begins there. Every start is refined and scored,
beside a small search if a range is known, and the most evidence wins. Where even the winner does
not look like the X-rays, the surroundings of the starts and at last the whole range are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError, part_of, unseen
from ..geometry import rigid
from ..imaging.xray import SharedUnknowns, View
from .cameras import CALIBRATED, uncalibrated_view_indices
from .objective import EvaluationPoint
from .optimizer import (
    CAPTURE_RADIUS_MM,
    KEEP_AFTER_COARSEST,
    RADIUS_MM,
    SIDE_SEARCH_BUDGET,
    Descent,
    DescentStart,
    Range,
    distance,
    is_plausible,
    local_budget,
    range_for_error,
    search_budget,
)
from .pipeline import CONVERGED_DESCENTS, DISTINCT_MM, RegistrationPipeline
from .prepared_ct import PreparedCT
from .refinement import Progress, Refinement, Report

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
