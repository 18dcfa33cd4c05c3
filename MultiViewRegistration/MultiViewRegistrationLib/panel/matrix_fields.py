"""The widgets of a projection matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import qt
from slicer.i18n import tr as _

from ..errors import InputError
from ..io.calibration.matrix_text import MatrixText, read_number
from ..mrml.frames import RAS_FROM_LPS
from .tables import fit_rows

LPS, RAS = range(2)


class MatrixFields:
    """Shows and reads a 3x4 matrix, cell by cell.

    ui: the widgets of XRayGeometry.ui.   edited: called whenever a person has changed one.
    """

    def __init__(self, ui, edited: Callable) -> None:
        self.ui = ui
        self.size: tuple[int, int] | None = None
        self._table = ui.matrixTable
        for row, column in np.ndindex(3, 4):
            item = qt.QTableWidgetItem()
            self._table.setItem(row, column, item)
        self._table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        fit_rows(self._table, least=3)
        self._table.itemChanged.connect(edited)
        ui.axesBox.connect("currentIndexChanged(int)", edited)

    def show(self, given: MatrixText | None, axes: int = LPS) -> None:
        """Fill the cells; empty ones for None."""
        self.size = given and given.size
        self.show_cells([f"{number:.8g}" for number in given.projection_matrix.ravel()] if given else [""] * 12, axes)

    def show_cells(self, cells: list[str], axes: int) -> None:
        """Fill the cells with these texts, by rows."""
        fit_rows(self._table, least=3)
        self.ui.axesBox.currentIndex = axes
        for (row, column), text in zip(np.ndindex(3, 4), cells, strict=True):
            self._table.item(row, column).setText(text)

    def cells(self) -> list[str]:
        """The texts of the cells, by rows."""
        return [self._table.item(row, column).text().strip() for row, column in np.ndindex(3, 4)]

    def matrix(self) -> np.ndarray:
        """(3, 4), from world LPS mm to pixels. InputError where a cell holds no number."""
        if not any(self.cells()):
            raise InputError(
                _("Matrix: none is given, expected 12 numbers; enter them, paste them, or read them from a file.")
            )
        matrix = np.reshape(
            [_number(text, *cell) for cell, text in zip(np.ndindex(3, 4), self.cells(), strict=True)], (3, 4)
        )
        return matrix @ RAS_FROM_LPS if self.ui.axesBox.currentIndex == RAS else matrix


def _number(text: str, row: int, column: int) -> float:
    cell = _("Matrix: row {row}, column {column}").format(row=row + 1, column=column + 1)
    if not text:
        raise InputError(_("{cell} holds nothing, expected a number; enter all 12, or paste them.").format(cell=cell))
    return read_number(text, cell)
