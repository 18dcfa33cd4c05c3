"""A CT for the 3D texture of a graphics card, which draws the DRR in a browser as `drr.Projector` does here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from ..imaging.ct import Volume
from .drr import extents

#: Voxels along each axis at most: what every WebGL2 holds.
MAX_SIDE = 256


@dataclass(frozen=True, eq=False)
class Texture:
    """Attenuation, averaged to at most MAX_SIDE voxels along each axis.

    One byte a voxel is enough: of the chest CT half-precision numbers bring the DRR no nearer to
    that of the whole CT (NCC 0.99995 both).

    Parameters
    ----------
    values
        (nk, nj, ni) uint8, trimmed to the content, in a layer of air.
    max_per_mm
        The attenuation in 1/mm of the value 255.
    ct_from_texel
        (4, 4), takes (i, j, k, 1), centres of voxels being whole numbers, to CT LPS mm.
    cut
        (6,) bool, see `drr.cut_ends`.
    bone_per_mm
        What attenuates more is bone, by how much it does; 0 of a structure, all of which is.
    bone_ends
        (N, 4) float32: a point in CT mm for each voxel of bone at the faces of the CT, and the side
        of that voxel in mm.
    """

    values: np.ndarray
    max_per_mm: float
    ct_from_texel: np.ndarray
    cut: np.ndarray
    bone_per_mm: float
    bone_ends: np.ndarray

    @classmethod
    def of(
        cls,
        volume: Volume,
        cut: np.ndarray,
        bone_per_mm: float,
        bone_ends: np.ndarray,
        most: int = MAX_SIDE,
    ) -> Texture:
        """Return the texture of a volume of attenuation, at its finest."""
        box = extents(volume.values)
        sizes = [min(high - low, most - 2) for low, high in box]
        means = [_means(high - low, size) for (low, high), size in zip(box, sizes, strict=True)]
        values = np.zeros([size + 2 for size in sizes], np.uint8)
        inner = np.zeros([sizes[0], sizes[1] * sizes[2]], np.float32)
        (k0, k1), (j0, j1), (i0, i1) = box
        for k, column in zip(
            range(k0, k1), means[0].T.tocsr(), strict=True
        ):  # by slices: they fit the cache
            slab = means[1] @ (means[2] @ volume.values[k, j0:j1, i0:i1].T).T
            for row, share in zip(column.indices, column.data, strict=True):
                inner[row] += share * slab.ravel()
        max_per_mm = float(inner.max()) or 1.0
        values[1:-1, 1:-1, 1:-1] = np.rint(inner * np.float32(255 / max_per_mm)).reshape(sizes)
        index_from_texel = np.eye(4)
        for axis, ((low, high), size) in enumerate(zip(box[::-1], sizes[::-1], strict=True)):
            ratio = (high - low) / size
            index_from_texel[axis, [axis, 3]] = ratio, low - 0.5 - 0.5 * ratio
        return cls(
            values, max_per_mm, volume.ct_from_index @ index_from_texel, cut, bone_per_mm, bone_ends
        )


def _means(size: int, cells: int) -> scipy.sparse.csr_array:
    """Return (cells, size), means over equal parts of an axis of so many voxels, whose borders may lie within voxels."""
    borders = np.linspace(0, size, cells + 1)
    voxels = np.arange(size)
    shares = np.minimum(borders[1:, None], voxels + 1) - np.maximum(borders[:-1, None], voxels)
    return scipy.sparse.csr_array(
        np.maximum(shares, 0).astype(np.float32) * np.float32(cells / size)
    )
