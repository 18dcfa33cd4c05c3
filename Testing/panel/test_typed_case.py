"""A registration from nothing but volumes in the scene: the geometry is typed, the CT is moved by hand, the rest is a button."""

from __future__ import annotations

import numpy as np
from person import Person
from phantom import TRUE_POSE, error_mm


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
    person.choose("ct", "ct", "Phantom")  # nobody asked for a registration: it begins with the CT
    person.wait_until_read()
    assert person.ui.registrationSelector.currentNode() is person.panel.registration.node
    assert person.header("ct") == "\u25d0 Phantom"
    for name, angle in (("front", "0"), ("side", "90")):
        person.choose("xrays", "volume", name)
        assert f"{name} needs geometry" in person.header("xrays")
        assert "none is given" in person.text("xrays", "geometry_problem")
        assert not person.widget("register", "register").enabled
        for key, text in (
            ("rao_lao_deg", angle),
            ("cra_cau_deg", "0"),
            ("source_to_detector_mm", "1000"),
            ("source_to_isocentre_mm", "700"),
            ("pixel_mm0", "1.25"),
            ("pixel_mm1", "1.25"),
        ):
            person.type("xrays", key, text)
        person.choose("xrays", "seen", "the source")
        person.press("xrays", "apply")
        assert person.message == ""
    person.wait_until_read()
    assert person.header("xrays") == "\u25d0 2 views ready"
    person.host.click(person.widget("xrays", "certainty"))
    for key in ("rotation_sd_deg", "translation_sd_mm"):
        assert person.control("xrays", f"{key}_known").value == "about"  # what is typed in is seldom exact
        person.choose("xrays", f"{key}_known", "exactly (calibrated)")
    assert [row[1:3] for row in person.cells("xrays", "xrays")] == [
        ["LAO 0\u00b0, CRA 0\u00b0", "reference"],
        ["LAO 90\u00b0, CRA 0\u00b0", "calibrated"],
    ]


def moves_the_ct(person) -> None:
    from PySide6 import QtCore

    host = person.host
    person.give_views(420, 300)
    host.click(person.ui.layoutButton)
    person.choose("start", "start", "By hand")
    person.press("start", "move")
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
    person.press("start", "move")
    assert error_mm(person.pose) > 1 and person.message == "" and "By hand*" in person.history()


def registers(person) -> None:
    from PySide6 import QtCore

    person.host.key(person.widget("register", "register"), QtCore.Qt.Key_Space)
    person.wait_for_work()
    assert error_mm(person.pose, TRUE_POSE) < 0.1 and person.message == ""
    assert person.header("register").startswith("\u2714") and person.header("start") == "\u2714 By hand"
    person.host.process(0.3)
    assert all(float(row[3]) > 0.9 for row in person.cells("xrays", "xrays"))
    names = [view.name for view in person.panel.registration.xrays]
    assert names == ["front", "side"]
