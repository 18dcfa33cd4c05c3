"""Movements by hand become entries of the history, so that each can be undone: one for a drag, or for keys in quick succession."""

from __future__ import annotations

from time import monotonic

from ..mrml.registration import Registration
from .history import History

#: Seconds for which the CT must rest.
REST = 0.6


class HandMoves:
    """Follows a person who moves the CT, whatever the tool; `step` is called from a timer.

    While it is there, a pose that was left before it had rested is noted as one by hand, too.
    """

    def __init__(self, registration: Registration, history: History) -> None:
        self._registration, self._history = registration, history
        self._dragging, self._seen, self._since = False, b"", monotonic()
        if not history.entries:
            history.note("before")
        elif history.moved:
            history.note("moved")
        history.unnoted = "by hand"

    def begin(self) -> None:
        """The mouse goes down, or a key does."""
        self._dragging = True

    def end(self) -> None:
        """The mouse goes up, or the key has moved the CT."""
        self._dragging = False
        self._since = monotonic()

    def step(self) -> bool:
        """Note a pose that the CT has come to rest at; whether there was one."""
        pose = self._registration.world_from_ct.tobytes()
        if pose != self._seen:
            self._seen, self._since = pose, monotonic()
        if self._dragging or monotonic() - self._since < REST or not self._history.moved:
            return False
        self._history.note("by hand")
        return True

    def stop(self) -> None:
        """The last movement is noted, and from now on the CT is moved by others."""
        if self._registration.scene is not None:
            self._history.note("by hand")
        self._history.unnoted = "moved"
