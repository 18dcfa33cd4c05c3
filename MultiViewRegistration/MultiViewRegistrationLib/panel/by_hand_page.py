"""The page of section Start on which the CT is moved by hand."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from ..mrml import manual_pose
from ..mrml.layout import tag_of
from ..mrml.manual_pose import Dragging
from ..session.history import ManualMoveRecorder
from . import packages

IN_3D = _("In the 3D view: handles.")
IN_XRAYS = _("In the X-rays:")
KEYS = (
    _("Drag: along the image"),
    _("Shift and drag: turn about the beam"),
    _("Ctrl and drag: tilt"),
    _("Arrow keys: one pixel along the image"),
    _("[ and ]: turn about the beam"),
    _("Page Up, Page Down: along the beam"),
    _("Shift and a key: ten times as far"),
)
DONE = _("Escape: done.")
SHOW_VIEWS = _("In the X-rays: press Show views, above, to have them beside the 3D view.")


class ByHandPage:
    """One button; while it is down, there are handles in the 3D view, and mouse and keys move the CT in the X-rays.

    section: the `StartSection` that has its widgets.
    """

    def __init__(self, section) -> None:
        self._section, self._registration, self._moves = section, None, None
        self._dragging: dict[str, Dragging] = {}
        self._escape = None
        section.ui.moveButton.toggled.connect(self._on_move)

    def refresh(self) -> None:
        section, button = self._section, self._section.ui.moveButton
        if section.registration.start != "by hand" or section.session.running:
            self.leave()
        possible = section.registration.ct is not None and not section.session.running
        button.enabled = possible
        button.checked = self._moves is not None
        lacks_views = self._moves is not None and not self._dragging
        in_xrays = [SHOW_VIEWS] if lacks_views else [IN_XRAYS, *(f"\u2022 {key}" for key in KEYS)]
        section.ui.keysLabel.text = "\n".join([IN_3D, *in_xrays, DONE])

    def tick(self) -> None:
        if self._moves is None:
            return
        self._drag_in_views()
        if self._moves.step():
            self._section.panel.invalidate()

    def leave(self) -> None:
        if self._moves is None:
            return
        moves, self._moves = self._moves, None
        self._escape.enabled = False  # at once, should Escape itself end it
        self._escape.deleteLater()
        for dragging in self._dragging.values():
            dragging.stop()
        self._dragging.clear()
        moves.stop()
        if self._registration.scene is not None:
            manual_pose.show_handles(self._registration, False)

    def _on_move(self, on: bool) -> None:
        section = self._section
        if not section.asked:
            return
        with section.panel.acting():
            if on:
                packages.ensure(section.panel.resource_path("requirements.txt"))
                manual_pose.show_handles(section.registration, True)
                self._registration = section.registration
                self._moves = ManualMoveRecorder(section.registration, section.session.history)
                self._drag_in_views()
                self._escape = self._shortcut("Esc")
            else:
                self.leave()

    def _shortcut(self, key: str):
        """A key that releases the button, wherever the focus is: in the panel, or in a view."""
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._section.button.parentWidget())
        shortcut.setContext(qt.Qt.ApplicationShortcut)
        shortcut.connect("activated()", self._section.ui.moveButton.click)
        return shortcut

    def _drag_in_views(self) -> None:
        """Follow the mouse in the slice view of each X-ray that has one by now."""
        views = {view.node.GetID(): view for view in self._registration.xrays if view.used and view.placed}
        for name in [name for name in self._dragging if name not in views]:
            self._dragging.pop(name).stop()
        for name, view in views.items():
            interactor = None if name in self._dragging else _interactor(tag_of(view))
            if interactor is not None:
                self._dragging[name] = Dragging(
                    interactor,
                    self._registration,
                    view,
                    begin=self._moves.begin,
                    moved=lambda: None,
                    end=self._moves.end,
                )


def _interactor(tag: str | None):
    """Of the slice view with this tag; None where there is none."""
    manager = slicer.app.layoutManager()
    widget = manager.sliceWidget(tag) if manager is not None and tag else None
    return widget.sliceView().interactor() if widget is not None else None
