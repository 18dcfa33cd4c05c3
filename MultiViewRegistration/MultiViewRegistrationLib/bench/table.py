"""Rows as text: the columns that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence

from .rows import Row

HEAD = ("", "ours", "peer", "", "ratio", "least to largest", "repeats", "")


def cells(row: Row) -> tuple[str, ...]:
    """One row: name, ours, peer's figure and name, ratio, its spread, repeats of both, note or why it failed."""
    at_least = "≥ " * row.peer_at_least
    ratio = "–" if row.ratio is None else f"{at_least}{number(row.ratio)}"
    spread = "–" if row.spread is None else " to ".join(map(number, row.spread))
    return (
        row.name,
        _value(row.ours, row.unit),
        at_least + _value(row.peer, row.unit),
        row.peer_name,
        "failed" if row.failed else ratio,
        spread,
        "/".join(map(str, row.repeats)),
        row.failed or row.note,
    )


def number(value: float) -> str:
    """Three digits, without an exponent."""
    digits = 3 if abs(value) < 0.995 else 2 if value < 9.95 else 1 if value < 99.5 else 0
    return f"{value:.{digits}f}"


def terminal(rows: Sequence[Row]) -> str:
    """A table for a terminal, without the notes; failures are told below."""
    lines = [HEAD[:-1], *(cells(row)[:-1] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    right = {1, 2, 4}
    text = "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    failed = [f"{row.name}: {row.failed}." for row in rows if row.failed]
    return "\n".join([text, *failed])


def markdown(rows: Sequence[Row]) -> str:
    """A table for a Markdown page."""
    lines = [HEAD, ("---", "---:", "---:", "---", "---:", "---", "---", "---"), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{number(value)} {unit}"
