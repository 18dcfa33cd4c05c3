"""An X-ray's geometry from a calibration file: asked for where the file is silent, and undistorted as the command line does it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import make_ct
from phantom_scene import phantom

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.imaging.xray import raw_image
from MultiViewRegistrationLib.io.calibration import calibrated
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.mrml.case import xray_of
from MultiViewRegistrationLib.mrml.fingerprint import fingerprint
from MultiViewRegistrationLib.mrml.image import draw_mask, set_source
from MultiViewRegistrationLib.mrml.loading import source_node, volume_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session import external_files
from MultiViewRegistrationLib.session.external_files import (
    camera_of,
    describe_camera,
    read_cameras,
    requirements_of,
    use_camera,
)
from MultiViewRegistrationLib.session.geometry import set_matrix, summary
from MultiViewRegistrationLib.session.result_files import write_case_folder
from MultiViewRegistrationLib.session.session import Session

SIZE = (128, 128)
LENS = [-9.0, 4, 0.1, -0.08, 1]
ALL = {"unit": "m", "axes": "ras", "first_pixel": "1"}
FLIP = np.diag([-1.0, -1, 1])


@pytest.fixture
def view(scene):
    """An X-ray without a geometry, in a registration with a CT."""
    registration, ct = Registration.create(scene, "Test"), make_ct()
    registration.ct = volume_node(scene, "Phantom", ct.volume.values, ct.volume.ct_from_index)
    view = registration.add_xray("LAT")
    view.change(intensity="log", pixel_mm=[1.25, 1.25])
    set_source(view, source_node(view, "image", raw_image(phantom()[1][0].xray.line_integrals)))
    return registration, view


def camera(angle=20):
    return CArm(
        source_to_detector_mm=1000,
        source_to_isocentre_mm=700,
        pixel_mm=(1.25, 1.25),
        size=SIZE,
        rao_lao_deg=angle,
        cra_cau_deg=5,
    ).camera()


def opencv(*cameras, distortion=None):
    """Cameras as named JSON, with OpenCV's meaning."""
    return {
        name: {
            "camera_matrix": one.intrinsics.tolist(),
            "R": one.camera_from_world[:3, :3].tolist(),
            "t": one.camera_from_world[:3, 3].tolist(),
            "image_width": SIZE[0],
            "image_height": SIZE[1],
            **({"distortion_coefficients": distortion} if distortion else {}),
        }
        for name, one in cameras
    }


def test_what_a_matrix_does_not_say_is_asked_for_and_told_apart(view, tmp_path):
    registration, xray = view
    P, path = camera().projection_matrix.copy(), tmp_path / "m.txt"
    P[:, :3] = P[:, :3] @ FLIP  # RAS
    P[:, :3] *= 1000  # m
    P = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]]) @ P  # MATLAB's pixels
    np.savetxt(path, P)
    asked = read_cameras(path, SIZE, {})
    assert [question.key for question in asked.questions] == ["first_pixel", "axes", "unit"]
    assert asked.found is None and asked.problem == ""
    assert read_cameras(path, SIZE, {**ALL, "unit": " "}).found is None
    found = read_cameras(path, SIZE, ALL).found
    assert camera_of(xray, found) == 0
    use_camera(registration, xray, found[0], path)
    np.testing.assert_allclose(
        xray.camera.projection_matrix / xray.camera.projection_matrix[2, 3],
        camera().projection_matrix / camera().projection_matrix[2, 3],
        atol=1e-9,
    )
    assert xray.content["from"] == "m.txt"


def test_a_camera_is_chosen_by_name_or_by_a_person(view, tmp_path):
    path = tmp_path / "c.json"
    answers = {"unit": "mm", "axes": "own", "first_pixel": "0"}
    path.write_text(json.dumps(opencv(("AP", camera(0)), ("lat", camera(90)))))
    found = read_cameras(path, SIZE, answers).found
    assert [one.name for one in found] == ["AP", "lat"] and camera_of(view[1], found) == 1
    path.write_text(json.dumps(opencv(("left", camera(0)), ("right", camera(90)))))
    assert camera_of(view[1], read_cameras(path, SIZE, answers).found) is None


