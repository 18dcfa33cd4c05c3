"""Stand-in for Slicer's selector of segments."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtWidgets

from .ctk_choices import ctkCheckableComboBox
from .mrml_widgets import Follower, qMRMLWidget
from .node_selector import qMRMLNodeComboBox
from .stand_in import part, stand_in

Qt, Signal, Property = QtCore.Qt, QtCore.Signal, QtCore.Property
_NONE = "None"
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
    """Chooses a segmentation and one of its segments, or several; where there are none, it says so in a line of its own."""

    currentNodeChanged = Signal((object,), (bool,))
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")
    nodeAboutToBeEdited = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node, self._segment_id, self._selected, self._multiple = None, "", [], False
        self._follower = Follower(self)
        self._arrange()
        self._node_box.currentNodeChanged.connect(self._on_node)
        self._node_box.nodeAboutToBeEdited.connect(self.nodeAboutToBeEdited)
        self._segment_box.currentIndexChanged.connect(self._on_segment)
        self._multi_box.checkedIndexesChanged.connect(self._on_segments)
        self._multi_box.hide()
        self._fill()

    def _arrange(self) -> None:
        """The widgets, layouts and size policies of Slicer's .ui file; a policy that it does not set may grow in height."""
        self._node_box = qMRMLNodeComboBox(self)
        self._node_box.nodeTypes, self._node_box.addEnabled, self._node_box.renameEnabled = (
            ["vtkMRMLSegmentationNode"],
            False,
            True,
        )
        self._frame, inner = QtWidgets.QFrame(self), QtWidgets.QFrame()
        self._label, self._message = QtWidgets.QLabel("Segment: ", inner), QtWidgets.QLabel(inner)
        self._multi_box, self._segment_box = ctkCheckableComboBox(inner), QtWidgets.QComboBox(inner)
        for widget, name in (
            (self._node_box, "MRMLNodeComboBox_Segmentation"),
            (self._label, "label_Segment"),
            (self._message, "label_Message"),
            (self._multi_box, "CheckableComboBox_Segment"),
            (self._segment_box, "comboBox_Segment"),
        ):
            widget.setObjectName(name)
        self._grid = QtWidgets.QGridLayout(self)
        row, grid = QtWidgets.QHBoxLayout(self._frame), QtWidgets.QGridLayout(inner)
        for layout, left in ((self._grid, 0), (row, 4), (grid, 0)):
            layout.setContentsMargins(left, 0, 0, 0)
        self._grid.setHorizontalSpacing(0)
        self._grid.setVerticalSpacing(2)
        grid.setSpacing(4)
        row.addWidget(inner)
        for column, widget in enumerate((self._label, self._multi_box, self._segment_box)):
            grid.addWidget(widget, 0, column)
        grid.addWidget(self._message, 1, 0, 1, 3)
        self._grid.addWidget(self._node_box, 0, 0)
        self._set_horizontal(False)

    def _set_horizontal(self, horizontal: bool) -> None:
        self._grid.removeWidget(self._frame)
        self._grid.addWidget(self._frame, *((0, 1) if horizontal else (1, 0)))
        self._label.setText("" if horizontal else "Segment: ")
        policy = QtWidgets.QSizePolicy
        vertical = policy.Preferred if horizontal else policy.Fixed
        self._node_box.setSizePolicy(policy.Preferred, vertical)
        for box in (self._segment_box, self._multi_box):
            box.setSizePolicy(policy.Expanding, vertical)

    def _on_scene(self) -> None:
        self._node_box.setMRMLScene(self._get_scene())

    def _on_node(self, node) -> None:
        if node is not self._node:
            self._node = node
            follow_segments(self._follower, node, "_fill")
            self._fill()
        self.currentNodeChanged.emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _say(self, text: str) -> None:
        self._message.setVisible(bool(text))
        self._message.setText(text)

    def _fill(self, *unused) -> None:
        for box in (self._segment_box, self._multi_box):
            box.blockSignals(True)
            box.clear()
        segments = segments_of(self._node)
        self._say("" if segments else "No segments in segmentation " if self._node else "No node is selected ")
        self._label.setVisible(bool(segments))
        self._segment_box.setVisible(bool(segments) and not self._multiple)
        self._multi_box.setVisible(bool(segments) and self._multiple)
        box = self._multi_box if self._multiple else self._segment_box
        if segments and not self._multiple and self.noneEnabled:
            box.addItem(_NONE, _NONE)
        for segment_id, name in segments:
            box.addItem(name, segment_id)
        known = self._segment_id in [segment_id for segment_id, _ in segments]
        stays = known or (self.noneEnabled and not self._segment_id)
        if segments and not self._multiple:
            box.setCurrentIndex(-1)
            if stays:
                self.setCurrentSegmentID(self._segment_id)
        for each in (self._segment_box, self._multi_box):
            each.blockSignals(False)
        if segments and self._multiple:
            self.setSelectedSegmentIDs(self._selected)
        elif segments and not stays:
            box.setCurrentIndex(int(self.noneEnabled))  # the first segment

    def _on_segment(self, number: int) -> None:
        self._say("")
        if self._node is not None:
            chosen = self._segment_box.itemData(number) or ""
            self._segment_id = "" if chosen == _NONE else chosen
            self.currentSegmentChanged.emit(self._segment_id)

    def _on_segments(self) -> None:
        self._say("")
        if self._node is not None:
            self._selected = [index.data(Qt.UserRole) for index in self._multi_box.checkedIndexes()]
            self.segmentSelectionChanged.emit(self._selected)

    def currentNode(self):
        return self._node_box.currentNode()

    def currentNodeID(self) -> str:
        return self._node_box.currentNodeID

    def setCurrentNode(self, node) -> None:
        self._node_box.setCurrentNode(node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self._node_box.setCurrentNodeID(node_id)

    def currentSegmentID(self) -> str:
        return "" if self._multiple else self._segment_id

    def setCurrentSegmentID(self, segment_id: str) -> None:
        """What is no segment's is left out of account."""
        number = 0 if not segment_id and self.noneEnabled else self._segment_box.findData(segment_id)
        if number != -1 and not self._multiple:
            self._segment_box.setCurrentIndex(number)

    def segmentIDs(self) -> tuple:
        """Only where several can be chosen."""
        return tuple(self._multi_box.itemData(number) for number in range(self._multi_box.count))

    def selectedSegmentIDs(self) -> tuple:
        return tuple(self._selected) if self._multiple else ()

    def setSelectedSegmentIDs(self, segment_ids) -> None:
        if not self._multiple or self._node is None:
            return
        chosen, before = [segment_id for segment_id in segment_ids if segment_id in self.segmentIDs()], self._selected
        self._selected = chosen
        self._multi_box.blockSignals(True)
        for number, segment_id in enumerate(self.segmentIDs()):
            self._multi_box.setCheckState(
                self._multi_box.model().index(number, 0), Qt.Checked if segment_id in chosen else Qt.Unchecked
            )
        self._multi_box.blockSignals(False)
        if chosen != before:
            self._on_segments()

    def _set_multiple(self, multiple: bool) -> None:
        self._multiple, self._segment_id, self._selected = multiple, "" if multiple else self._segment_id, []
        self._fill()

    def _set_none_enabled(self, enabled: bool) -> None:
        self._node_box.noneEnabled = enabled
        self._fill()

    noneEnabled = Property(bool, lambda self: self._node_box.noneEnabled, _set_none_enabled)
    editEnabled = part(bool, "_node_box.editEnabled")
    segmentationNodeSelectorVisible = part(bool, "_node_box.visible")
    multiSelection = Property(bool, lambda self: self._multiple, _set_multiple)
    horizontalLayout = Property(bool, lambda self: self._grid.rowCount() == 1, _set_horizontal)
    selectNodeUponCreation = part(bool, "_node_box.selectNodeUponCreation")
