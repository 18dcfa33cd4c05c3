"""Find slices of a CT that lie aside of those below and above: the patient moved while it was taken.

From slice to slice a body drifts, but slowly. Slices that were taken while the patient coughed or
stepped aside are entered by a jump, and left by its opposite.
"""

from __future__ import annotations

import numpy as np
import scipy

from ..geometry import rigid
from ..imaging.ct import BONE_PER_MM, WATER, Volume
from ..reasons import Reason
from ..registration.prepared_ct import PreparedCT

#: Size of voxels in which slices are compared, and by how many of them each slice is blurred.
VOXEL_MM = 3.0
BLUR = 1.0
#: What is less dense than this share of water, as lung and couch, counts as air, and all bone as
#: its least dense.
LEAST_DENSE = 0.7
#: A jump is over within so much; drift is what is usual within so much; and so long is what lies
#: aside, at most: longer motions are seen by `parts`.
JUMP_MM = 10.0
DRIFT_MM = 60.0
LONGEST_MM = 45.0
#: Both jumps are so opposite, by the cosine, and so large. In seven people's CTs as they are both are
#: 2.97 mm at most, in six 1.04.
OPPOSITE = -0.7
LEAST_MM = 3.1
#: Slices with a smaller share of the usual contrast show too little to tell.
LEAST_CONTRAST = 0.02


def drift(volume: Volume) -> np.ndarray:
    """Return how far the content moves from each slice to the next, (slices - 1, 2) mm by columns and rows.

    Lucas and Kanade, An iterative image registration technique, IJCAI 1981: one step, least squares.
    """
    images = np.clip(volume.values, np.float32(LEAST_DENSE * WATER), np.float32(BONE_PER_MM))
    images = scipy.ndimage.gaussian_filter(images, (0, BLUR, BLUR))
    rows, columns = np.gradient((images[1:] + images[:-1]) / 2, axis=(1, 2))
    across = np.stack([columns, rows], axis=1).reshape(len(images) - 1, 2, -1)
    change = np.diff(images, axis=0).reshape(len(images) - 1, -1, 1)
    normal = across @ across.swapaxes(1, 2)
    least = LEAST_CONTRAST * np.median(np.trace(normal, axis1=1, axis2=2)) + 1e-12
    moved = np.linalg.solve(normal + least * np.eye(2), -across @ change)
    return moved[..., 0] * volume.spacing_mm[:2]


def aside_mm(volume: Volume) -> np.ndarray:
    """Return how far each slice (N,) lies aside of those below and above, mm; 0 where not by LEAST_MM."""
    found = np.zeros(len(volume.values))
    jump, usual, longest = (
        max(1, round(mm / float(volume.spacing_mm[2]))) for mm in (JUMP_MM, DRIFT_MM, LONGEST_MM)
    )
    if len(found) <= 2 * jump:
        return found
    moved = drift(volume)
    moved -= scipy.ndimage.median_filter(moved, (usual | 1, 1), mode="nearest")
    total = np.cumsum(np.vstack([np.zeros((1, 2)), moved]), axis=0)
    jumps = total[jump:] - total[:-jump]
    sizes = np.linalg.norm(jumps, axis=1)
    for length in range(jump, min(jump + longest, len(jumps))):
        there = sizes[:-length]
        back = sizes[length:]
        cosines = np.sum(jumps[:-length] * jumps[length:], axis=1) / (there * back + 1e-12)
        both = np.where(cosines < OPPOSITE, np.minimum(there, back), 0)
        for first in np.flatnonzero(both >= LEAST_MM):
            within = slice(first + jump // 2, first + length + jump // 2 + 1)
            found[within] = np.maximum(found[within], both[first])
    return found


def slices_aside(anatomy: PreparedCT, targets: np.ndarray) -> list[Reason]:
    """Return that the CT's slices at a target (N, 3), CT mm, lie aside; nothing where they do not."""
    volume = anatomy.attenuation(anatomy.level(VOXEL_MM))
    aside = aside_mm(volume)
    at = np.rint(rigid.transform_points(volume.index_from_ct, targets)[:, 2]).astype(int)
    within = (at >= 0) & (at < len(aside))
    mm = aside[at[within]]
    if not mm.any():
        return []
    heights = targets[within][mm > 0][:, 2]
    sentence = (
        f"The patient moved while the CT was taken\n: slices of it between z = {heights.min():.0f} and "
        f"{heights.max():.0f} mm lie {mm.max():.0f} mm aside of those below and above. Take another CT."
    )
    return [Reason("ct-slices-aside", sentence)]
