"""Where LPS ends and RAS begins: the backend's world is LPS, a scene's is RAS, and only here one becomes the other (but for files of other
programs in RAS, which io.transforms turns)."""

from __future__ import annotations

import numpy as np
import slicer

from ..io.transforms import turned

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # its own inverse


def ras_from_lps(array) -> np.ndarray:
    """Points (..., 3) in mm, or the place (4, 4) of something in LPS, such as `world_from_index`, in RAS."""
    array = np.asarray(array, float)
    return RAS_FROM_LPS @ array if array.shape == (4, 4) else array * RAS_FROM_LPS.diagonal()[:3]


def transform_to_ras(target_from_source) -> np.ndarray:
    """A transform (4, 4) between two LPS frames, as one between the same two in RAS."""
    return turned(target_from_source)


lps_from_ras, transform_to_lps = ras_from_lps, transform_to_ras  # the way back is the same


def transform_of(node) -> np.ndarray:
    """The transform (4, 4) of a vtkMRMLLinearTransformNode to its parent, in LPS."""
    return transform_to_lps(slicer.util.arrayFromTransformMatrix(node))


def set_transform(node, parent_from_child) -> None:
    """Give a vtkMRMLLinearTransformNode a transform (4, 4) that is in LPS."""
    slicer.util.updateTransformMatrixFromArray(node, transform_to_ras(parent_from_child))


def world_from_node(node) -> np.ndarray:
    """The transform (4, 4), LPS, that the parents of a vtkMRMLTransformableNode put it under. They must be linear."""
    return transform_to_lps(ras_from_node(node))


def ras_from_node(node) -> np.ndarray:
    """The same transform in RAS."""
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(node.GetParentTransformNode(), None, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
