"""Test-time augmentation: average the predictions over slightly transformed images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera


class Augmentation(NamedTuple):
    """An image shifted by shares of its width and height, turned about the beam and scaled."""

    right: float = 0.0
    down: float = 0.0
    roll_deg: float = 0.0
    scale: float = 1.0

    def camera(self, window: Camera, camera: Camera) -> Camera:
        """Whose image that is: of a detector behind the source of `camera`, like that of `window` but for the look."""
        intrinsics = np.diag([self.scale, self.scale, 1.0]) @ window.intrinsics
        intrinsics[:2, 2] = window.intrinsics[:2, 2] + np.array([self.right, self.down]) * window.size
        roll = rigid.from_rotation_translation(rigid.exp_so3(np.radians([0, 0, self.roll_deg])), np.zeros(3))
        return Camera(intrinsics, roll @ camera.camera_from_world, window.size)


#: Towards each corner.
CORNER_AUGMENTATIONS = (
    Augmentation(0.06, 0.06, 12.0, 1.05),
    Augmentation(-0.06, 0.06, -12.0, 0.95),
    Augmentation(0.06, -0.06, -6.0, 0.95),
    Augmentation(-0.06, -0.06, 6.0, 1.05),
)
