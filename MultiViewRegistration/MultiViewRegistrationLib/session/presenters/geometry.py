"""The geometry of all X-rays.

A table of fields, a row for each X-ray, over a picture of the machine that moves with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry.camera import Camera
from ...geometry.machines import left_side, side_of_direction
from ...io.calibration.calibrated import CalibratedView
from ...io.recognise import CALIBRATION
from ...known import without_empty
from ...mrml.layout import css_colour
from ...mrml.overlay import c_arm_of, sides_of
from ...mrml.xray import XRayView
from ...mrml.xray_record import Values
from ...report.plot import svg_text
from ...report.scene import DrawnView, machine_figure
from ...translation import _
from ..geometry import (
    describe_slot_scan,
    header_proposals,
    missing_in_header,
    needs_geometry,
    reading_of,
    side_in_words,
    summary,
    tube_sides,
)
from .beads import BeadsPresenter
from .certainty import CertaintyPresenter, EditorPresenter, XRaySelection
from .external_files import CALIBRATION_QUESTIONS, use_camera
from .form import (
    Button,
    Choice,
    Control,
    FieldCell,
    FieldRow,
    FieldTable,
    Files,
    Form,
    Option,
    Picture,
    Text,
    TextField,
    empty_fields,
    group,
    options_of,
    quiet,
    row,
    texts,
)
from .geometry_edits import BONE, NOT_USED_YET, GeometryEdits, KeptCArms
from .geometry_fields import (
    NUMBERS,
    REQUIRED,
    SEEN_FROM,
    SLOT_NUMBERS,
    TUBE,
    Draft,
    column_of,
    left_in_words,
    matrix_text,
    side_options,
    sketch,
    text_of,
    write_pair,
)
from .section import question_controls

MODES = (
    Option("c_arm", _("C-arm")),
    Option("matrix", _("Matrix")),
)
#: Only of an image that came with one.
SLOT_SCAN_MODE = Option(
    "slot_scan",
    _("Slot scan"),
    _(
        "A CT scout or an EOS image: rays spread across the image and are parallel along it, as "
        "source and slot move from row to row."
    ),
)
AXES = (Option("LPS", _("LPS (DICOM, ITK, case.json)")), Option("RAS", _("RAS (3D Slicer)")))
QUESTION = _("Is the patient's right on the left of the image?")


#: The columns, by the keys of the fields in them; of the table's first column the key is "".
COLUMNS = {
    option.value: option
    for option in (
        Option("", _("X-ray")),
        Option("mode", _("Given as")),
        column_of("rao_lao_deg", _("LAO (+) / RAO (\u2212)")),
        column_of("cra_cau_deg", _("CRA (+) / CAU (\u2212)")),
        column_of("source_to_detector_mm"),
        column_of("source_to_isocentre_mm"),
        column_of("pixel_mm"),
        column_of("principal_point"),
        Option(
            "left",
            QUESTION,
            _(
                "Look at the image: a marker R, the heart, the liver. Yes is how radiographs are "
                "read, as if the patient faced you."
            ),
        ),
        Option(
            "bone",
            _("Bone in the file"),
            _(
                "Whether bone is darker or brighter than soft tissue in the file as it is stored; "
                "log: of an image whose logarithm was taken."
            ),
        ),
    )
}
#: Fields that are seen of the selected X-ray alone.
FURTHER = {
    option.value: option
    for option in (
        column_of("roll_deg"),
        column_of("isocentre_offset_mm"),
    )
}
#: Of calibration files.
SUFFIXES = tuple(
    ".txt .csv .dat .json .yaml .yml .xml .npy .npz .h5 .hdf5 .mha .mhd .nrrd .tfm".split()
)
PICTURE_PX = 280
THUMBNAIL_PX = 160
_NONE = "\u2013"


class GeometryPresenter(EditorPresenter):
    """The table while it is open, else nothing.

    What is typed into it becomes an X-ray's geometry as `GeometryEdits` says.
    """

    TITLE = _("Geometry of the X-rays")

    def __init__(self, xrays: XRaySelection, edits: GeometryEdits) -> None:
        self._kept = KeptCArms(xrays, edits)
        self.certainty = CertaintyPresenter(xrays, edits)
        self.beads = BeadsPresenter(xrays, edits)
        super().__init__(xrays, edits)

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self.open = False
        self._edits.reset()
        self._kept.reset()
        self.certainty.reset()
        self.beads.reset()

    def show(self, view: XRayView | None = None) -> None:
        """Open the table with this X-ray selected, by default one that needs something."""
        if not self._xrays.views:
            raise InputError(_("Geometry: there is no X-ray yet; add X-rays first."))
        if view is None:
            needing = [each for each in self._xrays.views if self._wants(each)]
            view = self.view if self.view in needing or not needing else needing[0]
        if not self.open:
            self._edits.begin()
            self._kept.reset()
        self.open = True
        self._xrays.select(view.id)

    def close(self) -> None:
        """Close the table; what is refused of the typed values stays in it."""
        if self.open:
            self._edits.end()
            self.beads.close()
        self.open = False

    def wanted(self) -> str:
        """Return the key of the control that the selected X-ray needs an answer of most."""
        view = self.view
        draft = self._edits.draft(view)
        cells = self._line(view).cells
        keys = [cell.field.key for cell in cells if cell.fault or cell.missing]
        if draft.mode == "matrix" and draft.fault:
            keys += empty_fields(self._details(view, draft))
            keys.append("matrix")
        keys += ["use"] if self._edits.waits(view, draft) else []
        keys += ["certainty_known"] if view.record.presumed else []
        typed = [cell.field.key for cell in cells if isinstance(cell.field, TextField)]
        return [*keys, *typed, cells[0].field.key][0]

    def refused(self, view: XRayView) -> str:
        """Return why an X-ray does not have what was typed for it, a sentence; "" where it has."""
        sentence = self._edits.refused(view) or self.certainty.refused(view.id)
        named = not sentence or sentence.startswith(f"{view.name}: ")
        return sentence if named else f"{view.name}: {sentence}"

    def unfinished(self) -> str:
        """Return the first typed value that a registration has to wait for, a sentence.

        "" for none.
        """
        refused = [self.refused(view) for view in self._xrays.views if view.used]
        if self.host.registration is not None:
            refused.append(self.certainty.refused(self.registration.node.GetID()))
        return next(filter(None, refused), "")

    def tick(self) -> bool:
        """Take what threads have done; return whether there is something new to show."""
        return self.open and self.beads.tick()

    def _wants(self, view: XRayView) -> bool:
        return needs_geometry(view) or not view.placed or bool(self.session.problem(view))

    # The form

    def form(self) -> Form:
        """Return the controls."""
        if not self.open or self._xrays.selected is None:
            return []
        if self.beads.open:
            return self.beads.form()
        view = self.view
        draft = self._edits.draft(view)
        # Of a matrix only a person knows it.
        asked = draft.mode == "matrix" and not view.record.marker
        certainty = group(
            "certainty", _("How well it is known"), *self.certainty.form(), open=asked
        )
        return [
            FieldTable(
                "fields",
                self.TITLE,
                self._xrays.select,
                columns=tuple(COLUMNS.values()),
                lines=tuple(self._line(each) for each in self._xrays.views),
                selected=view.id,
            ),
            quiet(
                "legend",
                _(
                    "Values in italics were not typed: point at one to read where it is from. What "
                    "is needed is marked with ?."
                ),
            ),
            row(
                "sources",
                Files(
                    "calibration",
                    _("From a calibration file..."),
                    partial(self.host.take_files, preferred=CALIBRATION),
                    hint=_("a calibration: OpenCV, MayaCam, RTK, xReg, Plus, matrices"),
                    suffixes=SUFFIXES,
                    several=True,
                    tip=_(
                        "For the X-rays without geometry, or all where none is without. Values "
                        "that a file does not state are requested."
                    ),
                ),
                Button(
                    "from_beads",
                    _("From beads in these X-rays..."),
                    self.beads.show,
                    tip=_(
                        "For X-rays that show a phantom, or marker, of steel balls: the cameras of "
                        "all come from the images themselves."
                    ),
                ),
            ),
            row(
                "below",
                *self._picture(view, draft),
                group(
                    "details",
                    view.name,
                    certainty if asked else None,
                    *self._details(view, draft),
                    quiet("geometry_summary", "\n".join(self._summary(view, draft))),
                    None if asked else certainty,
                    group(
                        "shared",
                        _("Uncertain, and the same in all X-rays"),
                        *self.certainty.shared_form(),
                        open=False,
                    ),
                ),
            ),
            row(
                "closing",
                Button(
                    "put_back",
                    _("Put {name} back").format(name=view.name),
                    partial(self.put_back, view),
                    enabled=self._edits.is_changed(view) or bool(self.certainty.refused(view.id)),
                    tip=_(
                        "Give the X-ray the geometry that it had before it was first changed in "
                        "this table."
                    ),
                ),
                Button("close", _("Done"), self.close, primary=True),
            ),
        ]

    def _line(self, view: XRayView) -> FieldRow:
        draft = self._edits.draft(view)
        kinds = {
            "c_arm": self._c_arm,
            "matrix": self._of_camera,
            "slot_scan": self._slot_scan,
        }
        modes = (SLOT_SCAN_MODE, *MODES) if view.record.slot_scan else MODES
        mode = self._choice(view, "mode", draft.mode, modes, partial(self._edits.set_mode, view))
        elsewhere = view == self.view and draft.mode == "matrix"  # it stands by the matrix
        cells = {
            "mode": FieldCell(
                mode,
                "" if elsewhere else self._edits.problem(view, draft),
                caution=self._caution(view, draft),
            ),
            **kinds[draft.mode](view, draft),
            "bone": self._bone(view),
        }
        return FieldRow(
            view.id,
            view.name,
            tuple(cells[key] for key in COLUMNS if key),
            colour=css_colour(view),
            tip=_("{columns} \u00d7 {rows} pixels").format(columns=view.size[0], rows=view.size[1]),
        )

    def _c_arm(self, view: XRayView, draft: Draft) -> dict[str, FieldCell]:
        values = draft.values
        options = side_options(values)
        mirrored = values.get("mirrored")
        letter = "" if mirrored is None else left_side(values, mirrored)
        side = self._choice(view, "left", letter, options, partial(self._edits.set_side, view))
        cells = {key: self._number(view, key, draft) for key in COLUMNS if key in NUMBERS}
        return {**cells, "left": self._cell(view, "mirrored", draft, side)}

    def _number(self, view: XRayView, key: str, draft: Draft) -> FieldCell:
        hint = "?" if key in REQUIRED else {"principal_point": _("middle")}.get(key, "0")
        return self._cell(view, key, draft, self._entry(view, key, draft, hint))

    def _cell(self, view: XRayView, key: str, draft: Draft, control: Control) -> FieldCell:
        return FieldCell(
            control,
            draft.faults.get(key, ""),
            draft.cautions.get(key, ""),
            self._edits.origin(view, key, draft),
            key in draft.missing,
        )

    def _of_camera(self, view: XRayView, draft: Draft) -> dict[str, FieldCell]:
        """Return what a matrix says of the fields, which cannot be typed."""
        shown = dict.fromkeys((key for key in COLUMNS if key not in ("", "mode", "bone")), _NONE)
        if view.placed and view.record.kind != "slot_scan":
            values = {**_rounded(reading_of(view)), "size": view.size}
            texts = {key: text_of(values, key) for key in NUMBERS if key in shown}
            shown |= without_empty(texts)
            shown["principal_point"] = texts["principal_point"] or _("middle")
            if (sides := sides_of(view)) is not None:
                shown["left"] = left_in_words(sides[0][0])
        return _read_only(view, shown, _("the matrix"))

    def _slot_scan(self, view: XRayView, draft: Draft) -> dict[str, FieldCell]:
        slot_scan = view.record.slot_scan
        header = view.record.header
        sides = {"": _("tube: ?")}
        for letters in tube_sides(slot_scan):
            sides[letters] = _("tube: {side}").format(side=side_in_words(letters))
        tubes = options_of(sides)
        tube = self._choice(view, TUBE, draft.text(TUBE), tubes)
        left = side_of_direction(-np.array(slot_scan["columns_along"], float))[0]
        read_only = {
            "cra_cau_deg": _NONE,
            "source_to_detector_mm": _NONE,
            "pixel_mm": write_pair(slot_scan["pixel_mm"], "pixel_mm"),
            "left": left_in_words(left),
        }
        cells = {TUBE: self._cell(view, TUBE, draft, tube)}
        for key, number in SLOT_NUMBERS.items():
            entry = self._entry(view, key, draft, "?" if key in header.missing else number.blank)
            cells[key] = self._cell(view, key, draft, entry)
        cells["rao_lao_deg"] = cells[TUBE]
        cells["principal_point"] = cells["central_column"]
        return {**_read_only(view, read_only, _("DICOM header")), **cells}

    def _bone(self, view: XRayView) -> FieldCell:
        now = view.record.intensity, view.record.inverted
        chosen = next(key for key, (_title, both) in BONE.items() if both == now)
        titles = {key: title for key, (title, _both) in BONE.items()}
        if chosen != "dark log":
            del titles["dark log"]
        set_bone = partial(self._edits.set_bone, view)
        there = view.source is not None
        choice = self._choice(view, "bone", chosen, options_of(titles), set_bone, enabled=there)
        return FieldCell(choice)

    def _entry(self, view: XRayView, key: str, draft: Draft, hint: str) -> TextField:
        title = (COLUMNS | FURTHER)[key] if draft.mode == "c_arm" else None
        field = title.title if title else SLOT_NUMBERS[key].name
        return TextField(
            f"{view.id}.{key}",
            _("{field} of {name}").format(field=field, name=view.name),
            partial(self._edits.edit, view, key),
            text=draft.text(key),
            tip=title.tip if title else "",
            typed=partial(self._edits.typed, view, key),
            hint=hint,
            of=view.id,
        )

    def _choice(
        self,
        view: XRayView,
        key: str,
        value: str,
        options: Sequence[Option],
        action: Callable[[str], object] | None = None,
        enabled: bool = True,
    ) -> Choice:
        title = COLUMNS[key].title if key in COLUMNS else _("Tube")
        return Choice(
            f"{view.id}.{key}",
            _("{field} of {name}").format(field=title, name=view.name),
            action or partial(self._edits.edit, view, key),
            value=value,
            options=tuple(options),
            enabled=enabled,
        )

    # Below the table

    def _picture(self, view: XRayView, draft: Draft) -> Form:
        """Return the machine about the patient, and the image with his sides.

        Empty where the world's axes may not be the patient's, and in Slicer before matplotlib is
        installed: the form is used without it.
        """
        if find_spec("matplotlib") is None:
            return []
        camera, detector_mm, certain = self._sketched(view, draft)
        if camera is None:
            return []
        known = draft.mode != "c_arm" or "mirrored" in draft.values
        picture = self.picture(view, THUMBNAIL_PX)
        drawn = DrawnView("", camera, detector_mm, picture, view.pixel_aspect, certain)
        numbers = camera.intrinsics, camera.camera_from_world, camera.source_step
        key = (*(each.tobytes() for each in numbers), *camera.size, detector_mm, certain, known)
        svg = self._known.value(
            "machine",
            (*key, view.pixel_aspect, id(picture)),
            lambda: svg_text(machine_figure(drawn, known)),
        )
        tip = _(
            "Where source and detector of {name} are about the patient, who lies on his back."
        ).format(name=view.name)
        return [Picture("c_arm_picture", svg=svg, height=PICTURE_PX, tip=tip)]

    def _sketched(self, view: XRayView, draft: Draft) -> tuple[Camera | None, float, bool]:
        """Return the camera to draw, from the source to the detector in mm, and whether all its numbers are given."""
        if 0 in view.size:
            return None, 0.0, False
        if draft.mode == "c_arm":
            given = draft.c_arm
            drawn = given or sketch(draft.values, view.size)
            return drawn.camera(), drawn.source_to_detector_mm, given is not None
        known = view.placed and (view.record.kind == "slot_scan" or c_arm_of(view) is not None)
        return (view.camera, view.detector_mm, True) if known else (None, 0.0, False)

    def _details(self, view: XRayView, draft: Draft) -> Form:
        """Return what is seen of the selected X-ray alone."""
        kinds = {
            "c_arm": self._more_of_c_arm,
            "matrix": self._matrix,
            "slot_scan": self._more_of_slot_scan,
        }
        use = Button(
            "use",
            _("Use this geometry"),
            partial(self._edits.use, view),
            tip=_("Give the X-ray what is shown here."),
        )
        problem = self._edits.problem(view, draft) if draft.mode == "matrix" else ""
        return [
            *kinds[draft.mode](view, draft),
            Text("geometry_problem", problem, tone="error"),
            row("using", use) if self._edits.waits(view, draft) else None,
        ]

    def _more_of_c_arm(self, view: XRayView, draft: Draft) -> Form:
        cells = tuple(self._number(view, key, draft) for key in FURTHER)
        further = FieldTable(
            "further_fields",
            _("Roll and isocentre of {name}").format(name=view.name),
            columns=(COLUMNS[""], *FURTHER.values()),
            lines=(FieldRow(view.id, view.name, cells),),
        )
        odd = any(draft.text(key) for key in FURTHER)
        return [
            *self._kept.controls(view, draft),
            group("further", _("Roll, isocentre off the axis"), further, open=odd),
        ]

    def _matrix(self, view: XRayView, draft: Draft) -> Form:
        tip = _(
            "From world mm to pixels, at any scale and sign; (0, 0) is the centre of the top left "
            "pixel. 12 numbers; or 9 of the intrinsics and then 12 or 16 of camera_from_world; or "
            "JSON with either."
        )
        open_ = SEEN_FROM in draft.texts or SEEN_FROM in draft.faults
        asked = [CALIBRATION_QUESTIONS[SEEN_FROM]] if open_ else []
        assumed = view.record.assumptions if self._edits.in_force(view) else ()
        return [
            *texts("of_camera", assumed, "quiet"),
            TextField(
                "matrix",
                _("Projection matrix, 3 \u00d7 4"),
                partial(self._edits.edit, view, "matrix"),
                text=matrix_text(draft, view),
                typed=partial(self._edits.typed, view, "matrix"),
                tip=tip,
                of=view.id,
                rows=4,
            ),
            Choice(
                "axes",
                _("Axes of the world"),
                partial(self._edits.edit, view, "axes"),
                value=draft.texts.get("axes", "LPS"),
                options=AXES,
            ),
            *question_controls("matrix", asked, draft.texts, partial(self._edits.edit, view)),
        ]

    def _more_of_slot_scan(self, view: XRayView, draft: Draft) -> Form:
        assumed = view.record.assumptions
        return [
            *texts("slot_scan", describe_slot_scan(view.record.slot_scan), "quiet"),
            group(
                "assumed",
                _("Assumed of the header ({count})").format(count=len(assumed)),
                *texts("assumed", assumed, "quiet"),
                open=False,
            ),
        ]

    def _summary(self, view: XRayView, draft: Draft) -> list[str]:
        """Return the geometry in words, or what its file's header says and lacks, sentences."""
        if view.placed and self._edits.in_force(view):
            return [summary(self.registration, view)]
        if draft.mode == "slot_scan" and (missing := missing_in_header(view)):
            return [_("Not in the header: {names}.").format(names=", ".join(missing))]
        return header_proposals(self.registration, view) if draft.mode == "c_arm" else []

    def _caution(self, view: XRayView, draft: Draft) -> str:
        """Return what is wrong with an X-ray as it is, or that its fields wait to be used."""
        if self._edits.waits(view, draft) and self._edits.editing(view).typing is None:
            return NOT_USED_YET
        return self.session.problem(view) if view.placed or not needs_geometry(view) else ""

    def use_camera(self, view: XRayView, camera: CalibratedView, file: Path) -> None:
        """Give an X-ray the camera of a file, which can be put back, too.

        Raises
        ------
        InputError
            As `set_camera`.
        """
        self._edits.keep_before(view)
        use_camera(self.registration, view, camera, file)
        self._edits.replace(view)

    def put_back(self, view: XRayView) -> None:
        """Give an X-ray the geometry that it had before it was first changed in the table."""
        self.certainty.drop(view.id)
        self._edits.put_back(view)


def _rounded(reading: Values) -> dict[str, Any]:
    """Return a reading with the digits that a person reads; pixels keep three decimals."""
    rounded = dict(reading)
    for key, value in reading.items():
        if not isinstance(value, bool):
            rounded[key] = np.round(value, 3 if key == "pixel_mm" else 1).tolist()
    return rounded


def _read_only(view: XRayView, texts: Mapping[str, str], origin: str) -> dict[str, FieldCell]:
    return {
        key: FieldCell(Text(f"{view.id}.{key}", text), origin=origin if text != _NONE else "")
        for key, text in texts.items()
    }
