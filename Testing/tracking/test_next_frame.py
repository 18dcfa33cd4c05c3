"""Where a structure is expected in the next frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.sequence.tracker import predict_pose

POSE = rigid.from_rotation_translation(rigid.exp_so3([0.3, -0.2, 0.5]), [10.0, -20.0, 30.0])


@given(
    st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3),
    st.lists(st.floats(-20, 20), min_size=3, max_size=3),
    st.integers(1, 3),
)
def test_an_even_screw_is_predicted_exactly(turn, shift, gap):
    """By scipy's matrix exponential, one frame ahead and several."""
    x, y, z = turn
    generator = np.zeros((4, 4))
    generator[:3] = [[0, -z, y, shift[0]], [z, 0, -x, shift[1]], [-y, x, 0, shift[2]]]
    kept = [(4, expm(4 * generator) @ POSE), (5, expm(5 * generator) @ POSE)]
    number = 5 + min(gap, 2)
    np.testing.assert_allclose(predict_pose(kept, number), expm(number * generator) @ POSE, atol=1e-7)


@pytest.mark.parametrize("kept, number", [([(0, POSE)], 1), ([(0, np.eye(4)), (1, POSE)], 9)])
def test_without_a_motion_known_of_late_it_is_the_last_pose(kept, number):
    assert predict_pose(kept, number) is POSE
