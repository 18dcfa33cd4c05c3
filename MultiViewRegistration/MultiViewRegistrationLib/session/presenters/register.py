"""The section Register: one button, its progress, the history of poses, and two of them side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from ...errors import InputError
from .. import assessment
from ..background_task import Worker
from ..comparison import compare_poses
from ..history import Entry, describe_method
from ..readiness import missing_inputs
from ..session import Session
from ..translation import _
from .section import CHECK, DONE, PROBLEM, READY, REJECT, RUNNING, TODO, Presenter, State

REFINEMENTS = {
    "joint": _("Joint, all X-rays together"),
    "diffpose": _("DiffPose (published baseline)"),
    "cui2025": _("Cui et al. 2025 (published baseline)"),
    "xvr": _("xvr (published baseline)"),
}


@dataclass(frozen=True)
class HistoryRow:
    """A pose of the history.   tip: on the method.   similarity: of the X-ray that fits worst; `similarity_tip` has all."""

    number: int
    time: str
    date: str
    method: str
    tip: str
    similarity: str
    similarity_tip: str
    seconds: str


@dataclass(frozen=True)
class RegisterShown:
    """What the widgets show.

    missing: what to do before a registration can begin, "" where it can.   hint: on the button Register.
    running: whether a registration is under way; busy: whether any work is.   ready: whether the CT is ready for DRRs.
    ended: how the last registration ended, see `Session`.   outcome: how it stands, "" while one is under way; failed: whether that is
    a problem.   notes: what a person must know before trusting the pose.   history: the oldest first; current: where the CT is, -1 where
    at none.
    """

    missing: str = _("Open a case first.")
    hint: str = ""
    running: bool = False
    busy: bool = False
    ready: bool = False
    ended: str = ""
    can_undo: bool = False
    can_redo: bool = False
    outcome: str = ""
    failed: bool = False
    notes: list[str] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    current: int = -1
    refinement: str = "joint"


@dataclass(frozen=True)
class ProgressShown:
    """percent: None while nobody knows."""

    running: bool = False
    percent: int | None = None
    text: str = ""


class RegisterPresenter(Presenter):
    """Begins, follows and cancels a registration; goes back and forth in the history."""

    TITLE = _("Register")

    def reset(self) -> None:
        self._ready = False

    # What is shown

    def shown(self) -> RegisterShown:
        if self.registration is None:
            return RegisterShown()
        session = self.session
        history, busy, missing = session.history, session.running, missing_inputs(session)
        return RegisterShown(
            missing=missing,
            hint=self._hint(missing),
            running=session.running_registration is not None,
            busy=busy,
            ready=self._ready,
            ended=session.ended,
            can_undo=history.can_undo and not busy,
            can_redo=history.can_redo and not busy,
            outcome=self._outcome(missing),
            failed=bool(session.message) and session.running_registration is None,
            notes=self._notes(),
            history=[_row(number, entry) for number, entry in enumerate(history.entries)],
            current=-1 if history.moved else history.position,
            refinement=self.registration.refinement,
        )

    def progress(self) -> ProgressShown:
        """What changes while a registration is under way."""
        run = self.session.running_registration if self.session is not None else None
        if run is None:
            return ProgressShown()
        stage = run.stage[:1].upper() + run.stage[1:]
        seconds = _("{seconds:.1f} s").format(seconds=run.seconds)
        return ProgressShown(True, self._percent(), ", ".join(filter(None, [stage, seconds, run.left])))

    def state(self) -> State:
        session = self.session
        if session.running_registration:
            percent = self._percent()
            return State(RUNNING, "" if percent is None else _("{percent} %").format(percent=percent))
        if session.ended == "failed":
            return State(PROBLEM, _("see below"))
        judged = verdict_state(session)
        if judged:
            return judged
        entry = session.history.current
        if entry is not None and entry.fingerprint and not session.stale_reason():
            return State(READY, _("registered, not assessed"))
        return State(TODO) if missing_inputs(session) else State(READY, session.preparing)

    def tick(self) -> bool:
        """Make the CT ready before anybody asks, as overlays need that, too; whether it has become so."""
        views = self.registration.xrays
        if (
            self.session.running_registration
            or self.registration.ct is None
            or not any(view.used and view.placed for view in views)
        ):
            return False
        ready = self.session.prepare()
        changed, self._ready = ready != self._ready, ready
        return changed

    def _percent(self) -> int | None:
        progress = self.session.running_registration.progress
        return round(100 * progress.fraction) if progress else None

    def _hint(self, missing: str) -> str:
        if self.session.running_registration:
            return _("A registration is under way.")
        if self.session.running:
            return _("Wait until the work under way is done.")
        return missing or _("Find where the CT lies in the world of the X-rays ({keys}).").format(
            keys=self.host.register_keys
        )

    def _outcome(self, missing: str) -> str:
        session, entry = self.session, self.session.history.current
        if session.running_registration:
            return ""
        if session.message:
            return session.message
        if session.ended == "cancelled":
            return _("Cancelled. The CT is where it was before.")
        if entry is None or not entry.fingerprint:
            return missing
        names = ", ".join(f"{name} {value:.2f}" for name, value in entry.similarity.items())
        similarity = ": ".join(filter(None, [_took(entry), _("similarity {names}").format(names=names)])) + "."
        return " ".join(filter(None, [similarity, _began_with(entry)]))

    def _notes(self) -> list[str]:
        session, entry = self.session, self.session.history.current
        if (
            entry is None
            or not entry.fingerprint
            or session.message
            or session.ended == "cancelled"
            or session.running_registration
        ):
            return []
        return [*filter(None, [session.stale_reason()]), *entry.reasons]

    # What a person does

    def register(self) -> None:
        """Begin."""
        self.session.register(self.registration.start, refinement=self.registration.refinement)

    def cancel(self) -> None:
        """Stop it; the CT goes back to where it was."""
        self.session.cancel()

    def undo(self) -> None:
        """Go to the pose before."""
        self._go(self.session.history.undo)

    def redo(self) -> None:
        """Go to the pose after."""
        self._go(self.session.history.redo)

    def go(self, number: int) -> None:
        """Go to the pose of an entry, by its number."""
        self._go(lambda: self.session.history.go(number))

    def refine(self, refinement: str) -> None:
        """Choose one of REFINEMENTS."""
        if refinement in REFINEMENTS:
            self.registration.node.SetParameter("refinement", refinement)

    def _go(self, step) -> None:
        if not self.session.running:
            self.session.ended = self.session.message = ""
            step()


@dataclass(frozen=True)
class ComparisonShown:
    """names: of the two poses.   pictures: for each X-ray its name, and uint8 (rows, columns, 3) at either pose."""

    open: bool = False
    text: str = ""
    names: list[str] = field(default_factory=list)
    pictures: list[tuple[str, np.ndarray, np.ndarray]] = field(default_factory=list)


class ComparisonPresenter(Presenter):
    """Compares where the CT is now with another entry of the history."""

    def reset(self) -> None:
        self._worker: Worker | None = None
        self._shown = ComparisonShown()

    def shown(self) -> ComparisonShown:
        return self._shown

    def tick(self) -> bool:
        """Take what was drawn; whether there is something new to show."""
        if self._worker is None:
            return False
        self._worker.poll(0)
        if self._worker.state == "running":
            return False
        worker, self._worker = self._worker, None
        if worker.state != "done":
            self._shown = ComparisonShown(open=True, text=worker.message)
            return True
        text = _("The CT's centre is {mm:.2f} mm apart, and it is turned by {degrees:.2f}°. Orange: edges of bone.")
        found = worker.result
        self._shown = ComparisonShown(
            open=True,
            text=text.format(mm=found.mm, degrees=found.degrees),
            names=self._shown.names,
            pictures=found.pictures,
        )
        return True

    def compare(self, number: int) -> None:
        """Compare with an entry, by its number."""
        entries = self.session.history.entries
        if not 0 <= number < len(entries):
            raise InputError(_("Compare: this pose is not there, expected one of the history; choose another."))
        other = entries[number]
        work = compare_poses(self.session, Entry.now("now", self.registration.world_from_ct), other)
        self._worker = Worker(lambda tell: work())
        names = [_("Where the CT is now"), f"{describe_method(other)}, {other.time[11:19]}"]
        self._shown = ComparisonShown(open=True, text=_("Drawing..."), names=names)

    def close(self) -> None:
        """Show no comparison any more."""
        self.reset()


def verdict_state(session: Session) -> State | None:
    """The verdict on the pose as it is; None where there is none."""
    verdict = assessment.verdict(session)
    kinds = {"accept": DONE, "check": CHECK, "reject": REJECT}
    return State(kinds[verdict], assessment.headline(session.history.current)) if verdict else None


def _row(number: int, entry: Entry) -> HistoryRow:
    when = datetime.fromisoformat(entry.time)
    compared = [value for value in entry.similarity.values() if np.isfinite(value)]
    return HistoryRow(
        number=number,
        time=when.strftime("%H:%M:%S"),
        date=when.strftime("%Y-%m-%d %H:%M:%S"),
        method=describe_method(entry),
        tip="\n".join(filter(None, [_began_with(entry), *entry.reasons])),
        similarity=f"{min(compared):.2f}" if compared else "",
        similarity_tip="\n".join(f"{name} {value:.3f}" for name, value in entry.similarity.items()),
        seconds="" if entry.seconds is None else f"{entry.seconds:.1f}",
    )


def _began_with(entry: Entry) -> str:
    """What a start by a regressor came from, a sentence; "" for other starts."""
    if not entry.regressor:
        return ""
    model, expected_mm, start = (entry.regressor[key] for key in ("model", "expected_mm", "selected_start"))
    parts = [_("It began with: {start}").format(start=start)]
    if expected_mm is not None and start != "search":
        parts.append(_("expected within {mm:.1f} mm").format(mm=expected_mm))
    if model:
        parts.append(_("regressor {model}").format(model=model))
    return ", ".join(parts) + "."


def _took(entry: Entry) -> str:
    """How long a registration took, for a person who waited for it; "" where nobody measured it."""
    if entry.seconds is None:
        return ""
    if entry.first_time_s < 1:
        return _("Done in {seconds:.1f} s").format(seconds=entry.seconds)
    return _("Done in {seconds:.1f} s, of which {first:.0f} s were the first-time preparation").format(
        seconds=entry.seconds, first=entry.first_time_s
    )
