"""The record of an X-ray in a scene: what a case.json says of it, and what only a scene knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from json import loads
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.fields import UNCERTAINTY
from ..geometry.machines import CArm, SlotScan, SlotScanCamera
from ..imaging.xray import RawImage, recognised
from ..io.case_file import DicomImage
from ..io.dicom_geometry import EOS_WORLD
from ..io.files import JsonObject, plain
from ..io.isocentre import Stand
from ..io.view_record import ViewRecord, sha256_of

VERSION = 1

#: Of a geometry, by the keys of a case.json.
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Header:
    """What the header of a DICOM image says of how it was taken, as a proposal for its geometry.

    Attributes
    ----------
    kind
        "c_arm" or "slot_scan"; "" for nothing.
    values
        By the keys of its table; of a C-arm without the size, of the first frame.
    missing
        The keys that the header does not say.
    assumptions
        What is assumed of it, a sentence each.
    frames
        Of a C-arm: for each frame the values that are other ones than in the first; empty where
        none is.
    stands
        Of a C-arm: how table and patient lay to the machine in each frame.
    frame_of_reference
        Of a slot scan: its world, see `io.localizer.world_of`.
    """

    kind: str = ""
    values: Values = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    frames: tuple[Values, ...] = ()
    stands: tuple[Stand, ...] = ()
    frame_of_reference: str = ""

    @classmethod
    def read(cls, values: Values) -> Header:
        """Read what `dataclasses.asdict` made of one, and JSON of that."""
        parts: dict[str, Any] = {
            key: tuple(each) if isinstance(each, list) else each for key, each in values.items()
        }
        parts["stands"] = tuple(Stand(**one) for one in parts.get("stands", ()))
        return cls(**parts)

    @property
    def is_eos(self) -> bool:
        """Whether it places an EOS image."""
        return EOS_WORLD in self.assumptions


@dataclass(frozen=True, eq=False)
class XRayRecord(ViewRecord):
    """One X-ray in a scene, without files: the volume of its image and its mask are nodes.

    What only a scene knows of it is here, too.

    Attributes
    ----------
    use
        Whether it takes part in the registration.
    inverted, white
        Whether its grey scale is turned round, and about which value, by default that which the
        values say.
    flipped
        Whether its columns are the other way round than stored.
    image_pixel_mm
        (between columns, between rows) on the detector as the image or a geometry before has it;
        None for unknown.
    origin, origins
        Where the geometry is from, for people; the same of its fields, by their keys, "" for what
        was typed.
    scout
        Its name among the scouts of its CT, "" for another X-ray.
    dicom
        The UIDs of its file.
    header
        What its file's header says of the geometry.
    world
        Where table and patient lay to the machine in the world that a geometry from the header is
        in.
    corrected
        The camera as a registration corrected it.
    """

    use: bool = True
    inverted: bool = False
    white: float | None = None
    flipped: bool = False
    image_pixel_mm: tuple[float, float] | None = None
    origin: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    scout: str = ""
    dicom: DicomImage | None = None
    header: Header = field(default_factory=Header)
    world: Stand | None = None
    corrected: Camera | None = None

    @classmethod
    def of_scene(cls, entry: JsonObject) -> XRayRecord:
        """Read what `scene_json` wrote.

        Raises
        ------
        InputError
            Names the field that is wrong.
        """
        record = cls.read(entry, partial=True)
        kinds: dict[str, Callable[[Any], Any]] = {
            "image_pixel_mm": tuple,
            "dicom": lambda values: DicomImage(**values),
            "header": Header.read,
            "world": lambda values: Stand(**values),
            "corrected": record.camera_like,
        }
        given = {key: entry.values[key] for key in OF_SCENE if key in entry.values}
        return replace(
            record,
            **{key: kinds[key](value) if key in kinds else value for key, value in given.items()},
        )

    def scene_json(self) -> dict[str, Any]:
        """Return it as the X-ray's node keeps it, which has the name."""
        entry = self.to_json()
        del entry["name"]
        given = {
            key: value for key in OF_SCENE if (value := getattr(self, key)) not in (None, Header())
        }
        return plain({"version": VERSION, **entry, **given})

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that the record says but the name."""
        return sha256_of(self.scene_json())

    @property
    def inputs(self) -> dict[str, Any]:
        """The values on which a registration depends; null where they are the default."""
        stated = {
            key: "unknown" if value is None else value for key, value in self.uncertainty.items()
        }
        return {
            **dict.fromkeys(UNCERTAINTY),
            **stated,
            **self.comparable_geometry,
            "pixel_mm": self.image_pixel_mm,
            "frame": self.frame,
            "intensity": self.intensity,
            "inverted": self.inverted,
            "flipped": self.flipped or None,
        }

    @property
    def detector_pixel_mm(self) -> tuple[float, float] | None:
        """(between columns, between rows) on the detector; None for unknown."""
        return self.image_pixel_mm or (
            self.geometry.pixel_mm if isinstance(self.geometry, CArm) else None
        )

    @property
    def shown_frame(self) -> int:
        """The frame of its volume that is registered, from 0."""
        return self.frame or 0

    @property
    def stand(self) -> Stand | None:
        """How table and patient lay to the machine in the frame that is registered, as far as the header says it."""
        return self.header.stands[self.shown_frame] if self.header.stands else None

    @property
    def c_arm_proposal(self) -> dict[str, Any]:
        """What the header says of a C-arm in the frame that is registered."""
        frame = self.header.frames[self.shown_frame] if self.header.frames else {}
        return {**self.header.values, **frame} if self.header.kind == "c_arm" else {}

    @property
    def slot_scan(self) -> Values:
        """The slot scan as in a case.json, or what the header says of one.

        Empty for any other X-ray.
        """
        if isinstance(self.geometry, SlotScan):
            return self.geometry.to_json()
        return self.header.values if self.header.kind == "slot_scan" else {}

    def camera_like(self, values: Values) -> Camera:
        """Return the camera of the kind of its geometry that `Camera.to_json` wrote, whatever else is said beside."""
        kind = SlotScanCamera if isinstance(self.geometry, SlotScan) else Camera
        return kind(values["intrinsics"], values["camera_from_world"], values["size"])

    def is_given_as(self, other: XRayRecord) -> bool:
        """Return whether it says the same as another record of what a person gives an X-ray in the table of geometries."""
        return self.with_geometry_of(other) == self

    def with_geometry_of(self, other: XRayRecord) -> XRayRecord:
        """Return the record with the geometry, its certainty and the meaning of the grey values of another one."""
        return replace(self, **{key: getattr(other, key) for key in OF_GEOMETRY})


#: What a person gives an X-ray in the table of geometries.
OF_GEOMETRY = (
    *(
        "geometry",
        "distortion",
        "uncertainty",
        "assumptions",
        "image_pixel_mm",
        "origin",
        "origins",
        "world",
        "marker",
    ),
    *("intensity", "inverted"),
)
#: What only a scene has.
_OF_CASE = {each.name for each in fields(ViewRecord)}
OF_SCENE = tuple(each.name for each in fields(XRayRecord) if each.name not in _OF_CASE)


@lru_cache(maxsize=64)  # used many times a second
def record_of(name: str, text: str) -> XRayRecord:
    """Return the record of the X-ray with a name that its node keeps as this text.

    Raises
    ------
    InputError
        Where the text is not that of a record, beginning with the name.
    """
    content = loads(text)
    if content.pop("version", VERSION) != VERSION:
        raise InputError(
            f"{name}: the scene was saved by another version of this program. Open it with that "
            "version."
        )
    return XRayRecord.of_scene(JsonObject(name, "", content))


def greys_of(raw: RawImage, intensity: str = "auto") -> dict[str, Any]:
    """Return the fields of a view's record that say what the grey values of its image are.

    Raises
    ------
    InputError
        Where the image does not show it.
    """
    intensity, inverted = recognised(raw, intensity)
    return {"intensity": intensity, "inverted": inverted, "white": raw.white if inverted else None}


def name_of(path: Path) -> str:
    """Return a file's name without what says its format."""
    return re.sub(r"(\.nii)?\.[A-Za-z]\w{0,4}$", "", path.name) or path.name
