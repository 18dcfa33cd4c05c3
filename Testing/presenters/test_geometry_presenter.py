"""The table of geometries: a field that is left is applied or has an error; stored C-arms; putting back."""

import numpy as np
import pytest
from geometry_table import C_ARM, cell, enter_c_arm, field, put
from helpers.file_io import read_json, write_json
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from presenter_host import act, control, text
from test_xrays_presenter import COLUMNS, ROWS, add, cells, host, place, section, volume

from MultiViewRegistrationLib.geometry.fields import CALIBRATION
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.xray_record import Header
from MultiViewRegistrationLib.session.geometry import give_geometry
from MultiViewRegistrationLib.session.presenters import geometry

__all__ = ["host", "section"]


@pytest.fixture
def table(section, monkeypatch, tmp_path):
    """The table over one X-ray, AP, without drawn C-arms; stored C-arms are in a folder of the test."""
    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(geometry, "svg_text", lambda figure: "")
    monkeypatch.setattr(geometry, "machine_figure", lambda view: None)
    add(section, "AP")
    act(section, "geometry")
    return section.geometry


@pytest.fixture
def ap(section, table):
    """The X-ray, with the geometry of C_ARM."""
    enter_c_arm(table)
    return section.views[0]


@pytest.fixture
def lat(section, ap):
    """A second X-ray, without a geometry."""
    add(section, "LAT")
    return section.views[1]


def shown(table, key, number=0):
    """The error or warning of a field."""
    found = cell(table, key, number)
    return found.error or found.caution


# A C-arm


def test_a_c_arm_is_applied_when_its_last_field_is_left(section, table):
    (view,) = section.views
    for key, value in C_ARM.items():
        assert not view.placed and cell(table, key).missing
        put(table, key, value)
    assert view.record.geometry.rao_lao_deg == 30
    assert cells(section)[0][1] == "LAO 30\u00b0, CRA 10\u00b0"


def test_an_edited_field_is_applied_at_once(table, ap):
    put(table, "rao_lao_deg", "RAO 45")
    assert ap.record.geometry.rao_lao_deg == -45 and field(table, "rao_lao_deg").text == "-45"


def test_an_invalid_field_keeps_the_geometry_and_shows_its_error(table, ap):
    before = ap.record.geometry
    put(table, "rao_lao_deg", "500")
    assert ap.record.geometry == before and field(table, "rao_lao_deg").text == "500"
    row = control(table, "fields").lines[0]
    assert (row.note, row.tone) == (shown(table, "rao_lao_deg"), "error")
    assert row.note == "LAO/RAO angle: 500 is outside -180 to 180\u00b0; correct it."


def test_an_unusual_value_is_applied_with_a_warning(table, ap):
    put(table, "pixel_mm", "5.8")
    assert ap.record.geometry.pixel_mm == (5.8, 5.8)
    row = control(table, "fields").lines[0]
    assert row.note.startswith("Pixel size: 5.8 mm is more than") and row.tone == "caution"


def test_angles_in_radians_are_warned_of(section, table, lat):
    put(table, "rao_lao_deg", "0")
    put(table, "cra_cau_deg", "0")
    enter_c_arm(table, 1, rao_lao_deg="1.5708", cra_cau_deg="0")
    assert shown(table, "rao_lao_deg", 1).endswith("Enter degrees: 90.0.")


def test_left_and_right_unlike_in_all_other_x_rays_are_warned_of(table, lat):
    enter_c_arm(table, 1, rao_lao_deg="20", mirrored="yes")
    assert "Left and right are the other way round" in shown(table, "mirrored", 1)
    put(table, "mirrored", "no", 1)
    assert shown(table, "mirrored", 1) == ""


@pytest.mark.parametrize(
    "angle, titles",
    [
        ("0", ["yes", "no"]),
        ("180", ["yes", "no"]),
        ("90", ["back on the left", "front on the left"]),
    ],
)
def test_left_and_right_are_where_a_point_on_the_patient_is_projected(table, ap, angle, titles):
    """The contract of docs/frames.md."""
    put(table, "rao_lao_deg", angle)
    put(table, "cra_cau_deg", "0")
    options = {option.title: option.value for option in field(table, "mirrored").options}
    points = {"yes": [-30, 0, 0], "no": [30, 0, 0]}
    points |= {"front on the left": [0, -30, 0], "back on the left": [0, 30, 0]}
    for title in titles:
        put(table, "mirrored", options[title])
        across = ap.camera.project(np.array([points[title], [0, 0, 0]], float))[:, 0]
        assert across[0] < across[1]


