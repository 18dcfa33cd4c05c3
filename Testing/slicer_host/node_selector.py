"""Stand-in for Slicer's node selector.

Qt's own combo box decides what is current when a row comes or goes, as it does in Slicer: where the current node is removed, that is
the node after it, or the last one.
"""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from .ctk_choices import ctkComboBox
from .listed_nodes import ListsNodes
from .mrml_widgets import Follower
from .stand_in import part, row, stand_in, stored

Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property
_ID, _ACTION = QtCore.Qt.UserRole, QtCore.Qt.UserRole + 1  # of a node, of an item of the list that does something


@stand_in
class qMRMLNodeComboBox(ListsNodes, QtWidgets.QWidget):
    """A combo box of the nodes of some types, followed by what can be done with them."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    currentNodeRenamed = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._labels: dict[str, str] = {}
        self._own_actions: list = []
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
        self._combo_box.view().clicked.connect(self._on_action)
        self._combo_box.model().rowsRemoved.connect(self._leave_what_is_not_listed)
        self.setEnabled(False)
        self._name_actions()

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
        self._name_actions()
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

    # None, and what can be done --------------------------------------------------------------------------------------------

    def _name_actions(self, *unused) -> None:
        """What stands before and after the nodes."""
        box, model = self._combo_box, self._combo_box.model()
        has_none = box.count > 0 and box.itemData(0, _ID) == "" and box.itemData(0, _ACTION) is None
        if has_none and not self._first_row:
            box.removeItem(0)
        elif not has_none and self._first_row:
            box.insertItem(0, self.noneDisplay, "")
        elif has_none and box.itemText(0) != self.noneDisplay:
            box.setItemText(0, self.noneDisplay)
        current, start = box.currentIndex, self._first_row + len(self._listed)
        if box.count > start:
            model.removeRows(start, box.count - start)
        actions = self._actions() if self._get_scene() is not None else []
        if actions:
            box.insertSeparator(box.count)
        for text, action in actions:
            item = QtGui.QStandardItem(text)
            item.setFlags(QtCore.Qt.ItemIsEnabled)
            item.setData(action, _ACTION)
            model.appendRow(item)
        if box.currentIndex != current:
            box.setCurrentIndex(current)
        if isinstance(box, ctkComboBox):
            box.defaultText = f"Select a {self._label()}"

    def _actions(self) -> list[tuple[str, object]]:
        label = self._label(self.nodeTypes[0] if len(self.nodeTypes) == 1 else "")
        actions = [(f"Rename current {label}", self.renameCurrentNode)] * self.renameEnabled
        actions += [(f"Edit current {label}", self.editCurrentNode)] * self.editEnabled
        if self.addEnabled:
            for kind in self.nodeTypes:
                label_of_kind = self.nodeTypeLabel(kind)
                actions.append((f"Create new {label_of_kind}", lambda kind=kind: self._add_by_user(kind)))
                if self.renameEnabled:
                    actions.append(
                        (f"Create new {label_of_kind} as...", lambda kind=kind: self._add_by_user(kind, True))
                    )
        actions += [(f"Delete current {label}", self.removeCurrentNode)] * self.removeEnabled
        return actions + [(action.text, action.trigger) for action in self._own_actions]

    def _label(self, node_type: str | None = None) -> str:
        return self.nodeTypeLabel((*self.nodeTypes, "")[0] if node_type is None else node_type)

    def _on_action(self, index) -> None:
        action = index.data(_ACTION)
        if action is not None:
            self._combo_box.hidePopup()
            action()

    def _on_activated(self, number: int) -> None:
        if self.currentNode() is not None or (self.noneEnabled and number == 0):
            self.nodeActivated.emit(self.currentNode())

    def _add_by_user(self, node_type: str, ask: bool = False) -> None:
        name = (
            QtWidgets.QInputDialog.getText(self, f"Create new {self.nodeTypeLabel(node_type)}", "New name:")
            if ask
            else ""
        )
        if ask and not name:
            return
        node = self.addNode(node_type)
        node.SetName(name or node.GetName())
        self.setCurrentNode(node)
        self.nodeAddedByUserAction.emit(node)

    def addMenuAction(self, action) -> None:
        self._own_actions.append(action)
        self._name_actions()

    def addNode(self, node_type: str = ""):
        node_type = node_type or (*self.nodeTypes, "")[0]
        if node_type not in self.nodeTypes:
            return None
        node = self._get_scene().CreateNodeByClass(node_type)
        node.UnRegister(None)
        node.SetName(self._get_scene().GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for name, value in self._attributes.values():
            node.SetAttribute(name, value or "")
        node = self._get_scene().AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._get_scene().RemoveNode(self.currentNode())

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            name = QtWidgets.QInputDialog.getText(
                self, f"Rename {self._label(node.GetClassName())}", "New name:", None, node.GetName()
            )
            if name:
                node.SetName(name)
                self.currentNodeRenamed.emit(name)

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

    @Slot(int)
    def setCurrentNodeIndex(self, index: int) -> None:
        self._combo_box.setCurrentIndex(self._first_row + index if index < self.nodeCount() else self._first_row - 1)

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int):
        return self._node_at(self._first_row + index)

    # labels and properties -------------------------------------------------------------------------------------------------

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._name_actions()

    def nodeTypeLabel(self, node_type: str) -> str:
        scene = self._get_scene()
        return self._labels.get(node_type) or (scene and scene.GetTypeDisplayNameByClassName(node_type)) or "node"

    def _current_id(self) -> str:
        node = self.currentNode()
        return node.GetID() if node is not None else ""

    currentNodeID = currentNodeId = Property(str, _current_id, setCurrentNodeID)
    nodeTypes = stored("QStringList", (), lambda self, value: (self._follow_anew(), self._name_actions()))
    hideChildNodeTypes = stored("QStringList", (), ListsNodes._follow_anew)
    showChildNodeTypes = stored(bool, True, ListsNodes._follow_anew)
    showHidden = stored(bool, False, ListsNodes._follow_anew)
    noneEnabled = stored(bool, False, _name_actions)
    noneDisplay = stored(str, "None", _name_actions)
    addEnabled = stored(bool, True, _name_actions)
    removeEnabled = stored(bool, True, _name_actions)
    renameEnabled = stored(bool, False, _name_actions)
    editEnabled = stored(bool, False, _name_actions)
    selectNodeUponCreation = stored(bool, True)
    baseName = stored(str, "")
    interactionNodeSingletonTag = stored(str, "")
    sizeAdjustPolicy = part(object, "_combo_box.sizeAdjustPolicy")
