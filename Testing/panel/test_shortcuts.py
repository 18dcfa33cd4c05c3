"""Keys that work wherever the focus is, and where they do not."""

from __future__ import annotations

import pytest
from gui_driver import GuiDriver
from phantom import off
from running_session import STARTED_AT

MOVED = off(STARTED_AT, (0, 0, 0), (30, 0, 0))


@pytest.fixture
def person(host, ct, views):
    """After a bad drag."""
    person = GuiDriver(host).open_phantom(ct, views)
    person.registration.world_from_ct = MOVED
    person.host.process(0.3)
    return person


@pytest.fixture
def focus(host):
    """Gives the focus to a widget of a class in a window of its own, as a view or a field of another module."""
    import qt

    made = []

    def give(kind):
        widget = kind()
        widget.setFocusPolicy(qt.Qt.StrongFocus)
        widget.show()
        widget.activateWindow()
        widget.setFocus()
        host.process(1, until=lambda: widget.focus)
        made.append(widget)
        return widget

    yield give
    for widget in made:
        widget.deleteLater()


def key(host, widget, letter: str) -> None:
    import qt

    host.key(widget, getattr(qt.Qt, f"Key_{letter}"), qt.Qt.ControlModifier)


def test_undo_and_redo_reach_from_a_view(person, focus):
    import qt

    view = focus(qt.QWidget)
    key(person.host, view, "Z")
    assert person.is_at(STARTED_AT)
    key(person.host, view, "Y")
    assert person.is_at(MOVED)


def test_a_text_field_keeps_its_own_undo(person, focus):
    import qt

    field = focus(qt.QLineEdit)
    person.host.type(field, "12")
    key(person.host, field, "Z")
    assert field.text == "" and person.is_at(MOVED)


def test_undo_is_off_once_another_module_is_open(person, focus):
    import qt

    view = focus(qt.QWidget)
    person.host.leave(person.module_widget)
    key(person.host, view, "Z")
    assert person.is_at(MOVED)
    person.host.enter(person.module_widget)
    person.host.process(0.2)
    key(person.host, focus(qt.QWidget), "Z")
    assert person.is_at(STARTED_AT)
