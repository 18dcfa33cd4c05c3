"""The parametrisation that is public, of NumPy and PyTorch alike."""

import numpy as np
import pytest

from MultiViewRegistrationLib import exp_se3, log_se3

TWISTS = np.array([[0.1, -0.2, 0.3, 4.0, 5.0, -6.0], [0.0] * 6, [1.5, 0.0, -2.0, 0.0, 1.0, 0.0]])


def test_a_tensor_has_the_poses_of_an_array_and_gradients():
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
    twist = torch.tensor(TWISTS, requires_grad=True)
    poses = exp_se3(twist)
    assert np.allclose(poses.detach(), exp_se3(TWISTS))
    assert np.allclose(log_se3(poses.detach().numpy()), TWISTS)
    assert np.allclose(log_se3(poses).detach(), TWISTS)
    poses[..., :3, 3].sum().backward()
    assert torch.isfinite(twist.grad).all() and (twist.grad[1, 3:] == 1).all()
