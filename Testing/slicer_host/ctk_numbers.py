"""Stand-in for CTK's slider with a box for the same number."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .stand_in import part, row, stand_in, stored


@stand_in
class ctkSliderWidget(QtWidgets.QWidget):
    """Qt's slider counts steps of `singleStep` from `minimum`."""

    valueChanged = QtCore.Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal, self)
        self._spin_box = QtWidgets.QDoubleSpinBox(self)
        row(self, self._slider, self._spin_box)
        self._spin_box.setMinimumWidth(72)
        self._spin_box.valueChanged.connect(self._on_spin_box)
        self._slider.sliderMoved.connect(lambda step: self.setValue(self.minimum + step * self.singleStep))
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)

    def _on_spin_box(self, value: float) -> None:
        self._fit()
        self.valueChanged.emit(value)

    def _fit(self) -> None:
        self._slider.setRange(0, round((self.maximum - self.minimum) / self.singleStep))
        self._slider.setValue(round((self.value - self.minimum) / self.singleStep))

    @QtCore.Slot(float)
    def setValue(self, value: float) -> None:
        self._spin_box.setValue(float(value))

    def _set_minimum(self, minimum: float) -> None:
        self._spin_box.setMinimum(float(minimum))
        self._fit()

    def _set_maximum(self, maximum: float) -> None:
        self._spin_box.setMaximum(float(maximum))
        self._fit()

    def _set_step(self, step: float) -> None:
        self._spin_box.setSingleStep(float(step))
        self._fit()

    value = QtCore.Property(float, lambda self: self._spin_box.value, setValue)
    minimum = QtCore.Property(float, lambda self: self._spin_box.minimum, _set_minimum)
    maximum = QtCore.Property(float, lambda self: self._spin_box.maximum, _set_maximum)
    singleStep = QtCore.Property(float, lambda self: self._spin_box.singleStep, _set_step)
    decimals = part(int, "_spin_box.decimals")
    prefix = part(str, "_spin_box.prefix")
    suffix = part(str, "_spin_box.suffix")
    tracking = stored(bool, True)
