"""An X-ray as it is described.

Its files, how it was taken and how well that is known, and what its grey values are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera, Distortion, EqualAngles, check_size
from ..geometry.fields import (
    FANS,
    PRESUMED,
    PRESUMED_PRINCIPAL_POINT_SD_SHARE,
    SLOT_SCAN_UNCERTAINTY,
    STEP_SD,
    TABLES,
    TAKEN,
    Field,
    Table,
    usual_uncertainty,
)
from ..geometry.machines import CArm, SlotScan
from ..imaging.body import MAX_NAME_LENGTH, NOT_IN_FILE_NAMES, fits_file_names
from ..imaging.dicom_file import DicomFrame, read_dicom
from ..imaging.image_source import is_dicom
from ..known import without_none
from .files import InputFile, JsonObject, input_file, printable

if TYPE_CHECKING:
    from typing_extensions import Self

INTENSITIES = ("linear", "log", "auto")
#: The kinds of geometry, by their keys in a view of a case.json.
GEOMETRIES = ("projection_matrix", "camera", "c_arm", "slot_scan")
#: Kinds of geometry of which a DICOM header may say some fields.
DESCRIBED: dict[str, type[CArm] | type[SlotScan]] = {"c_arm": CArm, "slot_scan": SlotScan}
Described = TypeVar("Described", bound=CArm | SlotScan)
#: What a marker is fixed to, and what is assumed then.
FIXED_TO = {
    "patient": "The marker is taken as fixed to the patient.",
    "world": "The marker is fixed to the table: the patient is taken as still between the X-rays.",
}


@dataclass(frozen=True)
class Readings:
    """Geometry of a C-arm or a slot scan of which something is missing.

    Attributes
    ----------
    kind
        "c_arm" or "slot_scan".
    values
        By the keys of its table, as a case.json has them.
    """

    kind: str
    values: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the readings as a case.json has them."""
        return dict(self.values)


#: A matrix (3, 4) takes world mm to pixels at any scale and sign: which side is before the source
#: only the CT tells.
Geometry = CArm | SlotScan | Camera | np.ndarray | Readings | None


