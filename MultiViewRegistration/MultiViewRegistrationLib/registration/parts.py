"""Registrations in parts: views that nothing ties together, and a masked structure before the rest of its CT.

Of a single bone X-rays show little that others do not overlie: by itself it is drawn to whatever looks like it. The whole CT has far more
to show, and where it lies the bone lies, or near it. From there the bone is registered before the rest of the CT, which stays: X-rays add
up what lies behind one another, so that bone and background together look like the X-ray, which the bone alone does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from . import schedule
from .cameras import CALIBRATED, uncalibrated_view_indices
from .optimizer import DescentStart, distance
from .pipeline import DISTINCT_MM, Progress, Refinement, RegistrationPipeline
from .prepared_ct import PreparedCT

#: The share of the time that the whole CT takes.
FULL_CT_SHARE = 0.4

#: Registers an anatomy to views: find(anatomy, views, progress=...).
Find = Callable[..., Refinement]


def register_views(
    views: list[View],
    find: Callable[..., Refinement],
    progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
) -> Refinement:
    """Register all views: those that are tied to the first together, each of the others by itself.

    One rigid anatomy cannot tie a view of unknown geometry: the pose and such a camera are interchangeable, and all that its image tells is
    camera_from_ct. Its camera is chosen so that the pose of the other views holds in it, which makes it, relative to theirs, an output.

    Parameters
    ----------
    find : registers the views it gets, called as find(views, progress=...).
    progress, shared : as in `pipeline.refine`.
    """
    alone = uncalibrated_view_indices(views, shared)
    if not alone:
        return find(views, progress=progress)
    together = [i for i in range(len(views)) if i not in alone]
    pose = None

    def found(done: int, chosen: list[int]) -> Refinement:
        def report(part: Progress) -> object:
            fraction = (done + part.fraction) / (1 + len(alone))
            return progress(
                replace(part, fraction=fraction, world_from_ct=part.world_from_ct if pose is None else pose)
            )

        return find([views[i] for i in chosen], progress=report)

    joint = found(0, together)
    pose, seconds = joint.world_from_ct, joint.search_seconds
    fit = joint.fit
    seen = dict(zip(together, zip(joint.views, fit.pixels, fit.shown, fit.similarity, strict=True), strict=True))
    for done, i in enumerate(alone, start=1):
        single = found(done, [i])
        seconds += single.search_seconds
        given = views[i].camera
        motion = single.world_from_ct @ rigid.inverse(pose)
        camera = replace(given, camera_from_world=given.camera_from_world @ motion)
        seen[i] = replace(views[i], camera=camera), single.fit.pixels[0], single.fit.shown[0], single.fit.similarity[0]
    corrected, pixels, shown, similarity = zip(*(seen[i] for i in range(len(views))), strict=True)
    fit = replace(fit, pixels=pixels, shown=shown, similarity=similarity)
    return replace(joint, fit=fit, views=list(corrected), search_seconds=seconds)


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
    find : registers a CT to views, called as find(anatomy, views, progress=...).
    progress : as in `pipeline.refine`.
    starts : (4, 4) each, poses of the structure to try as well.
    """
    if anatomy.full_ct is None:
        return find(anatomy, views, progress=progress)
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
        return find(anatomy, views, progress=after)
    world_from_background = background.world_from_ct
    others = [start for start in starts if distance(start, world_from_background, anatomy.centroid) > DISTINCT_MM]
    exact = [view.exact() for view in background.views]
    found = _StructurePipeline(
        anatomy.with_background(world_from_background), exact, world_from_background, after, CALIBRATED
    ).refinement(others)
    if found is None:  # the structure is not in the X-rays where the CT is
        return find(anatomy, views, progress=after)
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
        background = find(anatomy.full_ct, views, progress=progress)
    except InputError:
        return None
    return background if background.fit.min_similarity >= schedule.MIN_PLAUSIBLE_NCC else None


class _StructurePipeline(RegistrationPipeline):
    """A structure before the rest of its CT, which stays where the registration begins."""

    def refinement(self, others: Sequence[np.ndarray]) -> Refinement | None:
        """The best answer about where the rest has the structure, and from other poses (4, 4); None if there is none."""
        starts = [DescentStart(pose) for pose in others]
        found, _ = self.search(
            0, self._centre, schedule.STRUCTURE_LOCAL_RANGE, schedule.STRUCTURE_LOCAL_BUDGET, with_start=True
        )
        coarse = self.merge(found, self.descend(0, starts))
        if coarse:
            self.trace(0, coarse)
        fine = self.descend(1, self.keep(coarse, *schedule.KEEP_WITH_BACKGROUND))
        return self.refine_to_finest(self.merge(fine, self.descend(1, starts)), [self._centre])
