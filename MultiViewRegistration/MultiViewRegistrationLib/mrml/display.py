"""Everything of a registration that is visible, and what becomes of it when nodes are removed by hand, scenes closed and loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any

import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_OBJECT, vtkCommand, vtkIdList

from . import image, layout, overlay, slice_view, source_view
from .ct_3d import remove_bones_of
from .layout import claim, composite_node, number_of, slice_nodes, tag_of
from .nodes import (
    OWNER,
    all_references,
    in_batch,
    nodes_of_class,
    products_of,
    remove_with_products,
    take_out_of_views,
)
from .registration import MODULE, Registration, xrays_in
from .xray import ATTRIBUTE, SHOWN_IN, XRayView

#: The attribute of the folder in the tree.
FOLDER = "MultiViewRegistration.registration"


def tidy_folder(registration: Registration) -> None:
    """Put the CT's transform and the X-rays, with what was made for them, into the registration's folder.

    What a user has put elsewhere stays there; the CT does, too, wherever it is: who deletes the
    folder keeps it.
    """
    tree = _tree(registration.scene)
    made_for_it = products_of(registration.node)
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
    """Return the ID of the registration's folder in the tree; 0 where there is none."""
    tree = _tree(registration.scene)
    for node in products_of(registration.node):
        item = tree.GetItemByDataNode(node)
        parent = item and tree.GetItemParent(item)
        if parent and tree.HasItemAttribute(parent, FOLDER):
            return parent
    return 0


def _items_in(scene: Any) -> set[int]:
    """Return the IDs of all items in the tree."""
    tree = _tree(scene)
    items = vtkIdList()
    tree.GetItemChildren(tree.GetSceneItemID(), items, True)
    return set(map(items.GetId, range(items.GetNumberOfIds())))


def _put_item(tree: Any, node: Any, parent: int) -> None:
    """Put an item below `parent`, unless a user has put it elsewhere."""
    if node.GetHideFromEditors():
        return
    item = tree.GetItemByDataNode(node)
    if not item:
        tree.CreateItem(parent, node)
    elif tree.GetItemParent(item) == tree.GetSceneItemID():
        tree.SetItemParent(item, parent)


def is_empty(scene: Any) -> bool:
    """Return whether a scene has nothing that a person would miss.

    Nothing in Slicer's tree of the data.
    """
    return _tree(scene).GetNumberOfItems() == 0


def _tree(scene: Any):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


#: The attribute of a display node that was hidden with its registration.
HIDDEN = "MultiViewRegistration.hidden"


def show_alone(scene: Any, registration: Registration | None) -> None:
    """Show this registration and no other, so that one patient's images are never seen while working on another.

    None shows no registration.

    Slices of another registration's CT become slices of this one's. A layout of X-rays that is on
    becomes that of this registration; without X-rays it becomes the one from before.
    """
    kept = [] if registration is None else _nodes_of(registration)
    kept_ids = {node.GetID() for node in kept}
    others = [other for other in Registration.all(scene) if other != registration]
    of_others = chain.from_iterable(map(_nodes_of, others))
    away = [node for node in of_others if node not in kept]
    left = list(chain.from_iterable(other.xrays for other in others))
    tags = list(filter(None, map(tag_of, left)))
    with in_batch(scene):
        for view in left:  # X-rays of this one take their places
            view.node.RemoveAttribute(SHOWN_IN)
        slice_view.show_instead(scene, away, registration and registration.ct)
        if registration is not None:
            show(registration)
        for other in others:
            hide(other, kept)
        for tag in tags:
            composite = composite_node(scene, tag)
            if composite is None or composite.GetBackgroundVolumeID() not in kept_ids:
                slice_view.release(scene, tag)
    if registration is None or not layout.shows(registration):
        layout.back(scene)


