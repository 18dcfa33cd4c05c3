"""Stand-ins for Slicer's sliders, and for its widgets that show and change a linear transform."""

from __future__ import annotations

import vtk
from PySide6 import QtCore, QtWidgets

from .ctk_numbers import ctkDoubleSpinBox, ctkSliderWidget
from .mrml_widgets import Follower, SceneWidget, qMRMLWidget
from .stand_in import stand_in, stored

Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property


@stand_in
class qMRMLSliderWidget(SceneWidget, ctkSliderWidget):
    mrmlScene = SceneWidget._get_scene
    quantity = stored(str, "")
    unitAwareProperties = stored(int, 0x3F)
    orientation = stored(object, QtCore.Qt.Horizontal)


@stand_in
class qMRMLSpinBox(SceneWidget, ctkDoubleSpinBox):
    mrmlScene = SceneWidget._get_scene
    quantity = stored(str, "")
    unitAwareProperties = stored(int, 0x3F)


@stand_in
class ctkMatrixWidget(QtWidgets.QWidget):
    """A table of numbers."""

    matrixChanged = Signal()
    decimalsChanged = Signal(int)

    def __init__(self, *arguments):
        sizes = [a for a in arguments if isinstance(a, int)] or [4, 4]
        super().__init__(next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None))
        self._table = QtWidgets.QTableWidget(*sizes, self)
        for header in (self._table.horizontalHeader(), self._table.verticalHeader()):
            header.hide()
            header.setSectionResizeMode(QtWidgets.QHeaderView.Stretch)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self.identity()
        self._table.cellChanged.connect(self._on_edited)

    def sizeHint(self):
        return QtCore.QSize(260, 26 * self._table.rowCount)

    minimumSizeHint = sizeHint

    def _on_edited(self, row: int, column: int) -> None:
        item = self._table.item(row, column)
        try:
            value = float(item.text())
        except ValueError:
            value = self._values[row][column]
        self._values[row][column] = value
        self._show()
        self._on_values()
        self.matrixChanged.emit()

    def _on_values(self) -> None:
        """The values were changed by the user or by code."""

    def _show(self, *unused) -> None:
        self._table.blockSignals(True)
        for row, line in enumerate(self._values):
            for column, value in enumerate(line):
                item = QtWidgets.QTableWidgetItem(f"{value:.{self.decimals}f}")
                if not self.editable:
                    item.setFlags(item.flags() & ~QtCore.Qt.ItemIsEditable)
                self._table.setItem(row, column, item)
        self._table.blockSignals(False)

    @Slot()
    def identity(self) -> None:
        self._set_values([float(i == j) for i in range(self._table.rowCount) for j in range(self._table.columnCount)])

    def value(self, i: int, j: int) -> float:
        return self._values[i][j]

    def setValue(self, i: int, j: int, value: float) -> None:
        values = list(self.values)
        values[i * self._table.columnCount + j] = value
        self._set_values(values)

    def _set_values(self, values) -> None:
        columns = self._table.columnCount
        before = self.__dict__.get("_values")
        self._values = [[float(v) for v in values[i * columns:(i + 1) * columns]] for i in range(self._table.rowCount)]
        self._show()
        if before is not None and before != self._values:
            self._on_values()
            self.matrixChanged.emit()

    @Slot(int)
    def setDecimals(self, decimals: int) -> None:
        self.decimals = decimals
        self.decimalsChanged.emit(decimals)

    rowCount = Property(int, lambda self: self._table.rowCount)
    columnCount = Property(int, lambda self: self._table.columnCount)
    values = Property(object, lambda self: tuple(v for line in self._values for v in line), _set_values)
    decimals = stored(int, 2, _show)
    decimalsOption = stored(int, 0)
    editable = stored(bool, True, _show)
    minimum = stored(float, -100.0)
    maximum = stored(float, 100.0)
    singleStep = stored(float, 1.0)


@stand_in
class ctkVTKAbstractMatrixWidget(ctkMatrixWidget):
    pass


class _ShowsTransform:
    """Follows a linear transform node."""

    def _set_node(self, node) -> None:
        if "_follower" not in self.__dict__:
            self._follower = Follower(self)
        self._follower.stop()
        self._node = node
        if node is not None:
            self._follower.start(node, node.TransformModifiedEvent, "_from_node")
        self.setEnabled(node is not None)
        self._from_node()

    def _matrix(self) -> vtk.vtkMatrix4x4:
        matrix = vtk.vtkMatrix4x4()
        node = self.__dict__.get("_node")
        if node is not None:
            node.GetMatrixTransformToParent(matrix)
        return matrix


