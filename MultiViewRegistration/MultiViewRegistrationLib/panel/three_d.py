"""The 3D view beside the X-rays."""

from __future__ import annotations

import slicer

from ..scene import beam, overview
from ..scene.registration import Registration


def stand_back(registration: Registration) -> None:
    """Show all of a registration in the first 3D view, if there is one: the patient amid sources and detectors."""
    view_node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode")
    camera_node = view_node and beam.camera_of(view_node)
    if camera_node is not None:
        overview.stand_back(registration, camera_node, size_of_view())


def size_of_view() -> tuple[int, int]:
    """(width, height) of the first 3D view in pixels."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return 1, 1
    view = manager.threeDWidget(0).threeDView()
    return view.width, view.height
