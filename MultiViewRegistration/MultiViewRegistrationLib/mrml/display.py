"""Everything of a registration that is visible: slice views, frusta, labels, masks, its folder in the Data module."""

from __future__ import annotations

import slicer

from . import image, layout, slice_view, source_view, xray_annotations
from .layout import claim, give_up, tag_of
from .nodes import products_of
from .registration import Registration
from .xray import XRayView

#: The attribute of the folder in the tree.
FOLDER = "MultiViewRegistration.registration"


def tidy_folder(registration: Registration) -> None:
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
        _put_item(tree, node, folder)
        for made in products_of(node):
            _put_item(tree, made, tree.GetItemByDataNode(node))


def folder_of(registration: Registration) -> int:
    """The ID of the registration's folder in the tree; 0 where there is none."""
    tree = _tree(registration.scene)
    for node in products_of(registration.node):
        item = tree.GetItemByDataNode(node)
        parent = item and tree.GetItemParent(item)
        if parent and tree.HasItemAttribute(parent, FOLDER):
            return parent
    return 0


def forget_item(node) -> None:
    """Take a node that is about to be removed out of the tree."""
    tree = _tree(node.GetScene())
    item = tree.GetItemByDataNode(node)
    if item:
        tree.RemoveItem(item, False, False)


def remove_folder(registration: Registration) -> None:
    """Remove the folder; what is still in it goes where the folder was."""
    folder = folder_of(registration)
    if folder:
        _tree(registration.scene).RemoveItem(folder, False, False)


def _put_item(tree, node, parent: int) -> None:
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


#: What of a registration Slicer shows by itself, and the attribute of a display node that was hidden with its registration.
SHOWN_BY_SLICER = (
    "vtkMRMLMarkupsNode",
    "vtkMRMLModelNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLVolumeRenderingDisplayNode",
)
HIDDEN = "MultiViewRegistration.hidden"


def show_alone(scene, registration: Registration | None) -> None:
    """Show this registration and no other, so that nobody sees one patient's X-rays while working on another; None: no registration.

    A layout of X-rays that is on becomes that of this registration; without X-rays it becomes the one from before.
    """
    for other in Registration.all(scene):
        if other != registration:
            hide(other)
    if registration is not None:
        show(registration)
    if registration is None or not layout.shows(registration):
        layout.back(scene)


def show(registration: Registration) -> None:
    """Bring all of it up to date: after an X-ray came or went, a geometry, a name or an image changed, a layout came up.

    Cheap where nothing has changed. The layout stays what it is, but one of `layout` follows the number of X-rays; the slice view of an
    X-ray is there only once a layout, or the application, has made it.
    """
    views = registration.xrays
    if not is_shown(registration):
        for display in _displays(registration):
            if display.GetAttribute(HIDDEN):
                display.RemoveAttribute(HIDDEN)
                display.SetVisibility(True)
    for view in views:
        claim(view)
    if layout.shows(registration):
        layout.show(registration, layout.has_ct_slices(registration.scene))
    for view in views:
        slice_view.point(view)
        xray_annotations.show_frustum(view)
        xray_annotations.show_labels(view)
        image.show_mask(view)
    source_view.update(registration.scene)
    tidy_folder(registration)


def hide(registration: Registration) -> None:
    """Take it all away but the folder; slice views become what they were before. `show` brings it back as it was."""
    for display in _displays(registration):
        if display.GetVisibility():
            display.SetVisibility(False)
            display.SetAttribute(HIDDEN, "1")
    for view in registration.xrays:
        hide_xray(view)


def is_shown(registration: Registration) -> bool:
    return any(tag_of(view) for view in registration.xrays)


def hide_xray(view: XRayView) -> None:
    """Take away what shows one X-ray."""
    scene, tag = view.node.GetScene(), tag_of(view)
    if tag is not None:
        give_up(view)
        slice_view.release(scene, tag)
    xray_annotations.remove_frustum(view)
    xray_annotations.remove_labels(view)
    source_view.release(view)


def _displays(registration: Registration) -> list:
    """The display nodes of what was made for a registration and its X-rays, of SHOWN_BY_SLICER."""
    owners = [registration.node, *(view.node for view in registration.xrays)]
    nodes = [node for owner in owners for node in products_of(owner) if any(map(node.IsA, SHOWN_BY_SLICER))]
    return [
        display
        for node in nodes
        for display in (
            [node]
            if node.IsA("vtkMRMLDisplayNode")
            else map(node.GetNthDisplayNode, range(node.GetNumberOfDisplayNodes()))
        )
    ]
