"""The reliability features: small where a pose is right, large where it is an accident or a camera is wrong; and the map of the tiles."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.phantom import (
    TRUE_POSE,
    error_mm,
    make_slot_scan,
    make_views,
    masked,
    misplaced,
    off,
)

from MultiViewRegistrationLib.assessment.features import compute_features, split_half_mm, tension
from MultiViewRegistrationLib.assessment.metrics import default_targets, in_field, target_errors
from MultiViewRegistrationLib.assessment.risk import LIMITS
from MultiViewRegistrationLib.assessment.uncertainty import CameraResponse
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.tiles import Tiles
from MultiViewRegistrationLib.report.overlays import mask_excluding_outliers, tile_map

EXACT = CameraResponse([np.zeros((6, 6))], np.eye(6), 6, np.zeros(0))


def features_of(registered):
    anatomy, views, found, _ = registered
    pose = found.world_from_ct
    targets = default_targets(anatomy, views, pose)
    return compute_features(anatomy, found.views, found, pose, targets)


def test_a_right_pose_agrees_with_itself(registered):
    features = features_of(registered)
    assert max(features.split_half_mm, *features.single_view_shift_mm) < 0.5
    assert features.noise_mm < 0.1 and features.outlier_fraction == 0
    assert features.similarity == min(registered.found.fit.similarity)


def test_beside_the_right_pose_the_views_agree_on_where_to_go(registered):
    features = features_of(registered.at(off(TRUE_POSE, [1, 0, 1], [3, 0, 0])))
    assert features.outlier_fraction > 0.01
    assert max(features.single_view_shift_mm) < 0.5


def test_a_view_that_is_alone_has_no_shift_of_its_own(registered, anatomy, views):
    alone = features_of(registered.at(TRUE_POSE, views[:1]))
    world = rigid.transform_points(TRUE_POSE, default_targets(anatomy, views[:1], TRUE_POSE))
    depth_mm, across_mm = alone.uncertainty.at(world).split(views[0].camera)
    assert alone.single_view_shift_mm.size == 0
    assert alone.noise_mm == pytest.approx(across_mm) and across_mm < depth_mm / 3


def test_a_view_that_shows_nothing_has_no_shift_of_its_own(registered, views):
    both = registered.at(TRUE_POSE, [views[0], masked(views[1], False)])
    targets = default_targets(registered.anatomy, views, TRUE_POSE)
    shifts = compute_features(*both, targets).single_view_shift_mm
    assert np.isfinite(shifts).tolist() == [True, False]


def tiles_of(gradients, places=None, hessian=None):
    """Of one view."""
    count, ones = len(gradients), np.ones(len(gradients))
    places = np.zeros((count, 2), int) if places is None else places
    hessians = np.broadcast_to(np.zeros((6, 6)) if hessian is None else hessian, (count, 6, 6))
    return Tiles(np.zeros(count, int), places, 256 * ones, gradients, hessians, ones, ones)


def test_a_views_shift_is_told_in_standard_deviations_of_its_noise_across_the_beam(ct, registered):
    """What noise explains is hidden for exact images by the resolution of that level."""
    for noise, least, most in ((0.002, 0.98, 1.0), (0.3, 0.2, 0.5)):
        told = features_of(registered.at(TRUE_POSE, make_views(ct, noise=noise)))
        share = told.single_view_shift_sds * 0.2 / told.single_view_shift_mm
        assert (least < share).all() and (share <= most).all(), share


def test_halves_that_ask_for_other_poses_are_apart():
    """One view of tiles in a square.

    The left or upper half pulls along x, the other the other way, the checkerboard not at all.
    """
    places = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    pull = np.where(places[:, :1] < 2, 1.0, -1.0) * np.array([[0, 0, 0, 0.2, 0, 0]])
    hessian = np.diag([100.0, 100, 100, 1, 1, 1])
    split = tiles_of(pull, places, hessian)
    checks = np.where((places.sum(axis=1) % 2 == 0)[:, None], 1.0, -1.0)
    swapped = replace(split, gradients=checks * np.abs(pull))
    points = np.array([[0, 0, 0], [10.0, 0, 0]])
    for each in (split, replace(split, places=places[:, ::-1]), swapped):
        given = each, points, np.zeros(3), [np.eye(6)], 16 * hessian
        assert split_half_mm(*given, None) == pytest.approx(0.4)
        # They pull along x: nothing across the rays of a source far away in that direction.
        assert split_half_mm(*given, np.array([1e6, 0, 0])) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("tiles", [26, 400])
def test_the_score_of_views_that_agree_is_one(tiles):
    """Rao's test of gradients that are chance.

    The sample's covariance in place of the true one makes it an F variable (Hotelling 1931): its
    mean is (M - p) / (M - p - 2).
    """
    random = np.random.default_rng(8)
    mix = random.normal(size=(6, 6))
    drawn = [tiles_of(random.normal(size=(tiles, 6)) @ mix) for _ in range(400)]
    squares = [tension(split, EXACT, 1) ** 2 for split in drawn]
    assert np.mean(squares) == pytest.approx((tiles - 6) / (tiles - 8), rel=0.1)


def test_targets_are_the_bone_that_all_views_show(anatomy, ct, views):
    targets = default_targets(anatomy, views, TRUE_POSE)
    index = np.rint(rigid.transform_points(ct.volume.index_from_ct, targets)).astype(int)[:, ::-1]
    assert len(targets) > 50 and np.mean(ct.volume.values[tuple(index.T)] > 100) > 0.8
    narrow = [views[0], masked(views[1], np.arange(128) > 63)]
    world = rigid.transform_points(TRUE_POSE, default_targets(anatomy, narrow, TRUE_POSE))
    assert len(world) > 10 and (views[1].camera.project(world)[:, 0] > 63).all()
    assert in_field(narrow, world).all()


@pytest.mark.parametrize("count, told", [(9, 0), (10, 10)])
def test_fewer_than_ten_targets_are_none_to_speak_of(anatomy, views, count, told):
    bone = anatomy.bone_points()
    seen = in_field(views, rigid.transform_points(TRUE_POSE, bone)).all(axis=0)
    few = SimpleNamespace(bone_points=lambda: bone[seen][:count])
    assert len(default_targets(few, views, TRUE_POSE)) == told


def test_what_lies_behind_the_source_is_not_in_the_field(anatomy, views):
    behind = anatomy.bone_points() + 5 * views[0].camera.source
    assert not in_field(views[:1], behind).any()


def with_tool(view, column, row):
    """The view with a rod of metal about a pixel, 16 pixels long."""
    image = view.xray.line_integrals.copy()
    image[row - 8 : row + 8, column - 3 : column + 3] += 2.0
    image[row - 2 : row + 2, column - 8 : column + 8] += 2.0
    return replace(view, xray=XRay(image, view.xray.valid))


def marked(features, views, view):
    """(rows, columns) bool on the X-ray's pixels: what the map of a view marks."""
    picture = tile_map(views[view].xray, features.tiles(view)).astype(int)
    assert picture.shape == (*views[view].xray.valid.shape, 3)
    return picture[..., 0] - picture[..., 2] > 40


