"""The renderer as a torch function: gradients against finite differences and the plain reference, the adjoint, batches, memory."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from scenes import random_scene, smooth_values

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.rendering.drr import render

torch = pytest.importorskip("torch", reason="the torch function needs torch: pip install torch")


@pytest.fixture(scope="module")
def drr(reference):  # which sees to one thread
    from MultiViewRegistrationLib.rendering.autograd import drr

    return drr


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


def small_scene(seed):
    """A few rays through a few rough voxels, for differences one number at a time."""
    scene = random_scene(seed, values=np.random.default_rng(seed).uniform(0, 0.05, (5, 7, 6)).astype(np.float32))
    intrinsics = np.diag([0.7, 0.7, 1]) @ scene.camera.intrinsics
    middle = scene.world_from_ct @ scene.volume.ct_from_index @ [2.5, 3, 2, 1]
    intrinsics[:2, 2] += [2.5, 2] - Camera(intrinsics, scene.camera.camera_from_world, (6, 5)).project(middle[:3])
    return scene, Camera(intrinsics, scene.camera.camera_from_world, (6, 5))


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_finite_differences_in_double_precision(drr, seed):
    scene, camera = small_scene(seed)
    volume = torch.from_numpy(scene.volume.values).double().requires_grad_()
    twists = (0.02 * (seeded((2, 6), seed) - 0.5)).requires_grad_()

    def images(volume, twists):
        return drr(volume, scene.volume.ct_from_index, camera, moved(scene, twists))

    assert (images(volume, twists) > 0).float().mean() > 0.5
    assert torch.autograd.gradcheck(images, (volume, twists), eps=1e-6, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-11), (torch.float32, 2e-5)])
@pytest.mark.parametrize("seed", range(4))
def test_image_and_gradients_are_those_of_the_reference(drr, reference, seed, dtype, tolerance):
    scene = random_scene(seed, leading=[0, 1, 2, None][seed], mirrored=seed % 2 == 0, left_handed=seed > 1)
    plain_volume = torch.from_numpy(scene.volume.values).double().requires_grad_()
    plain_twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    expected = reference.render(plain_volume, scene.volume.ct_from_index, scene.camera, moved(scene, plain_twist))
    weights = seeded(expected.shape, seed) - 0.5
    by_volume, by_twist = torch.autograd.grad((weights * expected).sum(), (plain_volume, plain_twist))

    volume = torch.from_numpy(scene.volume.values).to(dtype).requires_grad_()
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    image = drr(volume, scene.volume.ct_from_index, scene.camera, moved(scene, twist))
    assert image.dtype == dtype and image.shape == (36, 46)
    ours = torch.autograd.grad((weights.to(dtype) * image).sum(), (volume, twist))
    assert ours[0].dtype == dtype and ours[0].shape == volume.shape
    for mine, theirs in ((image.detach(), expected.detach()), (ours[0], by_volume)):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))
    for mine, theirs in zip(
        ours[1].split(3), by_twist.split(3), strict=True
    ):  # rounding can put a sample into the next cell
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=max(tolerance, 1e-10) * 50 * float(theirs.abs().max()))


def test_single_precision_is_the_kernel_itself(drr):
    scene = random_scene(7)
    image = drr(
        torch.from_numpy(scene.volume.values),
        scene.volume.ct_from_index,
        scene.camera,
        torch.from_numpy(scene.world_from_ct),
    )
    np.testing.assert_array_equal(image, render(scene.volume, scene.camera, scene.world_from_ct).image)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("values", [None, "rough"])
def test_back_projection_is_the_adjoint(drr, dtype, tolerance, values):
    """<A x, y> = <x, A^T y>, also for voxels that are 0 in the volume at which the gradient is taken, and up to the faces."""
    rough = np.random.default_rng(0).uniform(0, 0.05, (20, 25, 30)).astype(np.float32)
    scene = random_scene(11, values=rough if values else None)
    place, camera, pose = scene.volume.ct_from_index, scene.camera, torch.from_numpy(scene.world_from_ct)
    y = (seeded((36, 46), 1) - 0.5).to(dtype)
    at = torch.from_numpy(scene.volume.values).to(dtype)
    at[:10, 5:] = 0  # trimming must not cut the gradient
    at.requires_grad_()
    (adjoint,) = torch.autograd.grad((drr(at, place, camera, pose) * y).sum(), at)
    x = seeded(scene.volume.values.shape, 2, dtype)
    x_projected = drr(x, place, camera, pose)
    there, back = ((a.double() * b.double()).sum() for a, b in ((x_projected, y), (x, adjoint)))
    assert abs(there - back) < tolerance * float((x_projected.double() * y.double()).abs().sum())


def test_back_projection_does_not_depend_on_threads(drr, monkeypatch):
    scene = random_scene(12)
    volume = torch.from_numpy(scene.volume.values).requires_grad_()
    poses = torch.from_numpy(np.stack([scene.moved(twist) for twist in np.eye(6) * 0.1]))
    gradients = []
    for threads in "135":
        monkeypatch.setenv("MVREG_THREADS", threads)
        monkeypatch.setattr("MultiViewRegistrationLib.rendering.threads.SAMPLES_PER_TASK", 1000)
        image = drr(volume, scene.volume.ct_from_index, scene.camera, poses)
        gradients.append(torch.autograd.grad(image.square().sum(), volume)[0].numpy())
    assert gradients[0].any()
    np.testing.assert_array_equal(gradients[0], gradients[1])
    np.testing.assert_array_equal(gradients[0], gradients[2])


def test_a_batch_is_its_poses_one_by_one(drr):
    scene = random_scene(8)
    volume = torch.from_numpy(scene.volume.values).requires_grad_()
    poses = moved(scene, 0.05 * seeded((2, 3, 6))).float().requires_grad_()
    together = drr(volume, scene.volume.ct_from_index, scene.camera, poses)
    assert together.shape == (2, 3, 36, 46)
    one_by_one = torch.stack(
        [drr(volume, scene.volume.ct_from_index, scene.camera, pose) for pose in poses.reshape(-1, 4, 4)]
    )
    np.testing.assert_array_equal(together.detach().reshape(6, 36, 46), one_by_one.detach())
    gradients, separate = (
        torch.autograd.grad((image.square()).sum(), (volume, poses)) for image in (together, one_by_one)
    )
    assert gradients[1].dtype == torch.float32
    np.testing.assert_allclose(gradients[0], separate[0], rtol=1e-4, atol=1e-5 * float(separate[0].abs().max()))
    np.testing.assert_array_equal(gradients[1], separate[1])


def test_a_volume_that_was_written_to_is_seen(drr):
    scene = random_scene(9)
    volume, pose = torch.from_numpy(scene.volume.values.copy()), torch.from_numpy(scene.world_from_ct)
    before = drr(volume, scene.volume.ct_from_index, scene.camera, pose)
    volume.mul_(2)
    np.testing.assert_allclose(drr(volume, scene.volume.ct_from_index, scene.camera, pose), 2 * before, rtol=1e-5)


def test_descent_by_a_twist_finds_the_pose(drr):
    """What it is for: a loss by torch, an optimiser by torch, the pose by torch operations."""
    scene = random_scene(10)
    volume, place = torch.from_numpy(scene.volume.values), scene.volume.ct_from_index
    fixed = drr(volume, place, scene.camera, torch.from_numpy(scene.world_from_ct))
    twist = torch.tensor([0.02, -0.02, 0.01, 0.5, -0.5, 0.3], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([twist], max_iter=40, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = (drr(volume, place, scene.camera, moved(scene, twist)) - fixed).square().sum()
        value.backward()
        return value

    first = loss().item()
    optimiser.step(loss)
    assert loss().item() < 1e-4 * first


def test_memory_is_a_few_numbers_a_pixel_and_a_voxel(drr):
    """The reference keeps several numbers for every sample of every ray; here nothing grows with the depth of the volume."""
    scene = random_scene(13, values=smooth_values(np.random.default_rng(1), (60, 60, 60)))
    volume = torch.from_numpy(scene.volume.values).requires_grad_()
    poses = torch.from_numpy(scene.world_from_ct).repeat(8, 1, 1).requires_grad_()
    pixels, voxels = 8 * 36 * 46, volume.numel()

    def forwards_and_backwards():
        drr(volume, scene.volume.ct_from_index, scene.camera, poses).square().sum().backward()

    forwards_and_backwards()  # compiled, and the grid made
    gc.collect()
    tracemalloc.start()
    forwards_and_backwards()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * (10 * pixels + 3 * voxels)


@pytest.mark.parametrize(
    "volume, pose, words",
    [
        (torch.zeros(3, 4), torch.eye(4), "volume"),
        (torch.zeros(3, 4, 5, dtype=torch.int32), torch.eye(4), "volume"),
        (torch.zeros(3, 4, 5), torch.eye(3), "world_from_ct"),
        (torch.ones(3, 4, 5), torch.full((4, 4), float("nan")), "world_from_ct"),
    ],
)
def test_wrong_shapes_and_poses_are_told(drr, volume, pose, words):
    with pytest.raises((ValueError, InputError), match=words):
        drr(volume, np.eye(4), random_scene(0).camera, pose)
