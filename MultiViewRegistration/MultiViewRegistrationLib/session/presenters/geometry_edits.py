"""What is typed into the fields of each X-ray's geometry, and given to it; and C-arms that are kept on this computer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ...errors import InputError, MissingInformation
from ...geometry.machines import CArm, SlotScan
from ...io import c_arm_presets
from ...io.case_check import like_radians
from ...mrml.image import change_image, refresh
from ...mrml.xray import XRayView
from ...mrml.xray_record import Values, XRayRecord
from ...translation import _
from ..geometry import reading_of, set_camera, use_reading, use_slot_scan
from ..inputs import twins
from .certainty import EditorPresenter, XRaySelection
from .external_files import CALIBRATION_QUESTIONS
from .form import Button, Choice, Form, Text, TextField, choose_among, row
from .geometry_fields import (
    NUMBERS,
    OF_MACHINE,
    SEEN_FROM,
    SLOT_NUMBERS,
    TUBE,
    Draft,
    read_c_arm,
    read_matrix_field,
    read_slot_scan,
    unusual,
    with_side,
    with_text,
)

#: Grey scales: title, and intensity and inverted of an `XRayView`.
BONE = {
    "dark": (_("dark"), ("linear", False)),
    "bright": (_("bright"), ("linear", True)),
    "bright log": (_("bright, log"), ("log", False)),
    "dark log": (_("dark, log"), ("log", True)),
}
#: Of a geometry that a person has to confirm.
NOT_USED_YET = _("Everything is given, and not used yet: press Use this geometry.")
#: The fields whose values come from somewhere, by the kind of geometry.
WITH_ORIGIN = {"c_arm": (*NUMBERS, "mirrored"), "slot_scan": (TUBE, *SLOT_NUMBERS)}


@dataclass
class Editing:
    """What a person has done to one X-ray in the table since the registration was chosen.

    Attributes
    ----------
    draft
        What the fields show, None where that is what the X-ray has.
    other_modes
        What they showed of other kinds of geometry, by their modes.
    in_force
        Whether the X-ray has what the draft says.
    refused
        Why it cannot have it, a sentence.
    before
        The X-ray's record before it was first changed in the table.
    after
        Its record when the table was closed.
    typing
        The key of the field that is being typed, and the draft and the X-ray's record before.
    """

    draft: Draft | None = None
    other_modes: dict[str, Draft] = field(default_factory=dict)
    in_force: bool = False
    refused: str = ""
    before: XRayRecord | None = None
    after: XRayRecord | None = None
    typing: tuple[str, Draft, XRayRecord] | None = None


class GeometryEdits:
    """The drafts of all X-rays of an `XRaysPresenter`.

    What is complete and can be is given to the X-ray at once, while it is typed, too.

    What is not is kept for each X-ray until the registration is left.
    """

    def __init__(self, xrays: XRaySelection) -> None:
        self._xrays = xrays
        self.reset()

    def reset(self) -> None:
        """Another registration is at work."""
        self._edits: dict[str, Editing] = {}

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

    def replace(self, view: XRayView) -> None:
        """Forget what was typed for an X-ray that gets a geometry from elsewhere; what it has can be put back."""
        self.keep_before(view)
        self._edits[view.id] = Editing(before=self.editing(view).before)

    def editing(self, view: XRayView) -> Editing:
        """Return what was done to an X-ray."""
        return self._edits.setdefault(view.id, Editing())

    def draft(self, view: XRayView) -> Draft:
        """Return what its fields show."""
        return self._read(view, self.editing(view).draft or self._as_it_is(view))

    def _read(self, view: XRayView, draft: Draft) -> Draft:
        if draft.mode == "c_arm":
            draft = read_c_arm(draft)
            beside = {} if draft.c_arm is None else self._beside_others(view, draft.c_arm)
            cautions = {**unusual(draft.values), **beside}
            said = {key: each for key, each in cautions.items() if key not in draft.faults}
            return replace(draft, cautions=said)
        if draft.mode == "slot_scan":
            return read_slot_scan(draft, view)
        try:
            camera = read_matrix_field(draft, view)
        except MissingInformation as error:
            what = CALIBRATION_QUESTIONS[error.key].label
            sentence = _("The matrix does not say, and nothing is assumed: {what}.")
            return draft.with_geometry(None, {error.key: sentence.format(what=what)})
        except InputError as error:
            return draft.with_geometry(None, {"": str(error)})
        return replace(draft, record=camera.given_to(draft.record), faults={}, size=camera.size)

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
        if self.in_force(view):
            return ""
        draft = self.draft(view)
        same = draft.says_as(self._read(view, self._as_it_is(view, draft.mode)))
        if same and (view.placed or draft.fault):
            return ""  # a kind of geometry that was only looked at is nothing typed
        return draft.fault or edit.refused or NOT_USED_YET

    def _beside_others(self, view: XRayView, reading: CArm) -> dict[str, str]:
        """Angles in radians, an X-ray with the same geometry, and left and right the other way round than in all others."""
        others = [each for each in self._xrays.views if each != view and each.placed]
        beam = reading.camera().camera_from_world[2, :3]
        cosines = [abs(beam @ each.camera.camera_from_world[2, :3]) for each in others]
        apart = np.degrees(np.arccos(np.minimum(cosines, 1))).tolist()
        largest = max(abs(reading.rao_lao_deg), abs(reading.cra_cau_deg))
        cautions = {}
        if like_radians(largest, apart):
            key = "rao_lao_deg" if reading.rao_lao_deg else "cra_cau_deg"
            found = getattr(reading, key)
            cautions[key] = _(
                "{value:g} looks like radians, as the X-rays would be nearly parallel; give "
                "degrees: {better:.1f}."
            ).format(value=found, better=np.degrees(found))
        what, *pair = twins(self._xrays.registration) or ("",)
        if what == "geometry" and view in pair and not cautions:
            other = pair[0] if pair[1] == view else pair[1]
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
        record = draft.record
        if not draft.text(key):
            return ""
        if key in record.origins:
            return record.origins[key]
        whole = "" if record.origin == "entered" else record.origin
        if draft.mode == "slot_scan":
            return whole
        if record.c_arm_proposal.get(key) == draft.values.get(key):
            return _("DICOM header")
        if key == "pixel_mm" and not view.placed:
            return _("the file")
        return whole

    def problem(self, view: XRayView, draft: Draft) -> str:
        """Return what is wrong with the selected X-ray's geometry beyond its fields in the table."""
        if refused := self.editing(view).refused:
            return refused
        shown = draft.mode == "matrix" and not self.in_force(view)
        return draft.fault if shown else ""

    def waits(self, view: XRayView, draft: Draft) -> bool:
        """Return whether an X-ray's fields are complete, and not its geometry yet."""
        return not self.in_force(view) and not draft.fault

    def set_mode(self, view: XRayView, mode: str) -> None:
        """Choose the kind of geometry, of MODES.

        A change back to the one that the X-ray has drops what was changed.
        """
        self._xrays.select(view.id)
        edit = self.editing(view)
        draft = self.draft(view)
        edit.other_modes[draft.mode] = draft
        if view.placed and mode == self._as_it_is(view).mode:
            edit.draft = None
        else:
            self._keep(view, edit.other_modes.get(mode) or self._as_it_is(view, mode))

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
        odd = key in unusual(draft.values)
        if view.placed or key == "matrix":
            self._give_or_restore(view, typing=True, odd=odd)

    def set_side(self, view: XRayView, letter: str) -> None:
        """Say which side of the patient is on the left of the image, a letter of `SIDES`, "" for not known."""
        self._keep(view, with_side(self.draft(view), letter).with_origin("", "mirrored"))
        self._give_if_complete(view)

    def set_bone(self, view: XRayView, bone: str) -> None:
        """Say how bone is stored in the file, a key of BONE.

        InputError where the image cannot be used so.
        """
        self.keep_before(view)
        intensity, inverted = BONE[bone][1]
        change_image(view, intensity=intensity, inverted=inverted)

    def fill(self, view: XRayView, values: Values, origin: str) -> None:
        """Fill in what a C-arm has in all its images, OF_MACHINE.

        Parameters
        ----------
        values
            By the keys of a case.json.
        origin
            Where that is from, for a person.
        """
        draft = self.draft(view)
        if draft.mode != "c_arm":
            draft = self._as_it_is(view, "c_arm")
        kept = {key: value for key, value in draft.values.items() if key not in OF_MACHINE}
        texts = {key: text for key, text in draft.texts.items() if key not in OF_MACHINE}
        given = {key: values[key] for key in OF_MACHINE if key in values}
        filled = replace(draft, texts=texts).with_values({**kept, **given}, {})
        self._keep(view, filled.with_origin(origin, *OF_MACHINE))
        self._give_if_complete(view)

    def _give_if_complete(self, view: XRayView) -> None:
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
        edit = self.editing(view)
        draft = self.draft(view)
        if edit.typing is None or edit.typing[0] != key:
            edit.typing = key, draft, view.record
        self._xrays.select(view.id)
        self._keep(view, with_text(edit.typing[1], key, value))

    def _keep(self, view: XRayView, draft: Draft) -> None:
        edit = self.editing(view)
        edit.draft = draft
        edit.in_force = False
        edit.refused = ""
        self.keep_before(view)

    def _give(self, view: XRayView, typing: bool = False) -> None:
        """Give an X-ray what its fields say, which are complete.

        Why it cannot have that stays at it.
        """
        registration = self._xrays.registration
        edit = self.editing(view)
        draft = self.draft(view)
        record = draft.record
        given = WITH_ORIGIN.get(draft.mode, ())
        origins = {key: self.origin(view, key, draft) for key in given if draft.text(key)}
        try:
            if isinstance(record.geometry, CArm):
                keys = (*OF_MACHINE, "rao_lao_deg", "cra_cau_deg")
                whole = {origins[key] for key in keys if key in origins}
                origin = whole.pop() if len(whole) == 1 else ""
                use_reading(registration, view, record.geometry, origin or "entered")
            elif isinstance(record.geometry, SlotScan):
                use_slot_scan(view, record.geometry)
            else:
                set_camera(registration, view, record.geometry, size=draft.size)
        except InputError as error:
            edit.refused = str(error)
            return
        view.change(origins=origins)
        edit.refused = ""
        edit.in_force = True
        if not typing:
            edit.draft = None

    def _as_it_is(self, view: XRayView, mode: str = "") -> Draft:
        """Return the draft of an X-ray as it is, not yet read.

        Parameters
        ----------
        mode
            By default that of its geometry.
        """
        record = view.record
        given = {"camera": "matrix", "c_arm": "c_arm"}.get(record.kind)
        mode = mode or given or ("slot_scan" if record.slot_scan else "c_arm")
        draft = Draft(mode, record)
        if mode == "c_arm":
            return draft.with_values({**reading_of(view), "size": list(view.size)}, {})
        if mode == "matrix" and view.placed and view.given_camera.intrinsics[0, 0] < 0:
            return replace(draft, texts={SEEN_FROM: "detector"})
        return draft.with_values(record.slot_scan, {}) if mode == "slot_scan" else draft

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


