"""X-rays without files, and their slice views without a layout or a window: slicer-core's own, laid on the detector plane."""

from __future__ import annotations

import numpy as np

#: (columns, rows): not square, so that a swap shows.
SIZE = (120, 90)
_views: dict[str, object] = {}  # they outlive the scene's content, as an application's do


def add_xray(registration, name: str, rao_lao_deg: float, *, mirrored: bool = False):
    """An empty image with a principal point well off its centre; the XRayView."""
    import slicer

    from MultiViewRegistrationLib.geometry.c_arm import CArm

    camera = CArm(source_to_detector_mm=1000, source_to_isocentre_mm=650, pixel_mm=(2.0, 2.0), size=SIZE, principal_point=(71.0, 37.0),
                  rao_lao_deg=rao_lao_deg, cra_cau_deg=12.0).camera()
    intrinsics = camera.intrinsics.copy()
    if mirrored:
        intrinsics[0] = [-intrinsics[0, 0], 0, SIZE[0] - 1 - intrinsics[0, 2]]
    view = registration.add_xray(name)
    view.change(camera={"intrinsics": intrinsics.tolist(), "camera_from_world": camera.camera_from_world.tolist(), "size": SIZE},
                pixel_mm=[2.0, 2.0])
    slicer.util.updateVolumeFromArray(view.node, np.zeros((1, *SIZE[::-1]), np.float32))
    view.node.CreateDefaultDisplayNodes()
    view.node.GetDisplayNode().SetAutoWindowLevel(False)
    view.node.GetDisplayNode().SetWindowLevelMinMax(0, 1)
    view.place()
    return view


def slice_view(app, view, number: int, size=(300, 300), zoom: float = 1.0, name: str | None = None):
    """The view XRay<number> on the plane of an XRayView, the whole image in sight; zoom > 1 shows less of it."""
    import slicer
    from trame_slicer.views import SliceView
    from trame_slicer.views.render_scheduler import NoScheduleRendering

    from MultiViewRegistrationLib.scene.frames import ras_from_lps
    from MultiViewRegistrationLib.scene.xray import world_from_pixel

    name = name or f"XRay{number}"
    if name not in _views:
        _views[name] = SliceView(app.scene, app.app_logic, name, scheduled_render_strategy=NoScheduleRendering())
    shown = _views[name]
    shown.render_window().SetSize(*size)
    place = ras_from_lps(world_from_pixel(view.camera, view.detector_mm))
    column, row = place[:3, 0], place[:3, 1]
    columns, rows = view.size
    axes = np.stack([column / np.linalg.norm(column), -row / np.linalg.norm(row)])
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([*axes, np.cross(*axes)])
    matrix[:3, 3] = place[:3, 3] + (columns - 1) / 2 * column + (rows - 1) / 2 * row
    node = shown._view_node
    node.SetDimensions(*size, 1)
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    node.UpdateMatrices()
    mm = max(np.linalg.norm(column) * columns / size[0], np.linalg.norm(row) * rows / size[1]) / zoom
    node.SetFieldOfView(mm * size[0], mm * size[1], 1)
    shown.set_background_volume_id(view.node.GetID())
    return shown


def picture(shown) -> np.ndarray:
    """uint8 (rows, columns, 3) of what a view shows, top row first."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    shown.render_window().Render()
    grabbed = vtk.vtkWindowToImageFilter()
    grabbed.SetInput(shown.render_window())
    grabbed.ReadFrontBufferOff()
    grabbed.Update()
    columns, rows, _ = grabbed.GetOutput().GetDimensions()
    return vtk_to_numpy(grabbed.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3]


def window_point(shown, ras) -> np.ndarray:
    """Where a point, RAS mm, is in the picture: (x, y), continuous, (0, 0) its top-left corner."""
    import slicer

    ras_from_xy = slicer.util.arrayFromVTKMatrix(shown._view_node.GetXYToRAS())
    x, y = np.linalg.solve(ras_from_xy, [*ras, 1.0])[:2]
    return np.array([x, shown._view_node.GetDimensions()[1] - y])


def click(shown, x: int, y: int) -> None:
    """Move the mouse to a position in a view, from its lower left corner, and click there."""
    interactor = shown.interactor()
    interactor.SetEventInformation(x, y, 0, 0, "\0", 0, None)
    for event in ("EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
        interactor.InvokeEvent(event)