@stand_in
class qMRMLMatrixWidget(_ShowsTransform, ctkVTKAbstractMatrixWidget):
    """The matrix of a transform node to its parent, which follows what is typed."""

    GLOBAL, LOCAL = range(2)
    coordinateReference = stored(int, 0)

    def setMRMLTransformNode(self, node) -> None:
        self._set_node(node)

    def _from_node(self, *unused) -> None:
        matrix = self._matrix()
        self._values = [[matrix.GetElement(i, j) for j in range(4)] for i in range(4)]
        self._show()

    def _on_values(self) -> None:
        node = self.__dict__.get("_node")
        if node is not None:
            matrix = vtk.vtkMatrix4x4()
            matrix.DeepCopy([v for line in self._values for v in line])
            node.SetMatrixTransformToParent(matrix)


@stand_in
class qMRMLTransformSliders(_ShowsTransform, qMRMLWidget):
    """Three sliders for the translation of a transform node in mm, or for turning it in degrees from where it was."""

    GLOBAL, LOCAL = range(2)
    ROTATION, TRANSLATION = range(2)

    valuesChanged = Signal()
    rangeChanged = Signal(float, float)
    decimalsChanged = Signal(int)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._group = QtWidgets.QGroupBox("Translation", self)
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._group)
        form = QtWidgets.QFormLayout(self._group)
        self._sliders, self._labels, self._before = [], [], [0.0, 0.0, 0.0]
        for axis, text in enumerate(("LR", "PA", "IS")):
            slider, label = qMRMLSliderWidget(), QtWidgets.QLabel(text)
            slider.decimals, slider.minimum, slider.maximum = 1, -200, 200
            slider.valueChanged.connect(lambda value, axis=axis: self._on_slider(axis, value))
            form.addRow(label, slider)
            self._sliders.append(slider)
            self._labels.append(label)
        self._showing = False
        self.setEnabled(False)

    def _on_slider(self, axis: int, value: float) -> None:
        difference, self._before[axis] = value - self._before[axis], value
        node = self.__dict__.get("_node")
        if self._showing or node is None:
            return
        transform = vtk.vtkTransform()
        if self.CoordinateReference == self.GLOBAL:
            transform.PostMultiply()
        transform.SetMatrix(self._matrix())
        if self.TypeOfTransform == self.TRANSLATION:
            transform.Translate(*[difference if i == axis else 0.0 for i in range(3)])
        else:
            transform.RotateWXYZ(difference, *[float(i == axis) for i in range(3)])
        self._showing = True
        node.SetMatrixTransformToParent(transform.GetMatrix())
        self._showing = False
        self.valuesChanged.emit()

    def _from_node(self, *unused) -> None:
        if self._showing or self.TypeOfTransform == self.ROTATION or self.CoordinateReference == self.LOCAL:
            return
        self._showing = True
        for axis, slider in enumerate(self._sliders):
            self._before[axis] = self._matrix().GetElement(axis, 3)
            slider.setValue(self._before[axis])
            self._before[axis] = slider.value
        self._showing = False

    def setMRMLTransformNode(self, node) -> None:
        self._set_node(node)

    def mrmlTransformNode(self):
        return self.__dict__.get("_node")

    def setRange(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum
        self.rangeChanged.emit(minimum, maximum)

    @Slot()
    def resetUnactiveSliders(self) -> None:
        self._showing = True
        for axis, slider in enumerate(self._sliders):
            slider.setValue(0.0)
            self._before[axis] = 0.0
        self._showing = False

    reset = resetUnactiveSliders

    @Slot(int)
    def setDecimals(self, decimals: int) -> None:
        self.decimals = decimals

    def _each(name):
        return lambda self, value: [setattr(slider, name, value) for slider in self._sliders]

    Title = stored(str, "", lambda self, text: self._group.setTitle(text))
    CoordinateReference = stored(int, GLOBAL)
    TypeOfTransform = stored(int, TRANSLATION)
    LRLabel = stored(str, "LR", lambda self, text: self._labels[0].setText(text))
    PALabel = stored(str, "PA", lambda self, text: self._labels[1].setText(text))
    ISLabel = stored(str, "IS", lambda self, text: self._labels[2].setText(text))
    SingleStep = stored(float, 1.0, _each("singleStep"))
    decimals = stored(int, 1, _each("decimals"))
    minimum = stored(float, -200.0, _each("minimum"))
    maximum = stored(float, 200.0, _each("maximum"))
    minMaxVisible = stored(bool, True)
    del _each
