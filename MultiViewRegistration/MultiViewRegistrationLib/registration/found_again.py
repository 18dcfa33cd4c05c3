"""Whether bones are found again, where they were registered, from a little off.

A pose that the X-rays decide is. One that they leave open, or a minimum that is not the best, is
not, or differs with the way from which it is approached.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from ..geometry import rigid
from ..rendering.devices import run_each
from .register_bones import LEVELS, BonesRegistration, minimise

#: How far off each bone begins: towards one side, and then to the opposite one.
OFF_MM = 4.0
OFF_DEG = 5.0
#: At the middle resolution, of the bones that begin off, and of those that begin where they were
#: registered, which is at a finer one.
ITERATIONS = 8
ITERATIONS_HERE = 4


def found_again_mm(found: BonesRegistration) -> np.ndarray:
    """Return (B,) how far from there each bone ends at most, mm at its surface, root mean square.

    All bones begin off at once, each in a direction of its own.
    """
    rng = np.random.default_rng(0)
    level = LEVELS[1]
    ways = rng.normal(size=(len(found.bones), 2, 3))
    ways = rigid.unit(ways)
    twists = ways.reshape(-1, 6) * np.repeat([np.radians(OFF_DEG), OFF_MM], 3)

    def end(sign: int) -> list[np.ndarray]:
        starts = [
            rigid.moved(pose, sign * twist, rigid.transform_points(pose, bone.centroid))
            for bone, pose, twist in zip(found.bones, found.poses, twists, strict=True)
        ]
        iterations = ITERATIONS if sign else ITERATIONS_HERE
        # A copy, as each remembers which pixels are compared.
        return minimise(copy(found.objectives[1]), starts, iterations, level.tolerance_mm)[0]

    ends = zip(found.bones, *run_each(end, (1, -1, 0)), strict=True)
    return np.array([max(bone.apart(a, here), bone.apart(b, here)) for bone, a, b, here in ends])
