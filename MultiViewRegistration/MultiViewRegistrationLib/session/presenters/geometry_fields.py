"""The fields of an X-ray's geometry: what they show, what is wrong with each, and which side of the patient is on the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry.fields import C_ARM, SLOT_SCAN, Field
from ...geometry.machines import ANGLES, DEG, CArm, left_side
from ...io.calibration.calibrated import CalibratedView
from ...io.calibration.matrices import IN_LPS_MM, read_matrix
from ...io.case_check import DETECTOR_MM, PIXEL_MM, like_metres
from ...io.view_record import Geometry, Readings
from ...mrml.xray import XRayView
from ...mrml.xray_record import Values, XRayRecord
from ...translation import _
from ..geometry import SIDES, completed, matrix_of, nearest_side
from .form import Option
from .number import Number

SEEN_FROM = "seen_from"
UNITS = {"mm": " mm", "deg": DEG, "px": " px", "percent": " %"}


#: Words of the displays of C-arms, with the sign that a case.json has for them.
DIRECTIONS = {
    "rao_lao_deg": {"LAO": 1, "RAO": -1},
    "cra_cau_deg": {"CRAN": 1, "CRA": 1, "CAUD": -1, "CAU": -1},
}


def number_of(field: Field, blank: str = "", nothing: float | None = None) -> Number:
    """Return the numbers of a field, as they are typed; `blank` is shown where it is empty."""
    words = _(field.words)
    said = DIRECTIONS.get(field.key, {})
    name = words[0].upper() + words[1:]
    unit = UNITS[field.unit]
    return Number(name, *field.usual, unit, blank=blank, nothing=nothing, directions=said)


def column_of(key: str, title: str = "") -> Option:
    """Return a field of a C-arm as the column of a table.

    Its title, by default its name and unit, and what it means.
    """
    return Option(key, title or _(C_ARM[key].title), _(C_ARM[key].sentence))


#: The fields of a C-arm with numbers, by their keys in a case.json.
NUMBERS = {key: number_of(field) for key, field in C_ARM.items() if field.unit}
NUMBERS["roll_deg"] = number_of(C_ARM["roll_deg"], "0", 0.0)
REQUIRED = tuple(key for key, field in C_ARM.items() if field.asked)
DISTANCES = ("source_to_detector_mm", "source_to_isocentre_mm")
#: What a C-arm has in all its images.
OF_MACHINE = (*DISTANCES, "pixel_mm", "principal_point", "mirrored")
#: The fields of a slot scan that a person may change; the tube's text is one of `tube_sides`.
TUBE = "isocentre_to_source"
SLOT_NUMBERS = {
    "source_to_isocentre_mm": number_of(SLOT_SCAN["source_to_isocentre_mm"], "?"),
    "central_column": number_of(SLOT_SCAN["central_column"], _("middle")),
}
#: What C-arms have, mm.
USUAL_MM = {**dict.fromkeys(DISTANCES, (DETECTOR_MM[0] / 2, DETECTOR_MM[1])), "pixel_mm": PIXEL_MM}
#: Pixels of X-ray detectors are smaller than this, mm, and sources are farther away.
MAX_USUAL_PIXEL_MM = 1.0
MIN_USUAL_DISTANCE_MM = 300.0


@dataclass(frozen=True)
class Draft:
    """The record of an X-ray as its fields give it, with their faults beside it.

    Attributes
    ----------
    mode
        "c_arm", "matrix" or "slot_scan".
    record
        Its geometry is what the fields say: `Readings` while something is missing or wrong, None
        without a matrix or a camera.
    texts
        What was typed, by the fields' keys, "matrix" (any text with a matrix), "axes" (LPS or
        RAS) and SEEN_FROM.
    faults, cautions
        Sentences by the fields' keys, "" for what is wrong with them all.
    size
        Of the image of a matrix, where it is known.
    """

    mode: str
    record: XRayRecord
    texts: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    cautions: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What can be read of a C-arm or a slot scan, by the keys of a case.json."""
        return self.record.geometry_json.get(self.mode, {})

    @property
    def c_arm(self) -> CArm | None:
        """The geometry where it is a C-arm."""
        return self.record.geometry if isinstance(self.record.geometry, CArm) else None

    @property
    def missing(self) -> tuple[str, ...]:
        """The keys of fields that are empty, and needed."""
        needed = REQUIRED if self.mode == "c_arm" else ()
        if self.mode == "slot_scan":
            asked = "central_column" in self.record.header.missing
            needed = (TUBE, *SLOT_NUMBERS) if asked else (TUBE, "source_to_isocentre_mm")
        return tuple(key for key in needed if not self.text(key).strip())

    @property
    def fault(self) -> str:
        """The first thing that is wrong or missing, a sentence.

        "" for a geometry that can be used.
        """
        missing = self.missing if self.mode == "c_arm" else ()
        lacking = (_("{field} is not given.").format(field=_(C_ARM[key].words)) for key in missing)
        return next(iter((*self.faults.values(), *lacking)), "")

    def says_as(self, other: Draft) -> bool:
        """Return whether it says the same of the geometry as another one, typed or not."""
        said, of_other = ((each.record.geometry_json, each.faults) for each in (self, other))
        return said == of_other

    def text(self, key: str) -> str:
        """Return what a field shows: what was typed, or its value."""
        if key in self.texts:
            return self.texts[key]
        if self.mode == "c_arm":
            return text_of(self.values, key)
        value = self.values.get(key)
        if key == TUBE:
            return nearest_side(self.values, value) if value else ""
        return SLOT_NUMBERS[key].write_bare(value)

    def with_values(self, values: Values, faults: Mapping[str, str]) -> Draft:
        """Return the draft with values that are no geometry yet."""
        return self.with_geometry(Readings(self.mode, values), faults)

    def with_geometry(self, geometry: Geometry, faults: Mapping[str, str]) -> Draft:
        """Return the draft with a geometry in place of the one before."""
        record = replace(self.record, geometry=geometry, distortion=None)
        return replace(self, record=record, faults=faults)

    def with_origin(self, origin: str, *keys: str) -> Draft:
        """Return the draft with where the values of fields come from, "" for typed."""
        origins = {**self.record.origins, **dict.fromkeys(keys, origin)}
        return replace(self, record=replace(self.record, origins=origins))


