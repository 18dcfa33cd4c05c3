"""What becomes of a registration when nodes are removed by hand, scenes closed and loaded, slice views resized."""

from __future__ import annotations

from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_OBJECT, vtkCommand

from . import display, layout, slice_view, xray_annotations
from .layout import number_of, slice_nodes, tag_of
from .nodes import OWNER, products_of, remove_with_products, take_out_of_views
from .registration import MODULE, Registration
from .xray import ATTRIBUTE, XRayView


def take_down(registration: Registration) -> None:
    """Remove all that was made for a registration; CT and segmentation go back under what they were under."""
    if layout.shows(registration):
        layout.back(registration.scene)
    display.hide(registration)
    registration.release()
    display.remove_folder(registration)
    for made in products_of(registration.node):
        remove_with_products(made)


class SceneObserver:
    """Looks after all registrations of a scene until it is told to `stop`.

    - An X-ray that is removed takes along what was made for it, a registration its X-rays and its transform; the CT stays, under what it
      was under before.
    - Without its transform a CT gets a new one; without a CT the registration waits for another.
    - A scene that is closed leaves no view and no layout behind; one that is loaded is shown as it was saved.
    - An X-ray's slice view shows the whole image at any size, and stays on its plane.
    """

    def __init__(self, scene) -> None:
        self._scene = scene
        self._observed = []
        self._seen: dict[str, tuple] = {}
        self._busy = False
        layout.register(scene)
        for event, handler in (
            (scene.NodeAddedEvent, self._added),
            (scene.NodeAboutToBeRemovedEvent, self._about_to_be_removed),
            (scene.NodeRemovedEvent, self._removed),
            (scene.StartCloseEvent, self._closing),
            (scene.EndCloseEvent, self._closed),
            (scene.EndImportEvent, self._imported),
        ):
            self._observe(scene, event, handler)
        for node in slice_nodes(scene):
            self._observe(node, vtkCommand.ModifiedEvent, self._slice_changed)

    def stop(self) -> None:
        """Remove all observers."""
        for node, observer in self._observed:
            node.RemoveObserver(observer)
        self._observed.clear()

    def _observe(self, node, event, handler) -> None:
        self._observed.append((node, node.AddObserver(event, handler)))

    # Nodes

    @calldata_type(VTK_OBJECT)
    def _added(self, scene, event, node) -> None:
        if node.IsA("vtkMRMLSliceNode") and number_of(node.GetLayoutName() or ""):
            self._observe(node, vtkCommand.ModifiedEvent, self._slice_changed)

    @calldata_type(VTK_OBJECT)
    def _about_to_be_removed(self, scene, event, node) -> None:
        if scene.IsClosing() or scene.IsRestoring():
            return
        if node.GetAttribute("ModuleName") == MODULE:
            take_down(Registration(node))
        elif node.GetAttribute(ATTRIBUTE) is not None:
            display.hide_xray(XRayView(node))
        for made in products_of(node):
            remove_with_products(made)
        if node.GetNodeReferenceID(OWNER):
            take_out_of_views(node)
            display.forget_item(node)

    @calldata_type(VTK_OBJECT)
    def _removed(self, scene, event, node) -> None:
        if scene.IsClosing() or scene.IsRestoring():
            return
        if node.IsA("vtkMRMLLinearTransformNode"):
            for registration in Registration.all(scene):
                registration.reclaim(node.GetID())
        elif node.IsA("vtkMRMLVolumeNode"):  # which another one may have taken the place of in a slice view
            for view in (view for registration in Registration.all(scene) for view in registration.xrays):
                slice_view.fill(view)

    # Scenes

    def _closing(self, scene, event) -> None:
        layout.back(scene)

    def _closed(self, scene, event) -> None:
        self._seen.clear()
        for node in slice_nodes(scene):
            slice_view.release(scene, node.GetLayoutName())

    def _imported(self, scene, event) -> None:
        layout.register(scene)
        shown = [registration for registration in Registration.all(scene) if display.is_shown(registration)]
        if shown:
            display.show_alone(scene, next(filter(layout.shows, shown), shown[0]))

    # Views

    def _slice_changed(self, node, event) -> None:
        view = None if self._busy or self._scene.IsBatchProcessing() else _shown_in(self._scene, node.GetLayoutName())
        if view is None or 0 in view.size or not node.HasSliceOrientationPreset(slice_view.ORIENTATION):
            return
        self._busy = True
        try:
            before = self._seen.get(node.GetID())
            if before and before[0] != node.GetDimensions() and slice_view.is_fitted(view, *before):
                slice_view.fit(view)
            slice_view.keep_on_plane(view)
            xray_annotations.settle_labels(view)
            self._seen[node.GetID()] = node.GetDimensions(), node.GetFieldOfView(), node.GetXYZOrigin()
        finally:
            self._busy = False


def _shown_in(scene, tag: str) -> XRayView | None:
    views = (view for registration in Registration.all(scene) for view in registration.xrays)
    return next((view for view in views if tag_of(view) == tag), None)
