"""Bones that get a pose of their own: which they are, how each lies, and what is done with one."""

from __future__ import annotations

from functools import partial
from itertools import starmap
from typing import Any, NamedTuple

from ...assessment.joint_motion import in_words
from ...errors import InputError
from ...imaging.segment_names import PELVIS_AND_FEMURS, VERTEBRAE, is_bone
from ...mrml import bones as scene_bones
from ...mrml.anatomy import NUMBERED, name_by_number, of_group, terminology_of
from ...mrml.layout import css
from ...mrml.nodes import segmentations_of_ct, segments_of
from ...mrml.registration import UNIT
from ...translation import _
from ..bones import CT_AXES, BonePair, BoneState
from .form import (
    ERROR,
    PLAIN,
    QUIET,
    RENDERING,
    STRONG,
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
    TextField,
    choose_among,
    group,
    line,
    row,
)
from .host import Host, Segmenter
from .section import Presenter, node_options, progress_bar

#: Groups of bones that are chosen at one click, by the key of their button.
GROUPS = {"vertebrae": _("All vertebrae"), "pelvis": _("Pelvis and femurs")}
OF_GROUP = {"vertebrae": VERTEBRAE, "pelvis": PELVIS_AND_FEMURS}
#: Segments that are listed, and chosen at once, without further ado: a table shows 8 without scrolling.
FEW = 12
#: Bones that are named in a sentence.
MAX_NAMED = 6
#: The lists of many segments.
IN_XRAYS = "in_xrays"
BONES = "bones"
ALL = "all"
LISTS = {
    IN_XRAYS: _("bones that an X-ray shows ({count})"),
    BONES: _("all bones ({count})"),
    ALL: _("all labels ({count})"),
}


class SegmentRow(NamedTuple):
    """A segment in the list.

    Attributes
    ----------
    id
        Of the segment.
    colour
        CSS.
    bone
        Whether it is one, by name or code.
    """

    id: str
    name: str
    colour: str
    bone: bool


