"""Nodes that are made for another node and go with it: a DRR for its X-ray, a frustum, a label."""

from __future__ import annotations

OWNER = "MultiViewRegistration.owner"


def product(owner, role: str, class_name: str, name: str):
    """The node that `owner` refers to as `role`; made, with that name, where there is none."""
    node = owner.GetNodeReference(role)
    if node is None:
        node = owner.GetScene().AddNewNodeByClass(class_name, name)
        node.SetNodeReferenceID(OWNER, owner.GetID())
        owner.SetNodeReferenceID(role, node.GetID())
    return node


def products_of(owner) -> list:
    """All nodes that were made for `owner`."""
    scene = owner.GetScene()
    return [node for node in map(scene.GetNthNode, range(scene.GetNumberOfNodes()))
            if node.GetNodeReferenceID(OWNER) == owner.GetID()]


def remove_with_products(node) -> None:
    """Remove a node, what was made for it, and what was made for that; display and storage nodes go along."""
    scene = node.GetScene()
    for made in products_of(node):
        remove_with_products(made)
    subordinate = []
    if node.IsA("vtkMRMLDisplayableNode"):
        subordinate += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        subordinate += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for other in filter(None, subordinate):
        if scene.IsNodePresent(other):
            scene.RemoveNode(other)
