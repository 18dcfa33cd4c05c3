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
from MultiViewRegistrationLib.io.calibration import calibrated
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.files import InputFile
from MultiViewRegistrationLib.io.view_record import ViewRecord
from MultiViewRegistrationLib.mrml.case import landmarks_of, xray_of
from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.image import change_image, draw_mask, set_source
from MultiViewRegistrationLib.mrml.loading import source_node
from MultiViewRegistrationLib.mrml.nodes import lps_from_ras
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.geometry import set_camera, summary
from MultiViewRegistrationLib.session.presenters import external_files
from MultiViewRegistrationLib.session.presenters.external_files import (
    describe_camera,
    landmarks_to_ct,
    landmarks_to_xray,
    read_cameras,
    use_camera,
)
from MultiViewRegistrationLib.session.result_files import write_case_folder
from MultiViewRegistrationLib.session.session import Session

SIZE = (128, 128)
LENS = [-9.0, 4, 0.1, -0.08, 1]
FLIP = np.diag([-1.0, -1, 1, 1])
CENTRE = np.array([30.0, -20, 10])


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


def test_a_distorted_image_is_undistorted_as_the_command_line_does_it(view, tmp_path):
    registration, xray = view
    before, raw, path = fingerprint(registration), xray_of(xray), tmp_path / "c.json"
    pose = camera().camera_from_world[:3].tolist()
    entry = {"image_width": 128, "image_height": 128, "distortion_coefficients": LENS}
    entry |= {"R": [row[:3] for row in pose], "t": [row[3] for row in pose]}
    write_json(path, {"LAT": {**entry, "camera_matrix": camera().intrinsics.tolist()}})
    (found,) = read_cameras(path, SIZE, {"unit": "mm", "axes": "lps", "first_pixel": "0"}).found
    assert "5 coefficients" in describe_camera(found)
    use_camera(registration, xray, found, path)
    write_values(tmp_path / "LAT.mha", phantom()[1][0].xray.line_integrals)
    write_values(tmp_path / "ct.nrrd", make_ct().volume.values)
    record = found.given_to(
        ViewRecord("LAT", InputFile("LAT.mha", tmp_path / "LAT.mha"), intensity="log")
    )
    write_json(tmp_path / "case.json", {"version": 1, "ct": "ct.nrrd", "views": [record.to_json()]})
    (expected,), here = Case.load(tmp_path / "case.json").views, xray_of(xray)
    assert_array_equal(here.line_integrals, expected.xray.line_integrals)
    assert_array_equal(here.valid, expected.xray.valid)
    assert (
        np.abs(here.line_integrals - raw.line_integrals).max() > 0.1
        and fingerprint(registration) != before
    )
    assert summary(registration, xray).endswith("The image is undistorted.")
    (written,) = write_case_folder(Session(registration), tmp_path / "out")()
    (back,) = Case.load(written).views  # a case of it holds the undistorted image
    assert_allclose(
        back.xray.line_integrals[back.xray.valid], here.line_integrals[here.valid], atol=1e-6
    )
    assert_array_equal(back.xray.valid, here.valid)
    draw_mask(xray)
    assert_array_equal(xray_of(xray).valid, here.valid)  # drawn on the undistorted image
    set_camera(registration, xray, camera().projection_matrix)  # which knows of none
    assert xray.record.distortion is None
    assert_array_equal(xray_of(xray).line_integrals, raw.line_integrals)


def test_every_question_of_a_reader_has_a_label():
    assert set(external_files.CALIBRATION_QUESTIONS) == set(calibrated.OPEN) - {"size"}


@pytest.mark.parametrize("flipped", [False, True])
def test_landmarks_of_an_xray_as_it_lies_in_the_scene_or_on_its_volume(
    registration, tmp_path, flipped
):
    view, pixel = registration.xrays[0], np.array([40.25, 90.5])
    landmarks_to_ct(
        registration, write_markups(tmp_path / "ct.mrk.json", {"a": (0, 0, 0), "b": (1, 0, 0)})
    )
    landmarks_to_xray(
        registration,
        view,
        write_markups(tmp_path / "s.mrk.json", {"a": lps_from_ras(view.ras_of(pixel))}),
        "scene",
    )
    change_image(view, flipped=flipped)
    column = 127 - pixel[0] if flipped else pixel[0]
    landmarks_to_xray(
        registration,
        view,
        write_markups(tmp_path / "i.mrk.json", {"b": (column, pixel[1], 0)}),
        "image",
    )
    a, b = landmarks_of(registration, registration.xrays)
    for mark in (a, b):
        assert_allclose(mark.pixels[view.name], pixel, atol=1e-6)


def test_landmarks_outside_the_image_are_refused(registration, tmp_path):
    view = registration.xrays[0]
    path = write_markups(tmp_path / "far.mrk.json", {"a": (500, 10, 0)})
    with refuses("lies outside the image of view1"):
        landmarks_to_xray(registration, view, path, "image")
    assert view.node.GetNodeReference("landmarks") is None
