"""Nodes of a scene: LPS and RAS, nodes made for another node, models that are only lines, control points of markups, segments.

The library's world is LPS, a scene's is RAS, and only here one becomes the other (but for files of
other programs in RAS, which io.transforms turns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from itertools import chain, count
from time import perf_counter
from typing import Any

import numpy as np
import scipy
import slicer
from numpy.typing import ArrayLike
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import mutable, vtkCommand, vtkLookupTable, vtkPoints, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkDataObject, vtkPolyData

from ..geometry import rigid
from ..imaging.bone_names import TOTAL_SEGMENTATOR, Group, belongs
from ..io.transforms import LPS_FROM_RAS, turned


def ras_from_lps(array: ArrayLike) -> np.ndarray:
    """Turn points (..., 3) in mm, or the place (4, 4) of something such as `world_from_index`, from LPS to RAS."""
    array = np.asarray(array, float)
    return LPS_FROM_RAS @ array if array.shape == (4, 4) else array * LPS_FROM_RAS.diagonal()[:3]


#: A transform (4, 4) between two LPS frames as one between the same two in RAS; the way back is the
#: same.
transform_to_ras = transform_to_lps = turned
lps_from_ras = ras_from_lps


def transform_of(node: Any) -> np.ndarray:
    """Return where (4, 4), LPS, a linear vtkMRMLTransformNode puts what is under it in the world."""
    return transform_to_lps(ras_from_transform(node))


def set_transform(node: Any, world_from_child: np.ndarray) -> None:
    """Have a vtkMRMLLinearTransformNode put what is under it there (4, 4), in LPS, whatever it is under itself."""
    parent_from_child = np.linalg.inv(ras_from_node(node)) @ transform_to_ras(world_from_child)
    slicer.util.updateTransformMatrixFromArray(node, parent_from_child)


def world_from_node(node: Any) -> np.ndarray:
    """Return the transform (4, 4), LPS, that the parents of a vtkMRMLTransformableNode put it under. They must be linear."""
    return transform_to_lps(ras_from_node(node))


def ras_from_node(node: Any) -> np.ndarray:
    """Return `world_from_node` in RAS."""
    return ras_from_transform(node.GetParentTransformNode())


def ras_from_transform(transform: Any) -> np.ndarray:
    """Return where (4, 4), RAS, a vtkMRMLTransformNode and its parents put what is under it; None is under nothing.

    One that is not linear, or whose parents are not, counts as the identity; asked for its matrix, Slicer logs errors.
    """
    if transform is None or not transform.IsTransformToWorldLinear():
        return np.eye(4)
    return slicer.util.arrayFromTransformMatrix(transform, toWorld=True)


def from_node_to(other: Any, node: Any) -> np.ndarray:
    """Return the transform (4, 4), RAS mm, from the frame of a node to that of another one, by where their linear transforms put them."""
    return np.linalg.inv(ras_from_node(other)) @ ras_from_node(node)


def is_linear(node: Any) -> bool:
    """Return whether the transforms that a vtkMRMLTransformableNode is under, if any, are linear."""
    parent = node.GetParentTransformNode()
    return parent is None or bool(parent.IsTransformToWorldLinear())


def is_under(node: Any, transform: Any) -> bool:
    """Return whether a vtkMRMLTransformableNode moves with a transform node, be it through others."""
    parent = node.GetParentTransformNode()
    while parent is not None and parent is not transform:
        parent = parent.GetParentTransformNode()
    return parent is not None


#: Red, green, blue from 0 to 1.
Colour = tuple[float, float, float]
OWNER = "MultiViewRegistration.owner"


def configure(target: Any, **values: object) -> None:
    """Set properties of a node or a filter by their names.

    `Color=(1, 0, 0)` calls SetColor(1, 0, 0).
    """
    for name, value in values.items():
        getattr(target, f"Set{name}")(*(value if isinstance(value, tuple) else (value,)))


def make(owner: Any, class_name: str, name: str, *, hidden: bool = False, **display):
    """Return a node made for another, see `products_of`.

    Parameters
    ----------
    hidden
        It is in no list of nodes, nor in the tree of Slicer's Data module.
    display
        Properties of its display node, see `configure`.
    """
    node = getattr(slicer, class_name)()
    node.SetName(name)
    node.SetHideFromEditors(hidden)  # Slicer reads this only when the node enters the scene
    node.SetNodeReferenceID(OWNER, owner.GetID())  # its views follow each change from there on
    node = owner.GetScene().AddNode(node)
    if display:
        node.CreateDefaultDisplayNodes()
        with slicer.util.NodeModify(node.GetDisplayNode()):
            configure(node.GetDisplayNode(), **display)
    return node


def product(owner: Any, role: str, class_name: str, name: str, **how):
    """Return the node that `owner` refers to as `role`; made, with that name, where there is none.

    Parameters
    ----------
    how
        See `make`.
    """
    node = owner.GetNodeReference(role)
    if node is None:
        node = make(owner, class_name, name, **how)
        owner.SetNodeReferenceID(role, node.GetID())
    return node


def references(node: Any, role: str) -> list:
    """Return the nodes that a node refers to in a role, in their order."""
    found = (node.GetNthNodeReference(role, i) for i in range(node.GetNumberOfNodeReferences(role)))
    return [other for other in found if other is not None]


def all_references(node: Any) -> dict[str, list[str]]:
    """Return the IDs of the nodes that a node refers to, by the role."""
    roles = map(node.GetNthNodeReferenceRole, range(node.GetNumberOfNodeReferenceRoles()))
    return {role: [each.GetID() for each in references(node, role)] for role in roles}


def set_references(node: Any, role: str, others: Iterable) -> None:
    """Have a node refer to these in a role, and to no others."""
    node_ids = [other.GetID() for other in others]
    node.RemoveNodeReferenceIDs(role)
    for node_id in node_ids:
        node.AddNodeReferenceID(role, node_id)


def products_of(owner: Any) -> list:
    """Return all nodes that were made for `owner`."""
    scene = owner.GetScene()
    every = map(scene.GetNthNode, range(scene.GetNumberOfNodes()))
    return [node for node in every if node.GetNodeReferenceID(OWNER) == owner.GetID()]


def rename(node: Any, name: str) -> None:
    """Give a node another name, also in those of what was made for it: "AP DRR"."""
    before = node.GetName()
    node.SetName(name)
    for made in products_of(node):
        if made.GetName().startswith(f"{before} "):
            made.SetName(name + made.GetName().removeprefix(before))


def remove_product(owner: Any, role: str) -> None:
    """Remove the node that `owner` refers to as `role`, if there is one."""
    node = owner.GetNodeReference(role)
    if node is not None:
        remove_with_products(node)


def volumes(scene: Any) -> list:
    """Return the volumes with grey values that a person can choose from, without DRRs of an X-ray."""
    found = []
    for node in nodes_of_class("vtkMRMLScalarVolumeNode", scene):
        owner = node.GetNodeReference(OWNER)
        hidden = node.GetHideFromEditors() or node.IsA("vtkMRMLLabelMapVolumeNode")
        if not hidden and (owner is None or not owner.IsA("vtkMRMLVolumeNode")):
            found.append(node)
    return found


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return a name, with a number if need be, that is none of those taken, whatever their case."""
    folded = {each.casefold() for each in taken}
    names = chain([name], (f"{name} {n}" for n in count(2)))
    return next(each for each in names if each.casefold() not in folded)