class KeptCArms(EditorPresenter):
    """The controls below the table, for the X-ray that is selected."""

    def reset(self) -> None:
        """Forget what was typed and told."""
        self._name = ""
        self._told = ""

    def controls(self, view: XRayView, draft: Draft) -> Form:
        """Return the controls."""
        try:
            presets = c_arm_presets.read_presets()
            problem = ""
        except InputError as error:
            presets = []
            problem = str(error)
        chosen = next((each.name for each in presets if self._has(view, draft, each)), "")
        options = choose_among((each.name, each.name) for each in presets)
        others = [each for each in self._xrays.views if each != view]
        others = [each for each in others if self._edits.draft(each).mode == "c_arm"]
        tip = _(
            "Distances, pixel size, principal point, and the side from which the image is seen, "
            "without the angles."
        )
        name = self._name or chosen
        set_name = partial(setattr, self, "_name")
        return [
            row(
                "presets",
                Choice(
                    "preset",
                    _("Preset of a C-arm"),
                    self.choose,
                    value=chosen,
                    options=options,
                    tip=tip,
                )
                if presets
                else None,
                Button(
                    "delete_preset",
                    _("Delete the preset {name}").format(name=chosen),
                    partial(self.delete, chosen),
                    icon="remove",
                    question=_("Delete the C-arm {name} from this computer?").format(name=chosen),
                )
                if chosen
                else None,
            ),
            row(
                "all",
                Button(
                    "to_all",
                    _("Same C-arm for all X-rays"),
                    partial(self.use_for_all, view),
                    enabled=draft.c_arm is not None,
                    tip=_(
                        "Give all X-rays of a C-arm these values; each keeps its angles. {what}"
                    ).format(what=tip),
                ),
            )
            if others
            else None,
            row(
                "keeping",
                TextField(
                    "preset_name",
                    _("Name of this C-arm"),
                    set_name,
                    text=name,
                    typed=set_name,
                    of=chosen,
                ),
                Button(
                    "keep_preset",
                    _("Keep as preset"),
                    partial(self.keep, view, name),
                    enabled=bool(name.strip()) and draft.c_arm is not None,
                    tip=_(
                        "Keep this C-arm on this computer, for other patients, too. {what}"
                    ).format(what=tip),
                ),
            ),
            Text("presets_problem", problem or self._told, tone="error" if problem else ""),
        ]

    def _has(self, view: XRayView, draft: Draft, preset: c_arm_presets.Preset) -> bool:
        return list(preset.c_arm["size"]) == list(view.size) and all(
            preset.c_arm.get(key) == draft.values.get(key) for key in OF_MACHINE
        )

    def choose(self, name: str) -> None:
        """Fill in a C-arm that was kept; its pixels only where the X-ray has as many.

        Raises
        ------
        InputError
            Where it is not there any more.
        """
        preset = next((each for each in c_arm_presets.read_presets() if each.name == name), None)
        if preset is None:
            if name:
                raise InputError(
                    _("{name}: this C-arm is not kept any more; choose another."), name=name
                )
            return
        view = self.view
        reading = dict(preset.c_arm)
        self._told = ""
        if list(reading["size"]) != list(view.size):
            del reading["pixel_mm"]
            reading.pop("principal_point", None)
            self._told = _(
                "{name} is kept for images of {size[0]} \u00d7 {size[1]} pixels, and {view} has "
                "{own[0]} \u00d7 {own[1]}: enter its pixel size."
            ).format(name=name, size=preset.c_arm["size"], view=view.name, own=view.size)
        self._name = ""
        self._edits.fill(view, reading, name)

    def keep(self, view: XRayView, name: str) -> None:
        """Keep an X-ray's C-arm under a name.

        Raises
        ------
        InputError
            Where that cannot be.
        """
        c_arm = self._edits.draft(view).c_arm
        if c_arm is None:
            raise InputError(_("{name}: the C-arm is incomplete; fill in its fields."), name=name)
        self._told = c_arm_presets.keep_preset(name, c_arm.to_json()) or _(
            "{name} is kept on this computer."
        ).format(name=name)
        self._name = ""

    def delete(self, name: str) -> None:
        """Delete a C-arm from this computer."""
        c_arm_presets.delete_preset(name)
        self._told = ""
        self._name = ""

    def use_for_all(self, view: XRayView) -> None:
        """Give all other X-rays of a C-arm what this one has but for the angles."""
        values = self._edits.draft(view).values
        for other in self._xrays.views:
            if other != view and self._edits.draft(other).mode == "c_arm":
                self._edits.fill(other, values, _("as {name}").format(name=view.name))
