"""The regressors of the CT in section Start: train one, watch that, choose among those that are there, remove one."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from ..session.lacking import inputs
from ..session.presenters.number import Number
from ..session.session import REGRESSOR_STARTS
from . import packages
from .fields import NumberField
from .looks import ERROR, PLAIN, set_tone
from .part import Part
from .tables import fill, set_up

TITLE = _("Regressor")
COLUMNS = [_("Trained"), _("Training"), _("Error"), _("Size"), ""]
IN_USE, UNFINISHED = _("in use"), _("unfinished")
TRAIN = _("Train a network for this CT and these X-rays, in the background. You can go on with other work meanwhile.")


class RegressorPart(Part):
    """A table of models, a row of buttons, and the progress of a training, in a box that folds."""

    def connect(self) -> None:
        ui = self.ui
        self._shown, self._selected = None, None  # the folder of the model in the selected row
        set_up(ui.modelsTable, COLUMNS)
        ui.modelsTable.cellClicked.connect(self._on_row)
        self._minutes = NumberField(
            ui.minutesEdit, Number(_("Minutes of training"), 1, 120, _(" min"), whole=True), done=self._on_minutes
        )
        self._minutes.write(2)
        ui.trainButton.clicked.connect(self._on_train)
        ui.resumeButton.clicked.connect(self._on_resume)
        ui.removeModelButton.clicked.connect(self._on_remove)
        ui.stopTrainingButton.clicked.connect(self._on_stop)

    @property
    def learning(self):
        """The `session.regressors.Regressors` of the registration at work."""
        return self.session.regressors

    def refresh(self) -> None:
        self._show_models()
        self._show_buttons()
        self._show_training()

    def tick(self) -> None:
        if self.learning.look():
            self.panel.invalidate()
        if self.learning.is_training:
            self._show_training()
            self.section.show_state()

    def percent(self) -> str:
        """How far the training under way is; "" before anybody knows."""
        progress = self.learning.training.progress
        return _("{percent} %").format(percent=round(100 * progress.fraction)) if progress else ""

    # What is shown

    def _show_models(self) -> None:
        ui, learning = self.ui, self.learning
        models, used = self._listed(), learning.model
        rows = [_row(model, model.folder == used) for model in models]
        if rows != self._shown:
            fill(ui.modelsTable, rows)
            for row, model in enumerate(models):
                ui.modelsTable.item(row, 0).setToolTip(str(model.folder))
                ui.modelsTable.item(row, 1).setToolTip(_("On {device}").format(device=model.card.device))
                ui.modelsTable.item(row, len(COLUMNS) - 1).setToolTip(_state_tip(model))
            self._shown = rows
        ui.modelsTable.setVisible(bool(models))
        folders = [model.folder for model in models]
        if self._selected not in folders:
            self._selected = used if used in folders else folders[0] if folders and not learning.gone else None
        ui.modelsTable.clearSelection()
        if self._selected is not None:
            ui.modelsTable.selectRow(folders.index(self._selected))
        ui.regressorLabel.text = self._told()
        set_tone(ui.regressorLabel, ERROR if self._says_gone and not learning.is_training else PLAIN)

    @property
    def _says_gone(self) -> bool:
        """Whether it is said here, and not above, that the model that was chosen is gone."""
        return bool(self.learning.gone) and self.section.start not in REGRESSOR_STARTS

    def _told(self) -> str:
        learning = self.learning
        if self.registration.ct is None:
            return _("A regressor is trained for one CT: choose that first.")
        if not packages.has_torch():
            return _("A regressor needs PyTorch, which is not installed: Train offers to install it.")
        if learning.is_training:
            return _("It trains in the background; you can go on with other work.")
        if self._says_gone:
            return learning.gone
        if not learning.looked:
            return _("Looking for regressors of this CT...")
        if [model.folder for model in learning.models] == [learning.model]:
            return _("Regressor and Automatic, above, use this one.")
        if any(model.finished for model in learning.models):
            return _("Click one to have Regressor and Automatic use it.")
        return _(
            "There is none for this CT yet. A network is trained for it once, in minutes, and then tells where the CT is without a "
            "start."
        )

    def _show_buttons(self) -> None:
        ui, learning, model = self.ui, self.learning, self._model
        lacking = inputs(self.registration)
        busy = _("A training is under way.") if learning.is_training else ""
        ui.trainButton.enabled = not busy and not lacking
        ui.trainButton.toolTip = busy or lacking or TRAIN
        ui.minutesEdit.enabled = not busy
        ui.resumeButton.setVisible(model is not None and not model.finished and not busy)
        ui.resumeButton.enabled = not lacking
        ui.resumeButton.toolTip = lacking or _(
            "Go on with the training in the selected row, for as long as it was to be."
        )
        ui.removeModelButton.setVisible(model is not None)
        ui.removeModelButton.enabled = not busy
        ui.removeModelButton.toolTip = busy or _("Remove the regressor in the selected row from this computer.")

    def _show_training(self) -> None:
        ui, learning, training = self.ui, self.learning, self.learning.training
        for widget in (ui.trainingBar, ui.stopTrainingButton):
            widget.setVisible(learning.is_training)
        none = learning.looked and not learning.models and self.registration.ct is not None
        ui.regressorGroupBox.title = f"{TITLE} \u2013 " + _("none for this CT yet") if none else TITLE
        failed = training is not None and training.state == "failed"
        set_tone(ui.trainingLabel, ERROR if failed else PLAIN)
        if learning.is_training:
            ui.regressorGroupBox.title = (
                f"{TITLE} \u2013 " + _("training {percent}").format(percent=self.percent()).strip()
            )
            progress = training.progress
            ui.trainingBar.setMaximum(100 if progress else 0)  # 0: nobody knows how long, the bar goes to and fro
            ui.trainingBar.value = round(100 * progress.fraction) if progress else 0
            ui.stopTrainingButton.enabled = not training.ending
            left = progress.left if progress and not training.ending else ""
            ui.trainingLabel.text = ", ".join(filter(None, [training.stage[:1].upper() + training.stage[1:], left]))
        elif failed:
            ui.trainingLabel.text = training.message
        elif training is not None and training.state == "cancelled":
            unfinished = any(not model.finished for model in learning.models)
            ui.trainingLabel.text = (
                _("Cancelled. What was learnt is kept: Resume goes on with it.") if unfinished else _("Cancelled.")
            )
        else:
            ui.trainingLabel.text = "\n".join(training.warnings) if training is not None else ""
        ui.trainingLabel.setVisible(bool(ui.trainingLabel.text))

    def _listed(self) -> list:
        """Without the one that is being trained."""
        return [model for model in self.learning.models if model.finished or not self.learning.is_training]

    @property
    def _model(self):
        """The `Stored` in the selected row, None without one."""
        return next((model for model in self._listed() if model.folder == self._selected), None)

    # What a person does

    def _on_row(self, row: int, column: int) -> None:
        with self.panel.acting():
            model = self._listed()[row]
            self._selected = model.folder
            if model.finished:
                self.learning.choose(model.folder)

    def _on_train(self) -> None:
        with self.panel.acting():
            packages.ensure_for_regressor(self.panel.resource_path)
            self.learning.train(self._minutes.value)

    def _on_minutes(self) -> None:
        with self.panel.acting():
            self._minutes.value  # noqa: B018

    def _on_resume(self) -> None:
        with self.panel.acting():
            packages.ensure_for_regressor(self.panel.resource_path)
            self.learning.train(unfinished=self._model)

    def _on_stop(self) -> None:
        with self.panel.acting():
            self.learning.cancel()

    def _on_remove(self) -> None:
        model = self._model
        question = _(
            "Remove the regressor {name} ({size}) from this computer? It cannot be brought back, only be trained anew."
        ).format(name=model.name, size=_size(model))
        if slicer.util.confirmOkCancelDisplay(question, _("Remove regressor")):
            with self.panel.acting():
                self.learning.remove(model)


def _row(model, used: bool) -> tuple[str, ...]:
    minutes, error_mm = model.card.minutes, model.card.error_mm
    error = "" if error_mm is None else _("{mm:.1f} mm").format(mm=error_mm)
    return (
        model.name,
        _("{minutes:g} min").format(minutes=minutes),
        error,
        _size(model),
        IN_USE if used else "" if model.finished else UNFINISHED,
    )


def _state_tip(model) -> str:
    if model.card.fault:
        return _("Its training ended early, at the last good state: {fault}").format(fault=model.card.fault)
    return "" if model.finished else _("Click it, then Resume, to go on with its training.")


def _size(model) -> str:
    return _("{size:.1f} MB").format(size=model.bytes / 1e6)