def test_a_distorted_image_is_undistorted_as_the_command_line_does_it(view, tmp_path):
    registration, xray = view
    before, unbent = fingerprint(registration), xray_of(xray)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(opencv(("LAT", camera()), distortion=LENS)))
    (found,) = read_cameras(path, SIZE, {"unit": "mm", "axes": "lps", "first_pixel": "0"}).found
    assert "5 coefficients" in describe_camera(found)
    use_camera(registration, xray, found, path)
    sitk.WriteImage(sitk.GetImageFromArray(phantom()[1][0].xray.line_integrals), str(tmp_path / "LAT.mha"))
    volume = sitk.GetImageFromArray(make_ct().volume.values)
    volume.SetSpacing((2, 2, 2))
    volume.SetOrigin((-47, -47, -47))
    sitk.WriteImage(volume, str(tmp_path / "ct.nrrd"))
    content = {
        "version": 1,
        "ct": "ct.nrrd",
        "views": [{"name": "LAT", "image": "LAT.mha", "intensity": "log", **found.content()}],
    }
    (tmp_path / "case.json").write_text(json.dumps(content))
    (expected,) = Case.load(tmp_path / "case.json").views
    here = xray_of(xray)
    np.testing.assert_array_equal(here.line_integrals, expected.xray.line_integrals)
    np.testing.assert_array_equal(here.valid, expected.xray.valid)
    assert np.abs(here.line_integrals - unbent.line_integrals).max() > 0.1 and fingerprint(registration) != before
    assert summary(registration, xray).endswith("The image is undistorted.")
    draw_mask(xray)
    np.testing.assert_array_equal(xray_of(xray).valid, here.valid)  # drawn on the undistorted image
    set_matrix(registration, xray, camera().projection_matrix)  # which knows of none
    assert "distortion" not in xray.content
    np.testing.assert_array_equal(xray_of(xray).line_integrals, unbent.line_integrals)


def test_a_case_of_an_undistorted_image_holds_that_image(view, tmp_path):
    registration, xray = view
    (tmp_path / "c.json").write_text(json.dumps(opencv(("LAT", camera()), distortion=LENS)))
    (found,) = read_cameras(tmp_path / "c.json", SIZE, {"unit": "mm", "axes": "lps", "first_pixel": "0"}).found
    use_camera(registration, xray, found, tmp_path / "c.json")
    session = Session(registration)
    (case,) = write_case_folder(session, tmp_path / "out")()
    there, back = session.case().views[0].xray, Case.load(case).views[0].xray
    np.testing.assert_allclose(back.line_integrals[back.valid], there.line_integrals[there.valid], atol=1e-6)
    np.testing.assert_array_equal(back.valid, there.valid)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"image_width": 5, "image_height": 5}, "image of 5 x 5 pixels"),
        ({"t": [0, 0, -700.0]}, "behind the X-ray source"),
    ],
)
def test_a_camera_that_cannot_be_this_one_is_refused_and_nothing_changes(view, tmp_path, change, word):
    registration, xray = view
    content = opencv(("LAT", camera(0)))
    content["LAT"] |= change
    (tmp_path / "c.json").write_text(json.dumps(content))
    (found,) = read_cameras(tmp_path / "c.json", SIZE, {"unit": "mm", "axes": "lps", "first_pixel": "0"}).found
    with pytest.raises(InputError, match=word):
        use_camera(registration, xray, found, "c.json")
    assert not xray.placed


def test_a_file_that_is_none_and_an_answer_that_is_none_are_told(tmp_path):

    (tmp_path / "a.xml").write_text("<html/>")
    assert "expected <" in read_cameras(tmp_path / "a.xml", SIZE, {}).problem
    assert "cannot be read" in read_cameras(tmp_path / "nowhere.txt", SIZE, {}).problem
    rtk = (
        '<?xml version="1.0"?><!DOCTYPE RTKGEOMETRY><RTKThreeDCircularGeometry version="3"><SourceToIsocenterDistance>700'
        "</SourceToIsocenterDistance><SourceToDetectorDistance>1000</SourceToDetectorDistance><Projection><GantryAngle>10</GantryAngle>"
        "</Projection></RTKThreeDCircularGeometry>"
    )
    (tmp_path / "g.xml").write_text(rtk)
    asked = read_cameras(tmp_path / "g.xml", SIZE, {"detector_spacing_mm": "many"})
    assert 'found "many", expected 2 numbers' in asked.problem
    asked = read_cameras(
        tmp_path / "g.xml", SIZE, {"detector_spacing_mm": "1.25, 1.25", "detector_origin_mm": "-79.4 -79.4"}
    )
    assert len(asked.found) == 1 and asked.found[0].size == SIZE
    assert requirements_of(tmp_path / "g.xml") is None and requirements_of(tmp_path / "nowhere") is None
    assert requirements_of("camera.yml") == "requirements_yaml.txt"


def test_all_that_a_reader_may_ask_is_asked_in_words():
    assert set(external_files.CALIBRATION_QUESTIONS) == set(calibrated.QUESTIONS) - {"size"}
