"""One piece of work in a thread of its own, watched from the main thread, which alone touches the scene."""

from __future__ import annotations

import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from ..errors import InputError

#: Seconds that a poll may wait. Slicer's event loop holds Python's lock, so that a thread gets on only while the main thread waits here.
TURN = 0.02


class Worker:
    """Runs `work(tell)` in a thread. `tell(progress)` keeps the newest progress and returns False once `cancel` was called.

    state: "running", "done", "failed" or "cancelled".   result: what the work returned.   message: why it failed, in a sentence.
    warnings: what it warned of.
    """

    def __init__(self, work: Callable[[Callable[[Any], bool]], Any]) -> None:
        self.state, self.result, self.message, self.warnings = "running", None, "", []
        self._progress, self._cancelled = None, False
        self._finished = threading.Event()
        self._outcome: tuple[str, Any] = ("failed", "")
        threading.Thread(target=self._run, args=(work,), name="MultiViewRegistration", daemon=True).start()

    def poll(self, wait: float = TURN):
        """The newest progress since the last poll, if any. The state is up to date after it."""
        finished = self._finished.wait(wait)
        progress, self._progress = self._progress, None
        if finished and self.state == "running":
            self.state, outcome = self._outcome
            if self.state == "done":
                self.result = outcome
            else:
                self.message = outcome
        return progress

    def cancel(self) -> None:
        """Ask the work to stop; it does at its next progress."""
        self._cancelled = True

    def finish(self, timeout: float | None = None) -> str:
        """Wait until it has ended, and say how."""
        self.poll(timeout)
        return self.state

    def _tell(self, progress) -> bool:
        self._progress = progress
        return not self._cancelled

    def _run(self, work) -> None:
        from ..registration.pipeline import Cancelled

        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = work(self._tell)
            self.warnings = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
            self._outcome = ("cancelled", "") if self._cancelled else ("done", result)
        except Cancelled:
            self._outcome = "cancelled", ""
        except InputError as error:
            self._outcome = "failed", str(error)
        except Exception as error:  # a mistake of ours, or no memory left: a message, not the end of the host
            traceback.print_exc()
            self._outcome = "failed", f"The work ended with an error of the program, {type(error).__name__}: {error}"
        finally:
            self._finished.set()
