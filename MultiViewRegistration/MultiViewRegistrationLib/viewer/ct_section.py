"""The CT, and what was found in it."""

from __future__ import annotations

from trame.widgets import html

from .section import READY, TODO, Section, State


class CTSection(Section):
    """Volume, unit and structure, and what the registration will see of them."""

    NAME, TITLE = "ct", "CT"

    def build(self) -> None:
        html.Div("{{ ct.name }}", v_if="ct.name", classes="mv-name")
        html.Div("{{ line }}", v_for="line in ct.facts", key="line", classes="mv-fact")

    def content(self) -> dict:
        ct = self.registration and self.registration.ct
        return {"name": ct.GetName() if ct else "", "facts": []}

    def state(self) -> State:
        ct = self.registration.ct
        return State(READY, ct.GetName()) if ct is not None else State(TODO, "choose the CT")
