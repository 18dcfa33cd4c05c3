"""The table of geometries, filled in as a person does: a C-arm's readings, or a matrix.

Faults at their fields; kept C-arms.
"""

import numpy as np
import pytest
from geometry_table import C_ARM, cell, enter, enter_c_arm, field, put
from helpers.file_io import read_json, write_json
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from presenter_host import act, control, text
from test_xrays_presenter import COLUMNS, ROWS, add, cells, host, place, section, settled, volume

from MultiViewRegistrationLib.geometry.fields import CALIBRATION
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.xray_record import Header
from MultiViewRegistrationLib.session.geometry import give_geometry
from MultiViewRegistrationLib.session.presenters.external_files import Question
from MultiViewRegistrationLib.session.presenters.geometry_fields import NUMBERS

__all__ = ["host", "section"]


@pytest.fixture
def table(section, monkeypatch, tmp_path):
    """The table over one X-ray, AP; C-arms are kept elsewhere."""
    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))
    add(section, "AP")
    act(section, "geometry")
    return section.geometry


def faults(table, number=0):
    """The sentences of a row's fields by their keys."""
    line = control(table, "fields").lines[number]
    return {
        each.field.key.partition(".")[2]: each.fault or each.caution
        for each in line.cells
        if each.fault or each.caution
    }


def missing(table, number=0):
    line = control(table, "fields").lines[number]
    return [each.field.key.partition(".")[2] for each in line.cells if each.missing]


def test_a_c_arm_field_by_field(section, table):
    (view,) = section.views
    assert cells(section) == [["AP", "needs geometry", ""]] and section.state().kind == "todo"
    typed = {
        "rao_lao_deg": "-30",
        "cra_cau_deg": "0",
        "source_to_detector_mm": "1020",
        "source_to_isocentre_mm": "1100",
        "pixel_mm": "0,58",
    }
    assert missing(table) == [*typed, "left"] and faults(table) == {}
    enter(table, typed)
    assert missing(table) == ["left"] and list(faults(table)) == ["source_to_isocentre_mm"]
    told = faults(table)["source_to_isocentre_mm"]
    assert "expected less than source to detector, 1020 mm" in told
    put(table, "source_to_isocentre_mm", "600,25 mm")
    assert faults(table) == {} and not view.placed
    put(table, "left", "L")  # no, it is not the patient's right
    reading = view.record.geometry
    assert (reading.rao_lao_deg, reading.mirrored, reading.pixel_mm) == (-30, False, (0.58, 0.58))
    assert reading.source_to_isocentre_mm == 600.25 and reading.principal_point is None
    assert cells(section)[0][1:3] == ["RAO 30\u00b0, CRA 0\u00b0", "reference"]
    assert missing(table) == []
    settled(section)
    assert (section.state().kind, section.state().text) == ("ready", "1 view ready")


def test_the_rest_of_a_c_arm(section, table):
    more = {"roll_deg": "3", "isocentre_offset_mm": "1.5 0", "left": "R", "pixel_mm": "2 x 2.5"}
    enter_c_arm(table, principal_point=f"41 \u00d7 {ROWS / 2}", **more)
    reading = section.views[0].record.geometry
    assert (reading.principal_point, reading.roll_deg) == ((41, ROWS / 2), 3)
    assert (reading.isocentre_offset_mm, reading.mirrored) == ((1.5, 0), True)
    assert reading.pixel_mm == (2, 2.5) and field(table, "pixel_mm").text == "2 \u00d7 2.5"
    put(table, "principal_point", f"{(COLUMNS - 1) / 2} {(ROWS - 1) / 2}")
    centre = field(table, "principal_point")
    assert (centre.text, centre.hint) == ("", "middle")
    put(table, "principal_point", "41")
    assert 'found "41", expected two numbers, column and row' in faults(table)["principal_point"]


