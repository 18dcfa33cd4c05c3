"""The section Start in the page."""

from __future__ import annotations

from dataclasses import asdict

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.history import METHODS
from ..session.presenters.start import CUSTOM, PLACED, POSE_NUMBERS, RANGE_NUMBERS, RANGES, StartPresenter
from ..session.translation import _
from .elements import NumberField
from .landmarks_card import LandmarksCard
from .pose_file_card import PoseFileCard
from .regressor_part import RegressorPart
from .section import Section

ORDER = ("search", "given", "by hand", "landmarks", "regressor", "auto")
SEARCHES = "['search', 'auto'].includes(start.start)"
IS_PLACED = f"{list(PLACED)}.includes(start.start) && start.numbers.length"


class StartSection(Section):
    """The starts, and what each asks for; below that the regressors, whichever start is chosen."""

    NAME, TITLE = "start", StartPresenter.TITLE
    PRESENTER = StartPresenter

    def __init__(self, application) -> None:
        super().__init__(application)
        self.pose_file, self.landmarks, self.regressors = PoseFileCard(self), LandmarksCard(self), RegressorPart(self)

    def build(self) -> None:
        with v.VRadioGroup(
            model_value=("start.start",),
            update_modelValue=(self.acting(self.presenter.choose), "[$event]"),
            inline=True,
            aria_label=_("Start"),
        ):
            for start in ORDER:
                v.VRadio(
                    label=METHODS[start],
                    value=start,
                    disabled=(f"start.without.includes('{start}')",),
                    title=(f"start.tips['{start}']",),
                )
        with html.Div(v_if=SEARCHES, classes="mv-row"):
            v.VSelect(
                label=_("How far"),
                items=([*RANGES, CUSTOM],),
                model_value=("start.range",),
                update_modelValue=(self.acting(self.presenter.choose_range), "[$event]"),
            )
        with html.Div(v_if=SEARCHES, classes="mv-grid2"):
            for key, number in RANGE_NUMBERS.items():
                NumberField(
                    label=number.name,
                    suffix=number.unit,
                    min=number.low,
                    max=number.high,
                    model_value=(f"start.{key}",),
                    change=(self.acting(self.presenter.type_range), f"['{key}', $event.target.value]"),
                )
        html.Div("{{ start.hint }}", v_if="start.hint", classes="mv-fact")
        with html.Div(v_if="start.numbers.length && start.start !== 'landmarks'", classes="mv-grid3"):
            for which, number in enumerate(POSE_NUMBERS):
                NumberField(
                    label=number.name,
                    suffix=number.unit,
                    step=0.1,
                    model_value=(f"start.numbers[{which}]",),
                    disabled=("start.busy",),
                    title=_("Of the CT's centre in the world of the X-rays"),
                    change=(self.acting(self.presenter.type_number), f"[{which}, $event.target.value]"),
                )
        with html.Div(v_if=IS_PLACED, classes="mv-row"):
            v.VBtn(
                _("Centre the CT in the X-rays"),
                click=self.acting(self.presenter.centre),
                size="small",
                variant="tonal",
                disabled=("start.busy",),
            )
            with v.VMenu(v_if="start.transforms.length"):
                with v.Template(v_slot_activator="{ props }"):
                    v.VBtn(
                        _("Copy a transform"), v_bind="props", size="small", variant="text", disabled=("start.busy",)
                    )
                with v.VList(density="compact"):
                    v.VListItem(
                        v_for="node in start.transforms",
                        key="node.id",
                        title=("node.name",),
                        click=(self.acting(self.presenter.copy), "[node.id]"),
                    )
        self.pose_file.build()
        self.landmarks.build()
        self.regressors.build()

    def adopt(self) -> None:
        super().adopt()
        self.pose_file.presenter.reset()
        self.landmarks.adopt()

    def content(self) -> dict:
        return {
            **asdict(self.presenter.shown()),
            "pose_file": self.pose_file.content(),
            **self.landmarks.content(),
            **self.regressors.content(),
        }

    def tick(self) -> None:
        self.landmarks.tick()
        self.regressors.tick()
        super().tick()
