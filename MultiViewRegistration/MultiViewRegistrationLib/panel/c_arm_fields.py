"""The widgets of a C-arm's angles and distances."""

from __future__ import annotations

from collections.abc import Callable

from .fields import show_number

#: What stands in the widgets where nothing is known: no distance, no angle, and nothing chosen for left and right.
BLANK = {"source_to_detector_mm": 0.0, "source_to_isocentre_mm": 0.0, "pixel_mm": [0.0, 0.0], "rao_lao_deg": None, "cra_cau_deg": None,
         "mirrored": None}
CHOOSE, FROM_SOURCE, FROM_DETECTOR = range(3)


class CArmFields:
    """Shows and reads the keys of a case.json's c_arm.

    ui: the widgets of XRayGeometry.ui.   edited: called whenever a person has changed one.
    """

    def __init__(self, ui, edited: Callable) -> None:
        self.ui = ui
        self._angles = {"rao_lao_deg": (ui.raoLaoSpin, ui.raoLaoBox), "cra_cau_deg": (ui.craCauSpin, ui.craCauBox)}
        self._numbers = {"source_to_detector_mm": ui.distanceSpin, "source_to_isocentre_mm": ui.isocentreSpin, "roll_deg": ui.rollSpin}
        self._pairs = {"pixel_mm": (ui.pixelColumnSpin, ui.pixelRowSpin), "isocentre_offset_mm": (ui.offsetColumnSpin, ui.offsetRowSpin),
                       "principal_point": (ui.pointColumnSpin, ui.pointRowSpin)}
        for spin in (ui.raoLaoSpin, ui.craCauSpin, *self._numbers.values(), *(spin for pair in self._pairs.values() for spin in pair)):
            spin.connect("valueChanged(double)", edited)
        for box in (ui.raoLaoBox, ui.craCauBox, ui.seenBox):
            box.connect("currentIndexChanged(int)", edited)
        ui.middleBox.toggled.connect(edited)

    def show(self, reading: dict, size: tuple[int, int]) -> None:
        """Fill the widgets; what `reading` does not say is shown as BLANK, what it might say besides as none.

        size: (columns, rows) of the image.
        """
        ui, reading = self.ui, {**BLANK, **reading}
        middle = [(n - 1) / 2 for n in size]
        for key, (spin, side) in self._angles.items():
            degrees = reading[key]
            show_number(spin, spin.minimum if degrees is None else abs(degrees))
            side.currentIndex = int(degrees is not None and degrees < 0)
        for key, spin in self._numbers.items():
            show_number(spin, reading.get(key, 0.0))
        for key, pair in self._pairs.items():
            for spin, value in zip(pair, reading.get(key) or (middle if key == "principal_point" else (0.0, 0.0)), strict=True):
                show_number(spin, value)
        ui.middleBox.checked = not reading.get("principal_point") or list(reading["principal_point"]) == middle
        ui.seenBox.currentIndex = {None: CHOOSE, False: FROM_SOURCE, True: FROM_DETECTOR}[reading["mirrored"]]
        self.enable()

    def enable(self) -> None:
        """Only what counts can be changed."""
        for spin in self._pairs["principal_point"]:
            spin.enabled = not self.ui.middleBox.checked

    def reading(self) -> dict:
        """What the widgets say; an angle is None where none is given, "mirrored" where nothing is chosen."""
        reading = {key: None if spin.value == spin.minimum else spin.value * (-1 if side.currentIndex else 1)
                   for key, (spin, side) in self._angles.items()}
        reading |= {key: spin.value for key, spin in self._numbers.items()}
        reading |= {key: [spin.value for spin in pair] for key, pair in self._pairs.items()}
        if self.ui.middleBox.checked:
            del reading["principal_point"]
        return {**reading, "mirrored": {CHOOSE: None, FROM_SOURCE: False, FROM_DETECTOR: True}[self.ui.seenBox.currentIndex]}
