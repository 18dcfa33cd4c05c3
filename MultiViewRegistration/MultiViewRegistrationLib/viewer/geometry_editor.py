"""How an X-ray was taken: C-arm angles and distances, a matrix, or a calibration file."""

from __future__ import annotations

from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..io.calibration.matrix_text import read_matrix
from ..mrml.frames import RAS_FROM_LPS
from ..session.calibration import use_camera
from ..session.geometry import ANGLES, check_reading, matrix_of, reading_of, set_matrix, summary
from ..session.header import proposed, use_reading
from .calibration_part import Calibration, CalibrationPart
from .elements import NumberField
from .xray_editor import XRayEditor, number

#: The fields: key, label, unit; those of a pair end in 0 and 1.
FIELDS = (
    ("rao_lao_deg", "LAO (+) / RAO (−)", "°"),
    ("cra_cau_deg", "CRA (+) / CAU (−)", "°"),
    ("source_to_detector_mm", "Source to detector", "mm"),
    ("source_to_isocentre_mm", "Source to isocentre", "mm"),
    ("pixel_mm0", "Pixel, along columns", "mm"),
    ("pixel_mm1", "Pixel, along rows", "mm"),
)
FURTHER = (
    ("roll_deg", "Roll", "°"),
    ("isocentre_offset_mm0", "Isocentre off, columns", "mm"),
    ("isocentre_offset_mm1", "Isocentre off, rows", "mm"),
    ("principal_point0", "Principal point, column", "px"),
    ("principal_point1", "Principal point, row", "px"),
)
SEEN = {"": None, "source": False, "detector": True}
AXES = ("LPS", "RAS")
#: How it is given, and what the page calls that.
MODES = {"c_arm": "C-arm", "matrix": "Matrix", "file": "File"}


