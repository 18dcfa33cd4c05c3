"""An X-ray in 3D: its beam from the source to the corners of the detector, the detector's edge, the central ray."""

from __future__ import annotations

import hashlib

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkAppendPolyData
from vtkmodules.vtkFiltersSources import vtkSphereSource

from ..geometry.camera import Camera
from .frames import ras_from_lps
from .tags import colour, tag_of
from .xray import XRayView

FRUSTUM = "frustum"
#: Of what a frustum was made, so that it is made anew only where that has changed.
MADE_OF = "MultiViewRegistration.madeOf"
LINE_WIDTH = 2.0
SOURCE_RADIUS_MM = 6.0
DASH_MM = 12.0
#: The colour of a view that is not used.
SKIPPED = (0.55, 0.55, 0.58)


def show(view: XRayView) -> bool:
    """Draw the view's frustum, or draw it anew where its camera has changed; whether it has a camera."""
    if not view.placed:
        remove(view)
        return False
    camera, depth_mm = view.camera, view.detector_mm
    node = view.node.GetNodeReference(FRUSTUM)
    if node is None:
        node = view.product(FRUSTUM, "vtkMRMLModelNode", f"{view.name} frustum", hidden=True)
        _style(node)
    made_of = hashlib.sha256(camera.projection_matrix.tobytes() + repr((camera.size, depth_mm)).encode()).hexdigest()
    if node.GetAttribute(MADE_OF) != made_of or node.GetPolyData() is None:
        node.SetAndObservePolyData(polydata(camera, depth_mm))
        node.SetAttribute(MADE_OF, made_of)
    node.SetName(f"{view.name} frustum")
    node.GetDisplayNode().SetColor(*(colour(tag_of(view) or "") if view.used else SKIPPED))
    return True


def remove(view: XRayView) -> None:
    view.remove_product(FRUSTUM)


def corners(camera: Camera, depth_mm: float) -> np.ndarray:
    """(4, 3) where the outer corners of the image lie at this depth, world LPS mm; clockwise from the top left one."""
    columns, rows = camera.size
    pixels = [
        (u, v, 1) for u, v in ((-0.5, -0.5), (columns - 0.5, -0.5), (columns - 0.5, rows - 0.5), (-0.5, rows - 0.5))
    ]
    return camera.source + depth_mm * np.array(pixels) @ camera.ray_matrix.T


def polydata(camera: Camera, depth_mm: float) -> vtkPolyData:
    """The frustum's lines, RAS mm: source to corners, the detector's edge, the central ray in dashes; a ball at the source."""
    edge = corners(camera, depth_mm)
    foot = camera.source + depth_mm * camera.world_from_camera[:3, 2]
    dashes = np.arange(0, depth_mm, DASH_MM)[: int(depth_mm / DASH_MM) // 2 * 2].reshape(-1, 2) / depth_mm
    dashes = camera.source + dashes[..., None] * (foot - camera.source)
    source = np.broadcast_to(camera.source, (4, 3))
    segments = np.concatenate(
        [np.stack([source, edge], axis=1), np.stack([edge, np.roll(edge, -1, axis=0)], axis=1), dashes]
    )

    points, lines = vtkPoints(), vtkCellArray()
    points.SetData(numpy_to_vtk(ras_from_lps(segments.reshape(-1, 3)).copy(), deep=True))
    for i in range(len(segments)):
        lines.InsertNextCell(2, (2 * i, 2 * i + 1))
    drawn = vtkPolyData()
    drawn.SetPoints(points)
    drawn.SetLines(lines)
    ball = vtkSphereSource()
    ball.SetCenter(*ras_from_lps(camera.source))
    ball.SetRadius(SOURCE_RADIUS_MM)
    both = vtkAppendPolyData()
    both.AddInputData(drawn)
    both.AddInputConnection(ball.GetOutputPort())
    both.Update()
    return both.GetOutput()


def _style(node) -> None:
    node.CreateDefaultDisplayNodes()
    node.SetSelectable(False)  # points are placed on what lies behind it
    display = node.GetDisplayNode()
    display.SetVisibility2D(False)
    display.SetLineWidth(LINE_WIDTH)
    display.SetLighting(False)
    display.SetBackfaceCulling(True)  # the ball is not in the way of an eye at the source
