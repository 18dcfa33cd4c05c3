"""All of a registration that is to be seen: slice views, frusta, labels, masks, its folder."""

from __future__ import annotations

from . import beam, folder, frustum, labels, layout, mask, slice_view
from .products import products_of
from .registration import Registration
from .tags import claim, give_up, tag_of
from .xray import XRayView

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
        frustum.show(view)
        labels.show(view)
        mask.show(view)
    beam.again(registration.scene)
    folder.tidy(registration)


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
    frustum.remove(view)
    labels.remove(view)
    beam.leave(view)


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
