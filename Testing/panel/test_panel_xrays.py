"""The X-rays section, driven as a person does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dropping import drop
from little_xray import SHAPE, intensity
from phantom import make_ct

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration" / "MultiViewRegistration.py"
ROWS, COLUMNS = SHAPE
USE, NAME, IMAGE, GEOMETRY, CERTAINTY, SIMILARITY = range(6)


@pytest.fixture
def opened(host):
    """The module with a registration that has a CT and no X-rays."""
    from MultiViewRegistrationLib.scene.loading import volume_node
    from MultiViewRegistrationLib.scene.registration import Registration

    host.load_module(MODULE)
    widget = host.open_module(width=450)
    registration = Registration.create(host.scene, "Registration")
    ct = make_ct()
    registration.ct = volume_node(host.scene, "Phantom", ct.volume.values, ct.volume.ct_from_index)
    widget.setParameterNode(registration)
    host.process(0.05)
    return widget


@pytest.fixture
def section(opened):
    return opened.panel.sections["xrays"]


def volume(host, name: str, seed: int = 0):
    import slicer

    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, intensity(seed)[None])
    return node


def add(host, section, name: str = "AP", seed: int = 0):
    """Add a volume by the selector and its button."""
    node = volume(host, name, seed)
    host.choose(section.ui.volumeSelector, name)
    host.click(section.ui.addVolumeButton)
    return node


def cell(section, row: int, column: int) -> str:
    return section.ui.xrayTable.item(row, column).text()


def rest(host, section) -> None:
    """Until all is read and looked at."""
    host.process(5, until=lambda: section._reading is None and not section._readiness.step())
    host.process(0.1)


def place(host, section, *angles: float) -> None:
    """Give the X-rays these angles, without the widgets."""
    from MultiViewRegistrationLib.scene.geometry import set_c_arm

    for view, angle in zip(section.registration.xrays, angles, strict=True):
        set_c_arm(view, {"source_to_detector_mm": 1020, "source_to_isocentre_mm": 700, "pixel_mm": [2, 2], "rao_lao_deg": angle,
                         "cra_cau_deg": 10, "mirrored": False})
    section.panel.invalidate()
    host.process(0.05)


def enter_c_arm(host, section, angle="30", mirrored=False) -> None:
    ui = section.geometry.ui
    for spin, text in ((ui.raoLaoSpin, angle), (ui.craCauSpin, "10"), (ui.distanceSpin, "1020"), (ui.isocentreSpin, "700"),
                       (ui.pixelColumnSpin, "2"), (ui.pixelRowSpin, "2")):
        host.type(spin, text)
    host.choose(ui.seenBox, "the detector (facing the patient)" if mirrored else "the source")


def test_there_are_none_yet(host, section):
    assert "add X-rays" in section.button.text and section.ui.xrayTable.rowCount == 0
    assert not section.ui.geometryBox.visible
    ui = section.ui
    assert not any(button.enabled for button in (ui.addVolumeButton, ui.removeButton, ui.upButton, ui.downButton))


def test_a_volume_and_its_c_arm(host, section):
    node = add(host, section)
    view, = section.registration.xrays
    assert view.source is node
    assert [cell(section, 0, column) for column in (NAME, IMAGE, GEOMETRY)] == ["AP", "AP", "needs geometry"]
    assert "AP needs geometry" in section.button.text and section.button.property("state") == "todo"
    ui = section.geometry.ui
    for spin, text, word in ((ui.raoLaoSpin, "30", "Source to detector: none"), (ui.distanceSpin, "1020", "Source to isocentre: none"),
                             (ui.isocentreSpin, "1100", "expected less than source to detector"),
                             (ui.isocentreSpin, "700", "Pixel size: none"), (ui.pixelColumnSpin, "2", "Pixel size: none"),
                             (ui.pixelRowSpin, "2", "left and right depend on it")):
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
    assert (ui.raoLaoSpin.value, ui.raoLaoBox.currentText) == (25, "RAO")


def test_the_rest_of_a_c_arm(host, section):
    add(host, section)
    ui = section.geometry.ui
    enter_c_arm(host, section, mirrored=True)
    ui.furtherBox.collapsed = False
    assert not ui.pointColumnSpin.enabled
    host.click(ui.middleBox)
    assert (ui.pointColumnSpin.value, ui.pointRowSpin.value) == ((COLUMNS - 1) / 2, (ROWS - 1) / 2)
    for spin, text in ((ui.pointColumnSpin, "41"), (ui.pointRowSpin, "28.5"), (ui.rollSpin, "3"), (ui.offsetColumnSpin, "1.5")):
        host.type(spin, text)
    host.click(ui.applyButton)
    told = section.registration.xrays[0].content["c_arm"]
    assert (told["principal_point"], told["roll_deg"], told["isocentre_offset_mm"], told["mirrored"]) == ([41, 28.5], 3, [1.5, 0], True)


def test_what_is_not_applied_waits(host, section):
    add(host, section, "AP")
    add(host, section, "LAT", 1)
    ui, table = section.geometry.ui, section.ui.xrayTable
    assert table.currentRow() == 1  # the new one
    host.type(ui.distanceSpin, "1234")
    table.selectRow(0)
    host.process()
    assert ui.distanceSpin.value == 0 and not ui.resetButton.enabled
    table.selectRow(1)
    host.process()
    assert ui.distanceSpin.value == 1234
    host.click(ui.resetButton)
    assert ui.distanceSpin.value == 0 and not ui.resetButton.enabled


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
    host.type(ui.raoLaoSpin, "90")
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
    assert ui.matrixTable.visible and not ui.raoLaoSpin.visible
    assert "Matrix: none is given" in ui.checkLabel.text
    ui.matrixTable.item(0, 1).setText("many")
    assert "row 1, column 1 holds nothing" in ui.checkLabel.text
    ui.matrixTable.item(0, 0).setText("1")
    assert 'column 2 holds "many"' in ui.checkLabel.text and not ui.applyButton.enabled
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


def test_a_matrix_pasted_and_from_a_file(host, opened, section, tmp_path):
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
    camera = {"intrinsics": [[-400, 0, 30], [0, 400, 20], [0, 0, 1]], "camera_from_world": np.eye(4).tolist(), "size": [COLUMNS, ROWS]}
    camera["camera_from_world"][2][3] = 650
    (tmp_path / "cam.json").write_text(json.dumps(camera))
    host.answers.open_files = [tmp_path / "cam.json"]
    host.click(ui.fileButton)
    host.click(ui.applyButton)
    np.testing.assert_allclose(view.camera.intrinsics, camera["intrinsics"], atol=1e-5)
    assert view.content["from"] == "cam.json" and "Seen from the detector (mirrored)" in ui.checkLabel.text
    camera["size"] = [5, 5]
    (tmp_path / "cam.json").write_text(json.dumps(camera))
    host.click(ui.fileButton)
    host.click(ui.applyButton)
    assert "is for an image of 5 x 5 pixels" in opened.ui.messageLabel.text


def test_files_are_read_beside_and_told_of_together(host, opened, section, tmp_path):
    for n in range(2):
        sitk.WriteImage(sitk.GetImageFromArray(intensity(n)), str(tmp_path / f"v{n}.png"))
    (tmp_path / "text.png").write_text("no image")
    sitk.WriteImage(sitk.GetImageFromArray(np.full(SHAPE, 9, np.uint8)), str(tmp_path / "flat.png"))
    host.answers.open_files = [tmp_path / name for name in ("v0.png", "text.png", "flat.png", "v1.png")]
    host.click(section.ui.addFilesButton)
    assert "reading " in section.button.text and section.button.property("state") == "running"
    rest(host, section)
    assert [view.name for view in section.registration.xrays] == ["v0", "v1"]
    message = opened.ui.messageLabel.text
    assert "text.png: cannot be read" in message and "flat: has no contrast" in message


def test_a_dicom_header_proposes_and_what_it_lacks_is_named(host, section, tmp_path):
    from imaging.dicom_files import XA_IMAGE, write_dicom

    write_dicom(tmp_path / "ap.dcm", intensity(), XA_IMAGE, Modality="XA", DistanceSourceToDetector="1100", DistanceSourceToPatient="700",
                PositionerPrimaryAngle="-20", PositionerSecondaryAngle="5")
    host.answers.open_files = [tmp_path / "ap.dcm"]
    host.click(section.ui.addFilesButton)
    rest(host, section)
    ui = section.geometry.ui
    assert (ui.distanceSpin.value, ui.isocentreSpin.value, ui.raoLaoSpin.value, ui.raoLaoBox.currentIndex) == (1100, 700, 20, 1)
    assert "The header lacks: pixel size, seen from." in ui.checkLabel.text and "principal point" in ui.checkLabel.text
    assert not ui.applyButton.enabled


def test_a_case_that_is_dropped(host, section, tmp_path):
    ct = make_ct()
    image = sitk.GetImageFromArray(ct.volume.values)
    image.SetSpacing((2, 2, 2))
    image.SetOrigin((-47, -47, -47))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    reading = {"source_to_detector_mm": 1000, "source_to_isocentre_mm": 700, "pixel_mm": [2, 2], "size": [COLUMNS, ROWS], "cra_cau_deg": 0}
    views = []
    for n, name in enumerate(("AP", "LAT")):
        sitk.WriteImage(sitk.GetImageFromArray(intensity(n)), str(tmp_path / f"{name}.mha"))
        views.append({"name": name, "image": f"{name}.mha", "c_arm": {**reading, "rao_lao_deg": 90 * n}, "rotation_sd_deg": n})
    content = {"version": 1, "ct": "ct.nrrd", "views": views, "shared_unknowns": {"isocentre_sd_mm": 4}}
    (tmp_path / "case.json").write_text(json.dumps(content))
    drop(section.button, tmp_path / "case.json")
    rest(host, section)
    assert [cell(section, row, GEOMETRY) for row in range(2)] == ["LAO 0\u00b0, CRA 0\u00b0", "LAO 90\u00b0, CRA 0\u00b0"]
    assert cell(section, 1, CERTAINTY) == "\u00b11\u00b0, 0 mm" and section.ui.sharedIsocentreSpin.value == 4
    assert "2 views ready" in section.button.text and section.registration.ct.GetName() == "Phantom"


def test_use_name_order_and_remove(host, opened, section):
    for n, name in enumerate(("a", "b", "c")):
        add(host, section, name, n)
    table, ui = section.ui.xrayTable, section.ui
    table.item(1, NAME).setText("Lateral")
    host.process()
    assert section.registration.xrays[1].name == "Lateral"
    table.item(1, NAME).setText("A")
    host.process()
    assert "another view has the name" in opened.ui.messageLabel.text and cell(section, 1, NAME) == "Lateral"
    import qt

    table.item(0, USE).setCheckState(qt.Qt.Unchecked)
    host.process()
    assert [view.used for view in section.registration.xrays] == [False, True, True]
    table.selectRow(2)
    host.process()
    assert not ui.downButton.enabled
    host.click(ui.upButton)
    host.click(ui.upButton)
    assert [cell(section, row, NAME) for row in range(3)] == ["c", "a", "Lateral"] and table.currentRow() == 0 and not ui.upButton.enabled
    host.answers.yes = False
    host.click(ui.removeButton)
    assert table.rowCount == 3
    host.answers.yes = True
    host.click(ui.removeButton)
    assert [view.name for view in section.registration.xrays] == ["a", "Lateral"] and table.currentRow() == 0
    assert host.scene.GetFirstNodeByName("c") is not None  # the volume that was there before
    for row in range(2):
        table.item(row, USE).setCheckState(qt.Qt.Unchecked)
    host.process()
    assert "none is used" in section.button.text


def test_more_than_can_be_shown(host, opened, section):
    for _ in range(7):
        section.registration.add_xray("more")
    for n in range(2):
        add(host, section, f"v{n}", n)
    assert section.ui.xrayTable.rowCount == 8 and "there are 8 views already" in opened.ui.messageLabel.text


def test_the_image(host, opened, section):
    import slicer

    node = add(host, section)
    slicer.util.updateVolumeFromArray(node, np.stack([intensity(0), intensity(3)]))
    host.process(0.2)
    section.ui.imageBox.collapsed = False
    host.process()
    ui, view = section.image.ui, section.registration.xrays[0]
    assert ui.frameSpin.visible and ui.frameSpin.maximum == 1
    first = slicer.util.arrayFromVolume(view.node)[0].copy()
    host.type(ui.frameSpin, "1")
    second = slicer.util.arrayFromVolume(view.node)[0].copy()
    assert view.content["frame"] == 1 and not np.array_equal(first, second)
    host.click(ui.flipBox)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(view.node)[0], second[:, ::-1])
    host.click(ui.invertBox)
    assert view.content["inverted"] is ui.invertBox.checked and view.content["flipped"] is True
    host.choose(ui.valuesBox, "Line integrals, bone bright")
    assert view.content["intensity"] == "log"
    assert ui.pictureLabel.pixmap.width() > 100


def test_a_mask_drawn_and_chosen(host, opened, section):
    from MultiViewRegistrationLib.scene.case import xray_of
    from MultiViewRegistrationLib.scene.loading import segmentation_node

    add(host, section)
    place(host, section, 30)
    section.ui.imageBox.collapsed = False
    host.process()
    ui, view = section.image.ui, section.registration.xrays[0]
    field = xray_of(view).valid
    host.click(ui.drawButton)
    assert view.mask.GetName() == "AP mask" and ui.maskSelector.currentNode() is view.mask
    np.testing.assert_array_equal(xray_of(view).valid, field)
    half = np.zeros(SHAPE, bool)
    half[:, :40] = True
    segmentation_node(host.scene, "Half", half[None], view.node)
    segmentation_node(host.scene, "Nothing", np.zeros_like(half)[None], view.node)
    host.choose(ui.maskSelector, "Half")
    np.testing.assert_array_equal(xray_of(view).valid, field & half)
    host.choose(ui.maskSelector, "Nothing")
    assert "leaves nothing" in opened.ui.messageLabel.text and view.mask.GetName() == ui.maskSelector.currentNode().GetName() == "Half"
    host.choose(ui.maskSelector, "None")
    assert view.mask is None


def test_certainty(host, section):
    from MultiViewRegistrationLib.scene.case import shared_unknowns_of

    for n, name in enumerate(("AP", "LAT")):
        add(host, section, name, n)
    place(host, section, 0, 90)
    section.ui.certaintyBox.collapsed = False
    host.process()
    ui, view = section.certainty.ui, section.registration.xrays[1]
    assert (ui.anglesBox.currentText, ui.anglesSpin.value, ui.placeSpin.value) == ("about", 1, 3)
    host.type(ui.anglesSpin, "2.5")
    host.choose(ui.placeBox, "exactly (calibrated)")
    assert (view.content["rotation_sd_deg"], view.content["translation_sd_mm"], ui.placeSpin.enabled) == (2.5, 0, False)
    host.choose(ui.anglesBox, "not at all")
    host.choose(ui.placeBox, "not at all")
    assert cell(section, 1, CERTAINTY) == "unknown" and "registered alone" in ui.hintLabel.text
    section.ui.sharedBox.collapsed = False
    host.type(section.ui.sharedDistanceSpin, "12")
    assert shared_unknowns_of(section.registration).source_to_detector_sd_mm == 12 and "registered alone" not in ui.hintLabel.text
    host.type(section.ui.sharedDistanceSpin, "0")
    assert shared_unknowns_of(section.registration).source_to_detector_sd_mm is None
    section.ui.xrayTable.selectRow(0)
    host.process()
    assert not ui.anglesBox.enabled and "reference" in ui.hintLabel.text


def test_a_number_being_typed_is_not_taken_away(host, section):
    """What is looked at in the background has the panel shown anew at any moment, also between two keys."""
    from PySide6 import QtCore, QtTest, QtWidgets

    from MultiViewRegistrationLib.scene.case import shared_unknowns_of

    add(host, section)
    section.ui.certaintyBox.collapsed = section.ui.sharedBox.collapsed = False
    host.process()
    spins = {section.ui.sharedDistanceSpin: "12", section.geometry.ui.distanceSpin: "1012.5"}
    for spin, text in spins.items():
        edit = spin.findChild(QtWidgets.QLineEdit)
        edit.selectAll()
        for key in text:
            QtTest.QTest.keyClicks(edit, key)
            section.panel.invalidate()
            section.panel.tick()
        host.key(edit, QtCore.Qt.Key_Return)
        assert spin.value == float(text)
    assert shared_unknowns_of(section.registration).source_to_detector_sd_mm == 12


def test_the_similarity_of_the_result_where_the_ct_is(host, section):
    from MultiViewRegistrationLib.scene.fingerprint import fingerprint
    from MultiViewRegistrationLib.scene.history import Entry, History

    add(host, section)
    registration = section.registration
    place(host, section, 30)
    told = {"similarity": {"AP": 0.8125}, "fingerprint": fingerprint(registration)}
    History(registration).add(Entry.now("search", registration.world_from_ct, **told))
    host.process(0.1)
    assert cell(section, 0, SIMILARITY) == "0.812"
    place(host, section, 31)
    assert cell(section, 0, SIMILARITY) == ""  # that of another geometry
    place(host, section, 30)
    assert cell(section, 0, SIMILARITY) == "0.812"
    moved = registration.world_from_ct
    moved[0, 3] += 1
    registration.world_from_ct = moved
    section.panel.invalidate()
    host.process(0.1)
    assert cell(section, 0, SIMILARITY) == ""


def test_nodes_that_are_deleted(host, opened, section):
    import slicer

    a, b = add(host, section, "a"), add(host, section, "b", 1)
    host.scene.RemoveNode(b)
    host.process(0.2)
    assert cell(section, 1, IMAGE) == "\u2013" and not section.image.ui.invertBox.enabled
    host.scene.RemoveNode(section.registration.xrays[1].node)
    host.process(0.2)
    assert section.ui.xrayTable.rowCount == 1 and section.ui.xrayTable.currentRow() == 0
    slicer.util.updateVolumeFromArray(a, np.full((1, *SHAPE), np.nan, np.float32))
    host.process(0.3)
    place(host, section, 0)
    host.process(0.3)
    assert "a cannot be used" in section.button.text and "no contrast" in section.ui.problemLabel.text
    host.scene.Clear(False)
    host.process(0.2)
    assert section.ui.xrayTable.rowCount == 0 and not section.ui.geometryBox.visible and section.registration is None


def test_another_registration(host, opened, section):
    from MultiViewRegistrationLib.scene.registration import Registration

    add(host, section)
    host.type(section.geometry.ui.distanceSpin, "999")
    first = section.registration
    opened.setParameterNode(Registration.create(host.scene, "Other"))
    host.process(0.1)
    assert section.ui.xrayTable.rowCount == 0
    opened.setParameterNode(first)
    host.process(0.1)
    assert cell(section, 0, NAME) == "AP" and section.geometry.ui.distanceSpin.value == 0
