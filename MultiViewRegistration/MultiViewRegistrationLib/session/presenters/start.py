"""The sections Start, where the registration begins, and Register: once more, and the history of poses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import numpy as np

from ...errors import InputError
from ...finding import REGRESSOR_STARTS, SEARCH_STARTS
from ...geometry.machines import DEG
from ...io.case_settings import DEFAULT_SEARCH
from ...io.recognise import POSE
from ...mrml import landmarks, manual_pose
from ...mrml.case import search_of, searches_whole_ct
from ...mrml.ct_3d import choose_bone
from ...mrml.nodes import has_voxels
from ...rendering.devices import AUTO, CPU, ComputeDevice, present_devices
from ...report import messages
from ...translation import _
from .. import assessment
from ..history import METHODS, HistoryEntry, describe_method
from ..registering import (
    is_outside,
    missing_at_start,
    missing_inputs,
)
from ..session import Session
from ..tasks import BackgroundValue
from .form import (
    TONES,
    Button,
    Cell,
    Choice,
    Files,
    Form,
    Option,
    Table,
    TableRow,
    Text,
    TextField,
    group,
    line,
    quiet,
    row,
)
from .number import Number
from .section import Host, Kind, Presenter, State, can_move_by_hand
from .start_parts import LandmarksPresenter, RegressorPresenter


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
        """Return the first error in the geometries, or the steps missing before a registration, a sentence; "" for none."""
        error = self.host.presenters.xrays.geometry.first_error()
        return error or missing_inputs(self.session)

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
    kinds: dict[str, Kind] = {"accept": "done", "check": "check", "reject": "reject"}
    kind = kinds.get(assessment.overall_verdict(session))
    return State(kind, assessment.summary(session)) if kind else None


def _line(number: int, entry: HistoryEntry) -> TableRow:
    """Return a pose of the history."""
    when = datetime.fromisoformat(entry.time)
    why = "\n".join(messages.sentences(entry.findings))
    verdict = entry.verdict or ""
    return line(
        str(number),
        Cell(when.strftime("%H:%M:%S"), when.strftime("%Y-%m-%d %H:%M:%S")),
        Cell(describe_method(entry), _began_with(entry)),
        Cell(verdict, why, TONES.get(verdict, "")),
        Cell(assessment.expected_error(entry) if verdict else "", _summary(entry)),
        "" if entry.seconds is None else f"{entry.seconds:.1f}",
    )


def _summary(entry: HistoryEntry) -> str:
    return messages.summary(entry.assessment) if entry.assessment else ""


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


#: Ranges of a search, degrees and mm; the last one takes some ten seconds.
RANGES = {
    _("Known well (5°, 15 mm)"): (5, 15),
    _("As usual (15°, 45 mm)"): (15, 45),
    _("Poorly known (45°, 100 mm)"): (45, 100),
    _("Anywhere (90°, 150 mm)"): (90, 150),
}
WHOLE = _("The whole CT")
CUSTOM = _("Custom")
#: How far a search goes, by the parameter that keeps it.
RANGE_NUMBERS = {
    "rotation_deg": Number(_("Rotation"), 1, 180, DEG),
    "translation_mm": Number(_("Translation"), 1, 500, " mm"),
}
POSE_SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".npy", ".json")
#: The switch for moving the CT by hand.
MOVE = _("Move the CT")
#: Starts that go from where the CT is.
PLACED = ("given", "search", "by hand")
#: The starts as they are offered: at once, and below More.
COMMON = ("search", "given", "landmarks")
MORE = ("by hand", "regressor", "auto")
TIPS = {
    "search": _("Find the CT in the X-rays."),
    "given": _("Begin exactly where the CT is now."),
    "landmarks": _("Begin where points that are seen in the CT and in the X-rays agree."),
    "by hand": _("Move the CT to about where it belongs."),
    "regressor": _("Begin where a network that was trained for this CT sees it in the X-rays."),
    "auto": _(
        "Begin where the regressor sees the CT, in all X-rays together and in each alone, and "
        "where a small search finds it. The best end wins."
    ),
}
UNTRAINED = _("There is no regressor for this CT yet: train one below.")
HINTS = {
    "given": _("The registration begins where the CT is now."),
    "by hand": _("Move the CT; the registration begins where it is then."),
    "search": _("The search goes from where the CT is now."),
    "regressor": _("The regressor finds the pose; where the CT is now does not matter."),
    "auto": _(
        "The regressor proposes poses, a small search adds others, and the best result wins."
    ),
}


WHOLE_HINT = _(
    "The search goes through the whole CT, head first or feet first; where it is now does not "
    "matter."
)


class StartPresenter(Presenter):
    """The choice of the start and its settings: search range, CT pose, landmarks.

    Below that the networks of the CT.
    """

    TITLE = _("Start")

    def __init__(self, host: Host) -> None:
        self.regressor = RegressorPresenter(host)
        self.landmarks = LandmarksPresenter(host)
        super().__init__(host)

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._seen = b""
        self._found = BackgroundValue()
        self.regressor.reset()
        self.landmarks.reset()

    @property
    def changing(self) -> bool:
        """Whether what it shows changes by itself now."""
        return self.session.regressors.is_training

    def exit(self) -> None:
        """End what only makes sense while the host is seen."""
        self.landmarks.stop()
        self.host.hand.exit()

    @property
    def start(self) -> str:
        """One of `registering.STARTS`."""
        return self.registration.start

    # The form

    def form(self) -> Form:
        """Return the controls."""
        start = self.start
        controls: Form = [self._choice("start", COMMON), quiet("hint", self._hint())]
        there = has_voxels(self.registration.ct)
        if start == "landmarks":
            controls += self.landmarks.form()
        elif there:
            controls.append(
                Button(
                    "centre",
                    _("Centre the CT in the X-rays"),
                    self.centre,
                    enabled=not self.session.running,
                    tip=_("Put the CT's middle where the central rays meet."),
                )
            )
        more: Form = [self._choice("other_start", MORE)]
        if start in SEARCH_STARTS:
            more += self._range()
        if start == "by hand":
            more += [move_button(self.host), quiet("keys", self.host.hand.keys())]
        if there:
            more += self._place()
        more += [*self._device(), *self.regressor.form()]
        return [*controls, group("more", _("More"), *more, open=start in MORE)]

    def _choice(self, key: str, names: tuple[str, ...]) -> Choice:
        learned = self.session.regressors.model is not None
        lacking = () if learned else REGRESSOR_STARTS
        tips = {**TIPS, **dict.fromkeys(lacking, UNTRAINED)}
        return Choice(
            key,
            "",
            partial(self.registration.node.SetParameter, "start"),
            value=self.start,
            options=tuple(Option(name, METHODS[name], tips[name]) for name in names),
            spread=True,
            refused=tuple(name for name in names if name in lacking and name != self.start),
        )

    def _range(self) -> Form:
        whole = self._whole()
        if whole and not self.session.placed:  # about where it is, a search would begin anywhere
            return []
        search = self._search()
        known = (name for name, known in RANGES.items() if known == tuple(search.values()))
        chosen = WHOLE if whole else next(known, CUSTOM)
        first = [WHOLE] if self.start == "search" and not self.registration.segment_id else []
        names = [*first, *RANGES, *([] if whole else [CUSTOM])]
        options = tuple(Option(name, name) for name in names)
        choice = Choice("range", _("How far"), self.choose_range, value=chosen, options=options)
        fields = [
            TextField(
                key,
                number.name,
                partial(self.type_range, key),
                text=number.write_bare(search[key]),
                number=number,
                of=f"{self.registration.node.GetID()} {chosen}",
            )
            for key, number in RANGE_NUMBERS.items()
        ]
        return [choice] if whole else [choice, row("ranges", *fields)]

    def _device(self) -> Form:
        """Return the choice of the device, and what is known of one that was chosen."""
        device = self.registration.device
        card = _("Graphics card {name}")
        titles = {AUTO: _("Automatic"), CPU: _("Processor")}
        names = dict.fromkeys([AUTO, *present_devices(), device])
        choice = Choice(
            "device",
            _("Compute on"),
            partial(self.registration.node.SetParameter, "device"),
            value=device,
            options=tuple(Option(name, titles.get(name, card.format(name=name))) for name in names),
            tip=_("Automatic takes a graphics card where that is faster, else the processor."),
        )
        found = self._found.value
        if found is None or found.requested != device:
            return [choice]
        said = found.fallback_message or found.display_name
        return [choice, quiet("device_text", said)]

    def _place(self) -> Form:
        controls: Form = []
        transforms = manual_pose.other_transforms(self.registration)
        if transforms:
            copy = Choice(
                "copy",
                _("Copy a transform"),
                self.copy,
                options=tuple(Option(node.GetID(), node.GetName()) for node in transforms),
                enabled=not self.session.running,
                tip=_(
                    "Move the CT to where this transform puts things; the transform itself stays "
                    "as it is."
                ),
            )
            controls.append(copy)
        if self.start in PLACED:
            from_file = Files(
                "pose_file",
                _("A pose from a file..."),
                partial(self.host.take_files, preferred=POSE),
                hint=_("an ITK or Slicer transform, a 4\u00d74 matrix"),
                suffixes=POSE_SUFFIXES,
            )
            controls.append(from_file)
        return controls

    def state(self) -> State:
        """Return how far this step is."""
        session = self.session
        start = self.start
        if session.regressors.is_training:
            return State("running", self.regressor.state_of_training())
        if self.registration.ct is None or not any(view.used for view in self.registration.xrays):
            return State("todo")
        if missing_at_start(session, start):
            few = start == "landmarks"
            return (
                State("todo", _("landmarks are missing"))
                if few
                else State("problem", _("see below"))
            )
        if self._whole():
            return State("ready", _("{name}, the whole CT").format(name=METHODS[start]))
        text = METHODS[start]
        if start == "search":
            text = _("{name}, {rotation_deg:g}° and {translation_mm:g} mm")
            text = text.format(name=METHODS[start], **self._search())
        return State("ready", text)

    def tick(self) -> bool:
        """Return whether the CT has stopped elsewhere, where other X-rays may show it."""
        changed = self.landmarks.tick() | self.session.regressors.update()
        device = self.registration.device
        if device not in (AUTO, CPU):
            changed |= self._found.update(device, lambda: partial(ComputeDevice, device))
        if self.session.running:
            self.host.hand.exit()
        changed |= self.host.hand.step()
        pose = self.registration.world_from_ct.tobytes()
        if (
            pose == self._seen
            or self.session.running_registration is not None
            or not self.session.drawing.at_rest
        ):
            return changed
        self._seen = pose
        return True

    def _search(self) -> dict[str, float]:
        return search_of(self.registration) or DEFAULT_SEARCH

    def _whole(self) -> bool:
        """Return whether the start is a search through all of the CT."""
        return self.start == "search" and searches_whole_ct(self.registration)

    def _hint(self) -> str:
        if self.start == "landmarks":  # shown below their table
            return ""
        if missing := missing_at_start(self.session, self.start):
            return missing
        whole = self._whole()
        placed = self.start in PLACED and not whole
        if blind := manual_pose.xrays_without_ct(self.registration) if placed else []:
            if is_outside(self.registration, self.start):
                return _(
                    "The CT lies outside all X-rays: Register centres it in them first, and searches."
                )
            hint = _("Where the CT is now, {names} does not show it.")
            return hint.format(names=", ".join(blind))
        hint = WHOLE_HINT if whole else HINTS[self.start]
        if self.start == "search" and self.session.regressors.model is not None:
            hint += " " + _("Automatic uses the regressor of this CT, too.")
        return hint

    # What a person does

    def choose_range(self, name: str) -> None:
        """Search so far, a name in RANGES or WHOLE."""
        chosen = ("", "") if name == WHOLE else RANGES.get(name, ())
        for key, value in zip(DEFAULT_SEARCH, chosen, strict=False):
            self.registration.node.SetParameter(key, str(value))

    def type_range(self, key: str, text: str) -> None:
        """Search so far in degrees or mm, by a key of RANGE_NUMBERS.

        Raises
        ------
        InputError
            For invalid text.
        """
        self.registration.node.SetParameter(key, str(RANGE_NUMBERS[key].read(text)))

    def centre(self) -> None:
        """Put the CT's middle where the central rays meet."""
        self._refuse_meanwhile()
        self.session.centre()

    def copy(self, node_id: str) -> None:
        """Put the CT where a transform puts things, by the ID of its node."""
        node = self.registration.scene.GetNodeByID(node_id)
        self._move("transform", lambda: manual_pose.copy_pose(self.registration, node))

    def place_at(self, world_from_ct: np.ndarray) -> None:
        """Put the CT at a pose (4, 4), LPS."""

        def move() -> None:
            self.registration.world_from_ct = world_from_ct

        self._move("transform", move)

    def _move(self, how: str, move: Callable) -> None:
        """Move the CT so that it can be undone."""
        self._refuse_meanwhile()
        history = self.session.history
        history.note_here()
        move()
        history.note(how)

    def _refuse_meanwhile(self) -> None:
        if self.session.running:
            raise InputError(_("Start: wait until the current task has finished, or cancel it."))


def move_button(host: Host) -> Button:
    """Return the switch for moving the CT by hand."""
    by_bone = host.session is not None and host.session.bones.moving is not None
    return Button(
        "move",
        MOVE,
        partial(move_ct, host),
        on=host.hand.on and not by_bone,
        enabled=can_move_by_hand(host),
        needs=("rendering",),
        tip=_("Until it is pressed again, drags and keys in the X-rays move the CT."),
    )


def move_ct(host: Host) -> None:
    """Begin or end moving the whole CT by hand; the bone that a hand would move instead is chosen no more."""
    if host.session is not None and host.session.bones.moving is not None:
        host.hand.exit()
        choose_bone(host.session.registration, "")
    host.hand.toggle()
