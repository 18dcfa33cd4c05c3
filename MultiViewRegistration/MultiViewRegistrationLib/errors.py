"""The one error for input that a person can mend, and how work ends that somebody called off."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, told in one plain sentence: which file or field, what was found, what was expected, what to do."""


class MissingInformation(InputError):
    """Input that does not say what must be known, and is not guessed.   key: the name under which a person can give it."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class UnitMismatch(InputError):
    """A CT whose values do not fit the unit that was named.   unit: the one that they may be in."""

    def __init__(self, message: str, unit: str) -> None:
        super().__init__(message)
        self.unit = unit


class Cancelled(Exception):
    """The caller's progress callback asked to stop."""
