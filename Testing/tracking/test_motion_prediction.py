"""How two structures move against each other, and where a structure is expected in the next frame."""

import numpy as np
import pytest
from helpers.assessments import assessed
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.assessment.error_by_cause import ErrorByCause, PoseError
from MultiViewRegistrationLib.assessment.records import UNUSABLE
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.sequence.motion import COMPONENTS, MATRIX, SCREW, Motion
from MultiViewRegistrationLib.sequence.tracker import Tracked, predict_pose

CENTROID = np.array([12.0, -7.0, 30.0])
MOVING = rigid.turn_and_shift([0.1, 0.7, -0.4], [5.0, 40.0, -9.0])


def motion_of(fixed, moving, errors=(None, None), verdict="accept"):
    """The motion between poses, None of frames in which a body was lost."""
    tracks = []
    for poses, error in zip((fixed, moving), errors, strict=True):
        frames = []
        for number, pose in enumerate(poses):
            how = ("lost", "reject") if pose is None else ("followed", verdict)
            frames.append(
                Tracked(number, how[0], pose, assessment=assessed(how[1]), pose_error=error)
            )
        tracks.append(frames)
    return Motion.of(("fixed", tracks[0]), ("moving", tracks[1]), CENTROID, len(fixed))


def turned_about(axis, point, degrees, along):
    turn = Rotation.from_rotvec(degrees * np.asarray(axis), degrees=True).as_matrix()
    return rigid.from_rotation_translation(turn, point - turn @ point + along * np.asarray(axis))


@pytest.mark.parametrize("degrees", [5.0, -40.0, 170.0])
def test_a_hinge_is_found_as_its_axis_wherever_both_stand_in_the_world(degrees):
    axis, point, along = np.array([2.0, -1.0, 2.0]) / 3, np.array([20.0, 15.0, -10.0]), 3.0
    fixed = [rigid.turn_and_shift([0.2 * n, 0.1, -0.3], [n, 2.0 * n, -5.0]) for n in range(2)]
    motion = turned_about(axis, point, degrees, along)
    first, second = motion_of(fixed, [fixed[0] @ MOVING, fixed[1] @ motion @ MOVING]).frames
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


def test_frames_with_one_pose_have_no_numbers_and_the_first_with_both_is_what_motion_is_told_from():
    motion = motion_of([np.eye(4)] * 4, [None, MOVING, None, MOVING])
    assert [each.number for each in motion.found] == [1, 3]
    assert_allclose(motion.found[1].shift_mm, 0, atol=1e-12)
    lost = motion.frames[2]
    assert (lost.verdict, lost.how, lost.against_how) == ("reject", "lost", "followed")
    assert not lost.numbers and not lost.bounds and lost.verdict in UNUSABLE


def error(degrees, mm, camera_mm=0.0):
    """The error of a pose, the cameras' share of which is a shift along the first axis."""
    sd = np.repeat([np.radians(degrees), mm], 3)
    by_cameras = np.eye(6, 1, -3) * camera_mm
    return PoseError(np.array([10.0, 20.0, 5.0]), ErrorByCause(np.diag(sd**2), by_cameras))


@pytest.mark.slow
@pytest.mark.parametrize("turn_deg", [6.0, 120.0])
def test_of_every_number_95_percent_lie_within_the_bound(turn_deg):
    """The errors of cameras, a hundred times those of noise, leave a motion as it is."""
    rng = np.random.default_rng(0)
    known = error(0.1, 0.1, camera_mm=10.0)
    fixed = [rigid.turn_and_shift([0.2 * n, 0.1, -0.3], [n, 2.0 * n, -5.0]) for n in range(2)]
    motion = turned_about(
        np.array([2.0, -1.0, 2.0]) / 3, np.array([20.0, 15.0, -10.0]), turn_deg, 3
    )
    moving = [fixed[0] @ MOVING, fixed[1] @ motion @ MOVING]
    _, true = motion_of(fixed, moving).frames
    inside = []
    for _ in range(80):
        cameras = known.by_cause.by_cameras @ rng.normal(size=1)

        def off(pose, shared=cameras):
            twist = rng.multivariate_normal(np.zeros(6), known.by_cause.noise) + shared
            return rigid.about(known.pivot, rigid.turn_and_shift(twist[:3], twist[3:])) @ pose

        _, found = motion_of([*map(off, fixed)], [*map(off, moving)], (known, known)).frames
        names = [*COMPONENTS, *SCREW, *MATRIX]
        away = np.array([found.numbers[name] - true.numbers[name] for name in names])
        inside.append(np.abs(away) <= [found.bounds[name] for name in names])
    assert (np.mean(inside, axis=0) > 0.88).all() and 0.93 < np.mean(inside) < 0.995
    assert found.bounds["distance_mm"] < 1.5


def test_a_component_below_its_bound_is_not_determined():
    moved = turned_about([0.0, 0.0, 1.0], CENTROID, 13.4, 0.5)
    _, found = motion_of([np.eye(4)] * 2, [np.eye(4), moved], [error(3.0, 0.01)] * 2).frames
    assert found.in_words("rotation_z_deg") == "13.40 \u00b1 11.76"
    assert found.in_words("rotation_x_deg") == "not determined (\u00b112\u00b0)"
    assert found.in_words("angle_deg").startswith("not determined (\u00b117")
    assert found.axis is None and not {*SCREW} & {*found.numbers}
    assert found.verdict == "check"  # of two accepted poses


def test_a_motion_is_accepted_where_poses_are_and_bounds_are_small():
    moving = [np.eye(4), MOVING]
    for errors, verdict in (((None, None), "check"), ([error(0.1, 0.1)] * 2, "accept")):
        _, found = motion_of([np.eye(4)] * 2, moving, errors).frames
        assert found.verdict == verdict


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
