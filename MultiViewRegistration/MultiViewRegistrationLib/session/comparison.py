"""Comparisons in the background: similarity of X-rays and CT where the CT is now, and two poses of the history side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..mrml.fingerprint import fingerprint
from ..mrml.registration import Registration
from ..mrml.xray import ATTRIBUTE
from .background_task import BackgroundValue
from .history import Entry, History
from .session import Session
from .translation import _


class SimilarityUpdater:
    """Keeps `values`, the local NCC by the name of each used X-ray; empty before the first are found, or where none can be."""

    def __init__(self, session: Session) -> None:
        self._session, self._measured = session, BackgroundValue()

    @property
    def values(self) -> dict[str, float]:
        return self._measured.value or {}

    def update(self) -> bool:
        """Call it from a timer; whether there are new values."""
        session, registration = self._session, self._session.registration
        cameras = [view.node.GetAttribute(ATTRIBUTE) for view in registration.xrays]  # as they were corrected, too
        return self._measured.update(
            (registration.world_from_ct.tobytes(), fingerprint(registration), *cameras),
            lambda: None if session.running or not session.drawing.at_rest else session.find_similarity(),
        )


def result_similarity(registration: Registration) -> dict[str, float]:
    """Of the result that the CT lies at, by the view's name; empty where it lies elsewhere, or something has changed since."""
    entry = History(registration).current
    if entry is None or not np.allclose(entry.pose, registration.world_from_ct, atol=1e-6):
        return {}
    return entry.similarity if entry.fingerprint == fingerprint(registration) else {}


#: The longest side of a picture, in pixels, and the level of the CT's pyramid that it is drawn from.
SIDE, LEVEL = 512, 1


@dataclass(frozen=True, eq=False)
class PoseComparison:
    """Of two poses.

    mm: how far the CT's centre is moved from one to the other.   degrees: how far it is turned.
    pictures: for each X-ray that is used its name, and uint8 (rows, columns, 3) at either pose.
    """

    mm: float
    degrees: float
    pictures: list[tuple[str, np.ndarray, np.ndarray]]


def compare_poses(session: Session, one: Entry, other: Entry) -> Callable[[], PoseComparison]:
    """The comparison in two steps: what needs the scene is done now, what takes long in the function returned, in any thread.

    InputError as `Session.case`, and before the CT is ready for DRRs.
    """
    anatomy = session.anatomy
    if anatomy is None:
        raise InputError(_("Compare: the CT is not ready yet, expected it to be; wait a moment."))
    views = session.corrected_case().views

    def compare() -> PoseComparison:
        before, after = (rigid.transform_points(entry.pose, anatomy.centroid) for entry in (one, other))
        turn = rigid.log_so3(other.pose[:3, :3] @ one.pose[:3, :3].T)
        pictures = [(view.name, *_pictures(anatomy, view, [one.pose, other.pose])) for view in views]
        return PoseComparison(float(np.linalg.norm(after - before)), float(np.degrees(np.linalg.norm(turn))), pictures)

    return compare


def _pictures(anatomy, view, poses) -> list[np.ndarray]:
    from ..mrml.overlay import rendered
    from ..report.overlays import film_of, live_picture

    factor = -(-max(view.camera.size) // SIDE)
    camera, film = view.camera.pooled(factor), film_of(view.xray.pooled(factor))
    return [
        live_picture("edges", film, rendered(anatomy, camera, pose, LEVEL, bones=True), structure=anatomy.structure)
        for pose in poses
    ]
