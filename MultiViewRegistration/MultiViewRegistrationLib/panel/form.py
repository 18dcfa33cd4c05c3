"""Draws the form of a presenter in Qt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ctk
import qt

from ..session.presenters import form as controls
from ..session.presenters.form import Control, Form, visible, walk
from . import drawn as shown
from . import fields, packages, tables
from .drawn import Drawn, Make
from .length_unit import LengthUnit
from .style import button_text, put

if TYPE_CHECKING:
    from .panel import Panel


class QtForm:
    """The widgets of one form; what a person does at them becomes a call of the control's action, within `panel.ui_action()`.

    Parameters
    ----------
    panel
        The panel.
    widget
        An empty widget that gets them.
    """

    def __init__(self, panel: Panel, widget: Any) -> None:
        self.panel = panel
        self.widget = widget
        self.controls: dict[str, Control] = {}
        self.drawn: dict[str, Drawn[Any]] = {}
        self.filling = False
        self.unit = LengthUnit.chosen()
        self._box = _Box(self, widget)

    def show(self, form: Form) -> None:
        """Show these controls, and no others."""
        self.controls = walk(form)
        before = self.unit
        self.unit = LengthUnit.chosen()
        if self.unit != before:
            for drawn in self.drawn.values():
                drawn.before = None
        self.filling = True
        try:
            self._box.show(form)
        finally:
            self.filling = False

    def draw(self, control: Control) -> Drawn[Any]:
        """Return a control's widget, as no control has it yet."""
        return KINDS[type(control)](self, control)

    def focus(self, key: str) -> None:
        """Bring a control into sight, and give it the focus; nothing where it is not shown."""
        if key in self.controls and key in self.drawn:
            drawn = self.drawn[key]
            bring_into_sight(drawn.inner)
            drawn.inner.activateWindow()
            drawn.inner.setFocus()

    def problems(self) -> list[str]:
        """Return the problems in the typed values, a sentence each."""
        drawn = [self.drawn[key] for key in self.controls if key in self.drawn]
        return [each.problem for each in drawn if each.problem]

    def act(self, key: str, *args: Any) -> None:
        """Perform a control's action."""
        control = self._active_control(key)
        if control is not None and control.action is not None:
            with self.panel.ui_action():
                packages.ensure_all(control.needs, self.panel.resource_path)
                control.action(*args)

    def act_meanwhile(self, key: str, value: Any) -> None:
        """Report a value while the user is still typing or dragging.

        A problem in it is not yet a message.
        """
        control = self._active_control(key)
        if control is None:
            return
        act = (control.typed if isinstance(control, controls.TextField) else None) or control.action
        if act is not None:
            act(value)
            self.panel.invalidate()

    def _active_control(self, key: str) -> Control | None:
        """Return the control, where a signal comes from a person, and may do something."""
        control = self.controls.get(key)
        if self.filling or self.panel.filling or control is None or not control.enabled:
            return None
        return control if control.action is not None else None


class _Refit(qt.QObject):
    """Lays a widget out anew when its size changes: Qt's form keeps rows as they were before a text got other lines."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Leave the event to others; Qt calls this."""
        if event.type() == qt.QEvent.Resize:
            watched.layout().invalidate()
        return False


class _Box:
    """Controls below each other, labels in a column; or beside each other."""

    def __init__(self, form: QtForm, widget: Any, horizontal: bool = False) -> None:
        self._form = form
        self._horizontal = horizontal
        self._layout = qt.QHBoxLayout(widget) if horizontal else qt.QFormLayout(widget)
        if not isinstance(widget, qt.QGroupBox):
            self._layout.setContentsMargins(0, 0, 0, 0)
        widget.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Maximum)
        if not horizontal:
            self._layout.setFieldGrowthPolicy(qt.QFormLayout.AllNonFixedFieldsGrow)
            self._refit = _Refit()
            widget.installEventFilter(self._refit)
        self._keys: list[str] = []

    def show(self, form: Iterable[Control | None]) -> None:
        """Show these controls, and no others."""
        seen = visible(form)
        drawn = self._form.drawn
        place = 0
        for control in seen:
            if control.key not in drawn:
                drawn[control.key] = self._form.draw(control)
                self._insert(place, drawn[control.key])
                self._keys.insert(place, control.key)
            place = self._keys.index(control.key) + 1
            drawn[control.key].update(control)
        keys = {control.key for control in seen}
        for key in self._keys:
            drawn[key].set_visible(key in keys)

    def show_again(self) -> None:
        """Show what is to be seen, as a group is unfolded."""
        for key in self._keys:
            self._form.drawn[key].show_again()

    def _insert(self, place: int, drawn: Drawn[Any]) -> None:
        if self._horizontal:
            at = sum(1 + (self._form.drawn[key].label is not None) for key in self._keys[:place])
            for part in drawn.parts:
                self._layout.insertWidget(at, part)
                at += 1
        elif drawn.label is not None:
            self._layout.insertRow(place, drawn.label, drawn.widget)
        else:
            self._layout.insertRow(place, drawn.widget)


class _Row(Drawn[controls.SideBySide]):
    def make(self, control: controls.SideBySide) -> Any:
        widget = qt.QWidget()
        self._box = _Box(self.form, widget, horizontal=True)
        return widget

    def show(self, control: controls.SideBySide) -> None:
        self._box.show(control.children)


class _Group(Drawn[controls.Group]):
    def make(self, control: controls.Group) -> Any:
        widget = qt.QGroupBox() if control.open is None else ctk.ctkCollapsibleGroupBox()
        self._box = _Box(self.form, widget)
        if control.open is not None:
            widget.collapsedHeight = 0  # else an empty frame is left
            widget.connect("toggled(bool)", self._on_toggled)
        return widget

    def _on_toggled(self, on: bool) -> None:
        self._box.show_again()
        self.form.panel.invalidate()  # a section takes the height that it needs

    def show(self, control: controls.Group) -> None:
        title = button_text(control.label)
        if control.open is not None:
            title += "  "  # CTK's arrow takes room of it
        put(self.widget, title=title)
        self._box.show(control.children)
        if control.open is not None and (self.before is None or self.before.open != control.open):
            self.widget.collapsed = not control.open


KINDS: dict[type[Control], Make] = {
    controls.SideBySide: _Row,
    controls.Group: _Group,
    **fields.KINDS,
    **shown.KINDS,
    **tables.KINDS,
}


def bring_into_sight(widget: Any) -> None:
    """Unfold the groups about a widget, and scroll to it."""
    above = widget.parentWidget()
    while above is not None:
        if isinstance(above, ctk.ctkCollapsibleGroupBox):
            above.collapsed = False
        if isinstance(above, qt.QScrollArea):
            above.ensureWidgetVisible(widget)
        above = above.parentWidget()
