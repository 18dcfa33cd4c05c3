"""What an answer marks in the views: bone that lies elsewhere, where that would have been seen, and the targets that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import scipy

from ..geometry import rigid
from ..mrml import ct_3d
from ..mrml.case import EXTRAS
from ..mrml.nodes import Colour, ras_from_lps
from ..mrml.structures import MISFIT_COLOUR, TESTED_COLOUR, Shape, shape_of
from .assessment import explanation
from .history import CELL_MM, HistoryEntry

if TYPE_CHECKING:
    from .session import Session

#: The numbers of targets in a sentence, see `assessment.verdict_reasons.numbered`.
NAMED_TARGETS = re.compile(r"\btargets? (\d+(?:, \d+)*)")


def named_targets(session: Session) -> dict[int, np.ndarray]:
    """Return the targets (3,) of the case, CT mm, that the explanation of the pose names, by their numbers."""
    targets = session.registration.kept(EXTRAS, {}).get("targets")
    if not targets:
        return {}
    named = NAMED_TARGETS.findall(" ".join(explanation(session)))
    numbers = sorted({int(number) for each in named for number in each.split(", ")})
    return {number: np.array(targets[number - 1]) for number in numbers if number <= len(targets)}


def marks_of(entry: HistoryEntry) -> dict[Colour, tuple[np.ndarray, Shape]]:
    """Return `Bones.marks` of an entry."""
    marks = {}
    if entry.elsewhere:
        marks[MISFIT_COLOUR] = entry.pose, _cells_shape(entry)
    tested = entry.tested.get("overlay")
    if tested and not entry.bodies:
        marks[TESTED_COLOUR] = entry.pose, Shape(points=ras_from_lps(np.array(tested)))
    return marks


def _cells_shape(entry: HistoryEntry) -> Shape:
    """Return the shape of the part of the bone that lies elsewhere."""
    cells = np.array(entry.elsewhere) // CELL_MM
    first = cells.min(axis=0)
    place = np.diag([CELL_MM, CELL_MM, CELL_MM, 1.0]) @ rigid.translation(first)
    there = np.zeros((np.ptp(cells, axis=0) + 1)[::-1], bool)
    there[tuple((cells - first).T[::-1])] = True
    closed = scipy.ndimage.binary_closing(np.pad(there, 1), iterations=1)[1:-1, 1:-1, 1:-1]
    return shape_of(ct_3d.mask_surface(closed, ras_from_lps(place)))
