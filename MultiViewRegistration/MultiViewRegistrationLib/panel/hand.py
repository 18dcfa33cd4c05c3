"""Moving the CT or a bone by hand in Slicer's views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import slicer

from ..mrml import layout, manual_pose
from ..mrml.ct_3d import SceneBone
from ..mrml.layout import tag_of
from ..mrml.manual_pose import Dragging
from ..session.history import ManualMoveRecorder
from ..session.session import Session
from ..translation import _

if TYPE_CHECKING:
    from .panel import Panel

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


class Hand:
    """Handles in the 3D view, and mouse and keys that move the CT in the X-rays, while it is on."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._moves: ManualMoveRecorder | None = None
        self._dragging: dict[str, Dragging] = {}
        self._escape: Any = None
        self._of = ""

    @property
    def on(self) -> bool:
        """Whether the CT is moved by hand now."""
        return self._moves is not None

    def keys(self) -> str:
        """Return the way in which the CT is moved."""
        moves = self._moves
        lacks_views = moves is not None and not layout.shows(moves.registration)
        in_xrays = [SHOW_VIEWS] if lacks_views else [IN_XRAYS, *(f"\u2022 {key}" for key in KEYS)]
        return "\n".join([IN_3D, *in_xrays, DONE])

    def toggle(self) -> None:
        """Begin to move the CT by hand, or end that."""
        if self.on:
            self.exit()
            return
        session = self._panel.session
        if session is None:
            return
        self._show_handles(session)
        self._moves = ManualMoveRecorder(session.registration, session.history)
        self._drag_in_views(self._moves)
        # wherever the focus is: in the panel, or in a view
        self._escape = qt.QShortcut(qt.QKeySequence("Esc"), self._panel.widget)
        self._escape.setContext(qt.Qt.ApplicationShortcut)
        self._escape.connect("activated()", self._on_escape)

    def step(self) -> bool:
        """Follow the moved CT, and return whether it has stopped elsewhere."""
        session = self._panel.session
        if self._moves is None or session is None:
            return False
        if session.bones.moving_name != self._of:
            self._show_handles(session)
        self._drag_in_views(self._moves)
        return self._moves.step()

    def follow(self) -> bool:
        """Move the CT to where the mouse has dragged it, and return whether it is dragged."""
        return any(dragging.follow() for dragging in self._dragging.values())

    def _moving(self) -> SceneBone | None:
        session = self._panel.session
        return None if session is None else session.bones.moving

    def _show_handles(self, session: Session) -> None:
        """Show the handles of the bone that is moved, else of the CT."""
        self._of = session.bones.moving_name
        manual_pose.show_handles(session.registration, True, session.bones.moving)

    def exit(self) -> None:
        """End moving the CT by hand."""
        if self._moves is None:
            return
        moves = self._moves
        self._moves = None
        self._escape.enabled = False  # at once, should Escape itself end it
        self._escape.deleteLater()
        for dragging in self._dragging.values():
            dragging.stop()
        self._dragging.clear()
        moves.stop()
        if moves.registration.scene is not None:
            manual_pose.show_handles(moves.registration, False)

    def _on_escape(self) -> None:
        with self._panel.ui_action():
            self.exit()

    def _drag_in_views(self, moves: ManualMoveRecorder) -> None:
        """Follow the mouse in the slice view of each X-ray that has one by now."""
        registration = moves.registration
        views = {view.id: view for view in registration.placed_xrays}
        for name in [name for name in self._dragging if name not in views]:
            self._dragging.pop(name).stop()
        for name, view in views.items():
            interactor = None if name in self._dragging else _interactor(tag_of(view))
            if interactor is not None:
                self._dragging[name] = Dragging(
                    interactor,
                    registration,
                    view,
                    moving=self._moving,
                    begin=moves.begin,
                    end=moves.end,
                )


def _interactor(tag: str | None) -> Any:
    """Return the interactor of the slice view with this tag; None where there is none."""
    manager = slicer.app.layoutManager()
    widget = manager.sliceWidget(tag) if manager is not None and tag else None
    return widget.sliceView().interactor() if widget is not None else None
