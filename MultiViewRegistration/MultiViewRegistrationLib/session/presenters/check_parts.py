"""Bones and points in the step Check.

How each bone with a pose of its own lies, how two lie to each other, and what is done with one.
Points that must agree: the linked cursor, and distances between markups.
"""

from __future__ import annotations

from functools import partial
from time import monotonic

from ...assessment.joint_motion import in_words
from ...assessment.records import WRONG_MM
from ...errors import InputError
from ...mrml import ct_3d as scene_bones
from ...mrml.cursor import CURSOR, LinkedCursor
from ...mrml.landmarks import Distance, distances, place_line
from ...mrml.layout import css
from ...mrml.nodes import is_placing, place, stop_placing
from ...mrml.structures import MISFIT_COLOUR, TESTED_COLOUR
from ...mrml.xray import XRayView, detectors
from ...report.messages import in_mm
from ...translation import _
from ..bones import CT_AXES, BonePair, BoneState
from ..registering import register_bones
from .form import (
    TONES,
    Button,
    Cell,
    Choice,
    Control,
    Form,
    Option,
    Table,
    TableRow,
    Text,
    choose_among,
    group,
    line,
    quiet,
    row,
)
from .section import Presenter, node_options


class JointMotionPresenter(Presenter):
    """How two bones lie to each other: which, in which frame, six numbers and words."""

    def form(self) -> Form:
        """Return the controls."""
        bones = self.session.bones
        names = [each.name for each in bones.states() if each.own]
        if len(names) < 2:
            return []
        options = choose_among((name, name) for name in names)
        pair = bones.pair
        lists = bones.frames()
        principal = _("principal axes of {name}").format(name=pair.fixed or _("the bone"))
        first, *points = node_options(principal, lists)
        frames = (first, Option(CT_AXES, _("the axes of the CT")), *points)
        return [
            group(
                "motion_of_bones",
                self._title(pair),
                *(
                    Choice(
                        f"pair_{key}",
                        title,
                        partial(self._choose, key),
                        value=getattr(pair, key),
                        options=choices,
                        tip=tip,
                    )
                    for key, title, choices, tip in (
                        ("moving", _("Moving"), options, _("The upper vertebra, or the far bone.")),
                        ("fixed", _("Against"), options, _("The bone that counts as fixed.")),
                        (
                            "frame",
                            _("Along"),
                            frames,
                            _(
                                "A list of three points can be a frame: the origin, one along the "
                                "first axis, one to the side of the second. With a CT for each "
                                "bone, one under the moving bone's transform gives its axes."
                            ),
                        ),
                    )
                ),
                *self._numbers(),
                open=bool(pair.fixed and pair.moving),
            )
        ]

    def _title(self, pair: BonePair) -> str:
        if not (pair.fixed and pair.moving):
            return _("Motion of two bones")
        return _("Motion of {moving} against {fixed}").format(moving=pair.moving, fixed=pair.fixed)

    def _numbers(self) -> Form:
        pair = self.session.bones.pair
        try:
            motion = self.session.bones.motion()
        except InputError as error:
            return [Text("motion_problem", str(error), tone="error")]
        if motion is None:
            return []
        by_points = pair.frame not in ("", CT_AXES)
        axes = ("1", "2", "3") if by_points else (_("to the left"), _("to the back"), _("up"))
        rows = zip(axes, *motion.in_words(2), strict=True)
        title = _("{moving} against {fixed}, since the CT.")
        words = [] if by_points else in_words(motion, pair.moving)
        if pair.moving in self.registration.apart:  # no CT says how it lay before
            title = _("The axes and the middle of {moving}, from those of {fixed}.")
            words = []
        title = title.format(moving=pair.moving, fixed=pair.fixed)
        return [
            Text("motion_now", " ".join([title, ", ".join(words)]), tone="strong"),
            Table(
                "six",
                _("Six numbers"),
                columns=(_("Axis"), _("Turn (\u00b0)"), _("Shift (mm)")),
                lines=tuple(line(axis, axis, turn, shift) for axis, turn, shift in rows),
            ),
        ]

    def _choose(self, key: str, value: str) -> None:
        bones = self.session.bones
        bones.pair = bones.pair._replace(**{key: value})


