"""The renderer as a torch function.

Derivatives against the plain reference and finite differences, batches, transforms, labels.
"""

from __future__ import annotations

import numpy as np
import pytest
from scenes import Scene, random_scene, slot_scene, smooth_values

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume

torch = pytest.importorskip("torch", reason="the torch function needs torch: pip install torch")


#: By numba, by PyTorch, and on a CUDA device where there is one.
DEVICES = ["cpu", "torch-cpu", *["cuda"] * torch.cuda.is_available()]


@pytest.fixture(scope="module")
def renderer(reference):  # which sees to one thread
    from MultiViewRegistrationLib.rendering.autograd import DifferentiableRenderer

    return DifferentiableRenderer


def seeded(shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )


def moved(scene, twist):
    """The scene's pose, turned and shifted by a twist (..., 6) about its pivot, by torch's matrix exponential."""
    zero = torch.zeros_like(twist[..., 0])
    x, y, z, *shift = twist.unbind(-1)
    generator = torch.stack(
        [
            zero,
            -z,
            y,
            shift[0],
            z,
            zero,
            -x,
            shift[1],
            -y,
            x,
            zero,
            shift[2],
            zero,
            zero,
            zero,
            zero,
        ],
        -1,
    )
    to_pivot = torch.eye(4, dtype=twist.dtype)
    to_pivot[:3, 3] = torch.from_numpy(scene.pivot)
    motion = torch.linalg.matrix_exp(generator.reshape(*twist.shape[:-1], 4, 4))
    return to_pivot @ motion @ torch.linalg.inv(to_pivot) @ torch.from_numpy(scene.world_from_ct)


def small_scene(seed=1) -> Scene:
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
        return drr(
            camera,
            moved(scene, twist),
            intrinsics=intrinsics,
            camera_from_world=camera_from_world,
            attenuation=attenuation,
        )

    zeros, values = (
        torch.zeros(6, dtype=torch.float64),
        torch.from_numpy(scene.volume.values).double(),
    )
    inputs = zeros, torch.tensor(camera.intrinsics), zeros[:3].clone(), values
    return image, [each.requires_grad_() for each in inputs]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(4))
def test_image_and_gradient_are_those_of_the_reference(renderer, reference, seed, device):
    scene = random_scene(
        seed, leading=[0, 1, 2, None][seed], mirrored=seed % 2 == 0, left_handed=seed > 1
    )
    plain_twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    place, camera = scene.volume.ct_from_index, scene.camera
    plain = reference.render(
        torch.from_numpy(scene.volume.values).double(), place, camera, moved(scene, plain_twist)
    )
    weights = seeded(plain.shape, seed) - 0.5
    (expected,) = torch.autograd.grad((weights * plain).sum(), plain_twist)
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    image = renderer(scene.volume, device)(camera, moved(scene, twist))
    (gradient,) = torch.autograd.grad((weights.float() * image).sum(), twist)
    np.testing.assert_allclose(
        image.detach(), plain.detach(), rtol=0, atol=2e-5 * float(plain.max())
    )
    for mine, theirs in zip(
        gradient.split(3), expected.split(3), strict=True
    ):  # a sample may round into the next cell
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-3 * float(theirs.abs().max()))


def test_a_batch_is_its_poses_one_by_one(renderer):
    scene = random_scene(8)
    drr = renderer(scene.volume)
    poses = moved(scene, 0.05 * seeded((2, 3, 6))).float().requires_grad_()
    together = drr(scene.camera, poses)
    assert together.shape == (2, 3, 36, 46) and together.dtype == torch.float32
    one_by_one = torch.stack([drr(scene.camera, pose) for pose in poses.reshape(-1, 4, 4)])
    np.testing.assert_array_equal(together.detach().reshape(6, 36, 46), one_by_one.detach())
    gradients, separate = (
        torch.autograd.grad(image.square().sum(), poses)[0] for image in (together, one_by_one)
    )
    assert gradients.dtype == torch.float32
    np.testing.assert_array_equal(gradients, separate)


