"""The fields that say how an X-ray was taken, and how well that is known.

One table for files, command line, editor and reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import InputError
from . import rigid
from .camera import check_size

#: Units as a person reads them behind a number.
UNIT_WORDS = {"deg": "degrees", "percent": "%"}


@dataclass(frozen=True)
class Field:
    """A value that says how an X-ray was taken.

    Attributes
    ----------
    key
        Its name in a case.json, where a unit is at its end.
    words
        Its name for a person, within a sentence.
    help
        What it means, for a person who has to give it, the words of a sentence without its full
        stop; `choices` say it themselves.
    expected
        What a message expects: "a number of mm".
    shape
        () for a number, (n,) for a list, (n, m) for rows; None for a text.
    unit
        "mm", "deg", "px", "percent", or "" for none.
    least, above, most
        The range of each number.
    usual
        The range of what a person may type; beyond it is a slip of the keyboard.
    whole
        Whether it is the size of an image, whole numbers above 0.
    choices
        In place of numbers: the values that it may have, and what each means, "" for what needs no
        word.
    nullable
        Whether it may be null, for unknown.
    required
        Whether a geometry needs it.
    asked
        Whether a person has to give it where nothing else says it.
    default
        Where it is left out.
    remedy
        What to do where it is out of its range.
    dicom
        The attribute of a DICOM header that says it.
    """

    key: str
    words: str
    help: str = ""
    expected: str = ""
    _: KW_ONLY
    shape: tuple[int, ...] | None = ()
    unit: str = ""
    least: float = -np.inf
    above: float = -np.inf
    most: float = np.inf
    usual: tuple[float, float] = (-1e5, 1e5)
    whole: bool = False
    choices: Mapping[Any, str] = field(default_factory=dict)
    nullable: bool = False
    required: bool = False
    asked: bool = False
    default: Any = None
    remedy: str = "correct it"
    dicom: str = ""

    @property
    def title(self) -> str:
        """The field's name with its unit, to stand alone."""
        unit = UNIT_WORDS.get(self.unit, self.unit)
        return self.words[0].upper() + self.words[1:] + (f", {unit}" if unit else "")

    @property
    def is_truth(self) -> bool:
        """Whether the field is true or false."""
        return any(value is True for value in self.choices)

    @property
    def labels(self) -> dict[str, Any]:
        """The choices by what a person types."""
        if self.is_truth:
            return {"yes" if value else "no": value for value in self.choices}
        return {str(value): value for value in self.choices}

    @property
    def allowed(self) -> str:
        """The choices in words, each with its meaning."""
        meanings = zip(self.labels, self.choices.values(), strict=True)
        *others, last = (
            f"{label} ({meaning})" if meaning else label for label, meaning in meanings
        )
        return f"{', '.join(others)} or {last}" if others else last

    @property
    def sentence(self) -> str:
        """The field's meaning, a sentence."""
        words = self.help or self.allowed
        return words[0].upper() + words[1:] + "."

    @property
    def range(self) -> str:
        """The range in words, "" for any number."""
        if np.isfinite(self.least) and np.isfinite(self.most):
            return f"{self.least:g} to {self.most:g}"
        if self.above == 0:
            return "more than 0"
        return "0 or more" if self.least == 0 else ""

    def check(self, value: Any) -> Any:
        """Return the value as a float, a tuple of floats, or a choice.

        Raises
        ------
        InputError
            Beginning with the key, where it is of another kind or out of its range.
        """
        if self.choices and (
            value not in self.choices or isinstance(value, bool) is not self.is_truth
        ):
            raise InputError(
                f"{self.key}: found {value!r}, expected {self.expected or self.allowed}; choose "
                "one of these."
            )
        if self.choices or self.shape is None:
            return value
        if self.whole:
            return check_size(value)
        numbers = rigid.check_numbers(value, self.shape, self.key)
        if (
            (numbers < self.least).any()
            or (numbers <= self.above).any()
            or (numbers > self.most).any()
        ):
            found = ", ".join(f"{number:g}" for number in np.ravel(numbers))
            raise InputError(f"{self.key}: found {found}, expected {self.range}; {self.remedy}.")
        return tuple(numbers.tolist()) if self.shape else float(numbers)


