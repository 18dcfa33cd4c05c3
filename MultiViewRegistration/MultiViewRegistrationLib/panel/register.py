"""One button, its progress, and the history of poses."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from ..session.lacking import lacking
from ..session.presenters.section import PROBLEM, READY, RUNNING, TODO, State
from ..session.session import REGRESSOR_STARTS
from ..session.words import started_in_words, took
from . import packages
from .history_table import HistoryTable
from .looks import ERROR, PLAIN, set_tone
from .section import Section, verdict_state

REFINEMENTS = {
    "joint": _("Joint, all X-rays together"),
    "diffpose": _("DiffPose (published baseline)"),
    "cui2025": _("Cui et al. 2025 (published baseline)"),
    "xvr": _("xvr (published baseline)"),
}
KEYS = "Ctrl+Return"


class RegisterSection(Section):
    """Begin, watch and cancel a registration; what it came to; the way back."""

    FILE = "Register.ui"
    TITLE = _("4. Register")

    def connect(self) -> None:
        ui = self.ui
        self._lacking = ""
        self.history = HistoryTable(ui.historyTable, self._on_entry)
        ui.registerButton.clicked.connect(self._on_register)
        ui.cancelButton.clicked.connect(self._on_cancel)
        ui.undoButton.clicked.connect(self._on_undo)
        ui.redoButton.clicked.connect(self._on_redo)
        for refinement, text in REFINEMENTS.items():
            ui.refinementComboBox.addItem(text, refinement)
        ui.refinementComboBox.connect("currentIndexChanged(int)", self._on_refinement)
        self._shortcuts = [
            self._shortcut(keys, button)
            for keys, button in (
                (KEYS, ui.registerButton),
                ("Ctrl+Z", ui.undoButton),
                ("Ctrl+Y", ui.redoButton),
                ("Ctrl+Shift+Z", ui.redoButton),
            )
        ]

    def refresh(self) -> None:
        ui, session = self.ui, self.session
        self._lacking = lacking(session)
        ui.registerButton.enabled = not self._lacking and not session.running
        ui.registerButton.toolTip = (
            _("A registration is under way.")
            if session.running_registration
            else _("Wait until the work under way is done.")
            if session.running
            else self._lacking or _("Find where the CT lies in the world of the X-rays ({keys}).").format(keys=KEYS)
        )
        ui.cancelButton.enabled = session.running_registration is not None
        ui.refinementComboBox.setCurrentIndex(list(REFINEMENTS).index(self.registration.refinement))
        ui.refinementComboBox.enabled = not session.running
        self.history.show(session.history)
        ui.historyTable.enabled = not session.running
        ui.undoButton.enabled = session.history.can_undo and not session.running
        ui.redoButton.enabled = session.history.can_redo and not session.running
        self._show_progress()
        self._show_outcome()

    def state(self) -> State:
        session = self.session
        if session.running_registration:
            return State(RUNNING, self._percent())
        if session.ended == "failed":
            return State(PROBLEM, _("see below"))
        judged = verdict_state(session)
        if judged:
            return judged
        entry = session.history.current
        if entry is not None and entry.fingerprint and not session.stale_reason():
            return State(READY, _("registered, not assessed"))
        if self._lacking:
            return State(TODO)
        return State(READY, session.preparing)

    def tick(self) -> None:
        if self.session.running_registration:
            self._show_progress()
        elif self.registration.ct is not None and any(view.used and view.placed for view in self.registration.xrays):
            self.session.prepare()  # before anybody asks: overlays need it, too
        if self.session.preparing or self.session.running_registration:
            self.show_state()

    def _percent(self) -> str:
        progress = self.session.running_registration.progress
        return _("{percent} %").format(percent=round(100 * progress.fraction)) if progress else ""

    def _show_progress(self) -> None:
        ui, run = self.ui, self.session.running_registration
        ui.progressBar.setVisible(run is not None)
        if run is None:
            return
        ui.progressBar.setMaximum(100 if run.progress else 0)  # 0: nobody knows how long, the bar goes to and fro
        ui.progressBar.value = round(100 * run.progress.fraction) if run.progress else 0
        stage = run.stage[:1].upper() + run.stage[1:]
        ui.statusLabel.text = ", ".join(
            filter(None, [stage, _("{seconds:.1f} s").format(seconds=run.seconds), run.left])
        )

    def _show_outcome(self) -> None:
        ui, session = self.ui, self.session
        entry = session.history.current
        ui.notesLabel.setVisible(False)
        set_tone(ui.statusLabel, ERROR if session.message and not session.running_registration else PLAIN)
        if session.running_registration:
            ui.statusLabel.setVisible(True)
            return
        if session.ended == "failed" or session.message:
            ui.statusLabel.text = session.message
        elif session.ended == "cancelled":
            ui.statusLabel.text = _("Cancelled. The CT is where it was before.")
        elif entry is None or not entry.fingerprint:
            ui.statusLabel.text = self._lacking
        else:
            self._show_result(entry)
        ui.statusLabel.setVisible(bool(ui.statusLabel.text))

    def _show_result(self, entry) -> None:
        ui, doubt = self.ui, self.session.stale_reason()
        names = ", ".join(f"{name} {value:.2f}" for name, value in entry.similarity.items())
        similarity = ": ".join(filter(None, [took(entry), _("similarity {names}").format(names=names)])) + "."
        ui.statusLabel.text = " ".join([similarity, *started_in_words(entry)])
        notes = [doubt, *entry.reasons] if doubt else entry.reasons
        ui.notesLabel.text = "\n".join(f"\u26a0 {note}" for note in notes)
        ui.notesLabel.setVisible(bool(notes))

    def _shortcut(self, keys: str, button):
        """Keys that press a button while any widget of the panel has the focus."""
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self.button.parentWidget())
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", button.click)
        return shortcut

    # What a person does

    def _on_register(self) -> None:
        self.ui.registerButton.setFocus()  # what is being typed takes effect
        with self.panel.acting():
            for section in self.panel.sections.values():
                section.check_fields()
            packages.ensure(self.panel.resource_path("requirements.txt"))
            if self.registration.refinement != "joint":
                packages.ensure_torch(_('use the refinement "joint"'))
            if self.registration.start in REGRESSOR_STARTS:
                packages.ensure_for_regressor(self.panel.resource_path)
            self.session.register(self.registration.start, refinement=self.registration.refinement)

    def _on_cancel(self) -> None:
        with self.panel.acting():
            self.session.cancel()

    def _on_entry(self, position: int) -> None:
        self._go(lambda: self.session.history.go(position))

    def _on_undo(self) -> None:
        self._go(self.session.history.undo)

    def _on_redo(self) -> None:
        self._go(self.session.history.redo)

    def _go(self, step) -> None:
        with self.panel.acting():
            self.session.ended = self.session.message = ""
            step()

    def _on_refinement(self, index: int) -> None:
        if self.asked:
            with self.panel.acting():
                self.registration.node.SetParameter("refinement", list(REFINEMENTS)[index])
