"""The history of poses as a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import qt
from slicer.i18n import tr as _

from ..session.words import method_in_words, started_in_words, worst
from .tables import fit_rows


class HistoryTable:
    """A row for each pose, the oldest first; the one that the CT is at is selected.

    table: a QTableWidget with four columns.   go: called with the number of the row that was clicked.
    """

    def __init__(self, table, go: Callable[[int], object]) -> None:
        self._table, self._shown = table, None
        table.setHorizontalHeaderLabels([_("Time"), _("Method"), _("Similarity"), _("Seconds")])
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.horizontalHeader().setHighlightSections(False)
        table.cellClicked.connect(lambda row, column: go(row))

    def show(self, history) -> None:
        """history: a `session.history.History`."""
        entries, position = history.entries, history.position
        if entries != self._shown:
            self._table.setRowCount(len(entries))
            for row, entry in enumerate(entries):
                self._fill(row, entry)
            fit_rows(self._table, least=3, most=8)
            self._shown = entries
        self._table.clearSelection()
        if position >= 0 and not history.moved:
            self._table.selectRow(position)
            self._table.scrollToItem(self._table.item(position, 0))

    def _fill(self, row: int, entry) -> None:
        when = datetime.fromisoformat(entry.time)
        seconds = "" if entry.seconds is None else f"{entry.seconds:.1f}"
        for column, (text, tip) in enumerate(
            (
                (when.strftime("%H:%M:%S"), when.strftime("%Y-%m-%d %H:%M:%S")),
                (method_in_words(entry), "\n".join([*started_in_words(entry), *entry.reasons])),
                (worst(entry.similarity), "\n".join(f"{name} {value:.3f}" for name, value in entry.similarity.items())),
                (seconds, ""),
            )
        ):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(tip)
            self._table.setItem(row, column, item)
