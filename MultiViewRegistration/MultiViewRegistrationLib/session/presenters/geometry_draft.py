"""Draft of an X-ray's geometry: the text of each field, and an error per field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import InputError, MissingInformation
from ...geometry.fields import C_ARM, SLOT_SCAN, Field
from ...geometry.machines import ANGLES, CArm, left_side
from ...io.calibration.matrices import IN_LPS_MM, read_matrix
from ...io.case_check import DETECTOR_MM, PIXEL_MM, like_metres
from ...io.view_record import Geometry
from ...mrml.xray import XRayView
from ...mrml.xray_record import Values
from ...translation import _
from ..geometry import completed, matrix_of, nearest_side, reading_of
from .certainty import UNITS
from .form import Option
from .number import Number

#: Words on the displays of C-arms, with the sign of the angle in a case.json.
DIRECTIONS = {
    "rao_lao_deg": {"LAO": 1, "RAO": -1},
    "cra_cau_deg": {"CRAN": 1, "CRA": 1, "CAUD": -1, "CAU": -1},
}


def number_of(field: Field) -> Number:
    """Return the number that a field accepts."""
    words = _(field.words)
    name = words[0].upper() + words[1:]
    directions = DIRECTIONS.get(field.key, {})
    return Number(name, *field.usual, UNITS[field.unit], directions=directions)


def column_of(key: str, title: str = "") -> Option:
    """Return a field of a C-arm as a column of a table, with its meaning as tool tip.

    Parameters
    ----------
    title
        By default the field's name and unit.
    """
    return Option(key, title or _(C_ARM[key].title), _(C_ARM[key].sentence))


#: Numbers of a C-arm, by their keys in a case.json.
NUMBERS = {key: number_of(field) for key, field in C_ARM.items() if field.unit}
REQUIRED = tuple(key for key, field in C_ARM.items() if field.asked)
DISTANCES = ("source_to_detector_mm", "source_to_isocentre_mm")
#: Values that a C-arm has in all its images.
OF_MACHINE = (*DISTANCES, "pixel_mm", "principal_point", "mirrored")
#: Values of a slot scan that the user may change.
TUBE = "isocentre_to_source"
SLOT_NUMBERS = {
    key: number_of(SLOT_SCAN[key]) for key in ("source_to_isocentre_mm", "central_column")
}
#: Texts of a matrix.
MATRIX = "matrix"
AXES = "axes"
SEEN_FROM = "seen_from"
#: Usual values of C-arms, mm.
USUAL_MM = {**dict.fromkeys(DISTANCES, (DETECTOR_MM[0] / 2, DETECTOR_MM[1])), "pixel_mm": PIXEL_MM}
MAX_USUAL_PIXEL_MM = 1.0
MIN_USUAL_DISTANCE_MM = 300.0


@dataclass(frozen=True)
class GeometryDraft:
    """Fields of one X-ray's geometry as the user left them.

    Attributes
    ----------
    kind : str
        "c_arm", "matrix" or "slot_scan".
    texts : mapping
        Text of each field, by key.
    start : mapping
        Values at which the draft started, by key. They are used for fields that were not edited,
        as the texts are rounded.
    required : tuple
        Keys of the fields that must not be empty.
    edited : frozenset
        Keys of the fields that were edited.
    origins : mapping
        Source of each edited value that was not typed, by key.
    values : mapping
        Values that could be read, by key.
    errors : mapping
        One error per field, by key; "" for the geometry as a whole.
    geometry : CArm, SlotScan, Camera or array
        None while a required field is empty or a field is invalid.
    size : tuple
        (columns, rows) that were stated with a matrix; None if they were not.
    """

    kind: str
    texts: Mapping[str, str]
    start: Values = field(default_factory=dict)
    required: tuple[str, ...] = ()
    edited: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)
    values: Values = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    geometry: Geometry = None
    size: tuple[int, int] | None = None

    @property
    def missing(self) -> list[str]:
        """Keys of required fields that are empty."""
        return [key for key in self.required if not self.texts[key].strip()]


def start_draft(view: XRayView, kind: str = "") -> GeometryDraft:
    """Return a draft of an X-ray's current geometry, or of what its header proposes.

    Parameters
    ----------
    kind
        By default that of the X-ray's geometry.
    """
    record = view.record
    present = {"camera": "matrix", "c_arm": "c_arm"}.get(record.kind)
    kind = kind or present or ("slot_scan" if record.slot_scan else "c_arm")
    if kind == "c_arm":
        values = {**reading_of(view), "size": list(view.size)}
        texts = {key: text_of(values, key) for key in (*NUMBERS, "mirrored")}
        draft = GeometryDraft(kind, texts, values, REQUIRED)
    elif kind == "slot_scan":
        values = dict(record.slot_scan)
        direction = values.get(TUBE)
        texts = {key: each.write_bare(values.get(key)) for key, each in SLOT_NUMBERS.items()}
        texts[TUBE] = nearest_side(values, direction) if direction else ""
        asked = [key for key in SLOT_NUMBERS if key in record.header.missing]
        draft = GeometryDraft(kind, texts, values, (TUBE, "source_to_isocentre_mm", *asked))
    else:
        matrix = matrix_of(view)
        rows = [] if matrix is None else matrix.tolist()
        text = "\n".join("  ".join(f"{value:.8g}" for value in row) for row in rows)
        mirrored = view.placed and view.given_camera.intrinsics[0, 0] < 0
        texts = {MATRIX: text, AXES: "LPS", SEEN_FROM: "detector" if mirrored else ""}
        draft = GeometryDraft(kind, texts)
    return parse_draft(draft, view)


def edit_draft(
    draft: GeometryDraft, view: XRayView, texts: Mapping[str, str], origin: str = ""
) -> GeometryDraft:
    """Return the draft with other texts in some fields.

    The patient's side at the left of the image is kept where the angles of a C-arm change, as a
    marker in the image shows it. A frontal image that becomes a lateral one keeps `mirrored`.

    Parameters
    ----------
    origin
        Source of the texts; "" if they were typed.
    """
    edited = draft.edited | texts.keys()
    origins = {**draft.origins, **dict.fromkeys(texts, origin)}
    after = replace(draft, texts={**draft.texts, **texts}, edited=edited, origins=origins)
    after = parse_draft(after, view)
    mirrored = draft.values.get("mirrored")
    if mirrored is None or not texts.keys() & set(ANGLES):
        return after
    if left_side(after.values, not mirrored) == left_side(draft.values, mirrored):
        return edit_draft(after, view, {"mirrored": "no" if mirrored else "yes"}, origin)
    return after


def parse_draft(draft: GeometryDraft, view: XRayView) -> GeometryDraft:
    """Return the draft with the values, errors and geometry that its texts yield."""
    if draft.kind == "matrix":
        return _parse_matrix(draft, view)
    values = dict(draft.start)
    errors = {}
    for key in filter(draft.edited.__contains__, draft.texts):
        values.pop(key, None)
        try:
            value = _read(draft.kind, key, draft.texts[key])
        except InputError as error:
            errors[key] = str(error)
            continue
        if value is not None:
            values[key] = value
    if draft.kind == "c_arm":
        if values.get("principal_point") == middle(view.size):
            del values["principal_point"]
        errors = {**_find_inconsistent(values), **errors}
    draft = replace(draft, values=values, errors=errors, geometry=None)
    if errors or draft.missing:
        return draft
    try:
        if draft.kind == "c_arm":
            return replace(draft, geometry=CArm(**values))
        distance, column = values["source_to_isocentre_mm"], values.get("central_column")
        return replace(draft, geometry=completed(view, distance, column, draft.texts[TUBE]))
    except InputError as error:
        return replace(draft, errors={"": str(error)})


def _read(kind: str, key: str, text: str) -> Any:
    """Return the value of a field's text, None for an empty field."""
    if not text.strip():
        return None
    if kind == "slot_scan":
        return text if key == TUBE else SLOT_NUMBERS[key].read(text)
    if key == "mirrored":
        return C_ARM[key].labels[text]
    return read_pair(text, key) if C_ARM[key].shape else NUMBERS[key].read(text)


