"""The CT, its unit, and the structure in it that is registered."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from ...geometry import rigid
from ...imaging.body import WHOLE as CT_NAME
from ...imaging.bone_names import is_soft
from ...imaging.ct import CT as CTVolume
from ...imaging.surface import write_surface
from ...io.recognise import CT
from ...mrml import ct_3d, slice_view
from ...mrml.case import take_facts
from ...mrml.ct_3d import named_bones, places_of, put_apart
from ...mrml.fingerprints import of_ct
from ...mrml.identity import file_of, keep_header, patients_in_words
from ...mrml.loading import volume_node
from ...mrml.manual_pose import centre_in_ct, keep_centre
from ...mrml.nodes import free_name, lps_from_ras, models, segmentations_of_ct, segments_of, volumes
from ...mrml.registration import CT_UNIT, UNIT, Registration
from ...mrml.xray import ATTRIBUTE
from ...report.messages import remedy
from ...translation import _
from .. import assessment
from ..adding import clean_name, read_scouts
from ..tasks import BackgroundValue, Task, ended
from .bone_choice import BoneChoicePresenter
from .file_loading import LoadedCT
from .form import Button, Choice, Files, Form, Option, Text, options_of, quiet
from .section import Host, Presenter, State, node_options

UNITS = {
    "hu": _("Hounsfield units (HU)"),
    "relative": _("Relative (0 is nothing, larger is denser)"),
}
WHOLE = ""


class CTPresenter(Presenter):
    """The CT is inspected as the registration uses it, in a thread; `tick` shows the result."""

    TITLE = _("CT")
    BEGINS = True

    def __init__(self, host: Host) -> None:
        self.bones = BoneChoicePresenter(host)
        super().__init__(host)

    def reset(self) -> None:
        """Discard all state of the previous registration."""
        self._looking_for_scouts: tuple[Task, object] | None = None
        self.bones.reset()
        self._forget_look()

    def _forget_look(self) -> None:
        self._looked_at = ""
        self._look = BackgroundValue()

    @property
    def facts(self) -> list[str] | None:
        """What was found in the CT, None before that."""
        return self._look.value

    # The form

    @property
    def looking(self) -> bool:
        """Whether the CT is being looked at."""
        return self._look.under_way

    @property
    def unit(self) -> str:
        """The unit of the CT's values, one of UNITS, or what an implant is made of."""
        registration = self.host.registration
        return "hu" if registration is None else registration.ct_unit

    def form(self) -> Form:
        """Return the controls."""
        self._look_again()
        ct = None if self.host.registration is None else self.registration.ct
        found = [node for node in volumes(self.host.scene) if not node.GetAttribute(ATTRIBUTE)]
        choice = Choice(
            "ct",
            _("CT"),
            self.choose,
            value=ct.GetID() if ct else "",
            options=node_options(_("none"), found),
            tip=_(
                "The CT to register. It moves with the registration from now on: its transform is "
                "the result."
            ),
        )
        surfaces = models(self.host.scene) if self.in_slicer else []
        model = Choice(
            "model",
            _("Implant"),
            self.take_model,
            value="",
            options=node_options(_("none"), surfaces),
            tip=_("A closed surface in mm, whose coordinates are taken for the CT's."),
        )
        return [
            choice if found else None,
            model if surfaces else None,
            Files(
                "files",
                _("CT from files..."),
                partial(self.host.take_files, preferred=CT),
                hint=_("a CT: DICOM folder, NIfTI, NRRD, MHA"),
                several=True,
                folders=True,
            ),
            quiet("status", self._status()),
            Text("problem", self._look.problem, tone="error"),
            *(self._of_ct() if ct else []),
        ]

    def _status(self) -> str:
        if self.looking:
            return _("Looking at the CT\u2026")
        there = self.host.registration is not None and self.registration.ct is not None
        return "" if there else _("Drop a CT here: a DICOM folder or a file.")

    def _of_ct(self) -> Form:
        """Return the findings in the chosen CT, and its unit."""
        registration = self.registration
        seen: Form = []
        if self.facts is not None:
            facts = [*self.facts, patients_in_words(registration)]
            seen = [quiet("facts", "\n".join(filter(None, facts)))]
            if missing := self.host.missing_packages():
                seen += [
                    Text("packages", missing),
                    Button("install", _("Install..."), lambda: None, needs=("rendering",)),
                ]
        scouts = self.session.scouts
        if names := scouts.missing_in(registration) if scouts is not None else []:
            found = _("Scouts of this CT lie in its folder: {names}. They can be used as X-rays.")
            seen.append(quiet("scouts", found.format(names=", ".join(names))))
        structures = [Option(WHOLE, _("the whole CT")), *_structures(registration)]
        return [
            *seen,
            Choice(
                "unit",
                _("Values"),
                self.set_unit,
                value=self.unit,
                options=options_of({self.unit: self.unit} | UNITS),
                tip=_(
                    "What the CT's values mean. Bone models and masked volumes without air are "
                    "relative."
                ),
            ),
            Choice(
                "structure",
                _("Register"),
                self.set_structure,
                value=_key(registration.segmentation, registration.segment_id),
                options=tuple(structures),
                enabled=len(structures) > 1,
                tip=_(
                    "One bone or vertebra, a segment, can be registered alone; or, where a patient "
                    "bends, the whole CT and then each segment, to a pose of its own."
                ),
            ),
            *self.bones.form(),
            quiet("segment", self._lacks_segments(len(structures) > 1)),
            Button(
                "in_3d",
                _("Show in 3D"),
                self.show_in_3d,
                on=ct_3d.volume_is_shown(registration),
                tip=_("Show the CT's bone in the 3D view, by Slicer's volume rendering."),
            )
            if self.in_slicer and ct_3d.can_show_volume(registration)
            else None,
        ]

    def _lacks_segments(self, there: bool) -> str:
        """Return what bones that should be registered by themselves lack, a sentence.

        "" for nothing.
        """
        session = self.session
        if (
            there
            or not assessment.verdict(session)
            or remedy(assessment.findings(session)) != "bones"
        ):
            return ""
        return _(
            "A segmentation of the bones in this CT is missing: load or draw one in Slicer, open a "
            "case with labels, or drop a segmentation here, or a mask of one bone."
        )

    def state(self) -> State:
        """Return how far this step is."""
        registration = self.registration
        ct = self.registration.ct
        if ct is None:
            return State("todo", _("choose the CT"))
        if self._look.problem:
            return State("problem", _("cannot be used"))
        segmentation = registration.segmentation
        if registration.registers_each:
            count = len(registration.chosen_segments)
            bones = _("{count} structures").format(count=count) if count else _("no bone chosen")
            return State("ready", f"{ct.GetName()}, {bones}")
        segment = segmentation and segmentation.GetSegmentation().GetSegment(
            registration.segment_id
        )
        return State("ready", f"{ct.GetName()}, {segment.GetName()}" if segment else ct.GetName())

    def tick(self) -> bool:
        """Take what threads have done; return whether there is something new to show."""
        if self._looking_for_scouts is not None and ended(self._looking_for_scouts[0]):
            (found, ct) = self._looking_for_scouts
            self._looking_for_scouts = None
            self.session.keep_scouts(ct, found.result_or(None))
            return True
        return self._look_again() or self.bones.tick()

    def _look_again(self) -> bool:
        """Examine the CT, where it is not the one examined before; whether that has just ended."""
        there = self.host.registration is not None and self.registration.ct is not None
        key = of_ct(self.registration) if there else ""
        if key != self._looked_at:
            self._forget_look()
            self._looked_at = key
        return there and self._look.update(key, lambda: take_facts(self.registration))

    # What a person does

    def put_ct(self, read: LoadedCT) -> None:
        """Put a CT that was read into the scene, and register it."""
        registration = self.registration
        self.set_unit(read.ct.unit)
        place = read.ct.volume.ct_from_index
        node = volume_node(registration.scene, read.name, read.voxels, place)
        keep_header(node, read.header)
        self.choose(node.GetID())
        if not registration.segment_id:
            keep_centre(registration, read.centre)
            self.session.cache_ct(read.ct)
        self.session.keep_scouts(node, read.scouts)

    def choose(self, node_id: str) -> None:
        """Register this volume of the scene; "" for none.

        Raises
        ------
        InputError
            Where it cannot be.
        """
        self.host.begin()
        before = self.registration.ct
        ct = self.host.scene.GetNodeByID(node_id) if node_id else None
        self.registration.ct = ct
        self._warn_of_others(ct)
        if before is not None:
            slice_view.show_instead(self.host.scene, [before], ct)
        if ct is not None:
            self.registration.name_after(ct.GetName())
        file = None if ct is None else file_of(ct)  # of Slicer's DICOM module
        if file is not None and self.session.scouts is None:
            self._looking_for_scouts = Task(lambda on_progress: read_scouts(file)), ct
        ct_3d.update_volume(self.registration)

    def take_model(self, node_id: str) -> None:
        """Take a surface of the scene as a dropped file of it."""
        if not node_id:
            return
        node = self.host.scene.GetNodeByID(node_id)
        folder = Path(mkdtemp())
        path = folder / f"{clean_name(node.GetName())}.vtk"
        write_surface(node.GetPolyData(), path)
        self.host.take_files([path], folder, CT)

    def add_implant(self, name: str, implant: CTVolume) -> None:
        """Register an implant, too: it begins where the CT has it, else in the middle of the CT."""
        registration = self.registration
        places = places_of(registration)
        name = free_name(clean_name(name), [CT_NAME, *named_bones(registration), *places])
        volume = implant.volume
        node = volume_node(registration.scene, name, volume.values, volume.ct_from_index)
        node.SetAttribute(UNIT, implant.unit)
        if registration.ct is None:
            self.set_unit(implant.unit)
            self.choose(node.GetID())
        start = places.pop("")
        middle = implant.centroid()
        index_from_ct = np.linalg.inv(lps_from_ras(registration.ct_place))
        index = rigid.transform_points(index_from_ct, middle)
        if registration.ct.GetImageData().FindPoint(index) < 0:
            start = start @ rigid.translation(centre_in_ct(registration) - middle)
            told = _("{name} begins in the middle of the CT: move it near its place by hand.")
            self.session.notices.warn(told.format(name=name))
        put_apart(registration, {**registration.apart, name: node}, {**places, name: start})

    def _warn_of_others(self, ct: Any) -> None:
        """Say where a CT belongs to another registration, too."""
        every = Registration.all(self.host.scene)
        others = [each.name for each in every if each != self.registration and each.ct is ct]
        if ct is not None and others:
            self.session.notices.warn(
                _(
                    "{ct} is the CT of {other}, too, and can be in one place only: the verdict of "
                    "one does not hold while it lies where the other has it."
                ).format(ct=ct.GetName(), other=", ".join(others))
            )

    def set_unit(self, unit: str) -> None:
        """Set the unit of the CT's values, one of UNITS."""
        self.registration.node.SetParameter(CT_UNIT, unit)

    def set_structure(self, key: str) -> None:
        """Register a segment alone, or each one of a segmentation after the whole CT, by its value among the structures.

        WHOLE for the whole CT alone.
        """
        node_id, _slash, segment_id = key.partition("/")
        node = self.host.scene.GetNodeByID(node_id) if node_id else None
        self.registration.choose_segment(node, segment_id)
        if self.registration.registers_each and not self.registration.segments_were_chosen:
            self.bones.choose_bones()

    def show_in_3d(self) -> None:
        """Show the CT by volume rendering instead of the surface of its bone, or no more."""
        on = not ct_3d.volume_is_shown(self.registration)
        ct_3d.show_volume(self.registration, on)
        ct_3d.show_surface(self.registration, not on)


def _key(segmentation: Any, segment_id: str) -> str:
    return f"{segmentation.GetID()}/{segment_id}" if segmentation is not None else WHOLE


def _structures(registration: Registration) -> list[Option]:
    """Return what could be registered of the segmentations that are no masks of X-rays.

    All segments of one, each by itself, and each alone.
    """
    options = []
    for node in segmentations_of_ct(registration.scene):
        names = {each: segment.GetName() for each, segment in segments_of(node).items()}
        if len(names) > 1 or (registration.registers_each and node is registration.segmentation):
            each = _("the whole CT and structures of {name}").format(name=node.GetName())
            options.append(Option(_key(node, ""), each))
        hard = ((each, name) for each, name in names.items() if not is_soft(name))
        options += [Option(_key(node, segment_id), name) for segment_id, name in hard]
    return options
