"""The X-rays: images, geometry, masks."""

from __future__ import annotations

from trame.widgets import html

from .section import READY, TODO, Section, State


class XRaysSection(Section):
    """A table of the X-rays."""

    NAME, TITLE = "xrays", "X-rays"

    def build(self) -> None:
        html.Div("{{ row.name }}", v_for="row in xrays.rows", key="row.id")

    def content(self) -> dict:
        views = self.registration.xrays if self.registration else []
        return {"rows": [{"id": view.node.GetID(), "name": view.name} for view in views]}

    def state(self) -> State:
        used = [view for view in self.registration.xrays if view.used]
        return State(READY, f"{len(used)} used") if used else State(TODO, "add X-rays")