def test_the_picture_shows_the_c_arm(section, monkeypatch, tmp_path):
    monkeypatch.setenv("MVREG_DATA", str(tmp_path))
    add(section, "AP")
    place(section, 20.0)
    act(section, "geometry")
    assert "LAO 20" in control(section.geometry, "c_arm_picture").svg


def test_bone_in_the_file(section, table):
    put(table, "bone", "bright log")
    record = section.views[0].record
    assert (record.intensity, record.inverted) == ("log", False)
    assert field(table, "bone").value == "bright log"


# Registration with an invalid draft


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("rao_lao_deg", "", "AP: LAO/RAO angle is not given. Complete the geometry."),
        ("pixel_mm", "0.0003", "AP: Pixel size: 0.0003 mm looks like metres. Enter 0.3."),
    ],
)
def test_an_invalid_draft_is_named_where_a_registration_is_refused(
    host, section, table, ap, key, value, sentence
):
    put(table, key, value)
    act(table, "close")
    register = host.presenters.register
    host.registration.ct = volume(host, "CT")
    assert register.missing() == text(section, "problem") == sentence
    assert not control(register, "register").enabled
    assert host.answer.answer().headline == sentence
    assert section.state().kind == "problem" and cells(section)[0][1] == "not as typed"


def test_an_invalid_draft_of_an_unused_x_ray_does_not_matter(table, ap):
    put(table, "rao_lao_deg", "500")
    ap.change(use=False)
    assert table.first_error() == ""


def test_an_invalid_draft_is_kept_when_the_table_is_closed(section, table, ap):
    put(table, "rao_lao_deg", "500")
    act(table, "close")
    act(section, "geometry")
    assert field(table, "rao_lao_deg").text == "500" and shown(table, "rao_lao_deg") != ""


def test_drafts_are_discarded_with_their_registration(host, section, table):
    put(table, "rao_lao_deg", "30")
    first = host.registration
    host.choose(Registration.create(host.scene, "Other"))
    assert table.form() == []
    host.choose(first)
    act(section, "geometry")
    assert field(table, "rao_lao_deg").text == ""


@pytest.mark.parametrize("key", ["principal_point_sd_px", "shared0"])
def test_an_invalid_certainty_is_kept_and_refuses_a_registration(table, ap, key):
    act(table, "certainty_known", "typed")
    with refuses("5000 is outside"):
        act(table, key, "5000")
    assert text(table, key) == "5000" and "5000 is outside" in table.first_error()
    act(table, key, "2")
    assert table.first_error() == "" and text(table, key) == "2"


# Kinds of geometry


def test_another_kind_starts_from_the_camera_and_changes_nothing(table, ap):
    before = ap.record
    put(table, "kind", "matrix")
    shown = np.array(control(table, "matrix").text.split(), float).reshape(3, 4)
    assert_allclose(shown, ap.camera.projection_matrix, rtol=1e-6, atol=1e-4)
    assert ap.record == before and table.first_error() == ""


def test_entries_of_another_kind_are_not_remembered(table):
    put(table, "rao_lao_deg", "30")
    put(table, "kind", "matrix")
    put(table, "kind", "c_arm")
    assert field(table, "rao_lao_deg").text == ""


def test_another_kind_is_used_on_request(table, ap):
    before = ap.camera
    put(table, "kind", "matrix")
    act(table, "use")
    assert ap.record.kind == "camera" and control(table, "use") is None
    assert_allclose(ap.camera.projection_matrix, before.projection_matrix, rtol=1e-6, atol=1e-4)


#: A camera 700 mm before the isocentre that looks along y; the feet are at the bottom of its image.
P = np.array([[500.0, 40, 0, 28000], [0, 30, -500, 21000], [0, 1, 0, 700]])
MIRRORED = P * [[-1], [1], [1]]


@pytest.fixture
def matrix(section, table):
    """The X-ray, with the fields of a matrix."""
    put(table, "kind", "matrix")
    return section.views[0]


