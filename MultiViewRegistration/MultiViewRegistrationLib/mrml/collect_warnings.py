"""What one thread warns of, kept for it alone. `warnings.catch_warnings` would hear, and mix up, those of all threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_PACKAGE = __package__.split(".")[0]
_here = threading.local()


@contextmanager
def warned() -> Iterator[list[str]]:
    """The sentences that this thread warns of (UserWarning) within it, none twice; the warnings of other threads go their way."""
    _listen()
    before, _here.told = getattr(_here, "told", None), []
    try:
        yield _here.told
    finally:
        _here.told = before


def _listen() -> None:
    """Be asked how a warning is shown; again where somebody put back what was there before."""
    show_elsewhere = warnings.showwarning
    if getattr(show_elsewhere, "by_thread", False):
        return

    def show(message, category, *where, **more) -> None:
        told = getattr(_here, "told", None)
        if told is None or not issubclass(category, UserWarning):
            show_elsewhere(message, category, *where, **more)
        elif str(message) not in told:
            told.append(str(message))

    show.by_thread = True
    warnings.showwarning = show
    warnings.filterwarnings(
        "always", category=UserWarning, module=rf"{_PACKAGE}\b"
    )  # also when the same is said once more
