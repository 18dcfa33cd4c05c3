"""Stand-in for CTK's widget for a point or a direction."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .stand_in import row, stand_in, stored


@stand_in
class ctkCoordinatesWidget(QtWidgets.QWidget):
    """A spin box for each coordinate; as a string they are joined by commas."""

    coordinatesChanged = QtCore.Signal(float, float, float, float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._boxes: list[QtWidgets.QDoubleSpinBox] = []
        row(self, stretch=-1)
        self._set_dimension(3)

    def _set_dimension(self, dimension: int) -> None:
        while len(self._boxes) > dimension:
            self._boxes.pop().deleteLater()
        while len(self._boxes) < dimension:
            box = QtWidgets.QDoubleSpinBox(self)
            box.setDecimals(self.decimals)
            box.setRange(self.minimum, self.maximum)
            box.setSingleStep(self.singleStep)
            box.valueChanged.connect(self._emit)
            self.layout().addWidget(box, 1)
            self._boxes.append(box)

    def _emit(self, *unused) -> None:
        values = [box.value for box in self._boxes] + [0.0] * 4
        self.coordinatesChanged.emit(*values[:4])

    def _for_all(self, *unused) -> None:
        for box in self._boxes:
            box.setDecimals(self.decimals)
            box.setRange(self.minimum, self.maximum)
            box.setSingleStep(self.singleStep)
            box.setReadOnly(self.readOnly)
            box.setFrame(self.frame)

    def setCoordinates(self, x: float, y: float = 0.0, z: float = 0.0, w: float = 0.0) -> None:
        before = self.coordinates
        for box, value in zip(self._boxes, (x, y, z, w)):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)
        if self.coordinates != before:
            self._emit()

    def getCoordinate(self, number: int) -> float:
        return self._boxes[number].value

    @QtCore.Slot(int)
    def setDecimals(self, decimals: int) -> None:
        self.decimals = decimals

    @QtCore.Slot(bool)
    def setReadOnly(self, read_only: bool) -> None:
        self.readOnly = read_only

    @QtCore.Slot()
    def normalize(self) -> None:
        norm = sum(box.value ** 2 for box in self._boxes) ** 0.5
        if norm:
            self.setCoordinates(*[box.value / norm for box in self._boxes])

    decimals = stored(int, 3, _for_all)
    minimum = stored(float, -100000.0, _for_all)
    maximum = stored(float, 100000.0, _for_all)
    singleStep = stored(float, 1.0, _for_all)
    readOnly = stored(bool, False, _for_all)
    frame = stored(bool, True, _for_all)
    normalized = stored(bool, False)
    decimalsOption = stored(int, 0)
    sizeHintPolicy = stored(int, 0)
    dimension = QtCore.Property(int, lambda self: len(self._boxes), _set_dimension)
    coordinates = QtCore.Property(
        str, lambda self: ",".join(f"{box.value:g}" for box in self._boxes),
        lambda self, text: self.setCoordinates(*map(float, text.split(","))))
