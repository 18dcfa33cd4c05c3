"""A number as a person types it, with its unit and its range."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import InputError
from ...io.calibration.matrices import read_number
from ...translation import _


@dataclass(frozen=True)
class Number:
    """A number in a field.

    Attributes
    ----------
    name
        Begins the sentence where something is wrong.
    low, high
        Its range.
    unit
        Written behind the number; need not be typed.
    blank
        Shown in an empty field, which then means `nothing`; without it a number must be given.
    whole
        Whether it has no decimals.
    directions
        Words that may stand before or behind it in place of a sign, with that: {"LAO": 1, "RAO": -1}.
    """

    name: str
    low: float
    high: float
    unit: str = ""
    blank: str = ""
    nothing: float | None = None
    whole: bool = False
    directions: Mapping[str, int] = field(default_factory=dict)

    def bare(self, text: str) -> str:
        """Return the text without unit."""
        return (
            str(text)
            .strip()
            .replace("\N{MASCULINE ORDINAL INDICATOR}", "\N{DEGREE SIGN}")  # beside it on keyboards
            .removesuffix(self.unit.strip())
            .strip()
        )

    def read(self, text: str) -> float:
        """Return the number in a text, of which an empty one is invalid or has a value.

        Raises
        ------
        InputError
            If it is invalid.
        """
        number = self.read_optional(text)
        assert number is not None, f"{self.name}: an empty field has no value"
        return number

    def read_optional(self, text: str) -> float | None:
        """Return the number in a text; `nothing` of an empty one, if that is allowed.

        Raises
        ------
        InputError
            If it is invalid.
        """
        text = self.bare(text)
        if not text and self.blank:
            return self.nothing
        allowed = f"{plain(self.low)} to {plain(self.high)}" + ("" if self.whole else self.unit)
        if not text:
            raise InputError(
                _("{name}: none is given, expected {range}; enter it."),
                name=self.name,
                range=allowed,
            )
        number = self._directed(text) if self.directions else read_number(text, self.name)
        if not self.low <= number <= self.high:
            raise InputError(
                _("{name}: {text} is outside {range}; correct it."),
                name=self.name,
                text=text,
                range=allowed,
            )
        if self.whole and number != round(number):
            raise InputError(
                _("{name}: {text} is no whole number; correct it."), name=self.name, text=text
            )
        return int(number) if self.whole else number

    def _directed(self, text: str) -> float:
        """Return the number in a text with a sign or with a direction: -30 of "RAO 30" and "30\u00b0 rao"."""
        words = "|".join(self.directions)
        pattern = rf"(?:({words})\s*)?(.*?)(?:\s*({words}))?"
        found = re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL)
        assert found is not None, "the pattern fits any text"
        before, rest, behind = found.groups("")
        word = (before or behind).upper()
        rest = self.bare(rest)
        twice = before and behind or (word and rest[:1] in "+-\N{MINUS SIGN}")  # "" is in it
        if twice or re.search(r"[^\W\d_]", rest):
            expected = _(
                '{name}: found "{text}", expected degrees, with a sign or one of {words}; correct it.'
            )
            words = ", ".join(self.directions)
            raise InputError(expected, name=self.name, text=text, words=words)
        return self.directions.get(word, 1) * read_number(rest, self.name)

    def problem(self, text: str) -> str:
        """Return the problem in a text, a sentence; "" for none."""
        try:
            self.read_optional(text)
        except InputError as error:
            return str(error)
        return ""

    def write_bare(self, value: float | None) -> str:
        """Return the text of a value without its unit."""
        return "" if value is None or (self.blank and value == self.nothing) else plain(value)


def plain(value: float) -> str:
    """Return a number to seven digits, as short as possible, without an exponent where a person would write none."""
    rounded = round(value, 6) + 0.0  # not -0
    return f"{rounded:.10g}" if abs(rounded) >= 1e6 else f"{rounded:.7g}"
