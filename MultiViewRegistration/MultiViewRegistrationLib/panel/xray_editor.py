"""What the editors of one X-ray have in common: a .ui of their own, shown in a tab for the X-ray that is selected."""

from __future__ import annotations

import slicer

from ..mrml.xray import XRayView


class XRayEditor:
    """A tab. A subclass names its .ui file and title, connects its widgets in `connect`, and shows an X-ray in `refresh`.

    Widgets are `self.ui.<name>`; `self.view` is the X-ray that is selected, None without one.
    """

    FILE = ""
    TITLE = ""

    def __init__(self, section) -> None:
        self.section, self.panel = section, section.panel
        self.view: XRayView | None = None
        self.widget = slicer.util.loadUI(self.panel.resource_path(f"UI/{self.FILE}"))
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.connect()

    @property
    def registration(self):
        """The `scene.registration.Registration` at work."""
        return self.panel.registration

    @property
    def asked(self) -> bool:
        """Whether a signal comes from a person, and there is an X-ray that it is about."""
        return self.view is not None and self.section.asked

    def show(self, view: XRayView | None) -> None:
        """Edit this X-ray from now on."""
        self.view = view
        self.widget.enabled = view is not None
        if view is not None:
            self.refresh()

    def connect(self) -> None:
        """Connect the widgets, once."""

    def refresh(self) -> None:
        """Show the X-ray as it is. Only called with one; signals of the widgets are ignored meanwhile."""
