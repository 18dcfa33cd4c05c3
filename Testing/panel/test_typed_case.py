"""A registration from nothing but volumes in the scene: the geometry is typed, the CT is moved by hand, the rest is a button."""

from __future__ import annotations

import numpy as np
from person import Person
from phantom import TRUE_POSE, error_mm

USE, NAME, GEOMETRY, CERTAINTY, SIMILARITY = range(5)


def detected(line_integrals: np.ndarray) -> np.ndarray:
    """uint16 (1, rows, columns), what a detector shows: bone dark."""
    return (60000 * np.exp(-line_integrals))[None].astype(np.uint16)


def test_volumes_a_keyboard_and_a_hand(host, ct, views):
    import slicer

    from MultiViewRegistrationLib.mrml.loading import volume_node

    volume_node(host.scene, "Phantom", ct.volume.values, ct.volume.ct_from_index)
    for name, view in zip(("front", "side"), views, strict=True):
        node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, detected(view.xray.line_integrals))
    person = Person(host)
    chooses_and_types(person)
    moves_the_ct(person)
    registers(person)


def chooses_and_types(person) -> None:
    host, ct, xrays = person.host, person.of("ct"), person.of("xrays")
    host.choose(ct.ctSelector, "Phantom")  # nobody asked for a registration: it begins with the CT
    person.wait_until_read()
    assert (
        person.ui.registrationSelector.currentNode() is person.panel.registration.node
        and person.header("ct") == "\u25d0 Phantom"
    )
    editor = person.panel.sections["xrays"].geometry.ui
    for name, angle, said in (("front", "0", "none is given"), ("side", "90", "none is given")):
        host.choose(xrays.volumeSelector, name)
        host.click(xrays.addVolumeButton)
        assert f"{name} needs geometry" in person.header("xrays") and said in editor.checkLabel.text
        assert not person.of("register").registerButton.enabled
        for spin, text in (
            (editor.raoLaoEdit, angle),
            (editor.craCauEdit, "0"),
            (editor.distanceEdit, "1000"),
            (editor.isocentreEdit, "700"),
            (editor.pixelColumnEdit, "1.25"),
            (editor.pixelRowEdit, "1.25"),
        ):
            host.type(spin, text)
        host.choose(editor.seenBox, "the source")
        host.click(editor.applyButton)
        assert person.message == ""
    person.wait_until_read()
    assert person.header("xrays") == "\u25d0 2 views ready"
    certainty = person.panel.sections["xrays"].certainty.ui
    assert certainty.anglesBox.currentText == "about"  # what is typed in is seldom exact
    xrays.certaintyBox.collapsed = False
    host.choose(certainty.anglesBox, "exactly (calibrated)")
    host.choose(certainty.placeBox, "exactly (calibrated)")
    table = xrays.xrayTable
    assert [table.item(row, GEOMETRY).text() for row in range(2)] == [
        "LAO 0\u00b0, CRA 0\u00b0",
        "LAO 90\u00b0, CRA 0\u00b0",
    ]
    assert [table.item(row, CERTAINTY).text() for row in range(2)] == ["reference", "calibrated"]


def moves_the_ct(person) -> None:
    from PySide6 import QtCore

    host, start = person.host, person.of("start")
    person.give_views(420, 300)
    host.click(person.ui.layoutButton)
    host.click(start.byHandRadioButton)
    host.click(start.moveButton)
    host.process(0.1)
    pose, view = person.pose, person.view(1)
    middle = view.width // 2, view.height // 2
    host.drag(view, middle, (middle[0] + 12, middle[1] - 7))
    host.process(0.1)
    shift = (person.pose @ np.linalg.inv(pose))[:3, 3]
    assert abs(shift[1]) < 1e-6 and np.linalg.norm(shift) > 5  # parallel to the image: not along its beam
    host.key(view, QtCore.Qt.Key_Left)
    host.drag(view, (middle[0] + 12, middle[1] - 7), (middle[0], middle[1]))
    host.key(view, QtCore.Qt.Key_BracketLeft)
    host.click(start.moveButton)
    assert error_mm(person.pose) > 1 and person.message == "" and "By hand*" in person.history()


def registers(person) -> None:
    from PySide6 import QtCore

    person.host.key(person.of("register").registerButton, QtCore.Qt.Key_Space)
    person.wait_for_work()
    assert error_mm(person.pose, TRUE_POSE) < 0.1 and person.message == ""
    assert person.header("register").startswith("\u2714") and person.header("start") == "\u2714 By hand"
    table = person.of("xrays").xrayTable
    person.host.process(0.3)
    assert all(float(table.item(row, SIMILARITY).text()) > 0.9 for row in range(2))
    names = [view.name for view in person.panel.registration.xrays]
    assert names == ["front", "side"]
