"""Cameras are fitted to points of known place, and their uncertainty is that of their errors."""

import numpy as np
import pytest
from helpers.bead_scene import PHANTOM, random_camera
from numpy.testing import assert_allclose

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.bead_cameras import (
    Intrinsics,
    Observation,
    bundle,
    changed,
    derivatives,
    free_intrinsics,
)
from MultiViewRegistrationLib.io.points import read_bead_model

MODEL = read_bead_model(PHANTOM).points
SD_PX = 0.08


def seen_by(camera, rng, points=MODEL, sd=SD_PX):
    noise = rng.normal(0, sd, (len(points), 2)) if sd else 0.0
    return Observation(points, camera.project(points) + noise, np.full(len(points), SD_PX))


def off_px(camera, true, points):
    return np.linalg.norm(camera.project(points) - true.project(points), axis=1)


def test_derivatives_are_finite_differences():
    camera = random_camera(np.random.default_rng(0), mirrored=True)
    pivot = rigid.transform_points(camera.camera_from_world, MODEL.mean(axis=0))
    J = derivatives(camera, MODEL, pivot)
    for column, step in enumerate(np.array([1e-6] * 3 + [1e-4] * 3 + [1e-6] + [1e-3] * 2)):
        ends = [
            changed(camera, sign * step * np.eye(9)[column], pivot).project(MODEL).ravel()
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert_allclose(J[:, column], slope, rtol=1e-5, atol=1e-4 * np.abs(slope).max())


@pytest.mark.slow
def test_the_uncertainty_is_that_of_the_errors():
    rng = np.random.default_rng(6)
    true = random_camera(rng)
    errors, formal = [], []
    for _ in range(20):
        fit = bundle([seen_by(true, rng)], [true], free_intrinsics(true.size))
        errors.append(np.mean(off_px(fit.cameras[0], true, fit.places(0)) ** 2))
        formal.append(fit.sd_px(0))
    assert 0.7 < np.sqrt(np.mean(errors)) / np.mean(formal) < 1.4


def test_the_equivalent_uncertainty_moves_points_as_much_as_the_whole():
    rng = np.random.default_rng(7)
    true = random_camera(rng)
    fit = bundle([seen_by(true, rng)], [true], free_intrinsics(true.size))
    sd = fit.equivalent(0)
    assert sd["distance_sd_percent"] == 0
    assert 0 < sd["rotation_sd_deg"] < 0.1 and 0 < sd["translation_sd_mm"] < 0.5
    # Principal point and pose make up for each other: what is left is far less than either.
    assert sd["principal_point_sd_px"] < 0.05 * np.sqrt(fit.covariance_of(0)[7, 7])


def test_false_places_lose_their_weight():
    rng = np.random.default_rng(8)
    true = random_camera(rng)
    seen = seen_by(true, rng)
    seen.pixels[3] += [9, -7]
    fit = bundle([seen], [true], free_intrinsics(true.size))
    assert fit.weights[0][3] < 0.05
    assert np.median(off_px(fit.cameras[0], true, fit.places(0))) < 0.6


def test_planes_give_the_intrinsics_that_opencv_finds():
    cv2 = pytest.importorskip(
        "cv2", reason="the reference is OpenCV: pip install opencv-python-headless"
    )
    rng = np.random.default_rng(11)
    grid = np.stack(np.meshgrid(np.arange(-3, 4), np.arange(-3, 4)), axis=-1).reshape(-1, 2)
    points = np.column_stack([12.0 * grid, np.zeros(len(grid))])
    K = np.array([[4800.0, 0, 530], [0, 4800, 500], [0, 0, 1]])
    cameras = []
    for _ in range(8):
        R = rigid.exp_so3([*rng.uniform(-0.7, 0.7, 2), rng.uniform(-3, 3)])
        pose = rigid.from_rotation_translation(R, [*rng.uniform(-9, 9, 2), rng.uniform(600, 800)])
        cameras.append(Camera(K, pose, (1024, 1024)))
    seen = [seen_by(camera, rng, points) for camera in cameras]
    flags = cv2.CALIB_FIX_ASPECT_RATIO | cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_USE_INTRINSIC_GUESS
    flags |= cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3
    start = K + np.diag([100.0, 100.0, 0])
    _, theirs, _, _, _ = cv2.calibrateCamera(
        [points.astype(np.float32)] * 8,
        [each.pixels.astype(np.float32) for each in seen],
        (1024, 1024),
        start.copy(),
        np.zeros(5),
        flags=flags,
    )
    begin = [Camera(start, each.camera_from_world, each.size) for each in cameras]
    ours = bundle(seen, begin, Intrinsics(1e4, 1e4, shared=True)).cameras[0].intrinsics
    assert ours[0, 0] == pytest.approx(theirs[0, 0], rel=2e-3)
    assert_allclose(ours[:2, 2], theirs[:2, 2], atol=8)
