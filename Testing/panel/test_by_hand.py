"""Moving the CT by hand in Slicer's views, from section Start."""

from __future__ import annotations

import numpy as np
import pytest
from driven_panel import STARTED_AT, Driven
from phantom import error_mm, off
from running_session import PausedRegistration


@pytest.fixture
def driven(host, ct, views):
    driven = Driven(host, ct, views)
    driven.choose_start("by hand")
    return driven


def handles(driven) -> bool:
    display = driven.registration.ct_transform.GetDisplayNode()
    return bool(display and display.GetEditorVisibility())


def test_a_drag_in_an_xray_moves_the_ct_along_the_image_and_can_be_undone(driven):
    host = driven.host
    manager = host.open_views(420, 320)
    host.click(driven.ui.layoutButton)
    driven.press("start", "move")
    driven.finish()
    host.process(60, until=driven.session.prepare)
    assert "Drag" in driven.text("start", "keys")
    view = driven.registration.xrays[0]
    widget = manager.sliceWidget("XRay1").sliceView()
    middle = (widget.width // 2, widget.height // 2)
    host.process(0.5)
    before = host.slicer.util.arrayFromVolume(view.node.GetNodeReference("drr")).copy()
    host.drag(widget, middle, (middle[0] + 10, middle[1]))
    host.process(1.2)
    moved = driven.pose[:3, 3] - STARTED_AT[:3, 3]
    beam = view.camera.camera_from_world[2, :3]
    assert 1 < np.linalg.norm(moved) < 60 and abs(moved @ beam) < 0.05 * np.linalg.norm(moved)
    shown = host.slicer.util.arrayFromVolume(view.node.GetNodeReference("drr"))
    assert before.shape == shown.shape and not np.array_equal(before, shown)  # the DRR followed
    assert driven.history() == ["Before", "By hand*"]
    host.drag(widget, middle, (middle[0], middle[1] + 8))
    driven.press("register", "undo")  # before the CT has rested: the drag is not lost
    assert driven.history() == ["Before", "By hand*", "By hand"] and handles(driven)
    driven.choose_start("given")
    host.process(0.1)
    assert not handles(driven) and not driven.panel.hand.on
    at = driven.pose
    host.drag(widget, middle, (middle[0] + 10, middle[1]))
    assert driven.is_at(at)


def test_without_views_the_handles_are_there_and_the_history_follows(driven):
    host = driven.host
    driven.press("start", "move")
    assert "Show views" in driven.text("start", "keys")
    for shift in (3, 6):
        driven.registration.world_from_ct = off(STARTED_AT, (0, 0, 0), (shift, 0, 0))
        host.process(1.0)
    assert driven.history() == ["Before", "By hand", "By hand*"]
    driven.registration.world_from_ct = off(STARTED_AT, (0, 0, 0), (9, 0, 0))
    host.leave(driven.module_widget)
    assert len(driven.session.history.entries) == 4 and driven.session.history.current.method == "by hand"
    assert not handles(driven)


def test_a_registration_ends_moving_by_hand(driven):
    held = PausedRegistration()
    driven.press("start", "move")
    assert driven.panel.hand.on
    driven.press_register()
    driven.host.process(0.1)
    assert not driven.panel.hand.on and not driven.widget("start", "move").enabled
    held.resume()
    driven.finish()
    PausedRegistration.release_all()
    assert driven.history() == ["Before", "By hand*"] and error_mm(driven.pose) < 0.1


def test_escape_ends_moving_the_ct_wherever_the_focus_is(driven):
    from PySide6 import QtCore, QtGui, QtWidgets

    host, button = driven.host, driven.widget("start", "move")
    elsewhere = QtWidgets.QWidget(None)  # a window of its own, as a view that was torn off
    elsewhere.setFocusPolicy(QtCore.Qt.StrongFocus)
    elsewhere.show()
    for focused in (button, driven.widget("register", "history"), elsewhere):
        host.click(button)
        assert button.checked and "Escape" in driven.text("start", "keys")
        focused.window().activateWindow()
        focused.setFocus()
        host.process(1, until=focused.hasFocus)
        host.key(focused, QtCore.Qt.Key_Escape)
        assert not button.checked and not driven.panel.hand.on
    host.process()
    assert not [one for one in driven.panel.widget.findChildren(QtGui.QShortcut) if one.key.toString() == "Esc"]
    elsewhere.deleteLater()
