"""The tables of a sequence, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

#: Heads of a table's columns with the first three rows of a pose, by rows.
MATRIX = tuple(f"m{row}{column}" for row in range(3) for column in range(4))


def table(header: Sequence[str], lines: Sequence[Sequence]) -> str:
    """Return CSV text of numbers and words of our own."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()
