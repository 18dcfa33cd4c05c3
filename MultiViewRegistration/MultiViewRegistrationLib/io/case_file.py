"""The checked content of a case.json; no pixel is read."""

from __future__ import annotations

import os
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, naming
from ..imaging.body import (
    MAX_LABEL,
    NO_STRUCTURES,
    Body,
    Structures,
    StructureSource,
    bone_of_ct,
    check_names,
)
from ..imaging.ct import CT, MATERIAL, UNITS, load_ct, per_mm_of
from ..imaging.ct_series import ct_folder
from ..known import without_none
from .case_settings import CaseSettings
from .files import NAMELESS, InputFile, JsonObject, describe, input_file, printable, upload_root
from .view_record import ViewRecord, view_name

VERSION = 1
#: In place of a list of structures: all labels.
ALL = "all"
STRUCTURES = f'"{ALL}", or a list of structures'
#: What belongs to one CT, so that a case whose structures have a CT each has none of it.
OF_ONE_CT = ("ct_series", "mask", "labels", "targets", "landmarks", "training")


@dataclass(frozen=True, kw_only=True)
class BodySource:
    """The files of a body: a patient's CT and what of it is registered, or a bone or an implant with a CT of its own.

    Attributes
    ----------
    name
        Of the bone or implant; "" of a patient's CT.
    unit
        What the values of the CT mean.
    series
        SeriesInstanceUID of the one that is meant in a DICOM folder with several.
    labels
        The file with the structures' labels.
    structures
        The structures of the CT that have a pose of their own; none beside `labels` are all that
        these have.
    world_from_ct
        (4, 4), the start pose.
    """

    ct: InputFile
    name: str = ""
    unit: str = "hu"
    series: str | None = None
    mask: InputFile | None = None
    labels: InputFile | None = None
    structures: tuple[StructureSource, ...] = ()
    world_from_ct: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def bone_names(self) -> tuple[str, ...]:
        """The names of the bones that have a pose of their own, as far as they are listed."""
        return (self.name,) if self.name else tuple(each.name for each in self.structures)

    @property
    def files(self) -> list[tuple[str, Path]]:
        """Its files, with the role of each, which says nothing of a patient."""
        whole = (("CT", self.ct), ("mask", self.mask), ("labels", self.labels))
        own = [(role, part.path) for role, part in whole if part]
        masks = [(f"mask of {each.name}", each.mask) for each in self.structures if each.mask]
        return [
            (f"{role} of {self.name}" if self.name else role, path) for role, path in own
        ] + masks

    def keys(self, sha256_of: Callable[[Path], str]) -> tuple[tuple, tuple]:
        """Return what CTs have in common that are of the same files, and what bones in them have.

        `sha256_of` gives that of a file.
        """
        ct, mask, labels = (
            part and sha256_of(part.path) for part in (self.ct, self.mask, self.labels)
        )
        bones = [
            (each.name, each.label, each.mask and sha256_of(each.mask)) for each in self.structures
        ]
        return (ct, self.unit, mask, self.series, bool(self.name)), (self.name, labels, *bones)

    def read(self) -> CT:
        """Read the CT, with its mask, or the bone or implant that it is.

        Raises
        ------
        InputError
            As `load_ct`.
        """
        mask = self.mask.path if self.mask else None
        ct = load_ct(self.ct.path, self.unit, mask, series=self.series)
        return bone_of_ct(ct, self.ct.path) if self.name else ct

    def read_bones(self, ct: CT) -> Structures:
        """Read the structures, on the grid of the CT.

        Raises
        ------
        InputError
            As `segmentation.read_structures`.
        """
        if not (self.labels or self.structures):
            return NO_STRUCTURES
        from ..imaging.segmentation import read_structures  # most cases have none

        labels = self.labels.path if self.labels else None
        return read_structures(labels, self.structures, ct)


def bodies_json(
    bodies: Sequence[BodySource], named: Mapping[Path, str | os.PathLike]
) -> dict[str, Any]:
    """Return bodies as a case.json has them, with these names of their files."""
    content: dict[str, Any] = {}
    listed = []
    for body in bodies:
        files = {"ct": body.ct, "mask": body.mask, "labels": body.labels}
        said = {key: os.fspath(named[part.path]) for key, part in files.items() if part}
        said |= {"ct_unit": body.unit, "ct_series": body.series}
        said |= {"world_from_ct": body.world_from_ct}
        if body.name:
            listed.append({"name": body.name, **said})
            continue
        content |= said | {"structures": ALL if body.labels else None}
        for each in body.structures:
            mask = each.mask and os.fspath(named[each.mask])
            listed.append({"name": each.name, "label": each.label, "mask": mask})
    if listed:
        content["structures"] = list(map(without_none, listed))
    return without_none(content)


