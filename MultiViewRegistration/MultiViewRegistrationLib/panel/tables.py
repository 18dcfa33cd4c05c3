"""Tables of texts, and of fields."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import qt

from ..session.presenters import form as controls
from ..translation import _
from .drawn import (
    SWATCH_PX,
    Drawn,
    Make,
    button_text,
    mark_field,
    pixmap,
    plain_label,
    plain_tip,
    put,
    set_tone,
    swatch,
)

#: Width and height of the bars in a table, and their colours: the filled part and the rest.
BAR_PX = (60, 8)
BAR_COLOURS = ((86, 140, 190), (150, 158, 165))
#: Pixels above and below the text of a table's row, together; rows that are seen without scrolling.
ROW_PADDING_PX = 8
MAX_ROWS = 8
#: Letters of a column's title in a line.
TITLE_LETTERS = 14


class _Table(Drawn[controls.Table]):
    def make(self, control: controls.Table) -> Any:
        self._fitted = 0, 0, 0
        table = qt.QTableWidget()
        table.editTriggers = qt.QAbstractItemView.NoEditTriggers
        table.selectionBehavior = qt.QAbstractItemView.SelectRows
        table.selectionMode = qt.QAbstractItemView.SingleSelection
        table.iconSize = qt.QSize(BAR_PX[0], SWATCH_PX)
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setHighlightSections(False)
        table.connect("cellClicked(int,int)", lambda row, column: self.act(self._id(row), column))
        table.connect("itemChanged(QTableWidgetItem*)", self._on_item)
        return table

    def show(self, control: controls.Table) -> None:
        table = self.widget
        before = self.before
        if before is None or control.columns != before.columns:
            table.columnCount = len(control.columns)
            titles = [textwrap.fill(title, TITLE_LETTERS) for title in control.columns]
            table.setHorizontalHeaderLabels(titles)
            header = table.horizontalHeader()
            for column in range(len(control.columns)):
                header.setSectionResizeMode(
                    column, qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch
                )
        if before is None or control.lines != before.lines or control.columns != before.columns:
            table.rowCount = len(control.lines)
            for row, line in enumerate(control.lines):
                for column, cell in enumerate(line.cells):
                    table.setItem(row, column, self._item(line, column, cell))
        self._fit()
        ids = [line.id for line in control.lines]
        row = ids.index(control.selected) if control.selected in ids else -1
        if row != table.currentRow() or before is None or control.lines != before.lines:
            table.setCurrentCell(row, 0)

    def _item(self, line: controls.TableRow, column: int, cell: controls.Cell) -> Any:
        item = qt.QTableWidgetItem(cell.text)
        item.setToolTip(plain_tip(cell.tip or cell.text))
        if cell.share is not None:
            item.setIcon(qt.QIcon(_bar(cell.share)))
        elif column == 0 and line.colour:
            item.setIcon(swatch(line.colour))
        flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled
        if column == 0 and line.on is not None:
            item.setCheckState(qt.Qt.Checked if line.on else qt.Qt.Unchecked)
            flags |= qt.Qt.ItemIsUserCheckable
        item.setFlags(flags)
        return item

    def _fit(self) -> None:
        """Make the table as high as its rows, each as high as the font, which may have changed."""
        table = self.widget
        height = table.fontMetrics().height() + ROW_PADDING_PX
        head = table.horizontalHeader().sizeHint.height()
        if (height, head, table.rowCount) == self._fitted:
            return
        self._fitted = height, head, table.rowCount
        table.verticalHeader().minimumSectionSize = table.verticalHeader().defaultSectionSize = (
            height
        )
        rows = min(max(table.rowCount, 1), MAX_ROWS)
        table.setFixedHeight(head + rows * height + 2 * table.frameWidth)

    def _id(self, row: int) -> str:
        return self.control.lines[row].id

    def _on_item(self, item: Any) -> None:
        """Take a click on a check box: nothing else of an item changes but by the form."""
        if not self.form.filling and self.control.switch is not None:
            id = self._id(item.row())
            on = item.checkState() == qt.Qt.Checked
            with self.form.panel.ui_action():
                self.control.switch(id, on)


def _bar(share: float) -> Any:
    """Return a bar that is filled to a share."""
    width, height = BAR_PX
    bar = np.full((height, width, 3), BAR_COLOURS[1], np.uint8)
    bar[:, : round(share * width)] = BAR_COLOURS[0]
    return pixmap(bar, width, height)


class _FieldTable(Drawn[controls.FieldTable]):
    """Fields in a grid; errors and warnings are written below their row."""

    def make(self, control: controls.FieldTable) -> Any:
        widget = qt.QWidget()
        self._grid = qt.QGridLayout(widget)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._cells: dict[str, Drawn[Any]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._titles: dict[str, Any] = {}
        self._notes: dict[str, Any] = {}
        self._heads: list = []
        return widget

    def show(self, control: controls.FieldTable) -> None:
        if self.before is None or control.columns != self.before.columns:
            for column, option in enumerate(control.columns):
                title = option.title
                if option.value.endswith("_mm"):
                    title = f"{title.removesuffix('mm')}{self.form.unit.name}"
                self._head(column, title, option.tip)
        if control == self.before:
            for line in control.lines:
                for cell in line.cells:
                    self.form.drawn[cell.field.key].update(cell.field)
            return
        seen = set()
        for number, line in enumerate(control.lines):
            row = 1 + 2 * number
            seen.add(line.id)
            for column, cell in enumerate(line.cells, start=1):
                seen.add(self._place(cell, row, column))
            self._title(line, row, control)
            self._write_note(line, row + 1)
        for key, drawn in self._cells.items():
            drawn.widget.setVisible(key in seen)
        for key, title in self._titles.items():
            title.setVisible(key in seen)
            self._notes[key].setVisible(key in seen and bool(self._notes[key].text))

    def _head(self, column: int, title: str, tip: str) -> None:
        if column == len(self._heads):
            head = qt.QLabel()
            head.wordWrap = True
            head.alignment = qt.Qt.AlignBottom
            set_tone(head, "quiet")
            self._grid.addWidget(head, 0, column)
            self._heads.append(head)
        put(self._heads[column], text=title, toolTip=plain_tip(tip))

    def _title(self, line: controls.FieldRow, row: int, control: controls.FieldTable) -> None:
        title = self._titles.get(line.id)
        if title is None:
            title = self._titles[line.id] = qt.QToolButton()
            title.autoRaise = True
            title.checkable = True
            title.toolButtonStyle = qt.Qt.ToolButtonTextBesideIcon
            title.clicked.connect(
                lambda *_args, id=line.id: self.act(id) if self.control.action else None
            )
        self._grid.addWidget(title, row, 0)
        title.text = button_text(line.title)
        title.toolTip = plain_tip(line.tip)
        title.checked = line.id == control.selected
        if line.colour:
            title.icon = swatch(line.colour)

    def _place(self, cell: controls.FieldCell, row: int, column: int) -> str:
        """Draw a cell, and return its key, which is another for another kind of field."""
        field = cell.field
        key = f"{type(field).__name__} {field.key}"
        drawn = self._cells.get(key)
        if drawn is None:
            drawn = self._cells[key] = self.form.draw(field)
            if isinstance(field, controls.TextField):
                drawn.inner.connect("returnPressed()", lambda key=key: self._down(key))
        if self._places.get(key) != (row, column):
            self._places[key] = row, column
            self._grid.addWidget(drawn.widget, row, column)
        self.form.drawn[field.key] = drawn
        drawn.update(field)
        inner = drawn.inner
        if isinstance(field, controls.TextField):
            inner.minimumWidth = inner.fontMetrics().horizontalAdvance(f"{inner.text}000")
        tip = [
            cell.error or cell.caution,
            cell.origin and _("From: {origin}").format(origin=cell.origin),
            field.tip,
        ]
        inner.toolTip = plain_tip("\n".join(filter(None, tip)))
        inner.accessibleName = field.label if not isinstance(field, controls.Text) else ""
        inner.accessibleDescription = cell.error or cell.caution
        marks = {"faulty": cell.error, "doubtful": cell.caution, "missing": cell.missing}
        mark_field(inner, next((mark for mark, why in marks.items() if why), ""))
        font = inner.font
        font.setItalic(bool(cell.origin))
        inner.font = font
        return key

    def _write_note(self, line: controls.FieldRow, row: int) -> None:
        note = self._notes.get(line.id)
        if note is None:
            note = self._notes[line.id] = plain_label()
            note.wordWrap = True
        self._grid.addWidget(note, row, 1, 1, len(line.cells))
        put(note, text=line.note)
        set_tone(note, line.tone)

    def _down(self, key: str) -> None:
        """Go on in the column, and after its end in the next one, on Enter."""
        after = {}
        for name, each in self._cells.items():
            below = self._places[name][::-1] > self._places[key][::-1]
            if below and isinstance(each.control, controls.TextField) and each.widget.visible:
                after[self._places[name][::-1]] = each.inner
        if after:
            edit = after[min(after)]
            edit.setFocus()
            edit.selectAll()


KINDS: dict[type[controls.Control], Make] = {
    controls.Table: _Table,
    controls.FieldTable: _FieldTable,
}
