"""What is known: values that are computed again only where what they were computed from has changed, and the known among several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def without_none(values: Mapping[Key, Value | None]) -> dict[Key, Value]:
    """Return those that there are."""
    return {key: value for key, value in values.items() if value is not None}


def without_empty(values: Mapping[Key, Value | None]) -> dict[Key, Value]:
    """Return those that say something."""
    return {key: value for key, value in values.items() if value}


class Known:
    """The values computed last, by names."""

    def __init__(self) -> None:
        self._found: dict[Any, tuple[Any, Any]] = {}

    def value(self, name: Any, of: Any, find: Callable[[], Value]) -> Value:
        """Return the value by this name.

        Parameters
        ----------
        of
            What it is computed from; where that is another than last time, `find` is called.
        """
        if name not in self._found or self._found[name][0] != of:
            self._found[name] = of, find()
        return self._found[name][1]
