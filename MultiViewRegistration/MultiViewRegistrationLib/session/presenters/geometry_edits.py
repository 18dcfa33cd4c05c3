"""What is typed into the fields of each X-ray's geometry, and given to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry.c_arm import CArm
from ...geometry.slot_scan import SlotScan
from ...io.case_check import like_radians
from ...mrml.image import change_image, refresh
from ...mrml.xray import XRayView
from ...mrml.xray_record import XRayRecord
from ..geometry import matrix_of, reading_of, set_camera, use_reading
from ..slot_scan import nearest_side, use_slot_scan
from ..translation import _
from .calibration import CalibrationFile, CalibrationPresenter
from .certainty import XRaySelection
from .geometry_fields import (
    LPS,
    SLOT_COLUMN,
    SLOT_DISTANCE,
    Reading,
    c_arm_fields,
    changed,
    read_c_arm,
    read_matrix_field,
    read_slot_scan,
    with_side,
)

C_ARM, MATRIX, FILE, SLOT_SCAN = "c_arm", "matrix", "file", "slot_scan"
#: Grey scales: title, and intensity and inverted of an `XRayView`.
BONE = {
    "dark": (_("dark"), ("linear", False)),
    "bright": (_("bright"), ("linear", True)),
    "bright log": (_("bright, log"), ("log", False)),
    "dark log": (_("dark, log"), ("log", True)),
}
#: What a C-arm has in all its images.
OF_MACHINE = (
    "source_to_detector_mm",
    "source_to_isocentre_mm",
    "pixel_mm",
    "principal_point",
    "mirrored",
)


@dataclass(frozen=True)
class Draft:
    """The fields' values of one X-ray.

    Attributes
    ----------
    mode
        C_ARM, MATRIX, FILE or SLOT_SCAN.
    fields
        Texts by the fields' keys of `geometry_fields`, and "matrix" (any text with a matrix),
        "axes" (LPS or RAS); of a slot scan "slot_distance", "slot_column" and "tube" (of
        `tube_sides`, "" for none).
    """

    mode: str
    fields: dict[str, str]
    calibration: CalibrationFile


@dataclass
class Editing:
    """What a person has done to one X-ray in the table since the registration was chosen.

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
        The X-ray's record before it was first changed in the table.
    after
        Its record when the table was closed.
    typing
        The key of the field that is being typed, and the fields and the X-ray's record before.
    """

    draft: Draft | None = None
    in_force: bool = False
    refused: str = ""
    origins: dict[str, str] = field(default_factory=dict)
    before: XRayRecord | None = None
    after: XRayRecord | None = None
    typing: tuple[str, dict[str, str], XRayRecord] | None = None


TYPED = "typed"
OF_MATRIX = ("matrix", "axes")


class GeometryEdits:
    """The drafts of all X-rays of an `XRaysPresenter`.

    What is complete and can be is given to the X-ray at once, while it is typed, too.

    What is not is kept for each X-ray until the registration is left.
    """

    def __init__(self, xrays: XRaySelection) -> None:
        self._xrays = xrays
        self.calibration = CalibrationPresenter(
            lambda: self.draft(xrays.current).calibration,
            lambda file: self._keep(
                xrays.current, replace(self.draft(xrays.current), mode=FILE, calibration=file)
            ),
            xrays.host.patience_s,
        )
        self.reset()

    def reset(self) -> None:
        """Another registration is at work."""
        self._edits: dict[str, Editing] = {}
        self.calibration.reset()

    def begin(self) -> None:
        """Open the table: what others have given X-rays since it was closed is not to be put back."""
        for view in self._xrays.views:
            edit = self.editing(view)
            if (
                edit.draft is None
                and edit.after is not None
                and not edit.after.is_given_as(view.record)
            ):
                self._edits[view.id] = Editing()

    def end(self) -> None:
        """Close the table."""
        for view in self._xrays.views:
            self.editing(view).after = view.record

    def keep_before(self, view: XRayView) -> None:
        """Keep what an X-ray has before it is changed, so that it can be put back, unless it was changed before."""
        edit = self.editing(view)
        edit.before = edit.before or view.record

    def editing(self, view: XRayView) -> Editing:
        """Return what was done to an X-ray."""
        return self._edits.setdefault(view.id, Editing())

    def draft(self, view: XRayView) -> Draft:
        """Return what its fields show."""
        return self.editing(view).draft or self._as_it_is(view)

    def in_force(self, view: XRayView) -> bool:
        """Return whether the X-ray has a geometry, and that which its fields show."""
        edit = self.editing(view)
        return view.placed and (edit.draft is None or edit.in_force)

    def is_changed(self, view: XRayView) -> bool:
        """Return whether there is something to put back."""
        edit = self.editing(view)
        return (edit.draft is not None and not edit.in_force) or (
            edit.before is not None and not edit.before.is_given_as(view.record)
        )

    def refused(self, view: XRayView) -> str:
        """Return why an X-ray does not have what was typed for it, a sentence; "" where it has."""
        edit = self.editing(view)
        if (
            edit.draft is None
            or self.in_force(view)
            or edit.draft == self._as_it_is(view, edit.draft.mode)
        ):
            return ""  # a kind of geometry that was only looked at is nothing typed
        waiting = _("Everything is given, and not used yet: press Use this geometry.")
        return self.reading(view, edit.draft).fault or edit.refused or waiting

    def reading(self, view: XRayView, draft: Draft) -> Reading:
        """Read what the fields say, with what the other X-rays say against it."""
        if draft.mode == SLOT_SCAN:
            return read_slot_scan(draft.fields, view)
        if draft.mode == C_ARM:
            reading = read_c_arm(draft.fields, view.size)
            if reading.c_arm is None:
                return reading
            return replace(
                reading, cautions={**reading.cautions, **self._beside_others(view, reading.c_arm)}
            )
        try:
            if draft.mode == MATRIX:
                return read_matrix_field(draft.fields)
            camera = self.calibration.camera(view, draft.calibration)
        except InputError as error:
            return Reading(faults={"": str(error)})
        given = camera.given_to(view.record)
        return Reading(given.geometry, size=camera.size, distortion=given.distortion)

    def _beside_others(self, view: XRayView, reading: CArm) -> dict[str, str]:
        """Angles in radians, an X-ray with the same geometry, and left and right the other way round than in all others."""
        others = [each for each in self._xrays.views if each != view and each.placed]
        beam = reading.camera().camera_from_world[2, :3]
        apart = [
            np.degrees(np.arccos(np.clip(abs(beam @ each.camera.camera_from_world[2, :3]), 0, 1)))
            for each in others
        ]
        largest = max(abs(reading.rao_lao_deg), abs(reading.cra_cau_deg))
        cautions = {}
        if like_radians(largest, apart):
            key = "rao_lao_deg" if reading.rao_lao_deg else "cra_cau_deg"
            found = getattr(reading, key)
            cautions[key] = _(
                "{value:g} looks like radians, as the X-rays would be nearly parallel; give "
                "degrees: {better:.1f}."
            ).format(value=found, better=np.degrees(found))
        twins = self._xrays.session.twins()
        if twins is not None and view in twins and not cautions:
            other = twins[0] if twins[1] == view else twins[1]
            cautions["rao_lao_deg"] = _(
                "{name} has the same geometry, expected another for each; correct one of them."
            ).format(name=other.name)
        machines = [each for other in others if isinstance(each := other.record.geometry, CArm)]
        if machines and all(each.mirrored != reading.mirrored for each in machines):
            cautions["mirrored"] = _(
                "The other X-rays are stored the other way round, which is rare on one machine; "
                "look at a marker."
            )
        return cautions

    def origin(self, view: XRayView, key: str, draft: Draft) -> str:
        """Return where a field's value comes from, in a few words.

        "" for what was typed, and for nothing.
        """
        text, record = draft.fields[key], view.record
        if not text:
            return ""
        if origin := self.editing(view).origins.get(key):
            return "" if origin == TYPED else origin
        if key in record.origins:
            return record.origins[key]
        whole = "" if record.origin == "entered" else record.origin
        if key in ("tube", "slot_distance", "slot_column"):
            return whole
        of_header = c_arm_fields(record.c_arm_proposal, view.size).get(key)
        if of_header == text:
            return _("DICOM header")
        if key == "pixel_mm" and not view.placed:
            return _("the file")
        return whole

    def problem(self, view: XRayView, draft: Draft) -> str:
        """Return what is wrong with the selected X-ray's geometry beyond its fields in the table."""
        if refused := self.editing(view).refused:
            return refused
        shown = draft.mode in (MATRIX, FILE) and not self.in_force(view)
        return self.reading(view, draft).fault if shown else ""

    def waits(self, view: XRayView, draft: Draft) -> bool:
        """Return whether an X-ray's fields are complete, and not its geometry yet."""
        return not self.in_force(view) and not self.reading(view, draft).fault

    def set_mode(self, view: XRayView, mode: str) -> None:
        """Choose the kind of geometry, of MODES.

        a change back to the one that the X-ray has drops what was changed.
        """
        self._xrays.select(view.id)
        if view.placed and mode == self._as_it_is(view).mode:
            self.editing(view).draft = None
        else:
            self._keep(view, replace(self.draft(view), mode=mode))

    def edit(self, view: XRayView, key: str, value: str) -> None:
        """Change a field; the X-ray has what the fields say as soon as they are complete."""
        self._change(view, key, value)
        self._give_or_restore(view, typing=False)
        self.editing(view).typing = None

    def typed(self, view: XRayView, key: str, value: str) -> None:
        """Follow a field that is being typed: an X-ray that has a geometry follows.

        One without waits until the field is left.
        """
        self._change(view, key, value)
        draft = self.draft(view)
        odd = draft.mode == C_ARM and key in read_c_arm(draft.fields, view.size).cautions
        if view.placed or key == "matrix":
            self._give_or_restore(view, typing=True, odd=odd)

    def set_side(self, view: XRayView, letter: str) -> None:
        """Say which side of the patient is on the left of the image, a letter of `SIDES`, "" for not known."""
        draft = self.draft(view)
        fields = with_side(draft.fields, letter)
        self._keep(view, replace(draft, fields=fields))
        self.editing(view).origins["mirrored"] = TYPED
        if self.waits(view, self.draft(view)):
            self._give(view)

    def set_bone(self, view: XRayView, bone: str) -> None:
        """Say how bone is stored in the file, a key of BONE.

        InputError where the image cannot be used so.
        """
        self.keep_before(view)
        intensity, inverted = BONE[bone][1]
        change_image(view, intensity=intensity, inverted=inverted)

    def fill(self, view: XRayView, values: Mapping[str, str], origin: str) -> None:
        """Fill in what a C-arm has in all its images, OF_MACHINE.

        Parameters
        ----------
        origin
            Where that is from, for a person.
        """
        draft, edit = self.draft(view), self.editing(view)
        fields = {**draft.fields, **{key: values[key] for key in OF_MACHINE}}
        self._keep(view, replace(draft, mode=C_ARM, fields=fields))
        edit.origins |= dict.fromkeys(OF_MACHINE, origin)
        if self.waits(view, self.draft(view)):
            self._give(view)

    def use(self, view: XRayView) -> None:
        """Give an X-ray the geometry that its fields say. InputError where that cannot be."""
        self._give(view)
        if refused := self.editing(view).refused:
            raise InputError(refused)

    def put_back(self, view: XRayView) -> None:
        """Give an X-ray the geometry that it had before it was first changed in the table."""
        edit = self._edits.pop(view.id, Editing())
        if edit.before is not None:
            self._restore(view, edit.before)

    def _give_or_restore(self, view: XRayView, typing: bool, odd: bool = False) -> None:
        """Give an X-ray what its fields say.

        Of what is no geometry not that of the keys before it either.
        """
        typed = self.editing(view).typing
        if not odd and self.waits(view, self.draft(view)):
            self._give(view, typing)
        elif typed is not None:
            self._restore(view, typed[2])

    def _change(self, view: XRayView, key: str, value: str) -> None:
        edit, draft = self.editing(view), self.draft(view)
        if edit.typing is None or edit.typing[0] != key:
            edit.typing = key, draft.fields, view.record
        before = edit.typing[1]
        self._xrays.select(view.id)
        self._keep(view, replace(draft, fields=changed(before, key, value)))
        edit.origins[key] = TYPED

    def _keep(self, view: XRayView, draft: Draft) -> None:
        edit = self.editing(view)
        edit.draft, edit.in_force, edit.refused = draft, False, ""
        self.keep_before(view)

    def _give(self, view: XRayView, typing: bool = False) -> None:
        """Give an X-ray what its fields say, which are complete.

        Why it cannot have that stays at it.
        """
        registration, edit, draft = self._xrays.registration, self.editing(view), self.draft(view)
        reading, given = (
            self.reading(view, draft),
            {key for key, text in draft.fields.items() if text},
        )
        origins = {key: self.origin(view, key, draft) for key in given.difference(OF_MATRIX)}
        try:
            if reading.fault:
                raise InputError(reading.fault)
            if isinstance(reading.geometry, CArm):
                whole = {
                    origins[key]
                    for key in (*OF_MACHINE, "rao_lao_deg", "cra_cau_deg")
                    if key in origins
                }
                use_reading(
                    registration,
                    view,
                    reading.geometry,
                    (whole.pop() if len(whole) == 1 else "") or "entered",
                )
            elif isinstance(reading.geometry, SlotScan):
                use_slot_scan(view, reading.geometry)
            else:
                elsewhere = next(
                    (each for each in edit.origins.values() if each != TYPED), "entered"
                )
                origin = (
                    Path(draft.calibration.path or "").name if draft.mode == FILE else elsewhere
                )
                size, lens = reading.size, reading.distortion
                set_camera(
                    registration, view, reading.geometry, size=size, distortion=lens, origin=origin
                )
                origins = {}
        except InputError as error:
            edit.refused = str(error)
            return
        view.change(origins=origins)
        edit.refused, edit.in_force = "", True
        if not typing:
            edit.draft = None

    def _as_it_is(self, view: XRayView, mode: str = "") -> Draft:
        """Return the fields of an X-ray as it is.

        Parameters
        ----------
        mode
            By default that of its geometry.
        """
        matrix, slot_scan = matrix_of(view), view.record.slot_scan
        given = {"camera": MATRIX, "c_arm": C_ARM}.get(view.record.kind)
        to_source = slot_scan.get("isocentre_to_source")
        return Draft(
            mode or given or (SLOT_SCAN if slot_scan else C_ARM),
            {
                **c_arm_fields(reading_of(view), view.size),
                "matrix": "\n".join(
                    "  ".join(f"{value:.8g}" for value in row)
                    for row in ([] if matrix is None else matrix)
                ),
                "axes": LPS,
                "slot_distance": SLOT_DISTANCE.write_bare(slot_scan.get("source_to_isocentre_mm")),
                "slot_column": SLOT_COLUMN.write_bare(slot_scan.get("central_column")),
                "tube": "" if to_source is None else nearest_side(slot_scan, to_source),
            },
            self.calibration.last,
        )

    @staticmethod
    def _restore(view: XRayView, before: XRayRecord) -> None:
        """Give an X-ray the geometry, and the meaning of its grey values, of a record."""
        now = view.record
        if not now.is_given_as(before):
            view.record = replace(now.with_geometry_of(before), corrected=before.corrected)
            if (
                now.lens
                or before.lens
                or (now.intensity, now.inverted) != (before.intensity, before.inverted)
            ):
                refresh(view)
            view.place()
