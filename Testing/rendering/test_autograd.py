"""The renderer as a torch function.

Derivatives against the plain reference and finite differences, batches, transforms, labels.
"""

from functools import partial

import numpy as np
import pytest
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from scenes import Scene, random_scene, slot_scene, smooth_values

from MultiViewRegistrationLib import Camera, Volume
from MultiViewRegistrationLib.geometry import rigid

torch = pytest.importorskip("torch", reason="the torch function needs torch: pip install torch")


#: By a turn about each axis, and a shift along it.
GENERATORS = torch.zeros((6, 4, 4), dtype=torch.float64)
GENERATORS[:3, :3, :3] = torch.from_numpy(rigid.hat(np.eye(3)))
GENERATORS[3:, :3, 3] = torch.eye(3)
#: By numba, by PyTorch, and on a CUDA device where there is one.
DEVICES = ["cpu", "torch-cpu", *["cuda"] * torch.cuda.is_available()]


@pytest.fixture(scope="module")
def renderer(reference):  # which sees to one thread
    from MultiViewRegistrationLib.rendering.autograd import DifferentiableRenderer

    return DifferentiableRenderer


def seeded(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def moved(scene, twist):
    """The scene's pose, turned and shifted by a twist (..., 6) about its pivot, by torch's matrix exponential."""
    to_pivot = torch.eye(4, dtype=twist.dtype)
    to_pivot[:3, 3] = torch.from_numpy(scene.pivot)
    motion = torch.linalg.matrix_exp(torch.einsum("...i,ijk->...jk", twist, GENERATORS))
    return to_pivot @ motion @ torch.linalg.inv(to_pivot) @ torch.from_numpy(scene.world_from_ct)


def small_scene(seed=1):
    """5 x 6 pixels that show all of 7 x 6 x 5 voxels.

    Few enough for finite differences by each number.
    """
    wide = random_scene(seed, values=smooth_values(np.random.default_rng(seed), (5, 6, 7), 1.0))
    centre = rigid.transform_points(wide.world_from_ct @ wide.volume.ct_from_index, (3.0, 2.5, 2.0))
    camera_from_world = wide.camera.camera_from_world.copy()
    camera_from_world[:3, 3] = [0, 0, 200] - camera_from_world[:3, :3] @ centre
    camera = Camera([[-150, 0.5, 2.2], [0, 140, 1.7], [0, 0, 1]], camera_from_world, (6, 5))
    return Scene(wide.volume, camera, wide.world_from_ct, centre)


def variable(drr, scene, camera):
    """The image as a function of pose (6,), intrinsics (3, 3), the camera's place (3,) and attenuation, and where they are."""

    def image(twist, intrinsics, shift, attenuation):
        camera_from_world = torch.tensor(camera.camera_from_world)
        place = torch.cat([camera_from_world[:3, 3] + shift, torch.ones(1, dtype=torch.float64)])
        camera_from_world = torch.cat([camera_from_world[:, :3], place[:, None]], 1)
        given = {"intrinsics": intrinsics, "camera_from_world": camera_from_world}
        return drr(camera, moved(scene, twist), attenuation=attenuation, **given)

    zeros, values = torch.zeros(6).double(), torch.from_numpy(scene.volume.values).double()
    inputs = zeros, torch.tensor(camera.intrinsics), zeros[:3].clone(), values
    return image, [each.requires_grad_() for each in inputs]


@pytest.mark.slow_variants("0-cpu")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(4))
def test_image_and_gradient_are_those_of_the_reference(renderer, reference, seed, device):
    """A sample may round into the next cell."""
    looks = [0, 1, 2, None][seed]
    scene = random_scene(seed, leading=looks, mirrored=seed % 2 == 0, left_handed=seed > 1)
    plain_twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    plain = reference.render(*scene.in_float64(), moved(scene, plain_twist))
    weights = seeded(plain.shape, seed) - 0.5
    (expected,) = torch.autograd.grad((weights * plain).sum(), plain_twist)
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    image = renderer(scene.volume, device)(scene.camera, moved(scene, twist))
    (gradient,) = torch.autograd.grad((weights.float() * image).sum(), twist)
    assert_allclose(image.detach(), plain.detach(), rtol=0, atol=2e-5 * float(plain.max()))
    for mine, theirs in zip(gradient.split(3), expected.split(3), strict=True):
        assert_allclose(mine, theirs, rtol=0, atol=1e-3 * float(theirs.abs().max()))


