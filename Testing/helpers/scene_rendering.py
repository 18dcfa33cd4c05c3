"""Real views of slicer-core on the test's scene, offscreen.

Pictures to look at, pixels to check, X-rays to click into.
"""

import numpy as np
import pytest
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from helpers.hosts import IN_SLICER
from helpers.tiny_scene import c_arm, displayers

_views: dict[
    str, object
] = {}  # they outlive the content of the scene, as those of an application do


def slice_view(app, tag="XRay1", size=(320, 240)):
    """The trame_slicer SliceView with this tag ("XRay1", "Red"), made where there is none, before anything is shown in it.

    size: (width, height) in pixels.
    """
    return _view(app, "SliceView", tag, size)


def threed_view(app, size=(320, 240)):
    """The trame_slicer ThreeDView with the tag "1", without the box about the scene."""
    view = _view(app, "ThreeDView", "1", size)
    view.set_box_visible(False)
    return view


def resize(view, width, height):
    """Give a view another size, and tell its slice node as Slicer does."""
    view.render_window().SetSize(width, height)
    if view.get_view_node().IsA("vtkMRMLSliceNode"):
        view._logic.ResizeSliceNode(width, height)


def ball(radius=10.0, centre=(0.0, 0.0, 0.0), resolution=8):
    """The surface of a sphere, RAS mm."""
    source = vtk.vtkSphereSource()
    source.SetRadius(radius)
    source.SetCenter(*centre)
    source.SetThetaResolution(resolution)
    source.SetPhiResolution(resolution)
    source.Update()
    return source.GetOutput()


def pixels(view):
    """The view as it is drawn now, uint8 (rows, columns, 3), the top row first."""
    view.render_window().Render()
    reader = vtk.vtkWindowToImageFilter()
    reader.SetInput(view.render_window())
    reader.SetInputBufferTypeToRGB()
    reader.ReadFrontBufferOff()
    reader.Update()
    image = reader.GetOutput()
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()


def brightest(picture, above=80):
    """(column, row), the middle of what is brighter than `above` in a picture of `pixels`."""
    weight = np.clip(picture.max(axis=2).astype(float) - above, 0, None)
    rows, columns = np.indices(weight.shape)
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def _view(app, kind, tag, size):
    if IN_SLICER:
        pytest.skip(
            "views of slicer-core alone; Slicer's own are in Testing/panel/test_in_views.py"
        )
    from trame_slicer import views
    from trame_slicer.views.render_scheduler import NoScheduleRendering

    if tag not in _views:
        _views[tag] = getattr(views, kind)(
            app.scene, app.app_logic, tag, scheduled_render_strategy=NoScheduleRendering()
        )
    view = _views[tag]
    displayer = view._displayable_manager_group
    if displayer.GetMRMLDisplayableNode() is None:
        displayer.SetMRMLDisplayableNode(view.get_view_node())
    if kind == "SliceView":  # a view in 3D that is let go would not follow its camera as before
        displayers.append(displayer)
    resize(view, *size)
    return view


#: (columns, rows): not square, so that a swap shows.
SIZE = (120, 90)


def add_xray(registration, name, rao_lao_deg, *, mirrored=False):
    """An empty image with a principal point well off its centre, with a slice view to be shown in.

    The XRayView.
    """
    import slicer

    from MultiViewRegistrationLib.mrml.layout import claim

    camera = c_arm(rao_lao_deg, 12.0, size=SIZE, principal_point=(71.0, 37.0), mirrored=mirrored)
    view = registration.add_xray(name)
    view.change(geometry=camera, image_pixel_mm=(2.0, 2.0))
    slicer.util.updateVolumeFromArray(view.node, np.zeros((1, *SIZE[::-1]), np.float32))
    view.node.CreateDefaultDisplayNodes()
    view.node.GetDisplayNode().SetAutoWindowLevel(False)
    view.node.GetDisplayNode().SetWindowLevelMinMax(0, 1)
    view.place()
    claim(view)
    return view


def window_of(app, view, size, zoom=1.0):
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


def window_point(shown, ras):
    """Where a point, RAS mm, is drawn in a view's picture.

    (x, y), continuous, (0, 0) its top-left corner.
    """
    import slicer

    node = shown.get_view_node()
    x, y = np.linalg.solve(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()), [*ras, 1.0])[:2]
    return np.array([x, node.GetDimensions()[1] - y])


def click(shown, x, y):
    """Move the mouse to a position in a view, from its lower left corner, and click there."""
    interactor = shown.interactor()
    interactor.SetEventInformation(x, y, 0, 0, "\0", 0, None)
    for event in ("EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
        interactor.InvokeEvent(event)
