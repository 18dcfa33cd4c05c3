"""Numbers that a person types."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InputError
from ..io.calibration.matrix_text import read_number
from .looks import ERROR, PLAIN, set_tone


class NumberField:
    """A number in a QLineEdit, whose text stays as it was typed: what is no number, or out of range, is said and not taken for another.

    Qt's spin boxes drop what does not fit while it is typed: "0,58" becomes 58, or 5, and 500 becomes 50.

    name: begins the sentence where something is wrong.   unit, before: stand behind and before the number, and need not be typed.
    blank: stands there where nothing is given, which then means the value `nothing`; without it a number must be given.
    whole: no decimals.   typed: called with every key.   done: called once a person is done with it, and has changed something.
    """

    def __init__(
        self,
        edit,
        name: str,
        low: float,
        high: float,
        unit: str = "",
        before: str = "",
        *,
        blank: str = "",
        nothing: float | None = None,
        whole: bool = False,
        typed: Callable[[], object] = lambda: None,
        done: Callable[[], object] = lambda: None,
    ) -> None:
        self.edit, self.name, self.low, self.high, self.unit = edit, name, low, high, unit
        self._before, self._blank, self._nothing, self._whole = before, blank, nothing, whole
        self._typed, self._done = typed, done
        self._shown: tuple = ()
        edit.placeholderText = blank
        edit.connect("textEdited(QString)", self._on_typed)
        edit.connect("editingFinished()", self._on_finished)

    @property
    def value(self) -> float | None:
        """The number. InputError for what is wrong in it."""
        text = self.edit.text.strip().removeprefix(self._before.strip()).removesuffix(self.unit.strip()).strip()
        if not text and self._blank:
            return self._nothing
        if not text:
            raise InputError(f"{self.name}: none is given, expected {self._range}; enter it.")
        number = read_number(text, self.name)
        if not self.low <= number <= self.high:
            raise InputError(f"{self.name}: {text} is outside {self._range}; correct it.")
        if self._whole and number != round(number):
            raise InputError(f"{self.name}: {text} is no whole number; correct it.")
        return int(number) if self._whole else number

    @property
    def problem(self) -> str:
        """What is wrong in it, a sentence; "" for nothing, and while it does not count."""
        if not self.edit.enabled:
            return ""
        try:
            self.value  # noqa: B018
        except InputError as error:
            return str(error)
        return ""

    def show(self, value: float | None, of: object = None) -> None:
        """Write the value of a thing, where another was written last: what somebody types stays, and what is wrong in it."""
        if (value, of) != self._shown:
            self._shown = value, of
            self.write(value)

    def write(self, value: float | None) -> None:
        """Put a value in the place of what is there."""
        self.write_text(self._text_of(value))

    def write_text(self, text: str) -> None:
        """Put a text in the place of what is there, right or wrong."""
        self.edit.text = text
        self.edit.cursorPosition = 0  # so that a long number shows its beginning
        self._mark()

    @property
    def _range(self) -> str:
        return f"{_plain(self.low)} to {_plain(self.high)}" + ("" if self._whole else self.unit)

    def _text_of(self, value: float | None) -> str:
        return "" if self._blank and value == self._nothing else f"{self._before}{_plain(value)}{self.unit}"

    def _mark(self) -> None:
        set_tone(self.edit, ERROR if self.problem else PLAIN)

    def _on_typed(self, *unused) -> None:
        self._mark()
        self._typed()

    def _on_finished(self) -> None:
        if self.edit.modified:
            if not self.problem:
                self.write(self.value)
            self._done()


def _plain(value: float) -> str:
    """As short as it can be told to seven digits, without an exponent where a person would write none."""
    rounded = round(value, 6) + 0.0  # not -0
    return f"{rounded:.10g}" if abs(rounded) >= 1e6 else f"{rounded:.7g}"