def test_every_fault_is_at_its_field_and_what_the_x_ray_has_stays(host, section, table):
    add(section, "LAT")
    enter_c_arm(table)
    view, before = section.views[0], section.views[0].record.geometry
    for value, sentence in (
        ("500", "LAO/RAO angle: 500 is outside -180 to 180\u00b0; correct it."),
        ("1.000,5", '"1.000,5" has more than one point or comma'),
        ("thirty", 'found "thirty"'),
    ):
        put(table, "rao_lao_deg", value)
        assert field(table, "rao_lao_deg").text == value
        assert sentence in faults(table)["rao_lao_deg"]
    enter(table, {"source_to_detector_mm": "1.02", "pixel_mm": "0.0003"})
    told = faults(table)
    assert told["source_to_detector_mm"] == "1.02 mm looks like metres; give mm: 1020."
    assert told["pixel_mm"] == "0.0003 mm looks like metres; give mm: 0.3."
    assert 'found "thirty"' in told["rao_lao_deg"] and view.record.geometry == before
    notes = control(table, "fields").lines[0].notes
    assert [each["column"] for each in notes] == [1, 3, 5] and notes[-1]["span"] == 4
    assert faults(table, 1) == {} and field(table, "rao_lao_deg", 1).text == ""
    act(table, "fields", view.id)
    act(table, "put_back")
    assert faults(table) == {} and not view.placed  # as it was when the table was opened
    put(table, "rao_lao_deg", "30", 1)
    first = host.registration
    host.choose(Registration.create(host.scene, "Other"))
    assert table.form() == []
    host.choose(first)
    act(section, "geometry")
    assert field(table, "rao_lao_deg", 1).text == ""


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("pixel_mm", "5.8", "5.8 mm is more than"),
        ("source_to_detector_mm", "102,9", "is it in cm?"),
    ],
)
def test_what_is_unusual_is_marked_and_taken_once_the_field_is_left(
    section, table, key, value, sentence
):
    enter_c_arm(table, pixel_mm="0.3", source_to_isocentre_mm="60")
    view, before = section.views[0], section.views[0].record.geometry
    field(table, key).typed(value)
    assert sentence in faults(table)[key] and view.record.geometry == before
    put(table, key, value)
    assert sentence in faults(table)[key] and view.record.geometry != before


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("rao_lao_deg", "", "AP: LAO/RAO angle is not given."),
        ("pixel_mm", "0.0003", "AP: 0.0003 mm looks like metres; give mm: 0.3."),
        ("left", "", "AP: whether the patient's right is on the left of the image is not given."),
    ],
)
def test_a_registration_waits_for_what_is_typed_also_once_the_table_is_closed(
    host, section, table, key, value, sentence
):
    answer, register, view = host.answer, host.presenters.register, section.views[0]
    add(section, "LAT")
    enter_c_arm(table, 1, rao_lao_deg="90")
    enter_c_arm(table, 0)
    host.registration.ct = volume(host, "CT")
    settled(section)
    assert control(register, "register").enabled and section.state().text == "2 views ready"
    before = view.record.geometry
    put(table, key, value)
    act(table, "close")
    assert view.record.geometry == before  # which is not what a person thinks that it is
    button = control(register, "register")
    assert not button.enabled and register.state().kind == "todo"
    assert button.tip == text(section, "problem") == answer.answer().headline == sentence
    assert section.state().kind == "problem" and cells(section)[0][1] == "not as typed"
    assert control(answer, "geometry").label == "Correct the geometry"
    act(section, "xrays", section.views[1].id, 0)
    act(answer, "geometry")
    assert section.selected == view and faults(table).get(key, "") in sentence
    view.change(use=False)  # the values of one that is skipped do not matter
    assert control(register, "register").enabled
    view.change(use=True)
    put(table, key, "R" if key == "left" else "0.31")
    assert control(register, "register").enabled and section.state().text == "2 views ready"


def test_a_registration_waits_for_refused_certainties_too(section, table):
    enter_c_arm(table)
    (view,) = section.views
    assert text(table, "put_back") == "Put AP back"
    act(table, "certainty_known", "typed")
    for key in ("principal_point_sd_px", "shared0"):
        kept = view.record.uncertainty.get(key)
        with refuses("5000 is outside"):
            act(table, key, "5000")
        act(table, "close")
        assert "5000 is outside" in table.unfinished() and view.record.uncertainty.get(key) == kept
        act(section, "geometry")
        assert text(table, key) == "5000"
        act(table, key, "2")
        assert table.unfinished() == "" and text(table, key) == "2"
    act(table, "put_back")
    assert "principal_point_sd_px" not in view.record.uncertainty


def test_a_kind_of_geometry_that_is_only_looked_at_is_nothing_typed(section, table):
    enter_c_arm(table)
    for mode in ("matrix", "c_arm", "matrix"):
        put(table, "mode", mode)
        assert table.unfinished() == ""
    act(table, "matrix", "1 2 3")
    assert "AP: Matrix has 3 numbers" in table.unfinished()


def test_what_is_typed_stays_while_another_kind_is_looked_at_and_may_be_taken_out(section, table):
    put(table, "rao_lao_deg", "30")
    put(table, "mode", "matrix")
    put(table, "mode", "c_arm")
    assert field(table, "rao_lao_deg").text == "30" and table.unfinished() != ""
    put(table, "rao_lao_deg", "")
    assert table.unfinished() == "" and "rao_lao_deg" in missing(table)


