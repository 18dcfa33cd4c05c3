"""By what a person judges the pose: similarity, how it was found, points that must agree."""

from __future__ import annotations

import numpy as np
from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..mrml.cursor import CURSOR
from ..mrml.nodes import is_placing, place, stop_placing
from ..session import assessment, curves
from ..session.assessment import use_suggested_masks
from ..session.background_task import Worker
from ..session.comparison import SimilarityUpdater
from ..session.presenters.section import PROBLEM, READY, TODO, State
from ..session.verdict import NOT_ASSESSED
from .elements import Plot
from .picture import data_url
from .section import Section


class CheckSection(Section):
    """The verdict, similarity of each X-ray where the CT is now, how the refinement went, errors at targets, the linked cursor."""

    NAME, TITLE = "check", "Check"

    def __init__(self, application) -> None:
        super().__init__(application)
        self._similarity: SimilarityUpdater | None = None
        self._plotted: tuple[str, dict] = ("", {})
        self._drawing: Worker | None = None
        self._maps: list[dict] = []
        self._left_out = ""

    def build(self) -> None:
        html.Div(
            "{{ line }}",
            v_for="(line, index) in check.verdict",
            key="line",
            classes=("index ? 'mv-fact' : 'mv-verdict mv-' + check.judged",),
            role="status",
        )
        v.VBtn(
            "Assess this pose",
            click=self.assess,
            size="small",
            variant="tonal",
            title="Say how far the pose as it is can be trusted, without a registration.",
        )
        html.H4("Similarity, where the CT is now (local NCC)", classes="mv-sub")
        with html.Div(v_for="row in check.similarity", key="row.name", classes="mv-bar-row"):
            html.Span("{{ row.name }}", classes="mv-name")
            with html.Div(classes="mv-bar-out", v_if="row.share !== null"):
                html.Div(classes="mv-bar-in", style=("{ width: 100 * row.share + '%' }",))
            html.Span(v_else=True)
            html.Span("{{ row.value }}")
        with html.Details(v_if="check.maps.length", classes="mv-details"):
            html.Summary("Where each X-ray disagrees, and how far off the targets may be")
            html.Div("Orange: less alike than noise explains. Dark: not compared.", classes="mv-fact")
            with html.Div(v_for="map in check.maps", key="map.name"):
                html.Div("{{ map.name }}: {{ map.told }}", classes="mv-fact")
                html.Img(src=("map.picture",), alt=("`Where ${map.name} disagrees with the CT`",), classes="mv-map")
            v.VBtn(
                "Leave out what does not fit",
                click=self.leave_out,
                size="small",
                variant="tonal",
                title="Give the X-rays masks without what disagrees, as tools; they are chosen in X-rays, Image.",
            )
            html.Div("{{ check.left_out }}", classes="mv-fact", role="status")
        with html.Details(v_if="check.predicted.length", classes="mv-details"):
            html.Summary("Predicted error at the targets")
            html.Div("Bright: to be expected. Dim: stays below this in 95 of 100 results.", classes="mv-fact")
            with html.Div(v_for="(row, index) in check.predicted", key="index", classes="mv-bar-row wide"):
                html.Span("{{ row.name }}")
                with html.Div(classes="mv-bar-out"):
                    html.Div(classes="mv-bar-in mv-bar-bound", style=("{ width: 100 * row.bound + '%' }",))
                    html.Div(classes="mv-bar-in", style=("{ width: 100 * row.share + '%' }",))
                html.Span("{{ row.value }}")
        with html.Details(v_if="check.targets.length", classes="mv-details"):
            html.Summary("Error at the targets, against the case's truth: mean {{ check.mean }}")
            with html.Div(v_for="(row, index) in check.targets", key="index", classes="mv-bar-row"):
                html.Span("{{ row.name }}")
                with html.Div(classes="mv-bar-out"):
                    html.Div(classes="mv-bar-in", style=("{ width: 100 * row.share + '%' }",))
                html.Span("{{ row.value }}")
        with html.Details(v_if="check.cost.length", classes="mv-details"):
            html.Summary("How the refinement went")
            Plot(title="Similarity", across="step", up="local NCC", curves=("check.rising",))
            Plot(
                title="Error to expect at the targets, had it ended there",
                across="step",
                up="mm, log scale",
                log=True,
                curves=("check.falling",),
            )
            Plot(title="Cost, of each level's first", across="step", up="%", curves=("check.cost",))
            Plot(
                title="How far each step moved the CT",
                across="step",
                up="mm, log scale",
                log=True,
                curves=("check.movement",),
            )
        html.H4("Linked cursor", classes="mv-sub")
        html.Div(
            "{{ check.cursor.length ? check.cursor.join(' ') : 'Click a point in an X-ray: it is a line in the others.' }}",
            classes="mv-fact",
            role="status",
        )
        with html.Div(classes="mv-row"):
            v.VBtn(
                "{{ check.placing ? 'Stop' : 'Click in the slices' }}",
                click=self.place,
                size="small",
                variant="tonal",
                color=("check.placing ? 'primary' : ''",),
            )
            v.VBtn(
                "Clear", v_if="check.cursor.length", click=self.application.points.clear, size="small", variant="text"
            )

    def adopt(self) -> None:
        self._similarity = self.session and SimilarityUpdater(self.session)
        self._plotted, self._drawing, self._maps, self._left_out = ("", {}), None, [], ""

    def content(self) -> dict:
        views = self.registration.xrays if self.registration is not None else []
        values = self._similarity.values if self._similarity is not None else {}
        judged, verdict = (
            (assessment.verdict(self.session), assessment.describe(self.session))
            if self.session
            else ("", [NOT_ASSESSED])
        )
        return {
            "similarity": [_row(view, values.get(view.name)) for view in views],
            "verdict": verdict,
            "judged": judged,
            "cursor": self.application.points.told(),
            "placing": self._placing(),
            **self._plots(),
            "maps": self._maps,
            "left_out": self._left_out,
        }

    def _plots(self) -> dict:
        """Of the result that the CT is at, made once for each."""
        result = self.session.result if self.session is not None and not self.session.history.moved else None
        key = self.session.history.current.key if result is not None else ""
        if key != self._plotted[0] or not self._plotted[1]:
            self._plotted, self._maps, self._left_out = (key, _plots_of(result)), [], ""
            self._drawing = Worker(lambda tell: curves.maps(result)) if result is not None else None
        return self._plotted[1]

    def state(self) -> State:
        entry = self.session.history.current
        if entry is None or not entry.fingerprint:
            return State(TODO)
        return (
            State(PROBLEM, "caution")
            if entry.reasons or self.session.stale_reason()
            else State(READY, "look at every X-ray")
        )

    def tick(self) -> None:
        if self._similarity.update(0):
            self.application.invalidate()
        if self._drawing is not None:
            self._drawing.poll(0)
            if self._drawing.state != "running":
                found, self._drawing = self._drawing.result or [], None
                self._maps = [
                    {"name": name, "told": told, "picture": data_url(picture)} for name, told, picture in found
                ]
                self.application.invalidate()

    def assess(self) -> None:
        """Assess the pose as it is."""
        with self.application.acting():
            assessment.assess(self.session)

    def leave_out(self) -> None:
        """Mask what does not fit."""
        with self.application.acting():
            self._left_out = use_suggested_masks(self.session)

    def place(self) -> None:
        """Have clicks in the slices of the CT place the linked cursor, or end it."""
        with self.application.acting():
            if self._placing():
                stop_placing(self.application.scene)
            else:
                self.application.views.show_slices()
                place(self.application.points.cursor.points)

    def _placing(self) -> bool:
        points = self.registration and self.registration.node.GetNodeReference(CURSOR)
        return points is not None and is_placing(points)


