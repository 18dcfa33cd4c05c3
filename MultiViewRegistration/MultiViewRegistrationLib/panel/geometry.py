"""The window with the table of the X-rays' geometry."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import qt
import slicer

from ..session.presenters.geometry import GeometryPresenter
from .section import QtForm

if TYPE_CHECKING:
    from .panel import Panel

#: Width and height at which the window is opened, pixels; it is wider if its fields need it.
SIZE = (1180, 640)


class GeometryWindow:
    """Shows the presenter of the X-rays' geometry while its table is open.

    Attributes
    ----------
    dialog, form
        None until the table is first opened.
    """

    def __init__(self, panel: Panel, presenter: GeometryPresenter) -> None:
        self.panel = panel
        self.presenter = presenter
        self.dialog: Any = None
        self.form: QtForm | None = None

    def refresh(self) -> None:
        """Show the scene as it is."""
        if self.presenter.open and self.panel.registration is not None:
            form = self.form or self._make()
            form.show(self.presenter.form())
            for button in self.dialog.findChildren(qt.QPushButton):
                button.autoDefault = False  # Enter belongs to the fields
            if not self.dialog.visible:
                self._open(form.widget)
        elif self.dialog is not None:
            self.dialog.hide()

    def close(self) -> None:
        """Close the table, as the module is left."""
        self.presenter.close()
        # PythonQt and PySide raise these if the widget is gone.
        with suppress(ValueError, RuntimeError):
            self.refresh()

    def _open(self, inside: Any) -> None:
        """Open the window as wide as its fields."""
        margins = self.dialog.layout().contentsMargins()
        bar = self.dialog.style().pixelMetric(qt.QStyle.PM_ScrollBarExtent)
        needed = inside.minimumSizeHint.width() + margins.left() + margins.right() + bar
        self.dialog.resize(max(SIZE[0], needed), SIZE[1])
        self.dialog.show()

    def _make(self) -> QtForm:
        self.dialog = qt.QDialog(slicer.util.mainWindow())
        self.dialog.windowTitle = self.presenter.TITLE
        area = qt.QScrollArea()
        inside = qt.QWidget()
        area.widgetResizable = True
        area.frameShape = qt.QFrame.NoFrame
        area.setWidget(inside)
        qt.QVBoxLayout(self.dialog).addWidget(area)
        self.form = form = QtForm(self.panel, inside)
        self.dialog.connect("finished(int)", self._on_finished)
        return form

    def _on_finished(self, result: int) -> None:
        with self.panel.ui_action():
            self.presenter.close()
