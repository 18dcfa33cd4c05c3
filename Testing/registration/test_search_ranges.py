"""Ranges of poses, against the distributions that they promise (scipy)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.geometry.epipolar import default_pose_at_isocentre
from MultiViewRegistrationLib.registration.optimizer import Range

CENTROID = np.array([20.0, -30.0, 55.0])
CENTRE = rigid.from_rotation_translation(rigid.exp_so3([0.4, -0.8, 0.2]), [5.0, 60.0, -10.0])


def motions(reach: Range, count: int = 4000):
    """Angles in degrees, rotation axes, and shifts of the centroid in mm of random poses."""
    poses = reach.poses(CENTRE, CENTROID, np.random.default_rng(1).random((count, 6)))
    turns = Rotation.from_matrix(poses[:, :3, :3] @ CENTRE[:3, :3].T).as_rotvec()
    shifts = rigid.transform_points(poses, CENTROID) - rigid.transform_points(CENTRE, CENTROID)
    return np.degrees(np.linalg.norm(turns, axis=1)), turns, shifts


@pytest.mark.parametrize("reach", [Range(18, 55), Range(90, 0.5), Range(180, 100)])
def test_poses_fill_the_range_evenly_and_stay_within_it(reach):
    angle, turns, shifts = motions(reach)
    distance = np.linalg.norm(shifts, axis=1)
    assert angle.max() <= reach.rotation_deg + 1e-6 and distance.max() <= reach.translation_mm + 1e-6
    assert stats.kstest((distance / reach.translation_mm) ** 3, "uniform").pvalue > 1e-3
    most = np.radians(reach.rotation_deg)
    haar = (np.radians(angle) - np.sin(np.radians(angle))) / (most - np.sin(most))
    assert stats.kstest(haar, "uniform").pvalue > 1e-3
    for vectors in (turns, shifts):
        directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(directions.T @ directions / len(directions), np.eye(3) / 3, atol=0.03)
        np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.04)


@pytest.mark.parametrize("rotation, translation", [(0, 0), (-1, 10), (181, 10), (10, -1), (np.nan, 10), (10, np.inf)])
def test_a_range_without_poses_is_refused(rotation, translation):
    with pytest.raises(InputError, match=r"search: found a range of .* expected 0 to 180 degrees"):
        Range(rotation, translation)


def c_arm(primary: float):
    return CArm(
        source_to_detector_mm=1000,
        source_to_isocentre_mm=700,
        pixel_mm=(1, 1),
        size=(100, 100),
        rao_lao_deg=primary,
        cra_cau_deg=5,
    ).camera()


@pytest.mark.parametrize("angles", [(0,), (0, 60), (0, 60, 90)])
def test_a_ct_of_which_nothing_is_known_faces_the_views(angles):
    cameras = [c_arm(angle) for angle in angles]
    pose = default_pose_at_isocentre(cameras, CENTROID)
    np.testing.assert_array_equal(pose[:3, :3], np.eye(3))
    np.testing.assert_allclose(rigid.transform_points(pose, CENTROID), 0, atol=0.01)
