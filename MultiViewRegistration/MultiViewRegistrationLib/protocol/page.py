"""The protocol's tables and pictures as a Markdown page."""

from __future__ import annotations

from .run import Outcome
from .tables import by_condition, by_start, predictions, trust


def page(done: Outcome, about: str = "") -> tuple[str, dict[str, bytes]]:
    """The page, and the files of its figures by their names beside it."""
    rows = done.rows
    parts = ["# Protocol", about, by_condition(rows), by_start(rows), trust(rows), predictions(rows)]
    return "\n\n".join(part for part in parts if part) + "\n", {}
