"""Views of unknown geometry: one rigid anatomy cannot tie them, so that each is registered by itself.

The pose and such a camera are interchangeable: all that its image tells is camera_from_ct. Its camera is chosen so that the pose of the
other views holds in it, which makes the camera relative to theirs an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from .cameras import CALIBRATED
from .pipeline import Progress, Refinement


def uncalibrated_view_indices(views: Sequence[View], shared: SharedUnknowns = CALIBRATED) -> list[int]:
    """Indices of the views that nothing ties to the first one: neither a prior on their camera nor an unknown shared by all."""
    if shared != CALIBRATED:
        return []
    return [i for i, view in enumerate(views) if i and view.rotation_sd_deg is None and view.translation_sd_mm is None]


def register_views(
    views: list[View],
    find: Callable[[list[View], Callable[[Progress], object]], Refinement],
    progress: Callable[[Progress], object] = lambda _: None,
    shared: SharedUnknowns = CALIBRATED,
) -> Refinement:
    """Register all views: those that are tied to the first together, each of the others by itself.

    Parameters
    ----------
    find : registers the views it gets, `refine` or `refine_anywhere` with all else bound, and reports its progress.
    progress, shared : as in `pipeline.refine`.
    """
    alone = uncalibrated_view_indices(views, shared)
    if not alone:
        return find(views, progress)
    together = [i for i in range(len(views)) if i not in alone]
    pose = None

    def found(done: int, chosen: list[int]) -> Refinement:
        def report(part: Progress) -> object:
            fraction = (done + part.fraction) / (1 + len(alone))
            return progress(
                replace(part, fraction=fraction, world_from_ct=part.world_from_ct if pose is None else pose)
            )

        return find([views[i] for i in chosen], report)

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
