"""How two structures move against each other, and where a structure is expected in the next frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.sequence.motion import relative_motion
from MultiViewRegistrationLib.sequence.tracker import predict_pose

CENTROID = np.array([12.0, -7.0, 30.0])
MOVING = rigid.turn_and_shift([0.1, 0.7, -0.4], [5.0, 40.0, -9.0])


def turned_about(axis, point, degrees, along):
    turn = Rotation.from_rotvec(degrees * np.asarray(axis), degrees=True).as_matrix()
    return rigid.from_rotation_translation(turn, point - turn @ point + along * np.asarray(axis))


@pytest.mark.parametrize("degrees", [5.0, -40.0, 170.0])
def test_a_hinge_is_found_as_its_axis_wherever_both_stand_in_the_world(degrees):
    axis, point, along = np.array([2.0, -1.0, 2.0]) / 3, np.array([20.0, 15.0, -10.0]), 3.0
    fixed = [rigid.turn_and_shift([0.2 * n, 0.1, -0.3], [n, 2.0 * n, -5.0]) for n in range(2)]
    motion = turned_about(axis, point, degrees, along)
    first, second = relative_motion(
        fixed, [fixed[0] @ MOVING, fixed[1] @ motion @ MOVING], CENTROID
    )
    assert_allclose(second.rotation_deg, degrees * axis, atol=1e-9)
    sign = np.sign(degrees)
    assert_allclose(sign * second.axis, axis, atol=1e-9)
    assert sign * second.along_mm == pytest.approx(along)
    at = rigid.transform_points(MOVING, CENTROID)
    assert_allclose(second.shift_mm, rigid.transform_points(motion, at) - at, atol=1e-9)
    assert_allclose(np.cross(second.point - point, axis), 0, atol=1e-8)  # on the axis
    assert (second.point - at) @ axis == pytest.approx(0, abs=1e-8)  # and nearest to the centroid
    assert_array_equal(first.rotation_deg, 0)
    assert first.axis is None


def test_frames_with_one_pose_only_are_left_out_and_the_first_with_both_is_what_it_is_told_from():
    poses = [None, MOVING, None, MOVING]
    found = relative_motion([np.eye(4), np.eye(4), np.eye(4), np.eye(4)], poses, CENTROID)
    assert [each.number for each in found] == [1, 3]
    assert_allclose(found[1].shift_mm, 0, atol=1e-12)


POSE = rigid.turn_and_shift([0.3, -0.2, 0.5], [10.0, -20.0, 30.0])


@settings(max_examples=30)
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
    assert_allclose(predict_pose(kept, number), expm(number * generator) @ POSE, atol=1e-7)


@pytest.mark.parametrize("kept, number", [([(0, POSE)], 1), ([(0, np.eye(4)), (1, POSE)], 9)])
def test_without_a_motion_known_of_late_it_is_the_last_pose(kept, number):
    assert predict_pose(kept, number) is POSE
