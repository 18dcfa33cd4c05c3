"""Lists that write themselves back when they are changed."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence


class ObservedList(MutableSequence):
    """A list read from a parameter node; changes go to the node. As in Slicer it cannot be added to another (but `+=` works)."""

    def __init__(self, values: list, save: Callable[[list], None], reload: Callable[[], ObservedList]):
        self._values, self._save, self._reload = values, save, reload

    def _changed(self) -> None:
        try:
            self._save(self._values)
        finally:
            self._values = self._reload()._values

    def __getitem__(self, index):
        return self._values[index]

    def __setitem__(self, index, value):
        self._values[index] = value
        self._changed()

    def __delitem__(self, index):
        del self._values[index]
        self._changed()

    def __len__(self):
        return len(self._values)

    def insert(self, index, value):
        self._values.insert(index, value)
        self._changed()

    def extend(self, values):
        self._values.extend(values)
        self._changed()

    def clear(self):
        self._values.clear()
        self._changed()

    def __iadd__(self, values):
        self.extend(values)
        return self

    def __eq__(self, other):
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    def __repr__(self):
        return f"ObservedList({self._values})"
