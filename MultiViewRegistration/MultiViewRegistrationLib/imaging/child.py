"""Calls functions in a child process that may die.

A library that reads a damaged file can end its process, or fill the memory.

A child is kept for further calls and ends itself when none comes; one that has failed is ended at
once, and its memory goes with it. (A child of `multiprocessing` would import the main script again,
and its answers be pickles, which a damaged file may have a part in.)
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
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
_CODE = f"from {__package__}.child_main import serve; serve({IDLE_S}, {{!r}})"
#: One thread and one heap: otherwise the memory that a child reserves, which is limited, grows with
#: the processors.
_PLAIN = {
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "VTK_SMP_BACKEND_IN_USE": "Sequential",
    "MALLOC_ARENA_MAX": "1",
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
        self._process = subprocess.Popen(
            [python(), "-c", _CODE.format(module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=HIDDEN,
            start_new_session=True,  # Ctrl-C is for the parent
            env={**environment(), **_PLAIN},
        )
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(Any, self._process.stdout)
        self.used = time.monotonic()

    def call(self, request: dict, seconds: float) -> Answer:
        """Return the answer; after any exception the child has ended."""
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            said = json.loads(self._answers.readline())
            if "refused" in said:
                raise InputError(said["refused"])
            if "failed" in said:
                raise ChildFailed(said["failed"])
            data = np.empty(said["bytes"], np.uint8)
            if self._answers.readinto(data) < len(data):
                raise OSError("the data end early")
            answer = Answer(said["value"], data)
        except (OSError, ValueError, TypeError, KeyError, MemoryError) as error:
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

    def end(self) -> None:
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            with suppress(OSError):
                stream.close()


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
