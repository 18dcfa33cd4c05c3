"""The square that a network sees, and real X-rays brought onto it."""

from __future__ import annotations

import numpy as np
import pytest
from phantom import TRUE_POSE
from scipy.ndimage import gaussian_filter

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.regressor.window import Window, prepare
from MultiViewRegistrationLib.rendering.drr import Projector


def camera_of(columns=200, rows=200, fx=900.0, fy=900.0, turn=(0, 0, 0)) -> Camera:
    return Camera(
        [[fx, 0, columns / 2 + 3], [0, fy, rows / 2 - 5], [0, 0, 1]],
        rigid.from_rotation_translation(rigid.exp_so3(turn), [0, 0, 600]),
        (columns, rows),
    )


def xray_of(values: np.ndarray, valid=None) -> XRay:
    return XRay(values.astype(np.float32), np.ones(values.shape, bool) if valid is None else valid)


def test_a_square_image_is_pooled():
    rng = np.random.default_rng(0)
    camera = camera_of(256, 256)
    window = Window.of(camera)
    assert window.inside.all() and window.camera.size == (64, 64)
    np.testing.assert_allclose(window.camera.intrinsics, camera.pooled(4).intrinsics)
    values = gaussian_filter(rng.normal(size=(256, 256)), 6)
    blocks = xray_of(values).pooled(4).line_integrals
    small = prepare(xray_of(blocks), window.camera, window.camera)
    np.testing.assert_allclose(prepare(xray_of(values), camera, window.camera), small, atol=1e-4)


def test_beyond_the_image_nothing_is_valid():
    window = Window.of(camera_of(200, 100, fx=900, fy=450))  # pixels twice as high as wide: square in mm
    assert window.inside.all()
    window = Window.of(camera_of(200, 100))
    np.testing.assert_array_equal(window.inside.sum(axis=0), 32)
    assert window.inside[16:48].all()
    image, valid = prepare(
        xray_of(np.random.default_rng(0).normal(size=(100, 200))), camera_of(200, 100), window.camera
    )
    np.testing.assert_array_equal(valid, window.inside)
    assert not image[~window.inside].any()


def test_points_choose_the_part_that_shows_them():
    camera = camera_of()
    points = np.array([[10, -20, 3], [30, 5, -8], [25, 0, 40.0]])
    window = Window.of(camera, points)
    pixels = window.camera.project(points)
    assert (pixels.min(axis=0) > -0.51).all() and (pixels.max(axis=0) < 63.51).all()
    assert np.ptp(pixels, axis=0).max() == pytest.approx(64)
    # Where they reach beyond the image, so does the square no farther than it must.
    off = Window.of(camera, points + [75, 0, 0])
    assert off.inside.all() and off.camera.project(np.array([[85, 0, 0.0]]))[0, 0] > 40


def test_pixels_are_measured_at_the_anatomy():
    window = Window.of(camera_of(256, 256))
    near, far = window.camera.project(np.array([[0, 0, 0], [5.0, 0, 0]]))
    assert window.pixel_mm_at(np.zeros(3)) == pytest.approx(5 / abs(far - near)[0])


@pytest.mark.parametrize("mirrored", [False, True])
def test_another_detector_behind_the_same_source_shows_the_same(ct, mirrored):
    """Turned by some degrees, shifted, with finer pixels, stored mirrored: on the window's grid it is the same image."""
    projector = Projector(attenuation(ct))
    camera = camera_of(256, 256, fx=1500, fy=1500)
    window = Window.of(camera)
    turn = rigid.exp_so3([0.05, -0.04, 0.3])
    other = Camera(
        [[-2400.0 if mirrored else 2400.0, 0, 390], [0, 2400, 410], [0, 0, 1]],
        rigid.from_rotation_translation(turn, turn @ [0, 0, 600]),
        (800, 800),
    )
    image, again = (
        prepare(xray_of(projector.render(c, TRUE_POSE).image), c, window.camera)[0] for c in (camera, other)
    )
    assert image.std() > 0.4
    assert np.corrcoef(image.ravel(), again.ravel())[0, 1] > 0.998


@pytest.fixture
def seen(views):
    """An X-ray, its camera, the network's."""
    view = views[0]
    return view.xray, view.camera, Window.of(view.camera).camera


def test_gain_offset_and_the_logarithms_scale_do_not_count(seen):
    xray, camera, grid = seen
    image = prepare(xray, camera, grid)
    np.testing.assert_allclose(prepare(xray_of(0.3 * xray.line_integrals - 4), camera, grid), image, atol=1e-3)


def test_slow_shading_counts_little(seen):
    xray, camera, grid = seen
    rows, columns = np.indices(xray.valid.shape) / 64 - 1
    shaded = xray_of(xray.line_integrals + 0.3 * columns - 0.2 * rows * columns)
    image, other = prepare(xray, camera, grid)[0], prepare(shaded, camera, grid)[0]
    assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.95


def test_what_lies_where_nothing_is_valid_does_not_count(seen):
    xray, camera, grid = seen
    valid = np.hypot(*(np.indices(xray.valid.shape) - 63.5)) < 55
    one = prepare(XRay(xray.line_integrals, valid), camera, grid)
    line = np.where(valid, xray.line_integrals, 11.0).astype(np.float32)
    other = prepare(XRay(line, valid), camera, grid)
    np.testing.assert_array_equal(one, other)
    assert not one[0][one[1] == 0].any()
    assert 0.45 < one[1].mean() < 0.62
    # Well within the field the image is as without it.
    inner = np.hypot(*(np.indices((64, 64)) - 31.5)) < 12
    assert np.corrcoef(one[0][inner], prepare(xray, camera, grid)[0][inner])[0, 1] > 0.99


def test_metal_does_not_decide_about_the_contrast_of_all_else(seen):
    xray, camera, grid = seen
    line = xray.line_integrals.copy()
    line[20:26, 10:110] += 6.0
    image, other = prepare(xray, camera, grid)[0], prepare(xray_of(line), camera, grid)[0]
    away = np.s_[32:]
    assert np.corrcoef(image[away].ravel(), other[away].ravel())[0, 1] > 0.97
    assert 0.6 < other[away].std() / image[away].std() < 1.5


def test_an_image_without_contrast_is_neutral(seen):
    _, camera, grid = seen
    flat = prepare(xray_of(np.full((128, 128), 2.0)), camera, grid)
    np.testing.assert_allclose(flat[0], 0, atol=1e-3)
