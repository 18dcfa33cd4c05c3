"""The section Register in the page."""

from __future__ import annotations

from dataclasses import asdict

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.presenters.register import REFINEMENTS, ComparisonPresenter, RegisterPresenter
from ..session.translation import _
from .picture import data_url
from .section import Section


class RegisterSection(Section):
    """Begin, watch and cancel a registration; what it came to; the way back; two poses side by side, in a dialog over the page."""

    NAME, TITLE = "register", RegisterPresenter.TITLE
    PRESENTER = RegisterPresenter

    def __init__(self, application) -> None:
        super().__init__(application)
        self.comparison, self._compared = ComparisonPresenter(application), None
        self._show_comparison()

    def build(self) -> None:
        with html.Div(classes="mv-row"):
            v.VBtn(
                _("Register"),
                click=self.register,
                disabled=("!!register.missing || register.busy",),
                color="primary",
                prepend_icon="mdi-target",
                title=("register.hint",),
            )
            v.VBtn(
                _("Cancel"),
                click=self.acting(self.presenter.cancel),
                disabled=("!register.running",),
                variant="outlined",
                title=_("Stop, and take the CT back to where it was."),
            )
            for name, keys, action in ((_("Undo"), "Ctrl+Z", self.undo), (_("Redo"), "Ctrl+Y", self.redo)):
                v.VBtn(
                    icon=f"mdi-{action.__name__}",
                    click=action,
                    disabled=(f"!register.can_{action.__name__}",),
                    variant="text",
                    size="small",
                    title=f"{name} ({keys})",
                    aria_label=name,
                )
        with html.Div(v_if="progress.running", role="status"):
            v.VProgressLinear(
                model_value=("progress.percent",),
                indeterminate=("progress.percent === null",),
                height=6,
                classes="mt-2",
                color="primary",
            )
            html.Div("{{ progress.text }}", classes="mv-fact")
        html.Div(
            "{{ register.outcome }}",
            v_if="register.outcome && !progress.running",
            classes=("register.outcome === register.missing ? 'mv-fact' : 'mv-outcome'",),
            role="status",
        )
        html.Div("⚠ {{ note }}", v_for="note in register.notes", key="note", classes="mv-caution")
        self._build_history()
        self._build_comparison()
        with html.Details(classes="mv-details"):
            html.Summary(_("Refinement"))
            v.VSelect(
                items=([{"value": key, "title": title} for key, title in REFINEMENTS.items()],),
                classes="mt-2",
                label=_("Refinement"),
                model_value=("register.refinement",),
                update_modelValue=(self.acting(self.presenter.refine), "[$event]"),
                disabled=("register.busy",),
            )

    def _build_history(self) -> None:
        with html.Table(
            v_if="register.history.length", classes="mv-table mv-history", aria_label=_("History of poses")
        ):
            with html.Thead(), html.Tr():
                for title in (_("Time"), _("Method"), _("Similarity"), _("s"), ""):
                    html.Th(title)
            with (
                html.Tbody(),
                html.Tr(
                    v_for="entry in register.history", key="entry.number", classes=("entry.current ? 'selected' : ''",)
                ),
            ):
                html.Td("{{ entry.time }}", title=("entry.date",))
                with (
                    html.Td(title=("entry.tip",)),
                    html.Button(
                        type="button",
                        classes="mv-link",
                        click=(self.go, "[entry.number]"),
                        disabled=("register.busy",),
                        title=_("Put the CT there"),
                        aria_current=("entry.current ? 'true' : 'false'",),
                    ),
                ):
                    html.Span("{{ entry.method }}")
                html.Td("{{ entry.similarity }}", title=("entry.similarity_tip",))
                html.Td("{{ entry.seconds }}")
                with html.Td():
                    v.VBtn(
                        icon="mdi-compare",
                        size="x-small",
                        variant="text",
                        v_if="!entry.current",
                        title=_("Compare with where the CT is"),
                        click=(self.acting(self.comparison.compare), "[entry.number]"),
                        aria_label=(f"'{_('Compare with')} ' + entry.method",),
                        disabled=("register.busy",),
                    )

    def _build_comparison(self) -> None:
        close = self.acting(self.comparison.close)
        with (
            v.VDialog(model_value=("comparison.open",), update_modelValue=(close, "[]"), max_width=1200),
            v.VCard(title=_("Two poses side by side")),
        ):
            with v.VCardText():
                html.Div("{{ comparison.text }}", classes="mv-fact", role="status")
                with html.Table(classes="mv-compared"):
                    with html.Thead(), html.Tr():
                        html.Th("")
                        html.Th("{{ name }}", v_for="name in comparison.names", key="name")
                    with html.Tbody(), html.Tr(v_for="row in comparison.rows", key="row.name"):
                        html.Th("{{ row.name }}")
                        with html.Td(v_for="(picture, index) in row.pictures", key="index"):
                            html.Img(
                                src=("picture",),
                                alt=(f"`{_('Edges of bone over')} ${{row.name}}, ${{comparison.names[index]}}`",),
                            )
            with v.VCardActions():
                v.VSpacer()
                v.VBtn(_("Close"), click=close)

    def adopt(self) -> None:
        super().adopt()
        self.comparison.reset()

    def content(self) -> dict:
        shown = self.presenter.shown()
        rows = [{**asdict(row), "current": row.number == shown.current} for row in shown.history]
        return {**asdict(shown), "history": rows[::-1]}

    def refresh(self) -> None:
        super().refresh()
        self.application.state.progress = asdict(self.presenter.progress())
        self._show_comparison()

    def tick(self) -> None:
        super().tick()
        self.application.state.progress = asdict(self.presenter.progress())
        if self.comparison.tick():
            self._show_comparison()

    def _show_comparison(self) -> None:
        shown = self.comparison.shown()
        if shown is self._compared:
            return
        self._compared = shown
        self.application.state.comparison = {
            "open": shown.open,
            "text": shown.text,
            "names": shown.names,
            "rows": [
                {"name": name, "pictures": [data_url(picture) for picture in pictures]}
                for name, *pictures in shown.pictures
            ],
        }

    # What a person does

    def register(self) -> None:
        """Begin."""
        self._act(self.presenter.register)

    def undo(self) -> None:
        """To the pose before."""
        self._act(self.presenter.undo)

    def redo(self) -> None:
        """To the pose after."""
        self._act(self.presenter.redo)

    def go(self, number: int) -> None:
        """To the pose of an entry, by its number."""
        self._act(self.presenter.go, number)

    def _act(self, action, *args) -> None:
        """Do what moves the CT, where there is one; a movement by hand ends before."""
        if self.session is not None:
            with self.application.acting():
                self.application.moving.stop()
                action(*args)
