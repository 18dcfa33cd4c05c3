"""What a file does not say and a person is asked: the questions in plain words, and a reader that is tried until they are answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, MissingInformation
from ..io.calibration.matrix_text import read_number


@dataclass(frozen=True)
class Question:
    """key: the name of the answer.   label: a few words.   tip: what it decides.

    choices: answers and what they mean, one of which is to be chosen; empty where the answer is typed, then `numbers` says how many numbers
    it has, 0 for a text.   stand_in: an answer of the right kind, to find out what else would be asked; "" where there is none.
    """

    key: str
    label: str
    tip: str
    choices: tuple[tuple[str, str], ...] = ()
    numbers: int = 0
    stand_in: str = ""

    def value(self, text: str) -> Any:
        """The answer as a reader takes it: a text, a number, or an array of them. InputError where the text has not that many."""
        if not self.numbers:
            return text
        try:
            numbers = [read_number(word, self.label) for word in re.split(r"[;\s]+|,\s+", text.strip())]
        except InputError:
            numbers = []
        if len(numbers) != self.numbers:
            raise InputError(
                f'{self.label}: found "{text}", expected {self.numbers} number{"s" * (self.numbers > 1)} with spaces between; '
                "correct it."
            )
        return numbers[0] if self.numbers == 1 else np.array(numbers)


@dataclass(frozen=True, eq=False)
class Asked:
    """What has become of a file so far.

    questions: that it leaves open, those that were answered among them.   found: what it holds, None before all are answered, or where
    there is a problem.   problem: what is wrong, in a sentence; "" for nothing, questions that are still open included.
    """

    questions: list[Question]
    found: Any = None
    problem: str = ""


def ask(read: Callable[..., Any], questions: dict[str, Question], answers: dict[str, str]) -> Asked:
    """Read something with the answers so far.

    read: takes them as keywords; MissingInformation where one is missing.   questions: by their keys.   answers: as they were typed or
    chosen, by their keys; "" is none. Only what the file asks for is told it.
    """
    asked: list[Question] = []
    told: dict[str, Any] = {}
    open_ = False
    try:
        key, found = _tried(read, told)
        while key is not None:
            question = questions[key]
            asked.append(question)
            answer = answers.get(key, "").strip()
            open_ = open_ or not answer
            if not (answer or question.stand_in):
                return Asked(asked)
            told[key] = question.value(answer or question.stand_in)
            key, found = _tried(read, told)
    except InputError as error:  # which may be that of a stand-in
        return Asked(asked, problem="" if open_ else str(error))
    return Asked(asked, None if open_ else found)


def _tried(read: Callable[..., Any], told: dict[str, Any]) -> tuple[str | None, Any]:
    """What is asked for next, and what was read where nothing is."""
    try:
        return None, read(**told)
    except MissingInformation as error:
        return error.key, None
