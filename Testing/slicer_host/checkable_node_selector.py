"""Stand-in for Slicer's selector of any number of nodes."""

from __future__ import annotations

from PySide6 import QtCore

from .ctk_choices import ctkCheckableComboBox
from .node_selector import qMRMLNodeComboBox
from .stand_in import stand_in


@stand_in
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Any number of nodes can be chosen; the combo box names them."""

    checkedNodesChanged = QtCore.Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self.addEnabled = self.removeEnabled = self.editEnabled = self.renameEnabled = False
        self._combo_box.checkedIndexesChanged.connect(self.checkedNodesChanged)

    def _make_combo_box(self):
        return ctkCheckableComboBox(self)

    def checkedNodes(self) -> tuple:
        return tuple(node for node in self._nodes() if self.checkState(node) == QtCore.Qt.Checked)

    def uncheckedNodes(self) -> tuple:
        return tuple(node for node in self._nodes() if self.checkState(node) != QtCore.Qt.Checked)

    def _nodes(self) -> list:
        return [self.nodeFromIndex(number) for number in range(self.nodeCount())]

    def allChecked(self) -> bool:
        return self._combo_box.allChecked()

    def noneChecked(self) -> bool:
        return self._combo_box.noneChecked()

    def _index(self, node):
        return self._combo_box.model().index(self._first_row + self._listed.index(node.GetID()), 0)

    def checkState(self, node):
        return self._combo_box.checkState(self._index(node)) if node.GetID() in self._listed else QtCore.Qt.Unchecked

    def setCheckState(self, node, state) -> None:
        if node.GetID() in self._listed:
            self._combo_box.setCheckState(self._index(node), state)

    def check(self, node) -> None:
        self.setCheckState(node, QtCore.Qt.Checked)
