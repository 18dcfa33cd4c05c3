"""The square that a network sees, and real X-rays brought onto it."""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, make_slot_scan
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.regressor.images import Window, prepare
from MultiViewRegistrationLib.rendering.drr import Projector


def camera_of(columns=200, rows=200, fx=900.0, fy=900.0):
    before = rigid.translation([0, 0, 600])
    return Camera(
        [[fx, 0, columns / 2 + 3], [0, fy, rows / 2 - 5], [0, 0, 1]], before, (columns, rows)
    )


def xray_of(values):
    return XRay(values.astype(np.float32), np.ones(values.shape, bool))


def likeness(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_a_square_image_is_pooled_and_pixels_are_measured_at_the_anatomy():
    camera = camera_of(256, 256)
    window = Window.of(camera)
    assert window.inside.all() and window.camera.size == (64, 64)
    assert_allclose(window.camera.intrinsics, camera.pooled(4).intrinsics)
    values = xray_of(gaussian_filter(np.random.default_rng(0).normal(size=(256, 256)), 6))
    small = prepare(xray_of(values.pooled(4).line_integrals), window.camera, window.camera)
    assert_allclose(prepare(values, camera, window.camera), small, atol=1e-4)
    near, far = window.camera.project([[0, 0, 0], [5.0, 0, 0]])
    assert window.pixel_mm_at(np.zeros(3)) == pytest.approx(5 / abs(far - near)[0])


def test_beyond_the_image_nothing_is_valid():
    window = Window.of(
        camera_of(200, 100, fx=900, fy=450)
    )  # pixels twice as high as wide: square in mm
    assert window.inside.all()
    camera = camera_of(200, 100)
    window = Window.of(camera)
    assert_array_equal(window.inside.sum(axis=0), 32)
    assert window.inside[16:48].all()
    noise = xray_of(np.random.default_rng(0).normal(size=(100, 200)))
    image, valid = prepare(noise, camera, window.camera)
    assert_array_equal(valid, window.inside)
    assert not image[~window.inside].any()


def assert_fills(window, points):
    """The points reach from side to side of the window, and not beyond."""
    pixels = window.camera.project(points)
    assert (pixels.min(axis=0) > -0.51).all() and (pixels.max(axis=0) < 63.51).all()
    assert np.ptp(pixels, axis=0).max() == pytest.approx(64)


def test_image_of_another_detector_with_the_same_source_is_resampled_to_the_same_window(ct):
    """The other detector is rotated, shifted and mirrored, with smaller pixels."""
    projector, camera = Projector(attenuation(ct)), camera_of(256, 256, fx=1500, fy=1500)
    grid, turn = Window.of(camera).camera, rigid.exp_so3([0.05, -0.04, 0.3])
    intrinsics = [[-2400.0, 0, 390], [0, 2400, 410], [0, 0, 1]]
    place = rigid.from_rotation_translation(turn, turn @ [0, 0, 600])
    image, again = (
        prepare(xray_of(projector.render(each, TRUE_POSE).image), each, grid)[0]
        for each in (camera, Camera(intrinsics, place, (800, 800)))
    )
    assert image.std() > 0.4 and likeness(image, again) > 0.998


def test_a_slot_scan_is_brought_onto_square_pixels_at_the_anatomy(ct):
    """Each pixel of the window shows the same mm across and along the scan there, and is what the scan shows at that place."""
    view = make_slot_scan(ct, 25)
    points = rigid.transform_points(TRUE_POSE, 45 * np.stack([-np.ones(3), np.ones(3)]))
    window = Window.of(view.camera, points)
    middle = points.mean(axis=0)
    across, along = window.camera.pixel_mm(middle)
    assert across == pytest.approx(along) and window.pixel_mm_at(middle) == pytest.approx(across)
    assert_allclose(
        window.camera.source_step, along * view.camera.source_step, atol=1e-9
    )  # rows of 1 mm
    assert_fills(window, points)
    rendered = xray_of(Projector(attenuation(ct)).render(window.camera, TRUE_POSE).image)
    shown, same = (
        prepare(xray, camera, window.camera)
        for xray, camera in ((view.xray, view.camera), (rendered, window.camera))
    )
    assert_array_equal(shown[1], window.inside)
    assert likeness(shown[0], same[0]) > 0.99


@pytest.fixture
def seen(views):
    """An X-ray, its camera, the network's."""
    return views[0].xray, views[0].camera, Window.of(views[0].camera).camera


def test_invalid_pixels_do_not_count(seen):
    xray, camera, grid = seen
    valid = np.hypot(*(np.indices(xray.valid.shape) - 63.5)) < 55
    line = np.where(valid, xray.line_integrals, 11.0).astype(np.float32)
    one, other = (
        prepare(XRay(values, valid), camera, grid) for values in (xray.line_integrals, line)
    )
    assert_array_equal(one, other)
    assert not one[0][one[1] == 0].any()
    assert 0.45 < one[1].mean() < 0.62
    inner = (
        np.hypot(*(np.indices((64, 64)) - 31.5)) < 12
    )  # well within the field the image is as without it
    assert likeness(one[0][inner], prepare(xray, camera, grid)[0][inner]) > 0.99
