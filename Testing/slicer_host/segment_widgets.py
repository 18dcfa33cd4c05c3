"""Stand-ins for Slicer's widgets for segments."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .ctk_choices import ctkCheckableComboBox
from .mrml_widgets import Follower, qMRMLWidget
from .node_selector import qMRMLNodeComboBox
from .stand_in import stand_in, stored

Qt, Signal, Slot = QtCore.Qt, QtCore.Signal, QtCore.Slot
_CHANGES = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


def segments_of(node) -> list[tuple[str, str]]:
    """(ID, name) of each segment of a segmentation node, or of none."""
    if node is None:
        return []
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
    return [(segment_id, segmentation.GetSegment(segment_id).GetName()) for segment_id in ids]


def follow_segments(follower: Follower, node, method: str) -> None:
    follower.stop()
    if node is not None:
        for name in _CHANGES:
            follower.start(node.GetSegmentation(), getattr(slicer.vtkSegmentation, name), method)


@stand_in
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Chooses a segmentation and one of its segments, or several."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")
    nodeAboutToBeEdited = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node_box = qMRMLNodeComboBox(self)
        self._node_box.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._node_box.addEnabled = self._node_box.removeEnabled = False
        self._segment_box = QtWidgets.QComboBox(self)
        self._multi_box = ctkCheckableComboBox(self)
        self._multi_box.hide()
        self._segments: list[tuple[str, str]] = []
        self._segment_id = ""
        self._follower = Follower(self)
        self._arrange()
        self._node_box.currentNodeChanged.connect(self._on_node)
        self._node_box.nodeAboutToBeEdited.connect(self.nodeAboutToBeEdited)
        self._segment_box.activated.connect(lambda number: self.setCurrentSegmentID(self._segment_box.itemData(number) or ""))
        self._multi_box.checkedIndexesChanged.connect(lambda: self.segmentSelectionChanged.emit(list(self.selectedSegmentIDs())))

    def _arrange(self, *unused) -> None:
        layout = self.layout()
        if layout is None:
            layout = QtWidgets.QBoxLayout(QtWidgets.QBoxLayout.TopToBottom, self)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(4)
            for widget in (self._node_box, self._segment_box, self._multi_box):
                layout.addWidget(widget)
        layout.setDirection(QtWidgets.QBoxLayout.LeftToRight if self.horizontalLayout else QtWidgets.QBoxLayout.TopToBottom)

    def _on_scene(self) -> None:
        self._node_box.setMRMLScene(self._get_scene())

    def _on_node(self, node) -> None:
        follow_segments(self._follower, node, "_refresh")
        self._refresh()
        self.currentNodeChanged.emit(node)

    def _refresh(self, *unused) -> None:
        segments = segments_of(self.currentNode())
        if segments != self._segments:
            self._segments = segments
            self._show()
        ids = [segment_id for segment_id, _ in segments]
        if ids and self._segment_id not in ids and (self._segment_id or not self.noneEnabled):
            self._set_segment(ids[0])

    def _show(self, *unused) -> None:
        chosen = set(self.selectedSegmentIDs())
        for box in (self._segment_box, self._multi_box):
            box.blockSignals(True)
            box.clear()
            if box is self._segment_box and self.noneEnabled:
                box.addItem("None", "")
            for segment_id, name in self._segments:
                box.addItem(name, segment_id)
            box.blockSignals(False)
        self._segment_box.setCurrentIndex(self._segment_box.findData(self._segment_id))
        self._check(chosen)
        self._segment_box.setVisible(not self.multiSelection)
        self._multi_box.setVisible(self.multiSelection)

    def _check(self, segment_ids) -> None:
        for number in range(self._multi_box.count):
            state = Qt.Checked if self._multi_box.itemData(number) in segment_ids else Qt.Unchecked
            self._multi_box.setCheckState(self._multi_box.model().index(number, 0), state)

    def _set_segment(self, segment_id: str) -> None:
        if segment_id != self._segment_id:
            self._segment_id = segment_id
            self._segment_box.setCurrentIndex(self._segment_box.findData(segment_id))
            self.currentSegmentChanged.emit(segment_id)

    def currentNode(self):
        return self._node_box.currentNode()

    def currentNodeID(self) -> str:
        return self._node_box.currentNodeID

    def setCurrentNode(self, node) -> None:
        self._node_box.setCurrentNode(node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self._node_box.setCurrentNodeID(node_id)

    def currentSegmentID(self) -> str:
        return self._segment_id

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._set_segment(segment_id if segment_id in self.segmentIDs() else "")

    def segmentIDs(self) -> tuple:
        return tuple(segment_id for segment_id, _ in self._segments)

    def selectedSegmentIDs(self) -> tuple:
        return tuple(index.data(Qt.UserRole) for index in self._multi_box.checkedIndexes())

    def setSelectedSegmentIDs(self, segment_ids) -> None:
        self._check(set(segment_ids))

    noneEnabled = stored(bool, False, lambda self, value: (
        setattr(self._node_box, "noneEnabled", value), self._show(), self._refresh()))
    editEnabled = stored(bool, False, lambda self, value: setattr(self._node_box, "editEnabled", value))
    segmentationNodeSelectorVisible = stored(bool, True, lambda self, value: self._node_box.setVisible(value))
    multiSelection = stored(bool, False, _show)
    horizontalLayout = stored(bool, False, _arrange)
    selectNodeUponCreation = stored(bool, True)


@stand_in
class qMRMLSegmentsTableView(qMRMLWidget):
    """A table of the segments of a segmentation: visible or not, colour, name."""

    selectionChanged = Signal(QtCore.QItemSelection, QtCore.QItemSelection)
    segmentAboutToBeModified = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._table = QtWidgets.QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(["", "", "Name"])
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self._table.setColumnWidth(0, 24)
        self._table.setColumnWidth(1, 24)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.selectionModel().selectionChanged.connect(self.selectionChanged)
        self._node = None
        self._follower = Follower(self)

    def setSegmentationNode(self, node) -> None:
        self._node = node
        follow_segments(self._follower, node, "_show")
        self._show()

    def segmentationNode(self):
        return self._node

    def _show(self, *unused) -> None:
        segments = segments_of(self._node)
        self._table.setRowCount(len(segments))
        for number, (segment_id, name) in enumerate(segments):
            color = QtWidgets.QTableWidgetItem()
            color.setBackground(QtGui.QColor.fromRgbF(*self._node.GetSegmentation().GetSegment(segment_id).GetColor()))
            item = QtWidgets.QTableWidgetItem(name)
            item.setData(Qt.UserRole, segment_id)
            for column, cell in enumerate((QtWidgets.QTableWidgetItem(), color, item)):
                self._table.setItem(number, column, cell)

    def tableWidget(self):
        return self._table

    def displayedSegmentIDs(self) -> tuple:
        return tuple(self._table.item(number, 2).data(Qt.UserRole) for number in range(self._table.rowCount))

    def selectedSegmentIDs(self) -> tuple:
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return tuple(self.displayedSegmentIDs()[number] for number in rows)

    def setSelectedSegmentIDs(self, segment_ids) -> None:
        self._table.clearSelection()
        mode = self._table.selectionMode
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.MultiSelection)
        for number, segment_id in enumerate(self.displayedSegmentIDs()):
            if segment_id in segment_ids:
                self._table.selectRow(number)
        self._table.setSelectionMode(mode)

    def clearSelection(self) -> None:
        self._table.clearSelection()

    segmentCount = QtCore.Property(int, lambda self: self._table.rowCount)
    selectionMode = stored(int, 3, lambda self, mode: self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(mode)))
    headerVisible = stored(bool, True, lambda self, value: self._table.horizontalHeader().setVisible(value))
    visibilityColumnVisible = stored(bool, True, lambda self, value: self._table.setColumnHidden(0, not value))
    colorColumnVisible = stored(bool, True, lambda self, value: self._table.setColumnHidden(1, not value))
    opacityColumnVisible = stored(bool, False)
    statusColumnVisible = stored(bool, False)
    filterBarVisible = stored(bool, False)
    readOnly = stored(bool, False)