def test_a_tool_is_marked_and_left_out_and_nothing_else(registered, views):
    spoilt = [views[0], with_tool(views[1], 56, 72)]
    features = features_of(registered.at(TRUE_POSE, spoilt))
    assert not marked(features, spoilt, 0).any() and marked(features, spoilt, 1)[72, 56]
    rows, columns = np.nonzero(marked(features, spoilt, 1))
    assert np.abs(rows - 72).max() < 32 and np.abs(columns - 56).max() < 32
    kept = [mask_excluding_outliers(view.xray, features.tiles(n)) for n, view in enumerate(spoilt)]
    assert kept[0].all() and not kept[1][66:78, 52:60].any() and kept[1].mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("times, least_mm", [(1, 0.5), (6, 4)])
def test_the_disagreement_is_how_far_off_a_turned_camera_makes_the_pose(
    registered, views, times, least_mm
):
    """Of a camera that is turned by little, and by so much that a Newton step ends too early."""
    assert features_of(registered).disagreement < LIMITS.disagree / 2
    turn, shift = times * np.array([0.5, 0.3, -0.5]), times * np.array([0.6, -0.5, 0.8])
    wrong = registered.of([views[0], misplaced(views[1], turn, shift)])
    told, pose = features_of(wrong), wrong.found.world_from_ct
    targets = default_targets(wrong.anatomy, wrong.views, pose)
    off_mm = np.sqrt(np.mean(target_errors(pose, TRUE_POSE, targets) ** 2))
    assert told.disagreement > LIMITS.disagree and off_mm > least_mm
    assert told.disagreement_mm == pytest.approx(off_mm, abs=0.4, rel=0.1)


@pytest.mark.quick_variants("False")
@pytest.mark.parametrize("slot_scans", [False, True])
def test_a_ct_of_another_size_is_not_taken_for_a_motion(ct, registered, views, slot_scans):
    size = rigid.about(registered.anatomy.centroid, np.diag([1.02, 1.02, 1.02, 1.0]))
    volume = replace(ct.volume, ct_from_index=size @ ct.volume.ct_from_index)
    larger = registered._replace(anatomy=PreparedCT(replace(ct, volume=volume)))
    scans = [make_slot_scan(ct, degrees) for degrees in (0, 80)]
    larger = larger.of(scans if slot_scans else views)
    told, pose = features_of(larger), larger.found.world_from_ct
    assert told.disagreement > LIMITS.disagree and error_mm(pose) < 2
    if slot_scans:  # which would take a motion of 15 mm for it
        assert told.disagreement_mm < 4
    else:
        targets = default_targets(larger.anatomy, views, pose)
        from_middle = np.linalg.norm(targets - targets.mean(axis=0), axis=1)
        assert told.disagreement_by_size
        assert told.disagreement_mm == pytest.approx(
            0.02 * np.sqrt(np.mean(from_middle**2)), rel=0.25
        )
