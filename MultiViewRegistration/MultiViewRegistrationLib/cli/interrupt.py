"""Ctrl-C while the program imports packages."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exit_on_ctrl_c() -> Iterator[None]:
    """End the process at Ctrl-C, with a message and exit status 130, instead of raising KeyboardInterrupt.

    An extension module that is interrupted during its import turns KeyboardInterrupt into other
    errors, or crashes. Where Ctrl-C is ignored, as in a background process, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit(*_signal_and_frame: object) -> None:
    print("\nmvreg: stopped; every file is whole.", file=sys.stderr, flush=True)
    os._exit(130)
