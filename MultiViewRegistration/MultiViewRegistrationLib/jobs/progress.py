"""How far long work is: the time left, and lines of JSON by which a child process tells it to the program that started it (`jobs`).

Standard library only, as `jobs`: a window opens before anything else is installed.
"""

from __future__ import annotations

import _thread
import json
import math
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

#: Nothing is said about the time left before so many seconds of progress were seen.
SEEN_SECONDS = 1.0
#: Lines of one stage are at least so far apart: the reader shows pictures of them, and may be busy.
APART_SECONDS = 0.1
#: A process whose stdin ended and which has not stopped after so many seconds is ended.
LAST_SECONDS = 3.0


class TimeLeft:
    """Guesses how long work takes to its end, by the pace of the later half of the time since it began.

    Stages differ in pace, so that the earlier half says little; and it began with its first progress, not with the preparation before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = 0.0
        self._history: deque[tuple[float, float]] = (
            deque()
        )  # (seconds, fraction), the first one half of the time ago, or longer

    def seconds(self, fraction: float) -> float | None:
        """Seconds left now that `fraction` of the whole is done; None as long as nobody can know."""
        now, history = self._clock(), self._history
        if fraction <= 0:
            return None
        if not history:
            self._began = now
        spent = now - self._began
        if not history or now - history[-1][0] > spent / 200:  # a few hundred in all, however often it is called
            history.append((now, fraction))
        while len(history) > 1 and history[1][0] <= self._began + spent / 2:
            history.popleft()
        since, before = history[0]
        if spent < SEEN_SECONDS or fraction <= before:
            return None
        return max(0.0, (1 - fraction) * (now - since) / (fraction - before))


def left_in_words(seconds: float | None) -> str:
    """As exactly as it can be known: "about 2 min left"; "" for None."""
    if seconds is None:
        return ""
    if seconds < 9.5:
        return "a few seconds left"
    if seconds < 90:
        return f"about {10 * round(seconds / 10)} s left"
    return f"about {round(seconds / 60)} min left" if seconds < 5400 else f"about {round(seconds / 3600)} h left"


@dataclass(frozen=True)
class ProgressRecord:
    """Where long work stands: the fraction of the whole that is done and what it does.

    seconds_left: None while unknown.   cost: at the pose, None where there is none yet.
    world_from_ct: 4 rows of 4, CT LPS mm to world LPS mm; None where there is none yet.
    """

    fraction: float
    stage: str
    seconds_left: float | None = None
    cost: float | None = None
    world_from_ct: list[list[float]] | None = None

    @property
    def left(self) -> str:
        """The time left in words, see `left_in_words`."""
        return left_in_words(self.seconds_left)

    def to_line(self) -> str:
        """One line of JSON, without its end."""
        return json.dumps({key: value for key, value in asdict(self).items() if key != "world_from_ct" or value})

    @classmethod
    def from_line(cls, line: str) -> ProgressRecord | None:
        """What a line tells, None for one that is no progress but a message."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            return None


class JsonProgress:
    """Used as `terminal.ProgressLine` is: prints `ProgressRecord`s on stderr, the newest where there are many."""

    def __init__(self) -> None:
        self._left = TimeLeft()
        self._printed, self._stage = 0.0, ""
        self._found: dict[str, Any] = {}

    def __call__(self, progress: Any) -> None:
        """progress: a `registration.pipeline.Progress`."""
        cost = float(progress.cost) if math.isfinite(progress.cost) else None
        self._found = {"cost": cost, "world_from_ct": progress.world_from_ct.tolist()}
        self.show(progress.fraction, progress.stage)

    def show(self, fraction: float, stage: str) -> None:
        """`fraction` of the whole is done; with it goes the last pose that was told."""
        left = self._left.seconds(fraction)
        now = time.monotonic()
        if stage == self._stage and now - self._printed < APART_SECONDS:
            return
        self._printed, self._stage = now, stage
        print(ProgressRecord(float(fraction), stage, left, **self._found).to_line(), file=sys.stderr, flush=True)

    def __enter__(self) -> JsonProgress:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _interrupt() -> None:
    """KeyboardInterrupt in the main thread; where the system can, one that wakes it as well."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextmanager
def stopped_by_end_of_stdin() -> Iterator[None]:
    """The end of stdin raises KeyboardInterrupt in the main thread, as Ctrl-C does, whatever the block is at.

    Stdin ends when the program at its other end closes it, and when that is no more. That works alike on every system; a signal
    does not.
    """
    stdin, ended = sys.stdin.fileno(), threading.Event()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts what runs in the background with Ctrl-C ignored

    def watch() -> None:
        while os.read(stdin, 4096):  # not sys.stdin: a thread that holds its lock would be fatal at exit
            pass
        ended.set()
        _interrupt()
        time.sleep(LAST_SECONDS)
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except Exception:  # an import that is interrupted says that something is missing
        if ended.is_set():
            raise KeyboardInterrupt from None
        raise
