"""The regressors of the CT in section Start: train one, watch that, choose among those that are there, remove one."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

from ...errors import InputError
from ..readiness import missing_images
from ..session import REGRESSOR_STARTS
from ..translation import _
from .number import Number
from .section import Presenter

MINUTES = Number(_("Minutes of training"), 0.1, 600, _(" min"))


@dataclass(frozen=True)
class ModelRow:
    """id: the model's folder.   status: whether it is in use, or unfinished, "" for neither; `tip` says more of that."""

    id: str
    name: str
    minutes: str
    error: str
    size: str
    status: str
    device: str
    tip: str
    used: bool
    finished: bool


@dataclass(frozen=True)
class TrainingShown:
    """begun: whether there has been one.   percent: None where nobody knows.   ending: whether it was asked to stop."""

    begun: bool = False
    running: bool = False
    ending: bool = False
    failed: bool = False
    percent: int | None = None
    text: str = ""


@dataclass(frozen=True)
class RegressorShown:
    """What the widgets show.

    title: of the box.   models_text: how things stand; `models_problem` where that is a problem.
    minutes: to train for.   train_missing: what to do before one can be trained, "" where it can.   train_hint: on the button Train.
    selected: the model that Resume and Remove are for, "" for none.
    """

    title: str = _("Regressor")
    models: list[ModelRow] = field(default_factory=list)
    models_text: str = ""
    models_problem: bool = False
    minutes: float = 2.0
    train_missing: str = _("Choose a CT first.")
    train_hint: str = ""
    selected: str = ""
    can_resume: bool = False
    training: TrainingShown = field(default_factory=TrainingShown)


