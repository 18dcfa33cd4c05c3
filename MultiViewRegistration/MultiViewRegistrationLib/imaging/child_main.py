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
from typing import Any

from ..errors import InputError


def serve(idle_s: float, module: str = "") -> None:
    """Answer requests until there are no more, or none comes for `idle_s` seconds.

    A module that the first one will need, if it is named, is imported before.
    A request is a line of JSON on stdin, an answer one on stderr; a buffer that a function returns
    is written to the file that the request names, by its number. The parent keeps a file with much
    in it, and this process closes it.
    """
    requests, stdout, answers = (os.dup(descriptor) for descriptor in range(3))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):  # what libraries print
        os.dup2(nowhere, descriptor)
    if module:
        with suppress(Exception):  # the request will say so
            import_module(module)
    with os.fdopen(requests, "rb") as lines:
        while True:
            timer = threading.Timer(idle_s, os._exit, (0,))
            timer.daemon = True
            timer.start()
            line = lines.readline()
            timer.cancel()
            if not line:
                return
            request = json.loads(line)
            answer = _answer(request, stdout if request["to"] == 1 else request["to"])
            os.write(answers, json.dumps(answer).encode() + b"\n")


def _answer(request: dict, to: int) -> dict[str, Any]:
    module, name = request["function"].split(":")
    try:
        os.chdir(request["folder"])  # of relative paths
        function = getattr(import_module(module), name)
        with _limits(request["memory"], request["seconds"]):
            returned = function(*request["arguments"])
        value, buffer = returned[:2] if isinstance(returned, tuple) else (returned, b"")
        size = _write(to, memoryview(buffer).cast("B"))
        if size > request["kept"]:
            os.close(to)
        return {"value": value, "bytes": size}
    except InputError as error:
        return {"refused": str(error)}
    except (Exception, MemoryError) as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _write(data: int, buffer: memoryview) -> int:
    os.lseek(data, 0, os.SEEK_SET)
    os.ftruncate(data, len(buffer))
    written = 0
    while written < len(buffer):
        written += os.write(data, buffer[written : written + (1 << 30)])
    return written


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
