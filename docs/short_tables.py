"""Keeps ten rows of each long table of pages, what was missed first, and writes all of it into a file beside the page.

python docs/short_tables.py docs/tables/*.md
"""

from __future__ import annotations

import csv
import re
import sys
from itertools import groupby
from pathlib import Path

#: Rows that a reader takes in at a glance.
MOST_ROWS = 10
MISSED = "**no**"


def cells(line: str) -> list[str]:
    """The cells of a row."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def shorten(page: Path) -> None:
    """Shorten the long tables of a page; those that were shortened before stay."""
    text = page.read_text(encoding="utf-8")
    folder = page.with_suffix("")
    shown: list[str] = []
    heading = ""
    for is_table, block in groupby(text.split("\n"), lambda line: line.startswith("|")):
        lines = list(block)
        if not is_table or len(lines) <= 2 + MOST_ROWS:
            titles = [line.lstrip("# ") for line in lines if line.startswith("#")]
            heading = titles[-1] if titles else heading
            shown += lines
            continue
        name = re.sub(r"\W+", "-", heading.lower() + " ").lstrip("-")
        number = 1
        while f"({folder.name}/{name}{number}.csv)" in "\n".join(shown):
            number += 1
        file = folder / f"{name}{number}.csv"
        file.parent.mkdir(exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as written:
            rows = [cells(line) for line in (lines[0], *lines[2:])]
            csv.writer(written, lineterminator="\n").writerows(rows)
        first = sorted(lines[2:], key=lambda line: MISSED not in line)[:MOST_ROWS]
        link = f"[all {len(lines) - 2} rows]({folder.name}/{file.name})"
        shown += [*lines[:2], *first, "", f"{MOST_ROWS} of {link}."]
    page.write_text("\n".join(shown), encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        shorten(Path(argument))
