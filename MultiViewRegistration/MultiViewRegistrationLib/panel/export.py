"""The section Export in Qt."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..session import result_files
from ..session.presenters.export import CLIENT, MAX_PORT, SERVER, ExportPresenter
from ..session.presenters.number import Number
from . import packages
from .fields import NumberField
from .section import Section

MODES = (CLIENT, SERVER)


class ExportSection(Section):
    """Files in a folder, and OpenIGTLink."""

    FILE = "Export.ui"
    TITLE = _("6. Export")
    PRESENTER = ExportPresenter

    def connect(self) -> None:
        self._report: Path | None = None
        ui, presenter = self.ui, self.presenter
        ui.folderPath.currentPathChanged.connect(self._show)
        self._formats = {kind: qt.QCheckBox(name) for kind, name in result_files.formats().items()}
        for box in self._formats.values():
            ui.formatsWidget.layout().addWidget(box)
            box.toggled.connect(self._on_kinds)
        for what, box in self._switches().items():
            box.toggled.connect(lambda on, what=what: self._choose(presenter.choose, what, on))
        ui.exportButton.clicked.connect(self._on_export)
        ui.openReportButton.clicked.connect(self._on_open_report)
        ui.transformsButton.clicked.connect(self._on_show_transform)
        ui.linkModeBox.connect(
            "currentIndexChanged(int)", lambda index: self._choose(presenter.set_link, "mode", MODES[index])
        )
        ui.hostLineEdit.textChanged.connect(lambda text: self._choose(presenter.set_link, "host", text))
        self._port = NumberField(ui.portEdit, Number(_("Port"), 1, MAX_PORT, whole=True), done=self._on_port)
        self._port.write(presenter.port)
        ui.sendButton.clicked.connect(self._on_send)
        ui.disconnectButton.clicked.connect(lambda: self.do(presenter.disconnect))

    def refresh(self) -> None:
        name = self.registration.ct_transform.GetName()
        self.ui.transformNameLabel.text = name
        self.ui.transformNameLabel.toolTip = _(
            "{name}: the transform node that the CT is under, to harden, to stream, or to use as any other transform."
        ).format(name=name)
        self.ui.framesLabel.toolTip = _(
            "reference_from_ct, in the frame of the tracker, comes with a case that has reference_from_world."
        )
        if self.session.message:
            self.ui.writtenLabel.text = ""
        self._show()

    def leave(self) -> None:
        self._report, self.presenter.written = None, False
        self.ui.writtenLabel.text = ""
        self.ui.openReportButton.enabled = False

    def tick(self) -> None:
        if self.presenter.tick():
            self.panel.invalidate()

    def _switches(self) -> dict:
        ui = self.ui
        return {"override": ui.overrideCheckBox, "result": ui.resultCheckBox, "case": ui.caseCheckBox}

    def _show(self, *_args) -> None:
        if self.registration is None:
            return
        ui, shown = self.ui, self.presenter.shown()
        for what, box in self._switches().items():
            box.checked = getattr(shown, what)
        ui.doubtLabel.text = shown.doubt
        ui.doubtLabel.setVisible(bool(shown.doubt))
        ui.overrideCheckBox.setVisible(bool(shown.doubt))
        ui.framesLabel.text = _("Of {poses}; transforms in both directions, matrices in LPS and in RAS.").format(
            poses=shown.poses
        )
        missing = shown.missing or ("" if ui.folderPath.currentPath else _("Choose a folder."))
        ui.exportButton.enabled = not missing
        ui.exportButton.toolTip = missing or _("Write the chosen files.")
        ui.hintLabel.text = missing
        ui.hintLabel.setVisible(bool(missing))
        for kind in shown.formats:
            box = self._formats[kind["value"]]
            box.enabled, box.toolTip = not kind["missing"], kind["missing"]
        ui.formatsGroupBox.title = _("Files for other programs") + (f" ({len(shown.kinds)})" if shown.kinds else "")
        ui.formatsGroupBox.enabled = shown.result
        as_server = shown.link_mode == SERVER
        ui.hostLineEdit.enabled = not as_server
        ui.sendButton.text = _("Offer") if as_server else _("Send")
        ui.sendButton.enabled = shown.link_ready
        ui.sendButton.toolTip = shown.link_missing or (
            _(
                "Offer the CT's pose, its verdict and the overlays to clients on this computer, until it is disconnected."
            )
            if as_server
            else _("Send the CT's pose, its verdict and the overlays to this server, until it is disconnected.")
        )
        ui.disconnectButton.enabled = shown.linked
        ui.linkLabel.text = shown.link_text

    def _choose(self, action, *args) -> None:
        action(*args)
        self._show()

    def _on_kinds(self, *_args) -> None:
        self._choose(self.presenter.choose_kinds, [kind for kind, box in self._formats.items() if box.checked])

    def _on_export(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))
            write = self.presenter.writer(Path(self.ui.folderPath.currentPath))
            self.ui.writtenLabel.text = _("Writing...")
            self.session.run(write, self._on_written)

    def _on_written(self, files: list[Path]) -> None:
        report = [file for file in files if file.name == "report.html"]
        if report:
            (self._report,) = report
            self.presenter.written = True
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
            self.presenter.set_link("port", self._port.value)

    def _on_send(self) -> None:
        with self.panel.acting():
            self.presenter.set_link("port", self._port.value)
            packages.ensure(self.panel.resource_path("requirements.txt"))
            packages.ensure(self.panel.resource_path("requirements_navigation.txt"))
            self.presenter.connect()
