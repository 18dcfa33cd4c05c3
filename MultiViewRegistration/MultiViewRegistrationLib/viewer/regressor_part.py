"""The regressors of the CT in the page."""

from __future__ import annotations

from dataclasses import asdict

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.presenters.regressor import MINUTES
from ..session.translation import _
from .elements import NumberField

USE = f"model.used ? '{_('In use')}' : model.finished ? '{_('Use')}' : '{_('Resume')}'"


class RegressorPart:
    """A table of models, a row of buttons, and the progress of a training.   section: the `StartSection` that shows it."""

    def __init__(self, section) -> None:
        self._section, self.presenter = section, section.presenter.regressor

    def build(self) -> None:
        acting, presenter = self._section.acting, self.presenter
        with html.Details(classes="mv-details", open=("start.training.begun",)):
            html.Summary(_("Regressor: a network that finds this CT without a start"))
            html.Div("{{ start.models_text }}", classes="mv-fact")
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
                        f"{{{{ {USE} }}}}",
                        click=(acting(self._use), "[model.id, model.finished]"),
                        size="x-small",
                        variant="tonal",
                        disabled=("model.used || start.training.running",),
                        title=("model.tip",),
                    )
                    with v.VMenu():
                        with v.Template(v_slot_activator="{ props }"):
                            v.VBtn(
                                icon="mdi-delete-outline",
                                size="x-small",
                                variant="text",
                                v_bind="props",
                                title=_("Remove this regressor"),
                                aria_label=(f"'{_('Remove regressor')} ' + model.name",),
                                disabled=("start.training.running",),
                            )
                        with v.VList(density="compact"):
                            v.VListItem(
                                title=(f"`{_('Remove {name} from this computer')}`.replace('{{name}}', model.name)",),
                                click=(acting(presenter.remove), "[model.id]"),
                            )
            with html.Div(classes="mv-row"):
                NumberField(
                    label=_("Train for"),
                    suffix=MINUTES.unit,
                    min=MINUTES.low,
                    max=MINUTES.high,
                    model_value=("start.minutes",),
                    change=(acting(presenter.type_minutes), "[$event.target.value]"),
                )
                v.VBtn(
                    _("Train"),
                    click=acting(presenter.train),
                    size="small",
                    variant="tonal",
                    disabled=("!!start.train_missing || start.training.running",),
                    title=("start.train_hint",),
                )
                v.VBtn(
                    _("Stop"),
                    v_if="start.training.running",
                    click=acting(presenter.stop),
                    size="small",
                    variant="outlined",
                )
            v.VProgressLinear(
                v_if="start.training.running",
                model_value=("start.training.percent",),
                height=6,
                classes="mt-2",
                indeterminate=("start.training.percent === null",),
            )
            html.Div("{{ start.training.text }}", v_if="start.training.text", classes="mv-fact", role="status")

    def content(self) -> dict:
        """What the widgets show."""
        return asdict(self.presenter.shown())

    def tick(self) -> None:
        """Follow the store and the training."""
        if self.presenter.tick() or self._section.session.regressors.is_training:
            self._section.application.invalidate()

    def _use(self, folder: str, finished: bool) -> None:
        """Use a model from now on, or go on with the training of one that is not finished."""
        if finished:
            self.presenter.select(folder)
        else:
            self.presenter.resume(folder)
