"""The image of an X-ray: frame, grey values, orientation, mask."""

from __future__ import annotations

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ..mrml import mask
from ..mrml.image import change_image
from ..mrml.mask import draw_mask, set_mask
from ..mrml.segments import drawn_on
from .fields import NumberField
from .pictures import pixmap
from .xray_editor import XRayEditor

INTENSITIES = ("linear", "log")
PICTURE_SIZE = (120, 120)


class ImageEditor(XRayEditor):
    """How the picture of an X-ray is made from the volume that it came as, and what part of it is used."""

    FILE = "XRayImage.ui"
    TITLE = _("Image")

    def connect(self) -> None:
        self._pictured: tuple = ()
        self.frame = NumberField(self.ui.frameEdit, _("Frame"), 0, 0, whole=True, done=self._on_frame)
        self._arrows = [self._arrow(key, by) for key, by in (("Up", 1), ("Down", -1))]
        self.ui.valuesBox.connect("currentIndexChanged(int)", lambda index: self._change(intensity=INTENSITIES[index]))
        self.ui.invertBox.toggled.connect(lambda on: self._change(inverted=on))
        self.ui.flipBox.toggled.connect(lambda on: self._change(flipped=on))
        self.ui.maskSelector.currentNodeIDChanged.connect(self._on_mask)
        self.ui.drawButton.clicked.connect(self._on_draw)

    def refresh(self) -> None:
        ui, content, source = self.ui, self.view.content, self.view.source
        image = source and source.GetImageData()
        columns, rows = self.view.size
        frames = image.GetDimensions()[2] if image else 1
        name = source.GetName() if source else _("(its volume is gone)")
        ui.sourceLabel.text = _("{name}, {columns} \u00d7 {rows}").format(name=name, columns=columns, rows=rows)
        ui.sourceLabel.toolTip = ui.sourceLabel.text
        self.frame.high, self.frame.unit = frames - 1, _(" of {last}").format(last=frames - 1)
        self.frame.show(content.get("frame") or 0, (self.view.node.GetID(), frames))
        for widget in (ui.frameLabel, ui.frameEdit):
            widget.setVisible(frames > 1)
        ui.valuesBox.currentIndex = INTENSITIES.index(content.get("intensity", "linear"))
        ui.invertBox.checked = bool(content.get("inverted"))
        ui.flipBox.checked = bool(content.get("flipped"))
        for widget in (ui.valuesBox, ui.invertBox, ui.flipBox):
            widget.enabled = source is not None
        ui.maskSelector.setCurrentNode(self.view.mask)
        self._show_picture()

    def _show_picture(self) -> None:
        """The picture as its view shows it, made anew only where it has changed."""
        node = self.view.node
        display, image = node.GetDisplayNode(), node.GetImageData()
        key = (node.GetID(), image and image.GetMTime(), display and display.GetMTime())
        if key == self._pictured:
            return
        self._pictured = key
        if not image or not display:
            self.ui.pictureLabel.text = _("No image")
            return
        step = max(1, max(self.view.size) // (2 * max(PICTURE_SIZE)))
        values = slicer.util.arrayFromVolume(node)[0, ::step, ::step]
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        grey = (255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
        self.ui.pictureLabel.setPixmap(pixmap(np.repeat(grey[..., None], 3, 2), *PICTURE_SIZE))

    def _arrow(self, key: str, by: int):
        """An arrow key in the field goes to the next frame, or the one before."""
        shortcut = qt.QShortcut(qt.QKeySequence(key), self.ui.frameEdit)
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", lambda: self._step(by))
        return shortcut

    def _step(self, by: int) -> None:
        frame = (self.view.content.get("frame") or 0) + by
        if 0 <= frame <= self.frame.high:
            self._change(frame=frame)

    def _on_frame(self) -> None:
        if self.asked:
            with self.panel.acting():
                change_image(self.view, frame=self.frame.value)

    def _change(self, **settings) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            change_image(self.view, **settings)

    def _on_mask(self, node_id: str) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            set_mask(self.view, slicer.mrmlScene.GetNodeByID(node_id) if node_id else None)

    def _on_draw(self) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            segmentation = self.view.mask or draw_mask(self.view)[0]
            self.panel.ui.layoutButton.checked = True  # the X-ray's own view, to draw in
            edit_segmentation(segmentation, drawn_on(segmentation) or self.view.node)
        if not self.panel.shown:
            mask.show(self.view, filled=True)


def edit_segmentation(segmentation, volume) -> None:
    """Open Slicer's Segment Editor on a segmentation over a volume, where there is that module."""
    if not hasattr(slicer.modules, "segmenteditor"):
        return
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
