"""Moving the CT by hand in the X-rays: one entry of the history for each movement."""

from __future__ import annotations

from ..scene.hand_moves import HandMoves


class Moving:
    """Looks after the registration at work; the X-rays' cells tell when a drag begins and ends."""

    def __init__(self, application) -> None:
        self._application = application
        self._moves: HandMoves | None = None

    def possible(self) -> bool:
        """Whether the CT may be moved now."""
        session, registration = self._application.session, self._application.registration
        return session is not None and not session.running and registration.ct is not None

    def begin(self) -> None:
        """The mouse goes down, or a key does."""
        if self._moves is None:
            self._moves = HandMoves(self._application.registration, self._application.session.history)
        self._moves.begin()

    def end(self) -> None:
        """The mouse goes up, or the key has moved the CT."""
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
