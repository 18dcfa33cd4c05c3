"""Ranges of poses, against the distributions that they promise, and quasi-random points (scipy)."""

import numpy as np
import pytest
from helpers.bent_spine import cameras
from helpers.phantom import CORNERS
from helpers.refusals import refuses
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.epipolar import default_pose_at_isocentre
from MultiViewRegistrationLib.registration.optimizer import (
    LOCAL_RANGE,
    Range,
    range_for_error,
)

CENTROID = np.array([20.0, -30.0, 55.0])
CENTRE = rigid.turn_and_shift([0.4, -0.8, 0.2], [5.0, 60.0, -10.0])


def motions(reach, count=4000):
    """Angles in degrees, rotation axes, and shifts of the centroid in mm of random poses."""
    poses = reach.poses(CENTRE, CENTROID, np.random.default_rng(1).random((count, 6)))
    turns = Rotation.from_matrix(poses[:, :3, :3] @ CENTRE[:3, :3].T).as_rotvec()
    shifts = rigid.transform_points(poses, CENTROID) - rigid.transform_points(CENTRE, CENTROID)
    return np.degrees(np.linalg.norm(turns, axis=1)), turns, shifts


@pytest.mark.parametrize("reach", [Range(18, 55), Range(90, 0.5), Range(180, 100)])
def test_poses_fill_the_range_evenly_and_stay_within_it(reach):
    angle, turns, shifts = motions(reach)
    distance = np.linalg.norm(shifts, axis=1)
    assert angle.max() <= reach.rotation_deg + 1e-6
    assert distance.max() <= reach.translation_mm + 1e-6
    assert stats.kstest((distance / reach.translation_mm) ** 3, "uniform").pvalue > 1e-3
    most = np.radians(reach.rotation_deg)
    haar = (np.radians(angle) - np.sin(np.radians(angle))) / (most - np.sin(most))
    assert stats.kstest(haar, "uniform").pvalue > 1e-3
    for vectors in (turns, shifts):
        directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        assert_allclose(directions.T @ directions / len(directions), np.eye(3) / 3, atol=0.03)
        assert_allclose(directions.mean(axis=0), 0, atol=0.04)


@pytest.mark.parametrize(
    "degrees, mm, inside", [(24, 0, True), (26, 0, False), (0, 39, True), (0, 41, False)]
)
def test_a_range_holds_what_is_beyond_it_by_half_and_ten(degrees, mm, inside):
    motion = rigid.turn_and_shift(np.radians(degrees) * np.array([0, 0.6, 0.8]), [0, mm, 0])
    pose = rigid.about(rigid.transform_points(CENTRE, CENTROID), motion) @ CENTRE
    assert Range(10, 20).holds(pose, CENTRE, CENTROID) == inside


@pytest.mark.parametrize(
    "centre, shown",
    [
        ([0, 0, 700], True),
        ([56, 0, 700], True),  # at the edge
        ([0, 0, -700], False),
        ([90, 0, 700], False),
        ([0, -90, 700], False),
    ],
)
def test_a_camera_shows_a_box_that_is_before_it_and_within_both_axes(centre, shown):
    """Of 10 mm; at its depth the field is 100 mm wide."""
    camera = Camera([[1000.0, 0, 71], [0, 1000, 71], [0, 0, 1]], np.eye(4), (143, 143))
    pose = rigid.translation(centre)
    assert Range(1, 3).shown(camera, pose, np.zeros(3), CORNERS / 6) == shown


def test_expected_errors_make_ranges_up_to_a_limit():
    """Half of the mean square of points 60 mm from the centre is the turn's, and all goes to twice the root mean square."""
    random = np.random.default_rng(3)
    points = 60 * stats.uniform_direction(3).rvs(20_000, random_state=random)
    reach = range_for_error(8.0, structure=False)
    turned = Rotation.from_euler("z", reach.rotation_deg / 2, degrees=True).apply(points)
    squares = np.sum((turned - points) ** 2, axis=1)
    assert np.sqrt(squares.mean()) == pytest.approx(8 / np.sqrt(2), rel=0.02)
    assert reach.translation_mm / 2 == pytest.approx(8 / np.sqrt(2))
    assert range_for_error(100.0, structure=False) == range_for_error(25.0, structure=False)
    assert range_for_error(25.0, structure=True) == LOCAL_RANGE
    assert range_for_error(5.0, structure=True) == range_for_error(5.0, structure=False)


@pytest.mark.parametrize(
    "rotation, translation", [(0, 0), (-1, 10), (181, 10), (10, -1), (np.nan, 10), (10, np.inf)]
)
def test_a_range_without_poses_is_refused(rotation, translation):
    with refuses(r"search: found a range of .* expected 0 to 180 degrees"):
        Range(rotation, translation)


@pytest.mark.parametrize("angles", [(0,), (0, 60), (0, 60, 90)])
def test_a_ct_of_which_nothing_is_known_faces_the_views(angles):
    pose = default_pose_at_isocentre(cameras(*angles), CENTROID)
    assert_array_equal(pose[:3, :3], np.eye(3))
    assert_allclose(rigid.transform_points(pose, CENTROID), 0, atol=0.01)
