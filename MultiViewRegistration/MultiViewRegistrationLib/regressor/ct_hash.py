"""Which CT a model is for."""

from __future__ import annotations

import hashlib

import numpy as np

from ..imaging.ct import CT

#: Grids that differ by less, in mm, are one.
_SAME_MM = 1e-3


def ct_sha256(ct: CT) -> str:
    """SHA-256 in hex of a CT's values, unit, mask and grid: the same however it was stored."""
    digest = hashlib.sha256(ct.unit.encode())
    digest.update(np.array(ct.volume.values.shape, np.int64).tobytes())
    digest.update((np.rint(ct.volume.ct_from_index / _SAME_MM) + 0.0).tobytes())
    digest.update(np.ascontiguousarray(ct.volume.values, np.float32))
    if ct.mask is not None:
        digest.update(np.packbits(ct.mask))
    return digest.hexdigest()