def models(scene: Any) -> list:
    """Return the surfaces that a person can choose from, without those of bones and CTs."""
    found = nodes_of_class("vtkMRMLModelNode", scene)
    shown = (node for node in found if not node.GetHideFromEditors() and node.GetPolyData())
    return [node for node in shown if node.GetNodeReference(OWNER) is None]


def segmentations(scene: Any) -> list:
    """Return all segmentations of a scene."""
    return nodes_of_class("vtkMRMLSegmentationNode", scene)


def segmentations_of_ct(scene: Any) -> list:
    """Return the segmentations that are no masks of X-rays."""
    return [node for node in segmentations(scene) if not node.GetNodeReferenceID(OWNER)]


def nodes_of_class(name: str, scene: Any) -> list:
    """Return all nodes of a class in a scene; `slicer.util.getNodesByClass` searches `slicer.mrmlScene` instead."""
    found = scene.GetNodesByClass(name)
    found.UnRegister(None)
    return [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]


def array_of(points: vtkPoints | None) -> np.ndarray:
    """Return vtkPoints as an array (n, 3)."""
    if points is None or not points.GetNumberOfPoints():
        return np.zeros((0, 3))
    return vtk_to_numpy(points.GetData()).astype(float)


def put_table(
    scene: Any,
    name: str,
    columns: Sequence[str],
    rows: np.ndarray,
    words: Mapping[str, Sequence[str]],
):
    """Return the vtkMRMLTableNode of this name with these columns of numbers, then of words, made where there is none."""
    there = [node for node in nodes_of_class("vtkMRMLTableNode", scene) if node.GetName() == name]
    node = there[0] if there else scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.RemoveAllColumns()
    slicer.util.updateTableFromArray(node, np.asarray(rows, float), list(columns))
    for title, texts in words.items():
        column = vtkStringArray()
        column.SetName(title)
        for text in texts:
            column.InsertNextValue(text)
        node.AddColumn(column)
    return node


