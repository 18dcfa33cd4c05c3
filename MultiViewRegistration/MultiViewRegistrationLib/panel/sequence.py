"""A sequence: tracked, played, handed on, and the motion of another structure against this one."""

from __future__ import annotations

from pathlib import Path

import qt
from slicer.i18n import tr as _

from ..session import sequence_words
from ..session.player import RATES
from ..session.presenters.section import DONE, PROBLEM, READY, RUNNING, TODO, State
from ..session.sequence import read_track
from . import packages
from .looks import ERROR, PLAIN, set_tone
from .section import Section
from .sequence_motion import MotionPart

UNITS = ("mm", "cm", "m")
TRACKS = _("Tracked sequence (*.json)")


class SequenceSection(Section):
    """Track, watch and cancel it; a player with the verdict of each frame; poses to export."""

    FILE = "Sequence.ui"
    TITLE = _("7. Sequence")
    BEGINS = True

    def connect(self) -> None:
        ui = self.ui
        self._lacking, self._count, self._shown, self._there = "", None, None, False
        for pace, text in sequence_words.PACES.items():
            ui.paceComboBox.addItem(text, pace)
        for rate in RATES:
            ui.rateComboBox.addItem(_("{rate} / s").format(rate=rate), rate)
        for unit in UNITS:
            ui.unitComboBox.addItem(unit, unit)
        ui.trackButton.clicked.connect(self._on_track)
        ui.cancelButton.clicked.connect(self._on_cancel)
        ui.openButton.clicked.connect(self._on_open)
        ui.firstButton.clicked.connect(lambda *_args: self._go(0))
        ui.backButton.clicked.connect(lambda *_args: self._step(-1))
        ui.playButton.clicked.connect(self._on_play)
        ui.onButton.clicked.connect(lambda *_args: self._step(1))
        ui.lastButton.clicked.connect(lambda *_args: self._go(self._player.last))
        ui.frameSlider.valueChanged.connect(self._on_frame)
        ui.rateComboBox.connect("currentIndexChanged(int)", self._on_rate)
        ui.loopCheckBox.toggled.connect(self._on_loop)
        ui.exportButton.clicked.connect(self._on_export)
        ui.folderPath.currentPathChanged.connect(self._show_whether_it_can)
        ui.closeButton.clicked.connect(self._on_close)
        self.motion = MotionPart(self)

    @property
    def _player(self):
        return self.session.sequence.player if self.registration is not None else None

    # What is shown

    def refresh(self) -> None:
        ui, sequence, running = self.ui, self.session.sequence, self.session.running
        self._lacking, self._count = sequence_words.lacking(self.session), sequence.count
        tracking, played = sequence.tracking is not None, sequence.player is not None
        ui.trackButton.enabled = not self._lacking and not running and not played
        ui.trackButton.toolTip = (
            _("Wait until the work under way is done.")
            if running
            else self._lacking
            or (_("Close the sequence first.") if played else _("Follow the CT through all frames of the X-rays."))
        )
        ui.cancelButton.enabled = tracking
        ui.openButton.enabled = not running
        ui.paceComboBox.enabled = not running
        ui.progressBar.setVisible(tracking)
        ui.playerWidget.setVisible(played)
        self._there = played
        ui.closeButton.enabled = not running
        self._show_status()
        self._show_whether_it_can()
        self.motion.refresh()
        self._shown = None
        self._show_frame()

    def state(self) -> State:
        sequence = self.session.sequence
        if sequence.tracking is not None:
            return State(RUNNING, _("{percent} %").format(percent=round(100 * sequence.tracking.step.fraction)))
        if sequence.message:
            return State(PROBLEM, _("see below"))
        if sequence.player is not None:
            return State(DONE, _("{count} frames").format(count=len(sequence.player.played.frames)))
        return State(TODO if self._lacking else READY)

    def show_state(self) -> None:
        super().show_state()
        if self.registration is None:
            self._show_nothing()

    def tick(self) -> None:
        sequence = self.session.sequence
        if sequence.tracking is not None:
            self._show_status()
            self.show_state()
        if (sequence.player is not None) != self._there or sequence.count != self._count:
            self.panel.invalidate()
        self._show_frame()

    def leave(self) -> None:
        if self._player is not None:
            self._player.pause()
        self.ui.writtenLabel.text = ""

    def _show_nothing(self) -> None:
        ui = self.ui
        for widget in (ui.playerWidget, ui.progressBar, ui.statusLabel):
            widget.setVisible(False)
        for button in (ui.trackButton, ui.cancelButton):
            button.enabled = False
        ui.trackButton.toolTip = _("Choose a CT first.")
        ui.openButton.enabled = True

    def _show_status(self) -> None:
        ui, sequence = self.ui, self.session.sequence
        set_tone(ui.statusLabel, ERROR if sequence.message else PLAIN)
        text = sequence.message or ("" if sequence.player is not None else self._lacking)
        if sequence.tracking is not None:
            step = sequence.tracking.step
            ui.progressBar.value = round(100 * step.fraction)
            text = ", ".join(filter(None, [step.stage[:1].upper() + step.stage[1:], sequence.tracking.left]))
        elif sequence.ended == "cancelled" and sequence.player is not None:
            text = _("Cancelled. The frames that were done are here.")
        ui.statusLabel.text = text
        ui.statusLabel.setVisible(bool(text))

    def _show_frame(self) -> None:
        """What changes while it plays, where it has changed."""
        player = self._player
        if player is None:
            return
        shown = player.number, player.last, player.playing, player.problem, player.rate, player.loop
        if shown == self._shown:
            return
        self._shown, ui = shown, self.ui
        blocked = ui.frameSlider.blockSignals(True)
        ui.frameSlider.maximum = max(player.played.count - 1, 0)
        ui.frameSlider.value = player.number or 0
        ui.frameSlider.blockSignals(blocked)
        ui.playButton.text = _("Pause") if player.playing else _("Play")
        ui.rateComboBox.setCurrentIndex(RATES.index(player.rate))
        ui.loopCheckBox.checked = player.loop
        ui.frameLabel.text = "\n".join(sequence_words.told(player))
        ui.countLabel.text = sequence_words.counted(player)
        self.motion.mark(player.number)

    def _show_whether_it_can(self, *_args) -> None:
        if self.registration is None:
            return
        ui = self.ui
        missing = (
            _("Wait until the work under way is done.")
            if self.session.running
            else ""
            if ui.folderPath.currentPath
            else _("Choose a folder.")
        )
        ui.exportButton.enabled = not missing
        ui.exportButton.toolTip = missing or _("Write the files.")

    # What a person does

    def _on_track(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))
            self.session.sequence.track(self.ui.paceComboBox.currentData)

    def _on_cancel(self) -> None:
        with self.panel.acting():
            self.session.sequence.cancel()

    def _on_open(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Tracked sequence"), "", TRACKS)
        if path and self.may_begin:
            with self.panel.acting():
                packages.ensure(self.panel.resource_path("requirements.txt"))
                self.panel.opening.read(path, read_track)

    def _go(self, number: int) -> None:
        if self._player is not None:
            self._player.go(number)

    def _step(self, by: int) -> None:
        if self._player is not None:
            self._player.step(by)

    def _on_frame(self, number: int) -> None:
        if self.asked:
            self._go(number)

    def _on_play(self) -> None:
        with self.panel.acting():
            if self._player.playing:
                self._player.pause()
            else:
                self._player.play()

    def _on_rate(self, index: int) -> None:
        if self.asked and self._player is not None:
            self._player.rate = RATES[index]

    def _on_loop(self, on: bool) -> None:
        if self.asked and self._player is not None:
            self._player.loop = on

    def _on_close(self) -> None:
        with self.panel.acting():
            self.session.refuse_more()
            self.session.sequence.close()

    def _on_export(self) -> None:
        with self.panel.acting():
            folder, ui = Path(self.ui.folderPath.currentPath), self.ui
            writers = [
                self.session.sequence.save(folder, UNITS[ui.unitComboBox.currentIndex]),
                *self.motion.writers(folder),
            ]
            ui.writtenLabel.text = _("Writing...")
            self.session.run(lambda: [file for write in writers for file in write()], self._on_written)

    def _on_written(self, files: list[Path]) -> None:
        self.ui.writtenLabel.text = _("Written to {folder}: {files}.").format(
            folder=files[0].parent, files=", ".join(file.name for file in files)
        )
