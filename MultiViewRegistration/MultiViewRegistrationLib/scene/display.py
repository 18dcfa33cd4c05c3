"""All of a registration that is to be seen: slice views, frusta, labels, its folder."""

from __future__ import annotations

from . import beam, folder, frustum, labels, layout, slice_view
from .registration import Registration
from .tags import claim, give_up, tag_of
from .xray import XRayView


def show(registration: Registration) -> None:
    """Bring all of it up to date: after an X-ray came or went, a geometry, a name or an image changed, a layout came up.

    Cheap where nothing has changed. The layout stays what it is, but one of `layout` follows the number of X-rays; the slice view of an
    X-ray is there only once a layout, or the application, has made it.
    """
    views = registration.xrays
    for view in views:
        claim(view)
    if layout.shows(registration):
        layout.show(registration, layout.has_ct_slices(registration.scene))
    for view in views:
        slice_view.point(view)
        frustum.show(view)
        labels.show(view)
    beam.again(registration.scene)
    folder.tidy(registration)


def hide(registration: Registration) -> None:
    """Take it all away but the folder; slice views and layout become what they were before."""
    if layout.shows(registration):
        layout.back(registration.scene)
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
