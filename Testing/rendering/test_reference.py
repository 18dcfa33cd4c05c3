"""The kernel gives the image and the Jacobian of the plain reference, and the reference is what it says."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scenes import random_scene

from MultiViewRegistrationLib import Camera, Volume
from MultiViewRegistrationLib.rendering.drr import Projector


@pytest.mark.parametrize(
    "leading, mirrored, left_handed",
    [(0, False, False), (1, True, True), (2, False, True), (None, True, False)],
)
def test_kernel_gives_image_and_jacobian_of_the_reference(
    reference, leading, mirrored, left_handed
):
    scene = random_scene(3, leading=leading, mirrored=mirrored, left_handed=left_handed)
    ours = Projector(scene.volume).render(
        scene.camera, scene.world_from_ct, jacobian=True, pivot=scene.pivot
    )
    image = reference.render(*scene.in_float64(), scene.world_from_ct).numpy()
    jacobian = reference.jacobian(*scene.in_float64(), scene.world_from_ct, scene.pivot).numpy()
    assert 0.02 < np.mean(image == 0) < 0.7  # some rays miss
    assert_allclose(ours.image, image, rtol=0, atol=1e-5 * image.max())
    error = np.abs(ours.jacobian - jacobian) / np.abs(jacobian).max(axis=(1, 2), keepdims=True)
    # A sample that rounds to the other side of a cell's edge takes the gradient of that cell, which
    # is as true.
    assert np.quantile(error.max(axis=0), 0.998) < 1e-5 and error.max() < 0.1


@pytest.mark.parametrize("axis", range(3))
def test_rays_parallel_to_an_axis(reference, axis):
    """Where 0 / 0 lurks: the middle ray runs along the voxel axis."""
    scene = random_scene(6)
    world_from_index = np.eye(4)
    # The index axis is the camera's z.
    world_from_index[:3, :3] = np.roll(np.eye(3), -axis, axis=0) * scene.volume.spacing_mm
    world_from_index[:3, 3] = [-17.3, -20.2, 300]
    camera = Camera([[311.7, 0, 10], [0, 297.3, 8], [0, 0, 1]], np.eye(4), (21, 17))
    values = scene.in_float64()[0]
    ours = Projector(Volume(scene.volume.values, world_from_index)).render(
        camera, np.eye(4), jacobian=True
    )
    image = reference.render(values, world_from_index, camera, np.eye(4))
    jacobian = reference.jacobian(values, world_from_index, camera, np.eye(4))
    assert_allclose(ours.image, image, rtol=0, atol=1e-5 * ours.image.max())
    assert_allclose(ours.jacobian, jacobian, rtol=0, atol=1e-5 * np.abs(ours.jacobian).max())