Table = dict[str, Field]


def table_of(*fields: Field) -> Table:
    """Return fields by their keys."""
    return {field.key: field for field in fields}


def check_fields(table: Table, values: Any) -> None:
    """Check the attributes of a frozen dataclass by a table, and set each to what `Field.check` makes of it."""
    for key, each in table.items():
        if (value := getattr(values, key)) is not None or each.required:
            object.__setattr__(values, key, each.check(value))


def to_json(table: Table, values: Any) -> dict[str, Any]:
    """Return what a case.json says of the attributes.

    Numbers, lists and words, without what is as by default and needs no word.
    """
    given = {key: getattr(values, key) for key, field in table.items()}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in given.items()
        if value is not None
        and (table[key].required or table[key].asked or value != table[key].default)
    }


ABOUT_MM = "a number of mm"
ABOUT_DEGREES = "a number of degrees"
DIRECTION = "a direction [x, y, z] in the world (LPS)"
SIZE = Field(
    "size",
    "size of the image",
    "[columns, rows] of the image as it is stored",
    "[columns, rows] of the image",
    shape=(2,),
    whole=True,
    required=True,
)


def _asked(key: str, words: str, help: str, expected: str, **more: Any) -> Field:
    """Return a field that a geometry needs, and that a person may have to give."""
    return Field(key, words, help, expected, required=True, asked=True, **more)


#: Fields of a C-arm, see `machines.CArm`.
C_ARM = table_of(
    _asked(
        "source_to_detector_mm",
        "source to detector",
        "SID or SDD, along the central ray",
        ABOUT_MM,
        unit="mm",
        above=0,
        usual=(0.01, 10000),
    ),
    _asked(
        "source_to_isocentre_mm",
        "source to isocentre",
        "SOD, to the point about which the C-arm turns; the world's origin lies there",
        ABOUT_MM,
        unit="mm",
        above=0,
        usual=(0.01, 10000),
    ),
    _asked(
        "pixel_mm",
        "pixel size",
        "from one pixel to the next on the detector itself, between columns and between rows",
        "the mm between [columns, rows] on the detector",
        shape=(2,),
        unit="mm",
        above=0,
        usual=(0.0001, 10),
    ),
    SIZE,
    _asked(
        "rao_lao_deg",
        "LAO/RAO angle",
        "primary angle: how far the detector is turned, positive towards the patient's left (LAO)",
        ABOUT_DEGREES,
        unit="deg",
        usual=(-180, 180),
    ),
    _asked(
        "cra_cau_deg",
        "CRA/CAU angle",
        "secondary angle: how far the detector is tilted, positive towards the head (CRA)",
        ABOUT_DEGREES,
        unit="deg",
        least=-90,
        most=90,
        usual=(-90, 90),
        remedy="beyond that turn rao_lao_deg and roll_deg by 180",
    ),
    Field(
        "mirrored",
        "whether the patient's right is on the left of the image",
        expected="true or false",
        choices={
            True: "as seen from the detector, at 0/0 degrees with the patient's right on the left",
            False: "as seen from the source",
        },
        asked=True,
        default=False,
    ),
    Field(
        "principal_point",
        "principal point",
        "the pixel [column, row] that the central ray meets, from 0; the middle of the image if "
        "left out",
        "a pixel [column, row]",
        shape=(2,),
        unit="px",
    ),
    Field(
        "roll_deg",
        "roll",
        "turn of the image about the central ray, clockwise as the source sees it",
        ABOUT_DEGREES,
        unit="deg",
        usual=(-360, 360),
        default=0.0,
    ),
    Field(
        "isocentre_offset_mm",
        "isocentre off the axis",
        "by how much the central ray misses the isocentre, [x, y] in the camera",
        "[x, y] in mm",
        shape=(2,),
        unit="mm",
        usual=(-1000, 1000),
        default=(0.0, 0.0),
    ),
)

