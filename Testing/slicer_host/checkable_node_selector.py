"""Stand-in for Slicer's selector of any number of nodes."""

from __future__ import annotations

from PySide6 import QtCore

from .node_selector import qMRMLNodeComboBox
from .stand_in import stand_in


@stand_in
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Any number of nodes can be chosen; the combo box names them."""

    checkedNodesChanged = QtCore.Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self.addEnabled = self.removeEnabled = self.editEnabled = self.renameEnabled = False

    def _checked(self) -> set[str]:
        return self.__dict__.setdefault("_checked_ids", set())

    def checkedNodes(self) -> tuple:
        return tuple(self._get_scene().GetNodeByID(i) for i, _ in self._listed if i in self._checked())

    def uncheckedNodes(self) -> tuple:
        return tuple(self._get_scene().GetNodeByID(i) for i, _ in self._listed if i not in self._checked())

    def allChecked(self) -> bool:
        return not self.uncheckedNodes()

    def noneChecked(self) -> bool:
        return not self.checkedNodes()

    def checkState(self, node):
        return QtCore.Qt.Checked if node.GetID() in self._checked() else QtCore.Qt.Unchecked

    def setCheckState(self, node, state) -> None:
        (self._checked().add if state == QtCore.Qt.Checked else self._checked().discard)(node.GetID())
        self._show()
        self.checkedNodesChanged.emit()

    def check(self, node) -> None:
        self.setCheckState(node, QtCore.Qt.Checked)

    def uncheck(self, node) -> None:
        self.setCheckState(node, QtCore.Qt.Unchecked)

    def _on_activated(self, number: int) -> None:
        node_id = self._combo_box.itemData(number)
        if node_id:
            self.setCheckState(self._get_scene().GetNodeByID(node_id),
                               QtCore.Qt.Unchecked if node_id in self._checked() else QtCore.Qt.Checked)
        else:
            super()._on_activated(number)

    def _set_current(self, node_id: str) -> None:
        pass

    def _show(self, *unused) -> None:
        super()._show()
        names = [name for node_id, name in self._listed if node_id in self._checked()]
        self._combo_box.setPlaceholderText(", ".join(names) or self.noneDisplay)
        self._combo_box.setCurrentIndex(-1)