def show(registration: Registration, making: Callable[[], bool] = lambda: True) -> bool:
    """Bring all of a registration up to date in the views.

    Call it after an X-ray came or went, a geometry, a name or an image changed, or a layout came
    up.

    Cheap where nothing has changed. The layout stays what it is, but one of `layout` follows the
    number of X-rays, once `layout.make_slice_view` has made the slice view of each; without
    one an X-ray is not pointed to.

    Returns
    -------
    bool
        Whether all is shown: `making` may say, as `in_time`, that the rest is for another call.
    """
    views = registration.xrays
    if not is_shown(registration):
        for display in _displays(_nodes_of(registration)):
            if display.GetAttribute(HIDDEN):
                display.RemoveAttribute(HIDDEN)
                display.SetVisibility(True)
    for view in views:
        claim(view)
    made = all(layout.slice_of(view) is not None for view in views)
    if made and layout.shows(registration):
        layout.show(registration, layout.has_ct_slices(registration.scene))
    for view in views:
        new = layout.slice_of(view) is not None and not overlay.is_labelled(view)
        if new and not making():
            return False
        slice_view.point(view)
        overlay.show_frustum(view)
        overlay.show_labels(view)
        image.show_mask(view)
    source_view.update(registration.scene)
    tidy_folder(registration)
    return True


def hide(registration: Registration, kept: Collection = ()) -> None:
    """Take all of a registration out of the views, but for its folder and the nodes that are kept.

    Its patient's segments, models and plans go with it, whoever made them. Slice views become what
    they were before.

    `show` brings it back as it was.
    """
    for display in _displays(node for node in _nodes_of(registration) if node not in kept):
        if display.GetVisibility():
            display.SetVisibility(False)
            display.SetAttribute(HIDDEN, "1")
    for view in registration.xrays:
        hide_xray(view)


def is_shown(registration: Registration) -> bool:
    """Return whether a registration is shown."""
    return any(tag_of(view) for view in registration.xrays)


def hide_xray(view: XRayView) -> None:
    """Give back the views that show one X-ray."""
    scene = view.scene
    tag = tag_of(view)
    if tag is not None:
        view.node.RemoveAttribute(SHOWN_IN)
        slice_view.release(scene, tag)
    source_view.release(view)


def _nodes_of(registration: Registration) -> list:
    """Return the displayable nodes of a registration's patient.

    What it and its X-rays refer to, what was made for them, and what lies under any transform of
    theirs.
    """
    owners = [registration.node, *(view.node for view in registration.xrays)]
    referred = set(chain(*(chain(*all_references(owner).values()) for owner in owners)))
    nodes = nodes_of_class("vtkMRMLDisplayableNode", registration.scene)
    return [node for node in nodes if node.GetID() in referred or _is_made_for(node, registration)]


def _is_made_for(node: Any, registration: Registration) -> bool:
    """Return whether a node, or a transform that it is under, was made for a registration."""
    if node is None or node is registration.node:
        return node is not None
    parent = node.GetParentTransformNode() if node.IsA("vtkMRMLTransformableNode") else None
    return _is_made_for(node.GetNodeReference(OWNER), registration) or _is_made_for(
        parent, registration
    )


