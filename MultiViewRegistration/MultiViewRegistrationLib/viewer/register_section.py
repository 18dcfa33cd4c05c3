"""One button, its progress, and the history of poses."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..scene.lacking import lacking
from .section import DONE, PROBLEM, READY, RUNNING, TODO, Section, State


class RegisterSection(Section):
    """Begin, watch and cancel a registration; what it came to; the way back."""

    NAME, TITLE = "register", "Register"

    def build(self) -> None:
        with html.Div(classes="mv-row"):
            v.VBtn("Register", click=self.register, disabled=("!!register.lacking || register.running",), color="primary",
                   prepend_icon="mdi-target", __properties=["data-test"], data_test="register")
            v.VBtn("Cancel", click=self.cancel, disabled=("!register.running",), variant="outlined")
            v.VBtn(icon="mdi-undo", click=self.undo, disabled=("!register.can_undo",), variant="text", title="Undo (Ctrl+Z)")
            v.VBtn(icon="mdi-redo", click=self.redo, disabled=("!register.can_redo",), variant="text", title="Redo (Ctrl+Y)")
        v.VProgressLinear(v_if="progress.running", model_value=("progress.percent",),
                          indeterminate=("progress.percent === null",), height=6)
        html.Div("{{ progress.text }}", v_if="progress.running", classes="mv-fact")
        html.Div("{{ register.outcome }}", v_if="register.outcome", classes="mv-fact")

    def adopt(self) -> None:
        self._ready = False
        self.application.state.progress = {"running": False, "percent": None, "text": ""}

    def content(self) -> dict:
        if self.registration is None:
            return {"lacking": "Open a case first.", "running": False, "ready": False, "ended": "", "can_undo": False, "can_redo": False,
                    "outcome": ""}
        session = self.session
        idle = not session.running
        return {"lacking": lacking(session, self.start), "running": session.under_way is not None, "ready": self._ready,
                "ended": session.ended, "can_undo": session.history.can_undo and idle,
                "can_redo": session.history.can_redo and idle, "outcome": self._outcome()}

    @property
    def start(self) -> str:
        """As the step Start has it."""
        return self.registration.parameter("start", "search")

    def state(self) -> State:
        session = self.session
        if session.under_way:
            return State(RUNNING)
        if session.ended == "failed":
            return State(PROBLEM, "see below")
        entry = session.history.current
        if entry is not None and entry.fingerprint and not session.doubt():
            return State(DONE)
        return State(TODO) if lacking(session, self.start) else State(READY, "preparing the CT" if session.preparing else "")

    def tick(self) -> None:
        session, run = self.session, self.session.under_way
        if run is None:
            self.application.state.progress = {"running": False, "percent": None, "text": ""}
            if self.registration.ct is not None and any(view.used and view.placed for view in self.registration.xrays):
                ready = session.prepare()
                if ready != self._ready:
                    self._ready = ready
                    self.application.invalidate()
            return
        percent = round(100 * run.progress.fraction) if run.progress else None
        stage = run.stage[:1].upper() + run.stage[1:]
        self.application.state.progress = {
            "running": True, "percent": percent, "text": ", ".join(filter(None, [stage, f"{run.seconds:.1f} s", run.left]))}

    def _outcome(self) -> str:
        session = self.session
        if session.under_way:
            return ""
        if session.message:
            return session.message
        if session.ended == "cancelled":
            return "Cancelled. The CT is where it was before."
        entry = session.history.current
        if entry is None or not entry.fingerprint:
            return ""
        names = ", ".join(f"{name} {value:.2f}" for name, value in entry.similarity.items())
        return f"Done in {entry.seconds:.1f} s: similarity {names}."

    def register(self) -> None:
        """Begin."""
        with self.application.acting():
            self.session.register(self.start)

    def cancel(self) -> None:
        """Make an end of it."""
        with self.application.acting():
            self.session.cancel()

    def undo(self) -> None:
        """To the pose before."""
        self._go(self.session.history.undo)

    def redo(self) -> None:
        """To the pose after."""
        self._go(self.session.history.redo)

    def _go(self, step) -> None:
        with self.application.acting():
            self.session.ended = self.session.message = ""
            step()