def test_a_matrix_is_applied_and_shown_in_lps(section, table, matrix):
    act(table, "axes", "RAS")
    act(table, "matrix", str((3 * P @ np.diag([-1.0, -1, 1, 1])).tolist()))
    assert_allclose(matrix.camera.projection_matrix, P, atol=1e-6)
    assert cells(section)[0][1] == "matrix" and control(table, "axes").value == "LPS"
    shown = np.array(control(table, "matrix").text.split(), float).reshape(3, 4)
    assert_allclose(shown, P, atol=1e-4)


@pytest.mark.parametrize(
    "entered, sentence",
    [
        ("", "Matrix is not given."),
        ("nothing of use", '"nothing" in it'),
        ("1 2 3", "Matrix has 3 numbers"),
        (str(MIRRORED.tolist()), "seen from the source or from the detector. Choose one below."),
    ],
)
def test_an_invalid_matrix_keeps_the_last_valid_one(table, matrix, entered, sentence):
    act(table, "matrix", str(P.tolist()))
    act(table, "matrix", entered)
    assert sentence in text(table, "geometry_problem") and sentence in table.first_error()
    assert table.first_error().startswith("AP: ")
    assert_allclose(matrix.camera.projection_matrix, P, atol=1e-6)


@pytest.mark.parametrize("end, sign", [("detector", 1), ("source", -1)])
def test_a_mirrored_matrix_is_applied_once_its_end_is_chosen(table, matrix, end, sign):
    act(table, "matrix", str(MIRRORED.tolist()))
    assert not matrix.placed
    act(table, "matrix.seen_from", end)
    assert_allclose(matrix.camera.projection_matrix, sign * MIRRORED, atol=1e-6)


def test_the_error_of_a_matrix_is_in_its_row_while_another_x_ray_is_selected(section, table, lat):
    put(table, "kind", "matrix", 1)
    act(table, "matrix", "1 2 3")
    assert cell(table, "kind", 1).error == ""
    act(table, "fields", section.views[0].id)
    assert "Matrix has 3 numbers" in cell(table, "kind", 1).error


def test_a_matrix_may_be_calibrated_until_it_is_replaced(table, matrix):
    act(table, "matrix", str(P.tolist()))
    known = control(table, "certainty_known")
    assert [option.value for option in known.options] == ["usual", "calibrated", "exactly", "typed"]
    assert control(table, "certainty").open and matrix.record.presumed
    act(table, "certainty_known", "calibrated")
    assert matrix.record.uncertainty == CALIBRATION and not matrix.record.presumed
    act(table, "matrix", str((np.array([[1.0, 0, 5], [0, 1, 0], [0, 0, 1]]) @ P).tolist()))
    assert matrix.record.presumed


# Sources of values


def test_only_the_typed_value_is_no_longer_that_of_the_file(host, section, table):
    place(section, 20.0)
    (view,) = section.views
    give_geometry(view, view.record.geometry, origin="case.json")
    put(table, "rao_lao_deg", "21")
    host.choose(host.registration)  # which discards the state of the table
    act(section, "geometry")
    origins = {key: cell(table, key).origin for key in C_ARM}
    assert origins == {**dict.fromkeys(C_ARM, "case.json"), "rao_lao_deg": ""}


def test_a_complete_proposal_of_a_header_waits_to_be_used(section, table):
    (view,) = section.views
    values = {"source_to_detector_mm": 1000.0, "source_to_isocentre_mm": 700.0}
    values |= {"rao_lao_deg": 0.0, "cra_cau_deg": 0.0, "mirrored": True}
    header = Header("c_arm", values, missing=("pixel_mm",))
    view.change(header=header, image_pixel_mm=(0.3, 0.3))
    waiting = "Everything is given, and not used yet: press Use this geometry."
    assert table.first_error() == f"AP: {waiting}" and cell(table, "kind").caution == waiting
    assert [cell(table, key).origin for key in ("mirrored", "pixel_mm")] == [
        "DICOM header",
        "the file",
    ]
    act(table, "use")
    assert view.placed and table.first_error() == ""


