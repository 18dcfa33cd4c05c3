"""Moving the CT by hand in Slicer's views, from section Start."""

from __future__ import annotations

import numpy as np
import pytest
from gui_driver import GuiDriver
from phantom import error_mm, off
from running_session import STARTED_AT, PausedRegistration


@pytest.fixture
def person(host, ct, views):
    person = GuiDriver(host, width=450).open_phantom(ct, views)
    person.choose("start", "other_start", "By hand")
    return person


def handles(person) -> bool:
    display = person.registration.ct_transform.GetDisplayNode()
    return bool(display and display.GetEditorVisibility())


def test_a_drag_in_an_xray_moves_the_ct_along_the_image_and_can_be_undone(person):
    host = person.host
    manager = host.open_views(420, 320)
    host.click(person.ui.layoutButton)
    chosen = [
        person.drawn("start", key).button(start).checked
        for key, start in (("start", "search"), ("other_start", "by hand"))
    ]
    assert chosen == [False, True]
    person.press("start", "move")
    person.wait_for_work()
    host.process(60, until=person.session.prepare)
    assert "Drag" in person.text("start", "keys")
    view = person.registration.xrays[0]
    widget = manager.sliceWidget("XRay1").sliceView()
    middle = (widget.width // 2, widget.height // 2)
    host.process(0.5)
    before = host.slicer.util.arrayFromVolume(view.node.GetNodeReference("drr")).copy()
    host.drag(widget, middle, (middle[0] + 10, middle[1]))
    host.process(1.2)
    moved = person.pose[:3, 3] - STARTED_AT[:3, 3]
    beam = view.camera.camera_from_world[2, :3]
    assert 1 < np.linalg.norm(moved) < 60 and abs(moved @ beam) < 0.05 * np.linalg.norm(moved)
    shown = host.slicer.util.arrayFromVolume(view.node.GetNodeReference("drr"))
    assert before.shape == shown.shape and not np.array_equal(before, shown)  # the DRR followed
    assert person.history() == ["Before", "By hand*"]
    host.drag(widget, middle, (middle[0], middle[1] + 8))
    person.press("answer", "undo")  # before the CT has rested: the drag is not lost
    assert person.history() == ["Before", "By hand*", "By hand"] and handles(person)
    person.choose("start", "start", "From here")
    host.process(0.1)
    assert person.drawn("start", "start").button("given").checked
    assert not person.drawn("start", "other_start").button("by hand").checked
    assert not handles(person) and not person.panel.hand.on
    at = person.pose
    host.drag(widget, middle, (middle[0] + 10, middle[1]))
    assert person.is_at(at)


def test_without_views_the_handles_are_there_and_the_history_follows(person):
    host = person.host
    person.press("start", "move")
    assert "Show views" in person.text("start", "keys")
    for shift in (3, 6):
        person.registration.world_from_ct = off(STARTED_AT, (0, 0, 0), (shift, 0, 0))
        host.process(1.0)
    assert person.history() == ["Before", "By hand", "By hand*"]
    person.registration.world_from_ct = off(STARTED_AT, (0, 0, 0), (9, 0, 0))
    host.leave(person.module_widget)
    assert (
        len(person.session.history.entries) == 4
        and person.session.history.current.method == "by hand"
    )
    assert not handles(person)


def test_a_registration_ends_moving_by_hand(person):
    held = PausedRegistration()
    person.press("start", "move")
    assert person.panel.hand.on
    person.press("register", "register")
    person.host.process(0.1)
    assert not person.panel.hand.on and not person.widget("start", "move").enabled
    held.resume()
    person.wait_for_work()
    PausedRegistration.release_all()
    assert person.history() == ["Before", "By hand*"] and error_mm(person.pose) < 0.1


def test_escape_ends_moving_the_ct_wherever_the_focus_is(person):
    from PySide6 import QtCore, QtGui, QtWidgets

    host, button = person.host, person.widget("start", "move")
    elsewhere = QtWidgets.QWidget(None)  # a window of its own, as a view that was torn off
    elsewhere.setFocusPolicy(QtCore.Qt.StrongFocus)
    elsewhere.show()
    for focused in (button, person.widget("register", "history"), elsewhere):
        host.click(button)
        assert button.checked and "Escape" in person.text("start", "keys")
        focused.window().activateWindow()
        focused.setFocus()
        host.process(1, until=focused.hasFocus)
        host.key(focused, QtCore.Qt.Key_Escape)
        assert not button.checked and not person.panel.hand.on
    host.process()
    assert not [
        one
        for one in person.panel.widget.findChildren(QtGui.QShortcut)
        if one.key.toString() == "Esc"
    ]
    elsewhere.deleteLater()
