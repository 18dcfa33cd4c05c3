"""Whether the ends of a bone's mask fit best at different places, as of one that holds a part of a neighbour."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from .bones import Bone
from .register_bones import LEVELS, BonesRegistration, minimise

#: At the finest resolution.
ITERATIONS = 6


def ends_apart_mm(found: BonesRegistration, asked: Collection[int]) -> dict[int, float]:
    """Return how far apart the upper and the lower third of each asked bone end, mm at its surface, root mean square.

    They begin where the bone was registered. All move at once, tied as bones are.
    """
    parts: list[Bone] = []
    starts: list[np.ndarray] = []
    firsts = []
    for n, (bone, pose) in enumerate(zip(found.bones, found.poses, strict=True)):
        firsts.append(len(parts))
        parts += bone.thirds() if n in asked else [bone]
        starts += [pose] * (len(parts) - len(starts))
    objective = found.objectives[-1].of_parts(parts)
    ends, _ = minimise(objective, starts, ITERATIONS, LEVELS[-1].tolerance_mm)
    return {n: found.bones[n].apart(ends[firsts[n]], ends[firsts[n] + 2]) for n in asked}
