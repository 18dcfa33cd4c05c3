"""Scores of many poses at one coarse resolution, one kernel for a whole pose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numba as nb
import numpy as np

from ..geometry import rigid
from ..imaging.view import View
from ..rendering import cpu, threads
from ..rendering.drr import Projector
from . import similarity
from .objective import MIN_PIXELS, MIN_SHARE, Settings, silhouette_margin

#: Poses that a thread takes at a time.
_BLOCK = 32


class Scorer:
    """Views and a volume at one resolution.

    A pose's score in a view is the local NCC of X-ray and DRR, of their gradients, or of both, as `settings` says;
    1 is perfect. Of a body it is multiplied by the square root of the share of the X-ray that can be compared at that pose, or poses
    that hide most of the CT would win; of a structure only the surroundings of its silhouette count.

    centroid: (3,) CT mm, of the anatomy, at whose depth `settings.silhouette_mm` is measured.   rest: as in `Objective`.
    """

    def __init__(
        self,
        projector: Projector,
        views: list[View],
        settings: Settings,
        centroid: np.ndarray,
        rest: Sequence[np.ndarray] | None = None,
    ) -> None:
        self._projector = projector
        self._settings = settings
        self._views = views
        self._centroid = centroid
        self._rest = rest or [np.empty((0, 0), np.float32)] * len(views)

    def scores(self, poses: np.ndarray) -> np.ndarray:
        """(views, N) the scores of the poses world_from_ct (N, 4, 4); 0 where a view shows nothing of the CT."""
        found = np.empty((len(self._views), len(poses)), np.float32)
        blocks = [slice(first, first + _BLOCK) for first in range(0, len(poses), _BLOCK)]
        threads.run(
            [
                partial(self._score, view, rest, poses[block], out[block])
                for view, rest, out in zip(self._views, self._rest, found, strict=True)
                for block in blocks
            ]
        )
        return found

    def _score(self, view: View, rest: np.ndarray, poses: np.ndarray, out: np.ndarray) -> None:
        projector, settings = self._projector, self._settings
        rays = projector.grid.rays(view.camera, poses)
        margins = np.zeros(len(poses), int)
        if settings.silhouette_mm is not None:
            margins = silhouette_margin(settings, view.camera, rigid.transform_points(poses, self._centroid))
        cut = projector.cut_across(view.camera, poses)
        score_poses(
            projector.values,
            projector.shape,
            projector.grid.stored,
            cut,
            projector.end_slices,
            rays.source,
            rays.directions,
            rays.world_from_index,
            rays.depth_mm,
            view.xray.line_integrals,
            view.xray.valid.view(np.uint8),
            rest,
            settings.intensity_radius,
            settings.intensity_floor,
            settings.gradient_radius,
            settings.gradient_floor,
            margins,
            out,
        )


@nb.njit(nogil=True, cache=True)
def score_poses(
    values,
    shape,
    stored,
    cut,
    end_slices,
    sources,
    directions,
    world_from_index,
    depths,
    fixed,
    valid,
    rest,
    intensity_radius,
    intensity_floor,
    gradient_radius,
    gradient_floor,
    margins,
    out,
):
    """Fill `out` (N,) with the scores of N poses in one view.

    shape, stored: of the volume, and as it is stored, see `Grid`.
    cut (N, 6), sources (N, 3), world_from_index (N, 3, 3), depths (N,), directions (N, 3, 3): for each pose what
    `cpu.project_rows` and `cpu.mark_unseen` need.   fixed, valid: (rows, columns), the X-ray and its valid pixels.
    rest: (rows, columns), added to the DRR, or (0, 0) for none.
    margins: (N,) pixels about the silhouette within which to compare; 0 for the whole image.
    """
    rows, columns = fixed.shape
    image = np.empty((rows, columns), np.float32)
    mask = np.empty((rows, columns), np.float32)
    nothing = np.empty((6, 0, 0), np.float32)
    usable = 0
    for r in range(rows):
        for c in range(columns):
            usable += valid[r, c]
    for n in range(len(out)):
        source = sources[n]
        seen = valid.copy()
        if cut[n].any():
            cpu.mark_unseen(
                cut[n], end_slices, shape, source, directions[n], world_from_index[n], depths[n], (0, rows), seen
            )
        cpu.project_rows(
            values, stored, source, directions[n], world_from_index[n], source, (0, rows), seen, image, nothing
        )
        similarity.erode(seen, mask)
        share = mask.sum() / max(usable, 1)
        if margins[n]:
            share = 1.0
            similarity.keep_near(image, margins[n], mask)
        out[n] = 0.0
        if share < MIN_SHARE or mask.sum() < MIN_PIXELS:
            continue
        if rest.size:
            image += rest
        products = np.zeros(3)
        if intensity_radius:
            weight = similarity.window_weight(mask, intensity_radius)
            products += similarity.intensity_residual(
                image, nothing, fixed, mask, weight, intensity_radius, intensity_floor
            )[2]
        if gradient_radius:
            weight = similarity.window_weight(mask, gradient_radius)
            products += similarity.gradient_residual(
                image, nothing, fixed, mask, weight, gradient_radius, gradient_floor
            )[2]
        out[n] = products[0] / math.sqrt(products[1] * products[2] + 1e-12) * math.sqrt(share)