class BonesPresenter(Presenter):
    """The part of the step Check that shows each bone, moves it and registers it again."""

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._shown: tuple = ()

    @property
    def changing(self) -> bool:
        """Whether what it shows is not what there is."""
        return self.host.session is not None and self._stamp() != self._shown

    @property
    def _moves_bone(self) -> bool:
        """Whether a hand moves the chosen bone now, and not the whole CT."""
        return self.host.hand.on and self.session.bones.moving is not None

    def _stamp(self) -> tuple:
        bones = self.session.bones
        return *bones.states(), bones.chosen, self._moves_bone, bones.outlined, *bones.marks

    def form(self) -> Form:
        """Return the controls."""
        self._shown = self._stamp()
        bones = self.session.bones
        busy = self.session.running
        states = bones.states()
        chosen = bones.chosen
        if not states:
            return [Text("outlines", self._outlines())]
        beside = scene_bones.beside_targets(self.registration)
        apart = self.registration.bone_cts
        separate = any(each.own for each in states)
        return [
            Table(
                "bones",
                _("Bones"),
                lambda name, column: self.choose(name),
                columns=(
                    _("Bone"),
                    _("Verdict"),
                    _("Expected error"),
                    *([] if apart else [_("Against the CT")]),
                ),
                lines=tuple(
                    _line(each, each.name not in beside, motion=not apart) for each in states
                ),
                selected=chosen,
                switch=partial(scene_bones.set_target, self.registration),
                tip=_(
                    "Click a bone to see it in all views, and to move it. Ticked: a target, of "
                    "which the answer speaks."
                ),
            ),
            Text("outlines", self._outlines()),
            quiet("chosen", self._of_chosen(chosen)),
            row(
                "acts",
                Button(
                    "each",
                    _("Each by itself"),
                    self.register_each,
                    enabled=not busy,
                    needs=("rendering",),
                    tip=_("Register each bone from where it is now. The whole CT stays."),
                ),
                Button(
                    "one_body",
                    _("As one body"),
                    bones.join,
                    enabled=separate and not busy,
                    tip=_("Put all bones back where the pose of the whole CT has them."),
                )
                if not apart
                else None,
            ),
            self._acts_on_chosen(chosen, busy, separate) if chosen else None,
            *JointMotionPresenter(self.host).form(),
        ]

    def _acts_on_chosen(self, chosen: str, busy: bool, separate: bool) -> Control:
        return row(
            "acts_on_chosen",
            Button(
                "move_bone",
                _("Move this bone"),
                self.move,
                enabled=not busy,
                on=self._moves_bone,
                tip=_("Give the chosen bone a pose of its own, and move it by hand."),
            ),
            Button(
                "put_back",
                _("Put this bone back"),
                partial(self.put_back, chosen),
                enabled=separate and not busy,
                tip=_("Put the chosen bone back to where it was registered last."),
            ),
        )

    def _outlines(self) -> str:
        """Return what is outlined, a sentence; "" for nothing."""
        bones = self.session.bones
        said = []
        if bones.outlined:
            said.append(
                _(
                    "Outlines: each bone where the X-rays show it, in its colour; red where it is "
                    "most likely wrong."
                )
            )
        if MISFIT_COLOUR in bones.marks:
            said.append(_("Red crosses: bone is displaced."))
        if TESTED_COLOUR in bones.marks:
            said.append(
                _("Blue crosses: a {mm:g} mm displacement would be visible there.").format(
                    mm=WRONG_MM
                )
            )
        if bones.rings:
            said.append(
                _(
                    "Rings: targets to scale (95 % bound); green in place, red displaced, grey not "
                    "tested."
                )
            )
        return " ".join(said)

    def _of_chosen(self, chosen: str) -> str:
        """Return why the chosen bone has its verdict, and how it is moved, sentences."""
        if not chosen:
            return ""
        state = next(each for each in self.session.bones.states() if each.name == chosen)
        said = list(state.reasons)
        if self._moves_bone:
            hint = _("By hand {name} is moved now; click it again to move the whole CT.")
            if state.mm is None:
                hint = _("By hand {name} is moved now.")
            said.append(hint.format(name=chosen))
        return " ".join(said)

    # What a person does

    def choose(self, name: str) -> None:
        """Choose a bone and show it in all views; once more chooses none."""
        name = "" if name == self.session.bones.chosen else name
        scene_bones.choose_bone(self.registration, name)
        self.host.views.show_bone(self.session.bones.extent(name) if name else None)

    def register_each(self) -> None:
        """Begin to register each bone from where it is."""
        self.host.stop_moving()
        if not self.registration.registers_each:
            self.session.register("given")
        else:
            register_bones(self.session)

    def move(self) -> None:
        """Have the chosen bone lie by itself, so that a hand moves it; or end that."""
        if self._moves_bone:
            self.host.hand.exit()
            return
        self.host.stop_moving()
        self.session.history.note_here()
        self.session.bones.separate()
        self.session.history.note("by hand")
        if not self.host.hand.on:
            self.host.hand.toggle()

    def put_back(self, name: str) -> None:
        """Put a bone back to where it was registered last."""
        self.host.stop_moving()
        self.session.bones.put_back(name)


def _line(state: BoneState, is_target: bool, *, motion: bool) -> TableRow:
    """Return the row of a bone, with its motion against the CT or without."""
    error = "" if state.error_mm is None else in_mm(state.error_mm)
    against = ""
    if state.own and state.mm is not None:
        against = _("{mm:.1f} mm, {degrees:.1f}\u00b0").format(mm=state.mm, degrees=state.degrees)
    verdict = state.verdict_in_words or (_("not registered") if state.own else _("with the CT"))
    judged = Cell(verdict, " ".join(state.reasons), TONES.get(state.verdict or "", ""))
    cells: list[Cell | str] = [state.name, judged, error, *([against] if motion else [])]
    return line(state.name, *cells, on=is_target, colour=css(state.colour))


