"""Segmentations that follow what they were drawn on."""

from __future__ import annotations

import numpy as np
import slicer
from vtkmodules.vtkCommonTransforms import vtkTransform


def drawn_on(segmentation):
    """The volume node whose grid a segmentation was drawn on, None where nobody knows."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def move_segments(segmentation, after_from_before: np.ndarray) -> None:
    """Move all segments by a transform (4, 4) in the frame of their node. Voxels keep their values; a mirror image is allowed."""
    move = vtkTransform()
    move.SetMatrix(slicer.util.vtkMatrixFromArray(after_from_before))
    segmentation.GetSegmentation().ApplyLinearTransform(move)
    segmentation.GetSegmentation().InvalidateNonSourceRepresentations()
    segmentation.Modified()
