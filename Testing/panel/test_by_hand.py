"""Moving the CT by hand in Slicer's views, from section Start."""

import pytest
import qt
from helpers.phantom import off
from helpers.running_session import STARTED_AT

pytestmark = pytest.mark.slow


@pytest.fixture
def person(person):
    person.choose("start", "other_start", "By hand")
    return person


def test_without_views_the_handles_are_there_and_the_history_follows(person):
    person.press("start", "move")
    assert "Show views" in person.text("start", "keys")
    for shift in (3, 6):
        person.registration.world_from_ct = off(STARTED_AT, (0, 0, 0), (shift, 0, 0))
        person.host.process(1.0)
    assert person.history() == ["Before", "By hand", "By hand*"]
    handles = person.registration.ct_transform.GetDisplayNode()
    assert handles.GetEditorVisibility()
    person.host.leave(person.module_widget)
    assert not handles.GetEditorVisibility()


def test_escape_ends_moving_the_ct_wherever_the_focus_is(person, focus):
    button = person.widget("start", "move")
    for focused in (button, person.widget("register", "history"), focus(qt.QWidget)):
        person.host.click(button)
        assert button.checked and "Escape" in person.text("start", "keys")
        focused.window().activateWindow()
        focused.setFocus()
        person.host.process(1, until=lambda widget=focused: widget.focus)
        person.host.key(focused, qt.Qt.Key_Escape)
        assert not button.checked and not person.panel.hand.on
    person.host.process()
    left = person.panel.widget.findChildren(qt.QShortcut)
    assert "Esc" not in [each.key.toString() for each in left]
