"""The regressors of the CT in the page: train one, watch that, choose among those that are there, remove one."""

from __future__ import annotations

from importlib.util import find_spec

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session.lacking import inputs
from .elements import NumberField, number

LONGEST_MINUTES = 600.0


class RegressorPart:
    """A table of models, a row of buttons, and the progress of a training.   section: the `StartSection` that shows it."""

    def __init__(self, section) -> None:
        self._section, self._minutes = section, 2.0

    def build(self) -> None:
        with html.Details(classes="mv-details", open=("start.training.begun",)):
            html.Summary("Regressor: a network that finds this CT without a start")
            html.Div("{{ start.models_told }}", classes="mv-fact")
            with (
                html.Table(v_if="start.models.length", classes="mv-table"),
                html.Tbody(),
                html.Tr(v_for="model in start.models", key="model.id"),
            ):
                html.Td("{{ model.name }}")
                html.Td("{{ model.minutes }}", title=("model.device",))
                html.Td("{{ model.error }}")
                with html.Td():
                    v.VBtn(
                        "{{ model.used ? 'In use' : model.finished ? 'Use' : 'Resume' }}",
                        click=(self.choose, "[model.id]"),
                        size="x-small",
                        variant="tonal",
                        disabled=("model.used || start.training.running",),
                    )
                    with v.VMenu():
                        with v.Template(v_slot_activator="{ props }"):
                            v.VBtn(
                                icon="mdi-delete-outline",
                                size="x-small",
                                variant="text",
                                v_bind="props",
                                title="Remove this regressor",
                                aria_label=("'Remove regressor ' + model.name",),
                                disabled=("start.training.running",),
                            )
                        with v.VList(density="compact"):
                            v.VListItem(
                                title=("`Remove ${model.name} from this computer`",), click=(self.remove, "[model.id]")
                            )
            with html.Div(classes="mv-row"):
                NumberField(
                    label="Train for",
                    suffix="min",
                    min=0.5,
                    step=0.5,
                    model_value=("start.minutes",),
                    change=(self.set_minutes, "[$event.target.value]"),
                )
                v.VBtn(
                    "Train",
                    click=self.train,
                    size="small",
                    variant="tonal",
                    disabled=("!!start.train_lacking || start.training.running",),
                    title=("start.train_lacking",),
                )
                v.VBtn("Stop", v_if="start.training.running", click=self.stop, size="small", variant="outlined")
            v.VProgressLinear(
                v_if="start.training.running",
                model_value=("start.training.percent",),
                height=6,
                classes="mt-2",
                indeterminate=("start.training.percent === null",),
            )
            html.Div("{{ start.training.text }}", v_if="start.training.text", classes="mv-fact", role="status")

    def adopt(self) -> None:
        """There is another registration at work."""

    @property
    def _learning(self):
        return self._section.session.regressors

    def percent(self) -> str:
        """How far the training under way is; "" before anybody knows."""
        progress = self._learning.training.progress
        return f"{round(100 * progress.fraction)} %" if progress else ""

    def content(self) -> dict:
        """What the widgets show."""
        if self._section.registration is None:
            return {
                "models": [],
                "models_told": "",
                "minutes": self._minutes,
                "train_lacking": "Choose a CT first.",
                "training": self._training(),
            }
        learning = self._learning
        listed = [model for model in learning.models if model.finished or not learning.is_training]
        return {
            "models": [
                {
                    "id": str(model.folder),
                    "name": model.name,
                    "minutes": f"{model.card.minutes:g} min",
                    "device": f"On {model.card.device}",
                    "error": "" if model.card.error_mm is None else f"{model.card.error_mm:.1f} mm",
                    "used": model.folder == learning.model,
                    "finished": model.finished,
                }
                for model in listed
            ],
            "models_told": self._told(),
            "minutes": self._minutes,
            "train_lacking": self._lacking(),
            "training": self._training(),
        }

    def _told(self) -> str:
        learning = self._learning
        if self._section.registration.ct is None:
            return "A regressor is trained for one CT: choose that first."
        if learning.gone:
            return learning.gone
        if not learning.looked:
            return "Looking for regressors of this CT…"
        if any(model.finished for model in learning.models):
            return "The starts Regressor and Automatic use the one that is in use."
        return "There is none for this CT yet. It is trained once, in minutes, and then tells where the CT is without a start."

    def _lacking(self) -> str:
        if find_spec("torch") is None:
            return "A regressor needs PyTorch: pip install torch safetensors."
        return inputs(self._section.registration)

    def _training(self) -> dict:
        """begun: whether there has been one, which a person will want to see the end of."""
        training = self._section.registration and self._learning.training
        if training is None:
            return {"begun": False, "running": False, "percent": None, "text": ""}
        if self._learning.is_training:
            progress = training.progress
            left = progress.left if progress and not training.ending else ""
            return {
                "begun": True,
                "running": True,
                "percent": round(100 * progress.fraction) if progress else None,
                "text": ", ".join(filter(None, [training.stage[:1].upper() + training.stage[1:], left])),
            }
        told = {"failed": training.message, "cancelled": "Cancelled. What was learnt is kept: Resume goes on with it."}
        return {
            "begun": True,
            "running": False,
            "percent": None,
            "text": told.get(training.state, "\n".join(training.warnings)),
        }

    def tick(self) -> None:
        """Follow the store and the training."""
        if self._learning.look(0) or self._learning.is_training:
            self._section.application.invalidate()

    # What a person does

    def _model(self, folder: str):
        found = [model for model in self._learning.models if str(model.folder) == folder]
        if not found:
            raise InputError("Regressor: this one is not there any more; choose another.")
        return found[0]

    def set_minutes(self, minutes) -> None:
        """Train for so long."""
        with self._section.application.acting():
            self._minutes = min(max(number(minutes, "Minutes"), 0.1), LONGEST_MINUTES)

    def train(self) -> None:
        """Begin to train a network."""
        with self._section.application.acting():
            if self._lacking():
                raise InputError(f"Regressor: {self._lacking()}")
            self._learning.train(self._minutes)

    def choose(self, folder: str) -> None:
        """Use a model from now on; go on with the training of one that is not finished."""
        with self._section.application.acting():
            model = self._model(folder)
            if model.finished:
                self._learning.choose(model.folder)
            else:
                self._learning.train(unfinished=model)

    def remove(self, folder: str) -> None:
        """Remove a model."""
        with self._section.application.acting():
            self._learning.remove(self._model(folder))

    def stop(self) -> None:
        """Make an end of the training."""
        with self._section.application.acting():
            self._learning.cancel()
