"""Clicking landmarks: those of the CT and of the X-rays find their partners by themselves, wherever the points were put."""

from __future__ import annotations

import json

import numpy as np

from ..mrml.case import LANDMARKS
from ..mrml.detector import Detector, detector_of, detectors
from ..mrml.loading import landmark_list
from ..mrml.markups import placed
from ..mrml.registration import Registration
from .click_order import ClickOrder

#: The attribute of an X-ray's list with the plane on which its points lie, as JSON.
PLANE = "MultiViewRegistration.plane"
ROUNDING_MM = 1e-6
#: Where a landmark is that was clicked in the CT; of the others it is the name of the X-ray.
CT = "CT"


def tidy(registration: Registration, order: ClickOrder | None = None) -> None:
    """Put the landmarks in order after points were placed, moved or removed; nothing happens where all is in order.

    A new point, which has no name yet, belongs to the X-ray on whose detector plane it lies, else to the CT, whichever list it was
    placed in: so one list can be active while a landmark is clicked in the CT and in each X-ray. It gets a name by `next_name`. Points
    of an X-ray stay on its plane, and go with it where its geometry is corrected.

    order: the clicks so far, where they say which landmark comes next; those that are new are told to it.
    """
    among, order = detectors(registration), order or ClickOrder()
    for markups in lists(registration):
        _settle(registration, markups, among, order)
    for detector in among:
        _keep_on_plane(detector)


def lists(registration: Registration) -> list:
    """The lists of landmarks there are, the CT's first."""
    owners = [registration.node, *[view.node for view in registration.xrays]]
    return [markups for markups in (owner.GetNodeReference(LANDMARKS) for owner in owners) if markups is not None]


def clicked(registration: Registration) -> dict[str, list[str]]:
    """The landmarks that have been clicked in the CT, under CT, and in each X-ray that is used, under its name."""
    owners = {CT: registration.node, **{view.name: view.node for view in registration.xrays if view.used}}
    return {name: _labels(owner.GetNodeReference(LANDMARKS)) for name, owner in owners.items()}


def in_xray(registration: Registration, detector: Detector) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Pixels (2,) of an X-ray by the landmark's name: where those of the CT fall on it now, and where they were clicked in it."""
    in_ct = _points(registration.node.GetNodeReference(LANDMARKS))
    of_ct = {name: detector.pixels(point) for name, point in in_ct if detector.depth(point) > 0}
    here = _points(detector.view.node.GetNodeReference(LANDMARKS))
    return of_ct, {name: detector.locate(point)[0] for name, point in here}


def missing(registration: Registration) -> dict[str, list[str]]:
    """For each landmark, in which views, by name, it has not been clicked yet; CT for the CT. Without those that are complete.

    A landmark need not be seen in every X-ray: what is in the CT and in one of them counts.
    """
    have = clicked(registration)
    named = dict.fromkeys(label for labels in have.values() for label in labels)
    lacking = {label: [name for name, labels in have.items() if label not in labels] for label in named}
    return {label: names for label, names in lacking.items() if names}


def next_name(registration: Registration, markups, wanted: str = "") -> str:
    """The name for the next point of a list: the one that is wanted, else the first that another list has, else the next free number; none
    that the list has.
    """
    mine = set(_labels(markups))
    if wanted and wanted not in mine:
        return wanted
    others = [label for other in lists(registration) for label in _labels(other)]
    waiting = next((label for label in others if label not in mine), None)
    taken = {*mine, *others}
    return waiting or next(str(n) for n in range(1, len(taken) + 2) if str(n) not in taken)


def remove(registration: Registration, name: str) -> None:
    """Remove a landmark from all lists."""
    for markups in lists(registration):
        for i in reversed(range(markups.GetNumberOfControlPoints())):
            if markups.GetNthControlPointLabel(i) == name:
                markups.RemoveNthControlPoint(i)


def _labels(markups) -> list[str]:
    return [name for name, _ in _points(markups)]


def _points(markups) -> list[tuple[str, tuple[float, float, float]]]:
    """Name and place, RAS mm, of the points that have a name."""
    named = [] if markups is None else [(markups.GetNthControlPointLabel(i), i) for i in placed(markups)]
    return [(name, markups.GetNthControlPointPositionWorld(i)) for name, i in named if name]


def _settle(registration: Registration, markups, among: list[Detector], order: ClickOrder) -> None:
    """Name the new points of a list, and move those that belong to another one there."""
    gone = 0
    for i in [i for i in placed(markups) if not markups.GetNthControlPointLabel(i)]:
        point = markups.GetNthControlPointPositionWorld(i - gone)
        detector = detector_of(point, among)
        where = detector.view.name if detector else CT
        home = landmark_list(registration, detector and detector.view)
        name = next_name(registration, home, order.next(where))
        if home is markups:
            markups.SetNthControlPointLabel(i - gone, name)
        else:
            markups.RemoveNthControlPoint(i - gone)
            home.AddControlPointWorld(point, name)
            gone += 1
        order.clicked(where, name)


def _keep_on_plane(detector: Detector) -> None:
    """The X-ray's landmarks stay on their pixels where its image was moved, and on its plane where they were."""
    markups = detector.view.node.GetNodeReference(LANDMARKS)
    if markups is None:
        return
    before, now = markups.GetAttribute(PLANE), json.dumps(detector.ras_from_pixel.tolist())
    carried = detector.ras_from_pixel @ np.linalg.inv(json.loads(before)) if before and before != now else np.eye(4)
    for i in placed(markups):
        point = (carried @ [*markups.GetNthControlPointPositionWorld(i), 1.0])[:3]
        flat = detector.on_plane(detector.pixels(point))
        if np.abs(flat - markups.GetNthControlPointPositionWorld(i)).max() > ROUNDING_MM:
            markups.SetNthControlPointPositionWorld(i, flat)
    markups.SetAttribute(PLANE, now)
