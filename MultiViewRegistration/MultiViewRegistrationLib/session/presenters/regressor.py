"""The regressors of the CT in section Start.

Train one, watch that, choose among those that are there, remove one.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ...errors import InputError, install_command
from ...translation import _
from ..registering import REGRESSOR_STARTS, missing_images
from .form import Button, Cell, Form, Table, TableRow, Text, TextField, group, line, row
from .number import Number
from .section import Presenter, progress_bar

if TYPE_CHECKING:
    from ...regressor.model_store import StoredModel

MINUTES = Number(_("Minutes of training"), 0.1, 600, _(" min"))


class RegressorPresenter(Presenter):
    """Works on the `session.regressors.Regressors` of the registration.

    A host whose `installs_packages` is true offers to install PyTorch once it is needed.
    """

    minutes = 2.0

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._selected = ""

    @property
    def learning(self):
        """The `session.regressors.Regressors` of the registration at work."""
        return self.session.regressors

    # The form

    def form(self) -> Form:
        """Return the controls."""
        learning = self.learning
        models = self._models()
        missing = self._missing()
        training = learning.is_training
        self._selected = self._still_selected([str(model.folder) for model in models])
        selected = next((model for model in models if str(model.folder) == self._selected), None)
        under_way = _("A training is under way.") if training else ""
        gone = self._is_gone() and not training
        told = Text("models_text", self._models_text(), tone="error" if gone else "quiet")
        controls: Form = [told]
        if models:
            lines = tuple(_line(model, model.folder == learning.model) for model in models)
            titles = (_("Trained"), _("Training"), _("Error"), _("Size"), "")
            controls.append(
                Table(
                    "models",
                    _("Regressors of this CT"),
                    lambda folder, column: self.select(folder),
                    columns=titles,
                    lines=lines,
                    selected=self._selected,
                )
            )
        train = Button(
            "train",
            _("Train"),
            self.train,
            enabled=not (missing or training),
            needs=("network",),
            tip=under_way
            or missing
            or _(
                "Train a network for this CT and these X-rays, in the background. You can go on "
                "with other work meanwhile."
            ),
        )
        minutes = TextField(
            "minutes",
            _("Train for"),
            self.type_minutes,
            text=MINUTES.write_bare(self.minutes),
            number=MINUTES,
            enabled=not training,
        )
        buttons: Form = [minutes, train]
        if selected is not None and not selected.finished and not training:
            tip = missing or _(
                "Go on with the training in the selected row, for as long as it was to be."
            )
            resume = Button(
                "resume",
                _("Resume"),
                partial(learning.train, unfinished=selected),
                enabled=not missing,
                tip=tip,
                needs=("network",),
            )
            buttons.append(resume)
        if selected is not None:
            remove = Button(
                "remove_model",
                _("Remove"),
                partial(learning.remove, selected),
                enabled=not training,
                tip=under_way or _("Remove the regressor in the selected row from this computer."),
                question=_(
                    "Remove the regressor {name} ({size}) from this computer? It cannot be brought "
                    "back, only be trained again."
                ).format(name=selected.name, size=_size(selected)),
            )
            buttons.append(remove)
        controls += [row("train_row", *buttons), *self._training()]
        return [group("regressor", self._title(), *controls, open=learning.training is not None)]

    def state_of_training(self) -> str:
        """Return how far the running training is, in a few words."""
        progress = self.learning.training.progress
        percent = f"{round(100 * progress.fraction)} %" if progress else ""
        return _("training {percent}").format(percent=percent).strip()

    def _models(self) -> list:
        """Return the models without the one that is being trained."""
        training = self.learning.is_training
        return [model for model in self.learning.models if model.finished or not training]

    def _still_selected(self, folders: list[str]) -> str:
        """Return the model that was selected, or else the one in use, or else the newest."""
        if self._selected in folders:
            return self._selected
        used = str(self.learning.model)
        if used in folders:
            return used
        return folders[0] if folders and not self.learning.gone else ""

    def _missing(self) -> str:
        if not self.host.installs_packages and not _has_torch():
            return _("A regressor needs PyTorch: {command}.").format(
                command=install_command("torch")
            )
        return missing_images(self.registration)

    def _is_gone(self) -> bool:
        """Return whether this section, not Start, reports that the chosen model is gone."""
        return bool(self.learning.gone) and self.registration.start not in REGRESSOR_STARTS

    def _models_text(self) -> str:
        learning = self.learning
        if self.registration.ct is None:
            return _("A regressor is trained for one CT: choose that first.")
        if not _has_torch() and self.host.installs_packages:
            return _(
                "A regressor needs PyTorch, which is not installed: Train offers to install it."
            )
        if learning.is_training:
            return _("It trains in the background; you can go on with other work.")
        if self._is_gone():
            return learning.gone
        if not learning.up_to_date:
            return _("Looking for regressors of this CT...")
        if [model.folder for model in learning.models] == [learning.model]:
            return _("Regressor and Automatic, above, use this one.")
        if any(model.finished for model in learning.models):
            return _("Choose the one that Regressor and Automatic use.")
        return _(
            "There is none for this CT yet. A network is trained for it once, in minutes, and then "
            "finds the CT without a start."
        )

    def _title(self) -> str:
        learning = self.learning
        state = ""
        if learning.is_training:
            state = self.state_of_training()
        elif learning.up_to_date and not learning.models and self.registration.ct is not None:
            state = _("none for this CT yet")
        return _("Regressor \u2013 {state}").format(state=state) if state else _("Regressor")

    def _training(self) -> Form:
        """Return the progress of the training under way, or how the last one ended."""
        learning = self.learning
        training = learning.training
        if training is None:
            return []
        if learning.is_training:
            progress = training.progress
            left = progress.left if progress and not training.ending else ""
            kept = _("What was learnt is kept.")
            stop = Button("stop", _("Stop"), learning.cancel, enabled=not training.ending, tip=kept)
            return [progress_bar("training", progress, training.stage, left), stop]
        if training.state == "failed":
            return [Text("ended", training.message, tone="error")]
        text = "\n".join(training.warnings)
        if training.state == "cancelled":
            text = _("Cancelled.")
            if any(not model.finished for model in learning.models):
                text += " " + _("What was learnt is kept: Resume goes on with it.")
        return [Text("ended", text)]

    # What a person does

    def type_minutes(self, text: str) -> None:
        """Train for so long.

        Raises
        ------
        InputError
            For invalid text.
        """
        self.minutes = MINUTES.read(text)

    def train(self) -> None:
        """Begin to train a network."""
        if self._missing():
            raise InputError(_("Regressor: {missing}"), missing=self._missing())
        self.learning.train(self.minutes)

    def select(self, folder: str) -> None:
        """Use a model from now on; one that is not finished can be gone on with."""
        found = [model for model in self.learning.models if str(model.folder) == folder]
        if not found:
            raise InputError(_("Regressor: this one is not there any more; choose another."))
        (model,) = found
        self._selected = folder
        if model.finished:
            self.learning.choose(model.folder)


def _line(model: StoredModel, used: bool) -> TableRow:
    card = model.card
    tip = "" if model.finished else _("Resume goes on with its training.")
    if card.fault:
        tip = _("Its training ended early, at the last good state: {fault}").format(
            fault=card.fault
        )
    trained = _("{minutes:g} min").format(minutes=card.minutes)
    state = "" if model.finished else _("unfinished")
    return line(
        str(model.folder),
        Cell(model.name, str(model.folder)),
        Cell(trained, _("On {device}").format(device=card.device)),
        "" if card.error_mm is None else _("{mm:.1f} mm").format(mm=card.error_mm),
        _size(model),
        Cell(_("in use") if used else state, tip),
    )


def _size(model: StoredModel) -> str:
    return _("{size:.1f} MB").format(size=model.bytes / 1e6)


def _has_torch() -> bool:
    return find_spec("torch") is not None
