"""Values that are found once, and again only where what they are of is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")


class Known:
    """The values found last, by names."""

    def __init__(self) -> None:
        self._found: dict[Any, tuple[Any, Any]] = {}

    def value(self, name: Any, of: Any, find: Callable[[], Value]) -> Value:
        """Return the value by this name; `find` is called where the last one was of something else than this."""
        if name not in self._found or self._found[name][0] != of:
            self._found[name] = of, find()
        return self._found[name][1]
