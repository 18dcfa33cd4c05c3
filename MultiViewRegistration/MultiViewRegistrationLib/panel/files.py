"""Files that are dropped anywhere on the panel, what is asked of them, and what an empty panel offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt

from ..session.presenters.form import visible
from . import packages
from .form import QtForm

if TYPE_CHECKING:
    from .panel import Panel


class FilesPart:
    """The part of the panel above the sections that shows a FilesPresenter, where it has something to say.

    Parameters
    ----------
    panel
        The panel.
    widget
        An empty widget for its form.
    """

    def __init__(self, panel: Panel, widget: Any) -> None:
        self.panel = panel
        self.widget = widget
        self.presenter = panel.files_presenter
        self.form = QtForm(panel, widget)
        self._drop = DropFilter(panel.widget, self.take)

    def take(self, paths: list[Path]) -> None:
        """Take files that were dropped."""
        with self.panel.ui_action():
            packages.ensure_for_files(paths, self.panel.resource_path)
            self.presenter.take(paths)

    def refresh(self) -> None:
        """Show the scene as it is."""
        form = self.presenter.form()
        self.form.show(form)
        self.widget.setVisible(bool(visible(form)))


class DropFilter(qt.QObject):
    """Lets files and folders be dropped onto a widget, and hands their paths on.

    To be kept as long as the widget.
    """

    def __init__(self, widget: Any, then: Callable[[list[Path]], None]) -> None:
        super().__init__()
        self._then = then
        widget.acceptDrops = True
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Return whether the event has been dealt with; Qt calls this."""
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
