"""A control that is drawn in Qt, what several kinds of them need, and those that only show."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import qt

from ..session.presenters import form as controls
from ..session.presenters.form import Control
from .length_unit import LengthUnit
from .style import plain_label, plain_tip, put, set_tone, show_text

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


#: Width of a picture, in heights, at most.
PICTURE_WIDTH = 4 / 3


class _Text(Drawn[controls.Text]):
    def make(self, control: controls.Text) -> Any:
        label = plain_label()
        label.wordWrap = True
        label.minimumWidth = 1  # a long name, which cannot be wrapped, must not widen the panel
        label.textInteractionFlags = qt.Qt.TextSelectableByMouse
        return label

    def show(self, control: controls.Text) -> None:
        if control == self.before:
            return
        set_tone(self.widget, "" if control.tone == "strong" else control.tone)
        embolden(self.widget, control.tone == "strong")
        self.widget.text = self.unit.shown(control.label) if self.unit else control.label


class _Progress(Drawn[controls.ProgressBar]):
    def make(self, control: controls.ProgressBar) -> Any:
        self.bar = qt.QProgressBar()
        self.text = plain_label()
        self.bar.textVisible = False
        self.text.wordWrap = True
        return joined(qt.QVBoxLayout, self.bar, self.text)

    def show(self, control: controls.ProgressBar) -> None:
        unknown = control.percent is None  # the bar goes to and fro
        put(self.bar, maximum=0 if unknown else 100, value=control.percent or 0)
        put(self.text, text=control.label)


class _ClickFilter(qt.QObject):
    """Tells where the picture of a label, in its middle, is clicked; to be kept as long as the label."""

    def __init__(self, label: Any, then: Callable[[float, float], object]) -> None:
        super().__init__()
        self._label = label
        self._then = then
        self.size = (0, 0)
        label.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Return whether the event has been dealt with; Qt calls this."""
        if event.type() != qt.QEvent.MouseButtonRelease:
            return False
        at = event.position() if hasattr(event, "position") else event.pos()  # Qt 6, or 5
        width, height = self.size
        across = (at.x() - (self._label.width - width) / 2) / max(width, 1)
        down = (at.y() - (self._label.height - height) / 2) / max(height, 1)
        if 0 <= across <= 1 and 0 <= down <= 1:
            self._then(across, down)
        return True


class _Picture(Drawn[controls.Picture]):
    def make(self, control: controls.Picture) -> Any:
        self._rgb: np.ndarray | None = None
        self.picture = plain_label()
        self.text = plain_label()
        self._clicks = _ClickFilter(self.picture, self.act) if control.action else None
        if self._clicks:
            self.picture.setCursor(qt.QCursor(qt.Qt.PointingHandCursor))
        for part in (self.picture, self.text):
            part.alignment = qt.Qt.AlignCenter
        self.text.wordWrap = True
        set_tone(self.text, "quiet")
        return joined(qt.QVBoxLayout, self.picture, self.text)

    def show(self, control: controls.Picture) -> None:
        if control.wide:
            self.picture.scaledContents = True
            self.picture.setFixedHeight(control.height)
        if control.rgb is not None and control.rgb is not self._rgb:
            self._rgb = control.rgb
            self.picture.setPixmap(
                pixmap(
                    control.rgb,
                    round(PICTURE_WIDTH * control.height),
                    control.height,
                    control.aspect,
                )
            )
        elif control.svg and (self.before is None or control.svg != self.before.svg):
            picture = qt.QPixmap()
            picture.loadFromData(qt.QByteArray(control.svg.encode()), "SVG")
            self.picture.setPixmap(picture)
            if self._clicks:
                self._clicks.size = picture.width(), picture.height()
            # a form's layout does not see how high a text below a picture is
            text = 2 * self.text.fontMetrics().lineSpacing() + self.widget.layout().spacing
            self.widget.minimumHeight = picture.height() + text
        if control != self.before:
            show_text(control.label, self.text)


KINDS: dict[type[controls.Control], Make] = {
    controls.Text: _Text,
    controls.ProgressBar: _Progress,
    controls.Picture: _Picture,
}
