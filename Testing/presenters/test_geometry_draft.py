"""Drafts of a geometry: texts become values, errors and a geometry, without a scene."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from geometry_table import C_ARM

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.session.presenters.external_files import Question
from MultiViewRegistrationLib.session.presenters.geometry_draft import (
    NUMBERS,
    REQUIRED,
    GeometryDraft,
    edit_draft,
    find_unusual,
    parse_draft,
)

VIEW = SimpleNamespace(size=(84, 60))
EMPTY = GeometryDraft(
    "c_arm", dict.fromkeys((*NUMBERS, "mirrored"), ""), {"size": [84, 60]}, REQUIRED
)


def filled(**texts):
    """The draft of a C-arm with these texts in place of those of C_ARM."""
    return edit_draft(EMPTY, VIEW, {**C_ARM, **texts})


def test_empty_required_fields_are_missing():
    draft = parse_draft(EMPTY, VIEW)
    assert set(draft.missing) == set(REQUIRED)
    assert draft.geometry is None and draft.errors == {}


def test_complete_fields_are_a_c_arm():
    reading = filled(pixel_mm="0,58 mm", rao_lao_deg="RAO 30", mirrored="yes").geometry
    assert (reading.pixel_mm, reading.rao_lao_deg, reading.mirrored) == ((0.58, 0.58), -30, True)
    assert reading.size == (84, 60) and reading.principal_point is None


def test_optional_fields_of_a_c_arm():
    reading = filled(
        principal_point="41 \u00d7 30", roll_deg="3", isocentre_offset_mm="1.5 0"
    ).geometry
    assert (reading.principal_point, reading.roll_deg) == ((41, 30), 3)
    assert reading.isocentre_offset_mm == (1.5, 0)


def test_a_principal_point_in_the_middle_is_not_stated():
    assert filled(principal_point="41.5 29.5").geometry.principal_point is None


@pytest.mark.parametrize(
    "key, text, sentence",
    [
        ("rao_lao_deg", "500", "LAO/RAO angle: 500 is outside -180 to 180\u00b0; correct it."),
        ("rao_lao_deg", "thirty", 'found "thirty"'),
        ("pixel_mm", "1.000,5", '"1.000,5" has more than one point or comma'),
        ("pixel_mm", "0.0003", "Pixel size: 0.0003 mm looks like metres. Enter 0.3."),
        ("source_to_detector_mm", "1.02", "1.02 mm looks like metres. Enter 1020."),
        ("source_to_isocentre_mm", "1100", "is not less than source to detector, 1020 mm."),
        ("principal_point", "41", 'must be two numbers (column and row); got "41".'),
    ],
)
def test_an_invalid_field_has_an_error_and_keeps_its_text(key, text, sentence):
    draft = filled(**{key: text})
    assert list(draft.errors) == [key] and sentence in draft.errors[key]
    assert draft.geometry is None and draft.texts[key] == text


def test_an_error_disappears_when_its_field_is_corrected():
    draft = edit_draft(filled(rao_lao_deg="500"), VIEW, {"rao_lao_deg": "50"})
    assert draft.errors == {} and draft.geometry.rao_lao_deg == 50


def test_a_field_that_was_not_edited_keeps_its_exact_value():
    exact = 1020.123456789
    start = {**filled().values, "source_to_detector_mm": exact}
    draft = replace(filled(), start=start, edited=frozenset({"rao_lao_deg"}))
    assert parse_draft(draft, VIEW).geometry.source_to_detector_mm == exact


@pytest.mark.parametrize(
    "key, value, sentence",
    [("pixel_mm", [5.8, 5.8], "5.8 mm is more"), ("source_to_detector_mm", 102.9, "it is in cm")],
)
def test_values_that_c_arms_do_not_have_are_warned_of(key, value, sentence):
    warnings = find_unusual({**filled().values, key: value})
    assert list(warnings) == [key] and sentence in warnings[key]


@pytest.mark.parametrize("angle, mirrored", [("10", "yes"), ("180", "no"), ("90", "yes")])
def test_the_side_on_the_left_is_kept_while_an_angle_is_corrected(angle, mirrored):
    draft = edit_draft(filled(rao_lao_deg="0", mirrored="yes"), VIEW, {"rao_lao_deg": angle})
    assert draft.texts["mirrored"] == mirrored


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
def test_angles_are_read_as_the_display_of_a_c_arm_shows_them(key, text, value):
    assert NUMBERS[key].read(text) == value


@pytest.mark.parametrize("text", ["LAO", "RAO -30", "LAO 30 RAO", "CRA 10", "LAO 9O"])
def test_an_ambiguous_angle_is_refused(text):
    sentence = "expected degrees, with a sign or one of LAO, RAO; correct it."
    assert sentence in NUMBERS["rao_lao_deg"].problem(text)


@pytest.mark.parametrize("typed", ["0,58 0,6", "0.58 0.6", "0.58, 0.6", "0,58; 0,6"])
def test_a_question_reads_two_numbers(typed):
    question = Question("detector_spacing_mm", "Detector pixel, mm", "", numbers=2)
    assert question.value(typed).tolist() == [0.58, 0.6]


def test_a_question_refuses_a_decimal_comma_as_a_separator():
    question = Question("detector_spacing_mm", "Detector pixel, mm", "", numbers=2)
    with pytest.raises(InputError, match="expected 2 numbers"):
        question.value("0,58")
