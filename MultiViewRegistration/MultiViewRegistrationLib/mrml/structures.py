"""Structures of the patient in the X-rays.

Outlines of segments and models, trajectories and points.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkCleanPolyData, vtkPolyDataNormals, vtkTriangleFilter

from ..geometry import rigid
from ..geometry.silhouette import Surface
from ..known import Known
from .ct_3d import bones_of, mask_surface
from .nodes import (
    LABELMAP,
    Colour,
    array_of,
    box_in_labelmap,
    cross,
    draw,
    in_time,
    is_under,
    lines_node,
    nodes_of_class,
    place_of_voxels,
    polyline,
    positions,
    ras_from_lps,
    ras_from_node,
    references,
    remove_product,
    segments_of,
    set_references,
    voxels_of_labelmap,
)
from .overlay import show_names
from .registration import Registration
from .xray import DetectorPlane, detectors

SURFACE = "Closed surface"


@dataclass(eq=False)
class Shape:
    """What a structure's outlines in the X-rays are made from.

    Attributes
    ----------
    surface
        None where there is none.
    lines, points
        (k, 2, 3) and (n, 3), RAS mm.
    """

    surface: Surface | None = None
    lines: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 3)))
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    def seen_from(self, source: np.ndarray, scan: np.ndarray | None) -> np.ndarray:
        """Return the lines (k, 2, 3) to draw for a source (3,), which moves along `scan`, if at all; all in the shape's frame."""
        return (
            self.lines
            if self.surface is None
            else np.concatenate([self.surface.outline(source, scan), self.lines])
        )


@dataclass(frozen=True)
class StructurePart:
    """Something that has one colour and one outline: a segment, a model, or markups.

    Attributes
    ----------
    stamp
        Another one as soon as the shape is another.
    """

    node: Any
    segment_id: str
    name: str
    colour: Colour
    stamp: tuple

    @property
    def key(self) -> tuple[str, str]:
        """What the part is known by."""
        return self.node.GetID(), self.segment_id

    def shape(self) -> Shape:
        """Return what the part's outlines are made from."""
        if self.segment_id:
            return Shape(_surface(_segment_mesh(self.node, self.segment_id)))
        if self.node.IsA("vtkMRMLModelNode"):
            return shape_of(self.node.GetPolyData())
        return Shape(lines=_markups_lines(self.node), points=_markups_points(self.node))


def shape_of(mesh: vtkPolyData) -> Shape:
    """Return the shape of a vtkPolyData, in its own frame."""
    return Shape(_surface(_mended(mesh)), _mesh_lines(mesh))


def parts_of(node: Any) -> list[StructurePart]:
    """Return the parts of a segmentation, model or markups node that are shown."""
    display = node.GetDisplayNode()
    if display is None or not display.GetVisibility():
        return []
    if node.IsA("vtkMRMLSegmentationNode"):
        return _segments(node, display)
    if node.IsA("vtkMRMLModelNode"):
        mesh = node.GetPolyData()
        return (
            [StructurePart(node, "", node.GetName(), display.GetColor(), (mesh.GetMTime(),))]
            if mesh is not None
            else []
        )
    stamp = (_markups_lines(node).tobytes(), _markups_points(node).tobytes())
    return (
        [StructurePart(node, "", node.GetName(), display.GetSelectedColor(), stamp)]
        if any(stamp)
        else []
    )


def _segments(node: Any, display: Any) -> list[StructurePart]:
    source = node.GetSegmentation().GetSourceRepresentationName()
    parts = []
    for segment_id, segment in segments_of(node).items():
        shown = segment.GetRepresentation(SURFACE) or segment.GetRepresentation(source)
        if display.GetSegmentVisibility(segment_id) and shown is not None:
            parts.append(
                StructurePart(
                    node, segment_id, segment.GetName(), segment.GetColor(), (shown.GetMTime(),)
                )
            )
    return parts


def _segment_mesh(node: Any, segment_id: str) -> vtkPolyData:
    """Return the closed surface of a segment.

    The one that the segmentation has, or one made for us, without a change of the node.
    """
    mesh = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(SURFACE)
    if mesh is None:
        mesh = _labelmap_mesh(node.GetSegmentation().GetSegment(segment_id))
    if mesh is None:
        mesh = vtkPolyData()
        slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentClosedSurfaceRepresentation(
            node, segment_id, mesh, False
        )
    return mesh


def _labelmap_mesh(segment: Any) -> vtkPolyData | None:
    """Return the surface of the part of its labelmap that a segment fills; None without one.

    Of a spine in one layer Slicer takes all of the CT for each vertebra.
    """
    labelmap = segment.GetRepresentation(LABELMAP)
    voxels = labelmap and voxels_of_labelmap(labelmap)
    box = None if voxels is None else box_in_labelmap(labelmap, segment.GetLabelValue())
    if voxels is None or box is None:
        return None
    place = place_of_voxels(labelmap) @ rigid.translation([side.start for side in box[::-1]])
    return mask_surface(voxels[box] == segment.GetLabelValue(), place)


