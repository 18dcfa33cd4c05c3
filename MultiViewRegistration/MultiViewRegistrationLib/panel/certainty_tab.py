"""How well the geometry of an X-ray is known."""

from __future__ import annotations

from ..session.presenters.certainty import ABOUT, DEVIATIONS, KNOWN
from .fields import NumberField
from .xray_tab import XRayTab


class CertaintyTab(XRayTab):
    """A box and a field for the angles, and for the place."""

    FILE = "XRayCertainty.ui"

    def connect(self) -> None:
        ui = self.ui
        self._rows = {
            key: (box, NumberField(edit, DEVIATIONS[key], done=lambda key=key: self._on_typed(key)))
            for key, box, edit in (
                ("rotation_sd_deg", ui.anglesBox, ui.anglesEdit),
                ("translation_sd_mm", ui.placeBox, ui.placeEdit),
            )
        }
        self.fields = tuple(field for _box, field in self._rows.values())
        for key, (box, _field) in self._rows.items():
            box.connect("currentIndexChanged(int)", lambda index, key=key: self._on_known(key, index))

    def show(self, shown) -> None:
        for key, (box, field) in self._rows.items():
            row = getattr(shown, key)
            box.currentIndex = list(KNOWN).index(row.known)
            field.edit.enabled = row.known == ABOUT and not shown.reference
            field.show(field.number.read(row.deviation), (self.presenter.view.node.GetID(), field.edit.enabled))
            box.enabled = not shown.reference
        self.ui.hintLabel.text = shown.hint

    def _on_known(self, key: str, index: int) -> None:
        self.do(self.presenter.set_known, key, list(KNOWN)[index])

    def _on_typed(self, key: str) -> None:
        self.do(self.presenter.set_deviation, key, self._rows[key][1].bare)
