"""Colours of text that stands out, readable in a light and in a dark theme."""

from __future__ import annotations

import qt

PLAIN, ERROR, CAUTION, QUIET = "", "error", "caution", "quiet"
#: Each on a light and on a dark window: at least 4.5 : 1 (WCAG AA) on those of Qt, Slicer, Windows and macOS.
COLOURS = {ERROR: ("#b00020", "#ff9a9a"), CAUTION: ("#8a4600", "#ffb454"), QUIET: ("#575757", "#b8b8b8")}
_TONE = "tone"
#: What the text of a label, of one below a collapsible button, and of a field is drawn in.
_ROLES = (qt.QPalette.WindowText, qt.QPalette.ButtonText, qt.QPalette.Text)


def set_tone(widget, tone: str) -> None:
    """Write a label or a field in the colour of ERROR, CAUTION or QUIET, or in that of the theme for PLAIN; `Theme` keeps it readable."""
    widget.setProperty(_TONE, tone)
    palette = qt.QPalette()  # the application's
    if tone:
        dark = palette.color(qt.QPalette.Window).lightness() < 128
        for role in _ROLES:
            palette.setColor(role, qt.QColor(COLOURS[tone][dark]))
    widget.palette = palette


class Theme(qt.QObject):
    """Has labels and fields below a widget follow the application from light to dark and back. To be kept as long as the widget.

    A label whose tone never changes has it in its .ui, as the dynamic property "tone".
    """

    def __init__(self, widget) -> None:
        super().__init__()
        self._widget = widget
        self._follow()
        widget.installEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        """Qt's: the event is dealt with further in any case."""
        if event.type() == qt.QEvent.PaletteChange:
            self._follow()
        return False

    def _follow(self) -> None:
        for widget in self._widget.findChildren(qt.QWidget):
            if widget.property(_TONE):
                set_tone(widget, widget.property(_TONE))
