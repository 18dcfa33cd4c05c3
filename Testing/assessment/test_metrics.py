"""Each error on a case that can be solved by hand.

The camera stands at the world's origin and looks along z; a focal length of 1000 pixels of 0.5 mm
makes 500 mm from source to detector. The target is 250 mm away, on the axis.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera

CAMERA = Camera(np.array([[1000.0, 0, 100], [0, 1000, 100], [0, 0, 1]]), np.eye(4), (201, 201))
MIRRORED = Camera(np.array([[-1000.0, 0, 100], [0, 1000, 100], [0, 0, 1]]), np.eye(4), (201, 201))
TRUE = np.eye(4)
TARGET = np.array([[0.0, 0.0, 250.0]])


def shift(x, y, z):
    return rigid.translation(np.array([x, y, z]))


def test_mtre_is_the_mean_over_targets_of_their_displacement():
    turn = rigid.turn_and_shift([0, 0, np.pi / 2], np.zeros(3))
    targets = np.array([[0.0, 0, 7], [3, 0, 0], [0, -4, 0]])
    expected = np.sqrt(2) * np.array([0, 3, 4])
    assert_allclose(metrics.target_errors(turn, TRUE, targets), expected, atol=1e-12)
    assert metrics.mtre(turn, TRUE, targets) == pytest.approx(expected.mean())


@pytest.mark.parametrize("camera", [CAMERA, MIRRORED])
def test_projection_distance_in_pixels_and_on_the_detector(camera):
    across, down = shift(2.5, 0, 0), shift(0, 2.5, 0)  # 1000 * 2.5 / 250 = 10 columns
    assert metrics.mpd(camera, across, TRUE, TARGET) == pytest.approx(10)
    assert metrics.mpd(camera, across, TRUE, TARGET, (0.5, 9.0)) == pytest.approx(5)
    assert metrics.mpd(camera, down, TRUE, TARGET, (9.0, 0.25)) == pytest.approx(2.5)


def test_reprojection_distance_is_taken_at_the_true_target():
    estimated = shift(
        150, 0, -50
    )  # to (150, 0, 200): its ray is (3, 0, 4) / 5, and 250 * 3 / 5 = 150
    assert metrics.mrpd(CAMERA, estimated, TRUE, TARGET) == pytest.approx(150)
    assert metrics.mtre(estimated, TRUE, TARGET) == pytest.approx(np.hypot(150, 50))


@pytest.mark.parametrize("camera", [CAMERA, MIRRORED])
@pytest.mark.parametrize("moved, score", [((2.5, 0, 0), 1.25), ((0, 0, 10), 5)])
def test_diffpose_score(camera, moved, score):
    """10 columns are 5 mm on the detector; in the CT, (5, 0, 500) becomes (2.5, 0, 500): 2.5 mm, times 0.5.

    Along the ray the detector point stays, and its place in the CT moves by 10 mm, times 0.5.
    """
    found = metrics.diffpose_score(camera, shift(*moved), TRUE, TARGET, 0.5)
    assert found == pytest.approx(score)


def test_split_by_view_follows_the_ray_to_the_target_not_the_axis():
    target = np.array([[300.0, 0, 400]])  # on the ray (3, 0, 4) / 5
    split = metrics.split_by_view(CAMERA, shift(6, 0, 8), TRUE, target)
    assert_allclose([split.depth_mm, split.in_plane_mm], [[10], [0]], atol=1e-9)
    split = metrics.split_by_view(CAMERA, shift(0, 7, 0) @ shift(-3, 0, -4), TRUE, target)
    assert_allclose([split.depth_mm, split.in_plane_mm], [[-5], [7]], atol=1e-9)


small = st.floats(-20, 20)


@given(st.tuples(small, small, small), st.tuples(*[st.floats(-0.3, 0.3)] * 3))
def test_parts_of_the_error_fit_together(translation, rotation):
    estimated = rigid.turn_and_shift(rotation, translation)
    targets = np.array([[0.0, 0, 250], [30, -20, 280], [-40, 10, 220]])
    split = metrics.split_by_view(CAMERA, estimated, TRUE, targets)
    tre = metrics.target_errors(estimated, TRUE, targets)
    assert_allclose(np.hypot(split.depth_mm, split.in_plane_mm), tre, atol=1e-9)
    assert metrics.mrpd(CAMERA, estimated, TRUE, targets) <= tre.mean() + 1e-9


def test_errors_average_over_the_views():
    """The second view looks along -x at the target from 250 mm: a shift along x is all depth."""
    turn = rigid.turn_and_shift([0, -np.pi / 2, 0], [250.0, 0, 250])
    side = Camera(CAMERA.intrinsics, rigid.inverse(turn), CAMERA.size)
    found = metrics.errors([CAMERA, side], shift(2.5, 0, 0), TRUE, TARGET, [(0.5, 0.5)] * 2)
    assert found.mtre_mm == found.max_tre_mm == found.translation_mm == pytest.approx(2.5)
    assert (found.mpd_px, found.mpd_mm) == pytest.approx((5, 2.5))
    assert found.mrpd_mm == pytest.approx(2.5 * 250 / np.hypot(2.5, 250) / 2)
    assert found.diffpose_score == pytest.approx((0.5 * 2.5 + 0.5 * 2.5) / 2)
    assert (found.depth_mm, found.in_plane_mm) == pytest.approx((0, 2.5))
    assert found.rotation_deg == 0


def test_of_a_pixel_of_unknown_size_nothing_is_told_in_mm():
    found = metrics.errors([CAMERA] * 2, shift(2.5, 0, 0), TRUE, TARGET, [(0.5, 0.5), None])
    assert found.mpd_mm is found.diffpose_score is None and found.mpd_px == pytest.approx(10)
