"""The regressors of the CT in section Start, in Qt."""

from __future__ import annotations

import slicer

from ..session.presenters.regressor import MINUTES
from ..session.translation import _
from . import packages
from .fields import NumberField
from .looks import ERROR, PLAIN, set_tone
from .part import Part
from .tables import fill, set_up

COLUMNS = [_("Trained"), _("Training"), _("Error"), _("Size"), ""]


class RegressorPart(Part):
    """A table of models, a row of buttons, and the progress of a training, in a box that folds."""

    def connect(self) -> None:
        ui, do = self.ui, self.section.do
        self.presenter = self.section.presenter.regressor
        self._models: list | None = None
        set_up(ui.modelsTable, COLUMNS)
        ui.modelsTable.cellClicked.connect(lambda row, column: do(self.presenter.select, self._models[row].id))
        self._minutes = NumberField(ui.minutesEdit, MINUTES, done=lambda: do(self._type_minutes))
        ui.trainButton.clicked.connect(lambda *_args: do(self._train))
        ui.resumeButton.clicked.connect(lambda *_args: do(self._resume))
        ui.removeModelButton.clicked.connect(self._on_remove)
        ui.stopTrainingButton.clicked.connect(lambda *_args: do(self.presenter.stop))

    def refresh(self) -> None:
        ui, shown = self.ui, self.presenter.shown()
        self._show_models(shown)
        self._minutes.show(shown.minutes)
        training = shown.training
        ui.trainButton.enabled = not (shown.train_missing or training.running)
        ui.trainButton.toolTip = shown.train_hint
        ui.minutesEdit.enabled = not training.running
        ui.resumeButton.setVisible(shown.can_resume)
        ui.resumeButton.enabled = not shown.train_missing
        ui.resumeButton.toolTip = shown.train_missing or _(
            "Go on with the training in the selected row, for as long as it was to be."
        )
        ui.removeModelButton.setVisible(bool(shown.selected))
        ui.removeModelButton.enabled = not training.running
        ui.removeModelButton.toolTip = (
            shown.train_hint if training.running else _("Remove the regressor in the selected row from this computer.")
        )
        self._show_training(shown)

    def tick(self) -> None:
        if self.presenter.tick():
            self.panel.invalidate()
        if self.session.regressors.is_training:
            self._show_training(self.presenter.shown())
            self.section.show_state()

    def _show_models(self, shown) -> None:
        ui, table = self.ui, self.ui.modelsTable
        if shown.models != self._models:
            self._models = shown.models
            fill(table, [(row.name, row.minutes, row.error, row.size, row.status) for row in shown.models])
            for number, row in enumerate(shown.models):
                for column, tip in ((0, row.id), (1, row.device), (len(COLUMNS) - 1, row.tip)):
                    table.item(number, column).setToolTip(tip)
        table.setVisible(bool(shown.models))
        table.clearSelection()
        if shown.selected:
            table.selectRow([row.id for row in shown.models].index(shown.selected))
        ui.regressorLabel.text = shown.models_text
        set_tone(ui.regressorLabel, ERROR if shown.models_problem else PLAIN)

    def _show_training(self, shown) -> None:
        ui, training = self.ui, shown.training
        ui.regressorGroupBox.title = shown.title
        for widget in (ui.trainingBar, ui.stopTrainingButton):
            widget.setVisible(training.running)
        ui.trainingBar.setMaximum(0 if training.percent is None else 100)  # 0: nobody knows, the bar goes to and fro
        ui.trainingBar.value = training.percent or 0
        ui.stopTrainingButton.enabled = not training.ending
        set_tone(ui.trainingLabel, ERROR if training.failed else PLAIN)
        ui.trainingLabel.text = training.text
        ui.trainingLabel.setVisible(bool(training.text))

    # What a person does

    def _type_minutes(self) -> None:
        self.presenter.type_minutes(self._minutes.bare)

    def _train(self) -> None:
        packages.ensure_for_regressor(self.panel.resource_path)
        self._type_minutes()
        self.presenter.train()

    def _resume(self) -> None:
        packages.ensure_for_regressor(self.panel.resource_path)
        self.presenter.resume(self.presenter.shown().selected)

    def _on_remove(self) -> None:
        selected = self.presenter.shown().selected
        question = self.presenter.removal_question(selected)
        if slicer.util.confirmOkCancelDisplay(question, _("Remove regressor")):
            self.section.do(self.presenter.remove, selected)
