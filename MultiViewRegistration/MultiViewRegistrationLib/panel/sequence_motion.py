"""How another tracked structure moves against the one that is played."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import qt
from slicer.i18n import tr as _

from ..mrml import motion_plot
from ..session.motion import StructureMotion
from .part import Part
from .tables import set_up

KINDS = _("Tracked sequence (*.json)")
#: Rows of the table that are seen at once; the others are scrolled to.
ROWS, ROW_PX = 8, 22


class MotionPart(Part):
    """A table by frames, and two charts in Slicer's plot view."""

    def connect(self) -> None:
        ui = self.ui
        self._listed: StructureMotion | None = None
        set_up(ui.motionTable, [_("Frame"), _("Rotation (°)"), _("Shift (mm)")])
        ui.motionTable.minimumHeight = ui.motionTable.maximumHeight = (ROWS + 1) * ROW_PX
        ui.motionLabel.textFormat = qt.Qt.PlainText
        ui.motionButton.clicked.connect(self._on_open)
        ui.turnButton.clicked.connect(partial(self._on_plot, 0))
        ui.shiftButton.clicked.connect(partial(self._on_plot, 1))
        ui.motionTable.cellClicked.connect(self._on_row)

    @property
    def _motion(self) -> StructureMotion | None:
        return self.section.presenter.motion

    def refresh(self) -> None:
        ui, motion, presenter = self.ui, self._motion, self.section.presenter
        if motion is not self._listed:
            self._list(motion)
        for button in (ui.turnButton, ui.shiftButton):
            button.enabled = motion is not None
        ui.motionLabel.text = " ".join([presenter.motion_title(), *presenter.motion_warnings()])

    def mark(self, number: int | None) -> None:
        """Select the row of the frame that is shown."""
        if self._motion is not None:
            numbers = [row[0] for row in self._motion.rows]
            if number in numbers:
                self.ui.motionTable.selectRow(numbers.index(number))
            else:
                self.ui.motionTable.clearSelection()

    def writers(self, folder: Path) -> list[Callable[[], list[Path]]]:
        """What writes its files, in any thread; none where there is no motion."""
        motion = self._motion
        return [] if motion is None else [lambda: motion.save(folder)]

    def _on_open(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.section.widget, _("The other structure"), "", KINDS)
        if path and self.section.asked:
            with self.panel.acting():
                motion_plot.put(self.registration, self.session.sequence.compare_with(path))

    def _list(self, motion: StructureMotion | None) -> None:
        self._listed, table, rows = motion, self.ui.motionTable, self.section.presenter.motion_rows()
        table.rowCount = len(rows)
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                table.setItem(row, column, qt.QTableWidgetItem(str(text)))

    def _on_plot(self, which: int, *_args) -> None:
        with self.panel.acting():
            motion_plot.show(motion_plot.charts_of(self.registration)[which])

    def _on_row(self, row: int, column: int) -> None:
        if self.section.asked and self._motion is not None:
            self.session.sequence.player.go(self._motion.rows[row][0])
