"""A calibration file: what it leaves open is asked, one of its cameras is chosen, and it waits for the next X-ray."""

from __future__ import annotations

import json
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from geometry_table import cell, field, put
from presenter_host import act, control, text

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.c_arm import CArm

pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')


@pytest.fixture
def section(host):
    """The table of the geometries of the phantom's X-rays, of which view1 is selected."""

    xrays = host.presenters.xrays
    act(xrays, "geometry")
    put(xrays.geometry, "mode", "file")
    return xrays.geometry


def camera(angle):
    geometry = {
        "source_to_detector_mm": 1000,
        "source_to_isocentre_mm": 700,
        "pixel_mm": (1.25, 1.25),
    }
    return CArm(**geometry, size=(128, 128), rao_lao_deg=angle, cra_cau_deg=5).camera()


def write_cameras(path, **angles):
    cameras = {
        name: {
            "camera_matrix": camera(angle).intrinsics.tolist(),
            "R": camera(angle).camera_from_world[:3, :3].tolist(),
            "t": (camera(angle).camera_from_world[:3, 3] / 10).tolist(),
            "image_size": [128, 128],
            "distortion_coefficients": [-5, 1, 0, 0],
        }
        for name, angle in angles.items()
    }
    path.write_text(json.dumps(cameras))
    return path


def asked(section) -> list[str]:
    """The labels of the questions."""
    from MultiViewRegistrationLib.session.presenters.form import walk

    return [
        found.label for key, found in walk(section.form()).items() if key.startswith("calibration.")
    ]


def answer(section, **answers) -> None:
    for key, value in answers.items():
        act(section, f"calibration.{key}", value)


def test_what_the_file_does_not_say_is_asked_and_a_camera_chosen(section, tmp_path):
    view = section._xrays.views[0]
    before = view.record
    assert "Calibration file: none is chosen" in text(section, "geometry_problem")
    assert text(section, "calibration_name") == "File: none yet" and control(section, "use") is None
    act(section, "calibration", [write_cameras(tmp_path / "rig.json", left=10, right=100)], None)
    assert (
        asked(section)
        == ["Coordinates of the first pixel's centre", "World axes", "Unit of its lengths"]
        and control(section, "camera") is None
    )
    assert (
        text(section, "geometry_problem")
        == "The file does not say, and nothing is assumed: Coordinates of the first pixel's centre, World axes, Unit of its lengths."
    )
    answer(section, first_pixel="0", axes="own", unit="cm")
    assert "The file has 2 cameras: choose that of view1." in text(section, "geometry_problem")
    assert control(section, "use") is None and view.record == before
    act(section, "camera", "right")
    told = "A camera of 128 \u00d7 128 pixels. The image will be undistorted (4 coefficients)."
    assert told in text(section, "calibration_summary")
    assert "press Use this geometry" in cell(section, "mode").caution
    act(section, "use")
    assert cell(section, "mode").caution == ""
    np.testing.assert_allclose(
        view.camera.projection_matrix, camera(100).projection_matrix, atol=1e-9
    )
    assert (
        view.record.distortion.coefficients.tolist() == [-5, 1, 0, 0]
        and view.record.origin == "rig.json"
    )
    assert (
        "The image is undistorted." in text(section, "geometry_summary")
        and field(section, "mode").value == "matrix"
    )
    act(section, "matrix", str(camera(90).projection_matrix.tolist()))
    assert view.record.distortion is None and view.record.origin == "entered"


def test_the_next_xray_begins_with_the_same_file(section, tmp_path):
    act(section, "calibration", [write_cameras(tmp_path / "rig.json", view1=10, view2=100)], None)
    answer(section, first_pixel="0", axes="lps", unit="cm")
    assert control(section, "camera").value == "view1"
    act(section, "use")
    act(section, "fields", section._xrays.views[1].node.GetID())
    put(section, "mode", "file", 1)
    assert (
        text(section, "calibration_name") == "File: rig.json"
        and control(section, "camera").value == "view2"
    )
    assert control(section, "calibration.unit").value == "cm"
    act(section, "use")
    np.testing.assert_allclose(
        section._xrays.views[1].camera.projection_matrix, camera(100).projection_matrix, atol=1e-9
    )


def test_numbers_are_typed_and_what_is_wrong_in_the_file_is_told(section, tmp_path):
    (tmp_path / "page.xml").write_text("<html/>")
    act(section, "calibration", [tmp_path / "page.xml"], None)
    assert (
        "is XML of <html>" in text(section, "geometry_problem") and control(section, "use") is None
    )
    (tmp_path / "rtk.xml").write_text(
        '<?xml version="1.0"?><!DOCTYPE RTKGEOMETRY><RTKThreeDCircularGeometry version="3"><SourceToIsocenterDistance>700'
        "</SourceToIsocenterDistance><SourceToDetectorDistance>1000</SourceToDetectorDistance><Projection><GantryAngle>10</GantryAngle>"
        "</Projection></RTKThreeDCircularGeometry>"
    )
    act(section, "calibration", [tmp_path / "rtk.xml"], None)
    assert asked(section) == ["Detector pixel, mm", "Detector origin, mm"]
    pixel, origin = (key for key in _keys(section) if key.startswith("calibration."))
    act(section, pixel, "wide")
    assert 'found "wide", expected 2 numbers' in text(section, "geometry_problem")
    act(section, pixel, "1.25 1.25")
    act(section, origin, "-79.375 -79.375")
    assert (
        "RTK's fixed frame" in text(section, "calibration_summary")
        and control(section, "use") is not None
    )
    act(section, "put_back")
    assert not control(section, "put_back").enabled and field(section, "mode").value == "matrix"


