"""Which bones of a segmentation get a pose of their own, chosen in the step CT."""

from __future__ import annotations

from functools import partial
from itertools import starmap
from typing import Any, NamedTuple

from ...errors import InputError
from ...imaging.bone_names import PELVIS_AND_FEMURS, VERTEBRAE, Group, is_bone
from ...mrml import ct_3d as scene_bones
from ...mrml.layout import css
from ...mrml.nodes import (
    NUMBERED,
    name_by_number,
    of_group,
    segmentations_of_ct,
    segments_of,
    terminology_of,
)
from ...mrml.registration import UNIT
from ...translation import _
from .form import Button, Choice, Control, Form, Option, Table, Text, TextField, line, quiet, row
from .section import Presenter, Segmenter, progress_bar

#: Groups of bones that are chosen at one click, by the key of their button: title, and which.
GROUPS = {
    "vertebrae": (_("All vertebrae"), VERTEBRAE),
    "pelvis": (_("Pelvis and femurs"), PELVIS_AND_FEMURS),
}
#: Segments that are listed, and chosen at once, without further ado: a table shows 8 without scrolling.
FEW = 12
#: Bones that are named in a sentence.
MAX_NAMED = 6
#: The lists of many segments.
LISTS = {
    "in_xrays": _("bones that an X-ray shows ({count})"),
    "bones": _("all bones ({count})"),
    "all": _("all labels ({count})"),
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
        self._listed = "in_xrays"
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
        tip = _(
            "Register the whole CT, then each of these bones that an X-ray shows to a pose of its "
            "own."
        )
        buttons = []
        for key, (title, group) in GROUPS.items():
            of = next((node for node in segmentations if of_group(node, group)), None)
            if of is not None:
                buttons.append(Button(key, title, partial(self.choose_group, of, group), tip=tip))
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
        choose = partial(self._choose_listed, [each.id for each in rows])
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
            Text("chosen_bones", "" if few else self._of_chosen(chosen), tone="strong"),
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
            quiet("none_found", "" if rows else _("No label has such a name.")),
            row(
                "listed_bones",
                Button("listed_All", _("All"), partial(choose, True)),
                Button("listed_None", _("None"), partial(choose, False)),
            )
            if len(rows) > 1
            else None,
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
        rows = []
        for segment_id, segment in segments_of(self.registration.segmentation).items():
            name = segment.GetName()
            bone = is_bone(name, terminology_of(segment))
            rows.append(SegmentRow(segment_id, name, css(segment.GetColor()), bone))
        return rows if len(rows) <= FEW else sorted(rows, key=lambda each: not each.bone)

    def _lists(self) -> dict[str, list[SegmentRow]]:
        """Return the lists of segments that there are, by the keys of LISTS, the shortest first."""
        every = self._segments
        bones = [each for each in every if each.bone]
        lists = {"all": every}
        if len(every) > FEW and bones:
            lists = {"bones": bones, "all": every}
            shown = self.session.bones.segments_in_xrays()
            if shown is not None:
                lists = {"in_xrays": [each for each in bones if each.id in shown], **lists}
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

    def choose_group(self, node: Any, group: Group) -> None:
        """Register the bones of a group, of a segmentation that has them."""
        found = of_group(node, group)
        self.registration.choose_segment(node)
        shown = self.session.bones.segments_in_xrays() or set(found)
        self._choose([each for each in found if each in shown] or found)

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
