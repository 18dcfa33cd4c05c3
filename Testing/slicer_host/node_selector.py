"""Stand-in for Slicer's node selector, with None as its first entry.

It lists the nodes that a module asks for whenever nodes come or go. Where the current node is
removed, the node after it becomes current, or the last one, as in Slicer.
"""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import Follower, SceneWidget
from .stand_in import stand_in, stored

Signal = QtCore.Signal


@stand_in
class ctkComboBox(QtWidgets.QComboBox):
    """What a node selector holds."""


@stand_in
class qMRMLNodeComboBox(SceneWidget, QtWidgets.QWidget):
    """A combo box of the nodes of some types, and below them of what can be done with them."""

    currentNodeIDChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._attribute: tuple = None, None
        self._listed: list[str] = [""]  # the IDs of the nodes in the rows
        self._labels: dict[str, str] = {}
        self._actions: list[QtGui.QAction] = []
        self._follower = Follower(self)
        self._box = ctkComboBox(self)
        self._box.addItem("None")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        policy = QtWidgets.QSizePolicy
        self._box.setSizePolicy(policy.Expanding, policy.Expanding)
        self.setSizePolicy(policy(policy.Preferred, policy.Fixed, policy.ComboBox))
        self._box.currentIndexChanged.connect(lambda row: self._tell())

    def _on_scene(self) -> None:
        scene = self._get_scene()
        self._follower.stop()
        if scene is not None:
            for event in (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndCloseEvent,
                scene.EndImportEvent,
            ):
                self._follower.start(scene, event, "_fill")
        self._fill()

    def _fill(self, *unused) -> None:
        scene = self._get_scene()
        if scene is not None and (scene.IsClosing() or scene.IsImporting()):
            return
        row, before = self._box.currentIndex, self._listed[self._box.currentIndex]
        nodes = [] if scene is None else self._nodes(scene)
        self._listed = ["", *(node.GetID() for node in nodes)]
        self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems(
            ["None", *(node.GetName() or "" for node in nodes), *self._actions_below()]
        )
        stays = before in self._listed
        row = self._listed.index(before) if stays else min(row, len(nodes))
        self._box.setCurrentIndex(row)
        self._box.blockSignals(False)
        if not stays:
            self._tell()

    def _nodes(self, scene) -> list:
        name, value = self._attribute
        nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
        return [
            node
            for node in nodes
            if any(map(node.IsA, self.nodeTypes))
            and (self.showHidden or not node.GetHideFromEditors())
            and (name is None or node.GetAttribute(name) == value)
        ]

    def addAttribute(self, node_type: str, name: str, value=None) -> None:
        """The nodes need this value of an attribute from now on."""
        self._attribute = name, value
        self._fill()

    # What can be done with the nodes

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._fill()

    def addMenuAction(self, action) -> None:
        self._actions.append(action)
        self._fill()

    def addNode(self):
        """A new node with the attribute that is needed, which becomes the current one."""
        scene, (name, value) = self._get_scene(), self._attribute
        node = scene.CreateNodeByClass(self.nodeTypes[0])
        node.UnRegister(None)
        node.SetName(scene.GenerateUniqueName(self.baseName))
        if name is not None:
            node.SetAttribute(name, value)
        scene.AddNode(node)
        self.setCurrentNode(node)
        return node

    def _actions_below(self) -> list[str]:
        """In Slicer's order; what is typed into a dialog is left out."""
        label = self._labels.get(next(iter(self.nodeTypes), ""), "node")
        offered = {
            f"Rename current {label}": self.renameEnabled,
            f"Create new {label}": self.addEnabled,
            f"Delete current {label}": self.removeEnabled,
        }
        own = [action.text for action in self._actions]
        return ["separator", *(text for text, on in offered.items() if on), *own]

    # The current node

    def currentNode(self):
        node_id, scene = self._listed[self._box.currentIndex], self._get_scene()
        return scene.GetNodeByID(node_id) if node_id and scene is not None else None

    def _tell(self) -> None:
        self.currentNodeIDChanged.emit(self._listed[self._box.currentIndex])

    def setCurrentNode(self, node) -> None:
        node_id = node.GetID() if node is not None else ""
        self._box.setCurrentIndex(self._listed.index(node_id) if node_id in self._listed else 0)

    nodeTypes = stored("QStringList", ())
    showHidden = stored(bool, False)
    noneEnabled = stored(bool, False)
    addEnabled = stored(bool, True)
    removeEnabled = stored(bool, True)
    renameEnabled = stored(bool, False)
    baseName = stored(str, "")
