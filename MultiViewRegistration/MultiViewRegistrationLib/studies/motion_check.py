"""A check of registrations that needs neither truth nor the registration's own similarity.

Motion from image to image.

Where one camera took two images of a bone that moved, small patches of the first can be found again
in the second. The poses registered at both instants predict how the bone's surface moved in the
image; right ones predict what was tracked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.signal import fftconvolve

from ..geometry import rigid
from ..imaging.ct import CT, attenuation
from ..imaging.xray import View
from ..rendering.drr import cut_ends

HALF_PATCH_PX = 40
SEARCH_PX = 16
_SMOOTHING_PX = 2.0
_POINTS = 200
#: A patch counts if tracking it back ends this near its beginning, ...
_RETURNS_WITHIN_PX = 0.5
#: ... and if its match is as sharp in every direction as the sharpest half: along an edge nothing
#: can be tracked.
_SHARPEST = 50


@dataclass(frozen=True)
class Motion:
    """Medians over `patches` patches, in pixels (column, row).

    How they moved by tracking, and the motion by the poses minus that.

    No patch is found where the poses say that the structure moved farther than the tracker
    searches.
    """

    patches: int
    tracked_px: tuple[float, float]
    error_px: tuple[float, float]


def check_motion(
    ct: CT,
    first: View,
    second: View,
    world_from_ct_first: np.ndarray,
    world_from_ct_second: np.ndarray,
) -> Motion:
    """Compare tracked with predicted motion from the first image to the second.

    Both must have the same camera.

    The structure's surface must not be overlaid by another bone's, whose motion would be tracked
    instead.
    """
    points = surface_points(ct, _POINTS)
    start = first.camera.project(rigid.transform_points(world_from_ct_first, points))
    end = first.camera.project(rigid.transform_points(world_from_ct_second, points))
    images = [_gradient(view.xray.line_integrals) for view in (first, second)]
    found = []
    for at, predicted in zip(start, end - start, strict=True):
        if np.abs(predicted).max() > SEARCH_PX:
            continue
        there = _track(images[0], images[1], at)
        back = there and _track(images[1], images[0], at + there[0])
        if there and back and np.linalg.norm(there[0] + back[0]) < _RETURNS_WITHIN_PX:
            found.append((there[1], *there[0], *(predicted - there[0])))
    table = np.array(found).reshape(-1, 5)
    if len(table):
        table = table[table[:, 0] >= np.percentile(table[:, 0], _SHARPEST)]
    medians = np.median(table, axis=0) if len(table) else np.full(5, np.nan)
    return Motion(len(table), tuple(medians[1:3].tolist()), tuple(medians[3:5].tolist()))


def surface_points(ct: CT, count: int) -> np.ndarray:
    """Return (count, 3) CT LPS mm.

    Points spread over the dense surface of the structure, the same ones each time.

    Of a bone that the CT cuts off, only the third farthest from the cut: its shaft's straight edges
    cannot be tracked.
    """
    volume = attenuation(ct)
    dense = volume.values > 0.2 * volume.values.max()
    index = np.argwhere(dense & ~ndimage.binary_erosion(dense))[:, ::-1]
    for side in np.flatnonzero(cut_ends(volume)):
        along = index[:, side // 2] if side % 2 else -index[:, side // 2]
        index = index[along <= along.min() + np.ptp(along) / 3]
    chosen = index[np.random.default_rng(0).permutation(len(index))[:count]]
    return rigid.transform_points(volume.ct_from_index, chosen)


def _gradient(image: np.ndarray) -> list[np.ndarray]:
    return [
        ndimage.gaussian_filter(image, _SMOOTHING_PX, order=order) for order in ((0, 1), (1, 0))
    ]


def _track(
    first: list[np.ndarray], second: list[np.ndarray], at: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Shift (column, row) of the patch at pixel `at` by gradient correlation, and the least curvature of its peak."""
    column, row = np.rint(at).astype(int)
    reach = HALF_PATCH_PX + SEARCH_PX
    rows, columns = first[0].shape
    if not (reach <= column < columns - reach and reach <= row < rows - reach):
        return None
    rows = slice(row - HALF_PATCH_PX, row + HALF_PATCH_PX + 1)
    columns = slice(column - HALF_PATCH_PX, column + HALF_PATCH_PX + 1)
    patch = [g[rows, columns] for g in first]
    around = [g[row - reach : row + reach + 1, column - reach : column + reach + 1] for g in second]
    match = sum(
        fftconvolve(a, p[::-1, ::-1], mode="valid") for a, p in zip(around, patch, strict=True)
    )
    energy = sum(fftconvolve(a * a, np.ones_like(patch[0]), mode="valid") for a in around)
    score = match / np.sqrt(np.maximum(energy * sum((p * p).sum() for p in patch), 1e-12))
    r, c = np.unravel_index(score.argmax(), score.shape)
    if not (0 < r < 2 * SEARCH_PX and 0 < c < 2 * SEARCH_PX):
        return None
    peak = score[r - 1 : r + 2, c - 1 : c + 2]
    slope = np.array([peak[1, 2] - peak[1, 0], peak[2, 1] - peak[0, 1]]) / 2
    mixed = (peak[2, 2] - peak[2, 0] - peak[0, 2] + peak[0, 0]) / 4
    curvature = np.array(
        [
            [peak[1, 2] - 2 * peak[1, 1] + peak[1, 0], mixed],
            [mixed, peak[2, 1] - 2 * peak[1, 1] + peak[0, 1]],
        ]
    )
    sharpness = float(np.linalg.eigvalsh(-curvature)[0])
    if sharpness <= 0:
        return None
    return np.array([c, r]) - SEARCH_PX - np.linalg.solve(curvature, slope), sharpness
