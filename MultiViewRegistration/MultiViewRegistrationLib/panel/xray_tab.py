"""What the tabs about one X-ray have in common."""

from __future__ import annotations

from collections.abc import Callable

import slicer


class XRayTab:
    """A tab with a .ui of its own. A subclass names that file, connects its widgets in `connect`, and fills them in `show`.

    presenter: an `EditorPresenter`, whose X-ray the widgets `self.ui.<name>` are about.
    """

    FILE = ""

    def __init__(self, section, presenter) -> None:
        self.section, self.panel, self.presenter = section, section.panel, presenter
        self.widget = slicer.util.loadUI(self.panel.resource_path(f"UI/{self.FILE}"))
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.connect()

    @property
    def asked(self) -> bool:
        """Whether a signal comes from a person, and there is an X-ray that it is about."""
        return self.section.asked and self.presenter.view is not None

    def do(self, action: Callable, *args) -> None:
        """Do what a person asks for at a widget."""
        if self.asked:
            with self.panel.acting():
                action(*args)

    def refresh(self, shown) -> None:
        """Show what the presenter shows, of the X-ray that is selected."""
        self.widget.enabled = self.presenter.view is not None
        if self.widget.enabled:
            self.show(shown)

    def connect(self) -> None:
        """Connect the widgets, once."""

    def show(self, shown) -> None:
        """Fill the widgets; their signals are ignored meanwhile."""