class GeometryEditor(XRayEditor):
    """Fields that are filled from the X-ray, changed, checked while they are, and applied.

    What was changed and not yet applied is kept for each X-ray while others are looked at.
    """

    NAME, TITLE = "geometry", "Geometry"

    def __init__(self, section) -> None:
        super().__init__(section)
        self._drafts: dict[str, dict] = {}
        self.calibration = CalibrationPart(
            self.application, lambda: self._draft()["calibration"], self._keep_calibration
        )

    def forget(self) -> None:
        """Another registration is at work: what was not applied belongs to nobody."""
        self._drafts = {}
        self.calibration.forget()

    def build(self) -> None:
        with v.VBtnToggle(
            model_value=("xrays.geometry.mode",),
            update_modelValue=(self.edit, "['mode', $event]"),
            mandatory=True,
            density="compact",
            variant="text",
            classes="mt-2",
        ):
            for mode, title in MODES.items():
                v.VBtn(title, value=mode, size="small")
        with html.Div(v_if="xrays.geometry.mode === 'c_arm'"):
            with html.Div(classes="mv-grid2"):
                self._fields(FIELDS)
            v.VSelect(
                label="Image seen from",
                model_value=("xrays.geometry.fields.seen",),
                update_modelValue=(self.edit, "['seen', $event]"),
                items=(
                    "[{value: '', title: 'choose: left and right depend on it'}, {value: 'source', title: 'the source'},"
                    " {value: 'detector', title: 'the detector, mirrored'}]",
                ),
                classes="mt-2",
            )
            with html.Details(classes="mv-details"):
                html.Summary("Roll, isocentre, principal point")
                with html.Div(classes="mv-grid2"):
                    self._fields(FURTHER)
        with html.Div(v_if="xrays.geometry.mode === 'matrix'"):
            v.VTextarea(
                label="Projection matrix, 3 × 4, world mm to pixels",
                rows=4,
                variant="outlined",
                density="compact",
                hide_details=True,
                model_value=("xrays.geometry.fields.matrix",),
                classes="mt-2 mv-mono",
                change=(self.edit, "['matrix', $event.target.value]"),
            )
            v.VSelect(
                label="Axes of the world",
                items=(str(list(AXES)),),
                model_value=("xrays.geometry.fields.axes",),
                classes="mt-2",
                update_modelValue=(self.edit, "['axes', $event]"),
            )
        with html.Div(v_if="xrays.geometry.mode === 'file'"):
            self.calibration.build()
        html.Div("{{ xrays.geometry.told }}", classes="mv-fact")
        html.Div("{{ xrays.geometry.problem }}", v_if="xrays.geometry.problem", classes="mv-problem")
        with html.Div(classes="mv-row"):
            v.VBtn("Apply", click=self.apply, size="small", color="primary", disabled=("!xrays.geometry.can_apply",))
            v.VBtn("Reset", click=self.reset, size="small", variant="text", disabled=("!xrays.geometry.changed",))
            with v.VMenu(v_if="xrays.geometry.others.length"):
                with v.Template(v_slot_activator="{ props }"):
                    v.VBtn("Copy from", v_bind="props", size="small", variant="text")
                with v.VList(density="compact"):
                    v.VListItem(
                        v_for="other in xrays.geometry.others",
                        key="other.id",
                        title=("other.name",),
                        click=(self.copy, "[other.id]"),
                    )

    def _fields(self, fields) -> None:
        for key, label, unit in fields:
            NumberField(
                label=label,
                suffix=unit,
                step="any",
                model_value=(f"xrays.geometry.fields.{key}",),
                change=(self.edit, f"['{key}', $event.target.value]"),
            )

    def content(self) -> dict:
        view = self.view
        if view is None:
            return {
                "mode": "c_arm",
                "fields": {},
                "told": "",
                "problem": "",
                "changed": False,
                "can_apply": False,
                "others": [],
            }
        draft = self._drafts.get(view.node.GetID())
        changed, problem = draft is not None, self._problem(draft or self._of(view))
        shown = draft or self._of(view)
        told = "" if changed or not view.placed else summary(self.registration, view)
        if not view.placed and shown["mode"] == "c_arm":
            told = " ".join(proposed(self.registration, view))
        return {
            **shown,
            "calibration": self.calibration.content(view, shown["calibration"]),
            "changed": changed,
            "told": told,
            "problem": problem if changed or not view.placed else "",
            "can_apply": not problem and (changed or not view.placed),
            "others": [
                {"id": other.node.GetID(), "name": other.name}
                for other in self.registration.xrays
                if other != view and other.placed
            ],
        }

    def _of(self, view) -> dict:
        """What the fields show of an X-ray as it is."""
        reading, matrix = reading_of(view), matrix_of(view)
        middle = [(n - 1) / 2 for n in view.size]
        pairs = {"pixel_mm": (0, 0), "isocentre_offset_mm": (0, 0), "principal_point": middle}
        fields = {
            key: _short(reading.get(key, None if key in ANGLES else 0))
            for key, _, _ in (*FIELDS, *FURTHER)
            if key[-1] not in "01"
        }
        for key, default in pairs.items():
            fields |= {f"{key}{i}": _short(value) for i, value in enumerate(reading.get(key) or default)}
        seen = next(name for name, mirrored in SEEN.items() if mirrored is reading.get("mirrored"))
        text = "" if matrix is None else "\n".join(" ".join(f"{value:.8g}" for value in row) for row in matrix)
        mode = "matrix" if "camera" in view.content else "c_arm"
        return {
            "mode": mode,
            "fields": {**fields, "seen": seen, "matrix": text, "axes": AXES[0]},
            "calibration": self.calibration.last,
        }

    def _draft(self) -> dict:
        """What the fields show of the X-ray that is selected."""
        return self._drafts.get(self.view.node.GetID()) or self._of(self.view)

    def _keep_calibration(self, calibration: Calibration) -> None:
        self._drafts[self.view.node.GetID()] = {**self._draft(), "mode": "file", "calibration": calibration}

    def _reading(self, fields: dict) -> dict:
        """The c_arm of a case.json that the fields say. InputError for what is no number."""
        labels = {key: label for key, label, _ in (*FIELDS, *FURTHER)}
        numbers = {
            key: number(fields[key], label) if fields[key].strip() or key not in ANGLES else None
            for key, label in labels.items()
        }
        reading = {key: value for key, value in numbers.items() if key[-1] not in "01"}
        for key in ("pixel_mm", "isocentre_offset_mm", "principal_point"):
            reading[key] = [numbers[f"{key}0"], numbers[f"{key}1"]]
        return {**reading, "mirrored": SEEN.get(fields["seen"])}

    def _matrix(self, fields: dict):
        if not fields["matrix"].strip():
            raise InputError("Matrix: none is given, expected 12 numbers; enter or paste them.")
        given = read_matrix(fields["matrix"], "Matrix")
        matrix = given.projection_matrix @ RAS_FROM_LPS if fields["axes"] == "RAS" else given.projection_matrix
        return matrix, given.size

    def _problem(self, draft: dict) -> str:
        try:
            if draft["mode"] == "c_arm":
                check_reading(self._reading(draft["fields"]))
            elif draft["mode"] == "matrix":
                self._matrix(draft["fields"])
            else:
                self.calibration.camera(self.view, draft["calibration"])
        except InputError as error:
            return str(error)
        return ""

    # What a person does

    def take(self, folder: Path) -> None:
        """A calibration file that a page sent. InputError without an X-ray that it could be of."""
        if self.view is None:
            raise InputError(
                "Calibration file: no X-ray is selected, expected the one that it is of; click its name first."
            )
        self.calibration.take(folder)

    def edit(self, key: str, value) -> None:
        """Change a field, or the "mode", one of MODES."""
        with self.application.acting():
            node_id = self.view.node.GetID()
            draft = self._draft()
            if key == "mode":
                self._drafts[node_id] = {**draft, "mode": value if value in MODES else "c_arm"}
            elif key in draft["fields"]:
                self._drafts[node_id] = {**draft, "fields": {**draft["fields"], key: str(value)}}

    def copy(self, node_id: str) -> None:
        """Fill the fields as another X-ray has them."""
        with self.application.acting():
            other = next((view for view in self.registration.xrays if view.node.GetID() == node_id), None)
            if other is not None:
                self._drafts[self.view.node.GetID()] = self._of(other)

    def apply(self) -> None:
        """Give the X-ray the geometry that the fields say."""
        with self.application.acting():
            view = self.view
            draft = self._draft()
            if draft["mode"] == "c_arm":
                use_reading(self.registration, view, self._reading(draft["fields"]))
            elif draft["mode"] == "file":
                calibration = draft["calibration"]
                use_camera(self.registration, view, self.calibration.camera(view, calibration), calibration.path)
            else:
                set_matrix(self.registration, view, *self._matrix(draft["fields"]))
            self._drafts.pop(view.node.GetID(), None)

    def reset(self) -> None:
        """Fill the fields anew from the X-ray."""
        with self.application.acting():
            self._drafts.pop(self.view.node.GetID(), None)


def _short(value) -> str:
    return "" if value is None else f"{float(value):.6g}"