def text_of(values: Values, key: str) -> str:
    """Return the text of a field of a C-arm.

    "" for what is not given, or as by default.
    """
    field = C_ARM[key]
    value = values.get(key)
    default = middle(values["size"]) if key == "principal_point" else field.default
    if value is None or field.shape and default and list(value) == list(default):
        return ""
    if field.is_truth:
        return next(label for label, each in field.labels.items() if each is value)
    return write_pair(value, key) if field.shape else NUMBERS[key].write_bare(value)


def read_c_arm(draft: Draft) -> Draft:
    """Read the fields of a C-arm that were typed, each for itself."""
    values = draft.values
    faults = {}
    for key, text in draft.texts.items():
        values.pop(key, None)
        if not text.strip() and key in REQUIRED:
            continue
        try:
            read = read_pair(text, key) if C_ARM[key].shape else NUMBERS[key].read(text)
        except InputError as error:
            faults[key] = str(error)
            continue
        if read is not None and (key, read) != ("principal_point", middle(values["size"])):
            values[key] = read
    faults |= _impossible(values)
    draft = draft.with_values(values, faults)
    if draft.fault:
        return draft
    try:
        return draft.with_geometry(CArm(**values), {})
    except InputError as error:
        key, _colon, sentence = str(error).partition(": ")
        return replace(draft, faults={key: sentence})


def _impossible(values: Values) -> dict[str, str]:
    faults = {}
    for key, usual_mm in USUAL_MM.items():
        found = float(np.max(values.get(key, np.inf)))
        if like_metres(found, usual_mm):
            faults[key] = _("{found:g} mm looks like metres; give mm: {better:g}.").format(
                found=found, better=1000 * found
            )
    to_detector, to_isocentre = (values.get(key) for key in DISTANCES)
    if to_detector and to_isocentre and not faults and to_detector <= to_isocentre:
        faults["source_to_isocentre_mm"] = _(
            "{isocentre:g} mm, expected less than source to detector, {detector:g} mm; correct one "
            "of them."
        ).format(isocentre=to_isocentre, detector=to_detector)
    return faults


def unusual(values: Values) -> dict[str, str]:
    """Return what is said against values that C-arms do not have, such as a slip of the keyboard gives."""
    cautions = {}
    distance_mm = values.get("source_to_detector_mm")
    pixel_mm = values.get("pixel_mm")
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
    number = NUMBERS[key]
    is_pixel = key == "pixel_mm"
    parts = number.bare(text).replace("\u00d7", " ").replace("x", " ").replace(";", " ").split()
    if not parts:
        return None
    if len(parts) > 2 or (len(parts) == 1 and not is_pixel):
        expected = _("two numbers, column and row")
        if is_pixel:
            expected = _("one number, or two: columns \u00d7 rows")
        raise InputError(
            _('{name}: found "{text}", expected {count}; correct it.'),
            name=number.name,
            text=text.strip(),
            count=expected,
        )
    values = [number.read(part.removesuffix(",")) for part in parts]
    return values * (3 - len(values))