@pytest.mark.parametrize("pose", [torch.eye(3), torch.full((4, 4), float("nan"))])
def test_wrong_shapes_and_poses_are_refused(renderer, pose):
    with pytest.raises((ValueError, InputError), match="world_from_ct"):
        renderer(random_scene(0).volume)(random_scene(0).camera, pose)


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_derivatives_by_pose_camera_and_attenuation_are_finite_differences(renderer, device):
    scene = small_scene()
    image, inputs = variable(
        renderer(scene.volume, device, dtype=torch.float64), scene, scene.camera
    )
    assert (image(*inputs) > 0).sum() > 10
    assert torch.autograd.gradcheck(image, inputs, atol=1e-6, rtol=1e-5)
    assert torch.autograd.gradcheck(
        image,
        inputs,
        atol=1e-6,
        rtol=1e-5,
        fast_mode=True,
        check_forward_ad=True,
        check_backward_ad=False,
    )


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_second_derivatives_are_finite_differences(renderer, device):
    scene = small_scene(2)
    image, inputs = variable(
        renderer(scene.volume, device, dtype=torch.float64), scene, scene.camera
    )
    assert torch.autograd.gradgradcheck(image, inputs, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_derivatives_of_slot_scans_are_finite_differences(renderer):
    volume, scan, world_from_ct = slot_scene(1, 1, True)
    camera, scene = (
        scan.camera().pooled(9),
        Scene(volume, None, world_from_ct, world_from_ct[:3, 3]),
    )
    image, (*inputs, values) = variable(
        renderer(volume, "torch-cpu", dtype=torch.float64), scene, camera
    )
    assert torch.autograd.gradcheck(
        lambda *numbers: image(*numbers, values.detach()), inputs, atol=1e-5, rtol=1e-4
    )


def test_the_hessian_is_that_of_the_reference(renderer, reference):
    """It was 0 once; now each of PyTorch's ways to it leads there, in blocks of rows, too."""
    scene = small_scene(3)
    drr, place = (
        renderer(scene.volume, "torch-cpu", dtype=torch.float64),
        scene.volume.ct_from_index,
    )
    values, target = torch.from_numpy(scene.volume.values).double(), seeded((5, 6), 1)

    def loss(twist):
        return (drr(scene.camera, moved(scene, twist)) - target).square().sum()

    def plain(twist):
        return (
            (reference.render(values, place, scene.camera, moved(scene, twist)) - target)
            .square()
            .sum()
        )

    at = 0.01 * seeded(6)
    expected = torch.autograd.functional.hessian(plain, at)
    assert torch.linalg.eigvalsh(expected).abs().min() > 1e-6 * expected.abs().max()
    ways = (
        torch.func.hessian,
        torch.func.jacrev(torch.func.grad(loss)),
        torch.autograd.functional.hessian,
    )
    for found in (ways[0](loss)(at), ways[1](at), ways[2](loss, at)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


def test_second_derivatives_leave_out_the_gradients_jumps_between_voxels(renderer):
    noise = np.random.default_rng(0).uniform(0, 0.02, (12, 12, 12)).astype(np.float32)
    place = np.diag([2.0, 2, 2, 1])
    place[:3, 3] = -11
    pose = np.eye(4)
    pose[2, 3] = 600
    camera = Camera(np.array([[400.0, 0, 7.5], [0, 400, 7.5], [0, 0, 1]]), pose, (16, 16))
    drr = renderer(Volume(noise, place), dtype=torch.float64)

    def loss(shift):
        ct_pose = torch.eye(4, dtype=torch.float64)
        ct_pose[0, 3] = shift
        return drr(camera, ct_pose).square().mean()

    def change(over_mm):
        ends = torch.tensor([0.3 + over_mm, 0.3 - over_mm], dtype=torch.float64)
        upper, lower = (torch.func.grad(loss)(end) for end in ends)
        return float(upper - lower) / (2 * over_mm)

    second = float(torch.func.hessian(loss)(torch.tensor(0.3, dtype=torch.float64)))
    assert change(1e-7) == pytest.approx(second, rel=1e-3)
    assert change(0.5) != pytest.approx(second, rel=0.1)


def test_second_derivatives_come_in_blocks_of_rows(renderer, monkeypatch):
    from MultiViewRegistrationLib.rendering import drr_operator

    scene = small_scene(3)
    drr = renderer(scene.volume, "torch-cpu", dtype=torch.float64)

    def loss(twist):
        return drr(scene.camera, moved(scene, twist)).square().sum()

    at = torch.zeros(6, dtype=torch.float64)
    expected = torch.autograd.functional.hessian(loss, at)
    monkeypatch.setattr(drr_operator, "SAMPLES_AT_ONCE", 2 * 6 * 10)
    np.testing.assert_allclose(torch.autograd.functional.hessian(loss, at), expected, rtol=1e-9)


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
    with pytest.raises(InputError, match="is not rigid"):
        torch.vmap(lambda pose: drr(scene.camera, 1.1 * pose))(moved(scene, twists))
    pose = 1.1 * moved(scene, twists[0])
    assert torch.func.jvp(lambda pose: drr(scene.camera, pose), (pose,), (pose,))[0].isnan().all()


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


def test_the_operators_are_what_their_fakes_say(renderer):
    from MultiViewRegistrationLib.rendering import drr_operator

    generator = torch.Generator().manual_seed(0)
    values = torch.rand(5 * 6 * 9, generator=generator)
    rays = torch.rand((2, 5, 3), generator=generator, dtype=torch.float64)
    poses = torch.eye(4, dtype=torch.float64).expand(2, 4, 4).clone()
    grid = [6, 5, 7]
    for derivatives in (False, True):
        arguments = (values, rays, poses, poses[0].clone(), grid, [4, 3], derivatives)
        torch.library.opcheck(
            drr_operator.project, arguments, test_utils=("test_schema", "test_faketensor")
        )
        found = drr_operator.project(*arguments)
        arguments = (
            *found[:1],
            values,
            rays,
            found[1],
            poses[0].clone(),
            grid,
            [4, 3],
            derivatives,
            True,
        )
        torch.library.opcheck(
            drr_operator.project_backward, arguments, test_utils=("test_schema", "test_faketensor")
        )


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_labels_have_an_image_and_a_pose_each(renderer, device):
    scene = small_scene()
    labels = np.zeros(scene.volume.values.shape, np.int16)
    labels[2:], labels[:, 3:] = 3, 7
    values = torch.from_numpy(scene.volume.values)
    drr, whole = renderer(scene.volume, device, labels=labels), renderer(scene.volume, device)
    assert drr.labels == [0, 3, 7]
    poses = moved(scene, 0.05 * seeded((2, 3, 6))).requires_grad_()
    images = drr(scene.camera, poses)
    assert images.shape == (2, 3, 5, 6)
    together = drr(scene.camera, poses[:, :1]).sum(1)
    np.testing.assert_allclose(
        together.detach(), whole(scene.camera, poses[:, 0]).detach(), atol=1e-6
    )
    for n, label in enumerate(drr.labels):
        own = renderer(
            Volume(np.where(labels == label, values, 0), scene.volume.ct_from_index), device
        )
        np.testing.assert_allclose(
            images[:, n].detach(), own(scene.camera, poses[:, n]).detach(), atol=1e-6
        )
    (gradient,) = torch.autograd.grad(images[:, 1].sum(), poses)
    assert (gradient[:, 1].abs().amax((1, 2)) > 0).all() and not gradient[:, ::2].any()
    attenuation = values.clone().requires_grad_()
    by_labels = drr(scene.camera, poses, attenuation=attenuation)
    np.testing.assert_allclose(by_labels.detach(), images.detach(), atol=1e-6)
    (gradient,) = torch.autograd.grad(by_labels[:, 2].sum(), attenuation)
    assert (
        not gradient[torch.from_numpy(labels != 7)].any()
        and gradient[torch.from_numpy(labels == 7)].any()
    )
    with pytest.raises(InputError, match="found the shape .2, 4, 4., expected"):
        drr(scene.camera, poses[:, 0])


def test_what_does_not_fit_is_refused(renderer):
    scene = small_scene()
    drr, poses = renderer(scene.volume), moved(scene, torch.zeros(6, dtype=torch.float64))
    values = torch.from_numpy(scene.volume.values)
    for attenuation, why in (
        (values[1:], "the shape .4, 6, 7., expected a tensor .5, 6, 7."),
        (values.numpy(), "found ndarray"),
        (values.double(), "found torch.float64, but the renderer has torch.float32"),
        (values.half(), "found torch.float16, but the renderer has torch.float32"),
        (values.to("meta"), "is on the device meta, but the renderer on cpu"),
    ):
        with pytest.raises(InputError, match=f"attenuation: .*{why}"):
            drr(scene.camera, poses, attenuation=attenuation)
    with pytest.raises(InputError, match="intrinsics: found the shape"):
        drr(scene.camera, poses, intrinsics=torch.eye(4))
    with pytest.raises(InputError, match="camera_from_world: .*on the device meta"):
        drr(scene.camera, poses, camera_from_world=torch.eye(4, device="meta"))
    with pytest.raises(InputError, match="not finite"):
        drr(scene.camera, poses, intrinsics=torch.zeros(3, 3))
    with pytest.raises(InputError, match="dtype: found torch.float16"):
        renderer(scene.volume, dtype=torch.float16)
    with pytest.raises(InputError, match="labels: found float32 of the shape"):
        renderer(scene.volume, labels=scene.volume.values)
    with pytest.raises(InputError, match="device mps: PyTorch finds 0 such devices"):
        renderer(scene.volume, "mps")
