"""The geometry of an X-ray, entered as a person does: a C-arm's readings, or a matrix."""

from __future__ import annotations

import json

import numpy as np
import pytest
from xrays_section import (
    CERTAINTY,
    COLUMNS,
    GEOMETRY,
    NAME,
    ROWS,
    add,
    cell,
    enter_c_arm,
    open_module,
    place,
    rest,
)


@pytest.fixture
def opened(host):
    return open_module(host)


@pytest.fixture
def section(opened):
    return opened.panel.sections["xrays"]


def test_a_volume_and_its_c_arm(host, section):
    node = add(host, section)
    (view,) = section.registration.xrays
    assert view.source is node
    assert [cell(section, 0, column) for column in (NAME, GEOMETRY)] == ["AP", "needs geometry"]
    assert "AP needs geometry" in section.button.text and section.button.property("state") == "todo"
    ui = section.geometry.ui
    for spin, text, word in (
        (ui.raoLaoEdit, "30", "CRA/CAU angle: none"),
        (ui.craCauEdit, "0", "Source to detector: none"),
        (ui.distanceEdit, "1020", "Source to isocentre: none"),
        (ui.isocentreEdit, "1100", "expected less than source to detector"),
        (ui.isocentreEdit, "700", "Pixel size: none"),
        (ui.pixelColumnEdit, "2", "Pixel size: none"),
        (ui.pixelRowEdit, "2", "left and right depend on it"),
    ):
        host.type(spin, text)
        assert word in ui.checkLabel.text and not ui.applyButton.enabled
    host.choose(ui.raoLaoBox, "RAO")
    host.choose(ui.seenBox, "the source")
    assert ui.checkLabel.text == "Changed, not applied yet." and ui.applyButton.enabled and not view.placed
    host.click(ui.applyButton)
    assert view.content["c_arm"]["rao_lao_deg"] == -30 and view.content["c_arm"]["mirrored"] is False and view.placed
    assert (cell(section, 0, GEOMETRY), cell(section, 0, CERTAINTY)) == ("RAO 30\u00b0, CRA 0\u00b0", "reference")
    assert "Seen from the source" in ui.checkLabel.text and not ui.applyButton.enabled
    rest(host, section)
    assert "1 view ready" in section.button.text and section.button.property("state") == "ready"


def test_a_signed_angle_is_shown_on_its_side(host, section):
    add(host, section)
    ui = section.geometry.ui
    enter_c_arm(host, section, angle="-25")
    host.click(ui.applyButton)
    assert section.registration.xrays[0].content["c_arm"]["rao_lao_deg"] == -25
    assert (ui.raoLaoEdit.text, ui.raoLaoBox.currentText) == ("25°", "RAO")


def test_the_rest_of_a_c_arm(host, section):
    add(host, section)
    ui = section.geometry.ui
    enter_c_arm(host, section, mirrored=True)
    ui.furtherBox.collapsed = False
    assert not ui.pointColumnEdit.enabled
    host.click(ui.middleBox)
    assert (ui.pointColumnEdit.text, ui.pointRowEdit.text) == (f"{(COLUMNS - 1) / 2:g}", f"{(ROWS - 1) / 2:g}")
    for spin, text in (
        (ui.pointColumnEdit, "41"),
        (ui.pointRowEdit, "28.5"),
        (ui.rollEdit, "3"),
        (ui.offsetColumnEdit, "1.5"),
    ):
        host.type(spin, text)
    host.click(ui.applyButton)
    told = section.registration.xrays[0].content["c_arm"]
    assert (told["principal_point"], told["roll_deg"], told["isocentre_offset_mm"], told["mirrored"]) == (
        [41, 28.5],
        3,
        [1.5, 0],
        True,
    )


def test_what_is_not_applied_waits(host, section):
    add(host, section, "AP")
    add(host, section, "LAT", 1)
    ui, table = section.geometry.ui, section.ui.xrayTable
    assert table.currentRow() == 1  # the new one
    host.type(ui.distanceEdit, "1234")
    table.selectRow(0)
    host.process()
    assert ui.distanceEdit.text == "" and not ui.resetButton.enabled
    table.selectRow(1)
    host.process()
    assert ui.distanceEdit.text == "1234 mm"
    host.click(ui.resetButton)
    assert ui.distanceEdit.text == "" and not ui.resetButton.enabled


def test_a_copy_with_another_angle(host, section):
    add(host, section, "AP")
    place(host, section, 0)
    add(host, section, "LAT", 1)
    ui = section.geometry.ui
    host.choose(ui.copyBox, "AP")
    host.click(ui.copyButton)
    host.click(ui.applyButton)
    rest(host, section)
    assert "AP and LAT have the same geometry" in section.button.text and section.button.property("state") == "problem"
    assert "expected another for each" in section.ui.problemLabel.text
    host.type(ui.raoLaoEdit, "90")
    host.click(ui.applyButton)
    rest(host, section)
    assert "2 views ready" in section.button.text and not section.ui.problemLabel.visible
    ap, lat = (view.content["c_arm"] for view in section.registration.xrays)
    assert {**lat, **ap, "rao_lao_deg": 90} == lat and cell(section, 1, CERTAINTY) == "\u00b11\u00b0, 3 mm"


