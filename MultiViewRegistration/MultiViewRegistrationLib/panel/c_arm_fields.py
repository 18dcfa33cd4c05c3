"""The widgets of a C-arm's angles and distances."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from slicer.i18n import tr as _

from ..session.geometry import DEG, READINGS
from .fields import NumberField

#: What stands in the widgets where nothing is known: no distance, no angle, and nothing chosen for left and right.
BLANK = {
    "source_to_detector_mm": 0.0,
    "source_to_isocentre_mm": 0.0,
    "pixel_mm": [0.0, 0.0],
    "rao_lao_deg": None,
    "cra_cau_deg": None,
    "mirrored": None,
}
CHOOSE, FROM_SOURCE, FROM_DETECTOR = range(3)
#: Pixels of X-ray detectors are smaller than this, mm, and sources are farther away.
MAX_USUAL_PIXEL_MM, MIN_USUAL_DISTANCE_MM = 1.0, 300.0


class CArmFields:
    """Shows and reads the keys of a case.json's c_arm.

    ui: the widgets of XRayGeometry.ui.   edited: called whenever a person has changed one.
    """

    def __init__(self, ui, edited: Callable) -> None:
        self.ui = ui

        def number(edit, name: str, high: float, unit: str, **blank) -> NumberField:
            return NumberField(
                edit, name, 0.0 if blank.get("nothing") == 0.0 else -high, high, unit, typed=edited, **blank
            )

        def pair(name: str, columns, rows, *limits, **blank) -> tuple[NumberField, NumberField]:
            return (
                number(columns, _("{name}, columns").format(name=name), *limits, **blank),
                number(rows, _("{name}, rows").format(name=name), *limits, **blank),
            )

        unknown, none = {"blank": "?", "nothing": None}, {"blank": "?", "nothing": 0.0}
        self._angles = {
            "rao_lao_deg": (number(ui.raoLaoEdit, READINGS["rao_lao_deg"], 180, DEG, **unknown), ui.raoLaoBox),
            "cra_cau_deg": (number(ui.craCauEdit, READINGS["cra_cau_deg"], 90, DEG, **unknown), ui.craCauBox),
        }
        self._numbers = {
            "source_to_detector_mm": number(ui.distanceEdit, _("Source to detector"), 10000, " mm", **none),
            "source_to_isocentre_mm": number(ui.isocentreEdit, _("Source to isocentre"), 10000, " mm", **none),
            "roll_deg": number(ui.rollEdit, _("Roll"), 360, DEG),
        }
        self._pairs = {
            "pixel_mm": pair(_("Pixel size"), ui.pixelColumnEdit, ui.pixelRowEdit, 10, " mm", **none),
            "isocentre_offset_mm": pair(_("Isocentre off axis"), ui.offsetColumnEdit, ui.offsetRowEdit, 1000, " mm"),
            "principal_point": pair(_("Principal point"), ui.pointColumnEdit, ui.pointRowEdit, 100000, ""),
        }
        self._fields = [
            *(field for field, _side in self._angles.values()),
            *self._numbers.values(),
            *chain(*self._pairs.values()),
        ]
        self._boxes = (ui.raoLaoBox, ui.craCauBox, ui.seenBox)
        for box in self._boxes:
            box.connect("currentIndexChanged(int)", edited)
        ui.middleBox.toggled.connect(edited)

    def show(self, reading: dict, size: tuple[int, int]) -> None:
        """Fill the widgets; what `reading` does not say is shown as BLANK, what it might say besides as none.

        size: (columns, rows) of the image.
        """
        ui, reading = self.ui, {**BLANK, **reading}
        middle = [(n - 1) / 2 for n in size]
        for key, (field, side) in self._angles.items():
            degrees = reading[key]
            field.write(None if degrees is None else abs(degrees))
            side.currentIndex = int(degrees is not None and degrees < 0)
        for key, field in self._numbers.items():
            field.write(reading.get(key, 0.0))
        for key, pair in self._pairs.items():
            for field, value in zip(
                pair, reading.get(key) or (middle if key == "principal_point" else (0.0, 0.0)), strict=True
            ):
                field.write(value)
        ui.middleBox.checked = not reading.get("principal_point") or list(reading["principal_point"]) == middle
        ui.seenBox.currentIndex = {None: CHOOSE, False: FROM_SOURCE, True: FROM_DETECTOR}[reading["mirrored"]]
        self.enable()

    def draft(self) -> tuple:
        """What stands in the widgets, right or wrong."""
        return (
            [field.edit.text for field in self._fields],
            [box.currentIndex for box in self._boxes],
            self.ui.middleBox.checked,
        )

    def show_draft(self, draft: tuple) -> None:
        """Fill the widgets with that again."""
        texts, indices, self.ui.middleBox.checked = draft
        self.enable()
        for field, text in zip(self._fields, texts, strict=True):
            field.write_text(text)
        for box, index in zip(self._boxes, indices, strict=True):
            box.currentIndex = index

    def enable(self) -> None:
        """Only what counts can be changed."""
        for field in self._pairs["principal_point"]:
            field.edit.enabled = not self.ui.middleBox.checked

    def reading(self) -> dict:
        """What the widgets say; an angle is None where none is given, "mirrored" where nothing is chosen.

        InputError for what is no number, or out of range.
        """
        reading = {}
        for key, (field, side) in self._angles.items():
            degrees = field.value
            reading[key] = None if degrees is None else degrees * (-1 if side.currentIndex else 1)
        reading |= {key: field.value for key, field in self._numbers.items()}
        reading |= {
            key: [field.value for field in pair]
            for key, pair in self._pairs.items()
            if key != "principal_point" or not self.ui.middleBox.checked
        }
        return {
            **reading,
            "mirrored": {CHOOSE: None, FROM_SOURCE: False, FROM_DETECTOR: True}[self.ui.seenBox.currentIndex],
        }


def unusual(reading: dict) -> str:
    """What in a C-arm's reading hardly any C-arm has, and a slip of the keyboard gives; a sentence, "" for nothing."""
    pixel_mm, distance_mm = max(reading["pixel_mm"]), reading["source_to_detector_mm"]
    if pixel_mm > MAX_USUAL_PIXEL_MM:
        return _("Pixel size: {found:g} mm is more than X-ray detectors have, which is 0.1 to 0.6 mm.").format(
            found=pixel_mm
        )
    if distance_mm < MIN_USUAL_DISTANCE_MM:
        return _("Source to detector: {found:g} mm is less than C-arms have, which is about 1000 mm.").format(
            found=distance_mm
        )
    return ""
