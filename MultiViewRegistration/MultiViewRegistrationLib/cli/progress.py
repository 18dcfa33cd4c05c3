"""Progress on stderr: at a terminal one line, rewritten in place; elsewhere a line now and then."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Thread
from typing import TYPE_CHECKING

from ..jobs import JsonProgress, TimeLeft, left_in_words

if TYPE_CHECKING:
    from ..registration.pipeline import Progress

#: Of a terminal: go to the beginning of the line, and clear it.
CLEAR = "\r\x1b[K"
_WIDTH = 30
#: Where stderr is no terminal, a line is printed every so many seconds, whether or not there is progress.
ALIVE_S = 10.0
PREPARING, COMPILING = "preparing", "compiling kernels, once after installation, up to a minute"


class ProgressLine:
    """Called with each `Progress`. Used as a context manager, it clears its line at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.fraction = 0.0
        self._left = TimeLeft()
        self._terminal = sys.stderr.isatty()
        self._said = f"mvreg: {title.lower()}"
        self._ended = Event()

    def __call__(self, progress: Progress) -> None:
        self.show(progress.fraction, progress.stage)

    def show(self, fraction: float, stage: str) -> None:
        """Show the fraction done, the stage, and the time left once it is known."""
        self.fraction = fraction
        percent, what = (
            f"{100 * fraction:3.0f} %",
            ", ".join(filter(None, [stage, left_in_words(self._left.seconds(fraction))])),
        )
        if self._terminal:
            bar = ("#" * round(_WIDTH * fraction)).ljust(_WIDTH, ".")
            print(f"{CLEAR}{self.title} [{bar}] {percent}  {what}", end="", file=sys.stderr, flush=True)
        elif stage == COMPILING and COMPILING not in self._said:
            print(f"mvreg: {COMPILING}", file=sys.stderr, flush=True)
        self._said = f"mvreg: {self.title.lower()}, {percent.strip()}: {what}"

    def _stay_alive(self) -> None:
        while not self._ended.wait(ALIVE_S):
            print(self._said, file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressLine:
        if not self._terminal:
            Thread(target=self._stay_alive, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._terminal:
            print(CLEAR, end="", file=sys.stderr, flush=True)


@contextmanager
def progress_of(options: argparse.Namespace, title: str) -> Iterator[ProgressLine | JsonProgress]:
    """The progress display that --progress selects; it says when kernels are being compiled."""
    line = JsonProgress() if options.progress == "json" else ProgressLine(title)
    with line, _compiling_shown(line) if "numba" in sys.modules else nullcontext():
        yield line


def _compiling_shown(line: ProgressLine | JsonProgress):
    from ..rendering.devices import when_compiling

    return when_compiling(lambda: line.show(line.fraction, COMPILING))
