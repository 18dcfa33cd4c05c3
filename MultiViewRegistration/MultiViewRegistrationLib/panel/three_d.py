"""The first 3D view of the layout, beside the X-rays."""

from __future__ import annotations

import slicer

from ..mrml import source_view
from ..mrml.registration import Registration


def camera():
    """Its vtkMRMLCameraNode; None where the layout has no 3D view."""
    view = _view()
    return view and source_view.camera_of(view.mrmlViewNode())


def size() -> tuple[int, int]:
    """(width, height) in pixels. Only to be asked where there is one."""
    view = _view()
    return view.width, view.height


def stand_back(registration: Registration) -> None:
    """Show all of a registration in it: the patient amid sources and detectors."""
    if camera() is not None:
        source_view.show_overview(registration, camera(), size())


def reset_clipping() -> None:
    """Have it cut nothing off of what has come into the scene."""
    if camera() is not None:
        camera().ResetClippingRange()


def _view():
    manager = slicer.app.layoutManager()
    widget = manager.threeDWidget(0) if manager is not None and manager.threeDViewCount else None
    return widget and widget.threeDView()
