"""Colours of text that stands out, readable in a light and in a dark theme."""

from __future__ import annotations

import qt

PLAIN, ERROR, CAUTION, QUIET = "", "error", "caution", "quiet"
#: Each on a light and on a dark window: at least 4.5 : 1 (WCAG AA) on those of Qt, Slicer, Windows and macOS.
COLOURS = {ERROR: ("#b00020", "#ff9a9a"), CAUTION: ("#8a4600", "#ffb454"), QUIET: ("#575757", "#b8b8b8")}
_TONE = "tone"


def set_tone(label, tone: str) -> None:
    """Write a label in the colour of ERROR, CAUTION or QUIET, or in that of the theme for PLAIN; `Theme` keeps it readable."""
    label.setProperty(_TONE, tone)
    palette = qt.QPalette()  # the application's
    if tone:
        dark = palette.color(qt.QPalette.Window).lightness() < 128
        palette.setColor(qt.QPalette.WindowText, qt.QColor(COLOURS[tone][dark]))
    label.palette = palette


class Theme(qt.QObject):
    """Has the labels below a widget follow the application from light to dark and back. To be kept as long as the widget.

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
        for label in self._widget.findChildren(qt.QLabel):
            if label.property(_TONE):
                set_tone(label, label.property(_TONE))
