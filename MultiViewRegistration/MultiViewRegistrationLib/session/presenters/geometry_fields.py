"""The fields of an X-ray's geometry as texts.

What they say, what is wrong with each, and which side of the patient is on the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry.c_arm import CArm, about_axis, rotation
from ...geometry.distortion import Distortion
from ...geometry.fields import C_ARM, SLOT_SCAN, Field
from ...io.calibration.matrices import read_matrix
from ...io.case_check import DETECTOR_MM, PIXEL_MM, like_metres
from ...io.view_record import Geometry
from ...mrml.nodes import RAS_FROM_LPS
from ...mrml.xray import XRayView
from ...mrml.xray_annotations import side_of_direction
from ..geometry import DEG
from ..slot_scan import SIDES, column_is_asked, completed
from ..translation import _
from .form import Number, Option

LPS, RAS = "LPS", "RAS"
UNITS = {"mm": " mm", "deg": DEG, "px": " px", "percent": " %"}


def number_of(field: Field, blank: str = "") -> Number:
    """Return the numbers of a field, as they are typed; `blank` is shown where it is empty."""
    words = _(field.words)
    return Number(
        words[0].upper() + words[1:],
        *field.usual,
        UNITS[field.unit],
        blank=blank,
        nothing=0.0 if blank else None,
    )


def column_of(key: str, title: str = "") -> Option:
    """Return a field of a C-arm as the column of a table.

    Its title, by default its name and unit, and what it means.
    """
    return Option(key, title or _(C_ARM[key].title), _(C_ARM[key].sentence))


#: The fields of a C-arm with numbers, by their keys in a case.json.
NUMBERS = {
    key: number_of(field, "0" if key == "roll_deg" else "")
    for key, field in C_ARM.items()
    if field.unit
}
REQUIRED = tuple(key for key, field in C_ARM.items() if field.required and field.asked)
#: The fields of a slot scan that a person may change.
SLOT_DISTANCE = number_of(SLOT_SCAN["source_to_isocentre_mm"], "?")
SLOT_COLUMN = replace(number_of(SLOT_SCAN["central_column"], _("middle")), nothing=None)
#: Of a camera that "mirrored" of a case.json says; a text in the fields.
MIRRORED = {None: "", False: "source", True: "detector"}
#: Pixels of X-ray detectors are smaller than this, mm, and sources are farther away.
MAX_USUAL_PIXEL_MM, MIN_USUAL_DISTANCE_MM = 1.0, 300.0


@dataclass(frozen=True)
class Reading:
    """What fields say of a geometry, with its faults.

    Attributes
    ----------
    geometry
        None while something is missing or wrong.
    faults, cautions
        Sentences by the fields' keys, "" for what is wrong with them all.
    missing
        The keys of fields that are empty, and needed.
    size, distortion
        Of the image of a matrix or a camera, where they are known.
    """

    geometry: Geometry = None
    faults: Mapping[str, str] = field(default_factory=dict)
    cautions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    distortion: Distortion | None = None

    @property
    def c_arm(self) -> CArm | None:
        """The geometry where it is a C-arm."""
        return self.geometry if isinstance(self.geometry, CArm) else None

    @property
    def fault(self) -> str:
        """The first thing that is wrong or missing, a sentence.

        "" for a geometry that can be used.
        """
        missing = (
            _("{field} is not given.").format(field=_(C_ARM[key].words))
            for key in self.missing
            if key in C_ARM
        )
        return next(iter((*self.faults.values(), *missing)), "")


def read_c_arm(fields: Mapping[str, str], size: tuple[int, int]) -> Reading:
    """Read the fields of a C-arm, each for itself.

    Parameters
    ----------
    size
        (columns, rows) of the image.
    """
    numbers: dict[str, float] = {}
    pairs: dict[str, list[float] | None] = {}
    faults: dict[str, str] = {}
    missing = [key for key in REQUIRED if not fields[key].strip()]
    for key in NUMBERS:
        if key in missing:
            continue
        try:
            if C_ARM[key].shape:
                pairs[key] = read_pair(fields[key], key)
            else:
                numbers[key] = NUMBERS[key].read(fields[key])
        except InputError as error:
            faults[key] = str(error)
    if fields["mirrored"] == MIRRORED[None]:
        missing.append("mirrored")
    pixel_mm = pairs.get("pixel_mm")
    faults |= _impossible(numbers, pixel_mm)
    cautions = {
        key: sentence for key, sentence in _unusual(numbers, pixel_mm).items() if key not in faults
    }
    if missing or faults:
        return Reading(None, faults, cautions, tuple(missing))
    if pairs["principal_point"] == middle(size):
        pairs["principal_point"] = None
    given: dict[str, Any] = numbers | {
        key: value for key, value in pairs.items() if value is not None
    }
    try:
        c_arm = CArm(**given, size=size, mirrored=fields["mirrored"] == MIRRORED[True])
    except InputError as error:
        key, _colon, sentence = str(error).partition(": ")
        return Reading(None, {key: sentence}, cautions)
    return Reading(c_arm, {}, cautions)


def _impossible(numbers: Mapping[str, float], pixel_mm: Sequence[float] | None) -> dict[str, str]:
    faults = {}
    to_detector, to_isocentre = (
        numbers.get(f"source_to_{end}_mm") for end in ("detector", "isocentre")
    )
    for key in ("source_to_detector_mm", "source_to_isocentre_mm"):
        found = numbers.get(key)
        if found is not None and like_metres(found, (DETECTOR_MM[0] / 2, DETECTOR_MM[1])):
            faults[key] = _("{found:g} mm looks like metres; give mm: {better:g}.").format(
                found=found, better=1000 * found
            )
        elif found == 0:
            faults[key] = _("0 mm is no distance; enter that of the C-arm.")
    if (
        not faults
        and to_detector is not None
        and to_isocentre is not None
        and to_detector <= to_isocentre
    ):
        faults["source_to_isocentre_mm"] = _(
            "{isocentre:g} mm, expected less than source to detector, {detector:g} mm; correct one "
            "of them."
        ).format(isocentre=to_isocentre, detector=to_detector)
    if pixel_mm is not None:
        if min(pixel_mm) <= 0:
            faults["pixel_mm"] = _(
                "A pixel of 0 mm shows nothing; enter the distance between two pixels."
            )
        elif max(pixel_mm) < PIXEL_MM[0] and like_metres(max(pixel_mm), PIXEL_MM):
            faults["pixel_mm"] = _("{found:g} mm looks like metres; give mm: {better:g}.").format(
                found=pixel_mm[0], better=1000 * pixel_mm[0]
            )
    return faults


def _unusual(numbers: Mapping[str, float], pixel_mm: Sequence[float] | None) -> dict[str, str]:
    """Values that C-arms do not have, such as a slip of the keyboard gives."""
    cautions = {}
    distance_mm = numbers.get("source_to_detector_mm")
    if pixel_mm is not None and max(pixel_mm) > MAX_USUAL_PIXEL_MM:
        cautions["pixel_mm"] = _(
            "{found:g} mm is more than X-ray detectors have, which is 0.1 to 0.6 mm."
        ).format(found=max(pixel_mm))
    if distance_mm is not None and distance_mm < MIN_USUAL_DISTANCE_MM:
        cautions["source_to_detector_mm"] = _(
            "{found:g} mm is less than C-arms have, which is about 1000 mm; is it in cm?"
        ).format(found=distance_mm)
    return cautions


def read_pair(text: str, key: str) -> list[float] | None:
    """[columns, rows] of a text with two numbers, a blank or \u00d7 between, or one for both sides of a pixel; None of an empty one.

    InputError for anything else.
    """
    number, is_pixel = NUMBERS[key], key == "pixel_mm"
    parts = number.bare(text).replace("\u00d7", " ").replace("x", " ").replace(";", " ").split()
    if not parts:
        return None
    if len(parts) > 2 or (len(parts) == 1 and not is_pixel):
        raise InputError(
            _('{name}: found "{text}", expected {count}; correct it.').format(
                name=number.name,
                text=text.strip(),
                count=_("one number, or two: columns \u00d7 rows")
                if is_pixel
                else _("two numbers, column and row"),
            )
        )
    values = [number.read(part.removesuffix(",")) for part in parts]
    return values * (3 - len(values))


def write_pair(values: Sequence[float], key: str) -> str:
    """Return the text of [columns, rows]; one number of a pixel that is as wide as high."""
    texts = [NUMBERS[key].write_bare(value) for value in values]
    return texts[0] if texts[0] == texts[1] and key == "pixel_mm" else " \u00d7 ".join(texts)


def c_arm_fields(reading: Mapping, size: Sequence[int]) -> dict[str, str]:
    """Return the texts of some or all of a case.json's c_arm."""
    fields = {"mirrored": MIRRORED[reading.get("mirrored")]}
    for key, number in NUMBERS.items():
        value, default = (
            reading.get(key),
            middle(size) if key == "principal_point" else C_ARM[key].default,
        )
        if value is None or C_ARM[key].shape and default and list(value) == list(default):
            fields[key] = ""
        else:
            fields[key] = write_pair(value, key) if C_ARM[key].shape else number.write_bare(value)
    return fields


