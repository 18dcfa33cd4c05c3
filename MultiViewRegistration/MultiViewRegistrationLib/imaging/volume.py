"""A regular 3D grid of values that knows where it lies in the CT's LPS millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values and their place.

    Attributes
    ----------
    values
        float32, C-contiguous, shape (nk, nj, ni): k is the slowest axis (slices), i the fastest (columns).
    ct_from_index
        (4, 4) float64, takes (i, j, k, 1) to CT LPS mm; voxel centres are at integer indices. Its axes are
        orthogonal, in any direction and of either handedness, with any spacing.
    """

    values: np.ndarray
    ct_from_index: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.ascontiguousarray(self.values, dtype=np.float32))
        object.__setattr__(self, "ct_from_index", np.array(self.ct_from_index, dtype=np.float64))
        if self.values.ndim != 3 or self.ct_from_index.shape != (4, 4):
            raise ValueError(f"a volume is (k, j, i) and 4x4, not {self.values.shape} and {self.ct_from_index.shape}")

    @property
    def index_from_ct(self) -> np.ndarray:
        """(4, 4): CT LPS mm to voxel index (i, j, k)."""
        return np.linalg.inv(self.ct_from_index)

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,): distance of neighbouring voxel centres along i, j, k."""
        return np.linalg.norm(self.ct_from_index[:3, :3], axis=0)

    def pooled(self, factors: tuple[int, int, int]) -> Volume:
        """Means over blocks of (fi, fj, fk) voxels; the new centres are the centres of the blocks.

        Where the grid ends inside a block, the mean is over the voxels that exist: the body is taken to go on
        as it ends. Nothing is cut off, and tissue at a cut end keeps its density, by which the renderer knows
        a cut end.
        """
        fi, fj, fk = factors
        values = np.empty(
            [-(-size // factor) for size, factor in zip(self.values.shape, (fk, fj, fi), strict=True)], np.float32
        )
        for k, slab in enumerate(values):  # one at a time: they fit the cache, and no second volume is needed
            slab[:] = _block_mean(_block_mean(_block_mean(self.values[k * fk : (k + 1) * fk], fk, 0), fj, 1), fi, 2)[0]
        index_from_pooled = np.diag([fi, fj, fk, 1.0])
        index_from_pooled[:3, 3] = (np.array(factors) - 1) / 2
        return Volume(values, self.ct_from_index @ index_from_pooled)


def pyramid(volume: Volume, levels: int) -> list[Volume]:
    """The volume, then `levels` - 1 coarser ones, each with about twice the voxel size of the one before.

    The target size of level n is 2^n times the median spacing (the pixel size, for a CT with square pixels), and
    each axis is pooled by the whole number that comes nearest: a thick slice waits until the pixels have caught up.
    Every level is as if pooled from the finest, so no error adds up: from another only where each block is made of whole ones of its.
    """
    spacing, size = volume.spacing_mm, np.array(volume.values.shape[::-1])
    made = [(np.ones(3, int), volume)]
    for level in range(1, levels):
        factors = np.maximum(1, np.rint(np.median(spacing) * 2.0**level / spacing)).astype(int)
        by, source = next(
            (factors // of, source)
            for of, source in reversed(made)
            if not (factors % of).any() and not (size % of)[factors > of].any()
        )
        made.append((factors, source.pooled((int(by[0]), int(by[1]), int(by[2])))))
    return [pooled for _, pooled in made]


def _block_mean(values: np.ndarray, factor: int, axis: int) -> np.ndarray:
    """Means over blocks of `factor` along one axis; the last block may be shorter."""
    if factor == 1:
        return values
    n = values.shape[axis]
    index: list[slice] = [slice(None)] * values.ndim
    index[axis] = slice(0, n, factor)
    total = values[tuple(index)].astype(np.float32, order="C")
    for offset in range(1, min(factor, n)):
        index[axis] = slice(offset, n, factor)
        part = values[tuple(index)]
        index[axis] = slice(0, part.shape[axis])
        total[tuple(index)] += part
    shape = [1] * values.ndim
    shape[axis] = -1
    blocks = total.shape[axis]
    counts = np.minimum(factor, n - factor * np.arange(blocks)).astype(np.float32)
    total /= counts.reshape(shape)
    return total
