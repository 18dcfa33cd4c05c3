"""By what a person judges the pose: similarity, points that must agree."""

from __future__ import annotations

import numpy as np
from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..scene.similarity import Similarity
from .section import PROBLEM, READY, TODO, Section, State


class CheckSection(Section):
    """Similarity of each X-ray where the CT is now, the verdict, the linked cursor."""

    NAME, TITLE = "check", "Check"

    def __init__(self, application) -> None:
        super().__init__(application)
        self._similarity: Similarity | None = None

    def build(self) -> None:
        html.Div("{{ line }}", v_for="line in check.verdict", key="line", classes="mv-fact")
        with html.Table(v_if="check.similarity.length", classes="mv-table"):
            with html.Thead(), html.Tr():
                html.Th("X-ray")
                html.Th("Similarity (local NCC)")
            with html.Tbody(), html.Tr(v_for="row in check.similarity", key="row.name"):
                html.Td("{{ row.name }}")
                html.Td("{{ row.value }}")
        html.H4("Linked cursor", classes="mv-sub")
        html.Div("{{ check.cursor.length ? check.cursor.join(' ') : 'Click a point in an X-ray or a slice: it shows in all views.' }}",
                 classes="mv-fact")
        v.VBtn("Clear", v_if="check.cursor.length", click=self.application.points.clear, size="small", variant="text")

    def adopt(self) -> None:
        self._similarity = self.session and Similarity(self.session)

    def content(self) -> dict:
        views = self.registration.xrays if self.registration is not None else []
        values = self._similarity.values if self._similarity is not None else {}
        entry = self.session and self.session.history.current
        verdict = ["Verdict: not assessed. Look at the overlays of every X-ray."]
        if entry is not None and entry.fingerprint:
            doubt = self.session.doubt()
            verdict += [doubt, *entry.reasons] if doubt else entry.reasons
        return {"similarity": [{"name": view.name, "value": _told(values.get(view.name)) if view.used else "skipped"} for view in views],
                "verdict": verdict, "cursor": self.application.points.told()}

    def state(self) -> State:
        entry = self.session.history.current
        if entry is None or not entry.fingerprint:
            return State(TODO)
        return State(PROBLEM, "caution") if entry.reasons or self.session.doubt() else State(READY, "look at every X-ray")

    def tick(self) -> None:
        if self._similarity.update(0):
            self.application.invalidate()


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if np.isfinite(value) else "shows nothing of the CT"
