"""The checked content of a case.json; no pixel is read."""

from __future__ import annotations

import os
import unicodedata
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, naming
from ..imaging.ct import CT, MATERIAL, UNITS, load_ct, per_mm_of
from ..imaging.structures import (
    MAX_LABEL,
    NO_STRUCTURES,
    Structures,
    StructureSource,
    check_names,
    read_bone_ct,
    read_structures,
)
from .case_settings import CaseSettings
from .files import InputFile, JsonObject, describe, input_file, printable
from .view_record import ViewRecord, view_name

VERSION = 1
#: In place of a list of structures: all labels.
ALL = "all"
#: What belongs to one CT, so that a case whose structures have a CT each has none of it.
OF_ONE_CT = ("ct_series", "mask", "labels", "targets", "landmarks", "training")


@dataclass(eq=False, kw_only=True)
class CaseFile(CaseSettings):
    """The content of a case.json as case.schema.json and docs/frames.md describe it.

    Attributes
    ----------
    ct_series
        SeriesInstanceUID of the one that is meant in a DICOM folder with several.
    labels
        The file with the structures' labels.
    structures
        The structures that have a pose of their own, implants last; none of the CT beside `labels`
        are all that these have. Where bones have a CT each, `ct`, `ct_unit` and `world_from_ct` are
        those of the first.
    """

    path: Path
    ct: InputFile
    ct_unit: str
    mask: InputFile | None
    views: list[ViewRecord]
    ct_series: str | None = None
    labels: InputFile | None = None
    structures: tuple[StructureSource, ...] = ()

    @property
    def has_structures(self) -> bool:
        """Whether several structures are registered, each by itself."""
        return self.labels is not None or bool(self.structures)

    @property
    def has_bone_cts(self) -> bool:
        """Whether these have a CT each, rather than lie in one, or beside it as implants do."""
        return bool(self.structures) and self.structures[0].ct == self.ct.path

    def content(self, named: Mapping[Path, str | os.PathLike]) -> dict[str, Any]:
        """Return the content of the case.json, with these names of its files."""
        written = {path: os.fspath(name) for path, name in named.items()}
        listed = [_structure_json(source, written) for source in self.structures]
        parts: dict[str, Any] = {
            key: part and written[part.path]
            for key, part in (("ct", self.ct), ("mask", self.mask), ("labels", self.labels))
        }
        parts["structures"] = listed or (ALL if self.labels else None)
        parts |= {"ct_unit": self.ct_unit, "ct_series": self.ct_series, **self.to_json()}
        if self.has_bone_cts:  # which say these of themselves
            for key in ("ct", "ct_unit", "world_from_ct"):
                parts.pop(key, None)
        views = []
        for view in self.views:
            image, mask = (
                part and InputFile(written[part.path], part.path)
                for part in (view.image, view.mask)
            )
            views.append(replace(view, image=image, mask=mask).to_json())
        return {"version": VERSION, **without_none(parts), "views": views}

    def choosing(self, structures: tuple[StructureSource, ...]) -> CaseFile:
        """Return the case with only some of its structures that have a CT each; as it is for others."""
        first = next(iter(structures), None)
        if not self.has_bone_cts or first is None or first.ct is None:
            return self
        ct = InputFile(first.ct.name, first.ct)
        return replace(
            self,
            structures=structures,
            ct=ct,
            ct_unit=first.ct_unit,
            world_from_ct=first.world_from_ct,
        )

    @classmethod
    def read(cls, path: str | os.PathLike) -> CaseFile:
        """Read a case.json, or the one in a folder. Unknown keys warn.

        Raises
        ------
        InputError
            For invalid content.
        """
        path = Path(path)
        if os.path.isdir(path):
            path = path / "case.json"
        return cls.from_json(path, JsonObject.read(path).values)

    @classmethod
    def from_json(cls, path: Path, content: dict[str, Any]) -> CaseFile:
        """Take content that is parsed already; files are sought from the folder of `path`."""
        fields = JsonObject(printable(path), "", content)
        folder = path.parent
        fields.check_version(VERSION)
        fields.has("$schema")  # for editors
        entries = fields.sections("views", "a list of one or more views")
        views = [ViewRecord.read(entry, folder) for entry in entries]
        if any(view.marker_model for view in views):
            from .calibration.from_beads import (
                with_marker_cameras,  # few cases need what that imports
            )

            views = with_marker_cameras(fields.file, views)
        if any(view.geometry is None or view.has_gaps for view in views):
            from .view_headers import complete_by_headers  # nor what that does

            views = complete_by_headers(fields.file, views)
        _refuse_same_view_twice(fields.file, views)
        settings = CaseSettings.of_json(fields, [view.name for view in views])
        unit = _unit(fields, "hu")
        start = settings.world_from_ct
        structures = _structures(fields, folder, unit, start)
        own = structures[0].ct if structures and not fields.has("ct") else None
        if own is not None and settings.truth_world_from_ct is not None:
            fields.refuse(
                "truth.world_from_ct",
                "stands beside structures with a CT each",
                "truth.structures",
                "write it there",
            )
        case = cls(
            path=path,
            ct=input_file(fields, "ct", folder, "file or DICOM folder")
            if own is None
            else InputFile(own.name, own),
            ct_unit=unit,
            ct_series=fields.optional(
                "ct_series", fields.text, "the SeriesInstanceUID of one in the folder"
            ),
            mask=input_file(fields, "mask", folder) if fields.has("mask") else None,
            labels=input_file(fields, "labels", folder) if fields.has("labels") else None,
            structures=structures,
            views=views,
            **vars(settings),
        )
        refuse_mask_beside_structures(fields.file, case)
        if settings.structure_truths and not (
            case.labels and not case.structures
        ):  # all labels: known once these are read
            names = [source.name for source in case.structures]
            check_structure_truths(fields.file, settings.structure_truths, names)
        fields.warn_unread()
        return case.choosing(structures)


