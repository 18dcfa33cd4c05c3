"""The covariance of pose and targets.

Against Monte Carlo, finite differences, and the true errors of registrations.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import CORNERS as TARGETS
from helpers.phantom import TRUE_POSE, free, make_views, off
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from MultiViewRegistrationLib.assessment.metrics import target_errors
from MultiViewRegistrationLib.assessment.uncertainty import (
    Minimum,
    PoseUncertainty,
    sandwich,
)
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns, with_cameras
from MultiViewRegistrationLib.registration.cameras import CameraCorrections
from MultiViewRegistrationLib.registration.objective import Objective
from MultiViewRegistrationLib.registration.optimizer import minimise
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.registration.tiles import tiled_fit
from MultiViewRegistrationLib.rendering.drr import Projector

PIVOT = np.array([10.0, -20.0, 30.0])
FINEST = Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5)


@pytest.fixture(scope="module")
def pose():
    """Of a rod along z: its roll is weak, and so is one direction across it."""
    random = np.random.default_rng(3)
    mix = random.normal(size=(6, 6))
    scale = np.diag([0.004, 0.004, 0.03, 0.3, 0.1, 0.1])
    return PoseUncertainty(scale @ (np.eye(6) + 0.05 * mix @ mix.T) @ scale, PIVOT)


def drawn(uncertainty, points, count=100_000):
    """(count, N, 3) errors of targets, by whole rotations."""
    twists = multivariate_normal(cov=uncertainty.covariance).rvs(count, random_state=0)
    there = (
        rigid.rotate(rigid.exp_so3(twists[:, None, :3]), points - uncertainty.pivot)
        + uncertainty.pivot
        + twists[:, None, 3:]
    )
    return there - points


def test_mean_bound_and_covariances_are_those_of_monte_carlo(pose, views):
    told, errors = pose.at(TARGETS), drawn(pose, TARGETS)
    for n in (0, 5):
        sampled = np.cov(errors[:, n].T)
        assert_allclose(told.covariances[n], sampled, rtol=0.03, atol=0.02 * np.trace(sampled))
    squares = np.sum(errors**2, axis=-1)
    rms_mm = np.sqrt(np.mean(squares, axis=-1))
    assert told.rms_mm == pytest.approx(rms(rms_mm), rel=0.01)
    assert told.mean_mm == pytest.approx(rms_mm.mean(), rel=0.04)
    assert told.bound_mm() == pytest.approx(np.quantile(rms_mm, 0.95), rel=0.02)
    assert told.bound_mm(0.5) == pytest.approx(np.quantile(rms_mm, 0.5), rel=0.03)
    mean_tre = np.sqrt(squares).mean(axis=1)  # no more than the root mean square
    assert 0.95 <= np.mean(mean_tre <= told.bound_mm()) < 0.985
    camera = views[0].camera
    rays = TARGETS - camera.source
    along = np.sum(errors * rays / np.linalg.norm(rays, axis=-1, keepdims=True), axis=-1)
    across = np.sqrt(np.mean(squares - along**2))
    assert told.split(camera) == pytest.approx((rms(along), across), rel=0.02)


def test_the_roll_about_a_shaft_is_named(pose):
    sd, axis = pose.least_certain_rotation()
    assert abs(axis[2]) > 0.99 and sd == pytest.approx(np.sqrt(pose.covariance[2, 2]), rel=0.01)


def test_what_is_not_seen_at_all_is_not_certain():
    bread = np.diag([4.0, 2.0, 0.0])
    told = sandwich(bread, np.diag([1.0, 1.0, 0.0]))
    assert_allclose(np.diag(told)[:2], [1 / 16, 1 / 4])
    assert told[2, 2] >= 1e6


def registered(ct, views, unknowns=None):
    """The minimum at the finest resolution from the true pose, and its uncertainty."""
    unknowns = unknowns or CameraCorrections.exact(views)
    objective = Objective(Projector(attenuation(ct)), views, FINEST, np.zeros(3))
    found = minimise(objective, TRUE_POSE, iterations=15, tolerance_mm=1e-3, unknowns=unknowns)
    cameras = unknowns.cameras(found.corrections, [view.camera for view in views])
    corrected = with_cameras(views, cameras)
    here = at_pose(ct, corrected, found.world_from_ct, unknowns)
    return found.world_from_ct, here.noise + here.cameras(unknowns.sd)


def test_a_camera_error_that_is_not_solved_for_moves_the_pose_as_predicted(ct):
    """By registrations with the first camera wrong by one standard deviation of each component to either side."""
    first, last = make_views(ct, ((0, 0), (80, 10)), noise=0.0)
    last = replace(last, rotation_sd_deg=1.0, translation_sd_mm=3.0)
    stated = [replace(first, distance_sd_percent=0.25), last]
    unknowns, exact = CameraCorrections(stated), CameraCorrections([first, last])
    measured = np.zeros((6, 6))
    aside = []
    for index in unknowns.considered:
        ends = []
        seen = []
        for sign in (1, -1):
            wrong = unknowns.none.copy()
            wrong[index] = sign * unknowns.sd[index]
            camera = unknowns.camera(0, wrong, first.camera)
            pose, _ = registered(ct, [replace(first, camera=camera), last], exact)
            moved_by = pose @ rigid.inverse(TRUE_POSE)
            ends.append(np.array([*rigid.log_so3(moved_by[:3, :3]), *moved_by[:3, 3]]))
            seen.append(camera.project(rigid.transform_points(pose, TARGETS)))
        aside.append((seen[0] - seen[1]) / 2 * first.camera.pixel_mm(TARGETS))
        step = (ends[0] - ends[1]) / 2
        measured += np.outer(step, step)
    noise = registered(ct, [first, last], exact)[1]
    total = registered(ct, stated, unknowns)[1]
    predicted = replace(total, joint=total.joint - noise.joint)
    at, truth = predicted.at(TARGETS), PoseUncertainty(measured, np.zeros(3)).at(TARGETS)
    assert at.rms_mm == pytest.approx(truth.rms_mm, rel=0.1) and at.rms_mm > 0.005
    least = max(0.15 * np.trace(truth.covariances[0]), 3e-5)
    assert_allclose(at.covariances, truth.covariances, atol=least)
    seen = unknowns.seen(0, unknowns.none, first.camera, predicted.pivot)
    where = predicted.in_view(rigid.transform_points(TRUE_POSE, TARGETS), first.camera, seen)
    assert where.rms_mm == pytest.approx(rms(np.linalg.norm(aside, axis=(0, 2))), rel=0.15)


def test_a_view_among_others_is_as_uncertain_as_by_itself(ct):
    """One of them ten times as noisy as the other."""
    views = [make_views(ct, size=64, noise=noise)[n] for n, noise in enumerate((0.01, 0.1))]
    pose = off(TRUE_POSE, [0.1, -0.1, 0.1], [0.2, 0.1, -0.2])

    def told(some):
        return at_pose(ct, some, pose, CameraCorrections.exact(some))

    for view, own in zip(views, told(views).by_view, strict=True):
        alone = told([view]).noise.covariance
        assert_allclose(own.covariance, alone, rtol=0.01, atol=0.01 * np.abs(alone).max())


def at_pose(ct, views, pose, unknowns):
    objective = Objective(Projector(attenuation(ct)), views, FINEST, np.zeros(3))
    return Minimum(**vars(tiled_fit(objective, pose, intrinsics=True)), unknowns=unknowns)


def test_a_view_whose_camera_is_unknown_tells_nothing_of_the_pose(ct):
    views = make_views(ct, size=64, noise=0.03)
    some = views[:1], [views[0], free(views[1])]
    one, both = (at_pose(ct, each, TRUE_POSE, CameraCorrections(each)) for each in some)
    few, many = (len(each.split.views) for each in (one, both))
    fewer = few / (few - 6) * (many - 12) / many
    alone, joint = one.noise.covariance, fewer * both.noise.covariance
    assert_allclose(joint, alone, rtol=0.02, atol=0.01 * np.abs(alone).max())


def noisy(views, sd, seed):
    """The views with noise of their own, blurred as a detector's is, so that neighbouring pixels are alike."""
    random, changed = np.random.default_rng(seed), []
    for view in views:
        noise = random.normal(size=view.xray.valid.shape)
        noise = sd * (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / np.sqrt(3)
        image = (view.xray.line_integrals + noise).astype(np.float32)
        changed.append(view.with_xray(line_integrals=image))
    return changed


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_predicted_errors_are_those_of_registrations_of_noisy_images(ct):
    views = make_views(ct, noise=0.0, size=64)
    true, told, below = [], [], []
    for seed in range(12):
        pose, uncertainty = registered(ct, noisy(views, 0.03, seed))
        at = uncertainty.at(rigid.transform_points(pose, TARGETS))
        true.append(target_errors(pose, TRUE_POSE, TARGETS))
        told.append(at.rms_mm)
        below.append(np.mean(true[-1]) <= at.bound_mm())
    assert 0.6 < rms(told) / rms(true) < 1.7 and np.mean(below) >= 0.8


def test_a_camera_of_which_hardly_anything_is_known_is_no_obstacle(ct):
    """Any angle, any place, shared unknowns of all kinds: some of it no image can tell."""
    views = make_views(ct, size=64)
    given = [view.with_xray(pixel_mm=(2.5, 2.5)) for view in views]
    given[1] = free(given[1])
    _, uncertainty = registered(ct, given, CameraCorrections(given, SharedUnknowns(10.0, 5.0, 4.0)))
    assert np.linalg.eigvalsh(uncertainty.covariance).min() > -1e-12
    assert uncertainty.at(TARGETS).rms_mm > 5 * registered(ct, views)[1].at(TARGETS).rms_mm
