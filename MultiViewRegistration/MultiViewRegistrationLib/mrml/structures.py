"""Structures of the patient in the X-rays: outlines of segments and models, trajectories and points, where the X-ray would show them."""

from __future__ import annotations

import numpy as np
import slicer

from .detector import Detector, detectors
from .lines import cross, draw, lines_node
from .products import remove_with_products
from .registration import Registration
from .shapes import Part, Shape, parts_of

STRUCTURE = "structure"
#: The role of the model of another structure of a sequence, which moves by itself, see `other_structure`.
OTHER = "otherStructure"
#: The parameter that says whether the nodes of that role are shown ("chosen"), or all that moves with the CT ("").
STRUCTURES = "structures"
PROJECTION = "projection"
SEGMENT = "MultiViewRegistration.segment"
KINDS = ("vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode")
THICKNESS = 2
#: The arms of a point's cross, as shares of the image's larger side.
GAP, REACH = 0.004, 0.015


def choose_structures(registration: Registration, nodes: list | None) -> None:
    """Project these segmentations (the segments shown), models and markups, wherever they are; None: all that moves with the CT, or was
    tracked beside it."""
    registration.node.RemoveNodeReferenceIDs(STRUCTURE)
    registration.node.SetParameter(STRUCTURES, "" if nodes is None else "chosen")
    for node in nodes or ():
        registration.node.AddNodeReferenceID(STRUCTURE, node.GetID())


def structures_of(registration: Registration) -> list:
    """The nodes that are projected, whether or not they are shown at present."""
    if registration.parameter(STRUCTURES) == "chosen":
        count = registration.node.GetNumberOfNodeReferences(STRUCTURE)
        return [
            node
            for node in (registration.node.GetNthNodeReference(STRUCTURE, i) for i in range(count))
            if node is not None
        ]
    other = registration.node.GetNodeReference(OTHER)
    return [
        node
        for kind in KINDS
        for node in slicer.util.getNodesByClass(kind, registration.scene)
        if node is other or (_moves_with_ct(node, registration) and not node.GetHideFromEditors())
    ]  # of the CT's own surface there is the DRR


def _moves_with_ct(node, registration: Registration) -> bool:
    parent = node.GetParentTransformNode()
    while parent is not None and parent is not registration.ct_transform:
        parent = parent.GetParentTransformNode()
    return parent is not None


class Projections:
    """Keeps the projections of a registration's structures as they should be; all that others see of it is in the scene.

    A product of each X-ray that is shown, a model in its detector plane, for each part of a structure. It refers to the structure (role
    "structure", attribute SEGMENT for one of its segments). `update` finds out what has changed, and costs next to nothing where nothing
    has: call it from a timer, or whenever the view should be right.
    """

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._detectors: list[Detector] = []
        self._shapes: dict[tuple, tuple[tuple, Shape]] = {}
        self._drawn: dict[str, tuple] = {}

    def update(self) -> bool:
        """Bring all projections up to date; whether any had to change."""
        self._detectors = detectors(self._registration, self._detectors)
        parts = [part for node in structures_of(self._registration) for part in parts_of(node)]
        self._shapes = {part.key: self._shape(part) for part in parts}
        places = {part.node.GetID(): _ras_from_node(part.node) for part in parts}
        seen = {detector.view.node.GetID(): detector for detector in self._detectors if detector.slice_id}
        changed = False
        for view in self._registration.xrays:
            nodes = {_key(node): node for node in _projections(view)}
            if view.node.GetID() in seen:
                for part in parts:
                    node = nodes.pop(part.key, None) or _new(view, part)
                    changed |= self._project(node, part, places[part.node.GetID()], seen[view.node.GetID()])
            for node in nodes.values():
                remove_with_products(node)
                changed = True
        return changed

    def remove(self) -> None:
        """Take all projections away; `update` brings them back."""
        for view in self._registration.xrays:
            for node in _projections(view):
                remove_with_products(node)

    def _shape(self, part: Part) -> tuple[tuple, Shape]:
        known = self._shapes.get(part.key)
        return known if known and known[0] == part.stamp else (part.stamp, part.shape())

    def _project(self, node, part: Part, ras_from_node: np.ndarray, detector: Detector) -> bool:
        stamp = (part.stamp, part.name, part.colour, ras_from_node.tobytes(), detector.stamp)
        if self._drawn.get(node.GetID()) == stamp:
            return False
        draw(node, projected(self._shapes[part.key][1], ras_from_node, detector), part.colour, detector.slice_id)
        node.SetName(f"{part.name} in {detector.view.name}")
        self._drawn[node.GetID()] = stamp
        return True


def projected(shape: Shape, ras_from_shape: np.ndarray, detector: Detector) -> np.ndarray:
    """(k, 2, 3) RAS mm: the lines on the detector plane that a shape, placed so (4, 4), leaves there."""
    return detector.on_plane(outlined(shape, ras_from_shape, detector))


def outlined(shape: Shape, ras_from_shape: np.ndarray, detector: Detector) -> np.ndarray:
    """(k, 2, 2): the same in the image's pixels."""
    source = np.linalg.solve(ras_from_shape, [*detector.source, 1.0])[:3]
    place = ras_from_shape[:3, :3].T, ras_from_shape[:3, 3]
    lines = detector.pixels(before_source(shape.seen_from(source) @ place[0] + place[1], detector))
    points = shape.points @ place[0] + place[1]
    points = detector.pixels(points[detector.depth(points) > 0])
    side = max(detector.camera.size)
    return np.concatenate([lines, cross(points, GAP * side, REACH * side)])


def before_source(lines: np.ndarray, detector: Detector) -> np.ndarray:
    """Those of the lines (k, 2, 3), RAS mm, that lie before the source with both ends: only they are in the beam."""
    return lines[(detector.depth(lines) > 0).all(axis=1)]


def _projections(view) -> list:
    count = view.node.GetNumberOfNodeReferences(PROJECTION)
    return [node for node in (view.node.GetNthNodeReference(PROJECTION, i) for i in range(count)) if node is not None]


def _key(node) -> tuple[str | None, str]:
    return node.GetNodeReferenceID(STRUCTURE), node.GetAttribute(SEGMENT) or ""


def _new(view, part: Part):
    node = lines_node(view.node, f"{part.name} in {view.name}", THICKNESS)
    node.SetNodeReferenceID(STRUCTURE, part.node.GetID())
    node.SetAttribute(SEGMENT, part.segment_id or None)
    view.node.AddNodeReferenceID(PROJECTION, node.GetID())
    return node


def _ras_from_node(node) -> np.ndarray:
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(node.GetParentTransformNode(), None, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
