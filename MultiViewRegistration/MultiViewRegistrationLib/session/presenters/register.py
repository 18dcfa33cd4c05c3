"""The section Register: once more, and the history of poses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from ...mrml import landmarks
from ...translation import _
from .. import assessment
from ..history import HistoryEntry, describe_method
from ..registering import REGRESSOR_STARTS, missing_inputs
from ..session import Session
from .form import TONES, Button, Cell, Form, Table, TableRow, Text, line, row
from .section import Kind, Presenter, State


class RegisterPresenter(Presenter):
    """Begins a registration; goes back and forth in the history."""

    TITLE = _("Register")

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._ready = False

    # The form

    @property
    def changing(self) -> bool:
        """Whether what it shows changes by itself now."""
        return bool(self.session.preparing)

    def form(self) -> Form:
        """Return the controls."""
        history = self.session.history
        busy = self.session.running
        clicking = landmarks.are_being_placed(self.registration)
        redo = Button(
            "redo",
            _("Redo"),
            partial(self._go, history.redo),
            enabled=history.can_redo and not busy and not clicking,
            keys=("Ctrl+Y", "Ctrl+Shift+Z"),
            everywhere=True,
        )
        return [
            row("begin", self.button(), redo),
            Text("outcome", self._outcome()),
            Table(
                "history",
                _("Poses so far"),
                lambda number, column: self._go(partial(history.go, int(number))),
                columns=(_("Time"), _("Method"), _("Verdict"), _("Likely error"), _("Seconds")),
                lines=tuple(_line(number, entry) for number, entry in enumerate(history.entries)),
                selected="" if history.moved else str(history.position),
                tip=_("Click a pose to put the CT there."),
                enabled=not busy,
            ),
        ]

    def button(self) -> Button:
        """Return the button that begins."""
        missing = self.missing()
        return Button(
            "register",
            _("Register"),
            self.register,
            strict=True,
            enabled=not (missing or self.session.running),
            tip=self._hint(missing),
            keys=(self.host.register_keys,),
            needs=(
                "rendering",
                *(("network",) if self.registration.start in REGRESSOR_STARTS else ()),
            ),
        )

    def state(self) -> State:
        """Return how far this step is."""
        session = self.session
        if session.running_registration:
            return State("running")
        if session.ended == "failed":
            return State("problem", _("see above"))
        state = verdict_state(session)
        if state and session.sequence.frame is None:
            return state
        entry = session.history.current
        if entry is not None and entry.fingerprint and not assessment.stale_reason(session):
            return State("ready", _("registered, not assessed"))
        return State("todo") if self.missing() else State("ready", session.preparing)

    def missing(self) -> str:
        """Return the steps missing before a registration can begin, or what was typed and is not taken, a sentence; "" for none."""
        typed = self.host.presenters.xrays.geometry.unfinished()
        return typed or missing_inputs(self.session)

    def tick(self) -> bool:
        """Prepare the CT early, as overlays need that, too, and return whether it has become ready."""
        there = self.registration.ct is not None and self.registration.placed_xrays
        if self.session.running_registration or not there:
            return False
        ready = self.session.prepare()
        changed = ready != self._ready
        self._ready = ready
        return changed

    def _hint(self, missing: str) -> str:
        if self.session.running_registration:
            return _("A registration is under way.")
        if self.session.running:
            return _("Wait until the work under way is done.")
        return missing or _("Find where the CT lies in the world of the X-rays ({keys}).").format(
            keys=self.host.register_keys
        )

    def _outcome(self) -> str:
        session = self.session
        entry = session.history.current
        busy = session.running_registration or session.message
        if busy or entry is None or not entry.fingerprint:
            return ""
        return " ".join(filter(None, [_took(entry), _began_with(entry)]))

    # What a person does

    def register(self) -> None:
        """Begin."""
        self.host.stop_moving()
        self.session.register(self.registration.start)

    def undo(self) -> None:
        """Go to the pose before."""
        self._go(self.session.history.undo)

    def _go(self, step: Callable[[], object]) -> None:
        if not self.session.running:
            self.host.stop_moving()
            self.session.ended = self.session.message = ""
            step()


def verdict_state(session: Session) -> State | None:
    """Return the verdict on the pose as it is, also of a sequence's frame.

    None where there is none.
    """
    verdict = assessment.verdict(session)
    kinds: dict[str, Kind] = {"accept": "done", "check": "check", "reject": "reject"}
    kind = "done" if assessment.each_accepted(session) else kinds.get(verdict)
    return State(kind, assessment.summary(session)) if kind else None


def _line(number: int, entry: HistoryEntry) -> TableRow:
    """Return a pose of the history."""
    when = datetime.fromisoformat(entry.time)
    why = "\n".join(entry.reasons)
    verdict = entry.verdict or ""
    return line(
        str(number),
        Cell(when.strftime("%H:%M:%S"), when.strftime("%Y-%m-%d %H:%M:%S")),
        Cell(describe_method(entry), _began_with(entry)),
        Cell(verdict, why, TONES.get(verdict, "")),
        Cell(assessment.probable_mm(entry) if verdict else "", entry.summary),
        "" if entry.seconds is None else f"{entry.seconds:.1f}",
    )


def _began_with(entry: HistoryEntry) -> str:
    """Return the origin of a regressor's start, a sentence; "" for other starts."""
    if not entry.regressor:
        return ""
    model, expected_mm, start = (
        entry.regressor[key] for key in ("model", "expected_mm", "selected_start")
    )
    parts = [_("It began with: {start}").format(start=start)]
    if expected_mm is not None and start != "search":
        parts.append(_("expected within {mm:.1f} mm").format(mm=expected_mm))
    if model:
        parts.append(_("regressor {model}").format(model=model))
    return ", ".join(parts) + "."


def _took(entry: HistoryEntry) -> str:
    """Return the duration of a registration, a sentence; "" where it was not measured."""
    if entry.seconds is None:
        return ""
    said = _("Done in {seconds:.1f} s on {device}.")
    if entry.first_time_s >= 1:
        said = _(
            "Done in {seconds:.1f} s on {device}, of which {first:.0f} s were the first-time preparation."
        )
    device = entry.device or _("the processor")
    return said.format(seconds=entry.seconds, device=device, first=entry.first_time_s)
