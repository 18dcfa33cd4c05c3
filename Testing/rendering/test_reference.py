"""The kernel gives the image and the Jacobian of the plain reference, and the reference is what it says."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import random_scene

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.rendering.drr import render

SCENES = [
    dict(seed=seed, leading=leading, mirrored=mirrored, left_handed=left_handed)
    for seed, (leading, mirrored, left_handed) in enumerate(
        [
            (0, False, False),
            (1, False, False),
            (2, False, False),
            (0, True, True),
            (1, True, True),
            (2, True, True),
            (None, True, False),
            (None, False, True),
            (None, False, False),
        ]
    )
]


@pytest.mark.parametrize("settings", SCENES, ids=str)
def test_kernel_gives_image_and_jacobian_of_the_reference(reference, settings):
    scene = random_scene(**settings)
    ours = render(scene.volume, scene.camera, scene.world_from_ct, jacobian=True, pivot=scene.pivot)
    image = reference.render(*scene.in_float64(), scene.world_from_ct).numpy()
    jacobian = reference.jacobian(*scene.in_float64(), scene.world_from_ct, scene.pivot).numpy()
    assert 0.02 < np.mean(image == 0) < 0.7  # some rays miss
    np.testing.assert_allclose(ours.image, image, rtol=0, atol=1e-5 * image.max())
    error = np.abs(ours.jacobian - jacobian) / np.abs(jacobian).max(axis=(1, 2), keepdims=True)
    # A sample that rounds to the other side of a cell's edge takes the gradient of that cell, which is as true.
    assert np.quantile(error.max(axis=0), 0.998) < 1e-5 and error.max() < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_kernel_is_as_good_on_rough_tissue_up_to_the_faces(reference, seed):
    values = np.random.default_rng(seed).uniform(0, 0.05, (20, 25, 30)).astype(np.float32)
    scene = random_scene(seed, values=values)
    ours = render(scene.volume, scene.camera, scene.world_from_ct, jacobian=True, pivot=scene.pivot)
    image = reference.render(*scene.in_float64(), scene.world_from_ct).numpy()
    jacobian = reference.jacobian(*scene.in_float64(), scene.world_from_ct, scene.pivot).numpy()
    np.testing.assert_allclose(ours.image, image, rtol=0, atol=1e-5 * image.max())
    error = np.abs(ours.jacobian - jacobian) / np.abs(jacobian).max(axis=(1, 2), keepdims=True)
    assert np.quantile(error.max(axis=0), 0.998) < 2e-5


def test_a_few_rays_are_those_of_the_whole_image(reference):
    scene = random_scene(3)
    pixels = np.random.default_rng(0).integers(0, scene.camera.size, (7, 5, 2))
    whole = reference.render(*scene.in_float64(), scene.world_from_ct).numpy()
    some = reference.render(*scene.in_float64(), scene.world_from_ct, pixels).numpy()
    np.testing.assert_allclose(some, whole[pixels[..., 1], pixels[..., 0]], rtol=1e-12, atol=1e-15)
    derivative = reference.jacobian(*scene.in_float64(), scene.world_from_ct, scene.pivot, pixels)
    assert derivative.shape == (6, 7, 5)


def test_volume_gradient_is_the_back_projection(reference):
    """The image is linear in the volume, so its gradient by the volume, applied to any volume, projects it."""
    torch = pytest.importorskip("torch")
    scene = random_scene(4)
    values, *place = scene.in_float64()
    values.requires_grad_()
    weights = torch.rand(36, 46, generator=torch.Generator().manual_seed(0)).double()
    loss = (weights * reference.render(values, *place, scene.world_from_ct)).sum()
    (back_projection,) = torch.autograd.grad(loss, values)
    other = torch.rand(values.shape, generator=torch.Generator().manual_seed(1)).double()
    projected = reference.render(other, *place, scene.world_from_ct)
    assert float((back_projection * other).sum()) == pytest.approx(float((weights * projected).sum()), rel=1e-10)


def test_gradient_backwards_is_the_jacobian_forwards(reference):
    torch = pytest.importorskip("torch")
    scene = random_scene(5)
    pose = torch.from_numpy(scene.world_from_ct).requires_grad_()
    (gradient,) = torch.autograd.grad(reference.render(*scene.in_float64(), pose).sum(), pose)
    jacobian = reference.jacobian(*scene.in_float64(), scene.world_from_ct).sum(dim=(1, 2))
    # About the world's origin d pose = [hat(omega) R, omega x t + v].
    by_omega = torch.linalg.cross(pose.detach()[:3], gradient[:3], dim=0).sum(dim=1)
    np.testing.assert_allclose(gradient[:3, 3], jacobian[3:], rtol=1e-9)
    np.testing.assert_allclose(by_omega, jacobian[:3], rtol=1e-9)


@pytest.mark.parametrize("axis", range(3))
def test_rays_parallel_to_an_axis(reference, axis):
    """Where 0 / 0 lurks: the middle ray runs along the voxel axis."""
    scene = random_scene(6)
    world_from_index = np.eye(4)
    world_from_index[:3, :3] = (
        np.roll(np.eye(3), -axis, axis=0) * scene.volume.spacing_mm
    )  # the index axis is the camera's z
    world_from_index[:3, 3] = [-17.3, -20.2, 300]
    camera = Camera([[311.7, 0, 10], [0, 297.3, 8], [0, 0, 1]], np.eye(4), (21, 17))
    values = scene.in_float64()[0]
    ours = render(Volume(scene.volume.values, world_from_index), camera, np.eye(4), jacobian=True)
    image = reference.render(values, world_from_index, camera, np.eye(4))
    jacobian = reference.jacobian(values, world_from_index, camera, np.eye(4))
    np.testing.assert_allclose(ours.image, image, rtol=0, atol=1e-5 * ours.image.max())
    np.testing.assert_allclose(ours.jacobian, jacobian, rtol=0, atol=1e-5 * np.abs(ours.jacobian).max())
