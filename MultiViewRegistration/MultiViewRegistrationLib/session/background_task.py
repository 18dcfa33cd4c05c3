"""Work in threads, watched from the main thread, which alone touches the scene."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from ..errors import InputError, collect_warnings
from ..io.files import as_sent
from .translation import _

#: Seconds that a poll may wait. Slicer's event loop holds Python's lock, so that a thread gets on only while the main thread waits here.
POLL_WAIT_S = 0.02


class Stopped(Exception):
    """The work was cancelled while it waited."""


_at_work: set[Worker] = set()


def let_threads_run(seconds: float) -> bool:
    """Wait so long for threads to get on, if there are any; whether there were."""
    worker = next(iter(tuple(_at_work)), None)
    if worker is not None:
        worker.wait(seconds)
    return worker is not None


def await_threads(seconds: float) -> None:
    """Give all threads so many seconds to end."""
    until = monotonic() + seconds
    for worker in tuple(_at_work):
        worker.wait(max(0.0, until - monotonic()))


class Worker:
    """Runs `work(on_progress)` in a thread.

    `on_progress(record)` keeps the newest record of each stage and returns False once `cancel` was called.

    Attributes
    ----------
    state : "running", "done", "failed" or "cancelled".
    result : what the work returned.
    message : why it failed, in a sentence.
    warnings : what it warned of.
    """

    def __init__(self, work: Callable[[Callable[[Any], bool]], Any]) -> None:
        self.state, self.message = "running", ""
        self.result: Any = None
        self.warnings: list[str] = []
        self._progress: deque = deque()
        self._cancelled = False
        self._finished, self._lock = threading.Event(), threading.Lock()
        self._outcome: tuple[str, Any] = ("failed", "")
        _at_work.add(self)
        threading.Thread(target=self._run, args=(work,), name="MultiViewRegistration", daemon=True).start()

    def poll(self, wait: float = POLL_WAIT_S) -> Any:
        """Return the newest progress of the first stage that was not taken yet, if any. The state is up to date after it.

        It has not ended before all stages are taken: a person sees each of them, however fast it was.
        """
        finished = self._finished.wait(wait)
        with self._lock:
            progress = self._progress.popleft() if self._progress else None
        if finished and not self._progress and self.state == "running":
            self.state, outcome = self._outcome
            if self.state == "done":
                self.result = outcome
            else:
                self.message = outcome
        return progress

    def cancel(self) -> None:
        """Ask the work to stop; it does at its next progress."""
        self._cancelled = True

    def wait(self, seconds: float | None = None) -> bool:
        """Return whether it has ended, after so many seconds at most; None waits for good."""
        return self._finished.wait(seconds)

    def result_for(self, on_progress: Callable[[Any], bool]) -> Any:
        """Return the result, for another worker's thread, which waits for it.

        Raises
        ------
        InputError : where this work failed.
        Stopped : where the other is cancelled.
        """
        while not self._finished.wait(0.1):
            if on_progress(None) is False:
                raise Stopped
        state, outcome = self._outcome
        if state != "done":
            raise InputError(outcome or _("What this work needs was cancelled; begin again."))
        return outcome

    def _tell(self, progress: Any) -> bool:
        if progress is not None:
            with self._lock:
                if self._progress and _stage(self._progress[-1]) == _stage(progress):
                    self._progress.pop()
                self._progress.append(progress)
        return not self._cancelled

    def _run(self, work: Callable[[Callable[[Any], bool]], Any]) -> None:
        try:
            with collect_warnings() as warnings:
                try:
                    result = work(self._tell)
                finally:
                    self.warnings = [as_sent(sentence) for sentence in warnings]
            self._outcome = "done", result
        except Exception as error:
            if not self._cancelled:  # an interrupted library may raise anything
                self._outcome = "failed", _failure(error)
        finally:
            if self._cancelled:
                self._outcome = "cancelled", ""
                self._progress.clear()
            _at_work.discard(self)
            self._finished.set()


def _stage(progress: Any) -> str:
    return getattr(progress, "stage", "")


def _failure(error: Exception) -> str:
    """Return the sentence of an error; one of the program's own is logged."""
    if isinstance(error, InputError):
        return as_sent(str(error))
    if isinstance(error, ModuleNotFoundError):
        return _(
            "The Python package {name} is not installed, but this work needs it; begin again, and agree to install it."
        ).format(name=error.name)
    if isinstance(error, MemoryError):
        return _("There is not enough memory for this work; close what is not needed, or crop the CT.")
    logging.error("MultiViewRegistration", exc_info=error)
    return _("The work ended with an error of the program, {kind}: {error}").format(
        kind=type(error).__name__, error=as_sent(str(error))
    )


class BackgroundValue:
    """A value made in a thread, again whenever what it depends on has changed.

    Attributes
    ----------
    value : the newest; None before the first, and where it cannot be made.
    made_of : what that depends on.
    """

    def __init__(self) -> None:
        self.value: Any = None
        self.made_of: Any = None
        self._begun_of: Any = None
        self._worker: Worker | None = None

    def update(self, of: Any, begin: Callable[[], Callable[[], Any] | None]) -> bool:
        """Call it from a timer.

        Parameters
        ----------
        of : what the value depends on now.
        begin : called on the main thread; gives what the thread is to do, or None to try again later. An InputError means
            that there is no value.

        Returns
        -------
        Whether there is another value now.
        """
        if self._worker is not None:
            self._worker.poll(0)
            if self._worker.state == "running":
                return False
            self.value, self.made_of, self._worker = self._worker.result, self._begun_of, None
            return True
        if of == self._begun_of:
            return False
        try:
            work = begin()
        except InputError:
            had = self.value is not None
            self.value, self.made_of, self._begun_of = None, of, of
            return had
        if work is not None:
            self._begun_of, self._worker = of, Worker(lambda on_progress: work())
        return False


def within_sentence(sentence: str) -> str:
    """Return a sentence as a part of another one: "The CT was moved." becomes "the CT was moved"."""
    return sentence[0].lower() + sentence[1:].rstrip(".")
