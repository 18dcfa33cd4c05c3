"""Numba's kernels without a standing window: a child process compiles them, once after installing, and threads load them from the cache.

In a thread the compiler would hold Python's lock, and its own, for seconds; whoever calls a kernel meanwhile waits.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, get_ident

from ..errors import InputError
from ..jobs.child_process import HIDDEN, python

#: Seconds that a child process may compile.
LONGEST = 300.0
_loading = Lock()


class NotCached(Exception):
    """A kernel would have to be compiled."""


def load(prepare: Callable, compiling: Callable[[], object]) -> None:
    """Call `prepare`, a function of `registration.kernels`, in this thread; where the cache lacks a kernel, in a child process before.

    compiling: called before that.
    """
    from ..rendering import threads

    with _loading, threads.by_itself():
        try:
            with _nothing_compiled():
                prepare()
        except NotCached:
            compiling()
            _fill_cache(prepare)
            prepare()  # what the child could not compile, too


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    """NotCached where this thread is about to compile."""
    from numba.core import event

    here = get_ident()

    class Refusal(event.Listener):
        def on_start(self, event) -> None:
            if get_ident() == here:
                raise NotCached

        def on_end(self, event) -> None:
            pass

    with event.install_listener("numba:compile", Refusal()):
        yield


def _fill_cache(prepare: Callable) -> None:
    """Have a child process call `prepare`; whatever becomes of it, this one goes on."""
    low = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # the window comes first; elsewhere `nice` does that
    library = (
        Path(__file__).absolute().parents[2]
    )  # not resolved: the cache goes by the path that a module was imported by
    path = os.pathsep.join(filter(None, [str(library), os.environ.get("PYTHONPATH")]))
    try:
        command = [
            python(),
            "-c",
            "import os; getattr(os, 'nice', id)(5); "
            f"from {prepare.__module__} import {prepare.__name__}; {prepare.__name__}()",
        ]
        subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            creationflags=HIDDEN | low,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST,
        )
    except (InputError, OSError, subprocess.TimeoutExpired):  # there is no interpreter, say
        pass
