"""Where the CT was cut off although the body goes on."""

from __future__ import annotations

import numpy as np

from ..imaging.volume import Volume

#: Attenuation (1/mm) from which a voxel counts as tissue: about a quarter of water.
TISSUE_PER_MM = 0.005

_INWARDS_MM = 20.0


def cut_ends(volume: Volume) -> np.ndarray:
    """(6,) bool: whether the body goes on beyond the faces -i, +i, -j, +j, -k, +k of the volume (attenuation in 1/mm).

    A body that merely touches a face, as skin does on a table, has there only a small part of its cross-section 20 mm further
    inwards; one that was cut off has most of it. Decide this on the finest volume: pooling smears skin into the face.
    """
    cut = []
    for axis, spacing in zip((2, 1, 0), volume.spacing_mm, strict=True):
        size = volume.values.shape[axis]
        inwards = min(max(1, round(_INWARDS_MM / spacing)), size - 1)
        for end, inner in ((0, inwards), (size - 1, size - 1 - inwards)):
            at_end, further_in = (np.count_nonzero(volume.values.take(n, axis) > TISSUE_PER_MM) for n in (end, inner))
            cut.append(at_end > 0.5 * further_in > 0)
    return np.array(cut)