def test_put_back_takes_back_what_was_changed_before_the_table_was_opened_again(section, table):
    """What others gave an X-ray meanwhile is what it is put back to."""
    (view,) = section.views
    place(section, 20.0)
    original = view.record.geometry
    for angle in ("30", "40", "500"):
        act(section, "geometry")
        put(table, "rao_lao_deg", angle)
        act(table, "close")
    assert view.record.geometry.rao_lao_deg == 40
    act(section, "geometry")
    act(table, "put_back")
    assert view.record.geometry == original and not control(table, "put_back").enabled
    put(table, "rao_lao_deg", "50")
    act(table, "close")
    place(section, 60.0)
    act(section, "geometry")
    assert not control(table, "put_back").enabled and field(table, "rao_lao_deg").text == "60"
    put(table, "rao_lao_deg", "70")
    act(table, "put_back")
    assert view.record.geometry.rao_lao_deg == 60


def test_only_the_value_that_is_typed_is_no_longer_the_header_s(host, section, table):
    def origins():
        return {key: cell(table, key).origin for key in C_ARM}

    (view,) = section.views
    place(section, 20.0)
    give_geometry(view, view.record.geometry, origin="case.json")
    assert origins() == dict.fromkeys(C_ARM, "case.json")
    put(table, "rao_lao_deg", "21")
    typed = {**dict.fromkeys(C_ARM, "case.json"), "rao_lao_deg": ""}
    assert origins() == typed
    host.choose(host.registration)
    act(section, "geometry")
    assert origins() == typed


def test_the_camera_follows_each_key(section, table):
    view = section.views[0]
    field(table, "rao_lao_deg").typed("30")
    assert not view.placed  # of an X-ray without a geometry the last field has to be left
    enter_c_arm(table)
    for typed, angle in (("-", 30), ("-4", -4), ("-45", -45), ("-45x", 30)):
        field(table, "rao_lao_deg").typed(typed)
        assert field(table, "rao_lao_deg").text == typed
        assert view.record.geometry.rao_lao_deg == angle  # no number leaves what was before
        assert ("RAO 45" in control(table, "c_arm_picture").svg) == (angle == -45)


def test_radians_twins_and_left_and_right_that_differ_are_seen_at_their_fields(section, table):
    add(section, "LAT")
    enter_c_arm(table, 0, rao_lao_deg="0", cra_cau_deg="0")
    enter_c_arm(table, 1, rao_lao_deg="1.5708", cra_cau_deg="0")
    told = faults(table, 1)["rao_lao_deg"]
    assert told.startswith("1.5708 looks like radians") and told.endswith("give degrees: 90.0.")
    put(table, "rao_lao_deg", "0", 1)
    settled(section)
    assert section.state().text == "AP and LAT have the same geometry"
    assert "AP has the same geometry" in faults(table, 1)["rao_lao_deg"]
    put(table, "rao_lao_deg", "90", 1)
    settled(section)
    assert section.state().text == "2 views ready" and faults(table, 1) == {} == faults(table, 0)
    for letter in ("A", "P"):
        put(table, "left", letter, 1)
        ap, lat = (view.record.geometry.mirrored for view in section.views)
        assert ("stored the other way round" in faults(table, 1).get("left", "")) == (ap != lat)


@pytest.mark.parametrize(
    "angle, titles",
    [
        ("0", ["yes", "no"]),
        ("180", ["yes", "no"]),
        ("90", ["back on the left", "front on the left"]),
    ],
)
def test_left_and_right_are_where_a_point_on_the_patient_falls(section, table, angle, titles):
    """The contract's left and right (docs/frames.md), held against a projected point."""
    enter_c_arm(table, rao_lao_deg=angle, cra_cau_deg="0")
    options = {option.title: option.value for option in field(table, "left").options}
    view, sides = section.views[0], {"R": [-30, 0, 0], "L": [30, 0, 0]}
    sides |= {"A": [0, -30, 0], "P": [0, 30, 0]}
    for letter in (options[title] for title in titles):
        put(table, "left", letter)
        across = view.camera.project(np.array([sides[letter], [0, 0, 0]], float))[:, 0]
        assert across[0] < across[1]


def test_the_side_on_the_left_stays_while_the_angle_is_corrected(section, table):
    enter_c_arm(table, rao_lao_deg="0", left="R")
    assert section.views[0].record.geometry.mirrored is True
    for typed in ("1", "18", "180"):
        field(table, "rao_lao_deg").typed(typed)
    put(table, "rao_lao_deg", "180")
    assert field(table, "left").value == "R" and section.views[0].record.geometry.mirrored is False