FAN = {
    "flat": "columns at equal distances on a plane",
    "equal_angles": "as on a detector bent about the source",
}
FANS = tuple(FAN)
#: Fields of a slot scan, see `machines.SlotScan`.
SLOT_SCAN = table_of(
    _asked(
        "isocentre",
        "isocentre",
        "where the first row's central ray meets the plane in which pixel_mm holds, x,y,z in world "
        "mm (LPS)",
        "a point [x, y, z] in world mm (LPS), of the first row",
        shape=(3,),
        unit="mm",
    ),
    _asked(
        "isocentre_to_source",
        "side of the tube",
        "direction from the isocentre to the X-ray tube, x,y,z (LPS): 0,1,0 is behind the patient, "
        "1,0,0 at the left",
        DIRECTION,
        shape=(3,),
    ),
    _asked(
        "source_to_isocentre_mm",
        "source to isocentre",
        "SOD, to the plane in which pixel_mm holds",
        ABOUT_MM,
        unit="mm",
        above=0,
        usual=(0, 10000),
    ),
    _asked(
        "columns_along",
        "way of the columns",
        "direction in which columns follow each other, x,y,z (LPS)",
        DIRECTION,
        shape=(3,),
    ),
    _asked(
        "rows_along",
        "way of the rows",
        "direction in which rows follow each other, that of the scan, x,y,z (LPS)",
        DIRECTION,
        shape=(3,),
    ),
    _asked(
        "pixel_mm",
        "pixel size",
        "between columns at the isocentre, between rows along the scan",
        "the mm between [columns at the isocentre, rows along the scan]",
        shape=(2,),
        unit="mm",
        above=0,
    ),
    SIZE,
    Field(
        "central_column",
        "central column",
        "column of the central ray, from 0; the middle of the image if left out",
        "a column",
        unit="px",
    ),
    Field("fan", "fan", choices=FAN, default=FANS[0]),
)

#: Fields of a camera, see `camera.Camera`.
CAMERA = table_of(
    Field(
        "intrinsics",
        "intrinsics",
        "upper triangular, in pixels; fx is negative where the image is mirrored",
        "3 rows of 3 numbers, in pixels",
        shape=(3, 3),
        required=True,
    ),
    Field(
        "camera_from_world",
        "camera_from_world",
        "rotation and translation in mm, as rows; the last is 0, 0, 0, 1",
        "a rigid matrix of 4 rows of 4 numbers",
        shape=(4, 4),
        required=True,
    ),
    SIZE,
)

#: By the kind of geometry, the key of a view in a case.json.
TABLES = {"camera": CAMERA, "c_arm": C_ARM, "slot_scan": SLOT_SCAN}
#: What is kept of an X-ray beside its geometry, from case or header to result, page and scene.
TAKEN = table_of(
    Field(
        "exposure_kv",
        "tube voltage",
        unit="kV",
        help="peak voltage of the tube",
        expected="a number of kV",
        above=0,
        dicom="KVP",
    )
)

OR_UNKNOWN = "0 or more, or null if unknown"
ZERO_OR_MORE = "0 or more"
#: Standard deviations of a camera; 0 is exact. The defaults are those of a calibration, which is
#: right to half a pixel: it is reproduced to 0.2 mm on the detector (Daly et al., Med Phys 35,
#: 2008).
UNCERTAINTY = table_of(
    Field(
        "rotation_sd_deg",
        "angles",
        "of its camera against the first view, about each axis; 0 is exact",
        OR_UNKNOWN,
        unit="deg",
        least=0,
        usual=(0, 180),
        nullable=True,
        default=0.0,
    ),
    Field(
        "translation_sd_mm",
        "place",
        "of its camera against the first view, along each axis; 0 is exact",
        OR_UNKNOWN,
        unit="mm",
        least=0,
        usual=(0, 1000),
        nullable=True,
        default=0.0,
    ),
    Field(
        "principal_point_sd_px",
        "principal point",
        "of its principal point, along each axis, in pixels of the stored image; 0 is exact",
        ZERO_OR_MORE,
        unit="px",
        least=0,
        usual=(0, 1000),
        default=0.5,
    ),
    Field(
        "distance_sd_percent",
        "distance",
        "of its distance from source to detector, of a slot scan of the width of its fan; 0 is "
        "exact",
        ZERO_OR_MORE,
        unit="percent",
        least=0,
        usual=(0, 50),
        default=0.1,
    ),
)
STEP_SD = Field(
    "step_sd_percent",
    "rows' distance",
    "of the distance between the rows of a slot scan; 0 is exact",
    ZERO_OR_MORE,
    unit="percent",
    least=0,
    usual=(0, 50),
    default=0.1,
)
#: How a slot scan calls the same, whose distance shows in the width of its fan; and what it has
#: beside.
SLOT_SCAN_UNCERTAINTY = UNCERTAINTY | table_of(
    replace(UNCERTAINTY["principal_point_sd_px"], words="central column"),
    replace(UNCERTAINTY["distance_sd_percent"], words="width of the fan"),
    STEP_SD,
)

