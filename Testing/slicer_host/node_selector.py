"""Stand-in for Slicer's node selector.

Qt's own combo box decides what is current when a row comes or goes, as it does in Slicer: where the current node is removed, that is
the node after it, or the last one.
"""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from .ctk_choices import ctkComboBox
from .listed_nodes import ListsNodes
from .mrml_widgets import Follower
from .stand_in import row, stand_in, stored

Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property
_ID = QtCore.Qt.UserRole  # of a node


@stand_in
class qMRMLNodeComboBox(ListsNodes, QtWidgets.QWidget):
    """A combo box of the nodes of some types; what Slicer's offers to do with them is left out."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAboutToBeRemoved = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._listed: list[str] = []  # IDs of the nodes that have a row
        self._requested, self._switching = "", False
        self._scene_follower = Follower(self)
        self._combo_box = self._make_combo_box()
        row(self, self._combo_box)
        policy = QtWidgets.QSizePolicy
        self._combo_box.setSizePolicy(policy.Expanding, policy.Expanding)
        self.setSizePolicy(policy(policy.Preferred, policy.Fixed, policy.ComboBox))
        self.setFocusProxy(self._combo_box)
        self._combo_box.currentTextChanged.connect(self._on_current)
        self._combo_box.activated.connect(self._on_activated)
        self._combo_box.model().rowsRemoved.connect(self._leave_what_is_not_listed)
        self.setEnabled(False)
        self._name_none()

    def _make_combo_box(self) -> QtWidgets.QComboBox:
        return ctkComboBox(self)

    mrmlScene = ListsNodes._get_scene

    # rows ------------------------------------------------------------------------------------------------------------------

    def _on_scene(self) -> None:
        was_empty, before = not self._listed, self.currentNodeID
        self._scene_follower.stop()
        scene = self._get_scene()
        self._switching, self._listed = True, []
        self._combo_box.clear()
        self._name_none()
        self._fill()
        self._combo_box.setCurrentIndex(-1)
        self._switching = False
        if scene is not None:
            follow = self._scene_follower.start
            follow(scene, scene.NodeAddedEvent, "_on_node_added", 10.0)
            follow(scene, scene.NodeAboutToBeRemovedEvent, "_on_node_about_to_be_removed", -10.0)
            for event in (scene.EndCloseEvent, scene.EndImportEvent):
                follow(scene, event, "_fill")
        first = self._listed[0] if self._listed and not self.noneEnabled else ""
        self.setCurrentNodeID(self._requested or first if was_empty else before)
        self._requested = ""
        self.setEnabled(scene is not None)

    @property
    def _first_row(self) -> int:
        return int(self.noneEnabled and self._get_scene() is not None)

    def _clear_rows(self) -> None:
        if self._listed:
            count, self._listed = len(self._listed), []
            self._combo_box.model().removeRows(self._first_row, count)

    def _list(self, node) -> None:
        node_id, name, box = node.GetID(), node.GetName() or "", self._combo_box
        if node_id in self._listed:
            number = self._first_row + self._listed.index(node_id)
            if box.itemText(number) != name:
                box.setItemText(number, name)
            return
        order = [other.GetID() for other in self._all_nodes()]
        before = set(order[: order.index(node_id)])
        number = sum(other in before for other in self._listed)
        self._listed.insert(number, node_id)
        item = QtGui.QStandardItem(name)
        item.setData(node_id, _ID)
        box.model().insertRow(self._first_row + number, item)

    def _unlist(self, node) -> None:
        if node.GetID() in self._listed:
            self.nodeAboutToBeRemoved.emit(node)
            number = self._listed.index(node.GetID())
            del self._listed[number]
            self._combo_box.removeItem(self._first_row + number)

    def _name_none(self, *unused) -> None:
        """What stands before the nodes."""
        box = self._combo_box
        has_none = box.count > 0 and box.itemData(0, _ID) == ""
        if has_none and not self._first_row:
            box.removeItem(0)
        elif not has_none and self._first_row:
            box.insertItem(0, self.noneDisplay, "")
        elif has_none and box.itemText(0) != self.noneDisplay:
            box.setItemText(0, self.noneDisplay)

    def _on_activated(self, number: int) -> None:
        if self.currentNode() is not None or (self.noneEnabled and number == 0):
            self.nodeActivated.emit(self.currentNode())

    # the current node ------------------------------------------------------------------------------------------------------

    def currentNode(self):
        return self._node_at(self._combo_box.currentIndex)

    def _node_at(self, number: int):
        node_id = self._combo_box.itemData(number, _ID) if number >= 0 else None
        return self._get_scene().GetNodeByID(node_id) if node_id and self._get_scene() is not None else None

    def _on_current(self, *unused) -> None:
        if self._switching:
            return
        node, number = self.currentNode(), self._combo_box.currentIndex
        if node is None and number != (0 if self.noneEnabled else -1):
            last = self.nodeFromIndex(self.nodeCount() - 1)
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged.emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _leave_what_is_not_listed(self, *unused) -> None:
        if self.currentNode() is None:
            self.setCurrentNode(None)

    def setCurrentNode(self, node) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    @Slot(str)
    def setCurrentNodeID(self, node_id: str) -> None:
        if self._get_scene() is None:
            self._requested = node_id
        elif node_id in self._listed:
            self._combo_box.setCurrentIndex(self._first_row + self._listed.index(node_id))
        else:
            self._combo_box.setCurrentIndex(0 if self.noneEnabled else -1)

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int):
        return self._node_at(self._first_row + index)

    def _current_id(self) -> str:
        node = self.currentNode()
        return node.GetID() if node is not None else ""

    currentNodeID = Property(str, _current_id, setCurrentNodeID)
    nodeTypes = stored("QStringList", (), ListsNodes._follow_anew)
    hideChildNodeTypes = stored("QStringList", (), ListsNodes._follow_anew)
    showChildNodeTypes = stored(bool, True, ListsNodes._follow_anew)
    showHidden = stored(bool, False, ListsNodes._follow_anew)
    noneEnabled = stored(bool, False, _name_none)
    noneDisplay = stored(str, "None", _name_none)
    addEnabled = stored(bool, True)
    removeEnabled = stored(bool, True)
    renameEnabled = stored(bool, False)
    editEnabled = stored(bool, False)
    baseName = stored(str, "")