def _row(view, value: float | None) -> dict:
    shown = view.used and value is not None and bool(np.isfinite(value))
    told = "skipped" if not view.used else "" if value is None else f"{value:.2f}" if shown else "none"
    return {"name": view.name, "value": told, "share": min(max(float(value), 0.0), 1.0) if shown else None}


def _plots_of(result) -> dict:
    if result is None:
        return {"rising": [], "falling": [], "cost": [], "movement": [], "predicted": [], "targets": [], "mean": ""}
    errors = curves.errors_at_targets(result)
    most = max(errors, default=0.0) or 1.0
    predicted = curves.predicted_at_targets(result)
    widest = max((bound for _, bound in predicted), default=0.0) or 1.0
    return {
        "mean": f"{np.mean(errors):.2f} mm" if errors else "",
        **{
            key: [{"name": name, "points": points} for name, points in curve(result)]
            for key, curve in (
                ("rising", curves.similarity),
                ("falling", curves.predicted),
                ("cost", curves.cost),
                ("movement", curves.movement),
            )
        },
        "predicted": [
            {
                "name": f"target {number}",
                "value": f"{mm:.2f}, below {bound:.2f} mm",
                "share": mm / widest,
                "bound": bound / widest,
            }
            for number, (mm, bound) in enumerate(predicted, start=1)
        ],
        "targets": [
            {"name": f"target {number}", "value": f"{mm:.2f} mm", "share": mm / most}
            for number, mm in enumerate(errors, start=1)
        ],
    }