@pytest.mark.parametrize(
    "bone, intensity, inverted",
    [("bright", "linear", True), ("bright log", "log", False), ("dark", "linear", False)],
)
def test_bone_in_the_file(section, table, bone, intensity, inverted):
    record = section.views[0].record
    put(table, "bone", "bright" if bone == "dark" else "dark")
    put(table, "bone", bone)
    record = section.views[0].record
    assert (record.intensity, record.inverted) == (intensity, inverted)
    assert field(table, "bone").value == bone


@pytest.fixture
def kept(table, tmp_path):
    """The file of a C-arm that is kept, Cios Spin."""
    enter_c_arm(table, principal_point="41 30", left="R")
    act(table, "preset_name", "Cios  Spin")
    act(table, "keep_preset")
    return tmp_path / "data" / "c_arms.json"


def test_a_c_arm_is_kept_on_this_computer(table, kept):
    assert text(table, "presets_problem") == "Cios  Spin is kept on this computer."
    (preset,) = read_json(kept)["presets"]
    assert preset == {
        "name": "Cios Spin",
        "source_to_detector_mm": 1020,
        "source_to_isocentre_mm": 700,
        "pixel_mm": [0.5, 0.5],
        "size": [COLUMNS, ROWS],
        "principal_point": [41, 30],
        "mirrored": True,
    }
    act(table, "delete_preset")
    assert read_json(kept)["presets"] == [] and control(table, "preset") is None


def test_a_c_arm_that_is_kept_fills_in_another_x_ray_and_that_all(section, table, kept):
    add(section, "LAT")
    act(table, "fields", section.views[1].id)
    act(table, "preset", "Cios Spin")
    assert cell(table, "source_to_detector_mm", 1).origin == "Cios Spin"
    assert missing(table, 1) == ["rao_lao_deg", "cra_cau_deg"]
    enter(table, {"rao_lao_deg": "90", "cra_cau_deg": "0"}, 1)
    first, second = section.views
    assert second.record.geometry.principal_point == (41, 30) and second.record.geometry.mirrored
    put(table, "source_to_detector_mm", "1000", 1)
    act(table, "to_all")
    geometry = first.record.geometry
    assert (geometry.source_to_detector_mm, geometry.rao_lao_deg) == (1000, 30)
    assert cell(table, "pixel_mm", 0).origin == "as LAT"


def test_a_c_arm_of_another_size_of_image_is_told(table, kept):
    content = read_json(kept)
    content["presets"][0]["size"] = [COLUMNS * 2, ROWS * 2]
    write_json(kept, content)
    act(table, "preset", "Cios Spin")
    assert "AP has" in text(table, "presets_problem") and field(table, "pixel_mm").text == ""


def test_a_damaged_file_of_c_arms_stays_beside_a_new_one(table, kept):
    kept.write_text('{"version": 1, "presets": [{"name": "Half')
    assert "c_arms.json" in text(table, "presets_problem") and control(table, "preset") is None
    act(table, "preset_name", "Ziehm")
    act(table, "keep_preset")
    told = "was damaged; it lies beside the new one as c_arms-damaged-"
    assert told in text(table, "presets_problem") and control(table, "preset").value == "Ziehm"
    assert [each.read_text()[-4:] for each in kept.parent.glob("c_arms-damaged-*.json")] == ["Half"]


#: A camera 700 mm before the isocentre that looks along y; the feet are at the bottom of its image.
P = np.array([[500.0, 40, 0, 28000], [0, 30, -500, 21000], [0, 1, 0, 700]])


@pytest.mark.parametrize(
    "given, axes",
    [
        (str((3 * P).tolist()), "LPS"),
        ("\n".join("\t".join(str(value).replace(".", ",") for value in row) for row in P), "LPS"),
        (str((P @ np.diag([-1.0, -1, 1, 1])).tolist()), "RAS"),
    ],
    ids=["brackets", "decimal commas", "Slicer's world"],
)
def test_a_matrix(section, table, given, axes):
    view = section.views[0]
    put(table, "mode", "matrix")
    assert "Matrix: none is given" in text(table, "geometry_problem")
    assert field(table, "rao_lao_deg").label == "\u2013"
    for typed, told in (("nothing of use", '"nothing" in it'), ("1 2 3", "Matrix has 3 numbers")):
        act(table, "matrix", typed)
        assert told in text(table, "geometry_problem") and not view.placed
    act(table, "axes", axes)
    act(table, "matrix", given)
    assert_allclose(view.camera.projection_matrix, P, atol=1e-6)
    assert cells(section)[0][1] == "matrix" and control(table, "axes").value == "LPS"
    shown = np.array(control(table, "matrix").text.split(), float).reshape(3, 4)
    assert_allclose(shown, P, atol=1e-4)
    put(table, "mode", "c_arm")
    assert control(table, "put_back").enabled
    put(table, "mode", "matrix")  # back to what it has
    assert view.placed and text(table, "geometry_problem") == ""


