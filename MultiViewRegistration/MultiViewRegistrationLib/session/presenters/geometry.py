"""How an X-ray was taken: C-arm angles and distances, a projection matrix, or a calibration file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ...errors import InputError
from ...io.calibration.matrix_text import MatrixText, read_matrix, read_number
from ...mrml.frames import RAS_FROM_LPS
from ...mrml.xray import XRayView
from ..external_files import use_camera
from ..geometry import (
    ANGLES,
    DEG,
    READINGS,
    check_reading,
    header_proposals,
    matrix_of,
    reading_of,
    set_matrix,
    summary,
    use_reading,
)
from ..translation import _
from .calibration import CalibrationFile, CalibrationPresenter, CalibrationShown
from .editor import EditorPresenter
from .number import Number
from .options import Option

C_ARM, MATRIX, FILE = MODES = ("c_arm", "matrix", "file")
LPS, RAS = AXES = ("LPS", "RAS")
#: The side from which the image is seen, and what a case.json's "mirrored" says of it.
SEEN = {"": None, "source": False, "detector": True}

_DISTANCE = {"unit": " mm", "blank": "?", "nothing": 0.0}
#: The fields of a C-arm's reading, by the keys of a case.json's c_arm; those of a pair end in 0 (columns) and 1 (rows).
NUMBERS = {
    "rao_lao_deg": Number(READINGS["rao_lao_deg"], -180, 180, DEG, blank="?"),
    "cra_cau_deg": Number(READINGS["cra_cau_deg"], -90, 90, DEG, blank="?"),
    "source_to_detector_mm": Number(_("Source to detector"), 0, 10000, **_DISTANCE),
    "source_to_isocentre_mm": Number(_("Source to isocentre"), 0, 10000, **_DISTANCE),
    "pixel_mm0": Number(_("Pixel size, columns"), 0, 10, **_DISTANCE),
    "pixel_mm1": Number(_("Pixel size, rows"), 0, 10, **_DISTANCE),
    "roll_deg": Number(_("Roll"), -360, 360, DEG),
    "isocentre_offset_mm0": Number(_("Isocentre off axis, columns"), -1000, 1000, " mm"),
    "isocentre_offset_mm1": Number(_("Isocentre off axis, rows"), -1000, 1000, " mm"),
    "principal_point0": Number(_("Principal point, columns"), -100000, 100000),
    "principal_point1": Number(_("Principal point, rows"), -100000, 100000),
}
PAIRS = ("pixel_mm", "isocentre_offset_mm", "principal_point")
#: Pixels of X-ray detectors are smaller than this, mm, and sources are farther away.
MAX_USUAL_PIXEL_MM, MIN_USUAL_DISTANCE_MM = 1.0, 300.0


@dataclass(frozen=True)
class Draft:
    """What stands in the fields of one X-ray.

    Attributes
    ----------
    mode
        One of MODES.
    fields
        Texts by the keys of NUMBERS, and "middle" (whether the principal point is the image's middle, "yes" or ""), "seen" (of SEEN),
        "matrix" (rows of cells with tabs between, or any text with a matrix), "axes" (of AXES).
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


@dataclass(frozen=True)
class GeometryShown:
    """told: what the geometry comes to, or what is to be checked.   problem: why it cannot be applied.

    unusual: what hardly any C-arm has, and a slip of the keyboard gives.   others: X-rays whose geometry can be copied.
    """

    mode: str = C_ARM
    fields: dict[str, str] = field(default_factory=dict)
    calibration: CalibrationShown = field(default_factory=CalibrationShown)
    changed: bool = False
    can_apply: bool = False
    told: str = ""
    problem: str = ""
    unusual: str = ""
    others: list[Option] = field(default_factory=list)


class GeometryPresenter(EditorPresenter):
    """Fields that are filled from the X-ray, changed, checked while they are, and applied.

    What was changed and not yet applied is kept for each X-ray while others are looked at.
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

    def shown(self) -> GeometryShown:
        view = self.view
        if view is None:
            return GeometryShown()
        draft, changed = self._draft, self.changed
        pending = changed or not view.placed
        problem = self._problem(draft) if pending else ""
        return GeometryShown(
            mode=draft.mode,
            fields=draft.fields,
            calibration=self.calibration.shown(view, draft.calibration) if draft.mode == FILE else CalibrationShown(),
            changed=changed,
            can_apply=pending and not problem,
            told="\n".join(self._pending(draft, problem)) if pending else summary(self.registration, view),
            problem=problem,
            unusual=self._unusual(draft) if pending and not problem and draft.mode == C_ARM else "",
            others=[Option(other.node.GetID(), other.name) for other in self._others()],
        )

    @property
    def changed(self) -> bool:
        """Whether something was changed and not applied."""
        return self.view.node.GetID() in self._drafts

    def _pending(self, draft: Draft, problem: str) -> list[str]:
        told = header_proposals(self.registration, self.view) if not self.view.placed and draft.mode == C_ARM else []
        if problem:
            return told
        described = [self.calibration.shown(self.view, draft.calibration).told] if draft.mode == FILE else []
        return [*told, " ".join([*described, _("Changed, not applied yet.")])]

    def _others(self) -> list[XRayView]:
        return [other for other in self.registration.xrays if other != self.view and other.placed]

    @property
    def _draft(self) -> Draft:
        return self._drafts.get(self.view.node.GetID()) or self._as_applied()

    def _as_applied(self) -> Draft:
        """The fields of the X-ray as it is."""
        view, matrix = self.view, matrix_of(self.view)
        text = "" if matrix is None else _matrix_text(matrix)
        return Draft(
            MATRIX if "camera" in view.content else C_ARM,
            {**self._reading_fields(reading_of(view)), "matrix": text, "axes": LPS},
            self.calibration.last,
        )

    def _reading_fields(self, reading: dict) -> dict[str, str]:
        middle = [(n - 1) / 2 for n in self.view.size]
        defaults = {"principal_point": middle, **dict.fromkeys(ANGLES)}
        values = {}
        for key in dict.fromkeys(name.rstrip("01") for name in NUMBERS):
            if key in PAIRS:
                pair = reading.get(key) or defaults.get(key, (0.0, 0.0))
                values |= {f"{key}{i}": value for i, value in enumerate(pair)}
            else:
                values[key] = reading.get(key, defaults.get(key, 0.0))
        point = reading.get("principal_point")
        return {
            **{key: number.write_bare(values[key]) for key, number in NUMBERS.items()},
            "middle": "yes" if not point or list(point) == middle else "",
            "seen": next(name for name, mirrored in SEEN.items() if mirrored is reading.get("mirrored")),
        }

    # What the fields say

    def _problem(self, draft: Draft) -> str:
        try:
            if draft.mode == C_ARM:
                check_reading(_reading(draft.fields))
            elif draft.mode == MATRIX:
                _matrix(draft.fields)
            else:
                self.calibration.camera(self.view, draft.calibration)
        except InputError as error:
            return str(error)
        return ""

    def _unusual(self, draft: Draft) -> str:
        reading = _reading(draft.fields)
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

    # What a person does

    def edit(self, key: str, value: str) -> None:
        """Change a field, or the "mode", one of MODES; back to the applied mode drops a draft."""
        draft = self._draft
        if key == "mode":
            mode = value if value in MODES else C_ARM
            if mode == self._as_applied().mode and self.view.placed:
                self.revert()
            else:
                self._keep(replace(draft, mode=mode))
        elif key in draft.fields:
            middle = {"middle": ""} if key.startswith("principal_point") else {}
            self._keep(replace(draft, fields={**draft.fields, **middle, key: str(value)}))

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

    def paste(self, text: str) -> None:
        """Fill in the matrix in a text. InputError where there is none."""
        given, draft = read_matrix(text, _("The clipboard")), self._draft
        fields = {**draft.fields, "matrix": _matrix_text(given.projection_matrix)}
        self._keep(replace(draft, fields=fields, size=given.size, origin=_("pasted")))

    def apply(self) -> None:
        """Give the X-ray the geometry that the fields say. InputError for what is wrong in them."""
        view, draft = self.view, self._draft
        if draft.mode == C_ARM:
            use_reading(self.registration, view, _reading(draft.fields), draft.origin)
        elif draft.mode == FILE:
            use_camera(
                self.registration, view, self.calibration.camera(view, draft.calibration), draft.calibration.path
            )
        else:
            given = _matrix(draft.fields)
            set_matrix(self.registration, view, given.projection_matrix, given.size or draft.size, draft.origin)
        self.revert()

    def revert(self) -> None:
        """Fill the fields anew from the X-ray."""
        self._drafts.pop(self.view.node.GetID(), None)

    def _keep(self, draft: Draft) -> None:
        self._drafts[self.view.node.GetID()] = draft


def _reading(fields: dict[str, str]) -> dict:
    """A case.json's c_arm; an angle is None where none is given, "mirrored" where nothing is chosen. InputError for what is wrong."""
    reading: dict = {"mirrored": SEEN.get(fields["seen"])}
    for key, number in NUMBERS.items():
        if key.startswith("principal_point") and fields["middle"]:
            continue
        value = number.read(fields[key])
        if key[-1] in "01":
            reading.setdefault(key[:-1], []).append(value)
        else:
            reading[key] = value
    return reading


def _matrix_text(matrix: np.ndarray) -> str:
    return "\n".join("\t".join(f"{value:.8g}" for value in row) for row in matrix)


def _matrix(fields: dict[str, str]) -> MatrixText:
    """From world LPS mm to pixels. InputError for what is wrong in it."""
    text = fields["matrix"]
    if not text.strip():
        raise InputError(_("Matrix: none is given, expected 12 numbers; enter or paste them, or choose a file."))
    cells = [line.split("\t") for line in text.split("\n")]
    if [len(row) for row in cells] == [4, 4, 4]:
        given = MatrixText(
            np.array([[_cell(cells[row][column], row, column) for column in range(4)] for row in range(3)])
        )
    else:
        given = read_matrix(text, _("Matrix"))
    return MatrixText(given.projection_matrix @ RAS_FROM_LPS, given.size) if fields["axes"] == RAS else given


def _cell(text: str, row: int, column: int) -> float:
    cell = _("Matrix: row {row}, column {column}").format(row=row + 1, column=column + 1)
    if not text.strip():
        raise InputError(_("{cell} holds nothing, expected a number; enter all 12, or paste them.").format(cell=cell))
    return read_number(text, cell)
