"""The page's switch for moving the CT by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..session.presenters.host import can_move_by_hand
from ..session.session import Session
from .elements import WORDS

if TYPE_CHECKING:
    from .application import Application


class Hand:
    """Says whether drags and keys in the X-rays move the CT; else they only look around.

    The panes move it, see `xray_pane`.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._in: Session | None = None

    @property
    def on(self) -> bool:
        """Whether the CT is moved by hand now."""
        return self._in is not None and self._in is self._application.session

    def keys(self) -> str:
        """Return the keys and mouse movements that move the CT, a line each."""
        _title, keys = WORDS["keys"][0]
        return "\n".join(f"{what}: {means}" for what, means in keys)

    def toggle(self) -> None:
        """Begin, or end."""
        if self.on:
            self.exit()
        elif can_move_by_hand(self._application):
            self._in = self._application.session
            self._application.invalidate()

    def step(self) -> bool:
        """Return False: what was moved is recorded by the application."""
        return False

    def exit(self) -> None:
        """End."""
        if self.on:
            self._application.invalidate()
        self._in = None
