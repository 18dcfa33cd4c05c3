"""How alike X-rays and CT are where the CT is now: measured by a thread, once the CT rests."""

from __future__ import annotations

from .fingerprint import fingerprint
from .session import Session
from .worker import Worker
from .xray import ATTRIBUTE


class Similarity:
    """Keeps `values`, the local NCC by the name of each used X-ray; empty before the first are found, or where none can be."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._of: tuple | None = None
        self._worker: Worker | None = None
        self.values: dict[str, float] = {}

    def update(self) -> bool:
        """Call it from a timer; whether there are new values. It waits for the thread a moment, so that this gets on."""
        if self._worker is None:
            self._begin()
            return False
        self._worker.poll()
        if self._worker.state == "running":
            return False
        self.values, self._worker = self._worker.result or {}, None
        return True

    def _begin(self) -> None:
        session = self._session
        if session.running or not session.drawing.at_rest:
            return
        of = self._inputs()
        find = session.find_similarity() if of != self._of else None
        if find is not None:
            self._of, self._worker = of, Worker(lambda tell: find())

    def _inputs(self) -> tuple:
        registration = self._session.registration
        views = [view.node.GetAttribute(ATTRIBUTE) for view in registration.xrays]  # cameras as they were corrected, too
        return registration.world_from_ct.tobytes(), fingerprint(registration), *views
