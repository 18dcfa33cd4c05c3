"""A part of a Markdown page that a program writes, between two marks; all else on the page is a person's."""

from __future__ import annotations

from pathlib import Path


def put(page: Path, name: str, text: str) -> None:
    """Replace what is between the marks of this name; at the end of the page, made if need be, where they are not there yet."""
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