@pytest.fixture(scope="module")
def function_of(renderer):
    """A function: the image of a small scene on a device as a function, and its inputs."""

    def of(device, seed):
        scene = small_scene(seed)
        return variable(renderer(scene.volume, device, dtype=torch.float64), scene, scene.camera)

    return of


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_derivatives_by_pose_camera_and_attenuation_are_finite_differences(function_of, device):
    image, inputs = function_of(device, 1)
    assert (image(*inputs) > 0).sum() > 10
    close = {"atol": 1e-6, "rtol": 1e-5}
    assert torch.autograd.gradcheck(image, inputs, **close)
    forward = {"fast_mode": True, "check_forward_ad": True, "check_backward_ad": False}
    assert torch.autograd.gradcheck(image, inputs, **close, **forward)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_second_derivatives_are_finite_differences(function_of, device):
    assert torch.autograd.gradgradcheck(
        *function_of(device, 2), atol=1e-5, rtol=1e-4, fast_mode=True
    )


def test_derivatives_of_slot_scans_are_finite_differences(renderer):
    volume, scan, world_from_ct = slot_scene(1, 1, True)
    scene = Scene(volume, None, world_from_ct, world_from_ct[:3, 3])
    drr = renderer(volume, "torch-cpu", dtype=torch.float64)
    image, (*inputs, values) = variable(drr, scene, scan.camera().pooled(9))

    def of_camera(*numbers):
        return image(*numbers, values.detach())

    assert torch.autograd.gradcheck(of_camera, inputs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("at_once", [None, 2 * 6 * 10])
def test_the_hessian_is_that_of_the_reference(renderer, reference, at_once, monkeypatch):
    """It was 0 once; now each of PyTorch's ways to it leads there, in blocks of rows, too."""
    from MultiViewRegistrationLib.rendering import drr_operator

    if at_once:
        monkeypatch.setattr(drr_operator, "SAMPLES_AT_ONCE", at_once)
    scene, target = small_scene(3), seeded((5, 6), 1)
    drr = renderer(scene.volume, "torch-cpu", dtype=torch.float64)

    def loss(twist):
        return (drr(scene.camera, moved(scene, twist)) - target).square().sum()

    def plain(twist):
        return (reference.render(*scene.in_float64(), moved(scene, twist)) - target).square().sum()

    at = 0.01 * seeded(6)
    expected = torch.autograd.functional.hessian(plain, at)
    assert torch.linalg.eigvalsh(expected).abs().min() > 1e-6 * expected.abs().max()
    by_gradient = torch.func.jacrev(torch.func.grad(loss))
    by_functional = torch.autograd.functional.hessian(loss, at)
    for found in (torch.func.hessian(loss)(at), by_gradient(at), by_functional):
        assert_allclose(found, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_transforms_of_torch_func(renderer, device):
    scene = small_scene()
    drr = renderer(scene.volume, device, dtype=torch.float64)
    values, twists = torch.from_numpy(scene.volume.values).double(), 0.02 * seeded((3, 6))

    def image(twist, attenuation=None):
        return drr(scene.camera, moved(scene, twist), attenuation=attenuation)

    def loss(twist, attenuation=None):
        return image(twist, attenuation).square().sum()

    def close(one, other):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)

    close(torch.func.jacrev(image)(twists[0]), torch.func.jacfwd(image)(twists[0]))
    close(torch.vmap(image)(twists), torch.stack([image(twist) for twist in twists]))
    gradient = torch.func.grad(loss)
    close(torch.vmap(gradient)(twists), torch.stack([gradient(twist) for twist in twists]))
    by_values, several = torch.func.grad(loss, argnums=1), torch.stack([values, 2 * values])
    expected = torch.stack([by_values(twists[0], each) for each in several])
    close(torch.vmap(by_values, in_dims=(None, 0))(twists[0], several), expected)
    with refuses("is not rigid"):
        torch.vmap(lambda pose: drr(scene.camera, 1.1 * pose))(moved(scene, twists))
    pose = 1.1 * moved(scene, twists[0])
    assert torch.func.jvp(lambda pose: drr(scene.camera, pose), (pose,), (pose,))[0].isnan().all()


@pytest.mark.slow
def test_it_compiles_as_one_graph(renderer):
    scene = small_scene()
    drr = renderer(scene.volume, "torch-cpu")

    def loss(twist):
        return drr(scene.camera, moved(scene, twist)).square().sum()

    def value_and_gradient(function):
        twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        value = function(twist)
        return value.detach(), *torch.autograd.grad(value, twist)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for one, other in zip(value_and_gradient(compiled), value_and_gradient(loss), strict=True):
        torch.testing.assert_close(one, other)


@pytest.fixture(scope="module", params=["cpu", "torch-cpu"])
def labelled(renderer, request):
    """A scene, its labels, renderers with and without them, and three poses at two times."""
    scene = small_scene()
    labels = np.zeros(scene.volume.values.shape, np.int16)
    labels[2:], labels[:, 3:] = 3, 7
    poses = moved(scene, 0.05 * seeded((2, 3, 6)))
    make = partial(renderer, device=request.param)
    return scene, labels, make(scene.volume, labels=labels), make, poses


def test_labels_have_an_image_each(labelled):
    scene, labels, drr, make, poses = labelled
    images = drr(scene.camera, poses)
    assert drr.labels == [0, 3, 7] and images.shape == (2, 3, 5, 6)
    for n, label in enumerate(drr.labels):
        values = np.where(labels == label, scene.volume.values, 0)
        own = make(Volume(values, scene.volume.ct_from_index))
        assert_allclose(images[:, n], own(scene.camera, poses[:, n]), atol=1e-6)
    with refuses("found the shape .2, 4, 4., expected"):
        drr(scene.camera, poses[:, 0])


def test_labels_have_a_pose_and_voxels_each(labelled):
    scene, labels, drr, _, poses = labelled
    poses = poses.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(drr(scene.camera, poses)[:, 1].sum(), poses)
    assert (gradient[:, 1].abs().amax((1, 2)) > 0).all() and not gradient[:, ::2].any()
    attenuation = torch.from_numpy(scene.volume.values).clone().requires_grad_()
    images = drr(scene.camera, poses.detach(), attenuation=attenuation)
    (gradient,) = torch.autograd.grad(images[:, 2].sum(), attenuation)
    assert not gradient[labels != 7].any() and gradient[labels == 7].any()


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda values: values[1:], "the shape .4, 6, 7., expected a tensor .5, 6, 7."),
        (lambda values: values.double(), "found torch.float64, but the renderer has torch.float32"),
        (lambda values: values.to("meta"), "is on the device meta, but the renderer on cpu"),
    ],
)
def test_attenuation_that_does_not_fit_is_refused(renderer, change, why):
    scene = small_scene()
    values, pose = change(torch.from_numpy(scene.volume.values)), scene.world_from_ct
    with refuses(f"attenuation: .*{why}"):
        renderer(scene.volume)(scene.camera, torch.from_numpy(pose), attenuation=values)


@pytest.mark.parametrize(
    "given, why",
    [
        ({"intrinsics": torch.zeros(3, 3)}, "not finite"),
        ({"camera_from_world": torch.zeros((4, 4)).to("meta")}, "camera_from_world: .*device meta"),
    ],
)
def test_a_camera_that_does_not_fit_is_refused(renderer, given, why):
    scene = small_scene()
    with refuses(why):
        renderer(scene.volume)(scene.camera, torch.from_numpy(scene.world_from_ct), **given)


@pytest.mark.parametrize(
    "given, why",
    [
        ({"dtype": torch.float16}, "dtype: found torch.float16"),
        ({"labels": np.zeros((5, 6, 7), np.float32)}, "labels: found float32 of the shape"),
        ({"device": "mps"}, "device mps: PyTorch finds 0 such devices"),
    ],
)
def test_a_renderer_that_cannot_be_made_is_refused(renderer, given, why):
    with refuses(why):
        renderer(small_scene().volume, **given)
