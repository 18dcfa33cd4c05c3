"""A control that is drawn in Qt, and what several kinds of them need."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import qt

from ..session.presenters.form import Control
from .length_unit import LengthUnit
from .style import plain_label, plain_tip, put

if TYPE_CHECKING:
    from .form import QtForm

#: Side of the square of a row's colour.
SWATCH_PX = 10
#: Kind of control that a widget shows.
C = TypeVar("C", bound=Control)


class Drawn(Generic[C]):
    """A control's widget.

    Attributes
    ----------
    control
        As it is shown now.
    before
        As it was shown before; None at first.
    label
        What stands beside it, None for nothing.
    """

    LABELLED = False

    def __init__(self, form: QtForm, control: C) -> None:
        self.form = form
        self.key = control.key
        self.control = control
        self.before: C | None = None
        self._visible: bool | None = None
        self.label = plain_label() if self.LABELLED else None
        self.widget = self.make(control)
        self.widget.name = control.key
        self.parts = [self.widget] if self.label is None else [self.label, self.widget]

    def make(self, control: C) -> Any:
        """Return the widget, with its signals connected."""
        raise NotImplementedError

    def show(self, control: C) -> None:
        """Write what the control shows into the widget."""

    def update(self, control: C) -> None:
        """Show the control as it is now."""
        self.control = control
        if control != self.before:
            put(self.widget, toolTip=plain_tip(control.tip))
            self.widget.enabled = control.enabled  # where its parent is off, `put` would read that
            if self.label is not None:
                text = f"{control.label}:" if control.label else ""
                put(self.label, text=text, toolTip=plain_tip(control.tip))
        self.show(control)
        self.before = control

    @property
    def unit(self) -> LengthUnit | None:
        """The unit of its numbers where they are lengths and not shown in mm; the end of a key tells, or a number."""
        number = getattr(self.control, "number", None)
        length = self.key.endswith("_mm") or (number is not None and number.unit.strip() == "mm")
        return self.form.unit if length and self.form.unit.in_mm != 1 else None

    def set_visible(self, on: bool) -> None:
        """Show the control, or hide it; asked twice, a folded group would lay itself out again."""
        if on is not self._visible:
            self._visible = on
            self.show_again()

    def show_again(self) -> None:
        """Show the control where it is to be seen: CTK keeps hidden what was first shown in a folded group."""
        for part in self.parts:
            part.setVisible(self._visible)

    def act(self, *args: Any) -> None:
        """Perform the control's action."""
        self.form.act(self.key, *args)

    @property
    def inner(self) -> Any:
        """The widget that gets the focus."""
        return self.widget

    @property
    def problem(self) -> str:
        """The problem in what was typed, a sentence; "" for none."""
        return ""


#: Draws a control of its kind.
Make = Callable[["QtForm", Any], Drawn[Any]]


def joined(layout_class: Any, *parts: Any) -> Any:
    """Return a widget with these in a layout."""
    widget = qt.QWidget()
    layout = layout_class(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    return widget


def embolden(widget: Any, on: bool) -> None:
    """Give a widget bold letters, or plain ones."""
    font = widget.font
    if font.bold() != on:
        font.setBold(on)
        widget.font = font


def pixmap(picture: np.ndarray, width: int, height: int, aspect: float = 1.0) -> Any:
    """Return a qt.QPixmap as large as fits into `width` x `height` pixels.

    Parameters
    ----------
    picture
        Uint8 (rows, columns, 3).
    aspect
        Height of its pixels over their width.
    """
    rows, columns, _ = picture.shape
    whole = qt.QPixmap()
    whole.loadFromData(
        qt.QByteArray(b"P6 %d %d 255\n" % (columns, rows) + picture.tobytes()), "PPM"
    )
    scale = min(width / columns, height / (rows * aspect))
    size = qt.QSize(max(round(columns * scale), 1), max(round(rows * aspect * scale), 1))
    return whole.scaled(size, qt.Qt.IgnoreAspectRatio, qt.Qt.SmoothTransformation)


def swatch(colour: str) -> Any:
    """Return an icon of a colour in CSS, "rgb(255, 0, 0)"."""
    square = qt.QPixmap(SWATCH_PX, SWATCH_PX)
    square.fill(qt.QColor(*map(int, re.findall(r"\d+", colour))))
    return qt.QIcon(square)