class BoneChoicePresenter(Presenter):
    """The part of the step CT in which bones are chosen among the segments of a segmentation."""

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._shown: tuple = ()
        self._listed = IN_XRAYS
        self._sought = ""

    @property
    def segmenter(self) -> Segmenter | None:
        """TotalSegmentator, where it is installed."""
        tools = self.host.slicer_tools
        return tools.segmenter if tools is not None and tools.segmenter.installed else None

    def tick(self) -> bool:
        """Return whether TotalSegmentator has gone on."""
        segmenter = self.segmenter
        return segmenter is not None and (segmenter.running, segmenter.said) != self._shown

    def _segmenting(self) -> Form:
        """Return the controls of TotalSegmentator; none without it."""
        segmenter = self.segmenter
        if segmenter is None:
            return []
        self._shown = segmenter.running, segmenter.said
        tip = _("Have the extension TotalSegmentator find the bones of this CT.")
        return [
            row(
                "segmenting",
                Button(
                    "total_segmentator",
                    _("TotalSegmentator"),
                    self.segment,
                    enabled=not segmenter.running,
                    tip=tip,
                ),
                Button("stop_segmenting", _("Cancel"), segmenter.cancel)
                if segmenter.running
                else None,
            ),
            progress_bar("segmented", None, segmenter.said or _("segmenting"))
            if segmenter.running
            else None,
        ]

    def form(self) -> Form:
        """Return the controls."""
        registration = self.registration
        segmentations = self._segmentations()
        buttons = [
            Button(
                key,
                title,
                partial(self.choose_group, key),
                tip=_(
                    "Register the whole CT, then each of these bones that an X-ray shows to a pose "
                    "of its own."
                ),
            )
            for key, title in GROUPS.items()
            if any(of_group(node, OF_GROUP[key]) for node in segmentations)
        ]
        alone = registration.bone_cts  # the first of which stands for the CT
        said = _("Bones with a CT each: {names}.").format(names=", ".join(alone))
        beside = list(registration.apart.items())[bool(alone) :]
        return [
            Text("apart", said if alone else ""),
            *starmap(self._beside, beside),
            *self._segmenting(),
            row("groups", *buttons),
            *(self._list() if registration.registers_each else []),
        ]

    def _beside(self, name: str, volume: Any) -> Control:
        """Return an implant, or a bone with a CT of its own, and the button that removes it."""
        return row(
            f"beside.{name}",
            Text(f"name.{name}", f"{name}: {volume.GetAttribute(UNIT)}"),
            Button(
                f"remove.{name}",
                _("Remove {name}").format(name=name),
                partial(self.remove, name),
                icon="remove",
                enabled=not self.session.running,
            ),
        )

    def _list(self) -> Form:
        """Return the list of the segments, and what narrows a long one down."""
        lists = self._lists()
        listed = self._listed if self._listed in lists else next(iter(lists))
        rows = lists[listed]
        if self._sought:
            rows = [each for each in self._segments if _is_meant(each, self._sought)]
        few = len(self._segments) <= FEW
        chosen = self.registration.chosen_segments
        return [
            *self._numbered(),
            None
            if few
            else Choice(
                "listed",
                _("List"),
                self._show_list,
                value=listed,
                options=tuple(
                    Option(key, LISTS[key].format(count=len(each))) for key, each in lists.items()
                ),
            ),
            None
            if few
            else TextField(
                "sought",
                _("Search all {count}").format(count=len(self._segments)),
                self._seek,
                text=self._sought,
                hint=_("L3, left hip"),
            ),
            Text("chosen_bones", "" if few else self._of_chosen(chosen), tone=STRONG),
            Table(
                "bones",
                _("Each to a pose of its own"),
                columns=(_("Bone"),),
                lines=tuple(
                    line(each.id, each.name, on=each.id in chosen, colour=each.colour)
                    for each in rows
                ),
                switch=self.choose,
                tip=_("The bones that are registered after the whole CT, each by itself."),
            )
            if rows
            else None,
            Text("none_found", "" if rows else _("No label has such a name."), tone=QUIET),
            row(
                "listed_bones",
                *(
                    Button(
                        f"listed_{title}",
                        title,
                        partial(self._choose_listed, [each.id for each in rows], on),
                    )
                    for title, on in ((_("All"), True), (_("None"), False))
                    if len(rows) > 1
                ),
            ),
        ]

    def _numbered(self) -> Form:
        """Return the question whether names are right that a file does not state; none of others."""
        if self.registration.segmentation.GetAttribute(NUMBERED) is None:
            return []
        said = _(
            "{name} numbers its labels without names, and they lie as TotalSegmentator (version 2) "
            "numbers them. Are these its names?"
        )
        return [
            Text("numbered", said.format(name=self.registration.segmentation.GetName())),
            row(
                "numbering",
                Button("names_right", _("Yes"), self.keep_names),
                Button("names_wrong", _("No, show the numbers"), self.drop_names),
            ),
        ]

    @property
    def _segments(self) -> list[SegmentRow]:
        """All segments of the chosen segmentation; of many the bones come first."""
        rows = [
            SegmentRow(
                segment_id,
                segment.GetName(),
                css(segment.GetColor()),
                is_bone(segment.GetName(), terminology_of(segment)),
            )
            for segment_id, segment in segments_of(self.registration.segmentation).items()
        ]
        return rows if len(rows) <= FEW else sorted(rows, key=lambda each: not each.bone)

    def _lists(self) -> dict[str, list[SegmentRow]]:
        """Return the lists of segments that there are, by the keys of LISTS, the shortest first."""
        every = self._segments
        bones = [each for each in every if each.bone]
        lists = {ALL: every}
        if len(every) > FEW and bones:
            lists = {BONES: bones, ALL: every}
            shown = self.session.bones.segments_in_xrays()
            if shown is not None:
                lists = {IN_XRAYS: [each for each in bones if each.id in shown], **lists}
        return lists

    def _of_chosen(self, chosen: list[str]) -> str:
        """Return which are chosen, a sentence."""
        names = [each.name for each in self._segments if each.id in chosen]
        if not names:
            return _(
                "The whole CT alone is registered: tick the bones that may have moved, and their "
                "neighbours."
            )
        more = len(names) - MAX_NAMED
        listed = ", ".join(names[:MAX_NAMED])
        if more > 0:
            listed = _("{names} and {count} more").format(names=listed, count=more)
        return _("Chosen: {names}.").format(names=listed)

    def _segmentations(self) -> list[Any]:
        """Return the segmentations that are no masks of X-rays, the chosen one first."""
        found = segmentations_of_ct(self.registration.scene)
        return sorted(found, key=lambda node: node is not self.registration.segmentation)

    @property
    def possible(self) -> bool:
        """Whether there is a segmentation to choose bones of."""
        return bool(self._segmentations())

    # What a person does

    def choose_any(self) -> None:
        """Choose bones, where none are."""
        registration = self.registration
        if not registration.registers_each:
            registration.choose_segment(self._segmentations()[0])
        if not (registration.segments_were_chosen and registration.chosen_segments):
            self.choose_bones()
        if not registration.chosen_segments:
            self.host.show_section("ct")

    def segment(self) -> None:
        """Have TotalSegmentator segment the CT, and choose the bones that it finds."""
        segmenter = self.segmenter
        registration = self.registration
        ct = self.registration.ct

        def done(node: Any, problem: str) -> None:
            with self.host.ui_action():
                if problem:
                    raise InputError(problem)
                if self.host.registration == registration and registration.ct is ct:
                    node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
                    registration.choose_segment(node)
                    self.choose_bones()

        if segmenter is not None:
            segmenter.begin(ct, done)

    def remove(self, name: str) -> None:
        """Take an implant, or a bone with a CT of its own, out of the scene."""
        self.host.stop_moving()
        if name == self.session.bones.chosen:
            scene_bones.choose_bone(self.registration, "")
            self.host.views.show_bone(None)
        self.session.history.remove(name)

    def choose(self, segment_id: str, on: bool) -> None:
        """Register a segment to a pose of its own, or leave it where the CT lies."""
        self._choose_listed([segment_id], on)

    def _choose_listed(self, listed: list[str], on: bool) -> None:
        """Choose all segments of a list, or none of them."""
        others = [each for each in self.registration.chosen_segments if each not in listed]
        self._choose([*others, *listed] if on else others)

    def choose_group(self, key: str) -> None:
        """Register the bones of one of GROUPS, of the first segmentation that has them."""
        for node in self._segmentations():
            found = of_group(node, OF_GROUP[key])
            if found:
                self.registration.choose_segment(node)
                shown = self.session.bones.segments_in_xrays() or set(found)
                self._choose([each for each in found if each in shown] or found)
                return

    def choose_bones(self) -> None:
        """Choose the bones of a segmentation that X-rays show, or all where no name is a bone's; none of more than FEW."""
        found = next(iter(self._lists().values()))
        found = [each for each in found if each.bone] or found
        self._choose([each.id for each in found] if len(found) <= FEW else [])

    def _choose(self, segment_ids: list[str]) -> None:
        """Register these segments to poses of their own; of many only they are drawn."""
        registration = self.registration
        registration.chosen_segments = segment_ids
        display = registration.segmentation.GetDisplayNode()
        every = registration.segmentation.GetSegmentation().GetSegmentIDs()
        if display is not None and len(every) > FEW:
            before = display.StartModify()
            for each in every:
                display.SetSegmentVisibility(each, each in segment_ids)
            display.EndModify(before)

    def keep_names(self) -> None:
        """Take the names that TotalSegmentator's numbering gives."""
        self.registration.segmentation.RemoveAttribute(NUMBERED)

    def drop_names(self) -> None:
        """Call the segments by their numbers, which are not TotalSegmentator's."""
        name_by_number(self.registration.segmentation)
        self.keep_names()

    def _show_list(self, key: str) -> None:
        self._listed = key
        self._sought = ""

    def _seek(self, text: str) -> None:
        self._sought = text.strip()


