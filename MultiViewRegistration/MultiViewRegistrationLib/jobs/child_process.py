"""Long work in a child process: `mvreg` with its progress. It can be cancelled, and neither freezes nor ends the program that started it.

    job = Job(["register", "case.json", "--refine", "xvr", "--out", "result"])
    while job.state == "running":       # in a window: whenever its timer fires
        progress = job.poll()
        if progress:
            print(progress.fraction, progress.stage, progress.left)
        sleep(0.1)
    print(job.result or job.message)

What the child prints goes to files, and `poll` reads on in them. There is no thread, which in Slicer would hardly get to run while the
window waits for events, and no pipe, on which the child would wait for a window that is busy. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO, cast

from ..errors import InputError
from .progress import ProgressRecord

#: A child that has not ended so long after it was asked to is killed. It ends itself in less (`progress.LAST_SECONDS`) unless it hangs.
GRACE_SECONDS = 5.0
#: `poll` reads no more at a time, and no longer line, so that it takes milliseconds whatever the child prints.
MOST_BYTES = 1 << 20
MOST_WARNINGS = 20
#: No console window pops up on Windows.
HIDDEN = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def python() -> str:
    """Path of the Python interpreter with this program's packages.

    `sys.executable` may be an application that Python is part of. 3D Slicer comes with an interpreter beside itself: PythonSlicer.

    Raises InputError where there is none.
    """
    executable = Path(sys.executable or "")
    if "python" in executable.name.lower():
        return str(executable)
    found = shutil.which("PythonSlicer") or shutil.which("PythonSlicer", path=str(executable.parent))
    if not found:
        raise InputError(
            f'Python: found "{executable}", which is no Python interpreter, expected PythonSlicer beside it or on the PATH; '
            "install 3D Slicer anew."
        )
    return found


def program() -> list[str]:
    """The command that runs `mvreg`."""
    return [python(), "-m", f"{__package__.split('.')[0]}.cli.main"]


class Job:
    """`mvreg` at work in a child process, with all processes that it starts. It stops when this object, or this process, is no more.

    state: "running", "done", "failed" or "cancelled", as the last `poll` found it.
    result: once done, what the command prints with --json.   message: one sentence, once it failed.
    warnings: the last of those that it gave.
    """

    def __init__(self, arguments: Sequence[object]) -> None:
        """arguments: of `mvreg`, a command with progress, such as "register", first. Paths are relative to the current folder.

        Raises InputError where there is no Python to run it.
        """
        self.state = "running"
        self.result: dict | None = None
        self.message = ""
        self.warnings: deque[str] = deque(maxlen=MOST_WARNINGS)
        command = [*program(), *map(str, arguments), "--json", "--progress", "json"]
        library = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")]))
        self._folder = tempfile.TemporaryDirectory(prefix="mvreg-", ignore_cleanup_errors=True)
        self._stdout = Path(self._folder.name, "stdout")
        stderr = Path(self._folder.name, "stderr")
        with self._stdout.open("wb") as out, stderr.open("wb") as err:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                creationflags=HIDDEN,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "TMPDIR": tempfile.gettempdir()},
            )
        self._stdin = cast(IO[bytes], self._process.stdin)
        weakref.finalize(self, self._stdin.close)  # `subprocess` keeps what nobody holds any more
        self._stderr = stderr.open("rb")
        self._line, self._said = b"", ""
        self._kill_at: float | None = None

    def poll(self) -> ProgressRecord | None:
        """The newest progress since the last call, None if there is none; looks whether the child has ended. Takes milliseconds."""
        if self.state != "running":
            return None
        status = self._process.poll()  # before reading: nothing that it wrote is missed
        newest, all_read = self._read()
        if status is not None and all_read:
            self._end(status)
        elif self._kill_at is not None and monotonic() > self._kill_at:
            self._kill_at = monotonic() + GRACE_SECONDS
            _kill(self._process)
        return newest

    def cancel(self) -> None:
        """Ask the child to stop, without waiting for it; `poll` then says when it has, and kills it where it does not."""
        if self._kill_at is None and self.state == "running":
            self._kill_at = monotonic() + GRACE_SECONDS
            self._stdin.close()

    def _read(self) -> tuple[ProgressRecord | None, bool]:
        """The newest progress in what was printed, and whether that was all."""
        newest = None
        size = os.fstat(self._stderr.fileno()).st_size
        end = min(size, self._stderr.tell() + MOST_BYTES)
        while self._stderr.tell() < end:
            self._line += self._stderr.readline(MOST_BYTES - len(self._line))
            if self._line.endswith(b"\n") or len(self._line) == MOST_BYTES:
                line, self._line = self._line.decode("utf-8", "replace").strip(), b""
                record = ProgressRecord.from_line(line)
                newest = record or newest
                if line.startswith("mvreg: warning: "):
                    self.warnings.append(line.removeprefix("mvreg: warning: "))
                elif line and not record:
                    self._said = line
        return newest, self._stderr.tell() >= size

    def _end(self, status: int) -> None:
        if self._kill_at is not None:
            self.state = "cancelled"
        elif status == 0:
            self._take(self._stdout.read_bytes())
        else:
            self.state, self.message = "failed", _why(status, self._said)
        if os.name != "nt":
            _kill(self._process)  # what it started and left behind
        self._stdin.close()
        self._stderr.close()
        self._folder.cleanup()

    def _take(self, printed: bytes) -> None:
        try:
            self.state, self.result = "done", json.loads(printed)
        except ValueError:
            self.state, self.message = (
                "failed",
                f'It printed "{printed[:80].decode("utf-8", "replace")}", expected its result as JSON.',
            )


def _why(status: int, said: str) -> str:
    """Why a child failed, by its exit status and the last line that it printed on stderr."""
    if status in (1, 2) and said.startswith("mvreg: "):
        return said.removeprefix("mvreg: ")
    if status < 0:
        return f"It ended unexpectedly (signal {-status}{', perhaps for want of memory' if status == -9 else ''})."
    code = f"status {status}" if status < 256 else f"status {status:#x}"  # Windows' own are known in hex
    return f"It ended unexpectedly ({code}{': ' * bool(said)}{said})."


def _kill(process: subprocess.Popen) -> None:
    """End a child and all that it started, at once."""
    if os.name == "nt":
        subprocess.Popen(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            creationflags=HIDDEN,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    else:
        with suppress(
            ProcessLookupError, PermissionError
        ):  # all gone; a Mac says the latter of what has ended but is not yet cleared
            os.killpg(process.pid, signal.SIGKILL)
