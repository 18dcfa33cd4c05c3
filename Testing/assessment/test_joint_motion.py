"""Six numbers of the motion of two bones, against scipy, and the words for them."""

import numpy as np
import pytest
from helpers.refusals import refuses
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.assessment.joint_motion import (
    JointMotion,
    frame_of_points,
    in_words,
    joint_motion,
    joint_pose,
    principal_axes,
)
from MultiViewRegistrationLib.geometry import rigid

WORLD = rigid.from_rotation_translation(
    Rotation.from_euler("xyz", [20, -35, 60], degrees=True).as_matrix(), [5.0, -80.0, 12.0]
)


def moved(degrees, mm, about):
    """A motion, CT mm, that turns about a point by a rotation vector and shifts that point."""
    turn = Rotation.from_rotvec(degrees, degrees=True).as_matrix()
    return rigid.from_rotation_translation(turn, about + np.array(mm) - turn @ about)


def test_the_six_numbers_are_those_of_the_motion_in_the_frame_whatever_the_world():
    middle, turn, shift = np.array([10.0, 20.0, 30.0]), [2.0, -3.0, 5.0], [0.5, -1.0, 2.0]
    frame = rigid.from_rotation_translation(
        Rotation.from_euler("z", 90, degrees=True).as_matrix(), [1.0, 2.0, 3.0]
    )
    found = joint_motion(WORLD, WORLD @ moved(turn, shift, middle), frame, middle)
    assert found.rotation_deg == pytest.approx([-3.0, -2.0, 5.0])  # x of the frame is y of the CT
    assert found.shift_mm == pytest.approx([-1.0, -0.5, 2.0])
    same = joint_motion(WORLD, WORLD, frame, middle)
    assert np.allclose([same.rotation_deg, same.shift_mm], 0, atol=1e-9)


def test_the_axes_of_a_bone_with_a_ct_of_its_own_lie_to_those_of_another_whatever_world_and_cts():
    turn, at = [10.0, -20.0, 70.0], np.array([4.0, -30.0, 12.0])
    fixed_ct, moving_ct = (moved(5 * v, v, np.zeros(3)) for v in (np.arange(3), -np.ones(3)))
    axes = moved([3, 40, 5], [7, 8, 9], np.zeros(3))
    lies = axes @ rigid.from_rotation_translation(
        Rotation.from_rotvec(turn, degrees=True).as_matrix(), at
    )
    found = joint_pose(
        WORLD @ rigid.inverse(fixed_ct),
        WORLD @ lies @ rigid.inverse(moving_ct),
        fixed_ct @ axes,
        moving_ct,
    )
    assert found.rotation_deg == pytest.approx(turn) and found.shift_mm == pytest.approx(at)


def test_a_frame_of_three_points():
    frame = frame_of_points(np.array([[1.0, 1, 1], [1, 5, 1], [1, 3, 4]]))
    assert np.allclose(frame[:3, 3], 1) and np.allclose(frame[:3, 0], [0, 1, 0])
    assert np.allclose(frame[:3, 1], [0, 0, 1]) and np.linalg.det(frame) == pytest.approx(1)
    with refuses("lie on one line"):
        frame_of_points(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]))
    with refuses("found 2 points, expected three"):
        frame_of_points(np.zeros((2, 3)))


def test_principal_axes_are_named_by_the_body():
    rng, tilt = np.random.default_rng(0), Rotation.from_rotvec([5, 0, 10], degrees=True)
    points = tilt.apply(rng.normal(size=(20000, 3)) * [3, 10, 30]) + [7, 8, 9]
    frame = principal_axes(points)
    assert np.allclose(frame[:3, 3], [7, 8, 9], atol=1.0)
    assert np.allclose(frame[:3, :3], tilt.as_matrix(), atol=0.02)


def test_in_words_depends_on_bone_and_side():
    motion = JointMotion(np.array([-4.0, 0.1, 2.0]), np.array([0.1, 0.0, -1.5]))
    said = ["4.0 degrees of extension", "2.0 degrees of turning to the left", "1.5 mm down"]
    assert in_words(motion, "vertebrae_L1") == said
    inward = JointMotion(np.array([0.0, 3.0, 1.0]), np.zeros(3))
    assert "3.0 degrees of abduction" in in_words(inward, "femur_right")
    assert "3.0 degrees of adduction" in in_words(inward, "left femur")
    assert in_words(inward, "radius") == []  # no side is stated
