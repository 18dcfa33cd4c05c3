"""Landmarks, in the CT and in the X-rays, on their page of section Start."""

from __future__ import annotations

from pathlib import Path

import qt

from ..session.presenters.landmarks import LandmarkFilePresenter, LandmarksPresenter
from ..session.translation import _
from .question_rows import QuestionRows
from .tables import fit_rows

KINDS = _("Markups (*.mrk.json *.fcsv *.json);;All files (*)")


class LandmarksPage:
    """A table of landmarks, a button that begins to click, and a box and a button for a file.

    section: the `StartSection` that has its widgets.
    """

    def __init__(self, section) -> None:
        self._section, self._ui, self._shown = section, section.ui, None
        self.presenter, self._file = LandmarksPresenter(section.panel), LandmarkFilePresenter(section.panel)
        ui, do = self._ui, section.do
        ui.placeButton.toggled.connect(lambda on: do(self._begin if on else self.presenter.stop))
        ui.removeLandmarkButton.clicked.connect(lambda: do(self.presenter.remove, self._selected))
        ui.landmarksTable.cellClicked.connect(self._on_cell)
        ui.landmarksTable.verticalHeader().setVisible(False)
        ui.landmarksTable.horizontalHeader().setHighlightSections(False)
        self.questions = QuestionRows(ui.landmarkQuestionsWidget, lambda *answer: do(self._file.answer, *answer))
        ui.landmarkTargetBox.connect(
            "activated(int)", lambda index: do(self._file.choose, ui.landmarkTargetBox.itemData(index))
        )
        ui.landmarkFileButton.clicked.connect(self._on_file)

    def refresh(self) -> None:
        self._show_file(self._file.shown())
        if not self.presenter.active:
            self.leave()
            return
        ui, shown = self._ui, self.presenter.shown()
        if (shown.rows, shown.places) != self._shown:
            self._fill(shown)
            self._shown = shown.rows, shown.places
        ui.placeButton.enabled = self._section.registration.ct is not None
        ui.placeButton.checked = shown.placing
        ui.removeLandmarkButton.enabled = bool(self._selected)
        ui.landmarksLabel.text = shown.told

    def tick(self) -> None:
        if self.presenter.tick():
            self._section.panel.invalidate()

    def leave(self) -> None:
        self.presenter.stop()
        self.presenter.reset()
        self._shown = None

    def forget(self) -> None:
        """Another registration is at work."""
        self._file.reset()

    @property
    def _selected(self) -> str:
        """The name of the landmark in the selected row, if it has been clicked anywhere."""
        row = self._ui.landmarksTable.currentRow()
        rows = self._shown[0] if self._shown else []
        return rows[row].name if 0 <= row < len(rows) and rows[row].clicked else ""

    def _fill(self, shown) -> None:
        table = self._ui.landmarksTable
        table.setColumnCount(1 + len(shown.places))
        table.setHorizontalHeaderLabels([_("Landmark"), *shown.places])
        table.setRowCount(len(shown.rows))
        for number, row in enumerate(shown.rows):
            table.setItem(number, 0, qt.QTableWidgetItem(row.name))
            for column, cell in enumerate(row.cells, start=1):
                item = qt.QTableWidgetItem(_("next") if cell.next else cell.text)
                item.setToolTip(cell.tip)
                item.setTextAlignment(qt.Qt.AlignCenter)
                table.setItem(number, column, item)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        fit_rows(table, least=4, most=8)

    def _show_file(self, shown) -> None:
        ui, box = self._ui, self._ui.landmarkTargetBox
        if [owner.title for owner in shown.owners] != [box.itemText(i) for i in range(box.count)]:
            box.clear()
            for owner in shown.owners:
                box.addItem(owner.title, owner.value)
        box.currentIndex = next(i for i, owner in enumerate(shown.owners) if owner.value == shown.owner)
        self.questions.show(shown.questions)
        ui.landmarkFileButton.enabled, ui.landmarkFileButton.toolTip = shown.ready, shown.told

    # A person at the widgets

    def _begin(self) -> None:
        self._section.panel.views.show_ct_slices()
        self.presenter.begin()

    def _on_cell(self, row: int, column: int) -> None:
        if column > 0:
            rows, places = self._shown
            self._section.do(self.presenter.next_at, places[column - 1], rows[row].name)
        else:
            self._section.do(lambda: None)  # another row is selected

    def _on_file(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self._section.widget, _("Landmarks"), "", KINDS)
        if path:
            self._section.do(self._file.read, Path(path))
