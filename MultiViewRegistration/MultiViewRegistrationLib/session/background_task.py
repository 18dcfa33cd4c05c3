"""One piece of work in a thread of its own, watched from the main thread, which alone touches the scene."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ..errors import InputError, collect_warnings
from ..io.files import as_sent

#: Seconds that a poll may wait. Slicer's event loop holds Python's lock, so that a thread gets on only while the main thread waits here.
POLL_WAIT_S = 0.02


class Stopped(Exception):
    """The work was cancelled while it waited."""


class Worker:
    """Runs `work(tell)` in a thread. `tell(progress)` keeps the newest progress of each stage and returns False once `cancel` was called.

    state: "running", "done", "failed" or "cancelled".   result: what the work returned.   message: why it failed, in a sentence.
    warnings: what it warned of.
    """

    def __init__(self, work: Callable[[Callable[[Any], bool]], Any]) -> None:
        self.state, self.result, self.message, self.warnings = "running", None, "", []
        self._told: deque = deque()
        self._cancelled = False
        self._finished, self._lock = threading.Event(), threading.Lock()
        self._outcome: tuple[str, Any] = ("failed", "")
        threading.Thread(target=self._run, args=(work,), name="MultiViewRegistration", daemon=True).start()

    def poll(self, wait: float = POLL_WAIT_S):
        """The newest progress of the first stage that was not taken yet, if any. It has not ended before all stages are taken.

        A person sees each of them so, even where the work is done before the next poll. The state is up to date after it.
        """
        finished = self._finished.wait(wait)
        with self._lock:
            progress = self._told.popleft() if self._told else None
        if finished and self.state == "running" and not self._told:
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
        """Whether it has ended, after so many seconds at most; None waits for good."""
        return self._finished.wait(seconds)

    def result_for(self, tell: Callable[[Any], bool], progress: Any = None) -> Any:
        """The result, for another worker's thread, which waits for it and tells `progress` meanwhile.

        InputError where this work failed; Stopped where the other is cancelled.
        """
        while not self._finished.wait(0.1):
            if tell(progress) is False:
                raise Stopped
        state, outcome = self._outcome
        if state != "done":
            raise InputError(outcome or "What this work needs was cancelled; begin it once more.")
        return outcome

    def _tell(self, progress) -> bool:
        if progress is not None:
            with self._lock:
                if self._told and _stage(self._told[-1]) == _stage(progress):
                    self._told.pop()
                self._told.append(progress)
        return not self._cancelled

    def _run(self, work) -> None:
        try:
            with collect_warnings() as told:
                try:
                    result = work(self._tell)
                finally:
                    self.warnings = [as_sent(sentence) for sentence in told]
            self._outcome = "done", result
        except InputError as error:
            self._outcome = "failed", as_sent(str(error))
        except ModuleNotFoundError as error:
            self._outcome = (
                "failed",
                (
                    f"The Python package {error.name} is not installed, but this work needs it; begin it once more, and "
                    "agree to its being installed."
                ),
            )
        except MemoryError:
            self._outcome = (
                "failed",
                "There is not enough memory for this work; close what is not needed, or crop the CT.",
            )
        except Exception as error:  # also Cancelled, which is known only where numba is
            if not self._cancelled:  # a mistake of ours: a message, not the end of the host
                logging.exception("MultiViewRegistration")
                self._outcome = (
                    "failed",
                    f"The work ended with an error of the program, {type(error).__name__}: {as_sent(str(error))}",
                )
        finally:
            if self._cancelled:
                self._outcome = "cancelled", ""
                self._told.clear()
            self._finished.set()


def _stage(progress) -> str:
    return getattr(progress, "stage", "")
