"""One pose from the predictions of several views, against known poses and scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.regressor.fusion import (
    LandmarkVotes,
    PoseEstimate,
    descend,
    distinct,
    fuse,
    geometry_covariance,
    motion,
    moved,
)
from MultiViewRegistrationLib.regressor.test_time_augmentation import CORNER_AUGMENTATIONS, Augmentation

CENTROID = np.array([12.0, -30.0, 45.0])
NOMINAL = rigid.from_rotation_translation(rigid.exp_so3([0.1, -0.2, 0.05]), [-20.0, 35.0, -40.0])
SPREAD = np.repeat([0.25, 30.0], 3)
LANDMARKS, OBSERVERS = 24, 64


def camera(angle_deg: float, mirrored: bool = False) -> Camera:
    """64 x 64 pixels of a C-arm, its principal point off the centre."""
    return CArm(
        source_to_detector_mm=1020,
        source_to_isocentre_mm=700,
        pixel_mm=(4.64, 4.64),
        size=(64, 64),
        principal_point=(33.0, 29.5),
        rao_lao_deg=angle_deg,
        cra_cau_deg=4,
        mirrored=mirrored,
    ).camera()


def landmarks(rng: np.random.Generator) -> np.ndarray:
    return CENTROID + rng.uniform(-100, 100, (LANDMARKS, 3))


def some_pose(rng: np.random.Generator) -> np.ndarray:
    return moved(NOMINAL, rng.uniform(-1, 1, 6) * SPREAD, CENTROID)


def votes(
    view: Camera,
    points: np.ndarray,
    pose: np.ndarray,
    rng: np.random.Generator,
    noise_px: float = 0.0,
    wrong: float = 0.0,
) -> LandmarkVotes:
    """LandmarkVotes with a Laplace distribution of this scale about the truth, a share of them anywhere, all as sure of themselves."""
    true = view.project(rigid.transform_points(pose, points))[:, None]
    direction = rng.normal(size=(LANDMARKS, OBSERVERS, 2))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    positions = true + noise_px * rng.gamma(2, size=(LANDMARKS, OBSERVERS, 1)) * direction
    lost = rng.random((LANDMARKS, OBSERVERS)) < wrong
    positions[lost] = rng.uniform(-40, 104, (int(lost.sum()), 2))
    return LandmarkVotes(
        view,
        points,
        CENTROID,
        positions,
        np.full((LANDMARKS, OBSERVERS), max(noise_px, 0.1)),
        worth=LANDMARKS * OBSERVERS,
    )


def error_mm(pose: np.ndarray, true: np.ndarray, points: np.ndarray) -> float:
    return float(
        np.linalg.norm(rigid.transform_points(pose, points) - rigid.transform_points(true, points), axis=1).mean()
    )


VIEWS = {
    "one view": [camera(0)],
    "one mirrored view": [camera(5, mirrored=True)],
    "two views": [camera(0), camera(90)],
    "two mirrored views": [camera(0, mirrored=True), camera(90, mirrored=True)],
    "three views": [camera(0), camera(60), camera(-50)],
}


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_perfect_votes_give_the_pose(views):
    rng = np.random.default_rng(0)
    for _ in range(5):
        points, true = landmarks(rng), some_pose(rng)
        first, *others = fuse([votes(view, points, true, rng) for view in views], CENTROID, NOMINAL)
        assert error_mm(first.world_from_ct, true, points) < 0.02
        assert first.agree and not others
        assert first.views == tuple(range(len(views)))


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_a_third_of_the_votes_may_be_wrong(views):
    rng = np.random.default_rng(1)
    for _ in range(5):
        points, true = landmarks(rng), some_pose(rng)
        found = fuse([votes(view, points, true, rng, noise_px=0.5, wrong=0.33) for view in views], CENTROID, NOMINAL)
        assert error_mm(found[0].world_from_ct, true, points) < (6.0 if len(views) == 1 else 0.7)


def test_the_minimum_is_that_of_scipy():
    """The same cost, as a sum of squares of square roots, projected by the camera's own method."""
    rng = np.random.default_rng(2)
    points, true = landmarks(rng), some_pose(rng)
    views = [votes(view, points, true, rng, noise_px=1.5, wrong=0.1) for view in VIEWS["two mirrored views"]]

    def roots(twist: np.ndarray) -> np.ndarray:
        world = rigid.transform_points(moved(true, twist * SPREAD, CENTROID), points)
        off = [
            np.linalg.norm(view.positions - view.camera.project(world)[:, None], axis=-1) / view.scales
            for view in views
        ]
        return np.sqrt(np.maximum(off, 1e-6)).ravel()

    expected = moved(true, least_squares(roots, np.zeros(6), x_scale=0.01, xtol=1e-9).x * SPREAD, CENTROID)
    found = fuse(views, CENTROID, NOMINAL)[0]
    assert error_mm(found.world_from_ct, expected, points) < 0.05
    assert error_mm(found.world_from_ct, true, points) > 0.06, (
        "the votes' noise must move the minimum, or this test is idle"
    )


