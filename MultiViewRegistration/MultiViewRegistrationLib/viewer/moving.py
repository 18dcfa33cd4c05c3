"""Moving the CT by hand in the X-rays: one entry of the history for each movement."""

from __future__ import annotations

from time import monotonic

from ..session.history import ManualMoveRecorder

#: Seconds after the last movement for which a hand is taken to be at it, while a button is down, and after that.
HELD, LET_GO = 1.0, 0.3


class Moving:
    """Looks after the registration at work; the X-rays' cells tell when a drag begins and ends."""

    def __init__(self, application) -> None:
        self._application = application
        self._moves: ManualMoveRecorder | None = None
        self._held, self._moved_at = False, 0.0

    def possible(self) -> bool:
        """Whether the CT may be moved now."""
        session, registration = self._application.session, self._application.registration
        return session is not None and not session.running and registration.ct is not None

    def under_way(self) -> bool:
        """Whether a hand moves the CT just now: what takes long to draw must wait."""
        return self._moves is not None and monotonic() - self._moved_at < (HELD if self._held else LET_GO)

    def moved(self) -> None:
        """The CT has been moved, and drawn."""
        self._moved_at = monotonic()

    def begin(self) -> None:
        """The mouse goes down, or a key does."""
        if self._moves is None:
            self._moves = ManualMoveRecorder(self._application.registration, self._application.session.history)
        self._held, self._moved_at = True, monotonic()
        self._moves.begin()

    def end(self) -> None:
        """The mouse goes up, or the key has moved the CT."""
        self._held = False
        if self._moves is not None:
            self._moves.end()

    def tick(self) -> None:
        """Note a pose that the CT has come to rest at; what another moves is not by hand."""
        if self._moves is not None and self._moves.step():
            self.stop()
            self._application.invalidate()

    def stop(self) -> None:
        """Note the last movement."""
        moves, self._moves = self._moves, None
        if moves is not None:
            moves.stop()
