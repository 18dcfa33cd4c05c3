"""What a person chooses from, and the questions that a file leaves open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from ..external_files import Question
from ..translation import _
from .form import Choice, Control, Entry, Option


def node_options(first: str, nodes: Iterable) -> tuple[Option, ...]:
    """Nodes to choose from, by their IDs, after an option for none of them, "".   first: its title."""
    return (Option("", first), *(Option(node.GetID(), node.GetName()) for node in nodes))


def unanswered(questions: list[Question], answers: dict[str, str]) -> list[str]:
    """The labels of questions without an answer."""
    return [question.label for question in questions if not answers.get(question.key, "").strip()]


def question_controls(
    prefix: str, questions: list[Question], answers: dict[str, str], answer: Callable[[str, str], object]
) -> list[Control]:
    """A box or a field for each question.

    prefix: of the controls' keys.   answers: so far, by the questions' keys.   answer: called with a question's key and its answer.
    """
    found: list[Control] = []
    for question in questions:
        key, given, act = f"{prefix}.{question.key}", answers.get(question.key, ""), partial(answer, question.key)
        if question.choices:
            options = (Option("", _("choose...")), *(Option(*choice) for choice in question.choices))
            found.append(Choice(key, question.label, act, value=given, options=options, tip=question.tip))
        else:
            found.append(Entry(key, question.label, act, text=given, hint=question.tip, tip=question.tip))
    return found
