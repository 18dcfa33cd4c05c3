"""The default targets: bone that all views show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry import rigid
from ..imaging.view import View
from ..registration.prepared_ct import PreparedCT

#: So many points stand for all bone; with fewer than FEWEST in the fields of all views there is none to speak of.
MOST, FEWEST = 300, 10


def default_targets(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> np.ndarray:
    """(N, 3) CT mm: points of bone that lie in the fields of all views at a pose; (0, 3) where there are hardly any."""
    points = anatomy.bone_points()
    points = points[in_field(views, rigid.transform_points(world_from_ct, points)).all(axis=0)]
    return (
        points[np.linspace(0, len(points) - 1, min(MOST, len(points))).astype(int)]
        if len(points) >= FEWEST
        else points[:0]
    )


def in_field(views: Sequence[View], points: np.ndarray) -> np.ndarray:
    """(views, N) bool: which world points (N, 3) fall on a valid pixel of each view."""
    inside = np.zeros((len(views), len(points)), bool)
    for i, view in enumerate(views):
        columns, rows = view.camera.size
        before = np.flatnonzero(view.camera.depth(points) > 0)
        column, row = np.rint(view.camera.project(points[before])).T
        within = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
        inside[i, before[within]] = view.xray.valid[row[within].astype(int), column[within].astype(int)]
    return inside