def has_voxels(volume: Any) -> bool:
    """Return whether there is a volume node, and an image in it."""
    return volume is not None and volume.GetImageData() is not None


#: What Slicer calls the voxels of a segment.
LABELMAP = "Binary labelmap"


def segments_of(segmentation: Any) -> dict[str, Any]:
    """Return the vtkSegments of a vtkMRMLSegmentationNode by their IDs, in their order."""
    segments = segmentation.GetSegmentation()
    return {each: segments.GetSegment(each) for each in segments.GetSegmentIDs()}


def labelmap_of(segmentation: Any) -> Any:
    """Return the vtkOrientedImageData of a segmentation's first segment that has voxels.

    None without any.
    """
    found = (segment.GetRepresentation(LABELMAP) for segment in segments_of(segmentation).values())
    return next(filter(None, found), None)


def place_of_labelmap(labelmap: Any) -> np.ndarray:
    """Return the matrix (4, 4) that takes (column, row, slice, 1) of a labelmap to RAS mm in the frame of the segmentation's node."""
    place = slicer.util.vtkMatrixFromArray(np.eye(4))
    labelmap.GetImageToWorldMatrix(place)
    return slicer.util.arrayFromVTKMatrix(place)


def place_of_voxels(labelmap: Any) -> np.ndarray:
    """Return `place_of_labelmap` of its `voxels_of_labelmap`, whose first one need not be (0, 0, 0)."""
    return place_of_labelmap(labelmap) @ rigid.translation(labelmap.GetExtent()[::2])


@lru_cache(maxsize=64)
def _boxes(labelmap: Any, _modified: int) -> list:
    voxels = voxels_of_labelmap(labelmap)
    return [] if voxels is None or not voxels.size else scipy.ndimage.find_objects(voxels)


def box_in_labelmap(labelmap: Any, value: int) -> tuple[slice, slice, slice] | None:
    """Return the slices, rows and columns of a vtkOrientedImageData that hold all voxels of a value above 0; None without any."""
    boxes = _boxes(labelmap, labelmap.GetMTime())
    return boxes[value - 1] if 0 < value <= len(boxes) else None


def voxels_of_labelmap(labelmap: Any) -> np.ndarray | None:
    """Return the values (slices, rows, columns) of a labelmap; None without any."""
    scalars = labelmap.GetPointData().GetScalars()
    return vtk_to_numpy(scalars).reshape(labelmap.GetDimensions()[::-1]) if scalars else None


@contextmanager
def in_batch(scene: Any) -> Iterator[None]:
    """Have Slicer's views follow what is done in here at its end, once; each change alone may take them a tenth of a second."""
    scene.StartState(scene.BatchProcessState)
    try:
        yield
    finally:
        scene.EndState(scene.BatchProcessState)


def drawn_at_the_end() -> AbstractContextManager:
    """Return a context in which Slicer's views are not drawn, but once at its end; else each of many nodes may wait for them."""
    pauses = hasattr(getattr(slicer, "app", None), "pauseRender")
    return slicer.util.RenderBlocker() if pauses else nullcontext()


def with_subordinates(owners: list) -> list:
    """Return the nodes, and their display and storage nodes."""
    found = list(owners)
    for node in owners:
        if node.IsA("vtkMRMLDisplayableNode"):
            found += map(node.GetNthDisplayNode, range(node.GetNumberOfDisplayNodes()))
        if node.IsA("vtkMRMLStorableNode"):
            found += map(node.GetNthStorageNode, range(node.GetNumberOfStorageNodes()))
    return list(filter(None, dict.fromkeys(found)))


#: Seconds in which a call from a timer makes and removes nodes, the rest in later ones: in Slicer's
#: application each may take its views a tenth of a second.
MAKING_S = 0.06


