"""Measurements that are kept as they are made: a line of JSON each, so that a run that was broken off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path


class Rows:
    """A file of measurements, each by its key of words and numbers."""

    def __init__(self, path: Path) -> None:
        """path: is made, with its folder, when the first measurement is."""
        self._path = path
        self._rows: dict[str, dict] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # the last line may have been cut short
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            row = json.loads(line)
            self._rows[row.pop("key")] = row

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, *key: str | float, measure: Callable[[], dict]) -> dict:
        """The row of a key; measured, and kept, if it is not there."""
        name = " ".join(map(str, key))
        if name not in self._rows:
            row = measure()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": name, **row}, allow_nan=False) + "\n")
            self._rows[name] = row
        return self._rows[name]
