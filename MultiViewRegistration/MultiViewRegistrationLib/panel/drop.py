"""Files dropped onto a widget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt


class FileDrop(qt.QObject):
    """Lets files and folders be dropped onto a widget, and hands their paths on. To be kept as long as the widget."""

    def __init__(self, widget, then: Callable[[list[Path]], None]) -> None:
        super().__init__()
        self._then = then
        widget.acceptDrops = True
        widget.installEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        """Qt's: True where the event has been dealt with."""
        kind = event.type()
        if kind not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.toLocalFile()]
        if not paths:
            return False
        event.acceptProposedAction()
        if kind == qt.QEvent.Drop:
            self._then(paths)
        return True
