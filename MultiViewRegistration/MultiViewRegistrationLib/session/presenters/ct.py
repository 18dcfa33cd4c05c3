"""The CT, its unit, and the structure in it that is registered."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError, UnitMismatch
from ...imaging.ct import load_ct
from ...imaging.image_source import without_data_files
from ...io.case_file import CT_UNITS
from ...io.files import as_sent
from ...mrml import ct_3d
from ...mrml.dicom import header_of_ct, keep_header
from ...mrml.loading import name_of, volume_node
from ...mrml.nodes import OWNER, segmentations
from ...mrml.registration import CT_UNIT
from ..background_task import Worker
from ..ct_preview import CTPreview, facts, seen_in, take_preview
from ..translation import _
from .options import Option
from .section import PROBLEM, READY, RUNNING, TODO, Presenter, State

UNITS = {"hu": _("Hounsfield units"), "relative": _("Relative (0 is nothing, larger is denser)")}
WHOLE = ""


@dataclass(frozen=True)
class SentCT:
    """A file, or a folder of slices, and its name.   folder: is removed once it was read."""

    path: Path
    name: str
    folder: Path | None = None

    def forget(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, unit: str) -> tuple | UnitMismatch:
        """The `imaging.ct.CT` and its header, or the UnitMismatch. InputError for anything else that is wrong."""
        try:
            return load_ct(self.path, unit), header_of_ct(self.path)
        except UnitMismatch as mismatch:
            return mismatch


@dataclass(frozen=True)
class CTShown:
    """name: of the CT.   reading: what is read.   looking: whether its preview is made.   mismatch, instead: values that do not fit the
    unit, and what they may be.   structure: of `structures`, WHOLE for the whole CT."""

    name: str = ""
    reading: str = ""
    looking: bool = False
    mismatch: str = ""
    instead: str = ""
    facts: list[str] = field(default_factory=list)
    problem: str = ""
    unit: str = "hu"
    units: list[Option] = field(default_factory=lambda: [Option(*item) for item in UNITS.items()])
    structure: str = WHOLE
    structures: list[Option] = field(default_factory=lambda: [Option(WHOLE, _("the whole CT"))])


class CTPresenter(Presenter):
    """Files are read, and the picture of what the registration sees is made, in a thread; `tick` takes what has come of it.

    preview: the `CTPreview`, None before it is made.   mismatch: the UnitMismatch of a CT that was read, None for none.
    """

    TITLE = _("CT")

    def __init__(self, host) -> None:
        self._sent: SentCT | None = None
        super().__init__(host)

    def reset(self) -> None:
        self.stop_reading()
        self._forget_look()

    def stop_reading(self) -> None:
        """Forget a CT that is being read, or whose unit is asked for."""
        if self._sent is not None:
            self._sent.forget()
        self._sent: SentCT | None = None
        self._reading: tuple[Worker, str] | None = None
        self.mismatch: UnitMismatch | None = None

    def _forget_look(self) -> None:
        self._looked_at, self._problem = "", ""
        self._look: Worker | None = None
        self.preview: CTPreview | None = None

    # What is shown

    @property
    def reading(self) -> str:
        """The name of the CT that is being read, "" for none."""
        return self._sent.name if self._reading else ""

    @property
    def looking(self) -> bool:
        """Whether the preview is being made."""
        return self._look is not None

    @property
    def unit(self) -> str:
        """What the values of the CT are, one of CT_UNITS."""
        return self.registration.parameter(CT_UNIT, "hu") if self.registration is not None else "hu"

    def shown(self) -> CTShown:
        registration, ct = self.registration, self.registration and self.registration.ct
        self._look_again()
        if registration is None:
            return CTShown(reading=self.reading)
        return CTShown(
            name=ct.GetName() if ct else "",
            reading=self.reading,
            looking=self.looking,
            mismatch=as_sent(str(self.mismatch or "")),
            instead=UNITS[self.mismatch.unit] if self.mismatch else "",
            facts=facts(self.preview, self.unit) if self.preview else [],
            problem=self._problem,
            unit=self.unit,
            structure=_key(registration.segmentation, registration.segment_id),
            structures=[Option(WHOLE, _("the whole CT")), *_structures(registration.scene)],
        )

    def state(self) -> State:
        if self.reading:
            return State(RUNNING, _("reading {name}").format(name=self.reading))
        if self.mismatch is not None:
            return State(PROBLEM, _("say what its values are"))
        registration, ct = self.registration, self.registration.ct
        if ct is None:
            return State(TODO, _("choose the CT"))
        if self._problem:
            return State(PROBLEM, _("cannot be used"))
        segmentation = registration.segmentation
        segment = segmentation and segmentation.GetSegmentation().GetSegment(registration.segment_id)
        return State(READY, f"{ct.GetName()}, {segment.GetName()}" if segment else ct.GetName())

    def tick(self) -> bool:
        if self._reading is not None:
            self._reading[0].poll(self.host.turn_s)
            if self._reading[0].state != "running":
                self._take_read()
        if self._look is None:
            return False
        self._look.poll(self.host.turn_s)
        if self._look.state == "running":
            return False
        self.preview, self._problem, self._look = self._look.result, self._look.message, None
        return True

    def _look_again(self) -> None:
        """Begin to look at the CT, where it is another than the one that was looked at."""
        if self.registration is None or self.registration.ct is None:
            self._forget_look()
            return
        key = seen_in(self.registration)
        if key == self._looked_at:
            return
        self._forget_look()
        self._looked_at = key
        try:
            work = take_preview(self.registration)
        except InputError as error:
            self._problem = str(error)
        else:
            self._look = Worker(lambda tell: work())

    # What a person does

    def read(self, path: Path, folder: Path | None = None) -> None:
        """Read a CT, and begin a registration where there is none.   folder: is removed once it is read."""
        self.host.begin()
        self.stop_reading()
        self._sent = SentCT(path, path.name if path != folder else _("CT"), folder)
        self._read(self.unit)

    def _read(self, unit: str) -> None:
        sent = self._sent
        self._reading, self.mismatch = (Worker(lambda tell: sent.read(unit)), unit), None

    def _take_read(self) -> None:
        (reading, unit), self._reading = self._reading, None
        with self.host.acting():
            if isinstance(reading.result, UnitMismatch):
                self.mismatch = reading.result
                return
            name = self._sent.name
            self.stop_reading()
            if reading.state != "done":
                raise InputError(reading.message)
            ct, header = reading.result
            self.registration.node.SetParameter(CT_UNIT, unit)
            node = volume_node(self.registration.scene, name_of(Path(name)), ct.volume.values, ct.volume.ct_from_index)
            keep_header(node, header)
            self.choose(node)

    def read_instead(self) -> None:
        """Read the CT as what its values may be."""
        if self.mismatch is not None:
            self._read(self.mismatch.unit)

    def forget_sent(self) -> None:
        """Do not read the CT whose values do not fit the unit."""
        if self._reading is None:
            self.stop_reading()

    def choose(self, volume) -> None:
        """Register this volume of the scene; None for none. InputError where it cannot be."""
        self.host.begin()
        self.registration.ct = volume
        ct_3d.update_volume(self.registration)

    def set_unit(self, unit: str) -> None:
        """What the values of the CT are, one of CT_UNITS."""
        if unit in CT_UNITS:
            self.registration.node.SetParameter(CT_UNIT, unit)

    def set_structure(self, key: str) -> None:
        """Register a segment alone, by its value in `structures`; WHOLE for the whole CT."""
        node_id, _slash, segment_id = key.partition("/")
        self.registration.choose_segment(self.registration.scene.GetNodeByID(node_id) if node_id else None, segment_id)


def one_ct(files: Iterable[Path]) -> Path:
    """The file, or the folder of slices, that files are. InputError for files of several folders."""
    files = without_data_files(files)
    folders = {file.parent for file in files}
    if len(files) > 1 and len(folders) > 1:
        raise InputError(
            _("CT: {count} files of several folders, expected one folder or one file; choose that.").format(
                count=len(files)
            )
        )
    return files[0] if len(files) == 1 else folders.pop()


def _key(segmentation, segment_id: str) -> str:
    return f"{segmentation.GetID()}/{segment_id}" if segmentation is not None else WHOLE


def _structures(scene) -> list[Option]:
    """The segments that could be registered: all but the masks of X-rays."""
    return [
        Option(_key(node, segment_id), node.GetSegmentation().GetSegment(segment_id).GetName())
        for node in segmentations(scene)
        if not node.GetNodeReferenceID(OWNER)
        for segment_id in node.GetSegmentation().GetSegmentIDs()
    ]