def _keys(section) -> list[str]:
    from MultiViewRegistrationLib.session.presenters.form import walk

    return list(walk(section.form()))


def test_a_camera_of_a_mirrored_image_and_one_of_another_size(section, tmp_path):
    view, pose = section._xrays.views[0], np.eye(4)
    pose[2, 3] = 650
    content = {
        "intrinsics": [[-400, 0, 60], [0, 400, 64], [0, 0, 1]],
        "camera_from_world": pose.tolist(),
        "size": [128, 128],
    }
    (tmp_path / "cam.json").write_text(json.dumps(content))
    act(section, "calibration", [tmp_path / "cam.json"], None)
    answer(section, first_pixel="0", axes="lps", unit="mm")
    act(section, "use")
    np.testing.assert_allclose(view.camera.intrinsics, content["intrinsics"], atol=1e-5)
    assert "The source is" in text(section, "geometry_summary")
    (tmp_path / "cam.json").write_text(json.dumps({**content, "size": [5, 5]}))
    put(section, "mode", "file")
    with pytest.raises(InputError, match="is for an image of 5 x 5 pixels"):
        act(section, "use")


def test_the_questions_stay_while_an_answer_is_taken(section, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.session.presenters import calibration

    go_on, read = Event(), calibration.read_cameras
    go_on.set()
    monkeypatch.setattr(calibration, "read_cameras", lambda *given: go_on.wait(30) and read(*given))
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "matrix.txt").write_text("1000 0 64 0\n0 1000 64 0\n0 0 1 700\n")
    section._edits.calibration._patience_s = 0.05

    def until_read() -> None:
        section.form()
        section.host.wait(section, lambda: section._edits.calibration._reading is None)

    act(section, "calibration", [tmp_path / "one" / "matrix.txt"], None)
    until_read()
    questions = asked(section)
    assert questions[:2] == ["Coordinates of the first pixel's centre", "World axes"]
    go_on.clear()
    answer(section, first_pixel="0")
    assert asked(section) == questions and "being read" in text(section, "geometry_problem")
    go_on.set()
    until_read()
    assert asked(section) == questions
    assert "The file does not say, and nothing is assumed: World axes" in text(
        section, "geometry_problem"
    )
    go_on.clear()
    act(
        section, "calibration", [tmp_path / "other" / "matrix.txt"], None
    )  # nothing is known yet of what it leaves open
    assert asked(section) == []
    go_on.set()
    until_read()


def test_a_second_file_is_read_only_where_it_was_sent_beside_the_first(tmp_path):
    from MultiViewRegistrationLib.session.presenters.calibration import (
        CalibrationFile,
        CalibrationPresenter,
    )
    from MultiViewRegistrationLib.session.presenters.external_files import COMPANION_FILE
    from MultiViewRegistrationLib.session.presenters.form import walk

    folder, view = tmp_path / "sent", SimpleNamespace(size=(128, 128), name="view1")
    folder.mkdir()
    for path in (folder / "carm.tfm", folder / "camera.tfm", tmp_path / "elsewhere.tfm"):
        sitk.WriteTransform(sitk.AffineTransform(3), str(path))
    answers = {
        "direction": "forward",
        "axes": "lps",
        "intrinsics": "1000 0 64 0 1000 64 0 0 1",
        "first_pixel": "0",
    }
    presenter = CalibrationPresenter(None, None, patience_s=30)

    def given(beside: str) -> CalibrationFile:
        files = (folder / "camera.tfm", folder / "carm.tfm")
        return CalibrationFile(files[1], folder, files, {**answers, COMPANION_FILE: beside})

    asked = walk(presenter.form(view, given("")))
    assert [choice.value for choice in asked[f"calibration.{COMPANION_FILE}"].options] == [
        "",
        "none",
        "camera.tfm",
    ]
    assert [choice.value for choice in asked["calibration_name"].options] == [
        "camera.tfm",
        "carm.tfm",
    ]
    for beside in ("camera.tfm", "none"):
        assert presenter.description(view, given(beside)).startswith(
            "A camera of 128 \u00d7 128 pixels"
        )
    for path in (tmp_path / "elsewhere.tfm", "../elsewhere.tfm", "/etc/hostname"):
        assert presenter.description(view, given(str(path))) == ""
        with pytest.raises(InputError, match="nothing is assumed"):
            presenter.camera(view, given(str(path)))
