"""Rows of a form that ask what a file does not say."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from ..session.questions import Question

CHOOSE = _("choose...")


class QuestionRows:
    """A row for each question: a box to choose from, in which nothing is chosen at first, or a field to type in.

    widget: what they are asked in, with an empty QFormLayout; hidden while nothing is asked.
    answered: called whenever a person has answered one.

    The widget is named in the .ui, not its layout: to PythonQt an empty layout is false, and `slicer.util.findChildren` leaves it out.
    """

    def __init__(self, widget: qt.QWidget, answered: Callable) -> None:
        self._widget, self._answered = widget, answered
        self._questions: list[Question] = []
        self._rows: dict[
            str, tuple
        ] = {}  # label and widget, made once: a row may ask for others to be shown while it is at work

    def show(self, questions: list[Question], answers: dict[str, str]) -> None:
        """Ask these, with the answers so far."""
        self._questions = list(questions)
        for question in questions:
            if question.key not in self._rows:
                self._rows[question.key] = self._row(question)
            widget, answer = self._rows[question.key][1], answers.get(question.key, "")
            if question.choices:
                widget.setCurrentIndex(
                    next((i for i, (value, _text) in enumerate(question.choices, start=1) if value == answer), 0)
                )
            elif not widget.hasFocus():
                widget.setText(answer)
        asked = [question.key for question in questions]
        self._widget.setVisible(bool(asked))
        for key, row in self._rows.items():
            for widget in row:
                widget.setVisible(key in asked)

    def answers(self) -> dict[str, str]:
        """By the questions' keys; "" for what is not answered."""
        told = {}
        for question in self._questions:
            widget = self._rows[question.key][1]
            if question.choices:
                told[question.key] = ["", *(value for value, _text in question.choices)][widget.currentIndex]
            else:
                told[question.key] = widget.text
        return told

    def _row(self, question: Question) -> tuple:
        label = qt.QLabel(f"{question.label}:")
        widget = self._choice(question) if question.choices else self._field()
        for part in (label, widget):
            part.setToolTip(question.tip)
        self._widget.layout().addRow(label, widget)
        return label, widget

    def _choice(self, question: Question) -> qt.QComboBox:
        box = qt.QComboBox()
        box.addItems([CHOOSE, *(text for _value, text in question.choices)])
        box.connect("activated(int)", self._answered)
        return box

    def _field(self) -> qt.QLineEdit:
        field = qt.QLineEdit()
        field.editingFinished.connect(self._answered)
        return field
