"""What is projected into the X-rays of a segment, a model or markups: its surface, lines and points, in the frame of its own node."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkCleanPolyData, vtkPolyDataNormals, vtkTriangleFilter

from ..geometry.silhouette import Surface
from .lines import polyline
from .markups import placed

SURFACE = "Closed surface"


@dataclass(eq=False)
class Shape:
    """surface: None where there is none. lines: (k, 2, 3) and points: (n, 3), RAS mm."""

    surface: Surface | None = None
    lines: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 3)))
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    def seen_from(self, source) -> np.ndarray:
        """Lines (k, 2, 3): what is drawn of it for a source (3,), all in the shape's frame."""
        return self.lines if self.surface is None else np.concatenate([self.surface.outline(source), self.lines])


@dataclass(frozen=True)
class Part:
    """Something that has one colour and one outline: a segment, a model, or markups.

    stamp: another one as soon as the shape is another.
    """

    node: object
    segment_id: str
    name: str
    colour: tuple[float, float, float]
    stamp: tuple

    @property
    def key(self) -> tuple[str, str]:
        return self.node.GetID(), self.segment_id

    def shape(self) -> Shape:
        if self.segment_id:
            return Shape(_surface(_segment_mesh(self.node, self.segment_id)))
        if self.node.IsA("vtkMRMLModelNode"):
            return shape_of(self.node.GetPolyData())
        return Shape(lines=_markups_lines(self.node), points=_markups_points(self.node))


def shape_of(mesh) -> Shape:
    """Of a vtkPolyData, in its own frame."""
    return Shape(_surface(_mended(mesh)), _mesh_lines(mesh))


def parts_of(node) -> list[Part]:
    """The parts of a segmentation, model or markups node that are shown."""
    display = node.GetDisplayNode()
    if display is None or not display.GetVisibility():
        return []
    if node.IsA("vtkMRMLSegmentationNode"):
        return _segments(node, display)
    if node.IsA("vtkMRMLModelNode"):
        mesh = node.GetPolyData()
        return [Part(node, "", node.GetName(), display.GetColor(), (mesh.GetMTime(),))] if mesh is not None else []
    stamp = (_markups_lines(node).tobytes(), _markups_points(node).tobytes())
    return [Part(node, "", node.GetName(), display.GetSelectedColor(), stamp)] if any(stamp) else []


def _segments(node, display) -> list[Part]:
    segmentation = node.GetSegmentation()
    parts = []
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        shown = segment.GetRepresentation(SURFACE) or segment.GetRepresentation(
            segmentation.GetSourceRepresentationName()
        )
        if display.GetSegmentVisibility(segment_id) and shown is not None:
            parts.append(Part(node, segment_id, segment.GetName(), segment.GetColor(), (shown.GetMTime(),)))
    return parts


def _segment_mesh(node, segment_id: str):
    """Its closed surface: the one that the segmentation has, or one made for us, without a change of the node."""
    mesh = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(SURFACE)
    if mesh is None:
        mesh = vtkPolyData()
        slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentClosedSurfaceRepresentation(node, segment_id, mesh, False)
    return mesh


def _mended(mesh):
    """The same mesh, in which neighbours share their points, and go round the same way; models from files often are not like that."""
    merged, oriented = vtkCleanPolyData(), vtkPolyDataNormals()
    merged.SetInputData(mesh)
    oriented.SetInputConnection(merged.GetOutputPort())
    oriented.SplittingOff()
    oriented.ConsistencyOn()
    oriented.Update()
    return oriented.GetOutput()


def _surface(mesh) -> Surface | None:
    triangles = vtkTriangleFilter()
    triangles.PassVertsOff()
    triangles.PassLinesOff()
    triangles.SetInputData(mesh)
    triangles.Update()
    mesh = triangles.GetOutput()
    if not mesh.GetNumberOfPolys():
        return None
    return Surface(_array(mesh.GetPoints()), vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3))


def _mesh_lines(mesh) -> np.ndarray:
    """(k, 2, 3): the lines of a mesh, if it has any besides its faces."""
    points, lines = _array(mesh.GetPoints()), mesh.GetLines()
    index = vtk_to_numpy(lines.GetConnectivityArray())
    starts = vtk_to_numpy(lines.GetOffsetsArray())
    pieces = [polyline(points[index[a:b]]) for a, b in pairwise(starts)]
    return np.concatenate([np.zeros((0, 2, 3)), *pieces])


def _markups_lines(node) -> np.ndarray:
    if node.IsA("vtkMRMLMarkupsPlaneNode"):
        corners = vtkPoints()
        node.GetPlaneCornerPoints(corners)
        return polyline(_array(corners), closed=True)
    if node.IsA("vtkMRMLMarkupsFiducialNode") or node.IsA("vtkMRMLMarkupsROINode"):
        return np.zeros((0, 2, 3))
    return polyline(_array(node.GetCurvePoints()))


def _markups_points(node) -> np.ndarray:
    """The control points that have been placed, of point lists, lines and angles."""
    if node.IsA("vtkMRMLMarkupsPlaneNode") or node.IsA("vtkMRMLMarkupsROINode") or node.IsA("vtkMRMLMarkupsCurveNode"):
        return np.zeros((0, 3))
    return np.array([node.GetNthControlPointPosition(i) for i in placed(node)], float).reshape(-1, 3)


def _array(points) -> np.ndarray:
    """(n, 3) of vtkPoints."""
    if points is None or not points.GetNumberOfPoints():
        return np.zeros((0, 3))
    return vtk_to_numpy(points.GetData()).astype(float)