def _parse_matrix(draft: GeometryDraft, view: XRayView) -> GeometryDraft:
    """Read a projection matrix from world mm to pixels."""
    draft = replace(draft, errors={}, geometry=None)
    text = draft.texts[MATRIX]
    if not text.strip():
        sentence = _("Matrix is not given. Enter or paste its 12 numbers, or choose a file.")
        return replace(draft, errors={MATRIX: sentence})
    options = replace(
        IN_LPS_MM,
        axes=draft.texts[AXES].lower(),
        size=view.size,
        seen_from=draft.texts[SEEN_FROM] or None,
    )
    name = _("Matrix")
    try:
        camera = read_matrix(text, name, options=options).settled(name, options)
    except MissingInformation:
        sentence = _(
            "Matrix: it is not stated whether the image is seen from the source or from the "
            "detector. Choose one below."
        )
        return replace(draft, errors={SEEN_FROM: sentence})
    except InputError as error:
        return replace(draft, errors={MATRIX: str(error)})
    return replace(draft, geometry=camera.given_to(view.record).geometry, size=camera.size)


def text_of(values: Values, key: str) -> str:
    """Return the text of a field of a C-arm; "" for a value that is not stated or the default."""
    field = C_ARM[key]
    value = values.get(key)
    default = middle(values["size"]) if key == "principal_point" else field.default
    if value is None or (field.unit and np.array_equal(value, default)):
        return ""
    if field.is_truth:
        return "yes" if value else "no"
    if not field.shape:
        return NUMBERS[key].write_bare(value)
    texts = [NUMBERS[key].write_bare(number) for number in value]
    return texts[0] if texts[0] == texts[1] and key == "pixel_mm" else " \u00d7 ".join(texts)


