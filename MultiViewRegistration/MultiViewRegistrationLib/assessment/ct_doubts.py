"""Doubts about a CT: slices of it that lie aside, and a mirror image that X-rays do not tell from it.

From slice to slice a body drifts, but slowly. Slices that were taken while the patient coughed or
stepped aside are entered by a jump, and left by its opposite. Of a person whose left and right are
alike, a CT that is mirrored fits about as well as the right one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from ..geometry import rigid
from ..imaging.ct import BONE_PER_MM, WATER, Volume
from ..imaging.xray import View
from ..reasons import Reason
from ..registration.objective import EvaluationPoint
from ..registration.optimizer import minimise
from ..registration.prepared_ct import PreparedCT
from ..registration.refinement import Refinement
from .hypotheses import mirrored_ct
from .metrics import in_field

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


#: Points of bone that are mirrored, those upon which they fall, and how often the nearest share of
#: them moves the mirror (Chetverikov et al., Image Vis. Comput. 23, 2005).
POINTS = 1000
BONE_POINTS = 20000
ROUNDS = 30
NEAREST = 0.8
#: Steps at each resolution.
STEPS = 8
#: So many times the evidence of its mirror image a CT has at least. Of people made symmetric
#: (seed 1) mirrored CTs that were accepted had up to 1.000, right ones from 1.045 on; real people
#: from 1.6 on.
LEAST_RATIO = 1.02
#: With so many times at the second resolution already, the finest is not asked: of people made
#: symmetric (seed 5) mirrored CTs had up to 1.00 there, real ones from 3.5 on.
CLEAR_RATIO = 1.5
ALIKE = Reason(
    "mirror-alike",
    "Left and right of this CT are so alike that the X-rays fit its mirror image about as well\n. Check "
    "by an organ or by a mark that left and right of the CT are not exchanged.",
)


def mirror_of(points: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Return the reflection (4, 4) that brings points (N, 3) nearest to all points (M, 3) of the bone, CT mm."""
    tree = scipy.spatial.cKDTree(every)
    points = rigid.some_of(points, POINTS)
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = 2 * np.median(points[:, 0])
    for _ in range(ROUNDS):
        there = rigid.transform_points(mirror, points)
        apart, nearest = tree.query(there)
        near = apart <= np.quantile(apart, NEAREST)
        source = there[near]
        target = every[nearest[near]]
        centre = source.mean(axis=0)
        to = target.mean(axis=0)
        turn, _ = scipy.spatial.transform.Rotation.align_vectors(target - to, source - centre)
        R = turn.as_matrix()
        mirror = rigid.from_rotation_translation(R, to - R @ centre) @ mirror
    return mirror


def evidence_ratio(
    anatomy: PreparedCT, views: Sequence[View], found: Refinement, start: np.ndarray
) -> float:
    """Return how many times the evidence of the mirrored CT, where that fits best, the CT has.

    Parameters
    ----------
    views
        With corrected cameras.
    found, start
        The pose, and the start (4, 4) of its refinement.
    """
    every = anatomy.bone_points(BONE_POINTS)
    world = rigid.transform_points(found.world_from_ct, every)
    shown = every[in_field(views, world).all(axis=0)]
    mirror = mirror_of(shown if len(shown) else every, every)
    case = mirrored_ct(views, anatomy.centroid)
    pose = case.world_from_world @ found.world_from_ct @ mirror
    levels = anatomy.levels(case.views, start)
    for level in levels:
        objective = anatomy.objective(case.views, level, pose)
        descent = minimise(objective, pose, STEPS, level.tolerance_mm)
        pose = descent.world_from_ct
        own = anatomy.objective(list(views), level, found.world_from_ct)
        fit = own.evaluate(EvaluationPoint([found.world_from_ct])).linearise()
        ratio = fit.evidence / max(descent.fit.evidence, 1e-9)
        if level is not levels[0] and ratio >= CLEAR_RATIO:
            break
    return ratio
