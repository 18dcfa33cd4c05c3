"""What a person chooses from, and the questions that a file leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..external_files import Question
from ..translation import _


@dataclass(frozen=True)
class Option:
    """value: what is chosen.   title: what a person reads."""

    value: str
    title: str


@dataclass(frozen=True)
class OpenQuestion:
    """A question with its answer so far; without `choices` the answer is typed."""

    key: str
    label: str
    tip: str
    answer: str
    choices: list[Option] = field(default_factory=list)


def open_questions(questions: list[Question], answers: dict[str, str]) -> list[OpenQuestion]:
    """The questions with the answers so far, by their keys; "" is none, and the first choice."""
    return [
        OpenQuestion(
            question.key,
            question.label,
            question.tip,
            answers.get(question.key, ""),
            [Option("", _("choose...")), *(Option(*choice) for choice in question.choices)] if question.choices else [],
        )
        for question in questions
    ]


def unanswered(questions: list[Question], answers: dict[str, str]) -> list[str]:
    """The labels of questions without an answer."""
    return [question.label for question in questions if not answers.get(question.key, "").strip()]
