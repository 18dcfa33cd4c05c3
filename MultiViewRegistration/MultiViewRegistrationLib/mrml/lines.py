"""Model nodes that are nothing but lines: outlines, rays, crosses."""

from __future__ import annotations

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

from .products import OWNER


def lines_node(owner, name: str, thickness: int = 2):
    """A vtkMRMLModelNode, made for `owner`, to `draw` lines in."""
    node = slicer.vtkMRMLModelNode()
    node.SetName(name)
    node.SetHideFromEditors(True)  # it is part of a view, like a ruler
    node.SetSelectable(False)
    node = owner.GetScene().AddNode(node)
    node.SetNodeReferenceID(OWNER, owner.GetID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSliceDisplayModeToProjection()  # a line that lies in the slice has no intersection with it
    display.SetSliceIntersectionThickness(thickness)
    display.SetLineWidth(thickness)
    display.SetLighting(False)
    return node


def draw(node, lines: np.ndarray, colour, slice_id: str | None = None) -> None:
    """Show lines (k, 2, 3), RAS mm, in the place of those before: in this slice view only, without one in the 3D views only."""
    node.SetAndObservePolyData(mesh_of(lines))
    display = node.GetDisplayNode()
    display.SetColor(*colour)
    display.SetVisibility2D(slice_id is not None)
    display.SetVisibility3D(slice_id is None)
    if slice_id is not None and tuple(display.GetViewNodeIDs()) != (slice_id,):
        display.SetViewNodeIDs([slice_id])


def mesh_of(lines: np.ndarray):
    """vtkPolyData of lines (k, 2, 3)."""
    ends = np.ascontiguousarray(lines, np.float32).reshape(-1, 3)
    points, cells, mesh = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetData(numpy_to_vtk(ends, deep=True))
    offsets, index = np.arange(0, len(ends) + 1, 2), np.arange(len(ends))
    cells.SetData(numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(index, deep=True))
    mesh.SetPoints(points)
    mesh.SetLines(cells)
    return mesh


def cross(pixels, gap: float, reach: float) -> np.ndarray:
    """(4 n, 2, 2): four arms about each of the pixels (n, 2), from `gap` to `reach` pixels away; what is in the middle stays in sight."""
    arm = np.array([[gap, 0], [reach, 0]])
    arms = np.stack([arm, -arm, arm[:, ::-1], -arm[:, ::-1]])
    return (np.reshape(pixels, (-1, 1, 1, 2)) + arms).reshape(-1, 2, 2)


def polyline(points: np.ndarray, closed: bool = False) -> np.ndarray:
    """(k, 2, 3): the lines that join points (n, 3) one after the other."""
    following = np.roll(points, -1, axis=0)
    return np.stack([points, following], axis=1)[: None if closed else -1]
