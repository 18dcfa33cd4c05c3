"""Rigid transforms in torch against those of numpy, and their gradients where formulas turn into 0/0."""

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from pose_strategies import poses, twists

from MultiViewRegistrationLib.geometry import rigid

torch = pytest.importorskip("torch")
from MultiViewRegistrationLib.geometry import rigid_torch  # noqa: E402

quick = settings(deadline=None, max_examples=10)


def tensor(array, dtype=torch.float64):
    return torch.from_numpy(np.array(array)).to(dtype)


def twist_of(angle, direction=(0.6, -0.64, 0.48), v=(30.0, -20.0, 50.0)):
    return np.array([*(angle * np.array(direction)), *v])


def exp_so3(w):
    return rigid_torch.exp_se3(torch.cat([w, torch.zeros_like(w)], -1))[..., :3, :3]


def turn_and_shift(twist):
    """Poses (..., 4, 4) of a turn and then a shift (..., 6)."""
    return rigid_torch.from_rotation_translation(exp_so3(twist[..., :3]), twist[..., 3:])


@given(twists, poses, poses)
@quick
def test_poses_agree_with_those_of_numpy(twist, a, b):
    assert_allclose(exp_so3(tensor(twist[:3])), rigid.exp_so3(twist[:3]), atol=5e-15)
    assert_allclose(rigid_torch.exp_se3(tensor(twist)), rigid.exp_se3(twist), atol=1e-10)
    assert_allclose(rigid_torch.hat(tensor(twist[:3])), rigid.hat(twist[:3]))
    log = rigid_torch.log_se3(tensor(a)).numpy()
    assert_allclose(rigid.exp_se3(log), a, atol=1e-10)
    A, B = tensor(a), tensor(b)
    assert_allclose(rigid_torch.inverse(A), rigid.inverse(a), atol=1e-12)
    assert_allclose(
        rigid_torch.geodesic_distance(A, B, 700), rigid.geodesic_distance(a, b, 700), atol=1e-8
    )
    if np.pi - rigid.rotation_angle(a) > 1e-7:  # at pi two rotation vectors are one rotation
        assert_allclose(log, rigid.log_se3(a), atol=1e-6)
    if np.pi - rigid.rotation_distance(a, b) > 1e-7:
        expected = np.linalg.norm(rigid.log_se3(rigid.inverse(a) @ b))
        assert_allclose(rigid_torch.geodesic(A, B), expected, rtol=1e-9, atol=1e-9)


DISTANCES = [rigid_torch.geodesic, lambda a, b: rigid_torch.geodesic_distance(a, b, 700)]


@pytest.mark.parametrize("angle", [0.0, 5e-5, 0.0999, 2.0, np.pi - 1e-3])
def test_gradients_are_finite_differences(angle):
    there, zero = turn_and_shift(tensor(twist_of(angle))), torch.zeros(6).double().requires_grad_()
    assert torch.autograd.gradcheck(
        exp_so3, tensor(twist_of(angle)[:3]).requires_grad_(), atol=1e-6
    )
    assert torch.autograd.gradcheck(
        rigid_torch.exp_se3, tensor(twist_of(angle)).requires_grad_(), atol=1e-5
    )
    assert torch.autograd.gradcheck(
        lambda x: rigid_torch.log_se3(there @ turn_and_shift(x)), zero, atol=1e-6
    )
    if angle >= 1e-4:
        fixed = tensor(rigid.exp_se3(twist_of(0.7, (0, 1, 0))))
        for distance in DISTANCES:
            assert torch.autograd.gradcheck(
                lambda x, d=distance: d(fixed @ there @ turn_and_shift(x), fixed), zero, atol=1e-5
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [0.0, 1e-30, 1e-5, 1.0, np.pi])
def test_gradients_are_finite_everywhere(angle, dtype):
    """To itself; to one that is half a turn away; to another."""
    twist = tensor(twist_of(angle), dtype).requires_grad_()
    there, other = turn_and_shift(twist), turn_and_shift(tensor(twist_of(0.5, (0, 0, 1)), dtype))
    pairs = [(there, there.detach()), (other @ there, other)]
    for value in [
        rigid_torch.exp_se3(twist).sum(),
        rigid_torch.log_se3(there).sum(),
        *(distance(*pair) for pair in pairs for distance in DISTANCES),
    ]:
        (gradient,) = torch.autograd.grad(value, twist, retain_graph=True)
        assert torch.isfinite(value) and torch.isfinite(gradient).all()
