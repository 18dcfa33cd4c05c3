"""Volumes and cameras for the tests of the renderer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib import Camera, Volume
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import SlotScan


@dataclass(frozen=True)
class Scene:
    volume: Volume
    camera: Camera
    world_from_ct: np.ndarray
    pivot: np.ndarray

    def in_float64(self):
        """(values, ct_from_index, camera) as the reference takes them."""
        import torch

        return torch.from_numpy(self.volume.values).double(), self.volume.ct_from_index, self.camera

    def moved(self, twist):
        """The pose after the CT turned by twist[:3] (rad) about the pivot and shifted by twist[3:] (mm), by scipy's rotation."""
        turn = Rotation.from_rotvec(twist[:3]).as_matrix()
        motion = rigid.from_rotation_translation(turn, twist[3:])
        return rigid.about(self.pivot, motion) @ self.world_from_ct


def smooth_values(rng, shape, sigma=3.0):
    """Random tissue (1/mm) that fades out towards all faces of the volume."""
    values = gaussian_filter(rng.normal(size=shape), sigma)
    values = 0.03 + 0.02 * np.tanh(values / values.std())
    for axis, size in enumerate(shape):
        fade = np.sin(np.pi * (np.arange(size) + 1) / (size + 1)) ** 2
        values *= fade.reshape([-1 if a == axis else 1 for a in range(3)])
    return values.astype(np.float32)


def ct_from_index(rng, spacing_mm, *, left_handed=False):
    """A grid that lies obliquely, far from the origin."""
    axes = Rotation.random(random_state=rng).as_matrix()
    if left_handed:
        axes[:, rng.integers(3)] *= -1
    return rigid.from_rotation_translation(axes * spacing_mm, rng.uniform(-300, 300, 3))


def placed_volume(rng, values=None, left_handed=False):
    """An oblique CT at any pose: volume, world_from_ct, world_from_index, its middle in the world."""
    values = smooth_values(rng, (28, 40, 34)) if values is None else values
    volume = Volume(values, ct_from_index(rng, [1.1, 0.9, 1.6], left_handed=left_handed))
    turn = Rotation.random(random_state=rng).as_matrix()
    world_from_ct = rigid.from_rotation_translation(turn, rng.uniform(-200, 200, 3))
    world_from_index = world_from_ct @ volume.ct_from_index
    centre = rigid.transform_points(world_from_index, (np.array(values.shape[::-1]) - 1) / 2)
    return volume, world_from_ct, world_from_index, centre


def random_scene(seed, *, leading=None, mirrored=False, left_handed=False, values=None):
    """An oblique CT with uneven voxels at any pose before a camera that stands anywhere.

    Some rays miss.

    leading: index axis (0, 1, 2 for i, j, k) within 25 degrees of which the camera looks; any
    direction by default.
    """
    rng = np.random.default_rng(seed)
    volume, world_from_ct, world_from_index, centre = placed_volume(rng, values, left_handed)
    R = Rotation.random(random_state=rng).as_matrix()
    if leading is not None:
        z = world_from_index[:3, leading] * rng.choice([-1, 1])
        tilt = Rotation.from_rotvec(np.radians(25) * rng.uniform(-0.5, 0.5, 3)).as_matrix()
        R = Rotation.align_vectors([[0, 0, 1]], [tilt @ z])[0].as_matrix()
    shift = [*rng.uniform(-8, 8, 2), rng.uniform(250, 450)] - R @ centre
    camera_from_world = rigid.from_rotation_translation(R, shift)
    fx, fy = rng.uniform(260, 330, 2)
    intrinsics = [
        [-fx if mirrored else fx, rng.uniform(-1, 1), 22 + rng.uniform(-6, 6)],
        [0, fy, 17 + rng.uniform(-6, 6)],
        [0, 0, 1],
    ]
    camera = Camera(intrinsics, camera_from_world, (46, 36))
    return Scene(volume, camera, world_from_ct, centre + rng.uniform(-40, 40, 3))


def slot_scene(seed, leading, mirrored):
    """An oblique CT before a slot scan that looks along about one of its axes.

    Volume, description, world_from_ct.
    """
    rng = np.random.default_rng(seed)
    volume, world_from_ct, world_from_index, centre = placed_volume(rng)
    axes = np.roll(world_from_index[:3, :3] / volume.spacing_mm, 2 - leading, axis=1)
    x, y, z = (axes @ Rotation.from_rotvec(rng.uniform(-0.2, 0.2, 3)).as_matrix()).T
    seen = {"pixel_mm": (1.0, 1.2), "size": (46, 36), "central_column": 24.0}
    scan = SlotScan(
        isocentre=centre - 18 * 1.2 * y,
        isocentre_to_source=-z,
        source_to_isocentre_mm=200,
        columns_along=-x if mirrored else x,
        rows_along=y,
        **seen,
    )
    return volume, scan, world_from_ct
