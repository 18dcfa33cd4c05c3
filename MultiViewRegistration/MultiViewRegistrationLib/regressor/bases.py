"""Attenuation bases of a CT: coarse volumes of which a weighted sum is the CT as some spectrum, and some patient's bone, would show it.

The linear attenuation mu is cut into three layers, 0 to KNOTS[0], to KNOTS[1], and beyond: soft tissue, cancellous and dense bone.
Line integrals of the layers with weights of their own are those of a curve through mu with a bend at each knot; with weights of 1
they add up to mu's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.volume import Volume
from ..rendering.drr import Grid
from .march import BASES, pack

#: 1/mm, what `imaging.ct.attenuation` makes of 100 and of 500 HU.
KNOTS = (0.0230, 0.0383)

#: 1/mm: denser than this belongs to the body rather than to foam, clothes or the couch's shell at this resolution.
_BODY = 0.0115
#: Voxels sideways from one slice to the next, in the middle of an image.
MOST_OBLIQUE = 1.0
#: Slices of the finest volume that are pooled at a time.
_SLAB_MM = 60.0
#: Over which the way that a structure runs on beyond its end is taken from its last layers.
_COURSE_MM = 25.0


@dataclass(frozen=True, eq=False)
class Bases:
    """Coarse volumes of the three layers on one grid.

    values: float32 (3, nk, nj, ni), 1/mm.   ct_from_index: (4, 4), takes (i, j, k, 1) to CT LPS mm.
    """

    values: np.ndarray
    ct_from_index: np.ndarray

    @classmethod
    def of(cls, mu: Volume, voxel_mm: float) -> Bases:
        """The layers of a volume of attenuation (1/mm), pooled to voxels of about `voxel_mm`."""
        factors = np.maximum(1, np.rint(voxel_mm / mu.spacing_mm)).astype(int)
        slices = int(factors[2]) * max(1, round(_SLAB_MM / mu.spacing_mm[2] / factors[2]))
        slabs = []
        for first in range(0, len(mu.values), slices):
            slab = mu.values[first : first + slices]
            slabs.append([Volume(layer, mu.ct_from_index).pooled(tuple(factors)).values for layer in _layers(slab)])
        index_from_pooled = np.diag([*factors, 1.0])
        index_from_pooled[:3, 3] = (factors - 1) / 2
        return cls(np.concatenate([np.stack(slab) for slab in slabs], axis=1), mu.ct_from_index @ index_from_pooled)

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,): along i, j, k."""
        return np.linalg.norm(self.ct_from_index[:3, :3], axis=0)

    def largest_piece(self) -> Bases:
        """Only the largest connected body and what it encloses: without the scanner's couch, and hands that lie beside a hip."""
        mu = self.values.sum(axis=0)
        pieces, _ = ndimage.label(ndimage.binary_opening(mu > _BODY, np.ones((1, 3, 3))))
        sizes = np.bincount(pieces.ravel())[1:]
        if not sizes.size:
            return self
        body = ndimage.binary_dilation(pieces == 1 + np.argmax(sizes))
        body = np.stack([ndimage.binary_fill_holes(layer) for layer in body])
        return Bases(self.values * body, self.ct_from_index)

    def continued(
        self, axis: int, end: int, length_mm: float, drift: np.ndarray, smooth_mm: float, bone_fade_mm: float
    ) -> Bases:
        """The volume with its last layer repeated beyond one of its faces.

        axis: 0, 1, 2 for i, j, k.   end: 0 for the face where it begins, 1 for that where it ends.
        drift: (2,) mm sideways for each mm outwards, along the two other axes in falling order (k before j before i).
        smooth_mm: standard deviation over which the layer is smoothed; its noise would be drawn out to streaks.
        bone_fade_mm: over which its bone becomes soft tissue's share of it; inf where bone goes on as it is.
        """
        spacing = self.spacing_mm
        others = [a for a in (2, 1, 0) if a != axis]
        values = np.moveaxis(self.values, 3 - axis, 1)
        values = values if end else values[:, ::-1]
        count = max(1, round(length_mm / spacing[axis]))
        last = ndimage.gaussian_filter(values[:, -1], (0, *(smooth_mm / spacing[others])), mode="nearest")
        beyond = np.empty((BASES, count, *last.shape[1:]), np.float32)
        for n in range(count):
            away_mm = (n + 1) * spacing[axis]
            beyond[:, n] = ndimage.shift(last, (0, *(away_mm * drift / spacing[others])), order=1)
            beyond[1:, n] *= np.exp(-away_mm / bone_fade_mm)
        values = np.concatenate([values, beyond], axis=1)
        affine = self.ct_from_index.copy()
        if not end:
            values = values[:, ::-1]
            affine[:3, 3] -= count * affine[:3, axis]
        return Bases(np.ascontiguousarray(np.moveaxis(values, 1, 3 - axis)), affine)

    def course(self, axis: int, end: int) -> np.ndarray:
        """(2,) mm sideways for each mm outwards: how the centroid of the last layers before a face runs, as `continued` takes it."""
        spacing = self.spacing_mm
        others = [a for a in (2, 1, 0) if a != axis]
        mu = np.moveaxis(self.values.sum(axis=0), 2 - axis, 0)
        mu = (mu[::-1] if end else mu)[: max(2, round(_COURSE_MM / spacing[axis]))]
        mass = np.maximum(mu.sum(axis=(1, 2)), 1e-9)
        inwards = np.arange(len(mu)) * spacing[axis]
        centroids = [(mu.sum(axis=2 - n) @ np.arange(mu.shape[1 + n])) / mass * spacing[others[n]] for n in range(2)]
        return -np.polyfit(inwards, np.stack(centroids, axis=1), 1)[0]