@dataclass(frozen=True, eq=False)
class ViewRecord:
    """One X-ray, as an entry of "views" in a case.json says it.

    Two are equal where they say the same.

    Attributes
    ----------
    image, mask
        None where they come from no file.
    frame
        Of a multi-frame image, from 0.
    intensity
        One of INTENSITIES.
    geometry
        How it was taken; None where nobody says it.
    distortion
        Of the image as it was taken; only ever with a `Camera`, whose intrinsics it goes with.
    size
        Columns and rows of the image that a matrix is for, None where nobody says it.
    uncertainty
        The standard deviations that are stated, by key; None for unknown. See `deviations`.
    assumptions
        What is assumed of the geometry, a sentence each.
    marker
        What the marker is fixed to that gave the geometry, one of FIXED_TO, "" without one.
    marker_model
        File of the marker's beads, from which the geometry is still to be found.
    taken
        How else it was taken, by the keys of `geometry.fields.TAKEN`.
    field, geometry_field
        Its name, and that of its geometry, in messages: "views[0]", "case.json: views[0].c_arm".
    """

    name: str
    image: InputFile | None = None
    frame: int | None = None
    intensity: str = INTENSITIES[0]
    mask: InputFile | None = None
    geometry: Geometry = None
    distortion: Distortion | None = None
    size: tuple[int, int] | None = None
    uncertainty: Mapping[str, float | None] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    marker: str = ""
    marker_model: InputFile | None = None
    taken: Mapping[str, Any] = field(default_factory=dict)
    field: str = ""
    geometry_field: str = ""

    @classmethod
    def read(cls, entry: JsonObject, folder: Path | None = None, *, partial: bool = False) -> Self:
        """Read an entry of "views".

        Parameters
        ----------
        folder
            To which paths are relative; None for an entry without files.
        partial
            Whether all or some of its geometry may be missing.

        Raises
        ------
        InputError
            Names the field that is wrong or missing. What the header of a DICOM image can say may
            be missing.
        """
        image = None if folder is None else input_file(entry, "image", folder)
        frame = entry.optional("frame", entry.integer, "a frame's number, from 0", least=0)
        expected = "a list of sentences on what is assumed of the geometry"
        assumptions = entry.optional("assumptions", entry.value, expected, list, default=[])
        if not all(isinstance(one, str) for one in assumptions):
            entry.refuse_value("assumptions", expected)
        marker, model = _read_marker(entry, folder)
        elsewhere = model is not None or (image is not None and is_dicom(image.path))
        kind, geometry, distortion = _read_geometry(entry, partial or elsewhere)
        intensity = INTENSITIES[0] if image is None else default_intensity(image.path, frame)
        return cls(
            name=entry.file if folder is None else view_name(entry),
            image=image,
            frame=frame,
            intensity=entry.optional("intensity", entry.choice, INTENSITIES, default=intensity),
            mask=input_file(entry, "mask", folder)
            if folder is not None and entry.has("mask")
            else None,
            geometry=geometry,
            distortion=distortion,
            size=_read_size(entry, kind),
            uncertainty=read_uncertainty(entry, kind or "slot_scan"),  # which a header may say
            assumptions=tuple(map(printable, assumptions)),
            marker=marker,
            marker_model=model,
            taken={
                **(taken_by_header(image.path, frame) if image else {}),
                **read_fields(entry, TAKEN),
            },
            field=entry.name or entry.file,
            geometry_field=f"{entry.file}: {entry.label(kind)}",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the entry of "views"; `read` makes an equal record of it."""
        files = {
            "image": self.image and self.image.written,
            "mask": self.mask and self.mask.written,
        }
        entry = {"name": self.name, **files, "frame": self.frame, "intensity": self.intensity}
        entry = without_none(entry)
        model = {"model": self.marker_model.written} if self.marker_model else {}
        assumptions = {"assumptions": list(self.assumptions)} if self.assumptions else {}
        marker = {"marker": {**model, "fixed_to": self.marker}} if self.marker else {}
        beside = {**self.taken, **self.uncertainty, **assumptions, **marker}
        return {**entry, **beside, **self.geometry_json}

    @property
    def geometry_json(self) -> dict[str, Any]:
        """The keys of `to_json` that say how the X-ray was taken."""
        if self.geometry is None:
            return {}
        bent = (
            {} if self.distortion is None else {"distortion": self.distortion.coefficients.tolist()}
        )
        if isinstance(self.geometry, np.ndarray):
            size = {} if self.size is None else {"size": list(self.size)}
            return {"projection_matrix": self.geometry.tolist(), **size}
        return {self.kind: self.geometry.to_json(), **bent}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that the record says."""
        return sha256_of(self.to_json())

    @property
    def comparable_geometry(self) -> dict[str, Any]:
        """`geometry_json` with null for what it is not.

        Equal for equal geometries, of which a scene keeps SHA-256 sums.
        """
        return {**dict.fromkeys(GEOMETRIES[:3]), **self.geometry_json}

    @property
    def geometry_fingerprint(self) -> str:
        """SHA-256 of the geometry alone: two X-rays with the same were taken alike."""
        steps = {key: sd for key, sd in self.uncertainty.items() if key == STEP_SD.key}
        return sha256_of({**self.comparable_geometry, **steps})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ViewRecord) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def kind(self) -> str:
        """One of GEOMETRIES, "" for none."""
        kinds = {
            CArm: "c_arm",
            SlotScan: "slot_scan",
            np.ndarray: "projection_matrix",
            type(None): "",
        }
        return (
            self.geometry.kind
            if isinstance(self.geometry, Readings)
            else kinds.get(type(self.geometry), "camera")
        )

    @property
    def image_path(self) -> Path:
        """Path of the image, which every view of a case.json has."""
        assert self.image is not None
        return self.image.path

    @property
    def pixel_mm(self) -> tuple[float, float] | None:
        """(between columns, between rows) on the detector of a C-arm, at the isocentre of a slot scan; None of another geometry."""
        return self.geometry.pixel_mm if isinstance(self.geometry, (CArm, SlotScan)) else None

    @property
    def has_gaps(self) -> bool:
        """Whether something of its geometry is missing, which a header or a person may know."""
        return isinstance(self.geometry, Readings)

    @property
    def readings(self) -> dict[str, Any]:
        """What is known of a geometry of which something is missing."""
        return dict(self.geometry.values) if isinstance(self.geometry, Readings) else {}

    @property
    def deviations(self) -> dict[str, Any]:
        """The standard deviations of its camera by their keys in a `View`.

        Those stated, the usual ones, and what is `presumed`.
        """
        usual = usual_uncertainty(self.kind, self.pixel_mm or (1.0, 1.0))
        return {**usual, **self.uncertainty, **self.presumed}

    @property
    def presumed(self) -> dict[str, float]:
        """How well the verdict takes an unstated principal point of a matrix to be known.

        By its key in a `View`; none of another geometry.
        """
        given = self.geometry
        if "principal_point_sd_px" in self.uncertainty or not isinstance(
            given, Camera | np.ndarray
        ):
            return {}
        camera = (
            given if isinstance(given, Camera) else Camera.from_projection_matrix(given, (1, 1))
        )
        return {PRESUMED: PRESUMED_PRINCIPAL_POINT_SD_SHARE * camera.focal_px}

    @cached_property
    def own_camera(self) -> Camera | None:
        """The camera that the geometry says without the image; None of a matrix."""
        given = self.geometry
        if isinstance(given, (CArm, SlotScan)):
            return given.camera()
        return given if isinstance(given, Camera) else None

    def camera(self, size: tuple[int, int]) -> Camera:
        """Return the camera of an image of `size` (columns, rows).

        A projection matrix is taken as not mirrored.

        Raises
        ------
        InputError
            Where the record gives another size, or no geometry.
        """
        if self.geometry is None or self.has_gaps:
            raise InputError(
                f"{self.name}: has no geometry, expected C-arm angles and distances, or a matrix; "
                "enter them."
            )
        own = self.own_camera
        said, name = (self.size, self.field) if own is None else (own.size, self.geometry_field)
        if said not in (None, size):
            raise InputError(
                f"{name}.size is {list(said)}, but the image has "
                f"{size[0]} columns and {size[1]} rows, expected the size of the image as it is "
                "stored; correct it or the image."
            )
        return own or Camera.from_projection_matrix(self.geometry, size)

    @property
    def lens(self) -> tuple[np.ndarray, Distortion | EqualAngles] | None:
        """Intrinsics (3, 3) and distortion of the image as it was taken; None of an ideal one."""
        bent = isinstance(self.geometry, SlotScan) and self.geometry.fan != FANS[0]
        distortion = EqualAngles() if bent else self.distortion
        return (
            None
            if distortion is None or self.own_camera is None
            else (self.own_camera.intrinsics, distortion)
        )

    @cached_property
    def flat(self) -> Self:
        """The record of its image once the distortion is undone."""
        geometry = (
            replace(self.geometry, fan=FANS[0])
            if isinstance(self.geometry, SlotScan)
            else self.geometry
        )
        return replace(self, geometry=geometry, distortion=None)

    def completed(self, file: str, values: dict[str, Any], assumed: list[str]) -> ViewRecord:
        """Return the record with all values of its `Readings`, and what was assumed for them.

        Raises
        ------
        InputError
            Where they are no geometry, beginning with `file`.
        """
        assumptions = (*self.assumptions, *(one for one in assumed if one not in self.assumptions))
        section = JsonObject(file, f"{self.field}.{self.kind}", values)
        geometry = read_described(section, DESCRIBED[self.kind])
        read_uncertainty(JsonObject(file, self.field, dict(self.uncertainty)), self.kind)
        return replace(
            self,
            geometry=geometry,
            geometry_field=f"{file}: {section.name}",
            assumptions=assumptions,
        )


