"""The section Start: where the registration begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ...errors import InputError
from ...geometry.c_arm import DEG
from ...io.case_settings import DEFAULT_SEARCH
from ...io.recognise import POSE
from ...mrml import manual_pose
from ...mrml.bones import choose_bone
from ...mrml.case import search_of, searches_whole_ct
from ...mrml.nodes import has_voxels
from ...rendering.devices import AUTO, CPU, ComputeDevice, present_devices
from ...translation import _
from ..history import METHODS
from ..registering import REGRESSOR_STARTS, SEARCH_STARTS, is_outside, missing_at_start
from ..tasks import BackgroundValue
from .form import Button, Choice, Files, Form, Option, TextField, group, quiet, row
from .host import Host, can_move_by_hand
from .landmarks import LandmarksPresenter
from .number import Number
from .regressor import RegressorPresenter
from .section import Presenter, State

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
