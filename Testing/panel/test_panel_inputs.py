"""The sections CT and X-rays in Qt: what is dropped, chosen, typed and asked reaches the scene."""

import pytest
import qt
import slicer
from helpers.phantom import write_phantom_case
from helpers.planted_dicom import write_xray
from helpers.tiny_scene import intensity

from MultiViewRegistrationLib.mrml.case import settings_of
from MultiViewRegistrationLib.mrml.registration import Registration


@pytest.fixture
def german():
    """Slicer where numbers have commas; all other tests are where they have points."""
    before = qt.QLocale()
    qt.QLocale.setDefault(qt.QLocale("de_DE"))
    yield
    qt.QLocale.setDefault(before)


@pytest.fixture
def person(person):
    person.begin("xrays")
    return person


@pytest.fixture
def table(person):
    """With a third X-ray, AP, of the scene and without a geometry, in the table of geometries."""
    node = person.host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "AP")
    slicer.util.updateVolumeFromArray(node, intensity()[None])
    person.host.process(0.1)
    person.choose("xrays", "volume", "AP")
    person.open_geometry(2)
    return person


def edit_of(person, key):
    return person.drawn("geometry", person.field(2, key)).edit


@pytest.mark.slow
def test_x_rays_of_two_patients_are_named_in_red_until_answered(person, tmp_path, monkeypatch):
    for name, patient in (("a", "P-1"), ("b", "P-2")):
        write_xray(tmp_path / f"{name}.dcm", PatientID=patient)
    person.open_files("xrays", "files", tmp_path / "a.dcm", tmp_path / "b.dcm")
    person.wait(lambda: "asked.use" in person.panel.files.form.drawn)
    person.host.click(person.panel.files.form.drawn["asked.use"].widget)  # all of this patient
    person.wait_until_read()
    named = person.drawn("answer", "patients")
    assert "a P-1, b P-2" in named.widget.text and named.widget.property("tone") == "error"
    assert not person.ui.noticeLabel.visible
    questions = []
    monkeypatch.setattr(
        slicer.util, "confirmYesNoDisplay", lambda asked: not questions.append(asked)
    )
    person.press("answer", "patient")
    assert "b P-2" in questions[0] and person.text("answer", "patients") == ""


def test_a_c_arm_is_typed_with_points_or_commas(table, german, length_unit):
    length_unit("cm")
    for key, text in {
        "rao_lao_deg": "1,5",
        "cra_cau_deg": "2",
        "source_to_detector_mm": "9,1",
        "source_to_isocentre_mm": "60 mm",
        "pixel_mm": "0,058, 0.06",
    }.items():
        table.type("geometry", table.field(2, key), text)
    assert slicer.util.findChildren(table.widget("geometry", "fields"), text="Pixel size, cm")
    assert "91 mm is less than C-arms have" in table.note(2)
    table.choose("geometry", table.field(2, "mirrored"), "yes")
    c_arm = table.xrays[2].record.geometry
    assert (c_arm.pixel_mm, c_arm.rao_lao_deg, c_arm.mirrored) == ((0.58, 0.6), 1.5, True)
    assert edit_of(table, "rao_lao_deg").text == "1.5" and table.message == ""


@pytest.mark.slow
def test_a_typed_value_that_is_refused_is_marked_also_once_the_window_was_closed(table):
    edit = edit_of(table, "rao_lao_deg")
    table.type("geometry", table.field(2, "rao_lao_deg"), "500")
    table.host.process(0.1)
    assert "500 is outside" in table.note(2)
    table.host.click(table.widget("geometry", "close"))
    table.host.process(0.1)
    assert not table.panel.geometry.dialog.visible
    table.open_geometry(2)
    assert edit.text == "500" and "solid" in edit.styleSheet


def test_a_field_is_taken_when_its_window_is_closed(table):
    edit = edit_of(table, "rao_lao_deg")
    edit.setFocus()
    edit.insert("30")
    table.panel.geometry.dialog.reject()  # as Escape does
    table.open_geometry(2)
    assert table.control("geometry", table.field(2, "rao_lao_deg")).text == "30"


def test_a_matrix_is_taken_when_its_field_is_left(table):
    table.choose("geometry", table.field(2, "kind"), "Matrix")
    table.type("geometry", "matrix", "500 40 0 28000 0 30 -500 21000 0 1 0 700")
    assert table.xrays[2].record.kind == "camera" and table.message == ""


@pytest.mark.slow
def test_an_update_of_the_panel_keeps_what_is_being_typed(table):
    """The panel is updated at any moment, also between two keys; Enter goes on below."""
    table.host.click(table.widget("geometry", "shared"))
    for key, text in (("shared0", "12"), (table.field(2, "source_to_detector_mm"), "1012.5")):
        edit = table.drawn("geometry", key).edit
        edit.selectAll()
        for letter in text:
            table.host.type_keys(edit, letter)
            table.panel.invalidate()
            table.host.process(0.05)
        table.host.key(edit, qt.Qt.Key_Return)
        assert edit.text == text
    assert table.panel.geometry.dialog.visible and edit_of(table, "source_to_isocentre_mm").focus
    assert settings_of(table.registration).shared_unknowns.source_to_detector_sd_mm == 12


@pytest.mark.slow
def test_a_case_is_opened_beside_what_is_open_and_the_demo_at_a_click(person, sample, tmp_path):
    person.drop(write_phantom_case(tmp_path))
    person.wait(lambda: len(Registration.all(person.host.scene)) == 2)
    assert person.panel.registration != person.registration
    person.panel.choose(None)
    person.host.process(0.1)
    person.host.click(person.panel.files.form.drawn["demo"].widget)
    person.wait_until_read()
    assert len(Registration.all(person.host.scene)) == 3 and person.message == ""