def names_of_bones(bodies: Iterable[BodySource | Body]) -> list[str]:
    """Return the names of all bones of bodies, as far as they are listed."""
    return list(chain.from_iterable(body.bone_names for body in bodies))


def case_name(path: Path) -> str:
    """Return the name of a case by its folder, or by its file where that is no case.json; NAMELESS where it came without a folder."""
    path = path.resolve()
    if not path.is_dir() and path.name != "case.json":
        return path.stem
    folder = path if path.is_dir() else path.parent
    return NAMELESS if upload_root(path) == folder else folder.name


class OfBodies(CaseSettings):
    """What a case and its file have in common: the start pose is that of the first body."""

    bodies: tuple[Any, ...]

    @property
    def world_from_ct(self) -> np.ndarray | None:
        """(4, 4) the start pose, if there is one."""
        return self.bodies[0].world_from_ct

    @world_from_ct.setter
    def world_from_ct(self, pose: np.ndarray | None) -> None:
        first, *others = self.bodies
        self.bodies = (replace(first, world_from_ct=pose), *others)

    @property
    def searches_whole_ct(self) -> bool:
        """Whether nothing is said of the pose, so that a search goes through all of the CT."""
        return self.world_from_ct is None and self.search is None

    @property
    def bone_names(self) -> tuple[str, ...]:
        """The names of all bones that have a pose of their own, as far as they are listed."""
        return tuple(names_of_bones(self.bodies))


@dataclass(eq=False, kw_only=True)
class CaseFile(OfBodies):
    """The content of a case.json as case.schema.json and docs/frames.md describe it.

    Attributes
    ----------
    bodies
        A patient's CT, and implants beside it, or bones with a CT each.
    """

    path: Path
    bodies: tuple[BodySource, ...]
    views: list[ViewRecord]

    @property
    def first(self) -> BodySource:
        """The first body."""
        return self.bodies[0]

    def content(self, named: Mapping[Path, str | os.PathLike]) -> dict[str, Any]:
        """Return the content of the case.json, with these names of its files."""

        def renamed(part: InputFile | None) -> InputFile | None:
            return part and InputFile(os.fspath(named[part.path]), part.path)

        views = []
        for view in self.views:
            files = replace(view, image=renamed(view.image), mask=renamed(view.mask))
            views.append(files.to_json())
        return {
            "version": VERSION,
            **bodies_json(self.bodies, named),
            **self.to_json(),
            "views": views,
        }

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
            # Few cases need what these import.
            from .calibration.from_beads import with_marker_cameras

            views = with_marker_cameras(fields.file, views)
        if any(view.geometry is None or view.has_gaps for view in views):
            from .view_headers import complete_by_headers

            views = complete_by_headers(fields.file, views)
        _refuse_same_view_twice(fields.file, views)
        settings = CaseSettings.of_json(fields, [view.name for view in views])
        bodies = _bodies(fields, folder, settings)
        case = cls(path=path, bodies=bodies, views=views, **vars(settings))
        if not any(body.labels and not body.structures for body in bodies):
            check_structure_truths(fields.file, settings.structure_truths, case.bone_names)
        fields.warn_unread()
        return case


def _bodies(fields: JsonObject, folder: Path, settings: CaseSettings) -> tuple[BodySource, ...]:
    """Return the bodies: a CT with all that is registered of it, then implants; or bones with a CT each."""
    listed: list[JsonObject] = []
    if fields.has("structures") and fields.values["structures"] != ALL:
        if not isinstance(fields.values["structures"], list):
            fields.refuse_value("structures", STRUCTURES)
        listed = fields.sections("structures", "a list of one or more structures")
    unit = _unit(fields, "hu")
    start = fields.optional("world_from_ct", fields.rigid)
    apart = [entry for entry in listed if entry.has("ct")]
    bodies: list[BodySource] = []
    if fields.has("ct") or not apart:
        in_ct = [entry for entry in listed if entry not in apart]
        bodies.append(_patients_ct(fields, folder, unit, in_ct, start))
    else:
        truth = {"truth.world_from_ct"} if settings.truth_world_from_ct is not None else set()
        for key in (*filter(fields.has, OF_ONE_CT), *truth):
            expected = "none, as it belongs to one CT" if key in OF_ONE_CT else "truth.structures"
            fields.refuse(key, "stands beside structures with a CT each", expected, "remove it")
        apart = listed
    for entry in apart:
        body = _with_ct(entry, folder, unit, start)
        if fields.has("ct") and per_mm_of(body.unit) is None:
            expected = f"{MATERIAL}, beside the case's ct"
            entry.refuse("ct_unit", f'is "{body.unit}"', expected, "correct it")
        bodies.append(body)
    with naming(fields.file):
        check_names(names_of_bones(bodies))
    return tuple(bodies)


