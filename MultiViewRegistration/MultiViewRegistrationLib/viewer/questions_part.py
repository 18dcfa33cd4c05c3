"""What a file does not say and a person is asked, in the page."""

from __future__ import annotations

from collections.abc import Callable

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.questions import Question


def build_questions(shown: str, answer: Callable) -> None:
    """Make a box or a field for each question, once.

    shown: the name in the page of what `questions_content` returns.   answer: called with the key of a question and the answer.
    """
    with html.Div(v_for=f"question in {shown}", key="question.key", title=("question.tip",), classes="mt-2"):
        v.VSelect(
            v_if="question.choices.length",
            label=("question.label",),
            items=("question.choices",),
            model_value=("question.answer",),
            update_modelValue=(answer, "[question.key, $event]"),
        )
        v.VTextField(
            v_else=True,
            label=("question.label",),
            model_value=("question.answer",),
            change=(answer, "[question.key, $event.target.value]"),
        )
        html.Div("{{ question.tip }}", v_if="!question.choices.length", classes="mv-fact")


def questions_content(questions: list[Question], answers: dict[str, str]) -> list[dict]:
    """What the page shows of the questions, with the answers so far by their keys."""
    return [
        {
            "key": question.key,
            "label": question.label,
            "tip": question.tip,
            "answer": answers.get(question.key, ""),
            "choices": [{"value": value, "title": title} for value, title in (("", "choose\u2026"), *question.choices)]
            if question.choices
            else [],
        }
        for question in questions
    ]