def _layers(mu: np.ndarray):
    yield np.minimum(mu, np.float32(KNOTS[0]))
    yield np.clip(mu, *np.float32(KNOTS)) - np.float32(KNOTS[0])
    yield np.maximum(mu, np.float32(KNOTS[1])) - np.float32(KNOTS[1])


def varied(bases: Bases, cut: np.ndarray, rng: np.random.Generator, *, structure: bool) -> Bases:
    """The bases as they may go on where the CT ends, drawn from `rng`: no two patients do so alike, and the X-rays show it.

    cut: (6,) bool, `rendering.cut_ends.cut_ends` of the CT.
    structure: it is a bone, whose shaft runs on as it ran; otherwise a body, of which every other one has lost what lies apart from it.
    """
    if not structure and rng.random() < 0.5:
        bases = bases.largest_piece()
    for axis in (0, 1, 2):  # head and feet last: what goes on there is as wide as it was made
        for end in (0, 1):
            if not cut[2 * axis + end]:
                continue
            lengthwise = structure or axis == 2
            drift = rng.normal(0, 0.12 if lengthwise else 0.3, 2)
            if structure:
                drift += np.clip(bases.course(axis, end), -2, 2)
            bases = bases.continued(
                axis,
                end,
                rng.uniform(120, 180) if lengthwise else rng.uniform(10, 120),
                drift,
                smooth_mm=rng.uniform(1, 4) if lengthwise else rng.uniform(4, 12),
                bone_fade_mm=np.inf if lengthwise else 20.0,
            )
    return bases


@dataclass(frozen=True, eq=False)
class Rays:
    """What `march.project` needs of n images: which of the stacks each takes, and its rays there.

    stack: (n,).   source (n, 3), directions (n, 3, 3), world_from_index (n, 3, 3): as in `rendering.drr.Rays`.
    """

    stack: np.ndarray
    source: np.ndarray
    directions: np.ndarray
    world_from_index: np.ndarray


class Stacks:
    """Bases made ready for `march.project`: packed into words, as stacks of slices across each axis, once as thick as the voxels are
    wide and once twice as thick.

    words: six flat arrays, of single slices across i, j, k, then of double ones.   shapes, stored: (6, 3), of their grids.
    steps: (6, 3) 1/mm, of each stack's lanes.   ct_from_index, index_from_ct: (6, 4, 4), of (i, j, k, 1) in each.
    """

    def __init__(self, bases: Bases) -> None:
        grids, steps = zip(*(_stack(bases, axis, factor) for factor in (1, 2) for axis in range(3)))
        self.steps = np.stack(steps)
        self.words = tuple(grid.values for grid in grids)
        self.shapes = np.array([grid.shape for grid in grids])
        self.stored = np.array([grid.stored for grid in grids])
        self.ct_from_index = np.stack([grid.ct_from_index for grid in grids])
        self.index_from_ct = np.linalg.inv(self.ct_from_index)

    def rays(self, camera: Camera, world_from_ct: np.ndarray) -> Rays:
        """The rays of a camera at poses (n, 4, 4).

        Each image takes slices across the axis along which its middle looks; thick ones, unless it looks so obliquely that from one to
        the next it would skip voxels.
        """
        columns, rows = camera.size
        middle = [(columns - 1) / 2, (rows - 1) / 2, 1.0]
        index_from_world = self.index_from_ct[:, None] @ rigid.inverse(world_from_ct)  # (6, n, 4, 4)
        directions = np.swapaxes(index_from_world[..., :3, :3] @ camera.ray_matrix, -1, -2)
        along = np.abs(np.einsum("snij,i->snj", directions, middle))  # (6, n, 3) voxels, slices last
        oblique = along[..., :2].max(axis=-1) / np.maximum(along[..., 2], 1e-12)
        axis = np.argmin(oblique[:3], axis=0)
        each = np.arange(len(axis))
        stack = np.where(oblique[3 + axis, each] <= MOST_OBLIQUE, 3 + axis, axis)
        source = rigid.transform_points(index_from_world[stack, each], camera.source)
        world_from_index = world_from_ct @ self.ct_from_index[stack]
        return Rays(
            stack,
            source,
            np.ascontiguousarray(directions[stack, each]),
            np.ascontiguousarray(world_from_index[:, :3, :3]),
        )


def _stack(bases: Bases, axis: int, factor: int) -> tuple[Grid, np.ndarray]:
    """Slices across an axis, each of `factor` layers of voxels: the slowest axis of the grid, the others in rising order."""
    factors = [1, 1, 1]
    factors[axis] = factor
    layers = [Volume(values, bases.ct_from_index).pooled(tuple(factors)) for values in bases.values]
    order = [a for a in range(3) if a != axis] + [axis]
    words, steps = pack(np.stack([layer.values for layer in layers]))
    words = np.ascontiguousarray(words.transpose([2 - a for a in reversed(order)]))
    return Grid.of(words, layers[0].ct_from_index[:, [*order, 3]]), steps
