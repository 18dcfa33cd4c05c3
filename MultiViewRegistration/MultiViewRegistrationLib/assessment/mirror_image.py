"""Find out whether X-rays tell a CT from its mirror image.

Of a person whose left and right are alike, a CT that is mirrored fits about as well as the right one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from ..geometry import rigid
from ..imaging.xray import View
from ..reasons import Reason
from ..registration.objective import EvaluationPoint
from ..registration.optimizer import minimise
from ..registration.prepared_ct import PreparedCT
from ..registration.refinement import Refinement
from .hypotheses import mirrored_ct
from .metrics import in_field

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
