"""One button, its progress, and the history of poses."""

from __future__ import annotations

from datetime import datetime

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.lacking import lacking
from ..session.presenters.section import DONE, PROBLEM, READY, RUNNING, TODO, State
from ..session.words import method_in_words, started_in_words, took, worst
from .comparison_part import ComparisonPart
from .section import Section

REFINEMENTS = {
    "joint": "Joint, all X-rays together",
    "diffpose": "DiffPose (published baseline)",
    "cui2025": "Cui et al. 2025 (published baseline)",
    "xvr": "xvr (published baseline)",
}
IDLE = {"running": False, "percent": None, "text": ""}


class RegisterSection(Section):
    """Begin, watch and cancel a registration; what it came to; the way back."""

    NAME, TITLE = "register", "Register"

    def __init__(self, application) -> None:
        super().__init__(application)
        self._ready = False
        self.comparison = ComparisonPart(self)

    def build(self) -> None:
        with html.Div(classes="mv-row"):
            v.VBtn(
                "Register",
                click=self.register,
                disabled=("!!register.lacking || register.busy",),
                color="primary",
                prepend_icon="mdi-target",
                title=("register.lacking || 'Find where the CT lies (Ctrl+Enter)'",),
            )
            v.VBtn("Cancel", click=self.cancel, disabled=("!register.running",), variant="outlined")
            v.VBtn(
                icon="mdi-undo",
                click=self.undo,
                disabled=("!register.can_undo",),
                variant="text",
                size="small",
                title="Undo (Ctrl+Z)",
                aria_label="Undo",
            )
            v.VBtn(
                icon="mdi-redo",
                click=self.redo,
                disabled=("!register.can_redo",),
                variant="text",
                size="small",
                title="Redo (Ctrl+Y)",
                aria_label="Redo",
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
        html.Div("{{ register.lacking }}", v_if="register.lacking && !register.outcome", classes="mv-fact")
        html.Div(
            "{{ register.outcome }}", v_if="register.outcome && !progress.running", classes="mv-outcome", role="status"
        )
        html.Div("⚠ {{ note }}", v_for="note in register.notes", key="note", classes="mv-caution")
        with html.Table(v_if="register.history.length", classes="mv-table mv-history", aria_label="History of poses"):
            with html.Thead(), html.Tr():
                for title in ("Time", "Method", "Similarity", "s", ""):
                    html.Th(title)
            with (
                html.Tbody(),
                html.Tr(
                    v_for="entry in register.history", key="entry.number", classes=("entry.current ? 'selected' : ''",)
                ),
            ):
                html.Td("{{ entry.time }}")
                with (
                    html.Td(title=("entry.tip",)),
                    html.Button(
                        type="button",
                        classes="mv-link",
                        click=(self.go, "[entry.number]"),
                        disabled=("register.busy",),
                        title="Put the CT there",
                        aria_current=("entry.current ? 'true' : 'false'",),
                    ),
                ):
                    html.Span("{{ entry.method }}")
                html.Td("{{ entry.similarity }}")
                html.Td("{{ entry.seconds }}")
                with html.Td():
                    v.VBtn(
                        icon="mdi-compare",
                        size="x-small",
                        variant="text",
                        v_if="!entry.current",
                        title="Compare with where the CT is",
                        click=(self.comparison.compare, "[entry.number]"),
                        aria_label=("'Compare with ' + entry.method",),
                        disabled=("register.busy",),
                    )
        self.comparison.build()
        with html.Details(classes="mv-details"):
            html.Summary("Refinement")
            v.VSelect(
                items=([{"value": key, "title": title} for key, title in REFINEMENTS.items()],),
                classes="mt-2",
                label="Refinement",
                model_value=("register.refinement",),
                update_modelValue=(self.refine, "[$event]"),
                disabled=("register.busy",),
            )

    def adopt(self) -> None:
        self._ready = False
        self.application.state.progress = IDLE
        self.comparison.adopt()

    def content(self) -> dict:
        if self.registration is None:
            return {
                "lacking": "Open a case first.",
                "running": False,
                "busy": False,
                "ready": False,
                "ended": "",
                "can_undo": False,
                "can_redo": False,
                "outcome": "",
                "notes": [],
                "history": [],
                "refinement": "joint",
            }
        session = self.session
        history, idle = session.history, not session.running
        return {
            "lacking": lacking(session),
            "running": session.running_registration is not None,
            "busy": session.running,
            "ready": self._ready,
            "ended": session.ended,
            "can_undo": history.can_undo and idle,
            "can_redo": history.can_redo and idle,
            "outcome": self._outcome(),
            "notes": self._notes(),
            "history": _rows(history),
            "refinement": self.registration.refinement,
        }

    def state(self) -> State:
        session = self.session
        if session.running_registration:
            progress = session.running_registration.progress
            return State(RUNNING, f"{round(100 * progress.fraction)} %" if progress else "")
        if session.ended == "failed":
            return State(PROBLEM, "see below")
        entry = session.history.current
        if entry is not None and entry.fingerprint and not session.stale_reason():
            return State(DONE, f"similarity {worst(entry.similarity)}")
        if lacking(session):
            return State(TODO)
        return State(READY, session.preparing)

    def tick(self) -> None:
        session, run = self.session, self.session.running_registration
        self.comparison.tick()
        if run is None:
            self.application.state.progress = IDLE
            if self.registration.ct is not None and any(view.used and view.placed for view in self.registration.xrays):
                ready = session.prepare()
                if ready != self._ready:
                    self._ready = ready
                    self.application.invalidate()
            return
        percent = round(100 * run.progress.fraction) if run.progress else None
        stage = run.stage[:1].upper() + run.stage[1:]
        self.application.state.progress = {
            "running": True,
            "percent": percent,
            "text": ", ".join(filter(None, [stage, f"{run.seconds:.1f} s", run.left])),
        }

    def _outcome(self) -> str:
        session = self.session
        if session.running_registration:
            return ""
        if session.message:
            return session.message
        if session.ended == "cancelled":
            return "Cancelled. The CT is where it was before."
        entry = session.history.current
        if entry is None or not entry.fingerprint:
            return ""
        names = ", ".join(f"{name} {value:.2f}" for name, value in entry.similarity.items())
        return " ".join([": ".join(filter(None, [took(entry), f"similarity {names}"])) + ".", *started_in_words(entry)])

    def _notes(self) -> list[str]:
        """What a person must know before trusting the pose."""
        entry = self.session.history.current
        if entry is None or not entry.fingerprint or self.session.running_registration:
            return []
        doubt = self.session.stale_reason()
        return [doubt, *entry.reasons] if doubt else list(entry.reasons)

    # What a person does

    def register(self) -> None:
        """Begin."""
        if self.session is not None:
            with self.application.acting():
                self.application.moving.stop()
                self.session.register(self.registration.start, refinement=self.registration.refinement)

    def cancel(self) -> None:
        """Make an end of it."""
        with self.application.acting():
            self.session.cancel()

    def undo(self) -> None:
        """To the pose before."""
        self._go(lambda history: history.undo())

    def redo(self) -> None:
        """To the pose after."""
        self._go(lambda history: history.redo())

    def go(self, number: int) -> None:
        """To the pose of an entry, by its number."""
        self._go(lambda history: history.go(int(number)))

    def refine(self, refinement: str) -> None:
        """One of REFINEMENTS."""
        with self.application.acting():
            if refinement in REFINEMENTS:
                self.registration.node.SetParameter("refinement", refinement)

    def _go(self, step) -> None:
        if self.session is None or self.session.running:
            return
        with self.application.acting():
            self.application.moving.stop()
            self.session.ended = self.session.message = ""
            step(self.session.history)


def _rows(history) -> list[dict]:
    """The entries, the newest first."""
    position = -1 if history.moved else history.position
    return [
        {
            "number": number,
            "time": datetime.fromisoformat(entry.time).strftime("%H:%M:%S"),
            "method": method_in_words(entry),
            "similarity": worst(entry.similarity),
            "seconds": "" if entry.seconds is None else f"{entry.seconds:.1f}",
            "tip": " ".join([*started_in_words(entry), *entry.reasons]),
            "current": number == position,
        }
        for number, entry in enumerate(history.entries)
    ][::-1]
