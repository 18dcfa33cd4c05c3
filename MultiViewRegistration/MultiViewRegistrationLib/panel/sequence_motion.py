"""How another tracked structure moves against the one that is played."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import qt
from slicer.i18n import tr as _

from ..scene import motion_plot
from ..scene.motion import Motion, motion_of
from .part import Part
from .tables import set_up

KINDS = _("Tracked sequence (*.json)")
#: Rows of the table that are seen at once; the others are scrolled to.
ROWS, ROW_PX = 8, 22


class MotionPart(Part):
    """A table by frames, and two charts in Slicer's plot view."""

    def connect(self) -> None:
        ui = self.ui
        self._motion: Motion | None = None
        set_up(ui.motionTable, [_("Frame"), _("Turn (°)"), _("Shift (mm)")])
        ui.motionTable.minimumHeight = ui.motionTable.maximumHeight = (ROWS + 1) * ROW_PX
        ui.motionLabel.textFormat = qt.Qt.PlainText
        ui.motionButton.clicked.connect(self._on_open)
        ui.turnButton.clicked.connect(partial(self._on_plot, 0))
        ui.shiftButton.clicked.connect(partial(self._on_plot, 1))
        ui.motionTable.cellClicked.connect(self._on_row)

    def refresh(self) -> None:
        ui, motion = self.ui, self._motion
        for button in (ui.turnButton, ui.shiftButton):
            button.enabled = motion is not None
        if motion is None:
            ui.motionTable.rowCount = 0
            ui.motionLabel.text = _("Choose the track.json of another structure, tracked through the same frames.")

    def leave(self) -> None:
        """There is another sequence, or none."""
        self._motion = None
        self.refresh()

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
                self._show(motion_of(path, self.session.sequence.player.played))

    def _show(self, motion: Motion) -> None:
        self._motion, table = motion, self.ui.motionTable
        told = _("{title}, since frame {first}, along the axes of this CT.").format(title=motion.title, first=motion.rows[0][0])
        self.ui.motionLabel.text = " ".join(filter(None, [told, motion.left_out]))
        table.rowCount = len(motion.rows)
        for row, (number, turn, shift) in enumerate(motion.rows):
            for column, text in enumerate((str(number), f"{turn:.2f}", f"{shift:.2f}")):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        motion_plot.put(self.registration, motion)

    def _on_plot(self, which: int, *_args) -> None:
        with self.panel.acting():
            motion_plot.show(motion_plot.charts_of(self.registration)[which])

    def _on_row(self, row: int, column: int) -> None:
        if self.section.asked and self._motion is not None:
            self.session.sequence.player.go(self._motion.rows[row][0])
