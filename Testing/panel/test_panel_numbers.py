"""Numbers as people type them: decimal point and comma, in an English and a German Slicer; nothing is dropped without a word."""

from __future__ import annotations

import pytest
from driven_panel import Driven
from xrays_section import add, enter_c_arm, open_module

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.calibration.matrix_text import read_matrix, read_number
from MultiViewRegistrationLib.session.external_files import Question


@pytest.fixture(params=["en_US", "de_DE"])
def locale(request):
    """Slicer in this language."""
    from PySide6 import QtCore

    before = QtCore.QLocale()
    QtCore.QLocale.setDefault(QtCore.QLocale(request.param))
    yield
    QtCore.QLocale.setDefault(before)


@pytest.fixture
def section(locale, host):
    return open_module(host).panel.sections["xrays"]


def shown_by(field) -> str:
    from PySide6.QtGui import QPalette

    return field.palette.color(QPalette.ColorRole.Text).name()


# the reader ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, number",
    [
        ("0,58", 0.58),
        ("0.58", 0.58),
        ("102,9", 102.9),
        (",5", 0.5),
        ("5.", 5),
        ("-3,25", -3.25),
        ("\N{MINUS SIGN}3", -3),
        ("+7", 7),
        ("1.2e-3", 0.0012),
        ("1,2E3", 1200),
        (" 500 ", 500),
        ("1,000", 1),
    ],
)
def test_a_number_is_read(text, number):
    assert read_number(text, "Roll") == number


@pytest.mark.parametrize(
    "text, word",
    [
        ("1.000,5", "more than one point or comma"),
        ("1,000.5", "more than one"),
        ("1.000.000", "more than one"),
        ("1 000", "expected a number"),
        ("12mm", "a number"),
        ("", "a number"),
        ("1e", "a number"),
        ("nan", "a number"),
        ("0x10", "a number"),
        ("--3", "a number"),
        ("1'000", "a number"),
    ],
)
def test_what_is_none_or_two_is_refused(text, word):
    with pytest.raises(InputError, match=word):
        read_number(text, "Roll")


def test_a_matrix_with_decimal_commas_is_pasted():
    rows = "-500,5\t0\t30\t1,25\n0\t30,5\t-500\t21000\n0\t1\t0\t700"
    assert read_matrix(rows).projection_matrix[0].tolist() == [-500.5, 0, 30, 1.25]
    assert read_matrix("1,0,0,5,0,1,0,6,0,0,1,7").projection_matrix[:, 3].tolist() == [5, 6, 7]  # commas between


def test_an_answer_about_a_file_with_decimal_commas():
    question = Question("detector_spacing_mm", "Detector pixel, mm", "", numbers=2)
    for text in ("0,58 0,6", "0.58 0.6", "0.58, 0.6", "0,58; 0,6"):
        assert question.value(text).tolist() == [0.58, 0.6]
    with pytest.raises(InputError, match="expected 2 numbers"):  # not 0 and 58
        question.value("0,58")


# a C-arm ---------------------------------------------------------------------------------------------------------------


def test_comma_and_point_are_both_decimals(host, section):
    add(host, section)
    ui = section.geometry.ui
    enter_c_arm(host, section, angle="12,5")
    for edit, text, shown in (
        (ui.pixelColumnEdit, "0,58", "0.58 mm"),
        (ui.pixelRowEdit, "0.58", "0.58 mm"),
        (ui.distanceEdit, "1002,9", "1002.9 mm"),
        (ui.isocentreEdit, "600,25 mm", "600.25 mm"),
    ):
        host.type(edit, text)
        assert edit.text == shown
    host.click(ui.applyButton)
    told = section.registration.xrays[0].content["c_arm"]
    assert (told["pixel_mm"], told["source_to_detector_mm"], told["source_to_isocentre_mm"], told["rao_lao_deg"]) == (
        [0.58, 0.58],
        1002.9,
        600.25,
        12.5,
    )


