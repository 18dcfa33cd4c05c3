"""Landmarks in the CT and in each X-ray, which find their partners wherever they were placed.

Distances between other markups.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np
import slicer

from ..geometry.landmarks import Landmark
from . import manual_pose
from .case import LANDMARKS, landmark_markups
from .nodes import (
    OWNER,
    control_points,
    is_placing,
    label_of,
    lps_from_ras,
    nodes_of_class,
    place,
    placed,
    positions,
    product,
    ras_from_lps,
)
from .registration import Registration
from .xray import DetectorPlane, XRayView, detector_of, detectors


class ClickOrder:
    """The order in which a person clicks landmarks, which says what comes next.

    It is image by image (all landmarks in the CT, then all in an X-ray), or landmark by landmark
    (one in the CT and in each X-ray, then the next one); what an image does not show is left out.

    Where the last two clicks were in the same image, it is the former, and the first landmark
    missing in an image comes next there. Where they were not, it is the latter, and the landmark
    that was clicked last comes next everywhere.
    """

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}
        #: All clicks so far: image and landmark.
        self.clicks: list[tuple[str, str]] = []

    def choose(self, where: str, name: str) -> None:
        """Have this landmark come next in an image."""
        self._chosen[where] = name

    def clicked(self, where: str, name: str) -> None:
        """Note that a landmark was clicked in an image."""
        self.clicks.append((where, name))
        self._chosen.pop(where, None)

    def next(self, where: str) -> str:
        """Return the landmark that comes next in an image, unless it is there already.

        "" where that is not known.
        """
        last = self.clicks[-2:]
        by_landmark = len({place for place, _ in last}) == 2
        return self._chosen.get(where) or (last[-1][1] if by_landmark else "")


#: The attribute of an X-ray's list with the plane on which its points lie, as JSON.
PLANE = "MultiViewRegistration.plane"
ROUNDING_MM = 1e-6
#: Where a landmark is that was clicked in the CT; of the others it is the name of the X-ray.
CT = "CT"


def tidy(
    registration: Registration, order: ClickOrder | None = None, *, outside: bool = False
) -> None:
    """Put the landmarks in order after points were placed, moved or removed.

    Nothing happens where all is in order.

    A new point, which has no name yet, belongs to the X-ray on whose detector plane it lies, else
    to the CT, whichever list it was placed in: so one list can be active while a landmark is
    clicked in the CT and in each X-ray. It gets a name by `next_name`. Points of an X-ray stay on
    its plane, and go with it where its geometry is corrected.

    Parameters
    ----------
    order
        The clicks so far, where they say which landmark comes next; those that are new are added to
        it.
    outside
        Whether new points are taken that lie outside the CT's box, too; they stay without a name,
        and count for nothing, until a person wants them.
    """
    among = detectors(registration)
    order = order or ClickOrder()
    waiting = [] if outside else outside_ct(registration, among)
    for markups in lists(registration):
        _settle(
            registration, markups, among, order, [i for other, i in waiting if other is markups]
        )
    for detector in among:
        _keep_on_plane(detector)


def outside_ct(
    registration: Registration, among: list[DetectorPlane] | None = None
) -> list[tuple[Any, int]]:
    """Return new points, each with its list, that lie on no X-ray and outside the CT's box.

    Parameters
    ----------
    among
        The X-rays' planes, where they are known.
    """
    box = manual_pose.ct_box(registration)
    new: list[tuple[Any, int]] = []
    for markups in lists(registration):
        new += [(markups, i) for i in _unnamed(markups)]
    if box is None or not new:
        return []
    outside = []
    among = detectors(registration) if among is None else among
    for markups, i in new:
        point = np.array(markups.GetNthControlPointPositionWorld(i))
        if detector_of(point, among) is None and not box.holds(lps_from_ras(point)):
            outside.append((markups, i))
    return outside


def remove_outside(registration: Registration) -> None:
    """Remove the new points that lie outside the CT's box."""
    for markups, i in reversed(outside_ct(registration)):
        markups.RemoveNthControlPoint(i)


def undo_click(registration: Registration, order: ClickOrder) -> None:
    """Remove the point that was clicked last and is still there."""
    waiting = outside_ct(registration)
    if waiting:
        markups, i = waiting[-1]
        markups.RemoveNthControlPoint(i)
        return
    there = _lists(registration, registration.xrays)
    while order.clicks:
        where, name = order.clicks.pop()
        markups = there.get(where)
        if name in _labels(markups):
            _remove_from(markups, name)
            return


