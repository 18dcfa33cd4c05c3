"""Text colours for light and dark themes, the width of the panel, and the wait cursor."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import qt

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
