"""The geometry of an X-ray: C-arm angles and distances, a projection matrix, or a calibration file; and its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ...errors import InputError
from ...imaging.xray import SharedUnknowns
from ...io.calibration.matrices import MatrixText, read_matrix
from ...io.cameras import camera_uncertainty, describe_uncertainty
from ...mrml.case import shared_unknowns_of
from ...mrml.nodes import RAS_FROM_LPS
from ...mrml.xray import XRayView
from ..external_files import use_camera
from ..geometry import (
    DEG,
    READINGS,
    check_reading,
    header_proposals,
    matrix_of,
    reading_of,
    reference_of,
    set_matrix,
    summary,
    use_reading,
)
from ..slot_scan import (
    column_is_asked,
    completed,
    describe_slot_scan,
    missing_in_header,
    nearest_side,
    side_in_words,
    slot_scan_of,
    tube_sides,
    use_slot_scan,
)
from ..translation import _
from .calibration import CalibrationFile, CalibrationPresenter
from .form import ERROR, QUIET, Button, Choice, Control, Number, Option, Text, TextField, group, options_of, row
from .section import Presenter, node_options

C_ARM, MATRIX, FILE, SLOT_SCAN = "c_arm", "matrix", "file", "slot_scan"
MODES = (
    Option(C_ARM, _("C-arm angles and distances")),
    Option(MATRIX, _("Projection matrix")),
    Option(FILE, _("Calibration file")),
)
#: Only of an image that came with one.
SLOT_SCAN_MODE = Option(
    SLOT_SCAN,
    _("Slot scan (CT scout, EOS)"),
    _("Rays spread across the image and are parallel along it, as source and slot move from row to row."),
)
LPS, RAS = "LPS", "RAS"
AXES = (Option(LPS, _("LPS (DICOM, ITK, case.json)")), Option(RAS, _("RAS (3D Slicer)")))
#: What a case.json's "mirrored" says of the side from which the image is seen.
SEEN = {"": None, "source": False, "detector": True}
SIDES = (
    Option("", _("choose...")),
    Option("source", _("the source")),
    Option("detector", _("the detector (facing the patient)")),
)

_DISTANCE = {"unit": " mm", "blank": "?", "nothing": 0.0}
_OFFSET = {"unit": " mm", "blank": "0", "nothing": 0.0}
#: The fields of a C-arm's reading, by the keys of a case.json's c_arm; those of a pair end in 0 (columns) and 1 (rows).
NUMBERS = {
    "rao_lao_deg": Number(READINGS["rao_lao_deg"], -180, 180, DEG, blank="?"),
    "cra_cau_deg": Number(READINGS["cra_cau_deg"], -90, 90, DEG, blank="?"),
    "source_to_detector_mm": Number(_("Source to detector"), 0, 10000, **_DISTANCE),
    "source_to_isocentre_mm": Number(_("Source to isocentre"), 0, 10000, **_DISTANCE),
    "pixel_mm0": Number(_("Pixel size, columns"), 0, 10, **_DISTANCE),
    "pixel_mm1": Number(_("Pixel size, rows"), 0, 10, **_DISTANCE),
    "principal_point0": Number(_("Principal point, column"), -100000, 100000, " px", blank=_("middle")),
    "principal_point1": Number(_("Principal point, row"), -100000, 100000, " px", blank=_("middle")),
    "roll_deg": Number(_("Roll"), -360, 360, DEG, blank="0", nothing=0.0),
    "isocentre_offset_mm0": Number(_("Isocentre off axis, columns"), -1000, 1000, **_OFFSET),
    "isocentre_offset_mm1": Number(_("Isocentre off axis, rows"), -1000, 1000, **_OFFSET),
}
#: What a person reads of the angles instead of their names.
ANGLE_LABELS = {"rao_lao_deg": _("LAO (+) / RAO (\u2212)"), "cra_cau_deg": _("CRA (+) / CAU (\u2212)")}
_CENTRAL = _("Of the pixel that the central ray meets; the first is 0.")
#: Tool tips of the fields in their order; those in FURTHER_TIPS are folded away at first.
TIPS = {
    "rao_lao_deg": _("Primary angle: how far the detector is turned to the patient's left (LAO) or right (RAO)."),
    "cra_cau_deg": _("Secondary angle: how far the detector is tilted towards the head (CRA) or the feet (CAU)."),
    "source_to_detector_mm": _("SID or SDD, along the central ray."),
    "source_to_isocentre_mm": _("SOD: to the point about which the C-arm turns; the world's origin lies there."),
    "pixel_mm0": _("Distance between columns, on the detector itself."),
    "pixel_mm1": _("Distance between rows, on the detector itself."),
}
FURTHER_TIPS = {
    "principal_point0": _CENTRAL,
    "principal_point1": _CENTRAL,
    "roll_deg": _("Turn of the image about the central ray, clockwise as the source sees it."),
    "isocentre_offset_mm0": _("How far the central ray misses the isocentre, along the columns."),
    "isocentre_offset_mm1": _("How far the central ray misses the isocentre, along the rows."),
}
#: The fields of a slot scan that a person may change.
SLOT_DISTANCE = Number(_("Source to isocentre"), 0, 10000, **_DISTANCE)
SLOT_COLUMN = Number(_("Central column"), -100000, 100000, " px", blank=_("middle"))
#: Pixels of X-ray detectors are smaller than this, mm, and sources are farther away.
MAX_USUAL_PIXEL_MM, MIN_USUAL_DISTANCE_MM = 1.0, 300.0


@dataclass(frozen=True)
class Draft:
    """The fields' values of one X-ray.

    Attributes
    ----------
    mode
        Of MODES.
    fields
        Texts by the keys of NUMBERS, and "seen" (of SEEN), "matrix" (any text with a matrix), "axes" (of AXES); of a slot scan
        "slot_distance", "slot_column" and "tube" (of `tube_sides`, "" for none).
    size
        (columns, rows) of the image that the matrix is for, where that is known.
    origin
        Where it came from, for a person.
    """

    mode: str
    fields: dict[str, str]
    calibration: CalibrationFile
    size: tuple[int, int] | None = None
    origin: str = _("entered")


class EditorPresenter(Presenter):
    """Edits the X-ray that is selected in the `XRaysPresenter` it belongs to; `form()` is only called with one."""

    def __init__(self, xrays) -> None:
        self._xrays = xrays
        super().__init__(xrays.host)

    @property
    def view(self) -> XRayView | None:
        """The X-ray that is selected, None without one."""
        return self._xrays.selected


class GeometryPresenter(EditorPresenter):
    """Fields that are filled from the X-ray, changed, checked while they are, and applied.

    Changes that are not yet applied are kept for each X-ray while others are shown.
    """

    TITLE = _("Geometry")

    def __init__(self, xrays) -> None:
        self.calibration = CalibrationPresenter(
            lambda: self._draft.calibration,
            lambda file: self._keep(replace(self._draft, mode=FILE, calibration=file)),
            xrays.host.patience_s,
        )
        super().__init__(xrays)

    def reset(self) -> None:
        self._drafts: dict[str, Draft] = {}
        self.calibration.reset()

    # The form

    def form(self) -> list[Control]:
        view, draft = self.view, self._draft
        pending = self.changed or not view.placed
        problem = self._problem(draft) if pending else ""
        unusual = self._unusual(draft) if pending and not problem and draft.mode == C_ARM else ""
        modes = (SLOT_SCAN_MODE, *MODES) if slot_scan_of(view) else MODES
        kinds = {C_ARM: self._c_arm, MATRIX: self._matrix, FILE: self._file, SLOT_SCAN: self._slot_scan}
        fields = kinds[draft.mode](draft)
        others = [other.node for other in self._others()]
        copy = Choice(
            "copy",
            _("Copy from"),
            self.copy,
            options=node_options(_("choose..."), others),
            tip=_(
                "Fill in the geometry of another X-ray, to change what is different, such as the angle, and apply it."
            ),
        )
        return [
            Choice("mode", _("Given as"), self.set_mode, value=draft.mode, options=modes),
            *fields,
            Text("geometry_summary", "\n".join(self._summary(draft, pending, problem)), tone=QUIET),
            Text("geometry_problem", problem, tone=ERROR),
            row(
                "applying",
                Button(
                    "apply",
                    _("Apply"),
                    self.apply,
                    enabled=pending and not problem,
                    question=_("{unusual} Apply it all the same?").format(unusual=unusual) if unusual else "",
                    tip=_("Give the X-ray this geometry."),
                ),
                Button(
                    "reset",
                    _("Reset"),
                    self.revert,
                    enabled=self.changed,
                    tip=_("Show the geometry that the X-ray has, and forget what was changed here."),
                ),
            ),
            *([copy] if others and draft.mode != SLOT_SCAN else []),
        ]

    def _slot_scan(self, draft: Draft) -> list[Control]:
        slot_scan, assumed = slot_scan_of(self.view), self.view.content.get("assumptions", [])
        sides = {
            letters: _("at the patient's {side}").format(side=side_in_words(letters))
            for letters in tube_sides(slot_scan)
        }
        tube = Choice(
            "tube",
            _("Tube"),
            partial(self.edit, "tube"),
            value=draft.fields["tube"],
            options=(Option("", _("choose...")), *options_of(sides)),
            tip=_("The side of the patient on which the tube was. With the wrong one the bones do not fit."),
        )
        distance_tip = _("From the tube to the scanner's axis, where the pixels have the size below.")
        column = replace(SLOT_COLUMN, blank="?") if column_is_asked(self.view) else SLOT_COLUMN
        column_tip = _("That of the ray at right angles to the scan plane; the first is 0.")
        return [
            self._entry("slot_distance", SLOT_DISTANCE.name, distance_tip, draft, number=SLOT_DISTANCE),
            tube,
            self._entry("slot_column", SLOT_COLUMN.name, column_tip, draft, number=column),
            *(Text(f"slot_scan{i}", sentence, tone=QUIET) for i, sentence in enumerate(describe_slot_scan(slot_scan))),
            group(
                "assumed",
                _("Assumed of the header ({count})").format(count=len(assumed)),
                *(Text(f"assumed{i}", sentence, tone=QUIET) for i, sentence in enumerate(assumed)),
                open=False,
            ),
        ]

    def _c_arm(self, draft: Draft) -> list[Control]:
        seen = Choice(
            "seen",
            _("Image seen from"),
            partial(self.edit, "seen"),
            value=draft.fields["seen"],
            options=SIDES,
            tip=_(
                "With the detector before the patient (LAO 0, CRA 0), an image as seen from the source has the patient's "
                "right on its right, one as seen from the detector has it on its left."
            ),
        )
        further = self._numbers(draft, FURTHER_TIPS)
        return [
            *self._numbers(draft, TIPS),
            seen,
            group("further", _("Principal point, roll, isocentre"), *further, open=False),
        ]

    def _numbers(self, draft: Draft, tips: dict[str, str]) -> list[Control]:
        return [
            self._entry(key, ANGLE_LABELS.get(key, NUMBERS[key].name), tip, draft, number=NUMBERS[key])
            for key, tip in tips.items()
        ]

    def _matrix(self, draft: Draft) -> list[Control]:
        tip = _(
            "From world mm to pixels, at any scale and sign; (0, 0) is the centre of the top left pixel. 12 numbers; or 9 of the "
            "intrinsics and then 12 or 16 of camera_from_world; or JSON with either."
        )
        set_axes = partial(self.edit, "axes")
        return [
            self._entry("matrix", _("Projection matrix, 3 \u00d7 4"), tip, draft, rows=4),
            Choice("axes", _("Axes of the world"), set_axes, value=draft.fields["axes"], options=AXES),
        ]

    def _file(self, draft: Draft) -> list[Control]:
        return self.calibration.form(self.view, draft.calibration)

    def _entry(self, key: str, label: str, tip: str, draft: Draft, **more) -> TextField:
        of = self.view.node.GetID()
        return TextField(key, label, partial(self.edit, key), text=draft.fields[key], tip=tip, live=True, of=of, **more)

    @property
    def changed(self) -> bool:
        """Whether something was changed and not applied."""
        return self.view.node.GetID() in self._drafts

    def _summary(self, draft: Draft, pending: bool, problem: str) -> list[str]:
        """The geometry in words, or warnings to check, sentences."""
        if not pending:
            return [summary(self.registration, self.view)]
        if draft.mode == SLOT_SCAN and (missing := missing_in_header(self.view)) and not self.view.placed:
            return [_("Not in the header: {names}.").format(names=", ".join(missing))]
        proposals = (
            header_proposals(self.registration, self.view) if not self.view.placed and draft.mode == C_ARM else []
        )
        if problem:
            return proposals
        described = [self.calibration.description(self.view, draft.calibration)] if draft.mode == FILE else []
        return [*proposals, " ".join([*described, _("Changed, not applied yet.")])]

    def _others(self) -> list[XRayView]:
        return [
            other
            for other in self.registration.xrays
            if other != self.view and other.placed and "slot_scan" not in other.content
        ]

    @property
    def _draft(self) -> Draft:
        return self._drafts.get(self.view.node.GetID()) or self._as_applied()

    def _as_applied(self) -> Draft:
        """The fields of the X-ray as it is."""
        view, matrix = self.view, matrix_of(self.view)
        text = "" if matrix is None else _matrix_text(matrix)
        slot_scan = slot_scan_of(view)
        given = next((mode for mode, key in ((MATRIX, "camera"), (C_ARM, "c_arm")) if key in view.content), None)
        return Draft(
            given or (SLOT_SCAN if slot_scan else C_ARM),
            {**self._reading_fields(reading_of(view)), "matrix": text, "axes": LPS, **self._slot_fields(slot_scan)},
            self.calibration.last,
        )

    def _slot_fields(self, slot_scan: dict) -> dict[str, str]:
        to_source = slot_scan.get("isocentre_to_source")
        return {
            "slot_distance": SLOT_DISTANCE.write_bare(slot_scan.get("source_to_isocentre_mm")),
            "slot_column": SLOT_COLUMN.write_bare(slot_scan.get("central_column")),
            "tube": "" if to_source is None else nearest_side(slot_scan, to_source),
        }

    def _reading_fields(self, reading: dict) -> dict[str, str]:
        fields = {"seen": next(name for name, mirrored in SEEN.items() if mirrored is reading.get("mirrored"))}
        for key, number in NUMBERS.items():
            value = reading.get(key.rstrip("01"))
            if value is not None and key[-1] in "01":
                value = value[int(key[-1])]
            if key.startswith("principal_point") and value == _middle(self.view.size)[int(key[-1])]:
                value = None
            fields[key] = number.write_bare(value)
        return fields

    # What the fields say

    def _problem(self, draft: Draft) -> str:
        try:
            if draft.mode == C_ARM:
                check_reading(self._reading(draft))
            elif draft.mode == MATRIX:
                _matrix(draft.fields)
            elif draft.mode == SLOT_SCAN:
                completed(self.view, *self._slot_values(draft))
            else:
                self.calibration.camera(self.view, draft.calibration)
        except InputError as error:
            return str(error)
        return ""

    def _unusual(self, draft: Draft) -> str:
        """A value that C-arms do not have, such as a slip of the keyboard gives."""
        reading = self._reading(draft)
        pixel_mm, distance_mm = max(reading["pixel_mm"]), reading["source_to_detector_mm"]
        if pixel_mm > MAX_USUAL_PIXEL_MM:
            return _("Pixel size: {found:g} mm is more than X-ray detectors have, which is 0.1 to 0.6 mm.").format(
                found=pixel_mm
            )
        if distance_mm < MIN_USUAL_DISTANCE_MM:
            return _("Source to detector: {found:g} mm is less than C-arms have, which is about 1000 mm.").format(
                found=distance_mm
            )
        return ""

    def _reading(self, draft: Draft) -> dict:
        """A case.json's c_arm; an angle is None where none is given, "mirrored" where nothing is chosen. InputError for invalid content."""
        reading: dict = {"mirrored": SEEN.get(draft.fields["seen"])}
        for key, number in NUMBERS.items():
            value = number.read(draft.fields[key])
            if key[-1] in "01":
                reading.setdefault(key[:-1], []).append(value)
            else:
                reading[key] = value
        point = reading.pop("principal_point")
        if point != [None, None]:
            pairs = zip(point, _middle(self.view.size), strict=True)
            reading["principal_point"] = [middle if value is None else value for value, middle in pairs]
        return reading

    def _slot_values(self, draft: Draft) -> tuple[float | None, float | None, str]:
        """As `slot_scan.completed` takes them."""
        fields = draft.fields
        return SLOT_DISTANCE.read(fields["slot_distance"]), SLOT_COLUMN.read(fields["slot_column"]), fields["tube"]

    # What a person does

    def set_mode(self, mode: str) -> None:
        """Choose the kind of geometry, of MODES; a change back to the applied kind drops the edits."""
        if mode == self._as_applied().mode and self.view.placed:
            self.revert()
        else:
            self._keep(replace(self._draft, mode=mode))

    def edit(self, key: str, value: str) -> None:
        """Change a field."""
        draft = self._draft
        self._keep(replace(draft, fields={**draft.fields, key: value}))

    def copy(self, node_id: str) -> None:
        """Fill the fields as another X-ray has them, by the ID of its node."""
        for other in self._others():
            if other.node.GetID() == node_id:
                draft, origin = self._draft, _("as {name}").format(name=other.name)
                if "camera" in other.content:
                    fields = {"matrix": _matrix_text(matrix_of(other)), "axes": LPS}
                    mode, size = MATRIX, other.size
                else:
                    fields, mode, size = self._reading_fields(reading_of(other)), C_ARM, draft.size
                self._keep(replace(draft, mode=mode, fields={**draft.fields, **fields}, size=size, origin=origin))

    def apply(self) -> None:
        """Give the X-ray the geometry that the fields say. InputError if they are invalid."""
        view, draft = self.view, self._draft
        if draft.mode == C_ARM:
            use_reading(self.registration, view, self._reading(draft), draft.origin)
        elif draft.mode == SLOT_SCAN:
            use_slot_scan(view, *self._slot_values(draft))
        elif draft.mode == FILE:
            use_camera(
                self.registration, view, self.calibration.camera(view, draft.calibration), draft.calibration.path
            )
        else:
            given = _matrix(draft.fields)
            set_matrix(self.registration, view, given.projection_matrix, given.size or draft.size, draft.origin)
        self.revert()

    def revert(self) -> None:
        """Fill the fields from the X-ray again."""
        self._drafts.pop(self.view.node.GetID(), None)

    def _keep(self, draft: Draft) -> None:
        self._drafts[self.view.node.GetID()] = draft


