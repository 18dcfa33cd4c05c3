"""Stand-ins for Slicer's widgets that place and list control points."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import Follower, qSlicerWidget
from .node_selector import qMRMLNodeComboBox
from .stand_in import stand_in, stored

Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property


@stand_in
class qSlicerMarkupsPlaceWidget(qSlicerWidget):
    """Two buttons: place points with the mouse, delete the last one."""

    ShowPlaceMultipleMarkupsOption, HidePlaceMultipleMarkupsOption, ForcePlaceSingleMarkup, ForcePlaceMultipleMarkups = range(4)

    activeMarkupsPlaceModeChanged = Signal(bool)
    activeMarkupsFiducialPlaceModeChanged = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node = None
        self._place, self._delete = QtWidgets.QToolButton(self), QtWidgets.QToolButton(self)
        self._place.setText("+")
        self._place.setCheckable(True)
        self._place.setToolTip("Place a control point")
        self._delete.setIcon(self.style().standardIcon(QtWidgets.QStyle.SP_TrashIcon))
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._place)
        layout.addWidget(self._delete)
        self._place.toggled.connect(self._on_place)
        self._delete.clicked.connect(self.deleteLastPoint)
        self.setEnabled(False)

    def _on_place(self, on: bool) -> None:
        interaction, selection = self.interactionNode(), self.selectionNode()
        if interaction is not None and self._node is not None:
            if on:
                selection.SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
                selection.SetActivePlaceNodeID(self._node.GetID())
                interaction.SetPlaceModePersistence(int(self._persistent()))
            interaction.SetCurrentInteractionMode(interaction.Place if on else interaction.ViewTransform)
        self.activeMarkupsPlaceModeChanged.emit(on)
        self.activeMarkupsFiducialPlaceModeChanged.emit(on)

    def _persistent(self) -> bool:
        forced = {self.ForcePlaceSingleMarkup: False, self.ForcePlaceMultipleMarkups: True}
        return forced.get(self.placeMultipleMarkups, self.placeModePersistency)

    def interactionNode(self):
        return self.__dict__.get("_interaction") or self._first("vtkMRMLInteractionNode")

    def selectionNode(self):
        return self.__dict__.get("_selection") or self._first("vtkMRMLSelectionNode")

    def _first(self, kind: str):
        return self._get_scene().GetFirstNodeByClass(kind) if self._get_scene() is not None else None

    def setInteractionNode(self, node) -> None:
        self._interaction = node

    def setSelectionNode(self, node) -> None:
        self._selection = node

    def currentNode(self):
        return self._node

    currentMarkupsNode = currentNode

    def setCurrentNode(self, node) -> None:
        if node is not self._node:
            self.setPlaceModeEnabled(False)
        self._node = node
        self.setEnabled(node is not None)

    @Slot(bool)
    def setPlaceModeEnabled(self, on: bool) -> None:
        self._place.setChecked(on)

    @Slot()
    def deleteLastPoint(self) -> None:
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)

    @Slot()
    def deleteAllPoints(self) -> None:
        if self._node is not None:
            self._node.RemoveAllControlPoints()

    def placeButton(self):
        return self._place

    def deleteButton(self):
        return self._delete

    placeModeEnabled = Property(bool, lambda self: self._place.checked, setPlaceModeEnabled)
    placeModePersistency = stored(bool, False)
    placeMultipleMarkups = stored(int, 0)
    buttonsVisible = stored(bool, True, lambda self, value: [b.setVisible(value) for b in (self._place, self._delete)])
    deleteAllControlPointsOptionVisible = stored(bool, True)
    unsetLastControlPointOptionVisible = stored(bool, False)
    unsetAllControlPointsOptionVisible = stored(bool, False)
    nodeColor = stored(QtGui.QColor, QtGui.QColor())
    defaultNodeColor = stored(QtGui.QColor, QtGui.QColor())
    currentNodeActive = stored(bool, False)


@stand_in
class qSlicerSimpleMarkupsWidget(qSlicerWidget):
    """Chooses a list of control points, places them and shows them in a table."""

    markupsNodeChanged = Signal()
    markupsFiducialNodeChanged = Signal()
    currentMarkupsControlPointSelectionChanged = Signal(int)
    activeMarkupsPlaceModeChanged = Signal(bool)
    updateFinished = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self._selector = qMRMLNodeComboBox()
        self._selector.nodeTypes = ["vtkMRMLMarkupsFiducialNode"]
        self._selector.noneEnabled = self._selector.renameEnabled = True
        self._placing = qSlicerMarkupsPlaceWidget()
        self._table = QtWidgets.QTableWidget(0, 4)
        self._table.setHorizontalHeaderLabels(["Label", "R", "A", "S"])
        self._table.horizontalHeader().setSectionResizeMode(QtWidgets.QHeaderView.Stretch)
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self._table.setMinimumHeight(80)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        top = QtWidgets.QHBoxLayout()
        top.addWidget(self._selector, 1)
        top.addWidget(self._placing)
        layout.addLayout(top)
        layout.addWidget(self._table)
        self._follower = Follower(self)
        self._selector.currentNodeChanged.connect(self._on_node)
        self._placing.activeMarkupsPlaceModeChanged.connect(self.activeMarkupsPlaceModeChanged)
        self._table.cellChanged.connect(self._on_edited)
        self._table.itemSelectionChanged.connect(
            lambda: self.currentMarkupsControlPointSelectionChanged.emit(self._table.currentRow()))

    def _on_scene(self) -> None:
        self._selector.setMRMLScene(self._get_scene())
        self._placing.setMRMLScene(self._get_scene())

    def _on_node(self, node) -> None:
        self._follower.stop()
        if node is not None:
            for name in ("PointModifiedEvent", "PointAddedEvent", "PointRemovedEvent", "PointPositionDefinedEvent"):
                self._follower.start(node, getattr(slicer.vtkMRMLMarkupsNode, name), "_show")
        self._placing.setCurrentNode(node)
        if node is not None and self.enterPlaceModeOnNodeChange:
            self._placing.setPlaceModeEnabled(True)
        self._show()
        self.markupsNodeChanged.emit()
        self.markupsFiducialNodeChanged.emit()

    def _show(self, *unused) -> None:
        node = self._selector.currentNode()
        self._table.blockSignals(True)
        self._table.setRowCount(node.GetNumberOfControlPoints() if node is not None else 0)
        for number in range(self._table.rowCount):
            position = node.GetNthControlPointPositionWorld(number)
            for column, text in enumerate((node.GetNthControlPointLabel(number), *(f"{x:.3f}" for x in position))):
                self._table.setItem(number, column, QtWidgets.QTableWidgetItem(text))
        self._table.blockSignals(False)
        self.updateFinished.emit()

    def _on_edited(self, row: int, column: int) -> None:
        node, text = self._selector.currentNode(), self._table.item(row, column).text()
        if column == 0:
            node.SetNthControlPointLabel(row, text)
            return
        position = list(node.GetNthControlPointPositionWorld(row))
        position[column - 1] = float(text)
        node.SetNthControlPointPositionWorld(row, *position)

    def currentNode(self):
        return self._selector.currentNode()

    def setCurrentNode(self, node) -> None:
        self._selector.setCurrentNode(node)

    def setNodeBaseName(self, name: str) -> None:
        self._selector.baseName = name

    def tableWidget(self):
        return self._table

    def markupsPlaceWidget(self):
        return self._placing

    def markupsSelectorComboBox(self):
        return self._selector

    def interactionNode(self):
        return self._placing.interactionNode()

    def setInteractionNode(self, node) -> None:
        self._placing.setInteractionNode(node)

    def placeActive(self, on: bool) -> None:
        self._placing.setPlaceModeEnabled(on)

    enterPlaceModeOnNodeChange = stored(bool, True)
    jumpToSliceEnabled = stored(bool, False)
    nodeSelectorVisible = stored(bool, True, lambda self, value: self._selector.setVisible(value))
    optionsVisible = stored(bool, True, lambda self, value: self._placing.setVisible(value))
    nodeColor = stored(QtGui.QColor, QtGui.QColor())
    defaultNodeColor = stored(QtGui.QColor, QtGui.QColor())
    viewGroup = stored(int, -1)
    positionStatusColumnVisible = stored(bool, False)
