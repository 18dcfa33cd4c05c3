"""How alike X-rays and CT are where the CT is now: measured by a thread, once the CT rests."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..mrml.background_task import TURN, Worker
from ..mrml.fingerprint import fingerprint
from ..mrml.registration import Registration
from ..mrml.xray import ATTRIBUTE
from .history import History
from .session import Session


class Similarity:
    """Keeps `values`, the local NCC by the name of each used X-ray; empty before the first are found, or where none can be."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._of: tuple | None = None
        self._worker: Worker | None = None
        self.values: dict[str, float] = {}

    def update(self, wait: float = TURN) -> bool:
        """Call it from a timer; whether there are new values.   wait: as `Worker.poll`, so that the thread gets on."""
        if self._worker is None:
            return self._begin()
        self._worker.poll(wait)
        if self._worker.state == "running":
            return False
        self.values, self._worker = self._worker.result or {}, None
        return True

    def _begin(self) -> bool:
        """Measure where something has changed since; whether there is nothing to measure any more, so that there are no values."""
        session = self._session
        of = self._inputs()
        if session.running or not session.drawing.at_rest or of == self._of:
            return False
        try:
            find = session.find_similarity()
        except InputError:  # an input is missing, or the CT is in no view; the sections of those say so
            self._of, had, self.values = of, bool(self.values), {}
            return had
        if find is not None:
            self._of, self._worker = of, Worker(lambda tell: find())
        return False

    def _inputs(self) -> tuple:
        registration = self._session.registration
        views = [
            view.node.GetAttribute(ATTRIBUTE) for view in registration.xrays
        ]  # cameras as they were corrected, too
        return registration.world_from_ct.tobytes(), fingerprint(registration), *views


def similarities(registration: Registration) -> dict[str, float]:
    """Of the result that the CT lies at, by the view's name; empty where it lies elsewhere, or something has changed since."""
    entry = History(registration).current
    if entry is None or not np.allclose(entry.pose, registration.world_from_ct, atol=1e-6):
        return {}
    return entry.similarity if entry.fingerprint == fingerprint(registration) else {}
