"""Which nodes a selector lists: what Slicer's qMRMLSceneModel and its filter see of a scene.

A node is followed from the moment it passes the filter, so one that is hidden from editors when it is added, and shown later, is not
seen. Of a node that is followed only a new name makes the filter look again; where nodes need an attribute, any change of one does, and
it looks at all.
"""

from __future__ import annotations

from .mrml_widgets import Follower, SceneWidget


class ListsNodes(SceneWidget):
    """Calls `_list(node)` and `_unlist(node)` of a selector, and `_clear_rows()` before it begins anew."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._attributes: dict[str, tuple] = {}
        self._followed: dict[str, Follower] = {}
        self._names: dict[str, str] = {}

    def _fill(self, *unused) -> None:
        """List the scene anew, which leaves no node current."""
        for node_id in list(self._followed):
            self._followed.pop(node_id).stop()
        self._clear_rows()
        self._filter()

    def _filter(self, *unused) -> None:
        for node in self._all_nodes():
            self._judge(node)

    def _all_nodes(self) -> list:
        scene = self._get_scene()
        nodes = scene.GetNodes() if scene is not None else None
        return [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())] if nodes else []

    def _on_node_added(self, node) -> None:
        if not self._get_scene().IsImporting():
            self._judge(node)
            if node.GetID() in self._listed:
                self.nodeAdded.emit(node)

    def _on_node_about_to_be_removed(self, node) -> None:
        if not self._get_scene().IsClosing() and node.GetID() in self._followed:
            self._followed.pop(node.GetID()).stop()
            self._unlist(node)

    def _judge(self, node) -> None:
        """Give a node its row, or take it; a node that only lacks an attribute is followed as well."""
        kind = None if node.GetHideFromEditors() and not self.showHidden else self._type_of(node)
        if kind is None:
            self._unlist(node)
            return
        self._names[node.GetID()] = node.GetName()
        name, value = self._attributes.get(kind, (None, None))
        if node.GetID() not in self._followed:
            follower = self._followed[node.GetID()] = Follower(self)
            follower.start(node, "ModifiedEvent", "_on_modified" if name is None else "_on_any_modified", subject=node)
        if name is not None and (node.GetAttribute(name) is None or value not in (None, node.GetAttribute(name))):
            self._unlist(node)
        else:
            self._list(node)

    def _on_modified(self, node) -> None:
        scene = self._get_scene()
        if (
            node.GetScene() is None
            or scene.IsClosing()
            or scene.IsImporting()
            or node.GetName() == self._names.get(node.GetID())
        ):
            return
        self._names[node.GetID()] = node.GetName()
        self._judge(node)

    def _on_any_modified(self, node) -> None:
        self._on_modified(node)
        self._filter()
        self._leave_what_is_not_listed()

    def _type_of(self, node) -> str | None:
        """Which of the types a node is of."""
        for kind in self.nodeTypes:
            if node.IsA(kind) and (self.showChildNodeTypes or node.GetClassName() == kind):
                return (
                    None
                    if self.showChildNodeTypes and any(node.IsA(hidden) for hidden in self.hideChildNodeTypes)
                    else kind
                )
        return None

    def addAttribute(self, node_type: str, name: str, value=None) -> None:
        """One for each type, of those that are listed; another takes its place."""
        if node_type in self.nodeTypes:
            self._attributes[node_type] = (name, None if value is None else str(value))
            self._follow_anew()

    def _follow_anew(self, *unused) -> None:
        for node_id in list(self._followed):
            self._followed.pop(node_id).stop()
        self._filter()
