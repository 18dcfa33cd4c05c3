"""Two poses of the history side by side: how far they are apart, and the CT's edges over each X-ray at either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from .history import Entry
from .session import Session

#: The longest side of a picture, in pixels, and the level of the CT's pyramid that it is drawn from.
SIDE, LEVEL = 512, 1


@dataclass(frozen=True, eq=False)
class Comparison:
    """Of two poses.

    mm: how far the CT's centre is moved from one to the other.   degrees: how far it is turned.
    pictures: for each X-ray that is used its name, and uint8 (rows, columns, 3) at either pose.
    """

    mm: float
    degrees: float
    pictures: list[tuple[str, np.ndarray, np.ndarray]]


def take(session: Session, one: Entry, other: Entry) -> Callable[[], Comparison]:
    """The comparison in two steps: what needs the scene is done now, what takes long in the function returned, in any thread.

    InputError as `Session.case`, and before the CT is ready for DRRs.
    """
    anatomy = session.anatomy
    if anatomy is None:
        raise InputError("Compare: the CT is not ready yet, expected it to be; wait a moment.")
    views = session.corrected_case().views

    def compare() -> Comparison:
        before, after = (rigid.transform_points(entry.pose, anatomy.centroid) for entry in (one, other))
        turn = rigid.log_so3(other.pose[:3, :3] @ one.pose[:3, :3].T)
        pictures = [(view.name, *_pictures(anatomy, view, [one.pose, other.pose])) for view in views]
        return Comparison(float(np.linalg.norm(after - before)), float(np.degrees(np.linalg.norm(turn))), pictures)

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
