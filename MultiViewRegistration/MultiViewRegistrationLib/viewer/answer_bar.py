"""The answer over the views: the verdict, what stands behind it, and the next thing to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from trame.widgets import html

from ..session.presenters.answer import VERDICTS, AnswerPresenter
from ..translation import _
from .page_section import PageSection

if TYPE_CHECKING:
    from .application import Application


#: That are open in a new case.
FIRST_STEPS = ["ct", "xrays"]


class AnswerBar(PageSection):
    """Shows an AnswerPresenter; `state.answer` of the server has its answer, a `presenters.answer.Answer` as plain data."""

    presenter: AnswerPresenter

    def __init__(self, application: Application) -> None:
        super().__init__("answer", application.answer_presenter, application)

    def build(self) -> None:
        """Put the bar into the layout that is being made."""
        with html.Section(classes="mv-answer", aria_label=_("Answer")):
            with html.Div(classes="mv-answer-words", role="status"):
                with html.Span(classes=("'mv-chip mv-chip-' + answer.kind",)):
                    html.Span("{{ answer.symbol }}", aria_hidden="true")
                    html.Span("{{ answer.word }}")
                html.Span("{{ answer.headline }}", classes="mv-headline")
                with html.Span(
                    v_for="view in answer.views",
                    key="view.name",
                    classes=("'mv-view-state mv-view-' + view.state",),
                    title=("view.tip",),
                ):
                    html.Span("{{ view.symbol }}", role="img", aria_label=("view.tip",))
                    html.Span("{{ view.name }}")
            super().build()

    def refresh(self) -> None:
        """Show the answer; with a verdict the steps that a new case begins with are folded."""
        super().refresh()
        state = self.application.state
        answer = self.presenter.answer()
        judged = answer.kind in VERDICTS and (state.answer or {}).get("kind") not in VERDICTS
        if judged and state.open_steps == FIRST_STEPS:
            state.open_steps = []
        state.answer = asdict(answer)