def test_what_is_out_of_range_stays_as_typed_and_is_said(host, section):
    add(host, section, "AP")
    add(host, section, "LAT", 1)
    ui = section.geometry.ui
    enter_c_arm(host, section)
    plain = shown_by(ui.raoLaoEdit)
    assert ui.applyButton.enabled
    for text, sentence in (
        ("500", "LAO/RAO angle: 500 is outside -180 to 180°; correct it."),
        ("1.000,5", '"1.000,5" has more than one point or comma'),
        ("thirty", 'found "thirty"'),
    ):
        host.type(ui.raoLaoEdit, text)
        assert ui.raoLaoEdit.text == text and sentence in ui.checkLabel.text and not ui.applyButton.enabled
        assert shown_by(ui.raoLaoEdit) != plain
    section.ui.xrayTable.selectRow(0)
    host.process()
    assert ui.raoLaoEdit.text == "" and shown_by(ui.raoLaoEdit) == plain
    section.ui.xrayTable.selectRow(1)
    host.process()
    assert ui.raoLaoEdit.text == "thirty" and 'found "thirty"' in ui.checkLabel.text and not ui.applyButton.enabled
    host.type(ui.raoLaoEdit, "30")
    assert ui.applyButton.enabled and shown_by(ui.raoLaoEdit) == plain


@pytest.mark.parametrize(
    "name, text, asked",
    [
        ("pixelColumnEdit", "5.8", "Pixel size: 5.8 mm is more than"),
        ("distanceEdit", "102,9", "Source to detector: 102.9 mm is less than"),
    ],
)
def test_what_is_unusual_is_asked_and_can_be_confirmed(host, section, name, text, asked):
    add(host, section)
    ui, view = section.geometry.ui, section.registration.xrays[0]
    enter_c_arm(host, section)
    for edit in (ui.pixelColumnEdit, ui.pixelRowEdit):
        host.type(edit, "0.3")
    host.type(ui.isocentreEdit, "60")
    host.type(getattr(ui, name), text)
    host.answers.yes = False
    host.click(ui.applyButton)
    assert [asked in question for question in host.told("question")] == [True] and not view.placed
    host.answers.yes = True
    host.click(ui.applyButton)
    assert view.placed and not ui.applyButton.enabled


def test_what_is_usual_is_not_asked(host, section):
    add(host, section)
    ui = section.geometry.ui
    enter_c_arm(host, section)
    for edit in (ui.pixelColumnEdit, ui.pixelRowEdit):
        host.type(edit, "0,3")
    host.click(ui.applyButton)
    assert host.told("question") == [] and section.registration.xrays[0].placed


def test_a_matrix_cell_with_a_comma(host, section):
    add(host, section)
    ui = section.geometry.ui
    host.choose(ui.modeBox, "Projection matrix")
    ui.matrixTable.item(0, 0).setText("500,5")
    assert "row 1, column 2 holds nothing" in ui.checkLabel.text
    ui.matrixTable.item(0, 0).setText("1.500,5")
    assert "row 1, column 1" in ui.checkLabel.text and "more than one" in ui.checkLabel.text


# fields that take effect at once ---------------------------------------------------------------------------------------


def test_nothing_is_registered_with_a_number_that_is_wrong(host, ct, views, locale):
    driven = Driven(host, ct, views)
    ui, sentence = driven.start.ui, "Rotation: 500 is outside 1 to 180°; correct it."
    driven.choose_start("search")
    host.type(ui.rotationEdit, "7,5")
    assert (
        driven.panel.logic.getParameterNode(driven.registration).rotation_deg == 7.5 and ui.rotationEdit.text == "7.5°"
    )
    host.type(ui.rotationEdit, "500")
    host.process(0.1)
    assert ui.rotationEdit.text == "500" and driven.message() == sentence
    driven.press_register()
    assert driven.message() == sentence and not driven.session.running
    assert driven.panel.logic.getParameterNode(driven.registration).rotation_deg == 7.5
    host.choose(ui.rangeComboBox, "As usual (15°, 45 mm)")
    assert ui.rotationEdit.text == "15°" and driven.message() == ""
    host.type(ui.rotationEdit, "500")
    driven.choose_start("given")  # in which the range does not count
    driven.press_register()
    assert driven.session.running and driven.message() == ""
    driven.wait()


