"""The pose handed on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import monotonic

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..session import export, link
from ..session.presenters.section import DONE, READY, TODO, State
from . import packages
from .fields import NumberField
from .section import Section

#: Seconds between two looks at whether the result still stands.
LOOK_S = 0.3
CLIENT, SERVER = range(2)


class ExportSection(Section):
    """Files in a folder, and OpenIGTLink."""

    FILE = "Export.ui"
    TITLE = _("6. Export")

    def connect(self) -> None:
        self._report: Path | None = None
        self._doubt, self._looked, self._sending = "", 0.0, False
        ui = self.ui
        ui.folderPath.currentPathChanged.connect(self._show_whether_it_can)
        self._formats = {kind: qt.QCheckBox(name) for kind, name in export.formats().items()}
        for box in self._formats.values():
            ui.formatsWidget.layout().addWidget(box)
        for box in (ui.resultCheckBox, ui.caseCheckBox, ui.overrideCheckBox, *self._formats.values()):
            box.toggled.connect(self._show_whether_it_can)
        ui.exportButton.clicked.connect(self._on_export)
        ui.openReportButton.clicked.connect(self._on_open_report)
        ui.transformsButton.clicked.connect(self._on_show_transform)
        ui.linkModeBox.connect("currentIndexChanged(int)", self._show_whether_it_can)
        self._port = NumberField(ui.portEdit, _("Port"), 1, 65535, whole=True, done=self._on_port)
        self._port.write(link.PORT)
        ui.sendButton.clicked.connect(self._on_send)
        ui.disconnectButton.clicked.connect(self._on_disconnect)

    def refresh(self) -> None:
        doubt = self.session.doubt()
        if doubt != self._doubt:  # what was overridden was another
            self._doubt = doubt
            self.ui.overrideCheckBox.checked = False
        name = self.registration.ct_transform.GetName()
        self.ui.transformNameLabel.text = name
        self.ui.transformNameLabel.toolTip = _(
            "{name}: the transform node that the CT is under, to harden, to stream, or to use as any other transform."
        ).format(name=name)
        self.ui.doubtLabel.text = doubt
        self.ui.doubtLabel.setVisible(bool(doubt))
        self.ui.overrideCheckBox.setVisible(bool(doubt))
        offered = export.poses_offered(self.session)
        self.ui.framesLabel.text = _("Of {poses}; transforms in both directions, matrices in LPS and in RAS.").format(
            poses=_(" and ").join(offered)
        )
        for kind, box in self._formats.items():
            missing = export.lacking(self.registration, kind)
            box.enabled, box.toolTip = not missing, missing
            box.checked = box.checked and not missing
        self.ui.framesLabel.toolTip = _(
            "reference_from_ct, in the frame of the tracker, comes with a case that has reference_from_world."
        )
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
        kinds = self._kinds()
        ui.formatsGroupBox.title = _("Files for other programs") + (f" ({len(kinds)})" if kinds else "")
        ui.formatsGroupBox.enabled = ui.resultCheckBox.checked
        as_server = ui.linkModeBox.currentIndex == SERVER
        ui.hostLineEdit.enabled = not as_server
        ui.sendButton.text = _("Offer") if as_server else _("Send")
        ui.sendButton.enabled = settled and not self.session.running
        ui.sendButton.toolTip = (
            _("Wait until the work under way is done.")
            if self.session.running
            else _("Register first, or override the caution above.")
            if not settled
            else _(
                "Offer the CT's pose, its verdict and the overlays to clients on this computer, until it is disconnected."
            )
            if as_server
            else _("Send the CT's pose, its verdict and the overlays to this server, until it is disconnected.")
        )
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
        ui, told = self.ui, self.session.link.told
        ui.disconnectButton.enabled = self.session.link.open
        told = f"{told[0].upper()}{told[1:].rstrip('.')}." if told else _("Not connected.")
        self._sending = self._sending and self.session.running
        if self._sending:
            told = _("Preparing the overlays to send...")
        if ui.linkLabel.text != told:
            ui.linkLabel.text = told

    def _kinds(self) -> list[str]:
        """The files for other programs that are chosen."""
        return [kind for kind, box in self._formats.items() if box.checked] if self.ui.resultCheckBox.checked else []

    def _on_export(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))
            folder, ui = Path(self.ui.folderPath.currentPath), self.ui
            writers = []
            if ui.caseCheckBox.checked:
                writers.append(export.write_case_folder(self.session, folder))
            if ui.resultCheckBox.checked:
                writers.append(
                    export.write_result(self.session, folder, self._kinds(), override=ui.overrideCheckBox.checked)
                )
            ui.writtenLabel.text = _("Writing...")
            self.session.run(lambda: [file for write in writers for file in write()], self._on_written)

    def _on_written(self, files: list[Path]) -> None:
        report = [file for file in files if file.name == "report.html"]
        if report:
            (self._report,) = report
            self.ui.openReportButton.enabled = True
        self.ui.writtenLabel.text = _("Written to {folder}: {files}.").format(
            folder=files[0].parent, files=", ".join(file.name for file in files)
        )

    def _on_open_report(self) -> None:
        with self.panel.acting():
            if not self._report.is_file():
                raise InputError(f"{self._report}: is no longer there, expected the report; export again.")
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._report)))

    def _on_show_transform(self) -> None:
        with self.panel.acting():
            slicer.app.openNodeModule(self.registration.ct_transform)

    def _on_port(self) -> None:
        with self.panel.acting():
            self._port.value  # noqa: B018

    def _on_send(self) -> None:
        with self.panel.acting():
            ui, goes_to = self.ui, self.session.link
            port = self._port.value
            if ui.linkModeBox.currentIndex == SERVER:
                begin = partial(goes_to.serve, port)
            else:
                begin = partial(goes_to.send_to, *link.address(ui.hostLineEdit.text, port))
            packages.ensure(self.panel.resource_path("requirements.txt"))
            packages.ensure(self.panel.resource_path("requirements_navigation.txt"))
            making = export.take_messages(self.session, override=ui.overrideCheckBox.checked)
            self.session.run(making, lambda made: begin(*made))
            self._sending = True

    def _on_disconnect(self) -> None:
        with self.panel.acting():
            self.session.link.close()