def _middle(size: Sequence[int]) -> list[float]:
    return [(n - 1) / 2 for n in size]


def _matrix_text(matrix: np.ndarray) -> str:
    return "\n".join("  ".join(f"{value:.8g}" for value in row) for row in matrix)


def _matrix(fields: dict[str, str]) -> MatrixText:
    """The projection matrix from world LPS mm to pixels. InputError if it is invalid."""
    text = fields["matrix"]
    if not text.strip():
        raise InputError(_("Matrix: none is given, expected 12 numbers; enter or paste them, or choose a file."))
    given = read_matrix(text, _("Matrix"))
    return MatrixText(given.projection_matrix @ RAS_FROM_LPS, given.size) if fields["axes"] == RAS else given


USUAL, EXACTLY, TYPED, UNKNOWN = "usual", "exactly", "typed", "unknown"
#: Standard deviations of a camera: key in a view's content, label and range.
DEVIATIONS = (
    ("rotation_sd_deg", _("Angles \u00b1"), Number(_("Certainty of the angles"), 0, 180, DEG)),
    ("translation_sd_mm", _("Place \u00b1"), Number(_("Certainty of the place"), 0, 1000, " mm")),
    (
        "principal_point_sd_px",
        _("Principal point \u00b1"),
        Number(_("Certainty of the principal point"), 0, 1000, " px"),
    ),
    ("distance_sd_percent", _("Distance \u00b1"), Number(_("Certainty of the distance"), 0, 50, " %")),
)
#: The same of a slot scan, whose distance shows in the fan's width.
SLOT_DEVIATIONS = (
    *DEVIATIONS[:2],
    ("principal_point_sd_px", _("Central column \u00b1"), Number(_("Certainty of the central column"), 0, 1000, " px")),
    ("distance_sd_percent", _("Width of the fan \u00b1"), Number(_("Certainty of the fan's width"), 0, 50, " %")),
    ("step_sd_percent", _("Rows' distance \u00b1"), Number(_("Certainty of the rows' distance"), 0, 50, " %")),
)


