"""Scores of many poses at one resolution, for a search: how alike each one's DRRs are to the X-rays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..imaging.xray import View
from ..rendering import cpu
from ..rendering.devices import run_tasks
from ..rendering.drr import Projector
from .similarity import (
    MIN_PIXELS,
    MIN_SHARE,
    Settings,
    erode,
    gradient_residual,
    intensity_residual,
    keep_near,
    local_ncc,
    silhouette_margin,
    window_weight,
)

#: Poses that a thread takes at a time.
_BLOCK = 32


@dataclass(eq=False)
class Scorer:
    """Views and a volume at one resolution.

    A pose's score in a view is the local NCC of X-ray and DRR, of their gradients, or of both, as
    `settings` says; 1 is perfect. Of a body it is multiplied by the square root of the share of the
    X-ray that can be compared at that pose, or poses that hide most of the CT would win; of a
    structure only the surroundings of its silhouette count.

    Parameters
    ----------
    centroid
        (3,) CT mm, of the anatomy, at whose depth `settings.silhouette_mm` is measured.
    """

    projector: Projector
    views: list[View]
    settings: Settings
    centroid: np.ndarray

    def scores(self, poses: np.ndarray) -> np.ndarray:
        """Return (views, N) the scores of the poses world_from_ct (N, 4, 4).

        0 where a view shows nothing of the CT.
        """
        found = np.empty((len(self.views), len(poses)), np.float32)
        tasks = []
        for view, out in zip(self.views, found, strict=True):
            for first in range(0, len(poses), _BLOCK):
                block = slice(first, first + _BLOCK)
                tasks.append(partial(self._score, view, poses[block], out[block]))
        run_tasks(tasks)
        return found

    def _score(self, view: View, poses: np.ndarray, out: np.ndarray) -> None:
        settings = self.settings
        centres = rigid.transform_points(poses, self.centroid)
        margins = silhouette_margin(settings, view.camera, centres)
        xray = view.xray
        score_poses(
            self.projector.placed(view.camera, poses),
            Fixed(xray.line_integrals, xray.valid.view(np.uint8)),
            settings.windows,
            margins,
            out,
        )


class Fixed(NamedTuple):
    """What DRRs are compared with: an X-ray and its valid pixels (rows, columns)."""

    image: np.ndarray
    valid: np.ndarray


@cpu.kernel
def _count(mask: np.ndarray):
    """Return the number of pixels that are 1 in a mask of 0 and 1.

    Loops are compiled in half the time of expressions of arrays.
    """
    rows, columns = mask.shape
    total = 0.0
    for r in range(rows):
        for c in range(columns):
            total += mask[r, c]
    return total


@cpu.kernel
def score_poses(placed, xray, windows, margins, out):
    """Fill `out` (N,) with the scores of N poses in one view.

    Parameters
    ----------
    placed
        `cpu.Placed`.
    xray
        `Fixed`.
    windows
        See `Settings.windows`.
    margins
        (N,) pixels about the silhouette within which to compare; 0 for the whole image.
    """
    fixed, valid = xray
    intensities, gradients = windows
    rows, columns = fixed.shape
    image = np.empty((rows, columns), np.float32)
    mask = np.empty((rows, columns), np.float32)
    nothing = np.empty((6, 0, 0), np.float32)
    usable = 0
    for r in range(rows):
        for c in range(columns):
            usable += valid[r, c]
    for n in range(len(out)):
        seen = valid.copy()
        cpu.draw_pose(placed, n, seen, image)
        erode(seen, mask)
        compared = _count(mask)
        share = compared / max(usable, 1)
        if margins[n]:
            share = 1.0
            keep_near(image, margins[n], mask)
            compared = _count(mask)
        out[n] = 0.0
        if share < MIN_SHARE or compared < MIN_PIXELS:
            continue
        products = np.zeros(3)
        if intensities.radius:
            weight = window_weight(mask, intensities.radius)
            products = intensity_residual(image, nothing, fixed, mask, weight, intensities)[2]
        if gradients.radius:
            weight = window_weight(mask, gradients.radius)
            sums = gradient_residual(image, nothing, fixed, mask, weight, gradients)[2]
            for i in range(3):
                products[i] += sums[i]
        out[n] = local_ncc(products) * math.sqrt(share)
