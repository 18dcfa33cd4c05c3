"""Three attenuation bases of a CT for training images: pooled, continued beyond its ends, and projected by one walk along each ray.

As in rendering.cpu a ray is sampled where it crosses planes of voxels. These are of thick slices
where the image looks straight through them: half as many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import Volume, voxels_in
from ..rendering.cpu import Rays, crossings, fast_kernel, i32, part, ray_at, rays_of
from ..rendering.drr import camera_rays

BASES = 3
#: 1/mm, what `imaging.ct.attenuation` makes of 100 and of 500 HU.
KNOTS = (0.0230, 0.0383)

#: 1/mm: denser than this belongs to the body rather than to foam, clothes or the couch's shell at
#: this resolution.
_BODY = 0.0115
#: Slices that are pooled from the finest volume at a time.
_SLICES_AT_ONCE = 12
#: Voxels that are pooled for each stack, and from how many of these as many planes of thin slices
#: are as good.
_FACTORS = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))
_OBLIQUE = 0.501
#: Over which the way that a structure runs on beyond its end is taken from its last layers.
_COURSE_MM = 25.0


@dataclass(frozen=True, eq=False)
class Bases:
    """Coarse volumes of the three layers on one grid.

    Attributes
    ----------
    values
        Float32 (3, nk, nj, ni), 1/mm.
    ct_from_index
        (4, 4), takes (i, j, k, 1) to CT LPS mm.
    """

    values: np.ndarray
    ct_from_index: np.ndarray

    @classmethod
    def of(cls, mu: Volume, voxel_mm: float) -> Bases:
        """Return the layers of a volume of attenuation (1/mm), pooled to voxels of about `voxel_mm`."""
        factors = tuple(voxels_in(voxel_mm, mu.spacing_mm))
        slices = _SLICES_AT_ONCE * factors[2]
        slabs = [
            _pooled(_layers(mu.values[first : first + slices]), mu.ct_from_index, factors)
            for first in range(0, len(mu.values), slices)
        ]
        values = np.concatenate([slab.values for slab in slabs], axis=1)
        return cls(values, slabs[0].ct_from_index)

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,): along i, j, k."""
        return rigid.steps(self.ct_from_index)

    def largest_piece(self) -> Bases:
        """Return only the largest connected body and what it encloses.

        Without the scanner's couch, and hands that lie beside a hip.
        """
        mu = self.values.sum(axis=0)
        pieces, _ = scipy.ndimage.label(
            scipy.ndimage.binary_opening(mu > _BODY, np.ones((1, 3, 3)))
        )
        sizes = np.bincount(pieces.ravel())[1:]
        if not sizes.size:
            return self
        body = scipy.ndimage.binary_dilation(pieces == 1 + np.argmax(sizes))
        body = np.stack([scipy.ndimage.binary_fill_holes(layer) for layer in body])
        return Bases(self.values * body, self.ct_from_index)

    def continued(
        self,
        axis: int,
        end: int,
        length_mm: float,
        drift: np.ndarray,
        smooth_mm: float,
        bone_fade_mm: float,
    ) -> Bases:
        """Return the volume with its last layer repeated beyond one of its faces.

        Parameters
        ----------
        axis
            0, 1, 2 for i, j, k.
        end
            0 for the face where it begins, 1 for that where it ends.
        drift
            (2,) mm sideways for each mm outwards, along the two other axes in falling order (k
            before j before i).
        smooth_mm
            Standard deviation over which the layer is smoothed; its noise would be drawn out to
            streaks.
        bone_fade_mm
            Over which its bone becomes soft tissue's share of it; inf where bone goes on as it is.
        """
        spacing = self.spacing_mm
        others = [a for a in (2, 1, 0) if a != axis]
        values = np.moveaxis(self.values, 3 - axis, 1)
        values = values if end else values[:, ::-1]
        count = max(1, round(length_mm / spacing[axis]))
        last = scipy.ndimage.gaussian_filter(
            values[:, -1], (0, *(smooth_mm / spacing[others])), mode="nearest"
        )
        beyond = np.empty((BASES, count, *last.shape[1:]), np.float32)
        for n in range(count):
            away_mm = (n + 1) * spacing[axis]
            beyond[:, n] = scipy.ndimage.shift(
                last, (0, *(away_mm * drift / spacing[others])), order=1
            )
            beyond[1:, n] *= np.exp(-away_mm / bone_fade_mm)
        values = np.concatenate([values, beyond], axis=1)
        affine = self.ct_from_index.copy()
        if not end:
            values = values[:, ::-1]
            affine[:3, 3] -= count * affine[:3, axis]
        return Bases(np.ascontiguousarray(np.moveaxis(values, 1, 3 - axis)), affine)

    def course(self, axis: int, end: int) -> np.ndarray:
        """Return (2,) mm sideways for each mm outwards.

        How the centroid of the last layers before a face runs, as `continued` takes it.
        """
        spacing = self.spacing_mm
        others = [a for a in (2, 1, 0) if a != axis]
        mu = np.moveaxis(self.values.sum(axis=0), 2 - axis, 0)
        mu = (mu[::-1] if end else mu)[: max(2, round(_COURSE_MM / spacing[axis]))]
        mass = np.maximum(mu.sum(axis=(1, 2)), 1e-9)
        inwards = np.arange(len(mu)) * spacing[axis]
        centroids = [
            (mu.sum(axis=2 - n) @ np.arange(mu.shape[1 + n])) / mass * spacing[others[n]]
            for n in range(2)
        ]
        return -np.polyfit(inwards, np.stack(centroids, axis=1), 1)[0]