class CertaintyPresenter(EditorPresenter):
    """How well an X-ray's camera is known: as is usual for where its geometry comes from, exactly, as typed, or not at all."""

    TITLE = _("Certainty")

    def form(self) -> list[Control]:
        view, reference = self.view, reference_of(self.registration)
        first = reference is None or reference == view
        stated = {key: view.content[key] for key, *_rest in self._deviations if key in view.content}
        unknown = stated.get("rotation_sd_deg", 0) is None and stated.get("translation_sd_mm", 0) is None
        known = UNKNOWN if unknown else TYPED if any(stated.values()) else EXACTLY if stated else USUAL
        usual = describe_uncertainty(
            camera_uncertainty({key: view.content[key] for key in ("c_arm", "slot_scan") if key in view.content})
        )
        options = [
            Option(USUAL, _("{usual} (usual)").format(usual=usual)),
            Option(EXACTLY, _("exactly")),
            Option(TYPED, _("as typed")),
            *([] if first else [Option(UNKNOWN, _("angles and place not at all"))]),
        ]
        controls: list[Control] = [
            Choice("certainty_known", _("Camera known"), self.set_known, value=known, options=options)
        ]
        if known == TYPED:
            deviations = camera_uncertainty(view.content)
            for key, label, number in self._deviations[2 if first else 0 :]:
                action, text = partial(self.set_deviation, key, number), number.write_bare(deviations[key])
                controls.append(TextField(key, label, action, text=text, number=number, of=view.node.GetID()))
        alone = unknown and shared_unknowns_of(self.registration) == SharedUnknowns()
        hint = (
            _("This X-ray is the reference: the angles and the place of every other X-ray are relative to it.")
            if first
            else _("This X-ray is registered alone; its geometry relative to {reference} is found with it.")
            if alone
            else _("Angles and place are relative to {reference}, the first X-ray that is used.")
        )
        name = "" if first else reference.name
        return [*controls, Text("certainty_hint", hint.format(reference=name), tone=QUIET)]

    @property
    def _deviations(self) -> tuple[tuple[str, str, Number], ...]:
        return SLOT_DEVIATIONS if "slot_scan" in self.view.content else DEVIATIONS

    def set_known(self, known: str) -> None:
        """Set the accuracy of the camera, one of the options; "as typed" begins with the usual one."""
        keys = [key for key, *_rest in self._deviations]
        rest = {key: value for key, value in self.view.content.items() if key not in keys}
        stated = {
            USUAL: {},
            EXACTLY: dict.fromkeys(keys, 0.0),
            TYPED: {key: value or 0.0 for key, value in camera_uncertainty(rest).items()},
            UNKNOWN: {"rotation_sd_deg": None, "translation_sd_mm": None},
        }
        self.view.content = {**rest, **stated[known]}

    def set_deviation(self, key: str, number: Number, text: str) -> None:
        """Set a standard deviation of the camera. InputError if it is invalid."""
        self.view.change(**{key: number.read(text)})
