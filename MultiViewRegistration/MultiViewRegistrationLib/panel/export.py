"""The pose handed on."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..scene import export, link
from .section import DONE, READY, TODO, Section, State

#: Seconds between two looks at whether the result still stands.
LOOK_S = 0.3


class ExportSection(Section):
    """Files in a folder, and OpenIGTLink."""

    FILE = "Export.ui"
    TITLE = _("6. Export")

    def connect(self) -> None:
        self._report: Path | None = None
        self._doubt, self._looked = "", 0.0
        ui = self.ui
        ui.folderPath.currentPathChanged.connect(self._show_whether_it_can)
        for box in (ui.resultCheckBox, ui.caseCheckBox, ui.overrideCheckBox):
            box.toggled.connect(self._show_whether_it_can)
        ui.exportButton.clicked.connect(self._on_export)
        ui.openReportButton.clicked.connect(self._on_open_report)
        ui.transformsButton.clicked.connect(self._on_show_transform)
        ui.sendButton.clicked.connect(self._on_send)
        ui.disconnectButton.clicked.connect(self._on_disconnect)

    def refresh(self) -> None:
        doubt = self.session.doubt()
        if doubt != self._doubt:  # what was overridden was another
            self._doubt = doubt
            self.ui.overrideCheckBox.checked = False
        self.ui.transformNameLabel.text = self.registration.ct_transform.GetName()
        self.ui.doubtLabel.text = doubt
        self.ui.doubtLabel.setVisible(bool(doubt))
        self.ui.overrideCheckBox.setVisible(bool(doubt))
        if self.session.message:
            self.ui.writtenLabel.text = ""
        self._show_whether_it_can()

    def state(self) -> State:
        if self.session.doubt():
            return State(TODO)
        return State(DONE, _("written")) if self._report else State(READY)

    def leave(self) -> None:
        self._report = None
        self.ui.writtenLabel.text = ""
        self.ui.openReportButton.enabled = False

    def _show_whether_it_can(self, *_args) -> None:
        if self.registration is None:
            return
        ui = self.ui
        settled = ui.overrideCheckBox.checked or not self.session.doubt()
        missing = self._missing(settled)
        ui.exportButton.enabled = not missing
        ui.exportButton.toolTip = missing or _("Write the chosen files.")
        ui.hintLabel.text = missing
        ui.hintLabel.setVisible(bool(missing))
        ui.sendButton.enabled = link.available() and settled
        ui.sendButton.toolTip = (
            _("Install the extension SlicerOpenIGTLink to send the transform to navigation.") if not link.available()
            else _("Send the CT's pose in the world once, as the message CTToWorld.") if settled
            else _("Register first, or override the caution above."))
        self._show_connection()

    def _missing(self, settled: bool) -> str:
        """What must be done before files can be written; "" for nothing."""
        ui = self.ui
        if self.session.running:
            return _("Wait until the work under way is done.")
        if not (ui.resultCheckBox.checked or ui.caseCheckBox.checked):
            return _("Choose what to write.")
        if ui.resultCheckBox.checked and not settled:
            return _("Register first, or override the caution above.")
        return "" if ui.folderPath.currentPath else _("Choose a folder.")

    def tick(self) -> None:
        self._show_connection()
        if monotonic() - self._looked > LOOK_S:
            self._looked = monotonic()
            if self.session.doubt() != self._doubt:  # somebody moved the CT, or changed an image
                self.panel.invalidate()

    def _show_connection(self) -> None:
        ui, connection = self.ui, link.connection(self.registration)
        ui.disconnectButton.enabled = connection is not None
        told = _("Needs the extension SlicerOpenIGTLink.") if not link.available() else _("Not connected.")
        if connection is not None:
            stands, address = connection
            told = (_("Connected to {address}.") if stands else _("Waiting for {address}...")).format(address=address)
        if ui.linkLabel.text != told:
            ui.linkLabel.text = told

    def _on_export(self) -> None:
        with self.panel.acting():
            folder, ui = Path(self.ui.folderPath.currentPath), self.ui
            writers = [export.write_case_folder(self.session, folder)] if ui.caseCheckBox.checked else []
            if ui.resultCheckBox.checked:
                writers.append(export.write_result(self.session, folder, override=ui.overrideCheckBox.checked))
            ui.writtenLabel.text = _("Writing...")
            self.session.run(lambda: [write() for write in writers], self._on_written)

    def _on_written(self, files: list[Path]) -> None:
        names = [file.name for file in files]
        if "result.json" in names:
            names += ["report.html", "world_from_ct.tfm", "world_from_ct.slicer.tfm"]
            self._report = files[-1].with_name("report.html")
            self.ui.openReportButton.enabled = True
        self.ui.writtenLabel.text = _("Written to {folder}: {files}.").format(folder=files[0].parent, files=", ".join(names))

    def _on_open_report(self) -> None:
        with self.panel.acting():
            if not self._report.is_file():
                raise InputError(f"{self._report}: is no longer there, expected the report; export again.")
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._report)))

    def _on_show_transform(self) -> None:
        with self.panel.acting():
            slicer.app.openNodeModule(self.registration.ct_transform)

    def _on_send(self) -> None:
        with self.panel.acting():
            link.send(self.session, self.ui.hostLineEdit.text, self.ui.portSpinBox.value, override=self.ui.overrideCheckBox.checked)

    def _on_disconnect(self) -> None:
        with self.panel.acting():
            link.disconnect(self.registration)