def write_pair(values: Sequence[float], key: str) -> str:
    """Return the text of [columns, rows]; one number of a pixel that is as wide as high."""
    texts = [NUMBERS[key].write_bare(value) for value in values]
    return texts[0] if texts[0] == texts[1] and key == "pixel_mm" else " \u00d7 ".join(texts)


def middle(size: Sequence[int]) -> list[float]:
    """Return the pixel [column, row] in the middle of an image of (columns, rows)."""
    return [(n - 1) / 2 for n in size]


# Left and right: "mirrored" of a case.json, as a person sees it in the image


def side_options(values: Values) -> tuple[Option, ...]:
    """Return the answers to "Is the patient's right on the left of the image?".

    Of a lateral image, or one that is turned, which side is there.
    """
    letters = [left_side(values, mirrored) for mirrored in (True, False)]
    sides = (Option(letter, left_in_words(letter)) for letter in letters)
    return (Option("", _("not known")), *sides)


def left_in_words(letter: str) -> str:
    """Return which of the patient's sides is on the left, for a letter of `SIDES`."""
    sentence = _("{side} on the left").format(side=SIDES[letter])
    return {"R": _("yes"), "L": _("no")}.get(letter, sentence)


def with_side(draft: Draft, letter: str) -> Draft:
    """Return the draft with this letter of `SIDES` at the left of the image, "" for not known."""
    values = draft.values
    values.pop("mirrored", None)
    for mirrored in (False, True):
        if left_side(values, mirrored) == letter:
            values["mirrored"] = mirrored
    return read_c_arm(draft.with_values(values, {}))


def with_text(before: Draft, key: str, text: str) -> Draft:
    """Return the draft with another text in one field.

    What a person sees in the image stays where the angles of a C-arm change: whose right is on the
    left at LAO 0 has it there at LAO 180, which the same image of a source on the other side would
    not. From an image from the front to a lateral one nothing can stay but the side from which it
    is seen.
    """
    after = replace(before, texts={**before.texts, key: text}).with_origin("", key)
    if before.mode == "c_arm":
        after = read_c_arm(after)
        mirrored = before.values.get("mirrored")
        if key in ANGLES and mirrored is not None:
            kept = with_side(after, left_side(before.values, mirrored))
            return kept if "mirrored" in kept.values else after
    return after


def sketch(values: Values, size: tuple[int, int]) -> CArm:
    """Return a C-arm for a picture, with usual numbers for what is not given yet, or wrong."""
    return CArm(
        source_to_detector_mm=1000.0,
        source_to_isocentre_mm=600.0,
        pixel_mm=(300 / max(size), 300 / max(size)),
        size=size,
        rao_lao_deg=values.get("rao_lao_deg", 0.0),
        cra_cau_deg=float(np.clip(values.get("cra_cau_deg", 0.0), -90, 90)),
        mirrored=values.get("mirrored", False),
    )


# The other kinds of geometry


def read_slot_scan(draft: Draft, view: XRayView) -> Draft:
    """Read the fields of a slot scan."""
    values = draft.values
    faults = {}
    for key, number in SLOT_NUMBERS.items():
        if key in draft.texts:
            values.pop(key, None)
            try:
                values[key] = number.read_optional(draft.texts[key])
            except InputError as error:
                faults[key] = str(error)
    distance, column = (values.get(key) for key in SLOT_NUMBERS)
    try:
        if faults:
            raise InputError(next(iter(faults.values())))
        slot_scan = completed(view, distance, column, draft.text(TUBE))
    except InputError as error:
        return draft.with_values(draft.values, faults or {"": str(error)})
    return draft.with_geometry(slot_scan, {})


def matrix_text(draft: Draft, view: XRayView) -> str:
    """Return the matrix that was typed, by default that of the X-ray."""
    matrix = matrix_of(view)
    rows = (
        "  ".join(f"{value:.8g}" for value in row) for row in ([] if matrix is None else matrix)
    )
    return draft.texts.get("matrix", "\n".join(rows))


def read_matrix_field(draft: Draft, view: XRayView) -> CalibratedView:
    """Read the projection matrix from the world to pixels, by default that of the X-ray.

    Raises
    ------
    InputError
        If it is invalid.
    MissingInformation
        If it leaves open from which end the image is seen.
    """
    text = matrix_text(draft, view)
    name = _("Matrix")
    if not text.strip():
        raise InputError(
            _("Matrix: none is given, expected 12 numbers; enter or paste them, or choose a file.")
        )
    options = replace(
        IN_LPS_MM,
        axes=draft.texts.get("axes", "LPS").lower(),
        size=view.size,
        seen_from=draft.texts.get(SEEN_FROM) or None,
    )
    return read_matrix(text, name, options=options).settled(name, options)