def _mended(mesh: vtkPolyData) -> vtkPolyData:
    """Return a mesh in which neighbours share their points, and go round the same way.

    Models from files often are not like that.
    """
    merged = vtkCleanPolyData()
    oriented = vtkPolyDataNormals()
    merged.SetInputData(mesh)
    oriented.SetInputConnection(merged.GetOutputPort())
    oriented.SplittingOff()
    oriented.ConsistencyOn()
    oriented.Update()
    return oriented.GetOutput()


def _surface(mesh: vtkPolyData) -> Surface | None:
    triangles = vtkTriangleFilter()
    triangles.PassVertsOff()
    triangles.PassLinesOff()
    triangles.SetInputData(mesh)
    triangles.Update()
    mesh = triangles.GetOutput()
    if not mesh.GetNumberOfPolys():
        return None
    return Surface(
        array_of(mesh.GetPoints()),
        vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3),
    )


def _mesh_lines(mesh: vtkPolyData) -> np.ndarray:
    """Return the lines (k, 2, 3) of a mesh, if it has any besides its faces."""
    points = array_of(mesh.GetPoints())
    lines = mesh.GetLines()
    index = vtk_to_numpy(lines.GetConnectivityArray())
    starts = vtk_to_numpy(lines.GetOffsetsArray())
    pieces = [polyline(points[index[a:b]]) for a, b in pairwise(starts)]
    return np.concatenate([np.zeros((0, 2, 3)), *pieces])


def _markups_lines(node: Any) -> np.ndarray:
    if node.IsA("vtkMRMLMarkupsPlaneNode"):
        corners = vtkPoints()
        node.GetPlaneCornerPoints(corners)
        return polyline(array_of(corners), closed=True)
    if node.IsA("vtkMRMLMarkupsFiducialNode") or node.IsA("vtkMRMLMarkupsROINode"):
        return np.zeros((0, 2, 3))
    return polyline(array_of(node.GetCurvePoints()))


def _markups_points(node: Any) -> np.ndarray:
    """Return the control points that have been placed, of point lists, lines and angles."""
    if (
        node.IsA("vtkMRMLMarkupsPlaneNode")
        or node.IsA("vtkMRMLMarkupsROINode")
        or node.IsA("vtkMRMLMarkupsCurveNode")
    ):
        return np.zeros((0, 3))
    return positions(node, world=False)


STRUCTURE = "structure"
#: In the record: whether the nodes of that role are shown ("chosen"), or all that moves
#: with the CT ("").
STRUCTURES = "structures"
PROJECTED_CLASSES = ("vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode")
#: The arms of a point's cross, as shares of the image's larger side.
GAP = 0.004
REACH = 0.015


def choose_structures(registration: Registration, nodes: list | None) -> None:
    """Project these segmentations (the segments shown), models and markups, wherever they are.

    None projects all that moves with the CT.
    """
    registration.keep(STRUCTURES, "" if nodes is None else "chosen")
    set_references(registration.node, STRUCTURE, nodes or ())


def candidates(registration: Registration) -> list:
    """Return the segmentations, models and markups that a person may choose from."""
    return [node for node in _all(registration) if not node.GetHideFromEditors()]


def _all(registration: Registration) -> list:
    return list(chain(*(nodes_of_class(kind, registration.scene) for kind in PROJECTED_CLASSES)))


def structures_of(registration: Registration) -> list:
    """Return the nodes that are projected, whether or not they are shown at present."""
    if registration.kept(STRUCTURES) == "chosen":
        return references(registration.node, STRUCTURE)
    bones = bones_of(registration).values()
    moving = [registration.ct_transform, *(bone.node for bone in bones)]
    # Bones with poses of their own are outlined by themselves, and of the CT's surface there is the
    # DRR.
    drawn = [bone.surface for bone in bones] + ([registration.segmentation] if bones else [])
    others = [node for node in candidates(registration) if node not in drawn]
    return [node for node in others if any(is_under(node, transform) for transform in moving)]


class Outline(NamedTuple):
    """An outline in an X-ray.

    Attributes
    ----------
    name
        Of the bone; "" of another structure, and of a part of the bone that lies elsewhere than the
        whole CT's pose has it.
    colour
        Red, green, blue from 0 to 1: that of the structure, or of what does not fit.
    lines
        (k, 2, 2) pixels.
    chosen
        Whether it is of the bone that a person has chosen.
    """

    name: str
    colour: Colour
    lines: np.ndarray
    chosen: bool = False


