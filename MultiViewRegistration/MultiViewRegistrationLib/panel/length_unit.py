"""The unit of lengths in fields, as Slicer's settings have it."""

from __future__ import annotations

import re
from typing import NamedTuple

import slicer

from ..errors import InputError
from ..io.calibration.matrices import read_number


class LengthUnit(NamedTuple):
    """Unit of the lengths in fields, which a person chooses in Slicer's settings; all else of the program is in mm.

    Attributes
    ----------
    name
        Its symbol.
    in_mm
        How many of it a mm is.
    """

    name: str
    in_mm: float

    @classmethod
    def chosen(cls) -> LengthUnit:
        """Return the unit of Slicer's settings, mm where it has none."""
        unit = slicer.app.applicationLogic().GetSelectionNode().GetUnitNode("length")
        return cls(unit.GetSuffix(), unit.GetDisplayCoefficient()) if unit else cls("mm", 1.0)

    def shown(self, mm: str) -> str:
        """Return a text with lengths in mm as a field shows it."""
        try:
            return _scaled(mm, self.in_mm)
        except InputError:  # words, or what was typed and refused
            return mm.removesuffix(f" {self.name}")

    def typed(self, text: str) -> str:
        """Return what was typed in this unit with lengths in mm; with its unit where it cannot be read."""
        try:
            return _scaled(text.strip().removesuffix(self.name), 1 / self.in_mm)
        except InputError:
            return text if text.endswith("mm") else f"{text} {self.name}"


def _scaled(text: str, factor: float) -> str:
    """Return a text with its numbers, between blanks, crosses or semicolons, times a factor."""

    def times(found: re.Match[str]) -> str:
        number = read_number(found[0].removesuffix(","), "")
        return f"{number * factor:.10f}".rstrip("0").rstrip(".")

    return re.sub(r"[^\s\u00d7x;]+", times, text)
