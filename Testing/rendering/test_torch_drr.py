"""The renderer in PyTorch, on the processor, against that of numba.

On a CUDA device, too, where there is one.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scenes import random_scene, slot_scene

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume
from MultiViewRegistrationLib.rendering.drr import Projector

torch = pytest.importorskip("torch", reason="it is in PyTorch: pip install torch")


@pytest.fixture(scope="module")
def projector_on():
    from MultiViewRegistrationLib.rendering.torch_drr import TorchProjector

    return TorchProjector


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    return request.param


def scene_of(seed):
    return random_scene(
        seed, leading=[0, 1, 2, None][seed % 4], mirrored=seed % 2 == 0, left_handed=seed > 3
    )


def some_poses(scene, count=3):
    return np.stack(
        [scene.moved(0.1 * n * np.array([1, -1, 0.5, 20, -10, 5])) for n in range(count)]
    )


def close(mine, theirs, tolerance):
    """Within a share of the largest value."""
    assert_allclose(mine, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("seed", range(8))
def test_images_and_jacobians_are_those_of_numba(projector_on, device, seed):
    scene = scene_of(seed)
    projector = Projector(scene.volume)
    poses = some_poses(scene)
    images, jacobians = projector_on(projector, device).render(
        [scene.camera] * len(poses), poses, jacobian=True, pivot=scene.pivot
    )
    assert images.shape == (3, 36, 46) and jacobians.shape == (6, 3, 36, 46)
    for n, pose in enumerate(poses):
        expected = projector.render(scene.camera, pose, jacobian=True, pivot=scene.pivot)
        assert expected.image.any()
        close(images[n].cpu(), expected.image, 1e-5)
        for mine, theirs in zip(jacobians[:, n].cpu(), expected.jacobian, strict=True):
            close(mine, theirs, 1e-4)


@pytest.mark.parametrize("axis", range(3))
def test_rays_that_go_on_beyond_a_cut_end_are_those_of_numba(projector_on, device, axis):
    """A rod that is cut off at both ends, seen from poses at which some rays leave it through them."""
    scene = random_scene(5 + axis, leading=(axis + 1) % 3)
    values = np.zeros((28, 40, 34), np.float32)
    middle = [slice(size // 4, 3 * size // 4) for size in values.shape]
    middle[2 - axis] = slice(None)
    values[tuple(middle)] = 0.03
    projector = Projector(Volume(values, scene.volume.ct_from_index))
    assert projector.cut.any()
    poses = some_poses(scene)
    seen = projector_on(projector, device).seen([scene.camera] * 3, poses).cpu().numpy()
    expected = np.stack([projector.seen(scene.camera, pose) for pose in poses])
    assert 0 < expected.mean() < 1
    assert np.mean(seen != expected) < 1e-3  # rounding at an edge


@pytest.mark.parametrize("seed, leading", [(0, 0), (1, 1), (2, 2)])
def test_slot_scans_are_those_of_numba(projector_on, device, seed, leading):
    """Images, Jacobians, and rays beyond cut ends, of the whole scan and of a part of it in one batch."""
    volume, scan, world_from_ct = slot_scene(seed, leading, seed == 1)
    full = Volume(np.full_like(volume.values, 0.03), volume.ct_from_index)  # tissue up to all faces
    projector, camera = Projector(full), scan.camera()
    cameras, poses = (
        [camera.cropped(0, row, 46, 30) for row in (0, 6)],
        np.stack([world_from_ct] * 2),
    )
    batch, pivot = projector_on(projector, device), world_from_ct[:3, 3]
    images, jacobians = batch.render(cameras, poses, jacobian=True, pivot=pivot)
    seen = batch.seen(cameras, poses).cpu().numpy()
    assert 0 < seen.mean() < 1
    for n, part in enumerate(cameras):
        expected = projector.render(part, world_from_ct, jacobian=True, pivot=pivot)
        close(images[n].cpu(), expected.image, 1e-5)
        for mine, theirs in zip(jacobians[:, n].cpu(), expected.jacobian, strict=True):
            close(mine, theirs, 1e-4)
        assert np.mean(seen[n] != projector.seen(part, world_from_ct)) < 1e-3


def test_what_pytorch_cannot_compile_is_done_step_by_step(projector_on, monkeypatch):
    """As on a machine without a C compiler; it is said once."""
    from MultiViewRegistrationLib.rendering import torch_drr

    def fails(*_):
        raise torch._dynamo.exc.TorchDynamoException("Failed to find C compiler.")

    scene = scene_of(1)
    there = projector_on(Projector(scene.volume))
    expected = there.render([scene.camera], [scene.world_from_ct], jacobian=True)
    monkeypatch.setattr(torch_drr, "_fused", lambda *_: fails)
    monkeypatch.setattr(torch_drr, "_not_compiled", set())
    with pytest.warns(
        UserWarning, match="torch.compile does not work here .Failed to find C compiler."
    ) as caught:
        found = there.render([scene.camera], [scene.world_from_ct], jacobian=True)
    assert len(caught) == 1
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_more_voxels_than_can_be_counted_are_left_to_the_processor(projector_on, monkeypatch):
    from MultiViewRegistrationLib.rendering import torch_drr

    projector = Projector(scene_of(0).volume)
    monkeypatch.setattr(torch_drr, "MAX_VOXELS", 2 * projector.grid.values.size - 1)
    with pytest.raises(MemoryError, match="a device can hold"):
        projector_on(projector)


def test_a_pose_that_is_not_finite_and_cameras_of_several_sizes_are_refused(projector_on):
    scene = scene_of(0)
    batch = projector_on(Projector(scene.volume), "cpu")
    with pytest.raises(InputError, match="world_from_ct: has numbers that are not finite"):
        batch.render([scene.camera], np.full((1, 4, 4), np.nan))
    other = Camera(scene.camera.intrinsics, scene.camera.camera_from_world, (8, 8))
    with pytest.raises(ValueError, match="of one size"):
        batch.render([scene.camera, other], [scene.world_from_ct] * 2)