class RegressorPresenter(Presenter):
    """Works on the `session.regressors.Regressors` of the registration.

    A host whose `installs_packages` is true offers to install PyTorch once it is needed.
    """

    def __init__(self, host) -> None:
        self.minutes = 2.0
        super().__init__(host)

    def reset(self) -> None:
        self._selected = ""

    @property
    def learning(self):
        """The `session.regressors.Regressors` of the registration at work."""
        return self.session.regressors

    # What is shown

    def shown(self) -> RegressorShown:
        if self.registration is None:
            return RegressorShown(minutes=self.minutes)
        learning, models = self.learning, self._models()
        training, missing = self._training(), self._missing()
        self._selected = self._still_selected([str(model.folder) for model in models])
        selected = next((model for model in models if str(model.folder) == self._selected), None)
        return RegressorShown(
            title=self._title(training),
            models=[_row(model, model.folder == learning.model) for model in models],
            models_text=self._models_text(),
            models_problem=self._is_gone() and not learning.is_training,
            minutes=self.minutes,
            train_missing=missing,
            train_hint=(_("A training is under way.") if learning.is_training else missing)
            or _(
                "Train a network for this CT and these X-rays, in the background. You can go on with other work meanwhile."
            ),
            selected=self._selected,
            can_resume=selected is not None and not selected.finished and not learning.is_training,
            training=training,
        )

    def percent(self) -> str:
        """How far the training under way is; "" before anybody knows."""
        progress = self.learning.training.progress
        return _("{percent} %").format(percent=round(100 * progress.fraction)) if progress else ""

    def tick(self) -> bool:
        """Follow the store; whether there is something new in it."""
        return self.learning.look()

    def _models(self) -> list:
        """Without the one that is being trained."""
        return [model for model in self.learning.models if model.finished or not self.learning.is_training]

    def _still_selected(self, folders: list[str]) -> str:
        """The model that was selected, or else the one in use, or else the newest."""
        if self._selected in folders:
            return self._selected
        used = str(self.learning.model)
        return used if used in folders else folders[0] if folders and not self.learning.gone else ""

    def _missing(self) -> str:
        if not self.host.installs_packages and not _has_torch():
            return _("A regressor needs PyTorch: pip install torch safetensors.")
        return missing_images(self.registration)

    def _is_gone(self) -> bool:
        """Whether it is said here, and not at the start, that the model that was chosen is gone."""
        return bool(self.learning.gone) and self.registration.start not in REGRESSOR_STARTS

    def _models_text(self) -> str:
        learning = self.learning
        if self.registration.ct is None:
            return _("A regressor is trained for one CT: choose that first.")
        if not _has_torch() and self.host.installs_packages:
            return _("A regressor needs PyTorch, which is not installed: Train offers to install it.")
        if learning.is_training:
            return _("It trains in the background; you can go on with other work.")
        if self._is_gone():
            return learning.gone
        if not learning.looked:
            return _("Looking for regressors of this CT...")
        if [model.folder for model in learning.models] == [learning.model]:
            return _("Regressor and Automatic, above, use this one.")
        if any(model.finished for model in learning.models):
            return _("Choose the one that Regressor and Automatic use.")
        return _(
            "There is none for this CT yet. A network is trained for it once, in minutes, and then finds the CT without a start."
        )

    def _title(self, training: TrainingShown) -> str:
        if training.running:
            state = _("training {percent}").format(percent=self.percent()).strip()
        elif self.learning.looked and not self.learning.models and self.registration.ct is not None:
            state = _("none for this CT yet")
        else:
            return _("Regressor")
        return _("Regressor \u2013 {state}").format(state=state)

    def _training(self) -> TrainingShown:
        learning, training = self.learning, self.learning.training
        if training is None:
            return TrainingShown()
        if learning.is_training:
            progress = training.progress
            left = progress.left if progress and not training.ending else ""
            stage = training.stage[:1].upper() + training.stage[1:]
            return TrainingShown(
                begun=True,
                running=True,
                ending=training.ending,
                percent=round(100 * progress.fraction) if progress else None,
                text=", ".join(filter(None, [stage, left])),
            )
        if training.state == "failed":
            text = training.message
        elif training.state == "cancelled":
            text = _("Cancelled.")
            if any(not model.finished for model in learning.models):
                text += " " + _("What was learnt is kept: Resume goes on with it.")
        else:
            text = "\n".join(training.warnings)
        return TrainingShown(begun=True, failed=training.state == "failed", text=text)

    # What a person does

    def type_minutes(self, text: str) -> None:
        """Train for so long. InputError for what is wrong in the text."""
        self.minutes = MINUTES.read(text)

    def train(self) -> None:
        """Begin to train a network."""
        if self._missing():
            raise InputError(_("Regressor: {missing}").format(missing=self._missing()))
        self.learning.train(self.minutes)

    def select(self, folder: str) -> None:
        """Use a model from now on; one that is not finished can be gone on with."""
        model, self._selected = self._model(folder), folder
        if model.finished:
            self.learning.choose(model.folder)

    def resume(self, folder: str) -> None:
        """Go on with a training, for as long as it was to be."""
        self.learning.train(unfinished=self._model(folder))

    def removal_question(self, folder: str) -> str:
        """What to ask before a model is removed."""
        row = _row(self._model(folder), used=False)
        return _(
            "Remove the regressor {name} ({size}) from this computer? It cannot be brought back, only be trained anew."
        ).format(name=row.name, size=row.size)

    def remove(self, folder: str) -> None:
        """Remove a model."""
        self.learning.remove(self._model(folder))

    def stop(self) -> None:
        """Stop the training; what was learnt is kept."""
        self.learning.cancel()

    def _model(self, folder: str):
        """The `regressor.store.Stored` in a folder."""
        found = [model for model in self.learning.models if str(model.folder) == folder]
        if not found:
            raise InputError(_("Regressor: this one is not there any more; choose another."))
        return found[0]


def _row(model, used: bool) -> ModelRow:
    card = model.card
    tip = "" if model.finished else _("Resume goes on with its training.")
    if card.fault:
        tip = _("Its training ended early, at the last good state: {fault}").format(fault=card.fault)
    return ModelRow(
        id=str(model.folder),
        name=model.name,
        minutes=_("{minutes:g} min").format(minutes=card.minutes),
        error="" if card.error_mm is None else _("{mm:.1f} mm").format(mm=card.error_mm),
        size=_("{size:.1f} MB").format(size=model.bytes / 1e6),
        status=_("in use") if used else "" if model.finished else _("unfinished"),
        device=_("On {device}").format(device=card.device),
        tip=tip,
        used=used,
        finished=model.finished,
    )


def _has_torch() -> bool:
    return find_spec("torch") is not None
