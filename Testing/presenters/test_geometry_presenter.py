"""The geometry of an X-ray, entered as a person does: a C-arm's readings, or a matrix."""

from __future__ import annotations

import numpy as np
import pytest
from presenter_host import act, control, text
from test_xrays_presenter import COLUMNS, ROWS, add, cells, host, place, section, select, settled

from MultiViewRegistrationLib.errors import InputError

__all__ = ["host", "section"]


def enter(section, **fields: str) -> None:
    for key, value in fields.items():
        act(section, key, value)


def enter_c_arm(section, **other: str) -> None:
    given = {
        "rao_lao_deg": "30",
        "cra_cau_deg": "10",
        "source_to_detector_mm": "1020",
        "source_to_isocentre_mm": "700",
        "pixel_mm0": "2",
        "pixel_mm1": "2",
        "seen": "source",
    }
    enter(section, **{**given, **other})


def problem(section) -> str:
    return text(section, "geometry_problem")


def test_a_c_arm_field_by_field(section):
    add(section, "AP")
    (view,) = section.views
    assert cells(section) == [["AP", "needs geometry", "", ""]]
    assert (section.state().kind, section.state().text) == ("todo", "AP needs geometry")
    for key, value, sentence in (
        ("rao_lao_deg", "-30", "CRA/CAU angle: none"),
        ("cra_cau_deg", "0", "Source to detector: none"),
        ("source_to_detector_mm", "1020", "Source to isocentre: none"),
        ("source_to_isocentre_mm", "1100", "expected less than source to detector"),
        ("source_to_isocentre_mm", "600,25 mm", "Pixel size: none"),
        ("pixel_mm0", "0,58", "Pixel size: none"),
        ("pixel_mm1", "0.58", "left and right depend on it"),
    ):
        act(section, key, value)
        assert sentence in problem(section) and not control(section, "apply").enabled
    act(section, "seen", "source")
    assert text(section, "geometry_summary") == "Changed, not applied yet." and not view.placed
    assert control(section, "apply").question == ""
    act(section, "apply")
    reading = view.content["c_arm"]
    assert (reading["rao_lao_deg"], reading["mirrored"], reading["pixel_mm"]) == (-30, False, [0.58, 0.58])
    assert reading["source_to_isocentre_mm"] == 600.25 and "principal_point" not in reading
    assert cells(section)[0][1:3] == ["RAO 30\u00b0, CRA 0\u00b0", "reference"]
    assert "Seen from the source" in text(section, "geometry_summary") and not control(section, "apply").enabled
    settled(section)
    assert (section.state().kind, section.state().text) == ("ready", "1 view ready")


def test_the_rest_of_a_c_arm(section):
    add(section, "AP")
    enter_c_arm(section, principal_point0="41", roll_deg="3", isocentre_offset_mm0="1.5", seen="detector")
    act(section, "apply")
    reading = section.views[0].content["c_arm"]
    assert (reading["principal_point"], reading["roll_deg"]) == ([41, (ROWS - 1) / 2], 3)
    assert (reading["isocentre_offset_mm"], reading["mirrored"]) == ([1.5, 0], True)
    assert [control(section, f"principal_point{i}").text for i in range(2)] == ["41", ""]  # the image's middle
    act(section, "principal_point0", f"{(COLUMNS - 1) / 2}")
    act(section, "apply")
    assert control(section, "principal_point0").text == ""


def test_what_is_wrong_or_not_applied_waits(host, section):
    from MultiViewRegistrationLib.mrml.registration import Registration

    add(section, "AP", "LAT")
    enter_c_arm(section)
    assert control(section, "apply").enabled
    for value, sentence in (
        ("500", "LAO/RAO angle: 500 is outside -180 to 180°; correct it."),
        ("1.000,5", '"1.000,5" has more than one point or comma'),
        ("thirty", 'found "thirty"'),
    ):
        act(section, "rao_lao_deg", value)
        entry = control(section, "rao_lao_deg")
        assert entry.text == value and sentence in problem(section) and sentence in entry.problem(entry.text)
        assert not control(section, "apply").enabled
    select(section, 0)
    assert control(section, "rao_lao_deg").text == "" and not control(section, "reset").enabled
    select(section, 1)
    assert control(section, "rao_lao_deg").text == "thirty" and 'found "thirty"' in problem(section)
    act(section, "rao_lao_deg", "30")
    assert control(section, "apply").enabled
    act(section, "reset")
    assert control(section, "rao_lao_deg").text == "" and not control(section, "reset").enabled
    enter_c_arm(section)
    first = host.registration
    host.choose(Registration.create(host.scene, "Other"))
    assert control(section, "xrays") is None
    host.choose(first)
    select(section, 1)
    assert cells(section)[1][0] == "LAT" and control(section, "rao_lao_deg").text == ""


