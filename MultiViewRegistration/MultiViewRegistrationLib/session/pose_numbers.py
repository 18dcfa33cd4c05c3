"""Where the CT is, in six numbers that a person reads and types."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ..errors import InputError
from ..geometry import rigid
from ..mrml import manual_pose
from ..mrml.registration import Registration

#: In their order: the place of the CT's centre (`by_hand.centre`), mm in the world, LPS; then its turn about these axes, one after the
#: other, as they stand still, degrees.
NAMES = ("L", "P", "S", "turn L", "turn P", "turn S")
UNITS = ("mm", "mm", "mm", "°", "°", "°")
FARTHEST = 1e5


def numbers(registration: Registration) -> np.ndarray:
    """(6,), see NAMES. InputError without a usable CT."""
    angles = Rotation.from_matrix(registration.world_from_ct[:3, :3]).as_euler("xyz", degrees=True)
    return np.concatenate([manual_pose.centre(registration), angles])


def set_number(registration: Registration, which: int, value: float) -> None:
    """Move the CT so that one of them has this value, and the others stay. InputError for what is no number, and without a usable CT."""
    if not abs(value) < FARTHEST:
        raise InputError(f"Pose: found {value} for {NAMES[which]}, expected a number of {UNITS[which]}; correct it.")
    wanted = numbers(registration)
    wanted[which] = value
    R = Rotation.from_euler("xyz", wanted[3:], degrees=True).as_matrix()
    registration.world_from_ct = rigid.from_rotation_translation(
        R, wanted[:3] - R @ manual_pose.centre_in_ct(registration)
    )
