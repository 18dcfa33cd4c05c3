"""A pose that is known badly along one direction, mostly a view's depth, moved along it to where the X-rays tell most of the CT.

What moves the CT along a beam hardly changes an image, so that a network errs most there, and says so. Anything else it knows well enough
for a few tries along that one direction to find the place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry import rigid
from ..imaging.view import View
from .objective import EvaluationPoint
from .optimizer import moved
from .prepared_ct import PreparedCT
from .search import RADIUS_MM

#: So many tries, evenly up to so many standard deviations either way; what they leave of the deviation.
TRIES, DEVIATIONS, LEFT = 12, 2.5, 0.5


def refine_along_least_certain_axis(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    covariance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The pose (4, 4) along the direction of the largest variance with the most evidence at the second resolution, and its covariance.

    covariance: (6, 6) of the motion (omega rad, v mm) from the pose to the true one about the anatomy's centroid, world axes.
    """
    scale = np.repeat([RADIUS_MM, 1.0], 3)  # an angle counts at that distance from the centroid
    variances, axes = np.linalg.eigh(covariance * np.outer(scale, scale))
    deviation = np.sqrt(variances[-1]) * axes[:, -1] / scale
    centre = rigid.transform_points(world_from_ct, anatomy.centroid)
    poses = [moved(world_from_ct, share * deviation, centre) for share in np.linspace(-DEVIATIONS, DEVIATIONS, TRIES)]
    levels = anatomy.levels(list(views), world_from_ct)
    objective = anatomy.objective(list(views), levels[min(1, len(levels) - 1)], world_from_ct)
    fits = [objective.evaluate(EvaluationPoint(pose)).linearise() for pose in poses]
    evidence = [fit.evidence if np.isfinite(fit.cost) else 0.0 for fit in fits]
    if not any(evidence):  # nowhere is enough of the CT shown
        return world_from_ct, covariance
    return poses[int(np.argmax(evidence))], covariance - (1 - LEFT**2) * np.outer(deviation, deviation)
