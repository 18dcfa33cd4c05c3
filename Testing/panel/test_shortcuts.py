"""Keys that work wherever the focus is, and where they do not."""

import pytest
import qt
from helpers.phantom import off
from helpers.running_session import STARTED_AT

MOVED = off(STARTED_AT, (0, 0, 0), (30, 0, 0))


@pytest.fixture
def person(person):
    """After a bad drag."""
    person.registration.world_from_ct = MOVED
    person.host.process(0.3)
    return person


def key(person, widget, letter):
    person.host.key(widget, getattr(qt.Qt, f"Key_{letter}"), qt.Qt.ControlModifier)


@pytest.mark.slow
def test_undo_and_redo_reach_from_a_view(person, focus):
    view = focus(qt.QWidget)
    key(person, view, "Z")
    assert person.is_at(STARTED_AT)
    key(person, view, "Y")
    assert person.is_at(MOVED)


@pytest.mark.slow
def test_a_text_field_keeps_its_own_undo(person, focus):
    field = focus(qt.QLineEdit)
    person.host.type(field, "12")
    key(person, field, "Z")
    assert field.text == "" and person.is_at(MOVED)


@pytest.mark.slow
def test_undo_is_off_once_another_module_is_open(person, focus):
    view = focus(qt.QWidget)
    person.host.leave(person.module_widget)
    key(person, view, "Z")
    assert person.is_at(MOVED)
    person.host.enter(person.module_widget)
    person.host.process(0.2)
    key(person, focus(qt.QWidget), "Z")
    assert person.is_at(STARTED_AT)


def test_keys_register_from_anywhere_in_the_panel(person):
    person.choose("start", "start", "From here")
    person.module_widget.parent.activateWindow()
    focus = person.widget("register", "history")
    focus.setFocus()
    key(person, focus, "Return")
    assert person.session.running_registration
    person.session.stop()
