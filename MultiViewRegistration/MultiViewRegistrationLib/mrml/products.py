"""Nodes that are made for another node and go with it: a DRR for its X-ray, a frustum, a label."""

from __future__ import annotations

import slicer

OWNER = "MultiViewRegistration.owner"


def product(owner, role: str, class_name: str, name: str, *, hidden: bool = False):
    """The node that `owner` refers to as `role`; made, with that name, where there is none.

    hidden: it is in no list of nodes, nor in the tree of Slicer's Data module.
    """
    node = owner.GetNodeReference(role)
    if node is None:
        node = getattr(slicer, class_name)()
        node.SetName(name)
        node.SetHideFromEditors(hidden)  # Slicer asks for this only when the node comes into the scene
        node = owner.GetScene().AddNode(node)
        node.SetNodeReferenceID(OWNER, owner.GetID())
        owner.SetNodeReferenceID(role, node.GetID())
    return node


def products_of(owner) -> list:
    """All nodes that were made for `owner`."""
    scene = owner.GetScene()
    return [
        node
        for node in map(scene.GetNthNode, range(scene.GetNumberOfNodes()))
        if node.GetNodeReferenceID(OWNER) == owner.GetID()
    ]


def remove_with_products(node) -> None:
    """Remove a node, what was made for it, and what was made for that; display and storage nodes go along."""
    scene = node.GetScene()
    for made in products_of(node):
        remove_with_products(made)
    take_out_of_views(node)
    subordinate = []
    if node.IsA("vtkMRMLDisplayableNode"):
        subordinate += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        subordinate += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for other in filter(None, subordinate):
        if scene.IsNodePresent(other):
            scene.RemoveNode(other)


def take_out_of_views(node) -> None:
    """Have no slice view show a volume that is about to be removed: Slicer would put any other volume in its place, as opaque as it was."""
    if not node.IsA("vtkMRMLVolumeNode"):
        return
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", node.GetScene()):
        if composite.GetForegroundVolumeID() == node.GetID():
            composite.SetForegroundVolumeID(None)
            composite.SetForegroundOpacity(0.0)
        if composite.GetBackgroundVolumeID() == node.GetID():
            composite.SetBackgroundVolumeID(None)
