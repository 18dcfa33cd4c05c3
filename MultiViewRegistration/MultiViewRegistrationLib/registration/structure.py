"""Register a masked structure with the rest of the CT rendered as a fixed background.

Of a single bone X-rays show little that others do not overlie: by itself it is drawn to whatever looks like it. The whole CT has far more
to show, and where it lies the bone lies, or near it. From there the bone is registered before the rest of the CT, which stays: X-rays add
up what lies behind one another, so that bone and background together look like the X-ray, which the bone alone does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..imaging.view import View
from . import schedule
from .cameras import CALIBRATED
from .pipeline import DISTINCT_MM, LevelTrace, Progress, Refinement, RegistrationPipeline, prune
from .prepared_ct import PreparedCT
from .search import cluster_minima, distance

#: The share of the time that the whole CT takes.
FULL_CT_SHARE = 0.4

#: Registers an anatomy to views, and tells its progress.
Find = Callable[[PreparedCT, list[View], Callable[[Progress], object]], Refinement]


def register_structure(
    anatomy: PreparedCT,
    views: list[View],
    find: Find,
    progress: Callable[[Progress], object] = lambda _: None,
    starts: Sequence[np.ndarray] = (),
) -> Refinement:
    """Register a structure before the rest of its CT; a CT without a mask as `find` does.

    Where the X-rays do not look like the whole CT (limbs that are bent otherwise) the structure is registered by
    itself. Cameras are corrected
    by the whole CT.

    Parameters
    ----------
    find : registers a CT to views, and reports its progress.
    progress : as in `pipeline.refine`.
    starts : (4, 4) each, poses of the structure to try as well.
    """
    if anatomy.full_ct is None:
        return find(anatomy, views, progress)
    background = register_background(
        anatomy,
        views,
        find,
        lambda done: progress(
            replace(done, fraction=FULL_CT_SHARE * done.fraction, stage=f"the whole CT: {done.stage}")
        ),
    )

    def after(done: Progress) -> object:
        return progress(replace(done, fraction=FULL_CT_SHARE + (1 - FULL_CT_SHARE) * done.fraction))

    if background is None:
        return find(anatomy, views, after)
    world_from_background = background.world_from_ct
    others = [start for start in starts if distance(start, world_from_background, anatomy.centroid) > DISTINCT_MM]
    exact = [view.exact() for view in background.views]
    found = _StructurePipeline(
        anatomy.with_background(world_from_background), exact, world_from_background, after, CALIBRATED
    ).refinement(others)
    if found is None:  # the structure is not in the X-rays where the CT is
        return find(anatomy, views, after)
    return replace(
        found,
        views=background.views,
        shared=background.shared,
        candidates=background.candidates + found.candidates,
        refined=background.refined + found.refined,
        search_seconds=background.search_seconds + found.search_seconds,
        selected_start=background.selected_start,
        world_from_background=world_from_background,
    )


def register_background(
    anatomy: PreparedCT,
    views: list[View],
    find: Find,
    progress: Callable[[Progress], object] = lambda _: None,
) -> Refinement | None:
    """Register the whole CT of which this is a structure; None where the X-rays do not look like it."""
    if anatomy.full_ct is None:
        return None
    try:
        background = find(anatomy.full_ct, views, progress)
    except InputError:
        return None
    return background if background.fit.min_similarity >= schedule.MIN_PLAUSIBLE_NCC else None


class _StructurePipeline(RegistrationPipeline):
    """A structure before the rest of its CT, which stays where the registration begins."""

    def refinement(self, others: Sequence[np.ndarray]) -> Refinement | None:
        """The best answer about where the rest has the structure, and from other poses (4, 4); None if there is none."""
        found = self.search(
            0, self._centre, schedule.STRUCTURE_LOCAL_RANGE, schedule.STRUCTURE_LOCAL_BUDGET, with_start=True
        )
        coarse = cluster_minima(
            found.minima, [minimum.descent for minimum in self.descend_from(0, others)], self.anatomy.centroid
        )
        kept, pruned = prune(coarse, *schedule.KEEP_WITH_BACKGROUND)
        fine = cluster_minima(
            self.refine_level(1, kept),
            [minimum.descent for minimum in self.descend_from(1, others)],
            self.anatomy.centroid,
        )
        return self.refine_to_finest(
            fine,
            pruned,
            [LevelTrace(self._level_name(0), minimum.descent.steps) for minimum in coarse[:1]],
            [self._centre],
        )
