"""Numbers that a person types."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InputError
from ..session.presenters.number import Number
from .looks import ERROR, PLAIN, set_tone


class NumberField:
    """A number in a QLineEdit, whose text stays as it was typed: what is no number, or out of range, is said and not taken for another.

    Qt's spin boxes drop what does not fit while it is typed: "0,58" becomes 58, or 5, and 500 becomes 50.

    typed: called with every key.   done: called once a person is done with it, and has changed something.
    """

    def __init__(
        self,
        edit,
        number: Number,
        *,
        typed: Callable[[], object] = lambda: None,
        done: Callable[[], object] = lambda: None,
    ) -> None:
        self.edit, self.number = edit, number
        self._typed, self._done = typed, done
        self._shown: tuple = ()
        edit.placeholderText = number.blank
        edit.connect("textEdited(QString)", self._on_typed)
        edit.connect("editingFinished()", self._on_finished)

    @property
    def bare(self) -> str:
        """The text without unit, right or wrong."""
        return self.number.bare(self.edit.text)

    @property
    def value(self) -> float | None:
        """The number. InputError for what is wrong in it."""
        return self.number.read(self.edit.text)

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

    def show_bare(self, text: str) -> None:
        """Write a text without unit, where another is there."""
        if text != self.bare:
            try:
                self.write(self.number.read(text))
            except InputError:
                self.write_text(text)

    def write(self, value: float | None) -> None:
        """Put a value in the place of what is there."""
        self.write_text(self.number.write(value))

    def write_text(self, text: str) -> None:
        """Put a text in the place of what is there, right or wrong."""
        self.edit.text = text
        self.edit.cursorPosition = 0  # so that a long number shows its beginning
        self._mark()

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
