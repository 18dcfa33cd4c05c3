"""Stand-in for Slicer's selector of segments."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtWidgets

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
    """Chooses a segmentation and one of its segments; where there are none, it says so in a line of its own."""

    currentNodeChanged = Signal((object,), (bool,))
    currentSegmentChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node, self._segment_id = None, ""
        self._follower = Follower(self)
        self._arrange()
        self._node_box.currentNodeChanged.connect(self._on_node)
        self._segment_box.currentIndexChanged.connect(self._on_segment)
        self._fill()

    def _arrange(self) -> None:
        """The widgets, layouts and size policies of Slicer's .ui file; a policy that it does not set may grow in height."""
        self._node_box = qMRMLNodeComboBox(self)
        self._node_box.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._frame, inner = QtWidgets.QFrame(self), QtWidgets.QFrame()
        self._label, self._message = QtWidgets.QLabel("Segment: ", inner), QtWidgets.QLabel(inner)
        self._segment_box = QtWidgets.QComboBox(inner)
        self._message.setObjectName("label_Message")
        self._grid = QtWidgets.QGridLayout(self)
        row, grid = QtWidgets.QHBoxLayout(self._frame), QtWidgets.QGridLayout(inner)
        for layout, left in ((self._grid, 0), (row, 4), (grid, 0)):
            layout.setContentsMargins(left, 0, 0, 0)
        self._grid.setHorizontalSpacing(0)
        self._grid.setVerticalSpacing(2)
        grid.setSpacing(4)
        row.addWidget(inner)
        grid.addWidget(self._label, 0, 0)
        grid.addWidget(self._segment_box, 0, 1)
        grid.addWidget(self._message, 1, 0, 1, 2)
        self._grid.addWidget(self._node_box, 0, 0)
        self._set_horizontal(False)

    def _set_horizontal(self, horizontal: bool) -> None:
        self._grid.removeWidget(self._frame)
        self._grid.addWidget(self._frame, *((0, 1) if horizontal else (1, 0)))
        self._label.setText("" if horizontal else "Segment: ")
        policy = QtWidgets.QSizePolicy
        vertical = policy.Preferred if horizontal else policy.Fixed
        self._node_box.setSizePolicy(policy.Preferred, vertical)
        self._segment_box.setSizePolicy(policy.Expanding, vertical)

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
        box, segments = self._segment_box, segments_of(self._node)
        box.blockSignals(True)
        box.clear()
        self._say("" if segments else "No segments in segmentation " if self._node else "No node is selected ")
        self._label.setVisible(bool(segments))
        box.setVisible(bool(segments))
        if segments and self.noneEnabled:
            box.addItem(_NONE, _NONE)
        for segment_id, name in segments:
            box.addItem(name, segment_id)
        stays = self._segment_id in dict(segments) or (self.noneEnabled and not self._segment_id)
        box.setCurrentIndex(-1)
        if segments and stays:
            self.setCurrentSegmentID(self._segment_id)
        box.blockSignals(False)
        if segments and not stays:
            box.setCurrentIndex(int(self.noneEnabled))  # the first segment

    def _on_segment(self, number: int) -> None:
        self._say("")
        if self._node is not None:
            chosen = self._segment_box.itemData(number) or ""
            self._segment_id = "" if chosen == _NONE else chosen
            self.currentSegmentChanged.emit(self._segment_id)

    def currentNode(self):
        return self._node_box.currentNode()

    def currentNodeID(self) -> str:
        return self._node_box.currentNodeID

    def setCurrentNode(self, node) -> None:
        self._node_box.setCurrentNode(node)

    def setCurrentSegmentID(self, segment_id: str) -> None:
        """What is no segment's is left out of account."""
        number = 0 if not segment_id and self.noneEnabled else self._segment_box.findData(segment_id)
        if number != -1:
            self._segment_box.setCurrentIndex(number)

    def _set_none_enabled(self, enabled: bool) -> None:
        self._node_box.noneEnabled = enabled
        self._fill()

    noneEnabled = Property(bool, lambda self: self._node_box.noneEnabled, _set_none_enabled)
    editEnabled = part(bool, "_node_box.editEnabled")
    horizontalLayout = Property(bool, lambda self: self._grid.rowCount() == 1, _set_horizontal)
