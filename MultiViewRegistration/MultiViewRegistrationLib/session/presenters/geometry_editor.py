"""Drafts of all X-rays' geometries, which are applied to the X-rays once they are valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...errors import InputError
from ...geometry.fields import TABLES
from ...geometry.machines import CArm, SlotScan
from ...io.case_check import like_radians
from ...mrml.image import refresh
from ...mrml.xray import XRayView
from ...mrml.xray_record import XRayRecord
from ...translation import _
from ..geometry import set_camera, use_reading, use_slot_scan
from .certainty import XRaySelection
from .geometry_draft import GeometryDraft, edit_draft, find_unusual, start_draft

#: A complete geometry that the user has to confirm.
NOT_USED_YET = _("Everything is given, and not used yet: press Use this geometry.")


class GeometryEditor:
    """Apply each valid draft to its X-ray, and store the others until they are corrected.

    An X-ray with an invalid draft keeps its last valid geometry.
    """

    def __init__(self, xrays: XRaySelection) -> None:
        self._xrays = xrays
        self.reset()

    def reset(self) -> None:
        """Discard all drafts, as another registration is chosen."""
        self._drafts: dict[str, GeometryDraft] = {}  # not applied, by the X-ray's node ID
        self._before: dict[str, XRayRecord] = {}

    def begin(self) -> None:
        """Store what X-rays can be put back to."""
        self._before = {view.id: view.record for view in self._xrays.views}

    def draft(self, view: XRayView) -> GeometryDraft:
        """Return the fields of an X-ray's geometry."""
        self._before.setdefault(view.id, view.record)  # of one that was added since
        return self._drafts.get(view.id) or start_draft(view)

    def is_applied(self, view: XRayView) -> bool:
        """Return whether the X-ray has the geometry that its fields show."""
        return view.placed and view.id not in self._drafts

    def is_waiting(self, view: XRayView) -> bool:
        """Return whether the fields of an X-ray are complete, and not its geometry yet."""
        return not self.is_applied(view) and self.draft(view).geometry is not None

    def is_changed(self, view: XRayView) -> bool:
        """Return whether the X-ray can be put back."""
        before = self._before.get(view.id, view.record)
        return view.id in self._drafts or not before.is_given_as(view.record)

    def error_of(self, view: XRayView) -> str:
        """Return why an X-ray's fields are not its geometry, a sentence; "" if nothing was entered."""
        if self.is_applied(view):
            return ""
        draft = self.draft(view)
        if draft.edited or "" in draft.errors:
            empty = _("{field} is not given. Complete the geometry.")
            names = [_(TABLES[draft.kind][key].words) for key in draft.missing]
            errors = [*draft.errors.values(), *(empty.format(field=name) for name in names)]
            return next(iter(errors), "")
        return NOT_USED_YET if draft.geometry is not None and not view.placed else ""

    def warnings(self, view: XRayView, draft: GeometryDraft) -> dict[str, str]:
        """Return warnings about unusual values of a C-arm and those that differ from other X-rays, by key."""
        if draft.kind != "c_arm":
            return {}
        reading = draft.geometry
        warnings = find_unusual(draft.values)
        if not isinstance(reading, CArm):
            return warnings
        others = [each for each in self._xrays.views if each != view and each.placed]
        beam = reading.camera().camera_from_world[2, :3]
        cosines = [abs(beam @ each.camera.camera_from_world[2, :3]) for each in others]
        apart_deg = np.degrees(np.arccos(np.minimum(cosines, 1))).tolist()
        angles = reading.rao_lao_deg, reading.cra_cau_deg
        if like_radians(max(map(abs, angles)), apart_deg):
            key = "rao_lao_deg" if reading.rao_lao_deg else "cra_cau_deg"
            value = draft.values[key]
            warnings[key] = _(
                "{value:g} looks like radians, as the X-rays would be nearly parallel. Enter "
                "degrees: {better:.1f}."
            ).format(value=value, better=np.degrees(value))
        machines = [each for other in others if isinstance(each := other.record.geometry, CArm)]
        if machines and all(each.mirrored != reading.mirrored for each in machines):
            warnings["mirrored"] = _(
                "Left and right are the other way round than in all other X-rays, which is rare on "
                "one machine. Check a marker."
            )
        return warnings

    def origin(self, view: XRayView, key: str, draft: GeometryDraft) -> str:
        """Return the source of a field's value in a few words; "" for an empty field and for a typed value."""
        record = view.record
        if not draft.texts[key]:
            return ""
        if key in draft.edited:
            return draft.origins[key]
        if key in record.origins:
            return record.origins[key]
        if view.placed:
            return "" if record.origin == "entered" else record.origin
        return _("DICOM header") if key in record.header.values else _("the file")

    def choose_kind(self, view: XRayView, kind: str) -> None:
        """Start a draft of another kind from the X-ray's camera; the draft before is discarded."""
        self._xrays.select(view.id)
        self._restart(view, kind)

    def edit(self, view: XRayView, key: str, text: str) -> None:
        """Take a field that was left, and apply the draft if it is valid."""
        self._xrays.select(view.id)
        self.fill(view, {key: text}, "")

    def fill(self, view: XRayView, texts: Mapping[str, str], origin: str) -> None:
        """Fill in several fields, and apply the draft if it is valid.

        Parameters
        ----------
        origin
            Source of the texts; "" if they were typed.
        """
        draft = edit_draft(self.draft(view), view, texts, origin)
        if draft.texts == start_draft(view, draft.kind).texts:
            self._restart(view, draft.kind)
            return
        self._drafts[view.id] = draft
        if draft.geometry is not None:
            self.apply(view)

    def _restart(self, view: XRayView, kind: str) -> None:
        """Discard the draft of an X-ray; start one if another kind than that of its geometry is shown."""
        self.discard(view)
        if kind != self.draft(view).kind:
            self._drafts[view.id] = start_draft(view, kind)

    def apply(self, view: XRayView) -> None:
        """Give an X-ray the geometry of its draft; a refusal becomes the draft's error."""
        registration = self._xrays.registration
        draft = self.draft(view)
        geometry = draft.geometry
        keys = [] if draft.kind == "matrix" else draft.texts
        origins = {key: self.origin(view, key, draft) for key in keys if draft.texts[key]}
        whole = set(origins.values())
        try:
            if isinstance(geometry, CArm):
                origin = whole.pop() if len(whole) == 1 else ""
                use_reading(registration, view, geometry, origin or "entered")
            elif isinstance(geometry, SlotScan):
                use_slot_scan(view, geometry)
            else:
                set_camera(registration, view, geometry, size=draft.size)
        except InputError as error:
            self._drafts[view.id] = replace(draft, errors={"": str(error)})
            return
        view.change(origins=origins)
        self.discard(view)

    def discard(self, view: XRayView) -> None:
        """Discard the draft of an X-ray."""
        self._drafts.pop(view.id, None)

    def put_back(self, view: XRayView) -> None:
        """Give an X-ray the geometry, and the meaning of its grey values, that it had when the table was opened."""
        self.discard(view)
        now = view.record
        before = self._before.get(view.id, now)
        if now.is_given_as(before):
            return
        view.record = replace(now.with_geometry_of(before), corrected=before.corrected)
        greys = [(each.intensity, each.inverted) for each in (now, before)]
        if now.lens or before.lens or greys[0] != greys[1]:
            refresh(view)
        view.place()