def test_the_field_that_is_needed_first_gets_the_focus(section, table):
    view = section.views[0]
    assert table.key_to_focus() == f"{view.id}.rao_lao_deg"
    put(table, "rao_lao_deg", "30")
    put(table, "cra_cau_deg", "CRA")
    assert table.key_to_focus() == f"{view.id}.cra_cau_deg"
    put(table, "kind", "matrix")
    act(table, "matrix", str(MIRRORED.tolist()))
    assert table.key_to_focus() == "matrix"
    act(table, "matrix", str(P.tolist()))
    assert table.key_to_focus() == "certainty_known"


# Put back


def test_an_x_ray_is_put_back_to_what_it_had_when_the_table_was_opened(section, table, ap):
    act(table, "close")
    act(section, "geometry")
    before = ap.record
    for key, value in (("rao_lao_deg", "40"), ("bone", "bright"), ("pixel_mm", "500")):
        put(table, key, value)
    act(table, "certainty_known", "exactly")
    act(table, "put_back")
    assert ap.record.is_given_as(before) and shown(table, "pixel_mm") == ""
    assert not control(table, "put_back").enabled


def test_an_x_ray_that_was_added_to_the_open_table_is_put_back(section, table, lat):
    enter_c_arm(table, 1)
    act(table, "put_back")
    assert not lat.placed and field(table, "rao_lao_deg", 1).text == ""


# C-arms that are stored


@pytest.fixture
def stored(table, ap, tmp_path):
    """The file of a stored C-arm, Cios Spin, which AP has."""
    put(table, "principal_point", "41 30")
    put(table, "mirrored", "yes")
    act(table, "preset_name", "Cios  Spin")
    act(table, "keep_preset")
    return tmp_path / "data" / "c_arms.json"


def test_a_c_arm_is_stored_without_its_angles(table, stored):
    assert text(table, "presets_problem") == "Cios  Spin is kept on this computer."
    assert read_json(stored)["presets"] == [
        {
            "name": "Cios Spin",
            "source_to_detector_mm": 1020,
            "source_to_isocentre_mm": 700,
            "pixel_mm": [0.5, 0.5],
            "size": [COLUMNS, ROWS],
            "principal_point": [41, 30],
            "mirrored": True,
        }
    ]
    assert control(table, "preset").value == "Cios Spin"


def test_a_stored_c_arm_is_deleted(table, stored):
    act(table, "delete_preset")
    assert read_json(stored)["presets"] == [] and control(table, "preset") is None


def test_a_c_arm_needs_a_name(table, ap):
    with refuses("has 0 letters"):
        act(table, "keep_preset")


def test_a_stored_c_arm_fills_in_all_but_the_angles(table, stored, lat):
    act(table, "fields", lat.id)
    act(table, "preset", "Cios Spin")
    assert cell(table, "source_to_detector_mm", 1).origin == "Cios Spin"
    assert [key for key in C_ARM if cell(table, key, 1).missing] == ["rao_lao_deg", "cra_cau_deg"]
    put(table, "rao_lao_deg", "90", 1)
    put(table, "cra_cau_deg", "0", 1)
    assert lat.record.geometry.principal_point == (41, 30) and lat.record.geometry.mirrored


def test_a_c_arm_is_used_for_all_x_rays(table, ap, lat):
    enter_c_arm(table, 1, rao_lao_deg="90", source_to_detector_mm="1000")
    act(table, "to_all")
    geometry = ap.record.geometry
    assert (geometry.source_to_detector_mm, geometry.rao_lao_deg) == (1000, 30)
    assert cell(table, "pixel_mm", 0).origin == "as LAT" and table.view == lat


def test_a_stored_c_arm_of_another_image_size_leaves_the_pixels_empty(table, ap, stored):
    content = read_json(stored)
    content["presets"][0]["size"] = [COLUMNS * 2, ROWS * 2]
    write_json(stored, content)
    act(table, "preset", "Cios Spin")
    assert "Enter its pixel size." in text(table, "presets_problem")
    assert cell(table, "pixel_mm").missing


def test_a_damaged_file_of_c_arms_is_kept_beside_a_new_one(table, stored):
    stored.write_text('{"version": 1, "presets": [{"name": "Half')
    assert "c_arms.json" in text(table, "presets_problem") and control(table, "preset") is None
    act(table, "preset_name", "Ziehm")
    act(table, "keep_preset")
    assert "c_arms-damaged-" in text(table, "presets_problem")
    assert [each.read_text()[-4:] for each in stored.parent.glob("c_arms-damaged-*.json")] == [
        "Half"
    ]
