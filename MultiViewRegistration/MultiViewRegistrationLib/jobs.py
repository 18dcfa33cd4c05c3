"""Long work in a child process: `mvreg` with its progress.

It can be cancelled, and neither freezes nor ends the program that started it.

    job = Job(["register", "case.json", "--refine", "xvr", "--out", "result"])
    while job.state == "running":       # in a window: whenever its timer fires
        progress = job.poll()
        if progress:
            print(progress.fraction, progress.stage, progress.left)
        sleep(0.1)
    print(job.result or job.message)

What the child prints goes to files, and `poll` reads on in them. There is no thread, which in
Slicer would rarely run while the window waits for events, and no pipe, on which the child would
wait for a window that is busy. Standard library only: a window opens before anything else is
installed.
"""

from __future__ import annotations

import _thread
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from .errors import InputError

#: The time left is shown only after so many seconds of progress.
SEEN_SECONDS = 1.0
#: Lines of one stage are at least so far apart: the reader shows pictures of them, and may be busy.
APART_SECONDS = 0.1
#: A process whose stdin ended and which has not stopped after so many seconds ends itself; its
#: parent kills it after GRACE_SECONDS.
LAST_SECONDS = 3.0
GRACE_SECONDS = 5.0
#: `poll` reads no more at a time, so that it takes milliseconds whatever the child prints.
MAX_BYTES = 1 << 20
MAX_WARNINGS = 20
#: No console window pops up on Windows.
HIDDEN = getattr(subprocess, "CREATE_NO_WINDOW", 0)
WARNING = "mvreg: warning: "