def middle(size: Sequence[int]) -> list[float]:
    """Return the pixel [column, row] in the middle of an image of (columns, rows)."""
    return [(n - 1) / 2 for n in size]


# Left and right: "mirrored" of a case.json, as a person sees it in the image


def left_side(fields: Mapping[str, str], mirrored: str) -> str:
    """Return the patient's side at the left edge of the image, a letter of `SIDES`, were it "source" or "detector" from where it is seen.

    Angles that are not given, or wrong, count as 0.
    """
    p, s, roll = (_degrees(fields, key) for key in ("rao_lao_deg", "cra_cau_deg", "roll_deg"))
    to_right = (rotation(p, s) @ about_axis(2, -roll))[:, 0]
    return side_of_direction(to_right if mirrored == MIRRORED[True] else -to_right)[0]


def _degrees(fields: Mapping[str, str], key: str) -> float:
    try:
        return NUMBERS[key].read(fields[key]) or 0.0
    except InputError:
        return 0.0


def side_options(fields: Mapping[str, str]) -> tuple[Option, ...]:
    """Return the answers to "Is the patient's right on the left of the image?".

    Of a lateral image, or one that is turned, which side is there.
    """
    options = [Option("", _("not known"))]
    for mirrored in (MIRRORED[True], MIRRORED[False]):
        letter = left_side(fields, mirrored)
        titles = {"R": _("yes"), "L": _("no")}
        title = titles.get(letter, _("{side} on the left").format(side=SIDES[letter]))
        options.append(Option(letter, title))
    return tuple(options)


