"""Turns of an implant that X-rays do not show, as it looks the same with them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..registration.bones import Bone
from ..registration.register_bones import BonesRegistration

#: Turned so far the comparison with the X-rays is worse by this share at least, where they show the
#: turn. Pins and balls 0 to 0.04, screws, hip and knee components 0.3 and more.
TURNS_DEG = (45.0, 90.0, 180.0)
SHOWN = 0.1


class HiddenTurns(NamedTuple):
    """Unit vectors (3,) in the body's own frame.

    Attributes
    ----------
    free
        About which any turn looks the same.
    halves
        About which half a turn does.
    """

    free: list[np.ndarray]
    halves: list[np.ndarray]


ALL_SHOWN = HiddenTurns([], [])


def hidden_turns(found: BonesRegistration, n: int) -> HiddenTurns:
    """Return what the X-rays do not show of how the n-th body is turned, about its principal axes."""
    objective = found.objectives[-1]
    poses = np.array(found.poses)
    middle = rigid.transform_points(poses[n], found.bones[n].centroid)

    def cost(twist: np.ndarray) -> float:
        turn = rigid.from_rotation_translation(rigid.exp_so3(twist), np.zeros(3))
        turned = poses.copy()
        turned[n] = rigid.about(middle, turn) @ poses[n]
        return objective.cost(objective.shadows(turned, jacobian=False))

    here = cost(np.zeros(3))
    hidden = HiddenTurns([], [])
    for axis in principal_axes(found.bones[n]).T:
        along = poses[n, :3, :3] @ axis
        rises = [cost(along * angle) / here - 1 for angle in np.radians(TURNS_DEG)]
        if max(rises) < SHOWN:
            hidden.free.append(axis)
        elif rises[-1] < SHOWN:
            hidden.halves.append(axis)
    return hidden


def principal_axes(bone: Bone) -> np.ndarray:
    """Return the principal axes of what a body attenuates as columns (3, 3), in its own frame."""
    volume = bone.finest
    places = np.argwhere(volume.values > 0)
    weights = volume.values[tuple(places.T)]
    points = rigid.transform_points(volume.ct_from_index, places[:, ::-1].astype(float))
    return np.linalg.eigh(np.cov(points.T, aweights=weights))[1]
