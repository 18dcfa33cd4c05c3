"""The section Register in Qt."""

from __future__ import annotations

import qt

from ..session.presenters.register import REFINEMENTS, RegisterPresenter
from ..session.session import REGRESSOR_STARTS
from ..session.translation import _
from . import packages
from .looks import ERROR, PLAIN, set_tone
from .section import Section
from .tables import fit_rows


class RegisterSection(Section):
    """Begin, watch and cancel a registration; what it came to; the way back."""

    FILE = "Register.ui"
    TITLE = _("4. Register")
    PRESENTER = RegisterPresenter

    def connect(self) -> None:
        ui, presenter, do = self.ui, self.presenter, self.do
        self._history: list | None = None
        table = ui.historyTable
        table.setHorizontalHeaderLabels([_("Time"), _("Method"), _("Similarity"), _("Seconds")])
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.horizontalHeader().setHighlightSections(False)
        table.cellClicked.connect(lambda row, column: do(presenter.go, row))
        ui.registerButton.clicked.connect(self._on_register)
        ui.cancelButton.clicked.connect(lambda *_args: do(presenter.cancel))
        ui.undoButton.clicked.connect(lambda *_args: do(presenter.undo))
        ui.redoButton.clicked.connect(lambda *_args: do(presenter.redo))
        for refinement, text in REFINEMENTS.items():
            ui.refinementComboBox.addItem(text, refinement)
        ui.refinementComboBox.connect(
            "currentIndexChanged(int)", lambda index: do(presenter.refine, list(REFINEMENTS)[index])
        )
        self._shortcuts = [
            self._shortcut(keys, button)
            for keys, button in (
                (self.panel.register_keys, ui.registerButton),
                ("Ctrl+Z", ui.undoButton),
                ("Ctrl+Y", ui.redoButton),
                ("Ctrl+Shift+Z", ui.redoButton),
            )
        ]

    def refresh(self) -> None:
        ui, shown = self.ui, self.presenter.shown()
        ui.registerButton.enabled = not (shown.missing or shown.busy)
        ui.registerButton.toolTip = shown.hint
        ui.cancelButton.enabled = shown.running
        ui.refinementComboBox.setCurrentIndex(list(REFINEMENTS).index(shown.refinement))
        for widget in (ui.refinementComboBox, ui.historyTable):
            widget.enabled = not shown.busy
        ui.undoButton.enabled, ui.redoButton.enabled = shown.can_undo, shown.can_redo
        self._show_history(shown)
        set_tone(ui.statusLabel, ERROR if shown.failed else PLAIN)
        ui.statusLabel.text = shown.outcome
        ui.statusLabel.setVisible(bool(shown.outcome) or shown.running)
        ui.notesLabel.text = "\n".join(f"\u26a0 {note}" for note in shown.notes)
        ui.notesLabel.setVisible(bool(shown.notes))
        self._show_progress()

    def tick(self) -> None:
        if self.presenter.tick():
            self.panel.invalidate()
        self._show_progress()
        if self.session.preparing or self.session.running_registration:
            self.show_state()

    def _show_progress(self) -> None:
        ui, progress = self.ui, self.presenter.progress()
        ui.progressBar.setVisible(progress.running)
        if progress.running:
            ui.progressBar.setMaximum(
                0 if progress.percent is None else 100
            )  # 0: nobody knows, the bar goes to and fro
            ui.progressBar.value = progress.percent or 0
            ui.statusLabel.text = progress.text

    def _show_history(self, shown) -> None:
        table = self.ui.historyTable
        if shown.history != self._history:
            self._history = shown.history
            table.setRowCount(len(shown.history))
            for row in shown.history:
                cells = (
                    (row.time, row.date),
                    (row.method, row.tip),
                    (row.similarity, row.similarity_tip),
                    (row.seconds, ""),
                )
                for column, (text, tip) in enumerate(cells):
                    item = qt.QTableWidgetItem(text)
                    item.setToolTip(tip)
                    table.setItem(row.number, column, item)
            fit_rows(table, least=3, most=8)
        table.clearSelection()
        if shown.current >= 0:
            table.selectRow(shown.current)
            table.scrollToItem(table.item(shown.current, 0))

    def _shortcut(self, keys: str, button):
        """Keys that press a button while any widget of the panel has the focus."""
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self.button.parentWidget())
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", button.click)
        return shortcut

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
            self.presenter.register()
