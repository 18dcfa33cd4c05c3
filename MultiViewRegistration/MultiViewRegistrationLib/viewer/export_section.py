"""The pose handed on."""

from __future__ import annotations

from trame.widgets import html

from .section import READY, TODO, Section, State


class ExportSection(Section):
    """Files to download."""

    NAME, TITLE = "exporting", "Export"

    def build(self) -> None:
        html.Div("{{ exporting.doubt }}", v_if="exporting.doubt", classes="mv-fact")

    def content(self) -> dict:
        return {"doubt": self.session.doubt() if self.session else ""}

    def state(self) -> State:
        return State(TODO) if self.session.doubt() else State(READY)