def test_what_is_not_finished_counts_when_register_is_pressed(host, ct, views):
    """Ctrl+Return leaves the focus in the field, and so does a click on macOS."""
    from PySide6 import QtTest

    driven = Driven(host, ct, views)
    edit, register = driven.start.ui.rotationEdit, driven.register
    driven.choose_start("search")
    edit.window().activateWindow()
    edit.setFocus()
    host.process(1, until=edit.hasFocus)
    edit.selectAll()
    QtTest.QTest.keyClicks(edit, "500")
    register.ui.registerButton.click()
    assert not driven.session.running and "500 is outside" in driven.message()
    edit.setFocus()
    host.process(1, until=edit.hasFocus)
    edit.selectAll()
    QtTest.QTest.keyClicks(edit, "12,5")
    register.ui.registerButton.click()
    assert driven.session.running and driven.session.case().search["rotation_deg"] == 12.5
    driven.wait()


def test_certainty_and_shared_numbers(host, section):
    from MultiViewRegistrationLib.mrml.case import shared_unknowns_of

    add(host, section, "AP")
    add(host, section, "LAT", 1)
    section.ui.certaintyBox.collapsed = section.ui.sharedBox.collapsed = False
    host.process()
    ui, view = section.certainty.ui, section.registration.xrays[1]
    host.choose(ui.anglesBox, "about")
    host.type(ui.anglesEdit, "0,25")
    assert view.content["rotation_sd_deg"] == 0.25 and ui.anglesEdit.text == "± 0.25°"
    host.type(ui.anglesEdit, "200")
    assert view.content["rotation_sd_deg"] == 0.25 and ui.anglesEdit.text == "200"
    assert "Certainty of the angles: 200 is outside 0.01 to 180°" in section.panel.ui.messageLabel.text
    section.ui.xrayTable.selectRow(0)
    host.process()
    section.ui.xrayTable.selectRow(1)
    host.process()
    assert ui.anglesEdit.text == "± 0.25°"
    host.type(section.ui.sharedPointEdit, "2,5")
    assert (
        shared_unknowns_of(section.registration).principal_point_sd_px == 2.5
        and section.ui.sharedPointEdit.text == "± 2.5 px"
    )
    host.type(section.ui.sharedPointEdit, "0")
    assert section.ui.sharedPointEdit.text == "" and section.ui.sharedPointEdit.placeholderText == "known"


def test_a_port_is_not_cut_short(host, section):
    export = section.panel.sections["export"]
    export.button.collapsed = export.ui.linkGroupBox.collapsed = False
    host.process()
    assert export.ui.portEdit.text == "18944"
    host.type(export.ui.portEdit, "184399")
    assert (
        export.ui.portEdit.text == "184399"
        and "Port: 184399 is outside 1 to 65535" in section.panel.ui.messageLabel.text
    )
    host.type(export.ui.portEdit, "18944,5")
    assert "no whole number" in section.panel.ui.messageLabel.text


def test_arrow_keys_go_through_frames(host, section):
    import numpy as np
    import slicer
    from little_xray import intensity
    from PySide6 import QtCore

    node = add(host, section)
    slicer.util.updateVolumeFromArray(node, np.stack([intensity(0), intensity(1), intensity(2)]))
    host.process(0.2)
    section.ui.imageBox.collapsed = False
    host.process()
    edit, view = section.image.ui.frameEdit, section.registration.xrays[0]
    edit.window().activateWindow()
    edit.setFocus()
    host.process(1, until=edit.hasFocus)
    for key, frame in ((QtCore.Qt.Key_Up, 1), (QtCore.Qt.Key_Up, 2), (QtCore.Qt.Key_Up, 2), (QtCore.Qt.Key_Down, 1)):
        host.key(edit, key)
        assert view.content["frame"] == frame and edit.text == f"{frame} of 2"
    host.type(edit, "12")
    assert (
        edit.text == "12"
        and "Frame: 12 is outside 0 to 2" in section.panel.ui.messageLabel.text
        and view.content["frame"] == 1
    )


def test_no_field_of_qts_that_drops_what_is_typed():
    from person import MODULE

    for path in (MODULE / "Resources" / "UI").glob("*.ui"):
        text = path.read_text(encoding="utf-8")
        assert 'SpinBox"' not in text, path.name
        assert text.count('class="ctkSliderWidget"') == text.count('name="spinBoxVisible"><bool>false'), path.name