def _patients_ct(
    fields: JsonObject,
    folder: Path,
    unit: str,
    listed: Sequence[JsonObject],
    world_from_ct: np.ndarray | None,
) -> BodySource:
    """Return the body of a patient's CT with the structures that are listed of it."""
    if fields.has("labels") and not fields.has("structures"):
        fields.refuse("structures", "is missing beside labels", STRUCTURES, "add it")
    if fields.values.get("structures") == ALL and not fields.has("labels"):
        fields.refuse(
            "labels", f'is missing, but structures is "{ALL}"', "the path of a file", "add it"
        )
    series = "the SeriesInstanceUID of one in the folder"
    structures = [_structure(entry, folder, has_labels=fields.has("labels")) for entry in listed]
    ct = _ct_file(fields, folder)
    mask, labels = (
        input_file(fields, key, folder) if fields.has(key) else None for key in ("mask", "labels")
    )
    body = BodySource(
        ct=ct,
        unit=unit,
        series=fields.optional("ct_series", fields.text, series),
        mask=mask,
        labels=labels,
        structures=tuple(structures),
        world_from_ct=world_from_ct,
    )
    refuse_mask_beside_structures(fields.file, body)
    return body


def _structure(entry: JsonObject, folder: Path, *, has_labels: bool) -> StructureSource:
    """Return a structure of the CT, by a mask or by a label or name among the labels."""
    name = view_name(entry, "structure")
    has_label = entry.has("label")
    if entry.has("mask"):
        if has_label:
            entry.refuse(
                "label", "stands beside mask", "one of the two", "remove the one that is wrong"
            )
        return StructureSource(name, mask=input_file(entry, "mask", folder).path)
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
    return StructureSource(name, label)


def _unit(entry: JsonObject, default: str) -> str:
    """Return what the values of a CT mean."""
    given = entry.values.get("ct_unit")
    if isinstance(given, str) and per_mm_of(given):
        entry.has("ct_unit")
        return given
    return entry.optional("ct_unit", entry.choice, UNITS, default=default)


def _with_ct(
    entry: JsonObject, folder: Path, unit: str, world_from_ct: np.ndarray | None
) -> BodySource:
    """Return the body of a structure with a CT of its own; unit and start are those of the case by default."""
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
    return BodySource(
        ct=_ct_file(entry, folder),
        name=name,
        unit=_unit(entry, unit),
        world_from_ct=entry.optional("world_from_ct", entry.rigid, default=world_from_ct),
    )


def refuse_mask_beside_structures(where: str, body: BodySource) -> None:
    """Refuse a body with a mask and structures. `where` begins the sentence."""
    if body.mask and (body.labels or body.structures):
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


def _ct_file(fields: JsonObject, folder: Path) -> InputFile:
    """Return the CT's file or folder; of an export with a single CT series the folder of that."""
    ct = input_file(fields, "ct", folder, "file or DICOM folder")
    return replace(ct, path=ct_folder(ct.path))


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
    """The UIDs by which a case's X-rays are known.

    Attributes
    ----------
    views
        By the view's name, those that were.
    reference_uid
        Of a tracker's frame, where it has one already.
    """

    views: dict[str, DicomImage] = field(default_factory=dict)
    reference_uid: str | None = None


def input_files(file: CaseFile) -> list[tuple[str, Path]]:
    """Return the files of a case, itself among them, with the role of each, which says nothing of a patient."""
    parts = [("case", file.path)]
    for body in file.bodies:
        parts += body.files
    for number, view in enumerate(file.views, start=1):
        images = ((f"X-ray {number}", view.image), (f"mask of X-ray {number}", view.mask))
        parts += [(role, part.path) for role, part in images if part]
    return parts
