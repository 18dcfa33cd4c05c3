"""One structure among others, found where the whole CT lies.

Of a single bone X-rays show little that others do not overlie: by itself it is drawn to whatever looks like it. The whole CT has far more
to show, and where it lies the bone lies, or near it. From there the bone is registered before the rest of the CT, which stays: X-rays add
up what lies behind one another, so that bone and rest together look like the X-ray, which the bone alone does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..imaging.view import View
from . import schedule
from .cameras import CALIBRATED
from .pipeline import OTHER_MM, LevelTrace, Progress, Refinement, Registration, prune
from .prepared_ct import PreparedCT
from .search import cluster_minima, distance

#: What the whole CT takes of the time.
WHOLE_SHARE = 0.4

#: Registers an anatomy to views, and tells its progress.
Find = Callable[[PreparedCT, list[View], Callable[[Progress], object]], Refinement]


def register_structure(
    anatomy: PreparedCT,
    views: list[View],
    find: Find,
    progress: Callable[[Progress], object] = lambda _: None,
    starts: Sequence[np.ndarray] = (),
) -> Refinement:
    """What `find` finds; of a structure whose CT is known as a whole, what it is found to be before the rest of that.

    starts: (4, 4) each, where the structure itself is said to be: looked at as well.

    Where the X-rays do not look like the whole CT (limbs that are bent otherwise) the structure is registered by itself. Cameras are
    corrected by the whole CT.
    """
    if anatomy.full_ct is None:
        return find(anatomy, views, progress)
    placed = register_background(
        anatomy,
        views,
        find,
        lambda told: progress(replace(told, fraction=WHOLE_SHARE * told.fraction, stage=f"the whole CT: {told.stage}")),
    )

    def after(told: Progress) -> object:
        return progress(replace(told, fraction=WHOLE_SHARE + (1 - WHOLE_SHARE) * told.fraction))

    if placed is None:
        return find(anatomy, views, after)
    world_from_background = placed.world_from_ct
    others = [start for start in starts if distance(start, world_from_background, anatomy.centroid) > OTHER_MM]
    exact = [view.exact() for view in placed.views]
    found = _Among(
        anatomy.with_background(world_from_background), exact, world_from_background, after, CALIBRATED
    ).refinement(others)
    if found is None:  # the structure is not in the X-rays where the CT is
        return find(anatomy, views, after)
    return replace(
        found,
        views=placed.views,
        shared=placed.shared,
        candidates=placed.candidates + found.candidates,
        refined=placed.refined + found.refined,
        search_seconds=placed.search_seconds + found.search_seconds,
        selected_start=placed.selected_start,
        world_from_background=world_from_background,
    )


def register_background(
    anatomy: PreparedCT,
    views: list[View],
    find: Find,
    progress: Callable[[Progress], object] = lambda _: None,
) -> Refinement | None:
    """The whole CT registered of which this is a structure; None where the X-rays do not look like it."""
    if anatomy.full_ct is None:
        return None
    try:
        placed = find(anatomy.full_ct, views, progress)
    except InputError:
        return None
    return placed if placed.fit.least_similarity >= schedule.MIN_PLAUSIBLE_NCC else None


class _Among(Registration):
    """A structure before the rest of its CT, which stays where the registration begins."""

    def refinement(self, others: Sequence[np.ndarray]) -> Refinement | None:
        """The best answer about where the rest has the structure, and from other poses (4, 4); None if there is none."""
        found = self.search(
            0, self._centre, schedule.STRUCTURE_LOCAL_RANGE, schedule.STRUCTURE_LOCAL_BUDGET, with_start=True
        )
        coarse = cluster_minima(
            found.minima, [minimum.descent for minimum in self.descended(0, others)], self.anatomy.centroid
        )
        kept, rivals = prune(coarse, *schedule.KEEP_WITH_BACKGROUND)
        fine = cluster_minima(
            self.refined(1, kept), [minimum.descent for minimum in self.descended(1, others)], self.anatomy.centroid
        )
        return self.finished(
            fine, rivals, [LevelTrace(self._size(0), minimum.descent.steps) for minimum in coarse[:1]], [self._centre]
        )
