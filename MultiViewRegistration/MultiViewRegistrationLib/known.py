"""Values that are computed again only where what they were computed from has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")


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