#: The role of the model of an X-ray with the outlines of structures, bones and what does not fit,
#: the colours of what does not fit and of where that would have been seen, and the thickness of
#: lines.
OUTLINES = "outlines"
MISFIT_COLOUR = (1.0, 0.35, 0.3)
TESTED_COLOUR = (0.34, 0.71, 0.91)
OUTLINE_THICKNESS = 3


def show_outlines(
    registration: Registration, outlines_in: Callable[[DetectorPlane], Sequence[Outline]]
) -> None:
    """Draw the outlines of structures, bones and what does not fit on each X-ray that is shown.

    New ones as `in_time`, so call it from a timer.

    Parameters
    ----------
    outlines_in
        Gives them for an X-ray.
    """
    seen = {detector.view.id: detector for detector in detectors(registration) if detector.slice_id}
    making = in_time()
    for view in registration.xrays:
        detector = seen.get(view.id)
        outlines = [each for each in outlines_in(detector) if len(each.lines)] if detector else []
        if detector is None or not outlines:
            remove_product(view.node, OUTLINES)
            continue
        lines = np.concatenate([each.lines for each in outlines])
        colours = np.concatenate([np.tile(each.colour, (len(each.lines), 1)) for each in outlines])
        node = view.node.GetNodeReference(OUTLINES)
        stamp = f"{zlib.crc32(colours.tobytes(), zlib.crc32(lines.tobytes()))} {detector.slice_id}"
        if making() if node is None else node.GetAttribute(OUTLINES) != stamp:
            if node is None:
                node = lines_node(view.node, f"{view.name} outlines", OUTLINE_THICKNESS)
                view.node.SetNodeReferenceID(OUTLINES, node.GetID())
            draw(node, detector.on_plane(lines), colours, detector.slice_id)
            show_names(node, detector.slice_id, _names_beside(outlines, detector))
            node.SetAttribute(OUTLINES, stamp)


def _names_beside(
    outlines: Sequence[Outline], detector: DetectorPlane
) -> list[tuple[str, Colour, np.ndarray]]:
    """Return each name, its colour and the place (3,), RAS mm, to whose right it is written.

    Lower with each: names of neighbours do not overlap.
    """
    named = [each for each in outlines if each.name]
    names = []
    for number, each in enumerate(named):
        ends = each.lines.reshape(-1, 2)
        lower = ends[ends[:, 1] >= np.quantile(ends[:, 1], number / len(named))]
        place = detector.on_plane(lower[lower[:, 0].argmax()])
        names.append((each.name, each.colour, place))
    return names


class KnownOutlines:
    """Outlines of shapes in X-rays, found again only where shape, place or X-ray is another."""

    def __init__(self) -> None:
        self._known = Known()

    def of(
        self, key: Any, shape: Shape, ras_from_shape: np.ndarray, detector: DetectorPlane
    ) -> np.ndarray:
        """Return `outlined` of the shape that is known by this key."""
        of = detector.stamp, shape, ras_from_shape.tobytes()
        find = partial(outlined, shape, ras_from_shape, detector)
        return self._known.value((detector.view.id, key), of, find)


class StructureOutlines:
    """The outlines of a registration's structures."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._shapes = Known()
        self._outlines = KnownOutlines()

    def take(self) -> Callable[[DetectorPlane], list[Outline]]:
        """Return what gives the outlines of the structures as they are now in an X-ray."""
        every = chain(*map(parts_of, structures_of(self._registration)))
        found = []
        for part in every:
            shape = self._shapes.value(part.key, part.stamp, part.shape)
            found.append((part, shape, ras_from_node(part.node)))

        def outlines(detector: DetectorPlane) -> list[Outline]:
            drawn = []
            for part, shape, place in found:
                lines = self._outlines.of(part.key, shape, place, detector)
                drawn.append(Outline("", part.colour, lines))
            return drawn

        return outlines


def outlined(shape: Shape, ras_from_shape: np.ndarray, detector: DetectorPlane) -> np.ndarray:
    """Return the lines (k, 2, 2) that a shape leaves in the image, in its pixels."""
    source = np.linalg.solve(ras_from_shape, [*detector.source, 1.0])[:3]
    step = np.linalg.solve(ras_from_shape[:3, :3], ras_from_lps(detector.camera.source_step))
    scan = rigid.unit(step) if step.any() else None
    place = ras_from_shape[:3, :3].T, ras_from_shape[:3, 3]
    lines = shape.seen_from(source, scan) @ place[0] + place[1]
    lines = detector.pixels(
        lines[(detector.depth(lines) > 0).all(axis=1)]
    )  # what lies before the source
    points = shape.points @ place[0] + place[1]
    points = detector.pixels(points[detector.depth(points) > 0])
    side = max(detector.camera.size)
    return np.concatenate([lines, cross(points, GAP * side, REACH * side)])
