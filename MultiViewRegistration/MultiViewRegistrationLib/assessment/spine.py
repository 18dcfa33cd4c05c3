"""Find out, without labels, that the spine lies elsewhere than a body's pose has it.

Vertebrae may move among ribs that stay.

The tiles of `parts` show ribs before the spine. So the bone about the spine is drawn by itself, in
slabs, as bones with labels are, and is registered: where nothing has moved, slabs fit hardly better
at poses of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import scipy

from ..geometry import rigid
from ..imaging.ct import WATER
from ..imaging.xray import View
from ..reasons import Reason
from ..registration.bones import LEVELS, Bone, minimise, objective_at, ties_of
from ..registration.prepared_ct import PreparedCT
from .bone_features import BONE
from .metrics import in_field
from .parts import Elsewhere

#: Size of voxels in which the spine is looked for, and of those of its slabs; its middle is found
#: every STEP_MM along the body.
COARSE_MM = 4.5
VOXEL_MM = 2.5
STEP_MM = 15.0
#: A slab's height, less than a vertebra's, its radius about the spine's middle, and the least bone
#: in it, mm3; and how far from a slab's middle a target is that belongs to the spine.
SLAB_MM = 18.0
RADIUS_MM = 28.0
LEAST_MM3 = 1500.0
NEAR_MM = 35.0
#: A vertebra is about so deep, and lies within so much of the body's middle.
DEEP_MM = 30.0
MIDDLE_MM = 15.0
#: Columns, rows and slices run along the body's axes, by the cosine at least.
ALIGNED = 0.9
#: The share of DEEP_MM that is bone, at least, and of the most there is behind the body's middle.
LEAST_BONE = 0.25
SHARE = 0.6
#: Not asked in CTs of larger voxels: all that it was measured on had smaller ones, and one of 5 mm
#: was refused where it was right.
LARGEST_VOXEL_MM = 3.5
#: Where bone encloses more than this, across the body, is a skull, and no spine lies above it.
LARGEST_CAVITY_MM2 = 8000.0
#: A slab is shown by a view that compares this share of its shadow.
SHOWN = 0.2
#: The spine lies elsewhere if, after so many steps, less than this share of the cost is left, or a
#: slab has moved by more than this; and if the local NCC of one has grown by LEAST_GAIN. Chosen on
#: seeds 92 and 93 of benchmarks/spines.py and on right bodies of the protocol.
ITERATIONS = 8
LEAST_LEFT = 0.97
MOST_MM = 1.2
LEAST_GAIN = 0.0025
#: Pixels of 1.5 mm need no finer voxels than they are, or the CT's finest would be projected.
LEVEL = LEVELS[1]._replace(voxel_pixels=1.3)

_known: WeakKeyDictionary[PreparedCT, list[Bone]] = WeakKeyDictionary()


def middle(anatomy: PreparedCT) -> np.ndarray:
    """Return the spine's middle (N, 3), CT mm, along the body; empty where there is none.

    It is the first place, from the back, where much is bone.
    """
    volume = anatomy.attenuation(anatomy.level(COARSE_MM))
    x_mm, y_mm, z_mm = volume.spacing_mm
    slices = max(1, round(STEP_MM / z_mm))
    count = len(volume.values) // slices
    if count == 0 or np.any(
        np.abs(volume.ct_from_index[[0, 1, 2], [0, 1, 2]]) < ALIGNED * volume.spacing_mm
    ):
        return np.empty((0, 3))
    blocks = volume.values[: slices * count].reshape(count, slices, *volume.values.shape[1:])
    bone = (blocks > BONE).mean(axis=1)
    body = blocks.mean(axis=1) > WATER / 2
    backwards = volume.ct_from_index[1, 1] < 0
    if backwards:
        bone = bone[:, ::-1]
        body = body[:, ::-1]
    found = np.full((count, 2), np.nan)
    deep = max(1, round(DEEP_MM / y_mm))
    wide = max(1, round(MIDDLE_MM / x_mm))
    for n in range(count):
        rows, columns = np.nonzero(body[n])
        if not len(rows):
            continue
        across = int(np.median(columns))
        half = int(np.median(rows))
        share = bone[n][:, max(0, across - wide) : across + wide + 1].mean(axis=1)
        share = scipy.ndimage.uniform_filter1d(share, deep, mode="constant")
        enough = np.flatnonzero(share >= max(LEAST_BONE, SHARE * share[half:].max()))
        if not len(enough):
            continue
        row = enough[-1]
        while row > 0 and share[row - 1] >= share[row]:
            row -= 1
        near = bone[n][max(0, row - deep // 2) : row + deep // 2 + 1].sum(axis=0)
        near[: max(0, across - 2 * wide)] = near[across + 2 * wide + 1 :] = 0
        found[n] = near @ np.arange(len(near)) / near.sum(), row
    known = np.flatnonzero(np.isfinite(found[:, 0]))
    if not len(known):
        return np.empty((0, 3))
    heights = np.arange(count)
    along = [
        scipy.ndimage.median_filter(np.interp(heights, known, each[known]), 5, mode="nearest")
        for each in found.T
    ]
    if backwards:
        along[1] = bone.shape[1] - 1 - along[1]
    return rigid.transform_points(
        volume.ct_from_index, np.column_stack([*along, (heights + 0.5) * slices - 0.5])
    )


def slabs(anatomy: PreparedCT) -> list[Bone]:
    """Return the bone about the spine's middle, cut across the body."""
    if anatomy not in _known:
        _known[anatomy] = _slabs(anatomy)
    return _known[anatomy]