#: Seconds between two looks at the markups.
MEASURE_S = 0.3


class CursorPresenter(Presenter):
    """The linked cursor: a point in any view shows in all.

    It is a line in the other X-rays, and with a second X-ray a point in the CT.

    Attributes
    ----------
    shown
        The cursor in the scene; None without a registration.
    """

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self.shown = LinkedCursor(self.registration) if self.host.registration is not None else None
        self._moved = False
        self._placing = False
        self._measured = 0.0
        self._distances: list[tuple[str, str]] = []

    @property
    def _cursor(self) -> LinkedCursor:
        assert self.shown is not None
        return self.shown

    @property
    def placing(self) -> bool:
        """Whether a click in a view places the point."""
        points = self.host.registration and self.registration.node.GetNodeReference(CURSOR)
        return points is not None and is_placing(points)

    def form(self) -> Form:
        """Return the controls."""
        lines = self._lines()
        in_slicer = self.in_slicer
        measured = tuple(line(str(n), *each) for n, each in enumerate(self._distances))
        return [
            group(
                "points",
                _("Linked cursor"),
                quiet(
                    "cursor",
                    " ".join(lines) or _("A point clicked in an X-ray is a line in the others."),
                ),
                row(
                    "place",
                    Button(
                        "place_cursor",
                        _("Click a point") if in_slicer else _("Click in the slices"),
                        self.place,
                        on=self.placing,
                        tip=_(
                            "Click a point in an X-ray: its epipolar line shows in the others, and "
                            "a second click there finds the point in the CT. A point clicked in "
                            "the CT or in 3D shows in all X-rays."
                        ),
                    ),
                    Button(
                        "clear_cursor",
                        _("Clear"),
                        self.clear,
                        enabled=bool(lines),
                        tip=_("Take the point away."),
                    ),
                ),
            ),
            group(
                "measure",
                _("Distances"),
                Table("distances", columns=(_("Between"), _("Distance")), lines=measured)
                if measured
                else None,
                Button(
                    "line",
                    _("Measure a distance"),
                    self.place_line,
                    tip=_("Place a markups line with two clicks."),
                ),
                open=False,
            ),
        ]

    def _lines(self) -> list[str]:
        """Return the reading of the cursor, a sentence each."""
        reading = self._cursor.reading
        ct_ras = self._cursor.ct_ras
        lines = []
        if ct_ras is not None:
            r, a, s = ct_ras
            lines.append(
                _("In the CT at R {r:.1f}, A {a:.1f}, S {s:.1f} mm.").format(r=r, a=a, s=s)
            )
            if reading.residual_mm is not None:
                missed = _("The rays miss it by up to {mm:.1f} mm, {px:.1f} pixels.")
                lines.append(missed.format(mm=reading.residual_mm, px=reading.residual_px))
        elif len(reading.seen) == 1:
            lines.append(_("Click the same point in another X-ray, on the line."))
        return [*lines, *filter(None, [reading.warning])]

    def update_views(self) -> None:
        """Keep true what the views show."""
        self._moved |= self._cursor.update()

    def tick(self) -> bool:
        """Look at the markups, and return whether there is something new to show."""
        # ended by Escape, or by another tool
        placing = self._placing
        self._placing = self.placing
        changed = self._moved or placing != self._placing
        self._moved = False
        if monotonic() - self._measured > MEASURE_S:
            self._measured = monotonic()
            before = self._distances
            found = distances(self.registration) if self.registration.ct is not None else ()
            self._distances = [(distance.name, _length(distance)) for distance in found]
            changed |= self._distances != before
        return changed

    # What a person does

    def place(self) -> None:
        """Have clicks in the views place the point, or end that."""
        if self.placing:
            self.stop()
            return
        self._show_slices()
        place(self._cursor.points)

    def stop(self) -> None:
        """Give clicks back their usual meaning."""
        if self.placing and self.registration.scene is not None:
            stop_placing(self.registration.scene)

    def put(self, view: XRayView, column: float, row: float) -> None:
        """Place the point on a pixel of an X-ray."""
        for detector in detectors(self.registration):
            if detector.view == view:
                self._cursor.points.AddControlPoint(*map(float, detector.on_plane([column, row])))
        self.update_views()

    def clear(self) -> None:
        """Take the point away."""
        if self.shown is not None:
            self.shown.clear()

    def place_line(self) -> None:
        """Have two clicks in a view place a line to measure."""
        self._show_slices()
        place_line(self.registration.scene, _("Distance"))

    def _show_slices(self) -> None:
        if (
            not self.in_slicer
        ):  # where a click in an X-ray places the point at any time, and nothing else
            self.host.views.show_ct_slices()


def _length(distance: Distance) -> str:
    if distance.at_ct_mm is None:
        return _("{mm:.1f} mm").format(mm=distance.mm)
    return _("{ct:.1f} mm at the CT's depth ({mm:.1f} mm on the detector)").format(
        ct=distance.at_ct_mm, mm=distance.mm
    )
