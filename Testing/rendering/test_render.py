"""The renderer for scripts: arrays for arrays, tensors with gradients for tensors, and a sentence for anything else."""

import numpy as np
import pytest
from helpers.refusals import refuses
from numpy.testing import assert_array_equal
from scenes import random_scene

from MultiViewRegistrationLib import render
from MultiViewRegistrationLib.imaging.ct import CT, Volume, attenuation
from MultiViewRegistrationLib.rendering.drr import Projector

STEP = np.repeat([1e-4, 0.005], 3)


@pytest.fixture(scope="module")
def scene():
    return random_scene(11)


def test_a_ct_is_rendered_at_many_poses(scene):
    ct = CT(Volume(1000 * scene.volume.values / 0.03 - 1000, scene.volume.ct_from_index))
    poses = np.stack([[scene.moved(n * 20 * STEP)] for n in range(3)])
    images = render(ct, scene.camera, poses)
    projector = Projector(attenuation(ct))
    assert images.shape == (3, 1, *scene.camera.size[::-1]) and images.dtype == np.float32
    for image, pose in zip(images[:, 0], poses[:, 0], strict=True):
        assert_array_equal(image, projector.render(scene.camera, pose).image)
    assert_array_equal(render(ct, scene.camera, poses[0, 0]), images[0, 0])


def test_a_tensor_has_the_gradient_of_the_differentiable_renderer(scene):
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
    from MultiViewRegistrationLib.rendering.autograd import DifferentiableRenderer

    pose = torch.from_numpy(scene.world_from_ct).requires_grad_()
    images = (
        render(scene.volume, scene.camera, pose),
        DifferentiableRenderer(scene.volume)(scene.camera, pose),
    )
    mine, theirs = (torch.autograd.grad(image.sum(), pose)[0] for image in images)
    assert theirs.abs().max() > 0 and torch.equal(mine, theirs)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"ct": 5}, "ct: found int, expected the CT of a case"),
        ({"camera": np.eye(3, 4)}, "camera: found ndarray, expected a Camera"),
        ({"world_from_ct": np.eye(3)}, r"world_from_ct: found the shape \(3, 3\)"),
        ({"world_from_ct": np.diag([2.0, 2, 2, 1])}, "world_from_ct: scales by 2"),
    ],
)
def test_wrong_use_is_a_sentence(scene, changes, sentence):
    right = {"ct": scene.volume, "camera": scene.camera, "world_from_ct": scene.world_from_ct}
    with refuses(sentence):
        render(**right | changes)


def test_wrong_tensors_are_a_sentence(scene):
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
    for pose, sentence in (
        (torch.eye(3), r"found the shape \(3, 3\), expected a tensor"),
        (torch.diag(torch.tensor([1.01, 1, 1, 1])), "is not rigid, it scales or shears"),
        (torch.eye(4, device="meta"), "on the device meta"),
    ):
        with refuses(sentence):
            render(scene.volume, scene.camera, pose)
