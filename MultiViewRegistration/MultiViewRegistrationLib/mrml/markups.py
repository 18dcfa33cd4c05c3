"""Control points of markups: which are placed, and placing them with the mouse."""

from __future__ import annotations

import numpy as np
import slicer


def placed(markups) -> list[int]:
    """The control points that have been placed; the others wait for it, or follow the mouse."""
    return [
        i
        for i in range(markups.GetNumberOfControlPoints())
        if markups.GetNthControlPointPositionStatus(i) == slicer.vtkMRMLMarkupsNode.PositionDefined
    ]


def world_points(markups) -> np.ndarray:
    """(n, 3) RAS mm of those."""
    return np.array([markups.GetNthControlPointPositionWorld(i) for i in placed(markups)], float).reshape(-1, 3)


def place(markups) -> None:
    """From now on each click in a view adds a point to these markups, until `stop_placing`, or Escape or a right click in Slicer."""
    scene = markups.GetScene()
    selection, interaction = _modes(scene)
    selection.SetReferenceActivePlaceNodeClassName(markups.GetClassName())
    selection.SetActivePlaceNodeID(markups.GetID())
    interaction.SetPlaceModePersistence(1)
    interaction.SetCurrentInteractionMode(interaction.Place)


def stop_placing(scene) -> None:
    """Clicks are what they were before."""
    _, interaction = _modes(scene)
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


def is_placing(markups) -> bool:
    """Whether a click would add a point to these markups."""
    selection, interaction = _modes(markups.GetScene())
    return (
        interaction.GetCurrentInteractionMode() == interaction.Place
        and selection.GetActivePlaceNodeID() == markups.GetID()
    )


def _modes(scene) -> tuple:
    return scene.GetNodeByID("vtkMRMLSelectionNodeSingleton"), scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
