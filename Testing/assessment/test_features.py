"""What a pose tells of itself: little where it is right, much where it is an accident or a camera is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_views, off

from MultiViewRegistrationLib.assessment.features import compute_features, split_half_mm
from MultiViewRegistrationLib.assessment.targets import default_targets, in_field
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.pipeline import Refinement, refine
from MultiViewRegistrationLib.registration.tiles import Tiles


def told(anatomy, views, pose, found=None):
    found = found or Refinement(pose, None, [], views, np.zeros(6))
    return compute_features(anatomy, found.views, found, pose, default_targets(anatomy, views, pose))


@pytest.fixture(scope="module")
def right(anatomy, views):
    found = refine(anatomy, views, off(TRUE_POSE, [1, 1, 1], [2, 1, 2]))
    assert error_mm(found.world_from_ct) < 0.1
    return found, told(anatomy, views, found.world_from_ct, found)


def test_a_right_pose_agrees_with_itself(right):
    found, features = right
    assert max(features.wider_mm, features.split_half_mm, *features.single_view_shift_mm) < 0.5
    assert features.noise_mm < 0.1 and features.outlier_fraction == 0.0
    assert features.basin_shift_mm == 0
    assert features.similarity == min(found.fit.similarity)
    assert features.compared > 0.3


def test_a_pose_beside_the_right_one_moves_on(anatomy, views):
    features = told(anatomy, views, off(TRUE_POSE, [1, 0, 1], [3, 0, 0]))
    assert features.wider_mm > 1 and features.basin_shift_mm > 1
    assert (
        features.outlier_fraction > 0.01 and max(features.single_view_shift_mm) < 0.5
    )  # the views agree on where to go


def test_a_wrong_camera_makes_the_views_disagree(anatomy, views):
    camera = replace(
        views[1].camera, camera_from_world=views[1].camera.camera_from_world @ off(np.eye(4), [4, 3, -4], [0, 3, 6])
    )
    wrong = [views[0], replace(views[1], camera=camera)]
    found = refine(anatomy, wrong, TRUE_POSE)
    features = told(anatomy, wrong, found.world_from_ct, found)
    assert error_mm(found.world_from_ct) > 1
    assert max(features.single_view_shift_mm) > 1


def test_one_view_has_nobody_to_disagree_with(anatomy, views):
    assert told(anatomy, views[:1], TRUE_POSE).single_view_shift_mm.size == 0


def test_a_view_that_shows_nothing_has_no_pose_of_its_own(anatomy, views):
    blind = replace(views[1], xray=XRay(views[1].xray.line_integrals, np.zeros(views[1].xray.valid.shape, bool)))
    targets = default_targets(anatomy, views, TRUE_POSE)
    features = compute_features(
        anatomy, [views[0], blind], Refinement(TRUE_POSE, None, [], [views[0], blind], np.zeros(6)), TRUE_POSE, targets
    )
    assert np.isinf(features.single_view_shift_mm[1]) and np.isfinite(features.single_view_shift_mm[0])


def test_halves_that_ask_for_other_poses_are_apart():
    """One view of tiles in a square; the left half pulls along x, the right half the other way, the checkerboard not at all."""
    places = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    pull = np.where(places[:, :1] < 2, 1.0, -1.0) * np.array([[0, 0, 0, 0.2, 0, 0]])
    hessian, ones = np.diag([100.0, 100, 100, 1, 1, 1]), np.ones(16)
    split = Tiles(np.zeros(16, int), places, 256 * ones, pull, np.broadcast_to(hessian, (16, 6, 6)), ones, ones)
    points = np.array([[0, 0, 0], [10.0, 0, 0]])
    assert split_half_mm(split, points, np.zeros(3), [np.eye(6)], 16 * hessian) == pytest.approx(0.4)
    swapped = replace(split, gradients=np.where((places.sum(axis=1) % 2 == 0)[:, None], 1.0, -1.0) * np.abs(pull))
    assert split_half_mm(swapped, points, np.zeros(3), [np.eye(6)], 16 * hessian) == pytest.approx(0.4)


def test_targets_are_the_bone_that_all_views_show(anatomy, ct, views):
    targets = default_targets(anatomy, views, TRUE_POSE)
    assert len(targets) > 50
    index = np.rint(rigid.transform_points(ct.volume.index_from_ct, targets)).astype(int)[:, ::-1]
    assert np.mean(ct.volume.values[tuple(index.T)] > 100) > 0.8
    half = views[1].xray.valid.copy()
    half[:, :64] = False
    narrow = [views[0], replace(views[1], xray=XRay(views[1].xray.line_integrals, half))]
    fewer = default_targets(anatomy, narrow, TRUE_POSE)
    assert len(fewer) > 10
    world = rigid.transform_points(TRUE_POSE, fewer)
    assert (views[1].camera.project(world)[:, 0] > 63).all()
    np.testing.assert_array_equal(in_field(narrow, world), True)


def test_without_bone_in_the_fields_there_are_no_targets(anatomy, ct):
    views = make_views(ct, ((0, 0), (90, 0)), size=32)
    assert len(default_targets(anatomy, views, off(TRUE_POSE, [0, 0, 0], [0, 0, 400]))) == 0
    behind = rigid.from_rotation_translation(np.eye(3), 5 * views[0].camera.source)
    assert not in_field(views[:1], rigid.transform_points(behind, anatomy.bone_points())).any()
