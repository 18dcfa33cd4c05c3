"""The section Sequence in Qt."""

from __future__ import annotations

from pathlib import Path

import qt
from slicer.i18n import tr as _

from ..session.player import RATES
from ..session.presenters.sequence import PACES, UNITS, SequencePresenter
from ..session.sequence import read_track
from . import packages
from .looks import ERROR, PLAIN, set_tone
from .section import Section
from .sequence_motion import MotionPart

TRACKS = _("Tracked sequence (*.json)")


class SequenceSection(Section):
    """Track, watch and cancel it; a player with the verdict of each frame; poses to export."""

    FILE = "Sequence.ui"
    TITLE = _("7. Sequence")
    PRESENTER = SequencePresenter
    BEGINS = True

    def connect(self) -> None:
        ui, presenter = self.ui, self.presenter
        self._drawn = None
        for pace, text in PACES.items():
            ui.paceComboBox.addItem(text, pace)
        for rate in RATES:
            ui.rateComboBox.addItem(_("{rate} / s").format(rate=rate), rate)
        for unit in UNITS:
            ui.unitComboBox.addItem(unit, unit)
        ui.trackButton.clicked.connect(self._on_track)
        ui.cancelButton.clicked.connect(lambda *_args: self.do(presenter.cancel))
        ui.openButton.clicked.connect(self._on_open)
        steps = {"first": ui.firstButton, "back": ui.backButton, "on": ui.onButton, "last": ui.lastButton}
        for way, button in steps.items():
            button.clicked.connect(lambda *_args, way=way: presenter.step(way))
        ui.playButton.clicked.connect(lambda *_args: self.do(presenter.toggle))
        ui.frameSlider.valueChanged.connect(lambda number: presenter.go(number) if self.asked else None)
        ui.rateComboBox.connect("currentIndexChanged(int)", lambda index: presenter.choose_rate(RATES[index]))
        ui.unitComboBox.connect("currentIndexChanged(int)", lambda index: presenter.choose_unit(UNITS[index]))
        ui.paceComboBox.connect("currentIndexChanged(int)", lambda index: presenter.choose_pace(list(PACES)[index]))
        ui.loopCheckBox.toggled.connect(presenter.set_loop)
        ui.exportButton.clicked.connect(self._on_export)
        ui.folderPath.currentPathChanged.connect(self._show_whether_it_can)
        ui.closeButton.clicked.connect(lambda *_args: self.do(presenter.close))
        self.motion = MotionPart(self)

    # What is shown

    def refresh(self) -> None:
        self._show(self.presenter.shown())
        self.motion.refresh()
        self._drawn = None
        self._show_frame()

    def show_state(self) -> None:
        super().show_state()
        if self.registration is None:
            self._show(self.presenter.shown())

    def tick(self) -> None:
        if self.presenter.tick():
            self.panel.invalidate()
        self._show_frame()

    def leave(self) -> None:
        if self.presenter.player is not None:
            self.presenter.player.pause()
        self.ui.writtenLabel.text = ""

    def _show(self, shown) -> None:
        ui, frame = self.ui, self.presenter.frame()
        ui.trackButton.enabled = not (shown.missing or shown.busy or frame.there)
        ui.trackButton.toolTip = shown.hint
        ui.cancelButton.enabled = frame.tracking
        for widget in (ui.openButton, ui.paceComboBox, ui.closeButton):
            widget.enabled = not shown.busy
        ui.progressBar.setVisible(frame.tracking)
        ui.progressBar.value = frame.percent or 0
        ui.playerWidget.setVisible(frame.there)
        text = frame.text or (shown.text if self.registration is not None else "")
        set_tone(ui.statusLabel, ERROR if shown.message else PLAIN)
        ui.statusLabel.text = text
        ui.statusLabel.setVisible(bool(text))
        self._show_whether_it_can()

    def _show_frame(self) -> None:
        """What changes while it plays, where it has changed."""
        frame = self.presenter.frame()
        if frame == self._drawn or not frame.there:
            return
        self._drawn, ui = frame, self.ui
        blocked = ui.frameSlider.blockSignals(True)
        ui.frameSlider.maximum = max(frame.count - 1, 0)
        ui.frameSlider.value = frame.number
        ui.frameSlider.blockSignals(blocked)
        ui.playButton.text = _("Pause") if frame.playing else _("Play")
        ui.rateComboBox.setCurrentIndex(RATES.index(frame.rate))
        ui.loopCheckBox.checked = frame.loop
        ui.frameLabel.text = "\n".join(frame.lines)
        ui.countLabel.text = frame.counted
        self.motion.mark(self.presenter.player.number)

    def _show_whether_it_can(self, *_args) -> None:
        if self.registration is None:
            return
        missing = "" if self.ui.folderPath.currentPath else _("Choose a folder.")
        if self.session.running:
            missing = _("Wait until the work under way is done.")
        self.ui.exportButton.enabled = not missing
        self.ui.exportButton.toolTip = missing or _("Write the files.")

    # What a person does

    def _on_track(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))
            self.presenter.track()

    def _on_open(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Tracked sequence"), "", TRACKS)
        if path and self.may_begin:
            with self.panel.acting():
                packages.ensure(self.panel.resource_path("requirements.txt"))
                self.panel.opening.read(path, read_track)

    def _on_export(self) -> None:
        with self.panel.acting():
            folder = Path(self.ui.folderPath.currentPath)
            writers = [self.presenter.writer(folder), *self.motion.writers(folder)]
            self.ui.writtenLabel.text = _("Writing...")
            self.session.run(lambda: [file for write in writers for file in write()], self._on_written)

    def _on_written(self, files: list[Path]) -> None:
        self.ui.writtenLabel.text = _("Written to {folder}: {files}.").format(
            folder=files[0].parent, files=", ".join(file.name for file in files)
        )
