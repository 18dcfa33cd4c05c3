"""Rows of a form that ask what a file does not say."""

from __future__ import annotations

from collections.abc import Callable

import qt

from ..session.presenters.options import OpenQuestion
from ..session.translation import _

CHOOSE = _("choose...")


class QuestionRows:
    """A row for each question: a box to choose from, in which nothing is chosen at first, or a field to type in.

    widget: what they are asked in, with an empty QFormLayout; hidden while nothing is asked.
    answered: called with the key of a question and the answer that a person gave.

    The widget is named in the .ui, not its layout: to PythonQt an empty layout is false, and `slicer.util.findChildren` leaves it out.
    """

    def __init__(self, widget: qt.QWidget, answered: Callable[[str, str], object]) -> None:
        self._widget, self._answered = widget, answered
        self.rows: dict[str, tuple] = {}  # label and widget, made once: a row may ask for others while it is at work

    def show(self, questions: list[OpenQuestion]) -> None:
        """Ask these, with the answers so far."""
        for question in questions:
            if question.key not in self.rows:
                self.rows[question.key] = self._row(question)
            widget = self.rows[question.key][1]
            if question.choices:
                values = [choice.value for choice in question.choices]
                widget.setCurrentIndex(values.index(question.answer) if question.answer in values else 0)
            elif not widget.hasFocus():
                widget.setText(question.answer)
        asked = [question.key for question in questions]
        self._widget.setVisible(bool(asked))
        for key, row in self.rows.items():
            for widget in row:
                widget.setVisible(key in asked)

    def _row(self, question: OpenQuestion) -> tuple:
        label = qt.QLabel(f"{question.label}:")
        if question.choices:
            widget = qt.QComboBox()
            widget.addItems([choice.title for choice in question.choices])
            values = [choice.value for choice in question.choices]
            widget.connect("activated(int)", lambda index: self._answered(question.key, values[index]))
        else:
            widget = qt.QLineEdit()
            widget.editingFinished.connect(lambda: self._answered(question.key, widget.text))
        for part in (label, widget):
            part.setToolTip(question.tip)
        self._widget.layout().addRow(label, widget)
        return label, widget
