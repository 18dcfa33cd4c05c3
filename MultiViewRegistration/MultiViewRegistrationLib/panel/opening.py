"""A case.json, or a track.json, on its way into the scene: read in a thread, while the panel goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import qt

from ..errors import InputError
from ..mrml.loading import read_case
from ..session.background_task import Worker
from ..session.translation import _

#: Milliseconds between two looks at what is being read.
LOOK_MS = 40


class Opening:
    """At most one at a time: another file, or another registration that is chosen meanwhile, takes its place.

    panel: the `panel.Panel` that works on it then.
    """

    def __init__(self, panel) -> None:
        self._panel, self._before = panel, None
        self._reading: Worker | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._show("")

    @property
    def under_way(self) -> bool:
        return self._reading is not None

    def read(self, path: str | Path, reader: Callable | None = None) -> None:
        """Begin to read a file.   reader: of what the module's logic takes; `read_case` by default."""
        path, reader = Path(path), reader or read_case
        self._panel.tell("")
        self._before, self._reading = self._panel.registration, Worker(lambda tell: reader(path))
        self._show(
            _("Reading {name}...").format(name=path.parent.name if path.stem in ("case", "track") else path.stem)
        )
        self._timer.start()

    def stop(self) -> None:
        """Forget what is being read."""
        self._timer.stop()
        self._reading = None

    def _look(self) -> None:
        reading = self._reading
        reading.poll()
        chosen = self._panel.registration != self._before
        if reading.state == "running" and not chosen:
            return
        self.stop()
        self._show("")
        if not chosen:
            with self._panel.acting(), busy():
                self._take(reading)

    def _take(self, reading: Worker) -> None:
        if reading.state != "done":
            raise InputError(reading.message)
        self._panel.choose(self._panel.logic.take(reading.result))
        self._panel.session.notices.loaded(reading.warnings)

    def _show(self, words: str) -> None:
        label = self._panel.ui.readingLabel
        label.text = words
        label.setVisible(bool(words))


@contextmanager
def busy() -> Iterator[None]:
    """With the cursor that asks for patience: for what only the main thread can do, and takes it a while."""
    qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
    try:
        yield
    finally:
        qt.QApplication.restoreOverrideCursor()
