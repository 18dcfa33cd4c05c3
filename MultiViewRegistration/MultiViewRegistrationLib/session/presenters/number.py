"""Numbers that a person types: their names, ranges and units."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError
from ...io.calibration.matrix_text import read_number
from ..translation import _


@dataclass(frozen=True)
class Number:
    """A number in a field.

    Attributes
    ----------
    name
        Begins the sentence where something is wrong.
    low, high
        Its range.
    unit, before
        Written behind and before the number; need not be typed.
    blank
        Shown in an empty field, which then means `nothing`; without it a number must be given.
    whole
        Whether it has no decimals.
    """

    name: str
    low: float
    high: float
    unit: str = ""
    before: str = ""
    blank: str = ""
    nothing: float | None = None
    whole: bool = False

    def bare(self, text: str) -> str:
        """The text without unit and what stands before the number."""
        return str(text).strip().removeprefix(self.before.strip()).removesuffix(self.unit.strip()).strip()

    def read(self, text: str) -> float | None:
        """The number in a text; InputError for what is wrong in it."""
        text = self.bare(text)
        if not text and self.blank:
            return self.nothing
        allowed = f"{plain(self.low)} to {plain(self.high)}" + ("" if self.whole else self.unit)
        if not text:
            raise InputError(
                _("{name}: none is given, expected {range}; enter it.").format(name=self.name, range=allowed)
            )
        number = read_number(text, self.name)
        if not self.low <= number <= self.high:
            raise InputError(
                _("{name}: {text} is outside {range}; correct it.").format(name=self.name, text=text, range=allowed)
            )
        if self.whole and number != round(number):
            raise InputError(_("{name}: {text} is no whole number; correct it.").format(name=self.name, text=text))
        return int(number) if self.whole else number

    def write(self, value: float | None) -> str:
        """The text of a value, with its unit; "" for `nothing`."""
        text = self.write_bare(value)
        return f"{self.before}{text}{self.unit}" if text else ""

    def write_bare(self, value: float | None) -> str:
        """The same without unit."""
        return "" if value is None or (self.blank and value == self.nothing) else plain(value)


def plain(value: float) -> str:
    """A number to seven digits, as short as possible, without an exponent where a person would write none."""
    rounded = round(value, 6) + 0.0  # not -0
    return f"{rounded:.10g}" if abs(rounded) >= 1e6 else f"{rounded:.7g}"
