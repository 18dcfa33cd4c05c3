"""The renderer as a torch function: gradients against the plain reference, batches, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import random_scene

from MultiViewRegistrationLib.errors import InputError

torch = pytest.importorskip("torch", reason="the torch function needs torch: pip install torch")


@pytest.fixture(scope="module")
def renderer(reference):  # which sees to one thread
    from MultiViewRegistrationLib.rendering.autograd import DifferentiableRenderer

    return DifferentiableRenderer


def seeded(shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def moved(scene, twist):
    """The scene's pose, turned and shifted by a twist (..., 6) about its pivot, by torch's matrix exponential."""
    zero = torch.zeros_like(twist[..., 0])
    x, y, z, *shift = twist.unbind(-1)
    generator = torch.stack(
        [zero, -z, y, shift[0], z, zero, -x, shift[1], -y, x, zero, shift[2], zero, zero, zero, zero], -1
    )
    to_pivot = torch.eye(4, dtype=twist.dtype)
    to_pivot[:3, 3] = torch.from_numpy(scene.pivot)
    motion = torch.linalg.matrix_exp(generator.reshape(*twist.shape[:-1], 4, 4))
    return to_pivot @ motion @ torch.linalg.inv(to_pivot) @ torch.from_numpy(scene.world_from_ct)


@pytest.mark.parametrize("seed", range(4))
def test_image_and_gradient_are_those_of_the_reference(renderer, reference, seed):
    scene = random_scene(seed, leading=[0, 1, 2, None][seed], mirrored=seed % 2 == 0, left_handed=seed > 1)
    plain_twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    place, camera = scene.volume.ct_from_index, scene.camera
    plain = reference.render(torch.from_numpy(scene.volume.values).double(), place, camera, moved(scene, plain_twist))
    weights = seeded(plain.shape, seed) - 0.5
    (expected,) = torch.autograd.grad((weights * plain).sum(), plain_twist)
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    image = renderer(scene.volume)(camera, moved(scene, twist))
    (gradient,) = torch.autograd.grad((weights.float() * image).sum(), twist)
    np.testing.assert_allclose(image.detach(), plain.detach(), rtol=0, atol=2e-5 * float(plain.max()))
    for mine, theirs in zip(gradient.split(3), expected.split(3), strict=True):  # a sample may round into the next cell
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-3 * float(theirs.abs().max()))


def test_a_batch_is_its_poses_one_by_one(renderer):
    scene = random_scene(8)
    drr = renderer(scene.volume)
    poses = moved(scene, 0.05 * seeded((2, 3, 6))).float().requires_grad_()
    together = drr(scene.camera, poses)
    assert together.shape == (2, 3, 36, 46) and together.dtype == torch.float32
    one_by_one = torch.stack([drr(scene.camera, pose) for pose in poses.reshape(-1, 4, 4)])
    np.testing.assert_array_equal(together.detach().reshape(6, 36, 46), one_by_one.detach())
    gradients, separate = (torch.autograd.grad(image.square().sum(), poses)[0] for image in (together, one_by_one))
    assert gradients.dtype == torch.float32
    np.testing.assert_array_equal(gradients, separate)


@pytest.mark.parametrize("pose", [torch.eye(3), torch.full((4, 4), float("nan"))])
def test_wrong_shapes_and_poses_are_refused(renderer, pose):
    with pytest.raises((ValueError, InputError), match="world_from_ct"):
        renderer(random_scene(0).volume)(random_scene(0).camera, pose)


def test_second_derivatives_are_refused(renderer):
    """They were 0 where another term of the loss has some."""
    scene = random_scene(3)
    drr = renderer(scene.volume)
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)

    def loss(twist):
        return drr(scene.camera, moved(scene, twist)).double().square().sum() + twist.square().sum()

    with pytest.raises(InputError, match="create_graph"):
        torch.autograd.grad(loss(twist), twist, create_graph=True)
    with pytest.raises(InputError, match="create_graph"):
        torch.autograd.functional.hessian(loss, twist)
    with pytest.raises(InputError, match="create_graph"):
        torch.autograd.gradgradcheck(lambda twist: drr(scene.camera, moved(scene, twist)).double(), twist)
    (first,) = torch.autograd.grad(loss(twist), twist)  # once is well
    assert torch.isfinite(first).all() and first.abs().max() > 0
