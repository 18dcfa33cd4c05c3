"""The layout: X-rays beside the 3D view, with the CT's slices or without."""

from __future__ import annotations

import qt
import slicer

from ..scene import ct_in_3d, layout
from . import three_d


class Views:
    """The button that shows the views, and the check box for the CT's slices.

    panel: the `panel.Panel` whose widgets they are.
    """

    def __init__(self, panel) -> None:
        self._panel, self._ui = panel, panel.ui
        self._ui.layoutButton.toggled.connect(self._on_views)
        self._ui.ctSlicesBox.toggled.connect(self._on_ct_slices)

    @property
    def out_of_date(self) -> bool:
        """Whether somebody has chosen another layout meanwhile."""
        return self._ui.layoutButton.checked != layout.shows(self._panel.registration)

    def refresh(self) -> None:
        """Show what is shown."""
        registration, ui = self._panel.registration, self._ui
        shown = registration is not None and layout.shows(registration)
        ui.layoutButton.enabled = registration is not None and bool(registration.xrays)
        ui.layoutButton.checked = shown
        ui.ctSlicesBox.enabled = shown and registration.ct is not None
        ui.ctSlicesBox.checked = shown and layout.has_ct_slices(registration.scene)

    def show(self, *, ct_slices: bool) -> None:
        """Change to the layout, with the CT in its slices. Nothing happens without X-rays."""
        registration = self._panel.registration
        before = layout.shows(registration)
        if not layout.show(registration, ct_slices):
            return
        if ct_slices and registration.ct is not None:
            logic = slicer.app.applicationLogic()
            logic.GetSelectionNode().SetActiveVolumeID(registration.ct.GetID())
            logic.PropagateVolumeSelection()  # the views of X-rays take no part in that
        ct_in_3d.show_first_time(registration)
        if not before:
            qt.QTimer.singleShot(0, self._stand_back)  # once the views have their size

    def show_ct_slices(self) -> None:
        """Have slices of the CT to click in, where there are none."""
        if not (layout.shows(self._panel.registration) and layout.has_ct_slices(slicer.mrmlScene)):
            self.show(ct_slices=True)

    def _on_views(self, on: bool) -> None:
        if self._panel.filling:
            return
        with self._panel.acting():
            if on:
                self.show(ct_slices=False)
            else:
                layout.back(slicer.mrmlScene)

    def _on_ct_slices(self, on: bool) -> None:
        if self._panel.filling:
            return
        with self._panel.acting():
            self.show(ct_slices=on)

    def _stand_back(self) -> None:
        registration = self._panel.registration
        if registration is not None and registration.scene is not None:
            three_d.stand_back(registration)
