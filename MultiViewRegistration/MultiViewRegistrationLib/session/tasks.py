"""Tasks in the background, watched from the main thread, which alone touches the scene."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from pathlib import Path
from typing import Any, Generic, TypeGuard, TypeVar

from ..errors import InputError, collect_warnings, warn
from ..io.files import redact_upload_paths
from ..jobs import TimeLeft, left_in_words
from ..translation import _

#: Seconds that a poll may wait. Slicer's event loop holds Python's lock, so that a thread gets on
#: only while the main thread waits here.
POLL_WAIT_S = 0.02

Result = TypeVar("Result")
Default = TypeVar("Default")
_at_work: set[Future] = set()


def let_threads_run(seconds: float) -> bool:
    """Wait so long for threads to get on, if there are any; whether there were."""
    at_work = tuple(_at_work)
    wait(at_work, seconds, FIRST_COMPLETED)
    return bool(at_work)


def await_threads(seconds: float) -> None:
    """Give all threads so many seconds to end."""
    wait(tuple(_at_work), seconds)


class Task(Generic[Result]):
    """Work in a thread of its own, which does not keep the program from ending.

    Parameters
    ----------
    work
        Called with `on_progress(record)`, which keeps the newest record of each stage and returns
        False once `cancel` was called.

    Attributes
    ----------
    warnings
        What it warned of, once it has ended.
    progress
        What `poll` took last, None before the first.
    left
        How long it will take still, in words; "" while that is unknown.
    """

    def __init__(self, work: Callable[[Callable[[Any], bool]], Result]) -> None:
        self.warnings: list[str] = []
        self.progress: Any = None
        self.left = ""
        self._time_left = TimeLeft()
        self._progress: deque[Any] = deque()
        self._lock = threading.Lock()
        self._cancelled = False
        self._future: Future[Result] = Future()
        _at_work.add(self._future)
        threading.Thread(
            target=self._run, args=(work,), name="MultiViewRegistration", daemon=True
        ).start()

    @property
    def state(self) -> str:
        """One of "running", "done", "failed" and "cancelled".

        It runs until all stages were polled: a person sees each of them, however fast it was.
        """
        if self._progress or not self._future.done():
            return "running"
        error = self._future.exception()
        if error is None:
            return "done"
        return "cancelled" if isinstance(error, CancelledError) else "failed"

    @property
    def message(self) -> str:
        """Why it failed, a sentence; "" else."""
        return str(self._future.exception()) if self.state == "failed" else ""

    @property
    def result(self) -> Result:
        """What the work returned, once it has ended.

        InputError where it failed or was cancelled.
        """
        if self._future.exception() is None:
            return self._future.result()
        raise InputError(
            str(self._future.exception()) or _("What this work needs was cancelled; begin again.")
        )

    def result_or(self, default: Default) -> Result | Default:
        """Return what the work returned, once it has ended.

        The default where it failed or was cancelled.
        """
        return default if self._future.exception() else self._future.result()

    def poll(self, seconds: float = POLL_WAIT_S) -> Any:
        """Return the newest progress of the first stage that was not taken yet, if any.

        Wait so long at most for the end.
        """
        self.wait(seconds)
        with self._lock:
            if not self._progress:
                return None
            self.progress = self._progress.popleft()
        if hasattr(self.progress, "fraction"):
            self.left = left_in_words(self._time_left.seconds(self.progress.fraction))
        return self.progress

    def cancel(self) -> None:
        """Ask the work to stop; it does at its next progress."""
        self._cancelled = True

    def wait(self, seconds: float | None = None) -> bool:
        """Return whether the work has ended, after so many seconds at most; None waits for good."""
        return bool(wait((self._future,), seconds).done)

    def result_for(self, on_progress: Callable[[Any], bool]) -> Result:
        """Return the result, for another task's thread, which waits for it and ends where it is cancelled.

        What it warned of, the other task warns of, too. InputError as `result`.
        """
        while not self.wait(0.1):
            if on_progress(None) is False:
                raise CancelledError
        for sentence in self.warnings:
            warn(sentence)
        return self.result

    def _tell(self, progress: Any) -> bool:
        if progress is not None:
            with self._lock:
                if self._progress and _stage(self._progress[-1]) == _stage(progress):
                    self._progress.pop()
                self._progress.append(progress)
        return not self._cancelled

    def _run(self, work: Callable[[Callable[[Any], bool]], Result]) -> None:
        result: Any = None
        error: Exception | None = None
        with collect_warnings() as warnings:
            try:
                result = work(self._tell)
            except Exception as raised:
                if not self._cancelled:  # an interrupted library may raise anything
                    error = InputError(_failure(raised))
        self.warnings = [type(text)(redact_upload_paths(text)) for text in warnings]
        if self._cancelled:
            error = CancelledError()
            self._progress.clear()
        _at_work.discard(self._future)
        if error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)


def _stage(progress: Any) -> str:
    return getattr(progress, "stage", "")


def ended(task: Task[Result] | None) -> TypeGuard[Task[Result]]:
    """Return whether there is a task, and it has ended."""
    return task is not None and task.state != "running"


def _failure(error: Exception) -> str:
    """Return the sentence of an error; one of the program's own is logged."""
    if isinstance(error, InputError):
        return redact_upload_paths(str(error))
    if isinstance(error, ModuleNotFoundError):
        return _(
            "The Python package {name} is not installed, but this work needs it; begin again, and "
            "agree to install it."
        ).format(name=error.name)
    if isinstance(error, MemoryError):
        return _(
            "There is not enough memory for this work; close what is not needed, or crop the CT."
        )
    logging.error("MultiViewRegistration", exc_info=error)
    return _("The work ended with an error of the program, {kind}: {error}").format(
        kind=type(error).__name__, error=redact_upload_paths(str(error))
    )


#: Writes files, in any thread, and returns them; some take the folder.
Writer = Callable[..., list[Path]]


class BackgroundValue:
    """A value made in a thread, again whenever what it depends on has changed.

    Attributes
    ----------
    value
        The newest; None before the first, and where it cannot be made.
    made_of
        What that depends on.
    problem
        Why it cannot be made, a sentence; "" where it can.
    """

    def __init__(self) -> None:
        self.value: Any = None
        self.made_of: Any = None
        self.problem = ""
        self._begun_of: Any = None
        self._task: Task | None = None

    def value_of(self, of: Any) -> Any:
        """Return the value where it was made of this; else None."""
        return self.value if self.made_of == of else None

    @property
    def under_way(self) -> bool:
        """Whether one is being made."""
        return self._task is not None

    def update(self, of: Any, begin: Callable[[], Callable[[], Any] | None]) -> bool:
        """Call it from a timer.

        Parameters
        ----------
        of
            What the value depends on now.
        begin
            Called on the main thread; gives what the thread is to do, or None to try again later.
            An InputError means that there is no value.

        Returns
        -------
        Whether there is another value now.
        """
        if ended(self._task):
            self.value = self._task.result_or(None)
            self.problem = self._task.message
            self.made_of = self._begun_of
            self._task = None
            return True
        if self._task is not None or of == self._begun_of:
            return False
        try:
            work = begin()
        except InputError as error:
            self.problem = str(error)
            had = self.value is not None
            self.value = None
            self.made_of = of
            self._begun_of = of
            return had
        if work is not None:
            self._begun_of = of
            self._task = Task(lambda on_progress: work())
        return False


def within_sentence(sentence: str) -> str:
    """Return a sentence as a part of another one.

    "The CT was moved." becomes "the CT was moved".
    """
    return sentence[0].lower() + sentence[1:].rstrip(".")