class TimeLeft:
    """Guesses how long work takes to its end, by the pace of the later half of the time since it began.

    Stages differ in pace, so that the earlier half says little; and it began with its first
    progress, not with the preparation before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = 0.0
        #: (seconds, fraction), the first one half of the time ago, or longer.
        self._history: deque[tuple[float, float]] = deque()

    def seconds(self, fraction: float) -> float | None:
        """Return seconds left now that `fraction` of the whole is done; None while unknown."""
        now = self._clock()
        history = self._history
        if fraction <= 0:
            return None
        if not history:
            self._began = now
        spent = now - self._began
        if (
            not history or now - history[-1][0] > spent / 200
        ):  # a few hundred in all, however often it is called
            history.append((now, fraction))
        while len(history) > 1 and history[1][0] <= self._began + spent / 2:
            history.popleft()
        since, before = history[0]
        if spent < SEEN_SECONDS or fraction <= before:
            return None
        return max(0.0, (1 - fraction) * (now - since) / (fraction - before))


def left_in_words(seconds: float | None) -> str:
    """Return the time left in words, "about 2 min left"; "" for None."""
    if seconds is None:
        return ""
    if seconds < 9.5:
        return "a few seconds left"
    if seconds < 90:
        return f"about {10 * round(seconds / 10)} s left"
    return (
        f"about {round(seconds / 60)} min left"
        if seconds < 5400
        else f"about {round(seconds / 3600)} h left"
    )


@dataclass(frozen=True)
class ProgressRecord:
    """The progress of long work, as a line of JSON that a child process prints.

    Attributes
    ----------
    fraction, stage
        The fraction done, and the stage.
    seconds_left
        None while unknown.
    cost, world_from_ct
        Of the last pose, 4 rows of 4, CT LPS mm to world LPS mm; None where there is none yet.
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
        """Return one line of JSON, without its end."""
        return json.dumps(
            {key: value for key, value in asdict(self).items() if key != "world_from_ct" or value}
        )

    @classmethod
    def from_line(cls, line: str) -> ProgressRecord | None:
        """Return the record of a line; None for a line that is no progress but a message."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            return None


class JsonProgress:
    """Used as `cli.options.ProgressLine` is.

    Prints `ProgressRecord`s on stderr, the newest where there are many.
    """

    def __init__(self) -> None:
        self._left = TimeLeft()
        self.fraction = 0.0
        self._printed = 0.0
        self._stage = ""
        self._found: dict[str, Any] = {}

    def __call__(self, progress: Any) -> None:
        """Write a step as a line of JSON.

        Parameters
        ----------
        progress
            A `registration.optimizer.Progress`.
        """
        cost = float(progress.cost) if math.isfinite(progress.cost) else None
        self._found = {"cost": cost, "world_from_ct": progress.world_from_ct.tolist()}
        self.show(progress.fraction, progress.stage)

    def show(self, fraction: float, stage: str) -> None:
        """Write the `fraction` of the whole that is done; the last pose goes with it."""
        self.fraction, left = fraction, self._left.seconds(fraction)
        now = time.monotonic()
        if stage == self._stage and now - self._printed < APART_SECONDS:
            return
        self._printed = now
        self._stage = stage
        print(
            ProgressRecord(float(fraction), stage, left, **self._found).to_line(),
            file=sys.stderr,
            flush=True,
        )

    def __enter__(self) -> JsonProgress:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@contextmanager
def stopped_by_end_of_stdin() -> Iterator[None]:
    """Have the end of stdin raise KeyboardInterrupt in the main thread, as Ctrl-C does, whatever the block is at.

    Stdin ends when the program at its other end closes it, and when that process ends. That works
    alike on every system; a signal does not.
    """
    stdin = sys.stdin.fileno()
    ended = threading.Event()
    # A shell starts what runs in the background with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        while os.read(
            stdin, 4096
        ):  # not sys.stdin: a thread that holds its lock would be fatal at exit
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


class Terminated(KeyboardInterrupt):
    """SIGTERM was sent to this process."""


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Raise `Terminated` in the block when SIGTERM is received, so that the work ends as by Ctrl-C."""
    received = threading.Event()

    def stop(*_signal: object) -> None:
        received.set()
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only that one handles signals
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except Exception:  # an import that is interrupted says that something is missing
        if received.is_set():
            raise Terminated from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt() -> None:
    """Raise KeyboardInterrupt in the main thread.

    Where the system can, by a signal that wakes it as well.
    """
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def python() -> str:
    """Return the path of the Python interpreter with this program's packages.

    `sys.executable` may be an application that Python is part of. 3D Slicer comes with an
    interpreter beside itself: PythonSlicer.

    Raises
    ------
    InputError
        There is none.
    """
    executable = Path(sys.executable or "")
    if "python" in executable.name.lower():
        return str(executable)
    found = shutil.which("PythonSlicer") or shutil.which(
        "PythonSlicer", path=str(executable.parent)
    )
    if not found:
        raise InputError(
            f'Python: found "{executable}", which is no Python interpreter, expected PythonSlicer beside it or on the PATH; '
            "install 3D Slicer again."
        )
    return found


def program() -> list[str]:
    """Return the command that runs `mvreg`."""
    return [python(), "-m", "mvreg"]