def with_side(fields: Mapping[str, str], letter: str) -> dict[str, str]:
    """Return the fields with this letter of `SIDES` at the left of the image, "" for not known."""
    seen = (each for each in (MIRRORED[True], MIRRORED[False]) if left_side(fields, each) == letter)
    return {**fields, "mirrored": next(seen, MIRRORED[None])}


def changed(before: Mapping[str, str], key: str, value: str) -> dict[str, str]:
    """Return the fields with another value of one.

    What a person sees in the image stays where the angles change: whose right is on the left at LAO
    0 has it there at LAO 180, which the same image of a source on the other side would not. From an
    image from the front to a lateral one nothing can stay but the side from which it is seen.
    """
    after = {**before, key: value}
    if key in ("rao_lao_deg", "cra_cau_deg", "roll_deg") and before["mirrored"]:
        kept = with_side(after, left_side(before, before["mirrored"]))
        return kept if kept["mirrored"] else after
    return after


def sketch(fields: Mapping[str, str], size: tuple[int, int]) -> CArm:
    """Return a C-arm for a picture, with usual numbers for what is not given yet, or wrong."""
    return CArm(
        source_to_detector_mm=1000.0,
        source_to_isocentre_mm=600.0,
        pixel_mm=(300 / max(size), 300 / max(size)),
        size=size,
        rao_lao_deg=_degrees(fields, "rao_lao_deg"),
        cra_cau_deg=float(np.clip(_degrees(fields, "cra_cau_deg"), -90, 90)),
        mirrored=fields["mirrored"] == MIRRORED[True],
    )


# The other kinds of geometry


def read_slot_scan(fields: Mapping[str, str], view: XRayView) -> Reading:
    """Read the fields of a slot scan."""
    numbers = {"slot_distance": SLOT_DISTANCE, "slot_column": SLOT_COLUMN}
    faults = {
        key: problem for key, number in numbers.items() if (problem := number.problem(fields[key]))
    }
    missing = [key for key in ("tube", "slot_distance") if not fields[key].strip()]
    if column_is_asked(view) and not fields["slot_column"].strip():
        missing.append("slot_column")
    try:
        distance, column = (number.read_optional(fields[key]) for key, number in numbers.items())
        return Reading(completed(view, distance, column, fields["tube"]))
    except InputError as error:
        return Reading(None, faults or {"": str(error)}, missing=tuple(missing))


def read_matrix_field(fields: Mapping[str, str]) -> Reading:
    """Read the projection matrix from world LPS mm to pixels. InputError if it is invalid."""
    text = fields["matrix"]
    if not text.strip():
        raise InputError(
            _("Matrix: none is given, expected 12 numbers; enter or paste them, or choose a file.")
        )
    given = read_matrix(text, _("Matrix"))
    turned = (
        given.projection_matrix @ RAS_FROM_LPS if fields["axes"] == RAS else given.projection_matrix
    )
    return Reading(turned, size=given.size)