def test_surer_votes_count_for_more():
    rng = np.random.default_rng(3)
    points, true = landmarks(rng), some_pose(rng)
    view = votes(camera(0), points, true, rng, noise_px=6.0)
    good = votes(camera(0), points, true, rng, noise_px=0.3)
    half = np.arange(OBSERVERS) < OBSERVERS // 4
    scales = np.broadcast_to(np.where(half, 0.3, 6.0), view.scales.shape)
    mixed = replace(view, positions=np.where(half[:, None], good.positions, view.positions), scales=scales)
    blind = replace(mixed, scales=np.ones_like(mixed.scales))
    knowing, unknowing = (error_mm(fuse([v], CENTROID, NOMINAL)[0].world_from_ct, true, points) for v in (mixed, blind))
    assert knowing < 0.5 * unknowing


def test_the_covariance_is_that_of_the_answers():
    """Of votes that err independently, as they say."""
    rng = np.random.default_rng(4)
    points, true = landmarks(rng), NOMINAL
    views = VIEWS["two views"]
    found = [
        fuse([votes(view, points, true, rng, noise_px=1.0) for view in views], CENTROID, NOMINAL)[0] for _ in range(60)
    ]
    assert 0.7 * 6 < np.mean([answer.squared_error(true, CENTROID) for answer in found]) < 1.4 * 6


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_look_is_the_image_turned_scaled_and_shifted(mirrored):
    """About the principal point, by the angle and share that it says, whatever lies where."""
    view, look, rng = camera(20, mirrored), Augmentation(0.1, -0.2, 15.0, 1.1), np.random.default_rng(10)
    points = landmarks(rng)
    seen = view.project(rigid.transform_points(NOMINAL, points)) - view.intrinsics[:2, 2]
    angle = np.radians(15.0) * np.sign(view.intrinsics[0, 0])
    turned = 1.1 * seen @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = turned + view.intrinsics[:2, 2] + np.array([0.1, -0.2]) * view.size
    looked_at = look.camera(view, view)
    np.testing.assert_allclose(looked_at.project(rigid.transform_points(NOMINAL, points)), expected, atol=1e-6)
    np.testing.assert_allclose(looked_at.source, view.source, atol=1e-9)


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_looks_at_one_x_ray_are_joined_where_they_show_the_same(views):
    rng = np.random.default_rng(11)
    points, true = landmarks(rng), some_pose(rng)
    joined = []
    for view in views:
        first, *others = (
            votes(look.camera(view, view), points, true, rng) for look in (Augmentation(), *CORNER_AUGMENTATIONS)
        )
        joined.append(first.joined(others))
    found = fuse(joined, CENTROID, NOMINAL)[0]
    assert error_mm(found.world_from_ct, true, points) < 0.02
    alone = fuse([votes(view, points, true, rng) for view in views], CENTROID, NOMINAL)[0]
    np.testing.assert_allclose(found.covariance, alone.covariance, rtol=0.1, err_msg="five looks tell no more than one")


def test_what_looks_err_in_one_by_one_is_less_in_all():
    rng = np.random.default_rng(12)
    points = landmarks(rng)
    alone, together = [], []
    for _ in range(20):
        true, view = some_pose(rng), camera(0)
        said = []
        for look in (Augmentation(), *CORNER_AUGMENTATIONS):
            wrong = moved(true, rng.normal(size=6) * [0.02, 0.02, 0.02, 4, 4, 4], CENTROID)
            said.append(votes(look.camera(view, view), points, wrong, rng, noise_px=0.5))
        alone.append(error_mm(fuse(said[:1], CENTROID, NOMINAL)[0].world_from_ct, true, points))
        together.append(error_mm(fuse([said[0].joined(said[1:])], CENTROID, NOMINAL)[0].world_from_ct, true, points))
    assert np.mean(together) < 0.7 * np.mean(alone)


