"""The one error for input that a person can mend."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, told in one plain sentence: which file or field, what was found, what was expected, what to do."""
