"""The child process of `child`: calls the functions that it is asked for, one after another.

Standard library only.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, BinaryIO

from ..errors import InputError


def serve(idle_s: float, module: str = "") -> None:
    """Answer requests until there are no more, or none comes for `idle_s` seconds.

    A module that the first one will need, if it is named, is imported before.
    A request is a line of JSON on stdin; an answer is one on stdout, and behind it the buffer that
    the function returned.
    """
    requests, answers = (os.dup(descriptor) for descriptor in range(2))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):  # what libraries print
        os.dup2(nowhere, descriptor)
    if module:
        with suppress(Exception):  # the request will say so
            import_module(module)
    with os.fdopen(requests, "rb") as lines, os.fdopen(answers, "wb") as out:
        while True:
            timer = threading.Timer(idle_s, os._exit, (0,))
            timer.daemon = True
            timer.start()
            line = lines.readline()
            timer.cancel()
            if not line:
                return
            _answer(json.loads(line), out)


def _answer(request: dict[str, Any], out: BinaryIO) -> None:
    module, name = request["function"].split(":")
    data = memoryview(b"")
    answer: dict[str, Any]
    try:
        os.chdir(request["folder"])  # of relative paths
        function = getattr(import_module(module), name)
        with _limits(request["memory"], request["seconds"]):
            returned = function(*request["arguments"])
        value, buffer = returned[:2] if isinstance(returned, tuple) else (returned, data)
        data = memoryview(buffer).cast("B")
        answer = {"value": value, "bytes": len(data)}
    except InputError as error:
        answer = {"refused": str(error)}
    except (Exception, MemoryError) as error:
        answer = {"failed": f"{type(error).__name__}: {error}"}
    out.write(json.dumps(answer).encode() + b"\n")
    out.write(data)
    out.flush()


@contextmanager
def _limits(memory: int, seconds: float) -> Iterator[None]:
    """Let the block take so many bytes, and seconds of a processor, more than this process has.

    Nothing is limited on Windows.
    """
    try:
        import resource
    except ImportError:
        yield
        return

    def limit(what: int, most: int) -> None:
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(
            what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
        )

    used = resource.getrusage(resource.RUSAGE_SELF)
    limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)
    with suppress(OSError):  # only Linux has this file, and keeps to this limit
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)
    yield
    for what in (resource.RLIMIT_CPU, resource.RLIMIT_AS):  # what fails is not used again
        resource.setrlimit(what, (resource.getrlimit(what)[1],) * 2)