def in_time() -> Callable[[], bool]:
    """Return a function that says whether less than MAKING_S has passed since it was first called."""
    asked: list[float] = []

    def making() -> bool:
        asked.append(perf_counter())
        return asked[-1] - asked[0] < MAKING_S

    return making


def remove_with_products(node: Any) -> None:
    """Remove a node, what was made for it, and what was made for that.

    Display and storage nodes go along.
    """
    scene = node.GetScene()
    for made in products_of(node):
        remove_with_products(made)
    take_out_of_views(node)
    for other in with_subordinates([node]):
        if scene.IsNodePresent(other):
            scene.RemoveNode(other)


def take_out_of_views(node: Any) -> None:
    """Have no slice view show a volume that is about to be removed.

    Slicer would put any other volume in its place, as opaque as it was.
    """
    if not node.IsA("vtkMRMLVolumeNode"):
        return
    for composite in nodes_of_class("vtkMRMLSliceCompositeNode", node.GetScene()):
        if composite.GetForegroundVolumeID() == node.GetID():
            composite.SetForegroundVolumeID(None)
            composite.SetForegroundOpacity(0.0)
        if composite.GetBackgroundVolumeID() == node.GetID():
            composite.SetBackgroundVolumeID(None)


def leave_out_of_files(node: Any) -> None:
    """Have no scene file take a node and its display node: it is drawn anew where a scene is opened."""
    for each in with_subordinates([node]):
        each.SetSaveWithScene(False)


def lines_node(owner: Any, name: str, thickness: int):
    """Return a vtkMRMLModelNode, made for `owner`, to `draw` lines in.

    No file would keep its table of colours.
    """
    node = make(
        owner,
        "vtkMRMLModelNode",
        name,
        hidden=True,  # it is part of a view, like a ruler
        # A line that lies in the slice has no intersection with it.
        SliceDisplayMode=slicer.vtkMRMLModelDisplayNode.SliceDisplayProjection,
        SliceIntersectionThickness=thickness,
        LineWidth=thickness,
        Lighting=False,
    )
    node.SetSelectable(False)
    leave_out_of_files(node)
    return node


#: The array of a model's lines with their colours.
LINE_COLOURS = "colours"


def draw(node: Any, lines: np.ndarray, colour: ArrayLike, slice_id: str | None = None) -> None:
    """Show lines (k, 2, 3), RAS mm, in the place of those before.

    In this slice view only, without one in the 3D views only. In one colour (3,), or in one for
    each line (k, 3), from 0 to 1.
    """
    mesh = mesh_of(lines)
    display = node.GetDisplayNode()
    colours = np.asarray(colour, float)
    if colours.ndim == 2:
        values = numpy_to_vtk(np.round(255 * colours).astype(np.uint8), deep=True)
        values.SetName(LINE_COLOURS)
        # Colours as they are have no range, of which the table of a slice view would log an error
        # each time that it draws them.
        table = vtkLookupTable()
        table.AddObserver(vtkCommand.ErrorEvent, lambda *_: None)
        values.SetLookupTable(table)
        mesh.GetCellData().SetScalars(values)
    node.SetAndObservePolyData(mesh)
    with slicer.util.NodeModify(display):
        display.SetVisibility2D(slice_id is not None)
        display.SetVisibility3D(slice_id is None)
        if slice_id is not None and tuple(display.GetViewNodeIDs()) != (slice_id,):
            display.SetViewNodeIDs([slice_id])
        if np.ndim(colour) == 1:
            display.SetColor(*np.asarray(colour))
            return
        display.SetActiveScalar(LINE_COLOURS, vtkDataObject.CELL)
        display.SetScalarRangeFlag(display.UseDirectMapping)
        display.SetScalarVisibility(True)


def mesh_of(lines: np.ndarray) -> vtkPolyData:
    """Return a vtkPolyData of lines (k, 2, 3)."""
    ends = np.ascontiguousarray(lines, np.float32).reshape(-1, 3)
    points = vtkPoints()
    cells = vtkCellArray()
    mesh = vtkPolyData()
    points.SetData(numpy_to_vtk(ends, deep=True))
    offsets = np.arange(0, len(ends) + 1, 2)
    index = np.arange(len(ends))
    cells.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(index, deep=True)
    )
    mesh.SetPoints(points)
    mesh.SetLines(cells)
    return mesh


