"""The image of an X-ray: frame, grey values, orientation, mask."""

from __future__ import annotations

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ..mrml.image import draw_mask, show_mask
from ..mrml.xray import drawn_on
from ..session.presenters.image import INTENSITIES
from ..session.presenters.number import Number
from .fields import NumberField
from .pictures import pixmap
from .xray_tab import XRayTab

PICTURE_SIZE = (120, 120)


class ImageTab(XRayTab):
    """How the picture of an X-ray is made, a small copy of it, and a button that draws a mask in Slicer's Segment Editor."""

    FILE = "XRayImage.ui"

    def connect(self) -> None:
        ui, presenter = self.ui, self.presenter
        self._pictured: tuple = ()
        self.frame = NumberField(ui.frameEdit, Number(_("Frame"), 0, 0, whole=True), done=self._on_frame)
        self._arrows = [self._arrow(key, by) for key, by in (("Up", 1), ("Down", -1))]
        ui.valuesBox.connect(
            "currentIndexChanged(int)", lambda index: self.do(presenter.set_intensity, list(INTENSITIES)[index])
        )
        ui.invertBox.toggled.connect(lambda on: self.do(presenter.switch, "inverted", on))
        ui.flipBox.toggled.connect(lambda on: self.do(presenter.switch, "flipped", on))
        ui.maskSelector.currentNodeIDChanged.connect(lambda node_id: self.do(presenter.set_mask, node_id))
        ui.drawButton.clicked.connect(lambda: self.do(self._draw))

    def show(self, shown) -> None:
        ui, view = self.ui, self.presenter.view
        ui.sourceLabel.text = ui.sourceLabel.toolTip = shown.source
        self.frame.number = self.presenter.frame_number()
        self.frame.show(shown.frame, (view.node.GetID(), shown.last_frame))
        for widget in (ui.frameLabel, ui.frameEdit):
            widget.setVisible(shown.last_frame > 0)
        ui.valuesBox.currentIndex = list(INTENSITIES).index(shown.intensity)
        ui.invertBox.checked, ui.flipBox.checked = shown.inverted, shown.flipped
        for widget in (ui.valuesBox, ui.invertBox, ui.flipBox):
            widget.enabled = shown.editable
        ui.maskSelector.setCurrentNode(view.mask)
        self._show_picture()

    def _show_picture(self) -> None:
        """The picture as its view shows it, made anew only where it has changed."""
        view = self.presenter.view
        display, image = view.node.GetDisplayNode(), view.node.GetImageData()
        key = (view.node.GetID(), image and image.GetMTime(), display and display.GetMTime())
        if key == self._pictured:
            return
        self._pictured = key
        if not image or not display:
            self.ui.pictureLabel.text = _("No image")
            return
        step = max(1, max(view.size) // (2 * max(PICTURE_SIZE)))
        values = slicer.util.arrayFromVolume(view.node)[0, ::step, ::step]
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        grey = (255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
        self.ui.pictureLabel.setPixmap(pixmap(np.repeat(grey[..., None], 3, 2), *PICTURE_SIZE))

    def _arrow(self, key: str, by: int):
        """An arrow key in the field goes to the next frame, or the one before."""
        shortcut = qt.QShortcut(qt.QKeySequence(key), self.ui.frameEdit)
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", lambda: self.do(self.presenter.step_frame, by))
        return shortcut

    def _on_frame(self) -> None:
        self.do(self.presenter.set_frame, self.frame.bare)

    def _draw(self) -> None:
        view = self.presenter.view
        segmentation = view.mask or draw_mask(view)[0]
        self.panel.ui.layoutButton.checked = True  # the X-ray's own view, to draw in
        edit_segmentation(segmentation, drawn_on(segmentation) or view.node)
        if not self.panel.shown:
            show_mask(view, filled=True)


def edit_segmentation(segmentation, volume) -> None:
    """Open Slicer's Segment Editor on a segmentation over a volume, where there is that module."""
    if not hasattr(slicer.modules, "segmenteditor"):
        return
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