def _find_inconsistent(values: Values) -> dict[str, str]:
    """Return errors of a C-arm's values that contradict each other or look like metres, by key."""
    errors = {}
    for key, usual_mm in USUAL_MM.items():
        largest = float(np.max(values.get(key, np.inf)))
        if like_metres(largest, usual_mm):
            errors[key] = _("{name}: {mm:g} mm looks like metres. Enter {better:g}.").format(
                name=NUMBERS[key].name, mm=largest, better=1000 * largest
            )
    to_detector, to_isocentre = (values.get(key) for key in DISTANCES)
    if to_detector and to_isocentre and not errors and to_detector <= to_isocentre:
        errors["source_to_isocentre_mm"] = _(
            "Source to isocentre: {isocentre:g} mm is not less than source to detector, "
            "{detector:g} mm. Correct one of them."
        ).format(isocentre=to_isocentre, detector=to_detector)
    return errors


def find_unusual(values: Values) -> dict[str, str]:
    """Return warnings about values that C-arms do not have, such as typing errors, by key."""
    warnings = {}
    pixel_mm = float(np.max(values.get("pixel_mm", 0)))
    distance_mm = values.get("source_to_detector_mm", MIN_USUAL_DISTANCE_MM)
    if pixel_mm > MAX_USUAL_PIXEL_MM:
        warnings["pixel_mm"] = _(
            "Pixel size: {mm:g} mm is more than X-ray detectors have (0.1 to 0.6 mm). Check it."
        ).format(mm=pixel_mm)
    if distance_mm < MIN_USUAL_DISTANCE_MM:
        warnings["source_to_detector_mm"] = _(
            "Source to detector: {mm:g} mm is less than C-arms have (about 1000 mm). Check whether "
            "it is in cm."
        ).format(mm=distance_mm)
    return warnings


def read_pair(text: str, key: str) -> list[float]:
    """Return [columns, rows] of a text with two numbers; one number is both sides of a pixel.

    Raises
    ------
    InputError
        If the text has another number of values or one is invalid.
    """
    number = NUMBERS[key]
    parts = number.bare(text).replace("\u00d7", " ").replace("x", " ").replace(";", " ").split()
    if len(parts) != 2 and (key, len(parts)) != ("pixel_mm", 1):
        count = _("one number, or two") if key == "pixel_mm" else _("two numbers")
        raise InputError(
            _('{name} must be {count} (column and row); got "{text}".'),
            name=number.name,
            count=count,
            text=text.strip(),
        )
    values = [number.read(part.removesuffix(",")) for part in parts]
    return values * (3 - len(values))


def middle(size: Sequence[int]) -> list[float]:
    """Return the pixel [column, row] in the middle of an image of (columns, rows)."""
    return [(n - 1) / 2 for n in size]
