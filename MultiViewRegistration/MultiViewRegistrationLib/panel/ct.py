"""The CT, and the structure in it that is registered."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer

from ..io.case_file import CT_UNITS
from ..mrml import ct_3d, layout
from ..session import preparation
from ..session.presenters.ct import CTPresenter, one_ct
from ..session.translation import _
from . import packages
from .drop import FileDrop
from .pictures import pixmap
from .section import Section

PICTURE_SIZE = (176, 136)


class CTSection(Section):
    """Selectors of volume, unit and structure, and a picture of what the registration will see of them."""

    FILE = "CT.ui"
    TITLE = _("1. CT")
    PRESENTER = CTPresenter
    BEGINS = True

    def connect(self) -> None:
        ui, presenter = self.ui, self.presenter
        self._bones = preparation.BoneSurfaceUpdater()
        ui.ctSelector.currentNodeIDChanged.connect(self._on_volume)
        ui.folderButton.clicked.connect(self._on_folder)
        ui.unitBox.connect("currentIndexChanged(int)", lambda index: self.do(presenter.set_unit, CT_UNITS[index]))
        ui.segmentSelector.connect(
            "currentNodeChanged(vtkMRMLNode*)", lambda segmentation: self.do(self._choose_first, segmentation)
        )
        ui.segmentSelector.currentSegmentChanged.connect(lambda segment_id: self.do(self._choose_segment, segment_id))
        ui.in3DButton.clicked.connect(lambda on: self.do(self._show_in_3d, on))
        ui.installButton.clicked.connect(self._on_install)
        self._drop = FileDrop(self.button, self._on_dropped)

    # What is shown

    def refresh(self) -> None:
        ui, registration = self.ui, self.registration
        ui.ctSelector.setCurrentNode(registration.ct)
        ui.segmentSelector.setCurrentNode(registration.segmentation)
        ui.segmentSelector.setCurrentSegmentID(registration.segment_id)
        ui.segmentSelector.enabled = registration.ct is not None
        self._hide_no_node()
        ui.unitBox.enabled = True
        ui.in3DButton.enabled = ct_3d.can_show_volume(registration)
        ui.in3DButton.checked = ct_3d.volume_is_shown(registration)
        self._show()

    def _show(self) -> None:
        ui, shown, preview = self.ui, self.presenter.shown(), self.presenter.preview
        ui.unitBox.currentIndex = CT_UNITS.index(shown.unit)
        ui.problemLabel.text = shown.problem
        ui.problemLabel.setVisible(bool(shown.problem))
        ui.previewLabel.setVisible(not shown.problem)
        ui.factsLabel.setVisible(not shown.problem)
        ui.factsLabel.text = "\n".join(shown.facts)
        if preview is not None:
            ui.previewLabel.setPixmap(pixmap(preview.picture, *PICTURE_SIZE, preview.aspect))
        elif shown.reading:
            ui.previewLabel.text = _("Reading...")
        elif shown.looking:
            ui.previewLabel.text = _("Looking at the CT...")
        else:
            ui.previewLabel.text = _("Drop a CT here: a DICOM folder or a file")
        lacking = packages.lacking(self.panel.resource_path("requirements.txt")) if preview is not None else ""
        ui.packagesLabel.text = lacking
        for widget in (ui.packagesLabel, ui.installButton):
            widget.setVisible(bool(lacking))

    def _hide_no_node(self) -> None:
        """Slicer's selector says "No node is selected" beside the "None" that says it already."""
        label = self.ui.segmentSelector.findChild(qt.QLabel, "label_Message")
        if label is not None and self.ui.segmentSelector.currentNode() is None:
            label.visible = False

    def show_state(self) -> None:
        super().show_state()
        if self.registration is None:
            self._show()
            self.ui.ctSelector.setCurrentNode(None)
            for widget in (self.ui.unitBox, self.ui.segmentSelector, self.ui.in3DButton):
                widget.enabled = False

    def tick(self) -> None:
        if self.presenter.tick():
            self.panel.invalidate()
        if self.presenter.mismatch is not None:
            self._ask_unit()
        if layout.shows(self.registration):
            self._bones.follow(self.registration)

    def leave(self) -> None:
        self.presenter.stop_reading()

    # A person at the widgets

    def _ask_unit(self) -> None:
        with self.panel.acting():
            shown = self.presenter.shown()
            question = _("{problem}\nRead the values as: {unit}?").format(problem=shown.mismatch, unit=shown.instead)
            if slicer.util.confirmYesNoDisplay(question):
                self.presenter.read_instead()
            else:
                self.presenter.forget_sent()

    def _on_volume(self, node_id: str) -> None:
        if self.may_begin and (node_id or self.registration):
            with self.panel.acting():
                self.presenter.choose(slicer.mrmlScene.GetNodeByID(node_id) if node_id else None)

    def _on_folder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of a CT's DICOM slices"))
        if path:
            with self.panel.acting():
                self.presenter.read(Path(path))

    def _on_dropped(self, paths: list[Path]) -> None:
        if self.may_begin:
            with self.panel.acting():
                self.presenter.read(one_ct(paths))

    def _choose_first(self, segmentation) -> None:
        segments = segmentation.GetSegmentation().GetSegmentIDs() if segmentation else ()
        self.registration.choose_segment(segmentation, segments[0] if segments else "")

    def _choose_segment(self, segment_id: str) -> None:
        segmentation = self.ui.segmentSelector.currentNode()  # which may be another by now
        self.registration.choose_segment(segmentation if segment_id else None, segment_id)

    def _on_install(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))

    def _show_in_3d(self, on: bool) -> None:
        ct_3d.show_volume(self.registration, on)
        ct_3d.show_surface(self.registration, not on)
