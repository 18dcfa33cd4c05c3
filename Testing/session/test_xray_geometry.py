"""Geometry entered as C-arm angles or as a matrix is the camera that it says."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from scipy.spatial.transform import Rotation
from tiny_scene import add_xray, c_arm, dot_image

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.mrml.loading import camera_content, volume_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.geometry import (
    certainty,
    describe,
    matrix_of,
    reading_of,
    set_c_arm,
    set_matrix,
    summary,
)

READING = {
    "source_to_detector_mm": 1000,
    "source_to_isocentre_mm": 700,
    "pixel_mm": [2, 2],
    "rao_lao_deg": 30,
    "cra_cau_deg": -10,
}
POINTS = np.random.default_rng(3).uniform(-60, 60, (20, 3))


@pytest.fixture
def registration(scene):
    """With a CT of 100 mm around the world's origin, and one X-ray without geometry."""
    registration = Registration.create(scene)
    place = np.diag([10.0, 10, 10, 1])
    place[:3, 3] = -45
    registration.ct = volume_node(slicer.mrmlScene, "CT", np.zeros((10, 10, 10), np.float32), place)
    add_xray(registration, "AP", None, dot_image((96, 72), (40, 30)))
    registration.xrays[0].content = {"intensity": "log"}
    return registration


def matrix(mirrored: bool = False) -> np.ndarray:
    """(3, 4) of a camera that looks at the origin from 700 mm, turned by scipy, principal point off the middle."""
    R = Rotation.from_euler("xyz", (100, 10, -20), degrees=True).as_matrix()
    K = np.array([[-480.0 if mirrored else 480, 0, 51], [0, 500, 33], [0, 0, 1]])
    return K @ np.c_[R, R @ [0, 0, 0] + [5, -3, 700]]


def projected(P: np.ndarray) -> np.ndarray:
    homogeneous = np.c_[POINTS, np.ones(len(POINTS))] @ P.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def test_a_c_arm(registration):
    view = registration.xrays[0]
    assert describe(view) == "needs geometry"
    set_c_arm(view, {**READING, "mirrored": True})
    # by hand: the detector 300 mm beyond the isocentre, 30 degrees to the left of the front and 10 degrees to the feet
    p, s = np.radians(30), np.radians(-10)
    towards = np.array([np.sin(p) * np.cos(s), -np.cos(p) * np.cos(s), np.sin(s)])
    np.testing.assert_allclose(view.camera.source, -700 * towards, atol=1e-9)
    np.testing.assert_allclose(view.ras_of((47.5, 35.5)) * (-1, -1, 1), 300 * towards, atol=1e-9)
    assert view.camera.intrinsics[0, 0] < 0
    assert (describe(view), certainty(view)) == ("LAO 30\u00b0, CAU 10\u00b0", "\u00b11\u00b0, 3 mm")
    assert "Seen from the detector" in summary(registration, view) and "700 mm from the source" in summary(
        registration, view
    )


@pytest.mark.parametrize("factor", [1, -1, 0.01, -30])
def test_a_matrix_at_any_scale_and_sign(registration, factor):
    view = registration.xrays[0]
    set_matrix(registration, view, factor * matrix())
    np.testing.assert_allclose(view.camera.project(POINTS), projected(matrix()), atol=1e-8)
    assert view.camera.intrinsics[0, 0] > 0 and (view.camera.depth(POINTS) > 0).all()
    np.testing.assert_allclose(matrix_of(view), matrix(), atol=1e-8)
    assert "projection_matrix" not in view.content and view.content["camera"]["size"] == [96, 72]


def test_a_mirrored_image_is_told_by_the_point_in_front(registration):
    view = registration.xrays[0]
    set_matrix(registration, view, 3 * matrix(mirrored=True))
    np.testing.assert_allclose(view.camera.project(POINTS), projected(matrix(mirrored=True)), atol=1e-8)
    assert view.camera.intrinsics[0, 0] < 0 and (view.camera.depth(POINTS) > 0).all()
    with pytest.raises(InputError, match="behind the X-ray source"):
        set_matrix(registration, view, -matrix(mirrored=True))


def test_a_ct_that_no_image_shows_decides_nothing(registration):
    view = registration.xrays[0]
    away = np.eye(4)
    away[:3, 3] = 0, 900, 0  # beside the beam and behind the source
    registration.world_from_ct = away
    set_matrix(registration, view, matrix())
    with pytest.raises(InputError, match="move the CT"):
        set_matrix(registration, view, matrix(mirrored=True))
    other = add_xray(registration, "LAT", None, dot_image((96, 72), (40, 30)))

    other.change(camera=camera_content(c_arm(90)))
    set_matrix(registration, view, matrix(mirrored=True))  # where the two views meet is before both
    assert view.camera.intrinsics[0, 0] < 0


def test_a_camera_read_as_a_c_arm_and_back(registration):
    view = registration.xrays[0]
    given = c_arm(-25, 15, principal_point=(44, 30), mirrored=True)
    set_matrix(registration, view, given.projection_matrix)
    assert reading_of(view) == {}  # nothing says how large its pixels are
    view.change(pixel_mm=[2.0, 2.0])
    reading = reading_of(view)
    assert (round(reading["rao_lao_deg"], 6), round(reading["cra_cau_deg"], 6), reading["mirrored"]) == (-25, 15, True)
    set_c_arm(view, reading)
    np.testing.assert_allclose(view.camera.project(POINTS), given.project(POINTS), atol=1e-6)
