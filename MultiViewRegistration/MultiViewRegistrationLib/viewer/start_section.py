"""Where the registration begins."""

from __future__ import annotations

from trame.widgets import vuetify3 as v

from .section import READY, Section, State


class StartSection(Section):
    """The starts, and what each asks for."""

    NAME, TITLE = "start", "Start"

    def build(self) -> None:
        with v.VRadioGroup(model_value=("start.start",), update_modelValue=(self.choose, "[$event]"), hide_details=True):
            v.VRadio(label="Search", value="search")
            v.VRadio(label="As placed", value="given")

    def content(self) -> dict:
        return {"start": self.registration.parameter("start", "search") if self.registration else "search"}

    def state(self) -> State:
        return State(READY, self.registration.parameter("start", "search"))

    def choose(self, start: str) -> None:
        """Begin there."""
        with self.application.acting():
            self.registration.node.SetParameter("start", start)
