"""How one structure moves against another, from their poses in each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import rigid

#: A screw axis of a smaller turn, in radians, is mostly noise.
LEAST_TURN = np.radians(1.0)


@dataclass(frozen=True, eq=False)
class Relative:
    """The pose of the moving structure against the fixed one in a frame, and how it came there from the first such frame.

    fixed_from_moving: (4, 4) CT mm to CT mm.
    rotation_deg: (3,) rotation vector along the axes of the fixed structure's CT; its length is the angle.
    shift_mm: (3,) of the moving structure's centroid, along the same axes.
    axis, along_mm, point: of the screw (finite helical axis) that is this motion: its direction (3,), how far it goes along it, and its
        point (3,) in the fixed CT that is nearest to the moving centroid; None for a turn below LEAST_TURN.
    """

    number: int
    fixed_from_moving: np.ndarray
    rotation_deg: np.ndarray
    shift_mm: np.ndarray
    axis: np.ndarray | None = None
    along_mm: float | None = None
    point: np.ndarray | None = None


def relative_motion(
    fixed: Sequence[np.ndarray | None],
    moving: Sequence[np.ndarray | None],
    centroid: np.ndarray,
) -> list[Relative]:
    """Of each frame in which there are both poses world_from_ct (4, 4), the motion since the first of them.

    centroid: (3,) of the moving structure, in its CT, mm.

    The finite helical axis is that of Woltring et al., J. Biomechanics 18 (1985).
    """
    both = [
        (n, rigid.inverse(a) @ b)
        for n, (a, b) in enumerate(zip(fixed, moving, strict=True))
        if a is not None and b is not None
    ]
    return [_relative(number, pose, both[0][1], centroid) for number, pose in both]


def _relative(number: int, pose: np.ndarray, first: np.ndarray, centroid: np.ndarray) -> Relative:
    motion = pose @ rigid.inverse(first)
    turn, at = rigid.log_so3(motion[:3, :3]), rigid.transform_points(first, centroid)
    shift = rigid.transform_points(motion, at) - at
    angle = float(np.linalg.norm(turn))
    if angle < LEAST_TURN:
        return Relative(number, pose, np.degrees(turn), shift)
    axis = turn / angle
    along = float(shift @ axis)
    across = shift - along * axis
    # The centroid goes round the axis by the angle: the chord is `across`.
    point = at + across / 2 + np.cross(axis, across) / (2 * np.tan(angle / 2))
    return Relative(number, pose, np.degrees(turn), shift, axis, along, point)
