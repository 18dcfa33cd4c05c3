"""The section Register: once more, the history of poses, and two of them side by side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np

from ...errors import InputError
from ...mrml import landmarks
from ...translation import _
from .. import assessment
from ..assessment import PoseComparison, compare_poses
from ..history import HistoryEntry, describe_method
from ..registering import REGRESSOR_STARTS, missing_inputs
from ..session import Session
from ..tasks import Task, ended
from .form import (
    CAUTION,
    ERROR,
    NETWORK,
    PLAIN,
    RENDERING,
    Button,
    Cell,
    Choice,
    Form,
    Option,
    Picture,
    Table,
    TableRow,
    Text,
    line,
    row,
)
from .geometry import GeometryPresenter
from .host import Host
from .section import CHECK, DONE, PROBLEM, READY, REJECT, RUNNING, TODO, Presenter, State


class RegisterPresenter(Presenter):
    """Begins a registration; goes back and forth in the history.

    Parameters
    ----------
    host
        See `Presenter`.
    geometry
        The table of the X-rays' geometry: a registration waits for what is typed there.
    """

    TITLE = _("Register")

    def __init__(self, host: Host, geometry: GeometryPresenter) -> None:
        self._geometry = geometry
        self.comparison = ComparisonPresenter(host)
        super().__init__(host)

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._ready = False
        self.comparison.reset()

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
            self.redo,
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
                lambda number, column: self.go(int(number)),
                columns=(_("Time"), _("Method"), _("Verdict"), _("Likely error"), _("Seconds")),
                lines=tuple(_line(number, entry) for number, entry in enumerate(history.entries)),
                selected="" if history.moved else str(history.position),
                tip=_("Click a pose to put the CT there."),
                enabled=not busy,
            ),
            *self.comparison.form(),
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
            needs=(RENDERING, *((NETWORK,) if self.registration.start in REGRESSOR_STARTS else ())),
        )

    def state(self) -> State:
        """Return how far this step is."""
        session = self.session
        if session.running_registration:
            return State(RUNNING)
        if session.ended == "failed":
            return State(PROBLEM, _("see above"))
        state = verdict_state(session)
        if state and session.sequence.frame is None:
            return state
        entry = session.history.current
        if entry is not None and entry.fingerprint and not session.stale_reason():
            return State(READY, _("registered, not assessed"))
        return State(TODO) if self.missing() else State(READY, session.preparing)

    def missing(self) -> str:
        """Return the steps missing before a registration can begin, or what was typed and is not taken, a sentence; "" for none."""
        return self._geometry.unfinished() or missing_inputs(self.session)

    def tick(self) -> bool:
        """Prepare the CT early, as overlays need that, too, and return whether it has become ready."""
        compared = self.comparison.tick()
        placed = any(view.placed for view in self.registration.used_xrays)
        if self.session.running_registration or self.registration.ct is None or not placed:
            return compared
        ready = self.session.prepare()
        changed = ready != self._ready
        self._ready = ready
        return changed or compared

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

    def redo(self) -> None:
        """Go to the pose after."""
        self._go(self.session.history.redo)

    def go(self, number: int) -> None:
        """Go to the pose of an entry, by its number."""
        self._go(lambda: self.session.history.go(number))

    def _go(self, step: Callable[[], object]) -> None:
        if not self.session.running:
            self.host.stop_moving()
            self.session.ended = self.session.message = ""
            step()


class ComparisonPresenter(Presenter):
    """Compares where the CT is now with another entry of the history."""

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._drawing: Task[PoseComparison] | None = None
        self._text = ""
        self._names = ("", "")
        self._pictures: list[tuple[str, np.ndarray, np.ndarray]] = []

    def form(self) -> Form:
        """Return the controls."""
        entries = self.session.history.entries
        options = [Option(str(number), _pose_name(entry)) for number, entry in enumerate(entries)]
        pictures: Form = []
        for n, (name, *pair) in enumerate(self._pictures):
            both = zip(self._names, pair, strict=True)
            drawn = (Picture(f"picture{n}{of}", f"{name}: {of}", rgb=rgb) for of, rgb in both)
            pictures.append(row(f"pictures{n}", *drawn))
        compare = Choice(
            "compare",
            _("Compare with"),
            self.compare,
            options=tuple(options),
            tip=_("Show where the CT is now and another pose of the history side by side."),
        )
        return [
            compare if len(options) > 1 else None,
            Text("compared", self._text),
            *pictures,
            Button("close", _("Close the comparison"), self.reset) if self._text else None,
        ]

    def tick(self) -> bool:
        """Take what was drawn; whether there is something new to show."""
        if not ended(self._drawing):
            return False
        drawing = self._drawing
        self._drawing = None
        if drawing.message:
            self._text = drawing.message
            return True
        found = drawing.result
        text = _(
            "The CT's centre is {mm:.2f} mm apart, and it is rotated by {degrees:.2f}°. Orange: "
            "edges of bone."
        )
        self._text = text.format(mm=found.mm, degrees=found.degrees)
        self._pictures = found.pictures
        return True

    def compare(self, number: str) -> None:
        """Compare with an entry, by its number."""
        entries = self.session.history.entries
        if not 0 <= int(number) < len(entries):
            raise InputError(
                _("Compare: this pose is not there, expected one of the history; choose another.")
            )
        other = entries[int(number)]
        work = compare_poses(
            self.session, HistoryEntry.now("now", self.registration.world_from_ct), other
        )
        self._drawing = Task(lambda on_progress: work())
        self._pictures = []
        self._text, self._names = _("Drawing..."), (_("now"), _pose_name(other))


def _pose_name(entry: HistoryEntry) -> str:
    return f"{describe_method(entry)}, {entry.time[11:19]}"


def verdict_state(session: Session) -> State | None:
    """Return the verdict on the pose as it is, also of a sequence's frame.

    None where there is none.
    """
    verdict = assessment.verdict(session)
    kinds = {"accept": DONE, "check": CHECK, "reject": REJECT}
    return State(kinds[verdict], assessment.summary(session)) if verdict else None


def _line(number: int, entry: HistoryEntry) -> TableRow:
    """Return a pose of the history."""
    when = datetime.fromisoformat(entry.time)
    why = "\n".join(entry.reasons)
    verdict = entry.verdict or ""
    return line(
        str(number),
        Cell(when.strftime("%H:%M:%S"), when.strftime("%Y-%m-%d %H:%M:%S")),
        Cell(describe_method(entry), _began_with(entry)),
        Cell(verdict, why, {"check": CAUTION, "reject": ERROR}.get(verdict, PLAIN)),
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
