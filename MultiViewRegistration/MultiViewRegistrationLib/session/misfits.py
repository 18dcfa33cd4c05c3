"""What does not fit where the pose of the whole CT has it, outlined on the X-rays.

Structures at their own poses, a part of the bone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

import numpy as np
import scipy

from ..geometry import rigid
from ..mrml import ct_3d
from ..mrml.identity import fingerprint
from ..mrml.nodes import ras_from_lps, transform_to_ras
from ..mrml.structures import Shape, outlined, shape_of
from ..mrml.xray import DetectorPlane
from .history import CELL_MM, HistoryEntry
from .tasks import BackgroundValue

#: Seconds between two looks at whether the result still stands.
CHECK_S = 0.3


@dataclass(frozen=True, eq=False)
class Misfit:
    """Something that lies elsewhere.

    Attributes
    ----------
    name
        Of the structure; "" for a part of the bone, which is outlined where the whole CT has it.
    world_from_ct
        (4, 4).
    shape
        In the CT's frame.
    """

    name: str
    world_from_ct: np.ndarray
    shape: Shape = field(repr=False)


class Misfits:
    """The misfits of a session's result, for as long as that stands for the pose as it is."""

    def __init__(self, session) -> None:
        self._session = session
        self._made = BackgroundValue()
        self._of, self._checked = "", -CHECK_S
        self._outlines: dict[tuple[str, str], tuple[tuple, np.ndarray]] = {}

    def update(self) -> None:
        """Follow the result; call it from a timer."""
        if monotonic() - self._checked > CHECK_S or self._session.history.moved:
            self._of, self._checked = self._standing(), monotonic()
        if self._of:
            self._made.update(self._of, self._begin)

    @property
    def shown(self) -> tuple[Misfit, ...]:
        """The misfits to draw now."""
        return self._made.value or () if self._of and self._made.made_of == self._of else ()

    def outlines(self, detector: DetectorPlane) -> dict[str, np.ndarray]:
        """Return the lines (k, 2, 2) of each in an X-ray, pixels, by its name."""
        return {misfit.name: self._outline(misfit, detector) for misfit in self.shown}

    def _outline(self, misfit: Misfit, detector: DetectorPlane) -> np.ndarray:
        name, of = (detector.view.id, misfit.name), (detector.stamp, misfit)
        if self._outlines.get(name, ((),))[0] != of:
            self._outlines[name] = (
                of,
                outlined(misfit.shape, transform_to_ras(misfit.world_from_ct), detector),
            )
        return self._outlines[name][1]

    def _standing(self) -> str:
        """Return the key of the entry whose misfits hold for the pose as it is; "" for none."""
        session = self._session
        entry = session.history.current
        if (
            entry is None
            or not (entry.structures or entry.elsewhere)
            or session.registration.ct is None
        ):
            return ""
        if session.history.moved or session.sequence.frame is not None:
            return ""
        return (
            entry.key
            if fingerprint(session.registration) in (entry.fingerprint, entry.assessed)
            else ""
        )

    def _begin(self):
        entry = self._session.history.current
        structures, place = self._session.structures(), self._session.ct().volume.ct_from_index
        return lambda: (*_displaced(entry, structures, place), *_elsewhere(entry))


def _displaced(entry: HistoryEntry, structures, ct_from_index: np.ndarray) -> list[Misfit]:
    """Return the structures that X-rays show elsewhere than the whole CT's pose has them, by as much as counts as wrong."""
    from ..assessment.prediction import WRONG_MM

    names = [] if structures is None else list(structures.names)
    boxes = structures.boxes if names else []
    found = []
    for each in entry.structures:
        if each["verdict"] == "reject" or each["name"] not in names:
            continue
        n, pose = names.index(each["name"]), np.array(each["world_from_ct"], float)
        mask, place = structures.labels[boxes[n]] == n + 1, ct_from_index.copy()
        place[:3, 3] = rigid.transform_points(
            ct_from_index, [float(side.start) for side in boxes[n][::-1]]
        )
        points = rigid.transform_points(place, np.argwhere(mask)[::7, ::-1].astype(float))
        apart = rigid.transform_points(pose, points) - rigid.transform_points(entry.pose, points)
        if np.sqrt((apart**2).sum(axis=1).mean()) > WRONG_MM:
            found.append(
                Misfit(each["name"], pose, shape_of(ct_3d.mask_surface(mask, ras_from_lps(place))))
            )
    return found


def _elsewhere(entry: HistoryEntry) -> list[Misfit]:
    """Return the part of the bone that lies elsewhere, if there is one."""
    if not entry.elsewhere:
        return []
    cells = np.array(entry.elsewhere) // CELL_MM
    first, place = cells.min(axis=0), np.diag([CELL_MM, CELL_MM, CELL_MM, 1.0])
    there = np.zeros((np.ptp(cells, axis=0) + 1)[::-1], bool)
    there[tuple((cells - first).T[::-1])] = True
    place[:3, 3] = CELL_MM * first
    closed = scipy.ndimage.binary_closing(np.pad(there, 1), iterations=1)[1:-1, 1:-1, 1:-1]
    return [Misfit("", entry.pose, shape_of(ct_3d.mask_surface(closed, ras_from_lps(place))))]
