"""Targets of a case in the 3D view and in slices of the CT, with their numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer

from .nodes import leave_out_of_files, product, ras_from_lps, remove_product
from .registration import Registration

#: The role of the markups with the targets, and their attribute with what they show.
TARGETS = "targets"
SHOWN = "MultiViewRegistration.shownTargets"
TARGET_COLOUR = (1.0, 0.75, 0.3)


def show_targets(registration: Registration, targets: Mapping[int, np.ndarray]) -> None:
    """Show points of the CT with their numbers, or hide them all.

    Parameters
    ----------
    registration
        The registration.
    targets
        (3,), LPS mm, in the frame of the CT, by their numbers.
    """
    if not targets:
        remove_product(registration.node, TARGETS)
        return
    name = f"{registration.name} targets"
    node = product(
        registration.node,
        TARGETS,
        "vtkMRMLMarkupsFiducialNode",
        name,
        hidden=True,
        SelectedColor=TARGET_COLOUR,
        PointLabelsVisibility=True,
    )
    stamp = str({number: point.tolist() for number, point in targets.items()})
    if node.GetAttribute(SHOWN) == stamp:
        return
    node.SetAttribute(SHOWN, stamp)
    leave_out_of_files(node)
    node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    with slicer.util.NodeModify(node):
        node.SetLocked(True)
        node.RemoveAllControlPoints()
        for number, point in targets.items():
            node.AddControlPoint(ras_from_lps(point), str(number))
