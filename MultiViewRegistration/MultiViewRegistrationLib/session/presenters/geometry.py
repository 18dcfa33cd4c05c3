"""The geometry of all X-rays: a table of fields, a row for each X-ray, over a picture of the machine that moves with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry.camera import Camera
from ...io.case_check import like_radians
from ...mrml.image import change_image, refresh, thumbnail
from ...mrml.layout import colour, tag_of
from ...mrml.xray import XRayView
from ...mrml.xray_annotations import c_arm_of, side_of_direction, sides_of
from .. import c_arm_presets
from ..c_arm_picture import machine_svg
from ..external_files import use_camera
from ..geometry import (
    header_proposals,
    matrix_of,
    needs_geometry,
    reading_of,
    set_matrix,
    summary,
    use_reading,
)
from ..slot_scan import (
    SIDES,
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
from .certainty import CertaintyPresenter, EditorPresenter, shared_controls
from .form import (
    ERROR,
    PLAIN,
    QUIET,
    Button,
    Choice,
    Control,
    FieldCell,
    FieldRow,
    FieldTable,
    Option,
    Picture,
    Text,
    TextField,
    group,
    options_of,
    row,
)
from .geometry_fields import (
    LPS,
    NUMBERS,
    PAIRS,
    PIXEL,
    RAS,
    REQUIRED,
    SLOT_COLUMN,
    SLOT_DISTANCE,
    Reading,
    c_arm_fields,
    changed,
    left_side,
    matrix_text,
    read_c_arm,
    read_matrix_field,
    side_options,
    sketch,
    with_side,
    write_pair,
)

C_ARM, MATRIX, FILE, SLOT_SCAN = "c_arm", "matrix", "file", "slot_scan"
MODES = (
    Option(C_ARM, _("C-arm")),
    Option(MATRIX, _("Matrix")),
    Option(FILE, _("File"), _("A calibration file of another program.")),
)
#: Only of an image that came with one.
SLOT_SCAN_MODE = Option(
    SLOT_SCAN,
    _("Slot scan"),
    _(
        "A CT scout or an EOS image: rays spread across the image and are parallel along it, as source and slot move from row to row."
    ),
)
AXES = (Option(LPS, _("LPS (DICOM, ITK, case.json)")), Option(RAS, _("RAS (3D Slicer)")))
QUESTION = _("Is the patient's right on the left of the image?")
#: The columns, by the keys of the fields in them; of the table's first column the key is "".
COLUMNS = {
    "": Option("", _("X-ray")),
    "mode": Option("mode", _("Given as")),
    "rao_lao_deg": Option(
        "rao_lao_deg",
        _("LAO (+) / RAO (\u2212)"),
        _("Primary angle, degrees: how far the detector is turned to the patient's left (LAO) or right (RAO)."),
    ),
    "cra_cau_deg": Option(
        "cra_cau_deg",
        _("CRA (+) / CAU (\u2212)"),
        _("Secondary angle, degrees: how far the detector is tilted towards the head (CRA) or the feet (CAU)."),
    ),
    "source_to_detector_mm": Option(
        "source_to_detector_mm", _("Source to detector, mm"), _("SID or SDD, along the central ray.")
    ),
    "source_to_isocentre_mm": Option(
        "source_to_isocentre_mm",
        _("Source to isocentre, mm"),
        _("SOD: to the point about which the C-arm turns; the world's origin lies there."),
    ),
    "pixel_mm": Option(
        "pixel_mm",
        _("Pixel size, mm"),
        _(
            "From one pixel to the next on the detector itself. Two numbers where columns and rows differ: 0.30 \u00d7 0.31."
        ),
    ),
    "principal_point": Option(
        "principal_point",
        _("Principal point, px"),
        _(
            "The pixel that the central ray meets, column \u00d7 row; the first pixel is 0. Empty for the middle of the image."
        ),
    ),
    "left": Option(
        "left",
        QUESTION,
        _(
            "Look at the image: a marker R, the heart, the liver. Yes is how radiographs are read, as if the patient faced you."
        ),
    ),
    "bone": Option(
        "bone",
        _("Bone in the file"),
        _("Whether bone is darker or brighter than soft tissue in the file as it is stored."),
    ),
}
#: Grey scales: title, and intensity and inverted of an `XRayView`.
BONE = {
    "dark": (_("dark"), ("linear", False)),
    "bright": (_("bright"), ("linear", True)),
    "bright log": (_("bright, after a logarithm"), ("log", False)),
    "dark log": (_("dark, after a logarithm"), ("log", True)),
}
#: Fields that are seen of the selected X-ray alone.
FURTHER = {
    "roll_deg": Option(
        "roll_deg", _("Roll, degrees"), _("Turn of the image about the central ray, clockwise as the source sees it.")
    ),
    "isocentre_offset_mm0": Option(
        "isocentre_offset_mm0", _("Isocentre off axis, columns, mm"), _("How far the central ray misses the isocentre.")
    ),
    "isocentre_offset_mm1": Option(
        "isocentre_offset_mm1", _("Isocentre off axis, rows, mm"), _("How far the central ray misses the isocentre.")
    ),
}
#: What a C-arm has in all its images.
OF_MACHINE = ("source_to_detector_mm", "source_to_isocentre_mm", "pixel_mm", "principal_point", "mirrored")
#: What "Put back" puts back of an X-ray's content.
_GEOMETRY = "c_arm camera slot_scan projection_matrix distortion pixel_mm from assumptions world corrected intensity inverted".split()
#: What of it the picture is made with.
_PICTURE = ("intensity", "inverted", "distortion", "slot_scan")
PICTURE_PX, THUMBNAIL_PX = 280, 160
_NONE = "\u2013"


@dataclass(frozen=True)
class Draft:
    """The fields' values of one X-ray.

    Attributes
    ----------
    mode
        Of MODES.
    fields
        Texts by the fields' keys of `geometry_fields`, and "matrix" (any text with a matrix), "axes" (of AXES); of a slot scan
        "slot_distance", "slot_column" and "tube" (of `tube_sides`, "" for none).
    """

    mode: str
    fields: dict[str, str]
    calibration: CalibrationFile


@dataclass
class Editing:
    """What a person has done to one X-ray since the table was opened.

    Attributes
    ----------
    draft
        What the fields show, None where that is what the X-ray has.
    in_force
        Whether the X-ray has what the draft says.
    refused
        Why it cannot have it, a sentence.
    origins
        Where values come from, by the fields' keys: "typed" or the name of a preset.
    before
        The X-ray's content when the table was opened.
    typing
        The key of the field that is being typed, and the fields and the X-ray's content before.
    """

    draft: Draft | None = None
    in_force: bool = False
    refused: str = ""
    origins: dict[str, str] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    typing: tuple[str, dict[str, str], dict[str, Any]] | None = None


TYPED = "typed"


class GeometryPresenter(EditorPresenter):
    """The table while it is open, else nothing. What is complete and can be is given to the X-ray at once, while it is typed, too.

    What is not is kept for each X-ray until the registration is left.
    """

    TITLE = _("Geometry of the X-rays")

    def __init__(self, xrays) -> None:
        self.calibration = CalibrationPresenter(
            lambda: self._draft(self.view).calibration,
            lambda file: self._keep(self.view, replace(self._draft(self.view), mode=FILE, calibration=file)),
            xrays.host.patience_s,
        )
        self.certainty = CertaintyPresenter(xrays)
        super().__init__(xrays)

    def reset(self) -> None:
        self._edits: dict[str, Editing] = {}
        self.open, self._preset_name, self._told = False, "", ""
        self._pictured: tuple[object, np.ndarray | None] = (None, None)
        self.calibration.reset()

    def show(self, view: XRayView | None = None) -> None:
        """Open the table with this X-ray selected, by default one that needs something."""
        if not self._xrays.views:
            raise InputError(_("Geometry: there is no X-ray yet; add X-rays first."))
        if view is None:
            needing = [each for each in self._xrays.views if self._wants(each)]
            view = self.view if self.view in needing or not needing else needing[0]
        if not self.open:
            for each in self._edits.values():
                each.before = None
        self.open, self._told = True, ""
        self.select(view.node.GetID())

    def close(self) -> None:
        """Close the table."""
        self.open = False

    def tick(self) -> bool:
        return self.open and self.calibration.tick()

    def _wants(self, view: XRayView) -> bool:
        return needs_geometry(view) or not view.placed or bool(self.session.problem(view))

    # The form

    def form(self) -> list[Control]:
        if not self.open or self.view is None:
            return []
        view, draft = self.view, self._draft(self.view)
        certain = self.certainty.form()
        return [
            FieldTable(
                "fields",
                self.TITLE,
                self.select,
                columns=tuple(COLUMNS.values()),
                lines=tuple(self._line(each) for each in self._xrays.views),
                selected=view.node.GetID(),
            ),
            Text("legend", self._legend(), tone=QUIET),
            Text("geometry_problem", self._problem(view, draft), tone=ERROR),
            row(
                "below",
                *self._picture(view, draft),
                group(
                    "details",
                    view.name,
                    *self._details(view, draft),
                    Text("geometry_summary", "\n".join(self._summary(view, draft)), tone=QUIET),
                    group("certainty", _("How well it is known"), *certain, open=False),
                    group(
                        "shared",
                        _("Uncertain, and the same in all X-rays"),
                        *shared_controls(self.registration),
                        open=False,
                    ),
                ),
            ),
            row(
                "closing",
                Button(
                    "put_back",
                    _("Put {name} back").format(name=view.name),
                    self.put_back,
                    enabled=self._is_changed(view),
                    tip=_("Give the X-ray the geometry that it had when this table was opened."),
                ),
                Button("close", _("Done"), self.close, primary=True),
            ),
        ]

    def _legend(self) -> str:
        return _(
            "Values in italics were not typed: point at one to read where it is from. What is needed is marked with ?."
        )

    def _line(self, view: XRayView) -> FieldRow:
        draft = self._draft(view)
        kinds = {C_ARM: self._c_arm, MATRIX: self._of_camera, FILE: self._of_camera, SLOT_SCAN: self._slot_scan}
        modes = (SLOT_SCAN_MODE, *MODES) if slot_scan_of(view) else MODES
        mode = self._choice(view, "mode", draft.mode, modes, partial(self.set_mode, view))
        cells = {
            "mode": FieldCell(mode, caution=self._caution(view)),
            **kinds[draft.mode](view, draft),
            "bone": self._bone(view),
        }
        return FieldRow(
            view.node.GetID(),
            view.name,
            tuple(cells[key] for key in COLUMNS if key),
            colour="rgb(" + ", ".join(str(round(255 * part)) for part in colour(tag_of(view) or "")) + ")",
            tip=_("{columns} \u00d7 {rows} pixels").format(columns=view.size[0], rows=view.size[1]),
        )

    def _c_arm(self, view: XRayView, draft: Draft) -> dict[str, FieldCell]:
        reading, edit = self._reading(view, draft), self._editing(view)
        cells = {
            key: self._number(view, key, draft, reading, edit) for key in COLUMNS if key in NUMBERS or key in PAIRS
        }
        mirrored, options = draft.fields["mirrored"], side_options(draft.fields)
        letter = left_side(draft.fields, mirrored) if mirrored else ""
        side = self._choice(view, "left", letter, options, partial(self.set_side, view))
        cells["left"] = FieldCell(
            side,
            caution=reading.cautions.get("mirrored", ""),
            origin=self._origin(view, "mirrored", draft.fields, edit),
            missing="mirrored" in reading.missing,
        )
        return cells

    def _number(self, view: XRayView, key: str, draft: Draft, reading: Reading, edit: Editing) -> FieldCell:
        hint = "?" if key in REQUIRED else {"principal_point": _("middle")}.get(key, "0")
        return FieldCell(
            self._entry(view, key, draft, hint),
            reading.faults.get(key, ""),
            reading.cautions.get(key, ""),
            self._origin(view, key, draft.fields, edit),
            key in reading.missing,
        )

    def _of_camera(self, view: XRayView, draft: Draft) -> dict[str, FieldCell]:
        """What a matrix, or a file, says of the fields, which cannot be typed."""
        shown = dict.fromkeys((key for key in COLUMNS if key not in ("", "mode", "bone")), _NONE)
        if view.placed and draft.mode == MATRIX and "slot_scan" not in view.content:
            fields = c_arm_fields(_rounded(reading_of(view)), view.size)
            shown |= {key: fields[key] for key in (*NUMBERS, *PAIRS) if fields[key] and key in shown}
            sides = sides_of(view)
            if sides is not None:
                shown["left"] = {"R": _("yes"), "L": _("no")}.get(
                    sides[0][0], _("{side} on the left").format(side=SIDES[sides[0][0]])
                )
        origin = _("the matrix, or the file")
        return {
            key: FieldCell(self._read_only(view, key, text), origin=origin if text != _NONE else "")
            for key, text in shown.items()
        }

    def _slot_scan(self, view: XRayView, draft: Draft) -> dict[str, FieldCell]:
        slot_scan, fields, edit = slot_scan_of(view), draft.fields, self._editing(view)
        sides = {
            letters: _("tube at the {side}").format(side=side_in_words(letters)) for letters in tube_sides(slot_scan)
        }
        faults = self._slot_faults(view, fields)
        tube = self._choice(view, "tube", fields["tube"], (Option("", _("tube at?")), *options_of(sides)))
        asked = column_is_asked(view)
        column = self._entry(view, "slot_column", draft, "?" if asked else _("middle"))
        left = SIDES[self._slot_left(slot_scan)]
        read_only = {
            "cra_cau_deg": _NONE,
            "source_to_detector_mm": _NONE,
            "pixel_mm": write_pair(slot_scan["pixel_mm"], PIXEL),
            "left": {"R": _("yes"), "L": _("no")}.get(
                self._slot_left(slot_scan), _("{side} on the left").format(side=left)
            ),
        }
        origin = {key: self._origin(view, key, fields, edit) for key in ("tube", "slot_distance", "slot_column")}
        return {
            **{
                key: FieldCell(self._read_only(view, key, text), origin=_("DICOM header") if text != _NONE else "")
                for key, text in read_only.items()
            },
            "rao_lao_deg": FieldCell(tube, origin=origin["tube"], missing=not fields["tube"]),
            "source_to_isocentre_mm": FieldCell(
                self._entry(view, "slot_distance", draft, "?"),
                faults.get("slot_distance", ""),
                origin=origin["slot_distance"],
                missing=not fields["slot_distance"].strip(),
            ),
            "principal_point": FieldCell(
                column,
                faults.get("slot_column", ""),
                origin=origin["slot_column"],
                missing=asked and not fields["slot_column"].strip(),
            ),
        }

    @staticmethod
    def _slot_left(slot_scan: Mapping[str, Any]) -> str:
        return side_of_direction(-np.array(slot_scan["columns_along"], float))[0]

    @staticmethod
    def _slot_faults(view: XRayView, fields: Mapping[str, str]) -> dict[str, str]:
        numbers = {"slot_distance": SLOT_DISTANCE, "slot_column": SLOT_COLUMN}
        return {key: problem for key, number in numbers.items() if (problem := number.problem(fields[key]))}

    def _bone(self, view: XRayView) -> FieldCell:
        content = view.content
        now = content.get("intensity", "linear"), bool(content.get("inverted"))
        chosen = next(key for key, (_title, both) in BONE.items() if both == now)
        options = [Option(key, title) for key, (title, _both) in BONE.items() if key != "dark log" or key == chosen]
        there = view.source is not None
        return FieldCell(self._choice(view, "bone", chosen, options, partial(self.set_bone, view), enabled=there))

    def _entry(self, view: XRayView, key: str, draft: Draft, hint: str) -> TextField:
        title = COLUMNS.get(key) or FURTHER.get(key)
        return TextField(
            f"{view.node.GetID()}.{key}",
            _("{field} of {name}").format(field=title.title if title else SLOT_NAMES[key], name=view.name),
            partial(self.edit, view, key),
            text=draft.fields[key],
            tip=title.tip if title else "",
            typed=partial(self.typed, view, key),
            hint=hint,
            of=view.node.GetID(),
        )

    def _choice(
        self, view: XRayView, key: str, value: str, options: Sequence[Option], action=None, enabled=True
    ) -> Choice:
        title = COLUMNS[key].title if key in COLUMNS else SLOT_NAMES[key]
        return Choice(
            f"{view.node.GetID()}.{key}",
            _("{field} of {name}").format(field=title, name=view.name),
            action or partial(self.edit, view, key),
            value=value,
            options=tuple(options),
            enabled=enabled,
        )

    @staticmethod
    def _read_only(view: XRayView, key: str, text: str) -> Text:
        return Text(f"{view.node.GetID()}.{key}", text)

    # Below the table

    def _picture(self, view: XRayView, draft: Draft) -> list[Control]:
        """The machine about the patient, and the image with his sides; nothing where the world's axes may not be his."""
        camera, detector_mm, certain = self._sketched(view, draft)
        if camera is None:
            return []
        svg = machine_svg(camera, detector_mm, certain, self._thumbnail(view), view.pixel_aspect)
        tip = _("Where source and detector of {name} are about the patient, who lies on his back.").format(
            name=view.name
        )
        return [Picture("c_arm_picture", svg=svg, height=PICTURE_PX, tip=tip)]

    def _sketched(self, view: XRayView, draft: Draft) -> tuple[Camera | None, float, bool]:
        """The camera to draw, from the source to the detector in mm, and whether all its numbers are given."""
        if 0 in view.size:
            return None, 0.0, False
        if draft.mode == C_ARM:
            camera, certain = sketch(draft.fields, view.size)
            reading = self._reading(view, draft).c_arm
            detector_mm = reading["source_to_detector_mm"] if certain and reading else 1000.0
            return camera, detector_mm, certain
        known = view.placed and ("slot_scan" in view.content or c_arm_of(view) is not None)
        return (view.camera, view.detector_mm, True) if known else (None, 0.0, False)

    def _thumbnail(self, view: XRayView) -> np.ndarray | None:
        """A small picture, made again only where that has changed."""
        node = view.node
        parts = [node.GetImageData(), node.GetDisplayNode()]
        key = node.GetID(), *(part and part.GetMTime() for part in parts)
        if key != self._pictured[0]:
            self._pictured = key, thumbnail(view, THUMBNAIL_PX) if all(parts) else None
        return self._pictured[1]

    def _details(self, view: XRayView, draft: Draft) -> list[Control]:
        """What is seen of the selected X-ray alone."""
        kinds = {C_ARM: self._more_of_c_arm, MATRIX: self._matrix, FILE: self._file, SLOT_SCAN: self._more_of_slot_scan}
        use = Button(
            "use",
            _("Use this geometry"),
            partial(self.use, view),
            tip=_("Give the X-ray what is shown here."),
        )
        waits = self._waits(view, draft)
        return [*kinds[draft.mode](view, draft), *([row("using", use)] if waits else [])]

    def _more_of_c_arm(self, view: XRayView, draft: Draft) -> list[Control]:
        reading, edit = self._reading(view, draft), self._editing(view)
        further = FieldTable(
            "further_fields",
            _("Roll and isocentre of {name}").format(name=view.name),
            columns=(Option("", ""), *FURTHER.values()),
            lines=(
                FieldRow(
                    view.node.GetID(),
                    view.name,
                    tuple(self._number(view, key, draft, reading, edit) for key in FURTHER),
                ),
            ),
        )
        odd = any(draft.fields[key] for key in FURTHER)
        return [
            *self._presets(view, draft, reading),
            group("further", _("Roll, isocentre off the axis"), further, open=odd),
        ]

    def _presets(self, view: XRayView, draft: Draft, reading: Reading) -> list[Control]:
        try:
            presets, problem = c_arm_presets.read_presets(), ""
        except InputError as error:
            presets, problem = [], str(error)
        chosen = next((each.name for each in presets if self._has_preset(view, draft, each)), "")
        options = (Option("", _("choose...")), *(Option(each.name, each.name) for each in presets))
        others = [each for each in self._xrays.views if each != view and self._draft(each).mode == C_ARM]
        tip = _(
            "Distances, pixel size, principal point, and the side from which the image is seen, without the angles."
        )
        name = self._preset_name or chosen
        return [
            row(
                "presets",
                *(
                    [
                        Choice(
                            "preset", _("Preset of a C-arm"), self.choose_preset, value=chosen, options=options, tip=tip
                        )
                    ]
                    if presets
                    else []
                ),
                *(
                    [
                        Button(
                            "delete_preset",
                            _("Delete the preset {name}").format(name=chosen),
                            partial(self.delete_preset, chosen),
                            icon="remove",
                            question=_("Delete the C-arm {name} from this computer?").format(name=chosen),
                        )
                    ]
                    if chosen
                    else []
                ),
            ),
            row(
                "all",
                *(
                    [
                        Button(
                            "to_all",
                            _("Same C-arm for all X-rays"),
                            partial(self.use_for_all, view),
                            enabled=reading.c_arm is not None,
                            tip=_("Give all X-rays of a C-arm these values; each keeps its angles. {what}").format(
                                what=tip
                            ),
                        )
                    ]
                    if others
                    else []
                ),
            ),
            row(
                "keeping",
                TextField(
                    "preset_name",
                    _("Name of this C-arm"),
                    self.name_preset,
                    text=name,
                    typed=self.name_preset,
                    of=chosen,
                ),
                Button(
                    "keep_preset",
                    _("Keep as preset"),
                    partial(self.keep_preset, view, name),
                    enabled=bool(name.strip()) and reading.c_arm is not None,
                    tip=_("Keep this C-arm on this computer, for other patients, too. {what}").format(what=tip),
                ),
            ),
            Text("presets_problem", problem or self._told, tone=ERROR if problem else PLAIN),
        ]

    def _matrix(self, view: XRayView, draft: Draft) -> list[Control]:
        tip = _(
            "From world mm to pixels, at any scale and sign; (0, 0) is the centre of the top left pixel. 12 numbers; or 9 of the "
            "intrinsics and then 12 or 16 of camera_from_world; or JSON with either."
        )
        return [
            TextField(
                "matrix",
                _("Projection matrix, 3 \u00d7 4"),
                partial(self.edit, view, "matrix"),
                text=draft.fields["matrix"],
                typed=partial(self.typed, view, "matrix"),
                tip=tip,
                of=view.node.GetID(),
                rows=4,
            ),
            Choice(
                "axes",
                _("Axes of the world"),
                partial(self.edit, view, "axes"),
                value=draft.fields["axes"],
                options=AXES,
            ),
        ]

    def _file(self, view: XRayView, draft: Draft) -> list[Control]:
        described = self.calibration.description(view, draft.calibration)
        return [*self.calibration.form(view, draft.calibration), Text("calibration_summary", described, tone=QUIET)]

    def _more_of_slot_scan(self, view: XRayView, draft: Draft) -> list[Control]:
        slot_scan, assumed = slot_scan_of(view), view.content.get("assumptions", [])
        return [
            *(Text(f"slot_scan{i}", sentence, tone=QUIET) for i, sentence in enumerate(describe_slot_scan(slot_scan))),
            group(
                "assumed",
                _("Assumed of the header ({count})").format(count=len(assumed)),
                *(Text(f"assumed{i}", sentence, tone=QUIET) for i, sentence in enumerate(assumed)),
                open=False,
            ),
        ]

    def _summary(self, view: XRayView, draft: Draft) -> list[str]:
        """The geometry in words, or what its file's header says and lacks, sentences."""
        if view.placed and self._in_force(view):
            return [summary(self.registration, view)]
        if draft.mode == SLOT_SCAN and (missing := missing_in_header(view)):
            return [_("Not in the header: {names}.").format(names=", ".join(missing))]
        return header_proposals(self.registration, view) if draft.mode == C_ARM else []

    def _problem(self, view: XRayView, draft: Draft) -> str:
        """What is wrong with the selected X-ray's geometry beyond its fields in the table."""
        if refused := self._editing(view).refused:
            return refused
        if self._in_force(view):
            return ""
        try:
            if draft.mode == MATRIX:
                read_matrix_field(draft.fields)
            elif draft.mode == FILE:
                self.calibration.camera(view, draft.calibration)
        except InputError as error:
            return str(error)
        return ""

    # What the fields say

    def _reading(self, view: XRayView, draft: Draft) -> Reading:
        """Of a C-arm's fields, with what the other X-rays say against them."""
        reading = read_c_arm(draft.fields, view.size)
        cautions, faults = dict(reading.cautions), dict(reading.faults)
        if reading.c_arm is not None:
            cautions |= self._beside_others(view, reading.c_arm)
        return replace(reading, cautions=cautions, faults=faults)

    def _beside_others(self, view: XRayView, reading: dict) -> dict[str, str]:
        """Angles in radians, an X-ray with the same geometry, and left and right the other way round than in all others."""
        others = [each for each in self._xrays.views if each != view and each.placed]
        beam = _beam(reading)
        apart = [
            np.degrees(np.arccos(np.clip(abs(beam @ each.camera.camera_from_world[2, :3]), 0, 1))) for each in others
        ]
        largest = max(abs(reading["rao_lao_deg"]), abs(reading["cra_cau_deg"]))
        cautions = {}
        if like_radians(largest, apart):
            keys = [key for key in ("rao_lao_deg", "cra_cau_deg") if reading[key]]
            cautions[keys[0]] = _(
                "{value:g} looks like radians, as the X-rays would be nearly parallel; give degrees: {better:.1f}."
            ).format(value=reading[keys[0]], better=np.degrees(reading[keys[0]]))
        twins = self.session.twins()
        if twins is not None and view in twins and not cautions:
            other = twins[0] if twins[1] == view else twins[1]
            cautions["rao_lao_deg"] = _(
                "{name} has the same geometry, expected another for each; correct one of them."
            ).format(name=other.name)
        machines = [each for each in others if "c_arm" in each.content]
        if machines and all(each.content["c_arm"].get("mirrored", False) != reading["mirrored"] for each in machines):
            cautions["mirrored"] = _(
                "The other X-rays are stored the other way round, which is rare on one machine; look at a marker."
            )
        return cautions

    def _caution(self, view: XRayView) -> str:
        """What is wrong with an X-ray as it is."""
        return self.session.problem(view) if view.placed or not needs_geometry(view) else ""

    def _origin(self, view: XRayView, key: str, fields: Mapping[str, str], edit: Editing) -> str:
        """Where a field's value comes from, in a few words; "" for what was typed, and for nothing."""
        text, content = fields[key], view.content
        if not text:
            return ""
        if origin := edit.origins.get(key):
            return "" if origin == TYPED else origin
        if key in ("tube", "slot_distance", "slot_column"):
            return content.get("from", "") if content.get("from") != "entered" else ""
        of_header = c_arm_fields(reading_of_header(view), view.size).get(key)
        if of_header == text:
            return _("DICOM header")
        if key == "pixel_mm" and not view.placed:
            return _("the file")
        origin = content.get("from", "")
        return "" if origin == "entered" else origin

    def _has_preset(self, view: XRayView, draft: Draft, preset: c_arm_presets.Preset) -> bool:
        fields = c_arm_fields(preset.c_arm, view.size)
        return list(preset.c_arm["size"]) == list(view.size) and all(
            fields[key] == draft.fields[key] for key in OF_MACHINE
        )

    def _slot_values(self, draft: Draft) -> tuple[float | None, float | None, str]:
        """As `slot_scan.completed` takes them."""
        fields = draft.fields
        return SLOT_DISTANCE.read(fields["slot_distance"]), SLOT_COLUMN.read(fields["slot_column"]), fields["tube"]

    def _waits(self, view: XRayView, draft: Draft) -> bool:
        """Whether an X-ray's fields are complete, and not its geometry yet."""
        if self._in_force(view):
            return False
        try:
            if draft.mode == C_ARM:
                return self._reading(view, draft).c_arm is not None
            if draft.mode == MATRIX:
                read_matrix_field(draft.fields)
            elif draft.mode == SLOT_SCAN:
                completed(view, *self._slot_values(draft))
            else:
                self.calibration.camera(view, draft.calibration)
        except InputError:
            return False
        return True

    # The state of each X-ray

    def _editing(self, view: XRayView) -> Editing:
        return self._edits.setdefault(view.node.GetID(), Editing())

    def _draft(self, view: XRayView) -> Draft:
        return self._editing(view).draft or self._as_it_is(view)

    def _in_force(self, view: XRayView) -> bool:
        """Whether the X-ray has a geometry, and that which its fields show."""
        edit = self._editing(view)
        return view.placed and (edit.draft is None or edit.in_force)

    def _is_changed(self, view: XRayView) -> bool:
        edit = self._editing(view)
        before = edit.before
        return (edit.draft is not None and not edit.in_force) or (
            before is not None and any(before.get(key) != view.content.get(key) for key in _GEOMETRY)
        )

    def _as_it_is(self, view: XRayView) -> Draft:
        """The fields of an X-ray as it is."""
        content, matrix = view.content, matrix_of(view)
        slot_scan = slot_scan_of(view)
        given = next((mode for mode, key in ((MATRIX, "camera"), (C_ARM, "c_arm")) if key in content), None)
        to_source = slot_scan.get("isocentre_to_source")
        return Draft(
            given or (SLOT_SCAN if slot_scan else C_ARM),
            {
                **c_arm_fields(reading_of(view), view.size),
                "matrix": "" if matrix is None else matrix_text(matrix),
                "axes": LPS,
                "slot_distance": SLOT_DISTANCE.write_bare(slot_scan.get("source_to_isocentre_mm")),
                "slot_column": SLOT_COLUMN.write_bare(slot_scan.get("central_column")),
                "tube": "" if to_source is None else nearest_side(slot_scan, to_source),
            },
            self.calibration.last,
        )

    def _keep(self, view: XRayView, draft: Draft) -> None:
        edit = self._editing(view)
        edit.draft, edit.in_force, edit.refused = draft, False, ""
        if edit.before is None:
            edit.before = view.content

    # What a person does

    def select(self, node_id: str) -> None:
        """Select an X-ray, by the ID of its node."""
        self._xrays.select(node_id)

    def set_mode(self, view: XRayView, mode: str) -> None:
        """Choose the kind of geometry, of MODES; a change back to the one that the X-ray has drops what was changed."""
        self.select(view.node.GetID())
        if view.placed and mode == self._as_it_is(view).mode:
            self._editing(view).draft = None
        else:
            self._keep(view, replace(self._draft(view), mode=mode))

    def edit(self, view: XRayView, key: str, value: str) -> None:
        """Change a field; the X-ray has what the fields say as soon as they are complete."""
        self._change(view, key, value)
        self._give_or_restore(view, typing=False)
        self._editing(view).typing = None

    def typed(self, view: XRayView, key: str, value: str) -> None:
        """A field is being typed: an X-ray that has a geometry follows; one without waits until the field is left."""
        self._change(view, key, value)
        draft = self._draft(view)
        odd = draft.mode == C_ARM and key in read_c_arm(draft.fields, view.size).cautions
        if view.placed or key == "matrix":
            self._give_or_restore(view, typing=True, odd=odd)

    def _give_or_restore(self, view: XRayView, typing: bool, odd: bool = False) -> None:
        """Give an X-ray what its fields say; of what is no geometry not that of the keys before it either."""
        typed = self._editing(view).typing
        if not odd and self._waits(view, self._draft(view)):
            self._give(view, typing)
        elif typed is not None:
            self._restore(view, typed[2])

    def set_side(self, view: XRayView, letter: str) -> None:
        """Say which side of the patient is on the left of the image, a letter of `SIDES`, "" for not known."""
        draft = self._draft(view)
        fields = with_side(draft.fields, letter)
        self._keep(view, replace(draft, fields=fields))
        self._editing(view).origins["mirrored"] = TYPED
        if self._waits(view, self._draft(view)):
            self._give(view)

    def set_bone(self, view: XRayView, bone: str) -> None:
        """Say how bone is stored in the file, a key of BONE. InputError where the image cannot be used so."""
        edit = self._editing(view)
        edit.before = edit.before or view.content
        intensity, inverted = BONE[bone][1]
        change_image(view, intensity=intensity, inverted=inverted)

    def use(self, view: XRayView) -> None:
        """Give an X-ray the geometry that its fields say. InputError where that cannot be."""
        self._give(view)
        if refused := self._editing(view).refused:
            raise InputError(refused)

    def put_back(self) -> None:
        """Give the selected X-ray the geometry that it had when the table was opened."""
        view = self.view
        edit = self._edits.pop(view.node.GetID(), Editing())
        if edit.before is not None:
            self._restore(view, edit.before)

    @staticmethod
    def _restore(view: XRayView, before: Mapping[str, Any]) -> None:
        """Give an X-ray the geometry, and the meaning of its grey values, that it had with this content."""
        now = view.content
        if any(now.get(key) != before.get(key) for key in _GEOMETRY):
            kept = {key: value for key, value in now.items() if key not in _GEOMETRY}
            view.content = {**kept, **{key: before[key] for key in _GEOMETRY if key in before}}
            if any(now.get(key) != before.get(key) for key in _PICTURE):
                refresh(view)
            view.place()

    def _change(self, view: XRayView, key: str, value: str) -> None:
        edit, draft = self._editing(view), self._draft(view)
        if edit.typing is None or edit.typing[0] != key:
            edit.typing = key, draft.fields, view.content
        before = edit.typing[1]
        self.select(view.node.GetID())
        self._keep(view, replace(draft, fields=changed(before, key, value)))
        edit.origins[key] = TYPED

    def _give(self, view: XRayView, typing: bool = False) -> None:
        """Give an X-ray what its fields say, which are complete; why it cannot have that stays at it."""
        edit, draft = self._editing(view), self._draft(view)
        origin = next((each for each in edit.origins.values() if each != TYPED), "")
        try:
            if draft.mode == C_ARM:
                use_reading(
                    self.registration,
                    view,
                    dict(self._reading(view, draft).c_arm),
                    self._whole_origin(view, draft, edit),
                )
            elif draft.mode == SLOT_SCAN:
                use_slot_scan(view, *self._slot_values(draft))
            elif draft.mode == FILE:
                camera = self.calibration.camera(view, draft.calibration)
                use_camera(self.registration, view, camera, draft.calibration.path)
            else:
                given = read_matrix_field(draft.fields)
                set_matrix(self.registration, view, given.projection_matrix, given.size, origin or "entered")
        except InputError as error:
            edit.refused = str(error)
            return
        edit.refused, edit.in_force = "", True
        if not typing:
            edit.draft = None

    def _whole_origin(self, view: XRayView, draft: Draft, edit: Editing) -> str:
        """Where a C-arm's values come from, all of them."""
        origins = {
            self._origin(view, key, draft.fields, edit)
            for key in (*OF_MACHINE, "rao_lao_deg", "cra_cau_deg")
            if draft.fields[key]
        }
        return origins.pop() or "entered" if len(origins) == 1 else "entered"

    # C-arms that are kept

    def choose_preset(self, name: str) -> None:
        """Fill in a C-arm that was kept; its pixels only where the X-ray has as many. InputError where it is not there any more."""
        preset = next((each for each in c_arm_presets.read_presets() if each.name == name), None)
        if preset is None:
            if name:
                raise InputError(_("{name}: this C-arm is not kept any more; choose another.").format(name=name))
            return
        view, reading = self.view, dict(preset.c_arm)
        self._told = ""
        if list(reading["size"]) != list(view.size):
            del reading["pixel_mm"]
            reading.pop("principal_point", None)
            self._told = _(
                "{name} is kept for images of {size[0]} \u00d7 {size[1]} pixels, and {view} has {own[0]} \u00d7 {own[1]}: enter its "
                "pixel size."
            ).format(name=name, size=preset.c_arm["size"], view=view.name, own=view.size)
        self._preset_name = ""
        self._fill(view, c_arm_fields(reading, view.size), name)

    def _fill(self, view: XRayView, values: Mapping[str, str], origin: str) -> None:
        draft, edit = self._draft(view), self._editing(view)
        fields = {**draft.fields, **{key: values[key] for key in OF_MACHINE}}
        self._keep(view, replace(draft, mode=C_ARM, fields=fields))
        edit.origins |= dict.fromkeys(OF_MACHINE, origin)
        if self._waits(view, self._draft(view)):
            self._give(view)

    def name_preset(self, name: str) -> None:
        """The name under which a C-arm is to be kept."""
        self._preset_name = name

    def keep_preset(self, view: XRayView, name: str) -> None:
        """Keep an X-ray's C-arm under a name. InputError where that cannot be."""
        reading = {**self._reading(view, self._draft(view)).c_arm, "size": list(view.size)}
        self._told = c_arm_presets.keep_preset(name, reading) or _("{name} is kept on this computer.").format(name=name)
        self._preset_name = ""

    def delete_preset(self, name: str) -> None:
        """Delete a C-arm from this computer."""
        c_arm_presets.delete_preset(name)
        self._told, self._preset_name = "", ""

    def use_for_all(self, view: XRayView) -> None:
        """Give all other X-rays of a C-arm what this one has but for the angles."""
        values = self._draft(view).fields
        for other in self._xrays.views:
            if other != view and self._draft(other).mode == C_ARM:
                self._fill(other, values, _("as {name}").format(name=view.name))


SLOT_NAMES = {"slot_distance": SLOT_DISTANCE.name, "slot_column": SLOT_COLUMN.name, "tube": _("Tube")}


def reading_of_header(view: XRayView) -> dict[str, Any]:
    """What a DICOM header proposes for a C-arm, of the frame that is shown."""
    content = view.content
    of_frames, frame = content.get("header_of_frames", []), content.get("frame") or 0
    return {**content.get("header", {}), **(of_frames[frame] if of_frames else {})}


def _rounded(reading: Mapping[str, Any]) -> dict[str, Any]:
    """A reading with the digits that a person reads; pixels keep three decimals."""
    return {
        key: value if isinstance(value, bool) else np.round(value, 3 if key == "pixel_mm" else 1).tolist()
        for key, value in reading.items()
    }


def _beam(reading: Mapping[str, float]) -> np.ndarray:
    """(3,) the central ray of a C-arm's reading, world LPS."""
    p, s = np.radians(reading["rao_lao_deg"]), np.radians(reading["cra_cau_deg"])
    return np.array([np.sin(p) * np.cos(s), -np.cos(p) * np.cos(s), np.sin(s)])
