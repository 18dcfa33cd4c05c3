"""What is opened: a case, a result, a scene, the demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from ..scene.loading import read_case
from ..scene.worker import Worker


class Opening:
    """Reads one thing after the other in a thread, and puts what was read into the scene.

    demo: makes the demo's case, in any thread; returns the path of its case.json.
    """

    def __init__(self, application, demo: Callable[[], Path]) -> None:
        self._application, self._demo = application, demo
        self._reading: Worker | None = None
        self._show("")

    def open(self, path: Path) -> None:
        """A case.json, or a folder that holds one."""
        self._begin(path.name, lambda tell: read_case(path))

    def open_demo(self) -> None:
        """The demo's case; its CT is downloaded where it is not there yet."""
        self._begin("the demo", lambda tell: read_case(self._demo()))

    def tick(self) -> None:
        """Take what was read."""
        if self._reading is None:
            return
        self._reading.poll(0)
        if self._reading.state == "running":
            return
        reading, self._reading = self._reading, None
        self._show("")
        with self._application.acting():
            if reading.state != "done":
                raise InputError(reading.message)
            self._application.clear()
            self._application.choose(reading.result(self._application.scene))

    def _begin(self, what: str, work) -> None:
        with self._application.acting():
            if self._reading is not None:
                raise InputError("Open: something is being read already; wait for it.")
            self._reading = Worker(work)
            self._show(what)

    def _show(self, what: str) -> None:
        self._application.state.opening = what
