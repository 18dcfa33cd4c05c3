"""Small tables that only show something, and heights of tables."""

from __future__ import annotations

import qt

#: Pixels above and below the text of a row, together.
PADDING_PX = 8


def set_up(table, heads: list[str]) -> None:
    """Give a QTableWidget columns with these headers, and rows without."""
    table.columnCount = len(heads)
    table.setHorizontalHeaderLabels(heads)
    table.verticalHeader().visible = False
    table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
    for column in range(1, len(heads)):
        table.horizontalHeader().setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)


def fill(table, rows: list[tuple[str, ...]]) -> None:
    """Show these rows, all of them at once, without a scroll bar; one that is too long for its column tells all in its tool tip."""
    table.rowCount = len(rows)
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(i, j, item)
    fit_rows(table, least=1)


def fit_rows(table, least: int, most: int | None = None) -> None:
    """Make a table as high as its rows, within so many of them, and each row as high as the font."""
    height = table.fontMetrics().height() + PADDING_PX
    table.verticalHeader().minimumSectionSize = table.verticalHeader().defaultSectionSize = height
    rows = max(table.rowCount, least)
    shown = rows if most is None else min(rows, most)
    table.setFixedHeight(table.horizontalHeader().sizeHint.height() + shown * height + 2 * table.frameWidth)
