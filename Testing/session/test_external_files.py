"""Geometry, start poses and landmarks from files of other programs.

PendingQuestion for where the file is silent, and placed.
"""

import numpy as np
import pytest
from helpers.file_io import write_json, write_values
from helpers.phantom import make_ct
from helpers.phantom_scene import phantom, phantom_volume
from helpers.refusals import refuses
from helpers.tiny_scene import c_arm, write_markups
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.imaging.xray import raw_image
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.files import InputFile
from MultiViewRegistrationLib.io.view_record import ViewRecord
from MultiViewRegistrationLib.mrml.case import landmarks_of, xray_of
from MultiViewRegistrationLib.mrml.image import change_image, set_source
from MultiViewRegistrationLib.mrml.loading import source_node
from MultiViewRegistrationLib.mrml.nodes import lps_from_ras
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.geometry import set_camera, summary
from MultiViewRegistrationLib.session.presenters.external_files import (
    landmarks_to_ct,
    landmarks_to_xray,
    read_cameras,
    use_camera,
)
from MultiViewRegistrationLib.session.result_files import write_case_folder
from MultiViewRegistrationLib.session.session import Session

SIZE = (128, 128)
LENS = [-9.0, 4, 0.1, -0.08, 1]


@pytest.fixture
def view(scene):
    """An X-ray without a geometry, in a registration with a CT."""
    registration = Registration.create(scene, "Test")
    registration.ct = phantom_volume(scene)
    view = registration.add_xray("LAT")
    view.change(intensity="log", image_pixel_mm=(1.25, 1.25))
    set_source(view, source_node(view, "image", raw_image(phantom()[1][0].xray.line_integrals)))
    return registration, view


def camera():
    return c_arm(20, 5, size=SIZE, pixel_mm=(1.25, 1.25))


def test_distorted_image_is_undistorted_as_by_the_command_line(view, tmp_path):
    registration, xray = view
    raw, path = xray_of(xray), tmp_path / "c.json"
    pose = camera().camera_from_world[:3]
    entry = {"image_width": 128, "image_height": 128, "distortion_coefficients": LENS}
    entry |= {"R": pose[:, :3].tolist(), "t": pose[:, 3].tolist()}
    write_json(path, {"LAT": {**entry, "camera_matrix": camera().intrinsics.tolist()}})
    (found,) = read_cameras(path, SIZE, {"unit": "mm", "axes": "lps", "first_pixel": "0"}).found
    use_camera(registration, xray, found, path)
    image = InputFile("LAT.mha", tmp_path / "LAT.mha")
    write_values(image.path, phantom()[1][0].xray.line_integrals)
    write_values(tmp_path / "ct.nrrd", make_ct().volume.values)
    record = found.given_to(ViewRecord("LAT", image, intensity="log"))
    write_json(tmp_path / "case.json", {"version": 1, "ct": "ct.nrrd", "views": [record.to_json()]})
    (written,) = write_case_folder(Session(registration), tmp_path / "out")()
    here = xray_of(xray)
    for case in (tmp_path / "case.json", written):  # of which the second has the undistorted image
        (expected,) = Case.load(case).views
        assert_array_equal(here.valid, expected.xray.valid)
        assert_allclose(
            here.line_integrals[here.valid], expected.xray.line_integrals[here.valid], atol=1e-6
        )
    assert np.abs(here.line_integrals - raw.line_integrals).max() > 0.1
    assert summary(registration, xray).endswith("The image is undistorted.")
    set_camera(registration, xray, camera().projection_matrix)  # has no distortion
    assert xray.record.distortion is None
    assert_array_equal(xray_of(xray).line_integrals, raw.line_integrals)


def test_landmarks_in_the_scene_and_on_a_flipped_image_are_read(registration, tmp_path):
    view, pixel = registration.xrays[0], np.array([40.25, 90.5])
    points = {"a": (0, 0, 0), "b": (1, 0, 0)}
    landmarks_to_ct(registration, write_markups(tmp_path / "ct.mrk.json", points))
    on_view = {"a": lps_from_ras(view.ras_of(pixel))}
    landmarks_to_xray(registration, view, write_markups(tmp_path / "s.mrk.json", on_view), "scene")
    change_image(view, flipped=True)
    on_image = {"b": (127 - pixel[0], pixel[1], 0)}
    landmarks_to_xray(registration, view, write_markups(tmp_path / "i.mrk.json", on_image), "image")
    for mark in landmarks_of(registration, registration.xrays):
        assert_allclose(mark.pixels[view.name], pixel, atol=1e-6)


def test_landmarks_outside_the_image_are_refused(registration, tmp_path):
    view = registration.xrays[0]
    path = write_markups(tmp_path / "far.mrk.json", {"a": (500, 10, 0)})
    with refuses("lies outside the image of view1"):
        landmarks_to_xray(registration, view, path, "image")
    assert view.node.GetNodeReference("landmarks") is None