#: A camera 700 mm before the isocentre that looks along y; the feet are at the bottom of its image.
P = np.array([[500.0, 40, 0, 28000], [0, 30, -500, 21000], [0, 1, 0, 700]])


def fill(host, section, matrix) -> None:
    table = section.geometry.ui.matrixTable
    for row, column in np.ndindex(3, 4):
        table.item(row, column).setText(repr(float(matrix[row, column])))
    host.process()


def test_a_matrix_cell_by_cell(host, section):
    add(host, section)
    ui, view = section.geometry.ui, section.registration.xrays[0]
    host.choose(ui.modeBox, "Projection matrix")
    assert ui.matrixTable.visible and not ui.raoLaoEdit.visible
    assert "Matrix: none is given" in ui.checkLabel.text
    ui.matrixTable.item(0, 1).setText("many")
    assert "row 1, column 1 holds nothing" in ui.checkLabel.text
    ui.matrixTable.item(0, 0).setText("1")
    assert 'column 2: found "many"' in ui.checkLabel.text and not ui.applyButton.enabled
    fill(host, section, P)
    host.click(ui.applyButton)
    point = np.array([10.0, 20, -30, 1])
    np.testing.assert_allclose(view.camera.project(point[:3]), (P @ point)[:2] / (P @ point)[2], atol=1e-6)
    assert cell(section, 0, GEOMETRY) == "matrix"


def test_a_matrix_of_slicers_world(host, section):
    add(host, section)
    ui = section.geometry.ui
    host.choose(ui.modeBox, "Projection matrix")
    host.choose(ui.axesBox, "RAS (3D Slicer)")
    fill(host, section, P @ np.diag([-1.0, -1, 1, 1]))
    host.click(ui.applyButton)
    np.testing.assert_allclose(section.registration.xrays[0].camera.projection_matrix, P, atol=1e-6)
    assert ui.axesBox.currentText.startswith("LPS")


def test_a_matrix_pasted(host, opened, section):
    import slicer
    from PySide6 import QtCore

    add(host, section)
    ui, view = section.geometry.ui, section.registration.xrays[0]
    host.choose(ui.modeBox, "Projection matrix")
    slicer.app.clipboard().setText("nothing of use")
    host.click(ui.pasteButton)
    assert 'The clipboard has "nothing" in it' in opened.ui.messageLabel.text
    slicer.app.clipboard().setText(str((-3 * P).tolist()))
    ui.matrixTable.setFocus()
    host.key(ui.matrixTable, QtCore.Qt.Key_V, QtCore.Qt.ControlModifier)
    if not ui.applyButton.enabled:  # a shortcut needs a window that is active
        host.click(ui.pasteButton)
    assert not opened.ui.messageLabel.visible
    host.click(ui.applyButton)
    np.testing.assert_allclose(view.camera.projection_matrix, P, atol=1e-6)


def test_a_camera_of_a_mirrored_image_from_a_file(host, opened, section, tmp_path):
    add(host, section)
    ui, view = section.geometry.ui, section.registration.xrays[0]
    camera = {
        "intrinsics": [[-400, 0, 30], [0, 400, 20], [0, 0, 1]],
        "camera_from_world": np.eye(4).tolist(),
        "size": [COLUMNS, ROWS],
    }
    camera["camera_from_world"][2][3] = 650
    (tmp_path / "cam.json").write_text(json.dumps(camera))
    host.answers.open_files = [tmp_path / "cam.json"]
    host.choose(ui.modeBox, "Calibration file")
    host.click(ui.fileButton)
    for label, answer in zip(
        ("First pixel at:", "World axes:", "Lengths in:"), ("0 (OpenCV)", "LPS (DICOM, ITK)", "mm"), strict=True
    ):
        box = next(box for text, box in section.geometry.questions.rows.values() if text.text == label)
        host.choose(box, answer)
    host.click(ui.applyButton)
    np.testing.assert_allclose(view.camera.intrinsics, camera["intrinsics"], atol=1e-5)
    assert view.content["from"] == "cam.json" and "Seen from the detector (mirrored)" in ui.checkLabel.text
    camera["size"] = [5, 5]
    (tmp_path / "cam.json").write_text(json.dumps(camera))
    host.choose(ui.modeBox, "Calibration file")
    host.click(ui.applyButton)
    assert "is for an image of 5 x 5 pixels" in opened.ui.messageLabel.text