@pytest.mark.parametrize("outlier", range(3))
def test_of_three_views_one_may_be_wrong(outlier):
    rng = np.random.default_rng(5 + outlier)
    for _ in range(5):
        points, true = landmarks(rng), some_pose(rng)
        wrong = moved(true, rng.choice([-1, 1], 6) * [0.2, 0.2, 0.2, 25, 25, 25], CENTROID)
        poses = [wrong if n == outlier else true for n in range(3)]
        views = [votes(view, points, pose, rng, noise_px=0.7) for view, pose in zip(VIEWS["three views"], poses)]
        first = fuse(views, CENTROID, NOMINAL)[0]
        assert first.agree and first.views == tuple(n for n in range(3) if n != outlier)
        assert error_mm(first.world_from_ct, true, points) < 1


def test_of_two_views_that_disagree_both_are_candidates():
    rng = np.random.default_rng(8)
    points, true = landmarks(rng), some_pose(rng)
    wrong = moved(true, np.array([0.3, -0.3, 0.2, 40, -30, 30]), CENTROID)
    first, second = VIEWS["two views"]
    found = fuse([votes(first, points, true, rng, 0.5), votes(second, points, wrong, rng, 0.5)], CENTROID, NOMINAL)
    assert not found[0].agree and found[0].views == (0, 1)
    assert {candidate.views for candidate in found[1:]} == {(0,), (1,)}
    assert min(error_mm(candidate.world_from_ct, true, points) for candidate in found) < 3


def test_two_views_are_surer_than_one():
    rng = np.random.default_rng(9)
    points, true = landmarks(rng), some_pose(rng)
    views = [votes(view, points, true, rng, noise_px=1.0) for view in VIEWS["two views"]]
    one, two = fuse(views[:1], CENTROID, NOMINAL)[0], fuse(views, CENTROID, NOMINAL)[0]
    assert two.expected_mm() < 0.5 * one.expected_mm()
    depth = one.covariance[3:, 3:] @ views[0].camera.camera_from_world[2, :3]
    assert depth @ views[0].camera.camera_from_world[2, :3] > 0.9 * np.trace(one.covariance[3:, 3:]), (
        "one view's depth is uncertain"
    )


def guess(true: np.ndarray, error: np.ndarray, covariance: np.ndarray) -> PoseEstimate:
    return PoseEstimate(moved(true, error, CENTROID), covariance, CENTROID)


def covariance_of(rng: np.random.Generator) -> np.ndarray:
    """Long in some direction: an axis of a few degrees or 30 mm, others a tenth of that."""
    A = np.linalg.qr(rng.normal(size=(6, 6)))[0] * rng.uniform(0.1, 1, 6)
    return (A @ A.T) * np.outer(np.repeat([0.05, 20], 3), np.repeat([0.05, 20], 3))


def test_the_mean_of_guesses_is_that_of_scipy():
    rng = np.random.default_rng(10)
    true = some_pose(rng)
    covariances = [covariance_of(rng) for _ in range(3)]
    views = [guess(true, rng.multivariate_normal(np.zeros(6), c), c) for c in covariances]
    roots = [np.linalg.cholesky(np.linalg.inv(c)).T for c in covariances]

    def residuals(twist: np.ndarray) -> np.ndarray:
        pose = moved(true, twist * SPREAD, CENTROID)
        return np.concatenate([root @ motion(pose, view.world_from_ct, CENTROID) for root, view in zip(roots, views)])

    answer = least_squares(residuals, np.zeros(6), xtol=1e-14, ftol=1e-14)
    expected = moved(true, answer.x * SPREAD, CENTROID)
    found = fuse(views, CENTROID, NOMINAL)[0]
    assert found.agree
    assert np.abs(motion(found.world_from_ct, expected, CENTROID) / SPREAD).max() < 1e-4
    information = np.diag(1 / SPREAD) @ answer.jac.T @ answer.jac @ np.diag(1 / SPREAD)
    expected = np.linalg.inv(information)
    sd = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found.covariance / np.outer(sd, sd), expected / np.outer(sd, sd), atol=0.03)


def test_a_wrong_guess_among_three_is_thrown_out():
    rng = np.random.default_rng(11)
    true, small = some_pose(rng), np.diag(np.repeat([0.02, 3.0], 3) ** 2)
    views = [guess(true, rng.multivariate_normal(np.zeros(6), small), small) for _ in range(2)]
    views.insert(1, guess(true, np.array([0.5, 0, -0.3, 60, 0, 0]), small))
    first = fuse(views, CENTROID, NOMINAL)[0]
    assert first.agree and first.views == (0, 2)
    delta = motion(first.world_from_ct, true, CENTROID)
    assert np.abs(delta / np.repeat([0.02, 3.0], 3)).max() < 3


