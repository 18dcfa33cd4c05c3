"""An X-ray's geometry from a calibration file, driven as a person does; and what a DICOM header lacks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from person import Person
from phantom_scene import phantom_registration
from planted_dicom import write_xray

from MultiViewRegistrationLib.geometry.c_arm import CArm


@pytest.fixture
def person(host):
    """At the geometry of view1 of the phantom."""
    person = Person(host)
    person.begin("xrays", phantom_registration(host.scene))
    return person


def ui_of(person):
    return person.panel.sections["xrays"].geometry.ui


def camera(angle):
    return CArm(
        source_to_detector_mm=1000,
        source_to_isocentre_mm=700,
        pixel_mm=(1.25, 1.25),
        size=(128, 128),
        rao_lao_deg=angle,
        cra_cau_deg=5,
    ).camera()


def write_cameras(path, **angles):
    path.write_text(
        json.dumps(
            {
                name: {
                    "camera_matrix": camera(angle).intrinsics.tolist(),
                    "R": camera(angle).camera_from_world[:3, :3].tolist(),
                    "t": (camera(angle).camera_from_world[:3, 3] / 10).tolist(),
                    "image_size": [128, 128],
                    "distortion_coefficients": [-5, 1, 0, 0],
                }
                for name, angle in angles.items()
            }
        )
    )
    return path


def rows(person):
    """The boxes and fields of the questions that are asked now, by their label."""
    found = person.panel.sections["xrays"].geometry.questions.rows.values()
    return {label.text: widget for label, widget in found if widget.visible}


def choose_file(person, path):
    ui = ui_of(person)
    if ui.modeBox.currentText != "Calibration file":
        person.host.choose(ui.modeBox, "Calibration file")
    person.host.answers.open_files = [path]
    person.host.click(ui.fileButton)


def test_what_the_file_does_not_say_is_asked_and_a_camera_chosen(person, tmp_path):
    ui, view = ui_of(person), person.registration.xrays[0]
    before = view.content
    person.host.choose(ui.modeBox, "Calibration file")
    assert (
        "Calibration file: none is chosen" in ui.checkLabel.text
        and not ui.applyButton.enabled
        and ui.fileNameLabel.text == "none yet"
    )
    choose_file(person, write_cameras(tmp_path / "rig.json", left=10, right=100))
    assert list(rows(person)) == ["First pixel at:", "World axes:", "Lengths in:"] and not ui.cameraBox.visible
    assert (
        ui.checkLabel.text == "The file does not say, and nothing is assumed: First pixel at, World axes, Lengths in."
    )
    for label, answer in (
        ("First pixel at:", "0 (OpenCV)"),
        ("World axes:", "its own (a calibration object's)"),
        ("Lengths in:", "cm"),
    ):
        person.host.choose(rows(person)[label], answer)
    assert ui.cameraBox.visible and "The file has 2 cameras: choose that of view1." in ui.checkLabel.text
    assert not ui.applyButton.enabled and view.content == before
    person.host.choose(ui.cameraBox, "right")
    assert (
        "A camera of 128 \u00d7 128 pixels, with distortion (4 coefficients): the image will be undistorted."
        in ui.checkLabel.text
    )
    person.host.click(ui.applyButton)
    assert person.message == ""
    np.testing.assert_allclose(view.camera.projection_matrix, camera(100).projection_matrix, atol=1e-9)
    assert view.content["distortion"] == [-5, 1, 0, 0] and view.content["from"] == "rig.json"
    assert "The image is undistorted." in ui.checkLabel.text and ui.modeBox.currentText == "Projection matrix"


def test_the_next_xray_begins_with_the_same_file(person, tmp_path):
    ui, table = ui_of(person), person.of("xrays").xrayTable
    choose_file(person, write_cameras(tmp_path / "rig.json", view1=10, view2=100))
    for label, answer in (
        ("First pixel at:", "0 (OpenCV)"),
        ("World axes:", "LPS (DICOM, ITK)"),
        ("Lengths in:", "cm"),
    ):
        person.host.choose(rows(person)[label], answer)
    assert ui.cameraBox.currentText == "view1"
    person.host.click(ui.applyButton)
    table.selectRow(1)
    person.host.process()
    person.host.choose(ui.modeBox, "Calibration file")
    assert (
        ui.fileNameLabel.text == "rig.json"
        and ui.cameraBox.currentText == "view2"
        and rows(person)["Lengths in:"].currentText == "cm"
    )
    person.host.click(ui.applyButton)
    np.testing.assert_allclose(
        person.registration.xrays[1].camera.projection_matrix, camera(100).projection_matrix, atol=1e-9
    )


def test_numbers_are_typed_and_what_is_wrong_in_the_file_is_told(person, tmp_path):
    ui = ui_of(person)
    (tmp_path / "page.xml").write_text("<html/>")
    choose_file(person, tmp_path / "page.xml")
    assert "is XML of <html>" in ui.checkLabel.text and not ui.applyButton.enabled
    (tmp_path / "rtk.xml").write_text(
        '<?xml version="1.0"?><!DOCTYPE RTKGEOMETRY><RTKThreeDCircularGeometry version="3"><SourceToIsocenterDistance>700'
        "</SourceToIsocenterDistance><SourceToDetectorDistance>1000</SourceToDetectorDistance><Projection><GantryAngle>10</GantryAngle>"
        "</Projection></RTKThreeDCircularGeometry>"
    )
    choose_file(person, tmp_path / "rtk.xml")
    assert list(rows(person)) == ["Detector pixel, mm:", "Detector origin, mm:"]
    person.host.type(rows(person)["Detector pixel, mm:"], "wide")
    assert 'found "wide", expected 2 numbers' in ui.checkLabel.text
    person.host.type(rows(person)["Detector pixel, mm:"], "1.25 1.25")
    person.host.type(rows(person)["Detector origin, mm:"], "-79.375 -79.375")
    assert "RTK's fixed frame" in ui.checkLabel.text and ui.applyButton.enabled
    person.host.click(ui.resetButton)
    assert not ui.resetButton.enabled and ui.modeBox.currentText == "Projection matrix"


def test_hdf5_needs_a_package_that_is_asked_for(person, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    person.host.answers.yes = False
    choose_file(person, tmp_path / "x.h5")
    assert person.host.told("question")[-1].startswith("Reading an HDF5 file needs the Python package h5py")
    assert "h5py is not installed, expected your consent" in person.message
    assert ui_of(person).fileNameLabel.text == "none yet"


@pytest.mark.parametrize(
    "tags, proposes, lacks",
    [
        (
            {},
            False,
            "LAO/RAO angle, CRA/CAU angle, source to detector, source to isocentre, pixel size, seen from source or detector",
        ),
        (
            {"DistanceSourceToDetector": 1000, "PositionerPrimaryAngle": 30},
            True,
            "CRA/CAU angle, source to isocentre, pixel size, seen from source or detector",
        ),
    ],
)
def test_what_a_dicom_header_lacks_is_listed_by_name(person, tmp_path, tags, proposes, lacks):
    write_xray(tmp_path / "ap.dcm", np.random.default_rng(1).integers(2000, 4000, (128, 128)), **tags)
    person.host.answers.open_files = [tmp_path / "ap.dcm"]
    person.host.click(person.of("xrays").addFilesButton)
    person.wait(lambda: len(person.registration.xrays) == 3, 10)
    text = ui_of(person).checkLabel.text
    assert f"The header lacks: {lacks}." in text and ("The header proposes" in text) == proposes


def test_an_angle_that_a_header_lacks_is_not_taken_for_0(person, tmp_path):
    write_xray(
        tmp_path / "ap.dcm",
        np.random.default_rng(1).integers(2000, 4000, (128, 128)),
        DistanceSourceToDetector=1000,
        DistanceSourceToPatient=700,
        ImagerPixelSpacing=[1, 1],
        PositionerPrimaryAngle=30,
    )
    person.host.answers.open_files = [tmp_path / "ap.dcm"]
    person.host.click(person.of("xrays").addFilesButton)
    person.wait(lambda: len(person.registration.xrays) == 3, 10)
    ui = ui_of(person)
    person.host.choose(ui.seenBox, "the detector (facing the patient)")
    assert (ui.craCauEdit.text, ui.raoLaoEdit.text) == ("", "30°")
    assert "CRA/CAU angle: none is given" in ui.checkLabel.text and not ui.applyButton.enabled
    person.host.type(ui.craCauEdit, "0")
    assert ui.applyButton.enabled
    person.host.click(ui.applyButton)
    assert person.registration.xrays[2].content["c_arm"]["cra_cau_deg"] == 0 and person.message == ""


def test_a_mismatch_of_patients_is_told_until_understood(person, tmp_path):
    ui = person.ui
    assert not ui.noticeLabel.visible and not ui.noticeButton.visible
    for name, patient in (("a", "P-1"), ("b", "P-2")):
        write_xray(
            tmp_path / f"{name}.dcm",
            np.random.default_rng(ord(name)).integers(2000, 4000, (128, 128)),
            PatientID=patient,
        )
    person.host.answers.open_files = [tmp_path / "a.dcm", tmp_path / "b.dcm"]
    person.host.click(person.of("xrays").addFilesButton)
    person.wait(lambda: len(person.registration.xrays) == 4, 10)
    assert ui.noticeLabel.visible and "b and a are of different patients (PatientID)" in ui.noticeLabel.text
    assert "P-2" not in ui.noticeLabel.text
    person.host.click(ui.noticeButton)
    assert not ui.noticeLabel.visible and not ui.noticeButton.visible
