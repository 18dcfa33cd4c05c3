"""Keeps what C libraries print while they read an image from the user's terminal; what Python prints to stderr meanwhile is shown."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

import SimpleITK as sitk


class _Silence:
    """Descriptor 2 is the whole process's: the first thread that reads an image turns it off, the last one on again."""

    def __init__(self) -> None:
        self._lock, self._readers, self._saved, self._shown = threading.Lock(), 0, -1, False
        self._python: tuple[TextIO, TextIO] | None = None
        """sys.stderr, if it writes to descriptor 2, and its replacement."""

    def begin(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers > 1:
                return
            self._shown = sitk.ProcessObject.GetGlobalWarningDisplay()
            sitk.ProcessObject.SetGlobalWarningDisplay(False)
            try:
                self._saved = os.dup(2)
            except OSError:  # no stderr, as in a program without a console
                return
            if _descriptor(sys.stderr) == 2:
                with suppress(OSError):  # its reader has gone
                    sys.stderr.flush()
                shown = _Shown(os.fdopen(os.dup(2), "wb"), sys.stderr.encoding, sys.stderr.errors, line_buffering=True)
                self._python, sys.stderr = (sys.stderr, shown), shown
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)

    def end(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers:
                return
            if self._python:
                ours, shown = self._python
                with suppress(OSError):
                    shown.flush()
                if sys.stderr is shown:
                    sys.stderr = ours
                self._python = None
            if self._saved >= 0:
                os.dup2(self._saved, 2)
                os.close(self._saved)
                self._saved = -1
            sitk.ProcessObject.SetGlobalWarningDisplay(self._shown)


class _Shown(TextIOWrapper):
    """Closed once nobody has it any more, without a ResourceWarning: another thread may be about to write to it."""

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()


def _descriptor(stream: TextIO | None) -> int | None:
    """The file descriptor of a stream; None of one in memory, of Slicer's Python console, or of a program without any."""
    try:
        return stream.fileno() if stream else None
    except (AttributeError, OSError, ValueError):
        return None


_silence = _Silence()


@contextmanager
def silenced() -> Iterator[None]:
    """Keeps ITK's warnings, and what C libraries print past them, away from the user's terminal: our own error says what is wrong."""
    _silence.begin()
    try:
        yield
    finally:
        _silence.end()
