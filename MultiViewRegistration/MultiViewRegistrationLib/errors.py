"""Errors that a person can mend, warnings that a caller can collect, and the end of cancelled work."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class InputError(ValueError):
    """Bad input, in one plain sentence: which file or field, what was found, what was expected, what to do."""


class MissingInformation(InputError):
    """A required value is missing and never guessed.   key: the name under which the user can give it."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class UnitMismatch(InputError):
    """A CT whose values do not fit the given unit.   unit: the likely one."""

    def __init__(self, message: str, unit: str) -> None:
        super().__init__(message)
        self.unit = unit


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Put what an InputError of the block is about before its sentence, with a colon."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


class Cancelled(Exception):
    """The caller's progress callback requested a stop."""


_collected: ContextVar[list[str] | None] = ContextVar("collected warnings", default=None)


def warn(sentence: str) -> None:
    """Warn the user of something that is no error: a UserWarning, or an entry of the list that `collect_warnings` keeps."""
    collected = _collected.get()
    if collected is None:
        warnings.warn(sentence, stacklevel=3)
    elif sentence not in collected:
        collected.append(sentence)


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the warnings of this library in this thread, none twice. `warnings.catch_warnings` would mix up those of all threads."""
    collected: list[str] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)