def _displays(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield the display nodes by which Slicer shows these; of volumes only those of volume rendering, as slices are told what to show."""
    for node in nodes:
        needed = "vtkMRMLDisplayNode"
        if node.IsA("vtkMRMLVolumeNode"):
            needed = "vtkMRMLVolumeRenderingDisplayNode"
        for display in map(node.GetNthDisplayNode, range(node.GetNumberOfDisplayNodes())):
            if display is not None and display.IsA(needed):
                yield display


def take_down(registration: Registration) -> None:
    """Remove all that was made for a registration, but for its folder in the tree.

    CT and segmentation go back under what they were under.
    """
    if layout.shows(registration):
        layout.back(registration.scene)
    for view in registration.xrays:
        hide_xray(view)
    registration.release()
    for made in products_of(registration.node):
        remove_with_products(made)


#: Milliseconds between the labels of two slice views that were changed: Slicer takes 50 for each,
#: and the window is to answer in between.
SETTLE_MS = 20
#: Before Slicer's own observers, which have priority 0 and take the node out of the tree.
BEFORE_SLICER = 1.0


class SceneObserver:
    """Looks after all registrations of a scene until `stop` is called.

    - An X-ray that is removed takes along what was made for it, a registration its X-rays and its transform; the CT stays, under what it
      was under before.
    - Without its transform a CT gets a new one; without a CT the registration waits for another. Bones go with the volume that shows them.
    - A registration whose folder is deleted in Slicer's Data module is removed. The tree is changed only after a removal is over: Slicer
      itself changes it during the event, and a change within a change ends Slicer.
    - A scene that is closed leaves no view and no layout behind; one that is loaded is shown as it was saved.
    - An X-ray's slice view shows the X-ray whatever other modules have put there, the whole image at any size, and stays on its plane.

    Parameters
    ----------
    later
        Calls a function after so many milliseconds, as a Qt timer; by default at once.
    """

    def __init__(self, scene: Any, later: Callable = lambda _ms, call: call()) -> None:
        self._scene = scene
        self._later = later
        self._unsettled: list[XRayView] = []
        self._removals = 0
        self._leftover_items: set[int] = set()
        self._folders: dict[int, Registration] = {}
        self._observed: list[tuple[Any, int]] = []
        self._seen: dict[str, tuple] = {}
        self._busy = False
        layout.register(scene)
        self._observe(
            scene, scene.NodeAboutToBeRemovedEvent, self._about_to_be_removed, BEFORE_SLICER
        )
        for event, handler in (
            (scene.NodeAddedEvent, self._added),
            (scene.NodeRemovedEvent, self._removed),
            (scene.StartCloseEvent, self._closing),
            (scene.EndImportEvent, self._imported),
        ):
            self._observe(scene, event, handler)
        for node in slice_nodes(scene):
            self._observe(node, vtkCommand.ModifiedEvent, self._slice_changed)
        for node in nodes_of_class("vtkMRMLSliceCompositeNode", scene):
            self._added(scene, None, node)

    def stop(self) -> None:
        """Remove all observers."""
        for node, observer in self._observed:
            node.RemoveObserver(observer)
        self._observed.clear()

    def _observe(
        self, node: Any, event: str | int, handler: Callable[..., None], priority: float = 0.0
    ) -> None:
        self._observed.append((node, node.AddObserver(event, handler, priority)))

    # Nodes

    @calldata_type(VTK_OBJECT)
    def _added(self, scene: Any, event: str, node: Any) -> None:
        if node.IsA("vtkMRMLSliceNode") and number_of(node.GetLayoutName() or ""):
            self._observe(node, vtkCommand.ModifiedEvent, self._slice_changed)
        if node.IsA("vtkMRMLSliceCompositeNode") and number_of(node.GetLayoutName() or ""):
            self._observe(node, vtkCommand.ModifiedEvent, self._layers_changed)

    @calldata_type(VTK_OBJECT)
    def _about_to_be_removed(self, scene: Any, event: str, node: Any) -> None:
        if scene.IsClosing() or scene.IsRestoring():
            return
        self._removals += 1
        owner = node.GetNodeReference(OWNER)
        registration = next((each for each in (node, owner) if _is_registration(each)), None)
        if registration is not None and (folder := folder_of(Registration(registration))):
            self._folders[folder] = Registration(registration)
        if _is_registration(node):
            take_down(Registration(node))
        elif node.GetAttribute(ATTRIBUTE) is not None:
            hide_xray(XRayView(node))
        elif node.IsA("vtkMRMLVolumeNode"):
            for each in Registration.all(scene):
                remove_bones_of(each, node)
        for made in products_of(node):
            remove_with_products(made)
        if owner is not None:
            take_out_of_views(node)
            self._leftover_items.add(_tree(scene).GetItemByDataNode(node))

    @calldata_type(VTK_OBJECT)
    def _removed(self, scene: Any, event: str, node: Any) -> None:
        if scene.IsClosing() or scene.IsRestoring():
            return
        if node.IsA("vtkMRMLLinearTransformNode"):
            for registration in Registration.all(scene):
                registration.reclaim(node.GetID())
        elif node.IsA(
            "vtkMRMLVolumeNode"
        ):  # which another one may have taken the place of in a slice view
            for view in xrays_in(scene):
                slice_view.fill(view)
        self._removals -= 1  # one may be within another
        if not self._removals and (self._folders or self._leftover_items):
            self._later(0, self._tidy_tree)

    def _tidy_tree(self) -> None:
        """Take what was removed out of the tree, and remove a registration whose folder was deleted there."""
        scene = self._scene
        there = _items_in(scene)
        folders, self._folders = self._folders, {}
        leftover, self._leftover_items = self._leftover_items & there, set()
        for folder, registration in folders.items():
            if registration.scene is None:
                leftover |= {folder} & there
            elif folder not in there:
                scene.RemoveNode(registration.node)
        for item in leftover:
            _tree(scene).RemoveItem(item, False, False)

    # Scenes

    def _closing(self, scene: Any, event: str) -> None:
        layout.back(scene)
        source_view.restore_all(scene)
        self._seen.clear()
        for node in slice_nodes(scene):
            slice_view.release(scene, node.GetLayoutName())

    def _imported(self, scene: Any, event: str) -> None:
        layout.register(scene)
        names: set[str] = set()
        for registration in Registration.all(scene):
            if registration.name in names:  # of a scene that is added to one with the same
                registration.node.SetName(scene.GenerateUniqueName(registration.name))
            names.add(registration.name)
        shown = [registration for registration in Registration.all(scene) if is_shown(registration)]
        if shown:
            show_alone(scene, next(filter(layout.shows, shown), shown[0]))

    # Views

    def _layers_changed(self, composite: Any, event: str) -> None:
        """Undo what the Segment Editor, say, does.

        It shows the volume that it works on in every slice view that there is.
        """
        view = self._view_in(composite.GetLayoutName())
        if view is not None:
            self._busy = True
            try:
                slice_view.fill(view)
            finally:
                self._busy = False

    def _view_in(self, tag: str) -> XRayView | None:
        """Return the X-ray whose slice view has this tag, if what happens there was not done here."""
        return (
            None if self._busy or self._scene.IsBatchProcessing() else _shown_in(self._scene, tag)
        )

    def _slice_changed(self, node: Any, event: str) -> None:
        view = self._view_in(node.GetLayoutName())
        if (
            view is None
            or 0 in view.size
            or not node.HasSliceOrientationPreset(slice_view.ORIENTATION)
        ):
            return
        self._busy = True
        try:
            before = self._seen.get(node.GetID())
            if before and before[0] != node.GetDimensions() and slice_view.is_fitted(view, *before):
                slice_view.fit(view)
            slice_view.keep_on_plane(view)
            if view not in self._unsettled:
                self._unsettled.append(view)
                self._later(SETTLE_MS * len(self._unsettled), self._settle)
            self._seen[node.GetID()] = (
                node.GetDimensions(),
                node.GetFieldOfView(),
                node.GetXYZOrigin(),
            )
        finally:
            self._busy = False

    def _settle(self) -> None:
        """Put the labels of one of the slice views that were changed in their places."""
        view = self._unsettled.pop(0)
        if view.scene is self._scene:
            overlay.settle_labels(view)


def _is_registration(node: Any) -> bool:
    return node is not None and node.GetAttribute("ModuleName") == MODULE


def _shown_in(scene: Any, tag: str) -> XRayView | None:
    return next((view for view in xrays_in(scene) if tag_of(view) == tag), None)
