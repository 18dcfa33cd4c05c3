"""The sections CT and X-rays in Qt: what is dropped, chosen, typed and asked reaches the scene."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from gui_driver import GuiDriver
from phantom import make_ct
from phantom_scene import phantom_registration
from planted_dicom import write_xray
from tiny_scene import intensity


@pytest.fixture(params=["en_US", "de_DE"])
def locale(request):
    """Slicer in this language."""
    from PySide6 import QtCore

    before = QtCore.QLocale()
    QtCore.QLocale.setDefault(QtCore.QLocale(request.param))
    yield
    QtCore.QLocale.setDefault(before)


@pytest.fixture
def person(host):
    """At the X-rays of the phantom."""
    person = GuiDriver(host)
    person.begin("xrays", phantom_registration(host.scene))
    return person


def add_volume(person, name: str = "AP") -> None:
    import slicer

    node = person.host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.stack([intensity(n) for n in range(3)]))
    person.host.process(0.1)
    person.choose("xrays", "volume", name)


def test_a_ct_is_dropped_read_and_seen(host, tmp_path):
    person = GuiDriver(host)
    person.begin("ct")
    assert "Drop a CT here" in person.text("ct", "status") and person.control("ct", "ct") is None
    for add in (0, 1000):
        image = sitk.GetImageFromArray((make_ct().volume.values + add).astype(np.int16))
        sitk.WriteImage(image, str(tmp_path / f"ct{add}.nii.gz"))
    person.drop("ct", tmp_path / "ct0.nii.gz")
    assert "reading ct0.nii.gz" in person.header("ct")
    person.wait_until_read()
    ct = person.panel.registration.ct
    assert ct.GetName() == "ct0" and person.header("ct") == "\u25d0 ct0"
    assert "Voxels: 48" in person.text("ct", "facts")
    assert person.drawn("ct", "preview").picture.pixmap.width() > 100
    person.drop("ct", tmp_path / "ct1000.nii.gz")
    host.leave(person.module_widget)  # which forgets what is being read
    host.process(0.3)
    assert person.panel.registration.ct is ct


def test_x_rays_of_two_patients_are_a_notice_until_acknowledged(person, tmp_path):
    for name, patient in (("a", "P-1"), ("b", "P-2")):
        pixels = np.random.default_rng(ord(name)).integers(2000, 4000, (128, 128))
        write_xray(tmp_path / f"{name}.dcm", pixels, PatientID=patient)
    (tmp_path / "text.png").write_text("no image")
    person.open_files("xrays", "files", *(tmp_path / name for name in ("a.dcm", "text.png", "b.dcm")))
    assert person.header("xrays").startswith("\u25b6 reading ")
    person.wait_until_read()
    assert [row[0] for row in person.cells("xrays", "xrays")] == ["view1", "view2", "a", "b"]
    assert "text.png: cannot be read" in person.message
    ui = person.ui
    assert ui.noticeLabel.visible and "b and a are of different patients (PatientID)" in ui.noticeLabel.text
    assert "P-2" not in ui.noticeLabel.text
    person.host.click(ui.noticeButton)
    assert not ui.noticeLabel.visible and not ui.noticeButton.visible


def test_a_c_arm_is_typed_with_points_or_commas(person, locale):
    add_volume(person)
    view, edit = person.registration.xrays[2], person.drawn("xrays", "rao_lao_deg").edit
    fields = {
        "rao_lao_deg": "12,5",
        "cra_cau_deg": "-10",
        "source_to_detector_mm": "102,9",
        "source_to_isocentre_mm": "60.25 mm",
        "pixel_mm0": "0,58",
        "pixel_mm1": "0.58",
    }
    for key, text in fields.items():
        person.type("xrays", key, text)
    person.choose("xrays", "seen", "the source")
    plain = edit.palette.color(edit.foregroundRole()).name()
    person.type("xrays", "rao_lao_deg", "500")
    person.host.process(0.1)
    assert edit.text == "500" and "500 is outside -180 to 180" in person.text("xrays", "geometry_problem")
    assert edit.palette.color(edit.foregroundRole()).name() != plain and not person.widget("xrays", "apply").enabled
    person.type("xrays", "rao_lao_deg", "12,5")
    assert edit.palette.color(edit.foregroundRole()).name() == plain
    for yes in (False, True):
        person.host.answers.yes = yes
        person.press("xrays", "apply")
        assert "Source to detector: 102.9 mm is less than" in person.host.shown("question")[-1]
        assert view.placed is yes
    c_arm = view.content["c_arm"]
    assert (c_arm["pixel_mm"], c_arm["source_to_detector_mm"], c_arm["rao_lao_deg"]) == ([0.58, 0.58], 102.9, 12.5)
    assert edit.text == "12.5" and person.message == ""


def test_an_update_of_the_panel_keeps_what_is_being_typed(person):
    """The panel is updated at any moment, also between two keys."""
    from PySide6 import QtCore, QtTest

    from MultiViewRegistrationLib.mrml.case import shared_unknowns_of

    add_volume(person)
    person.host.click(person.widget("xrays", "shared"))
    for key, text in (("shared0", "12"), ("source_to_detector_mm", "1012.5")):
        edit = person.drawn("xrays", key).edit
        edit.selectAll()
        for letter in text:
            QtTest.QTest.keyClicks(edit, letter)
            person.panel.invalidate()
            person.panel.tick()
        person.host.key(edit, QtCore.Qt.Key_Return)
        assert edit.text == text
    assert shared_unknowns_of(person.registration).source_to_detector_sd_mm == 12
    person.choose("xrays", "mode", "Projection matrix")
    area = person.drawn("xrays", "matrix").edit
    for letter in "1 2 ":
        QtTest.QTest.keyClicks(area, letter)
        person.panel.tick()
    assert area.toPlainText() == "1 2 " and "Matrix has 2 numbers" in person.text("xrays", "geometry_problem")


def test_a_calibration_file_asks_for_its_package(person, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    person.choose("xrays", "mode", "Calibration file")
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with monkeypatch.context() as patched:
        patched.setattr(packages, "find_spec", lambda name: None)
        person.host.answers.yes = False
        person.open_files("xrays", "calibration", tmp_path / "x.h5")
    assert person.host.shown("question")[-1].startswith("Reading an HDF5 file needs the Python package h5py")
    assert "h5py is not installed, expected your consent" in person.message
    assert person.text("xrays", "calibration_name") == "File: none yet"


def test_a_wrong_number_in_any_field_prevents_a_registration(person):
    """Ctrl+Return leaves the focus in the field, and so does a click on macOS."""
    from PySide6 import QtTest

    person.choose("start", "start", "As placed")
    person.pick("xrays", "xrays", 1, 1)
    person.host.click(person.widget("xrays", "certainty"))
    person.choose("xrays", "certainty_known", "as typed")
    edit, register = person.drawn("xrays", "rotation_sd_deg").edit, person.widget("register", "register")
    edit.window().activateWindow()
    for text, begins in (("200", False), ("0,25", True)):
        edit.setFocus()
        person.host.process(1, until=edit.hasFocus)
        edit.selectAll()
        QtTest.QTest.keyClicks(edit, text)
        register.click()
        assert person.panel.session.running is begins
        assert ("Certainty of the angles: 200 is outside 0 to 180" in person.message) is not begins
    assert person.registration.xrays[1].content["rotation_sd_deg"] == 0.25
    person.wait_for_work()