def _structures(
    fields: JsonObject, folder: Path, ct_unit: str, world_from_ct: np.ndarray | None
) -> tuple[StructureSource, ...]:
    """Return the structures that are listed.

    None where all labels are meant, or the case has no structures.

    Parameters
    ----------
    ct_unit, world_from_ct
        Of the case: of a structure with a CT that does not say its own.
    """
    has_labels = fields.has("labels")
    expected = f'"{ALL}", or a list of structures'
    if not fields.has("structures"):
        if has_labels:
            fields.refuse("structures", "is missing beside labels", expected, "add it")
        return ()
    if fields.values["structures"] == ALL:
        if not has_labels:
            fields.refuse(
                "labels", f'is missing, but structures is "{ALL}"', "the path of a file", "add it"
            )
        return ()
    if not isinstance(fields.values["structures"], list):
        fields.refuse_value("structures", expected)
    sources: list[StructureSource] = []
    entries = fields.sections("structures", "a list of one or more structures")
    implants: list[StructureSource] = []
    if fields.has("ct"):
        own = [entry for entry in entries if entry.has("ct")]
        implants = [_with_ct(entry, folder, ct_unit, world_from_ct) for entry in own]
        for entry, implant in zip(own, implants, strict=True):
            if per_mm_of(implant.ct_unit) is None:
                expected = f"{MATERIAL}, beside the case's ct"
                entry.refuse("ct_unit", f'is "{implant.ct_unit}"', expected, "correct it")
        entries = [entry for entry in entries if not entry.has("ct")]
    elif any(entry.has("ct") for entry in entries):
        sources = [_with_ct(entry, folder, ct_unit, world_from_ct) for entry in entries]
        for key in filter(fields.has, OF_ONE_CT):
            fields.refuse(
                key,
                "stands beside structures with a CT each",
                "none, as it belongs to one CT",
                "remove it",
            )
        entries = []
    for entry in entries:
        name = view_name(entry, "structure")
        has_label = entry.has("label")
        if entry.has("mask"):
            if has_label:
                entry.refuse(
                    "label", "stands beside mask", "one of the two", "remove the one that is wrong"
                )
            sources.append(StructureSource(name, mask=input_file(entry, "mask", folder).path))
            continue
        if not has_labels:
            entry.refuse(
                "mask",
                "is missing, and the case has no labels",
                "the path of a file",
                "add one of the two",
            )
        expected = f"a whole number from 1 to {MAX_LABEL}"
        label = entry.integer("label", expected, least=1) if has_label else None
        if label is not None and label > MAX_LABEL:
            entry.refuse_value("label", expected)
        sources.append(StructureSource(name, label))
    sources += implants
    with naming(fields.file):
        check_names([source.name for source in sources])
    return tuple(sources)


def _unit(entry: JsonObject, default: str) -> str:
    """Return what the values of a CT mean."""
    given = entry.values.get("ct_unit")
    if isinstance(given, str) and per_mm_of(given):
        entry.has("ct_unit")
        return given
    return entry.optional("ct_unit", entry.choice, UNITS, default=default)


