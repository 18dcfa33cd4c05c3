"""A control that is drawn in Qt, what several kinds of them need, and those that only show.

Lengths in the unit of Slicer's settings; text colours for light and dark themes, the width of the
panel, and the wait cursor.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
import qt
import slicer

from ..errors import InputError
from ..io.calibration.matrices import read_number
from ..session.presenters import form as controls
from ..session.presenters.form import Control

if TYPE_CHECKING:
    from .section import QtForm

#: Each on a light and on a dark window: at least 4.5 : 1 (WCAG AA) on those of Qt, Slicer, Windows
#: and macOS.
COLOURS = {
    "error": ("#b00020", "#ff9a9a"),
    "caution": ("#8a4600", "#ffb454"),
    "quiet": ("#575757", "#b8b8b8"),
}
_TONE = "tone"
#: Width of the panel, whichever section is open.
WIDTH_IN_CHARACTERS = 66
#: What the text of a label, of one below a collapsible button, and of a field is drawn in.
_ROLES = (qt.QPalette.WindowText, qt.QPalette.ButtonText, qt.QPalette.Text)


def plain_label():
    """Return a label that shows its text as it is, where Qt would take a name such as "<b>" for HTML."""
    label = qt.QLabel()
    label.textFormat = qt.Qt.PlainText
    return label


def plain_tip(text: str) -> str:
    """Return what a tool tip or a question, which Qt takes for HTML where it looks so, has to be for showing this text as it is."""
    return f"<span>{html.escape(text)}</span>".replace("\n", "<br>") if "<" in text else text


def button_text(text: str) -> str:
    """Return what the text of a button or a group, where "&" underlines the next letter, has to be for showing this text as it is."""
    return text.replace("&", "&&")


def put(widget: Any, **properties: object) -> None:
    """Give a widget these values of its properties; those that it has already cost no layout and no painting."""
    for name, value in properties.items():
        if getattr(widget, name) not in (value, f"<p>{value}</p>"):  # Slicer makes tool tips such
            setattr(widget, name, value)


def show_text(text: str, label: Any, *beside: Any) -> None:
    """Show a text in a label, and the widgets that belong to it; "" hides them all."""
    put(label, text=text)
    for widget in (label, *beside):
        widget.setVisible(bool(text))


def set_tone(widget: Any, tone: str) -> None:
    """Give a label or field the colour of its tone, or the theme's.

    `PanelStyle` keeps it readable.
    """
    if widget.property(_TONE) != tone:
        widget.setProperty(_TONE, tone)
        _colour(widget, tone)


def _colour(widget: Any, tone: str) -> None:
    palette = qt.QPalette()  # the application's
    if tone:
        dark = palette.color(qt.QPalette.Window).lightness() < 128
        for role in _ROLES:
            palette.setColor(role, qt.QColor(COLOURS[tone][dark]))
    widget.palette = palette


#: Marks of a field, and their borders on a light and on a dark window.
_BORDERS = {
    "faulty": ("2px solid", "error"),
    "doubtful": ("2px solid", "caution"),
    "missing": ("2px dashed", "caution"),
}


def mark_field(widget: Any, mark: str) -> None:
    """Give a field a border: "faulty", "doubtful", "missing", or "" for none."""
    sheet = ""
    if mark:
        line, tone = _BORDERS[mark]
        dark = qt.QPalette().color(qt.QPalette.Window).lightness() < 128
        sheet = f"{widget.className()} {{ border: {line} {COLOURS[tone][dark]}; }}"
    put(widget, styleSheet=sheet)


class PanelStyle(qt.QObject):
    """Keeps a panel readable: its colours follow the theme, and its width the font, whichever section is open.

    A label whose tone never changes has it in its .ui, as the dynamic property "tone".

    Parameters
    ----------
    widget
        The panel, with all its sections. To be kept as long as that.
    resized
        Called when it has another width or font.
    """

    def __init__(self, widget: Any, resized: Callable[[], object]) -> None:
        super().__init__()
        self._widget = widget
        self._resized = resized
        # Slicer's panel becomes as wide as what a module prefers, and the views change their sizes.
        widget.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        self._colour()
        self._fit()
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Leave the event to others; Qt calls this."""
        kind = event.type()
        if kind == qt.QEvent.PaletteChange:
            self._colour()
        elif kind == qt.QEvent.FontChange:
            self._fit()
        if kind in (qt.QEvent.FontChange, qt.QEvent.Resize):
            self._resized()
        return False

    def _colour(self) -> None:
        for widget in self._widget.findChildren(qt.QWidget):
            if widget.property(_TONE):
                _colour(widget, widget.property(_TONE))

    def _fit(self) -> None:
        self._widget.minimumWidth = (
            WIDTH_IN_CHARACTERS * self._widget.fontMetrics().averageCharWidth()
        )


@contextmanager
def busy() -> Iterator[None]:
    """Show the wait cursor during slow work in the main thread."""
    qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
    try:
        yield
    finally:
        qt.QApplication.restoreOverrideCursor()


class LengthUnit(NamedTuple):
    """Unit of the lengths in fields, which a person chooses in Slicer's settings; all else of the program is in mm.

    Attributes
    ----------
    name
        Its symbol.
    in_mm
        How many of it a mm is.
    """

    name: str
    in_mm: float

    @classmethod
    def chosen(cls) -> LengthUnit:
        """Return the unit of Slicer's settings, mm where it has none."""
        unit = slicer.app.applicationLogic().GetSelectionNode().GetUnitNode("length")
        return cls(unit.GetSuffix(), unit.GetDisplayCoefficient()) if unit else cls("mm", 1.0)

    def shown(self, mm: str) -> str:
        """Return a text with lengths in mm as a field shows it."""
        try:
            return _scaled(mm, self.in_mm)
        except InputError:  # words, or what was typed and refused
            return mm.removesuffix(f" {self.name}")

    def typed(self, text: str) -> str:
        """Return what was typed in this unit with lengths in mm; with its unit where it cannot be read."""
        try:
            return _scaled(text.strip().removesuffix(self.name), 1 / self.in_mm)
        except InputError:
            return text if text.endswith("mm") else f"{text} {self.name}"


def _scaled(text: str, factor: float) -> str:
    """Return a text with its numbers, between blanks, crosses or semicolons, times a factor."""

    def times(found: re.Match[str]) -> str:
        number = read_number(found[0].removesuffix(","), "")
        return f"{number * factor:.10f}".rstrip("0").rstrip(".")

    return re.sub(r"[^\s\u00d7x;]+", times, text)


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