def sha256_of(content: Any) -> str:
    """Return the SHA-256 of JSON values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def default_intensity(image: Path, frame: int | None) -> str:
    """Return the intensity of a file where nobody says it.

    Linear, unless a DICOM header says otherwise.
    """
    dicom = read_dicom(image) if is_dicom(image) else None
    if dicom is None:
        return INTENSITIES[0]
    from ..imaging.dicom_image import has_grey_scale

    return "auto" if has_grey_scale(dicom, frame) else INTENSITIES[0]


def taken_by_header(image: Path, frame: int | None) -> dict[str, Any]:
    """Return what the header of a DICOM image says of `TAKEN`, without what is damaged."""
    dicom = read_dicom(image)
    found: dict[str, Any] = {}
    for key, each in TAKEN.items():
        with suppress(InputError):
            value = dicom and DicomFrame(dicom, frame or 0).number(each.dicom)
            found |= {key: each.check(value)} if value else {}
    return found


def view_name(fields: JsonObject, kind: str = "view") -> str:
    """Return the name of a view, or of something else of this kind.

    Raises
    ------
    InputError
        For one that could not be part of a file's.
    """
    name = fields.text("name", f"a name for the {kind}")
    if not fits_file_names(name):
        expected = f"at most {MAX_NAME_LENGTH} characters without {NOT_IN_FILE_NAMES} and no space or dot at an end"
        fields.refuse_value("name", expected, f"rename the {kind}, as files get its name")
    return name


def read_uncertainty(fields: JsonObject, kind: str) -> dict[str, float | None]:
    """Return the standard deviations that are stated for a camera of this kind."""
    if fields.has(STEP_SD.key) and kind != "slot_scan":
        fields.refuse(
            STEP_SD.key,
            "stands beside another geometry",
            "a slot_scan, whose rows it is about",
            "remove it",
        )
    found: dict[str, float | None] = {}
    for key in filter(fields.has, SLOT_SCAN_UNCERTAINTY):
        sd = SLOT_SCAN_UNCERTAINTY[key]
        unknown = sd.nullable and fields.values[key] is None
        found[key] = None if unknown else fields.number(key, sd.expected, least=sd.least)
    return found


def read_fields(section: JsonObject, table: Table, *, whole: bool = True) -> dict[str, Any]:
    """Return the values that a section gives of a table, each of its kind.

    Parameters
    ----------
    whole
        Whether those that are required have to be there.
    """
    missing = [
        key for key, each in table.items() if each.required and whole and not section.has(key)
    ]
    if len(missing) > 1:
        raise InputError(
            f"{section.file}: {section.name} is missing {', '.join(missing)}; add them."
        )
    wanted = [key for key in table if section.has(key) or key in missing]
    return {key: _value(section, table[key]) for key in wanted}


def _value(section: JsonObject, each: Field) -> Any:
    if each.is_truth:
        return section.value(each.key, each.expected, bool)
    if each.choices:
        return section.choice(each.key, tuple(each.choices))
    if each.shape:
        return section.array(each.key, each.shape, each.expected)
    return section.number(each.key, each.expected)


def read_described(section: JsonObject, kind: type[Described]) -> Described:
    """Return the C-arm or slot scan that a section describes."""
    table = TABLES[next(key for key, each in DESCRIBED.items() if each is kind)]
    geometry: Described = _built(kind, section, **read_fields(section, table))
    _built(geometry.camera, section)
    return geometry


def _read_marker(entry: JsonObject, folder: Path | None) -> tuple[str, InputFile | None]:
    """Return what the marker of an entry is fixed to, "" without one, and the file of its beads.

    Without that file the geometry beside it was found from the marker before.
    """
    if not entry.has("marker"):
        return "", None
    section = entry.section("marker")
    named = folder is not None and section.has("model")
    model = input_file(section, "model", folder) if named and folder is not None else None
    return section.choice("fixed_to", tuple(FIXED_TO)), model


def _read_geometry(entry: JsonObject, partial: bool) -> tuple[str, Geometry, Distortion | None]:
    """Return the kind of the one geometry of an entry, itself, and the distortion beside it.

    Parameters
    ----------
    partial
        Whether a header, or a person, may say what is missing.
    """
    given = [key for key in GEOMETRIES if entry.has(key)]
    if len(given) > 1 or not (given or partial):
        what, remedy = (
            (" and ".join(given), "keep one")
            if given
            else ("no geometry, and its image no DICOM header with one", "add the one you know")
        )
        raise InputError(
            f"{entry.file}: {entry.name} has {what}, expected one of {', '.join(GEOMETRIES)}; "
            f"{remedy}."
        )
    kind = given[0] if given else ""
    if kind != "camera" and entry.has("distortion"):
        entry.refuse(
            "distortion",
            f"stands beside {kind or 'no geometry'}",
            "a camera, whose intrinsics it goes with",
            "give the geometry as a camera, or undistort the image",
        )
    if not kind:
        return kind, None, None
    if kind == "projection_matrix":
        matrix = entry.array(
            kind, (3, 4), "3 rows of 4 numbers that take world mm (LPS) to pixels", limit=1e100
        )
        _built(Camera.from_projection_matrix, entry, projection_matrix=matrix, size=(1, 1))
        return kind, matrix, None
    section = entry.section(kind)
    if kind == "camera":
        camera = _built(Camera, section, **read_fields(section, TABLES[kind]))
        expected = "OpenCV's coefficients, [k1, k2, p1, p2, k3, ...]"
        coefficients = entry.optional("distortion", entry.array, (None,), expected)
        return (
            kind,
            camera,
            None if coefficients is None else _built(Distortion, entry, coefficients=coefficients),
        )
    lacking = [
        key for key, each in TABLES[kind].items() if each.required and key not in section.values
    ]
    if partial and lacking:
        read_fields(section, TABLES[kind], whole=False)
        return kind, Readings(kind, section.values), None
    return kind, read_described(section, DESCRIBED[kind]), None


def _read_size(entry: JsonObject, kind: str) -> tuple[int, int] | None:
    """Return the size of the image that a projection matrix is for; None where it is not said."""
    if not entry.has("size"):
        return None
    if kind != "projection_matrix":
        entry.refuse(
            "size",
            f"stands beside {kind or 'no geometry'}",
            "a projection_matrix, for whose image it is",
            "remove it",
        )
    return _built(check_size, entry, size=entry.array("size", (2,), "[columns, rows]"))


def _built(kind: Callable[..., Any], fields: JsonObject, **values: Any) -> Any:
    """Return `kind(**values)`; its errors begin with a keyword, and here name that as it stands in the file."""
    try:
        with np.errstate(
            over="ignore"
        ):  # infinite intrinsics, of a pixel of 1e-308 mm, are refused
            return kind(**values)
    except InputError as error:
        raise InputError(f"{fields.file}: {fields.label(str(error))}") from None


#: An assumption: a mask leaves out what did not fit at an earlier pose.
LEFT_OUT = "What did not fit at an earlier pose, and its mask leaves out, is none of the CT."
