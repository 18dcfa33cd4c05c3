"""What the presenters of one X-ray have in common."""

from __future__ import annotations

from ...mrml.xray import XRayView
from .section import Presenter


class EditorPresenter(Presenter):
    """Edits the X-ray that is selected in the `XRaysPresenter` it belongs to; `shown()` is also called without one."""

    def __init__(self, xrays) -> None:
        self._xrays = xrays
        super().__init__(xrays.host)

    @property
    def view(self) -> XRayView | None:
        """The X-ray that is selected, None without one."""
        return self._xrays.selected
