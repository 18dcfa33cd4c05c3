"""The table of X-rays."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from ..session.geometry import certainty, describe, reference_of
from ..session.similarity import similarities
from .tables import fit_rows

USE, NAME, GEOMETRY, CERTAINTY, SIMILARITY = range(5)
MIN_ROWS = 2


class XRayTable:
    """Fills a QTableWidget with the X-rays of a registration, a row each; only what has changed is written."""

    def __init__(self, table) -> None:
        self.table = table
        header = table.horizontalHeader()
        header.minimumSectionSize = 24
        for column in range(table.columnCount):
            header.setSectionResizeMode(
                column, qt.QHeaderView.Stretch if column == NAME else qt.QHeaderView.ResizeToContents
            )

    def show(self, registration: Registration, selected: XRayView | None, trouble: dict[str, str]) -> None:
        """Fill it.

        trouble: what is wrong with a view, a sentence, by its name.
        """
        views, table = registration.xrays, self.table
        table.rowCount = len(views)
        similarity = similarities(registration)
        for row, view in enumerate(views):
            known = _("reference") if view == reference_of(registration) else certainty(view)
            self._write(row, view, known if view.placed else "", similarity.get(view.name), trouble.get(view.name, ""))
        fit_rows(table, MIN_ROWS)
        row = views.index(selected) if selected in views else -1
        if row != table.currentRow():
            table.setCurrentCell(row, NAME)

    def _write(self, row: int, view: XRayView, known: str, similarity: float | None, trouble: str) -> None:
        source = view.source
        self._check(row, view.used)
        texts = {
            NAME: view.name,
            GEOMETRY: describe(view),
            CERTAINTY: known,
            SIMILARITY: "" if similarity is None else f"{similarity:.3f}",
        }
        origin = view.content.get("from", "")
        image = _("made from {volume}").format(volume=source.GetName()) if source else _("its volume is gone")
        tips = {
            NAME: f"{view.name}, {image}",
            GEOMETRY: trouble or (f"{texts[GEOMETRY]} ({origin})" if origin else texts[GEOMETRY]),
        }
        for column, text in texts.items():
            item = self._item(row, column)
            if item.text() != text:
                item.setText(text)
            item.setToolTip(tips.get(column, text))

    def _check(self, row: int, used: bool) -> None:
        item, state = self._item(row, USE), qt.Qt.Checked if used else qt.Qt.Unchecked
        if item.checkState() != state:
            item.setCheckState(state)

    def _item(self, row: int, column: int):
        item = self.table.item(row, column)
        if item is None:
            item = qt.QTableWidgetItem()
            flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled
            more = {USE: qt.Qt.ItemIsUserCheckable, NAME: qt.Qt.ItemIsEditable}
            item.setFlags(flags | more[column] if column in more else flags)
            if column == USE:
                item.setCheckState(qt.Qt.Unchecked)
            self.table.setItem(row, column, item)
        return item
