"""A registration's folder in the tree of Slicer's Data module, with what is removed with it."""

from __future__ import annotations

import slicer

from .products import products_of
from .registration import Registration

#: The attribute of the folder in the tree.
FOLDER = "MultiViewRegistration.registration"


def tidy(registration: Registration) -> None:
    """Put the CT's transform and the X-rays, with what was made for them, into the registration's folder.

    What a user has put elsewhere stays there; the CT does, too, wherever it is: who deletes the folder keeps it.
    """
    tree, made_for_it = _tree(registration.scene), products_of(registration.node)
    if not made_for_it:
        return
    folder = folder_of(registration)
    if not folder:
        folder = tree.CreateFolderItem(tree.GetSceneItemID(), registration.name)
        tree.SetItemAttribute(folder, FOLDER, "1")
    if tree.GetItemName(folder) != registration.name:
        tree.SetItemName(folder, registration.name)
    for node in made_for_it:
        _put(tree, node, folder)
        for made in products_of(node):
            _put(tree, made, tree.GetItemByDataNode(node))


def folder_of(registration: Registration) -> int:
    """The ID of the registration's folder in the tree; 0 where there is none."""
    tree = _tree(registration.scene)
    for node in products_of(registration.node):
        item = tree.GetItemByDataNode(node)
        parent = item and tree.GetItemParent(item)
        if parent and tree.HasItemAttribute(parent, FOLDER):
            return parent
    return 0


def forget(node) -> None:
    """Take a node that is about to be removed out of the tree."""
    tree = _tree(node.GetScene())
    item = tree.GetItemByDataNode(node)
    if item:
        tree.RemoveItem(item, False, False)


def remove(registration: Registration) -> None:
    """Remove the folder; what is still in it goes where the folder was."""
    folder = folder_of(registration)
    if folder:
        _tree(registration.scene).RemoveItem(folder, False, False)


def _put(tree, node, parent: int) -> None:
    """Below `parent`, unless somebody has put it elsewhere."""
    if node.GetHideFromEditors():
        return
    item = tree.GetItemByDataNode(node)
    if not item:
        tree.CreateItem(parent, node)
    elif tree.GetItemParent(item) == tree.GetSceneItemID():
        tree.SetItemParent(item, parent)


def _tree(scene):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
