"""How well the geometry of an X-ray is known."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..imaging.view import SharedUnknowns
from ..scene.case import shared_unknowns_of
from ..scene.geometry import READ_OFF, reference_of
from .fields import show_number
from .xray_editor import XRayEditor

EXACTLY, ABOUT, UNKNOWN = range(3)


class CertaintyEditor(XRayEditor):
    """Angles and place of an X-ray against the first one: known exactly, about, or not at all."""

    FILE = "XRayCertainty.ui"
    TITLE = _("Certainty")

    def connect(self) -> None:
        self._rows = {
            "rotation_sd_deg": (self.ui.anglesBox, self.ui.anglesSpin, READ_OFF[0]),
            "translation_sd_mm": (self.ui.placeBox, self.ui.placeSpin, READ_OFF[1]),
        }
        for box, spin, _usual in self._rows.values():
            box.connect("currentIndexChanged(int)", self._on_changed)
            spin.connect("valueChanged(double)", self._on_changed)

    def refresh(self) -> None:
        reference = self.view == reference_of(self.registration)
        for key, (box, spin, usual) in self._rows.items():
            deviation = self.view.content.get(key, 0.0)
            box.currentIndex = UNKNOWN if deviation is None else ABOUT if deviation > 0 else EXACTLY
            show_number(spin, deviation or usual)
            spin.enabled = bool(deviation) and not reference
            box.enabled = not reference
        self.ui.hintLabel.text = self._hint()

    def _hint(self) -> str:
        reference = reference_of(self.registration)
        if reference is None or reference == self.view:
            return _("This is the reference, the first X-ray that is used: how well the others' geometry is known is told against it.")
        unknown = all(box.currentIndex == UNKNOWN for box, _spin, _usual in self._rows.values())
        if unknown and shared_unknowns_of(self.registration) == SharedUnknowns():
            return _("This X-ray is registered alone; where it was taken from is found with it, against {reference}.").format(
                reference=reference.name)
        return _("Against {reference}, the first X-ray that is used.").format(reference=reference.name)

    def _on_changed(self, *unused) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            deviations = {EXACTLY: lambda spin: 0.0, ABOUT: lambda spin: spin.value, UNKNOWN: lambda spin: None}
            self.view.change(**{key: deviations[box.currentIndex](spin) for key, (box, spin, _usual) in self._rows.items()})