#: Angles and distances read off a C-arm, from a header or typed, and how far the principal point
#: moves on the detector as the C-arm bends: by up to 16 mm, its source by 8 mm and its detector by
#: 3 degrees on a mobile one (Daly et al.).
C_ARM_SD = {"rotation_sd_deg": 1.0, "translation_sd_mm": 3.0, "distance_sd_percent": 1.0}
C_ARM_PRINCIPAL_POINT_SD_MM = 3.0
#: A matrix of which nothing is stated may not have been measured where its X-ray was taken: to the
#: verdict its principal point is known no better than a C-arm's, by the same 3 mm on a detector a
#: metre away. As a share of that distance it needs no size of a pixel.
PRESUMED_PRINCIPAL_POINT_SD_SHARE = C_ARM_PRINCIPAL_POINT_SD_MM / 1000
PRESUMED = "presumed_principal_point_sd_px"
#: What a person states of a matrix that was measured where its X-ray was taken, by its key.
CALIBRATION = {"principal_point_sd_px": UNCERTAINTY["principal_point_sd_px"].default}
#: A slot scan by a machine's own word: of a CT scanner's scouts the fan was 0.4 and 0.8 % wider
#: than that (docs/scouts.md). EOS shows beads 0.33 mm higher in the lateral image than in the
#: frontal one, by series 1.75 to 1.94 pixels (132 images of github.com/kkjaergaard/eos-rsa): place
#: and centre count 0.8 mm between two images.
SLOT_SCAN_SD = {
    "rotation_sd_deg": 0.1,
    "translation_sd_mm": 0.3,
    "distance_sd_percent": 0.5,
    STEP_SD.key: 0.1,
}
SLOT_SCAN_CENTRE_SD_MM = 0.5


def usual_uncertainty(
    kind: str = "camera", pixel_mm: tuple[float, float] = (1.0, 1.0)
) -> dict[str, float | None]:
    """Return the standard deviations that are usual for a geometry, by key.

    Parameters
    ----------
    kind
        "c_arm", "slot_scan", or another for a calibration.
    pixel_mm
        Of the first two, (between columns, between rows).
    """
    usual: dict[str, float | None] = {key: field.default for key, field in UNCERTAINTY.items()}
    if kind == "c_arm":
        return (
            usual
            | C_ARM_SD
            | {"principal_point_sd_px": C_ARM_PRINCIPAL_POINT_SD_MM / min(pixel_mm)}
        )
    if kind == "slot_scan":
        return (
            usual | SLOT_SCAN_SD | {"principal_point_sd_px": SLOT_SCAN_CENTRE_SD_MM / pixel_mm[0]}
        )
    return usual


def describe_uncertainty(uncertainty: Mapping[str, float | None]) -> str:
    """Return how well a camera is known, in a few words.

    "±1°, 3 mm, 4 px, 1 %", "exact", "unknown" or "±5 px (not stated), 0.1 %".

    Parameters
    ----------
    uncertainty
        By the keys of UNCERTAINTY, and by PRESUMED where that is not 0.
    """
    rotation, translation, pixels, percent = (uncertainty[key] for key in UNCERTAINTY)
    presumed = uncertainty.get(PRESUMED) or 0.0
    if rotation is None and translation is None:
        return "unknown"
    known = [
        "any angle" if rotation is None else _told(rotation, "\u00b0"),
        "any place" if translation is None else _told(translation, " mm"),
        _told(presumed, " px (not stated)") or _told(pixels, " px"),
        _told(percent, " %"),
    ]
    return "\u00b1" + ", ".join(filter(None, known)) if any(known) else "exact"


def _told(deviation: float | None, unit: str) -> str:
    return f"{deviation:.2g}{unit}" if deviation else ""
