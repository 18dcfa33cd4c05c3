"""Stand-in for Slicer's node selector, with None as its first entry.

What is listed is what Slicer's qMRMLSceneModel and its filter see of a scene. A node is followed
from the moment it passes the filter, so one that is hidden from editors when it is added, and shown
later, is not seen. Of a node that is followed only a new name makes the filter look again; where
nodes need an attribute, any change does. Qt's own combo box decides what is current when a row
comes or goes, as it does in Slicer: where the current node is removed, that is the node after it,
or the last one.
"""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import Follower, SceneWidget
from .stand_in import stand_in, stored

Signal = QtCore.Signal
_ID = QtCore.Qt.UserRole  # of a node


@stand_in
class qMRMLNodeComboBox(SceneWidget, QtWidgets.QWidget):
    """A combo box of the nodes of some types.

    What Slicer's lists below the nodes to do with them is in `_menu`.
    """

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._attribute: tuple = None, None
        self._followed: dict[str, Follower] = {}
        self._names: dict[str, str] = {}
        self._listed: list[str] = []  # IDs of the nodes that have a row
        self._labels: dict[str, str] = {}
        self._actions: list[QtGui.QAction] = []
        self._scene_follower = Follower(self)
        self._combo_box = QtWidgets.QComboBox(self)
        self._combo_box.addItem("None", "")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo_box)
        policy = QtWidgets.QSizePolicy
        self._combo_box.setSizePolicy(policy.Expanding, policy.Expanding)
        self.setSizePolicy(policy(policy.Preferred, policy.Fixed, policy.ComboBox))
        self._combo_box.currentTextChanged.connect(self._on_current)
        self._combo_box.activated.connect(
            lambda number: self.nodeActivated.emit(self.currentNode())
        )
        self.setEnabled(False)

    def _on_scene(self) -> None:
        scene = self._get_scene()
        self._scene_follower.stop()
        self._fill()
        if scene is not None:
            follow = self._scene_follower.start
            follow(scene, scene.NodeAddedEvent, "_on_node_added", 10.0)
            follow(scene, scene.NodeAboutToBeRemovedEvent, "_on_node_about_to_be_removed", -10.0)
            for event in (scene.EndCloseEvent, scene.EndImportEvent):
                follow(scene, event, "_fill")
        self.setEnabled(scene is not None)

    # rows
    # ------------------------------------------------------------------------------------------------------------------

    def _fill(self, *unused) -> None:
        """List the scene from the beginning, which leaves no node current."""
        for node_id in list(self._followed):
            self._followed.pop(node_id).stop()
        count, self._listed = len(self._listed), []
        self._combo_box.model().removeRows(1, count)
        self._filter()

    def _filter(self) -> None:
        for node in self._all_nodes():
            self._judge(node)

    def _all_nodes(self) -> list:
        scene = self._get_scene()
        nodes = scene.GetNodes() if scene is not None else None
        return [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())] if nodes else []

    def _on_node_added(self, node) -> None:
        if not self._get_scene().IsImporting():
            self._judge(node)

    def _on_node_about_to_be_removed(self, node) -> None:
        if not self._get_scene().IsClosing() and node.GetID() in self._followed:
            self._followed.pop(node.GetID()).stop()
            self._unlist(node)

    def _on_modified(self, node) -> None:
        scene, known = self._get_scene(), self._names.get(node.GetID())
        busy = node.GetScene() is None or scene.IsClosing() or scene.IsImporting()
        if not busy and (self._attribute[0] or node.GetName() != known):
            self._judge(node)

    def _judge(self, node) -> None:
        """Give a node its row, or take it.

        a node that only lacks the attribute is followed as well.
        """
        if (node.GetHideFromEditors() and not self.showHidden) or not any(
            map(node.IsA, self.nodeTypes)
        ):
            self._unlist(node)
            return
        self._names[node.GetID()] = node.GetName()
        if node.GetID() not in self._followed:
            follower = self._followed[node.GetID()] = Follower(self)
            follower.start(node, "ModifiedEvent", "_on_modified", subject=node)
        name, value = self._attribute
        if name is not None and node.GetAttribute(name) != value:
            self._unlist(node)
        else:
            self._list(node)

    def _list(self, node) -> None:
        node_id, name, box = node.GetID(), node.GetName() or "", self._combo_box
        if node_id in self._listed:
            box.setItemText(1 + self._listed.index(node_id), name)
            return
        order = [other.GetID() for other in self._all_nodes()]
        before = set(order[: order.index(node_id)])
        number = sum(other in before for other in self._listed)
        self._listed.insert(number, node_id)
        item = QtGui.QStandardItem(name)
        item.setData(node_id, _ID)
        box.model().insertRow(1 + number, item)

    def _unlist(self, node) -> None:
        if node.GetID() in self._listed:
            number = self._listed.index(node.GetID())
            del self._listed[number]
            self._combo_box.removeItem(1 + number)

    def addAttribute(self, node_type: str, name: str, value=None) -> None:
        """The nodes need this value of an attribute from now on."""
        self._attribute = name, value
        self._filter()

    # what can be done with the nodes
    # ---------------------------------------------------------------------------------------

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label

    def nodeTypeLabel(self, node_type: str) -> str:
        scene = self._get_scene()
        return self._labels.get(node_type) or (
            scene.GetTypeDisplayNameByClassName(node_type) if scene else "node"
        )

    def addMenuAction(self, action) -> None:
        self._actions.append(action)

    def addNode(self):
        """A new node with the attribute that is needed, which becomes the current one."""
        scene, (name, value) = self._get_scene(), self._attribute
        node = scene.CreateNodeByClass(self.nodeTypes[0])
        node.UnRegister(None)
        node.SetName(
            scene.GenerateUniqueName(self.baseName or self.nodeTypeLabel(self.nodeTypes[0]))
        )
        if name is not None:
            node.SetAttribute(name, value)
        scene.AddNode(node)
        self.setCurrentNode(node)
        return node

    def removeCurrentNode(self) -> None:
        self._get_scene().RemoveNode(self.currentNode())

    def _menu(self) -> dict:
        """The texts that stand below the nodes, with what each does.

        a name is typed into a dialog, which is left out.
        """
        label, scene = self.nodeTypeLabel(self.nodeTypes[0]), self._get_scene()
        assert scene is not None
        found = {f"Rename current {label}": None} if self.renameEnabled else {}
        if self.addEnabled:
            found[f"Create new {label}"] = self.addNode
        if self.removeEnabled:
            found[f"Delete current {label}"] = self.removeCurrentNode
        return found | {action.text: action.trigger for action in self._actions}

    # the current node
    # ------------------------------------------------------------------------------------------------------

    def currentNode(self):
        node_id = self._combo_box.itemData(self._combo_box.currentIndex, _ID)
        return (
            self._get_scene().GetNodeByID(node_id)
            if node_id and self._get_scene() is not None
            else None
        )

    def _on_current(self, *unused) -> None:
        node = self.currentNode()
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def setCurrentNode(self, node) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        self._combo_box.setCurrentIndex(
            1 + self._listed.index(node_id) if node_id in self._listed else 0
        )

    nodeTypes = stored("QStringList", ())
    showHidden = stored(bool, False)
    noneEnabled = stored(bool, False)
    addEnabled = stored(bool, True)
    removeEnabled = stored(bool, True)
    renameEnabled = stored(bool, False)
    baseName = stored(str, "")
