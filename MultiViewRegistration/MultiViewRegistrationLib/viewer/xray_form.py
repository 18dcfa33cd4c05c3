"""What the forms about one X-ray have in common."""

from __future__ import annotations

from collections.abc import Callable

from trame.widgets import html
from trame.widgets import vuetify3 as v


class XRayForm:
    """Widgets about the X-ray that is selected; they show `state.xrays[NAME]`, which is what the presenter shows.

    acting: makes an action one that the page calls, see `Section.acting`.
    """

    NAME = ""

    def __init__(self, presenter, acting: Callable[[Callable], Callable]) -> None:
        self.presenter, self.acting = presenter, acting

    def build(self) -> None:
        """Make the widgets, once."""


def build_questions(shown: str, answer: Callable) -> None:
    """Make a box or a field for each question, once.

    shown: the name in the page of a list of `OpenQuestion`s.   answer: called with the key of a question and the answer.
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