@pytest.mark.parametrize(
    "fields, asked",
    [
        ({"pixel_mm0": "5.8"}, "Pixel size: 5.8 mm is more than"),
        ({"source_to_detector_mm": "102,9"}, "Source to detector: 102.9 mm is less than"),
        ({}, ""),
    ],
)
def test_what_is_unusual_is_asked(section, fields, asked):
    add(section, "AP")
    enter_c_arm(section, **{"pixel_mm0": "0.3", "pixel_mm1": "0.3", "source_to_isocentre_mm": "60", **fields})
    question = control(section, "apply").question
    assert question.startswith(asked) and question.endswith("Apply it all the same?" if asked else "")
    act(section, "apply")
    assert section.views[0].placed


def test_a_copy_with_another_angle(section):
    add(section, "AP")
    place(section, 0)
    add(section, "LAT")
    act(section, "copy", section.views[0].node.GetID())
    act(section, "apply")
    settled(section)
    assert (section.state().kind, section.state().text) == ("problem", "AP and LAT have the same geometry")
    assert "expected another for each" in text(section, "problem")
    act(section, "rao_lao_deg", "90")
    act(section, "apply")
    settled(section)
    assert section.state().text == "2 views ready" and text(section, "problem") == ""
    ap, lat = (view.content["c_arm"] for view in section.views)
    assert {**lat, **ap, "rao_lao_deg": 90} == lat and cells(section)[1][2] == "\u00b11\u00b0, 3 mm, 1.5 px, 1 %"


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
def test_a_matrix(section, given, axes):
    add(section, "AP")
    view = section.views[0]
    act(section, "mode", "matrix")
    assert "Matrix: none is given" in problem(section) and control(section, "rao_lao_deg") is None
    act(section, "matrix", "nothing of use")
    assert 'Matrix has "nothing" in it' in problem(section)
    act(section, "matrix", "1 2 3")
    assert "Matrix has 3 numbers" in problem(section) and not control(section, "apply").enabled
    enter(section, axes=axes, matrix=given)
    act(section, "apply")
    np.testing.assert_allclose(view.camera.projection_matrix, P, atol=1e-6)
    assert cells(section)[0][1] == "matrix" and control(section, "axes").value == "LPS"
    np.testing.assert_allclose(np.array(control(section, "matrix").text.split(), float).reshape(3, 4), P, atol=1e-4)
    act(section, "mode", "c_arm")
    assert control(section, "reset").enabled
    act(section, "mode", "matrix")  # back to what is applied
    assert not control(section, "reset").enabled


def test_numbers_that_are_typed():
    from MultiViewRegistrationLib.session.external_files import Question
    from MultiViewRegistrationLib.session.presenters.form import Number

    port = Number("Port", 1, 65535, whole=True)
    assert port.read("18944") == 18944
    for typed, sentence in (
        ("184399", "Port: 184399 is outside 1 to 65535"),
        ("18944,5", "no whole number"),
        ("", "none"),
    ):
        with pytest.raises(InputError, match=sentence):
            port.read(typed)
    question = Question("detector_spacing_mm", "Detector pixel, mm", "", numbers=2)
    for typed in ("0,58 0,6", "0.58 0.6", "0.58, 0.6", "0,58; 0,6"):
        assert question.value(typed).tolist() == [0.58, 0.6]
    with pytest.raises(InputError, match="expected 2 numbers"):  # not 0 and 58
        question.value("0,58")
