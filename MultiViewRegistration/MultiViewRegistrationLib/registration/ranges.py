"""A range of poses, and poses that fill it evenly."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera


@dataclass(frozen=True)
class Range:
    """All poses turned by up to rotation_deg about the centroid of the anatomy, whose centre moves by up to translation_mm.

    InputError for an empty range, or a turn by more than 180 degrees.
    """

    rotation_deg: float
    translation_mm: float

    def __post_init__(self) -> None:
        turn, shift = self.rotation_deg, self.translation_mm
        if not (0 <= turn <= 180 and 0 <= shift < np.inf and turn + shift > 0):
            raise InputError(
                f"search: found a range of {turn:g} degrees and {shift:g} mm, expected 0 to 180 degrees and 0 mm or more, "
                "not both 0; widen it."
            )

    def poses(self, world_from_ct: np.ndarray, centroid: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The poses (N, 4, 4) at points (N, 6) of the unit cube, evenly spread in rotation and translation about a pose.

        Turns are uniform in the Haar measure: the angle has the density 1 - cos (Miles, Biometrika 52, 1965).
        """
        grid = np.linspace(0, np.radians(self.rotation_deg), 1000)
        below = grid - np.sin(grid)
        angle = np.interp(points[:, 0] * below[-1], below, grid)
        distance = self.translation_mm * np.cbrt(points[:, 3])
        motion = rigid.from_rotation_translation(
            rigid.exp_so3(angle[:, None] * _directions(points[:, 1:3])), distance[:, None] * _directions(points[:, 4:6])
        )
        return rigid.about(rigid.transform_points(world_from_ct, centroid), motion) @ world_from_ct

    def holds(self, pose: np.ndarray, world_from_ct: np.ndarray, centroid: np.ndarray) -> bool:
        """Whether a pose lies within the range about a pose, or beyond it by not more than half and 10 degrees or mm."""
        moved = rigid.transform_points(pose, centroid) - rigid.transform_points(world_from_ct, centroid)
        turned = np.degrees(rigid.rotation_distance(pose, world_from_ct))
        return bool(np.linalg.norm(moved) <= 1.5 * self.translation_mm + 10 and turned <= 1.5 * self.rotation_deg + 10)

    def shown(self, camera: Camera, world_from_ct: np.ndarray, centroid: np.ndarray, corners: np.ndarray) -> bool:
        """Whether a camera sees anything of a CT's box, with `corners` (8, 3) CT mm, at any of the poses about a pose."""
        from scipy.stats import qmc  # slow to import, and only a search needs it

        poses = self.poses(world_from_ct, centroid, qmc.Sobol(6, seed=0).random(256))
        points = rigid.transform_points(poses[:, None], corners)
        pixels = np.where(camera.depth(points)[..., None] > 0, camera.project(points), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a box behind the source
            low, high = np.nanmin(pixels, axis=1), np.nanmax(pixels, axis=1)
        return bool(((low < camera.size) & (high > 0)).all(axis=1).any())


def _directions(points: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 3), evenly spread, at points (N, 2) of the unit square."""
    z, turn = 2 * points[:, 0] - 1, 2 * np.pi * points[:, 1]
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)


def default_pose_at_isocentre(cameras: list[Camera], centroid: np.ndarray) -> np.ndarray:
    """A pose (4, 4) for a CT of which nothing is known: its axes along the world's, its centroid where the central rays meet.

    centroid: (3,) CT mm. Of one view alone, where its central ray passes the world's origin, the isocentre of a C-arm.
    """
    across = [
        np.eye(3) - np.outer(camera.camera_from_world[2, :3], camera.camera_from_world[2, :3]) for camera in cameras
    ]
    # Least squares of the distances from the rays; the origin, hardly weighted, decides what they leave open.
    normal = sum(across) + 1e-6 * np.eye(3)
    meeting = np.linalg.solve(normal, sum(a @ camera.source for a, camera in zip(across, cameras, strict=True)))
    return rigid.from_rotation_translation(np.eye(3), meeting - centroid)
