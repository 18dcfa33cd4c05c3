"""A body whose line integrals are known by formula."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scenes import random_scene

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.rendering.drr import Projector

MU, LOW, HIGH = 0.02, np.array([2.5, 4.5, 3.5]), np.array([19.5, 22.5, 21.5])


@pytest.mark.parametrize("axis", range(3))
def test_a_box_is_as_thick_as_its_faces_are_apart(axis):
    """Rays through two opposite faces of a box of whole voxels.

    Exact, for as many planes as voxels stand for all of it.
    """
    values = np.zeros((26, 28, 24), np.float32)
    values[4:22, 5:23, 3:20] = MU
    scene = random_scene(axis, leading=axis, left_handed=axis == 1, values=values)
    index_from_world = np.linalg.inv(scene.world_from_ct @ scene.volume.ct_from_index)
    source = rigid.transform_points(index_from_world, scene.camera.source)
    pixels = np.moveaxis(np.indices(scene.camera.size), 0, -1).swapaxes(0, 1)
    rays = rigid.rotate(index_from_world, scene.camera.ray_directions(pixels))

    def crossed(inset):
        """(rows, columns, 3) how far along the rays both faces of each axis are."""
        faces = np.stack([(LOW + inset - source) / rays, (HIGH - inset - source) / rays])
        return faces.min(axis=0), faces.max(axis=0)

    near, far = (each[..., axis] for each in crossed(0.0))
    enters, leaves = (np.delete(each, axis, axis=-1) for each in crossed(0.5))
    through = (enters.max(axis=-1) < near) & (leaves.min(axis=-1) > far)
    through &= np.abs(rays).argmax(axis=-1) == axis
    assert through.sum() > 100
    image = Projector(scene.volume).render(scene.camera, scene.world_from_ct).image
    assert_allclose(image[through], MU * (far - near)[through], rtol=2e-6)
