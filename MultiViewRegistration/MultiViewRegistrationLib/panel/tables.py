"""Small tables that only show something."""

from __future__ import annotations

import qt

ROW_PX = 22


def set_up(table, heads: list[str]) -> None:
    """Give a QTableWidget columns with these headers, and rows without."""
    table.columnCount = len(heads)
    table.setHorizontalHeaderLabels(heads)
    table.verticalHeader().visible = False
    table.verticalHeader().defaultSectionSize = ROW_PX
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
    height = table.horizontalHeader().height + ROW_PX * max(len(rows), 1) + 4
    table.minimumHeight = table.maximumHeight = height
