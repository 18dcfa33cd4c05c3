"""Bodies whose line integrals are known by formula."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import ct_from_index
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume
from MultiViewRegistrationLib.rendering.drr import render

MU = 0.02


def looking_at(centre, rotation, distance_mm, focal_px, size):
    """A camera of any rotation that sees `centre` (world mm) a little beside the middle of its image."""
    camera_from_world = rigid.from_rotation_translation(
        rotation, np.array([0.7, -0.4, distance_mm]) - rotation @ centre
    )
    columns, rows = size
    return Camera([[focal_px, 0, columns / 2], [0, focal_px, rows / 2], [0, 0, 1]], camera_from_world, size)


def rays(camera):
    """Unit directions (rows, columns, 3) in the world."""
    columns, rows = camera.size
    v, u = np.indices((rows, columns))
    return camera.ray_directions(np.stack([u, v], axis=-1))


@pytest.mark.parametrize("axis", range(3))
def test_a_box_is_as_thick_as_its_faces_are_apart(axis):
    """Rays through two opposite faces of a box of whole voxels: exact, for as many planes as voxels stand for all of it."""
    rng = np.random.default_rng(axis)
    values = np.zeros((26, 28, 24), np.float32)
    values[4:22, 5:23, 3:20] = MU
    low, high = np.array([2.5, 4.5, 3.5]), np.array([19.5, 22.5, 21.5])
    volume = Volume(values, ct_from_index(rng, [1.2, 0.8, 1.5], left_handed=axis == 1))
    world_from_ct = rigid.from_rotation_translation(Rotation.random(random_state=rng).as_matrix(), [30, -50, 80])
    world_from_index = world_from_ct @ volume.ct_from_index
    along = world_from_index[:3, axis] / volume.spacing_mm[axis]
    turn, _ = Rotation.align_vectors([[0, 0, 1]], [Rotation.from_rotvec(rng.uniform(-0.15, 0.15, 3)).apply(along)])
    camera = looking_at(
        rigid.transform_points(world_from_index, (low + high) / 2), turn.as_matrix(), 400, 600, (40, 40)
    )

    index_from_world = np.linalg.inv(world_from_index)
    source, directions = (
        rigid.transform_points(index_from_world, camera.source),
        rigid.rotate(index_from_world, rays(camera)),
    )
    faces = np.stack([(low - source) / directions, (high - source) / directions])
    near, far = faces.min(axis=0), faces.max(axis=0)
    others = [a for a in range(3) if a != axis]
    inner = np.stack(
        [
            (low[others] + 0.5 - source[others]) / directions[..., others],
            (high[others] - 0.5 - source[others]) / directions[..., others],
        ]
    )
    through = (inner.min(axis=0).max(axis=-1) < near[..., axis]) & (inner.max(axis=0).min(axis=-1) > far[..., axis])
    leads = np.abs(directions).argmax(axis=-1) == axis
    assert (through & leads).sum() > 100
    exact = MU * (far - near)[..., axis]
    image = render(volume, camera, world_from_ct).image
    np.testing.assert_allclose(image[through & leads], exact[through & leads], rtol=2e-6)


def ball(voxel_mm, radius_mm, centre_mm, supersampling=4):
    """A ball in a cube of 48 mm; each voxel holds its part of the ball, found by sampling it."""
    size = round(48 / voxel_mm)
    fine = (np.arange(size * supersampling) + 0.5) * voxel_mm / supersampling
    z, y, x = np.ix_(*(fine - c for c in centre_mm[::-1]))
    inside = (x * x + y * y + z * z < radius_mm**2).reshape(
        size, supersampling, size, supersampling, size, supersampling
    )
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = voxel_mm / 2
    return Volume(MU * inside.mean(axis=(1, 3, 5)), affine)


@pytest.mark.slow
def test_chords_of_a_ball_are_better_the_smaller_the_voxels():
    centre, radius = np.array([24.3, 23.6, 24.1]), 17.0
    camera = looking_at(centre, Rotation.from_euler("xyz", [35, 20, 50], degrees=True).as_matrix(), 700, 900, (56, 52))
    offset = np.linalg.norm(np.cross(centre - camera.source, rays(camera)), axis=-1)
    exact = MU * 2 * np.sqrt(np.maximum(radius**2 - offset**2, 0))
    inside, outside = offset < 0.9 * radius, offset > radius + 2 * np.sqrt(3)
    assert inside.sum() > 800 and outside.sum() > 500
    spread_mm = []
    for voxel_mm in (2.0, 1.0, 0.5):
        image = render(ball(voxel_mm, radius, centre), camera, np.eye(4)).image
        assert not image[outside].any()
        error_mm = (image - exact)[inside] / MU
        # Voxel and interpolation blur the chords by a variance of voxel^2 / 4, so the bias is of second order.
        assert abs(error_mm.mean()) < 0.08 * voxel_mm**2
        spread_mm.append(np.sqrt(np.mean(error_mm**2)))
    assert spread_mm[0] < 0.25 * 2.0
    assert spread_mm[1] < spread_mm[0] / 1.8 and spread_mm[2] < spread_mm[1] / 1.8