def test_the_table_leads_to_what_it_needs_most(section, table):
    view = section.views[0]
    assert table.wanted() == f"{view.id}.rao_lao_deg"
    enter(table, {"rao_lao_deg": "30", "cra_cau_deg": "CRA"})
    assert table.wanted() == f"{view.id}.cra_cau_deg"
    put(table, "mode", "matrix")
    assert table.wanted() == "matrix"
    act(table, "matrix", str((P * [[-1], [1], [1]]).tolist()))
    assert table.wanted() == "matrix.seen_from"
    act(table, "matrix", str(P.tolist()))
    assert table.wanted() == "certainty_known"


def test_a_geometry_that_waits_to_be_confirmed_is_not_said_to_be_missing(section, table):
    """All but the pixel size is in the header, and that in the file."""
    view = section.views[0]
    values = {"source_to_detector_mm": 1000.0, "source_to_isocentre_mm": 700.0}
    values |= {"rao_lao_deg": 0.0, "cra_cau_deg": 0.0, "mirrored": True}
    header = Header("c_arm", values, missing=("pixel_mm",))
    view.change(header=header, image_pixel_mm=(0.3, 0.3))
    assert table.unfinished() == (
        "AP: Everything is given, and not used yet: press Use this geometry."
    )
    assert table.wanted() == "use"


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("rao_lao_deg", "LAO 90", 90),
        ("rao_lao_deg", "90\N{DEGREE SIGN} lao", 90),
        ("rao_lao_deg", "RAO 30,5", -30.5),
        ("cra_cau_deg", "cra10", 10),
        ("cra_cau_deg", "CAUD 5 \N{DEGREE SIGN}", -5),
        ("cra_cau_deg", "-5", -5),
    ],
)
def test_angles_are_typed_as_the_display_of_a_c_arm_has_them(key, text, value):
    assert NUMBERS[key].read(text) == value


@pytest.mark.parametrize("text", ["LAO", "RAO -30", "LAO 30 RAO", "CRA 10", "LAO 9O"])
def test_an_angle_that_means_nothing_or_two_things_is_refused(text):
    sentence = "expected degrees, with a sign or one of LAO, RAO; correct it."
    assert sentence in NUMBERS["rao_lao_deg"].problem(text)


def test_a_typed_matrix_with_a_negative_determinant_asks_from_which_end_the_image_is_seen(
    section, table
):
    view = section.views[0]
    put(table, "mode", "matrix")
    mirrored = P * [[-1], [1], [1]]
    act(table, "matrix", str(mirrored.tolist()))
    assert "nothing is assumed: End of the beam" in text(table, "geometry_problem")
    assert not view.placed
    act(table, "matrix.seen_from", "detector")
    assert_allclose(view.camera.projection_matrix, mirrored, atol=1e-6)
    assert control(table, "matrix.seen_from").value == "detector"
    act(table, "matrix.seen_from", "source")
    assert_allclose(view.camera.projection_matrix, -mirrored, atol=1e-6)


@pytest.mark.parametrize("typed", ["0,58 0,6", "0.58 0.6", "0.58, 0.6", "0,58; 0,6"])
def test_two_numbers_are_typed(typed):
    question = Question("detector_spacing_mm", "Detector pixel, mm", "", numbers=2)
    assert question.value(typed).tolist() == [0.58, 0.6]
    with refuses("expected 2 numbers"):  # not 0 and 58
        question.value("0,58")


def test_a_person_says_that_a_matrix_was_measured_where_its_xray_was_taken(section, table):
    put(table, "mode", "matrix")
    act(table, "matrix", str(P.tolist()))
    (view,) = section.views
    known = control(table, "certainty_known")
    assert [option.value for option in known.options] == ["usual", "calibrated", "exactly", "typed"]
    assert known.value == "usual" and "px (not stated), " in known.options[0].title
    assert control(table, "certainty").open and view.record.presumed
    act(table, "certainty_known", "calibrated")
    assert view.record.uncertainty == CALIBRATION and not view.record.presumed
    assert control(table, "certainty_known").value == "calibrated"
    act(table, "matrix", str((np.array([[1.0, 0, 5], [0, 1, 0], [0, 0, 1]]) @ P).tolist()))
    assert view.record.presumed  # what was said was said of another matrix
