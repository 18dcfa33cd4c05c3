"""Bodies whose line integrals are known by formula."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import ct_from_index
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume
from MultiViewRegistrationLib.rendering.drr import Projector

MU = 0.02


def looking_at(centre, rotation, distance_mm, focal_px, size):
    """A camera of any rotation that sees `centre` (world mm) a little beside the middle of its image."""
    camera_from_world = rigid.from_rotation_translation(
        rotation, np.array([0.7, -0.4, distance_mm]) - rotation @ centre
    )
    columns, rows = size
    return Camera(
        [[focal_px, 0, columns / 2], [0, focal_px, rows / 2], [0, 0, 1]], camera_from_world, size
    )


def rays(camera):
    """Unit directions (rows, columns, 3) in the world."""
    columns, rows = camera.size
    v, u = np.indices((rows, columns))
    return camera.ray_directions(np.stack([u, v], axis=-1))


@pytest.mark.parametrize("axis", range(3))
def test_a_box_is_as_thick_as_its_faces_are_apart(axis):
    """Rays through two opposite faces of a box of whole voxels.

    Exact, for as many planes as voxels stand for all of it.
    """
    rng = np.random.default_rng(axis)
    values = np.zeros((26, 28, 24), np.float32)
    values[4:22, 5:23, 3:20] = MU
    low, high = np.array([2.5, 4.5, 3.5]), np.array([19.5, 22.5, 21.5])
    volume = Volume(values, ct_from_index(rng, [1.2, 0.8, 1.5], left_handed=axis == 1))
    world_from_ct = rigid.from_rotation_translation(
        Rotation.random(random_state=rng).as_matrix(), [30, -50, 80]
    )
    world_from_index = world_from_ct @ volume.ct_from_index
    along = world_from_index[:3, axis] / volume.spacing_mm[axis]
    turn, _ = Rotation.align_vectors(
        [[0, 0, 1]], [Rotation.from_rotvec(rng.uniform(-0.15, 0.15, 3)).apply(along)]
    )
    camera = looking_at(
        rigid.transform_points(world_from_index, (low + high) / 2),
        turn.as_matrix(),
        400,
        600,
        (40, 40),
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
    through = (inner.min(axis=0).max(axis=-1) < near[..., axis]) & (
        inner.max(axis=0).min(axis=-1) > far[..., axis]
    )
    leads = np.abs(directions).argmax(axis=-1) == axis
    assert (through & leads).sum() > 100
    exact = MU * (far - near)[..., axis]
    image = Projector(volume).render(camera, world_from_ct).image
    np.testing.assert_allclose(image[through & leads], exact[through & leads], rtol=2e-6)
