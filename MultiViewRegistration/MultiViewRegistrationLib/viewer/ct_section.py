"""The CT, and the structure in it that is registered."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import slicer
from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError, UnitMismatch
from ..imaging.ct import load_ct
from ..imaging.image_source import without_data_files
from ..io.case_file import CT_UNITS
from ..io.files import as_sent
from ..mrml import ct_3d
from ..mrml.loading import name_of, volume_node
from ..mrml.nodes import OWNER
from ..mrml.registration import CT_UNIT
from ..session.background_task import Worker
from ..session.ct_preview import facts, seen_in, take_preview
from ..session.presenters.section import PROBLEM, READY, RUNNING, TODO, State
from .elements import Files
from .picture import data_url
from .section import Section

UNIT_NAMES = {"hu": "Hounsfield units", "relative": "relative (0 = nothing)"}
WHOLE = ""
#: What values may be, where they are not what was expected.
INSTEAD = {"hu": "Hounsfield units", "relative": "Relative (0 is nothing, larger is denser)"}


@dataclass(frozen=True)
class Sent:
    """A CT that a page sent: a file or folder, its name for a person, and the folder that is removed once it was read."""

    path: Path
    name: str
    folder: Path

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, unit: str):
        """The `imaging.ct.CT`, or the UnitMismatch. InputError for anything else that is wrong."""
        try:
            return load_ct(self.path, unit)
        except UnitMismatch as mismatch:
            return mismatch


class CTSection(Section):
    """Volume, unit and structure, and a picture of what the registration will see of them; files are read in a thread."""

    NAME, TITLE = "ct", "CT"

    def __init__(self, application) -> None:
        super().__init__(application)
        self._sent: Sent | None = None
        self._reading: tuple[Worker, str] | None = None
        self._mismatch: UnitMismatch | None = None
        self._look: Worker | None = None
        self._looked_at, self._preview, self._picture, self._problem = "", None, "", ""

    def build(self) -> None:
        with Files(target="ct", hint="a CT: DICOM folder, NIfTI, NRRD, MHA", folder=True, disabled=("!!ct.reading",)):
            with html.Div(v_if="ct.name", classes="mv-ct"):
                html.Img(v_if="ct.picture", src=("ct.picture",), alt="The CT from the front")
                with html.Div():
                    html.Div("{{ ct.name }}", classes="mv-name")
                    html.Div("{{ line }}", v_for="line in ct.facts", key="line", classes="mv-fact")
            html.Div("Reading {{ ct.reading }}…", v_if="ct.reading", classes="mv-fact", role="status")
            html.Div("{{ ct.problem }}", v_if="ct.problem", classes="mv-problem", role="alert")
            with html.Div(v_if="ct.mismatch", classes="mv-problem", role="alert"):
                html.Div("{{ ct.mismatch }}")
                with html.Div(classes="mv-row"):
                    v.VBtn("{{ ct.instead }}", click=self.read_instead, size="small", color="primary")
                    v.VBtn("Cancel", click=self.forget_sent, size="small", variant="text")
        with html.Div(v_if="ct.name", classes="mv-row"):
            v.VSelect(
                label="Values",
                items=("ct.units",),
                model_value=("ct.unit",),
                update_modelValue=(self.set_unit, "[$event]"),
            )
            v.VSelect(
                label="Register",
                items=("ct.structures",),
                model_value=("ct.structure",),
                disabled=("ct.structures.length < 2",),
                update_modelValue=(self.set_structure, "[$event]"),
            )

    def adopt(self) -> None:
        self._forget_sent()  # for another patient
        self._forget_look()

    def _forget_sent(self) -> None:
        if self._sent is not None:
            self._sent.forget()
        self._sent = self._reading = self._mismatch = None

    def _forget_look(self) -> None:
        self._looked_at, self._look, self._preview, self._picture, self._problem = "", None, None, "", ""

    def content(self) -> dict:
        registration, ct = self.registration, self.registration and self.registration.ct
        self._look_again()
        unit = registration.parameter(CT_UNIT, "hu") if registration else "hu"
        return {
            "name": ct.GetName() if ct else "",
            "reading": self._sent.name if self._reading else "",
            "mismatch": as_sent(str(self._mismatch or "")),
            "instead": INSTEAD[self._mismatch.unit] if self._mismatch else "",
            "facts": facts(self._preview, unit) if self._preview else [],
            "picture": self._picture,
            "problem": self._problem,
            "unit": unit,
            "units": [{"value": unit, "title": UNIT_NAMES[unit]} for unit in CT_UNITS],
            "structure": _key(registration.segmentation, registration.segment_id) if registration else WHOLE,
            "structures": [
                {"value": WHOLE, "title": "the whole CT"},
                *(_structures(registration.scene) if registration else ()),
            ],
        }

    def state(self) -> State:
        if self._reading is not None:
            return State(RUNNING, f"reading {self._sent.name}")
        if self._mismatch is not None:
            return State(PROBLEM, "say what its values are")
        ct = self.registration.ct
        if ct is None:
            return State(TODO, "choose the CT")
        return State(PROBLEM, "cannot be used") if self._problem else State(READY, ct.GetName())

    def tick(self) -> None:
        if self._reading is not None:
            self._reading[0].poll(0)
            if self._reading[0].state != "running":
                self._take_read()
        if self._look is not None:
            self._look.poll(0)
            if self._look.state != "running":
                self._preview, self._problem, self._look = self._look.result, self._look.message, None
                self._picture = data_url(self._preview.picture, self._preview.aspect) if self._preview else ""
                self.application.invalidate()

    def _look_again(self) -> None:
        """Begin to look at the CT, where it is another than the one that was looked at."""
        if self.registration is None or self.registration.ct is None:
            self._forget_look()
            return
        of = seen_in(self.registration)
        if of == self._looked_at:
            return
        self._forget_look()
        self._looked_at = of
        try:
            work = take_preview(self.registration)
        except InputError as error:
            self._problem = str(error)
        else:
            self._look = Worker(lambda tell: work())

    # What a person does

    def take(self, folder: Path) -> None:
        """A CT that a page sent: a file, or the slices in a folder, which is removed once it was read. InputError for anything else."""
        if self._reading is not None:
            raise InputError("CT: one is being read already, expected none; wait for it.")
        files = without_data_files(file for file in folder.rglob("*") if file.is_file())
        folders = {file.parent for file in files}
        if len(files) > 1 and len(folders) > 1:
            raise InputError(
                f"CT: {len(files)} files of several folders were sent, expected one folder or one file; send that."
            )
        path = files[0] if len(files) == 1 else folders.pop()
        with self.application.acting():
            self.application.begin()
            self._forget_sent()
            self._sent = Sent(path, path.name if path != folder else "CT", folder)
            self._read(self.registration.parameter(CT_UNIT, "hu"))

    def _read(self, unit: str) -> None:
        sent = self._sent
        self._reading, self._mismatch = (Worker(lambda tell: sent.read(unit)), unit), None

    def _take_read(self) -> None:
        (reading, unit), self._reading = self._reading, None
        with self.application.acting():
            if isinstance(reading.result, UnitMismatch):
                self._mismatch = reading.result
                return
            name = self._sent.name
            self._forget_sent()
            if reading.state != "done":
                raise InputError(reading.message)
            volume = reading.result.volume
            self.registration.node.SetParameter(CT_UNIT, unit)
            self.registration.ct = volume_node(
                self.application.scene, name_of(Path(name)), volume.values, volume.ct_from_index
            )
            ct_3d.update_volume(self.registration)

    def read_instead(self) -> None:
        """Read the CT that was sent as what its values may be."""
        with self.application.acting():
            if self._mismatch is not None:
                self._read(self._mismatch.unit)

    def forget_sent(self) -> None:
        """Have the CT that was sent be none."""
        with self.application.acting():
            if self._reading is None:
                self._forget_sent()

    def set_unit(self, unit: str) -> None:
        """What the values of the CT are, one of CT_UNITS."""
        with self.application.acting():
            if unit in CT_UNITS:
                self.registration.node.SetParameter(CT_UNIT, unit)

    def set_structure(self, key: str) -> None:
        """Register a segment alone, by its `_key`; "" for the whole CT."""
        with self.application.acting():
            node_id, _, segment_id = key.partition("/")
            self.registration.choose_segment(
                self.application.scene.GetNodeByID(node_id) if node_id else None, segment_id
            )


def _key(segmentation, segment_id: str) -> str:
    return f"{segmentation.GetID()}/{segment_id}" if segmentation is not None else WHOLE


def _structures(scene) -> list[dict]:
    """The segments that could be registered: all but the masks of X-rays."""
    nodes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
        if not node.GetNodeReferenceID(OWNER)
    ]
    return [
        {"value": _key(node, segment_id), "title": node.GetSegmentation().GetSegment(segment_id).GetName()}
        for node in nodes
        for segment_id in node.GetSegmentation().GetSegmentIDs()
    ]