def _slabs(anatomy: PreparedCT) -> list[Bone]:
    along = middle(anatomy) if max(anatomy.attenuation(0).spacing_mm) <= LARGEST_VOXEL_MM else ()
    if not len(along):
        return []
    volume = anatomy.attenuation(anatomy.level(VOXEL_MM))
    at = rigid.transform_points(volume.index_from_ct, along)
    at = at[np.argsort(at[:, 2])]
    x_mm, y_mm, z_mm = volume.spacing_mm
    heights = np.arange(len(volume.values))
    enclosed_mm2 = _enclosed(volume.values > BONE) * x_mm * y_mm
    columns, rows = (np.interp(heights, at[:, 2], at[:, axis]) for axis in (0, 1))
    found: list[Bone] = []
    skulls_mm: list[float] = []
    for part in np.array_split(heights, max(1, round(len(heights) * z_mm / SLAB_MM))):
        near = [
            np.arange(
                max(0, int(line.min() - RADIUS_MM / mm)), int(line.max() + RADIUS_MM / mm) + 1
            )
            for line, mm in ((rows[part], y_mm), (columns[part], x_mm))
        ]
        values = volume.values[
            part[0] : part[-1] + 1, near[0][0] : near[0][-1] + 1, near[1][0] : near[1][-1] + 1
        ]
        j, i = (each[: values.shape[axis]] for axis, each in enumerate(near, start=1))
        own = part[:, None, None]
        across = np.hypot((i - columns[own]) * x_mm, (j[:, None] - rows[own]) * y_mm)
        mask = (across < RADIUS_MM) & (values > BONE)
        if mask.sum() * x_mm * y_mm * z_mm >= LEAST_MM3:
            slab = Bone(f"slab {len(found)}", volume, mask, (int(part[0]), int(j[0]), int(i[0])))
            found.append(slab)
            if np.median(enclosed_mm2[part]) > LARGEST_CAVITY_MM2:
                skulls_mm.append(slab.centroid[2])
    return [slab for slab in found if slab.centroid[2] < min(skulls_mm, default=np.inf)]


def _enclosed(bone: np.ndarray) -> np.ndarray:
    """Return how many pixels bone (slices, rows, columns) encloses in each slice, gaps closed."""
    in_slice = scipy.ndimage.generate_binary_structure(2, 1)[None]
    free = ~scipy.ndimage.binary_closing(bone, in_slice)  # also the border, which joins all outside
    regions = [scipy.ndimage.label(each)[0] for each in free]
    return np.array(
        [np.count_nonzero((each != each[0, 0]) & ~own) for each, own in zip(regions, bone)]
    )