def cross(pixels: ArrayLike, gap: float, reach: float) -> np.ndarray:
    """Return four arms (4 n, 2, 2) about each of the pixels (n, 2), from `gap` to `reach` pixels away.

    What is in the middle stays in sight.
    """
    arm = np.array([[gap, 0], [reach, 0]])
    arms = np.stack([arm, -arm, arm[:, ::-1], -arm[:, ::-1]])
    return (np.reshape(pixels, (-1, 1, 1, 2)) + arms).reshape(-1, 2, 2)


def polyline(points: np.ndarray, closed: bool = False) -> np.ndarray:
    """Return the lines (k, 2, 3) that join points (n, 3) one after the other."""
    following = np.roll(points, -1, axis=0)
    return np.stack([points, following], axis=1)[: None if closed else -1]


#: No point of a patient is further away; NaN is not nearer.
MAX_MM = 1e6


def placed(markups: Any) -> list[int]:
    """Return the control points that have been placed.

    The others wait for it, or follow the mouse. None without markups.

    A damaged file may have a place that is no number: such a point has none.
    """
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    found = []
    for i in range(0 if markups is None else markups.GetNumberOfControlPoints()):
        near = np.abs(markups.GetNthControlPointPosition(i)).max() < MAX_MM
        if near and markups.GetNthControlPointPositionStatus(i) == defined:
            found.append(i)
    return found


def label_of(markups: Any, i: int) -> str:
    """Return the label of a control point.

    It comes as bytes where it is no text, as in a damaged file.
    """
    label = markups.GetNthControlPointLabel(i)
    return label if isinstance(label, str) else label.decode("utf-8", "replace")


def control_points(markups: Any, *, world: bool = True) -> list[tuple[str, np.ndarray]]:
    """Return label and position (3,), RAS mm, of the placed control points.

    In the world, or in the frame of the markups.
    """
    position = markups and (
        markups.GetNthControlPointPositionWorld if world else markups.GetNthControlPointPosition
    )
    return [(label_of(markups, i), np.array(position(i))) for i in placed(markups)]


def positions(markups: Any, *, world: bool = True) -> np.ndarray:
    """Return the positions (n, 3) of the placed control points."""
    return np.array([point for _, point in control_points(markups, world=world)], float).reshape(
        -1, 3
    )


def place(markups: Any) -> None:
    """Start placing points: each click in a view adds one to these markups, until `stop_placing`, or Escape or a right click in Slicer."""
    scene = markups.GetScene()
    selection, interaction = _modes(scene)
    selection.SetReferenceActivePlaceNodeClassName(markups.GetClassName())
    selection.SetActivePlaceNodeID(markups.GetID())
    interaction.SetPlaceModePersistence(1)
    interaction.SetCurrentInteractionMode(interaction.Place)


def stop_placing(scene: Any) -> None:
    """Give clicks back their usual meaning."""
    _, interaction = _modes(scene)
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


def is_placing(markups: Any) -> bool:
    """Return whether a click would add a point to these markups."""
    selection, interaction = _modes(markups.GetScene())
    return (
        interaction.GetCurrentInteractionMode() == interaction.Place
        and selection.GetActivePlaceNodeID() == markups.GetID()
    )


def _modes(scene: Any) -> tuple:
    return scene.GetNodeByID("vtkMRMLSelectionNodeSingleton"), scene.GetNodeByID(
        "vtkMRMLInteractionNodeSingleton"
    )


#: The attribute of a segmentation whose names are TotalSegmentator's by numbers alone, until a person
#: has said so.
NUMBERED = "MultiViewRegistration.numbered"


def terminology_of(segment: Any) -> str:
    """Return what a vtkSegment is by its tag TerminologyEntry; "" without one."""
    entry = mutable("")
    return str(entry) if segment.GetTag(segment.GetTerminologyEntryTagName(), entry) else ""


def of_group(segmentation: Any, group: Group) -> list[str]:
    """Return the IDs of the segments of a vtkMRMLSegmentationNode that are of a group."""
    segments = segments_of(segmentation)
    said = {each: (one.GetName(), terminology_of(one)) for each, one in segments.items()}
    return [each for each, words in said.items() if belongs(*words, group)]


def name_by_number(segmentation: Any) -> None:
    """Give the segments that TotalSegmentator's numbering has named their numbers as names."""
    numbers = {name: str(label) for label, name in TOTAL_SEGMENTATOR.items()}
    for segment in segments_of(segmentation).values():
        segment.SetName(numbers.get(segment.GetName(), segment.GetName()))
