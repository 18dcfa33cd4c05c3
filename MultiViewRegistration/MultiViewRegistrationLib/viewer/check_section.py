"""The section Check in the page."""

from __future__ import annotations

from dataclasses import asdict

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.presenters.check import CheckPresenter
from ..session.translation import _
from .elements import Plot
from .picture import data_url
from .section import Section


class CheckSection(Section):
    """The verdict, similarity of each X-ray where the CT is now, how the refinement went, errors at targets, the linked cursor."""

    NAME, TITLE = "check", CheckPresenter.TITLE
    PRESENTER = CheckPresenter

    def __init__(self, application) -> None:
        super().__init__(application)
        self._maps: tuple[list, list[dict]] = ([], [])  # as the presenter has them, and as the page shows them

    def build(self) -> None:
        html.Div(
            "{{ line }}",
            v_for="(line, index) in check.verdict",
            key="line",
            classes=("index ? 'mv-fact' : 'mv-verdict mv-' + check.judged",),
            role="status",
        )
        v.VBtn(
            _("Assess this pose"),
            click=self.acting(self.presenter.assess),
            disabled=("!check.can_assess",),
            size="small",
            variant="tonal",
            title=_("Say how far the pose as it is can be trusted, without a registration."),
        )
        html.H4(_("Similarity, where the CT is now (local NCC)"), classes="mv-sub")
        with html.Div(v_for="row in check.similarity", key="row.name", classes="mv-bar-row"):
            html.Span("{{ row.name }}", classes="mv-name")
            with html.Div(classes="mv-bar-out", v_if="row.share !== null"):
                html.Div(classes="mv-bar-in", style=("{ width: 100 * row.share + '%' }",))
            html.Span(v_else=True)
            html.Span("{{ row.text }}")
        with html.Details(v_if="check.maps.length", classes="mv-details"):
            html.Summary(_("Where each X-ray disagrees, and how far off the targets may be"))
            html.Div(_("Orange: less alike than noise explains. Dark: not compared."), classes="mv-fact")
            with html.Div(v_for="map in check.maps", key="map.name"):
                html.Div("{{ map.name }}: {{ map.text }}", classes="mv-fact")
                html.Img(src=("map.picture",), alt=("`Where ${map.name} disagrees with the CT`",), classes="mv-map")
            v.VBtn(
                _("Leave out what does not fit"),
                click=self.acting(self.presenter.leave_out),
                size="small",
                variant="tonal",
                title=_("Give the X-rays masks without what disagrees, as tools; they are chosen in X-rays, Image."),
            )
            html.Div("{{ check.left_out }}", classes="mv-fact", role="status")
        with html.Details(v_if="check.predicted.length", classes="mv-details"):
            html.Summary(_("Predicted error at the targets"))
            html.Div(_("Bright: to be expected. Dim: stays below this in 95 of 100 results."), classes="mv-fact")
            with html.Div(v_for="(row, index) in check.predicted", key="index", classes="mv-bar-row wide"):
                html.Span("{{ row.name }}")
                with html.Div(classes="mv-bar-out"):
                    html.Div(classes="mv-bar-in mv-bar-bound", style=("{ width: 100 * row.bound + '%' }",))
                    html.Div(classes="mv-bar-in", style=("{ width: 100 * row.share + '%' }",))
                html.Span("{{ row.text }}")
        with html.Details(v_if="check.targets.length", classes="mv-details"):
            html.Summary(_("Error at the targets, against the case's truth: mean") + " {{ check.mean }}")
            with html.Div(v_for="(row, index) in check.targets", key="index", classes="mv-bar-row"):
                html.Span("{{ row.name }}")
                with html.Div(classes="mv-bar-out"):
                    html.Div(classes="mv-bar-in", style=("{ width: 100 * row.share + '%' }",))
                html.Span("{{ row.text }}")
        with html.Details(v_if="check.cost.length", classes="mv-details"):
            html.Summary(_("How the refinement went"))
            Plot(title=_("Similarity"), across=_("step"), up=_("local NCC"), curves=("check.rising",))
            Plot(
                title=_("Error to expect at the targets, had it ended there"),
                across=_("step"),
                up=_("mm, log scale"),
                log=True,
                curves=("check.falling",),
            )
            Plot(title=_("Cost, of each level's first"), across=_("step"), up="%", curves=("check.cost",))
            Plot(
                title=_("How far each step moved the CT"),
                across=_("step"),
                up=_("mm, log scale"),
                log=True,
                curves=("check.movement",),
            )
        html.H4(_("Linked cursor"), classes="mv-sub")
        html.Div(
            f"{{{{ check.cursor.join(' ') || '{_('Click a point in an X-ray: it is a line in the others.')}' }}}}",
            classes="mv-fact",
            role="status",
        )
        with html.Div(classes="mv-row"):
            v.VBtn(
                f"{{{{ check.placing ? '{_('Stop')}' : '{_('Click in the slices')}' }}}}",
                click=self.acting(self.place),
                size="small",
                variant="tonal",
                color=("check.placing ? 'primary' : ''",),
            )
            v.VBtn(
                _("Clear"),
                v_if="check.cursor.length",
                click=self.acting(self.presenter.cursor.clear),
                size="small",
                variant="text",
            )

    def content(self) -> dict:
        plots, maps = asdict(self.presenter.plots()), self.presenter.maps
        if maps is not self._maps[0]:
            shown = [{"name": name, "text": text, "picture": data_url(picture)} for name, text, picture in maps]
            self._maps = maps, shown
        return {
            **asdict(self.presenter.shown()),
            **plots,
            "maps": self._maps[1],
            "cursor": self.presenter.cursor.lines(),
            "placing": self.presenter.cursor.placing,
        }

    def tick(self) -> None:
        super().tick()
        if self.presenter.cursor.tick():
            self.application.invalidate()

    def place(self) -> None:
        """Have clicks in the slices of the CT place the linked cursor, or end it."""
        cursor = self.presenter.cursor
        if cursor.placing:
            cursor.stop()
        else:
            self.application.views.show_ct_slices()
            cursor.place()
