"""Stand-ins for CTK's widgets for numbers."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from .stand_in import part, row, stand_in, stored

Qt = QtCore.Qt


@stand_in
class ctkDoubleSlider(QtWidgets.QWidget):
    """A slider for floating point numbers: Qt's own counts steps of `singleStep` from `minimum`."""

    valueChanged = QtCore.Signal(float)
    sliderMoved = QtCore.Signal(float)
    sliderPressed = QtCore.Signal()
    sliderReleased = QtCore.Signal()
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._value = 0.0
        self._setting = False
        self._slider = QtWidgets.QSlider(Qt.Horizontal, self)
        row(self, self._slider)
        self._slider.valueChanged.connect(self._on_moved)
        self._slider.sliderMoved.connect(lambda step: self.sliderMoved.emit(self._at(step)))
        self._slider.sliderPressed.connect(self.sliderPressed)
        self._slider.sliderReleased.connect(self.sliderReleased)
        self.setSizePolicy(self._slider.sizePolicy)
        self._fit()

    def _at(self, step: int) -> float:
        return min(self.minimum + step * self.singleStep, self.maximum)

    def _fit(self, *unused) -> None:
        """Give Qt's slider as many steps as fit into the range, and put it where the value is."""
        self._setting = True
        steps = (self.maximum - self.minimum) / self.singleStep if self.singleStep > 0 else 0
        self._slider.setRange(0, int(min(round(steps), 1_000_000)))
        self._slider.setPageStep(max(int(self.pageStep / self.singleStep), 1))
        self._setting = False
        self.setValue(self._value)
        self.rangeChanged.emit(self.minimum, self.maximum)

    def _on_moved(self, step: int) -> None:
        if not self._setting and self._at(step) != self._value:
            self._value = self._at(step)
            self.valueChanged.emit(self._value)

    @QtCore.Slot(float)
    def setValue(self, value: float) -> None:
        value = min(max(float(value), self.minimum), self.maximum)
        self._setting = True
        self._slider.setValue(round((value - self.minimum) / self.singleStep))
        self._setting = False
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    def setOrientation(self, orientation) -> None:
        self._slider.setOrientation(orientation)

    minimum = stored(float, 0.0, _fit)
    maximum = stored(float, 99.0, _fit)
    singleStep = stored(float, 1.0, _fit)
    pageStep = stored(float, 10.0, _fit)
    value = QtCore.Property(float, lambda self: self._value, setValue)
    sliderPosition = QtCore.Property(float, lambda self: self._value, setValue)
    orientation = QtCore.Property(object, lambda self: self._slider.orientation, setOrientation)
    tracking = part(bool, "_slider.tracking")
    tickInterval = stored(float, 0.0, lambda self, value: self._slider.setTickInterval(round(value / self.singleStep)))
    tickPosition = part(object, "_slider.tickPosition")
    handleToolTip = stored(str, "")
    invertedAppearance = part(bool, "_slider.invertedAppearance")
    invertedControls = part(bool, "_slider.invertedControls")


@stand_in
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box for the same number."""

    NoSynchronize, SynchronizeWidth, SynchronizeDecimals = 0, 1, 2

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._slider = ctkDoubleSlider(self)
        self._spin_box = QtWidgets.QDoubleSpinBox(self)
        row(self, self._slider, self._spin_box)
        self._spin_box.setMinimumWidth(72)
        self._moving = False
        self._slider.sliderPressed.connect(lambda: setattr(self, "_moving", True))
        self._slider.sliderReleased.connect(self._on_released)
        self._slider.valueChanged.connect(self._on_slider)
        self._spin_box.valueChanged.connect(self._on_spin_box)
        self._slider.maximum = self._spin_box.maximum
        self._value = 0.0
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)

    def _on_slider(self, value: float) -> None:
        if self._moving and not self.tracking:
            self.valueIsChanging.emit(value)
            return
        self._spin_box.setValue(value)

    def _on_released(self) -> None:
        self._moving = False
        self._spin_box.setValue(self._slider.value)

    def _on_spin_box(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(value)
        self._slider.blockSignals(False)
        if value != self._value:
            self._value = value
            self.valueIsChanging.emit(value)
            self.valueChanged.emit(value)

    @QtCore.Slot(float)
    def setValue(self, value: float) -> None:
        self._spin_box.setValue(float(value))

    @QtCore.Slot()
    def reset(self) -> None:
        self.setValue(0.0)

    @QtCore.Slot(int)
    def setDecimals(self, decimals: int) -> None:
        if decimals != self._spin_box.decimals:
            self._spin_box.setDecimals(int(decimals))
            self.decimalsChanged.emit(decimals)

    @QtCore.Slot(bool)
    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin_box.setVisible(visible)

    def _set_minimum(self, minimum: float) -> None:
        self._spin_box.setMinimum(float(minimum))
        self._slider.minimum, self._slider.maximum = self._spin_box.minimum, self._spin_box.maximum

    def _set_maximum(self, maximum: float) -> None:
        self._spin_box.setMaximum(float(maximum))
        self._slider.minimum, self._slider.maximum = self._spin_box.minimum, self._spin_box.maximum

    def _set_step(self, step: float) -> None:
        self._spin_box.setSingleStep(float(step))
        self._slider.singleStep = step

    value = QtCore.Property(float, lambda self: self._spin_box.value, setValue)
    decimals = QtCore.Property(int, lambda self: self._spin_box.decimals, setDecimals)
    minimum = QtCore.Property(float, lambda self: self._spin_box.minimum, _set_minimum)
    maximum = QtCore.Property(float, lambda self: self._spin_box.maximum, _set_maximum)
    singleStep = QtCore.Property(float, lambda self: self._spin_box.singleStep, _set_step)
    spinBoxVisible = QtCore.Property(bool, lambda self: not self._spin_box.isHidden(), setSpinBoxVisible)
    pageStep = part(float, "_slider.pageStep")
    prefix = part(str, "_spin_box.prefix")
    suffix = part(str, "_spin_box.suffix")
    tickInterval = part(float, "_slider.tickInterval")
    tickPosition = part(object, "_slider.tickPosition")
    spinBoxAlignment = stored(object, Qt.AlignVCenter)
    synchronizeSiblings = stored(int, 3)
    tracking = stored(bool, True)
    popupSlider = stored(bool, False)
    invertedAppearance = part(bool, "_slider.invertedAppearance")
    invertedControls = part(bool, "_slider.invertedControls")
