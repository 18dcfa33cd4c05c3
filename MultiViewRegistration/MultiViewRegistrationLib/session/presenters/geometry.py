"""The geometry of all X-rays: a table of fields with a row for each X-ray, above a picture of the C-arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ...errors import InputError
from ...geometry.machines import CArm, left_side
from ...io.calibration.calibrated import CalibratedView
from ...io.recognise import CALIBRATION
from ...mrml.image import change_image
from ...mrml.layout import css_colour
from ...mrml.overlay import c_arm_of
from ...mrml.xray import XRayView
from ...report.plot import svg_text
from ...report.scene import DrawnView, machine_figure
from ...translation import _
from ..geometry import (
    SIDES,
    describe_slot_scan,
    header_proposals,
    missing_in_header,
    needs_geometry,
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
    group,
    options_of,
    quiet,
    row,
    texts,
)
from .geometry_draft import AXES, MATRIX, SEEN_FROM, SLOT_NUMBERS, TUBE, GeometryDraft, column_of
from .geometry_editor import NOT_USED_YET, GeometryEditor
from .kept_c_arms import KeptCArms
from .section import question_controls

KINDS = (Option("c_arm", _("C-arm")), Option("matrix", _("Matrix")))
#: Offered only for an image that was read with one.
SLOT_SCAN = Option(
    "slot_scan",
    _("Slot scan"),
    _(
        "A CT scout or an EOS image: rays spread across the image and are parallel along it, as "
        "source and slot move from row to row."
    ),
)
WORLD_AXES = (Option("LPS", _("LPS (DICOM, ITK, case.json)")), Option("RAS", _("RAS (3D Slicer)")))
#: Grey scales: title, and `intensity` and `inverted` of the X-ray's record.
BONE = {
    "dark": (_("dark"), ("linear", False)),
    "bright": (_("bright"), ("linear", True)),
    "bright log": (_("bright, log"), ("log", False)),
    "dark log": (_("dark, log"), ("log", True)),
}
QUESTION = _("Is the patient's right on the left of the image?")
#: Columns by the keys of their fields; the first column has the names of the X-rays.
COLUMNS = {
    option.value: option
    for option in (
        Option("", _("X-ray")),
        Option("kind", _("Given as")),
        column_of("rao_lao_deg", _("LAO (+) / RAO (\u2212)")),
        column_of("cra_cau_deg", _("CRA (+) / CAU (\u2212)")),
        column_of("source_to_detector_mm"),
        column_of("source_to_isocentre_mm"),
        column_of("pixel_mm"),
        column_of("principal_point"),
        Option(
            "mirrored",
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
#: Fields that are shown only for the selected X-ray.
FURTHER = {
    option.value: option
    for option in (
        column_of("roll_deg"),
        column_of("isocentre_offset_mm"),
    )
}
#: Fields of a slot scan in the columns of a C-arm's.
SLOT_COLUMNS = {
    "rao_lao_deg": TUBE,
    "source_to_isocentre_mm": "source_to_isocentre_mm",
    "principal_point": "central_column",
}
#: Suffixes of calibration files.
SUFFIXES = tuple(
    ".txt .csv .dat .json .yaml .yml .xml .npy .npz .h5 .hdf5 .mha .mhd .nrrd .tfm".split()
)
PICTURE_PX = 280
THUMBNAIL_PX = 160


class GeometryPresenter(EditorPresenter):
    """The table while it is open; `GeometryEditor` applies the fields that are left."""

    TITLE = _("Geometry of the X-rays")

    def __init__(self, xrays: XRaySelection) -> None:
        self._editor = GeometryEditor(xrays)
        self._kept = KeptCArms(xrays, self._editor)
        self.certainty = CertaintyPresenter(xrays)
        self.beads = BeadsPresenter(xrays, self._editor)
        super().__init__(xrays)

    def reset(self) -> None:
        """Discard all state of the previous registration."""
        self.open = False
        self._editor.reset()
        self._kept.reset()
        self.certainty.reset()
        self.beads.reset()

    def show(self, view: XRayView | None = None) -> None:
        """Open the table with an X-ray selected, by default the first that needs something."""
        if not self._xrays.views:
            raise InputError(_("There is no X-ray yet. Add X-rays first."))
        if not self.open:
            self._editor.begin()
            self._kept.reset()
        self.open = True
        views = [self.view, *self._xrays.views] if view is None else [view]
        chosen = next(
            (each for each in views if not each.placed or self.session.problem(each)), views[0]
        )
        self._xrays.select(chosen.id)

    def close(self) -> None:
        """Close the table; invalid drafts are kept."""
        self.beads.close()
        self.open = False

    def key_to_focus(self) -> str:
        """Return the key of the control at which the selected X-ray needs an answer first."""
        view = self.view
        draft = self._editor.draft(view)
        cells = self._row(view).cells
        needed = {
            MATRIX: draft.kind == "matrix" and draft.geometry is None,
            "use": self._editor.is_waiting(view),
            "certainty_known": view.record.presumed,
            cells[0].field.key: True,
        }
        keys = [cell.field.key for cell in cells if cell.error or cell.missing]
        return [*keys, *filter(needed.__getitem__, needed)][0]

    def error_of(self, view: XRayView) -> str:
        """Return why an X-ray does not have what was entered for it, a sentence; "" if it has."""
        sentence = self._editor.error_of(view) or self.certainty.error_of(view.id)
        named = not sentence or sentence.startswith(f"{view.name}: ")
        return sentence if named else f"{view.name}: {sentence}"

    def first_error(self) -> str:
        """Return the first error that prevents a registration, a sentence; "" if there is none."""
        errors = [self.error_of(view) for view in self._xrays.views if view.used]
        return next(filter(None, errors), self.certainty.error_of(""))

    def tick(self) -> bool:
        """Take the results of threads; return whether there is something new to show."""
        return self.open and self.beads.tick()

    # The form

    def form(self) -> Form:
        """Return the controls."""
        if not self.open or self._xrays.selected is None:
            return []
        if self.beads.open:
            return self.beads.form()
        view = self.view
        draft = self._editor.draft(view)
        # Only the user knows how well a matrix is known.
        asked = draft.kind == "matrix" and not view.record.marker
        certainty = group(
            "certainty", _("How well it is known"), *self.certainty.form(), open=asked
        )
        shared = group(
            "shared",
            _("Uncertain, and the same in all X-rays"),
            *self.certainty.shared_form(),
            open=False,
        )
        details = [
            certainty if asked else None,
            *self._details(view, draft),
            quiet("geometry_summary", "\n".join(self._summary(view, draft))),
            None if asked else certainty,
            shared,
        ]
        return [
            FieldTable(
                "fields",
                self.TITLE,
                self._xrays.select,
                columns=tuple(COLUMNS.values()),
                lines=tuple(self._row(each) for each in self._xrays.views),
                selected=view.id,
            ),
            quiet(
                "legend",
                _(
                    "Values in italics were not typed: point at one to read where it is from. What "
                    "is needed is marked with ?."
                ),
            ),
            row("sources", *self._sources()),
            row("below", *self._picture(view, draft), group("details", view.name, *details)),
            row(
                "closing",
                Button(
                    "put_back",
                    _("Put {name} back").format(name=view.name),
                    partial(self.put_back, view),
                    enabled=self._editor.is_changed(view) or bool(self.certainty.error_of(view.id)),
                    tip=_("Give the X-ray the geometry that it had when this table was opened."),
                ),
                Button("close", _("Done"), self.close, primary=True),
            ),
        ]

    def _sources(self) -> Form:
        """Return the other sources of a geometry."""
        files = Files(
            "calibration",
            _("From a calibration file..."),
            partial(self.host.take_files, preferred=CALIBRATION),
            hint=_("a calibration: OpenCV, MayaCam, RTK, xReg, Plus, matrices"),
            suffixes=SUFFIXES,
            several=True,
            tip=_(
                "For the X-rays without geometry, or all where none is without. Values that a file "
                "does not state are requested."
            ),
        )
        beads = Button(
            "from_beads",
            _("From beads in these X-rays..."),
            self.beads.show,
            tip=_(
                "For X-rays that show a phantom, or marker, of steel balls: the cameras of all come "
                "from the images themselves."
            ),
        )
        return [files, beads]

    def _row(self, view: XRayView) -> FieldRow:
        """Return the fields of an X-ray in the table."""
        draft = self._editor.draft(view)
        kinds = (SLOT_SCAN, *KINDS) if view.record.slot_scan else KINDS
        choose = partial(self._editor.choose_kind, view)
        kind = self._choice(view, "kind", draft.kind, kinds, choose)
        of_matrix = draft.kind == "matrix"  # whose errors are shown below it if it is selected
        errors = draft.errors.values() if of_matrix else [draft.errors.get("", "")]
        error = "" if of_matrix and view == self.view else next(iter(errors), "")
        cells = {
            "kind": FieldCell(kind, error, self._caution(view)),
            "bone": self._bone(view),
        }
        warnings = self._editor.warnings(view, draft)
        for key in COLUMNS:
            own = SLOT_COLUMNS.get(key, "") if draft.kind == "slot_scan" else key
            if own in draft.texts:
                cells[key] = self._cell(view, own, draft, warnings.get(own, ""))
            elif key not in cells:
                cells[key] = FieldCell(Text(f"{view.id}.{key}", "\u2013"))
        size = _("{columns} \u00d7 {rows} pixels").format(columns=view.size[0], rows=view.size[1])
        shown = tuple(cells[key] for key in COLUMNS if key)
        return FieldRow(view.id, view.name, shown, colour=css_colour(view), tip=size)

    def _cell(self, view: XRayView, key: str, draft: GeometryDraft, warning: str = "") -> FieldCell:
        """Return a field of the draft, with its error or warning."""
        return FieldCell(
            self._field(view, key, draft),
            draft.errors.get(key, ""),
            warning,
            self._editor.origin(view, key, draft),
            key in draft.missing,
        )

    def _field(self, view: XRayView, key: str, draft: GeometryDraft) -> Control:
        text = draft.texts[key]
        edit = partial(self._editor.edit, view, key)
        if key == "mirrored":
            sides = [left_side(draft.values, mirrored) for mirrored in (True, False)]
            titles = dict(zip(("yes", "no"), map(_left_in_words, sides), strict=True))
            return self._choice(view, key, text, options_of({"": _("not known"), **titles}), edit)
        if key == TUBE:
            tubes = tube_sides(view.record.slot_scan)
            titles = {side: _("tube: {side}").format(side=side_in_words(side)) for side in tubes}
            return self._choice(view, key, text, options_of({"": _("tube: ?"), **titles}), edit)
        title = (COLUMNS | FURTHER).get(key)
        name = SLOT_NUMBERS[key].name if draft.kind == "slot_scan" or not title else title.title
        centre = dict.fromkeys(("principal_point", "central_column"), _("middle"))
        return TextField(
            f"{view.id}.{key}",
            _("{field} of {name}").format(field=name, name=view.name),
            edit,
            text=text,
            tip=title.tip if title else "",
            hint="?" if key in draft.required else centre.get(key, "0"),
            of=view.id,
        )

    def _choice(
        self,
        view: XRayView,
        key: str,
        value: str,
        options: Sequence[Option],
        action: Callable[[str], object],
        enabled: bool = True,
    ) -> Choice:
        title = COLUMNS[key].title if key in COLUMNS else _("Tube")
        label = _("{field} of {name}").format(field=title, name=view.name)
        key = f"{view.id}.{key}"
        return Choice(key, label, action, value=value, options=tuple(options), enabled=enabled)

    def _bone(self, view: XRayView) -> FieldCell:
        """Return how bone is stored in the image file."""
        present = view.record.intensity, view.record.inverted
        chosen = next(key for key, (_title, meaning) in BONE.items() if meaning == present)
        titles = {key: title for key, (title, _meaning) in BONE.items()}
        if chosen != "dark log":
            del titles["dark log"]
        there = view.source is not None
        set_bone = partial(_set_bone, view)
        return FieldCell(
            self._choice(view, "bone", chosen, options_of(titles), set_bone, enabled=there)
        )

    # Below the table

    def _picture(self, view: XRayView, draft: GeometryDraft) -> Form:
        """Return the C-arm around the patient, and the image with the patient's sides.

        Empty for an incomplete geometry, if the world's axes may not be the patient's, and in
        Slicer before matplotlib is installed.
        """
        geometry = draft.geometry
        if isinstance(geometry, CArm):
            camera = geometry.camera()
            detector_mm = geometry.source_to_detector_mm
        elif view.placed and (view.record.kind == "slot_scan" or c_arm_of(view) is not None):
            camera = view.camera
            detector_mm = view.detector_mm
        else:
            return []
        if find_spec("matplotlib") is None:
            return []
        picture = self.picture(view, THUMBNAIL_PX)
        drawn = DrawnView("", camera, detector_mm, picture, view.pixel_aspect)
        numbers = camera.intrinsics, camera.camera_from_world, camera.source_step
        key = (*(each.tobytes() for each in numbers), *camera.size, detector_mm, view.pixel_aspect)
        svg = self._known.value(
            "machine", (*key, id(picture)), lambda: svg_text(machine_figure(drawn))
        )
        tip = _(
            "Where source and detector of {name} are about the patient, who lies on his back."
        ).format(name=view.name)
        return [Picture("c_arm_picture", svg=svg, height=PICTURE_PX, tip=tip)]

    def _details(self, view: XRayView, draft: GeometryDraft) -> Form:
        """Return the controls of the selected X-ray's kind of geometry."""
        kinds = {
            "c_arm": self._c_arm_details,
            "matrix": self._matrix_details,
            "slot_scan": self._slot_scan_details,
        }
        use = Button(
            "use",
            _("Use this geometry"),
            partial(self._editor.apply, view),
            tip=_("Give the X-ray what is shown here."),
        )
        return [
            *kinds[draft.kind](view, draft),
            row("using", use) if self._editor.is_waiting(view) else None,
        ]

    def _c_arm_details(self, view: XRayView, draft: GeometryDraft) -> Form:
        cells = tuple(self._cell(view, key, draft) for key in FURTHER)
        further = FieldTable(
            "further_fields",
            _("Roll and isocentre of {name}").format(name=view.name),
            columns=(COLUMNS[""], *FURTHER.values()),
            lines=(FieldRow(view.id, view.name, cells),),
        )
        used = any(draft.texts[key] for key in FURTHER)
        return [
            *self._kept.form(),
            group("further", _("Roll, isocentre off the axis"), further, open=used),
        ]

    def _matrix_details(self, view: XRayView, draft: GeometryDraft) -> Form:
        edit = partial(self._editor.edit, view)
        tip = _(
            "From world mm to pixels, at any scale and sign; (0, 0) is the centre of the top left "
            "pixel. 12 numbers; or 9 of the intrinsics and then 12 or 16 of camera_from_world; or "
            "JSON with either."
        )
        is_open = draft.texts[SEEN_FROM] or SEEN_FROM in draft.errors
        asked = [CALIBRATION_QUESTIONS[SEEN_FROM]] if is_open else []
        assumed = view.record.assumptions if self._editor.is_applied(view) else ()
        error = next(iter(draft.errors.values()), "")
        return [
            *texts("of_camera", assumed, "quiet"),
            TextField(
                MATRIX,
                _("Projection matrix, 3 \u00d7 4"),
                partial(edit, MATRIX),
                text=draft.texts[MATRIX],
                tip=tip,
                of=view.id,
                rows=4,
            ),
            Choice(
                AXES,
                _("Axes of the world"),
                partial(edit, AXES),
                value=draft.texts[AXES],
                options=WORLD_AXES,
            ),
            *question_controls(MATRIX, asked, draft.texts, edit),
            Text("geometry_problem", error, tone="error"),
        ]

    def _slot_scan_details(self, view: XRayView, draft: GeometryDraft) -> Form:
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

    def _summary(self, view: XRayView, draft: GeometryDraft) -> list[str]:
        """Return sentences about the geometry, or about what the file's header states and lacks."""
        if self._editor.is_applied(view):
            return [summary(self.registration, view)]
        if draft.kind == "slot_scan" and (missing := missing_in_header(view)):
            return [_("Not in the header: {names}.").format(names=", ".join(missing))]
        return header_proposals(self.registration, view) if draft.kind == "c_arm" else []

    def _caution(self, view: XRayView) -> str:
        """Return what is wrong with an X-ray as it is, or that its fields wait to be used."""
        if self._editor.is_waiting(view):
            return NOT_USED_YET
        return "" if needs_geometry(view) else self.session.problem(view)

    def use_camera(self, view: XRayView, camera: CalibratedView, file: Path) -> None:
        """Give an X-ray the camera of a file; it can be put back.

        Raises
        ------
        InputError
            As `set_camera`.
        """
        use_camera(self.registration, view, camera, file)
        self._editor.discard(view)

    def put_back(self, view: XRayView) -> None:
        """Give an X-ray the geometry that it had when the table was opened."""
        self.certainty.discard(view.id)
        self._editor.put_back(view)


def _set_bone(view: XRayView, bone: str) -> None:
    """Change how bone is stored in the image file, a key of BONE."""
    intensity, inverted = BONE[bone][1]
    change_image(view, intensity=intensity, inverted=inverted)


def _left_in_words(letter: str) -> str:
    """Return which of the patient's sides is at the left of the image."""
    sentence = _("{side} on the left").format(side=SIDES[letter])
    return {"R": _("yes"), "L": _("no")}.get(letter, sentence)
