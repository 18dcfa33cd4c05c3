"""The sections CT and X-rays in Qt: what is dropped, chosen, typed and asked reaches the scene."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from gui_driver import GuiDriver
from phantom import make_ct, write_phantom_case
from phantom_scene import begun, phantom_registration
from planted_dicom import write_xray
from tiny_scene import intensity


@pytest.fixture
def german():
    """Slicer where numbers have commas; all other tests are where they have points."""
    import qt

    before = qt.QLocale()
    qt.QLocale.setDefault(qt.QLocale("de_DE"))
    yield
    qt.QLocale.setDefault(before)


@pytest.fixture
def person(host):
    """At the X-rays of the phantom."""
    person = GuiDriver(host)
    person.begin("xrays", begun(phantom_registration(host.scene)))
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
    welcome = person.panel.files.form.controls["welcome0"].label
    assert person.ui.filesWidget.visible and welcome.startswith("Drop a CT and its X-rays here")
    assert "Drop a CT here" in person.text("ct", "status") and person.control("ct", "ct") is None
    for add in (0, 1000):
        image = sitk.GetImageFromArray((make_ct().volume.values + add).astype(np.int16))
        sitk.WriteImage(image, str(tmp_path / f"ct{add}.nii.gz"))
    person.drop(tmp_path / "ct0.nii.gz")
    person.wait_until_read()
    ct = person.panel.registration.ct
    assert not person.ui.filesWidget.visible
    assert ct.GetName() == "ct0" and person.header("ct") == "\u25d0 ct0"
    assert "Voxels: 48" in person.text("ct", "facts")
    person.drop(tmp_path / "ct1000.nii.gz")
    person.wait(lambda: person.panel.files.presenter.asking)
    form = person.panel.files.form
    for title, key in (
        ("may be a CT or X-rays", "asked0.0"),
        ("in its place?", "asked0.line0"),
    ):  # nothing in it is below 0
        assert title in form.controls["asked0.title"].label and person.ui.filesWidget.visible
        person.host.click(form.drawn[key].widget)
        person.host.process(0.1)
    person.wait(lambda: person.header("ct") == "\u26a0 say what its values are")
    host.leave(person.module_widget)  # which forgets what is being read
    host.process(0.3)
    assert person.panel.registration.ct is ct


def test_x_rays_of_two_patients_are_a_notice_until_acknowledged(person, tmp_path):
    for name, patient in (("a", "P-1"), ("b", "P-2")):
        pixels = np.random.default_rng(ord(name)).integers(2000, 4000, (128, 128))
        write_xray(tmp_path / f"{name}.dcm", pixels, PatientID=patient)
    (tmp_path / "text.png").write_text("no image")
    person.open_files(
        "xrays", "files", *(tmp_path / name for name in ("a.dcm", "text.png", "b.dcm"))
    )
    person.wait(lambda: person.panel.files.presenter.asking)
    person.host.click(person.panel.files.form.drawn["asked0.line0"].widget)  # all of this patient
    person.wait_until_read()
    assert [row[0] for row in person.cells("xrays", "xrays")] == ["view1", "view2", "a", "b"]
    assert "text.png" in person.panel.files.form.controls["unused"].label
    ui = person.ui
    assert (
        ui.noticeLabel.visible
        and "b and a are of different patients (PatientID)" in ui.noticeLabel.text
    )
    assert "P-2" not in ui.noticeLabel.text
    person.host.click(ui.noticeButton)
    assert not ui.noticeLabel.visible and not ui.noticeButton.visible


def test_a_button_leads_to_the_field_that_is_needed(person):
    add_volume(person)
    person.open_geometry(2)
    edit = person.drawn("geometry", person.field(2, "rao_lao_deg")).edit
    assert person.panel.geometry.dialog.focusWidget() == edit
    assert not edit.visibleRegion().isEmpty()


def test_a_c_arm_is_typed_with_points_or_commas(person, german):
    add_volume(person)
    person.open_geometry(2)
    view, angle = person.registration.xrays[2], person.field(2, "rao_lao_deg")
    edit = person.drawn("geometry", angle).edit
    assert person.panel.geometry.dialog.visible and "dashed" in edit.styleSheet
    fields = {
        "rao_lao_deg": "12,5",
        "cra_cau_deg": "-10",
        "source_to_detector_mm": "102,9",
        "source_to_isocentre_mm": "60.25 mm",
        "pixel_mm": "0,58 x 0.6",
    }
    for key, text in fields.items():
        person.type("geometry", person.field(2, key), text)
    assert edit.styleSheet == "" and "102.9 mm is less than C-arms have" in person.note(2)
    person.type("geometry", angle, "500")
    person.host.process(0.1)
    assert (
        edit.text == "500"
        and "500 is outside -180 to 180" in person.note(2)
        and "solid" in edit.styleSheet
    )
    assert "500 is outside" in edit.accessibleDescription
    person.type("geometry", angle, "12,5")
    assert edit.styleSheet == "" and not view.placed
    person.choose("geometry", person.field(2, "left"), "yes")
    c_arm = view.record.geometry
    assert (c_arm.pixel_mm, c_arm.source_to_detector_mm, c_arm.rao_lao_deg) == (
        (0.58, 0.6),
        102.9,
        12.5,
    )
    assert edit.text == "12.5" and person.message == "" and c_arm.mirrored is True
    person.wait_until_read()
    person.type("geometry", angle, "500")
    person.host.click(person.widget("geometry", "close"))
    person.host.process(0.1)
    assert (
        not person.panel.geometry.dialog.visible
        and not person.widget("register", "register").enabled
    )
    assert "AP: LAO/RAO angle: 500 is outside" in person.text("xrays", "problem")
    assert person.header("xrays") == "\u26a0 a typed value is not taken"
    assert person.cells("xrays", "xrays")[2][1] == "not as typed"
    person.open_geometry(2)
    assert edit.text == "500" and "solid" in edit.styleSheet
    person.press("geometry", "put_back")
    assert edit.text == "" and not view.placed  # as it was before it was first changed


def test_an_update_of_the_panel_keeps_what_is_being_typed(person):
    """The panel is updated at any moment, also between two keys; Enter goes on below."""
    import qt

    from MultiViewRegistrationLib.mrml.case import shared_unknowns_of

    add_volume(person)
    person.open_geometry(2)
    person.host.click(person.widget("geometry", "shared"))
    for key, text in (("shared0", "12"), (person.field(2, "source_to_detector_mm"), "1012.5")):
        edit = person.drawn("geometry", key).edit
        edit.selectAll()
        for letter in text:
            person.host.type_keys(edit, letter)
            person.panel.invalidate()
            person.panel.tick()
        person.host.key(edit, qt.Qt.Key_Return)
        assert edit.text == text
    assert person.panel.geometry.dialog.visible
    assert person.drawn(
        "geometry", person.field(2, "source_to_isocentre_mm")
    ).edit.hasFocus()  # the other X-rays have matrices
    assert shared_unknowns_of(person.registration).source_to_detector_sd_mm == 12
    person.choose("geometry", person.field(2, "mode"), "Matrix")
    area = person.drawn("geometry", "matrix").edit
    for letter in "1 2 ":
        person.host.type_keys(area, letter)
        person.panel.tick()
    assert area.toPlainText() == "1 2 " and "Matrix has 2 numbers" in person.text(
        "geometry", "geometry_problem"
    )


def test_a_calibration_file_asks_for_its_package(person, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    person.open_geometry(0)
    person.choose("geometry", person.field(0, "mode"), "File")
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with monkeypatch.context() as patched:
        patched.setattr(packages, "find_spec", lambda name: None)
        person.host.answers.yes = False
        person.open_files("geometry", "calibration", tmp_path / "x.h5")
    assert person.host.shown("question")[-1].startswith(
        "Reading an HDF5 file needs the Python package h5py"
    )
    assert "h5py is not installed, expected your consent" in person.message
    assert person.text("geometry", "calibration_name") == "File: none yet"


def test_a_case_is_opened_beside_what_is_open_and_the_demo_at_a_click(person, sample, tmp_path):
    from MultiViewRegistrationLib.mrml.registration import Registration

    person.drop(write_phantom_case(tmp_path))
    person.wait(lambda: len(Registration.all(person.host.scene)) == 2)
    assert person.panel.registration != person.registration
    person.panel.choose(None)
    person.host.process(0.1)
    person.host.click(person.panel.files.form.drawn["demo"].widget)
    person.wait_until_read()
    assert len(Registration.all(person.host.scene)) == 3 and person.message == ""
