"""Moving the CT by hand in Slicer's views, from section Start."""

from __future__ import annotations

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
    import qt

    host, button = person.host, person.widget("start", "move")
    elsewhere = qt.QWidget(None)  # a window of its own, as a view that was torn off
    elsewhere.setFocusPolicy(qt.Qt.StrongFocus)
    elsewhere.show()
    for focused in (button, person.widget("register", "history"), elsewhere):
        host.click(button)
        assert button.checked and "Escape" in person.text("start", "keys")
        focused.window().activateWindow()
        focused.setFocus()
        host.process(1, until=focused.hasFocus)
        host.key(focused, qt.Qt.Key_Escape)
        assert not button.checked and not person.panel.hand.on
    host.process()
    assert not [
        one for one in person.panel.widget.findChildren(qt.QShortcut) if one.key.toString() == "Esc"
    ]
    elsewhere.deleteLater()