def _is_meant(segment: SegmentRow, sought: str) -> bool:
    """Return whether all words of a search are in a segment's name, in any order."""
    name = segment.name.casefold()
    return all(word in name for word in sought.casefold().replace("_", " ").split())


class BonesPresenter(Presenter):
    """The part of the step Check that shows each bone, moves it and registers it again."""

    def __init__(self, host: Host) -> None:
        self.joint = JointMotionPresenter(host)
        super().__init__(host)

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
        seen = bones.outlined, bones.part_elsewhere
        return *bones.states(), bones.chosen, self._moves_bone, *seen

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
                    _("Likely error") if apart else _("Likely error if the cameras are right"),
                    *([] if apart else [_("Against the CT")]),
                ),
                lines=tuple(
                    _line(each, each.name not in beside, motion=not apart) for each in states
                ),
                selected=chosen,
                switch=self.set_target,
                tip=_(
                    "Click a bone to see it in all views, and to move it. Ticked: a target, of "
                    "which the answer speaks."
                ),
            ),
            Text("outlines", self._outlines()),
            Text("chosen", self._of_chosen(chosen), tone=QUIET),
            row(
                "acts",
                Button(
                    "each",
                    _("Each by itself"),
                    self.register_each,
                    enabled=not busy,
                    needs=(RENDERING,),
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
            *self.joint.form(),
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
        if bones.part_elsewhere:
            said.append(
                _(
                    "Red outline without a name: the part of the bone that lies elsewhere than "
                    "this pose has it."
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

    def set_target(self, name: str, on: bool) -> None:
        """Have a bone count as a target, or not."""
        scene_bones.set_target(self.registration, name, on)

    def register_each(self) -> None:
        """Begin to register each bone from where it is."""
        self.host.stop_moving()
        if not self.registration.registers_each:
            self.session.register("given")
        else:
            self.session.register_bones()

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
            return [Text("motion_problem", str(error), tone=ERROR)]
        if motion is None:
            return []
        by_points = pair.frame not in ("", CT_AXES)
        axes = ("1", "2", "3") if by_points else (_("to the left"), _("to the back"), _("up"))
        rows = zip(axes, motion.rotation_deg, motion.shift_mm, strict=True)
        title = _("{moving} against {fixed}, since the CT.")
        words = [] if by_points else in_words(motion, pair.moving)
        if pair.moving in self.registration.apart:  # no CT says how it lay before
            title = _("The axes and the middle of {moving}, from those of {fixed}.")
            words = []
        title = title.format(moving=pair.moving, fixed=pair.fixed)
        return [
            Text("motion_now", " ".join([title, ", ".join(words)]), tone=STRONG),
            Table(
                "six",
                _("Six numbers"),
                columns=(_("Axis"), _("Turn (\u00b0)"), _("Shift (mm)")),
                lines=tuple(
                    line(axis, axis, _number(turn), _number(shift)) for axis, turn, shift in rows
                ),
            ),
        ]

    def _choose(self, key: str, value: str) -> None:
        bones = self.session.bones
        bones.pair = bones.pair._replace(**{key: value})


def _number(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}"  # not -0


def _line(state: BoneState, is_target: bool, *, motion: bool) -> TableRow:
    """Return the row of a bone, with its motion against the CT or without."""
    error = "" if state.error_mm is None else _("{mm:.1f} mm").format(mm=state.error_mm)
    against = ""
    if state.own and state.mm is not None:
        against = _("{mm:.1f} mm, {degrees:.1f}\u00b0").format(mm=state.mm, degrees=state.degrees)
    verdict = state.verdict or (_("not registered") if state.own else _("with the CT"))
    judged = Cell(verdict, " ".join(state.reasons), TONES.get(state.verdict or "", PLAIN))
    cells = (state.name, judged, error, *([against] if motion else []))
    return line(state.name, *cells, on=is_target, colour=css(state.colour))