def _with_ct(
    entry: JsonObject, folder: Path, ct_unit: str, world_from_ct: np.ndarray | None
) -> StructureSource:
    """Return a structure with a CT of its own."""
    name = view_name(entry, "structure")
    if not entry.has("ct"):
        entry.refuse(
            "ct", "is missing, but another structure has one", "the path of a file", "add it"
        )
    for key in ("label", "mask"):
        if entry.has(key):
            entry.refuse(
                key,
                "stands beside a CT of its own",
                "one of the two",
                "remove the one that is wrong",
            )
    return StructureSource(
        name,
        ct=input_file(entry, "ct", folder, "file or DICOM folder").path,
        ct_unit=_unit(entry, ct_unit),
        world_from_ct=entry.optional("world_from_ct", entry.rigid, default=world_from_ct),
    )


def _structure_json(source: StructureSource, written: Mapping[Path, str]) -> dict[str, Any]:
    files = {
        key: path and written[path] for key, path in (("mask", source.mask), ("ct", source.ct))
    }
    start = None if source.world_from_ct is None else source.world_from_ct.tolist()
    own = {"ct_unit": source.ct_unit, "world_from_ct": start} if source.ct else {}
    return without_none({"name": source.name, "label": source.label, **files, **own})


def without_none(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is."""
    return {key: value for key, value in content.items() if value is not None}


def refuse_mask_beside_structures(where: str, file: CaseFile) -> None:
    """Refuse a case with a mask and structures. `where` begins the sentence."""
    if file.mask is not None and file.has_structures:
        raise InputError(
            f"{where}: mask stands beside structures, expected one of the two; make the mask one "
            "of the structures, or leave it out."
        )


def check_structure_truths(where: str, truths: Iterable[str], names: Sequence[str]) -> None:
    """Refuse the truth of a structure that is none of these. `where` begins the sentence."""
    if unknown := [name for name in truths if name not in names]:
        expected = (
            f"one of the case's structures, {', '.join(names)}" if names else "structures beside it"
        )
        raise InputError(
            f"{where}: truth.structures has {describe(unknown[0])}, expected {expected}; correct "
            "it."
        )


def _refuse_same_view_twice(file: str, views: list[ViewRecord]) -> None:
    first: dict[tuple, ViewRecord] = {}
    for view in views:
        status = os.stat(view.image_path)
        image = ("image", status.st_dev, status.st_ino, view.frame or 0)
        name = (
            "name",
            unicodedata.normalize("NFKC", view.name).casefold(),
        )  # to some file systems it is all one
        for key in (name, image):
            other = first.setdefault(key, view)
            if other is not view:
                raise InputError(
                    f"{file}: {view.field} has the same {key[0]} as {other.field}, expected "
                    "different views; correct it or remove one of the two."
                )


@dataclass(frozen=True)
class DicomImage:
    """The UIDs by which a DICOM image is known.

    Attributes
    ----------
    frame
        From 0, of a multi-frame image.
    """

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None


def new_uid() -> str:
    """Make a UID from a random UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def uid_of(sha256: str) -> str:
    """Return the UID of a frame that has none of its own.

    Always the same for the same file (PS3.5 B.2, a UUID of version 8).
    """
    number = int(sha256[:32], 16) & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62
    return f"2.25.{number}"


def is_of_content(uid: str) -> bool:
    """Return whether a UID may be one of `uid_of`, by its version."""
    number = uid.removeprefix("2.25.")
    return number != uid and number.isdecimal() and int(number) >> 76 & 0xF == 0x8


@dataclass(frozen=True)
class DicomOrigin:
    """The UIDs by which a case's CT and X-rays are known.

    Attributes
    ----------
    ct_uid
        FrameOfReferenceUID of the CT, or one of its own where it was no DICOM.
    views
        By the view's name, those that were.
    reference_uid
        Of a tracker's frame, where it has one already.
    """

    ct_uid: str = field(default_factory=new_uid)
    views: dict[str, DicomImage] = field(default_factory=dict)
    reference_uid: str | None = None


def ct_of(file: CaseFile) -> CT:
    """Read the CT that a case.json names, with its mask; of several that of the first structure.

    Raises
    ------
    InputError
        As `load_ct`.
    """
    if file.has_bone_cts:
        return read_bone_ct(file.ct.path, file.ct_unit)
    return load_ct(
        file.ct.path,
        file.ct_unit,
        mask=file.mask.path if file.mask else None,
        series=file.ct_series,
    )


def structures_of(file: CaseFile, ct: CT) -> Structures:
    """Read the structures of its CT that a case.json names, on its grid.

    Raises
    ------
    InputError
        As `read_structures`.
    """
    sources = [source for source in file.structures if not source.ct]
    if not (file.labels or sources):
        return NO_STRUCTURES
    return read_structures(file.labels.path if file.labels else None, sources, ct)
