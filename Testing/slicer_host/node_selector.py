"""Stand-in for Slicer's node selector: it lists the real scene's nodes and follows it."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from PySide6 import QtCore, QtWidgets

from .mrml_widgets import Follower, SceneWidget
from .stand_in import row, stand_in, stored

Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property
_ACTION = QtCore.Qt.UserRole + 1  # an item of the list that does something


@stand_in
class qMRMLNodeComboBox(SceneWidget, QtWidgets.QWidget):
    """A combo box of the nodes of some types, followed by what can be done with them."""

    currentNodeChanged = Signal(object)
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
        self._combo_box = QtWidgets.QComboBox(self)
        self._combo_box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._combo_box.setMinimumContentsLength(12)
        row(self, self._combo_box)
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self.setFocusProxy(self._combo_box)
        self._combo_box.activated.connect(self._on_activated)
        self._scene_follower, self._node_follower = Follower(self), Follower(self)
        self._attributes: list[tuple] = []
        self._labels: dict[str, str] = {}
        self._listed: list[tuple[str, str]] = []
        self._current = ""
        self._show()

    mrmlScene = SceneWidget._get_scene

    # what is listed ----------------------------------------------------------------------------------------------------

    def _on_scene(self) -> None:
        self._scene_follower.stop()
        scene = self._get_scene()
        if scene is not None:
            self._scene_follower.start(scene, scene.NodeAddedEvent, "_on_node_added")
            self._scene_follower.start(scene, scene.NodeAboutToBeRemovedEvent, "_on_node_about_to_be_removed")
            for event in (scene.NodeRemovedEvent, scene.EndBatchProcessEvent, scene.EndCloseEvent, scene.EndImportEvent):
                self._scene_follower.start(scene, event, "_refresh")
        self._refresh()

    def _on_node_added(self, node) -> None:
        self._refresh()
        if self._is_listed(node):
            self.nodeAdded.emit(node)

    def _on_node_about_to_be_removed(self, node) -> None:
        if self._is_listed(node):
            self.nodeAboutToBeRemoved.emit(node)

    def _candidates(self) -> list:
        """Nodes of the types, hidden ones too."""
        scene = self._get_scene()
        if scene is None:
            return []
        types = self.nodeTypes
        found = scene.GetNodesByClass(types[0] if len(types) == 1 else "vtkMRMLNode")
        found.UnRegister(scene)  # which has made it for us
        return list(filter(self._type_test(), map(found.GetItemAsObject, range(found.GetNumberOfItems()))))

    def _type_test(self) -> Callable:
        """A function that tells whether a node is of the types; it reads the properties once, for all nodes of a scene."""
        types, hidden, children = self.nodeTypes, self.hideChildNodeTypes, self.showChildNodeTypes

        def has_type(node) -> bool:
            if not any(node.IsA(name) if children else node.GetClassName() == name for name in types):
                return False
            return not any(node.IsA(name) for name in hidden)

        return has_type

    def _is_listed(self, node) -> bool:
        return node is not None and self._type_test()(node) and self._is_shown(node)

    def _is_shown(self, node) -> bool:
        """Of the nodes of the types: neither hidden nor without an attribute that is asked for."""
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        return all(
            not node.IsA(kind) or (node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name)))
            for kind, name, value in self._attributes)

    def _refresh(self, *unused) -> None:
        scene = self._get_scene()
        if scene is not None and scene.IsBatchProcessing():
            return
        candidates = self._candidates()
        self._node_follower.stop()
        for node in candidates:
            self._node_follower.start(node, "ModifiedEvent", "_on_node_modified")
        listed = [(node.GetID(), node.GetName() or "") for node in candidates if self._is_shown(node)]
        ids, was_empty = [node_id for node_id, _ in listed], not self._listed
        if listed != self._listed:
            renamed = dict(self._listed).get(self._current), dict(listed).get(self._current)
            self._listed = listed
            self._show()
            if all(renamed) and renamed[0] != renamed[1]:
                self.currentNodeRenamed.emit(renamed[1])
        if self._current not in ids and (self._current or was_empty):
            self._set_current("" if self.noneEnabled or not ids else ids[0])

    def _on_node_modified(self, *unused) -> None:
        listed = [(node.GetID(), node.GetName() or "") for node in self._candidates() if self._is_shown(node)]
        if listed != self._listed:
            self._refresh()

    def _show(self, *unused) -> None:
        """Fill the combo box."""
        box = self._combo_box
        box.blockSignals(True)
        box.clear()
        if self.noneEnabled:
            box.addItem(self.noneDisplay, "")
        for node_id, name in self._listed:
            box.addItem(name, node_id)
        actions = self._actions()
        if actions and box.count:
            box.insertSeparator(box.count)
        for text, action in actions:
            box.addItem(text)
            box.setItemData(box.count - 1, action, _ACTION)
        number = box.findData(self._current)
        box.setCurrentIndex(number)
        if number < 0:
            box.setPlaceholderText(self.noneDisplay if self._listed or self.noneEnabled else f"Select a {self._label()}")
        box.blockSignals(False)

    def _label(self, node_type: str = "") -> str:
        node_type = node_type or (self.nodeTypes[0] if self.nodeTypes else "node")
        if node_type in self._labels:
            return self._labels[node_type]
        cls = getattr(slicer, node_type, None)
        return cls().GetNodeTagName() if cls and node_type != "vtkMRMLNode" else "node"

    # what can be done --------------------------------------------------------------------------------------------------

    def _actions(self) -> list[tuple[str, object]]:
        actions = []
        if self.addEnabled:
            actions += [(f"Create new {self._label(kind)}", lambda kind=kind: self._add_by_user(kind)) for kind in self.nodeTypes]
        if self._current:
            if self.editEnabled:
                actions.append((f"Edit current {self._label()}", self.editCurrentNode))
            if self.renameEnabled:
                actions.append((f"Rename current {self._label()}", self.renameCurrentNode))
            if self.removeEnabled:
                actions.append((f"Delete current {self._label()}", self.removeCurrentNode))
        actions += [(action.text, action.trigger) for action in self.__dict__.get("_own_actions", [])]
        return actions

    def _on_activated(self, number: int) -> None:
        action = self._combo_box.itemData(number, _ACTION)
        if action is not None:
            self._combo_box.setCurrentIndex(self._combo_box.findData(self._current))
            action()
            return
        self._set_current(self._combo_box.itemData(number) or "")
        self.nodeActivated.emit(self.currentNode())

    def _add_by_user(self, node_type: str) -> None:
        node = self.addNode(node_type)
        self.nodeAddedByUser.emit(node)
        self.nodeAddedByUserAction.emit(node)

    def addMenuAction(self, action) -> None:
        self.__dict__.setdefault("_own_actions", []).append(action)
        self._show()

    def addNode(self, node_type: str = ""):
        node = self._get_scene().CreateNodeByClass(node_type or self.nodeTypes[0])
        node.UnRegister(None)
        node.SetName(self._get_scene().GenerateUniqueName(self.baseName or self._label(node_type)))
        for kind, name, value in self._attributes:
            if node.IsA(kind):
                node.SetAttribute(name, value or "")
        node = self._get_scene().AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._get_scene().RemoveNode(self.currentNode())

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            node.SetName(QtWidgets.QInputDialog.getText(self, f"Rename {self._label()}", "New name:", None, node.GetName()))

    # the current node --------------------------------------------------------------------------------------------------

    def currentNode(self):
        return self._get_scene().GetNodeByID(self._current) if self._current and self._get_scene() is not None else None

    def _set_current(self, node_id: str) -> None:
        if node_id == self._current:
            return
        self._current = node_id
        self._show()
        self.currentNodeChanged.emit(self.currentNode())
        self.currentNodeIDChanged.emit(node_id)

    def setCurrentNode(self, node) -> None:
        node_id = node if isinstance(node, str) else node.GetID() if node is not None else ""
        self.setCurrentNodeID(node_id)

    @Slot(str)
    def setCurrentNodeID(self, node_id: str) -> None:
        ids = [listed_id for listed_id, _ in self._listed]
        self._set_current(node_id if node_id in ids else "")

    @Slot(int)
    def setCurrentNodeIndex(self, index: int) -> None:
        self._set_current(self._listed[index][0] if 0 <= index < len(self._listed) else "")

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int):
        return self._get_scene().GetNodeByID(self._listed[index][0]) if 0 <= index < len(self._listed) else None

    # filters -----------------------------------------------------------------------------------------------------------

    def addAttribute(self, node_type: str, name: str, value=None) -> None:
        self._attributes.append((node_type, name, None if value is None else str(value)))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [entry for entry in self._attributes if entry[:2] != (node_type, name)]
        self._refresh()

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._show()

    def nodeTypeLabel(self, node_type: str) -> str:
        return self._labels.get(node_type, "")

    currentNodeID = currentNodeId = Property(str, lambda self: self._current, setCurrentNodeID)
    nodeTypes = stored("QStringList", (), _refresh)
    hideChildNodeTypes = stored("QStringList", (), _refresh)
    showChildNodeTypes = stored(bool, True, _refresh)
    showHidden = stored(bool, False, _refresh)
    noneEnabled = stored(bool, False, lambda self, value: (self._refresh(), self._show()))
    noneDisplay = stored(str, "None", _show)
    addEnabled = stored(bool, True, _show)
    removeEnabled = stored(bool, True, _show)
    renameEnabled = stored(bool, False, _show)
    editEnabled = stored(bool, False, _show)
    selectNodeUponCreation = stored(bool, True)
    baseName = stored(str, "")
    interactionNodeSingletonTag = stored(str, "")
    sizeAdjustPolicy = stored(object, QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
