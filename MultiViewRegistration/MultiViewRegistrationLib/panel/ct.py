"""The CT, and the structure in it that is registered."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..imaging.ct import load_ct
from ..imaging.image_source import without_data_files
from ..io.case_file import CT_UNITS
from ..mrml import ct_3d, layout
from ..mrml.dicom import header_of_ct, keep_header
from ..mrml.loading import name_of, volume_node
from ..mrml.registration import CT_UNIT
from ..session import preparation
from ..session.background_task import Worker
from ..session.ct_preview import CTPreview, facts, seen_in, take_preview
from ..session.presenters.section import PROBLEM, READY, RUNNING, TODO, State
from . import packages
from .drop import FileDrop
from .pictures import pixmap
from .section import Section

PICTURE_SIZE = (176, 136)


class CTSection(Section):
    """Volume, unit and structure, and a picture of what the registration will see of them.

    Files are read, and the picture made, in a thread; `tick` takes what has become of it.
    """

    FILE = "CT.ui"
    TITLE = _("1. CT")
    BEGINS = True

    def connect(self) -> None:
        self._reading: Worker | None = None
        self._read_name = ""
        self._look: Worker | None = None
        self._looked_at = ""
        self._preview: CTPreview | None = None
        self._problem = ""
        self._bones = preparation.BoneSurfaceUpdater()
        self.ui.ctSelector.currentNodeIDChanged.connect(self._on_volume)
        self.ui.folderButton.clicked.connect(self._on_folder)
        self.ui.unitBox.connect("currentIndexChanged(int)", self._on_unit)
        self.ui.segmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_segmentation)
        self.ui.segmentSelector.currentSegmentChanged.connect(self._on_segment)
        self.ui.in3DButton.clicked.connect(self._on_in_3d)
        self.ui.installButton.clicked.connect(self._on_install)
        self._drop = FileDrop(self.button, self._on_dropped)

    # The scene into the widgets

    def refresh(self) -> None:
        registration = self.registration
        self.ui.ctSelector.setCurrentNode(registration.ct)
        self.ui.unitBox.currentIndex = CT_UNITS.index(registration.parameter(CT_UNIT, "hu"))
        self.ui.segmentSelector.setCurrentNode(registration.segmentation)
        self.ui.segmentSelector.setCurrentSegmentID(registration.segment_id)
        self.ui.segmentSelector.enabled = registration.ct is not None
        self._hide_no_node()
        self.ui.unitBox.enabled = True
        self.ui.in3DButton.enabled = ct_3d.can_show_volume(registration)
        self.ui.in3DButton.checked = ct_3d.volume_is_shown(registration)
        self._look_again()
        self._show_preview()
        self._show_packages()

    def _show_packages(self) -> None:
        lacking = packages.lacking(self.panel.resource_path("requirements.txt")) if self._preview is not None else ""
        self.ui.packagesLabel.text = lacking
        for widget in (self.ui.packagesLabel, self.ui.installButton):
            widget.setVisible(bool(lacking))

    def _hide_no_node(self) -> None:
        """Slicer's selector says "No node is selected" beside the "None" that says it already."""
        label = self.ui.segmentSelector.findChild(qt.QLabel, "label_Message")
        if label is not None and self.ui.segmentSelector.currentNode() is None:
            label.visible = False

    def _look_again(self) -> None:
        """Begin to look at the CT, where it is another than the one that was looked at."""
        key = seen_in(self.registration)
        if key == self._looked_at:
            return
        self._looked_at, self._look, self._preview, self._problem = key, None, None, ""
        if self.registration.ct is None:
            return
        try:
            work = take_preview(self.registration)
        except InputError as error:
            self._problem = str(error)
        else:
            self._look = Worker(lambda tell: work())

    def _show_preview(self) -> None:
        ui, found = self.ui, self._preview
        ui.problemLabel.text = self._problem
        ui.problemLabel.setVisible(bool(self._problem))
        ui.previewLabel.setVisible(not self._problem)
        ui.factsLabel.setVisible(not self._problem)
        if found is not None:
            ui.previewLabel.setPixmap(pixmap(found.picture, *PICTURE_SIZE, found.aspect))
            ui.factsLabel.text = "\n".join(facts(found, self.registration.parameter(CT_UNIT, "hu")))
            return
        ui.factsLabel.text = ""
        if self._look is not None or self._reading is not None:
            ui.previewLabel.text = _("Reading...") if self._reading else _("Looking at the CT...")
        else:
            ui.previewLabel.text = _("Drop a CT here: a DICOM folder or a file")

    def show_state(self) -> None:
        super().show_state()
        if self.registration is None:
            self._looked_at, self._look, self._preview, self._problem = "", None, None, ""
            self._show_preview()
            self._show_packages()
            self.ui.ctSelector.setCurrentNode(None)
            for widget in (self.ui.unitBox, self.ui.segmentSelector, self.ui.in3DButton):
                widget.enabled = False

    def state(self) -> State:
        if self._reading is not None:
            return State(RUNNING, _("reading {name}").format(name=self._read_name))
        if self.registration.ct is None:
            return State(TODO, _("choose the CT"))
        if self._problem:
            return State(PROBLEM, _("cannot be used"))
        segmentation, segment_id = self.registration.segmentation, self.registration.segment_id
        segment = segmentation and segmentation.GetSegmentation().GetSegment(segment_id)
        return State(
            READY,
            f"{self.registration.ct.GetName()}, {segment.GetName()}" if segment else self.registration.ct.GetName(),
        )

    # What goes on beside

    def tick(self) -> None:
        if self._reading is not None:
            self._reading.poll()
            if self._reading.state != "running":
                self._take_read()
        if self._look is not None:
            self._look.poll()
            if self._look.state != "running":
                self._preview, self._problem, self._look = self._look.result, self._look.message, None
                self.panel.invalidate()

        if layout.shows(self.registration):
            self._bones.follow(self.registration)

    def leave(self) -> None:
        self._reading = None  # what it comes to is forgotten

    def _read(self, path: Path) -> None:
        unit = self.registration.parameter(CT_UNIT, "hu")
        self._read_name = path.name
        self._reading = Worker(lambda tell: (load_ct(path, unit), header_of_ct(path)))

    def _take_read(self) -> None:
        reading, self._reading = self._reading, None
        with self.panel.acting():
            if reading.state != "done":
                raise InputError(reading.message)
            ct, header = reading.result
            node = volume_node(
                slicer.mrmlScene, name_of(Path(self._read_name)), ct.volume.values, ct.volume.ct_from_index
            )
            keep_header(node, header)
            self.registration.ct = node
            ct_3d.update_volume(self.registration)

    # A person at the widgets

    def _on_volume(self, node_id: str) -> None:
        if not self.may_begin or not (node_id or self.registration):
            return
        with self.panel.acting():
            self.panel.begin()
            self.registration.ct = slicer.mrmlScene.GetNodeByID(node_id) if node_id else None
            ct_3d.update_volume(self.registration)

    def _on_folder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of a CT's DICOM slices"))
        if path:
            with self.panel.acting():
                self.panel.begin()
                self._read(Path(path))

    def _on_dropped(self, paths: list[Path]) -> None:
        if not self.may_begin:
            return
        with self.panel.acting():
            self.panel.begin()
            paths = without_data_files(paths)
            folders = {path.parent for path in paths}
            if len(paths) > 1 and len(folders) > 1:
                raise InputError(
                    _(
                        "CT: {count} files of several folders were dropped, expected one folder or one file; drop that."
                    ).format(count=len(paths))
                )
            self._read(paths[0] if len(paths) == 1 else folders.pop())

    def _on_unit(self, index: int) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            self.registration.node.SetParameter(CT_UNIT, CT_UNITS[index])

    def _on_segmentation(self, segmentation) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            segments = segmentation.GetSegmentation().GetSegmentIDs() if segmentation else ()
            self.registration.choose_segment(segmentation, segments[0] if segments else "")

    def _on_segment(self, segment_id: str) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            segmentation = self.ui.segmentSelector.currentNode()  # which may be another by now
            self.registration.choose_segment(segmentation if segment_id else None, segment_id)

    def _on_install(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))

    def _on_in_3d(self, on: bool) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            ct_3d.show_volume(self.registration, on)
            ct_3d.show_surface(self.registration, not on)