def test_derivatives_are_those_of_finite_differences():
    rng = np.random.default_rng(12)
    points, true = landmarks(rng), some_pose(rng)
    for evidence in (
        votes(camera(20, mirrored=True), points, true, rng, noise_px=3.0),
        guess(true, 0.2 * SPREAD, covariance_of(rng)),
        guess(true, 3 * SPREAD, covariance_of(rng)),
    ):
        poses = np.stack([moved(true, rng.normal(0, 0.1, 6) * SPREAD, CENTROID) for _ in range(3)])
        right = evidence.at(poses).right
        for axis in range(6):
            step = 2e-3 * SPREAD[axis] * np.eye(6)[axis]
            up, down = (
                evidence.at(moved(poses, np.broadcast_to(sign * step, (3, 6)), CENTROID)).cost for sign in (1, -1)
            )
            expected = (down - up) / (4e-3 * SPREAD[axis])
            np.testing.assert_allclose(right[:, axis], expected, rtol=0.03, atol=0.03 * np.abs(expected).max())


def test_a_view_of_uncertain_geometry_counts_by_so_much():
    rng = np.random.default_rng(13)
    points, true = landmarks(rng), some_pose(rng)
    off = rigid.exp_se3([0.06, 0.05, -0.06, 10.0, -12.0, 8.0])
    first, second = VIEWS["two views"]
    taken = Camera(second.intrinsics, second.camera_from_world @ off, second.size)
    said = [votes(first, points, true, rng, 0.5), replace(votes(taken, points, true, rng, 0.5), camera=second)]
    trusting = fuse(said, CENTROID, NOMINAL)
    wary = fuse(said, CENTROID, NOMINAL, [None, geometry_covariance(4.0, 10.0, CENTROID, NOMINAL)])
    lost = fuse(said, CENTROID, NOMINAL, [None, geometry_covariance(None, None, CENTROID, NOMINAL)])
    alone = fuse(said[:1], CENTROID, NOMINAL)
    assert not trusting[0].agree and wary[0].agree
    assert error_mm(wary[0].world_from_ct, true, points) < error_mm(trusting[0].world_from_ct, true, points)
    assert error_mm(lost[0].world_from_ct, alone[0].world_from_ct, points) < 1.0
    assert geometry_covariance(0.0, 0.0, CENTROID, NOMINAL) is None


def test_slack_is_the_covariance_of_cameras_that_are_off():
    rng = np.random.default_rng(14)
    seen = []
    for _ in range(4000):
        off = rigid.from_rotation_translation(rigid.exp_so3(np.radians(rng.normal(0, 2.0, 3))), rng.normal(0, 5.0, 3))
        seen.append(motion(NOMINAL, off @ NOMINAL, CENTROID))
    expected = geometry_covariance(2.0, 5.0, CENTROID, NOMINAL)
    sd = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(np.cov(np.stack(seen).T) / np.outer(sd, sd), expected / np.outer(sd, sd), atol=0.08)


def test_far_starts_arrive():
    rng = np.random.default_rng(15)
    points, true = landmarks(rng), some_pose(rng)
    evidence = [votes(view, points, true, rng, noise_px=0.5) for view in VIEWS["two views"]]
    starts = np.stack([moved(true, rng.uniform(-1, 1, 6) * np.repeat([0.6, 80], 3), CENTROID) for _ in range(20)])
    poses, costs, _ = descend(evidence, starts, CENTROID)
    assert max(error_mm(pose, true, points) for pose in poses) < 0.5
    assert np.ptp(costs) < 0.01 * costs.min()


def test_candidates_are_distinct():
    rng = np.random.default_rng(16)
    points, true = landmarks(rng), some_pose(rng)
    found = fuse([votes(view, points, true, rng, 0.1) for view in VIEWS["three views"]], CENTROID, NOMINAL)
    again = [
        replace(found[0], world_from_ct=moved(found[0].world_from_ct, twist, CENTROID))
        for twist in np.array([[0, 0, 0, 1.0, 0, 0], [0.03, 0, 0, 0, 0, 0], [0, 0.06, 0, 0, 0, 0]])
    ]
    kept = distinct([found[0], *again], CENTROID)
    assert [candidate is other for candidate, other in zip(kept, (found[0], again[2]), strict=True)] == [True, True]
