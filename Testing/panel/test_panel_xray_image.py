"""The image of an X-ray, its mask, and how certain its geometry is, changed as a person does."""

from __future__ import annotations

import numpy as np
import pytest
from little_xray import SHAPE, intensity
from xrays_section import CERTAINTY, add, cell, open_module, place


@pytest.fixture
def opened(host):
    return open_module(host)


@pytest.fixture
def section(opened):
    return opened.panel.sections["xrays"]


def test_the_image(host, opened, section):
    import slicer

    node = add(host, section)
    slicer.util.updateVolumeFromArray(node, np.stack([intensity(0), intensity(3)]))
    host.process(0.2)
    section.ui.imageBox.collapsed = False
    host.process()
    ui, view = section.image.ui, section.registration.xrays[0]
    assert ui.frameEdit.visible and ui.frameEdit.text == "0 of 1"
    first = slicer.util.arrayFromVolume(view.node)[0].copy()
    host.type(ui.frameEdit, "1")
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
    from MultiViewRegistrationLib.mrml.case import xray_of
    from MultiViewRegistrationLib.mrml.image import segmentation_node

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
    assert (
        "leaves nothing" in opened.ui.messageLabel.text
        and view.mask.GetName() == ui.maskSelector.currentNode().GetName() == "Half"
    )
    host.choose(ui.maskSelector, "None")
    assert view.mask is None


def test_certainty(host, section):
    from MultiViewRegistrationLib.mrml.case import shared_unknowns_of

    for n, name in enumerate(("AP", "LAT")):
        add(host, section, name, n)
    place(host, section, 0, 90)
    section.ui.certaintyBox.collapsed = False
    host.process()
    ui, view = section.certainty.ui, section.registration.xrays[1]
    assert (ui.anglesBox.currentText, ui.anglesEdit.text, ui.placeEdit.text) == ("about", "± 1°", "± 3 mm")
    host.type(ui.anglesEdit, "2.5")
    host.choose(ui.placeBox, "exactly (calibrated)")
    assert (view.content["rotation_sd_deg"], view.content["translation_sd_mm"], ui.placeEdit.enabled) == (2.5, 0, False)
    host.choose(ui.anglesBox, "not at all")
    host.choose(ui.placeBox, "not at all")
    assert cell(section, 1, CERTAINTY) == "unknown" and "registered alone" in ui.hintLabel.text
    section.ui.sharedBox.collapsed = False
    host.type(section.ui.sharedDistanceEdit, "12")
    assert (
        shared_unknowns_of(section.registration).source_to_detector_sd_mm == 12
        and "registered alone" not in ui.hintLabel.text
    )
    host.type(section.ui.sharedDistanceEdit, "0")
    assert shared_unknowns_of(section.registration).source_to_detector_sd_mm is None
    section.ui.xrayTable.selectRow(0)
    host.process()
    assert not ui.anglesBox.enabled and "reference" in ui.hintLabel.text


def test_a_number_being_typed_is_not_taken_away(host, section):
    """What is looked at in the background has the panel shown anew at any moment, also between two keys."""
    from PySide6 import QtCore, QtTest

    from MultiViewRegistrationLib.mrml.case import shared_unknowns_of

    add(host, section)
    section.ui.certaintyBox.collapsed = section.ui.sharedBox.collapsed = False
    host.process()
    fields = {
        section.ui.sharedDistanceEdit: ("12", "± 12 mm"),
        section.geometry.ui.distanceEdit: ("1012.5", "1012.5 mm"),
    }
    for edit, (text, shown) in fields.items():
        edit.selectAll()
        for key in text:
            QtTest.QTest.keyClicks(edit, key)
            section.panel.invalidate()
            section.panel.tick()
        host.key(edit, QtCore.Qt.Key_Return)
        assert edit.text == shown
    assert shared_unknowns_of(section.registration).source_to_detector_sd_mm == 12
