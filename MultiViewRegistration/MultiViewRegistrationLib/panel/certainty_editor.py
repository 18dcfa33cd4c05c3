"""How well the geometry of an X-ray is known."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..imaging.view import SharedUnknowns
from ..mrml.case import shared_unknowns_of
from ..session.geometry import DEG, READ_OFF, reference_of
from .fields import NumberField
from .xray_editor import XRayEditor

EXACTLY, ABOUT, UNKNOWN = range(3)


class CertaintyEditor(XRayEditor):
    """Angles and place of an X-ray against the first one: known exactly, about, or not at all."""

    FILE = "XRayCertainty.ui"
    TITLE = _("Certainty")

    def connect(self) -> None:
        ui = self.ui
        angles = NumberField(
            ui.anglesEdit, _("Certainty of the angles"), 0.01, 180, DEG, "\u00b1 ", done=self._on_changed
        )
        place = NumberField(
            ui.placeEdit, _("Certainty of the place"), 0.01, 1000, " mm", "\u00b1 ", done=self._on_changed
        )
        self.fields = (angles, place)
        self._rows = {
            "rotation_sd_deg": (ui.anglesBox, angles, READ_OFF[0]),
            "translation_sd_mm": (ui.placeBox, place, READ_OFF[1]),
        }
        for box, _field, _usual in self._rows.values():
            box.connect("currentIndexChanged(int)", self._on_changed)

    def refresh(self) -> None:
        reference = self.view == reference_of(self.registration)
        for key, (box, field, usual) in self._rows.items():
            deviation = self.view.content.get(key, 0.0)
            box.currentIndex = UNKNOWN if deviation is None else ABOUT if deviation > 0 else EXACTLY
            field.edit.enabled = bool(deviation) and not reference
            field.show(deviation or usual, (self.view.node.GetID(), field.edit.enabled))
            box.enabled = not reference
        self.ui.hintLabel.text = self._hint()

    def _hint(self) -> str:
        reference = reference_of(self.registration)
        if reference is None or reference == self.view:
            return _("This X-ray is the reference: the certainty of every other X-ray is relative to it.")
        unknown = all(box.currentIndex == UNKNOWN for box, _field, _usual in self._rows.values())
        if unknown and shared_unknowns_of(self.registration) == SharedUnknowns():
            return _("This X-ray is registered alone; its geometry relative to {reference} is found with it.").format(
                reference=reference.name
            )
        return _("Relative to {reference}, the first X-ray that is used.").format(reference=reference.name)

    def _on_changed(self, *unused) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            deviations = {EXACTLY: lambda field: 0.0, ABOUT: lambda field: field.value, UNKNOWN: lambda field: None}
            self.view.change(
                **{key: deviations[box.currentIndex](field) for key, (box, field, _usual) in self._rows.items()}
            )