def environment() -> dict[str, str]:
    """Return the environment of a child process, whose Python finds this library."""
    library = (
        Path(__file__).absolute().parents[1]
    )  # not resolved: numba's cache goes by the path of the import
    path = os.pathsep.join(filter(None, [str(library), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def start_compiling(function: str, nice: int = 0) -> subprocess.Popen | None:
    """Return a child process that calls a function of `registration.warm_up`, and prints nothing; None where there is no Python.

    Parameters
    ----------
    nice
        By how much its priority is below that of this process.
    """
    quiet = subprocess.DEVNULL
    call = f"from {__package__}.registration.warm_up import {function}; {function}()"
    with suppress(InputError, OSError):
        return subprocess.Popen(
            [python(), "-c", f"import os; getattr(os, 'nice', id)({nice}); {call}"],
            env=environment(),
            creationflags=HIDDEN | getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
        )
    return None


class Job:
    """`mvreg` at work in a child process, with all processes that it starts.

    It stops when this object, or this process, ends.

    Parameters
    ----------
    arguments
        Of `mvreg`, a command with progress, such as "register", first. Paths are relative to the
        current folder.

    Attributes
    ----------
    state
        "running", "done", "failed" or "cancelled", as the last `poll` found it.
    result
        Once done, what the command prints with --json.
    message
        One sentence, once it failed.
    warnings
        The last ones that it gave.

    Raises
    ------
    InputError
        There is no Python to run it.
    """

    def __init__(self, arguments: Sequence[object]) -> None:
        self.state = "running"
        self.result: dict | None = None
        self.message = ""
        self.warnings: deque[str] = deque(maxlen=MAX_WARNINGS)
        self._folder = tempfile.TemporaryDirectory(prefix="mvreg-", ignore_cleanup_errors=True)
        self._stdout = Path(self._folder.name, "stdout")
        stderr = Path(self._folder.name, "stderr")
        with self._stdout.open("wb") as out, stderr.open("wb") as err:
            self._process = subprocess.Popen(
                [*program(), *map(str, arguments), "--json", "--progress", "json"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                creationflags=HIDDEN,
                start_new_session=True,
                env={**environment(), "PYTHONIOENCODING": "utf-8", "TMPDIR": tempfile.gettempdir()},
            )
        self._stdin = cast(IO[bytes], self._process.stdin)
        weakref.finalize(self, self._stdin.close)  # `subprocess` keeps unreferenced processes
        self._stderr = stderr.open("rb")
        self._unfinished_line = b""
        self._last_line = ""
        self._kill_at: float | None = None

    def poll(self) -> ProgressRecord | None:
        """Return the newest progress since the last call, None if there is none.

        Looks whether the child has ended. Takes milliseconds.
        """
        if self.state != "running":
            return None
        status = self._process.poll()  # before reading: nothing that it wrote is missed
        printed = self._stderr.read(MAX_BYTES)
        newest = self._read(printed)
        if status is not None and len(printed) < MAX_BYTES:
            self._end(status)
        elif self._kill_at is not None and time.monotonic() > self._kill_at:
            self._kill_at = time.monotonic() + GRACE_SECONDS
            _kill(self._process)
        return newest

    def cancel(self) -> None:
        """Ask the child to stop, without waiting for it.

        `poll` then says when it has, and kills it where it does not.
        """
        if self._kill_at is None and self.state == "running":
            self._kill_at = time.monotonic() + GRACE_SECONDS
            self._stdin.close()

    def _read(self, printed: bytes) -> ProgressRecord | None:
        """Return the newest progress in what was printed; keeps warnings and the last message."""
        newest = None
        *lines, self._unfinished_line = (self._unfinished_line + printed).split(b"\n")
        for line in (line.decode("utf-8", "replace").strip() for line in lines):
            record = ProgressRecord.from_line(line)
            newest = record or newest
            if line.startswith(WARNING):
                self.warnings.append(line.removeprefix(WARNING))
            elif line and not record:
                self._last_line = line
        return newest

    def _end(self, status: int) -> None:
        if self._kill_at is not None:
            self.state = "cancelled"
        elif status == 0:
            self.state, self.result = "done", json.loads(self._stdout.read_bytes())
        else:
            self.state, self.message = "failed", _why(status, self._last_line)
        if os.name != "nt":
            _kill(self._process)  # what it started and left behind
        self._stdin.close()
        self._stderr.close()
        self._folder.cleanup()


def _why(status: int, last_line: str) -> str:
    """Return why a child failed, by its exit status and the last line that it printed on stderr."""
    if status in (1, 2) and last_line.startswith("mvreg: "):
        return last_line.removeprefix("mvreg: ")
    if status < 0:
        return f"It ended unexpectedly (signal {-status}{', perhaps because memory ran out' if status == -9 else ''})."
    code = (
        f"status {status}" if status < 256 else f"status {status:#x}"
    )  # Windows' own are known in hex
    return f"It ended unexpectedly ({code}{': ' * bool(last_line)}{last_line})."


def _kill(process: subprocess.Popen) -> None:
    """End a child and all that it started, at once."""
    if os.name == "nt":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        closed = subprocess.DEVNULL
        subprocess.Popen(command, creationflags=HIDDEN, stdin=closed, stdout=closed, stderr=closed)
    else:
        # All gone; a Mac says the latter of what has ended but is not yet cleared.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
