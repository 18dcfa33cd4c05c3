"""Rigid transforms in torch against scipy and the numpy ones, and their gradients where formulas turn into 0/0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid

torch = pytest.importorskip("torch", reason="the regressor needs torch: pip install torch")
from MultiViewRegistrationLib.regressor import se3  # noqa: E402

directions = st.tuples(*3 * [st.integers(-99, 99)]).filter(any).map(lambda d: np.array(d) / np.linalg.norm(d))
angles = st.one_of(
    st.just(0.0),
    st.floats(1e-100, 1e-3),
    st.floats(1e-3, np.pi),
    st.floats(0.99, 1.01),
    st.floats(0, 1e-3).map(lambda e: np.pi - e),
)
points = st.tuples(*3 * [st.floats(-500, 500)]).map(np.array)
twists = st.builds(lambda d, a, v: np.concatenate([a * d, v]), directions, angles, points)
poses = twists.map(rigid.exp_se3)
quick = settings(deadline=None, max_examples=50)


def tensor(array, dtype=torch.float64):
    return torch.from_numpy(np.array(array)).to(dtype)


def twist_of(angle, direction=(0.6, -0.64, 0.48), v=(30.0, -20.0, 50.0)):
    return np.array([*(angle * np.array(direction)), *v])


@given(twists)
@quick
def test_exp_is_that_of_scipy_and_of_rigid(twist):
    ours = se3.exp(tensor(twist)).numpy()
    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = np.cross(np.eye(3), twist[:3]), twist[3:]
    np.testing.assert_allclose(ours, expm(generator), atol=1e-11)
    np.testing.assert_allclose(ours, rigid.exp_se3(twist), atol=1e-12)
    np.testing.assert_allclose(ours[:3, :3], Rotation.from_rotvec(twist[:3]).as_matrix(), atol=5e-15)
    np.testing.assert_array_equal(ours[:3, :3], se3.exp_so3(tensor(twist[:3])))


@given(poses)
@quick
def test_log_is_that_of_scipy_and_of_rigid(pose):
    ours = se3.log(tensor(pose)).numpy()
    np.testing.assert_allclose(se3.exp(tensor(ours)), pose, atol=1e-11)
    if np.pi - rigid.rotation_angle(pose) > 1e-7:  # at pi two rotation vectors are one rotation
        np.testing.assert_allclose(ours, rigid.log_se3(pose), atol=1e-6)
        np.testing.assert_allclose(ours[:3], Rotation.from_matrix(pose[:3, :3]).as_rotvec(), atol=1e-8)


@given(poses, poses)
@quick
def test_inverse_and_distances_are_those_of_rigid(a, b):
    A, B = tensor(a), tensor(b)
    np.testing.assert_allclose(se3.inverse(A), rigid.inverse(a), atol=1e-12)
    np.testing.assert_allclose(se3.rotation_angle(A), rigid.rotation_angle(a), atol=1e-12)
    np.testing.assert_allclose(se3.double_geodesic(A, B, 700), rigid.geodesic_distance(a, b, 700), atol=1e-8)
    if np.pi - rigid.rotation_distance(a, b) > 1e-7:
        np.testing.assert_allclose(
            se3.geodesic(A, B), np.linalg.norm(rigid.log_se3(rigid.inverse(a) @ b), axis=-1), rtol=1e-9, atol=1e-9
        )


@given(poses, poses, poses)
@quick
def test_distances_do_not_depend_on_the_frame_that_poses_are_in(a, b, g):
    """g @ a and g @ b: both distances. a @ h and b @ h: where h turns, both, too; where it shifts, only the angle."""
    A, B, G = tensor(a), tensor(b), tensor(g)
    turn, shift = G.clone(), torch.eye(4, dtype=torch.float64)
    turn[:3, 3], shift[:3, 3] = 0, G[:3, 3]
    np.testing.assert_allclose(se3.double_geodesic(G @ A, G @ B, 600), se3.double_geodesic(A, B, 600), atol=1e-6)
    np.testing.assert_allclose(se3.double_geodesic(A @ turn, B @ turn, 600), se3.double_geodesic(A, B, 600), atol=1e-6)
    np.testing.assert_allclose(
        se3.rotation_angle(se3.inverse(A @ shift) @ B @ shift), se3.rotation_angle(se3.inverse(A) @ B), atol=1e-9
    )
    if np.pi - rigid.rotation_distance(a, b) > 1e-5:
        np.testing.assert_allclose(se3.geodesic(G @ A, G @ B), se3.geodesic(A, B), rtol=1e-7, atol=1e-6)
        np.testing.assert_allclose(se3.geodesic(A @ turn, B @ turn), se3.geodesic(A, B), rtol=1e-7, atol=1e-6)
        np.testing.assert_allclose(se3.geodesic(A, B), se3.geodesic(B, A), rtol=1e-7, atol=1e-6)


def test_a_distance_of_poses_is_not_one_of_logarithms():
    """The norm of a difference of logarithms is no distance on SE(3): it sees the frame that the poses are in."""
    a, b, g = (
        tensor(rigid.exp_se3(twist)) for twist in (twist_of(0.4), twist_of(0.9, (0, 0, 1)), twist_of(2.0, (1, 0, 0)))
    )
    subtracted = [torch.linalg.vector_norm(se3.log(x) - se3.log(y)) for x, y in ((a, b), (g @ a, g @ b))]
    assert abs(subtracted[0] - subtracted[1]) > 5
    assert se3.geodesic(g @ a, g @ b).item() == pytest.approx(se3.geodesic(a, b).item(), rel=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-200, 1e-9, 5e-5, 1e-3, 0.3, 0.9999999, 1.0, 2.0, np.pi - 1e-3])
def test_gradients_are_finite_differences(angle):
    twist = tensor(twist_of(angle)).requires_grad_()
    assert torch.autograd.gradcheck(se3.exp, twist, atol=1e-6)
    there, no_motion = se3.exp(twist.detach()), torch.zeros(6).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: se3.log(there @ se3.exp(x)), no_motion, atol=1e-6
    )  # log by itself: along rigid motions
    jacobian = torch.autograd.functional.jacobian(lambda x: se3.log(se3.exp(x)), twist.detach())
    np.testing.assert_allclose(jacobian, np.eye(6), atol=1e-6)


@pytest.mark.parametrize("distance", [se3.geodesic, lambda a, b: se3.double_geodesic(a, b, 700)])
@pytest.mark.parametrize("angle", [1e-4, 0.5, 3.0])
def test_gradients_of_distances_are_finite_differences(distance, angle):
    fixed = tensor(rigid.exp_se3(twist_of(0.7, (0, 1, 0))))
    moved = fixed @ se3.exp(tensor(twist_of(angle)))
    assert torch.autograd.gradcheck(
        lambda x: distance(moved @ se3.exp(x), fixed), torch.zeros(6).double().requires_grad_(), atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [0.0, 1e-30, 1e-12, 1e-5, 1e-4, 1.0, np.pi - 1e-6, np.pi, np.pi + 1e-6])
def test_gradients_are_finite_everywhere(angle, dtype):
    twist = tensor(twist_of(angle), dtype).requires_grad_()
    there = se3.exp(twist)
    other = se3.exp(tensor(twist_of(0.5, (0, 0, 1)), dtype))
    # To itself; to one that is half a turn away; to another.
    values = [
        se3.log(there).sum(),
        se3.geodesic(there, there.detach()),
        se3.geodesic(other @ there, other),
        se3.double_geodesic(there, there.detach(), 700),
        se3.double_geodesic(other @ there, other, 700),
    ]
    for value in values:
        (gradient,) = torch.autograd.grad(value, twist, retain_graph=True)
        assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_the_distance_of_a_pose_to_itself_is_0_and_so_is_its_gradient():
    there = se3.exp(tensor(twist_of(0.8)))
    for distance in (se3.geodesic, lambda a, b: se3.double_geodesic(a, b, 700)):
        at = torch.zeros(6).double().requires_grad_()
        value = distance(torch.eye(4).double() @ se3.exp(at), torch.eye(4).double())
        assert value.item() == 0
        np.testing.assert_array_equal(torch.autograd.grad(value, at)[0], 0)
        assert distance(there, there).item() < 1e-11


@pytest.mark.parametrize("angle", [1e-4, 0.05, 0.9, 1.1, 2.5])
def test_single_precision_is_enough(angle):
    double, single = (tensor(rigid.exp_se3(twist_of(angle)), dtype) for dtype in (torch.float64, torch.float32))
    np.testing.assert_allclose(se3.log(single), se3.log(double), atol=2e-5)
    np.testing.assert_allclose(se3.exp(tensor(twist_of(angle), torch.float32)), double, atol=2e-5)
    gradients = []
    for dtype in (torch.float64, torch.float32):
        twist = tensor(twist_of(angle), dtype).requires_grad_()
        gradients.append(torch.autograd.grad(se3.log(se3.exp(twist)).sum(), twist)[0])
        assert gradients[-1].dtype == dtype
    np.testing.assert_allclose(gradients[1], gradients[0], atol=2e-4)


def test_batches_broadcast():
    rng = np.random.default_rng(0)
    many = tensor(rng.normal(size=(5, 3, 6)) * [1, 1, 1, 50, 50, 50])
    together = se3.exp(many)
    assert together.shape == (5, 3, 4, 4) and se3.log(together).shape == (5, 3, 6)
    np.testing.assert_allclose(
        together[4, 1], se3.exp(many[4, 1]), rtol=1e-14, atol=1e-14
    )  # a batch may be computed by other instructions
    assert se3.geodesic(together, together[:, :1]).shape == (5, 3)
    assert se3.double_geodesic(together, together[0, 0], 500).shape == (5, 3)
    assert se3.pose(together[..., :3, :3], torch.zeros(3).double()).shape == (5, 3, 4, 4)
    assert se3.exp(torch.empty(0, 6)).shape == (0, 4, 4) and se3.log(torch.empty(0, 4, 4)).shape == (0, 6)
