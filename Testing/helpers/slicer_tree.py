"""What Slicer's application does with the tree of its Data module, for scenes without that application."""

import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_OBJECT


@calldata_type(VTK_OBJECT)
def _remove_item(scene, event, node):
    if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
        return
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if item := tree.GetItemByDataNode(node):
        tree.RemoveItem(item, False, False)


def follow_removals(scene):
    """Take each node that is removed out of the tree, as qSlicerSubjectHierarchyPluginLogic does.

    Returns the tag of the observer.
    """
    return scene.AddObserver(scene.NodeAboutToBeRemovedEvent, _remove_item)
