"""What benchmarks keep: measurements as they are made, and parts of a Markdown page."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path

from MultiViewRegistrationLib.errors import InputError


class Rows:
    """A file of measurements, a line of JSON each by its key of words and numbers.

    A run that was broken off goes on where it was. `rows` are those that are there.
    """

    def __init__(self, path: Path) -> None:
        """path: is made, with its folder, when the first measurement is; or one compressed by xz, which is read alone."""
        self._path = path
        self.rows: dict[str, dict] = {}
        opened = lzma.open if path.suffix == ".xz" else open
        text = ""
        if path.exists():
            with opened(path, "rt", encoding="utf-8") as stream:
                text = stream.read()
        whole = text[: text.rfind("\n") + 1]  # the last line may have been cut short
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            row = json.loads(line)
            self.rows[row.pop("key")] = row

    def get(self, *key: str | float, measure: Callable[[], dict]) -> dict:
        """The row of a key; measured, and kept, if it is not there."""
        name = " ".join(map(str, key))
        if name not in self.rows:
            if self._path.suffix == ".xz":
                raise InputError(f"{self._path}: is only read; name another file for new rows.")
            row = measure()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": name, **row}) + "\n")
            self.rows[name] = row
        return self.rows[name]


def ct_name(path: Path) -> str:
    """A CT's name in rows: its file's name without the format's ending."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def put(page: Path, name: str, text: str) -> None:
    """Write a part of a page between the marks of this name, at its end where they are not there yet; all else is a person's."""
    first, last = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    part = f"{first}\n{text.strip()}\n{last}"
    if first in before:
        head, _, rest = before.partition(first)
        _, found, tail = rest.partition(last)
        if not found:
            raise ValueError(f"{page}: has {first} and not {last}")
        after = head + part + tail
    else:
        after = "\n\n".join(filter(None, [before.rstrip(), part])) + "\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(after, encoding="utf-8")
