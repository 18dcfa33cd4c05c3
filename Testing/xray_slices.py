"""X-rays without files, for what is drawn in them and done with the mouse."""

from __future__ import annotations

import numpy as np
from scene_rendering import slice_view
from tiny_scene import c_arm

#: (columns, rows): not square, so that a swap shows.
SIZE = (120, 90)


def add_xray(registration, name: str, rao_lao_deg: float, *, mirrored: bool = False):
    """An empty image with a principal point well off its centre, with a slice view to be shown in; the XRayView."""
    import slicer

    from MultiViewRegistrationLib.mrml.layout import claim
    from MultiViewRegistrationLib.mrml.loading import camera_content

    camera = c_arm(rao_lao_deg, 12.0, size=SIZE, principal_point=(71.0, 37.0), mirrored=mirrored)
    view = registration.add_xray(name)
    view.change(camera=camera_content(camera), pixel_mm=[2.0, 2.0])
    slicer.util.updateVolumeFromArray(view.node, np.zeros((1, *SIZE[::-1]), np.float32))
    view.node.CreateDefaultDisplayNodes()
    view.node.GetDisplayNode().SetAutoWindowLevel(False)
    view.node.GetDisplayNode().SetWindowLevelMinMax(0, 1)
    view.place()
    claim(view)
    return view


def window_of(app, view, size: tuple[int, int], zoom: float = 1.0):
    """The slice view of an X-ray, the whole image in sight; zoom > 1 shows less of it."""
    from MultiViewRegistrationLib.mrml import slice_view as slice_views
    from MultiViewRegistrationLib.mrml.layout import tag_of

    shown = slice_view(app, tag_of(view), size)
    slice_views.point(view)
    slice_views.fit(view)
    node = shown.get_view_node()
    width, height, depth = node.GetFieldOfView()
    node.SetFieldOfView(width / zoom, height / zoom, depth)
    return shown


def window_point(shown, ras) -> np.ndarray:
    """Where a point, RAS mm, is drawn in a view's picture: (x, y), continuous, (0, 0) its top-left corner."""
    import slicer

    node = shown.get_view_node()
    x, y = np.linalg.solve(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()), [*ras, 1.0])[:2]
    return np.array([x, node.GetDimensions()[1] - y])


def click(shown, x: int, y: int) -> None:
    """Move the mouse to a position in a view, from its lower left corner, and click there."""
    interactor = shown.interactor()
    interactor.SetEventInformation(x, y, 0, 0, "\0", 0, None)
    for event in ("EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
        interactor.InvokeEvent(event)