def are_being_placed(registration: Registration) -> bool:
    """Return whether a click in a view places a landmark."""
    return any(is_placing(one) for one in lists(registration))


def lists(registration: Registration) -> list:
    """Return the lists of landmarks there are, the CT's first."""
    every = _lists(registration, registration.xrays).values()
    return [markups for markups in every if markups is not None]


def clicked(registration: Registration) -> dict[str, list[str]]:
    """Return the landmarks that have been clicked in the CT, under CT, and in each X-ray that is used, under its name."""
    there = _lists(registration, registration.used_xrays)
    return {where: _labels(markups) for where, markups in there.items()}


def _lists(registration: Registration, views: Sequence[XRayView]) -> dict[str, Any]:
    """Return the list of landmarks in the CT, under CT, and in each of these X-rays, under its name; None where there is none."""
    in_xrays = {view.name: landmark_markups(view.node) for view in views}
    return {CT: landmark_markups(registration.node), **in_xrays}


def without_place(registration: Registration) -> int:
    """Return the number of points whose place is no number, as a damaged file may have it.

    They count as not clicked.
    """
    every = lists(registration)
    return sum(each.GetNumberOfDefinedControlPoints() - len(placed(each)) for each in every)


def in_xray(
    registration: Registration, detector: DetectorPlane
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the places of landmarks, by name.

    CT mm (3,) in the CT, and the pixels (2,) where they were clicked in an X-ray.
    """
    in_ct = control_points(landmark_markups(registration.node), world=False)
    of_ct = {name: lps_from_ras(point) for name, point in in_ct if name}
    here = _points(landmark_markups(detector.view.node))
    return of_ct, {name: detector.locate(point)[0] for name, point in here}


def next_in(registration: Registration, where: str, order: ClickOrder) -> str:
    """Return the name that the next click in an image gets."""
    markups = _lists(registration, registration.xrays)[where]
    return next_name(registration, markups, order.next(where))


def next_name(registration: Registration, markups: Any, wanted: str = "") -> str:
    """Return the name for the next point of a list.

    The one that is wanted, else the first that another list has, else the next free number; none
    that the list has.
    """
    mine = set(_labels(markups))
    if wanted and wanted not in mine:
        return wanted
    others = list(chain.from_iterable(map(_labels, lists(registration))))
    waiting = next((label for label in others if label not in mine), None)
    taken = {*mine, *others}
    return waiting or next(str(n) for n in range(1, len(taken) + 2) if str(n) not in taken)


def remove(registration: Registration, name: str) -> None:
    """Remove a landmark from all lists."""
    for markups in lists(registration):
        _remove_from(markups, name)


def _remove_from(markups: Any, name: str) -> None:
    for i in reversed(range(markups.GetNumberOfControlPoints())):
        if label_of(markups, i) == name:
            markups.RemoveNthControlPoint(i)


def _unnamed(markups: Any) -> list[int]:
    return [i for i in placed(markups) if not label_of(markups, i)]


def _labels(markups: Any) -> list[str]:
    return [name for name, _ in _points(markups)]


def _points(markups: Any) -> list[tuple[str, np.ndarray]]:
    """Return name and place, RAS mm, of the points that have a name."""
    return [(name, point) for name, point in control_points(markups) if name]


def _settle(
    registration: Registration,
    markups: Any,
    among: list[DetectorPlane],
    order: ClickOrder,
    waiting: list[int],
) -> None:
    """Name the new points of a list, and move those that belong to another one there.

    Those that wait stay as they are.
    """
    gone = 0
    for i in [i for i in _unnamed(markups) if i not in waiting]:
        point = markups.GetNthControlPointPositionWorld(i - gone)
        detector = detector_of(point, among)
        where = detector.view.name if detector else CT
        if detector is None:
            registration.take_in()  # the list moves with the transform
        home = landmark_list(registration, None if detector is None else detector.view)
        name = next_name(registration, home, order.next(where))
        if home is markups:
            markups.SetNthControlPointLabel(i - gone, name)
        else:
            markups.RemoveNthControlPoint(i - gone)
            home.AddControlPointWorld(point, name)
            gone += 1
        order.clicked(where, name)


def _keep_on_plane(detector: DetectorPlane) -> None:
    """Keep the X-ray's landmarks on their pixels where its image was moved, and on its plane where they were."""
    markups = landmark_markups(detector.view.node)
    if markups is None:
        return
    before = markups.GetAttribute(PLANE)
    now = json.dumps(detector.ras_from_pixel.tolist())
    carried = np.eye(4)
    if before and before != now:
        with suppress(
            ValueError, TypeError
        ):  # LinAlgError is one: what a damaged file says of the plane before
            carried = detector.ras_from_pixel @ np.linalg.inv(
                np.reshape(json.loads(before), (4, 4))
            )
    for i, point in zip(placed(markups), positions(markups), strict=True):
        flat = detector.on_plane(detector.pixels((carried @ [*point, 1.0])[:3]))
        if np.abs(flat - point).max() > ROUNDING_MM:
            markups.SetNthControlPointPositionWorld(i, flat)
    markups.SetAttribute(PLANE, now)


#: (red, green, blue) in the CT, as which they are projected into the X-rays, too, and as they were
#: clicked there.
LANDMARK_COLOURS = ((1.0, 0.4, 0.9), (1.0, 0.9, 0.2))


def place_landmarks(registration: Registration, landmarks: list[Landmark]) -> None:
    """Place markups for landmarks: a list in the CT, and one at each X-ray that shows any."""
    for landmark in landmarks:
        landmark_list(registration).AddControlPoint(*ras_from_lps(landmark.ct), landmark.name)
        for view in registration.xrays:
            if view.name in landmark.pixels:
                place = view.ras_of(landmark.pixels[view.name])
                landmark_list(registration, view).AddControlPoint(*place, landmark.name)


def landmark_list(registration: Registration, view: XRayView | None = None):
    """Return the list of landmarks in the CT, which moves with it, or in one X-ray.

    Made where there is none.
    """
    owner, where = (registration.node, "CT") if view is None else (view.node, view.name)
    node = landmark_markups(owner)
    if node is None:
        node = product(
            owner,
            LANDMARKS,
            "vtkMRMLMarkupsFiducialNode",
            f"Landmarks {where}",
            GlyphType=slicer.vtkMRMLMarkupsDisplayNode.CrossDot2D,  # what lies under it stays in sight
            SelectedColor=LANDMARK_COLOURS[view is not None],
        )
        node.SetControlPointLabelFormat(
            ""
        )  # a new point has no name until it is known where it belongs
        if view is None:
            node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    return node


MAX_POINTS = 6
"""In a list with more points, only points with the same name in another list are paired."""


@dataclass(frozen=True)
class Distance:
    """A distance between two points.

    Mm in the world, which is the same in the CT's frame, as that is moved rigidly.

    Attributes
    ----------
    view
        The name of the X-ray on whose detector plane both points lie, "" for others. What an X-ray
        shows there is nearer to the source and smaller; at_ct_mm is the distance at the depth of
        the CT's centre, None for points that are not in an X-ray.
    """

    name: str
    mm: float
    view: str = ""
    at_ct_mm: float | None = None


def distances(registration: Registration) -> list[Distance]:
    """Return the lengths of markups lines, then the distances between points of one list, then between those of one name in two.

    Only of markups that are shown, and that a user placed to measure: no landmarks, labels, nor the
    linked cursor. InputError without a usable CT where a distance in an X-ray needs it.
    """
    among = detectors(registration)
    lines = _shown("vtkMRMLMarkupsLineNode", registration)
    pairs = [(node.GetName(), *positions(node)) for node in lines if len(placed(node)) == 2]
    point_lists = _shown("vtkMRMLMarkupsFiducialNode", registration)
    named = [(node.GetName(), _named_points(node)) for node in point_lists]
    for _, points in named:
        if len(points) <= MAX_POINTS:
            pairs += [(f"{a} to {b}", points[a], points[b]) for a, b in combinations(points, 2)]
    for (one, points), (other, partners) in combinations(named, 2):
        for name in filter(partners.__contains__, points):
            pairs.append((f"{name}: {one} to {other}", points[name], partners[name]))
    return [_distance(registration, among, *pair) for pair in pairs]


def place_line(scene: Any, name: str) -> None:
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
    nearer = detector.camera.depth(manual_pose.centre(registration)) / detector.depth(
        detector.on_plane([0, 0])
    )
    return Distance(name, mm, detector.view.name, float(mm * nearer))


def _shown(kind: str, registration: Registration) -> list:
    nodes = nodes_of_class(kind, registration.scene)
    own = (node for node in nodes if node.GetDisplayNode() and not node.GetNodeReferenceID(OWNER))
    return [node for node in own if node.GetDisplayNode().GetVisibility()]


def _named_points(node: Any) -> dict[str, np.ndarray]:
    """Return RAS mm (3,) of the points that have been placed, by their names."""
    return {name or str(i + 1): point for i, (name, point) in enumerate(control_points(node))}
