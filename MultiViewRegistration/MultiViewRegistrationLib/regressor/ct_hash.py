"""Which CT a model is for."""

from __future__ import annotations

import hashlib

import numpy as np

from ..imaging.ct import CT

#: Grids that differ by less, in mm, are one.
_SAME_MM = 1e-3


def ct_sha256(ct: CT) -> str:
    """SHA-256 in hex of a CT's values, unit, mask and grid: the same however it was stored.

    The slices of a left-handed grid are taken the other way round, as in files that 3D Slicer writes.
    """
    values, mask, grid = ct.volume.values, ct.mask, ct.volume.ct_from_index
    if np.linalg.det(grid[:3, :3]) < 0:
        values, mask = values[::-1], None if mask is None else mask[::-1]
        grid = grid @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, len(values) - 1], [0, 0, 0, 1]]
    digest = hashlib.sha256(ct.unit.encode())
    digest.update(np.array(values.shape, np.int64).tobytes())
    digest.update((np.rint(grid / _SAME_MM) + 0.0).tobytes())
    digest.update(np.ascontiguousarray(values, np.float32))
    if mask is not None:
        digest.update(np.packbits(mask))
    return digest.hexdigest()
