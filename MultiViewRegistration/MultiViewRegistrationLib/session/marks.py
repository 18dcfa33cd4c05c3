"""Marks of an assessment in the views: points that were tested for displaced bone, and rings around the targets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..assessment.records import WRONG_MM
from ..mrml.ct_3d import sphere_surface
from ..mrml.nodes import Colour, ras_from_lps
from ..mrml.structures import MISFIT_COLOUR, TESTED_COLOUR, Shape, shape_of
from .history import HistoryEntry

IN_PLACE_COLOUR = (0.35, 0.8, 0.45)
NOT_TESTED_COLOUR = (0.65, 0.65, 0.65)


class TargetRing(NamedTuple):
    """A ring around a target, to scale.

    Attributes
    ----------
    number
        Of the target in the case, from 1.
    point_mm
        (3,) CT mm.
    colour
        Green if it is in place, red if bone is displaced there, grey if it could not be tested.
    shape
        A sphere of the 95 % bound of the error, or of WRONG_MM if that is unknown.
    """

    number: int
    point_mm: np.ndarray
    colour: Colour
    shape: Shape


def target_rings(entry: HistoryEntry) -> list[TargetRing]:
    """Return a ring for each target that was tested for displaced bone; none beside bones with poses of their own."""
    tested = entry.assessment.tested if entry.assessment else None
    if tested is None or not tested.are_targets or entry.bodies:
        return []
    position = entry.uses.get("position")
    radius_mm = (position.upper95_mm if position else None) or WRONG_MM
    rings = []
    for n, point in enumerate(tested.points_mm):
        colour = IN_PLACE_COLOUR if tested.in_place[n] else NOT_TESTED_COLOUR
        if tested.displaced[n]:
            colour = MISFIT_COLOUR
        shape = shape_of(sphere_surface(ras_from_lps(point), radius_mm))
        rings.append(TargetRing(n + 1, point, colour, shape))
    return rings


def marks_of(entry: HistoryEntry) -> dict[Colour, tuple[np.ndarray, Shape]]:
    """Return pose and shape of the tested points of an entry without targets, by their colour."""
    marks: dict[Colour, tuple[np.ndarray, Shape]] = {}
    tested = entry.assessment.tested if entry.assessment else None
    if tested is None or tested.are_targets or entry.bodies:
        return marks
    rows = ((MISFIT_COLOUR, tested.displaced), (TESTED_COLOUR, tested.overlay_in_place))
    for colour, chosen in rows:
        if chosen.any():
            points = ras_from_lps(tested.points_mm[chosen])
            marks[colour] = entry.pose, Shape(points=points)
    return marks