def _layers(mu: np.ndarray) -> Iterator[np.ndarray]:
    low, high = np.array(KNOTS, np.float32)
    yield np.minimum(mu, low)
    yield np.clip(mu, low, high) - low
    yield np.maximum(mu, high) - high


def varied(bases: Bases, cut: np.ndarray, rng: np.random.Generator, *, structure: bool) -> Bases:
    """Return the bases as they may go on where the CT ends, by chance from `rng`.

    No two patients do so alike, and the X-rays show it.

    Parameters
    ----------
    cut
        (6,) bool, `rendering.drr.cut_ends` of the CT.
    structure
        It is a bone, whose shaft runs on as it ran; otherwise a body; every other one is without
        its separate parts.
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


class Stacks(NamedTuple):
    """Bases as they are projected: as they are, and with slices twice as thick across i, j, k.

    Attributes
    ----------
    values
        Four arrays (voxels, 3) float32, of (nk + 2, nj, ni) voxels as `rendering.cpu.Voxels` has
        them.
    shapes
        (4, 3), of (ni, nj, nk).
    ct_from_index
        (4, 4, 4), of (i, j, k, 1) in each.
    """

    values: tuple[np.ndarray, ...]
    shapes: np.ndarray
    ct_from_index: np.ndarray

    @classmethod
    def of(cls, bases: Bases) -> Stacks:
        """Return bases made ready for `project`."""
        grids = [_pooled(bases.values, bases.ct_from_index, factors) for factors in _FACTORS]
        air = ((1, 3), (1, 1), (1, 1), (0, 0))
        values = [np.pad(np.moveaxis(grid.values, 0, -1), air) for grid in grids]
        return cls(
            tuple(each.reshape(-1, BASES) for each in values),
            np.array([each.shape[2::-1] for each in values]) - [0, 0, 2],
            np.stack([grid.ct_from_index for grid in grids]) @ rigid.translation([-1, -1, -1]),
        )

    def rays(self, camera: Camera, world_from_ct: np.ndarray) -> tuple[np.ndarray, Rays]:
        """Return which stack each image at poses (n, 4, 4) takes, (n,), and its rays there.

        It takes thick slices, unless it looks so obliquely that from one to the next it would skip
        voxels.
        """
        columns, rows = camera.size
        of_stacks = camera_rays(camera, world_from_ct, self.ct_from_index[:, None])
        middle = [(columns - 1) / 2, (rows - 1) / 2, 1.0]
        planes = np.abs(middle @ of_stacks.directions).max(axis=-1)
        planes[0] *= _OBLIQUE
        stack = np.argmin(planes, axis=0)
        return stack, Rays(*(each[stack, np.arange(len(stack))] for each in of_stacks))


@part
def _between(values: np.ndarray, at: int, to_b: int, to_c: int, wb: float, wc: float, basis: int):
    """Return the value of a basis between the four voxels about a point in a plane."""
    low = values[at, basis]
    high = values[at + to_c, basis]
    low += wb * (values[at + to_b, basis] - low)
    high += wb * (values[at + to_b + to_c, basis] - high)
    return low + wc * (high - low)


@partial(fast_kernel, forceinline=True)
def project(stacks, stack, rays, n, out):
    """Compute the line integrals (3, rows, columns) float32 of image n, see `Stacks.rays`.

    Put in its place, as a call from another kernel leads to whichever of two copies was loaded
    first, and their roundings differ.
    """
    values = stacks.values[stack[n]]
    shape = stacks.shapes[stack[n]]
    stride = (1, shape[0], shape[0] * shape[1])
    own = rays_of(rays, n)
    real = values.dtype.type
    start = np.empty(3)
    q = np.empty(3)
    out[:] = 0.0
    for r in range(out.shape[1]):
        for col in range(out.shape[2]):
            mm = ray_at(own, r, col, start, q)
            a, b, c, slope_b, slope_c, start_b, start_c, first, count = crossings(shape, start, q)
            at_b = real(max(start_b + first * slope_b, 0.0))
            at_c = real(max(start_c + first * slope_c, 0.0))
            to_a = stride[a]  # not looked up for each plane
            to_b = stride[b]
            to_c = stride[c]
            offset = int(first) * to_a
            sum_0 = real(0)
            sum_1 = real(0)
            sum_2 = real(0)
            for k in range(count):
                pb = at_b + real(k) * real(slope_b)
                pc = at_c + real(k) * real(slope_c)
                ib = i32(pb)
                ic = i32(pc)
                wb = pb - real(ib)
                wc = pc - real(ic)
                at = offset + k * to_a + ib * to_b + ic * to_c
                sum_0 += _between(values, at, to_b, to_c, wb, wc, 0)
                sum_1 += _between(values, at, to_b, to_c, wb, wc, 1)
                sum_2 += _between(values, at, to_b, to_c, wb, wc, 2)
            for basis, total in enumerate((sum_0, sum_1, sum_2)):
                out[basis, r, col] = mm / abs(q[a]) * total


def _pooled(
    layers: Iterable[np.ndarray], ct_from_index: np.ndarray, factors: tuple[int, int, int]
) -> Bases:
    """Return means over blocks of (fi, fj, fk) voxels of layers (nk, nj, ni)."""
    pooled = [Volume(layer, ct_from_index).pooled(factors) for layer in layers]
    return Bases(np.stack([each.values for each in pooled]), pooled[0].ct_from_index)
