"""Distances between markups, for people who check a registration."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import slicer

from . import manual_pose
from .detector import DetectorPlane, detector_of, detectors
from .nodes import OWNER, place, placed, world_points
from .registration import Registration

MOST_POINTS = 6
"""Of a list with more points only those are paired that have the same name in another list."""


@dataclass(frozen=True)
class Distance:
    """Between two points: mm in the world, which is the same in the CT's frame, as that is moved rigidly.

    view: the name of the X-ray on whose detector plane both points lie, "" for others. What an X-ray shows there is nearer to the source
    and smaller; at_ct_mm is the distance at the depth of the CT's centre, None for points that are not in an X-ray.
    """

    name: str
    mm: float
    view: str = ""
    at_ct_mm: float | None = None


def distances(registration: Registration) -> list[Distance]:
    """The lengths of the scene's markups lines, then the distances between points of one list, then between those of one name in two.

    Only of markups that are shown, and that somebody placed to measure: no landmarks, labels, nor the linked cursor. InputError without a
    usable CT where a distance in an X-ray asks for it.
    """
    among = detectors(registration)
    pairs = [
        (node.GetName(), *world_points(node))
        for node in _shown("vtkMRMLMarkupsLineNode", registration)
        if len(placed(node)) == 2
    ]
    named = [(node.GetName(), _points(node)) for node in _shown("vtkMRMLMarkupsFiducialNode", registration)]
    for _, points in named:
        if len(points) <= MOST_POINTS:
            pairs += [(f"{a} to {b}", points[a], points[b]) for a, b in combinations(points, 2)]
    for (one, points), (other, partners) in combinations(named, 2):
        pairs += [(f"{name}: {one} to {other}", points[name], partners[name]) for name in points if name in partners]
    return [_distance(registration, among, *pair) for pair in pairs]


def place_line(scene, name: str) -> None:
    """Have two clicks in a view place a new line."""
    line = scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", scene.GenerateUniqueName(name))
    line.CreateDefaultDisplayNodes()
    place(line)


def _distance(
    registration: Registration, among: list[DetectorPlane], name: str, a: np.ndarray, b: np.ndarray
) -> Distance:
    mm = float(np.linalg.norm(a - b))
    detector = detector_of(a, among)
    if detector is None or detector_of(b, among) is not detector:
        return Distance(name, mm)
    nearer = detector.camera.depth(manual_pose.centre(registration)) / detector.depth(detector.on_plane([0, 0]))
    return Distance(name, mm, detector.view.name, float(mm * nearer))


def _shown(kind: str, registration: Registration) -> list:
    nodes = slicer.util.getNodesByClass(kind, registration.scene)
    return [
        node
        for node in nodes
        if node.GetDisplayNode() is not None
        and node.GetDisplayNode().GetVisibility()
        and not node.GetNodeReferenceID(OWNER)
    ]


def _points(node) -> dict[str, np.ndarray]:
    """RAS mm (3,) of the points that have been placed, by their names."""
    return {
        node.GetNthControlPointLabel(i) or str(i + 1): np.array(node.GetNthControlPointPositionWorld(i))
        for i in placed(node)
    }
