"""Calls functions in a child process that may die.

A library that reads a damaged file can end its process, or fill the memory.

A child is kept for further calls and ends itself when none comes; one that has failed is ended at
once, and its memory goes with it.
"""

from __future__ import annotations

import atexit
import json
import mmap
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np

from ..errors import InputError
from ..jobs import HIDDEN, environment, python

#: Seconds after which an idle child ends itself, and after which it is not used again.
IDLE_S = 30
FRESH_S = 20
#: The module of the functions that read files with SimpleITK.
ITK = f"{__package__}.itk_files"
#: Larger data are not copied, but stay in the file to which the child has written them; it has so
#: many.
MAPPED_BYTES = 8 << 20
FILES = 1 if os.name == "nt" else 6
_CODE = f"from {__package__}.child_main import serve; serve({IDLE_S}, {{!r}})"
#: One thread and one heap: otherwise the memory that a child reserves, which is limited, grows with
#: the processors. Large pages: a CT needs a tenth of the page faults, and is read in 0.2 s less.
_PLAIN = {
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class ChildFailed(Exception):
    """The function raised, took too much time or memory, or ended its process."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a function returned.

    Attributes
    ----------
    value
        Plain data.
    data
        (bytes,) uint8, may be changed; none where the function returned a value alone.
    """

    value: Any
    data: np.ndarray


class _Child:
    def __init__(self, module: str = "") -> None:
        self._files = [_unnamed_file() for _ in range(FILES)]
        self._process = subprocess.Popen(
            [python(), "-c", _CODE.format(module)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,  # answers
            **_inherited(self._files),
            creationflags=HIDDEN,
            start_new_session=True,  # Ctrl-C is for the parent
            env={**environment(), **_PLAIN},
        )
        self._requests, self._answers = (
            cast(IO[bytes], self._process.stdin),
            cast(IO[bytes], self._process.stderr),
        )
        self.used = time.monotonic()

    def call(self, request: dict, seconds: float) -> Answer:
        """Return the answer; after any exception the child has ended."""
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        to = 1 if os.name == "nt" else self._files[-1].fileno()
        try:
            self._requests.write(
                json.dumps({**request, "to": to, "kept": MAPPED_BYTES}).encode() + b"\n"
            )
            self._requests.flush()
            said = json.loads(self._answers.readline())
            if "refused" in said:
                raise InputError(said["refused"])
            if "failed" in said:
                raise ChildFailed(said["failed"])
            answer = Answer(said["value"], self._read(int(said["bytes"])))
        except (OSError, ValueError, TypeError, KeyError) as error:
            self.end()
            if isinstance(error, InputError):
                raise
            raise ChildFailed(f"ended unexpectedly (status {self._process.returncode})") from None
        except BaseException:
            self.end()
            raise
        finally:
            timer.cancel()
        self.used = time.monotonic()
        return answer

    def _read(self, size: int) -> np.ndarray:
        file = self._files[-1]
        if size <= MAPPED_BYTES:
            file.seek(0)
            return np.frombuffer(bytearray(file.read(size)), np.uint8)
        with self._files.pop():
            return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)

    @property
    def used_up(self) -> bool:
        """Whether it has no file left."""
        return not self._files

    def end(self) -> None:
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers, *self._files):
            with suppress(OSError):
                stream.close()


def _unnamed_file() -> IO[bytes]:
    """Return a file that goes with the last process that has it open.

    In memory where the system can.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("mvreg"), "w+b", 0)
    return cast(IO[bytes], tempfile.TemporaryFile(buffering=0))


def _inherited(files: list[IO[bytes]]) -> dict[str, Any]:
    """Return what has a child inherit files under their numbers; on Windows one, as its stdout."""
    if os.name == "nt":
        return {"stdout": files[0]}
    return {"stdout": subprocess.DEVNULL, "pass_fds": [file.fileno() for file in files]}


_idle: list[_Child] = []
_lock = threading.Lock()


def call(function: str, arguments: Sequence[object], memory: int, seconds: float) -> Answer:
    """Call a function in a child process.

    Parameters
    ----------
    function
        "package.module:name". It returns plain data, or a tuple of that, a buffer, and whatever the
        buffer belongs to.
    arguments
        Plain data.
    memory
        Bytes that it may take, where the system can limit them.

    Raises
    ------
    InputError
        That of the function, and where no child can be started.
    ChildFailed
        For all else.
    """
    child = _taken()
    request = {
        "function": function,
        "arguments": list(arguments),
        "memory": memory,
        "seconds": seconds,
    }
    answer = child.call({**request, "folder": _folder()}, seconds)
    if child.used_up:
        child.end()
    else:
        with _lock:
            _idle.append(child)
    return answer


def _folder() -> str:
    """Return the current folder, by which relative paths are meant.

    The root where it was removed.
    """
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.path.abspath(os.sep)


def start() -> None:
    """Start a child for the next call, and have it import SimpleITK meanwhile."""
    with suppress(InputError, OSError):  # the call will say so
        child = _Child(ITK)
        with _lock:
            _idle.append(child)


def _taken() -> _Child:
    """Return a child that nobody else uses."""
    while True:
        with _lock:
            child = _idle.pop() if _idle else None
        if child is None:
            break
        if time.monotonic() - child.used < FRESH_S:
            return child
        child.end()
    try:
        return _Child()
    except OSError as error:
        raise InputError(
            f"a process that reads files cannot be started ({error.strerror or error}); close "
            "other programs, and try again."
        ) from None


def end_all() -> None:
    """End the idle children."""
    with _lock:
        ending = [_idle.pop() for _ in range(len(_idle))]
    for child in ending:
        child.end()


atexit.register(end_all)
if hasattr(os, "register_at_fork"):  # they are the parent's
    os.register_at_fork(after_in_child=_idle.clear)