class SlabsFit(NamedTuple):
    """How slabs fit where each fits best.

    Attributes
    ----------
    cost_left
        The share of the cost at the body's pose that is left.
    farthest_mm
        How far one that two views show has moved, at its surface, root mean square.
    gain
        By how much the local NCC about one has grown, mean of the views that show it.
    hidden
        Whether what covers them leaves too little of them to be seen.
    """

    cost_left: float
    farthest_mm: float
    gain: float
    hidden: bool = False

    @property
    def moved(self) -> bool:
        """Whether the spine lies elsewhere."""
        away = self.cost_left < LEAST_LEFT or self.farthest_mm > MOST_MM
        return away and self.gain > LEAST_GAIN


def fit_slabs(
    anatomy: PreparedCT,
    bones: Sequence[Bone],
    views: Sequence[View],
    uncovered: Sequence[View],
    world_from_ct: np.ndarray,
) -> SlabsFit:
    """Fit the slabs each at a pose of its own, from the body's (4, 4); as they are where two views show fewer than two.

    In the views without what is covered, or in those as they are where too little is left.
    """
    fit = _fit(anatomy, bones, uncovered, world_from_ct)
    if fit is None:
        covered = _fit(anatomy, bones, views, world_from_ct)
        fit = covered._replace(hidden=True) if covered else SlabsFit(1.0, 0.0, 0.0)
    return fit


def _fit(
    anatomy: PreparedCT, bones: Sequence[Bone], views: Sequence[View], world_from_ct: np.ndarray
) -> SlabsFit | None:
    if bones:
        middles = rigid.transform_points(world_from_ct, np.array([bone.centroid for bone in bones]))
        seen = in_field(views, middles).sum(axis=0) >= 2
        bones = [bone for bone, twice in zip(bones, seen, strict=True) if twice]
    if len(bones) < 2:
        return None
    poses = [world_from_ct] * len(bones)
    objective = objective_at(anatomy, bones, views, world_from_ct, ties_of(bones), LEVEL)
    here = objective.linearise(poses, objective.shadows(poses))
    by_view = here.shown >= SHOWN
    shown = np.flatnonzero(by_view.sum(axis=1) >= 2)
    if len(shown) < 2:
        return None
    before = here.similarity
    ends, best = minimise(objective, poses, ITERATIONS, LEVEL.tolerance_mm)
    farthest_mm = max(bones[b].apart(ends[b], world_from_ct) for b in map(int, shown))
    gains = np.nanmean(np.where(by_view, best.similarity - before, np.nan)[shown], axis=1)
    return SlabsFit(best.cost / here.cost, farthest_mm, float(np.nanmax(gains)))


def spine_elsewhere(
    anatomy: PreparedCT,
    views: Sequence[View],
    uncovered: Sequence[View],
    world_from_ct: np.ndarray,
    targets: np.ndarray,
) -> Elsewhere | None:
    """Return where the spine lies elsewhere than the pose (4, 4) has it and a target (N, 3), CT mm, belongs to it; else None.

    Parameters
    ----------
    views, uncovered
        As of `fit_slabs`.
    """
    bones = slabs(anatomy)
    if not bones:
        return None
    points = np.concatenate([bone.surface for bone in bones])
    nearest = np.min([np.linalg.norm(targets - bone.centroid, axis=1) for bone in bones], axis=0)
    if nearest.min() > NEAR_MM:
        return None
    fit = fit_slabs(anatomy, bones, views, uncovered, world_from_ct)
    if not fit.moved:
        return None
    displaced = Reason(
        "part-displaced",
        "The spine lies elsewhere than this pose has it\n: vertebrae may have moved. Register the "
        "bones by themselves.",
    )
    hidden = Reason(
        "part-hidden",
        "The spine does not match the X-rays\n: contrast agent or a tool may hide it, or it lies "
        "elsewhere.",
    )
    return Elsewhere(hidden if fit.hidden else displaced, points=points)
