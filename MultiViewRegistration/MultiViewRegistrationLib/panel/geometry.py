"""The window with the table of the X-rays' geometry."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import qt
import slicer

from ..session.presenters.geometry import GeometryPresenter
from .section import QtForm

if TYPE_CHECKING:
    from .panel import Panel

#: Pixels: its least width, its height at most.
SIZE = (1180, 640)


class GeometryWindow:
    """Shows the presenter of the X-rays' geometry while its table is open.

    Attributes
    ----------
    dialog, form
        None before the table was first opened.
    """

    def __init__(self, panel: Panel, presenter: GeometryPresenter) -> None:
        self.panel = panel
        self.presenter = presenter
        self.dialog: Any = None
        self.form: QtForm | None = None
        self._put: tuple[int, int] | None = None

    def refresh(self) -> None:
        """Show the scene as it is."""
        if self.presenter.open and self.panel.registration is not None:
            form = self.form or self._make()
            form.show(self.presenter.form())
            for button in self.dialog.findChildren(qt.QPushButton):
                button.autoDefault = False  # Enter belongs to the fields
            self._fit(form.widget)
            self._put_aside()
            self.dialog.show()
        elif self.dialog is not None:
            self.dialog.hide()

    def close(self) -> None:
        """Close the table, as the module is left."""
        self.presenter.close()
        with suppress(
            ValueError, RuntimeError
        ):  # what PythonQt, and PySide, say of a widget that is gone
            self.refresh()

    def _fit(self, inside: Any) -> None:
        """Make the window as large as what is in it; it never becomes smaller while it is open."""
        dialog = self.dialog
        screen = _screen()
        around = dialog.layout().contentsMargins()
        bar = dialog.style().pixelMetric(qt.QStyle.PM_ScrollBarExtent)
        width = inside.minimumSizeHint.width() + around.left() + around.right() + bar
        width = max(width if screen is None else min(width, screen.width()), dialog.width)
        needed = max(inside.sizeHint.height(), inside.layout().heightForWidth(inside.width))
        height = min(needed + around.top() + around.bottom(), SIZE[1])
        if dialog.visible:
            height = max(height, dialog.height)
        if (width, height) != (dialog.width, dialog.height):
            dialog.resize(width, height)

    def _put_aside(self) -> None:
        """Move the window to where it leaves the 3D view, which follows the geometry, in sight.

        Unless a person has moved it.
        """
        view = self.panel.views.three_d_view()
        dialog = self.dialog
        screen = _screen()
        if view is None or screen is None or self._put not in (None, (dialog.x, dialog.y)):
            return
        corner = view.mapToGlobal(qt.QPoint(0, 0))
        seen = corner.x(), corner.y(), view.width, view.height
        area = screen.x(), screen.y(), screen.width(), screen.height()
        self._put = aside(seen, (dialog.width, dialog.height), area)
        dialog.move(*self._put)

    def _make(self) -> QtForm:
        self.dialog = qt.QDialog(slicer.util.mainWindow())
        self.dialog.windowTitle = self.presenter.TITLE
        self.dialog.resize(*SIZE)
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


def _screen() -> Any:
    """Return what of its screen the main window may take, a QRect; None where there is none."""
    window = slicer.util.mainWindow()
    handle = window.windowHandle() if window is not None else None
    return handle and handle.screen().availableGeometry


def aside(seen: Sequence[int], size: Sequence[int], area: Sequence[int]) -> tuple[int, int]:
    """Return where a window of this size (width, height), in a corner of an area, hides least of what is seen there.

    That is its own upper left corner.

    Parameters
    ----------
    seen, area
        Left, top, width, height.
    """

    def hidden(corner: tuple[int, int]) -> int:
        width, height = (
            min(corner[i] + size[i], seen[i] + seen[2 + i]) - max(corner[i], seen[i])
            for i in (0, 1)
        )
        return max(width, 0) * max(height, 0)

    right, bottom = (max(area[i] + area[2 + i] - size[i], area[i]) for i in (0, 1))
    return min(
        ((right, bottom), (right, area[1]), (area[0], bottom), (area[0], area[1])), key=hidden
    )
