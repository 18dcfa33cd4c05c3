"""Slices of the CT that go after it where a movement has taken it out of them, so that none is left black."""

from __future__ import annotations

from itertools import product

import numpy as np
import slicer
from vtkmodules.vtkCommonMath import vtkMatrix4x4

#: The part of the CT's box, about its middle, that a slice is to show at least something of where it did before: beyond lies air.
CORE = 0.8


class Follower:
    """Looks after slice views that show one CT, whenever that has been moved; what a person scrolls to while it rests stays."""

    def __init__(self) -> None:
        self._place: np.ndarray | None = None
        self._shows_core: dict[str, bool] = {}

    def follow(self, ct, nodes) -> None:
        """Have each vtkMRMLSliceNode that has lost the CT jump to its middle, in the same orientation and zoom."""
        place = None if ct is None else _ras_from_box(ct)
        if place is None:
            self._place = None
            return
        moved = self._place is not None and not np.allclose(place, self._place, rtol=0, atol=1e-6)
        for node in nodes:
            if (
                moved
                and not _shows(node, place, CORE)
                and (self._shows_core.get(node.GetID()) or not _shows(node, place, 1.0))
            ):
                was = node.StartModify()
                node.SetXYZOrigin(0, 0, 0)
                node.JumpSliceByCentering(*place[:3, 3])
                node.EndModify(was)
            self._shows_core[node.GetID()] = _shows(node, place, CORE)
        self._place = place


def _ras_from_box(ct) -> np.ndarray | None:
    """(4, 4) from a cube of -1 to 1, which is all of a volume, to RAS mm of the world; None for one without voxels."""
    if ct.GetImageData() is None:
        return None
    size, matrix, to_world = np.array(ct.GetImageData().GetDimensions()), vtkMatrix4x4(), vtkMatrix4x4()
    ct.GetIJKToRASMatrix(matrix)
    if ct.GetParentTransformNode() is not None:
        ct.GetParentTransformNode().GetMatrixTransformToWorld(to_world)
    index_from_box = np.diag([*size / 2, 1.0])
    index_from_box[:3, 3] = (size - 1) / 2
    return slicer.util.arrayFromVTKMatrix(to_world) @ slicer.util.arrayFromVTKMatrix(matrix) @ index_from_box


def _shows(node, ras_from_box: np.ndarray, part: float) -> bool:
    """Whether a slice view's plane cuts such a part of a box, and shows something of it."""
    corners = np.array([[*(part * np.array(corner)), 1] for corner in product((-1, 1), repeat=3)])
    seen = corners @ (np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())) @ ras_from_box).T
    half = np.array([*node.GetFieldOfView()[:2], 0]) / 2
    middle = np.array([*node.GetXYZOrigin()[:2], 0])
    return bool((seen[:, :3].min(0) <= middle + half).all() and (seen[:, :3].max(0) >= middle - half).all())
