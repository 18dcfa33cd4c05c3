"""One pose from the predictions of several views, against known poses and scipy."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.finite_differences import changes
from helpers.phantom import c_arm, slot_scan_of
from numpy.testing import assert_allclose
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import SlotScan
from MultiViewRegistrationLib.regressor.fusion import (
    LandmarkVotes,
    PoseEstimate,
    fuse,
    geometry_covariance,
    moved,
)
from MultiViewRegistrationLib.regressor.images import Window
from MultiViewRegistrationLib.regressor.network import Augmentation

CENTROID = np.array([12.0, -30.0, 45.0])
NOMINAL = rigid.turn_and_shift([0.1, -0.2, 0.05], [-20.0, 35.0, -40.0])
SPREAD = np.repeat([0.25, 30.0], 3)
LANDMARKS, OBSERVERS = 24, 64


def camera(angle_deg, mirrored=False):
    """64 x 64 pixels of a C-arm, its principal point off the centre."""
    return c_arm(
        angle_deg,
        4,
        source_to_detector_mm=1020,
        mirrored=mirrored,
        pixel_mm=(4.64, 4.64),
        size=(64, 64),
        principal_point=(33.0, 29.5),
    )


def slot_scan(angle_deg):
    """64 x 64 pixels of a slot scan."""
    scan = SlotScan(**slot_scan_of(angle_deg)).camera()
    return Window.of(
        scan, rigid.transform_points(NOMINAL, CENTROID + 100 * np.stack([-np.ones(3), np.ones(3)]))
    ).camera


VIEWS = {
    "one view": [camera(0)],
    "two views": [camera(0), camera(90)],
    "two mirrored views": [camera(0, mirrored=True), camera(90, mirrored=True)],
    "three views": [camera(0), camera(60), camera(-50)],
    "slot scan and C-arm": [slot_scan(0), camera(90)],
}


def random_pose(seed):
    """Random numbers, landmarks, and a pose."""
    rng = np.random.default_rng(seed)
    points = CENTROID + rng.uniform(-100, 100, (LANDMARKS, 3))
    return rng, points, moved(NOMINAL, rng.uniform(-1, 1, 6) * SPREAD, CENTROID)


def votes(view, points, pose, rng, noise_px=0.0, wrong=0.0):
    """Votes with a Laplace distribution of this scale about the truth, a share of them anywhere, all as sure of themselves."""
    true = view.project(rigid.transform_points(pose, points)).T[..., None]
    direction = rng.normal(size=(2, LANDMARKS, OBSERVERS))
    direction /= np.linalg.norm(direction, axis=0)
    positions = true + noise_px * rng.gamma(2, size=(LANDMARKS, OBSERVERS)) * direction
    lost = rng.random((LANDMARKS, OBSERVERS)) < wrong
    positions[:, lost] = rng.uniform(-40, 104, (2, int(lost.sum())))
    scales = np.full((LANDMARKS, OBSERVERS), max(noise_px, 0.1))
    return LandmarkVotes(view, points, CENTROID, positions, scales, worth=LANDMARKS * OBSERVERS)


def fused(said, *more):
    return fuse([*said], CENTROID, NOMINAL, *more)


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_perfect_votes_give_the_pose_and_a_third_may_be_wrong(views):
    for seed in range(2):
        rng, points, true = random_pose(seed)
        first, *others = fused(votes(view, points, true, rng) for view in views)
        assert mtre(first.world_from_ct, true, points) < 0.02
        assert first.agree is True and not others  # for JSON, no bool of NumPy
        assert first.views == tuple(range(len(views)))
        found = fused(votes(view, points, true, rng, 0.5, wrong=0.33) for view in views)[0]
        assert mtre(found.world_from_ct, true, points) < (6.0 if len(views) == 1 else 0.7)


def test_the_minimum_is_that_of_scipy():
    """The same cost, as a sum of squares of square roots, projected by the camera's own method.

    Some votes are surer than others.
    """
    rng, points, true = random_pose(2)
    views = []
    for view in VIEWS["two mirrored views"]:
        said = votes(view, points, true, rng, noise_px=1.5, wrong=0.1)
        views.append(replace(said, scales=said.scales * rng.uniform(0.5, 2, said.scales.shape)))

    def at(twist):
        return moved(true, twist * SPREAD, CENTROID)

    def roots(twist):
        world, costs = rigid.transform_points(at(twist), points), []
        for view in views:
            off = view.positions - view.camera.project(world).T[..., None]
            costs.append(np.linalg.norm(off, axis=0) / view.scales)
        return np.sqrt(np.maximum(costs, 1e-6)).ravel()

    expected = at(least_squares(roots, np.zeros(6), x_scale=0.01, xtol=1e-9).x)
    assert mtre(fused(views)[0].world_from_ct, expected, points) < 0.05
    assert mtre(expected, true, points) > 0.06, "the noise must move the minimum"


@pytest.mark.slow
def test_the_covariance_is_that_of_the_answers():
    """Of votes that err independently, as they say."""
    rng, points, _ = random_pose(4)
    errors = []
    for _ in range(30):
        said = fused(votes(view, points, NOMINAL, rng, 1.0) for view in VIEWS["two views"])
        errors.append(said[0].squared_error(NOMINAL, CENTROID))
    assert 0.7 * 6 < np.mean(errors) < 1.4 * 6


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_augmentation_is_the_image_turned_scaled_and_shifted(mirrored):
    """About the principal point, by the angle and share that it says, whatever lies where."""
    view, points = camera(20, mirrored), random_pose(10)[1]
    world, centre = rigid.transform_points(NOMINAL, points), view.intrinsics[:2, 2]
    angle = 15.0 * np.sign(view.intrinsics[0, 0])
    turn = Rotation.from_euler("z", -angle, degrees=True).as_matrix()[:2, :2]
    shift = np.array([0.1, -0.2]) * view.size
    expected = 1.1 * (view.project(world) - centre) @ turn + centre + shift
    augmented = Augmentation(0.1, -0.2, 15.0, 1.1).camera(view, view)
    assert_allclose(augmented.project(world), expected, atol=1e-6)
    assert_allclose(augmented.source, view.source, atol=1e-9)


@pytest.mark.parametrize("outlier", range(3))
def test_of_three_views_one_may_be_wrong(outlier):
    rng, points, true = random_pose(5)
    wrong = moved(true, rng.choice([-1, 1], 6) * [0.2, 0.2, 0.2, 25, 25, 25], CENTROID)
    views = zip(VIEWS["three views"], [wrong if n == outlier else true for n in range(3)])
    first = fused(votes(view, points, pose, rng, 0.7) for view, pose in views)[0]
    assert first.agree and first.views == tuple(n for n in range(3) if n != outlier)
    assert mtre(first.world_from_ct, true, points) < 1


def test_of_two_views_that_disagree_both_are_candidates():
    rng, points, true = random_pose(8)
    wrong = moved(true, np.array([0.3, -0.3, 0.2, 40, -30, 30]), CENTROID)
    views = zip(VIEWS["two views"], (true, wrong))
    found = fused(votes(view, points, pose, rng, 0.5) for view, pose in views)
    assert found[0].agree is False and found[0].views == (0, 1)
    assert {candidate.views for candidate in found[1:]} == {(0,), (1,)}
    assert min(mtre(candidate.world_from_ct, true, points) for candidate in found) < 3


def guess(true, error, covariance):
    return PoseEstimate(moved(true, error, CENTROID), covariance, CENTROID)


def covariance_of(rng):
    """Long in some direction: an axis of a few degrees or 30 mm, others a tenth of that."""
    A = np.linalg.qr(rng.normal(size=(6, 6)))[0] * rng.uniform(0.1, 1, 6)
    return (A @ A.T) * np.outer(np.repeat([0.05, 20], 3), np.repeat([0.05, 20], 3))


def test_the_mean_of_guesses_is_that_of_scipy():
    rng, _, true = random_pose(10)
    covariances = [covariance_of(rng) for _ in range(3)]
    views = [guess(true, rng.multivariate_normal(np.zeros(6), c), c) for c in covariances]
    roots = [np.linalg.cholesky(np.linalg.inv(c)).T for c in covariances]

    def residuals(twist):
        pose = moved(true, twist * SPREAD, CENTROID)
        off = [rigid.motion(pose, view.world_from_ct, CENTROID) for view in views]
        return np.concatenate([root @ each for root, each in zip(roots, off)])

    answer = least_squares(residuals, np.zeros(6), xtol=1e-14, ftol=1e-14)
    expected, found = moved(true, answer.x * SPREAD, CENTROID), fused(views)[0]
    assert found.agree
    assert np.abs(rigid.motion(found.world_from_ct, expected, CENTROID) / SPREAD).max() < 1e-4
    by_twist = answer.jac / SPREAD
    expected = np.linalg.inv(by_twist.T @ by_twist)
    sd = np.sqrt(np.diag(expected))
    assert_allclose(found.covariance / np.outer(sd, sd), expected / np.outer(sd, sd), atol=0.03)


def test_derivatives_are_those_of_finite_differences():
    rng, points, true = random_pose(12)
    for evidence in (
        votes(camera(20, mirrored=True), points, true, rng, noise_px=3.0),
        votes(slot_scan(20), points, true, rng, noise_px=3.0),
        guess(true, 0.2 * SPREAD, covariance_of(rng)),
        guess(true, 3 * SPREAD, covariance_of(rng)),
    ):
        poses = np.stack([moved(true, rng.normal(0, 0.1, 6) * SPREAD, CENTROID) for _ in range(3)])

        def cost(step, poses=poses, evidence=evidence):
            return evidence.at(moved(poses, np.tile(step, (3, 1)), CENTROID)).cost

        steps = np.diag(2e-3 * SPREAD)
        expected = -changes(cost, steps)
        for ours, theirs in zip(steps @ evidence.at(poses).right.T, expected):
            assert_allclose(ours, theirs, rtol=0.03, atol=0.03 * np.abs(theirs).max())


def test_an_uncertain_view_has_less_weight():
    rng, points, true = random_pose(13)
    off = rigid.exp_se3([0.06, 0.05, -0.06, 10.0, -12.0, 8.0])
    first, second = VIEWS["two views"]
    taken = replace(second, camera_from_world=second.camera_from_world @ off)
    alone = votes(first, points, true, rng, 0.5)
    said = [alone, replace(votes(taken, points, true, rng, 0.5), camera=second)]

    def known(*sd):
        return fused(said, [None, geometry_covariance(*sd, CENTROID, NOMINAL)])[0]

    trusting, wary, lost = fused(said)[0], known(4.0, 10.0), known(None, None)
    assert not trusting.agree and wary.agree
    off_mm = [mtre(each.world_from_ct, true, points) for each in (wary, trusting)]
    assert off_mm == sorted(off_mm)
    assert mtre(lost.world_from_ct, fused([alone])[0].world_from_ct, points) < 1.0
    assert geometry_covariance(0.0, 0.0, CENTROID, NOMINAL) is None
